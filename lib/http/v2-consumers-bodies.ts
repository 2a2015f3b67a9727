/** What the consumer routes of Kafka REST v2 share: finding the instance, and the lists of partitions in bodies and queries. */
import { type Refusal, refusal } from '../core/errors.ts'
import type { TopicPartition } from '../log/group-api.ts'
import type { ExplicitOffset, Instance } from '../log/instance-api.ts'
import { parseInteger } from './parameters.ts'
import { emptyReply } from './replies.ts'
import type { JsonSchema, OpenApiOperation, OpenApiParameter, Reply, RouteContext } from './route.ts'
import { type Parsed, parseJson, shown } from './v2-embedded.ts'
import { isFields, isWhole } from './v2-records.ts'
import { v2BinaryType, v2JsonType, v2Refusal, v2Type } from './v2-types.ts'

/** Of everything that an instance has. */
export const instancePath = '/consumers/{group}/instances/{instance}'

export const consumerTags: readonly string[] = ['Kafka REST v2']

/** Partitions, offsets and topics that one body may name (D8); a partition takes about a hundred bytes of it. */
export const listItemsMax = 20_000

/** Answers with what `handle` makes of the instance of the path, which it must belong to whoever asks. */
export async function withInstance(
  context: RouteContext,
  handle: (instance: Instance) => Promise<Reply | Refusal>,
): Promise<Reply> {
  const { group = '', instance = '' } = context.params
  const opened = await context.log.instances.open(group, instance, context.principal)
  if (!opened.ok) return v2Refusal(context, opened)
  const answered = await handle(opened.instance)
  return 'ok' in answered ? v2Refusal(context, answered) : answered
}

/** 204, or the refusal. */
export function done(answer: { readonly ok: true } | Refusal): Reply | Refusal {
  return answer.ok ? emptyReply(204) : answer
}

export type Fields = Readonly<Record<string, unknown>>

/** The body: a JSON object with no other fields than these; undefined where there is none, which only some may do without. */
export async function readFields(context: RouteContext, names: readonly string[]): Promise<Parsed<Fields | undefined>> {
  const read = await context.readBody()
  if (!read.ok) return read
  if (read.bytes.length === 0) return { ok: true, value: undefined }
  const body = parseJson(read.bytes)
  // Blanks are no body, either.
  if (!body.ok) return body.code === 'EMPTY_PAYLOAD' ? { ok: true, value: undefined } : body
  const { value } = body
  if (!isFields(value)) return refusal('INVALID_PAYLOAD', `The body must be an object, not ${shown(value)}.`)
  for (const name in value)
    if (!names.includes(name)) return refusal('INVALID_PAYLOAD', `Unrecognized field: ${shown(name)}`)
  return { ok: true, value }
}

export async function requireFields(context: RouteContext, names: readonly string[]): Promise<Parsed<Fields>> {
  const fields = await readFields(context, names)
  if (!fields.ok) return fields
  if (fields.value !== undefined) return { ok: true, value: fields.value }
  return refusal('EMPTY_PAYLOAD', 'Payload error. Request body is empty. Data is required.')
}

/** A list of objects; the refusal of one says which. Absent or null: empty. */
export function listOf<Item>(
  fields: Fields,
  name: string,
  parseItem: (item: Fields) => Item | string,
): Parsed<readonly Item[]> {
  const list = fields[name] ?? []
  if (!Array.isArray(list)) return refusal('INVALID_PAYLOAD', `${name} must be an array, not ${shown(list)}.`)
  if (list.length > listItemsMax)
    return refusal('INVALID_PAYLOAD', `${name} has ${list.length} entries; at most ${listItemsMax} are allowed.`)
  const items: Item[] = []
  for (const [index, entry] of list.entries()) {
    const parsed = isFields(entry) ? parseItem(entry) : `must be an object, not ${shown(entry)}.`
    if (typeof parsed === 'string') return refusal('INVALID_PAYLOAD', `${name}[${index}] ${parsed}`)
    items.push(parsed)
  }
  return { ok: true, value: items }
}

/** `{"topic", "partition"}`, with these fields beside; or the sentence that says what is wrong. */
export function parsePartition(item: Fields, others: readonly string[] = []): TopicPartition | string {
  for (const field in item)
    if (field !== 'topic' && field !== 'partition' && !others.includes(field)) return `has no field ${shown(field)}.`
  const { topic, partition } = item
  if (typeof topic !== 'string') return `must have a string as topic, not ${shown(topic ?? null)}.`
  if (!isWhole(partition, Number.MAX_SAFE_INTEGER))
    return `must have a partition number as partition, not ${shown(partition ?? null)}.`
  return { topic, partition }
}

/** @param least the smallest offset there can be */
export function parseOffset(item: Fields, least = 0): ExplicitOffset | string {
  const partition = parsePartition(item, ['offset', 'metadata'])
  if (typeof partition === 'string') return partition
  const { offset } = item
  const metadata = item.metadata ?? undefined
  if (!Number.isSafeInteger(offset) || (offset as number) < least)
    return `must have a whole number of at least ${least} as offset, not ${shown(offset ?? null)}.`
  if (metadata !== undefined && typeof metadata !== 'string')
    return `must have a string as metadata, not ${shown(metadata)}.`
  return { ...partition, offset: offset as number, ...(metadata === undefined ? {} : { metadata }) }
}

/** `?topic=a&partition=0&topic=a&partition=1`: as many of one as of the other, in order. */
export function queryPartitions(query: URLSearchParams): Parsed<readonly TopicPartition[]> {
  const topics = query.getAll('topic')
  const partitions = query.getAll('partition')
  if (topics.length !== partitions.length)
    return refusal(
      'INVALID_REQUEST',
      `Each topic comes with a partition: there are ${topics.length} times topic and ${partitions.length} times partition.`,
    )
  const parsed: TopicPartition[] = []
  for (const [index, topic] of topics.entries()) {
    const partition = parseInteger(partitions[index] ?? '', 0, Number.MAX_SAFE_INTEGER)
    if (partition === undefined)
      return refusal('INVALID_REQUEST', `partition=${shown(partitions[index])} is not a partition number.`)
    parsed.push({ topic, partition })
  }
  return { ok: true, value: parsed }
}

export const partitionSchema: JsonSchema = {
  type: 'object',
  required: ['topic', 'partition'],
  properties: { topic: { type: 'string' }, partition: { type: 'integer', minimum: 0 } },
  additionalProperties: false,
}

export const partitionsSchema: JsonSchema = {
  type: 'object',
  required: ['partitions'],
  properties: { partitions: { type: 'array', items: partitionSchema, maxItems: listItemsMax } },
}

export function offsetSchema(minimum: number, description: string): JsonSchema {
  return {
    type: 'object',
    required: ['topic', 'partition', 'offset'],
    properties: {
      topic: { type: 'string' },
      partition: { type: 'integer', minimum: 0 },
      offset: { type: 'integer', minimum, description },
      metadata: { type: ['string', 'null'] },
    },
    additionalProperties: false,
  }
}

export const partitionQueryParameters: readonly OpenApiParameter[] = ['topic', 'partition'].map((name) => ({
  name,
  in: 'query',
  description: 'Instead of a body; as often as there are partitions, in order.',
  schema: { type: 'array', items: name === 'topic' ? { type: 'string' } : { type: 'integer', minimum: 0 } },
}))

/** A body as the consumer routes take it, in whichever of the face's types. */
export function consumerBody(
  schema: JsonSchema,
  example: unknown,
  required = true,
): NonNullable<OpenApiOperation['requestBody']> {
  return {
    required,
    content: Object.fromEntries(
      [v2Type, 'application/json', v2JsonType, v2BinaryType].map((type) => [type, { schema, example }]),
    ),
  }
}

export const empty204 = { 204: { description: 'Done' } } as const
