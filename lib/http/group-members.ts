/**
 * Members of a consumer group: join, heartbeat, leave, commit. Nothing is kept between requests but what is in the metadata
 * store, so that any process serves any member. What a member is told, and what it answers: lib/log/group-api.ts.
 */
import type { AssignorName } from '../core/assignor.ts'
import { type Refusal, refusal } from '../core/errors.ts'
import { assignorNames, type Subscription } from '../core/group.ts'
import type { TopicId } from '../core/names.ts'
import type { JoinRequest, OffsetToCommit } from '../log/group-api.ts'
import {
  arrayOf,
  count,
  faultSchema,
  faultText,
  groupTags,
  holdingSchema,
  listOf,
  listOfTexts,
  membershipSchema,
  membershipText,
  objectSchema,
  optionalInteger,
  parsePosition,
  partitionQueryParameters,
  queryPartition,
  requiredInteger,
  requiredText,
  text,
} from './group-fields.ts'
import type { Parsed } from './parameters.ts'
import { emptyReply, jsonReply, jsonType, refusalReply } from './replies.ts'
import type { OpenApiResponse, Reply, Route, RouteContext } from './route.ts'
import { shown } from './v2-embedded.ts'
import { type Fields, optionalField, readFields } from './v3-requests.ts'

const membershipResponse: OpenApiResponse = {
  description: 'What the member has to do',
  content: { [jsonType]: { schema: membershipSchema } },
}

export const groupMemberRoutes: readonly Route[] = [
  {
    work: 'consume',
    method: 'POST',
    path: '/groups/{group}/members',
    operation: {
      operationId: 'joinGroup',
      summary: 'Join a consumer group, or change what one is subscribed to',
      description:
        'Makes the group where there is none. A repeat with the same member id is harmless; whoever was evicted needs another one.',
      tags: groupTags,
      requestBody: {
        required: true,
        content: {
          [jsonType]: {
            schema: {
              type: 'object',
              properties: {
                member_id: { ...text, description: 'Fresh for every joining; otherwise one is made' },
                instance_id: { ...text, description: 'Of a static member: who comes back under it needs no rebalance' },
                client_id: text,
                epoch: {
                  ...count,
                  description:
                    'Of a member that changes its subscription: that of its last answer. Refused if it was evicted',
                },
                topics: arrayOf(text),
                topic_pattern: { ...text, description: 'A regular expression that matches whole names, now and later' },
                assignor: { enum: assignorNames, default: 'cooperative-sticky' },
                session_timeout_ms: count,
                rebalance_timeout_ms: count,
              },
              additionalProperties: false,
            },
            example: { member_id: 'worker-1-7f3a', client_id: 'worker-1', topics: ['orders'] },
          },
        },
      },
      responses: { 200: membershipResponse },
    },
    async handle(context) {
      const request = await parseJoin(context)
      if (!request.ok) return refusalReply(request)
      const joined = await context.log.groups.join(request.value)
      return joined.ok ? jsonReply(200, membershipText(joined)) : refusalReply(joined)
    },
  },
  {
    work: 'consume',
    method: 'POST',
    path: '/groups/{group}/members/{member}/heartbeat',
    operation: {
      operationId: 'heartbeat',
      summary: 'Say that a member is there and what it holds, and hear what has changed',
      description: 'A poll does the same, and brings records.',
      tags: groupTags,
      requestBody: {
        required: true,
        content: {
          [jsonType]: {
            schema: objectSchema({ epoch: count, holding: arrayOf(holdingSchema) }),
            example: { epoch: 1, holding: [] },
          },
        },
      },
      responses: { 200: membershipResponse },
    },
    async handle(context) {
      const body = await readFields(context, ['epoch', 'holding'])
      if (!body.ok) return refusalReply(body)
      const epoch = requiredInteger(body.value, 'epoch')
      if (!epoch.ok) return refusalReply(epoch)
      const holding = listOf(body.value, 'holding', context.settings.groupPartitionsMax, parsePosition)
      if (!holding.ok) return refusalReply(holding)
      const { group = '', member = '' } = context.params
      const request = { group, memberId: member, epoch: epoch.value, holding: holding.value }
      const answer = await context.log.groups.heartbeat(request)
      return answer.ok ? jsonReply(200, membershipText(answer)) : refusalReply(answer)
    },
  },
  {
    work: 'consume',
    method: 'DELETE',
    path: '/groups/{group}/members/{member}',
    operation: {
      operationId: 'leaveGroup',
      summary: 'Leave the group',
      description: 'What the member had is free at once. A member that is not there has left.',
      tags: groupTags,
      responses: { 204: { description: 'It is no member' } },
    },
    async handle(context) {
      const { group = '', member = '' } = context.params
      const left = await context.log.groups.leave(group, member)
      return left.ok ? emptyReply(204) : refusalReply(left)
    },
  },
  {
    work: 'consume',
    method: 'POST',
    path: '/groups/{group}/offsets',
    operation: {
      operationId: 'commitOffsets',
      summary: 'Commit offsets',
      description:
        'Each is the next offset to read. A member shows the claim that it was given with the partition; without claims, the group must have no members. Each offset has its own answer, in order: the status is 200 also where some, or all, were refused.',
      tags: groupTags,
      requestBody: {
        required: true,
        content: {
          [jsonType]: {
            schema: objectSchema({
              offsets: arrayOf(
                objectSchema(
                  { topic: text, partition: count, offset: count, metadata: text, claim: text, topic_id: text },
                  ['metadata', 'claim', 'topic_id'],
                ),
              ),
            }),
            example: { offsets: [{ topic: 'orders', partition: 0, offset: 0 }] },
          },
        },
      },
      responses: {
        200: {
          description: 'What became of each',
          content: {
            [jsonType]: {
              schema: objectSchema({
                offsets: arrayOf({
                  anyOf: [
                    objectSchema({ topic: text, topic_id: text, partition: count, offset: count, metadata: text }),
                    faultSchema,
                  ],
                }),
              }),
            },
          },
        },
      },
    },
    handle: commitOffsets,
  },
  {
    work: 'consume',
    method: 'GET',
    path: '/groups/{group}/offsets',
    operation: {
      operationId: 'getCommittedOffsets',
      summary: 'The offsets that a group has committed',
      tags: groupTags,
      parameters: partitionQueryParameters,
      responses: {
        200: {
          description: 'Of existing topics, as far as there are any',
          content: {
            [jsonType]: {
              schema: objectSchema({
                offsets: arrayOf(
                  objectSchema({
                    topic: text,
                    topic_id: text,
                    partition: count,
                    offset: count,
                    metadata: text,
                    committed_ms: count,
                  }),
                ),
              }),
            },
          },
        },
      },
    },
    handle: getCommittedOffsets,
  },
]

async function parseJoin(context: RouteContext): Promise<Parsed<JoinRequest>> {
  const body = await readFields(context, [
    'member_id',
    'instance_id',
    'client_id',
    'epoch',
    'topics',
    'topic_pattern',
    'assignor',
    'session_timeout_ms',
    'rebalance_timeout_ms',
  ])
  if (!body.ok) return body
  const fields = body.value
  const texts: Record<string, string> = {}
  for (const [field, name] of [
    ['member_id', 'memberId'],
    ['instance_id', 'instanceId'],
    ['client_id', 'clientId'],
  ] as const) {
    const given = optionalField(fields, field, 'string')
    if (!given.ok) return given
    if (given.value !== undefined) texts[name] = given.value
  }
  const numbers: Record<string, number> = {}
  for (const [field, name] of [
    ['epoch', 'epoch'],
    ['session_timeout_ms', 'sessionTimeoutMs'],
    ['rebalance_timeout_ms', 'rebalanceTimeoutMs'],
  ] as const) {
    const given = optionalInteger(fields, field)
    if (!given.ok) return given
    if (given.value !== undefined) numbers[name] = given.value
  }
  const assignor = parseAssignor(fields)
  if (!assignor.ok) return assignor
  const subscription = parseSubscriptionFields(fields)
  if (!subscription.ok) return subscription
  return {
    ok: true,
    value: {
      group: context.params.group ?? '',
      ...texts,
      ...numbers,
      subscription: subscription.value,
      ...(assignor.value === undefined ? {} : { assignor: assignor.value }),
    },
  }
}

function parseAssignor(fields: Fields): Parsed<AssignorName | undefined> {
  const given = optionalField(fields, 'assignor', 'string')
  if (!given.ok) return given
  const name = assignorNames.find((known) => known === given.value)
  if (given.value !== undefined && name === undefined)
    return refusal('INVALID_REQUEST', `assignor is one of ${assignorNames.join(', ')}, not ${shown(given.value)}.`)
  return { ok: true, value: name }
}

function parseSubscriptionFields(fields: Fields): Parsed<Subscription> {
  const pattern = optionalField(fields, 'topic_pattern', 'string')
  if (!pattern.ok) return pattern
  const { topics } = fields
  if ((topics === undefined || topics === null) === (pattern.value === undefined))
    return refusal('INVALID_SUBSCRIPTION', 'Subscribe either to topics or to a topic_pattern.')
  if (pattern.value !== undefined) return { ok: true, value: { kind: 'pattern', pattern: pattern.value } }
  const names = listOfTexts(topics, 'topics')
  if (!names.ok) return names
  return { ok: true, value: { kind: 'topics', topics: names.value } }
}

async function commitOffsets(context: RouteContext): Promise<Reply> {
  const body = await readFields(context, ['offsets'])
  if (!body.ok) return refusalReply(body)
  const offsets = listOf(body.value, 'offsets', context.settings.groupPartitionsMax, parseOffset)
  if (!offsets.ok) return refusalReply(offsets)
  const committed = await context.log.groups.commit(context.params.group ?? '', offsets.value)
  if (!committed.ok) return refusalReply(committed)
  return jsonReply(200, {
    offsets: committed.offsets.map((answer) =>
      answer.ok
        ? {
            topic: answer.topic,
            topic_id: answer.topicId,
            partition: answer.partition,
            offset: answer.offset,
            metadata: answer.metadata,
          }
        : faultText(answer, answer),
    ),
  })
}

function parseOffset(item: Fields): Parsed<OffsetToCommit> {
  const topic = requiredText(item, 'topic')
  if (!topic.ok) return topic
  const partition = requiredInteger(item, 'partition')
  if (!partition.ok) return partition
  const offset = requiredInteger(item, 'offset')
  if (!offset.ok) return offset
  const given: { metadata?: string; claim?: string; topicId?: TopicId } = {}
  const failed = optionalTexts(item, given)
  if (failed !== undefined) return failed
  return {
    ok: true,
    value: { topic: topic.value, partition: partition.value, offset: offset.value, ...given },
  }
}

function optionalTexts(
  item: Fields,
  given: { metadata?: string; claim?: string; topicId?: TopicId },
): Refusal | undefined {
  const metadata = optionalField(item, 'metadata', 'string')
  if (!metadata.ok) return metadata
  if (metadata.value !== undefined) given.metadata = metadata.value
  const claim = optionalField(item, 'claim', 'string')
  if (!claim.ok) return claim
  if (claim.value !== undefined) given.claim = claim.value
  const topicId = optionalField(item, 'topic_id', 'string')
  if (!topicId.ok) return topicId
  if (topicId.value !== undefined) given.topicId = topicId.value as TopicId
  return undefined
}

async function getCommittedOffsets(context: RouteContext): Promise<Reply> {
  const wanted = queryPartition(context.query)
  if (!wanted.ok) return refusalReply(wanted)
  const { topic, partition } = wanted.value
  const stored = await context.log.groups.committed(
    context.params.group ?? '',
    ...(topic === undefined || partition === undefined ? [] : [[{ topic, partition }]]),
  )
  if (!stored.ok) return refusalReply(stored)
  return jsonReply(200, {
    offsets: stored.offsets
      .filter((offset) => topic === undefined || offset.topic === topic)
      .map((offset) => ({
        topic: offset.topic,
        topic_id: offset.topicId,
        partition: offset.partition,
        offset: offset.offset,
        metadata: offset.metadata,
        committed_ms: offset.committedMs,
      })),
  })
}
