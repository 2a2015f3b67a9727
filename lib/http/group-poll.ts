/**
 * Reading many partitions in one request: as a member of a group (a poll is the member's heartbeat, too), or without one. The
 * answer is bytes (poll-frame.ts), or JSON with the records as the reads of one partition give them.
 */
import { type Refusal, refusal } from '../core/errors.ts'
import type { TopicId } from '../core/names.ts'
import { encodePollFrame, type PartitionData, type PartitionFault, pollType } from '../core/poll-frame.ts'
import type { FetchManyRequest, Membership, PolledPartition, Position } from '../log/group-api.ts'
import { negotiate } from './accept.ts'
import {
  arrayOf,
  count,
  faultSchema,
  faultText,
  groupTags,
  holdingSchema,
  listOf,
  membershipSchema,
  membershipText,
  objectSchema,
  optionalInteger,
  parsePosition,
  requiredInteger,
  requiredText,
  text,
} from './group-fields.ts'
import type { Parsed } from './parameters.ts'
import { type AnswerSize, type EmbeddedFormat, recordsJson } from './record-json.ts'
import { recordsSchema } from './records-read.ts'
import { jsonType, refusalReply } from './replies.ts'
import type { JsonSchema, OpenApiResponse, Reply, Route, RouteContext } from './route.ts'
import { type Fields, optionalField, readFields } from './v3-requests.ts'

const binaryType = 'application/vnd.kafka.binary.v2+json'
const embeddedJsonType = 'application/vnd.kafka.json.v2+json'
/** The first is what a client without a preference gets. */
const pollTypes = [jsonType, binaryType, embeddedJsonType, pollType] as const
type PollType = (typeof pollTypes)[number]

const waitFields: Readonly<Record<string, JsonSchema>> = {
  wait_ms: { ...count, default: 0, description: 'To wait while there is less than min_bytes; at most fetchWaitMsMax' },
  max_bytes: { type: 'integer', minimum: 1, description: 'Of all partitions together; the first batch comes anyway' },
  min_bytes: { type: 'integer', minimum: 1, default: 1 },
  max_records: { type: 'integer', minimum: 1 },
}
const waitNames = Object.keys(waitFields)

const partitionsSchema = arrayOf({
  anyOf: [
    objectSchema({
      topic: text,
      topic_id: text,
      partition: count,
      next_offset: { ...count, description: 'Where to go on' },
      start_offset: count,
      high_watermark: count,
      records: recordsSchema,
    }),
    faultSchema,
  ],
})

function polledResponse(properties: Readonly<Record<string, JsonSchema>>): OpenApiResponse {
  const media = { schema: objectSchema({ partitions: partitionsSchema, ...properties }, Object.keys(properties)) }
  return {
    description: 'Of the partitions that have something to say, what they have',
    content: Object.fromEntries(pollTypes.map((type) => [type, type === pollType ? {} : media])),
  }
}

const pollRoute: Route = {
  work: 'consume',
  method: 'POST',
  path: '/groups/{group}/members/{member}/poll',
  operation: {
    operationId: 'poll',
    summary: 'Heartbeat and fetch in one: records of everything that a member holds',
    description:
      'Where the group has changed, the answer says so in `membership`; where that gives the member something to do, at once and without records.',
    tags: groupTags,
    requestBody: {
      required: true,
      content: {
        [jsonType]: {
          schema: objectSchema({ epoch: count, holding: arrayOf(holdingSchema), ...waitFields }, waitNames),
          example: { epoch: 1, holding: [], wait_ms: 0 },
        },
      },
    },
    responses: { 200: polledResponse({ membership: membershipSchema }) },
  },
  async handle(context) {
    const type = negotiatePoll(context)
    if (typeof type !== 'string') return refusalReply(type)
    const body = await readFields(context, ['epoch', 'holding', ...waitNames])
    if (!body.ok) return refusalReply(body)
    const epoch = requiredInteger(body.value, 'epoch')
    if (!epoch.ok) return refusalReply(epoch)
    const holding = listOf(body.value, 'holding', context.settings.groupPartitionsMax, parsePosition)
    if (!holding.ok) return refusalReply(holding)
    const wait = parseWait(context, body.value)
    if (!wait.ok) return refusalReply(wait)
    const { group = '', member = '' } = context.params
    const request = { group, memberId: member, epoch: epoch.value, holding: holding.value, ...wait.value }
    const polled = await context.log.groups.poll(request)
    if (!polled.ok) return refusalReply(polled)
    return polledReply(context, type, polled.membership, polled.partitions, holding.value, wait.value)
  },
}

const fetchRoute: Route = {
  work: 'fetch',
  method: 'POST',
  path: '/fetch',
  operation: {
    operationId: 'fetchMany',
    summary: 'Read records of many partitions',
    description: 'What a poll answers, without a group: whoever asks says where to go on.',
    tags: ['Raw batches'],
    requestBody: {
      required: true,
      content: {
        [jsonType]: {
          schema: objectSchema(
            {
              partitions: arrayOf(
                objectSchema({ topic: text, partition: count, offset: count, topic_id: text }, ['topic_id']),
              ),
              ...waitFields,
            },
            waitNames,
          ),
          example: { partitions: [{ topic: 'orders', partition: 0, offset: 0 }], max_bytes: 1_048_576 },
        },
      },
    },
    responses: { 200: polledResponse({}) },
  },
  async handle(context) {
    const type = negotiatePoll(context)
    if (typeof type !== 'string') return refusalReply(type)
    const body = await readFields(context, ['partitions', ...waitNames])
    if (!body.ok) return refusalReply(body)
    const partitions = listOf(body.value, 'partitions', context.settings.groupPartitionsMax, parseFetched)
    if (!partitions.ok) return refusalReply(partitions)
    const twice = namedTwice(partitions.value)
    if (twice !== undefined) return refusalReply(twice)
    const wait = parseWait(context, body.value)
    if (!wait.ok) return refusalReply(wait)
    const fetched = await context.log.fetchMany({ partitions: partitions.value, ...wait.value })
    if (!fetched.ok) return refusalReply(fetched)
    return polledReply(context, type, undefined, fetched.partitions, partitions.value, wait.value)
  },
}

export const groupPollRoutes: readonly Route[] = [pollRoute]
export const fetchManyRoutes: readonly Route[] = [fetchRoute]

function negotiatePoll(context: RouteContext): PollType | Refusal {
  const type = negotiate(context.request.headers.get('accept'), pollTypes)
  return type ?? refusal('NOT_ACCEPTABLE', `Records can be had as ${pollTypes.join(', ')}.`)
}

function parseFetched(item: Fields): Parsed<FetchManyRequest['partitions'][number]> {
  const topic = requiredText(item, 'topic')
  if (!topic.ok) return topic
  const partition = requiredInteger(item, 'partition')
  if (!partition.ok) return partition
  const offset = requiredInteger(item, 'offset')
  if (!offset.ok) return offset
  const topicId = optionalField(item, 'topic_id', 'string')
  if (!topicId.ok) return topicId
  return {
    ok: true,
    value: {
      topic: topic.value,
      partition: partition.value,
      offset: offset.value,
      ...(topicId.value === undefined ? {} : { topicId: topicId.value as TopicId }),
    },
  }
}

/** An answer could not say which of the two it is of. */
function namedTwice(partitions: FetchManyRequest['partitions']): Refusal | undefined {
  const seen = new Set<string>()
  for (const { topic, partition } of partitions) {
    const name = `${topic}/${partition}`
    if (seen.has(name)) return refusal('INVALID_REQUEST', `partitions names ${name} twice.`)
    seen.add(name)
  }
  return undefined
}

type Wait = Omit<FetchManyRequest, 'partitions'> & { readonly bytesMax: number }

function parseWait(context: RouteContext, fields: Fields): Parsed<Wait> {
  const { settings } = context
  const wait = optionalInteger(fields, 'wait_ms')
  if (!wait.ok) return wait
  const bytesMax = optionalInteger(fields, 'max_bytes', 1)
  if (!bytesMax.ok) return bytesMax
  const bytesMin = optionalInteger(fields, 'min_bytes', 1)
  if (!bytesMin.ok) return bytesMin
  const recordsMax = optionalInteger(fields, 'max_records', 1)
  if (!recordsMax.ok) return recordsMax
  const waitMs = Math.min(wait.value ?? 0, settings.fetchWaitMsMax)
  return {
    ok: true,
    value: {
      waitMs,
      bytesMax: Math.min(bytesMax.value ?? settings.fetchBytesMax, context.answerBytesMax),
      ...(bytesMin.value === undefined ? {} : { bytesMin: bytesMin.value }),
      ...(recordsMax.value === undefined ? {} : { recordsMax: recordsMax.value }),
      // A signal costs something, and who does not wait needs none.
      ...(waitMs === 0 ? {} : { signal: context.signal }),
    },
  }
}

type Asked = Pick<Position, 'topic' | 'partition' | 'offset'> & { readonly topicId?: TopicId }

/** @param asked where each partition was to be read from */
function polledReply(
  context: RouteContext,
  type: PollType,
  membership: Membership | undefined,
  partitions: readonly PolledPartition[],
  asked: readonly Asked[],
  wait: Wait,
): Reply {
  const said = membership === undefined ? {} : { membership: membershipText(membership) }
  const headers = { 'content-type': type, vary: 'accept' }
  if (type === pollType) {
    const listed = partitions.map((partition) => (partition.ok ? dataText(partition) : faultText(partition, partition)))
    const batches = partitions.flatMap((partition) => (partition.ok ? [partition.batches] : []))
    return { status: 200, headers, body: encodePollFrame({ ...said, partitions: listed }, batches) }
  }
  // A member may hold two partitions of one name for a while: of a topic, and of the one that was created in its place.
  const offsets = new Map(
    asked.map(({ topic, topicId, partition, offset = 0 }) => [`${topicId ?? topic}/${partition}`, offset]),
  )
  const listed = partitionsJson(context, type, partitions, offsets, wait)
  const before = membership === undefined ? '{' : `${JSON.stringify(said).slice(0, -1)},`
  return { status: 200, headers, body: `${before}"partitions":[${listed.join(',')}]}` }
}

type Data = Extract<PolledPartition, { readonly ok: true }>

function dataText({ topic, topicId, partition, nextOffset, startOffset, highWatermark, batches }: Data): PartitionData {
  let bytes = 0
  for (const part of batches) bytes += part.byteLength
  return {
    topic,
    topic_id: topicId,
    partition,
    bytes,
    next_offset: nextOffset,
    start_offset: startOffset,
    high_watermark: highWatermark,
  }
}

/**
 * JSON can be cut at every record, so the limits of records and of bytes hold to one. A partition that has none left of it is left out: who
 * asks goes on from where it was.
 */
function partitionsJson(
  context: RouteContext,
  type: PollType,
  partitions: readonly PolledPartition[],
  offsets: ReadonlyMap<string, number>,
  wait: Wait,
): string[] {
  const format: EmbeddedFormat = type === embeddedJsonType ? 'json' : 'binary'
  const texts: string[] = []
  let recordsLeft = wait.recordsMax ?? Number.POSITIVE_INFINITY
  let before: AnswerSize | undefined
  const refused = (fault: PartitionFault) => texts.push(JSON.stringify(fault))
  for (const polled of partitions) {
    if (!polled.ok) {
      refused(faultText(polled, polled))
      continue
    }
    if (recordsLeft === 0) continue
    const { topic, partition } = polled
    const limits = {
      bytesMax: wait.bytesMax,
      textBytesMax: context.answerBytesMax,
      recordsMax: recordsLeft,
      ...(before === undefined ? {} : { before }),
      decompressedBytesMax: context.settings.decompressedBytesMax,
    }
    const offset = offsets.get(`${polled.topicId}/${partition}`) ?? offsets.get(`${topic}/${partition}`) ?? 0
    const read = recordsJson(topic, polled, offset, format, limits, context.codecs)
    if (!read.ok) {
      refused(faultText(polled, read))
      continue
    }
    // There was no room for its first record.
    if (read.records.length === 0 && read.nextOffset === offset && polled.nextOffset > offset) continue
    if (read.records.length > 0) before = { bytes: read.bytes, textBytes: read.textBytes }
    recordsLeft -= read.records.length
    const { bytes: _none, ...front } = dataText({ ...polled, nextOffset: read.nextOffset })
    texts.push(`${JSON.stringify(front).slice(0, -1)},"records":[${read.records.join(',')}]}`)
  }
  return texts
}
