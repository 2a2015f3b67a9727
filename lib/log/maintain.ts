/** Upkeep of the whole log, a partition, an instance and a group at a time. What it does costs speed when it is late, never records. */
import type { Context } from './context.ts'
import type { GroupAdmin } from './group-admin.ts'
import type { LogInstances } from './instances.ts'
import { forgetProducers } from './producer-ids.ts'
import type { Topics } from './topics.ts'

/** One round over all live topics, then over all groups; ends early, with what was done, when `signal` aborts. */
export async function maintain(
  context: Context,
  topics: Topics,
  groups: GroupAdmin,
  instances: LogInstances,
  signal: AbortSignal,
): Promise<{
  ok: true
  partitions: number
  forgotten: number
  groups: number
  groupsDeleted: number
  instancesRemoved: number
}> {
  let partitions = 0
  let forgotten = 0
  for (const topic of await topics.list())
    for (let partition = 0; partition < topic.partitions && !signal.aborted; partition++) {
      forgotten += await forgetProducers(context, { topicId: topic.id, partition })
      partitions++
    }
  // Instances first: a group may have been theirs alone.
  const instancesRemoved = await instances.removeExpired(signal)
  const looked = await groups.maintain(signal)
  return { ok: true, partitions, forgotten, groups: looked.groups, groupsDeleted: looked.deleted, instancesRemoved }
}
