/**
 * Where the state of an idempotent producer is, in the head or in an item of its own (never both), what it says of the batch
 * that comes, and where its next state goes. A state moves between the two in one transaction with the append.
 */
import { refusal } from '../core/errors.ts'
import type { AppendProducer, Head, HeadKey } from '../core/head.ts'
import type { Item, ProducerItem } from '../core/items.ts'
import { producerItemKey } from '../core/items.ts'
import type { Offset, ProducerKey } from '../core/names.ts'
import { producerIdOfKey } from '../core/names.ts'
import type { ProducerClaim, ProducerState } from '../core/producer.ts'
import { producerAfter } from '../core/producer.ts'
import type { ItemWrite } from '../ports.ts'
import type { CommitOutcome, UnitProducer } from './commit-outcomes.ts'
import { refused } from './commit-outcomes.ts'
import type { Context } from './context.ts'

type Placed =
  | { readonly kind: 'settled'; readonly outcome: CommitOutcome }
  | { readonly kind: 'placed'; readonly producer: AppendProducer; readonly also?: ItemWrite }

/** What the partition remembers of the producer, in the head or in its item, judged; and where its next state goes. */
export async function placeProducer(
  context: Context,
  key: HeadKey,
  head: Head,
  producer: UnitProducer,
  base: Offset,
  hasRoom: boolean,
): Promise<Placed> {
  const { key: producerKey, claim, fingerprint } = producer
  const inHead = head.producers[producerKey]
  if (inHead !== undefined) {
    const outcome = judge(context, key, head, producerKey, claim, inHead)
    if (outcome !== undefined) return { kind: 'settled', outcome }
    return { kind: 'placed', producer: { key: producerKey, claim, home: 'head', seen: inHead } }
  }
  const itemKey = producerItemKey(key.topicId, key.partition, producerKey)
  const item = await context.persist(() => context.metadata.get(itemKey))
  const stored = item?.value as unknown as ProducerItem | undefined
  if (fingerprint !== undefined && stored !== undefined)
    return { kind: 'settled', outcome: judgeIdempotencyKey(producerKey, fingerprint, stored) }
  const outcome = judge(context, key, head, producerKey, claim, stored?.state)
  if (outcome !== undefined && item === undefined) {
    // In neither: it may have moved from the item into the head between the two reads.
    const now = await context.heads.read(key)
    if (now?.producers[producerKey] !== undefined) return placeProducer(context, key, now, producer, base, hasRoom)
  }
  if (outcome !== undefined) return { kind: 'settled', outcome }
  if (hasRoom && fingerprint === undefined)
    return {
      kind: 'placed',
      producer: {
        key: producerKey,
        claim,
        home: 'head',
        seen: undefined,
        ...(stored === undefined ? {} : { carried: stored.state }),
      },
      also:
        item === undefined
          ? { op: 'check', key: itemKey, if: 'absent' }
          : { op: 'delete', key: itemKey, if: { version: item.version } },
    }
  const value: ProducerItem = {
    state: producerAfter(stored?.state, claim, base),
    usedMs: context.clock.now(),
    ...(fingerprint === undefined ? {} : { fingerprint }),
  }
  return {
    kind: 'placed',
    producer: { key: producerKey, claim, home: 'item', seen: stored?.state },
    also: {
      op: 'put',
      key: itemKey,
      version: context.newVersion(),
      value: value as unknown as Item['value'],
      if: item === undefined ? 'absent' : { version: item.version },
    },
  }
}

/** The outcome of a batch that cannot be the producer's next, or undefined if it is. */
function judge(
  context: Context,
  key: HeadKey,
  head: Head,
  producerKey: ProducerKey,
  claim: ProducerClaim,
  state: ProducerState | undefined,
): CommitOutcome | undefined {
  const id = producerIdOfKey(producerKey)
  const judgement = context.rules.judgeProducer(state, claim, id !== undefined && id < head.producerFloor)
  const who = `producer ${producerKey}, epoch ${claim.epoch}, partition ${key.partition}`
  switch (judgement.kind) {
    case 'next':
      return undefined
    case 'duplicate':
      return { kind: 'committed', base: judgement.base, isDuplicate: true }
    case 'duplicate-forgotten':
      return refused(
        refusal(
          'DUPLICATE_SEQUENCE_NUMBER',
          `Sequences ${claim.first} to ${claim.last} were committed before (${who}); the last one is ${judgement.lastSequence}.`,
          { lastSequence: judgement.lastSequence },
        ),
      )
    case 'gap':
      return { kind: 'gap', expected: judgement.expected }
    case 'fenced':
      return refused(
        refusal('INVALID_PRODUCER_EPOCH', `Epoch ${claim.epoch} is fenced by ${judgement.epoch} (${who}).`, {
          epoch: judgement.epoch,
        }),
      )
    case 'unknown':
      return refused(
        refusal('UNKNOWN_PRODUCER_ID', `The partition may have forgotten this producer (${who}); nothing was written.`),
      )
    default:
      return judgement satisfies never
  }
}

function judgeIdempotencyKey(key: ProducerKey, fingerprint: string, stored: ProducerItem): CommitOutcome {
  const first = stored.state.batches[0]
  if (stored.fingerprint === fingerprint && first !== undefined)
    return { kind: 'committed', base: first.base, isDuplicate: true }
  return refused(
    refusal('IDEMPOTENCY_KEY_REUSED', `Idempotency-Key ${JSON.stringify(key.slice(1))} was used for another content.`),
  )
}
