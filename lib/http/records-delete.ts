/** DELETE of a partition's records: everything before an offset is no longer answered. */
import { refusal } from '../core/errors.ts'
import { pathPartition, queryInteger } from './parameters.ts'
import { jsonReply, refusalReply } from './replies.ts'
import type { Reply, Route, RouteContext } from './route.ts'

export const recordsDeleteRoutes: readonly Route[] = [
  {
    work: 'admin',
    method: 'DELETE',
    path: '/topics/{topic}/partitions/{partition}/records',
    operation: {
      operationId: 'deleteRecords',
      summary: 'Delete the records before an offset',
      tags: ['Raw batches'],
      parameters: [
        {
          name: 'before_offset',
          in: 'query',
          required: true,
          description: '-1: all there are',
          schema: { type: 'integer', minimum: -1 },
        },
      ],
      responses: {
        200: {
          description: 'They are no longer answered',
          content: {
            'application/json': {
              schema: {
                type: 'object',
                required: ['beginning_offset'],
                properties: { beginning_offset: { type: 'integer' } },
              },
            },
          },
        },
      },
    },
    handle: deleteRecords,
  },
]

async function deleteRecords(context: RouteContext): Promise<Reply> {
  const partition = pathPartition(context)
  if (!partition.ok) return refusalReply(partition)
  const before = queryInteger(context.query, 'before_offset', -1)
  if (!before.ok) return refusalReply(before)
  if (before.value === undefined)
    return refusalReply(refusal('INVALID_REQUEST', 'Say which records: before_offset is missing (-1 for all).'))
  const deleted = await context.log.deleteRecords(context.params.topic ?? '', partition.value, before.value)
  if (!deleted.ok) return refusalReply(deleted)
  return jsonReply(200, { beginning_offset: deleted.startOffset })
}
