/** Records go out to members of consumer groups: `work: 'consume'`. */
import { consumeRoutes } from '../lib/http/consume-routes.ts'
import { fetchPart } from '../lib/log/part-fetch.ts'
import { groupsPart } from '../lib/log/part-groups.ts'
import { type Served, serveFunction } from './environment.ts'

export const served: Served = { log: [fetchPart, groupsPart], routes: consumeRoutes }

export const handler = serveFunction('consume', served)
