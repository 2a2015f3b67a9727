/** What the consume function serves: consumers that are members of groups. */
import { groupMemberRoutes } from './group-members.ts'
import { groupPollRoutes } from './group-poll.ts'
import type { Route } from './route.ts'
import { v2ConsumerRoutes } from './v2-consumers.ts'

export const consumeRoutes: readonly Route[] = [...v2ConsumerRoutes, ...groupMemberRoutes, ...groupPollRoutes]
