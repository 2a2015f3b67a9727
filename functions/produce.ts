/** Records and batches come in: `work: 'produce'`. */
import { produceRoutes } from '../lib/http/produce-routes.ts'
import { producePart } from '../lib/log/part-produce.ts'
import { type Served, serveFunction } from './environment.ts'

export const served: Served = { log: [producePart], routes: produceRoutes }

export const handler = serveFunction('produce', served)
