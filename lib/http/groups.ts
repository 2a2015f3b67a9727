/** Looking after consumer groups: list, describe, lag, reset, delete. Highwater's own face; Kafka REST v3 has a part of it. */
import { type Refusal, refusal } from '../core/errors.ts'
import { assignorNames } from '../core/group.ts'
import type {
  GroupDescription,
  GroupSummary,
  MemberDescription,
  PartitionLag,
  ResetRequest,
  ResetTo,
} from '../log/group-api.ts'
import {
  arrayOf,
  count,
  groupTags,
  heldSchema,
  listOf,
  objectSchema,
  optionalInteger,
  partitionQueryParameters,
  queryPartition,
  requiredText,
  text,
} from './group-fields.ts'
import type { Parsed } from './parameters.ts'
import { emptyReply, jsonReply, jsonType, refusalReply } from './replies.ts'
import type { JsonSchema, OpenApiOperation, OpenApiResponse, Reply, Route, RouteContext } from './route.ts'
import { shown } from './v2-embedded.ts'
import { isFields } from './v2-records.ts'
import { type Fields, optionalField, readFields } from './v3-requests.ts'

const stateSchema: JsonSchema = { enum: ['Empty', 'Stable', 'Reconciling', 'Dead'] }
const orNull = (type: string): JsonSchema => ({ type: [type, 'null'] })

const summaryProperties = { group: text, group_id: text, state: stateSchema, epoch: count, member_count: count }
const memberSchema = objectSchema(
  {
    member_id: text,
    instance_id: orNull('string'),
    client_id: orNull('string'),
    topics: arrayOf(text),
    topic_pattern: text,
    assignor: { enum: assignorNames },
    session_timeout_ms: count,
    rebalance_timeout_ms: count,
    assigned: { ...arrayOf(heldSchema), description: 'What it may read now' },
    target: { ...arrayOf(heldSchema), description: 'What it will have when the rebalance is over' },
    beat_ms: { ...orNull('integer'), description: 'Of its last stored heartbeat, milliseconds since 1970' },
  },
  ['topics', 'topic_pattern'],
)
const lagSchema = objectSchema({
  topic: text,
  topic_id: text,
  partition: count,
  current_offset: { ...orNull('integer'), description: 'null: nothing committed' },
  start_offset: count,
  end_offset: count,
  lag: { ...count, description: 'Without a committed offset: all there is to read' },
  member_id: orNull('string'),
  client_id: orNull('string'),
  instance_id: orNull('string'),
  metadata: text,
})

function json(description: string, properties: Readonly<Record<string, JsonSchema>>): OpenApiResponse {
  return { description, content: { [jsonType]: { schema: objectSchema(properties) } } }
}

/** A route that looks after a group, without a body. */
function route(
  method: 'GET' | 'DELETE',
  path: string,
  operation: Omit<OpenApiOperation, 'tags'>,
  handle: Route['handle'],
): Route {
  return { work: 'admin', method, path, operation: { ...operation, tags: groupTags }, handle }
}

export const groupRoutes: readonly Route[] = [
  route(
    'GET',
    '/groups',
    {
      operationId: 'listGroups',
      summary: 'The consumer groups',
      responses: { 200: json('By name', { groups: arrayOf(objectSchema(summaryProperties)) }) },
    },
    async (context) => {
      const listed = await context.log.groups.list()
      return listed.ok ? jsonReply(200, { groups: listed.groups.map(summaryText) }) : refusalReply(listed)
    },
  ),
  route(
    'GET',
    '/groups/{group}',
    {
      operationId: 'describeGroup',
      summary: 'A group and its members',
      responses: {
        200: json('The group', {
          ...summaryProperties,
          assignor: { enum: assignorNames },
          members: arrayOf(memberSchema),
        }),
      },
    },
    async (context) => {
      const found = await context.log.groups.describe(groupOf(context))
      return found.ok ? jsonReply(200, descriptionText(found.group)) : refusalReply(found)
    },
  ),
  route(
    'GET',
    '/groups/{group}/lags',
    {
      operationId: 'getGroupLags',
      summary: 'How far a group is behind, by partition',
      description: 'Of every partition that is subscribed to or has a committed offset.',
      responses: { 200: json('By topic and partition', { lags: arrayOf(lagSchema) }) },
    },
    async (context) => {
      const found = await context.log.groups.lags(groupOf(context))
      return found.ok ? jsonReply(200, { lags: found.lags.map(lagText) }) : refusalReply(found)
    },
  ),
  route(
    'DELETE',
    '/groups/{group}',
    {
      operationId: 'deleteGroup',
      summary: 'Delete a group with its offsets',
      description: 'Refused while there are members. A group of the same name that comes later is another one.',
      responses: { 204: { description: 'Deleted' } },
    },
    async (context) => {
      const deleted = await context.log.groups.delete(groupOf(context))
      return deleted.ok ? emptyReply(204) : refusalReply(deleted)
    },
  ),
  {
    work: 'admin',
    method: 'POST',
    path: '/groups/{group}/offsets:reset',
    operation: {
      operationId: 'resetOffsets',
      summary: 'Set the offsets of a group without members',
      description: 'Makes the group where there is none. With `dry_run`, says what would be done.',
      tags: groupTags,
      requestBody: {
        required: true,
        content: {
          [jsonType]: {
            schema: {
              type: 'object',
              required: ['topics', 'to'],
              properties: {
                topics: {
                  description: 'A topic alone means all of its partitions; "all" what the group has offsets of',
                  anyOf: [
                    { const: 'all' },
                    arrayOf(objectSchema({ topic: text, partitions: arrayOf(count) }, ['partitions'])),
                  ],
                },
                to: {
                  anyOf: [
                    { enum: ['earliest', 'latest', 'current'] },
                    objectSchema({ offset: count }),
                    objectSchema({
                      timestamp_ms: { ...count, description: 'The first record at or after that time, or the end' },
                    }),
                    objectSchema({
                      shift: { type: 'integer', description: 'From the committed offset on, within what is there' },
                    }),
                  ],
                },
                dry_run: { type: 'boolean', default: false },
              },
              additionalProperties: false,
            },
            example: { topics: [{ topic: 'orders' }], to: 'earliest', dry_run: true },
          },
        },
      },
      responses: {
        200: json('The offsets, and what was committed before', {
          dry_run: { type: 'boolean' },
          offsets: arrayOf(objectSchema({ topic: text, partition: count, offset: count, before: orNull('integer') })),
        }),
      },
    },
    handle: resetOffsets,
  },
  route(
    'DELETE',
    '/groups/{group}/offsets',
    {
      operationId: 'deleteOffsets',
      summary: 'Delete committed offsets of a topic',
      description: 'Refused while members subscribe to it.',
      parameters: partitionQueryParameters.map((parameter) =>
        parameter.name === 'topic' ? { ...parameter, required: true } : parameter,
      ),
      responses: { 200: json('How many there were', { deleted: count }) },
    },
    deleteOffsets,
  ),
]

function groupOf(context: RouteContext): string {
  return context.params.group ?? ''
}

function summaryText({ group, groupId, state, epoch, members }: GroupSummary): object {
  return { group, group_id: groupId, state, epoch, member_count: members }
}

function descriptionText(group: GroupDescription): object {
  return { ...summaryText(group), assignor: group.assignor, members: group.memberList.map(memberText) }
}

function memberText(member: MemberDescription): object {
  const { subscription } = member
  const partitions = (list: MemberDescription['assigned']) =>
    list.map(({ topic, topicId, partition }) => ({ topic, topic_id: topicId, partition }))
  return {
    member_id: member.memberId,
    instance_id: member.instanceId ?? null,
    client_id: member.clientId ?? null,
    ...(subscription.kind === 'topics' ? { topics: subscription.topics } : { topic_pattern: subscription.pattern }),
    assignor: member.assignor,
    session_timeout_ms: member.sessionTimeoutMs,
    rebalance_timeout_ms: member.rebalanceTimeoutMs,
    assigned: partitions(member.assigned),
    target: partitions(member.target),
    beat_ms: member.beatMs ?? null,
  }
}

function lagText(lag: PartitionLag): object {
  return {
    topic: lag.topic,
    topic_id: lag.topicId,
    partition: lag.partition,
    current_offset: lag.currentOffset ?? null,
    start_offset: lag.startOffset,
    end_offset: lag.endOffset,
    lag: lag.lag,
    member_id: lag.memberId ?? null,
    client_id: lag.clientId ?? null,
    instance_id: lag.instanceId ?? null,
    metadata: lag.metadata,
  }
}

async function resetOffsets(context: RouteContext): Promise<Reply> {
  const body = await readFields(context, ['topics', 'to', 'dry_run'])
  if (!body.ok) return refusalReply(body)
  const topics = parseTopics(body.value, context.settings.groupPartitionsMax)
  if (!topics.ok) return refusalReply(topics)
  const to = parseTo(body.value.to)
  if (!to.ok) return refusalReply(to)
  const dryRun = optionalField(body.value, 'dry_run', 'boolean')
  if (!dryRun.ok) return refusalReply(dryRun)
  const isDryRun = dryRun.value ?? false
  const request = { group: groupOf(context), topics: topics.value, to: to.value, isDryRun }
  const reset = await context.log.groups.reset(request)
  if (!reset.ok) return refusalReply(reset)
  const offsets = reset.offsets.map(({ topic, partition, offset, before = null }) => ({
    topic,
    partition,
    offset,
    before,
  }))
  return jsonReply(200, { dry_run: isDryRun, offsets })
}

function parseTopics(fields: Fields, countMax: number): Parsed<ResetRequest['topics']> {
  if (fields.topics === 'all') return { ok: true, value: 'all' }
  return listOf<{ readonly topic: string; readonly partitions?: readonly number[] }>(
    fields,
    'topics',
    countMax,
    (item) => {
      const topic = requiredText(item, 'topic')
      if (!topic.ok) return topic
      const { partitions } = item
      if (partitions === undefined || partitions === null) return { ok: true, value: { topic: topic.value } }
      if (
        !Array.isArray(partitions) ||
        !partitions.every((partition) => Number.isSafeInteger(partition) && partition >= 0)
      )
        return refusal('INVALID_REQUEST', `partitions must be an array of partition numbers, not ${shown(partitions)}.`)
      return { ok: true, value: { topic: topic.value, partitions: partitions as number[] } }
    },
  )
}

function parseTo(value: unknown): Parsed<ResetTo> {
  if (value === 'earliest' || value === 'latest' || value === 'current') return { ok: true, value: { to: value } }
  if (isFields(value) && Object.keys(value).length === 1) {
    const offset = optionalInteger(value, 'offset')
    if (!offset.ok) return offset
    if (offset.value !== undefined) return { ok: true, value: { to: 'offset', offset: offset.value } }
    const timestamp = optionalInteger(value, 'timestamp_ms')
    if (!timestamp.ok) return timestamp
    if (timestamp.value !== undefined) return { ok: true, value: { to: 'time', timestampMs: timestamp.value } }
    const shift = optionalInteger(value, 'shift', Number.MIN_SAFE_INTEGER)
    if (!shift.ok) return shift
    if (shift.value !== undefined) return { ok: true, value: { to: 'shift', by: shift.value } }
  }
  return badTo(value)
}

function badTo(value: unknown): Refusal {
  return refusal(
    'INVALID_REQUEST',
    `to is "earliest", "latest", "current", {"offset"}, {"timestamp_ms"} or {"shift"}, not ${shown(value ?? null)}.`,
  )
}

async function deleteOffsets(context: RouteContext): Promise<Reply> {
  const wanted = queryPartition(context.query)
  if (!wanted.ok) return refusalReply(wanted)
  const { topic, partition } = wanted.value
  if (topic === undefined) return refusalReply(refusal('INVALID_REQUEST', 'Say of which topic: topic is missing.'))
  const which = partition === undefined ? { topic } : [{ topic, partition }]
  const deleted = await context.log.groups.deleteOffsets(groupOf(context), which)
  return deleted.ok ? jsonReply(200, { deleted: deleted.deleted }) : refusalReply(deleted)
}
