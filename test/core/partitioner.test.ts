import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  murmur2,
  partitionForKey,
  type RoundRobinState,
  roundRobinNext,
  type StickyState,
  stickyNext,
} from '../../lib/core/partitioner.ts'

const text = (value: string) => new TextEncoder().encode(value)

test("a key's hash is the one of Kafka's own clients", () => {
  const kafkasUtilsTest: [string, number][] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ]
  for (const [key, hash] of kafkasUtilsTest) assert.equal(murmur2(text(key)), hash, key)
})

test('a key always goes to the same one of the partitions there are', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.integer({ min: 1, max: 10_000 }), (key, partitions) => {
      const partition = partitionForKey(key, partitions)
      assert.ok(Number.isInteger(partition) && partition >= 0 && partition < partitions)
      assert.equal(partition, partitionForKey(Uint8Array.from(key), partitions))
    }),
  )
  assert.equal(partitionForKey(text('foobar'), 1), 0)
  // A negative hash loses its sign bit, it is not negated.
  assert.equal(partitionForKey(text('foobar'), 1000), (-790332482 & 0x7fffffff) % 1000)
})

test('records without a key stay on one partition until the sticky size was appended, then move to another', () => {
  const options = { stickyBytes: 100, random: () => 0.5 }
  let state: StickyState | undefined
  const partitions: number[] = []
  for (let record = 0; record < 9; record++) {
    state = stickyNext(state, 40, 4, options)
    partitions.push(state.partition)
  }
  assert.deepEqual(partitions, [2, 2, 2, 1, 1, 1, 2, 2, 2])
})

test('the sticky partitioner moves at the sticky size, not one byte before', () => {
  const options = { stickyBytes: 100, random: () => 0 }
  const at = (bytes: number) => stickyNext({ partition: 0, appendedBytes: bytes }, 1, 2, options).partition
  assert.deepEqual([at(99), at(100), at(101)], [0, 1, 1])
})

test('every other partition can be the next, the present one cannot, and a lone partition stays', () => {
  const moved = (random: number) =>
    stickyNext({ partition: 1, appendedBytes: 9 }, 1, 4, { stickyBytes: 9, random: () => random }).partition
  assert.deepEqual([moved(0), moved(0.34), moved(0.67), moved(0.999_999)], [0, 2, 3, 3])
  const alone = { partition: 0, appendedBytes: 9 }
  assert.equal(stickyNext(alone, 1, 1, { stickyBytes: 9, random: () => 0.99 }).partition, 0)
})

test('a sticky partition that is no longer there is left', () => {
  const state = stickyNext({ partition: 7, appendedBytes: 0 }, 5, 3, { stickyBytes: 9, random: () => 0.99 })
  assert.deepEqual(state, { partition: 2, appendedBytes: 5 })
})

test('the round-robin partitioner takes each partition in turn, from 0', () => {
  let state: RoundRobinState | undefined
  const partitions: number[] = []
  for (let record = 0; record < 5; record++) {
    state = roundRobinNext(state, 3)
    partitions.push(state.partition)
  }
  assert.deepEqual(partitions, [0, 1, 2, 0, 1])
  assert.equal(roundRobinNext({ partition: 7 }, 3).partition, 2)
})
