/**
 * The raw face: Kafka v2 record batches back to back, as bytes. What a producer compressed is stored and served as it came,
 * and a client that speaks Kafka's format needs no JSON. Also what idempotent producers of every face begin with.
 */
import { errorCatalogue, type Refusal, refusal } from '../core/errors.ts'
import { batchHeaders } from '../core/record-batch.ts'
import type { Appended, AppendRequest } from '../log/log.ts'
import { pathPartition } from './parameters.ts'
import { duplicateHeader, parseProduceOptions, produceParameters } from './produce-options.ts'
import { emptyReply, errorBody, jsonReply, refusalReply } from './replies.ts'
import type { JsonSchema, Reply, Route, RouteContext } from './route.ts'

/** Media type of record batches, version 2, back to back. */
export const batchesType = 'application/vnd.highwater.batches.v1'

const appendedSchema: JsonSchema = {
  type: 'object',
  properties: {
    topic_id: { type: 'string' },
    partition: { type: 'integer' },
    base_offset: { type: 'integer' },
    record_count: { type: 'integer' },
    next_offset: { type: 'integer' },
    append_time_ms: { type: 'integer', description: 'With LogAppendTime: the time given to the records' },
    duplicate: { type: 'boolean', description: 'A repeat, answered with the offsets of the first' },
    batches: {
      type: 'array',
      description:
        'Instead of the above where several batches carry producer ids: appended one by one, in order, up to the first that is refused',
      items: {
        anyOf: [
          {
            type: 'object',
            required: ['base_offset', 'record_count', 'duplicate'],
            properties: {
              base_offset: { type: 'integer' },
              record_count: { type: 'integer' },
              duplicate: { type: 'boolean' },
            },
          },
          { $ref: '#/components/schemas/Error' },
        ],
      },
    },
  },
}

export const rawRoutes: readonly Route[] = [
  {
    work: 'produce',
    method: 'POST',
    path: '/topics/{topic}/partitions/{partition}',
    mediaTypes: [batchesType],
    operation: {
      operationId: 'appendBatches',
      summary: 'Append record batches as they are',
      description:
        'One or more whole record batches (v2), back to back, become durable and readable together, or none does. Batches with producer ids in their headers are idempotent one by one.',
      tags: ['Raw batches'],
      parameters: produceParameters,
      requestBody: { required: true, content: { [batchesType]: {} } },
      responses: {
        200: { description: 'Durable and readable', content: { 'application/json': { schema: appendedSchema } } },
        202: { description: 'acks=0: the outcome is not known' },
        207: {
          description: 'Some of several idempotent batches were refused',
          content: { 'application/json': { schema: appendedSchema } },
        },
      },
    },
    handle: append,
  },
  {
    work: 'produce',
    method: 'POST',
    path: '/producers',
    operation: {
      operationId: 'allocateProducer',
      summary: 'A producer id for idempotent producing',
      tags: ['Raw batches'],
      responses: {
        200: {
          description: 'An id that nobody had before',
          content: {
            'application/json': {
              schema: {
                type: 'object',
                required: ['producer_id', 'producer_epoch'],
                properties: { producer_id: { type: 'integer' }, producer_epoch: { type: 'integer' } },
              },
            },
          },
        },
      },
    },
    async handle({ log }) {
      const producer = await log.allocateProducer()
      if (!producer.ok) return refusalReply(producer)
      return jsonReply(200, { producer_id: producer.producerId, producer_epoch: producer.epoch })
    },
  },
]

async function append(context: RouteContext): Promise<Reply> {
  const { log } = context
  const partition = pathPartition(context)
  if (!partition.ok) return refusalReply(partition)
  const options = parseProduceOptions(context)
  if (!options.ok) return refusalReply(options)
  const body = await context.readBody()
  if (!body.ok) return refusalReply(body)
  if (body.bytes.length === 0) return refusalReply(refusal('EMPTY_PAYLOAD', 'The body has no record batch.'))

  const request: AppendRequest = {
    ...options.append,
    topic: context.params.topic ?? '',
    partition: partition.value,
    batches: body.bytes,
  }
  const parts = partsOf(body.bytes)
  if (parts.length > 1 && Object.keys(options.append).length > 0)
    return refusalReply(
      refusal('INVALID_REQUEST', 'Batches with producer ids are sent without other conditions, or one at a time.'),
    )
  if (!options.waitsForCommit) {
    context.unattended(parts.length > 1 ? appendEach(context, request, parts) : log.append(request))
    return emptyReply(202)
  }
  if (parts.length > 1) return repliesOf(await appendEach(context, request, parts))

  const appended = await log.append(request)
  if (!appended.ok) return refusalReply(appended)
  return jsonReply(
    200,
    {
      topic_id: appended.topicId,
      partition: appended.partition,
      base_offset: appended.baseOffset,
      record_count: appended.recordCount,
      next_offset: appended.baseOffset + appended.recordCount,
      append_time_ms: appended.appendTimeMs,
      duplicate: appended.isDuplicate,
    },
    appended.isDuplicate ? duplicateHeader : {},
  )
}

/**
 * What is appended at once: an idempotent batch alone (it has an identity of its own, D4), neighbours without identity
 * together. Bytes that are no batches stay one part: the log says what is wrong with them.
 */
function partsOf(bytes: Uint8Array): readonly Uint8Array[] {
  const read = batchHeaders(bytes)
  if (!read.ok) return [bytes]
  const { headers } = read
  if (headers.length === 1 || headers.every((header) => header.producerId < 0)) return [bytes]
  const parts: Uint8Array[] = []
  let from = 0
  for (const [index, header] of headers.entries()) {
    const next = headers[index + 1]
    const end = header.position + header.sizeBytes
    if (next !== undefined && header.producerId < 0 && next.producerId < 0) continue
    parts.push(bytes.subarray(from, end))
    from = end
  }
  return parts
}

type Outcome = ({ readonly ok: true } & Appended) | Refusal

/** In order, up to the first that is refused: what comes after it would find a gap in its sequence, or overtake it. */
async function appendEach(
  context: RouteContext,
  request: AppendRequest,
  parts: readonly Uint8Array[],
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = []
  for (const [index, batches] of parts.entries()) {
    const outcome = await context.log.append({ ...request, batches })
    outcomes.push(outcome)
    if (outcome.ok) continue
    for (let rest = index + 1; rest < parts.length; rest++)
      outcomes.push(refusal(outcome.code, `Not attempted, because part ${index} was refused: ${outcome.message}`))
    break
  }
  return outcomes
}

function repliesOf(outcomes: readonly Outcome[]): Reply {
  const [first] = outcomes
  if (first === undefined || !first.ok) return refusalReply(first ?? refusal('EMPTY_PAYLOAD', 'There is no batch.'))
  const last = outcomes.findLast((outcome) => outcome.ok) ?? first
  const duplicates = outcomes.every((outcome) => outcome.ok && outcome.isDuplicate)
  return jsonReply(
    outcomes.every((outcome) => outcome.ok) ? 200 : 207,
    {
      topic_id: first.topicId,
      partition: first.partition,
      next_offset: last.baseOffset + last.recordCount,
      batches: outcomes.map((outcome) =>
        outcome.ok
          ? {
              base_offset: outcome.baseOffset,
              record_count: outcome.recordCount,
              append_time_ms: outcome.appendTimeMs,
              duplicate: outcome.isDuplicate,
            }
          : { ...errorBody(outcome), retriable: errorCatalogue[outcome.code].retriable },
      ),
    },
    duplicates ? duplicateHeader : {},
  )
}
