/** What the fetch function serves. */
import { fetchManyRoutes } from './group-poll.ts'
import { recordsReadRoutes } from './records-read.ts'
import type { Route } from './route.ts'
import { v2OffsetRoutes } from './v2-offsets.ts'

export const fetchRoutes: readonly Route[] = [...recordsReadRoutes, ...fetchManyRoutes, ...v2OffsetRoutes]
