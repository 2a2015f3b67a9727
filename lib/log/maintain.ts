/** Upkeep of the whole log, a partition, an instance and a group at a time. What it does costs speed when it is late, never records. */
import type { HeadKey } from '../core/head.ts'
import type { EffectiveConfig, Topic } from '../core/topic.ts'
import { effectiveConfig } from '../core/topic.ts'
import type { Engine } from './engine.ts'
import type { GroupAdmin } from './group-admin.ts'
import type { InstanceUpkeep } from './instance-upkeep.ts'
import type { Maintained } from './log.ts'
import { mergePartition } from './merge.ts'
import { forgetProducers } from './producer-ids.ts'
import type { RetentionLimits } from './retention.ts'
import { retainPartition } from './retention.ts'
import { sweepInline } from './sweep.ts'

/** Merges of one partition in one round: a backlog does not keep the others waiting. */
const mergesPerRound = 8

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

/** What was done to partitions. */
export interface PartitionsMaintained {
  /** Producers and idempotency keys. */
  readonly forgotten: number
  /** Rows that lay below the log start. */
  readonly rowsRemoved: number
  /** Rows that became others. */
  readonly rowsMerged: number
}

/** All that is done to one partition. Each step may be the last: what is left undone is done the next time. */
export async function maintainPartition(
  engine: Engine,
  topic: Topic,
  partition: number,
  signal: AbortSignal,
): Promise<PartitionsMaintained> {
  const { context } = engine
  const key = { topicId: topic.id, partition }
  const config = effectiveConfig(topic)
  return {
    forgotten: await forgetProducers(context, key),
    rowsRemoved: await context.within({ operation: 'retention', topicId: topic.id }, () =>
      retainPartition(context, key, retentionOf(config)),
    ),
    rowsMerged: await mergeBacklog(engine, key, config, signal),
  }
}

/** What a compacted topic holds does not grow old. */
function retentionOf({ retentionMs, retentionBytes, cleanupPolicy }: EffectiveConfig): RetentionLimits {
  return cleanupPolicy.isDelete
    ? { retentionMs, retentionBytes }
    : { retentionMs: Number.POSITIVE_INFINITY, retentionBytes: Number.POSITIVE_INFINITY }
}

/** One round over all live topics, then over all groups; ends early, with what was done, when `signal` aborts. */
export async function maintain(
  engine: Engine,
  groups: GroupAdmin,
  instances: InstanceUpkeep,
  signal: AbortSignal,
): Promise<{ ok: true } & Maintained> {
  const done = { partitions: 0, forgotten: 0, rowsRemoved: 0, rowsMerged: 0 }
  for (const topic of await engine.topics.list())
    for (let partition = 0; partition < topic.partitions && !signal.aborted; partition++) {
      const one = await maintainPartition(engine, topic, partition, signal)
      done.forgotten += one.forgotten
      done.rowsRemoved += one.rowsRemoved
      done.rowsMerged += one.rowsMerged
      done.partitions++
    }
  // Instances first: a group may have been theirs alone.
  const instancesRemoved = await instances.removeExpired(signal)
  const looked = await groups.maintain(signal)
  return { ok: true, ...done, groups: looked.groups, groupsDeleted: looked.deleted, instancesRemoved }
}
