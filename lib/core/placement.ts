/**
 * Where the chunks of a flush go: inline, each an item of the metadata store, or together into one segment object. A pure function of
 * their sizes and the price list.
 *
 * A segment costs one put, later one read by the merge, its share of a note for the sweep (put, read, deleted), and the sweep's read of
 * its footer; its deletion is free. An inline chunk costs the write units of its item twice, since its deletion is billed as its put was, the read
 * units of the merge, and again those of its deletion. Where a segment is written anyway, one more chunk in it costs nothing.
 */
import { readUnitBytes, writeUnitBytes } from './cost.ts'
import type { PriceList } from './prices.ts'

export const placements = ['auto', 'inline', 'segment'] as const
/** What a topic wants: the cheaper, or always one of them. */
export type Placement = (typeof placements)[number]

export interface ChunkToPlace {
  readonly sizeBytes: number
  readonly placement: Placement
}

/** An item may have 400 KB, its key and value among them. */
export const inlineBytesMax = 300_000
/** Names, key, version and value of an inline item, beside the batches. */
export const inlineItemOverheadBytes = 160
/** What a segment adds to the note of the run that named it: its id, and what keeps it apart (log/candidates.ts). */
export const noteBytesPerSegment = 22
/** More inline chunks in one flush would make more requests than an object is worth. */
export const inlineChunksMax = 16

/** What compression is hoped to leave of a chunk: JSON becomes a fifth to a half, and repeats itself more in a larger one. */
const compressedShare = 1 / 8

/**
 * For each chunk, whether to try and compress it before it is placed: where that could save write units of its item, or make one of what
 * would be an object.
 */
export function chunksToCompress(chunks: readonly ChunkToPlace[], prices: PriceList): readonly boolean[] {
  const hoped = chunks.map(({ sizeBytes, placement }) => ({
    // Beyond what an item may have it stays an object: nobody compresses megabytes on the way in.
    sizeBytes: sizeBytes > inlineBytesMax ? sizeBytes : Math.ceil(sizeBytes * compressedShare),
    placement,
  }))
  const areInline = placeChunks(hoped, prices)
  return chunks.map(({ sizeBytes }, index) => areInline[index] === true && inlineWriteUnits(sizeBytes) > 1)
}

/** Write units of a chunk as an item. */
export function inlineWriteUnits(sizeBytes: number): number {
  return Math.ceil((sizeBytes + inlineItemOverheadBytes) / writeUnitBytes)
}

/** For each chunk, whether it goes inline. */
export function placeChunks(chunks: readonly ChunkToPlace[], prices: PriceList): readonly boolean[] {
  const mustObject = ({ sizeBytes, placement }: ChunkToPlace) => placement === 'segment' || sizeBytes > inlineBytesMax
  const undecided = chunks.filter((chunk) => chunk.placement === 'auto' && !mustObject(chunk))
  const isSegmentWritten = chunks.some(mustObject)
  const inlineCost = undecided.reduce((sum, { sizeBytes }) => sum + inlineChunkCost(sizeBytes, prices), 0)
  const isInline = !isSegmentWritten && undecided.length <= inlineChunksMax && inlineCost < segmentCost(prices)
  return chunks.map((chunk) => !mustObject(chunk) && (chunk.placement === 'inline' || isInline))
}

/** In US dollars: put, read to merge, read again and deleted. */
export function inlineChunkCost(sizeBytes: number, prices: PriceList): number {
  const itemBytes = sizeBytes + inlineItemOverheadBytes
  // A query is billed by the bytes of all it reads, not item by item.
  return 2 * inlineWriteUnits(sizeBytes) * prices.dynamoDbWrite + 2 * (itemBytes / readUnitBytes) * prices.dynamoDbRead
}

/** In US dollars, the same for a segment, whatever it holds. */
export function segmentCost(prices: PriceList): number {
  const note =
    2 * (noteBytesPerSegment / writeUnitBytes) * prices.dynamoDbWrite +
    (noteBytesPerSegment / readUnitBytes) * prices.dynamoDbRead
  return prices.s3Put + 2 * prices.s3Get + prices.s3Delete + note
}
