/**
 * All faces in one table. A server serves them all; the OpenAPI document describes them, wherever it is asked for; the
 * infrastructure makes a gateway's routes of them. A function imports only the list of its own work.
 */
import { apiKeyRoutes } from './api-keys.ts'
import { consumeRoutes } from './consume-routes.ts'
import { fetchRoutes } from './fetch-routes.ts'
import { groupRoutes } from './groups.ts'
import { describeRoutes } from './openapi.ts'
import { produceRoutes } from './produce-routes.ts'
import { recordsDeleteRoutes } from './records-delete.ts'
import type { Route } from './route.ts'
import { serverRoutes } from './server-routes.ts'
import { v2TopicRoutes } from './v2-topics.ts'
import { v3ClusterRoutes } from './v3-clusters.ts'
import { v3ConfigRoutes } from './v3-configs.ts'
import { v3ConsumerGroupRoutes } from './v3-consumer-groups.ts'
import { v3TopicRoutes } from './v3-topics.ts'

const openApiRoute: Route = {
  work: 'admin',
  access: 'any-key',
  method: 'GET',
  path: '/openapi.json',
  operation: {
    operationId: 'getOpenApi',
    summary: 'This document',
    tags: ['Server'],
    responses: { 200: { description: 'OpenAPI 3.1', content: { 'application/json': {} } } },
  },
  handle: async ({ version }) => ({
    status: 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-cache' },
    body: JSON.stringify(describeRoutes(allRoutes, version)),
  }),
}

export const allRoutes: readonly Route[] = [
  ...produceRoutes,
  ...fetchRoutes,
  ...consumeRoutes,
  ...recordsDeleteRoutes,
  ...v2TopicRoutes,
  ...v3ClusterRoutes,
  ...v3TopicRoutes,
  ...v3ConfigRoutes,
  ...groupRoutes,
  ...v3ConsumerGroupRoutes,
  ...apiKeyRoutes,
  ...serverRoutes,
  openApiRoute,
]
