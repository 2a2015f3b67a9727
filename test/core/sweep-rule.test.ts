import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Offset, SegmentId, TopicId } from '../../lib/core/names.ts'
import { segmentIdAt } from '../../lib/core/names.ts'
import { encodeReference } from '../../lib/core/reference.ts'
import type { Row } from '../../lib/core/row.ts'
import type { Named, NotedChunks } from '../../lib/core/sweep-rule.ts'
import { judgeSegment, rowIds, runsOfAll } from '../../lib/core/sweep-rule.ts'

const id = segmentIdAt(1_000, Math.random)
const other = segmentIdAt(2_000, Math.random)
const merged = (firstOffset: Offset, lastOffset: Offset) => ({
  merged: { topicId: 'topic' as TopicId, partition: 0, firstOffset, lastOffset },
})

function row(first: Offset, last: Offset, segment: SegmentId = other, cleanedTo?: Offset): Row {
  const ref = encodeReference({ segment, position: 8, lengthBytes: 100, maxTimestampMs: -1 })
  const chunks = [{ ref, base: first }]
  const times = { maxTimestampMs: -1, maxTimestampSoFarMs: -1 }
  return { first, last, chunks, ...times, isMerged: true, ...(cleanedTo === undefined ? {} : { cleanedTo }) }
}

function named(rows: readonly Row[], more: Partial<Named> = {}): Named {
  return { ids: new Set(rows.flatMap((row) => rowIds(row, false))), rows, start: 0, isDeleted: false, ...more }
}

describe('may a segment go', () => {
  test('what a tail or a row names is kept, whether or not the row counts (S2)', () => {
    assert.equal(judgeSegment(id, {}, named([], { ids: new Set([id]) })), 'kept')
    assert.equal(judgeSegment(id, {}, named([row(5, 9, id), row(0, 9)])), 'kept')
    assert.equal(judgeSegment(id, merged(5, 9), named([row(5, 9, id), row(0, 19)])), 'kept')
  })

  test('a gathered segment that nothing names is free', () => {
    assert.equal(judgeSegment(id, {}, named([row(0, 9)])), 'free')
  })

  test('of a deleted topic everything is free', () => {
    assert.equal(judgeSegment(id, merged(0, 9), named([row(0, 9, id)], { isDeleted: true })), 'free')
  })

  test('a merged segment that no row names is free when a larger row covers its run, and not when that only overlaps it (S3)', () => {
    assert.equal(judgeSegment(id, merged(5, 9), named([row(5, 10)])), 'free')
    assert.equal(judgeSegment(id, merged(5, 9), named([row(6, 10)])), 'kept')
    assert.equal(judgeSegment(id, merged(5, 9), named([])), 'kept')
  })

  test('a merged segment whose run lies below the log start is free, and not when it reaches to it', () => {
    assert.equal(judgeSegment(id, merged(5, 9), named([], { start: 10 })), 'free')
    assert.equal(judgeSegment(id, merged(5, 9), named([], { start: 9 })), 'kept')
  })

  test('where its own row reaches as far down as its run, that row is to be fenced first; where it does not, the segment waits (S3)', () => {
    const own = row(5, 9)
    assert.deepEqual(judgeSegment(id, merged(5, 9), named([own])), { kind: 'fence-row', row: own })
    assert.deepEqual(judgeSegment(id, merged(6, 9), named([own])), { kind: 'fence-row', row: own })
    assert.equal(judgeSegment(id, merged(4, 9), named([own])), 'kept')
  })

  test('a row that compaction left behind covers nothing, and is no row to fence: it goes without being covered (K2)', () => {
    assert.equal(judgeSegment(id, merged(5, 9), named([row(0, 19, other, 30)], { cleanedTo: 30 })), 'free')
    assert.equal(judgeSegment(id, merged(5, 9), named([row(0, 19)], { cleanedTo: 30 })), 'kept')
    assert.equal(judgeSegment(id, merged(5, 9), named([row(5, 9)], { cleanedTo: 30 })), 'kept')
  })
})

describe('do notes account for all chunks (S5)', () => {
  const noted = (first: Offset, last: Offset, chunks: number): NotedChunks => ({ first, last, chunks })

  test('one note that does is enough', () => {
    assert.deepEqual(runsOfAll([noted(0, 9, 1), noted(10, 19, 2)], 2), [noted(10, 19, 2)])
  })

  test('notes of runs that lie apart add up, those of overlapping runs do not', () => {
    assert.deepEqual(runsOfAll([noted(10, 19, 1), noted(0, 9, 1)], 2), [noted(0, 9, 1), noted(10, 19, 1)])
    assert.equal(runsOfAll([noted(0, 9, 1), noted(0, 9, 1)], 2), undefined)
    assert.equal(runsOfAll([noted(0, 9, 1), noted(9, 19, 1)], 2), undefined)
  })

  test('a chunk that nobody noted is waited for', () => {
    assert.equal(runsOfAll([], 1), undefined)
    assert.equal(runsOfAll([noted(0, 9, 2)], 3), undefined)
  })

  test('whatever was noted, of whichever runs, only all chunks account for all, and where they stood is told', () => {
    const offset = fc.integer({ min: 0, max: 30 })
    fc.assert(
      fc.property(
        fc.uniqueArray(offset, { minLength: 1, maxLength: 6 }),
        fc.array(fc.tuple(offset, offset), { maxLength: 8 }),
        (chunks, ranges) => {
          const notes = ranges.map(([a, b]) => {
            const [first, last] = [Math.min(a, b), Math.max(a, b)]
            return noted(first, last, chunks.filter((at) => at >= first && at <= last).length)
          })
          const runs = runsOfAll(notes, chunks.length)
          const isIn = (at: Offset) => runs?.some(({ first, last }) => at >= first && at <= last)
          if (runs !== undefined) assert.ok(chunks.every(isIn))
        },
      ),
    )
  })
})
