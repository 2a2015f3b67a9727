/**
 * May this segment go? Pure functions of its footer, of what names segments in each partition that the footer names, and of what was
 * noted when names were taken away.
 *
 * S2 Every row that exists counts here, also one that another covers: a reader may be led to it (decision 1).
 * S3 A merged segment that no row names goes only when the write of its row, which may still arrive, can do no harm: a larger row
 *    covers its whole run, or the run lies below the log start, or the row that the write would replace has been fenced. That is
 *    possible where it reaches as far down as the run: it is put again, as it is, under a fresh version. The late write is on the
 *    condition of the version before, which comes back only after this row was deleted, and it is deleted only once a larger one
 *    covers it, and with it the run.
 * S5 A segment that several appends share is looked for only where notes say that its names stood, and goes by notes only if they
 *    account for each of its chunks. Two facts make that enough. A chunk is committed once (H1), and only one roll moves its reference, whose row
 *    is the same whoever puts it, and however late: so a reference stands in the tail or under that one key. And nothing copies a
 *    reference into another row: merges and compactions name the segment that they wrote, and nothing else.
 */
import type { Head } from './head.ts'
import type { Offset, SegmentId } from './names.ts'
import type { ChunkReference } from './reference.ts'
import { isInlineReference, segmentOfReference } from './reference.ts'
import type { Row } from './row.ts'
import { isStaleRow } from './row.ts'
import type { SegmentIndex } from './segment-index.ts'

/** What a partition names, read after its fence was raised: the tail first, the rows afterwards. */
export interface Named {
  /** Ids in the tail and in the rows that may name the segment, those of inline chunks among them. */
  readonly ids: ReadonlySet<SegmentId>
  /** Of a merged segment: rows that end with its run or later. More of them may free it, fewer never do. */
  readonly rows: readonly Row[]
  readonly start: Offset
  /** The head's: rows that compaction left behind do not count, and cover nothing (K2). */
  readonly cleanedTo?: Offset
  /** The topic is marked as deleted: nothing of it is read, or committed, again. */
  readonly isDeleted: boolean
}

/** `fence-row`: it may go once this row was put again under a fresh version, on the condition of the one that was read. */
export type SegmentVerdict = 'free' | 'kept' | { readonly kind: 'fence-row'; readonly row: Row }

/** Ids that the head's tail names. */
export function tailIds(head: Pick<Head, 'tail'>): SegmentId[] {
  return (Object.keys(head.tail) as ChunkReference[]).map(segmentOfReference)
}

/** Ids that a row names: of segments, or of inline chunks. */
export function rowIds(row: Row, isInline: boolean): SegmentId[] {
  return row.chunks.flatMap(({ ref }) => (isInlineReference(ref) === isInline ? [segmentOfReference(ref)] : []))
}

/** `free`: nothing of this partition names the segment, nor ever will where it counts. */
export function judgeSegment(id: SegmentId, { merged }: Pick<SegmentIndex, 'merged'>, named: Named): SegmentVerdict {
  if (named.isDeleted) return 'free'
  if (named.ids.has(id)) return 'kept'
  if (merged === undefined || merged.lastOffset < named.start) return 'free'
  const { firstOffset, lastOffset } = merged
  const reachingDown = named.rows.filter((row) => row.first <= firstOffset && !isStaleRow(row, named.cleanedTo))
  if (reachingDown.some((row) => row.last > lastOffset)) return 'free'
  const own = reachingDown.find((row) => row.last === lastOffset)
  return own === undefined ? 'kept' : { kind: 'fence-row', row: own }
}

/** How many chunks of one segment were named by rows of a partition that lay between these offsets. */
export interface NotedChunks {
  readonly first: Offset
  readonly last: Offset
  readonly chunks: number
}

/**
 * S5. Between which offsets all of the chunks were named that a segment has in a partition. Undefined: what was noted does not account for all, since
 * some are still named, or never were. Notes of runs that overlap may tell of the same chunks.
 */
export function runsOfAll(notes: readonly NotedChunks[], chunks: number): readonly NotedChunks[] | undefined {
  const whole = notes.find((noted) => noted.chunks >= chunks)
  if (whole !== undefined) return [whole]
  const runs: NotedChunks[] = []
  let found = 0
  let above = 0
  for (const noted of [...notes].sort((a, b) => a.last - b.last || b.chunks - a.chunks)) {
    if (noted.first < above) continue
    runs.push(noted)
    found += noted.chunks
    above = noted.last + 1
  }
  return found >= chunks ? runs : undefined
}
