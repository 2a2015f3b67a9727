/**
 * Kafka's record batch, version 2: what clients send, what segments store and what readers get.
 * All numbers big-endian; the header is 61 bytes:
 *
 *    0  baseOffset            i64   0 from a client; the log writes it on reading (outside the CRC)
 *    8  batchLength           i32   bytes after this field
 *   12  partitionLeaderEpoch  i32   outside the CRC too
 *   16  magic                 i8    2
 *   17  crc                   u32   CRC-32C of byte 21 to the end
 *   21  attributes            i16   bits 0-2 compression, 3 LogAppendTime, 4 transactional, 5 control, 6 delete horizon
 *   23  lastOffsetDelta       i32
 *   27  baseTimestamp         i64   of the first record
 *   35  maxTimestamp          i64   the largest; with LogAppendTime, of every record
 *   43  producerId            i64   -1: none
 *   51  producerEpoch         i16
 *   53  baseSequence          i32
 *   57  recordsCount          i32
 *   61  records                     see record.ts; when compressed, one compressed stream of all of them
 *
 * Offsets, timestamps and producer ids are JavaScript numbers: a 64-bit value beyond 2^53 is a fault.
 */
import { type Codecs, type CompressionType, compressionTypes } from './codec.ts'
import { readI64, writeI64 } from './int64.ts'
import {
  type LogRecord,
  measureRecords,
  type NewRecord,
  RecordWalk,
  readRecords,
  recordBytesMin,
  writeRecords,
} from './record.ts'

export type { LogRecord, NewRecord, RecordHeader } from './record.ts'

/** Bytes of a batch before its records. */
export const batchOverheadBytes = 61

/** The first 61 bytes of a batch. */
export interface BatchHeader {
  baseOffset: number
  /** The whole batch, including the first 12 bytes that Kafka's own length field leaves out. */
  sizeBytes: number
  partitionLeaderEpoch: number
  magic: number
  crc: number
  compression: CompressionType
  timestampType: 'CreateTime' | 'LogAppendTime'
  isTransactional: boolean
  isControl: boolean
  lastOffsetDelta: number
  baseTimestampMs: number
  maxTimestampMs: number
  /** -1: none. */
  producerId: number
  producerEpoch: number
  baseSequence: number
  recordCount: number
}

/**
 * Why bytes are not a batch, in Kafka's error names. CORRUPT_MESSAGE is damage on the way, worth sending again; the
 * others come from intact bytes and would only come again. `at` is a position in the bytes that were given: of the
 * batch, or of the record where records lie uncompressed.
 */
export type BatchFault = {
  ok: false
  code:
    | 'CORRUPT_MESSAGE'
    | 'INVALID_RECORD'
    | 'UNSUPPORTED_COMPRESSION_TYPE'
    | 'MESSAGE_TOO_LARGE'
    | 'INVALID_TIMESTAMP'
  message: string
  at: number
  /** The one record at fault, where it is one. */
  recordIndex?: number
}

const magicAt = 16
const crcAt = 17
const attributesAt = 21
const maxTimestampAt = 35
const compressionBits = 0b111
const logAppendTimeBit = 1 << 3
const transactionalBit = 1 << 4
const controlBit = 1 << 5

// --- Headers ---------------------------------------------------------------------------------------------------------

/** Reads the header of the batch at `at`. Bounds-checked, never throws; does not look at the CRC. */
export function readBatchHeader(bytes: Uint8Array, at = 0): { ok: true; header: BatchHeader } | BatchFault {
  const view = viewOf(bytes)
  return frameFault(view, at) ?? readFields(view, at)
}

/** Headers of the consecutive batches in `bytes` (a chunk), each with its position, or the first fault. */
export function batchHeaders(
  bytes: Uint8Array,
): { ok: true; headers: (BatchHeader & { position: number })[] } | BatchFault {
  const view = viewOf(bytes)
  const headers: (BatchHeader & { position: number })[] = []
  let position = 0
  while (position < bytes.length) {
    const read = frameFault(view, position) ?? readFields(view, position)
    if (!read.ok) return read
    headers.push({ ...read.header, position })
    position += read.header.sizeBytes
  }
  return { ok: true, headers }
}

/** Whether a whole batch of our version lies at `at`: what must hold before its fields and CRC mean anything. */
function frameFault(view: DataView, at: number): BatchFault | null {
  const left = view.byteLength - at
  if (left <= magicAt)
    return fault('CORRUPT_MESSAGE', `a batch header needs ${batchOverheadBytes} bytes; ${left} are left`, at)
  const magic = view.getInt8(at + magicAt)
  if (magic !== 2) return fault('INVALID_RECORD', `message format ${magic} is not supported; record batches have 2`, at)
  const sizeBytes = view.getInt32(at + 8) + 12
  if (sizeBytes < batchOverheadBytes || sizeBytes > left) {
    return fault('CORRUPT_MESSAGE', `a batch claims ${sizeBytes} bytes; ${left} are left`, at)
  }
  return null
}

/** Precondition: {@link frameFault} is null. */
function readFields(view: DataView, at: number): { ok: true; header: BatchHeader } | BatchFault {
  const attributes = view.getInt16(at + attributesAt)
  const compression = compressionTypes[attributes & compressionBits]
  if (compression === undefined) {
    return fault('UNSUPPORTED_COMPRESSION_TYPE', `compression type ${attributes & compressionBits} is not known`, at)
  }
  const header: BatchHeader = {
    baseOffset: readI64(view, at),
    sizeBytes: view.getInt32(at + 8) + 12,
    partitionLeaderEpoch: view.getInt32(at + 12),
    magic: view.getInt8(at + magicAt),
    crc: view.getUint32(at + crcAt),
    compression,
    timestampType: attributes & logAppendTimeBit ? 'LogAppendTime' : 'CreateTime',
    isTransactional: (attributes & transactionalBit) !== 0,
    isControl: (attributes & controlBit) !== 0,
    lastOffsetDelta: view.getInt32(at + 23),
    baseTimestampMs: readI64(view, at + 27),
    maxTimestampMs: readI64(view, at + maxTimestampAt),
    producerId: readI64(view, at + 43),
    producerEpoch: view.getInt16(at + 51),
    baseSequence: view.getInt32(at + 53),
    recordCount: view.getInt32(at + 57),
  }
  const { baseOffset, lastOffsetDelta, recordCount } = header
  if (!(baseOffset >= 0 && Number.isSafeInteger(baseOffset + lastOffsetDelta))) {
    return fault('CORRUPT_MESSAGE', 'the base offset is out of range', at)
  }
  if (lastOffsetDelta < 0 || recordCount < 0 || recordCount > lastOffsetDelta + 1) {
    return fault('INVALID_RECORD', `${recordCount} records do not fit offsets 0 to ${lastOffsetDelta}`, at)
  }
  if (Number.isNaN(header.producerId)) return fault('INVALID_RECORD', 'the producer id is out of range', at)
  if (Number.isNaN(header.baseTimestampMs) || Number.isNaN(header.maxTimestampMs)) {
    return fault('INVALID_TIMESTAMP', 'a timestamp of the batch is out of range', at)
  }
  return { ok: true, header }
}

// --- What a broker checks --------------------------------------------------------------------------------------------

export interface BatchCheckOptions {
  /** Largest whole batch, Kafka's `max.message.bytes`. */
  batchBytesMax: number
  /** Largest size of the records of a batch after decompression. */
  decompressedBytesMax: number
  /** Compacted topics: a record without a key is INVALID_RECORD. Implies the walk of compressed batches. */
  keyRequired?: boolean
  /** Whose records are walked. @default 'uncompressed' */
  walk?: 'uncompressed' | 'always'
  /** Smallest and largest timestamp a record may have (-1, none, may always be); implies the walk as well. */
  timestampMsMin?: number
  timestampMsMax?: number
}

/** A batch that passed. */
export interface CheckedBatch {
  ok: true
  header: BatchHeader
  /**
   * The true largest timestamp if the records were walked, else null. Where the header says otherwise the client was
   * wrong, and {@link stampMaxTimestamp} puts it right.
   */
  recordsMaxTimestampMs: number | null
}

/**
 * Everything a broker checks of one batch that a client sends: header and CRC always, the records where they are
 * uncompressed or an option asks. A client's batch has base offset 0, as many records as offsets, its own timestamps
 * and no control records.
 */
export function checkBatch(
  bytes: Uint8Array,
  at: number,
  codecs: Codecs,
  options: BatchCheckOptions,
): CheckedBatch | BatchFault {
  const read = readIntact(bytes, at, codecs, options.batchBytesMax)
  if (!read.ok) return read
  const header = read.header
  const wrong = clientFault(header, options.decompressedBytesMax)
  if (wrong !== null) return fault(wrong.code, wrong.message, at)
  const { keyRequired = false, walk: walked = 'uncompressed', timestampMsMin, timestampMsMax } = options
  const hasLimits = timestampMsMin !== undefined || timestampMsMax !== undefined
  if (header.compression !== 'none' && walked === 'uncompressed' && !keyRequired && !hasLimits) {
    return { ok: true, header, recordsMaxTimestampMs: null }
  }

  const opened = openRecords(bytes, at, header, codecs, options.decompressedBytesMax)
  if (!opened.ok) return opened
  const walk = opened.walk
  const earliest = timestampMsMin ?? Number.NEGATIVE_INFINITY
  const latest = timestampMsMax ?? Number.POSITIVE_INFINITY
  let recordsMaxTimestampMs = Number.NEGATIVE_INFINITY
  while (walk.next()) {
    const { timestampMs } = walk
    if (timestampMs > recordsMaxTimestampMs) recordsMaxTimestampMs = timestampMs
    if (keyRequired && walk.keyLength < 0) {
      return recordFault('INVALID_RECORD', 'a compacted topic takes no record without a key', at, header, walk)
    }
    if ((timestampMs < earliest || timestampMs > latest) && timestampMs !== -1) {
      const message = `timestamp ${timestampMs} is not within ${earliest} and ${latest}`
      return recordFault('INVALID_TIMESTAMP', message, at, header, walk)
    }
  }
  if (walk.fault !== null) return fault('INVALID_RECORD', walk.fault, positionOf(walk, at, header))
  return { ok: true, header, recordsMaxTimestampMs }
}

/** {@link checkBatch} of every batch in `bytes`, each with its position; no batch at all is INVALID_RECORD. */
export function checkBatches(
  bytes: Uint8Array,
  codecs: Codecs,
  options: BatchCheckOptions,
): { ok: true; batches: (CheckedBatch & { position: number })[] } | BatchFault {
  if (bytes.length === 0) return fault('INVALID_RECORD', 'there is no record batch', 0)
  const batches: (CheckedBatch & { position: number })[] = []
  for (let position = 0; position < bytes.length; ) {
    const checked = checkBatch(bytes, position, codecs, options)
    if (!checked.ok) return checked
    batches.push({ ...checked, position })
    position += checked.header.sizeBytes
  }
  return { ok: true, batches }
}

/** What a client may not put into a header that a broker's log may hold. */
function clientFault(
  header: BatchHeader,
  decompressedBytesMax: number,
): { code: BatchFault['code']; message: string } | null {
  const { baseOffset, recordCount, lastOffsetDelta, producerId, producerEpoch, baseSequence } = header
  const invalid = (message: string) => ({ code: 'INVALID_RECORD', message }) as const
  if (baseOffset !== 0) return invalid(`the base offset of a new batch is 0, not ${baseOffset}`)
  if (recordCount === 0) return invalid('the batch has no records')
  if (recordCount !== lastOffsetDelta + 1) {
    return invalid(`${recordCount} records do not fill offsets 0 to ${lastOffsetDelta}`)
  }
  if (header.isControl) return invalid('clients do not write control records')
  if (producerId < -1) return invalid(`${producerId} is not a producer id`)
  if (producerId >= 0 && (baseSequence < 0 || producerEpoch < 0)) {
    return invalid(`producer ${producerId} sends epoch ${producerEpoch} and sequence ${baseSequence}`)
  }
  if (producerId === -1 && header.isTransactional) return invalid('a transactional batch needs a producer id')
  if (header.timestampType === 'LogAppendTime') {
    return { code: 'INVALID_TIMESTAMP', message: 'clients do not write LogAppendTime' }
  }
  // Without a walk the count is only a claim; at least it cannot be one that no walk would confirm.
  if (recordCount > decompressedBytesMax / recordBytesMin) {
    return invalid(`${recordCount} records cannot fit ${decompressedBytesMax} bytes`)
  }
  return null
}

// --- Reading ---------------------------------------------------------------------------------------------------------

/** Which records of a batch are wanted. A record of 7 bytes becomes an object of a hundred: say how many at most. */
export interface RecordSelection {
  /** @default 0 */
  offsetMin?: number
  /** @default all */
  recordsMax?: number
}

/**
 * Reads a stored batch, its CRC checked. Offsets are `header.baseOffset` + delta; keys and values are views into
 * `bytes` or into the decompressed records, which `bytesMax` bounds.
 */
export function decodeBatch(
  bytes: Uint8Array,
  at: number,
  codecs: Codecs,
  bytesMax: number,
  selection: RecordSelection = {},
): { ok: true; header: BatchHeader; records: LogRecord[] } | BatchFault {
  const read = readIntact(bytes, at, codecs)
  if (!read.ok) return read
  const { header } = read
  const opened = openRecords(bytes, at, header, codecs, bytesMax)
  if (!opened.ok) return opened
  const records = readRecords(opened.bytes, opened.walk, header.baseOffset, selection)
  if (opened.walk.fault !== null) return fault('INVALID_RECORD', opened.walk.fault, positionOf(opened.walk, at, header))
  return { ok: true, header, records }
}

/**
 * The first record of the batch at `at` whose timestamp is `timestampMs` or later (and whose offset is at least
 * `offsetMin`): its exact offset and timestamp, or `record: null`. Builds no records, and does not even decompress
 * where the header already says no.
 */
export function firstRecordAtOrAfter(
  bytes: Uint8Array,
  at: number,
  timestampMs: number,
  codecs: Codecs,
  bytesMax: number,
  offsetMin = 0,
): { ok: true; record: { offset: number; timestampMs: number } | null } | BatchFault {
  const read = readIntact(bytes, at, codecs)
  if (!read.ok) return read
  const { header } = read
  if (header.maxTimestampMs < timestampMs) return { ok: true, record: null }
  const opened = openRecords(bytes, at, header, codecs, bytesMax)
  if (!opened.ok) return opened
  const { walk } = opened
  while (walk.next()) {
    const offset = header.baseOffset + walk.offsetDelta
    if (walk.timestampMs < timestampMs || offset < offsetMin) continue
    return { ok: true, record: { offset, timestampMs: walk.timestampMs } }
  }
  if (walk.fault !== null) return fault('INVALID_RECORD', walk.fault, positionOf(walk, at, header))
  return { ok: true, record: null }
}

/** The header of a batch that arrived as it was sent. The CRC comes before the fields: damage is called damage. */
function readIntact(
  bytes: Uint8Array,
  at: number,
  codecs: Codecs,
  batchBytesMax = Number.POSITIVE_INFINITY,
): { ok: true; header: BatchHeader } | BatchFault {
  const view = viewOf(bytes)
  const unframed = frameFault(view, at)
  if (unframed !== null) return unframed
  const sizeBytes = view.getInt32(at + 8) + 12
  if (sizeBytes > batchBytesMax) {
    return fault('MESSAGE_TOO_LARGE', `a batch of ${sizeBytes} bytes; ${batchBytesMax} are allowed`, at)
  }
  const stated = view.getUint32(at + crcAt)
  const actual = codecs.crc32c(bytes.subarray(at + attributesAt, at + sizeBytes))
  if (actual !== stated)
    return fault('CORRUPT_MESSAGE', `the CRC of the batch is ${actual}, its header says ${stated}`, at)
  return readFields(view, at)
}

/** A walk over the records of an intact batch. `bytes` are the ones walked: those given, or the decompressed, at most `bytesMax`. */
export function openRecords(
  bytes: Uint8Array,
  at: number,
  header: BatchHeader,
  codecs: Codecs,
  bytesMax: number,
): { ok: true; bytes: Uint8Array; walk: RecordWalk } | BatchFault {
  let walked = plain(bytes)
  let from = at + batchOverheadBytes
  let end = at + header.sizeBytes
  if (header.compression !== 'none') {
    const decompressed = codecs.decompress(header.compression, walked.subarray(from, end), bytesMax)
    if (!decompressed.ok) {
      const code = decompressed.reason === 'too-large' ? 'MESSAGE_TOO_LARGE' : 'INVALID_RECORD'
      return fault(code, `${header.compression}: ${decompressed.message}`, at)
    }
    walked = decompressed.bytes
    from = 0
    end = walked.length
  } else if (end - from > bytesMax) {
    return fault('MESSAGE_TOO_LARGE', `${end - from} bytes of records; ${bytesMax} are allowed`, at)
  }
  return { ok: true, bytes: walked, walk: new RecordWalk(walked, from, end, header) }
}

// --- Writing ---------------------------------------------------------------------------------------------------------

export interface NewBatch {
  records: readonly NewRecord[]
  compression: CompressionType
  /** @default the codec's own */
  compressionLevel?: number | undefined
  /** @default 'CreateTime' */
  timestampType?: 'CreateTime' | 'LogAppendTime'
  /** @default -1, with epoch -1 and sequence -1: not idempotent */
  producerId?: number
  producerEpoch?: number
  baseSequence?: number
  /** @default false */
  isTransactional?: boolean
  /** @default false */
  isControl?: boolean
  /** What compaction leaves: the offset of each record relative to the base offset, ascending. @default 0, 1, 2... */
  offsetDeltas?: readonly number[]
  /** At least the last record's offset delta, which is the default; required where compaction leaves no records. */
  lastOffsetDelta?: number
}

/**
 * Encodes a batch with base offset 0; same input, same bytes. The leader epoch is -1, "not known", as Kafka's own
 * producer writes it: whoever reads the batch before a leader put an epoch there must not take 0 for one.
 *
 * @throws RangeError for numbers that no batch can hold: a bug of the caller, who checked what came from outside
 */
export function encodeBatch(batch: NewBatch, codecs: Codecs): Uint8Array {
  const { records, compression, offsetDeltas, producerId = -1 } = batch
  const lastOffsetDelta = batch.lastOffsetDelta ?? offsetDeltas?.at(-1) ?? records.length - 1
  assertOffsets(records.length, offsetDeltas, lastOffsetDelta)
  const baseTimestampMs = records.length === 0 ? -1 : records[0]!.timestampMs
  let maxTimestampMs = baseTimestampMs
  for (let index = 0; index < records.length; index++) {
    const { timestampMs } = records[index]!
    if (!Number.isSafeInteger(timestampMs) || !Number.isSafeInteger(timestampMs - baseTimestampMs)) {
      throw new RangeError(`record ${index} cannot have timestamp ${timestampMs}`)
    }
    if (timestampMs > maxTimestampMs) maxTimestampMs = timestampMs
  }

  const sizes = new Int32Array(records.length)
  const recordsBytes = measureRecords(records, baseTimestampMs, offsetDeltas, sizes)
  if (recordsBytes > 0x7fffffff - batchOverheadBytes) throw new RangeError(`${recordsBytes} bytes are no batch`)
  let bytes: Uint8Array
  if (compression === 'none') {
    bytes = new Uint8Array(batchOverheadBytes + recordsBytes)
    writeRecords(bytes, batchOverheadBytes, records, baseTimestampMs, offsetDeltas, sizes)
  } else {
    const raw = new Uint8Array(recordsBytes)
    writeRecords(raw, 0, records, baseTimestampMs, offsetDeltas, sizes)
    const compressed = codecs.compress(compression, raw, batch.compressionLevel)
    bytes = new Uint8Array(batchOverheadBytes + compressed.length)
    bytes.set(compressed, batchOverheadBytes)
  }

  const view = viewOf(bytes)
  view.setInt32(8, bytes.length - 12)
  view.setInt32(12, -1)
  view.setInt8(magicAt, 2)
  view.setInt16(
    attributesAt,
    compressionTypes.indexOf(compression) |
      (batch.timestampType === 'LogAppendTime' ? logAppendTimeBit : 0) |
      (batch.isTransactional ? transactionalBit : 0) |
      (batch.isControl ? controlBit : 0),
  )
  view.setInt32(23, lastOffsetDelta)
  writeI64(view, 27, baseTimestampMs)
  writeI64(view, maxTimestampAt, maxTimestampMs)
  writeI64(view, 43, producerId)
  view.setInt16(51, batch.producerEpoch ?? -1)
  view.setInt32(53, batch.baseSequence ?? -1)
  view.setInt32(57, records.length)
  view.setUint32(crcAt, codecs.crc32c(bytes.subarray(attributesAt)))
  return bytes
}

function assertOffsets(count: number, offsetDeltas: readonly number[] | undefined, lastOffsetDelta: number): void {
  let previous = count - 1
  if (offsetDeltas !== undefined) {
    if (offsetDeltas.length !== count) throw new RangeError(`${offsetDeltas.length} offsets for ${count} records`)
    previous = -1
    for (const delta of offsetDeltas) {
      if (!Number.isSafeInteger(delta) || delta <= previous) throw new RangeError(`offset ${delta} after ${previous}`)
      previous = delta
    }
  }
  if (!(lastOffsetDelta >= Math.max(previous, 0) && lastOffsetDelta <= 0x7fffffff)) {
    throw new RangeError(`the last offset delta of ${count} records cannot be ${lastOffsetDelta}`)
  }
}

/** What is another in the header of a batch whose records were written anew. */
export interface NewRecordsHeader {
  compression: CompressionType
  lastOffsetDelta: number
  baseTimestampMs: number
  maxTimestampMs: number
  recordCount: number
}

/**
 * Makes `bytes`, whose records begin at byte 61, a batch with the header of `like`: base offset, leader epoch, producer and the other
 * attributes stay; what the new records change, and the CRC, are written anew.
 */
export function sealBatch(bytes: Uint8Array, like: Uint8Array, header: NewRecordsHeader, codecs: Codecs): void {
  bytes.set(like.subarray(0, batchOverheadBytes))
  const view = viewOf(bytes)
  view.setInt32(8, bytes.length - 12)
  view.setInt16(
    attributesAt,
    (view.getInt16(attributesAt) & ~compressionBits) | compressionTypes.indexOf(header.compression),
  )
  view.setInt32(23, header.lastOffsetDelta)
  writeI64(view, 27, header.baseTimestampMs)
  writeI64(view, maxTimestampAt, header.maxTimestampMs)
  view.setInt32(57, header.recordCount)
  view.setUint32(crcAt, codecs.crc32c(bytes.subarray(attributesAt)))
}

/** Whether a batch has attributes that mean nothing to Highwater (bits 6 and up): what they mean may hang on its bytes. */
export function hasForeignAttributes(bytes: Uint8Array, at: number): boolean {
  return viewOf(bytes).getInt16(at + attributesAt) >> 6 !== 0
}

/** Writes the base offset (and the leader epoch) in place: both lie outside the CRC, so the batch stays valid. */
export function rebaseBatch(bytes: Uint8Array, at: number, baseOffset: number, leaderEpoch?: number): void {
  const view = viewOf(bytes)
  writeI64(view, at, baseOffset)
  if (leaderEpoch !== undefined) view.setInt32(at + 12, leaderEpoch)
}

/** LogAppendTime: sets attribute bit 3 and the batch's one timestamp, and computes the CRC anew. In place. */
export function stampAppendTime(bytes: Uint8Array, at: number, nowMs: number, codecs: Codecs): void {
  bytes[at + attributesAt + 1]! |= logAppendTimeBit
  stampMaxTimestamp(bytes, at, nowMs, codecs)
}

/** Corrects the largest timestamp that a client wrote into the header, and computes the CRC anew. In place. */
export function stampMaxTimestamp(bytes: Uint8Array, at: number, maxTimestampMs: number, codecs: Codecs): void {
  const view = viewOf(bytes)
  writeI64(view, at + maxTimestampAt, maxTimestampMs)
  const end = at + 12 + view.getInt32(at + 8)
  view.setUint32(at + crcAt, codecs.crc32c(bytes.subarray(at + attributesAt, end)))
}

// --- Bytes -----------------------------------------------------------------------------------------------------------

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** The same bytes as a Uint8Array and nothing more: views of a Node Buffer would be Buffers, and print as them. */
function plain(bytes: Uint8Array): Uint8Array {
  return bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function fault(code: BatchFault['code'], message: string, at: number): BatchFault {
  return { ok: false, code, message, at }
}

function recordFault(
  code: BatchFault['code'],
  message: string,
  at: number,
  header: BatchHeader,
  walk: RecordWalk,
): BatchFault {
  return { ...fault(code, message, positionOf(walk, at, header)), recordIndex: walk.count - 1 }
}

/** Where a walk stands, in the bytes of the batch: decompressed positions mean nothing to who sent it. */
function positionOf(walk: RecordWalk, at: number, header: BatchHeader): number {
  return header.compression === 'none' ? walk.at : at
}
