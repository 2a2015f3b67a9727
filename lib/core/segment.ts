import type { Codecs } from './codec.ts'
import type { EpochMs, Offset, TopicId } from './names.ts'
import type { MergedRun, SegmentFault, SegmentIndex, SegmentIndexChunk, Stretch } from './segment-index.ts'

/** Largest object: what an object store takes in one PUT. */
export const segmentBytesMax = 5 * 2 ** 30
export const segmentChunksMax = 65_536

/** Bytes from an object's end that nearly always hold index and footer whole. */
export const segmentTailBytes = 64 * 1024

export interface SegmentChunkInput {
  readonly topicId: TopicId
  readonly partition: number
  /** Each holds one or more whole batches; base offsets are relative to the chunk, from 0. Not copied, not changed. */
  readonly batches: readonly Uint8Array[]
  readonly recordCount: number
  readonly maxTimestampMs: EpochMs
  /** Absolute offset that the relative ones begin at: given for, and only for, merged segments. */
  readonly baseOffset?: Offset
}

export interface SegmentPlan {
  /** Header, the callers' buffers untouched, index and footer: for one vectored write. */
  readonly parts: readonly Uint8Array[]
  readonly sizeBytes: number
  /** In the order of the input. */
  readonly chunks: readonly PlannedChunk[]
}

export interface PlannedChunk {
  readonly topicId: TopicId
  readonly partition: number
  readonly position: number
  readonly lengthBytes: number
  readonly maxTimestampMs: EpochMs
}

/** Lays out a segment; same input, same bytes. Throws on input that no caller may give (a bug, never the user's). */
export function encodeSegment(chunks: readonly SegmentChunkInput[], codecs: Codecs, merged?: MergedRun): SegmentPlan {
  throw new Error(`to come ${chunks.length} ${codecs} ${merged}`)
}

/** `need-more`: the last `needBytes` bytes of the object are needed. */
export type SegmentTail =
  | { readonly ok: true; readonly index: SegmentIndex }
  | { readonly ok: false; readonly reason: 'need-more'; readonly needBytes: number }
  | SegmentFault

/** Reads index and footer from the last bytes of an object. */
export function decodeSegmentTail(tail: Uint8Array, objectSizeBytes: number, codecs: Codecs): SegmentTail {
  throw new Error(`to come ${tail.length} ${objectSizeBytes} ${codecs}`)
}

/** Verifies a whole object, every byte of it. */
export function checkSegment(
  bytes: Uint8Array,
  codecs: Codecs,
): { readonly ok: true; readonly index: SegmentIndex } | SegmentFault {
  throw new Error(`to come ${bytes.length} ${codecs}`)
}

/** Verifies one chunk (or the stretch of one) that was read by its index entry. */
export function checkChunk(
  bytes: Uint8Array,
  chunk: SegmentIndexChunk | Stretch,
  codecs: Codecs,
): { readonly ok: true } | SegmentFault {
  throw new Error(`to come ${bytes.length} ${chunk.position} ${codecs}`)
}

/** The stretch to begin reading at for an offset relative to the chunk's base. */
export function stretchAtOffset(chunk: SegmentIndexChunk, relativeOffset: Offset): Stretch {
  throw new Error(`to come ${chunk.position} ${relativeOffset}`)
}

/** The stretch that holds the first batch whose timestamp is `timestampMs` or later; undefined where there is none. */
export function stretchAtTime(chunk: SegmentIndexChunk, timestampMs: EpochMs): Stretch | undefined {
  throw new Error(`to come ${chunk.position} ${timestampMs}`)
}

/** Each partition that a segment's index names, once: what the sweep has to fence. */
export function segmentPartitions(
  index: SegmentIndex,
): readonly { readonly topicId: TopicId; readonly partition: number }[] {
  throw new Error(`to come ${index.sizeBytes}`)
}
