/** Upkeep of a partition. What it does costs speed and money when it is late, never records. Whose turn it is: upkeep.ts. */
import type { Head, HeadKey } from '../core/head.ts'
import { tailEntries } from '../core/head.ts'
import { segmentIdTimeMs } from '../core/names.ts'
import { segmentOfReference } from '../core/reference.ts'
import type { EffectiveConfig, Topic } from '../core/topic.ts'
import { effectiveConfig } from '../core/topic.ts'
import { compactPartition } from './compact.ts'
import type { Context } from './context.ts'
import type { Engine } from './engine.ts'
import { mergePartition } from './merge.ts'
import { forgetProducers } from './producer-ids.ts'
import type { RetentionLimits } from './retention.ts'
import { retainPartition } from './retention.ts'
import { rollPartition } from './roll.ts'
import { sweepInline } from './sweep.ts'

/** Merges of one partition in one round: a backlog does not keep the others waiting. */
const mergesPerRound = 8
/** Passes of compaction, likewise. */
const passesPerRound = 8

/** Merges until nothing more is worth it, or a round's share is done. Answers how many rows became others. */
export async function mergeBacklog(
  { context, chunks }: Engine,
  key: HeadKey,
  config: EffectiveConfig,
  signal: AbortSignal,
): Promise<number> {
  const { topicId } = key
  let rows = 0
  for (let merges = 0; merges < mergesPerRound && !signal.aborted; merges++) {
    const merged = await context.within({ operation: 'merge', topicId }, () =>
      mergePartition(context, chunks, key, config),
    )
    if (merged === undefined) break
    rows += merged.rows
  }
  if (rows > 0) await context.within({ operation: 'sweep', topicId }, () => sweepInline(context, key))
  return rows
}

/** What was done to a partition, or to several. */
export interface PartitionsMaintained {
  /** Producers and idempotency keys. */
  readonly forgotten: number
  /** Rows that lay below the log start. */
  readonly rowsRemoved: number
  /** Rows that became others. */
  readonly rowsMerged: number
}

/**
 * All that is done to one partition. Each step may be the last: what is left undone is done the next time. Many may be under way at once; what
 * holds batches in memory goes through `context.merging`.
 */
export async function maintainPartition(
  engine: Engine,
  topic: Topic,
  partition: number,
  signal: AbortSignal,
): Promise<PartitionsMaintained> {
  const { context } = engine
  const key = { topicId: topic.id, partition }
  const config = effectiveConfig(topic)
  const head = await context.heads.read(key)
  // Nothing was ever committed: there is nothing to look for.
  if (head === undefined || head.isDeleted || head.hw === 0) return { forgotten: 0, rowsRemoved: 0, rowsMerged: 0 }
  const forgotten = await forgetProducers(context, key)
  await rollOldTail(context, head)
  const rowsRemoved = await context.within({ operation: 'retention', topicId: topic.id }, () =>
    retainPartition(context, key, retentionOf(config)),
  )
  const rowsMerged = await mergeBacklog(engine, key, config, signal)
  if (config.cleanupPolicy.isCompact)
    await context.within({ operation: 'compaction', topicId: topic.id }, () => compact(engine, key, config, signal))
  return { forgotten, rowsRemoved, rowsMerged }
}

/** A backlog of more keys than a pass has room for takes several. */
async function compact(
  { context, chunks }: Engine,
  key: HeadKey,
  config: EffectiveConfig,
  signal: AbortSignal,
): Promise<void> {
  for (let passes = 0; passes < passesPerRound && !signal.aborted; passes++)
    if ((await compactPartition(context, chunks, key, config, signal)) === undefined) return
}

/**
 * Rolls a tail that nobody rolls, since too few commits come: only what lies in rows can be merged, or let go by retention. The first
 * roll moves what was committed before the last one, the second what came since.
 */
async function rollOldTail(context: Context, head: Head): Promise<void> {
  const beforeMs = context.clock.now() - context.settings.tailAgeMsMax
  let seen: Head | undefined = head
  for (let rolls = 0; rolls < 2 && seen !== undefined; rolls++) {
    const [oldest] = tailEntries(seen)
    if (oldest === undefined || segmentIdTimeMs(segmentOfReference(oldest.ref)) >= beforeMs) return
    await rollPartition(context, head)
    seen = await context.heads.read(head)
  }
}

/** What a compacted topic holds does not grow old. */
function retentionOf({ retentionMs, retentionBytes, cleanupPolicy }: EffectiveConfig): RetentionLimits {
  return cleanupPolicy.isDelete
    ? { retentionMs, retentionBytes }
    : { retentionMs: Number.POSITIVE_INFINITY, retentionBytes: Number.POSITIVE_INFINITY }
}
