/**
 * Rows: what the tail was rolled into. A row names the chunks of a run of offsets `first..last`; its sort key is `last`.
 *
 * Rows may overlap: a merge was interrupted, or a late put revived a row that had been superseded. Everywhere the row
 * that counts at x is the one with the *largest last* among those with first <= x <= last (R1). Shadowed rows are never
 * preferred.
 *
 * Key compaction leaves out records that a later one of the same key supersedes; offsets never change, so a row keeps its run and
 * has fewer records, or none.
 *
 * K1 A row with `cleanedTo` holds no record that is superseded by a record of the same key at an offset below `cleanedTo`.
 * K2 A row that lies wholly below the head's `cleanedTo` counts only if its own reaches as far (`isStaleRow`): the others were put by
 *    somebody who was frozen, and hold records whose tombstones may be gone.
 */
import type { Json } from './items.ts'
import type { EpochMs, Offset } from './names.ts'
import type { ChunkReference } from './reference.ts'
import { isReference } from './reference.ts'

export interface RowChunk {
  readonly ref: ChunkReference
  readonly base: Offset
}

export interface Row {
  readonly first: Offset
  readonly last: Offset
  /** Ascending by base; each ends where the next begins, or before. The first begins at `first`, or later where a merge or compaction left something out. */
  readonly chunks: readonly RowChunk[]
  /** The largest timestamp of this run, -1 where it has none. */
  readonly maxTimestampMs: EpochMs
  /** The largest timestamp of this run and everything before it. */
  readonly maxTimestampSoFarMs: EpochMs
  /** True when a merge replaced the references of the run: it no longer tells which appends it holds. */
  readonly isMerged: boolean
  /** K1. Absent where compaction never came. */
  readonly cleanedTo?: Offset
}

/**
 * A stored item's value as the row it must be. Throws an `Error` that says what is wrong: nothing but a row's writers makes
 * these items, so anything else is damage, and must not be read as offsets.
 */
export function parseRow(value: Json): Row {
  const wrong = rowFault(value)
  if (wrong !== undefined) throw new Error(`damaged row: ${wrong}`)
  return value as unknown as Row
}

function rowFault(value: Json): string | undefined {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return 'no object'
  const { first, last, chunks, maxTimestampMs, maxTimestampSoFarMs, isMerged, cleanedTo } = value as {
    readonly [key: string]: Json
  }
  if (!isOffset(first) || !isOffset(last) || first > last)
    return `no run of offsets: ${JSON.stringify(first)} to ${JSON.stringify(last)}`
  if (typeof isMerged !== 'boolean') return 'isMerged is not said'
  if (!Number.isSafeInteger(maxTimestampMs) || !Number.isSafeInteger(maxTimestampSoFarMs))
    return 'a timestamp is no number'
  if ((maxTimestampMs as number) > (maxTimestampSoFarMs as number)) return 'its own time is beyond the largest so far'
  if (cleanedTo !== undefined && !(isOffset(cleanedTo) && cleanedTo > last))
    return `cleaned to ${JSON.stringify(cleanedTo)}, not beyond ${last}`
  if (!Array.isArray(chunks)) return 'no chunks'
  let next = first
  for (const chunk of chunks as readonly Json[]) {
    if (chunk === null || typeof chunk !== 'object' || Array.isArray(chunk)) return 'a chunk is no object'
    const { ref, base } = chunk as { readonly [key: string]: Json }
    if (typeof ref !== 'string' || !isReference(ref)) return `${JSON.stringify(ref)} is no chunk reference`
    if (!isOffset(base) || base < next || base > last)
      return `a chunk at ${JSON.stringify(base)} between ${next} and ${last}`
    next = base + 1
  }
  // A merge may leave a run empty, or without its first offsets; a roll never does.
  const [begin] = chunks as readonly { readonly base: Offset }[]
  if (!isMerged && begin?.base !== first) return `its chunks begin at ${begin?.base}, not at ${first}`
  return undefined
}

function isOffset(value: Json | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
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

/**
 * K2, `cleanedTo` is the head's. Everywhere where rows are read to find records, such a row is treated as if it were not there; only the sweep
 * counts it (S2).
 */
export function isStaleRow(row: Pick<Row, 'last' | 'cleanedTo'>, cleanedTo: Offset | undefined): boolean {
  return cleanedTo !== undefined && row.last < cleanedTo && (row.cleanedTo ?? 0) < cleanedTo
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
