/**
 * What there is, and what it is like: `work: 'admin'`. It also answers what no route of the gateway takes, in our own words:
 * therefore, and for the OpenAPI document, it knows all routes.
 */
import { allRoutes } from '../lib/http/faces.ts'
import { adminPart } from '../lib/log/part-admin.ts'
import { fetchPart } from '../lib/log/part-fetch.ts'
import { groupsPart } from '../lib/log/part-groups.ts'
import packageJson from '../package.json' with { type: 'json' }
import { type Served, serveFunction } from './environment.ts'

export const served: Served = {
  log: [adminPart, fetchPart, groupsPart],
  routes: allRoutes,
  work: 'admin',
  version: packageJson.version,
}

export const handler = serveFunction('admin', served)
