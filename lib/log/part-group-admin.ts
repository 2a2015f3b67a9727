/** The part of a log that has consumer groups, but for the polls of their members, which read records. */
import { countedAs, type Engine } from './engine.ts'
import type { Groups } from './group-api.ts'
import { createGroups } from './groups.ts'
import type { Log } from './log.ts'

export function groupAdminPart(engine: Engine): Pick<Log, 'groups'> {
  // Who has this part alone is not asked for a poll.
  return { groups: createGroups(countedAs('group', engine)).groups as Groups }
}
