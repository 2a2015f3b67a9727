/**
 * Kafka REST v2: what there is (brokers, topics, partitions, offsets), and the Strimzi bridge's topic creation.
 *
 * There are no brokers behind this log. The conventions want one, so there is broker 0: it leads every partition, and is
 * its only replica, in sync. How often the bytes are kept is the object store's affair.
 */
import { type Refusal, refusal } from '../core/errors.ts'
import { type Topic, topicConfigs, topicPartitionsMax } from '../core/topic.ts'
import { pathPartition, queryInteger } from './parameters.ts'
import type { JsonSchema, Reply, Route, RouteContext } from './route.ts'
import { type Parsed, parseJson, shown } from './v2-embedded.ts'
import { isFields } from './v2-records.ts'
import { v2Refusal, v2Reply, v2Response, v2Type } from './v2-types.ts'

/** The one broker that the Kafka REST faces speak of. */
export const brokerId = 0

/** What Kafka's tools send for "the default". */
const replicationFactorDefault = -1
const replicationFactorMax = 32_767

/**
 * A replication factor is checked as Kafka checks it and then has no effect: what the answers say is 1, the one broker.
 * @returns the sentence that says what is wrong with it
 */
export function wrongReplicationFactor(value: unknown): string | undefined {
  if (value === undefined || value === null || value === replicationFactorDefault) return undefined
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= replicationFactorMax)
    return undefined
  return `replication_factor must be a whole number from 1 to ${replicationFactorMax}, or -1 for the default, not ${shown(value)}.`
}

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

async function getOffsets(context: RouteContext): Promise<Parsed<object>> {
  const partition = pathPartition(context)
  if (!partition.ok) return partition
  const timestamp = queryInteger(context.query, 'timestamp')
  if (!timestamp.ok) return timestamp
  const topic = context.params.topic ?? ''
  const [offsets, sought] = await Promise.all([
    context.log.offsets(topic, partition.value),
    timestamp.value === undefined ? undefined : context.log.offsetForTimestamp(topic, partition.value, timestamp.value),
  ])
  if (!offsets.ok) return offsets
  if (sought?.ok === false) return sought
  return {
    ok: true,
    value: {
      beginning_offset: offsets.startOffset,
      end_offset: offsets.highWatermark,
      ...(sought === undefined ? {} : { offset: sought.offset, timestamp: sought.timestampMs }),
    },
  }
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
    method: 'GET',
    path: '/topics/{topic}/partitions/{partition}/offsets',
    operation: {
      operationId: 'getOffsetsV2',
      summary: 'The range of offsets that can be read',
      tags,
      parameters: [
        {
          name: 'timestamp',
          in: 'query',
          description:
            'Milliseconds since 1970. Adds the offset and the timestamp of the first record at or after that time; offset -1 where there is none.',
          schema: { type: 'integer', minimum: 0 },
        },
      ],
      responses: {
        200: v2Response('The range; its end is exclusive', {
          type: 'object',
          required: ['beginning_offset', 'end_offset'],
          properties: {
            beginning_offset: { type: 'integer' },
            end_offset: { type: 'integer' },
            offset: { type: 'integer' },
            timestamp: { type: 'integer' },
          },
        }),
      },
    },
    handle: async (context) => answer(context, await getOffsets(context)),
  },
  {
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
