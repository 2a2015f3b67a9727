/** Kafka REST v3: topics, their partitions, and what hangs off a partition. */
import { type Refusal, refusal } from '../core/errors.ts'
import { type Topic, topicPartitionsMax } from '../core/topic.ts'
import type { CreateTopicRequest } from '../log/log.ts'
import { wrongReplicationFactor } from './one-broker.ts'
import { emptyReply, jsonReply, jsonType } from './replies.ts'
import type { JsonSchema, Reply, Route, RouteContext } from './route.ts'
import { type Parsed, shown } from './v2-embedded.ts'
import { isFields } from './v2-records.ts'
import {
  checkBroker,
  type Fields,
  type FoundPartition,
  findPartition,
  findTopic,
  optionalField,
  readFields,
  v3Refusal,
} from './v3-requests.ts'
import {
  type Cluster,
  clusterOf,
  collection,
  ledPartitionResource,
  offsetsResource,
  partitionResource,
  reassignmentResource,
  replicaResource,
  topicPath,
  topicResource,
  v3Prefixes,
  v3Tags,
} from './v3-resources.ts'
import {
  brokerParameter,
  collectionSchema,
  includeAuthorizedOperations,
  ledPartitionSchema,
  offsetsSchema,
  partitionParameter,
  partitionSchema,
  reassignmentSchema,
  replicaSchema,
  topicSchema,
  v3Response,
} from './v3-schemas.ts'

const topicsPath = '/clusters/{cluster_id}/topics'
const onePath = `${topicsPath}/{topic_name}`
const partitionsPath = `${onePath}/partitions`
const partitionPath = `${partitionsPath}/{partition_id}`

/** Configs in a list `[{"name", "value"}]`. Values may be numbers and booleans: what is stored is their text. */
export function parseConfigList(
  list: unknown,
  field: string,
  names: readonly string[],
): Parsed<readonly { readonly name: string; readonly value: string | null; readonly fields: Fields }[]> {
  if (!Array.isArray(list)) return refusal('INVALID_REQUEST', `${field} must be an array, not ${shown(list ?? null)}.`)
  const seen = new Set<string>()
  const configs = []
  for (const [index, fields] of (list as unknown[]).entries()) {
    const at = `${field}[${index}]`
    if (!isFields(fields)) return refusal('INVALID_REQUEST', `${at} must be an object, not ${shown(fields)}.`)
    for (const name in fields)
      if (!names.includes(name)) return refusal('INVALID_PAYLOAD', `Unrecognized field: ${at}.${name}`)
    const { name, value = null } = fields
    if (typeof name !== 'string')
      return refusal('INVALID_REQUEST', `${at}.name must be a string, not ${shown(name ?? null)}.`)
    if (seen.has(name)) return refusal('INVALID_REQUEST', `${field} names ${shown(name)} twice.`)
    seen.add(name)
    const text = parseConfigValue(value)
    if (text === undefined) return refusal('INVALID_REQUEST', `${at}.value must be a string, not ${shown(value)}.`)
    configs.push({ name, value: text, fields })
  }
  return { ok: true, value: configs }
}

/** The text of a config's value; undefined where it is no value. */
export function parseConfigValue(value: unknown): string | null | undefined {
  if (value === null || typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined
}

/** The number of partitions that a map of partition to brokers lays out. Which brokers it names does not matter. */
function partitionsAssigned(assignments: unknown): Parsed<number | undefined> {
  if (assignments === undefined || assignments === null) return { ok: true, value: undefined }
  if (!isFields(assignments))
    return refusal('INVALID_REQUEST', `replicas_assignments must be an object, not ${shown(assignments)}.`)
  const count = Object.keys(assignments).length
  if (count === 0) return { ok: true, value: undefined }
  for (let partition = 0; partition < count; partition++) {
    const brokers = assignments[String(partition)]
    if (brokers === undefined)
      return refusal(
        'INVALID_PARTITIONS',
        `replicas_assignments must name the partitions 0 to ${count - 1}; ${partition} is missing.`,
      )
    if (!Array.isArray(brokers) || brokers.length === 0 || !brokers.every(Number.isInteger))
      return refusal(
        'INVALID_REQUEST',
        `replicas_assignments of partition ${partition} must be a list of broker ids, not ${shown(brokers)}.`,
      )
  }
  return { ok: true, value: count }
}

const createFields = [
  'topic_name',
  'partitions_count',
  'replication_factor',
  'replicas_assignments',
  'configs',
  'validate_only',
]

async function parseCreate(context: RouteContext): Promise<Parsed<CreateTopicRequest>> {
  const body = await readFields(context, createFields)
  if (!body.ok) return body
  const name = optionalField(body.value, 'topic_name', 'string')
  if (!name.ok) return name
  if (name.value === undefined) return refusal('INVALID_PAYLOAD', 'topic_name is required.')
  const counted = optionalField(body.value, 'partitions_count', 'number')
  if (!counted.ok) return counted
  const assigned = partitionsAssigned(body.value.replicas_assignments)
  if (!assigned.ok) return assigned
  if (counted.value !== undefined && assigned.value !== undefined && counted.value !== assigned.value)
    return refusal(
      'INVALID_PARTITIONS',
      `partitions_count is ${counted.value}, but replicas_assignments has ${assigned.value} partitions.`,
    )
  const wrong = wrongReplicationFactor(body.value.replication_factor)
  if (wrong !== undefined) return refusal('INVALID_CONFIG', wrong)
  const configs = parseConfigList(body.value.configs ?? [], 'configs', ['name', 'value'])
  if (!configs.ok) return configs
  const validateOnly = optionalField(body.value, 'validate_only', 'boolean')
  if (!validateOnly.ok) return validateOnly
  const partitions = assigned.value ?? counted.value
  return {
    ok: true,
    value: {
      name: name.value,
      ...(partitions === undefined ? {} : { partitions }),
      configs: Object.fromEntries(configs.value.map((config) => [config.name, config.value])),
      validateOnly: validateOnly.value === true,
    },
  }
}

async function createTopic(context: RouteContext): Promise<Reply> {
  const request = await parseCreate(context)
  if (!request.ok) return v3Refusal(request)
  const created = await context.log.createTopic(request.value)
  if (!created.ok) return v3Refusal(created)
  const cluster = await clusterOf(context)
  const location = cluster.url + topicPath(created.topic.name)
  return request.value.validateOnly === true
    ? jsonReply(200, topicResource(cluster, created.topic))
    : jsonReply(201, topicResource(cluster, created.topic), { location })
}

async function updatePartitions(context: RouteContext): Promise<Reply> {
  const body = await readFields(context, ['partitions_count'])
  if (!body.ok) return v3Refusal(body)
  const count = optionalField(body.value, 'partitions_count', 'number')
  if (!count.ok) return v3Refusal(count)
  if (count.value === undefined) return v3Refusal(refusal('INVALID_PAYLOAD', 'partitions_count is required.'))
  const grown = await context.log.addPartitions(context.params.topic_name ?? '', count.value)
  return grown.ok ? jsonReply(200, topicResource(await clusterOf(context), grown.topic)) : v3Refusal(grown)
}

async function ofTopic(context: RouteContext, answer: (cluster: Cluster, topic: Topic) => object): Promise<Reply> {
  const [cluster, topic] = await Promise.all([clusterOf(context), findTopic(context)])
  return topic.ok ? jsonReply(200, answer(cluster, topic.value)) : v3Refusal(topic)
}

async function ofPartition(
  context: RouteContext,
  answer: (cluster: Cluster, found: FoundPartition) => object | Refusal | Promise<object | Refusal>,
): Promise<Reply> {
  const [cluster, found] = await Promise.all([clusterOf(context), findPartition(context)])
  if (!found.ok) return v3Refusal(found)
  const value = await answer(cluster, found.value)
  return 'code' in value ? v3Refusal(value) : jsonReply(200, value)
}

const offsetType = 'earliest_and_latest'

async function getOffsets(context: RouteContext): Promise<Reply> {
  const asked = context.query.get('offset_type') ?? offsetType
  if (asked !== offsetType)
    return v3Refusal(refusal('INVALID_REQUEST', `offset_type ${shown(asked)} is not supported; use ${offsetType}.`))
  return ofPartition(context, async (cluster, { topic, partition }) => {
    const offsets = await context.log.offsets(topic.name, partition)
    return offsets.ok ? offsetsResource(cluster, topic, partition, offsets) : offsets
  })
}

/** A route of this face. What topics there are, any key may see: who writes or reads has to know (as Kafka's Describe). */
function route(
  method: Route['method'],
  path: string,
  operation: Omit<Route['operation'], 'tags'>,
  handle: Route['handle'],
): Route {
  return {
    work: 'admin',
    ...(method === 'GET' ? { access: 'any-key' } : {}),
    method,
    path,
    prefixes: v3Prefixes,
    operation: { ...operation, tags: v3Tags },
    handle,
  }
}

const createSchema: JsonSchema = {
  type: 'object',
  required: ['topic_name'],
  properties: {
    topic_name: { type: 'string', minLength: 1, maxLength: 249, pattern: '^[a-zA-Z0-9._-]+$' },
    partitions_count: { type: ['integer', 'null'], minimum: 1, maximum: topicPartitionsMax },
    replication_factor: {
      type: ['integer', 'null'],
      minimum: -1,
      description: 'Checked, and without effect: a topic has one replica, and the object store keeps the copies.',
    },
    replicas_assignments: {
      type: ['object', 'null'],
      description: 'Partition to broker ids. The number of partitions counts; the brokers do not.',
      additionalProperties: { type: 'array', items: { type: 'integer' } },
    },
    configs: {
      type: ['array', 'null'],
      items: {
        type: 'object',
        required: ['name'],
        properties: { name: { type: 'string' }, value: { type: ['string', 'number', 'boolean', 'null'] } },
        additionalProperties: false,
      },
    },
    validate_only: { type: ['boolean', 'null'], default: false },
  },
  additionalProperties: false,
}

const reassignmentListSchema = collectionSchema('KafkaReassignment', reassignmentSchema)

export const v3TopicRoutes: readonly Route[] = [
  route(
    'GET',
    topicsPath,
    {
      operationId: 'listTopics',
      summary: 'The topics, by name',
      parameters: [includeAuthorizedOperations],
      responses: { 200: v3Response('The list', collectionSchema('KafkaTopic', topicSchema)) },
    },
    async (context) => {
      const [cluster, topics] = await Promise.all([clusterOf(context), context.log.listTopics()])
      const resources = topics.map((topic) => topicResource(cluster, topic))
      return jsonReply(200, collection('KafkaTopic', `${cluster.url}/topics`, resources))
    },
  ),
  route(
    'POST',
    topicsPath,
    {
      operationId: 'createTopic',
      summary: 'Create a topic',
      requestBody: {
        required: true,
        content: {
          [jsonType]: {
            schema: createSchema,
            example: {
              topic_name: 'orders',
              partitions_count: 3,
              replication_factor: 3,
              configs: [
                { name: 'cleanup.policy', value: 'compact' },
                { name: 'retention.ms', value: '604800000' },
              ],
            },
          },
        },
      },
      responses: {
        200: v3Response('With validate_only: the topic as it would be', topicSchema),
        201: {
          ...v3Response('The topic', topicSchema),
          headers: { Location: { schema: { type: 'string', format: 'uri' } } },
        },
      },
    },
    createTopic,
  ),
  route(
    'GET',
    onePath,
    {
      operationId: 'getTopic',
      summary: 'A topic',
      parameters: [includeAuthorizedOperations],
      responses: { 200: v3Response('The topic', topicSchema) },
    },
    (context) => ofTopic(context, topicResource),
  ),
  route(
    'PATCH',
    onePath,
    {
      operationId: 'updatePartitionCount',
      summary: 'Raise the number of partitions',
      description: 'Keys that are produced afterwards may belong to other partitions than before.',
      requestBody: {
        required: true,
        content: {
          [jsonType]: {
            schema: {
              type: 'object',
              required: ['partitions_count'],
              properties: { partitions_count: { type: 'integer', minimum: 1, maximum: topicPartitionsMax } },
              additionalProperties: false,
            },
            example: { partitions_count: 10 },
          },
        },
      },
      responses: { 200: v3Response('The topic', topicSchema) },
    },
    updatePartitions,
  ),
  route(
    'DELETE',
    onePath,
    {
      operationId: 'deleteTopic',
      summary: 'Delete a topic with all its records',
      responses: { 204: { description: 'Deleted. A topic that is created under the same name is another one.' } },
    },
    async (context) => {
      const deleted = await context.log.deleteTopic(context.params.topic_name ?? '')
      return deleted.ok ? emptyReply(204) : v3Refusal(deleted)
    },
  ),
  route(
    'GET',
    partitionsPath,
    {
      operationId: 'listPartitions',
      summary: 'The partitions of a topic',
      responses: { 200: v3Response('The list', collectionSchema('KafkaPartition', partitionSchema)) },
    },
    (context) =>
      ofTopic(context, (cluster, topic) =>
        collection(
          'KafkaPartition',
          `${cluster.url}${topicPath(topic.name)}/partitions`,
          Array.from({ length: topic.partitions }, (_, partition) => partitionResource(cluster, topic, partition)),
        ),
      ),
  ),
  route(
    'GET',
    partitionPath,
    {
      operationId: 'getPartition',
      summary: 'A partition, and who leads it',
      parameters: [partitionParameter],
      responses: { 200: v3Response('The partition', ledPartitionSchema) },
    },
    (context) =>
      ofPartition(context, async (cluster, { topic, partition }) => {
        const led = await context.log.describeLease(topic.name, partition)
        return led.ok ? ledPartitionResource(cluster, topic, partition, led) : led
      }),
  ),
  route(
    'GET',
    `${partitionPath}/offset`,
    {
      operationId: 'getPartitionOffsets',
      summary: 'The first offset that can be read, and the next that will be written',
      parameters: [
        partitionParameter,
        { name: 'offset_type', in: 'query', schema: { enum: [offsetType], default: offsetType } },
      ],
      responses: { 200: v3Response('The offsets', offsetsSchema) },
    },
    getOffsets,
  ),
  route(
    'GET',
    `${partitionPath}/replicas`,
    {
      operationId: 'listReplicas',
      summary: 'The replicas of a partition: one, on the one broker',
      parameters: [partitionParameter],
      responses: { 200: v3Response('The list', collectionSchema('KafkaReplica', replicaSchema)) },
    },
    (context) =>
      ofPartition(context, (cluster, { topic, partition }) =>
        collection('KafkaReplica', `${cluster.url}${topicPath(topic.name)}/partitions/${partition}/replicas`, [
          replicaResource(cluster, topic, partition),
        ]),
      ),
  ),
  route(
    'GET',
    `${partitionPath}/replicas/{broker_id}`,
    {
      operationId: 'getReplica',
      summary: 'A replica',
      parameters: [partitionParameter, brokerParameter],
      responses: { 200: v3Response('The replica', replicaSchema) },
    },
    async (context) => {
      const broker = checkBroker(context)
      if (!broker.ok) return v3Refusal(broker)
      return ofPartition(context, (cluster, { topic, partition }) => replicaResource(cluster, topic, partition))
    },
  ),
  route(
    'GET',
    `${partitionPath}/reassignment`,
    {
      operationId: 'getReassignment',
      summary: 'How the replicas of a partition are being moved: they are not',
      parameters: [partitionParameter],
      responses: { 200: v3Response('No replica is added, none removed', reassignmentSchema) },
    },
    (context) =>
      ofPartition(context, (cluster, { topic, partition }) => reassignmentResource(cluster, topic, partition)),
  ),
  route(
    'GET',
    `${partitionsPath}/-/reassignment`,
    {
      operationId: 'listReassignmentsOfTopic',
      summary: 'The partitions of a topic whose replicas are being moved: none',
      responses: { 200: v3Response('An empty list', reassignmentListSchema) },
    },
    (context) =>
      ofTopic(context, (cluster, topic) =>
        collection('KafkaReassignment', `${cluster.url}${topicPath(topic.name)}/partitions/-/reassignment`, []),
      ),
  ),
  route(
    'GET',
    `${topicsPath}/-/partitions/-/reassignment`,
    {
      operationId: 'listReassignments',
      summary: 'All partitions whose replicas are being moved: none',
      responses: { 200: v3Response('An empty list', reassignmentListSchema) },
    },
    async (context) => {
      const cluster = await clusterOf(context)
      return jsonReply(200, collection('KafkaReassignment', `${cluster.url}/topics/-/partitions/-/reassignment`, []))
    },
  ),
]
