/**
 * Key compaction, what is to be decided: which rows a pass takes, whether it is worth it, which records stay. Pure functions of the rows, of
 * what earlier passes left, and of the topic's configs. What a row may hold, and which rows count, are K1 and K2 in row.ts.
 *
 *     start        clean        dirty start            end           tail
 *       |----- cleaned before -----|--- keys in the map ---|-- young --|
 *
 * A pass puts the keys between its dirty start and its end into a map, and leaves out every record below the end that a later one of its key
 * below the end supersedes. Tombstones below the dirty start have done their work: a pass has cleaned all that was before them.
 */
import type { CompactionItem, FinishedPass } from './items.ts'
import type { StoredRow } from './merge-plan.ts'
import { rowBytes } from './merge-plan.ts'
import type { EpochMs, Offset } from './names.ts'
import { segmentIdTimeMs } from './names.ts'
import { decodeReference, segmentOfReference } from './reference.ts'
import type { Row } from './row.ts'
import { isStaleRow } from './row.ts'

export interface CompactionPolicy {
  /** Offsets between dirty start and end: what the map of keys may have to hold. The first row is taken whatever it has. */
  readonly keysMax: number
  /** U1: the youngest chunk of a row that was not merged must be older. A merged one no longer tells of appends anyway. */
  readonly quietMs: number
  readonly minLagMs: number
  readonly maxLagMs: number
  readonly minDirtyRatio: number
  readonly deleteRetentionMs: number
}

/** A row, and where it counts: from its first offset to before `end` (R1). */
export interface CountingRow extends StoredRow {
  readonly end: Offset
}

export interface RowsByWorth {
  /** Ascending. */
  readonly counting: readonly CountingRow[]
  /**
   * Rows that count nowhere, and may go: stale (K2), or covered by rows with a larger last. But not where one of those is less clean than the row:
   * if it becomes stale, the row counts.
   */
  readonly others: readonly StoredRow[]
}

/** R1 and K2 for many rows at once: those from some offset on, ascending by last. `cleanedTo` is the head's. */
export function rowsByWorth(
  rows: readonly StoredRow[],
  cleanedTo: Offset | undefined,
  isStale: typeof isStaleRow = isStaleRow,
): RowsByWorth {
  const counting: CountingRow[] = []
  const others: StoredRow[] = []
  let first = Number.POSITIVE_INFINITY
  for (const stored of [...rows].reverse()) {
    const { row } = stored
    if (isStale(row, cleanedTo)) others.push(stored)
    else if (row.first >= first) {
      const over = counting.filter((above) => above.row.first <= row.last && above.end > row.first)
      if (over.every((above) => (above.row.cleanedTo ?? 0) >= (row.cleanedTo ?? 0))) others.push(stored)
    } else {
      counting.push({ ...stored, end: Math.min(row.last + 1, first) })
      first = row.first
    }
  }
  return { counting: counting.reverse(), others: others.reverse() }
}

export interface CompactionPlan {
  /** Keys from here on come into the map. Where rows of before were put late over cleaned ones, below what the head says. */
  readonly dirtyStart: Offset
  /** What is below is clean afterwards. Equal to the head's `cleanedTo`: nothing new, but tombstones are due. */
  readonly end: Offset
  /** Of all rows that may be taken, also of those beyond the end, which the map has no room for. */
  readonly dirtyBytes: number
  /** Another pass did part of it. */
  readonly isResumed: boolean
}

/** How far a pass would go. `counting`: rows that count, at least those that end beyond `cleanedTo`. */
export function planCompaction(
  counting: readonly CountingRow[],
  cleanedTo: Offset,
  policy: CompactionPolicy,
  nowMs: EpochMs,
): CompactionPlan {
  let dirtyStart = cleanedTo
  let resumeEnd = -1
  for (const { row } of counting) {
    const stamp = row.cleanedTo ?? 0
    // K2: it reaches beyond, or it would not count.
    if (row.first < dirtyStart && stamp < cleanedTo) dirtyStart = row.first
    // A pass stamps the highest rows first.
    if (stamp > cleanedTo) resumeEnd = row.last + 1
  }
  let end = cleanedTo
  let offsets = 0
  let dirtyBytes = 0
  for (const { row, end: rowEnd } of counting) {
    if (rowEnd <= dirtyStart) continue
    if (resumeEnd > cleanedTo && row.first >= resumeEnd) break
    if (isYoung(row, policy, nowMs)) break
    offsets += rowEnd - Math.max(row.first, dirtyStart)
    dirtyBytes += rowBytes(row)
    const hasRoom = end <= cleanedTo || offsets <= policy.keysMax
    // Not where the next row covers the end of this one: below the end lie whole rows.
    if (hasRoom && rowEnd === row.last + 1) end = rowEnd
  }
  return { dirtyStart, end, dirtyBytes, isResumed: resumeEnd > cleanedTo && end > cleanedTo }
}

function isYoung(row: Row, { quietMs, minLagMs }: CompactionPolicy, nowMs: EpochMs): boolean {
  if (minLagMs > 0 && row.maxTimestampMs > nowMs - minLagMs) return true
  return !row.isMerged && row.chunks.some(({ ref }) => segmentIdTimeMs(segmentOfReference(ref)) > nowMs - quietMs)
}

/** Is a pass worth its price now? Of tombstones that are due once in `delete.retention.ms`, since each pass reads all that is clean, too. */
export function isWorthCompacting(
  { dirtyStart, end, dirtyBytes, isResumed }: CompactionPlan,
  counting: readonly CountingRow[],
  item: CompactionItem,
  cleanedTo: Offset,
  policy: CompactionPolicy,
  nowMs: EpochMs,
): boolean {
  if (isResumed || areTombstonesDue(item, dirtyStart, policy, nowMs)) return true
  if (end <= cleanedTo) return false
  if (dirtyBytes > 0 && dirtyBytes >= policy.minDirtyRatio * (item.cleanBytes + dirtyBytes)) return true
  const dirty = counting.filter(({ row, end: rowEnd }) => rowEnd > dirtyStart && row.last < end)
  return earliestChunkMs(dirty) < nowMs - policy.maxLagMs
}

/** The largest timestamp of the chunk where it is the smallest: as near as can be said without reading records. What has no timestamps has no age. */
function earliestChunkMs(rows: readonly CountingRow[]): EpochMs {
  let earliestMs = Number.POSITIVE_INFINITY
  for (const { row } of rows)
    for (const { ref } of row.chunks) {
      const { maxTimestampMs } = decodeReference(ref)
      if (maxTimestampMs >= 0) earliestMs = Math.min(earliestMs, maxTimestampMs)
    }
  return earliestMs
}

function areTombstonesDue(
  { passes, firstTombstone }: CompactionItem,
  dirtyStart: Offset,
  { deleteRetentionMs }: CompactionPolicy,
  nowMs: EpochMs,
): boolean {
  const last = passes[passes.length - 1]
  if (firstTombstone === undefined || last === undefined || firstTombstone >= Math.min(last.to, dirtyStart))
    return false
  return last.atMs + deleteRetentionMs <= nowMs
}

/** Tombstones below may go: they have stayed for `delete.retention.ms` after a pass had cleaned all that was before them. */
export function tombstonesGoBelow(
  passes: readonly FinishedPass[],
  dirtyStart: Offset,
  deleteRetentionMs: number,
  nowMs: EpochMs,
): Offset {
  let below = 0
  for (const { to, atMs } of passes) if (atMs + deleteRetentionMs <= nowMs) below = Math.max(below, to)
  return Math.min(below, dirtyStart)
}

export interface KeyedRecord {
  readonly offset: Offset
  readonly key: Uint8Array | null
  /** Its value is null. */
  readonly isTombstone: boolean
}

/** `latest`: the largest offset of its key that the pass has seen. Records without a key go, as Kafka has it. */
export function keepsRecord(
  { offset, key, isTombstone }: KeyedRecord,
  latest: Offset | undefined,
  tombstonesBelow: Offset,
): boolean {
  if (key === null || (latest !== undefined && offset < latest)) return false
  return !isTombstone || offset >= tombstonesBelow
}

/** Passes that an item remembers (D8). */
export const passesMax = 16

/** What is remembered where rows of before were put over cleaned ones, from `dirtyStart` on: there nothing was cleaned. */
export function passesUpTo(passes: readonly FinishedPass[], dirtyStart: Offset): FinishedPass[] {
  return passes.flatMap(({ to, atMs }) => (dirtyStart > 0 ? [{ to: Math.min(to, dirtyStart), atMs }] : []))
}

/**
 * The passes to remember when one more has ended: of those that are due only the last matters; of the others, where they are too many, one
 * goes that lies close between its neighbours. Its tombstones count from the next pass.
 */
export function passesAfter(
  passes: readonly FinishedPass[],
  pass: FinishedPass,
  deleteRetentionMs: number,
  nowMs: EpochMs,
): FinishedPass[] {
  const due = passes.filter(({ atMs }) => atMs + deleteRetentionMs <= nowMs)
  const latestDue = due.reduce<FinishedPass | undefined>(
    (latest, one) => (latest === undefined || one.to >= latest.to ? one : latest),
    undefined,
  )
  const kept = [
    ...(latestDue === undefined ? [] : [latestDue]),
    ...passes.filter(({ atMs }) => atMs + deleteRetentionMs > nowMs),
    pass,
  ]
  while (kept.length > passesMax) {
    let closest = 1
    const gapAt = (at: number) => kept[at + 1]!.atMs - kept[at - 1]!.atMs
    for (let at = 2; at < kept.length - 1; at++) if (gapAt(at) < gapAt(closest)) closest = at
    kept.splice(closest, 1)
  }
  return kept
}
