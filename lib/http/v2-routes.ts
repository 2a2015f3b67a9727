/** The Kafka REST v2 face. Consumers are not among it; stateless reads of a partition are in records-read.ts. */
import type { Route } from './route.ts'
import { v2ProduceRoutes } from './v2-produce.ts'
import { v2TopicRoutes } from './v2-topics.ts'

export const v2Routes: readonly Route[] = [...v2TopicRoutes, ...v2ProduceRoutes]
