/**
 * A segment: one immutable object of the store, version 1.
 *
 *     0        magic, version   8 bytes: `HWSEGM`, u16 (big-endian, as all numbers)
 *     8        chunks           back to back, nothing between them
 *     ...      index, footer    see segment-index.ts; found from the end of the object
 *
 * A chunk is a run of whole Kafka v2 record batches of one partition, whose base offset is relative to the chunk (gathered ones are
 * otherwise as they came, see batch-rewrite.ts for merged ones): the first batch of a gathered chunk has 0, each next one goes on where the last one ended.
 * In a merged segment a chunk's base offset is known and stands in the index; compaction may leave gaps.
 *
 * Checksums (S1): every byte is under one. A batch's own CRC covers it from byte 21 to its end and was checked when it
 * arrived; the 21 bytes before (base offset, length, leader epoch, magic and that CRC itself) are under the *heads CRC*
 * of the chunk and, again, of the stretch. The index CRC covers the heads CRCs, the footer's CRC the index CRC. So
 * damage anywhere is found as surely as with one CRC over the chunk, without reading the records a second time.
 */
import type { Codecs } from './codec.ts'
import { readI64 } from './int64.ts'
import type { EpochMs, Offset, TopicId } from './names.ts'
import { readBatchHeader } from './record-batch.ts'
import type { MergedRun, SegmentFault, SegmentIndex, SegmentIndexChunk, Stretch } from './segment-index.ts'
import {
  checkMagic,
  decodeSegmentTail,
  encodeSegmentEnd,
  encodeSegmentHeader,
  segmentChunksMax,
  segmentFault,
  segmentHeaderBytes,
  stretchBytesMin,
  stretchedChunkBytesMin,
} from './segment-index.ts'

/** Largest object: what the object stores take in one PUT (D8). */
export const segmentObjectBytesMax = 5 * 2 ** 30

/** Bytes from an object's end that nearly always hold index and footer whole: room for some 900 chunks. */
export const segmentTailBytes = 64 * 1024

/** Bytes of a batch that its own CRC does not cover, the CRC itself included. */
const headBytes = 21

// --- Writing ---------------------------------------------------------------------------------------------------------

export interface SegmentChunkInput {
  readonly topicId: TopicId
  readonly partition: number
  /** Each holds one or more whole batches; base offsets are relative to the chunk, from 0. Not copied, not changed. */
  readonly batches: readonly Uint8Array[]
  readonly recordCount: number
  readonly maxTimestampMs: EpochMs
  /** Absolute offset that the relative ones count from: given for, and only for, merged segments. */
  readonly baseOffset?: Offset
}

export interface SegmentPlan {
  /** Header, the callers' buffers untouched, index and footer: for one vectored write. */
  readonly parts: readonly Uint8Array[]
  readonly sizeBytes: number
  /** In the order of the input. */
  readonly chunks: readonly PlannedChunk[]
}

/** What a chunk reference is made of, once the segment has an id. */
export interface PlannedChunk {
  readonly topicId: TopicId
  readonly partition: number
  /** Bytes from the start of the object. */
  readonly position: number
  readonly lengthBytes: number
  readonly maxTimestampMs: EpochMs
}

/**
 * Lays out a segment; same input, same bytes. With `merged`, one that a merge or compaction writes for that row.
 *
 * @throws RangeError for input that no caller may give (broken batches, wrong counts, offsets that do not follow each
 * other, too many chunks or bytes): a bug, since what came from outside was checked at the edge.
 */
export function encodeSegment(inputs: readonly SegmentChunkInput[], codecs: Codecs, merged?: MergedRun): SegmentPlan {
  if (inputs.length < 1 || inputs.length > segmentChunksMax)
    throw notASegment(`${inputs.length} chunks, where 1 to ${segmentChunksMax} are allowed`)
  const parts: Uint8Array[] = [encodeSegmentHeader()]
  const chunks: SegmentIndexChunk[] = []
  let position = segmentHeaderBytes
  let offsetMin = merged?.firstOffset ?? 0
  const totals = { batchCount: 0, recordCount: 0, maxTimestampMs: -1 }
  for (const input of inputs) {
    const { topicId, partition, baseOffset = -1 } = input
    const laid = layOutChunk(input, position, merged !== undefined, codecs)
    if (merged !== undefined) {
      if (topicId !== merged.topicId || partition !== merged.partition)
        throw notASegment('another partition than merged')
      if (!(baseOffset >= offsetMin)) throw notASegment(`base offset ${baseOffset} below ${offsetMin}`)
      offsetMin = baseOffset + laid.offsetCount
      if (!(offsetMin <= merged.lastOffset + 1))
        throw notASegment(`offset ${offsetMin - 1} after the last, ${merged.lastOffset}`)
    } else if (baseOffset !== -1) throw notASegment('a base offset before the commit')
    chunks.push({ topicId, partition, baseOffset, ...laid.chunk })
    for (const bytes of input.batches) parts.push(bytes)
    position += laid.chunk.lengthBytes
    totals.batchCount += laid.chunk.batchCount
    totals.recordCount += laid.chunk.recordCount
    totals.maxTimestampMs = Math.max(totals.maxTimestampMs, laid.chunk.maxTimestampMs)
  }
  const kind = merged === undefined ? { kind: 'gathered' as const } : { kind: 'merged' as const, merged }
  const end = encodeSegmentEnd({ ...kind, chunks, ...totals }, position, codecs)
  parts.push(end)
  const sizeBytes = position + end.length
  if (sizeBytes > segmentObjectBytesMax) throw notASegment(`${sizeBytes} bytes, more than ${segmentObjectBytesMax}`)
  return { parts, sizeBytes, chunks }
}

/** One chunk's entry, but for what it is called, and the offsets it reaches over. */
function layOutChunk(
  input: SegmentChunkInput,
  position: number,
  isMerged: boolean,
  codecs: Codecs,
): { chunk: Omit<SegmentIndexChunk, 'topicId' | 'partition' | 'baseOffset'>; offsetCount: number } {
  let lengthBytes = 0
  for (const bytes of input.batches) lengthBytes += bytes.length
  const heads = new HeadCollector()
  const starts: { readonly head: number; readonly at: number; readonly offset: Offset; readonly before: EpochMs }[] = [
    { head: 0, at: 0, offset: 0, before: -1 },
  ]
  let [nextOffset, recordCount, maxTimestampMs, done] = [0, 0, -1, 0]
  for (const bytes of input.batches) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let at = 0; at < bytes.length; ) {
      const size = bytes.length - at < 61 ? 0 : view.getInt32(at + 8) + 12
      if (size < 61 || size > bytes.length - at || bytes[at + 16] !== 2) throw notASegment(`no batch at ${done + at}`)
      const offset = readI64(view, at)
      if (!(isMerged ? offset >= nextOffset : offset === nextOffset))
        throw notASegment(`a batch at offset ${offset} where ${nextOffset} follows`)
      const start = starts[starts.length - 1]!
      if (lengthBytes > stretchedChunkBytesMin && done + at - start.at >= stretchBytesMin)
        starts.push({ head: heads.count, at: done + at, offset, before: maxTimestampMs })
      heads.add(view, at)
      nextOffset = offset + view.getInt32(at + 23) + 1
      recordCount += view.getInt32(at + 57)
      maxTimestampMs = Math.max(maxTimestampMs, readI64(view, at + 35))
      at += size
    }
    done += bytes.length
  }
  if (heads.count === 0) throw notASegment('a chunk without batches')
  if (recordCount !== input.recordCount) throw notASegment(`${recordCount} records, said to be ${input.recordCount}`)
  if (!isMerged && recordCount !== nextOffset) throw notASegment(`${recordCount} records for ${nextOffset} offsets`)
  if (maxTimestampMs !== Math.max(-1, input.maxTimestampMs))
    throw notASegment(`largest timestamp ${maxTimestampMs}, said to be ${input.maxTimestampMs}`)
  const stretches = starts.map((start, index): Stretch => {
    const next = starts[index + 1]
    return {
      position: position + start.at,
      lengthBytes: (next?.at ?? lengthBytes) - start.at,
      relativeOffset: start.offset,
      maxTimestampBeforeMs: start.before,
      headsCrc: heads.crc(codecs, start.head, next?.head),
    }
  })
  const headsCrc = stretches.length === 1 ? stretches[0]!.headsCrc : heads.crc(codecs, 0)
  const batchCount = heads.count
  const chunk = { position, lengthBytes, recordCount, batchCount, maxTimestampMs, headsCrc, stretches }
  return { chunk, offsetCount: nextOffset }
}

/** The first 21 bytes of each batch, one after the other. */
class HeadCollector {
  count = 0
  #view = new DataView(new ArrayBuffer(headBytes * 8))

  add(from: DataView, at: number): void {
    const to = this.count++ * headBytes
    if (to === this.#view.byteLength) {
      const larger = new Uint8Array(to * 2)
      larger.set(new Uint8Array(this.#view.buffer))
      this.#view = new DataView(larger.buffer)
    }
    const view = this.#view
    for (let word = 0; word < 20; word += 4) view.setInt32(to + word, from.getInt32(at + word))
    view.setInt8(to + 20, from.getInt8(at + 20))
  }

  /** The CRC of the heads from one to (without) another. */
  crc(codecs: Codecs, from: number, to = this.count): number {
    return codecs.crc32c(new Uint8Array(this.#view.buffer, from * headBytes, (to - from) * headBytes))
  }
}

// --- Checking --------------------------------------------------------------------------------------------------------

/** Verifies a whole object, every byte of it (S1); does not decompress or walk the records. */
export function checkSegment(
  bytes: Uint8Array,
  codecs: Codecs,
): { readonly ok: true; readonly index: SegmentIndex } | SegmentFault {
  const unknown = checkMagic(bytes, 0, 0)
  if (unknown !== undefined) return unknown
  const read = decodeSegmentTail(bytes, bytes.length, codecs)
  if (!read.ok && read.reason === 'need-more') throw new Error('the whole object is not enough of it')
  if (!read.ok) return read
  const { chunks, merged } = read.index
  let baseOffsetMin = 0
  for (const chunk of chunks) {
    const { position, lengthBytes, baseOffset } = chunk
    const checked = checkChunk(bytes.subarray(position, position + lengthBytes), chunk, codecs)
    if (!checked.ok) return checked
    if (merged === undefined) continue
    if (baseOffset < baseOffsetMin) return damaged(`Base offset ${baseOffset} lies in the chunk before.`, position)
    baseOffsetMin = baseOffset + checked.endOffset
    if (baseOffsetMin > merged.lastOffset + 1)
      return damaged(`Offset ${baseOffsetMin - 1} comes after the last, ${merged.lastOffset}.`, position)
  }
  return read
}

/**
 * Verifies the bytes of one chunk against its index entry: every batch's CRC, the heads CRCs, offsets, counts and times.
 * `endOffset` is one past its last offset, relative to the chunk.
 */
export function checkChunk(
  bytes: Uint8Array,
  chunk: SegmentIndexChunk,
  codecs: Codecs,
): { readonly ok: true; readonly endOffset: Offset } | SegmentFault {
  const { position, lengthBytes, stretches } = chunk
  if (bytes.length !== lengthBytes)
    return damaged(`The chunk has ${bytes.length} bytes, its entry says ${lengthBytes}.`, position)
  const run = newRun()
  for (const stretch of stretches) {
    const [first, begin] = [run.heads.count, stretch.position - position]
    if (stretch.maxTimestampBeforeMs !== run.maxTimestampMs || stretch.relativeOffset < run.endOffset)
      return damaged('The stretch does not go on where the one before ended.', stretch.position)
    run.endOffset = stretch.relativeOffset
    const fault = walkBatches(bytes, begin, begin + stretch.lengthBytes, chunk, run, codecs)
    if (fault !== undefined) return fault
    if (run.heads.crc(codecs, first) !== stretch.headsCrc)
      return damaged('The heads of its batches do not match the CRC of the stretch.', stretch.position)
  }
  if (run.heads.crc(codecs, 0) !== chunk.headsCrc)
    return damaged('The heads of its batches do not match the CRC of the chunk.', position)
  if (run.heads.count !== chunk.batchCount || run.recordCount !== chunk.recordCount)
    return damaged(`The chunk has ${run.heads.count} batches of ${run.recordCount} records.`, position)
  if (run.maxTimestampMs !== chunk.maxTimestampMs)
    return damaged(`Its largest timestamp is ${run.maxTimestampMs}.`, position)
  if (!isMerged(chunk) && run.endOffset !== run.recordCount)
    return damaged(`${run.recordCount} records fill ${run.endOffset} offsets.`, position)
  return { ok: true, endOffset: run.endOffset }
}

/** Verifies the bytes of one stretch that was read alone: every batch's CRC, the heads CRC, and where offsets begin. */
export function checkStretch(
  bytes: Uint8Array,
  chunk: SegmentIndexChunk,
  stretch: Stretch,
  codecs: Codecs,
): { readonly ok: true } | SegmentFault {
  if (bytes.length !== stretch.lengthBytes)
    return damaged(`The stretch has ${bytes.length} bytes, its entry says ${stretch.lengthBytes}.`, stretch.position)
  const run = newRun()
  run.endOffset = stretch.relativeOffset
  const origin = { ...chunk, position: stretch.position }
  const fault = walkBatches(bytes, 0, bytes.length, origin, run, codecs)
  if (fault !== undefined) return fault
  if (run.heads.crc(codecs, 0) === stretch.headsCrc) return { ok: true }
  return damaged('The heads of its batches do not match the CRC of the stretch.', stretch.position)
}

/** What was seen of a chunk so far. */
interface Run {
  readonly heads: HeadCollector
  endOffset: Offset
  recordCount: number
  maxTimestampMs: EpochMs
}

function newRun(): Run {
  return { heads: new HeadCollector(), endOffset: 0, recordCount: 0, maxTimestampMs: -1 }
}

/** Verifies the batches from `at` to `end` of `bytes`, which begin at the chunk's position, and adds them to the run. */
function walkBatches(
  bytes: Uint8Array,
  from: number,
  end: number,
  chunk: Pick<SegmentIndexChunk, 'position' | 'baseOffset'>,
  run: Run,
  codecs: Codecs,
): SegmentFault | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = from; at < end; ) {
    const position = chunk.position + at
    const read = readBatchHeader(bytes.subarray(0, end), at)
    if (!read.ok) return damaged(`There is no batch: ${read.message}.`, position)
    const { baseOffset, sizeBytes, crc, lastOffsetDelta, recordCount, maxTimestampMs } = read.header
    if (codecs.crc32c(bytes.subarray(at + headBytes, at + sizeBytes)) !== crc)
      return damaged('The batch does not match its CRC.', position)
    if (isMerged(chunk) ? baseOffset < run.endOffset : baseOffset !== run.endOffset)
      return damaged(`A batch has relative offset ${baseOffset}, where ${run.endOffset} follows.`, position)
    run.heads.add(view, at)
    run.endOffset = baseOffset + lastOffsetDelta + 1
    run.recordCount += recordCount
    run.maxTimestampMs = Math.max(run.maxTimestampMs, maxTimestampMs)
    at += sizeBytes
  }
  return undefined
}

// --- Looking up ------------------------------------------------------------------------------------------------------

/**
 * The stretch to begin reading at for an offset relative to the chunk's base. Where compaction removed that offset, the
 * next one may lie in the stretch after.
 */
export function stretchAtOffset(chunk: SegmentIndexChunk, relativeOffset: Offset): Stretch {
  const after = firstStretch(chunk, (stretch) => stretch.relativeOffset > relativeOffset)
  return chunk.stretches[Math.max(0, after - 1)]!
}

/** The stretch that holds the first batch whose timestamp is `timestampMs` or later; undefined where there is none. */
export function stretchAtTime(chunk: SegmentIndexChunk, timestampMs: EpochMs): Stretch | undefined {
  if (chunk.maxTimestampMs < timestampMs) return undefined
  const after = firstStretch(chunk, (stretch) => stretch.maxTimestampBeforeMs >= timestampMs)
  return chunk.stretches[Math.max(0, after - 1)]
}

/** Index of the first stretch for which `isAfter` holds, as it does for all that follow; their number where for none. */
function firstStretch(chunk: SegmentIndexChunk, isAfter: (stretch: Stretch) => boolean): number {
  let [low, high] = [0, chunk.stretches.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isAfter(chunk.stretches[middle]!)) high = middle
    else low = middle + 1
  }
  return low
}

/** Each partition that a segment's index names, once: the heads that the sweep has to fence. */
export function segmentPartitions(
  index: SegmentIndex,
): readonly { readonly topicId: TopicId; readonly partition: number }[] {
  const partitions = new Map<string, { readonly topicId: TopicId; readonly partition: number }>()
  for (const { topicId, partition } of index.chunks) partitions.set(`${topicId}/${partition}`, { topicId, partition })
  return [...partitions.values()]
}

// --- Parts -----------------------------------------------------------------------------------------------------------

function isMerged(chunk: Pick<SegmentIndexChunk, 'baseOffset'>): boolean {
  return chunk.baseOffset !== -1
}

function damaged(message: string, at: number): SegmentFault {
  return segmentFault('damaged', message, at)
}

function notASegment(message: string): RangeError {
  return new RangeError(`not a segment: ${message}`)
}
