/**
 * Media types of the Kafka REST v2 face: `application/vnd.kafka[.{embedded format}].v2+json`.
 *
 * Requests say in Content-Type which format keys and values have; without one it is binary, as in the convention. Answers are
 * `application/vnd.kafka.v2+json`, or plain JSON for those who only accept that; nobody is sent away with 406.
 */
import { type Refusal, refusal } from '../core/errors.ts'
import { negotiate } from './accept.ts'
import { jsonReply, jsonType, refusalReply } from './replies.ts'
import type { JsonSchema, OpenApiResponse, Reply, RouteContext } from './route.ts'
import type { EmbeddedFormat } from './v2-embedded.ts'

export const v2Type = 'application/vnd.kafka.v2+json'
export const v2BinaryType = 'application/vnd.kafka.binary.v2+json'
export const v2JsonType = 'application/vnd.kafka.json.v2+json'
export const v2TextType = 'application/vnd.kafka.text.v2+json'

const formats: ReadonlyMap<string, EmbeddedFormat> = new Map<string, EmbeddedFormat>([
  [v2BinaryType, 'binary'],
  [v2JsonType, 'json'],
  [v2TextType, 'text'],
  // No embedded format is named: the convention's default.
  [v2Type, 'binary'],
  [jsonType, 'binary'],
  ['application/octet-stream', 'binary'],
  ['', 'binary'],
])

/** The embedded format of a produce. Refuses with UNSUPPORTED_MEDIA_TYPE. */
export function embeddedFormatOf(
  context: RouteContext,
): { readonly ok: true; readonly format: EmbeddedFormat } | Refusal {
  const contentType = context.request.headers.get('content-type') ?? ''
  const end = contentType.indexOf(';')
  const mediaType = (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase()
  const format = formats.get(mediaType)
  if (format !== undefined) return { ok: true, format }
  const needsRegistry = /^application\/vnd\.kafka\.(avro|jsonschema|protobuf)\.v2\+json$/.test(mediaType)
  return refusal(
    'UNSUPPORTED_MEDIA_TYPE',
    `${needsRegistry ? `${mediaType} needs a schema registry, which this server does not have` : `Content-Type ${JSON.stringify(mediaType.slice(0, 80))} is not supported`}; send records as ${v2BinaryType}, ${v2JsonType} or ${v2TextType}.`,
  )
}

function answerType(context: RouteContext): string {
  return negotiate(context.request.headers.get('accept'), [v2Type, jsonType]) ?? v2Type
}

export function v2Reply(
  context: RouteContext,
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): Reply {
  return jsonReply(status, value, headers, answerType(context))
}

/** @param body JSON that was written by hand */
export function v2TextReply(
  context: RouteContext,
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): Reply {
  return { status, headers: { 'content-type': answerType(context), ...headers }, body }
}

export function v2Refusal(context: RouteContext, refused: Refusal): Reply {
  return refusalReply(refused, {}, answerType(context))
}

/** For the `responses` of operations. */
export function v2Response(description: string, schema: JsonSchema, example?: unknown): OpenApiResponse {
  const media = example === undefined ? { schema } : { schema, example }
  return { description, content: { [v2Type]: media, [jsonType]: media } }
}
