/**
 * Reading by offset, without state: the same URL means the same records for ever. What may be cached follows from that
 * (committed data never changes):
 *
 *     the answer ends before the high watermark, topic_id in the URL     immutable
 *     the same without topic_id (the name may come to mean another topic)  to be revalidated, by ETag
 *     the answer reaches the end: more may follow                          not stored
 */
import { type Refusal, refusal } from '../core/errors.ts'
import type { TopicId } from '../core/names.ts'
import type { Fetched, FetchRequest } from '../log/log.ts'
import { negotiate } from './accept.ts'
import { pathPartition, queryInteger } from './parameters.ts'
import { batchesType } from './raw.ts'
import { type EmbeddedFormat, recordsJson } from './record-json.ts'
import { emptyReply, refusalReply } from './replies.ts'
import type { JsonSchema, OpenApiParameter, Reply, Route, RouteContext } from './route.ts'

/** The first is what a client without a preference gets. */
const readTypes = [
  'application/vnd.kafka.binary.v2+json',
  'application/vnd.kafka.json.v2+json',
  'application/vnd.kafka.v2+json',
  'application/json',
  batchesType,
] as const

export const recordsSchema: JsonSchema = {
  type: 'array',
  items: {
    type: 'object',
    required: ['topic', 'key', 'value', 'partition', 'offset', 'timestamp', 'headers'],
    properties: {
      topic: { type: 'string' },
      key: { description: 'Base64 or null; with the json format the JSON itself' },
      value: { description: 'Base64 or null; with the json format the JSON itself' },
      partition: { type: 'integer' },
      offset: { type: 'integer' },
      timestamp: { type: 'integer', description: 'Milliseconds since 1970' },
      headers: {
        type: 'array',
        items: {
          type: 'object',
          properties: { key: { type: 'string' }, value: { type: ['string', 'null'], description: 'Base64' } },
        },
      },
    },
  },
}

const readParameters: readonly OpenApiParameter[] = [
  { name: 'offset', in: 'query', required: true, schema: { type: 'integer', minimum: 0 } },
  {
    name: 'timeout',
    in: 'query',
    description: 'Milliseconds to wait while there is nothing at the offset; the server has a limit of its own.',
    schema: { type: 'integer', minimum: 0, default: 0 },
  },
  {
    name: 'max_bytes',
    in: 'query',
    description: 'The first batch (as JSON: the first record) is answered whatever its size.',
    schema: { type: 'integer', minimum: 1 },
  },
  { name: 'max_records', in: 'query', schema: { type: 'integer', minimum: 1 } },
  {
    name: 'topic_id',
    in: 'query',
    description: 'Refuse when the name now means another topic. Makes whole answers cacheable for ever.',
    schema: { type: 'string' },
  },
  { name: 'If-None-Match', in: 'header', schema: { type: 'string' } },
]

const offsetHeader = { schema: { type: 'integer' } } as const

export const recordsReadRoutes: readonly Route[] = [
  {
    work: 'fetch',
    method: 'GET',
    path: '/topics/{topic}/partitions/{partition}/records',
    operation: {
      operationId: 'readRecords',
      summary: 'Read records from an offset on',
      description:
        'As record batches, byte for byte, or as JSON. Highwater-Next-Offset says where to go on; a batch may begin before the offset.',
      tags: ['Raw batches', 'Kafka REST v2'],
      parameters: readParameters,
      responses: {
        200: {
          description: 'What is there, at most as much as was asked for; nothing when nothing came in time',
          headers: {
            'Highwater-Next-Offset': offsetHeader,
            'Highwater-High-Watermark': offsetHeader,
            'Highwater-Start-Offset': offsetHeader,
            'Highwater-Topic-Id': { schema: { type: 'string' } },
            ETag: { schema: { type: 'string' } },
          },
          content: Object.fromEntries(
            readTypes.map((type) => [type, type === batchesType ? {} : { schema: recordsSchema }]),
          ),
        },
        304: { description: 'What If-None-Match names is still right' },
      },
    },
    handle: readRecords,
  },
]

async function readRecords(context: RouteContext): Promise<Reply> {
  const type = negotiate(context.request.headers.get('accept'), readTypes)
  if (type === undefined)
    return refusalReply(refusal('NOT_ACCEPTABLE', `Records can be had as ${readTypes.join(', ')}.`))
  const request = parseRead(context)
  if (!request.ok) return refusalReply(request)
  const fetched = await context.log.fetch(request)
  if (!fetched.ok) return refusalReply(fetched)

  if (type === batchesType) return reply(context, type, request, fetched, fetched.nextOffset, fetched.batches)

  const format: EmbeddedFormat = type === 'application/vnd.kafka.json.v2+json' ? 'json' : 'binary'
  const limits = {
    bytesMax: request.bytesMax,
    textBytesMax: context.answerBytesMax,
    ...(request.recordsMax === undefined ? {} : { recordsMax: request.recordsMax }),
    decompressedBytesMax: context.settings.decompressedBytesMax,
  }
  const read = recordsJson(request.topic, fetched, request.offset, format, limits, context.codecs)
  if (!read.ok) return refusalReply(read)
  return reply(context, type, request, fetched, read.nextOffset, `[${read.records.join(',')}]`)
}

type Read = FetchRequest & { readonly ok: true; readonly bytesMax: number }

function parseRead(context: RouteContext): Read | Refusal {
  const { query, settings } = context
  const partition = pathPartition(context)
  if (!partition.ok) return partition
  const offset = queryInteger(query, 'offset')
  if (!offset.ok) return offset
  if (offset.value === undefined) return refusal('INVALID_REQUEST', 'Say where to read from: offset is missing.')
  const timeout = queryInteger(query, 'timeout')
  if (!timeout.ok) return timeout
  const bytesMax = queryInteger(query, 'max_bytes', 1)
  if (!bytesMax.ok) return bytesMax
  const recordsMax = queryInteger(query, 'max_records', 1)
  if (!recordsMax.ok) return recordsMax
  const topicId = query.get('topic_id')
  const waitMs = Math.min(timeout.value ?? 0, settings.fetchWaitMsMax)
  return {
    ok: true,
    topic: context.params.topic ?? '',
    partition: partition.value,
    offset: offset.value,
    bytesMax: Math.min(bytesMax.value ?? settings.fetchBytesMax, context.answerBytesMax),
    waitMs,
    ...(recordsMax.value === undefined ? {} : { recordsMax: recordsMax.value }),
    ...(topicId === null ? {} : { topicId: topicId as TopicId }),
    // A signal costs something, and who does not wait needs none.
    ...(waitMs === 0 ? {} : { signal: context.signal }),
  }
}

function reply(
  context: RouteContext,
  type: string,
  request: Read,
  fetched: Fetched,
  nextOffset: number,
  body: string | readonly Uint8Array[],
): Reply {
  const headers: Record<string, string> = {
    'content-type': type,
    'highwater-next-offset': String(nextOffset),
    'highwater-high-watermark': String(fetched.highWatermark),
    'highwater-start-offset': String(fetched.startOffset),
    'highwater-topic-id': fetched.topicId,
    vary: 'accept',
  }
  // A cache would go on showing a value after the tombstone that deleted it is gone.
  if (nextOffset >= fetched.highWatermark || fetched.isCompacted === true) return { status: 200, headers, body }
  // Weak: a merge may leave other bytes between the same offsets, which mean the same.
  const kind = type === batchesType ? 'batches' : type
  headers.etag = `W/"${fetched.topicId}.${fetched.partition}.${request.offset}-${nextOffset}.${kind}"`
  headers['cache-control'] = request.topicId === undefined ? 'no-cache' : 'public, max-age=31536000, immutable'
  if (matches(context.request.headers.get('if-none-match'), headers.etag)) {
    delete headers['content-type']
    return emptyReply(304, headers)
  }
  return { status: 200, headers, body }
}

/** Weak comparison, as If-None-Match has it. */
function matches(ifNoneMatch: string | null, etag: string): boolean {
  if (ifNoneMatch === null) return false
  const opaque = (tag: string) => tag.trim().replace(/^W\//, '')
  return ifNoneMatch.split(',').some((tag) => tag.trim() === '*' || opaque(tag) === opaque(etag))
}
