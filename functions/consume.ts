/** Records go out to members of consumer groups: `work: 'consume'`. */
import { consumeRoutes } from '../lib/http/consume-routes.ts'
import { serveFunction } from './environment.ts'

export const handler = serveFunction('consume', { routes: consumeRoutes })
