/** The part of a log that has consumer groups, and the upkeep, which looks after them, too. */
import type { Engine } from './engine.ts'
import { liveHead } from './fetch.ts'
import { createGroups } from './groups.ts'
import { LogInstances } from './instances.ts'
import type { Log } from './log.ts'
import { maintain } from './maintain.ts'
import { fetchPart } from './part-fetch.ts'
import { forgetProducers } from './producer-ids.ts'
import { rollPartition } from './roll.ts'

export function groupsPart(
  engine: Engine,
): Pick<Log, 'groups' | 'instances' | 'roll' | 'forgetProducers' | 'maintain'> {
  const { context, topics, answer, ending } = engine
  const { groups, admin } = createGroups(engine)
  const instances = new LogInstances(engine, { groups, ...fetchPart(engine) })
  return {
    groups,
    instances,
    // A roll and a producer that is forgotten change nothing that anybody sees.
    roll: (topic, partition) =>
      answer(async () => {
        const found = await liveHead(context, topics, topic, partition)
        if (!found.ok) return found
        return { ok: true, rolled: await rollPartition(context, found.key) }
      }, 'unseen'),
    forgetProducers: (topic, partition) =>
      answer(async () => {
        const found = await liveHead(context, topics, topic, partition)
        if (!found.ok) return found
        return { ok: true, forgotten: await forgetProducers(context, found.key) }
      }, 'unseen'),
    maintain: (signal) => answer(() => maintain(context, topics, admin, instances, ending(signal))),
  }
}
