/**
 * May this segment go? A pure function of its footer and of what names segments in each partition that the footer names.
 *
 * S2 Every row that exists counts here, also one that another covers: a reader may be led to it (decision 1).
 * S3 A merged segment that no row names goes only when a larger row covers its whole run, or the run lies below the log start: the
 *    write of its row may still arrive, and must then be covered (decision 1).
 */
import type { Head } from './head.ts'
import type { Offset, SegmentId } from './names.ts'
import type { ChunkReference } from './reference.ts'
import { isInlineReference, segmentOfReference } from './reference.ts'
import type { Row } from './row.ts'
import type { SegmentIndex } from './segment-index.ts'

/** What a partition names, read after its fence was raised: the tail first, the rows afterwards. */
export interface Named {
  /** Ids in the tail and in all rows, those of inline chunks among them. */
  readonly ids: ReadonlySet<SegmentId>
  readonly rows: readonly Row[]
  readonly start: Offset
  /** The topic is marked as deleted: nothing of it is read, or committed, again. */
  readonly isDeleted: boolean
}

/** Ids that the head's tail names. */
export function tailIds(head: Pick<Head, 'tail'>): SegmentId[] {
  return (Object.keys(head.tail) as ChunkReference[]).map(segmentOfReference)
}

/** Ids that a row names: of segments, or of inline chunks. */
export function rowIds(row: Row, isInline: boolean): SegmentId[] {
  return row.chunks.flatMap(({ ref }) => (isInlineReference(ref) === isInline ? [segmentOfReference(ref)] : []))
}

/** Nothing of this partition names the segment, nor ever will. */
export function isFree(id: SegmentId, { merged }: Pick<SegmentIndex, 'merged'>, named: Named): boolean {
  if (named.isDeleted) return true
  if (named.ids.has(id)) return false
  if (merged === undefined || merged.lastOffset < named.start) return true
  return named.rows.some((row) => row.first <= merged.firstOffset && row.last > merged.lastOffset)
}
