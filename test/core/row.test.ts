import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type SegmentId, segmentIdFloor } from '../../lib/core/names.ts'
import { type ChunkReference, encodeReference } from '../../lib/core/reference.ts'
import { findInRows, isStaleRow, parseRow, type Row, rowThatCounts } from '../../lib/core/row.ts'

const refs = Array.from({ length: 100 }, (_, index) =>
  encodeReference({ segment: segmentIdFloor(index) as SegmentId, position: 8, lengthBytes: 61, maxTimestampMs: -1 }),
)

/** A row over first..last; one chunk for each offset, whose reference is `refs[offset]`, unless it is merged. */
function row(first: number, last: number, isMerged = false): Row {
  const bases = isMerged ? [first] : Array.from({ length: last - first + 1 }, (_, index) => first + index)
  const chunks = bases.map((base) => ({ ref: refs[isMerged ? 99 : base]!, base }))
  return { first, last, chunks, maxTimestampMs: -1, maxTimestampSoFarMs: -1, isMerged }
}

describe('the row that counts', () => {
  const rows = [row(0, 4), row(5, 9), row(10, 14)]
  const from = (x: number) => rows.filter(({ last }) => last >= x)

  test('is the one that covers the offset', () => {
    for (const reading of ['near', 'far'] as const)
      for (let x = 0; x < 15; x++)
        assert.deepEqual(rowThatCounts(from(x), x, true, reading), { kind: 'found', row: rows[Math.floor(x / 5)] })
  })

  test('is none where no row covers the offset', () => {
    assert.deepEqual(rowThatCounts([], 0, true, 'near'), { kind: 'none' })
    assert.deepEqual(rowThatCounts([row(5, 9)], 4, true, 'near'), { kind: 'none' })
    assert.deepEqual(rowThatCounts([row(5, 9)], 4, false, 'near'), { kind: 'none' })
    assert.deepEqual(rowThatCounts([row(5, 9)], 4, true, 'far'), { kind: 'none' })
  })

  test('is not known before a row was read that begins after the offset', () => {
    assert.deepEqual(rowThatCounts([row(0, 4)], 3, false, 'near'), { kind: 'read-on', candidate: row(0, 4) })
    assert.deepEqual(rowThatCounts([], 3, false, 'near'), { kind: 'read-on', candidate: undefined })
    assert.deepEqual(rowThatCounts([row(0, 4), row(5, 9)], 3, false, 'near'), { kind: 'found', row: row(0, 4) })
    assert.deepEqual(rowThatCounts([row(0, 4), row(5, 9)], 3, false, 'far'), { kind: 'read-on', candidate: row(0, 4) })
  })

  test('is the merged one where the merge was interrupted before the last superseded row was deleted (R1)', () => {
    const merged = row(0, 14, true)
    for (const reading of ['near', 'far'] as const)
      assert.deepEqual(rowThatCounts([row(10, 13), merged], 12, true, reading), { kind: 'found', row: merged })
  })

  test('is found by going far where superseded rows hide the merged one', () => {
    const merged = row(0, 14, true)
    const left = [row(5, 9), merged]
    assert.deepEqual(rowThatCounts(left, 2, true, 'near'), { kind: 'none' })
    assert.deepEqual(rowThatCounts(left, 2, true, 'far'), { kind: 'found', row: merged })
  })

  test('is, going far, the one with the largest last of all that cover the offset', () => {
    const any = fc.tuple(fc.nat(30), fc.nat(30)).map(([a, b]) => row(Math.min(a, b), Math.max(a, b), true))
    const property = fc.property(fc.uniqueArray(any, { selector: ({ last }) => last }), fc.nat(30), (drawn, x) => {
      const ascending = drawn.filter(({ last }) => last >= x).sort((a, b) => a.last - b.last)
      const covering = ascending.filter(({ first }) => first <= x)
      const expected = covering.length === 0 ? { kind: 'none' } : { kind: 'found', row: covering.at(-1) }
      assert.deepEqual(rowThatCounts(ascending, x, true, 'far'), expected)
      const near = rowThatCounts(ascending, x, true, 'near')
      if (near.kind === 'found') assert.ok(near.row.first <= x && x <= near.row.last)
      // Near is right wherever the rows behind the candidate do not hide a larger one.
      const hidden = ascending.slice(ascending.findIndex(({ first }) => first > x)).some(({ first }) => first <= x)
      if (!hidden) assert.deepEqual(near, expected)
    })
    fc.assert(property, { numRuns: 500 })
  })
})

describe('an append whose answer got lost', () => {
  const foreign = refs[98]!

  test('is committed when a row lists it', () => {
    assert.deepEqual(findInRows([row(0, 4), row(5, 9)], refs[7]!, 0, 10), { kind: 'committed', base: 7 })
    assert.deepEqual(findInRows([row(5, 9)], refs[7]!, 9, 10), { kind: 'committed', base: 7 })
  })

  test('is absent when every offset since lies in rows that list their references (R2)', () => {
    assert.deepEqual(findInRows([row(0, 4), row(5, 9)], foreign, 0, 10), { kind: 'absent' })
    assert.deepEqual(findInRows([row(0, 4), row(5, 9)], foreign, 3, 10), { kind: 'absent' })
    assert.deepEqual(findInRows([], foreign, 10, 10), { kind: 'absent' })
    assert.deepEqual(findInRows([], foreign, 11, 10), { kind: 'absent' })
  })

  test('may be anywhere when a merged row covers an offset', () => {
    assert.deepEqual(findInRows([row(0, 4, true), row(5, 9)], foreign, 0, 10), { kind: 'unprovable' })
    assert.deepEqual(findInRows([row(0, 4), row(5, 9, true)], foreign, 0, 10), { kind: 'unprovable' })
    assert.deepEqual(findInRows([row(0, 4, true), row(5, 9)], foreign, 5, 10), { kind: 'absent' })
  })

  test('may be anywhere when a row is missing', () => {
    assert.deepEqual(findInRows([row(0, 3), row(5, 9)], foreign, 0, 10), { kind: 'unprovable' })
    assert.deepEqual(findInRows([row(0, 4)], foreign, 0, 10), { kind: 'unprovable' })
    assert.deepEqual(findInRows([row(1, 9)], foreign, 0, 10), { kind: 'unprovable' })
    assert.deepEqual(findInRows([], foreign, 0, 1), { kind: 'unprovable' })
  })

  test('is sought in rows that a merge superseded but that still stand', () => {
    const rows = [row(5, 9), row(0, 14, true), row(15, 19)]
    assert.deepEqual(findInRows(rows, refs[7]!, 0, 20), { kind: 'committed', base: 7 })
    assert.deepEqual(findInRows(rows, foreign, 5, 20), { kind: 'unprovable' })
    assert.deepEqual(findInRows(rows, foreign, 15, 20), { kind: 'absent' })
  })

  test('is never called absent where it is, nor where nothing shows it', () => {
    const any = fc.tuple(fc.nat(20), fc.nat(20), fc.boolean())
    const drawn = fc.array(
      any.map(([a, b, isMerged]) => row(Math.min(a, b), Math.max(a, b), isMerged)),
      { maxLength: 8 },
    )
    const property = fc.property(drawn, fc.nat(20), fc.nat(21), fc.nat(20), (rows, from, end, at) => {
      const ascending = rows.sort((a, b) => a.last - b.last)
      const answer = findInRows(ascending, refs[at] as ChunkReference, from, end)
      const listing = ascending.filter(({ isMerged }) => !isMerged)
      const lists = (x: number) => listing.some(({ first, last }) => first <= x && x <= last)
      if (lists(at)) assert.deepEqual(answer, { kind: 'committed', base: at })
      else assert.notEqual(answer.kind, 'committed')
      if (answer.kind === 'absent') for (let x = from; x < end; x++) assert.ok(lists(x))
    })
    fc.assert(property, { numRuns: 500 })
  })
})

describe('a row that lies wholly below what is clean', () => {
  test('counts only if it is as clean itself (K2)', () => {
    assert.equal(isStaleRow({ last: 9 }, undefined), false)
    assert.equal(isStaleRow({ last: 9 }, 9), false)
    assert.equal(isStaleRow({ last: 9 }, 10), true)
    assert.equal(isStaleRow({ last: 9, cleanedTo: 10 }, 10), false)
    assert.equal(isStaleRow({ last: 9, cleanedTo: 10 }, 11), true)
    assert.equal(isStaleRow({ last: 9, cleanedTo: 12 }, 11), false)
    // One that reaches beyond holds all that was committed, tombstones too.
    assert.equal(isStaleRow({ last: 30 }, 11), false)
  })
})

describe('a stored row', () => {
  const stored = () => JSON.parse(JSON.stringify(row(5, 9)))

  test('is read as it was written, also when a merge left it empty or without its first offsets', () => {
    const merged = { ...row(5, 9, true), chunks: [] as Row['chunks'] }
    const thinned = { ...row(5, 9, true), chunks: [{ ref: refs[1]!, base: 7 }] }
    const clean = { ...row(5, 9, true), cleanedTo: 10 }
    for (const good of [row(0, 0), row(5, 9), row(5, 9, true), merged, thinned, clean])
      assert.deepEqual(parseRow(JSON.parse(JSON.stringify(good))), good)
  })

  test('that no writer made is an error that says what is wrong', () => {
    const damaged: [object | null, RegExp][] = [
      [null, /no object/],
      [[], /no object/],
      [{ ...stored(), first: 10 }, /no run of offsets/],
      [{ ...stored(), last: 2 ** 53 }, /no run of offsets/],
      [{ ...stored(), first: -1 }, /no run of offsets/],
      [{ ...stored(), isMerged: 1 }, /isMerged/],
      [{ ...stored(), cleanedTo: 9 }, /cleaned to 9, not beyond 9/],
      [{ ...stored(), cleanedTo: null }, /cleaned to/],
      [{ ...stored(), maxTimestampMs: 5 }, /beyond the largest/],
      [{ ...stored(), maxTimestampSoFarMs: 'x' }, /timestamp/],
      [{ ...stored(), chunks: {} }, /no chunks/],
      [{ ...stored(), chunks: [] }, /begin at/],
      [{ ...stored(), chunks: [null] }, /no object/],
      [{ ...stored(), chunks: [{ ref: 'x', base: 5 }] }, /no chunk reference/],
      [{ ...stored(), chunks: stored().chunks.reverse() }, /a chunk at/],
      [{ ...stored(), chunks: stored().chunks.slice(1) }, /begin at/],
      [{ ...stored(), chunks: [...stored().chunks, { ref: refs[0], base: 10 }] }, /a chunk at/],
    ]
    for (const [value, message] of damaged) assert.throws(() => parseRow(value as never), message)
  })

  test('of any other shape at all is an error or a row, never anything else', () => {
    const shaped = fc.record(
      {
        first: fc.jsonValue(),
        last: fc.oneof(fc.nat(), fc.jsonValue()),
        chunks: fc.oneof(
          fc.array(fc.record({ ref: fc.oneof(fc.constantFrom(...refs), fc.string()), base: fc.nat(20) })),
          fc.jsonValue(),
        ),
        maxTimestampMs: fc.integer(),
        maxTimestampSoFarMs: fc.integer(),
        isMerged: fc.boolean(),
      },
      { requiredKeys: [] },
    )
    const property = fc.property(fc.oneof(shaped, fc.jsonValue()), (value) => {
      let read: Row
      try {
        read = parseRow(value as never)
      } catch (error) {
        assert.match((error as Error).message, /^damaged row: /)
        return
      }
      assert.ok(read.first >= 0 && read.first <= read.last)
      for (const chunk of read.chunks) assert.ok(chunk.base >= read.first && chunk.base <= read.last)
    })
    fc.assert(property, { numRuns: 1_000 })
  })
})
