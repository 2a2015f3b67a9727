/**
 * The end of a segment: the index of its chunks, then the footer. All numbers are big-endian and unsigned unless they
 * say i64; positions and lengths have 64 bits on purpose (a merged segment may pass 4 GiB), of which 53 are used.
 *
 * index, per chunk, in the order of the chunks:
 *
 *     0  topic id           16 bytes
 *    16  partition          u32
 *    20  batches            u32
 *    24  position           u64   bytes from the start of the object
 *    32  length             u64   bytes
 *    40  records            u64
 *    48  largest timestamp  i64   milliseconds, -1: none
 *    56  base offset        i64   absolute in a merged segment, -1 in a gathered one
 *    64  heads CRC          u32   CRC-32C of the first 21 bytes of each batch, one after the other
 *    68  stretches          u32   0, or how many of the following:
 *          0  first offset      u64   relative to the chunk; offsets below it lie in earlier stretches
 *          8  position          u64   relative to the chunk; a stretch ends where the next begins
 *         16  largest timestamp i64   of the chunk's batches before this stretch, -1: none
 *         24  heads CRC         u32   as above, of the batches of this stretch
 *
 * footer, the last 104 bytes of the object:
 *
 *     0  index position     u64
 *     8  index length       u64   72 for each chunk and 28 for each stretch
 *    16  index CRC          u32   CRC-32C
 *    20  chunks             u32   at least 1
 *    24  stretches          u32   of all chunks
 *    28  batches            u64
 *    36  records            u64
 *    44  largest timestamp  i64
 *    52  kind               u8    0 gathered, 1 merged
 *    53  zero               3 bytes
 *    56  topic id           16 bytes  of the row that a merged segment was written for; gathered: zeros
 *    72  partition          u32       gathered: 0
 *    76  first offset       i64       gathered: -1
 *    84  last offset        i64       the row's sort key; gathered: -1
 *    92  magic, version     8 bytes   as at the start of the object
 *   100  CRC                u32       CRC-32C of the footer's bytes before
 *
 * Magic, version and CRC are the last 12 bytes in every version, so that an unknown one can be named.
 */
import type { Codecs } from './codec.ts'
import { readI64, writeI64 } from './int64.ts'
import type { EpochMs, Offset, TopicId } from './names.ts'
import { topicIdFromRandom } from './names.ts'

/** `HWSEGM`: what a segment begins with, and nearly ends with. */
const magic = [0x48, 0x57, 0x53, 0x45, 0x47, 0x4d]
const segmentVersion = 1
export const segmentHeaderBytes = 8
export const segmentFooterBytes = 104
const magicInFooter = 92
const crcInFooter = 100
const chunkEntryBytes = 72
const stretchEntryBytes = 28
/** The least that an object with one chunk of one empty batch has. */
const segmentBytesMin = segmentHeaderBytes + 61 + chunkEntryBytes + segmentFooterBytes

/** Chunks a segment may have (D8). */
export const segmentChunksMax = 65_536
const partitionMax = 2 ** 31 - 1

/** Chunks of requests that were gathered, or the run of one partition that a merge or compaction wrote. */
export type SegmentKind = 'gathered' | 'merged'

/**
 * Of a merged segment: the row it was written to stand in, whether it came to that or not. The sweep fences that row
 * (gives it another version) before it deletes the segment, so that a merge which sleeps cannot bring it back (D6).
 */
export interface MergedRun {
  readonly topicId: TopicId
  readonly partition: number
  /** First and last offset of the row; the last is its sort key. Compaction may have removed either. */
  readonly firstOffset: Offset
  readonly lastOffset: Offset
}

/** A run of whole batches inside a large chunk: what one ranged read may fetch and check by itself. */
export interface Stretch {
  /** Bytes from the start of the object. */
  readonly position: number
  readonly lengthBytes: number
  /** Relative to the chunk; offsets below it lie in earlier stretches. */
  readonly relativeOffset: Offset
  /** The largest timestamp in the chunk before this stretch, -1 where there is none. */
  readonly maxTimestampBeforeMs: EpochMs
  /** CRC-32C of the first 21 bytes of each of its batches. */
  readonly headsCrc: number
}

export interface SegmentIndexChunk {
  readonly topicId: TopicId
  readonly partition: number
  /** Absolute, in merged segments; -1 in gathered ones, whose chunks get their offsets by the commit (D1). */
  readonly baseOffset: Offset
  /** Bytes from the start of the object. */
  readonly position: number
  readonly lengthBytes: number
  readonly recordCount: number
  readonly batchCount: number
  /** The largest timestamp of its batches, -1 where they have none. */
  readonly maxTimestampMs: EpochMs
  /** CRC-32C of the first 21 bytes of each of its batches. */
  readonly headsCrc: number
  /** At least one; a chunk of up to 256 KiB is one stretch. They follow each other without gaps. */
  readonly stretches: readonly Stretch[]
}

/** What a segment's index and footer say. */
export interface SegmentIndex {
  readonly kind: SegmentKind
  /** Set for, and only for, merged segments. */
  readonly merged?: MergedRun
  /** In the order of their positions, which they fill without gaps. */
  readonly chunks: readonly SegmentIndexChunk[]
  readonly recordCount: number
  readonly batchCount: number
  readonly maxTimestampMs: EpochMs
  /** Of the whole object. */
  readonly sizeBytes: number
}

/** Why bytes are not a segment. `at` is a position in the object. */
export interface SegmentFault {
  readonly ok: false
  readonly reason: 'not-a-segment' | 'unknown-version' | 'damaged'
  readonly message: string
  readonly at: number
}

export function segmentFault(reason: SegmentFault['reason'], message: string, at: number): SegmentFault {
  return { ok: false, reason, message, at }
}

const damaged = (message: string, at: number): SegmentFault => segmentFault('damaged', message, at)

// --- Writing ---------------------------------------------------------------------------------------------------------

/** The first 8 bytes of an object. */
export function encodeSegmentHeader(): Uint8Array {
  const bytes = new Uint8Array(segmentHeaderBytes)
  writeMagic(bytes, 0)
  return bytes
}

/**
 * Index and footer, as one buffer; the index begins at `indexPosition`, behind the chunks. Throws on numbers and names
 * that no segment can hold (a bug).
 */
export function encodeSegmentEnd(
  index: Omit<SegmentIndex, 'sizeBytes'>,
  indexPosition: number,
  codecs: Codecs,
): Uint8Array {
  const { chunks, merged } = index
  const storedStretches = (chunk: SegmentIndexChunk): readonly Stretch[] =>
    chunk.lengthBytes > stretchedChunkBytesMin ? chunk.stretches : []
  let stretchCount = 0
  for (const chunk of chunks) stretchCount += storedStretches(chunk).length
  const indexLength = chunks.length * chunkEntryBytes + stretchCount * stretchEntryBytes

  const bytes = new Uint8Array(indexLength + segmentFooterBytes)
  const view = viewOf(bytes)
  let at = 0
  for (const chunk of chunks) {
    const stretches = storedStretches(chunk)
    writeTopicId(bytes, at, chunk.topicId)
    writeU32(view, at + 16, chunk.partition)
    writeU32(view, at + 20, chunk.batchCount)
    writeU64(view, at + 24, chunk.position)
    writeU64(view, at + 32, chunk.lengthBytes)
    writeU64(view, at + 40, chunk.recordCount)
    writeI64(view, at + 48, chunk.maxTimestampMs)
    writeI64(view, at + 56, chunk.baseOffset)
    writeU32(view, at + 64, chunk.headsCrc)
    writeU32(view, at + 68, stretches.length)
    at += chunkEntryBytes
    for (const stretch of stretches) {
      writeU64(view, at, stretch.relativeOffset)
      writeU64(view, at + 8, stretch.position - chunk.position)
      writeI64(view, at + 16, stretch.maxTimestampBeforeMs)
      writeU32(view, at + 24, stretch.headsCrc)
      at += stretchEntryBytes
    }
  }

  writeU64(view, at, indexPosition)
  writeU64(view, at + 8, indexLength)
  writeU32(view, at + 16, codecs.crc32c(bytes.subarray(0, indexLength)))
  writeU32(view, at + 20, chunks.length)
  writeU32(view, at + 24, stretchCount)
  writeU64(view, at + 28, index.batchCount)
  writeU64(view, at + 36, index.recordCount)
  writeI64(view, at + 44, index.maxTimestampMs)
  bytes[at + 52] = index.kind === 'merged' ? 1 : 0
  if (merged !== undefined) writeTopicId(bytes, at + 56, merged.topicId)
  writeU32(view, at + 72, merged?.partition ?? 0)
  writeI64(view, at + 76, merged?.firstOffset ?? -1)
  writeI64(view, at + 84, merged?.lastOffset ?? -1)
  writeMagic(bytes, at + magicInFooter)
  writeU32(view, at + crcInFooter, codecs.crc32c(bytes.subarray(at, at + crcInFooter)))
  return bytes
}

/** A chunk longer than this has its stretches in the index. */
export const stretchedChunkBytesMin = 256 * 1024
/** A stretch ends at the first batch boundary from here on. Readers depend on neither number. */
export const stretchBytesMin = 128 * 1024

// --- Reading ---------------------------------------------------------------------------------------------------------

/** Magic and version at `at` of `bytes`, which lies at `at + origin` of the object. */
export function checkMagic(bytes: Uint8Array, at: number, origin: number): SegmentFault | undefined {
  if (bytes.length < at + segmentHeaderBytes || magic.some((byte, index) => bytes[at + index] !== byte))
    return segmentFault('not-a-segment', 'There is no segment magic.', at + origin)
  const version = viewOf(bytes).getUint16(at + magic.length)
  if (version === segmentVersion) return undefined
  const message = `The segment has version ${version}; this reader knows version ${segmentVersion}.`
  return segmentFault('unknown-version', message, at + origin + magic.length)
}

/**
 * The size of the object whose last bytes these are, as its footer says; undefined where it is too short for one. For who read an
 * object from its end; what it is worth, `decodeSegmentTail` tells.
 */
export function sizeByFooter(tail: Uint8Array): number | undefined {
  if (tail.length < segmentFooterBytes) return undefined
  const footer = viewOf(tail.subarray(tail.length - segmentFooterBytes))
  return readI64(footer, 0) + readI64(footer, 8) + segmentFooterBytes
}

/** `need-more`: the last `needBytes` bytes of the object are needed. */
export type SegmentTail =
  | { readonly ok: true; readonly index: SegmentIndex }
  | { readonly ok: false; readonly reason: 'need-more'; readonly needBytes: number }
  | SegmentFault

/**
 * Reads index and footer from the last bytes of an object: all of it, or as many as the caller thought enough. Allocates
 * in proportion to `tail`, whatever its numbers claim. Of the chunks it tells nothing but what the index says.
 */
export function decodeSegmentTail(tail: Uint8Array, objectSizeBytes: number, codecs: Codecs): SegmentTail {
  const origin = objectSizeBytes - tail.length
  if (origin < 0) return damaged(`${tail.length} bytes were read of an object of ${objectSizeBytes}.`, objectSizeBytes)
  if (objectSizeBytes < segmentBytesMin)
    return segmentFault('not-a-segment', `${objectSizeBytes} bytes are too few for a segment.`, 0)
  if (tail.length < segmentFooterBytes) return { ok: false, reason: 'need-more', needBytes: segmentFooterBytes }

  const footer = tail.subarray(tail.length - segmentFooterBytes)
  const footerPosition = objectSizeBytes - segmentFooterBytes
  const unknown = checkMagic(footer, magicInFooter, footerPosition)
  if (unknown !== undefined) return unknown
  const view = viewOf(footer)
  if (codecs.crc32c(footer.subarray(0, crcInFooter)) !== view.getUint32(crcInFooter))
    return damaged('The footer does not match its CRC.', footerPosition)

  const indexPosition = readI64(view, 0)
  const indexLength = readI64(view, 8)
  const chunkCount = view.getUint32(20)
  const stretchCount = view.getUint32(24)
  if (chunkCount < 1 || chunkCount > segmentChunksMax)
    return damaged(`A segment has 1 to ${segmentChunksMax} chunks, not ${chunkCount}.`, footerPosition + 20)
  if (indexLength !== chunkCount * chunkEntryBytes + stretchCount * stretchEntryBytes)
    return damaged(
      `${chunkCount} chunks and ${stretchCount} stretches do not make an index of ${indexLength} bytes.`,
      footerPosition + 8,
    )
  if (!(indexPosition > segmentHeaderBytes) || indexPosition + indexLength !== footerPosition)
    return damaged(`An index at ${indexPosition} does not end at the footer.`, footerPosition)
  if (indexPosition < origin) return { ok: false, reason: 'need-more', needBytes: objectSizeBytes - indexPosition }

  const entries = tail.subarray(indexPosition - origin, indexPosition - origin + indexLength)
  if (codecs.crc32c(entries) !== view.getUint32(16)) return damaged('The index does not match its CRC.', indexPosition)
  const run = decodeRun(footer, footerPosition)
  if (!run.ok) return run
  const chunks = decodeEntries(entries, indexPosition, chunkCount, run.merged)
  if (!chunks.ok) return chunks
  const totals = { batchCount: 0, recordCount: 0, maxTimestampMs: -1 }
  for (const chunk of chunks.chunks) {
    totals.batchCount += chunk.batchCount
    totals.recordCount += chunk.recordCount
    totals.maxTimestampMs = Math.max(totals.maxTimestampMs, chunk.maxTimestampMs)
  }
  const isTotal =
    readI64(view, 28) === totals.batchCount &&
    readI64(view, 36) === totals.recordCount &&
    readI64(view, 44) === totals.maxTimestampMs
  if (!isTotal) return damaged('The totals of the footer are not those of the index.', footerPosition + 28)
  const common = { chunks: chunks.chunks, ...totals, sizeBytes: objectSizeBytes }
  if (run.merged === undefined) return { ok: true, index: { kind: 'gathered', ...common } }
  return { ok: true, index: { kind: 'merged', merged: run.merged, ...common } }
}

/** The footer's kind, and the row of a merged segment. */
function decodeRun(footer: Uint8Array, position: number): { ok: true; merged: MergedRun | undefined } | SegmentFault {
  const view = viewOf(footer)
  const kind = view.getUint8(52)
  const isZero = (from: number, to: number) => footer.subarray(from, to).every((byte) => byte === 0)
  if (kind > 1 || !isZero(53, 56)) return damaged(`Kind ${kind} is not known.`, position + 52)
  const [partition, firstOffset, lastOffset] = [view.getUint32(72), readI64(view, 76), readI64(view, 84)]
  if (kind === 1) {
    const topicId = topicIdFromRandom(footer.subarray(56, 72))
    if (partition <= partitionMax && firstOffset >= 0 && lastOffset >= firstOffset)
      return { ok: true, merged: { topicId, partition, firstOffset, lastOffset } }
  } else if (isZero(56, 76) && firstOffset === -1 && lastOffset === -1) return { ok: true, merged: undefined }
  const message = `Offsets ${firstOffset} to ${lastOffset} are no row of a ${kind === 1 ? 'merged' : 'gathered'} segment.`
  return damaged(message, position + 56)
}

/** The entries of the index: back to back, and back to back the chunks that they name. */
function decodeEntries(
  bytes: Uint8Array,
  indexPosition: number,
  chunkCount: number,
  merged: MergedRun | undefined,
): { ok: true; chunks: SegmentIndexChunk[] } | SegmentFault {
  const view = viewOf(bytes)
  const chunks: SegmentIndexChunk[] = []
  let at = 0
  let end = segmentHeaderBytes
  let baseOffsetMin = merged?.firstOffset ?? 0
  while (chunks.length < chunkCount) {
    const entry = at
    const wrong = (message: string) => damaged(`Chunk ${chunks.length}: ${message}`, indexPosition + entry)
    if (bytes.length - at < chunkEntryBytes) return wrong('the index ends within its entry.')
    const chunk = {
      topicId: topicIdFromRandom(bytes.subarray(at, at + 16)),
      partition: view.getUint32(at + 16),
      batchCount: view.getUint32(at + 20),
      position: readI64(view, at + 24),
      lengthBytes: readI64(view, at + 32),
      recordCount: readI64(view, at + 40),
      maxTimestampMs: readI64(view, at + 48),
      baseOffset: readI64(view, at + 56),
      headsCrc: view.getUint32(at + 64),
    }
    const stretchCount = view.getUint32(at + 68)
    at += chunkEntryBytes
    if (chunk.position !== end || !(chunk.lengthBytes <= indexPosition - end))
      return wrong(`it cannot lie at ${chunk.position} with ${chunk.lengthBytes} bytes.`)
    if (chunk.partition > partitionMax) return wrong(`there is no partition ${chunk.partition}.`)
    if (chunk.batchCount < 1 || !(chunk.batchCount * 61 <= chunk.lengthBytes))
      return wrong(`${chunk.batchCount} batches are not ${chunk.lengthBytes} bytes.`)
    if (!(chunk.recordCount >= (merged === undefined ? 1 : 0) && chunk.maxTimestampMs >= -1))
      return wrong(`${chunk.recordCount} records up to ${chunk.maxTimestampMs} cannot be.`)
    if (merged === undefined) {
      if (chunk.baseOffset !== -1) return wrong('a gathered chunk has no offset yet.')
    } else {
      if (chunk.topicId !== merged.topicId || chunk.partition !== merged.partition)
        return wrong('it is not of the partition that was merged.')
      if (!(chunk.baseOffset >= baseOffsetMin && chunk.baseOffset <= merged.lastOffset))
        return wrong(`base offset ${chunk.baseOffset} is not within ${baseOffsetMin} and ${merged.lastOffset}.`)
      baseOffsetMin = chunk.baseOffset + 1
    }
    end += chunk.lengthBytes

    const stretchesEnd = at + stretchCount * stretchEntryBytes
    if (stretchesEnd > bytes.length) return wrong(`the index has no room for ${stretchCount} stretches.`)
    const stretches = decodeStretches(view, at, stretchesEnd, chunk)
    if (stretches === undefined) return wrong('its stretches do not follow each other.')
    at = stretchesEnd
    chunks.push({ ...chunk, stretches })
  }
  if (at !== bytes.length) return damaged('The index goes on after its last entry.', indexPosition + at)
  if (end !== indexPosition) return damaged('There are bytes that belong to no chunk.', end)
  return { ok: true, chunks }
}

function decodeStretches(
  view: DataView,
  from: number,
  to: number,
  chunk: Omit<SegmentIndexChunk, 'stretches'>,
): Stretch[] | undefined {
  const { position, lengthBytes, headsCrc } = chunk
  const whole = { position, lengthBytes, relativeOffset: 0, maxTimestampBeforeMs: -1, headsCrc }
  if (from === to) return [whole]
  const stretches: Stretch[] = []
  let [relativeOffset, relativePosition, maxTimestampBeforeMs] = [0, 0, -1]
  for (let at = from; at < to; at += stretchEntryBytes) {
    const isFirst = at === from
    const [offset, begin, before] = [readI64(view, at), readI64(view, at + 8), readI64(view, at + 16)]
    const follows = isFirst
      ? offset === 0 && begin === 0 && before === -1
      : offset > relativeOffset && begin > relativePosition && before >= maxTimestampBeforeMs
    if (!follows || begin >= lengthBytes || before > chunk.maxTimestampMs) return undefined
    const end = at + stretchEntryBytes < to ? readI64(view, at + stretchEntryBytes + 8) : lengthBytes
    ;[relativeOffset, relativePosition, maxTimestampBeforeMs] = [offset, begin, before]
    stretches.push({
      position: position + begin,
      lengthBytes: end - begin,
      relativeOffset,
      maxTimestampBeforeMs,
      headsCrc: view.getUint32(at + 24),
    })
  }
  return stretches
}

// --- Bytes -----------------------------------------------------------------------------------------------------------

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function writeMagic(bytes: Uint8Array, at: number): void {
  bytes.set(magic, at)
  viewOf(bytes).setUint16(at + magic.length, segmentVersion)
}

const base64url = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** The 16 bytes of a topic id, of which its 22 characters are the base64url. */
function writeTopicId(bytes: Uint8Array, at: number, id: TopicId): void {
  let bits = 0
  let width = 0
  let to = at
  for (const digit of id) {
    bits = (bits << 6) | base64url.indexOf(digit)
    width += 6
    if (width >= 8) {
      width -= 8
      if (to < at + 16) bytes[to++] = bits >>> width
      bits &= (1 << width) - 1
    }
  }
  if (topicIdFromRandom(bytes.subarray(at, at + 16)) !== id) throw new RangeError(`${id} is not a topic id`)
}

function writeU32(view: DataView, at: number, value: number): void {
  if (!(Number.isInteger(value) && value >= 0 && value < 2 ** 32)) throw new RangeError(`${value} is not a u32`)
  view.setUint32(at, value)
}

function writeU64(view: DataView, at: number, value: number): void {
  if (!(value >= 0)) throw new RangeError(`${value} is not a u64`)
  writeI64(view, at, value)
}
