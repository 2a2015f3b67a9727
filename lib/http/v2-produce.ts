/**
 * Kafka REST v2: produce to a topic or to one of its partitions.
 *
 * The answer has one entry per record, in the order of the request. A repeat of an idempotent request is answered with the
 * offsets of the first (D4); `?acks=0`, and the Strimzi bridge's `?async=true`, do not wait for them.
 */
import { errorCatalogue } from '../core/errors.ts'
import type { Produced } from '../log/log.ts'
import { pathPartition } from './parameters.ts'
import { duplicateHeader, parseProduceOptions, produceParameters } from './produce-options.ts'
import { emptyReply, errorBody, refusalHeaders } from './replies.ts'
import type {
  JsonSchema,
  OpenApiMedia,
  OpenApiOperation,
  OpenApiParameter,
  Reply,
  Route,
  RouteContext,
} from './route.ts'
import { commonRefusal, isRepeat } from './v2-outcome.ts'
import { parseV2Records, v2RecordsMax } from './v2-records.ts'
import {
  embeddedFormatOf,
  v2BinaryType,
  v2JsonType,
  v2Refusal,
  v2Response,
  v2TextReply,
  v2TextType,
  v2Type,
} from './v2-types.ts'

async function produce(context: RouteContext, partition: number | undefined): Promise<Reply> {
  const media = embeddedFormatOf(context)
  if (!media.ok) return v2Refusal(context, media)
  const options = parseProduceOptions(context)
  if (!options.ok) return v2Refusal(context, options)
  const body = await context.readBody()
  if (!body.ok) return v2Refusal(context, body)
  const records = parseV2Records(body.bytes, media.format, partition)
  if (!records.ok) return v2Refusal(context, records)

  const work = context.log.produce({ topic: context.params.topic ?? '', records: records.value, ...options.append })
  if (context.query.get('async') === 'true') {
    context.unattended(work)
    return emptyReply(204)
  }
  if (!options.waitsForCommit) {
    context.unattended(work)
    return v2TextReply(context, 202, withoutOffsets(records.value.length))
  }
  const answer = await work
  if (!answer.ok) return v2Refusal(context, answer)

  const [first] = answer.records
  // Where the path names the partition, one that does not exist is the request's fault, not the records'.
  if (partition !== undefined && first !== undefined && !first.ok && first.code === 'UNKNOWN_PARTITION')
    return v2Refusal(context, first)
  const refused = commonRefusal(answer.records)
  if (refused !== undefined) {
    const lead = JSON.stringify(errorBody(refused)).slice(0, -1)
    const rest = offsetsBody(answer.records).slice(1)
    return v2TextReply(context, errorCatalogue[refused.code].status, `${lead},${rest}`, refusalHeaders(refused))
  }
  return v2TextReply(context, 200, offsetsBody(answer.records), isRepeat(answer.records) ? duplicateHeader : {})
}

const bodyStart = '{"offsets":['
const bodyEnd = '],"key_schema_id":null,"value_schema_id":null}'

/** Written by hand: it takes a fraction of JSON.stringify's time, and a request may have many records. */
function offsetsBody(records: readonly Produced[]): string {
  let text = bodyStart
  for (let index = 0; index < records.length; index++) {
    const record = records[index]!
    if (index > 0) text += ','
    if (record.ok) {
      text += `{"partition":${record.partition},"offset":${record.offset},"error_code":null,"error":null}`
    } else {
      const { error_code, message } = errorBody(record)
      text += `{"partition":null,"offset":null,"error_code":${error_code},"error":${JSON.stringify(message)}}`
    }
  }
  return text + bodyEnd
}

function withoutOffsets(count: number): string {
  const entry = '{"partition":null,"offset":null,"error_code":null,"error":null}'
  return bodyStart + new Array<string>(count).fill(entry).join(',') + bodyEnd
}

const headersSchema: JsonSchema = {
  type: ['array', 'null'],
  items: {
    type: 'object',
    required: ['key'],
    properties: {
      key: { type: 'string' },
      value: { type: ['string', 'null'], contentEncoding: 'base64' },
    },
    additionalProperties: false,
  },
}

function requestSchema(data: JsonSchema, hasPartition: boolean): JsonSchema {
  return {
    type: 'object',
    required: ['records'],
    properties: {
      records: {
        type: 'array',
        minItems: 1,
        maxItems: v2RecordsMax,
        items: {
          type: 'object',
          properties: {
            key: data,
            value: data,
            ...(hasPartition ? { partition: { type: ['integer', 'null'], minimum: 0 } } : {}),
            timestamp: { type: ['integer', 'null'], minimum: 0, description: 'Milliseconds since 1970' },
            headers: headersSchema,
          },
          additionalProperties: false,
        },
      },
      key_schema: { type: 'null' },
      key_schema_id: { type: 'null' },
      value_schema: { type: 'null' },
      value_schema_id: { type: 'null' },
    },
    additionalProperties: false,
  }
}

function requestMedia(hasPartition: boolean): Record<string, OpenApiMedia> {
  const partition = hasPartition ? { partition: 0 } : {}
  const binary: OpenApiMedia = {
    schema: requestSchema({ type: ['string', 'null'], contentEncoding: 'base64' }, hasPartition),
    example: {
      records: [
        { key: 'b3JkZXItMQ==', value: 'Y29uZmlybWVk', ...partition },
        { value: 'cGFpZA==', ...partition },
      ],
    },
  }
  const json: OpenApiMedia = {
    schema: requestSchema({}, hasPartition),
    example: {
      records: [
        {
          key: 'order-1',
          value: { state: 'confirmed', items: 3 },
          timestamp: 1_767_225_600_000,
          headers: [{ key: 'source', value: 'd2Vic2hvcA==' }],
          ...partition,
        },
        { key: 'order-1', value: null, ...partition },
      ],
    },
  }
  const text: OpenApiMedia = {
    schema: requestSchema({ type: ['string', 'null'] }, hasPartition),
    example: { records: [{ key: 'order-1', value: 'confirmed' }] },
  }
  return {
    [v2BinaryType]: binary,
    [v2JsonType]: json,
    [v2TextType]: text,
    [v2Type]: binary,
    'application/json': binary,
  }
}

const offsetsSchema: JsonSchema = {
  type: 'object',
  required: ['offsets', 'key_schema_id', 'value_schema_id'],
  properties: {
    offsets: {
      type: 'array',
      description: 'One entry per record, in the order of the request',
      items: {
        type: 'object',
        required: ['partition', 'offset', 'error_code', 'error'],
        properties: {
          partition: { type: ['integer', 'null'] },
          offset: { type: ['integer', 'null'] },
          error_code: { type: ['integer', 'null'] },
          error: { type: ['string', 'null'] },
        },
      },
    },
    key_schema_id: { type: 'null' },
    value_schema_id: { type: 'null' },
  },
}

const asyncParameter: OpenApiParameter = {
  name: 'async',
  in: 'query',
  description: 'true: answer 204 at once, without offsets (as the Strimzi bridge does).',
  schema: { type: 'boolean', default: false },
}

function operation(operationId: string, summary: string, hasPartition: boolean): OpenApiOperation {
  return {
    operationId,
    summary,
    description:
      'Keys and values have the format that the Content-Type names: base64 (the default), JSON or text; null is no key, or a tombstone. Nothing is written unless all records of the body are well-formed. When no record was written for one reason that is not the records’ own, that is the status, and the body has `error_code` and `message` beside `offsets`.',
    tags: ['Kafka REST v2'],
    parameters: [...produceParameters, asyncParameter],
    requestBody: { required: true, content: requestMedia(hasPartition) },
    responses: {
      200: {
        ...v2Response('Where the records are', offsetsSchema, {
          offsets: [
            { partition: 0, offset: 5, error_code: null, error: null },
            { partition: 0, offset: 6, error_code: null, error: null },
          ],
          key_schema_id: null,
          value_schema_id: null,
        }),
        headers: {
          'Highwater-Duplicate': {
            description: 'Present when this was a repeat, answered with the offsets of the first',
            schema: { const: 'true' },
          },
        },
      },
      202: v2Response('With acks=0: taken, offsets not known', offsetsSchema),
      204: { description: 'With async=true: taken' },
    },
  }
}

export const v2ProduceRoutes: readonly Route[] = [
  {
    work: 'produce',
    method: 'POST',
    path: '/topics/{topic}',
    operation: operation('produceToTopicV2', 'Append records to a topic', true),
    handle: (context) => produce(context, undefined),
  },
  {
    work: 'produce',
    method: 'POST',
    path: '/topics/{topic}/partitions/{partition}',
    operation: operation('produceToPartitionV2', 'Append records to one partition', false),
    async handle(context) {
      const partition = pathPartition(context)
      return partition.ok ? produce(context, partition.value) : v2Refusal(context, partition)
    },
  },
]
