/**
 * Random commands for a head. A command is made from dice and from the head it will meet, so that it is often accepted, and
 * otherwise wrong by a little: that is where an encoding of the rule and the rule itself come apart.
 */
import fc from 'fast-check'
import type { AppendChunk, AppendProducer, Head, HeadCommand } from '../../lib/core/head.ts'
import { chunksPerAppendMax, rollableEntries } from '../../lib/core/head.ts'
import type { ProducerKey } from '../../lib/core/names.ts'
import { segmentIdFloor } from '../../lib/core/names.ts'
import type { ProducerState } from '../../lib/core/producer.ts'
import type { ChunkReference } from '../../lib/core/reference.ts'

/** Rolls of one command's making; fast-check shrinks them towards 0, the plainest choice. */
export const diceArbitrary = fc.array(fc.nat({ max: 9_999 }), { minLength: 40, maxLength: 40 })

export class Dice {
  readonly #rolled: readonly number[]
  #next = 0
  constructor(rolled: readonly number[]) {
    this.#rolled = rolled
  }
  /** 0 to `sides` - 1. */
  roll(sides: number): number {
    return (this.#rolled[this.#next++ % this.#rolled.length] ?? 0) % sides
  }
  /** True `times` in ten. */
  isLucky(times: number): boolean {
    return this.roll(10) >= 10 - times
  }
  pick<Value>(values: readonly [Value, ...Value[]]): Value {
    return values[this.roll(values.length)] ?? values[0]
  }
}

/** Keys of maps that a store must take as they are. */
const oddKeys = [
  '0',
  '7up',
  '1.5',
  'a.b',
  'a/b',
  '-1',
  '#name',
  ':value',
  '[0]',
  'a"b',
  "a'b",
  '$.x',
  'hw',
  'a b',
  '`',
] as const
const producerKeys = ['1', '2', '30', '400', '~q83/x+.y=', '~AbC-_9'] as unknown as readonly [
  ProducerKey,
  ...ProducerKey[],
]

/** The commands of one head's history: references are fresh, but for those that are repeated on purpose. */
export class HeadCommands {
  readonly #used: ChunkReference[] = []

  next(dice: Dice, head: Head): HeadCommand {
    const kind = dice.roll(28)
    if (kind < 12) return this.#append(dice, head)
    if (kind < 17) return this.#roll(dice, head)
    if (kind < 19) return this.#evict(dice, head)
    if (kind < 20) return { kind: 'forget', producerFloor: head.producerFloor + dice.roll(50) - 5 }
    if (kind < 22) {
      const start = dice.pick([head.start + 1, head.hw, head.start, head.hw + 1, head.start - 1])
      return { kind: 'trim', start, ...(dice.isLucky(3) && { leaderEpoch: around(dice, head.leaseEpoch) }) }
    }
    if (kind < 23) return { kind: 'fence', minSegment: segmentIdFloor(this.#used.length + dice.roll(3) - 1) }
    if (kind < 25) return this.#lease(dice, head)
    if (kind < 27) {
      const from = around(dice, head.cleanedTo ?? 0)
      const to = dice.pick([from + 1, head.hw, head.hw, head.hw + 1, from, from - 1])
      const oldestSegment = dice.isLucky(4) ? segmentIdFloor(Math.max(0, this.#used.length - dice.roll(5))) : ''
      return { kind: 'clean', from, to, oldestSegment }
    }
    return dice.isLucky(2) ? { kind: 'mark-deleted' } : this.#lease(dice, head)
  }

  #append(dice: Dice, head: Head): HeadCommand {
    const count = dice.isLucky(1) ? chunksPerAppendMax : 1 + dice.roll(3)
    const chunks: AppendChunk[] = []
    for (let index = 0; index < count; index++) {
      const ref = this.#reference(dice, head)
      const producer = dice.isLucky(4) ? this.#producer(dice, head) : undefined
      if (chunks.some((chunk) => chunk.ref === ref)) continue
      if (producer !== undefined && chunks.some((chunk) => chunk.producer?.key === producer.key)) continue
      chunks.push({ ref, count: 1 + dice.roll(4), ...(producer && { producer }) })
    }
    this.#used.push(...chunks.map((chunk) => chunk.ref))
    const leads = head.lease?.isExclusive === true ? 8 : 1
    return {
      kind: 'append',
      chunks,
      seen: head.rolls - dice.pick([0, 0, 0, 0, 1, 1, 2, -1]),
      ...(dice.isLucky(2) && { expectedHw: around(dice, head.hw) }),
      ...(dice.isLucky(leads)
        ? { leaderEpoch: around(dice, head.leaseEpoch) }
        : dice.isLucky(5) && { leaseSeen: dice.isLucky(8) ? head.leaseEpoch : around(dice, head.leaseEpoch) }),
    }
  }

  #reference(dice: Dice, head: Head): ChunkReference {
    const known = dice.pick([Object.keys(head.tail), this.#used]) as ChunkReference[]
    if (dice.isLucky(1) && known.length > 0) return known[dice.roll(known.length)]!
    const serial = this.#used.length
    // An odd key is made fresh behind its oddness.
    if (dice.isLucky(2)) return `${dice.pick(oddKeys)}~${serial}.${dice.roll(99)}` as ChunkReference
    const segment = segmentIdFloor(Math.max(0, serial - dice.pick([0, 0, 0, 1, 5])))
    return `${segment}.${serial.toString(36)}.${(dice.roll(9) + 1).toString(36)}.${dice.pick(['-1', 'lxyz'])}` as ChunkReference
  }

  #producer(dice: Dice, head: Head): AppendProducer {
    const key = dice.pick(producerKeys)
    const first = dice.roll(5)
    const claim = { epoch: dice.roll(3), first, last: first + dice.roll(3) }
    const known = head.producers[key]
    const seen = dice.isLucky(8) ? known : dice.pick([undefined, state(dice)])
    if (dice.isLucky(3)) return { key, claim, home: 'item', seen: dice.pick([undefined, state(dice)]) }
    const carried = seen === undefined && dice.isLucky(4) ? state(dice) : undefined
    return { key, claim, home: 'head', seen, ...(carried && { carried }) }
  }

  #roll(dice: Dice, head: Head): HeadCommand {
    const refs = rollableEntries(head).map((entry) => entry.ref)
    const taken = refs.slice(0, dice.isLucky(7) ? refs.length : dice.roll(refs.length + 1))
    const odd = dice.isLucky(1) ? (['nobody knows this one'] as unknown as ChunkReference[]) : []
    return { kind: 'roll', generation: around(dice, head.rolls), refs: [...taken, ...odd] }
  }

  #evict(dice: Dice, head: Head): HeadCommand {
    const known = Object.keys(head.producers) as ProducerKey[]
    const producer = known[dice.roll(known.length + 1)] ?? dice.pick(producerKeys)
    const seen = dice.isLucky(8) ? head.producers[producer] : undefined
    return { kind: 'evict', producer, seen: seen ?? state(dice) }
  }

  #lease(dice: Dice, head: Head): HeadCommand {
    const owner = dice.isLucky(5) && head.lease !== undefined ? head.lease.owner : dice.pick(['ann', 'bob'])
    return {
      kind: 'lease',
      act: dice.pick(['take', 'take', 'renew', 'release']),
      claim: {
        owner,
        seenEpoch: around(dice, head.leaseEpoch),
        untilMs: dice.roll(5_000),
        isExclusive: dice.isLucky(3),
      },
    }
  }
}

/** Mostly the value itself. */
function around(dice: Dice, value: number): number {
  return value + dice.pick([0, 0, 0, 0, 0, 0, 0, -1, 1])
}

function state(dice: Dice): ProducerState {
  const batches = Array.from({ length: 1 + dice.roll(5) }, (_, index) => ({
    first: index * 2,
    last: index * 2 + 1,
    base: dice.roll(100),
  }))
  return { epoch: dice.roll(3), batches }
}

/** For a test of many commands: every refusal there is, to be crossed off. */
export const refusalReasons = [
  'no-head',
  'already-committed',
  'producer-changed',
  'deleted',
  'fenced-segment',
  'stale-leader',
  'stale-generation',
  'unexpected-offset',
  'tail-full',
  'superseded',
] as const
