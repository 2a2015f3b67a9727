/** Records go out, by offset: `work: 'fetch'`. */
import { fetchRoutes } from '../lib/http/fetch-routes.ts'
import { serveFunction } from './environment.ts'

export const handler = serveFunction('fetch', { routes: fetchRoutes })
