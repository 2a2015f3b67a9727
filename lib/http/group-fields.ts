/** What the group routes share: lists of partitions out of bodies and queries, and the shapes of their answers. */
import { errorCatalogue, type Refusal, refusal } from '../core/errors.ts'
import type { TopicId } from '../core/names.ts'
import type { MembershipText, PartitionFault } from '../core/poll-frame.ts'
import type { Membership, Position, TopicPartition } from '../log/group-api.ts'
import { type Parsed, queryInteger, wholeNumber } from './parameters.ts'
import type { JsonSchema, OpenApiParameter } from './route.ts'
import { shown } from './v2-embedded.ts'
import { isFields } from './v2-records.ts'
import { type Fields, optionalField } from './v3-requests.ts'

export const groupTags: readonly string[] = ['Groups']

/** A field that may be absent or null: a whole number within the bounds. */
export function optionalInteger(
  fields: Fields,
  name: string,
  min = 0,
  max: number = Number.MAX_SAFE_INTEGER,
): Parsed<number | undefined> {
  const value = fields[name] ?? undefined
  if (value === undefined) return { ok: true, value }
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max)
    return { ok: true, value }
  return refusal('INVALID_REQUEST', `${name} must be ${wholeNumber(min, max)}, not ${shown(value)}.`)
}

export function requiredInteger(fields: Fields, name: string, min = 0): Parsed<number> {
  const parsed = optionalInteger(fields, name, min)
  if (!parsed.ok) return parsed
  return parsed.value === undefined ? missing(name) : { ok: true, value: parsed.value }
}

export function requiredText(fields: Fields, name: string): Parsed<string> {
  const parsed = optionalField(fields, name, 'string')
  if (!parsed.ok) return parsed
  return parsed.value === undefined ? missing(name) : { ok: true, value: parsed.value }
}

function missing(name: string): Refusal {
  return refusal('INVALID_PAYLOAD', `${name} is required.`)
}

/** A list of objects, at most `countMax` of them (D8); the refusal of one says which. */
export function listOf<Item>(
  fields: Fields,
  name: string,
  countMax: number,
  parseItem: (item: Fields) => Parsed<Item>,
): Parsed<Item[]> {
  const list = fields[name] ?? undefined
  if (list === undefined) return missing(name)
  if (!Array.isArray(list)) return refusal('INVALID_REQUEST', `${name} must be an array, not ${shown(list)}.`)
  if (list.length > countMax)
    return refusal('INVALID_REQUEST', `${name} has ${list.length} entries; at most ${countMax} are allowed.`)
  const items: Item[] = []
  for (const [index, entry] of list.entries()) {
    const item: unknown = entry
    if (!isFields(item)) return refusal('INVALID_REQUEST', `${name}[${index}] must be an object, not ${shown(item)}.`)
    const parsed = parseItem(item)
    if (!parsed.ok) return { ...parsed, message: `${name}[${index}]: ${parsed.message}` }
    items.push(parsed.value)
  }
  return { ok: true, value: items }
}

export function listOfTexts(value: unknown, name: string): Parsed<string[]> {
  if (Array.isArray(value) && value.every((text) => typeof text === 'string')) return { ok: true, value }
  return refusal('INVALID_REQUEST', `${name} must be an array of strings, not ${shown(value)}.`)
}

/** A partition that a member holds; `offset` where it wants to go on. */
export function parsePosition(item: Fields): Parsed<Position> {
  const topicId = requiredText(item, 'topic_id')
  if (!topicId.ok) return topicId
  const partition = requiredInteger(item, 'partition')
  if (!partition.ok) return partition
  const claim = requiredText(item, 'claim')
  if (!claim.ok) return claim
  const offset = optionalInteger(item, 'offset')
  if (!offset.ok) return offset
  const topic = offset.value === undefined ? optionalField(item, 'topic', 'string') : requiredText(item, 'topic')
  if (!topic.ok) return topic
  return {
    ok: true,
    value: {
      topic: topic.value ?? '',
      topicId: topicId.value as TopicId,
      partition: partition.value,
      claim: claim.value,
      ...(offset.value === undefined ? {} : { offset: offset.value }),
    },
  }
}

export interface PartitionQuery {
  readonly topic?: string
  readonly partition?: number
}

/** `?topic=&partition=`: everything, a topic, or a partition of one. */
export function queryPartition(query: URLSearchParams): Parsed<PartitionQuery> {
  const topic = query.get('topic')
  const partition = queryInteger(query, 'partition')
  if (!partition.ok) return partition
  if (topic === null && partition.value !== undefined)
    return refusal('INVALID_REQUEST', 'A partition is one of a topic: topic is missing.')
  return {
    ok: true,
    value: {
      ...(topic === null ? {} : { topic }),
      ...(partition.value === undefined ? {} : { partition: partition.value }),
    },
  }
}

export const partitionQueryParameters: readonly OpenApiParameter[] = [
  { name: 'topic', in: 'query', description: 'Only of this topic', schema: { type: 'string' } },
  {
    name: 'partition',
    in: 'query',
    description: 'Only of this partition of it',
    schema: { type: 'integer', minimum: 0 },
  },
]

export function faultText({ topic, partition }: TopicPartition, { code, message, details }: Refusal): PartitionFault {
  return {
    topic,
    partition,
    error_code: errorCatalogue[code].restCode,
    error: code,
    message,
    ...(code === 'OFFSET_OUT_OF_RANGE' && details?.startOffset !== undefined && details.endOffset !== undefined
      ? { start_offset: details.startOffset, high_watermark: details.endOffset }
      : {}),
  }
}

export function membershipText(membership: Membership): MembershipText {
  const held = ({ topic, topicId, partition }: TopicPartition & { readonly topicId: TopicId }) => ({
    topic,
    topic_id: topicId,
    partition,
  })
  return {
    group_id: membership.groupId,
    member_id: membership.memberId,
    epoch: membership.epoch,
    assigned: membership.assigned.map(({ claim, offset, metadata, ...partition }) => ({
      ...held(partition),
      claim,
      ...(offset === undefined ? {} : { offset, metadata: metadata ?? '' }),
    })),
    revoked: membership.revoked.map(held),
    lost: membership.lost.map(held),
    incomplete: membership.isIncomplete,
    heartbeat_interval_ms: membership.heartbeatIntervalMs,
  }
}

export const text: JsonSchema = { type: 'string' }
export const count: JsonSchema = { type: 'integer', minimum: 0 }

/** All properties required but those that are named as optional. */
export function objectSchema(
  properties: Readonly<Record<string, JsonSchema>>,
  optional: readonly string[] = [],
): JsonSchema {
  return {
    type: 'object',
    required: Object.keys(properties).filter((name) => !optional.includes(name)),
    properties,
  }
}

export function arrayOf(items: JsonSchema): JsonSchema {
  return { type: 'array', items }
}

export const heldSchema = objectSchema({ topic: text, topic_id: text, partition: count })

export const membershipSchema = objectSchema({
  group_id: text,
  member_id: text,
  epoch: { ...count, description: 'To be sent with the next request' },
  assigned: arrayOf(
    objectSchema(
      {
        topic: text,
        topic_id: text,
        partition: count,
        claim: { ...text, description: 'To be shown at every commit' },
        offset: { ...count, description: 'Committed last; absent: nothing was' },
        metadata: text,
      },
      ['offset', 'metadata'],
    ),
  ),
  revoked: { ...arrayOf(heldSchema), description: 'To be let go of, by leaving it out of `holding` next time' },
  lost: { ...arrayOf(heldSchema), description: 'No longer held; commits do not pass any more' },
  incomplete: { type: 'boolean', description: 'There is more to take up: send the next heartbeat at once' },
  heartbeat_interval_ms: count,
})

export const holdingSchema = objectSchema(
  {
    topic: text,
    topic_id: text,
    partition: count,
    claim: text,
    offset: { ...count, description: 'Where to go on; absent: held, but not wanted now. Only of a poll' },
  },
  ['topic', 'offset'],
)

export const faultSchema = objectSchema(
  {
    topic: text,
    partition: count,
    error_code: { type: 'integer' },
    error: { ...text, description: 'The code of the catalogue of errors' },
    message: text,
    start_offset: { ...count, description: 'OFFSET_OUT_OF_RANGE: what can be read' },
    high_watermark: count,
  },
  ['start_offset', 'high_watermark'],
)
