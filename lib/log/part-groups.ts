/** The part of a log that has consumer groups and their instances. */
import { countedAs, type Engine } from './engine.ts'
import { fetchMany } from './fetch-many.ts'
import type { Groups } from './group-api.ts'
import { type FetchMany, poll } from './group-poll.ts'
import { createGroups } from './groups.ts'
import { LogInstances } from './instances.ts'
import type { Log } from './log.ts'
import { fetchPart } from './part-fetch.ts'
import { offsetsPart } from './part-offsets.ts'

export function groupsPart(engine: Engine): Pick<Log, 'groups' | 'instances'> {
  const ofGroups = countedAs('group', engine)
  const { context, topics, chunks, answer, ending } = ofGroups
  const made = createGroups(ofGroups)
  const fetching: FetchMany = (wanted) =>
    context.within({ operation: 'fetch' }, () => fetchMany(context, topics, chunks, wanted))
  const groups: Groups = {
    ...made.groups,
    poll: (request) =>
      answer(() => poll(context, made.members, fetching, { ...request, signal: ending(request.signal) }), 'unseen'),
  }
  const instances = new LogInstances(ofGroups, { groups, ...fetchPart(engine), ...offsetsPart(engine) })
  return {
    groups,
    instances,
  }
}
