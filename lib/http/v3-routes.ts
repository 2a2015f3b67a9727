/** The Kafka REST v3 face. Consumer groups and access control are not among it. */
import type { Route } from './route.ts'
import { v3ClusterRoutes } from './v3-clusters.ts'
import { v3ConfigRoutes } from './v3-configs.ts'
import { v3RecordRoutes } from './v3-records.ts'
import { v3TopicRoutes } from './v3-topics.ts'

export const v3Routes: readonly Route[] = [...v3ClusterRoutes, ...v3TopicRoutes, ...v3ConfigRoutes, ...v3RecordRoutes]
