/** The resources of Kafka REST v3 as JSON schemas, and the parameters its operations share. */

import { brokerId } from './one-broker.ts'
import { jsonType } from './replies.ts'
import type { JsonSchema, OpenApiParameter, OpenApiResponse } from './route.ts'

export const includeAuthorizedOperations: OpenApiParameter = {
  name: 'include_authorized_operations',
  in: 'query',
  description: 'Taken and without effect: there is no authorization to report.',
  schema: { type: 'boolean' },
}

export const partitionParameter: OpenApiParameter = {
  name: 'partition_id',
  in: 'path',
  required: true,
  schema: { type: 'integer', minimum: 0 },
}

export const brokerParameter: OpenApiParameter = {
  name: 'broker_id',
  in: 'path',
  required: true,
  schema: { type: 'integer', const: brokerId },
}

export function v3Response(description: string, schema: JsonSchema, example?: unknown): OpenApiResponse {
  return { description, content: { [jsonType]: example === undefined ? { schema } : { schema, example } } }
}

export const link: JsonSchema = { type: 'object', required: ['related'], properties: { related: { type: 'string' } } }

export function resourceSchema(kind: string, properties: Readonly<Record<string, JsonSchema>>): JsonSchema {
  return {
    type: 'object',
    required: ['kind', 'metadata', ...Object.keys(properties)],
    properties: {
      kind: { const: kind },
      metadata: {
        type: 'object',
        required: ['self'],
        properties: { self: { type: 'string' }, resource_name: { type: ['string', 'null'] } },
      },
      ...properties,
    },
  }
}

export function collectionSchema(kind: string, item: JsonSchema): JsonSchema {
  return {
    type: 'object',
    required: ['kind', 'metadata', 'data'],
    properties: {
      kind: { const: `${kind}List` },
      metadata: {
        type: 'object',
        required: ['self', 'next'],
        properties: { self: { type: 'string' }, next: { type: ['string', 'null'] } },
      },
      data: { type: 'array', items: item },
    },
  }
}

const text: JsonSchema = { type: 'string' }
const number: JsonSchema = { type: 'integer' }
const flag: JsonSchema = { type: 'boolean' }
const partitionFields = { cluster_id: text, topic_name: text, partition_id: number }

export const clusterSchema = resourceSchema('KafkaCluster', {
  cluster_id: text,
  controller: link,
  acls: link,
  brokers: link,
  broker_configs: link,
  consumer_groups: link,
  topics: link,
  partition_reassignments: link,
})

export const brokerSchema = resourceSchema('KafkaBroker', {
  cluster_id: text,
  broker_id: number,
  host: { type: ['string', 'null'] },
  port: { type: ['integer', 'null'] },
  rack: { type: ['string', 'null'] },
  configs: link,
  partition_replicas: link,
})

export const topicSchema = resourceSchema('KafkaTopic', {
  cluster_id: text,
  topic_name: text,
  topic_id: text,
  is_internal: flag,
  replication_factor: { ...number, description: 'Always 1: the one broker. The object store keeps the copies.' },
  partitions_count: number,
  partitions: link,
  configs: link,
  partition_reassignments: link,
})

export const partitionSchema = resourceSchema('KafkaPartition', {
  ...partitionFields,
  leader: link,
  replicas: link,
  reassignment: link,
})

export const ledPartitionSchema = resourceSchema('KafkaPartition', {
  ...partitionFields,
  leader: link,
  leader_epoch: { ...number, description: 'Raised with every change of leader; 0 where there was none' },
  lease: {
    type: ['object', 'null'],
    description: 'Who leads. A lease stays here when it has run out, until it is released or taken over',
    required: ['owner', 'until_timestamp', 'is_exclusive'],
    properties: {
      owner: text,
      until_timestamp: { ...number, description: 'Milliseconds since 1970' },
      is_exclusive: { ...flag, description: 'Only the leader appends' },
    },
  },
  replicas: link,
  reassignment: link,
})

export const offsetsSchema = resourceSchema('KafkaPartitionWithOffsets', {
  ...partitionFields,
  earliest_offset: number,
  latest_offset: { ...number, description: 'The offset that the next record gets' },
})

export const replicaSchema = resourceSchema('KafkaReplica', {
  ...partitionFields,
  broker_id: number,
  is_leader: flag,
  is_in_sync: flag,
  broker: link,
})

export const reassignmentSchema = resourceSchema('KafkaReassignment', {
  ...partitionFields,
  adding_replicas: { type: 'array', items: number },
  removing_replicas: { type: 'array', items: number },
  replicas: link,
})

export function configSchema(kind: string, owner: Readonly<Record<string, JsonSchema>>): JsonSchema {
  const value: JsonSchema = { type: ['string', 'null'] }
  return resourceSchema(kind, {
    cluster_id: text,
    ...owner,
    name: text,
    value,
    is_default: flag,
    is_read_only: flag,
    is_sensitive: flag,
    source: text,
    synonyms: {
      type: 'array',
      items: { type: 'object', required: ['name', 'source'], properties: { name: text, value, source: text } },
    },
  })
}
