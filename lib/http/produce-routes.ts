/** What the produce function serves. */
import { rawRoutes } from './raw.ts'
import type { Route } from './route.ts'
import { v2ProduceRoutes } from './v2-produce.ts'
import { v3RecordRoutes } from './v3-records.ts'

export const produceRoutes: readonly Route[] = [...rawRoutes, ...v2ProduceRoutes, ...v3RecordRoutes]
