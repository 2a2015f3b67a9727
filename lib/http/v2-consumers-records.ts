/**
 * Kafka REST v2: records of a consumer instance. Its position moves before the answer leaves, so what is said here must be an
 * answer that can leave: within the limit of one answer, whatever is asked for.
 */
import { type Refusal, refusal } from '../core/errors.ts'
import type { Offset } from '../core/names.ts'
import type { Instance, InstancePoll, Take } from '../log/instance-api.ts'
import { negotiate } from './accept.ts'
import { type Parsed, queryInteger } from './parameters.ts'
import { type AnswerSize, type EmbeddedFormat, recordsJson } from './record-json.ts'
import { recordsSchema } from './records-read.ts'
import type { Reply, Route, RouteContext } from './route.ts'
import { consumerTags, withInstance } from './v2-consumers-bodies.ts'
import { v2BinaryType, v2JsonType, v2TextType, v2Type } from './v2-types.ts'

const typeOf: Readonly<Record<EmbeddedFormat, string>> = { binary: v2BinaryType, json: v2JsonType, text: v2TextType }

export const v2ConsumerRecordRoutes: readonly Route[] = [
  {
    work: 'consume',
    method: 'GET',
    path: '/consumers/{group}/instances/{instance}/records',
    operation: {
      operationId: 'consumeRecordsV2',
      summary: 'The next records',
      description:
        'Of all partitions that the instance has, from its positions on, which move beyond them before the answer leaves. With auto.commit.enable, what earlier answers held is committed.',
      tags: consumerTags,
      parameters: [
        {
          name: 'timeout',
          in: 'query',
          description:
            'Milliseconds to wait while there is less than fetch.min.bytes; -1, or nothing: consumer.request.timeout.ms. The server has a limit of its own.',
          schema: { type: 'integer', minimum: -1 },
        },
        {
          name: 'max_bytes',
          in: 'query',
          description: 'Of keys, values and headers; the first record is answered whatever its size.',
          schema: { type: 'integer', minimum: -1 },
        },
      ],
      responses: {
        200: {
          description: 'Records, those of a partition in their order; none when none came in time',
          content: Object.fromEntries(
            [...Object.values(typeOf), v2Type, 'application/json'].map((type) => [type, { schema: recordsSchema }]),
          ),
        },
      },
    },
    handle: (context) => withInstance(context, (instance) => consume(context, instance)),
  },
]

async function consume(context: RouteContext, instance: Instance): Promise<Reply | Refusal> {
  const format = instance.config.format as EmbeddedFormat
  const type = negotiateType(context, format)
  if (!type.ok) return type
  const request = parsePoll(context)
  if (!request.ok) return request
  const polled = await instance.poll(request.value, takeJson(context, format, request.value.bytesMax))
  if (!polled.ok) return polled
  return { status: 200, headers: { 'content-type': type.value, vary: 'accept' }, body: `[${polled.value.join(',')}]` }
}

/** The instance's own format; the type that names none means binary, as in the convention. */
function negotiateType(context: RouteContext, format: EmbeddedFormat): Parsed<string> {
  const own = [typeOf[format], ...(format === 'binary' ? [v2Type] : []), 'application/json']
  const type = negotiate(context.request.headers.get('accept'), own)
  if (type !== undefined) return { ok: true, value: type }
  return refusal(
    'CONSUMER_FORMAT_MISMATCH',
    `The instance was created with the format ${format}: accept ${own.join(' or ')}.`,
  )
}

function parsePoll(context: RouteContext): Parsed<InstancePoll & { readonly bytesMax: number }> {
  const { query, settings, signal, answerBytesMax } = context
  const timeout = queryInteger(query, 'timeout', -1)
  if (!timeout.ok) return timeout
  const bytesMax = queryInteger(query, 'max_bytes', -1)
  if (!bytesMax.ok) return bytesMax
  const wanted = bytesMax.value ?? -1
  return {
    ok: true,
    value: {
      bytesMax: Math.min(wanted <= 0 ? settings.fetchBytesMax : wanted, answerBytesMax),
      ...(timeout.value === undefined || timeout.value < 0 ? {} : { waitMs: timeout.value }),
      signal,
    },
  }
}

function takeJson(context: RouteContext, format: EmbeddedFormat, bytesMax: number): Take<readonly string[]> {
  const { settings, codecs } = context
  return (deliveries) => {
    const records: string[] = []
    const positions: Offset[] = []
    let before: AnswerSize | undefined
    for (const { topic, offset, fetched } of deliveries) {
      const limits = {
        bytesMax,
        textBytesMax: context.answerBytesMax,
        decompressedBytesMax: settings.decompressedBytesMax,
        ...(before === undefined ? {} : { before }),
      }
      const read = recordsJson(topic, fetched, offset, format, limits, codecs)
      if (!read.ok)
        return refusal(
          'INVALID_RECORD',
          `${read.message.split('; ')[0]}. Nothing was delivered. Move the position beyond it (POST positions), or read it with an instance of the format binary.`,
        )
      for (const record of read.records) records.push(record)
      positions.push(read.nextOffset)
      if (records.length > 0) before = { bytes: read.bytes, textBytes: read.textBytes }
    }
    return { ok: true, value: records, positions }
  }
}
