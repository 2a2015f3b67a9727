/**
 * The merge: many small chunks, inline or in gathered segments, become one segment of their partition alone.
 *
 *   1. read the run's chunks, every checksum tested, and put them into one segment, durable and unseen;
 *   2. one row with the same last offset takes the place of the run's last row, on the condition of its version: from here on it
 *      counts for the whole run (R1);
 *   3. delete the run's other rows, the highest last first, so that what is left hides as little as possible;
 *   4. delete the run's inline chunks: they have left the tail, so that no late commit can name them (H1).
 *
 * Before step 2 the segments that the run names are noted as candidates of the sweep, which alone deletes objects; so is the new
 * one, in case that it is refused. Stopped anywhere it changes nothing that a reader sees (D7); what is left undone a later merge finds as shadowed rows. Two mergers at
 * once leave an orphan, nothing worse: one of them is refused at step 2.
 */
import type { Head, HeadKey } from '../core/head.ts'
import { tailStart } from '../core/head.ts'
import type { CandidateItem, Item } from '../core/items.ts'
import { candidateKey, inlineCollection, inlineKey, offsetSortKey, rowKey, rowsCollection } from '../core/items.ts'
import type { MergePlan, MergePolicy, StoredRow } from '../core/merge-plan.ts'
import { MergePlanner } from '../core/merge-plan.ts'
import type { EpochMs, Offset, SegmentId } from '../core/names.ts'
import { readBatchHeader, rebaseBatch } from '../core/record-batch.ts'
import { decodeReference, encodeReference } from '../core/reference.ts'
import type { Row } from '../core/row.ts'
import { parseRow } from '../core/row.ts'
import type { SegmentChunkInput } from '../core/segment.ts'
import { encodeSegment } from '../core/segment.ts'
import { rowIds } from '../core/sweep-rule.ts'
import type { Chunks } from './chunks.ts'
import type { Context } from './context.ts'
import { putSegment } from './flush.ts'
import { inParallel } from './in-parallel.ts'

/** Chunks of a merged segment: a fetch reads whole chunks. */
const chunkBytesTarget = 1_048_576
const rowsPerQuery = 64
/** Items that are noted or removed at the same time. */
const removalsAtOnce = 16
const inlinePerQuery = 128

interface ChunkInTheMaking extends SegmentChunkInput {
  readonly baseOffset: Offset
  readonly batches: Uint8Array[]
  recordCount: number
  maxTimestampMs: EpochMs
}

export interface Merged {
  readonly rows: number
  readonly bytes: number
}

/** Merges once, if it is worth it. The caller leads the partition; that nobody else merges too saves work, safety does not need it (D5). */
export async function mergePartition(
  context: Context,
  chunks: Chunks,
  key: HeadKey,
  policy: MergePolicy,
): Promise<Merged | undefined> {
  const head = await context.heads.read(key)
  if (head === undefined || head.isDeleted) return undefined
  const planner = await look(context, head, policy)
  await removeShadowed(context, key, planner)
  const plan = planner.plan()
  if (plan === undefined) return undefined
  const written = await writeSegment(context, chunks, key, plan, head.start)
  // Something moved while it was read: the next merge looks again.
  if (written === undefined) return undefined
  const { run } = plan
  const last = run[run.length - 1]!
  await noteCandidates(context, [...segmentsOf(run), written.segment])
  if (!(await replaceRow(context, key, last, written.row))) return undefined
  await deleteRows(context, key, run.slice(0, -1))
  await deleteInline(context, key, inlineOf(run))
  context.observe?.count('merges', 1)
  context.observe?.count('bytesMerged', written.bytes)
  return { rows: run.length, bytes: written.bytes }
}

/** The policy that the settings make. */
export function mergePolicyOf({ settings }: Context): MergePolicy {
  return {
    rowsMin: settings.mergeRowsMin,
    bytesMin: settings.mergeBytesMin,
    bytesMax: settings.mergeBytesMax,
    quietMs: settings.mergeQuietMs,
  }
}

/** Rows from the newest down to where nothing more is wanted: none below the log start, and none that the tail still holds. */
async function look(context: Context, head: Head, policy: MergePolicy): Promise<MergePlanner> {
  const planner = new MergePlanner(policy, context.clock.now())
  const collection = rowsCollection(head.topicId, head.partition)
  let below = tailStart(head)
  while (below > head.start) {
    const range = { from: offsetSortKey(head.start), to: offsetSortKey(below - 1), limit: rowsPerQuery, reverse: true }
    const items = await context.persist(() => context.metadata.query(collection, range))
    for (const item of items) if (!planner.take({ version: item.version, row: parseRow(item.value) })) return planner
    const last = items[items.length - 1]
    if (items.length < rowsPerQuery || last === undefined) return planner
    below = Number(last.key.sort)
  }
  return planner
}

/** What an earlier merge, or a late put, left: rows that later ones cover, and their inline chunks, unless a row that counts names them too. */
async function removeShadowed(context: Context, key: HeadKey, { shadowed, live }: MergePlanner): Promise<void> {
  if (shadowed.length === 0) return
  const used = new Set(inlineOf(live))
  await noteCandidates(context, segmentsOf(shadowed))
  await deleteRows(context, key, shadowed)
  await deleteInline(
    context,
    key,
    inlineOf(shadowed).filter((id) => !used.has(id)),
  )
}

/** The run as one segment and the row for it; undefined where some of its bytes are gone. */
async function writeSegment(
  context: Context,
  chunks: Chunks,
  { topicId, partition }: HeadKey,
  { run }: MergePlan,
  start: Offset,
): Promise<{ readonly segment: SegmentId; readonly row: Row; readonly bytes: number } | undefined> {
  const first = run[0]!.row
  const last = run[run.length - 1]!.row
  const inputs: ChunkInTheMaking[] = []
  // What lies below the log start may be gone.
  const spans = context.rules.spansToMerge(run, start)
  const contents = await chunks.load({ topicId, partition }, spans)
  if (contents === undefined || spans.length === 0) return undefined
  let room = 0
  let bytes = 0
  for (const [index, content] of contents.entries()) {
    const span = spans[index]!
    let current = inputs[inputs.length - 1]
    if (current === undefined || room < content.byteLength) {
      current = { topicId, partition, baseOffset: span.base, batches: [], recordCount: 0, maxTimestampMs: -1 }
      inputs.push(current)
      room = chunkBytesTarget
    }
    for (let at = 0; at < content.byteLength; ) {
      const read = readBatchHeader(content, at)
      if (!read.ok) throw new Error(`damaged chunk ${span.ref} at byte ${at}: ${read.message}`)
      const { header } = read
      rebaseBatch(content, at, header.baseOffset - current.baseOffset)
      current.recordCount += header.recordCount
      at += header.sizeBytes
    }
    current.batches.push(content)
    current.maxTimestampMs = Math.max(current.maxTimestampMs, decodeReference(span.ref).maxTimestampMs)
    room -= content.byteLength
    bytes += content.byteLength
  }
  const plan = encodeSegment(inputs, context.codecs, {
    topicId,
    partition,
    firstOffset: first.first,
    lastOffset: last.last,
  })
  const segment = await putSegment(context, plan, '')
  const row: Row = {
    first: first.first,
    last: last.last,
    chunks: plan.chunks.map((place, index) => ({
      ref: encodeReference({ segment, ...place }),
      base: inputs[index]!.baseOffset,
    })),
    maxTimestampMs: run.reduce((max, stored) => Math.max(max, stored.row.maxTimestampMs), -1),
    maxTimestampSoFarMs: last.maxTimestampSoFarMs,
    isMerged: true,
  }
  return { segment, row, bytes }
}

/** Is the write done, by this attempt or an earlier one? */
async function replaceRow(context: Context, key: HeadKey, seen: StoredRow, row: Row): Promise<boolean> {
  const version = context.newVersion()
  const answer = await context.persist(() =>
    context.metadata.write([
      {
        op: 'put',
        key: rowKey(key.topicId, key.partition, seen.row.last),
        version,
        value: row as unknown as Item['value'],
        if: { version: seen.version },
      },
    ]),
  )
  return answer.applied || answer.items[0]?.version === version
}

/** The highest first. What they name is noted before. */
export async function deleteRows(context: Context, key: HeadKey, rows: readonly StoredRow[]): Promise<void> {
  const descending = [...rows].sort((a, b) => b.row.last - a.row.last)
  for (const { row, version } of descending)
    await context.persist(() =>
      context.metadata.write([{ op: 'delete', key: rowKey(key.topicId, key.partition, row.last), if: { version } }]),
    )
}

/** Inline chunks that no row which counts names, nor the tail. Anybody may do it twice. */
export async function deleteInline(context: Context, key: HeadKey, ids: readonly SegmentId[]): Promise<void> {
  const { topicId, partition } = key
  const sorted = [...ids].sort()
  for (let at = 0; at < sorted.length; at += inlinePerQuery) {
    const some = sorted.slice(at, at + inlinePerQuery)
    const versions = await inlineVersions(context, key, some)
    await inParallel(some, removalsAtOnce, async (id) => {
      const version = versions.get(id)
      if (version === undefined) return
      const itemKey = inlineKey(topicId, partition, id)
      await context.persist(() => context.metadata.write([{ op: 'delete', key: itemKey, if: { version } }]))
    })
  }
}

/** Those that are there. They lie close together: a query is billed once for all that it reads, single reads are each rounded up. */
async function inlineVersions(
  context: Context,
  { topicId, partition }: HeadKey,
  sorted: readonly SegmentId[],
): Promise<ReadonlyMap<string, string>> {
  const { metadata } = context
  const versions = new Map<string, string>()
  const range = { from: sorted[0] ?? '', to: sorted[sorted.length - 1] ?? '', limit: 2 * sorted.length }
  const items = await context.persist(() => metadata.query(inlineCollection(topicId, partition), range))
  for (const { key, version } of items) versions.set(key.sort, version)
  if (items.length < range.limit) return versions
  // Others lie between them: what the query did not come to is asked for by itself.
  await inParallel(sorted, removalsAtOnce, async (id) => {
    if (versions.has(id)) return
    const item = await context.persist(() => metadata.get(inlineKey(topicId, partition, id)))
    if (item !== undefined) versions.set(id, item.version)
  })
  return versions
}

/** Segments that are, or were about to be, named no longer: the sweep looks whether anything still names them. */
export async function noteCandidates(context: Context, segments: readonly SegmentId[]): Promise<void> {
  const value: CandidateItem = { sinceMs: context.clock.now() }
  await inParallel(segments, removalsAtOnce, async (id) => {
    const version = context.newVersion()
    await context.persist(() =>
      context.metadata.write([
        { op: 'put', key: candidateKey(id), version, value: value as unknown as Item['value'], if: 'absent' },
      ]),
    )
  })
}

/** Distinct segments that rows name. */
export function segmentsOf(rows: readonly StoredRow[]): SegmentId[] {
  return idsOf(rows, false)
}

export function inlineOf(rows: readonly StoredRow[]): SegmentId[] {
  return idsOf(rows, true)
}

function idsOf(rows: readonly StoredRow[], isInline: boolean): SegmentId[] {
  return [...new Set(rows.flatMap(({ row }) => rowIds(row, isInline)))]
}
