/** Kafka REST v2: the range of offsets of a partition, and the offset of a time. */
import { pathPartition, queryInteger } from './parameters.ts'
import type { Route, RouteContext } from './route.ts'
import type { Parsed } from './v2-embedded.ts'
import { v2Refusal, v2Reply, v2Response } from './v2-types.ts'

export const v2OffsetRoutes: readonly Route[] = [
  {
    work: 'fetch',
    method: 'GET',
    path: '/topics/{topic}/partitions/{partition}/offsets',
    operation: {
      operationId: 'getOffsetsV2',
      summary: 'The range of offsets that can be read',
      tags: ['Kafka REST v2'],
      parameters: [
        {
          name: 'timestamp',
          in: 'query',
          description:
            'Milliseconds since 1970. Adds the offset and the timestamp of the first record at or after that time; offset -1 where there is none.',
          schema: { type: 'integer', minimum: 0 },
        },
      ],
      responses: {
        200: v2Response('The range; its end is exclusive', {
          type: 'object',
          required: ['beginning_offset', 'end_offset'],
          properties: {
            beginning_offset: { type: 'integer' },
            end_offset: { type: 'integer' },
            offset: { type: 'integer' },
            timestamp: { type: 'integer' },
          },
        }),
      },
    },
    async handle(context) {
      const found = await getOffsets(context)
      return found.ok ? v2Reply(context, 200, found.value) : v2Refusal(context, found)
    },
  },
]

async function getOffsets(context: RouteContext): Promise<Parsed<object>> {
  const partition = pathPartition(context)
  if (!partition.ok) return partition
  const timestamp = queryInteger(context.query, 'timestamp')
  if (!timestamp.ok) return timestamp
  const topic = context.params.topic ?? ''
  const [offsets, sought] = await Promise.all([
    context.log.offsets(topic, partition.value),
    timestamp.value === undefined ? undefined : context.log.offsetForTimestamp(topic, partition.value, timestamp.value),
  ])
  if (!offsets.ok) return offsets
  if (sought?.ok === false) return sought
  return {
    ok: true,
    value: {
      beginning_offset: offsets.startOffset,
      end_offset: offsets.highWatermark,
      ...(sought === undefined ? {} : { offset: sought.offset, timestamp: sought.timestampMs }),
    },
  }
}
