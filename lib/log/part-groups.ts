/** The part of a log that has consumer groups and their instances. */
import type { Engine } from './engine.ts'
import { fetchMany } from './fetch-many.ts'
import type { Groups } from './group-api.ts'
import { poll } from './group-poll.ts'
import { createGroups } from './groups.ts'
import { LogInstances } from './instances.ts'
import type { Log } from './log.ts'
import { fetchPart } from './part-fetch.ts'
import { offsetsPart } from './part-offsets.ts'

export function groupsPart(engine: Engine): Pick<Log, 'groups' | 'instances'> {
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
  }
}
