/**
 * Histories of one head: commands made from what was seen at some time, delivered late, twice or never, in any order.
 * `decideHead` is the store; writers, rollers and evictions are the steps below. What must hold after every step is in
 * `World.apply`. The rules that a history needs are then switched off one by one: a property that holds without a rule
 * would not test it.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  type AppendChunk,
  type AppendCommand,
  type AppendProducer,
  decideHead,
  type Head,
  type HeadCommand,
  headProducersMax,
  newHead,
  rollableEntries,
  tailEntries,
  tailStart,
} from '../../lib/core/head.ts'
import { type ProducerKey, producerKeyOfId, segmentIdFloor, topicIdFromRandom } from '../../lib/core/names.ts'
import {
  isSameProducerState,
  judgeProducer,
  lastSequence,
  type ProducerClaim,
  type ProducerState,
  producerAfter,
  sequenceAfter,
} from '../../lib/core/producer.ts'
import { type ChunkReference, encodeReference } from '../../lib/core/reference.ts'
import { findInRows, type Row, rowThatCounts } from '../../lib/core/row.ts'

const topicId = topicIdFromRandom(new Uint8Array(16))

/** A head, and what was committed to it. */
class World {
  head = newHead({ topicId, partition: 0 })
  readonly commits = new Map<ChunkReference, { base: number; count: number }>()
  readonly rows = new Map<number, Row>()
  #references = 0

  freshReference(): ChunkReference {
    const segment = segmentIdFloor(this.#references++)
    return encodeReference({ segment, position: 8, lengthBytes: 61, maxTimestampMs: -1 })
  }

  /** Applies a command as the store does; true when it took effect. */
  apply(command: HeadCommand): boolean {
    const before = this.head
    const decision = decideHead(before, command)
    if (!decision.ok) return false
    const after = decision.next
    this.head = after
    if (command.kind === 'append')
      for (const { ref, count } of command.chunks) {
        assert.ok(!this.commits.has(ref), `H1: ${ref} is committed twice`)
        this.commits.set(ref, { base: after.tail[ref]!, count })
      }
    // H3
    for (const field of ['hw', 'start', 'rolls', 'boundary', 'leaseEpoch', 'producerFloor'] as const)
      assert.ok(after[field] >= before[field], `${field} went back`)
    assert.ok((after.cleanedTo ?? 0) >= (before.cleanedTo ?? 0), 'cleanedTo went back')
    assert.ok(after.minSegment >= before.minSegment && after.start <= after.hw && after.boundary <= after.hw)
    // The tail is contiguous up to hw, and holds each entry where it was committed.
    let end = tailStart(after)
    for (const entry of tailEntries(after)) {
      const commit = this.commits.get(entry.ref)
      assert.deepEqual([entry.base, entry.end], [end, commit!.base + commit!.count])
      end = entry.end
    }
    assert.equal(end, after.hw)
    return true
  }

  rowsFrom(offset: number): Row[] {
    return [...this.rows.values()].filter(({ last }) => last >= offset).sort((a, b) => a.last - b.last)
  }

  /** Below the tail every offset lies in a row, and a row that lists references lists the right ones. */
  checkRows(): void {
    for (const row of this.rows.values()) {
      if (row.isMerged) continue
      for (const { ref, base } of row.chunks) assert.equal(this.commits.get(ref)?.base, base)
    }
    for (let offset = 0; offset < tailStart(this.head); offset++)
      assert.equal(rowThatCounts(this.rowsFrom(offset), offset, true, 'far').kind, 'found', `offset ${offset} is lost`)
  }
}

describe('whenever appends are repeated, delayed or lost while rolls and merges interleave', () => {
  type Step =
    | { op: 'write'; counts: readonly number[] }
    | { op: 'deliver' | 'retry' | 'look' | 'merge'; pick: number }
    | { op: 'roll'; pick: number; cut: number }
    | { op: 'deliver-roll'; pick: number }

  const pick = fc.nat(1000)
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constant('write' as const),
        counts: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 }),
      }),
    },
    { weight: 6, arbitrary: fc.record({ op: fc.constant('deliver' as const), pick }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('retry' as const), pick }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('look' as const), pick }) },
    { weight: 4, arbitrary: fc.record({ op: fc.constant('roll' as const), pick, cut: fc.nat(4) }) },
    { weight: 4, arbitrary: fc.record({ op: fc.constant('deliver-roll' as const), pick }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('merge' as const), pick }) },
  )

  /** The rules that can be switched off to see the property fail. */
  interface Rules {
    readonly bound: boolean
    readonly generation: boolean
    readonly proof: boolean
  }

  interface Writer {
    readonly chunks: readonly AppendChunk[]
    /** hw when the writer read the head before its first attempt. */
    readonly from: number
    readonly attempts: AppendCommand[]
  }

  function run(steps: readonly Step[], rules: Rules): void {
    const world = new World()
    const writers: Writer[] = []
    const looks: Head[] = [world.head]
    const rolls: HeadCommand[] = []
    const picked = <T>(list: readonly T[], index: number): T | undefined => list[index % Math.max(1, list.length)]
    const attempt = (writer: Writer, seen: number) =>
      writer.attempts.push({ kind: 'append', chunks: writer.chunks, seen: rules.bound ? seen : 1e9 })

    for (const step of steps)
      switch (step.op) {
        case 'write': {
          const chunks = step.counts.map((count) => ({ ref: world.freshReference(), count }))
          const writer = { chunks, from: world.head.hw, attempts: [] }
          attempt(writer, world.head.rolls)
          writers.push(writer)
          break
        }
        case 'deliver': {
          const writer = picked(writers, step.pick)
          const command = writer && picked(writer.attempts, Math.floor(step.pick / 7))
          if (command !== undefined) world.apply(command)
          break
        }
        case 'retry': {
          // A writer that got no answer: it may take a newer `seen` only when absence is proved (R2).
          const writer = picked(writers, step.pick)
          if (writer === undefined) break
          const head = world.head
          const ref = writer.chunks[0]!.ref
          if (head.tail[ref] !== undefined) break
          const found = findInRows(world.rowsFrom(writer.from), ref, writer.from, tailStart(head))
          if (found.kind === 'absent') assert.ok(!world.commits.has(ref), 'R2: called absent, but committed')
          if (found.kind === 'absent' || !rules.proof) attempt(writer, head.rolls)
          break
        }
        case 'look':
          looks.push(world.head)
          break
        case 'roll': {
          const seen = step.pick % 3 === 0 ? picked(looks, step.pick)! : world.head
          const entries = rules.generation ? rollableEntries(seen) : tailEntries(seen)
          const kept = entries.slice(0, Math.max(1, entries.length - step.cut))
          const [first, last] = [kept[0], kept.at(-1)]
          if (first !== undefined && last !== undefined && !world.rows.has(last.end - 1))
            world.rows.set(last.end - 1, {
              first: first.base,
              last: last.end - 1,
              chunks: kept.map(({ ref, base }) => ({ ref, base })),
              maxTimestampMs: -1,
              maxTimestampSoFarMs: -1,
              isMerged: false,
            })
          rolls.push({ kind: 'roll', generation: seen.rolls, refs: kept.map(({ ref }) => ref) })
          break
        }
        case 'deliver-roll': {
          const command = step.pick % 3 === 0 ? picked(rolls, step.pick) : rolls.at(-1)
          if (command !== undefined) world.apply(command)
          break
        }
        case 'merge': {
          const rows = world.rowsFrom(0)
          const run = rows.slice(0, 1 + (step.pick % Math.max(1, rows.length)))
          const last = run.at(-1)
          const isWhole = run.every((row, index) => row.first <= (run[index - 1]?.last ?? -1) + 1)
          if (last === undefined || !isWhole || last.last >= tailStart(world.head)) break
          for (const row of run) world.rows.delete(row.last)
          world.rows.set(last.last, { ...last, first: 0, chunks: [], isMerged: true })
          break
        }
        default:
          step satisfies never
      }
    world.checkRows()
  }

  const steps = fc.array(step, { maxLength: 80, size: 'max' })
  const all: Rules = { bound: true, generation: true, proof: true }

  test('a reference commits at most once, and every offset keeps its place (H1, H3)', () => {
    fc.assert(
      fc.property(steps, (drawn) => run(drawn, all)),
      { numRuns: 2500 },
    )
  })

  for (const rule of ['bound', 'generation', 'proof'] as const)
    test(`which needs the rule of the ${rule}: without it a history commits twice`, () => {
      const without = fc.property(steps, (drawn) => run(drawn, { ...all, [rule]: false }))
      const found = fc.check(without, { numRuns: 20_000, seed: 1, endOnFailure: true })
      assert.ok(found.failed)
      assert.match(String(found.errorInstance), /H1: .* is committed twice/)
    })
})

describe('whenever producers are repeated, delayed, evicted or forgotten', () => {
  type Step =
    | { op: 'send'; producer: number; epochBump: number; back: number; count: number; prefersItem: boolean }
    | { op: 'deliver' | 'evict' | 'deliver-evict' | 'forget' | 'clear'; pick: number }

  const pick = fc.nat(1000)
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        op: fc.constant('send' as const),
        producer: fc.nat(2),
        epochBump: fc.constantFrom(0, 0, 0, 0, 0, 1),
        back: fc.constantFrom(0, 0, 0, 1, 2, 7),
        count: fc.integer({ min: 1, max: 3 }),
        prefersItem: fc.boolean(),
      }),
    },
    { weight: 8, arbitrary: fc.record({ op: fc.constant('deliver' as const), pick }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('evict' as const), pick }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('deliver-evict' as const), pick }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('forget' as const), pick }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('clear' as const), pick }) },
  )

  interface Rules {
    readonly floor: boolean
    readonly seen: boolean
  }

  /** A write to the head with what its transaction does to the producer's item. */
  interface Transaction {
    readonly command: AppendCommand
    readonly key: ProducerKey
    readonly claim: ProducerClaim
    /** The item's state that must be there; undefined: it must be absent. Not looked at with `itemAfter: 'same'`. */
    readonly itemBefore: ProducerState | undefined
    readonly itemAfter: ProducerState | 'deleted' | 'same'
  }

  function run(steps: readonly Step[], rules: Rules): void {
    const world = new World()
    const items = new Map<ProducerKey, ProducerState>()
    const sent: Transaction[] = []
    const evictions: { key: ProducerKey; seen: ProducerState }[] = []
    const histories = new Map<ProducerKey, { claim: ProducerClaim; base: number }[]>()
    const picked = <T>(list: readonly T[], index: number): T | undefined => list[index % Math.max(1, list.length)]

    const send = (step: Step & { op: 'send' }) => {
      const { head } = world
      const key = producerKeyOfId(step.producer)
      const history = histories.get(key) ?? []
      const newest = history.at(-1 - step.back) ?? history.at(-1)
      const epoch = (newest?.claim.epoch ?? 0) + step.epochBump
      const isNew = newest === undefined || step.epochBump > 0 || step.back === 7
      const first = isNew ? 0 : sequenceAfter(newest.claim.last)
      const claim = { epoch, first, last: lastSequence(first, step.count) }
      const inHead = head.producers[key]
      const inItem = items.get(key)
      assert.ok(inHead === undefined || inItem === undefined, `${key} is in the head and in an item`)
      const isBelowFloor = rules.floor && step.producer < head.producerFloor
      const judgement = judgeProducer(inHead ?? inItem, claim, isBelowFloor)
      if (judgement.kind === 'duplicate') {
        const original = history.find(({ base }) => base === judgement.base)
        assert.deepEqual(original?.claim, claim, 'P2: the offset of another batch')
      }
      if (judgement.kind !== 'next') return
      const home = inHead !== undefined ? 'head' : step.prefersItem ? 'item' : 'head'
      const producer: AppendProducer = {
        key,
        claim,
        home,
        seen: home === 'head' ? inHead : inItem,
        ...(home === 'head' && inHead === undefined && inItem !== undefined ? { carried: inItem } : {}),
      }
      const chunk: AppendChunk = { ref: world.freshReference(), count: step.count, producer }
      const command: AppendCommand = {
        kind: 'append',
        chunks: [chunk],
        seen: head.rolls,
        ...(home === 'item' ? { expectedHw: head.hw } : {}),
      }
      const itemAfter =
        home === 'item' ? producerAfter(inItem, claim, head.hw) : inHead !== undefined ? 'same' : 'deleted'
      sent.push({ command, key, claim, itemBefore: inItem, itemAfter })
    }

    /** Two of a late writer's checks, off when a rule is. */
    const weakened = (command: AppendCommand): AppendCommand => {
      const chunk = command.chunks[0]!
      const key = chunk.producer!.key
      if (rules.seen || chunk.producer!.home !== 'head') return command
      return { ...command, chunks: [{ ...chunk, producer: { ...chunk.producer!, seen: world.head.producers[key] } }] }
    }

    const deliver = ({ command, key, claim, itemBefore, itemAfter }: Transaction) => {
      if (itemAfter !== 'same' && !isSameProducerState(items.get(key), itemBefore)) return
      if (!world.apply(weakened(command))) return
      if (itemAfter === 'deleted') items.delete(key)
      else if (itemAfter !== 'same') items.set(key, itemAfter)
      const history = histories.get(key) ?? []
      const previous = history.at(-1)
      const follows =
        previous === undefined || claim.epoch > previous.claim.epoch ? 0 : sequenceAfter(previous.claim.last)
      assert.ok(claim.epoch >= (previous?.claim.epoch ?? 0), 'P3: an older epoch commits')
      assert.equal(claim.first, follows, 'P1: not consecutive')
      const base = world.commits.get(command.chunks[0]!.ref)!.base
      histories.set(key, [...history, { claim, base }])
      const state = world.head.producers[key] ?? items.get(key)
      assert.deepEqual(state?.batches.at(-1), { first: claim.first, last: claim.last, base })
    }

    for (const step of steps)
      switch (step.op) {
        case 'send':
          send(step)
          break
        case 'deliver': {
          const transaction = picked(sent, step.pick)
          if (transaction !== undefined) deliver(transaction)
          break
        }
        case 'evict': {
          const entry = picked(Object.entries(world.head.producers), step.pick)
          if (entry !== undefined) evictions.push({ key: entry[0] as ProducerKey, seen: entry[1] })
          break
        }
        case 'deliver-evict': {
          const eviction = picked(evictions, step.pick)
          if (eviction === undefined || items.has(eviction.key)) break
          if (world.apply({ kind: 'evict', producer: eviction.key, seen: eviction.seen }))
            items.set(eviction.key, eviction.seen)
          break
        }
        case 'forget':
          if (rules.floor) world.apply({ kind: 'forget', producerFloor: step.pick % 4 })
          break
        case 'clear': {
          // Only what lies below the floor may be cleared (P4).
          const key = picked([...items.keys()], step.pick)
          if (key !== undefined && (!rules.floor || Number(key) < world.head.producerFloor)) items.delete(key)
          break
        }
        default:
          step satisfies never
      }
    assert.ok(Object.keys(world.head.producers).length <= headProducersMax)
  }

  const steps = fc.array(step, { maxLength: 80, size: 'max' })

  test('a producer’s batches commit in sequence, each once, and a repeat gets its own offset (P1 to P4)', () => {
    fc.assert(
      fc.property(steps, (drawn) => run(drawn, { floor: true, seen: true })),
      { numRuns: 2500 },
    )
  })

  for (const rule of ['floor', 'seen'] as const)
    test(`which needs the rule of the ${rule}: without it a history is not consecutive`, () => {
      const without = fc.property(steps, (drawn) => run(drawn, { floor: true, seen: true, [rule]: false }))
      const found = fc.check(without, { numRuns: 20_000, seed: 1, endOnFailure: true })
      assert.ok(found.failed)
      assert.match(String(found.errorInstance), /P[123]: |in the head and in an item/)
    })
})
