/**
 * The rule of head writes, `decideHead`, as DynamoDB expressions: the condition is true of exactly the heads that the rule
 * accepts, and the update makes of them what the rule makes. It is the one rule that is written twice, so that a commit needs no
 * read and concurrent writers do not conflict (docs/decisions/0005-dynamodb-commit.md); test/conformance/metadata-history.ts
 * holds the two together.
 *
 * Every condition compares an attribute that only a head has: no command creates a head. The right-hand side of a SET sees the
 * item as it was, so that `hw` is the base offset (H2), and `hw + records before` that of the chunks behind the first.
 */
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import type { AppendCommand, AppendProducer, HeadCommand, LeaseCommand } from '../../core/head.ts'
import { headProducersMax, tailEntriesMax } from '../../core/head.ts'
import { producerIdOfKey } from '../../core/names.ts'
import { producerAfter } from '../../core/producer.ts'
import { segmentOfReference } from '../../core/reference.ts'
import type { Attributes } from './dynamodb-attributes.ts'
import { encodeLease, newestBase, number, stateText } from './dynamodb-attributes.ts'

/** What the store takes in one expression, names and values not counted (DynamoDB's limit; D8). */
export const expressionBytesMax = 4096

export interface HeadUpdate {
  readonly UpdateExpression: string
  readonly ConditionExpression: string
  readonly ExpressionAttributeNames: Record<string, string>
  readonly ExpressionAttributeValues: Attributes
}

export function headUpdate(command: HeadCommand): HeadUpdate {
  const e = new Expression()
  switch (command.kind) {
    case 'append':
      encodeAppend(e, command)
      break
    case 'roll':
      e.needs(`${e.path('rolls')} = ${e.number(command.generation)}`)
      for (const ref of new Set(command.refs)) e.remove(e.path('tail', ref))
      e.set(e.path('boundary'), e.path('hw'))
      e.set(e.path('rolls'), e.number(command.generation + 1))
      break
    case 'evict':
      needsState(e, command.producer, command.seen)
      e.remove(e.path('producers', command.producer))
      e.remove(e.path('bases', command.producer))
      break
    case 'forget': {
      const floor = e.number(command.producerFloor)
      e.needs(`${e.path('producerFloor')} < ${floor}`)
      e.set(e.path('producerFloor'), floor)
      break
    }
    case 'trim': {
      const start = e.number(command.start)
      needsAlive(e)
      if (command.leaderEpoch !== undefined) e.needs(`${e.path('leaseEpoch')} = ${e.number(command.leaderEpoch)}`)
      e.needs(`${e.path('start')} < ${start}`)
      e.needs(`${e.path('hw')} >= ${start}`)
      e.set(e.path('start'), start)
      break
    }
    case 'fence': {
      const fence = e.value({ S: command.minSegment })
      e.needs(`${e.path('minSegment')} < ${fence}`)
      e.set(e.path('minSegment'), fence)
      break
    }
    case 'clean': {
      const [to, hw, cleanedTo] = [e.number(command.to), e.path('hw'), e.path('cleanedTo')]
      needsAlive(e)
      e.needs(command.from === 0 ? `attribute_not_exists(${cleanedTo})` : `${cleanedTo} = ${e.number(command.from)}`)
      e.needs(`${hw} >= ${to}`)
      if (command.oldestSegment !== '') e.needs(`${e.path('minSegment')} <= ${e.value({ S: command.oldestSegment })}`)
      // What goes nowhere applies to no head.
      if (command.to <= command.from) e.needs(`${hw} < ${e.number(0)}`)
      e.set(cleanedTo, to)
      break
    }
    case 'mark-deleted':
      needsAlive(e)
      e.set(e.path('isDeleted'), e.value({ BOOL: true }))
      break
    case 'lease':
      encodeLeaseCommand(e, command)
      break
    default:
      command satisfies never
  }
  return e.finished()
}

function encodeAppend(e: Expression, { chunks, seen, expectedHw, leaderEpoch, leaseSeen }: AppendCommand): void {
  const hw = e.path('hw')
  needsAlive(e)
  let records = 0
  let producersArriving = 0
  let leastSegment: string | undefined
  for (const { ref, count, producer } of chunks) {
    const entry = e.path('tail', ref)
    const base = records === 0 ? hw : `${hw} + ${e.number(records)}`
    e.needs(`attribute_not_exists(${entry})`)
    e.set(entry, base)
    if (producer !== undefined) {
      encodeProducer(e, producer, base)
      if (producer.home === 'head' && producer.seen === undefined) producersArriving++
    }
    const segment = segmentOfReference(ref)
    if (leastSegment === undefined || segment < leastSegment) leastSegment = segment
    records += count
  }
  e.set(hw, `${hw} + ${e.number(records)}`)
  if (producersArriving > 0)
    e.needs(`size(${e.path('producers')}) <= ${e.number(headProducersMax - producersArriving)}`)
  if (leastSegment !== undefined) e.needs(`${e.path('minSegment')} <= ${e.value({ S: leastSegment })}`)
  if (leaderEpoch === undefined) {
    const isExclusive = e.path('lease', 'isExclusive')
    e.needs(`(attribute_not_exists(${e.path('lease')}) OR ${isExclusive} = ${e.value({ BOOL: false })})`)
  }
  const leaseEpoch = leaderEpoch ?? leaseSeen
  if (leaseEpoch !== undefined) e.needs(`${e.path('leaseEpoch')} = ${e.number(leaseEpoch)}`)
  e.needs(`${e.path('rolls')} <= ${e.number(seen + 1)}`)
  if (expectedHw !== undefined) e.needs(`${hw} = ${e.number(expectedHw)}`)
  e.needs(`size(${e.path('tail')}) <= ${e.number(tailEntriesMax - chunks.length)}`)
}

function encodeProducer(e: Expression, producer: AppendProducer, base: string): void {
  const { key, claim, home, seen, carried } = producer
  if (home === 'head' && seen !== undefined) needsState(e, key, seen)
  else e.needs(`attribute_not_exists(${e.path('producers', key)})`)
  const id = producerIdOfKey(key)
  const isFirstHere = seen === undefined && carried === undefined
  if (isFirstHere && id !== undefined) e.needs(`${e.path('producerFloor')} <= ${e.number(id)}`)
  if (home === 'item') return
  // The offset of the new batch is the store's to give: 0 stands for it, and is left out of the text.
  e.set(e.path('producers', key), e.value({ S: stateText(producerAfter(seen ?? carried, claim, 0)) }))
  e.set(e.path('bases', key), base)
}

function encodeLeaseCommand(e: Expression, { claim, act }: LeaseCommand): void {
  needsAlive(e)
  const epoch = claim.seenEpoch
  e.needs(`${e.path('leaseEpoch')} = ${e.number(epoch)}`)
  if (act === 'take') {
    const { owner, untilMs, isExclusive } = claim
    e.set(e.path('leaseEpoch'), e.number(epoch + 1))
    e.set(e.path('lease'), e.value(encodeLease({ owner, epoch: epoch + 1, untilMs, isExclusive })))
    return
  }
  e.needs(`${e.path('lease', 'owner')} = ${e.value({ S: claim.owner })}`)
  e.needs(`${e.path('lease', 'epoch')} = ${e.number(epoch)}`)
  if (act === 'release') {
    e.remove(e.path('lease'))
    return
  }
  e.set(e.path('lease', 'untilMs'), e.number(claim.untilMs))
}

function needsAlive(e: Expression): void {
  e.needs(`${e.path('isDeleted')} = ${e.value({ BOOL: false })}`)
}

function needsState(e: Expression, key: string, state: NonNullable<AppendProducer['seen']>): void {
  e.needs(`${e.path('producers', key)} = ${e.value({ S: stateText(state) })}`)
  e.needs(`${e.path('bases', key)} = ${e.number(newestBase(state))}`)
}

/**
 * Gathers an update. Names and values are numbered: references and reserved words may be names, and what is the same is sent
 * once. A path or value that is made must be used: the store refuses names that no expression has.
 */
class Expression {
  readonly #names = new Map<string, string>()
  readonly #values = new Map<string, { readonly placeholder: string; readonly value: AttributeValue }>()
  readonly #conditions: string[] = []
  readonly #sets: string[] = []
  readonly #removes: string[] = []

  path(...names: string[]): string {
    return names
      .map((name) => {
        const placeholder = this.#names.get(name) ?? `#${this.#names.size.toString(36)}`
        this.#names.set(name, placeholder)
        return placeholder
      })
      .join('.')
  }

  value(value: AttributeValue): string {
    const text = JSON.stringify(value)
    const known = this.#values.get(text)
    if (known !== undefined) return known.placeholder
    const placeholder = `:${this.#values.size.toString(36)}`
    this.#values.set(text, { placeholder, value })
    return placeholder
  }

  number(value: number): string {
    return this.value(number(value))
  }

  needs(condition: string): void {
    this.#conditions.push(condition)
  }

  set(path: string, value: string): void {
    this.#sets.push(`${path} = ${value}`)
  }

  remove(path: string): void {
    this.#removes.push(path)
  }

  finished(): HeadUpdate {
    const update = [
      this.#sets.length > 0 ? `SET ${this.#sets.join(', ')}` : '',
      this.#removes.length > 0 ? `REMOVE ${this.#removes.join(', ')}` : '',
    ]
    return {
      UpdateExpression: bounded(update.filter((clause) => clause !== '').join(' ')),
      ConditionExpression: bounded(this.#conditions.join(' AND ')),
      ExpressionAttributeNames: Object.fromEntries([...this.#names].map(([name, placeholder]) => [placeholder, name])),
      ExpressionAttributeValues: Object.fromEntries(
        [...this.#values.values()].map(({ placeholder, value }) => [placeholder, value]),
      ),
    }
  }
}

/** All of it is ASCII: names and values are elsewhere. */
function bounded(expression: string): string {
  if (expression.length > expressionBytesMax)
    throw new Error(`an expression of ${expression.length} bytes, at most ${expressionBytesMax} are allowed`)
  return expression
}
