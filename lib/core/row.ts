/**
 * Rows: what the tail was rolled into. A row names the chunks of a run of offsets `first..last`; its sort key is `last`.
 *
 * Rows may overlap: a merge was interrupted, or a late put revived a row that had been superseded. Everywhere the row
 * that counts at x is the one with the *largest last* among those with first <= x <= last (R1). Shadowed rows are never
 * preferred.
 */
import type { EpochMs, Offset } from './names.ts'
import type { ChunkReference } from './reference.ts'

export interface RowChunk {
  readonly ref: ChunkReference
  readonly base: Offset
}

export interface Row {
  readonly first: Offset
  readonly last: Offset
  /** Ascending by base; the first begins at `first`, each ends where the next begins. */
  readonly chunks: readonly RowChunk[]
  /** The largest timestamp of this run, -1 where it has none. */
  readonly maxTimestampMs: EpochMs
  /** The largest timestamp of this run and everything before it. */
  readonly maxTimestampSoFarMs: EpochMs
  /** True when a merge replaced the references of the run: it no longer tells which appends it holds. */
  readonly isMerged: boolean
}

export type RowChoice =
  | { readonly kind: 'found'; readonly row: Row }
  /** More rows must be read: none of those given begins after x. */
  | { readonly kind: 'read-on'; readonly candidate: Row | undefined }
  /** No row covers x. */
  | { readonly kind: 'none' }

/**
 * R1. `rows` are those with last >= x, ascending by last, from the first such row on; `isEnd` says that there are no
 * more. `reading` says how far to look:
 *
 * - `near` stops at the first row that begins after x: right as long as nothing between x and the end of the row that
 *   counts is shadowed, which is nearly always, and one short query;
 * - `far` considers every row. A reader goes far when near led nowhere (no row, or a missing object): two or more rows
 *   that a merge superseded still stand, or were put again late, and hide the merged row behind them.
 */
export function rowThatCounts(rows: readonly Row[], x: Offset, isEnd: boolean, reading: 'near' | 'far'): RowChoice {
  let candidate: Row | undefined
  for (const row of rows) {
    if (row.first > x) {
      if (reading === 'far') continue
      return candidate === undefined ? { kind: 'none' } : { kind: 'found', row: candidate }
    }
    if (row.last >= x) candidate = row
  }
  if (!isEnd) return { kind: 'read-on', candidate }
  return candidate === undefined ? { kind: 'none' } : { kind: 'found', row: candidate }
}

/** Where one append is, after an outcome that nobody saw. */
export type Absence =
  | { readonly kind: 'committed'; readonly base: Offset }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unprovable' }

/**
 * R2, proof of absence: a reference that is not in the tail was never committed only if every offset from `from` (the high
 * watermark before the first attempt) to `tailStart` lies in rows that still list the references of their appends.
 */
export function findInRows(rows: readonly Row[], ref: ChunkReference, from: Offset, tailStart: Offset): Absence {
  let proven = from
  for (const row of rows) {
    for (const chunk of row.chunks) if (chunk.ref === ref) return { kind: 'committed', base: chunk.base }
    if (!row.isMerged && row.first <= proven && row.last >= proven) proven = row.last + 1
  }
  return proven >= tailStart ? { kind: 'absent' } : { kind: 'unprovable' }
}
