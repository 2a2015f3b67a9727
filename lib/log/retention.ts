/**
 * Retention: raises the log start past what is too old or too much, then removes the rows below it. What they named becomes candidates
 * of the sweep. Only whole rows go: a record is kept until all of its row may go.
 */
import type { Head, HeadKey } from '../core/head.ts'
import { tailStart } from '../core/head.ts'
import { offsetSortKey, rowsCollection } from '../core/items.ts'
import type { StoredRow } from '../core/merge-plan.ts'
import { rowBytes } from '../core/merge-plan.ts'
import type { EpochMs, Offset } from '../core/names.ts'
import { parseRow } from '../core/row.ts'
import type { EffectiveConfig } from '../core/topic.ts'
import { inlineOf, noteCandidates, segmentsOf } from './candidates.ts'
import type { Context } from './context.ts'
import { deleteInline } from './inline-chunks.ts'
import { deleteRows, rowsDown, rowsUp } from './rows.ts'

const rowsPerQuery = 64

/** What of a partition's retention is to be kept. */
export type RetentionLimits = Pick<EffectiveConfig, 'retentionMs' | 'retentionBytes'>

/**
 * Trims the partition as its topic's configs say, and removes what lies below the start, also what a delete-records left. Answers how many
 * rows went.
 */
export async function retainPartition(context: Context, key: HeadKey, limits: RetentionLimits): Promise<number> {
  const head = await context.heads.read(key)
  if (head === undefined || head.isDeleted) return 0
  const start = Math.max(
    await startByAge(context, head, limits.retentionMs),
    await startBySize(context, head, limits.retentionBytes),
  )
  if (start <= head.start) return removeBelow(context, head)
  const answer = await context.persist(() => context.metadata.updateHead(key, { kind: 'trim', start }))
  if (answer.head !== undefined) context.heads.note(answer.head)
  const now = await context.heads.read(key)
  return now === undefined || now.isDeleted ? 0 : removeBelow(context, now)
}

/** Past the leading rows whose records are all older than `retentionMs`. Reads one row more than it removes. */
async function startByAge(context: Context, head: Head, retentionMs: number): Promise<Offset> {
  if (retentionMs === Number.POSITIVE_INFINITY) return head.start
  const beforeMs = context.clock.now() - retentionMs
  let start = head.start
  for await (const { row } of rowsUp(context, head, head.start)) {
    // K2; and where compaction left nothing, nothing grows old.
    if (context.rules.isStaleRow(row, head.cleanedTo)) continue
    if (row.chunks.length === 0) {
      start = Math.max(start, row.last + 1)
      continue
    }
    // What has no timestamps has no age.
    if (row.maxTimestampMs < 0 || row.maxTimestampMs >= beforeMs) break
    if (row.last + 1 > start) start = row.last + 1
  }
  if (head.cleanedTo !== undefined && start > head.start) start = await startOfUncovered(context, head, start, beforeMs)
  return Math.min(start, tailStart(head))
}

/**
 * Compaction leaves in a row nothing of what a larger one covers (R1): where that one is not too old, the start stays before it. Rows that
 * were never cleaned hold the same records, and are as old. All rows are read, which are few, and only where there is something to trim.
 */
async function startOfUncovered(context: Context, head: Head, start: Offset, beforeMs: EpochMs): Promise<Offset> {
  let uncovered = start
  for await (const { row } of rowsUp(context, head, start)) {
    if (row.first >= uncovered || context.rules.isStaleRow(row, head.cleanedTo)) continue
    if (row.chunks.length > 0 && !(row.maxTimestampMs >= 0 && row.maxTimestampMs < beforeMs)) uncovered = row.first
  }
  return Math.max(head.start, uncovered)
}

/** Past the leading rows without which the partition still has at least `retentionBytes`. Reads what is kept, once. */
async function startBySize(context: Context, head: Head, retentionBytes: number): Promise<Offset> {
  if (retentionBytes === Number.POSITIVE_INFINITY) return head.start
  let bytes = 0
  let first = tailStart(head)
  for await (const { row } of rowsDown(context, head, tailStart(head) - 1, head.start)) {
    if (row.last >= first || context.rules.isStaleRow(row, head.cleanedTo)) continue
    if (bytes >= retentionBytes) return first
    bytes += rowBytes(row)
    first = row.first
  }
  return head.start
}

/** Rows that end below the start, in order, so that what is left is what the next round finds first. */
async function removeBelow(context: Context, head: Head): Promise<number> {
  let removed = 0
  while (head.start > 0) {
    const items = await context.persist(() =>
      context.metadata.query(rowsCollection(head.topicId, head.partition), {
        to: offsetSortKey(head.start - 1),
        limit: rowsPerQuery,
      }),
    )
    const rows = items.map(({ version, value }): StoredRow => ({ version, row: parseRow(value) }))
    if (rows.length === 0) break
    const first = Math.min(...rows.map(({ row }) => row.first))
    await noteCandidates(context, segmentsOf(rows), { key: head, first, last: rows[rows.length - 1]!.row.last })
    await deleteInline(context, head, inlineOf(rows))
    await deleteRows(context, head, rows)
    removed += rows.length
    if (rows.length < rowsPerQuery) break
  }
  return removed
}
