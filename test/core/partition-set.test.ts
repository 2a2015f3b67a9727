import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { TopicId } from '../../lib/core/names.ts'
import {
  countPartitions,
  emptyPartitionSet,
  formatPartitionSet,
  hasPartition,
  isEqualSet,
  minus,
  parsePartitionSet,
  partitionSet,
  partitionsOf,
  union,
} from '../../lib/core/partition-set.ts'
import { set, show } from './group-fixture.ts'

const entries = fc.array(
  fc.tuple(
    fc.constantFrom('t', 'u', '7').map((id) => id as TopicId),
    fc.integer({ min: 0, max: 12 }),
  ),
  { maxLength: 40 },
)
const keys = (list: Iterable<readonly [TopicId, number]>) =>
  new Set([...list].map(([id, partition]) => `${id}/${partition}`))

describe('a set of partitions', () => {
  it('as text is ascending runs, however it was put together', () => {
    const made = partitionSet([9, 1, 3, 0, 2, 7, 3].map((partition) => ['t' as TopicId, partition] as const))
    assert.deepEqual(formatPartitionSet(made), { t: '0-3,7,9' })
    assert.deepEqual(parsePartitionSet({ t: '0-3,7,9' }), made)
    assert.deepEqual(formatPartitionSet(emptyPartitionSet), {})
    const thousand = partitionSet(Array.from({ length: 1_000 }, (_, partition) => ['t' as TopicId, partition] as const))
    assert.deepEqual(formatPartitionSet(thousand), { t: '0-999' })
  })

  it('is empty only where nothing is in it', () => {
    assert.equal(isEqualSet(minus(set('t/0 u/1'), set('u/1 t/0')), emptyPartitionSet), true)
    assert.equal(minus(set('t/0'), set('t/0')).size, 0)
    assert.equal(countPartitions(emptyPartitionSet), 0)
  })

  it('behaves as a set', () => {
    fc.assert(
      fc.property(entries, entries, (a, b) => {
        const [left, right] = [partitionSet(a), partitionSet(b)]
        const [inA, inB] = [keys(a), keys(b)]
        assert.deepEqual(keys(partitionsOf(left)), inA)
        assert.deepEqual(keys(partitionsOf(union(left, right))), new Set([...inA, ...inB]))
        assert.deepEqual(keys(partitionsOf(minus(left, right))), new Set([...inA].filter((key) => !inB.has(key))))
        assert.equal(countPartitions(left), inA.size)
        assert.equal(isEqualSet(left, right), inA.size === inB.size && [...inA].every((key) => inB.has(key)))
        for (const [id, partition] of b) assert.equal(hasPartition(left, id, partition), inA.has(`${id}/${partition}`))
        for (const made of [left, union(left, right), minus(left, right)])
          for (const partitions of made.values()) {
            assert.ok(partitions.length > 0)
            assert.deepEqual(
              partitions,
              partitions.toSorted((x, y) => x - y),
            )
          }
      }),
    )
  })

  it('is the same again as text', () => {
    fc.assert(
      fc.property(entries, (list) => {
        const made = partitionSet(list)
        const text = JSON.parse(JSON.stringify(formatPartitionSet(made)))
        assert.ok(isEqualSet(parsePartitionSet(text), made), show(made))
      }),
    )
  })
})
