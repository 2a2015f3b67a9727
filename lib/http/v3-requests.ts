/** What the handlers of Kafka REST v3 share: reading requests, and refusing them in the convention's numbers. */
import { errorCatalogue, type Refusal, refusal } from '../core/errors.ts'
import type { Topic } from '../core/topic.ts'
import { brokerId } from './one-broker.ts'
import { parseInteger } from './parameters.ts'
import { jsonReply, jsonType, refusalHeaders } from './replies.ts'
import type { Reply, RouteContext } from './route.ts'
import { type Parsed, parseJson, shown } from './v2-embedded.ts'
import { isFields } from './v2-records.ts'

/** The number v3 has for a topic or partition that does not exist; clients ask for it. */
const unknownTopicOrPartition = 40403

export function v3ErrorBody(refused: Refusal): { error_code: number; message: string } {
  const { code, message } = refused
  return code === 'UNKNOWN_TOPIC' || code === 'UNKNOWN_PARTITION'
    ? {
        error_code: unknownTopicOrPartition,
        message: `This server does not host this topic-partition. ${message}`,
      }
    : { error_code: errorCatalogue[code].restCode, message }
}

export function v3Refusal(refused: Refusal): Reply {
  return jsonReply(errorCatalogue[refused.code].status, v3ErrorBody(refused), refusalHeaders(refused))
}

export async function findTopic(context: RouteContext): Promise<Parsed<Topic>> {
  const found = await context.log.describeTopic(context.params.topic_name ?? '')
  return found.ok ? { ok: true, value: found.topic } : found
}

export interface FoundPartition {
  readonly topic: Topic
  readonly partition: number
}

export async function findPartition(context: RouteContext): Promise<Parsed<FoundPartition>> {
  const text = context.params.partition_id ?? ''
  const partition = parseInteger(text, 0, Number.MAX_SAFE_INTEGER)
  if (partition === undefined) return refusal('NOT_FOUND', `${shown(text)} is not a partition number.`)
  const topic = await findTopic(context)
  if (!topic.ok) return topic
  if (partition < topic.value.partitions) return { ok: true, value: { topic: topic.value, partition } }
  return refusal(
    'UNKNOWN_PARTITION',
    `Topic '${topic.value.name}' has no partition ${partition}; it has ${topic.value.partitions}.`,
  )
}

/** Refuses what is not the one broker there is. */
export function checkBroker(context: RouteContext): { readonly ok: true } | Refusal {
  const text = context.params.broker_id ?? ''
  if (text === String(brokerId)) return { ok: true }
  return refusal('NOT_FOUND', `Broker ${shown(text)} cannot be found; there is only broker ${brokerId}.`)
}

/** v3 speaks JSON only; no Content-Type at all is taken for it. */
export function checkJsonType(context: RouteContext): { readonly ok: true } | Refusal {
  const contentType = context.request.headers.get('content-type') ?? jsonType
  if (/^\s*application\/json\s*(;|$)/i.test(contentType)) return { ok: true }
  return refusal('UNSUPPORTED_MEDIA_TYPE', `Content-Type ${shown(contentType)} is not supported; send ${jsonType}.`)
}

export type Fields = Readonly<Record<string, unknown>>

/** The body of an administrative request: a JSON object with no other fields than these. */
export async function readFields(context: RouteContext, names: readonly string[]): Promise<Parsed<Fields>> {
  const typed = checkJsonType(context)
  if (!typed.ok) return typed
  const body = await context.readBody()
  if (!body.ok) return body
  const json = parseJson(body.bytes)
  if (!json.ok) return json
  const { value } = json
  if (!isFields(value)) return refusal('INVALID_REQUEST', `The body must be an object, not ${shown(value)}.`)
  for (const name in value) if (!names.includes(name)) return refusal('INVALID_PAYLOAD', `Unrecognized field: ${name}`)
  return { ok: true, value }
}

/** A field that may be absent or null. */
export function optionalField<Type extends 'string' | 'number' | 'boolean'>(
  fields: Fields,
  name: string,
  type: Type,
): Parsed<{ string: string; number: number; boolean: boolean }[Type] | undefined> {
  const value = fields[name] ?? undefined
  if (value === undefined || typeof value === type) return { ok: true, value: value as never }
  return refusal('INVALID_REQUEST', `${name} must be a ${type}, not ${shown(value)}.`)
}
