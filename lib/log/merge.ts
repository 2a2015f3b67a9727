/**
 * The merge: many small chunks, inline or in gathered segments, become one segment of their partition alone (run.ts), every checksum
 * tested, and what came uncompressed compressed on the way (rewrite-run.ts). Two mergers at once leave an orphan, nothing worse: one
 * of them is refused where its row would be put.
 */
import type { Head, HeadKey } from '../core/head.ts'
import { tailStart } from '../core/head.ts'
import { offsetSortKey, rowsCollection } from '../core/items.ts'
import type { MergePlan, MergePolicy } from '../core/merge-plan.ts'
import { MergePlanner, rowBytes } from '../core/merge-plan.ts'
import type { Offset } from '../core/names.ts'
import { parseRow } from '../core/row.ts'
import type { EffectiveConfig } from '../core/topic.ts'
import { inlineOf, noteCandidates, segmentsOf } from './candidates.ts'
import type { Chunks } from './chunks.ts'
import type { Context } from './context.ts'
import { deleteInline } from './inline-chunks.ts'
import { rewriteRun } from './rewrite-run.ts'
import { deleteRows } from './rows.ts'
import { putInPlace, writeRun } from './run.ts'

const rowsPerQuery = 64

export interface Merged {
  readonly rows: number
  readonly bytes: number
}

/** Merges once, if it is worth it. That nobody else merges the partition too saves work, safety does not need it (D5). */
export async function mergePartition(
  context: Context,
  chunks: Chunks,
  key: HeadKey,
  config: EffectiveConfig,
): Promise<Merged | undefined> {
  const head = await context.heads.read(key)
  if (head === undefined || head.isDeleted) return undefined
  const planner = await look(context, head, mergePolicyOf(context, head, config))
  await removeShadowed(context, key, planner)
  const plan = planner.plan()
  if (plan === undefined) return undefined
  const bytes = plan.run.reduce((sum, { row }) => sum + rowBytes(row), 0)
  return context.merging.run(bytes, () => mergeRun(context, chunks, head, plan, config))
}

async function mergeRun(
  context: Context,
  chunks: Chunks,
  head: Head,
  plan: MergePlan,
  config: EffectiveConfig,
): Promise<Merged | undefined> {
  const key = { topicId: head.topicId, partition: head.partition }
  const batches = await loadRun(context, chunks, key, plan, head.start)
  // Something moved while it was read: the next merge looks again.
  if (batches === undefined) return undefined
  const rewritten = await rewriteRun(context, config, batches)
  const written = await writeRun(context, key, plan.run, rewritten.batches)
  if (!(await putInPlace(context, key, plan.run, written))) return undefined
  context.observe?.count('merges', 1)
  context.observe?.count('bytesMerged', written.bytes)
  return { rows: plan.run.length, bytes: written.bytes }
}

/** The policy that the settings and the topic make. */
function mergePolicyOf(
  { settings }: Context,
  { cleanedTo = 0 }: Head,
  { cleanupPolicy }: EffectiveConfig,
): MergePolicy {
  return {
    rowsMin: settings.mergeRowsMin,
    bytesMin: settings.mergeBytesMin,
    bytesMax: settings.mergeBytesMax,
    quietMs: settings.mergeQuietMs,
    ageMs: settings.mergeAgeMs,
    largeChunkBytesMin: settings.largeChunkBytesMin,
    floor: cleanedTo,
    ...(cleanupPolicy.isCompact ? { offsetsMax: settings.compactionKeysMax } : {}),
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
  const first = Math.min(...shadowed.map(({ row }) => row.first))
  const last = Math.max(...shadowed.map(({ row }) => row.last))
  await noteCandidates(context, segmentsOf(shadowed), { key, first, last })
  await deleteRows(context, key, shadowed)
  await deleteInline(
    context,
    key,
    inlineOf(shadowed).filter((id) => !used.has(id)),
  )
}

/** The run's chunks, with absolute offsets; undefined where some of its bytes are gone. */
async function loadRun(
  context: Context,
  chunks: Chunks,
  key: HeadKey,
  { run }: MergePlan,
  start: Offset,
): Promise<Uint8Array[] | undefined> {
  // What lies below the log start may be gone.
  const spans = context.rules.spansToMerge(run, start)
  return spans.length === 0 ? undefined : chunks.load(key, spans)
}
