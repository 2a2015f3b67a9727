/** Records and batches come in: `work: 'produce'`. */
import { produceRoutes } from '../lib/http/produce-routes.ts'
import { serveFunction } from './environment.ts'

export const handler = serveFunction('produce', { routes: produceRoutes })
