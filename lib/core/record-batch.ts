import type { Codecs, CompressionType } from './codec.ts'

/** Bytes of a batch before its records. */
export const batchOverheadBytes = 61

/** A record header: the key is UTF-8 text, the value bytes or null. */
export interface RecordHeader {
  key: string
  value: Uint8Array | null
}

/** A record as it is read: with its offset, and with the timestamp its batch gives it. */
export interface LogRecord {
  offset: number
  timestampMs: number
  key: Uint8Array | null
  value: Uint8Array | null
  headers: readonly RecordHeader[]
}

/** A record as it is written: offsets are given later. */
export interface NewRecord {
  timestampMs: number
  key: Uint8Array | null
  value: Uint8Array | null
  headers?: readonly RecordHeader[]
}

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

/** Why bytes are not a batch, in Kafka's error names. `at` is a position in the bytes that were given. */
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
}

/** Reads the header of the batch at `at`. Bounds-checked, never throws; does not look at the CRC. */
export function readBatchHeader(bytes: Uint8Array, at = 0): { ok: true; header: BatchHeader } | BatchFault {
  throw new Error(`to come ${bytes.length} ${at}`)
}

export interface BatchCheckOptions {
  /** Largest whole batch, Kafka's `max.message.bytes`. */
  batchBytesMax: number
  /** Largest size of the records of a batch after decompression. */
  decompressedBytesMax: number
  /** Compacted topics: a record without a key is INVALID_RECORD. Implies the walk of compressed batches. */
  keyRequired?: boolean
  /** Whose records are walked. @default 'uncompressed' */
  walk?: 'uncompressed' | 'always'
  /** Smallest and largest timestamp a record may have; either implies the walk of compressed batches. */
  timestampMsMin?: number
  timestampMsMax?: number
}

/**
 * Everything a broker checks of a batch that a client sends: header and CRC always, the records when they are
 * uncompressed or an option asks for it. `recordsMaxTimestampMs` is the true largest timestamp when the records were
 * walked (else null); a client may have written another one, see {@link stampMaxTimestamp}.
 */
export function checkBatch(
  bytes: Uint8Array,
  at: number,
  codecs: Codecs,
  options: BatchCheckOptions,
): { ok: true; header: BatchHeader; recordsMaxTimestampMs: number | null } | BatchFault {
  throw new Error(`to come ${bytes.length} ${at} ${codecs} ${options}`)
}

export interface NewBatch {
  records: readonly NewRecord[]
  compression: CompressionType
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
  /** What compaction leaves: the offset of each record relative to the base offset. @default 0, 1, 2... */
  offsetDeltas?: readonly number[]
  /** @default the last record's offset delta */
  lastOffsetDelta?: number
}

/** Encodes a batch with base offset 0; same input, same bytes. */
export function encodeBatch(batch: NewBatch, codecs: Codecs): Uint8Array {
  throw new Error(`to come ${batch} ${codecs}`)
}

/** Reads a stored batch whole. Offsets are `header.baseOffset` + delta. `bytesMax` bounds the decompressed records. */
export function decodeBatch(
  bytes: Uint8Array,
  at: number,
  codecs: Codecs,
  bytesMax: number,
): { ok: true; header: BatchHeader; records: LogRecord[] } | BatchFault {
  throw new Error(`to come ${bytes.length} ${at} ${codecs} ${bytesMax}`)
}

/** Writes the base offset (and the leader epoch) in place: both lie outside the CRC, so the batch stays valid. */
export function rebaseBatch(bytes: Uint8Array, at: number, baseOffset: number, leaderEpoch?: number): void {
  throw new Error(`to come ${bytes.length} ${at} ${baseOffset} ${leaderEpoch}`)
}

/** LogAppendTime: sets attribute bit 3 and the batch's one timestamp, and computes the CRC anew. In place. */
export function stampAppendTime(bytes: Uint8Array, at: number, nowMs: number, codecs: Codecs): void {
  throw new Error(`to come ${bytes.length} ${at} ${nowMs} ${codecs}`)
}

/** Corrects the largest timestamp that a client wrote into the header, and computes the CRC anew. In place. */
export function stampMaxTimestamp(bytes: Uint8Array, at: number, maxTimestampMs: number, codecs: Codecs): void {
  throw new Error(`to come ${bytes.length} ${at} ${maxTimestampMs} ${codecs}`)
}

/** Headers of the consecutive batches in `bytes` (a chunk), each with its position, or the first fault. */
export function batchHeaders(
  bytes: Uint8Array,
): { ok: true; headers: (BatchHeader & { position: number })[] } | BatchFault {
  throw new Error(`to come ${bytes.length}`)
}

/**
 * The first record of the batch at `at` whose timestamp is `timestampMs` or later: its exact offset and timestamp,
 * or `record: null`. Walks without building records.
 */
export function firstRecordAtOrAfter(
  bytes: Uint8Array,
  at: number,
  timestampMs: number,
  codecs: Codecs,
  bytesMax: number,
): { ok: true; record: { offset: number; timestampMs: number } | null } | BatchFault {
  throw new Error(`to come ${bytes.length} ${at} ${timestampMs} ${codecs} ${bytesMax}`)
}
