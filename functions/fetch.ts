/** Records go out, by offset: `work: 'fetch'`. */
import { fetchRoutes } from '../lib/http/fetch-routes.ts'
import { fetchPart } from '../lib/log/part-fetch.ts'
import { type Served, serveFunction } from './environment.ts'

export const served: Served = { log: [fetchPart], routes: fetchRoutes }

export const handler = serveFunction('fetch', served)
