/**
 * What a merge does to the batches of its run: small uncompressed ones become larger compressed ones, and a compaction leaves out
 * records. What a reader gets of a record that stays, its offset, timestamp, key, value and headers, is what it was.
 *
 *   - *Compressed*: batches that come uncompressed, where that makes them smaller.
 *   - *Coalesced* before: neighbours of one timestamp type become one batch of up to 128 KiB of records, compressed or not. Besides
 *     uncompressed batches, also small ones that are compressed as the others will be: otherwise what an earlier merge, or the append
 *     of a single record, compressed would stay small for ever. Batches of an idempotent producer stay alone, so that its sequences
 *     can still be read from the log.
 *   - *Filtered*, by Kafka's rules: a batch whose records all stay is not rewritten for that, one of which none stays goes, and any other
 *     keeps its base offset, its last offset, its producer and its codec. Control batches stay.
 *
 * What cannot be read, since less may be decompressed than when it was produced, or says of itself what is not known here, stays as it came.
 */
import type { Codecs, CompressionType } from './codec.ts'
import type { Offset } from './names.ts'
import { RecordWalk } from './record.ts'
import {
  type BatchHeader,
  batchOverheadBytes,
  hasForeignAttributes,
  type NewRecordsHeader,
  openRecords,
  readBatchHeader,
  sealBatch,
} from './record-batch.ts'
import { varintSize, varlongSize, writeVarint, writeVarlong } from './varint.ts'

export interface Rewrite {
  /** What batches that come uncompressed become; `none` leaves them, and their number, as they are. */
  readonly compression: CompressionType
  /** Its level, where it has one. @default the codec's own */
  readonly compressionLevel?: number | undefined
  /** The most that one batch may decompress to; a larger one stays as it came. */
  readonly decompressedBytesMax: number
  /** Bytes of records up to which neighbours become one batch, before compression. A fetch gets whole batches. @default 128 KiB */
  readonly recordsBytesTarget?: number
  /** Which records stay. Without it all do, and of a compressed batch of some size only the header is read. */
  readonly keep?: (record: RewrittenRecord) => boolean
}

export interface RewrittenRecord {
  readonly offset: Offset
  readonly key: Uint8Array | null
  /** Whether its value is null. */
  readonly isTombstone: boolean
}

export interface Rewritten {
  /** Buffers of one or more whole batches, ascending; what was not changed are views of what was given. */
  readonly batches: readonly Uint8Array[]
  /** Records that were left out. */
  readonly removed: number
  readonly isChanged: boolean
}

/** Bytes of records up to which neighbours become one batch, where nothing smaller is asked for. */
export const recordsBytesTargetMax = 131_072
/** Stored bytes below which a compressed batch is opened to join its neighbours. */
const smallBytesMax = 16_384
/** Bytes that new deltas may add to a record: its length, a timestamp and an offset at their longest. */
const recordGrowthMax = 20

/**
 * Rewrites a run of batches; same input, same bytes. `buffers`: whole batches with absolute base offsets, ascending.
 *
 * @throws Error for bytes that are no batches: their checksums were tested before
 */
export function rewriteBatches(buffers: readonly Uint8Array[], rewrite: Rewrite, codecs: Codecs): Rewritten {
  const rewriter = new Rewriter(rewrite, codecs)
  for (const buffer of buffers) {
    rewriter.beginBuffer()
    forEachBatch(buffer, (batch, header) => rewriter.take(batch, header))
  }
  return rewriter.end()
}

/** Every record's key, in order, but those of control batches and of batches that cannot be read. Keys are views: who keeps one copies it. */
export function forEachKey(
  buffers: readonly Uint8Array[],
  codecs: Codecs,
  decompressedBytesMax: number,
  visit: (offset: Offset, key: Uint8Array | null, isTombstone: boolean) => void,
): void {
  for (const buffer of buffers)
    forEachBatch(buffer, (batch, header) => {
      if (header.isControl) return
      const opened = openRecords(batch, 0, header, codecs, decompressedBytesMax)
      if (!opened.ok || !isReadable(opened, header)) return
      const { bytes, walk } = opened
      while (walk.next()) visit(header.baseOffset + walk.offsetDelta, keyOf(bytes, walk), walk.valueLength < 0)
    })
}

function forEachBatch(buffer: Uint8Array, take: (batch: Uint8Array, header: BatchHeader) => void): void {
  for (let at = 0; at < buffer.byteLength; ) {
    const read = readBatchHeader(buffer, at)
    if (!read.ok) throw new Error(`damaged batch at byte ${at}: ${read.message}`)
    const { header } = read
    take(buffer.subarray(at, at + header.sizeBytes), header)
    at += header.sizeBytes
  }
}

/** The uncompressed records of a batch, from one position to another. */
interface Opened {
  readonly bytes: Uint8Array
  readonly from: number
  readonly end: number
}

/** A batch on its way into a larger one. */
interface Source extends Opened {
  readonly batch: Uint8Array
  readonly header: BatchHeader
}

class Rewriter {
  readonly #rewrite: Rewrite
  readonly #codecs: Codecs
  readonly #recordsBytesTarget: number
  readonly #batches: Uint8Array[] = []
  #removed = 0
  #isChanged = false
  /** What was written last may be extended by the view that follows it. */
  #isOpenEnded = false
  /** Neighbours that become one batch. */
  #group: Source[] = []
  #groupBytes = 0
  #scratch = new Uint8Array(0)

  constructor(rewrite: Rewrite, codecs: Codecs) {
    this.#rewrite = rewrite
    this.#codecs = codecs
    this.#recordsBytesTarget = rewrite.recordsBytesTarget ?? recordsBytesTargetMax
  }

  /** Views of two buffers are not joined, though both may lie in one larger one: a merged segment's chunks end where buffers do. */
  beginBuffer(): void {
    this.#isOpenEnded = false
  }

  take(batch: Uint8Array, header: BatchHeader): void {
    const { keep } = this.#rewrite
    const kept = keep === undefined || header.isControl ? batch : this.#filter(batch, header, keep)
    if (kept === undefined) return
    if (kept === batch) this.#gather(batch, header)
    else forEachBatch(kept, (filtered, newHeader) => this.#gather(filtered, newHeader))
  }

  end(): Rewritten {
    this.#endGroup()
    return { batches: this.#batches, removed: this.#removed, isChanged: this.#isChanged }
  }

  // --- Filtering -----------------------------------------------------------------------------------------------------

  /** The batch as it is, with fewer records, or undefined where none stays. */
  #filter(batch: Uint8Array, header: BatchHeader, keep: NonNullable<Rewrite['keep']>): Uint8Array | undefined {
    const opened = openRecords(batch, 0, header, this.#codecs, this.#rewrite.decompressedBytesMax)
    if (!opened.ok) return batch
    const { bytes, walk } = opened
    const stretches: { from: number; end: number }[] = []
    let [count, recordsBytes, maxTimestampMs] = [0, 0, Number.NEGATIVE_INFINITY]
    while (walk.next()) {
      const { at, end, timestampMs } = walk
      const offset = header.baseOffset + walk.offsetDelta
      if (!keep({ offset, key: keyOf(bytes, walk), isTombstone: walk.valueLength < 0 })) continue
      const last = stretches[stretches.length - 1]
      if (last?.end === at) last.end = end
      else stretches.push({ from: at, end })
      count++
      recordsBytes += end - at
      maxTimestampMs = Math.max(maxTimestampMs, timestampMs)
    }
    if (walk.fault !== null || (count === header.recordCount && count > 0)) return batch
    this.#removed += header.recordCount - count
    this.#isChanged = true
    if (count === 0) return undefined
    const records = new Uint8Array(recordsBytes)
    let next = 0
    for (const { from, end } of stretches) {
      records.set(bytes.subarray(from, end), next)
      next += end - from
    }
    // What is compressed below anyway goes there as it is, so that its neighbours may join it.
    const isLater = header.compression === this.#rewrite.compression && !hasForeignAttributes(batch, 0)
    const compression = isLater ? 'none' : header.compression
    // Records keep their deltas to the base offset and the base timestamp: they are copied as they lie.
    const fields = { ...header, compression, maxTimestampMs, recordCount: count }
    return seal(this.#codecs.compress(compression, records), batch, fields, this.#codecs)
  }

  // --- Coalescing and compressing --------------------------------------------------------------------------------------

  #gather(batch: Uint8Array, header: BatchHeader): void {
    const { compression } = this.#rewrite
    const isAlone = header.producerId !== -1 || header.isTransactional
    if (compression === 'none' || !isOrdinary(batch, header) || (isAlone && header.compression !== 'none')) {
      this.#endGroup()
      this.#write(batch)
      return
    }
    if (isAlone) {
      this.#endGroup()
      this.#write(this.#compressed(batch, header))
      return
    }
    const source = this.#open(batch, header)
    if (source === undefined) {
      this.#endGroup()
      this.#write(batch)
      return
    }
    if (!this.#joins(source)) this.#endGroup()
    this.#group.push(source)
    this.#groupBytes += source.end - source.from
  }

  /** Undefined: it stays as it came. */
  #open(batch: Uint8Array, header: BatchHeader): Source | undefined {
    const { compression } = header
    if (compression === 'none') return { batch, header, bytes: batch, from: batchOverheadBytes, end: batch.byteLength }
    if (compression !== this.#rewrite.compression || batch.byteLength > smallBytesMax) return undefined
    // What is larger than the target joins nobody.
    const opened = openPlain(batch, header, this.#codecs, this.#recordsBytesTarget)
    return opened === undefined ? undefined : { batch, header, ...opened }
  }

  #joins({ header, from, end }: Source): boolean {
    const first = this.#group[0]?.header
    if (first === undefined) return true
    return (
      header.timestampType === first.timestampType &&
      // One time for the whole batch.
      (header.timestampType === 'CreateTime' || header.maxTimestampMs === first.maxTimestampMs) &&
      header.baseOffset + header.lastOffsetDelta - first.baseOffset <= 0x7fffffff &&
      this.#groupBytes + end - from <= this.#recordsBytesTarget
    )
  }

  #endGroup(): void {
    const group = this.#group
    if (group.length === 0) return
    this.#group = []
    const bytes = this.#groupBytes
    this.#groupBytes = 0
    const coalesced = group.length === 1 ? undefined : this.#coalesced(group, bytes)
    if (coalesced !== undefined) {
      this.#isChanged = true
      this.#write(coalesced)
    } else for (const { batch, header } of group) this.#write(this.#compressed(batch, header))
  }

  /** Undefined where they are no one batch: their times lie too far apart for deltas. */
  #coalesced(group: readonly Source[], recordsBytes: number): Uint8Array | undefined {
    const first = group[0]!
    const last = group[group.length - 1]!.header
    const { baseOffset, timestampType } = first.header
    const recordCount = group.reduce((sum, { header }) => sum + header.recordCount, 0)
    const roomBytes = batchOverheadBytes + recordsBytes + recordCount * recordGrowthMax
    if (this.#scratch.byteLength < roomBytes) this.#scratch = new Uint8Array(roomBytes)
    const scratch = this.#scratch
    let baseTimestampMs: number | undefined
    let maxTimestampMs = Number.NEGATIVE_INFINITY
    let next = batchOverheadBytes
    for (const { header, bytes, from, end } of group) {
      const walk = new RecordWalk(bytes, from, end, header)
      while (walk.next()) {
        const { timestampMs, contentAt } = walk
        baseTimestampMs ??= timestampMs
        const timestampDelta = timestampMs - baseTimestampMs
        if (!Number.isSafeInteger(timestampDelta)) return undefined
        const offsetDelta = header.baseOffset + walk.offsetDelta - baseOffset
        maxTimestampMs = Math.max(maxTimestampMs, timestampMs)
        const contentBytes = walk.end - contentAt
        next = writeVarint(scratch, next, 1 + varlongSize(timestampDelta) + varintSize(offsetDelta) + contentBytes)
        scratch[next++] = 0
        next = writeVarlong(scratch, next, timestampDelta)
        next = writeVarint(scratch, next, offsetDelta)
        // Below some tens of bytes a loop is faster than the call.
        if (contentBytes > 64) scratch.set(bytes.subarray(contentAt, walk.end), next)
        else for (let i = 0; i < contentBytes; i++) scratch[next + i] = bytes[contentAt + i]!
        next += contentBytes
      }
      if (walk.fault !== null) return undefined
    }
    if (baseTimestampMs === undefined) return undefined
    const { maxTimestampMs: appendTimeMs } = first.header
    return sealedSmaller(
      scratch.subarray(0, next),
      first.batch,
      {
        compression: this.#rewrite.compression,
        lastOffsetDelta: last.baseOffset + last.lastOffsetDelta - baseOffset,
        baseTimestampMs,
        maxTimestampMs: timestampType === 'LogAppendTime' ? appendTimeMs : maxTimestampMs,
        recordCount,
      },
      this.#rewrite.compressionLevel,
      this.#codecs,
    )
  }

  /** A batch alone. */
  #compressed(batch: Uint8Array, header: BatchHeader): Uint8Array {
    if (header.compression !== 'none') return batch
    const compressed = compressBatch(batch, header, this.#rewrite, this.#codecs)
    if (compressed === undefined) return batch
    this.#isChanged = true
    return compressed
  }

  #write(batch: Uint8Array): void {
    const last = this.#batches[this.#batches.length - 1]
    if (this.#isOpenEnded && last?.buffer === batch.buffer && last.byteOffset + last.byteLength === batch.byteOffset)
      this.#batches[this.#batches.length - 1] = new Uint8Array(
        last.buffer,
        last.byteOffset,
        last.byteLength + batch.byteLength,
      )
    else this.#batches.push(batch)
    this.#isOpenEnded = true
  }
}

/**
 * The same batch, its records compressed; undefined where that does not make it smaller. The caller has made sure that `batch` is one
 * whole uncompressed batch.
 */
export function compressBatch(
  batch: Uint8Array,
  header: BatchHeader,
  { compression, compressionLevel }: Pick<Rewrite, 'compression' | 'compressionLevel'>,
  codecs: Codecs,
): Uint8Array | undefined {
  if (compression === 'none' || hasForeignAttributes(batch, 0) || header.isControl) return undefined
  const compressed = codecs.compress(compression, batch.subarray(batchOverheadBytes), compressionLevel)
  if (batchOverheadBytes + compressed.byteLength >= batch.byteLength) return undefined
  return seal(compressed, batch, { ...header, compression }, codecs)
}

/** A batch like `like` of records that lie behind the room for its header; uncompressed where compression does not make it smaller. */
function sealedSmaller(
  room: Uint8Array,
  like: Uint8Array,
  header: NewRecordsHeader,
  level: number | undefined,
  codecs: Codecs,
): Uint8Array {
  const records = room.subarray(batchOverheadBytes)
  const compressed = codecs.compress(header.compression, records, level)
  return compressed.byteLength < records.byteLength
    ? seal(compressed, like, header, codecs)
    : seal(records, like, { ...header, compression: 'none' }, codecs)
}

function seal(records: Uint8Array, like: Uint8Array, header: NewRecordsHeader, codecs: Codecs): Uint8Array {
  const batch = new Uint8Array(batchOverheadBytes + records.byteLength)
  batch.set(records, batchOverheadBytes)
  sealBatch(batch, like, header, codecs)
  return batch
}

/** Nothing stands in the way of writing its records anew. */
function isOrdinary(batch: Uint8Array, header: BatchHeader): boolean {
  return !header.isControl && !hasForeignAttributes(batch, 0)
}

/** The records where they lie, or decompressed; undefined where they are no such thing. */
function openPlain(batch: Uint8Array, header: BatchHeader, codecs: Codecs, bytesMax: number): Opened | undefined {
  const opened = openRecords(batch, 0, header, codecs, bytesMax)
  if (!opened.ok) return undefined
  const { bytes } = opened
  return header.compression === 'none'
    ? { bytes, from: batchOverheadBytes, end: batch.byteLength }
    : { bytes, from: 0, end: bytes.byteLength }
}

/** Before the first record is told, the last one was reached: half a batch would be neither filtered nor left as it is. */
function isReadable({ bytes }: { readonly bytes: Uint8Array }, header: BatchHeader): boolean {
  if (header.compression === 'none') return true // walked when it was produced
  const walk = new RecordWalk(bytes, 0, bytes.byteLength, header)
  while (walk.next()) {
    // Only to come to the end.
  }
  return walk.fault === null
}

function keyOf(bytes: Uint8Array, { keyAt, keyLength }: RecordWalk): Uint8Array | null {
  return keyLength < 0 ? null : bytes.subarray(keyAt, keyAt + keyLength)
}
