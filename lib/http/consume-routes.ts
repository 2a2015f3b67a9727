/** What the consume function serves: consumers that are members of groups. */
import type { Route } from './route.ts'

export const consumeRoutes: readonly Route[] = []
