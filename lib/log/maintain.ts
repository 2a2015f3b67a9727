/** Upkeep of the whole log, a partition, an instance and a group at a time. What it does costs speed when it is late, never records. */
import type { HeadKey } from '../core/head.ts'
import type { EffectiveConfig } from '../core/topic.ts'
import { effectiveConfig } from '../core/topic.ts'
import type { Engine } from './engine.ts'
import type { GroupAdmin } from './group-admin.ts'
import type { InstanceUpkeep } from './instance-upkeep.ts'
import type { Maintained } from './log.ts'
import { mergePartition } from './merge.ts'
import { forgetProducers } from './producer-ids.ts'
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
  let rows = 0
  for (let merges = 0; merges < mergesPerRound && !signal.aborted; merges++) {
    const merged = await mergePartition(context, chunks, key, config)
    if (merged === undefined) break
    rows += merged.rows
  }
  if (rows > 0) await sweepInline(context, key)
  return rows
}

/** One round over all live topics, then over all groups; ends early, with what was done, when `signal` aborts. */
export async function maintain(
  engine: Engine,
  groups: GroupAdmin,
  instances: InstanceUpkeep,
  signal: AbortSignal,
): Promise<{ ok: true } & Maintained> {
  const { context, topics } = engine
  const done = { partitions: 0, forgotten: 0, rowsRemoved: 0, rowsMerged: 0 }
  for (const topic of await topics.list()) {
    const config = effectiveConfig(topic)
    const { retentionMs, retentionBytes, cleanupPolicy } = config
    // What a compacted topic holds does not grow old.
    const limits = cleanupPolicy.isDelete
      ? { retentionMs, retentionBytes }
      : { retentionMs: Number.POSITIVE_INFINITY, retentionBytes: Number.POSITIVE_INFINITY }
    for (let partition = 0; partition < topic.partitions && !signal.aborted; partition++) {
      const key = { topicId: topic.id, partition }
      done.forgotten += await forgetProducers(context, key)
      done.rowsRemoved += await retainPartition(context, key, limits)
      done.rowsMerged += await mergeBacklog(engine, key, config, signal)
      done.partitions++
    }
  }
  // Instances first: a group may have been theirs alone.
  const instancesRemoved = await instances.removeExpired(signal)
  const looked = await groups.maintain(signal)
  return { ok: true, ...done, groups: looked.groups, groupsDeleted: looked.deleted, instancesRemoved }
}
