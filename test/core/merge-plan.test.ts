import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { MergePolicy, StoredRow } from '../../lib/core/merge-plan.ts'
import { MergePlanner, rowBytes } from '../../lib/core/merge-plan.ts'
import type { EpochMs } from '../../lib/core/names.ts'
import { segmentIdAt } from '../../lib/core/names.ts'
import { encodeReference } from '../../lib/core/reference.ts'
import { rowIds } from '../../lib/core/sweep-rule.ts'

const nowMs = 1_000_000
const policy: MergePolicy = { rowsMin: 3, bytesMin: 10_000, bytesMax: 1_000, quietMs: 100, ageMs: nowMs }

interface RowOptions {
  readonly cleanedTo?: number
  readonly bytes?: number
  readonly isMerged?: boolean
  readonly writtenMs?: EpochMs
  readonly isInline?: true
}

function stored(
  first: number,
  last: number,
  { bytes = 100, isMerged = false, writtenMs = 0, cleanedTo, ...inline }: RowOptions = {},
): StoredRow {
  const segment = segmentIdAt(writtenMs, () => 0.5)
  const ref = encodeReference({ segment, position: 8, lengthBytes: bytes, maxTimestampMs: -1, ...inline })
  const times = { maxTimestampMs: -1, maxTimestampSoFarMs: -1 }
  const clean = cleanedTo === undefined ? {} : { cleanedTo }
  return { version: `${first}`, row: { first, last, chunks: [{ ref, base: first }], isMerged, ...times, ...clean } }
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

describe('rows of large chunks', () => {
  const large = { largeChunkBytesMin: 500 }
  const at = (first: number, options: RowOptions = {}) => stored(first, first + 9, options)
  const big = (first: number) => at(first, { bytes: 500 })

  test('are not merged, however many they are', () => {
    const rows = Array.from({ length: 50 }, (_, index) => big(490 - 10 * index))
    assert.equal(planOf(rows, large).run, undefined)
    assert.deepEqual(planOf([big(20), big(10), big(0)], { largeChunkBytesMin: 501, bytesMax: 10_000 }).run, [
      '0-9',
      '10-19',
      '20-29',
    ])
  })

  test('are not gone over to the end of the log', () => {
    const rows = Array.from({ length: 500 }, (_, index) => big(4_990 - 10 * index))
    assert.ok(planOf(rows, large).taken <= 65)
  })

  test('what came after them is merged as always', () => {
    assert.equal(planOf([at(40), at(30), big(20), big(10)], large).run, undefined)
    assert.deepEqual(planOf([at(50), at(40), at(30), big(20), big(10)], large).run, ['30-39', '40-49', '50-59'])
  })

  test('what came before them is merged, be it ever so little: no more will come to it', () => {
    assert.deepEqual(planOf([at(60), at(50), at(40), big(30), at(20), at(10)], large).run, ['10-19', '20-29'])
    assert.deepEqual(planOf([big(30), big(20), at(10), big(0)], large).run, undefined)
    assert.deepEqual(planOf([big(30), at(20, { isInline: true }), big(10)], large).run, ['20-29'])
  })

  test('what lies below them is merged with what was merged there, by the same rule (U2)', () => {
    const merged = (first: number, last: number, bytes: number) => stored(first, last, { bytes, isMerged: true })
    assert.deepEqual(planOf([big(40), at(30), at(20), merged(0, 19, 200)], large).run, ['0-19', '20-29', '30-39'])
    assert.deepEqual(planOf([big(40), at(30), at(20), merged(0, 19, 201)], large).run, ['20-29', '30-39'])
    assert.equal(planOf([big(40), merged(0, 39, 200), at(-10)], large).run, undefined)
  })

  test('are those that came as such: what a merge made has its own rule', () => {
    const rows = [at(30), at(20), at(10), stored(0, 9, { bytes: 500, isMerged: true })]
    assert.deepEqual(planOf(rows, large).run, ['10-19', '20-29', '30-39'])
    const sum = [at(30, { bytes: 400 }), at(20, { bytes: 50 }), at(10, { bytes: 60 }), ...rows.slice(3)]
    assert.equal(planOf(sum, { ...large, bytesMax: 2_000 }).run?.length, 4)
  })

  test('that are too young hide nothing: the run ends before them', () => {
    const young = at(40, { bytes: 500, writtenMs: nowMs })
    assert.deepEqual(planOf([young, at(30), at(20), at(10)], large).run, ['10-19', '20-29', '30-39'])
  })
})

describe('a merge plan', () => {
  test('is there from so many rows on that were not merged yet', () => {
    assert.equal(planOf(fresh(2)).run, undefined)
    assert.deepEqual(planOf(fresh(3)).run, ['0-9', '10-19', '20-29'])
  })

  test('is there from so many bytes on, though the rows are few', () => {
    assert.equal(planOf(fresh(2, { bytes: 299 }), { bytesMin: 600 }).run, undefined)
    assert.deepEqual(planOf(fresh(2, { bytes: 300 }), { bytesMin: 600 }).run, ['0-9', '10-19'])
  })

  test('leaves alone what compaction has cleaned, or begun to, and what reaches into it', () => {
    const four = fresh(4)
    const clean = stored(0, 9, { cleanedTo: 10 })
    assert.deepEqual(planOf([...four.slice(0, 3), clean]).run, ['10-19', '20-29', '30-39'])
    assert.equal(planOf([stored(40, 49, { cleanedTo: 50 }), ...four]).run, undefined)
    assert.deepEqual(planOf(four, { floor: 10 }).run, ['10-19', '20-29', '30-39'])
    assert.equal(planOf(four, { floor: 11 }).run, undefined)
  })

  test('does not remove a clean row that another covers: if that one becomes stale, it counts (K2)', () => {
    const over = stored(0, 29)
    assert.deepEqual(planOf([over, stored(10, 19), stored(0, 9)]).shadowed, ['10-19', '0-9'])
    assert.deepEqual(planOf([over, stored(10, 19, { cleanedTo: 20 }), stored(0, 9)]).shadowed, ['0-9'])
  })

  test('takes no more offsets than a pass of compaction may', () => {
    assert.deepEqual(planOf(fresh(5), { offsetsMax: 30 }).run, ['0-9', '10-19', '20-29'])
    assert.deepEqual(planOf(fresh(5), { offsetsMax: 1_000 }).run?.length, 5)
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

  test('is there, though the rows are few, when the oldest of them is old', () => {
    const rows = (oldestMs: number) => [
      stored(20, 29, { writtenMs: nowMs - 100 }),
      stored(10, 19, { writtenMs: oldestMs }),
    ]
    assert.equal(planOf(rows(nowMs - 500), { ageMs: 500 }).run, undefined)
    assert.deepEqual(planOf(rows(nowMs - 501), { ageMs: 500 }).run, ['10-19', '20-29'])
  })

  test('moves the inline chunks of a single old row into a segment, and lets a single segment be', () => {
    const old = { ageMs: 500 }
    assert.deepEqual(planOf([stored(0, 9, { isInline: true })], old).run, ['0-9'])
    assert.equal(planOf([stored(0, 9)], old).run, undefined)
    assert.equal(planOf([stored(0, 9, { isInline: true, isMerged: true })], old).run, undefined)
  })

  test('of old rows takes a merged one along when there is as much beside it, and not before (U2)', () => {
    const rows = (bytes: number) => [stored(100, 109, { isInline: true }), stored(0, 99, { bytes, isMerged: true })]
    assert.deepEqual(planOf(rows(100), { ageMs: 500 }).run, ['0-99', '100-109'])
    assert.deepEqual(planOf(rows(101), { ageMs: 500 }).run, ['100-109'])
  })

  test('writes each byte as often as the logarithm of what a segment holds, and leaves as many rows, also where each row is merged when it is old', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 200 }), (sizes) => {
        let rows: StoredRow[] = []
        let written = 0
        let most = 0
        for (const [index, bytes] of sizes.entries()) {
          rows = [...rows, stored(index, index, { bytes, isInline: true })]
          const planner = new MergePlanner({ ...policy, bytesMax: 1 << 20, ageMs: 500 }, nowMs)
          for (const one of [...rows].reverse()) if (!planner.take(one)) break
          const run = planner.plan()?.run ?? []
          const merged = run.reduce((sum, { row }) => sum + rowBytes(row), 0)
          written += merged
          const first = run[0]?.row.first ?? index
          rows = [
            ...rows.filter(({ row }) => row.last < first),
            stored(first, index, { bytes: merged, isMerged: true }),
          ]
          most = Math.max(most, rows.length)
        }
        const all = sizes.reduce((sum, bytes) => sum + bytes, 0)
        const doublings = Math.ceil(Math.log2(all)) + 1
        assert.ok(written <= all * doublings, `${written} of ${all}`)
        assert.ok(most <= doublings, `${most} rows`)
      }),
    )
  })

  test('is a contiguous run within its bounds, whatever rows there are', () => {
    const row = fc.record({
      bytes: fc.integer({ min: 1, max: 700 }),
      isMerged: fc.boolean(),
      length: fc.integer({ min: 1, max: 9 }),
      isYoung: fc.boolean(),
      isInline: fc.boolean(),
      gap: fc.constantFrom(0, 0, 0, 5),
    })
    fc.assert(
      fc.property(fc.array(row, { maxLength: 30 }), fc.constantFrom(500, nowMs), (shapes, ageMs) => {
        let at = 0
        const rows = shapes.map(({ bytes, isMerged, length, isYoung, isInline, gap }) => {
          const first = at + gap
          at = first + length
          const inline = isInline ? { isInline } : {}
          return stored(first, at - 1, { bytes, isMerged, writtenMs: isYoung ? nowMs : 0, ...inline })
        })
        const planner = new MergePlanner({ ...policy, ageMs }, nowMs)
        for (const one of [...rows].reverse()) if (!planner.take(one)) break
        const run = planner.plan()?.run ?? []
        for (const [index, { row: one }] of run.entries())
          if (index > 0) assert.equal(one.first, run[index - 1]!.row.last + 1)
        const bytes = run.reduce((sum, one) => sum + rowBytes(one.row), 0)
        assert.ok(bytes <= policy.bytesMax)
        if (run.length === 1) {
          assert.equal(ageMs, 500)
          assert.ok(!run[0]!.row.isMerged && rowIds(run[0]!.row, true).length > 0)
        }
      }),
    )
  })
})
