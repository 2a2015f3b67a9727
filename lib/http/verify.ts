/** Verification over HTTP, a piece a request. Highwater's own face; for who may administer, since it reads everything. */
import type { Finding, VerifyCounts } from '../core/verify-rule.ts'
import { findingCodes } from '../core/verify-rule.ts'
import { verifyBytesMax } from '../log/verify.ts'
import { pathPartition, queryInteger } from './parameters.ts'
import { jsonReply, jsonType, refusalReply } from './replies.ts'
import type { JsonSchema, OpenApiParameter, Route } from './route.ts'

const tags = ['Verification']
const notStored = { 'cache-control': 'no-store' }

function findingJson({ severity, code, topic, partition, offset, key, message }: Finding): object {
  return { severity, code, topic, partition, offset, key, message }
}

function countsJson({ records, bytes, chunks, rows, producers }: VerifyCounts): object {
  return { records, bytes, chunks, rows, producers }
}

const integer: JsonSchema = { type: 'integer', minimum: 0 }
const text: JsonSchema = { type: 'string' }
const findingsSchema: JsonSchema = {
  type: 'array',
  items: {
    type: 'object',
    required: ['severity', 'code', 'message'],
    properties: {
      severity: { enum: ['damage', 'leftover'] },
      code: { enum: Object.keys(findingCodes) },
      topic: text,
      partition: integer,
      offset: { ...integer, description: 'The first that it is about' },
      key: { ...text, description: 'Of the object, or collection and key of the item' },
      message: text,
    },
  },
}

function answers(
  description: string,
  properties: Readonly<Record<string, JsonSchema>>,
  optional: readonly string[] = [],
) {
  const required = Object.keys(properties).filter((name) => !optional.includes(name))
  return { 200: { description, content: { [jsonType]: { schema: { type: 'object', required, properties } } } } }
}

const query = (name: string, schema: JsonSchema, description: string): OpenApiParameter => ({
  name,
  in: 'query',
  description,
  schema,
})

export const verifyRoutes: readonly Route[] = [
  {
    work: 'verify',
    method: 'GET',
    path: '/verify/topics',
    operation: {
      operationId: 'verifyTopics',
      summary: 'Check the items of topics, and say which topics there are',
      tags,
      parameters: [query('after', text, '`next` of the page before')],
      responses: answers(
        'Topics by name',
        {
          topics: {
            type: 'array',
            items: {
              type: 'object',
              required: ['topic', 'topic_id', 'partitions'],
              properties: { topic: text, topic_id: text, partitions: integer },
            },
          },
          findings: findingsSchema,
          next: { ...text, description: 'Absent: there are no more' },
        },
        ['next'],
      ),
    },
    async handle({ log, query: asked }) {
      const verified = await log.verifyTopics(asked.get('after') ?? undefined)
      if (!verified.ok) return refusalReply(verified)
      const { topics, findings, next } = verified
      const body = {
        topics: topics.map(({ name, topicId, partitions }) => ({ topic: name, topic_id: topicId, partitions })),
        findings: findings.map(findingJson),
        next,
      }
      return jsonReply(200, body, notStored)
    },
  },
  {
    work: 'verify',
    method: 'GET',
    path: '/verify/topics/{topic}/partitions/{partition}',
    operation: {
      operationId: 'verifyPartition',
      summary: 'Check a piece of a partition, from its end towards its start',
      description:
        'Head, tail, rows, every chunk with its checksums, producers, held against each other. Beside writers and upkeep nothing is called damage that is only on the move. Goes on with the cursor of the answer, until there is none.',
      tags,
      parameters: [
        query('cursor', text, 'Of the piece before'),
        query('deep', { type: 'boolean', default: false }, 'Decompress and walk the records, too'),
        query(
          'max_bytes',
          { type: 'integer', minimum: 1, maximum: verifyBytesMax, default: verifyBytesMax },
          'Bytes of chunks after which the piece ends',
        ),
      ],
      responses: answers(
        'What was looked at, and found',
        {
          topic: text,
          topic_id: text,
          partition: integer,
          start_offset: integer,
          high_watermark: integer,
          from_offset: { ...integer, description: 'From here on everything was verified' },
          counts: {
            type: 'object',
            properties: { records: integer, bytes: integer, chunks: integer, rows: integer, producers: integer },
          },
          findings: findingsSchema,
          cursor: { ...text, description: 'Absent: the partition is done' },
        },
        ['cursor'],
      ),
    },
    async handle(context) {
      const partition = pathPartition(context)
      if (!partition.ok) return refusalReply(partition)
      const bytesMax = queryInteger(context.query, 'max_bytes', 1, verifyBytesMax)
      if (!bytesMax.ok) return refusalReply(bytesMax)
      const cursor = context.query.get('cursor')
      const verified = await context.log.verifyPartition({
        topic: context.params.topic ?? '',
        partition: partition.value,
        isDeep: context.query.get('deep') === 'true',
        signal: context.signal,
        ...(cursor === null ? {} : { cursor }),
        ...(bytesMax.value === undefined ? {} : { bytesMax: bytesMax.value }),
      })
      if (!verified.ok) return refusalReply(verified)
      const { topic, topicId, startOffset, highWatermark, fromOffset, counts, findings } = verified
      const body = {
        topic,
        topic_id: topicId,
        partition: partition.value,
        start_offset: startOffset,
        high_watermark: highWatermark,
        from_offset: fromOffset,
        counts: countsJson(counts),
        findings: findings.map(findingJson),
        cursor: verified.cursor,
      }
      return jsonReply(200, body, notStored)
    },
  },
  {
    work: 'verify',
    method: 'GET',
    path: '/verify/leftovers',
    operation: {
      operationId: 'verifyLeftovers',
      summary: 'What nothing names any more, and the next sweep would take',
      tags,
      responses: answers('At most a hundred of them', {
        findings: findingsSchema,
        unnamed: { ...integer, description: 'Objects that nothing names' },
        is_whole: { type: 'boolean', description: 'false: time ran out before everything was looked at' },
      }),
    },
    async handle({ log, signal }) {
      const found = await log.verifyLeftovers(signal)
      if (!found.ok) return refusalReply(found)
      const { findings, unnamed, isWhole } = found
      return jsonReply(200, { findings: findings.map(findingJson), unnamed, is_whole: isWhole }, notStored)
    },
  },
]
