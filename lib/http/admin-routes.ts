/** What the admin function serves, but for the OpenAPI document, which is of all routes (faces.ts). */
import { apiKeyRoutes } from './api-keys.ts'
import { costRoutes } from './cost.ts'
import { groupRoutes } from './groups.ts'
import { recordsDeleteRoutes } from './records-delete.ts'
import type { Route } from './route.ts'
import { serverRoutes } from './server-routes.ts'
import { v2TopicRoutes } from './v2-topics.ts'
import { v3ClusterRoutes } from './v3-clusters.ts'
import { v3ConfigRoutes } from './v3-configs.ts'
import { v3ConsumerGroupRoutes } from './v3-consumer-groups.ts'
import { v3TopicRoutes } from './v3-topics.ts'

export const adminRoutes: readonly Route[] = [
  ...recordsDeleteRoutes,
  ...v2TopicRoutes,
  ...v3ClusterRoutes,
  ...v3TopicRoutes,
  ...v3ConfigRoutes,
  ...groupRoutes,
  ...v3ConsumerGroupRoutes,
  ...apiKeyRoutes,
  ...costRoutes,
  ...serverRoutes,
]
