/**
 * What there is, and what it is like: `work: 'admin'`. It also answers what no route of the gateway takes, in our own words:
 * therefore, and for the OpenAPI document, it knows of all routes.
 *
 * Of those that other functions serve it has only their outlines, and of the document only the text: both are written into the
 * bundle (infra/bundling.ts), because the routes themselves would make it a sixth larger.
 */
import { brotliDecompressSync } from 'node:zlib'
import { adminRoutes } from '../lib/http/admin-routes.ts'
import { type RouteElsewhere, routeElsewhere } from '../lib/http/elsewhere.ts'
import { openApiRoute } from '../lib/http/openapi-route.ts'
import { adminPart } from '../lib/log/part-admin.ts'
import { groupAdminPart } from '../lib/log/part-group-admin.ts'
import { offsetsPart } from '../lib/log/part-offsets.ts'
import { type Served, serveFunction } from './environment.ts'

declare const HIGHWATER_ROUTES_ELSEWHERE: readonly RouteElsewhere[]
/** Brotli, in base64. */
declare const HIGHWATER_OPENAPI: string

const routes =
  typeof HIGHWATER_OPENAPI === 'undefined'
    ? (await import('../lib/http/faces.ts')).allRoutes
    : [
        ...adminRoutes,
        openApiRoute(() => brotliDecompressSync(Buffer.from(HIGHWATER_OPENAPI, 'base64')).toString()),
        ...HIGHWATER_ROUTES_ELSEWHERE.map(routeElsewhere),
      ]

export const served: Served = { log: [adminPart, offsetsPart, groupAdminPart], routes, work: 'admin' }

export const handler = serveFunction('admin', served)
