import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  type AppendChunk,
  type AppendCommand,
  type AppendProducer,
  decideHead,
  type Head,
  type HeadCommand,
  type HeadRefusal,
  newHead,
  rollableEntries,
  tailEntries,
  tailEntriesMax,
  tailEntriesToRoll,
  tailStart,
  wantsRoll,
} from '../../lib/core/head.ts'
import { isLeaseExpired, type Lease } from '../../lib/core/lease.ts'
import { producerKeyOfId, type SegmentId, segmentIdFloor, topicIdFromRandom } from '../../lib/core/names.ts'
import { type ProducerState, producerAfter } from '../../lib/core/producer.ts'
import { type ChunkReference, encodeReference } from '../../lib/core/reference.ts'

const topicId = topicIdFromRandom(new Uint8Array(16))
const fresh = newHead({ topicId, partition: 0 })

/** The reference of the chunk in the segment of that millisecond. */
function ref(ms: number): ChunkReference {
  return encodeReference({ segment: segmentIdFloor(ms), position: 8, lengthBytes: 61, maxTimestampMs: -1 })
}

function append(chunks: readonly AppendChunk[], over: Partial<AppendCommand> = {}): AppendCommand {
  return { kind: 'append', chunks, seen: 0, ...over }
}

function next(head: Head, command: HeadCommand): Head {
  const decision = decideHead(head, command)
  assert.ok(decision.ok, decision.ok ? '' : JSON.stringify(decision.refusal))
  return decision.next
}

function refused(head: Head | undefined, command: HeadCommand, refusal: HeadRefusal): void {
  assert.deepEqual(decideHead(head, command), { ok: false, refusal })
}

/** A head with this many commits of one record each, none rolled. */
function withTail(entries: number): Head {
  let head = fresh
  for (let ms = 0; ms < entries; ms++) head = next(head, append([{ ref: ref(ms), count: 1 }]))
  return head
}

describe('an append', () => {
  test('gets the next offset, and moves the high watermark by its records (H2)', () => {
    const head = next(next(fresh, append([{ ref: ref(1), count: 3 }])), append([{ ref: ref(2), count: 2 }]))
    assert.equal(head.hw, 5)
    assert.deepEqual(tailEntries(head), [
      { ref: ref(1), base: 0, end: 3 },
      { ref: ref(2), base: 3, end: 5 },
    ])
  })

  test('of several chunks gets consecutive offsets in one write', () => {
    const head = next(fresh, append([ref(2), ref(1), ref(3)].map((ref, index) => ({ ref, count: index + 1 }))))
    assert.deepEqual(
      tailEntries(head).map(({ ref, base }) => [ref, base]),
      [
        [ref(2), 0],
        [ref(1), 1],
        [ref(3), 3],
      ],
    )
    assert.equal(head.hw, 6)
  })

  test('leaves the head that it was judged by as it was', () => {
    const before = structuredClone(fresh)
    next(fresh, append([{ ref: ref(1), count: 1 }]))
    assert.deepEqual(fresh, before)
  })

  test('that is repeated is told where its first attempt was committed', () => {
    const head = next(withTail(2), append([{ ref: ref(7), count: 1 }]))
    refused(head, append([{ ref: ref(7), count: 1 }]), { reason: 'already-committed', ref: ref(7), base: 2 })
  })

  test('never makes a head', () => {
    refused(undefined, append([{ ref: ref(1), count: 1 }]), { reason: 'no-head' })
  })

  test('is refused when its topic is deleted', () => {
    refused(next(fresh, { kind: 'mark-deleted' }), append([{ ref: ref(1), count: 1 }]), { reason: 'deleted' })
  })

  test('may have seen the present roll or the one before, no older one (H1)', () => {
    const head: Head = { ...fresh, rolls: 5 }
    refused(head, append([{ ref: ref(1), count: 1 }], { seen: 3 }), { reason: 'stale-generation', rolls: 5 })
    next(head, append([{ ref: ref(1), count: 1 }], { seen: 4 }))
    next(head, append([{ ref: ref(1), count: 1 }], { seen: 5 }))
  })

  test('of a segment below the fence is refused, at and above it is not', () => {
    const head = next(fresh, { kind: 'fence', minSegment: segmentIdFloor(10) })
    const chunks = (ms: number) => [{ ref: ref(ms), count: 1 }]
    refused(head, append(chunks(9)), { reason: 'fenced-segment', minSegment: segmentIdFloor(10) })
    refused(head, append([...chunks(11), ...chunks(9)]), { reason: 'fenced-segment', minSegment: segmentIdFloor(10) })
    next(head, append(chunks(10)))
    next(head, append(chunks(11)))
  })

  test('that expects an end offset commits at that one only', () => {
    const head = withTail(3)
    for (const expectedHw of [2, 4])
      refused(head, append([{ ref: ref(9), count: 1 }], { expectedHw }), { reason: 'unexpected-offset', hw: 3 })
    next(head, append([{ ref: ref(9), count: 1 }], { expectedHw: 3 }))
    next(fresh, append([{ ref: ref(9), count: 1 }], { expectedHw: 0 }))
  })

  test(`is refused by a tail of ${tailEntriesMax} entries`, () => {
    const below = withTail(tailEntriesMax - 1)
    const full = next(below, append([{ ref: ref(100), count: 1 }]))
    assert.equal(Object.keys(full.tail).length, tailEntriesMax)
    refused(full, append([{ ref: ref(101), count: 1 }]), { reason: 'tail-full' })
    refused(below, append([ref(100), ref(101)].map((ref) => ({ ref, count: 1 }))), { reason: 'tail-full' })
  })

  test('is judged in the order that tells a repeat from a refusal', () => {
    const everything: Head = {
      ...withTail(tailEntriesMax),
      rolls: 9,
      isDeleted: true,
      minSegment: segmentIdFloor(1000),
      leaseEpoch: 3,
      producers: { [producerKeyOfId(1)]: producerAfter(undefined, { epoch: 0, first: 0, last: 0 }, 0) },
    }
    const producer: AppendProducer = {
      key: producerKeyOfId(1),
      claim: { epoch: 0, first: 0, last: 0 },
      home: 'head',
      seen: undefined,
    }
    const command = (ms: number) =>
      append([{ ref: ref(ms), count: 1, producer }], { seen: 0, expectedHw: 1, leaderEpoch: 2 })
    const reason = (head: Head, ms = 999) => {
      const decision = decideHead(head, command(ms))
      return decision.ok ? 'accepted' : decision.refusal.reason
    }
    assert.equal(reason(everything, 5), 'already-committed')
    const steps: [string, Partial<Head>][] = [
      ['producer-changed', { producers: {} }],
      ['deleted', { isDeleted: false }],
      ['fenced-segment', { minSegment: '' }],
      ['stale-leader', { leaseEpoch: 2 }],
      ['stale-generation', { rolls: 1 }],
      ['unexpected-offset', { hw: 1 }],
      ['tail-full', { tail: {} }],
    ]
    let head = everything
    for (const [expected, cure] of steps) {
      assert.equal(reason(head), expected)
      head = { ...head, ...cure }
    }
    assert.equal(reason(head), 'accepted')
  })
})

describe('an idempotent append', () => {
  const key = producerKeyOfId(7)
  const claim = { epoch: 0, first: 1, last: 2 }
  const state = producerAfter(undefined, { epoch: 0, first: 0, last: 0 }, 0)
  const other = producerAfter(undefined, { epoch: 0, first: 0, last: 0 }, 1)
  const by = (producer: AppendProducer) => append([{ ref: ref(5), count: 2, producer }])
  const changed: HeadRefusal = { reason: 'producer-changed', key }
  const known: Head = { ...withTail(1), producers: { [key]: state } }

  test('commits on what its writer saw, and is remembered with its offset', () => {
    const head = next(known, by({ key, claim, home: 'head', seen: state }))
    assert.deepEqual(head.producers[key], {
      epoch: 0,
      batches: [
        { first: 0, last: 0, base: 0 },
        { first: 1, last: 2, base: 1 },
      ],
    })
  })

  test('is refused when the partition remembers something else than the writer saw', () => {
    refused(known, by({ key, claim, home: 'head', seen: other }), changed)
    refused(known, by({ key, claim, home: 'head', seen: undefined }), changed)
    refused(fresh, by({ key, claim, home: 'head', seen: state }), changed)
  })

  test('moves its state into the head from its item', () => {
    const head = next(withTail(1), by({ key, claim, home: 'head', seen: undefined, carried: state }))
    assert.deepEqual(head.producers[key], producerAfter(state, claim, 1))
  })

  test('whose state is an item leaves no trace in the head, which must not know the producer', () => {
    assert.deepEqual(next(withTail(1), by({ key, claim, home: 'item', seen: state })).producers, {})
    refused(known, by({ key, claim, home: 'item', seen: state }), changed)
  })

  test('of an id below the floor is refused unless the partition knows the producer (P4)', () => {
    const first = { key, claim: { epoch: 0, first: 0, last: 0 }, seen: undefined }
    for (const home of ['head', 'item'] as const) {
      next({ ...fresh, producerFloor: 6 }, by({ ...first, home }))
      next({ ...fresh, producerFloor: 7 }, by({ ...first, home }))
      refused({ ...fresh, producerFloor: 8 }, by({ ...first, home }), changed)
    }
    next({ ...known, producerFloor: 8 }, by({ key, claim, home: 'head', seen: state }))
    next({ ...fresh, producerFloor: 8 }, by({ key, claim, home: 'head', seen: undefined, carried: state }))
    next({ ...fresh, producerFloor: 8 }, by({ key, claim, home: 'item', seen: state }))
  })

  test('under an idempotency key has no floor: keys do not come from a counter', () => {
    const keyed = { key: '~abc' as typeof key, claim: { epoch: 0, first: 0, last: 0 }, seen: undefined }
    next({ ...fresh, producerFloor: 8 }, by({ ...keyed, home: 'head' }))
  })

  test('of two producers in one write is refused whole when one of them changed', () => {
    const second = producerKeyOfId(8)
    const command = append([
      { ref: ref(5), count: 1, producer: { key, claim, home: 'head', seen: state } },
      { ref: ref(6), count: 1, producer: { key: second, claim, home: 'head', seen: state } },
    ])
    refused(known, command, { reason: 'producer-changed', key: second })
    const both: Head = { ...known, producers: { ...known.producers, [second]: state } }
    const head = next(both, command)
    assert.deepEqual(head.producers[second]?.batches.at(-1), { first: 1, last: 2, base: 2 })
  })
})

describe('a roll', () => {
  const { min, max, heavy, retry } = tailEntriesToRoll

  test(`is due at ${max} commits since the last one`, () => {
    assert.ok(!wantsRoll(withTail(max - 1)))
    assert.ok(wantsRoll(withTail(max)))
    assert.ok(wantsRoll(withTail(max + 1)))
  })

  test('is due earlier by what came while the last one was under way: as much will come again', () => {
    const entriesOf = (old: number) =>
      Array.from({ length: 20 }, (_, entries) => entries).find((entries) =>
        wantsRoll({ ...withTail(old + entries), boundary: old }),
      )
    assert.deepEqual([0, max, max + 1, max + 2, max + 9].map(entriesOf), [max, max, max - 1, max - 2, min])
  })

  test('is begun by the commit that comes to that number alone, and again some entries later, should its writer have died', () => {
    const begun = (added: number) =>
      Array.from({ length: max + 2 * retry + 1 }, (_, entries) => entries).filter((entries) =>
        wantsRoll(withTail(entries), added),
      )
    assert.deepEqual(begun(1), [max, max + retry, max + 2 * retry])
    // Of four entries at once, each of these may be the last.
    assert.deepEqual(
      begun(4).slice(0, 8),
      [0, 1, 2, 3, retry, retry + 1, retry + 2, retry + 3].map((more) => max + more),
    )
  })

  test(`is due earlier, from ${min} on, where producers or a lease leave less room for a tail in one write unit`, () => {
    const batches = Array.from({ length: 5 }, (_, index) => ({ first: index, last: index, base: index }))
    const entriesOf = (producers: number, lease?: Lease) =>
      Array.from({ length: 20 }, (_, entries) => entries).find((entries) =>
        wantsRoll({
          ...withTail(entries),
          producers: Object.fromEntries(
            Array.from({ length: producers }, (_, id) => [producerKeyOfId(id), { epoch: 0, batches }]),
          ),
          ...(lease === undefined ? {} : { lease }),
        }),
      )
    const lease = { owner: 'x'.repeat(36), epoch: 1, untilMs: 1, isExclusive: false }
    assert.deepEqual(
      [0, 1, 2].map((producers) => entriesOf(producers)),
      [max, max, 9],
    )
    assert.equal(entriesOf(3, lease), min)
    assert.equal(entriesOf(4, lease), heavy, 'two units in any case')
  })

  test('of a tail that was never rolled moves nothing, and counts', () => {
    const head = withTail(8)
    assert.deepEqual(rollableEntries(head), [])
    const rolled = next(head, { kind: 'roll', generation: 0, refs: [] })
    assert.deepEqual(rolled, { ...head, rolls: 1, boundary: 8 })
    assert.ok(!wantsRoll(rolled))
  })

  test('moves what was committed before the last one, so that it stayed a generation (H1)', () => {
    let head = next(withTail(8), { kind: 'roll', generation: 0, refs: [] })
    head = next(head, append([{ ref: ref(100), count: 5 }], { seen: 1 }))
    const movable = rollableEntries(head)
    assert.deepEqual(
      movable.map(({ ref }) => ref),
      [0, 1, 2, 3, 4, 5, 6, 7].map(ref),
    )
    const rolled = next(head, { kind: 'roll', generation: 1, refs: movable.map(({ ref }) => ref) })
    assert.deepEqual(rolled.tail, { [ref(100)]: 8 })
    assert.deepEqual([rolled.hw, rolled.boundary, rolled.rolls, tailStart(rolled)], [13, 13, 2, 8])
  })

  test('of another generation does nothing', () => {
    const head: Head = { ...withTail(3), rolls: 2 }
    for (const generation of [1, 3])
      refused(head, { kind: 'roll', generation, refs: [ref(0)] }, { reason: 'superseded' })
  })

  test('of everything leaves a tail that begins at the high watermark', () => {
    assert.equal(tailStart({ ...fresh, hw: 12 }), 12)
    assert.deepEqual(tailEntries({ ...fresh, hw: 12 }), [])
  })
})

describe('what only rises', () => {
  test('is the log start, up to the high watermark', () => {
    const head: Head = { ...withTail(5), start: 2 }
    for (const start of [1, 2, 6]) refused(head, { kind: 'trim', start }, { reason: 'superseded' })
    assert.equal(next(head, { kind: 'trim', start: 3 }).start, 3)
    assert.equal(next(head, { kind: 'trim', start: 5 }).start, 5)
  })

  test('is the fence of the sweep', () => {
    const head = next(fresh, { kind: 'fence', minSegment: segmentIdFloor(10) })
    for (const ms of [9, 10]) refused(head, { kind: 'fence', minSegment: segmentIdFloor(ms) }, { reason: 'superseded' })
    assert.equal(next(head, { kind: 'fence', minSegment: segmentIdFloor(11) }).minSegment, segmentIdFloor(11))
  })

  test('is how far key compaction came, by the pass that saw where the last one ended', () => {
    const head = withTail(5)
    assert.equal(head.cleanedTo, undefined)
    for (const [from, to] of [
      [0, 0],
      [0, 6],
      [1, 2],
    ] as const)
      refused(head, { kind: 'clean', from, to, oldestSegment: '' }, { reason: 'superseded' })
    const cleaned = next(head, { kind: 'clean', from: 0, to: 3, oldestSegment: '' })
    assert.equal(cleaned.cleanedTo, 3)
    for (const [from, to] of [
      [0, 4],
      [3, 3],
      [3, 2],
      [4, 5],
    ] as const)
      refused(cleaned, { kind: 'clean', from, to, oldestSegment: '' }, { reason: 'superseded' })
    assert.equal(next(cleaned, { kind: 'clean', from: 3, to: 5, oldestSegment: '' }).cleanedTo, 5)
  })

  test('is not how far compaction came that wrote segments below the fence', () => {
    const head = next(withTail(5), { kind: 'fence', minSegment: segmentIdFloor(10) })
    const clean = (oldestSegment: SegmentId) => ({ kind: 'clean', from: 0, to: 3, oldestSegment }) as const
    refused(head, clean(segmentIdFloor(9)), { reason: 'fenced-segment', minSegment: segmentIdFloor(10) })
    assert.equal(next(head, clean(segmentIdFloor(10))).cleanedTo, 3)
    assert.equal(next(withTail(5), clean(segmentIdFloor(0))).cleanedTo, 3)
  })

  test('is the floor of the producers', () => {
    const head = next(fresh, { kind: 'forget', producerFloor: 5 })
    for (const producerFloor of [4, 5]) refused(head, { kind: 'forget', producerFloor }, { reason: 'superseded' })
    assert.equal(next(head, { kind: 'forget', producerFloor: 6 }).producerFloor, 6)
  })

  test('is the mark of deletion, which also ends trims and leases but not the sweep', () => {
    const head = next({ ...fresh, hw: 5 }, { kind: 'mark-deleted' })
    refused(head, { kind: 'mark-deleted' }, { reason: 'deleted' })
    refused(head, { kind: 'trim', start: 1 }, { reason: 'deleted' })
    refused(head, { kind: 'clean', from: 0, to: 1, oldestSegment: '' }, { reason: 'deleted' })
    const claim = { owner: 'a', seenEpoch: 0, untilMs: 1, isExclusive: false }
    refused(head, { kind: 'lease', act: 'take', claim }, { reason: 'deleted' })
    next(head, { kind: 'fence', minSegment: segmentIdFloor(10) })
  })
})

describe('an eviction', () => {
  const key = producerKeyOfId(7)
  const state: ProducerState = producerAfter(undefined, { epoch: 0, first: 0, last: 0 }, 0)
  const head: Head = { ...fresh, producers: { [key]: state } }

  test('takes out the state that its writer saw', () => {
    assert.deepEqual(next(head, { kind: 'evict', producer: key, seen: state }).producers, {})
  })

  test('of a state that has gone on does nothing', () => {
    const seen = producerAfter(state, { epoch: 0, first: 1, last: 1 }, 1)
    refused(head, { kind: 'evict', producer: key, seen }, { reason: 'superseded' })
    refused(fresh, { kind: 'evict', producer: key, seen: state }, { reason: 'superseded' })
  })
})

describe('a lease', () => {
  const claim = (owner: string, seenEpoch: number, isExclusive = false) => ({
    owner,
    seenEpoch,
    untilMs: 1000,
    isExclusive,
  })
  const held = next(fresh, { kind: 'lease', act: 'take', claim: claim('a', 0) })

  test('is held up to and without its end', () => {
    const lease: Lease = { owner: 'a', epoch: 1, untilMs: 1000, isExclusive: false }
    assert.ok(!isLeaseExpired(lease, 999))
    assert.ok(isLeaseExpired(lease, 1000))
    assert.ok(isLeaseExpired(lease, 1001))
    assert.ok(isLeaseExpired(undefined, 0))
  })

  test('raises the epoch when it is taken, by whomever (L1)', () => {
    assert.equal(held.leaseEpoch, 1)
    assert.deepEqual(held.lease, { owner: 'a', epoch: 1, untilMs: 1000, isExclusive: false })
    for (const owner of ['a', 'b']) {
      const taken = next(held, { kind: 'lease', act: 'take', claim: claim(owner, 1) })
      assert.deepEqual([taken.leaseEpoch, taken.lease?.epoch, taken.lease?.owner], [2, 2, owner])
    }
  })

  test('is taken by one of two who saw the same', () => {
    const taken = next(held, { kind: 'lease', act: 'take', claim: claim('b', 1) })
    refused(taken, { kind: 'lease', act: 'take', claim: claim('c', 1) }, { reason: 'stale-leader', epoch: 2 })
  })

  test('is renewed by its owner in its epoch, which stays', () => {
    const renewed = next(held, { kind: 'lease', act: 'renew', claim: { ...claim('a', 1, true), untilMs: 2000 } })
    assert.deepEqual(renewed.lease, { owner: 'a', epoch: 1, untilMs: 2000, isExclusive: false }, 'as taken (L4)')
    assert.equal(renewed.leaseEpoch, 1)
    for (const act of ['renew', 'release'] as const) {
      refused(held, { kind: 'lease', act, claim: claim('b', 1) }, { reason: 'stale-leader', epoch: 1 })
      refused(held, { kind: 'lease', act, claim: claim('a', 0) }, { reason: 'stale-leader', epoch: 1 })
      refused(fresh, { kind: 'lease', act, claim: claim('a', 0) }, { reason: 'stale-leader', epoch: 0 })
    }
  })

  test('that is released leaves its epoch behind, so that the next one’s is larger', () => {
    const released = next(held, { kind: 'lease', act: 'release', claim: claim('a', 1) })
    assert.equal(released.lease, undefined)
    assert.ok(!('lease' in released))
    assert.equal(released.leaseEpoch, 1)
    refused(released, { kind: 'lease', act: 'renew', claim: claim('a', 1) }, { reason: 'stale-leader', epoch: 1 })
    assert.equal(next(released, { kind: 'lease', act: 'take', claim: claim('b', 1) }).leaseEpoch, 2)
  })

  test('that was taken over refuses what the old leader writes as one (L2)', () => {
    const taken = next({ ...held, hw: 5 }, { kind: 'lease', act: 'take', claim: claim('b', 1) })
    const stale: HeadRefusal = { reason: 'stale-leader', epoch: 2 }
    refused(taken, append([{ ref: ref(1), count: 1 }], { leaderEpoch: 1 }), stale)
    refused(taken, { kind: 'trim', start: 1, leaderEpoch: 1 }, stale)
    next(taken, append([{ ref: ref(1), count: 1 }], { leaderEpoch: 2 }))
    next(taken, { kind: 'trim', start: 1, leaderEpoch: 2 })
    next(taken, append([{ ref: ref(1), count: 1 }]))
    next(taken, { kind: 'trim', start: 1 })
  })

  test('that is exclusive refuses appends without its epoch, until it is taken over or released (L3)', () => {
    const exclusive = next(fresh, { kind: 'lease', act: 'take', claim: claim('a', 0, true) })
    const anyone = append([{ ref: ref(1), count: 1 }])
    refused(exclusive, anyone, { reason: 'stale-leader', epoch: 1 })
    next(exclusive, append([{ ref: ref(1), count: 1 }], { leaderEpoch: 1 }))
    next(next(exclusive, { kind: 'lease', act: 'take', claim: claim('b', 1) }), anyone)
    next(next(exclusive, { kind: 'lease', act: 'release', claim: claim('a', 1) }), anyone)
    refused(next(exclusive, { kind: 'lease', act: 'renew', claim: claim('a', 1) }), anyone, {
      reason: 'stale-leader',
      epoch: 1,
    })
  })

  test('refuses for good an append that was sent before it was taken (L4)', () => {
    const sent = append([{ ref: ref(1), count: 1 }], { leaseSeen: 1 })
    const exclusive = next(held, { kind: 'lease', act: 'take', claim: claim('b', 1, true) })
    const released = next(exclusive, { kind: 'lease', act: 'release', claim: claim('b', 2) })
    next(held, sent)
    for (const head of [exclusive, released]) refused(head, sent, { reason: 'stale-leader', epoch: 2 })
  })
})
