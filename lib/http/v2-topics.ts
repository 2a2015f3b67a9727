/** Kafka REST v2: what there is (brokers, topics, partitions), and the Strimzi bridge's topic creation. */
import { type Refusal, refusal } from '../core/errors.ts'
import { type Topic, topicConfigs, topicPartitionsMax } from '../core/topic.ts'
import { brokerId, wrongReplicationFactor } from './one-broker.ts'
import { pathPartition } from './parameters.ts'
import type { JsonSchema, Reply, Route, RouteContext } from './route.ts'
import { type Parsed, parseJson, shown } from './v2-embedded.ts'
import { isFields } from './v2-records.ts'
import { v2Refusal, v2Reply, v2Response, v2Type } from './v2-types.ts'

function partitionOf(partition: number): object {
  return { partition, leader: brokerId, replicas: [{ broker: brokerId, leader: true, in_sync: true }] }
}

function partitionsOf(topic: Topic): object[] {
  return Array.from({ length: topic.partitions }, (_, partition) => partitionOf(partition))
}

function topicOf(topic: Topic): object {
  const configs: Record<string, string> = {}
  for (const [name, entry] of Object.entries(topicConfigs)) configs[name] = topic.configs[name] ?? entry.default
  return { name: topic.name, configs, partitions: partitionsOf(topic) }
}

async function getTopic(context: RouteContext): Promise<Parsed<Topic>> {
  const found = await context.log.describeTopic(context.params.topic ?? '')
  return found.ok ? { ok: true, value: found.topic } : found
}

function answer(context: RouteContext, found: Parsed<object>, status = 200): Reply {
  return found.ok ? v2Reply(context, status, found.value) : v2Refusal(context, found)
}

async function getPartition(context: RouteContext): Promise<Parsed<object>> {
  const partition = pathPartition(context)
  if (!partition.ok) return partition
  const topic = await getTopic(context)
  if (!topic.ok) return topic
  if (partition.value >= topic.value.partitions)
    return refusal(
      'UNKNOWN_PARTITION',
      `Topic '${topic.value.name}' has no partition ${partition.value}; it has ${topic.value.partitions}.`,
    )
  return { ok: true, value: partitionOf(partition.value) }
}

async function createTopic(context: RouteContext): Promise<Parsed<object>> {
  const read = await context.readBody()
  if (!read.ok) return read
  const body = parseJson(read.bytes)
  if (!body.ok) return body
  const { value } = body
  if (!isFields(value)) return invalid(`The body must be an object, not ${shown(value)}.`)
  for (const name in value) if (!createFields.includes(name)) return invalid(`Unrecognized field: ${name}`)
  const { topic_name: name, partitions_count: partitions, replication_factor: replicationFactor } = value
  if (typeof name !== 'string') return invalid(`topic_name must be a string, not ${shown(name ?? null)}.`)
  if (partitions !== undefined && partitions !== null && typeof partitions !== 'number')
    return invalid(`partitions_count must be a whole number, not ${shown(partitions)}.`)
  const wrong = wrongReplicationFactor(replicationFactor)
  if (wrong !== undefined) return invalid(wrong)
  const created = await context.log.createTopic({
    name,
    ...(typeof partitions === 'number' ? { partitions } : {}),
  })
  return created.ok ? { ok: true, value: topicOf(created.topic) } : created
}

const createFields: readonly string[] = ['topic_name', 'partitions_count', 'replication_factor']

function invalid(message: string): Refusal {
  return refusal('INVALID_PAYLOAD', message)
}

const partitionSchema: JsonSchema = {
  type: 'object',
  required: ['partition', 'leader', 'replicas'],
  properties: {
    partition: { type: 'integer' },
    leader: { type: 'integer' },
    replicas: {
      type: 'array',
      items: {
        type: 'object',
        required: ['broker', 'leader', 'in_sync'],
        properties: { broker: { type: 'integer' }, leader: { type: 'boolean' }, in_sync: { type: 'boolean' } },
      },
    },
  },
}

const topicSchema: JsonSchema = {
  type: 'object',
  required: ['name', 'configs', 'partitions'],
  properties: {
    name: { type: 'string' },
    configs: { type: 'object', additionalProperties: { type: 'string' } },
    partitions: { type: 'array', items: partitionSchema },
  },
}

const tags = ['Kafka REST v2']

export const v2TopicRoutes: readonly Route[] = [
  {
    work: 'admin',
    access: 'any-key',
    method: 'GET',
    path: '/brokers',
    operation: {
      operationId: 'listBrokersV2',
      summary: 'Ids of the brokers',
      description: 'There is one, which stands for the whole log.',
      tags,
      responses: {
        200: v2Response('The brokers', {
          type: 'object',
          required: ['brokers'],
          properties: { brokers: { type: 'array', items: { type: 'integer' } } },
        }),
      },
    },
    handle: async (context) => v2Reply(context, 200, { brokers: [brokerId] }),
  },
  {
    work: 'admin',
    access: 'any-key',
    method: 'GET',
    path: '/topics',
    operation: {
      operationId: 'listTopicsV2',
      summary: 'Names of the topics',
      tags,
      responses: { 200: v2Response('The names, ascending', { type: 'array', items: { type: 'string' } }) },
    },
    async handle(context) {
      const topics = await context.log.listTopics()
      return v2Reply(
        context,
        200,
        topics.map((topic) => topic.name),
      )
    },
  },
  {
    work: 'admin',
    access: 'any-key',
    method: 'GET',
    path: '/topics/{topic}',
    operation: {
      operationId: 'getTopicV2',
      summary: 'A topic with its configs and partitions',
      tags,
      responses: { 200: v2Response('The topic', topicSchema) },
    },
    async handle(context) {
      const topic = await getTopic(context)
      return answer(context, topic.ok ? { ok: true, value: topicOf(topic.value) } : topic)
    },
  },
  {
    work: 'admin',
    access: 'any-key',
    method: 'GET',
    path: '/topics/{topic}/partitions',
    operation: {
      operationId: 'listPartitionsV2',
      summary: 'The partitions of a topic',
      tags,
      responses: { 200: v2Response('The partitions', { type: 'array', items: partitionSchema }) },
    },
    async handle(context) {
      const topic = await getTopic(context)
      return answer(context, topic.ok ? { ok: true, value: partitionsOf(topic.value) } : topic)
    },
  },
  {
    work: 'admin',
    access: 'any-key',
    method: 'GET',
    path: '/topics/{topic}/partitions/{partition}',
    operation: {
      operationId: 'getPartitionV2',
      summary: 'A partition of a topic',
      tags,
      responses: { 200: v2Response('The partition', partitionSchema) },
    },
    handle: async (context) => answer(context, await getPartition(context)),
  },
  {
    work: 'admin',
    method: 'POST',
    path: '/admin/topics',
    operation: {
      operationId: 'createTopicV2',
      summary: 'Create a topic',
      description: 'As the Strimzi bridge has it; v3 takes configs, too. The replication factor has no effect.',
      tags,
      requestBody: {
        required: true,
        content: Object.fromEntries(
          [v2Type, 'application/json'].map((type) => [
            type,
            {
              schema: {
                type: 'object',
                required: ['topic_name'],
                properties: {
                  topic_name: { type: 'string' },
                  partitions_count: { type: ['integer', 'null'], minimum: 1, maximum: topicPartitionsMax },
                  replication_factor: { type: ['integer', 'null'], minimum: -1 },
                },
                additionalProperties: false,
              },
              example: { topic_name: 'orders', partitions_count: 3, replication_factor: 1 },
            },
          ]),
        ),
      },
      responses: { 201: v2Response('The topic', topicSchema) },
    },
    handle: async (context) => answer(context, await createTopic(context), 201),
  },
]
