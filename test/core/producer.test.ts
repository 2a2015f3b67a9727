import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  isSameProducerState,
  judgeProducer,
  lastSequence,
  type ProducerClaim,
  type ProducerState,
  producerAfter,
  rememberedBatchesMax,
  sequenceAfter,
  sequenceMax,
} from '../../lib/core/producer.ts'

/** The state after these batches (first and last sequence), each committed at ten times its number. */
function stateOf(epoch: number, ...batches: readonly (readonly [number, number])[]): ProducerState {
  let state: ProducerState | undefined
  for (const [index, [first, last]] of batches.entries())
    state = producerAfter(state, { epoch, first, last }, index * 10)
  assert.ok(state !== undefined)
  return state
}

const claim = (epoch: number, first: number, last = first): ProducerClaim => ({ epoch, first, last })

describe('a sequence', () => {
  test('goes on with 0 after 2^31 - 1', () => {
    assert.equal(sequenceAfter(sequenceMax - 1), sequenceMax)
    assert.equal(sequenceAfter(sequenceMax), 0)
    assert.equal(sequenceAfter(sequenceMax, 3), 2)
    assert.equal(lastSequence(5, 1), 5)
    assert.equal(lastSequence(sequenceMax - 1, 2), sequenceMax)
    assert.equal(lastSequence(sequenceMax - 1, 3), 0)
  })
})

describe('a producer that a partition does not know', () => {
  test('begins with sequence 0 (P1)', () => {
    assert.deepEqual(judgeProducer(undefined, claim(0, 0, 9), false), { kind: 'next' })
    assert.deepEqual(judgeProducer(undefined, claim(7, 0), false), { kind: 'next' })
  })

  test('that begins elsewhere has a gap, and is told to begin with 0', () => {
    assert.deepEqual(judgeProducer(undefined, claim(0, 1), false), { kind: 'gap', expected: 0 })
    assert.deepEqual(judgeProducer(undefined, claim(0, sequenceMax), false), { kind: 'gap', expected: 0 })
  })

  test('but may have forgotten is refused, whatever its sequence (P4)', () => {
    for (const first of [0, 1, sequenceMax])
      assert.deepEqual(judgeProducer(undefined, claim(0, first), true), { kind: 'unknown' })
  })
})

describe('a producer that a partition knows', () => {
  const state = stateOf(3, [0, 4], [5, 5], [6, 9])

  test('goes on where its last batch ended (P1)', () => {
    assert.deepEqual(judgeProducer(state, claim(3, 10, 12), false), { kind: 'next' })
  })

  test('is not forgotten, even below the floor', () => {
    assert.deepEqual(judgeProducer(state, claim(3, 10), true), { kind: 'next' })
  })

  test('gets the first answer to a repeat (P2)', () => {
    assert.deepEqual(judgeProducer(state, claim(3, 0, 4), false), { kind: 'duplicate', base: 0 })
    assert.deepEqual(judgeProducer(state, claim(3, 5, 5), false), { kind: 'duplicate', base: 10 })
    assert.deepEqual(judgeProducer(state, claim(3, 6, 9), false), { kind: 'duplicate', base: 20 })
  })

  test('with a gap is told the sequence that is expected', () => {
    assert.deepEqual(judgeProducer(state, claim(3, 11), false), { kind: 'gap', expected: 10 })
  })

  test('that repeats another cut of what it sent gets no offset, since none would be right', () => {
    for (const cut of [claim(3, 0, 3), claim(3, 1, 4), claim(3, 0, 9), claim(3, 9, 12)])
      assert.deepEqual(judgeProducer(state, cut, false), { kind: 'duplicate-forgotten', lastSequence: 9 })
  })

  test('never commits in an older epoch, not even a repeat (P3)', () => {
    for (const first of [0, 10])
      assert.deepEqual(judgeProducer(state, claim(2, first), false), { kind: 'fenced', epoch: 3 })
    assert.deepEqual(judgeProducer(state, claim(2, 0, 4), false), { kind: 'fenced', epoch: 3 })
  })

  test('begins a newer epoch with sequence 0', () => {
    assert.deepEqual(judgeProducer(state, claim(4, 0), false), { kind: 'next' })
    assert.deepEqual(judgeProducer(state, claim(4, 10), false), { kind: 'gap', expected: 0 })
  })

  test('is remembered with nothing of its older epochs', () => {
    assert.deepEqual(producerAfter(state, claim(4, 0, 1), 99), { epoch: 4, batches: [{ first: 0, last: 1, base: 99 }] })
  })
})

describe(`the last ${rememberedBatchesMax} batches`, () => {
  const batches = [0, 1, 2, 3, 4, 5].map((first) => [first, first] as const)

  test('are remembered, and not one more', () => {
    for (const count of [rememberedBatchesMax - 1, rememberedBatchesMax, rememberedBatchesMax + 1]) {
      const state = stateOf(0, ...batches.slice(0, count))
      assert.equal(state.batches.length, Math.min(count, rememberedBatchesMax))
      for (let first = 0; first < count; first++) {
        const isForgotten = first < count - rememberedBatchesMax
        const expected = isForgotten
          ? { kind: 'duplicate-forgotten', lastSequence: count - 1 }
          : { kind: 'duplicate', base: first * 10 }
        assert.deepEqual(judgeProducer(state, claim(0, first), false), expected)
      }
    }
  })
})

describe('across the end of the sequences', () => {
  const state = stateOf(0, [sequenceMax - 3, sequenceMax - 2], [sequenceMax - 1, 1])

  test('a producer goes on', () => {
    assert.deepEqual(judgeProducer(state, claim(0, 2), false), { kind: 'next' })
    assert.deepEqual(judgeProducer(stateOf(0, [5, sequenceMax]), claim(0, 0), false), { kind: 'next' })
  })

  test('a repeat is known', () => {
    assert.deepEqual(judgeProducer(state, claim(0, sequenceMax - 1, 1), false), { kind: 'duplicate', base: 10 })
  })

  test('behind and ahead are told by the nearer way round', () => {
    assert.equal(judgeProducer(state, claim(0, sequenceMax - 4), false).kind, 'duplicate-forgotten')
    assert.equal(judgeProducer(state, claim(0, 3), false).kind, 'gap')
    const half = (sequenceMax + 1) / 2
    assert.equal(judgeProducer(stateOf(0, [0, 0]), claim(0, half), false).kind, 'gap')
    assert.equal(judgeProducer(stateOf(0, [0, half - 1]), claim(0, 1), false).kind, 'duplicate-forgotten')
  })
})

describe('two states', () => {
  test('are the same when they remember the same', () => {
    const one = stateOf(1, [0, 1], [2, 2])
    assert.ok(isSameProducerState(undefined, undefined))
    assert.ok(isSameProducerState(one, structuredClone(one)))
    const others: (ProducerState | undefined)[] = [
      undefined,
      { ...one, epoch: 2 },
      stateOf(1, [0, 1]),
      stateOf(1, [0, 1], [2, 2], [3, 3]),
      stateOf(1, [0, 1], [2, 3]),
      stateOf(1, [0, 0], [2, 2]),
      {
        epoch: 1,
        batches: [
          { first: 0, last: 1, base: 0 },
          { first: 2, last: 2, base: 11 },
        ],
      },
    ]
    for (const other of others) {
      assert.ok(!isSameProducerState(one, other))
      assert.ok(!isSameProducerState(other, one))
    }
  })
})

describe('whatever a producer sends, repeats or loses', () => {
  test('what commits is consecutive in its epoch, and a repeat of the last five gets its first offset', () => {
    const step = fc.record({
      epochBump: fc.constantFrom(0, 0, 0, 0, 1, -1),
      jump: fc.constantFrom(0, 0, 0, 0, 1, -1, -3, 1000),
      count: fc.integer({ min: 1, max: 4 }),
      repeat: fc.nat(6),
    })
    const start = fc.constantFrom(0, sequenceMax - 5)
    const property = fc.property(start, fc.array(step, { maxLength: 60 }), (origin, steps) => {
      let state: ProducerState | undefined
      let epoch = 0
      let hw = 0
      let committed: (ProducerClaim & { base: number })[] = []
      if (origin > 0) {
        committed = [{ ...claim(0, 0, origin - 1), base: 0 }]
        state = producerAfter(undefined, committed[0]!, 0)
        hw = origin
      }
      for (const { epochBump, jump, count, repeat } of steps) {
        epoch = Math.max(0, epoch + epochBump)
        const previous = committed.at(-1)
        const follows = previous === undefined || previous.epoch !== epoch ? 0 : sequenceAfter(previous.last)
        const first = sequenceAfter(follows, jump < 0 ? sequenceMax + 1 + jump : jump)
        const attempt = { epoch, first, last: lastSequence(first, count) }
        const judgement = judgeProducer(state, attempt, false)
        if (judgement.kind === 'next') {
          if (previous !== undefined && previous.epoch === epoch) assert.equal(first, sequenceAfter(previous.last))
          else assert.equal(first, 0)
          assert.ok(previous === undefined || epoch >= previous.epoch)
          state = producerAfter(state, attempt, hw)
          committed.push({ ...attempt, base: hw })
          hw += count
        }
        const again = committed.at(-1 - repeat)
        const newest = committed.at(-1)
        if (again === undefined || newest === undefined) continue
        const answer = judgeProducer(state, again, true)
        if (again.epoch < newest.epoch) assert.deepEqual(answer, { kind: 'fenced', epoch: newest.epoch })
        else if (repeat < rememberedBatchesMax) assert.deepEqual(answer, { kind: 'duplicate', base: again.base })
        else assert.equal(answer.kind, 'duplicate-forgotten')
      }
    })
    fc.assert(property, { numRuns: 300 })
  })
})
