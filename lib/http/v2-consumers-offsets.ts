/** Kafka REST v2: committed offsets and positions of a consumer instance. */
import { refusal } from '../core/errors.ts'
import type { TopicPartition } from '../log/group-api.ts'
import type { Instance, Seek } from '../log/instance-api.ts'
import type { Route, RouteContext } from './route.ts'
import {
  consumerBody,
  consumerTags,
  done,
  empty204,
  type Fields,
  instancePath,
  listOf,
  offsetSchema,
  parseOffset,
  parsePartition,
  partitionQueryParameters,
  partitionsSchema,
  queryPartitions,
  readFields,
  requireFields,
  withInstance,
} from './v2-consumers-bodies.ts'
import { type Parsed, shown } from './v2-embedded.ts'
import { v2Reply, v2Response } from './v2-types.ts'
import { parseTimestamp } from './v3-record-fields.ts'

export const v2ConsumerOffsetRoutes: readonly Route[] = [
  {
    work: 'consume',
    method: 'POST',
    path: `${instancePath}/offsets`,
    operation: {
      operationId: 'commitOffsetsV2',
      summary: 'Commit what was delivered, or offsets',
      description:
        'Without a body: the positions. An offset in the body is that of the last record that was processed, as in the REST Proxy: what is committed is the next one.',
      tags: consumerTags,
      parameters: [
        { name: 'async', in: 'query', description: 'Taken and without effect.', schema: { type: 'string' } },
      ],
      requestBody: consumerBody(
        {
          type: 'object',
          properties: {
            offsets: {
              type: ['array', 'null'],
              items: offsetSchema(-1, 'Of the last record that was processed; -1: none was'),
            },
          },
          additionalProperties: false,
        },
        { offsets: [{ topic: 'orders', partition: 0, offset: 41, metadata: 'checked' }] },
        false,
      ),
      responses: {
        200: v2Response('What is committed now: the next offset to read of each partition', {
          type: 'array',
          items: {
            type: 'object',
            required: ['topic', 'partition', 'consumed', 'committed'],
            properties: {
              topic: { type: 'string' },
              partition: { type: 'integer' },
              consumed: { type: 'integer' },
              committed: { type: 'integer' },
            },
          },
        }),
      },
    },
    handle: (context) => withInstance(context, (instance) => commit(context, instance)),
  },
  {
    work: 'consume',
    method: 'GET',
    path: `${instancePath}/offsets`,
    operation: {
      operationId: 'getCommittedOffsetsV2',
      summary: 'Committed offsets of partitions',
      description:
        'The partitions come in a body, as in the convention, or in the query: many clients cannot send a body with GET, and many gateways refuse one.',
      tags: consumerTags,
      parameters: partitionQueryParameters,
      responses: {
        200: v2Response('The next offset to read, of those of the partitions that have one', {
          type: 'object',
          required: ['offsets'],
          properties: {
            offsets: {
              type: 'array',
              items: {
                type: 'object',
                required: ['topic', 'partition', 'offset', 'metadata'],
                properties: {
                  topic: { type: 'string' },
                  partition: { type: 'integer' },
                  offset: { type: 'integer' },
                  metadata: { type: 'string' },
                },
              },
            },
          },
        }),
      },
    },
    handle: (context) => withInstance(context, (instance) => committed(context, instance)),
  },
  {
    work: 'consume',
    method: 'POST',
    path: `${instancePath}/positions`,
    operation: {
      operationId: 'seekV2',
      summary: 'Go on from other offsets, or from a time',
      tags: consumerTags,
      requestBody: consumerBody(
        {
          type: 'object',
          properties: {
            offsets: { type: ['array', 'null'], items: offsetSchema(0, 'The next one to deliver') },
            timestamps: {
              type: ['array', 'null'],
              items: {
                type: 'object',
                required: ['topic', 'partition', 'timestamp'],
                properties: {
                  topic: { type: 'string' },
                  partition: { type: 'integer', minimum: 0 },
                  timestamp: {
                    type: 'string',
                    format: 'date-time',
                    description: 'To the first record at or after it; to the end where there is none',
                  },
                  metadata: { type: ['string', 'null'] },
                },
                additionalProperties: false,
              },
            },
          },
          additionalProperties: false,
        },
        { offsets: [{ topic: 'orders', partition: 0, offset: 42 }] },
      ),
      responses: empty204,
    },
    handle: (context) => withInstance(context, (instance) => seek(context, instance)),
  },
  ...(['beginning', 'end'] as const).map(
    (to): Route => ({
      work: 'consume',
      method: 'POST',
      path: `${instancePath}/positions/${to}`,
      operation: {
        operationId: to === 'beginning' ? 'seekToBeginningV2' : 'seekToEndV2',
        summary: to === 'beginning' ? 'Go on from the first records' : 'Go on with what comes next',
        description: 'No partitions: all that the instance has.',
        tags: consumerTags,
        requestBody: consumerBody(partitionsSchema, { partitions: [{ topic: 'orders', partition: 0 }] }),
        responses: empty204,
      },
      handle: (context) =>
        withInstance(context, async (instance) => {
          const fields = await requireFields(context, ['partitions'])
          if (!fields.ok) return fields
          const partitions = listOf(fields.value, 'partitions', parsePartition)
          if (!partitions.ok) return partitions
          const meant = partitions.value.length === 0 ? instance.assignment : partitions.value
          return done(await instance.seek(meant.map((partition) => ({ ...partition, to }))))
        }),
    }),
  ),
]

async function commit(context: RouteContext, instance: Instance) {
  const fields = await readFields(context, ['offsets'])
  if (!fields.ok) return fields
  const given = fields.value?.offsets ?? undefined
  const processed = listOf(fields.value ?? {}, 'offsets', (item) => parseOffset(item, -1))
  if (!processed.ok) return processed
  // Of the last record there; the next one here.
  const offsets = processed.value.map((one) => ({ ...one, offset: one.offset + 1 }))
  const answered = await instance.commit(given === undefined ? 'positions' : offsets)
  if (!answered.ok) return answered
  const refused = answered.offsets.find((one) => !one.ok)
  if (refused?.ok === false)
    return { ...refused, message: `Topic '${refused.topic}', partition ${refused.partition}: ${refused.message}` }
  return v2Reply(
    context,
    200,
    answered.offsets.flatMap((one) => {
      if (!one.ok) return []
      const { topic, partition, offset } = one
      return [{ topic, partition, consumed: offset, committed: offset }]
    }),
  )
}

async function committed(context: RouteContext, instance: Instance) {
  const partitions = await askedPartitions(context)
  if (!partitions.ok) return partitions
  if (partitions.value.length === 0)
    return refusal('UNKNOWN_PARTITION', 'Say which partitions: in the body, or as ?topic=orders&partition=0.')
  const found = await instance.committed(partitions.value)
  if (!found.ok) return found
  return v2Reply(context, 200, {
    offsets: found.offsets.map(({ topic, partition, offset, metadata }) => ({ topic, partition, offset, metadata })),
  })
}

async function askedPartitions(context: RouteContext): Promise<Parsed<readonly TopicPartition[]>> {
  if (context.query.has('topic') || context.query.has('partition')) return queryPartitions(context.query)
  const fields = await readFields(context, ['partitions'])
  return fields.ok ? listOf(fields.value ?? {}, 'partitions', parsePartition) : fields
}

async function seek(context: RouteContext, instance: Instance) {
  const fields = await requireFields(context, ['offsets', 'timestamps'])
  if (!fields.ok) return fields
  const offsets = listOf(fields.value, 'offsets', (item): Seek | string => {
    const parsed = parseOffset(item)
    return typeof parsed === 'string' ? parsed : { ...parsed, to: 'offset' }
  })
  if (!offsets.ok) return offsets
  const timestamps = listOf(fields.value, 'timestamps', parseTimestampSeek)
  if (!timestamps.ok) return timestamps
  return done(await instance.seek([...offsets.value, ...timestamps.value]))
}

function parseTimestampSeek(item: Fields): Seek | string {
  const partition = parsePartition(item, ['timestamp', 'metadata'])
  if (typeof partition === 'string') return partition
  const timestampMs = parseTimestamp(item.timestamp)
  if (timestampMs === undefined)
    return `must have a time in ISO-8601 as timestamp, as 2026-01-31T12:00:00Z, not ${shown(item.timestamp ?? null)}.`
  return { ...partition, to: 'time', timestampMs }
}
