import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type ChunkToPlace,
  chunksToCompress,
  inlineBytesMax,
  inlineChunkCost,
  inlineChunksMax,
  inlineItemOverheadBytes,
  inlineWriteUnits,
  placeChunks,
  segmentCost,
} from '../../lib/core/placement.ts'
import { listPrices, type Price, prices } from '../../lib/core/prices.ts'

const auto = (sizeBytes: number): ChunkToPlace => ({ sizeBytes, placement: 'auto' })
const kib = (units: number) => units * 1_024 - inlineItemOverheadBytes

test('an inline chunk costs its write units twice, since its deletion is billed as its put, and the reads of the merge and of the deletion', () => {
  const { dynamoDbWrite, dynamoDbRead } = listPrices
  assert.equal(inlineChunkCost(kib(1), listPrices), 2 * dynamoDbWrite + dynamoDbRead / 2)
  assert.equal(inlineChunkCost(kib(1) + 1, listPrices), 4 * dynamoDbWrite + 2 * (1_025 / 4_096) * dynamoDbRead)
})

test('a segment costs its put, the reads of merge and sweep, and a share of a note that is put, read and deleted', () => {
  const { s3Put, s3Get, dynamoDbWrite, dynamoDbRead } = listPrices
  const cost = s3Put + 2 * s3Get + 2 * (22 / 1_024) * dynamoDbWrite + (22 / 4_096) * dynamoDbRead
  assert.ok(Math.abs(segmentCost(listPrices) - cost) < 1e-15)
})

test('one chunk goes inline up to the largest whole write unit that is cheaper than an object, and not a byte beyond', () => {
  const unitsMax = 4
  assert.ok(inlineChunkCost(kib(unitsMax), listPrices) < segmentCost(listPrices))
  assert.ok(inlineChunkCost(kib(unitsMax) + 1, listPrices) > segmentCost(listPrices))
  assert.deepEqual(placeChunks([auto(kib(unitsMax))], listPrices), [true])
  assert.deepEqual(placeChunks([auto(kib(unitsMax) + 1)], listPrices), [false])
})

test('several chunks are weighed together: four of a write unit go inline, five into one object', () => {
  assert.deepEqual(placeChunks(Array(4).fill(auto(300)), listPrices), Array(4).fill(true))
  assert.deepEqual(placeChunks(Array(5).fill(auto(300)), listPrices), Array(5).fill(false))
})

test('where an object is written anyway, what may go into it does: there it costs nothing', () => {
  assert.deepEqual(placeChunks([auto(100), { sizeBytes: 100, placement: 'segment' }], listPrices), [false, false])
  assert.deepEqual(placeChunks([auto(100), { sizeBytes: inlineBytesMax + 1, placement: 'inline' }], listPrices), [
    false,
    false,
  ])
})

test("a topic's own wish wins, up to what an item can hold", () => {
  const inline = (sizeBytes: number): ChunkToPlace => ({ sizeBytes, placement: 'inline' })
  assert.deepEqual(placeChunks([inline(inlineBytesMax)], listPrices), [true])
  assert.deepEqual(placeChunks([inline(inlineBytesMax + 1)], listPrices), [false])
  assert.deepEqual(placeChunks([inline(9), { sizeBytes: 1, placement: 'segment' }], listPrices), [true, false])
})

test('compression is tried where it could save a write unit, or make an item of what would be an object', () => {
  const tried = (...chunks: ChunkToPlace[]) => chunksToCompress(chunks, listPrices)
  assert.deepEqual([inlineWriteUnits(1), inlineWriteUnits(kib(1)), inlineWriteUnits(kib(1) + 1)], [1, 1, 2])
  // One unit is the least there is.
  assert.deepEqual(tried(auto(kib(1))), [false])
  assert.deepEqual(tried(auto(kib(1) + 1)), [true])
  // An eighth of it is the largest that one chunk may have inline.
  assert.deepEqual(tried(auto(8 * kib(4))), [true])
  assert.deepEqual(tried(auto(8 * kib(4) + 1)), [false])
  // Four may be saved, five are cheaper in one object whatever becomes of them.
  assert.deepEqual(tried(...Array(4).fill(auto(2_000))), Array(4).fill(true))
  assert.deepEqual(tried(...Array(5).fill(auto(2_000))), Array(5).fill(false))
  assert.deepEqual(tried(auto(2_000), auto(500)), [true, false])
})

test('compression is not tried for what goes into an object anyway, and always for what its topic wants inline', () => {
  const tried = (...chunks: ChunkToPlace[]) => chunksToCompress(chunks, listPrices)
  assert.deepEqual(tried({ sizeBytes: 2_000, placement: 'segment' }, auto(2_000)), [false, false])
  assert.deepEqual(tried(auto(inlineBytesMax + 1), auto(2_000)), [false, false])
  const inline = (sizeBytes: number): ChunkToPlace => ({ sizeBytes, placement: 'inline' })
  assert.deepEqual(tried(inline(inlineBytesMax), inline(kib(1)), auto(inlineBytesMax)), [true, false, false])
  assert.deepEqual(tried(inline(inlineBytesMax + 1)), [false])
})

test('with other prices the break-even moves: free writes take all to items, as far as a flush may have them', () => {
  const free = { ...listPrices, dynamoDbWrite: 0, dynamoDbRead: 0 }
  assert.deepEqual(placeChunks(Array(inlineChunksMax).fill(auto(1_000)), free), Array(inlineChunksMax).fill(true))
  assert.ok(placeChunks(Array(inlineChunksMax + 1).fill(auto(1_000)), free).every((isInline) => !isInline))
})

test('whatever is decided costs no more than the other way round', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: inlineChunksMax }),
      (sizes) => {
        const placed = placeChunks(sizes.map(auto), listPrices)
        const allInline = sizes.reduce((sum, size) => sum + inlineChunkCost(size, listPrices), 0)
        assert.equal(new Set(placed).size, 1)
        assert.equal(placed[0], allInline < segmentCost(listPrices))
      },
    ),
  )
})

test('every price says what one of it is, and where it is from', () => {
  for (const [name, price] of Object.entries<Price>(prices))
    assert.ok(price.usd >= 0 && price.unit !== '' && price.source !== '', name)
})
