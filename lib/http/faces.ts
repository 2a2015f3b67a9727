/**
 * All faces in one table. A server serves them all; the OpenAPI document describes them, wherever it is asked for; the
 * infrastructure makes a gateway's routes of them. A function imports only the list of its own work.
 */
import { adminRoutes } from './admin-routes.ts'
import { consumeRoutes } from './consume-routes.ts'
import { fetchRoutes } from './fetch-routes.ts'
import { describeRoutes } from './openapi.ts'
import { openApiRoute } from './openapi-route.ts'
import { produceRoutes } from './produce-routes.ts'
import type { Route } from './route.ts'
import { verifyRoutes } from './verify.ts'

export const allRoutes: readonly Route[] = [
  ...produceRoutes,
  ...fetchRoutes,
  ...consumeRoutes,
  ...adminRoutes,
  ...verifyRoutes,
  openApiRoute((version) => JSON.stringify(describeRoutes(allRoutes, version))),
]
