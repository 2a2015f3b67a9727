/**
 * Kafka REST v2: consumer instances, what they subscribe to and what they are assigned. An instance is kept by the log, so that
 * any process serves it: `base_uri` is where everybody reaches the server.
 */
import { refusal } from '../core/errors.ts'
import type { Subscription } from '../core/group.ts'
import type { Instance } from '../log/instance-api.ts'
import type { Route, RouteContext } from './route.ts'
import {
  consumerBody,
  consumerTags,
  done,
  empty204,
  type Fields,
  instancePath,
  listOf,
  parsePartition,
  partitionsSchema,
  readFields,
  requireFields,
  withInstance,
} from './v2-consumers-bodies.ts'
import { configNames, configSchema, parseConfig } from './v2-consumers-config.ts'
import { v2ConsumerOffsetRoutes } from './v2-consumers-offsets.ts'
import { v2ConsumerRecordRoutes } from './v2-consumers-records.ts'
import { type Parsed, shown } from './v2-embedded.ts'
import { v2Refusal, v2Reply, v2Response } from './v2-types.ts'

export const v2ConsumerRoutes: readonly Route[] = [
  {
    work: 'consume',
    method: 'POST',
    path: '/consumers/{group}',
    operation: {
      operationId: 'createConsumerV2',
      summary: 'Create a consumer instance in a group',
      description: 'It is there until it is deleted, or sends nothing for consumerInstanceTimeoutMs.',
      tags: consumerTags,
      requestBody: consumerBody(
        configSchema,
        { name: 'reader-1', format: 'json', 'auto.offset.reset': 'earliest', 'auto.commit.enable': 'false' },
        false,
      ),
      responses: {
        200: v2Response('The instance, and where it is reached', {
          type: 'object',
          required: ['instance_id', 'base_uri'],
          properties: { instance_id: { type: 'string' }, base_uri: { type: 'string', format: 'uri' } },
        }),
      },
    },
    async handle(context) {
      const fields = await readFields(context, configNames)
      if (!fields.ok) return v2Refusal(context, fields)
      const parsed = parseConfig(fields.value ?? {}, context.settings)
      if (!parsed.ok) return v2Refusal(context, parsed)
      const { group = '' } = context.params
      const { name, config } = parsed
      const created = await context.log.instances.create({
        group,
        config,
        ...(name === undefined ? {} : { name }),
        ...(context.principal === undefined ? {} : { principal: context.principal }),
      })
      if (!created.ok) return v2Refusal(context, created)
      const { instance } = created
      const path = `/consumers/${encodeURIComponent(group)}/instances/${encodeURIComponent(instance)}`
      return v2Reply(context, 200, { instance_id: instance, base_uri: context.baseUrl + path })
    },
  },
  {
    work: 'consume',
    method: 'DELETE',
    path: instancePath,
    operation: {
      operationId: 'deleteConsumerV2',
      summary: 'Delete a consumer instance',
      description: 'It leaves its group; what it has delivered is committed before where auto.commit.enable is true.',
      tags: consumerTags,
      responses: empty204,
    },
    handle: (context) => withInstance(context, async (instance) => done(await instance.delete())),
  },
  {
    work: 'consume',
    method: 'POST',
    path: `${instancePath}/subscription`,
    operation: {
      operationId: 'subscribeV2',
      summary: 'Subscribe to topics, or to a pattern',
      description:
        'In place of the subscription before. The instance joins its group with the next request for records or assignments.',
      tags: consumerTags,
      requestBody: consumerBody(
        {
          type: 'object',
          properties: {
            topics: { type: ['array', 'null'], items: { type: 'string' } },
            topic_pattern: { type: ['string', 'null'], description: 'A regular expression for whole names' },
          },
          additionalProperties: false,
        },
        { topics: ['orders'] },
      ),
      responses: empty204,
    },
    handle: (context) => withInstance(context, async (instance) => subscribe(context, instance)),
  },
  {
    work: 'consume',
    method: 'GET',
    path: `${instancePath}/subscription`,
    operation: {
      operationId: 'getSubscriptionV2',
      summary: 'What the instance subscribes to',
      tags: consumerTags,
      responses: {
        200: v2Response('Topics, or a pattern; and the partitions it has', {
          type: 'object',
          required: ['topics', 'partitions'],
          properties: {
            topics: { type: 'array', items: { type: 'string' } },
            topic_pattern: { type: 'string' },
            partitions: {
              type: 'array',
              description: 'As the Strimzi bridge lists them, by topic',
              items: { type: 'object', additionalProperties: { type: 'array', items: { type: 'integer' } } },
            },
          },
        }),
      },
    },
    handle: (context) =>
      withInstance(context, async ({ subscription, assignment }) =>
        v2Reply(context, 200, {
          topics: subscription?.kind === 'topics' ? subscription.topics : [],
          ...(subscription?.kind === 'pattern' ? { topic_pattern: subscription.pattern } : {}),
          partitions: byTopic(assignment),
        }),
      ),
  },
  {
    work: 'consume',
    method: 'DELETE',
    path: `${instancePath}/subscription`,
    operation: {
      operationId: 'unsubscribeV2',
      summary: 'Subscribe to nothing',
      description: 'Also takes back an assignment by hand.',
      tags: consumerTags,
      responses: empty204,
    },
    handle: (context) => withInstance(context, async (instance) => done(await instance.unsubscribe())),
  },
  {
    work: 'consume',
    method: 'POST',
    path: `${instancePath}/assignments`,
    operation: {
      operationId: 'assignV2',
      summary: 'Assign partitions by hand',
      description:
        'In place of those before; nobody else is asked. Commits then count only while no member of the group subscribes.',
      tags: consumerTags,
      requestBody: consumerBody(partitionsSchema, { partitions: [{ topic: 'orders', partition: 0 }] }),
      responses: empty204,
    },
    handle: (context) =>
      withInstance(context, async (instance) => {
        const fields = await requireFields(context, ['partitions'])
        if (!fields.ok) return fields
        const partitions = listOf(fields.value, 'partitions', parsePartition)
        return partitions.ok ? done(await instance.assign(partitions.value)) : partitions
      }),
  },
  {
    work: 'consume',
    method: 'GET',
    path: `${instancePath}/assignments`,
    operation: {
      operationId: 'getAssignmentsV2',
      summary: 'The partitions that the instance has',
      description: 'Assigned by hand, or by its group, which it joins for that.',
      tags: consumerTags,
      responses: { 200: v2Response('The partitions', partitionsSchema) },
    },
    handle: (context) =>
      withInstance(context, async (instance) => {
        const settled = await instance.settle()
        return settled.ok ? v2Reply(context, 200, { partitions: settled.assignment }) : settled
      }),
  },
  ...v2ConsumerRecordRoutes,
  ...v2ConsumerOffsetRoutes,
]

async function subscribe(context: RouteContext, instance: Instance) {
  const fields = await requireFields(context, ['topics', 'topic_pattern'])
  if (!fields.ok) return fields
  const subscription = parseSubscription(fields.value)
  return subscription.ok ? done(await instance.subscribe(subscription.value)) : subscription
}

function parseSubscription(fields: Fields): Parsed<Subscription> {
  const topics = fields.topics ?? undefined
  const pattern = fields.topic_pattern ?? undefined
  if (topics !== undefined && pattern !== undefined)
    return refusal('ILLEGAL_STATE', 'Subscription to topics and to a pattern exclude each other.')
  if (pattern !== undefined) {
    if (typeof pattern === 'string') return { ok: true, value: { kind: 'pattern', pattern } }
    return refusal('INVALID_PAYLOAD', `topic_pattern must be a string, not ${shown(pattern)}.`)
  }
  if (Array.isArray(topics) && topics.every((topic) => typeof topic === 'string'))
    return { ok: true, value: { kind: 'topics', topics } }
  return refusal('INVALID_PAYLOAD', `topics must be an array of names, not ${shown(topics ?? null)}.`)
}

function byTopic(assignment: Instance['assignment']): object[] {
  const topics = new Map<string, number[]>()
  for (const { topic, partition } of assignment) {
    const present = topics.get(topic)
    if (present === undefined) topics.set(topic, [partition])
    else present.push(partition)
  }
  return [...topics].map(([topic, partitions]) => ({ [topic]: partitions }))
}
