/** Records go out, by offset: `work: 'fetch'`. */
import { fetchRoutes } from '../lib/http/fetch-routes.ts'
import { fetchPart } from '../lib/log/part-fetch.ts'
import { offsetsPart } from '../lib/log/part-offsets.ts'
import { type Served, serveFunction } from './environment.ts'

export const served: Served = { log: [fetchPart, offsetsPart], routes: fetchRoutes }

export const handler = serveFunction('fetch', served)
