/** The part of a log that has consumer groups and their instances, and the upkeep, which looks after them, too. */
import type { Engine } from './engine.ts'
import { liveHead } from './fetch.ts'
import { fetchMany } from './fetch-many.ts'
import type { Groups } from './group-api.ts'
import { poll } from './group-poll.ts'
import { createGroups } from './groups.ts'
import { LogInstances } from './instances.ts'
import type { Log } from './log.ts'
import { maintain } from './maintain.ts'
import { fetchPart } from './part-fetch.ts'
import { offsetsPart } from './part-offsets.ts'
import { forgetProducers } from './producer-ids.ts'
import { rollPartition } from './roll.ts'

export function groupsPart(
  engine: Engine,
): Pick<Log, 'groups' | 'instances' | 'roll' | 'forgetProducers' | 'maintain'> {
  const { context, topics, chunks, answer, ending } = engine
  const made = createGroups(engine)
  const groups: Groups = {
    ...made.groups,
    poll: (request) =>
      answer(
        () =>
          poll(context, made.members, (wanted) => fetchMany(context, topics, chunks, wanted), {
            ...request,
            signal: ending(request.signal),
          }),
        'unseen',
      ),
  }
  const instances = new LogInstances(engine, { groups, ...fetchPart(engine), ...offsetsPart(engine) })
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
    maintain: (signal) => answer(() => maintain(context, topics, made.admin, instances, ending(signal))),
  }
}
