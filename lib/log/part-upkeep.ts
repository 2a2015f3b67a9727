/** The part of a log that keeps it small: rolls, merges, retention, and what is forgotten. Needs the groups, which it looks after, too. */
import { effectiveConfig } from '../core/topic.ts'
import { compactPartition } from './compact.ts'
import { countedAs, type Engine } from './engine.ts'
import { liveHead } from './fetch.ts'
import { createGroups } from './groups.ts'
import { InstanceStore } from './instance-store.ts'
import { InstanceUpkeep } from './instance-upkeep.ts'
import type { Log } from './log.ts'
import { mergeBacklog } from './maintain.ts'
import { mergePartition } from './merge.ts'
import { forgetProducers } from './producer-ids.ts'
import { rollPartition } from './roll.ts'
import { Upkeep } from './upkeep.ts'

type UpkeepMethods = 'roll' | 'merge' | 'compact' | 'mergeRolled' | 'forgetProducers' | 'maintain'

export function upkeepPart(whole: Engine): Pick<Log, UpkeepMethods> {
  const engine = countedAs('upkeep', whole)
  const { context, topics, chunks, answer, ending } = engine
  const { admin, members } = createGroups(engine)
  const upkeep = new Upkeep(engine)
  const instances = new InstanceUpkeep(new InstanceStore(context), (group, member) => members.leave(group, member))
  // Whatever of this is left undone, or done twice, changes nothing that anybody sees.
  return {
    roll: (topic, partition) =>
      answer(async () => {
        const found = await liveHead(context, topics, topic, partition)
        if (!found.ok) return found
        return { ok: true, rolled: await rollPartition(context, found.key) }
      }, 'unseen'),
    merge: (topic, partition) =>
      answer(async () => {
        const found = await liveHead(context, topics, topic, partition)
        if (!found.ok) return found
        const { key, topic: live } = found
        const merged = await context.within({ operation: 'merge', topicId: key.topicId }, () =>
          mergePartition(context, chunks, key, effectiveConfig(live)),
        )
        return { ok: true, rows: merged?.rows ?? 0, bytes: merged?.bytes ?? 0 }
      }, 'unseen'),
    compact: (topic, partition, signal) =>
      answer(async () => {
        const found = await liveHead(context, topics, topic, partition)
        if (!found.ok) return found
        const { key, topic: live } = found
        const config = effectiveConfig(live)
        if (!config.cleanupPolicy.isCompact) return { ok: true, pass: undefined }
        const pass = await context.within({ operation: 'compaction', topicId: key.topicId }, () =>
          compactPartition(context, chunks, key, config, ending(signal)),
        )
        return { ok: true, pass }
      }, 'unseen'),
    mergeRolled: (signal) =>
      answer(async () => {
        const ended = ending(signal)
        const rolled = [...context.rolled]
        if (rolled.length === 0) return { ok: true, rows: 0 }
        const configs = new Map((await topics.list()).map((topic) => [topic.id, effectiveConfig(topic)]))
        let rows = 0
        for (const [text, key] of rolled) {
          if (ended.aborted) break
          // Taken out before: what rolls meanwhile comes again.
          context.rolled.delete(text)
          const config = configs.get(key.topicId)
          if (config !== undefined) rows += await mergeBacklog(engine, key, config, ended)
        }
        return { ok: true, rows }
      }, 'unseen'),
    forgetProducers: (topic, partition) =>
      answer(async () => {
        const found = await liveHead(context, topics, topic, partition)
        if (!found.ok) return found
        return { ok: true, forgotten: await forgetProducers(context, found.key) }
      }, 'unseen'),
    maintain: (signal) =>
      answer(async () => {
        const ended = ending(signal)
        // Instances first: a group may have been theirs alone. Partitions last: they may take all the time there is.
        const instancesRemoved = await instances.removeExpired(ended)
        const { groups, deleted: groupsDeleted } = await admin.maintain(ended)
        return { ok: true, ...(await upkeep.maintain(ended)), groups, groupsDeleted, instancesRemoved }
      }, 'unseen'),
  }
}
