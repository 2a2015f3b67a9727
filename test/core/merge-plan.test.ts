import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { MergePolicy, StoredRow } from '../../lib/core/merge-plan.ts'
import { MergePlanner, rowBytes } from '../../lib/core/merge-plan.ts'
import type { EpochMs } from '../../lib/core/names.ts'
import { segmentIdAt } from '../../lib/core/names.ts'
import { encodeReference } from '../../lib/core/reference.ts'

const policy: MergePolicy = { rowsMin: 3, bytesMin: 10_000, bytesMax: 1_000, quietMs: 100 }
const nowMs = 1_000_000

interface RowOptions {
  readonly bytes?: number
  readonly isMerged?: boolean
  readonly writtenMs?: EpochMs
}

function stored(
  first: number,
  last: number,
  { bytes = 100, isMerged = false, writtenMs = 0 }: RowOptions = {},
): StoredRow {
  const segment = segmentIdAt(writtenMs, () => 0.5)
  const ref = encodeReference({ segment, position: 8, lengthBytes: bytes, maxTimestampMs: -1 })
  const times = { maxTimestampMs: -1, maxTimestampSoFarMs: -1 }
  return { version: `${first}`, row: { first, last, chunks: [{ ref, base: first }], isMerged, ...times } }
}

/** Rows newest first, until no more are wanted. */
function planOf(rows: readonly StoredRow[], changes: Partial<MergePolicy> = {}) {
  const planner = new MergePlanner({ ...policy, ...changes }, nowMs)
  let taken = 0
  for (const row of rows) {
    taken++
    if (!planner.take(row)) break
  }
  const run = planner.plan()?.run.map(({ row }) => `${row.first}-${row.last}`)
  return { run, taken, shadowed: planner.shadowed.map(({ row }) => `${row.first}-${row.last}`) }
}

const fresh = (count: number, options: RowOptions = {}) =>
  Array.from({ length: count }, (_, index) => stored((count - 1 - index) * 10, (count - index) * 10 - 1, options))

describe('a merge plan', () => {
  test('is there from so many rows on that were not merged yet', () => {
    assert.equal(planOf(fresh(2)).run, undefined)
    assert.deepEqual(planOf(fresh(3)).run, ['0-9', '10-19', '20-29'])
  })

  test('is there from so many bytes on, though the rows are few', () => {
    assert.equal(planOf(fresh(2, { bytes: 299 }), { bytesMin: 600 }).run, undefined)
    assert.deepEqual(planOf(fresh(2, { bytes: 300 }), { bytesMin: 600 }).run, ['0-9', '10-19'])
  })

  test('leaves out the newest rows that are too young, and nothing older than them (U1)', () => {
    const young = stored(30, 39, { writtenMs: nowMs - 99 })
    const old = stored(40, 49, { writtenMs: nowMs - 100 })
    assert.deepEqual(planOf([young, ...fresh(3)]).run, ['0-9', '10-19', '20-29'])
    assert.deepEqual(planOf([old, stored(30, 39), ...fresh(3)]).run, ['0-9', '10-19', '20-29', '30-39', '40-49'])
  })

  test('takes a merged row along when there is as much beside it, and not before (U2)', () => {
    const rows = (bytes: number) => [
      stored(130, 139),
      stored(120, 129),
      stored(110, 119),
      stored(0, 109, { bytes, isMerged: true }),
    ]
    assert.deepEqual(planOf(rows(300)).run, ['0-109', '110-119', '120-129', '130-139'])
    assert.deepEqual(planOf(rows(301)).run, ['110-119', '120-129', '130-139'])
  })

  test('makes no segment larger than it may be: a backlog is merged from its old end', () => {
    const { run } = planOf(fresh(12))
    assert.deepEqual(
      run,
      fresh(10)
        .reverse()
        .map(({ row }) => `${row.first}-${row.last}`),
    )
  })

  test('leaves rows that a later one covers for deletion (U3)', () => {
    const planned = planOf([stored(0, 29, { bytes: 900, isMerged: true }), stored(10, 19), stored(0, 9)])
    assert.deepEqual(planned.shadowed, ['10-19', '0-9'])
    assert.equal(planned.run, undefined)
  })

  test('ends at a gap', () => {
    assert.deepEqual(planOf([stored(50, 59), stored(40, 49), stored(30, 39), stored(0, 9)]).run, [
      '30-39',
      '40-49',
      '50-59',
    ])
  })

  test('looks no further than one row behind a full segment', () => {
    const full = stored(0, 99, { bytes: 1_000, isMerged: true })
    const before = [full, stored(-10, -1, { isMerged: true })]
    const rows = [stored(120, 129), stored(110, 119), stored(100, 109), ...before]
    assert.equal(planOf([...rows, stored(-20, -11)]).taken, 5)
  })

  test('is a contiguous run within its bounds, whatever rows there are', () => {
    const row = fc.record({
      bytes: fc.integer({ min: 1, max: 700 }),
      isMerged: fc.boolean(),
      length: fc.integer({ min: 1, max: 9 }),
      isYoung: fc.boolean(),
      gap: fc.constantFrom(0, 0, 0, 5),
    })
    fc.assert(
      fc.property(fc.array(row, { maxLength: 30 }), (shapes) => {
        let at = 0
        const rows = shapes.map(({ bytes, isMerged, length, isYoung, gap }) => {
          const first = at + gap
          at = first + length
          return stored(first, at - 1, { bytes, isMerged, writtenMs: isYoung ? nowMs : 0 })
        })
        const planner = new MergePlanner(policy, nowMs)
        for (const one of [...rows].reverse()) if (!planner.take(one)) break
        const run = planner.plan()?.run ?? []
        for (const [index, { row: one }] of run.entries())
          if (index > 0) assert.equal(one.first, run[index - 1]!.row.last + 1)
        const bytes = run.reduce((sum, one) => sum + rowBytes(one.row), 0)
        assert.ok(bytes <= policy.bytesMax)
        assert.ok(run.length === 0 || run.length >= 2)
      }),
    )
  })
})
