import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { CompactionPolicy } from '../../lib/core/compaction-plan.ts'
import {
  isWorthCompacting,
  keepsRecord,
  passesAfter,
  passesMax,
  passesUpTo,
  planCompaction,
  rowsByWorth,
  tombstonesGoBelow,
} from '../../lib/core/compaction-plan.ts'
import type { CompactionItem, FinishedPass } from '../../lib/core/items.ts'
import type { StoredRow } from '../../lib/core/merge-plan.ts'
import { segmentIdFloor } from '../../lib/core/names.ts'
import { encodeReference } from '../../lib/core/reference.ts'
import { isStaleRow, rowThatCounts } from '../../lib/core/row.ts'

const nowMs = 1_000_000
const policy: CompactionPolicy = {
  keysMax: 1_000,
  quietMs: 100,
  minLagMs: 0,
  maxLagMs: Number.POSITIVE_INFINITY,
  minDirtyRatio: 0.5,
  deleteRetentionMs: 1_000,
}
const nothing: CompactionItem = { passes: [], cleanBytes: 0 }

interface RowWords {
  readonly cleanedTo?: number
  readonly bytes?: number
  readonly writtenMs?: number
  readonly maxTimestampMs?: number
}

function row(first: number, last: number, words: RowWords = {}): StoredRow {
  const { cleanedTo, bytes = 100, writtenMs = 0, maxTimestampMs = 10 } = words
  const segment = segmentIdFloor(writtenMs)
  const ref = encodeReference({ segment, position: 8, lengthBytes: bytes, maxTimestampMs })
  return {
    version: `${first}`,
    row: {
      first,
      last,
      chunks: bytes === 0 ? [] : [{ ref, base: first }],
      maxTimestampMs,
      maxTimestampSoFarMs: maxTimestampMs,
      isMerged: cleanedTo !== undefined,
      ...(cleanedTo === undefined ? {} : { cleanedTo }),
    },
  }
}

const counting = (rows: readonly StoredRow[], cleanedTo = 0) => rowsByWorth(rows, cleanedTo).counting
const plan = (rows: readonly StoredRow[], cleanedTo = 0, over: Partial<CompactionPolicy> = {}) =>
  planCompaction(counting(rows, cleanedTo), cleanedTo, { ...policy, ...over }, nowMs)
const isWorth = (
  rows: readonly StoredRow[],
  cleanedTo: number,
  item: CompactionItem,
  over: Partial<CompactionPolicy> = {},
) => {
  const own = { ...policy, ...over }
  return isWorthCompacting(plan(rows, cleanedTo, over), counting(rows, cleanedTo), item, cleanedTo, own, nowMs)
}

describe('the rows that count', () => {
  test('are those with the largest last at some offset, up to where a larger one begins', () => {
    const { counting: live, others } = rowsByWorth([row(0, 4), row(5, 9), row(3, 12), row(10, 14)], undefined)
    assert.deepEqual(
      live.map(({ row: { first }, end }) => [first, end]),
      [
        [0, 3],
        [3, 10],
        [10, 15],
      ],
    )
    assert.deepEqual(
      others.map(({ row: { first } }) => first),
      [5],
    )
  })

  test('agree at every offset with what a reader takes', () => {
    const run = fc.tuple(fc.nat({ max: 30 }), fc.nat({ max: 10 }), fc.option(fc.nat({ max: 20 })))
    fc.assert(
      fc.property(fc.array(run, { maxLength: 8 }), fc.nat({ max: 40 }), (runs, cleanedTo) => {
        const byLast = new Map<number, StoredRow>()
        for (const [first, length, more] of runs) {
          const last = first + length
          byLast.set(last, row(first, last, more === null ? {} : { cleanedTo: last + 1 + more }))
        }
        const rows = [...byLast.values()].sort((a, b) => a.row.last - b.row.last)
        const live = rowsByWorth(rows, cleanedTo).counting
        const seen = rows.map((stored) => stored.row).filter((one) => !isStaleRow(one, cleanedTo))
        for (let x = 0; x <= 40; x++) {
          const fromX = seen.filter((one) => one.last >= x)
          const choice = rowThatCounts(fromX, x, true, 'far')
          const found = live.find(({ row: one, end }) => one.first <= x && x < end)
          assert.equal(found?.row, choice.kind === 'found' ? choice.row : undefined, `offset ${x}`)
        }
      }),
    )
  })

  test('are not those that were put late over clean ones', () => {
    const rows = [row(0, 4), row(5, 9, { cleanedTo: 10 }), row(0, 11, { cleanedTo: 12 })]
    assert.deepEqual(
      rowsByWorth(rows, 12).others.map(({ row: { last } }) => last),
      [4, 9],
    )
  })

  test('do not let a cleaner row go that they cover: if they become stale, it counts', () => {
    const cleaner = row(10, 19, { cleanedTo: 40 })
    const { others } = rowsByWorth([cleaner, row(10, 29), row(30, 39, { cleanedTo: 40 })], 0)
    assert.deepEqual(others, [])
    const now = rowsByWorth([cleaner, row(10, 29, { cleanedTo: 40 }), row(30, 39, { cleanedTo: 40 })], 0)
    assert.deepEqual(now.others, [cleaner])
  })
})

describe('a pass', () => {
  test('begins where the last one ended, and ends before what is young', () => {
    const rows = [row(0, 9, { cleanedTo: 10 }), row(10, 19), row(20, 29), row(30, 39, { writtenMs: nowMs - 50 })]
    const { dirtyStart, end, dirtyBytes, isResumed } = plan(rows, 10)
    assert.deepEqual(
      { dirtyStart, end, dirtyBytes, isResumed },
      { dirtyStart: 10, end: 30, dirtyBytes: 200, isResumed: false },
    )
  })

  test('takes a row that a merge has just written: what it might tell of appends is lost', () => {
    const young = row(0, 9, { writtenMs: nowMs })
    assert.equal(plan([young]).end, 0)
    assert.equal(plan([{ ...young, row: { ...young.row, isMerged: true } }]).end, 10)
  })

  test('ends before records that are younger than min.compaction.lag.ms', () => {
    const rows = [row(0, 9), row(10, 19, { maxTimestampMs: nowMs - 400 }), row(20, 29)]
    assert.equal(plan(rows, 0, { minLagMs: 500 }).end, 10)
    assert.equal(plan(rows, 0, { minLagMs: 300 }).end, 30)
  })

  test('takes as many offsets as its map may hold, and at least one row', () => {
    const rows = [row(0, 9), row(10, 19), row(20, 29)]
    for (const [keysMax, end] of [
      [5, 10],
      [19, 10],
      [20, 20],
      [30, 30],
    ] as const)
      assert.equal(plan(rows, 0, { keysMax }).end, end)
  })

  test('begins lower where rows of before were put late over clean ones', () => {
    const rows = [row(0, 9, { cleanedTo: 30 }), row(10, 34), row(35, 39)]
    const { dirtyStart, end } = plan(rows, 30)
    assert.deepEqual([dirtyStart, end], [10, 40])
  })

  test('goes on to where one that was stopped wanted to come', () => {
    const rows = [row(0, 9), row(10, 19, { cleanedTo: 20 }), row(20, 29)]
    const { end, isResumed } = plan(rows)
    assert.deepEqual([end, isResumed], [20, true])
    assert.ok(isWorth(rows, 0, { passes: [], cleanBytes: 1_000_000 }))
  })

  test('does not end inside a row', () => {
    const rows = [row(0, 14), row(10, 19), row(20, 29, { writtenMs: nowMs })]
    assert.equal(plan(rows).end, 20)
    assert.equal(plan([row(0, 14), row(10, 19, { writtenMs: nowMs })]).end, 0)
  })
})

describe('a pass is worth it', () => {
  const rows = [row(0, 9, { cleanedTo: 10, bytes: 100 }), row(10, 19, { bytes: 100 })]

  test('from min.cleanable.dirty.ratio on', () => {
    assert.equal(isWorth(rows, 10, { ...nothing, cleanBytes: 100 }), true)
    assert.equal(isWorth(rows, 10, { ...nothing, cleanBytes: 101 }), false)
    assert.equal(isWorth(rows, 10, { ...nothing, cleanBytes: 900 }, { minDirtyRatio: 0.1 }), true)
    assert.equal(isWorth(rows, 10, { ...nothing, cleanBytes: 901 }, { minDirtyRatio: 0.1 }), false)
  })

  test('by all that is dirty, though the map has room for a part of it', () => {
    const many = Array.from({ length: 10 }, (_, index) => row(10 + index * 10, 19 + index * 10))
    const item = { ...nothing, cleanBytes: 900 }
    assert.equal(plan(many, 10, { keysMax: 10 }).end, 20)
    assert.equal(isWorth(many, 10, item, { keysMax: 10 }), true)
    assert.equal(isWorth(many.slice(0, 8), 10, item, { keysMax: 10 }), false)
  })

  test('not where nothing came, whatever the ratio', () => {
    assert.equal(isWorth([row(0, 9, { cleanedTo: 10 })], 10, nothing, { minDirtyRatio: 0 }), false)
    assert.equal(isWorth([], 0, nothing, { minDirtyRatio: 0 }), false)
  })

  test('when a record that is not clean becomes older than max.compaction.lag.ms', () => {
    const item = { ...nothing, cleanBytes: 1_000_000 }
    assert.equal(isWorth(rows, 10, item, { maxLagMs: nowMs - 10 }), false)
    assert.equal(isWorth(rows, 10, item, { maxLagMs: nowMs - 11 }), true)
  })

  test('when tombstones are due, once in delete.retention.ms', () => {
    const clean = [row(0, 9, { cleanedTo: 10 })]
    const item = (atMs: number, firstTombstone = 4): CompactionItem => ({
      passes: [{ to: 10, atMs }],
      cleanBytes: 100,
      firstTombstone,
    })
    assert.equal(isWorth(clean, 10, item(nowMs - 1_000)), true)
    assert.equal(isWorth(clean, 10, item(nowMs - 999)), false)
    assert.equal(isWorth(clean, 10, item(nowMs - 1_000, 10)), false)
    assert.equal(isWorth(clean, 10, { passes: [{ to: 10, atMs: 0 }], cleanBytes: 100 }), false)
    assert.equal(isWorth(clean, 10, item(0), { deleteRetentionMs: Number.POSITIVE_INFINITY }), false)
  })
})

describe('a record stays', () => {
  const key = Uint8Array.of(1)
  const record = (offset: number, isTombstone = false) => ({ offset, key, isTombstone })

  test('where it is the last of its key', () => {
    assert.equal(keepsRecord(record(5), undefined, 0), true)
    assert.equal(keepsRecord(record(5), 5, 0), true)
    assert.equal(keepsRecord(record(5), 6, 0), false)
  })

  test('not without a key', () => {
    assert.equal(keepsRecord({ ...record(5), key: null }, undefined, 0), false)
  })

  test('as a tombstone until its time has come', () => {
    assert.equal(keepsRecord(record(5, true), 5, 5), true)
    assert.equal(keepsRecord(record(5, true), 5, 6), false)
    assert.equal(keepsRecord(record(5), 5, 6), true)
  })
})

describe('tombstones go', () => {
  const passes: FinishedPass[] = [
    { to: 10, atMs: 100 },
    { to: 20, atMs: 200 },
  ]

  test('below what a pass had cleaned delete.retention.ms ago, and never beyond the dirty start', () => {
    assert.equal(tombstonesGoBelow(passes, 20, 1_000, 1_099), 0)
    assert.equal(tombstonesGoBelow(passes, 20, 1_000, 1_100), 10)
    assert.equal(tombstonesGoBelow(passes, 20, 1_000, 1_200), 20)
    assert.equal(tombstonesGoBelow(passes, 15, 1_000, 1_200), 15)
    assert.equal(tombstonesGoBelow(passes, 20, Number.POSITIVE_INFINITY, 1_200), 0)
  })

  test('later where rows of before came over clean ones', () => {
    assert.deepEqual(passesUpTo(passes, 15), [
      { to: 10, atMs: 100 },
      { to: 15, atMs: 200 },
    ])
    assert.deepEqual(passesUpTo(passes, 0), [])
  })

  test('though passes are more frequent than what is remembered: soon after their time, and never before', () => {
    const [everyMs, retentionMs] = [100, 10_000]
    let known: FinishedPass[] = []
    for (let pass = 1; pass <= 1_000; pass++) {
      const atMs = pass * everyMs
      known = passesAfter(known, { to: pass * 10, atMs }, retentionMs, atMs)
      assert.ok(known.length <= passesMax)
      const below = tombstonesGoBelow(known, pass * 10, retentionMs, atMs)
      const exact = Math.max(0, pass - retentionMs / everyMs) * 10
      assert.ok(below <= exact, `pass ${pass}: ${below} before ${exact}`)
      if (pass > 300) assert.ok(below >= exact - 300, `pass ${pass}: ${below} long after ${exact}`)
    }
  })
})
