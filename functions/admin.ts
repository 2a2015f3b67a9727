/**
 * What there is, and what it is like: `work: 'admin'`. It also answers what no route of the gateway takes, in our own words:
 * therefore, and for the OpenAPI document, it knows all routes.
 */
import { allRoutes } from '../lib/http/faces.ts'
import packageJson from '../package.json' with { type: 'json' }
import { serveFunction } from './environment.ts'

export const handler = serveFunction('admin', { routes: allRoutes, work: 'admin', version: packageJson.version })
