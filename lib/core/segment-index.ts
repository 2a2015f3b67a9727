import type { EpochMs, Offset, TopicId } from './names.ts'

/** Chunks of requests that were gathered, or the run of one partition that a merge or compaction wrote. */
export type SegmentKind = 'gathered' | 'merged'

/**
 * Of a merged segment: the row it was written to stand in, whether it came to that or not. The sweep fences that row
 * (gives it another version) before it deletes the segment, so that a merge which sleeps cannot bring it back (D6).
 */
export interface MergedRun {
  readonly topicId: TopicId
  readonly partition: number
  /** First and last offset of the row; `last` is its sort key. Compaction may have removed either. */
  readonly firstOffset: Offset
  readonly lastOffset: Offset
}

/** A run of whole batches inside a large chunk: what one ranged read may fetch and check by itself. */
export interface Stretch {
  /** Bytes from the start of the object. */
  readonly position: number
  readonly lengthBytes: number
  /** Base offset, relative to the chunk, of its first batch. */
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
  /** At least one; a chunk of up to 256 KiB is one stretch. */
  readonly stretches: readonly Stretch[]
}

/** What a segment's index and footer say. */
export interface SegmentIndex {
  readonly kind: SegmentKind
  /** Set for, and only for, merged segments. */
  readonly merged?: MergedRun
  readonly chunks: readonly SegmentIndexChunk[]
  readonly recordCount: number
  readonly batchCount: number
  readonly maxTimestampMs: EpochMs
  readonly sizeBytes: number
}

/** Why bytes are not a segment. `at` is a position in the object. */
export interface SegmentFault {
  readonly ok: false
  readonly reason: 'not-a-segment' | 'unknown-version' | 'damaged'
  readonly message: string
  readonly at: number
}
