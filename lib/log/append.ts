/** The append: batches as bytes, checked at the edge, gathered, committed, answered. */
import type { Refusal } from '../core/errors.ts'
import { refusal } from '../core/errors.ts'
import type { EpochMs, Offset, ProducerKey } from '../core/names.ts'
import { producerKeyOfId } from '../core/names.ts'
import { lastSequence, producerEpochMax, sequenceMax } from '../core/producer.ts'
import type { BatchHeader } from '../core/record-batch.ts'
import { checkBatches, rebaseBatch, stampAppendTime, stampMaxTimestamp } from '../core/record-batch.ts'
import type { Topic } from '../core/topic.ts'
import { effectiveConfig } from '../core/topic.ts'
import type { UnitProducer } from './commit-outcomes.ts'
import type { Context } from './context.ts'
import type { Gather } from './gather.ts'
import type { Answer, Appended, AppendOptions, AppendRequest, ProducerStamp } from './log.ts'
import type { Topics } from './topics.ts'
import { unknownPartition } from './topics.ts'

type PlacedHeader = BatchHeader & { readonly position: number }

/** Batches that passed every check, ready to be gathered. */
export interface CheckedBatches {
  readonly bytes: Uint8Array
  readonly headers: readonly PlacedHeader[]
  readonly recordCount: number
  readonly maxTimestampMs: EpochMs
  readonly appendTimeMs?: EpochMs
}

export const idempotencyKeyLengthMax = 255

/** Topics of one name that an append follows while they are deleted and created again under it. */
export const recreationsMax = 3

export async function append(
  context: Context,
  topics: Topics,
  gather: Gather,
  request: AppendRequest,
): Promise<Answer<Appended>> {
  // Of the bytes as they came: what is stamped into them here differs from one repeat to the next.
  const fingerprint = request.idempotencyKey === undefined ? undefined : fingerprintOf(context, [request.batches])
  let found = await topics.resolveOrCreate(request.topic, request)
  for (let recreations = 0; ; recreations++) {
    if (!found.ok) return found
    const { topic } = found
    const checked = checkAppend(context, topic, request)
    if (!checked.ok) return checked
    const stamped = stampOf(request, checked.headers)
    if (!stamped.ok) return stamped
    const { partition } = request
    const appended = await appendChecked(gather, topic, partition, checked, stamped.options, fingerprint)
    if (appended !== 'deleted') return appended
    if (recreations >= recreationsMax || checked.appendTimeMs !== undefined) return beingDeleted(topic)
    found = await topicAfter(topics, topic, request)
    for (const { position } of checked.headers) rebaseBatch(request.batches, position, 0)
  }
}

/** Gathers checked batches for one partition. `deleted`: the topic is, and nothing was or will be written to it. */
export async function appendChecked(
  gather: Gather,
  topic: Topic,
  partition: number,
  checked: CheckedBatches,
  options: AppendOptions,
  fingerprint: string | undefined,
): Promise<Answer<Appended> | 'deleted'> {
  if (options.topicId !== undefined && options.topicId !== topic.id)
    return refusal(
      'UNKNOWN_TOPIC',
      `Topic '${topic.name}' was created again: its id is ${topic.id}, not ${options.topicId}.`,
    )
  const identity = identityOf(options, checked.recordCount, fingerprint)
  if (!identity.ok) return identity
  if (!Number.isInteger(partition) || partition < 0 || partition >= topic.partitions)
    return unknownPartition(topic, partition)
  const outcome = await gather.add({
    key: { topicId: topic.id, partition },
    bytes: checked.bytes,
    headers: checked.headers,
    recordCount: checked.recordCount,
    maxTimestampMs: checked.maxTimestampMs,
    config: effectiveConfig(topic),
    ...(identity.producer === undefined ? {} : { producer: identity.producer }),
    ...(options.expectedOffset === undefined ? {} : { expectedOffset: options.expectedOffset }),
    ...(options.leaderEpoch === undefined ? {} : { leaderEpoch: options.leaderEpoch }),
  })
  switch (outcome.kind) {
    case 'committed':
      return {
        ok: true,
        topicId: topic.id,
        partition,
        baseOffset: outcome.base,
        recordCount: checked.recordCount,
        ...(checked.appendTimeMs === undefined ? {} : { appendTimeMs: checked.appendTimeMs }),
        isDuplicate: outcome.isDuplicate,
      }
    case 'refused':
      return outcome.refusal
    case 'deleted':
      return 'deleted'
    default:
      return outcome satisfies never
  }
}

/**
 * The topic that has the name of a deleted one now: it is another topic (D6), with rules and partitions of its own, by
 * which the whole request is judged anew. An epoch or an id that a request names was the old one's.
 */
export async function topicAfter(
  topics: Topics,
  deleted: Topic,
  { leaderEpoch, topicId }: AppendOptions,
): Promise<{ readonly ok: true; readonly topic: Topic } | Refusal> {
  topics.forget(deleted.name)
  if (leaderEpoch !== undefined || topicId !== undefined) return beingDeleted(deleted)
  const now = await topics.resolve(deleted.name)
  return now.ok && now.topic.id === deleted.id ? beingDeleted(deleted) : now
}

export function beingDeleted(topic: Topic): Refusal {
  return refusal('UNKNOWN_TOPIC', `Topic '${topic.name}' was deleted, or is being deleted; nothing was written.`)
}

/** Size, checksum and form of every batch, and the topic's rules for timestamps and keys. Nothing is written before all hold. */
function checkAppend(
  context: Context,
  topic: Topic,
  request: AppendRequest,
): ({ readonly ok: true } & CheckedBatches) | Refusal {
  const { settings, codecs } = context
  const bytes = request.batches
  const where = `topic ${topic.name}, partition ${request.partition}`
  if (bytes.byteLength > settings.appendBytesMax)
    return refusal(
      'REQUEST_TOO_LARGE',
      `The append has ${bytes.byteLength} bytes, at most ${settings.appendBytesMax} are allowed.`,
    )
  const config = effectiveConfig(topic)
  const nowMs = context.clock.now()
  const limits = timestampLimits(topic, nowMs)
  const checked = checkBatches(bytes, codecs, {
    batchBytesMax: config.messageBytesMax,
    decompressedBytesMax: settings.decompressedBytesMax,
    keyRequired: config.cleanupPolicy.isCompact,
    // Compressed batches too: a record count that lies would be offsets without records, for ever (D3).
    walk: 'always',
    ...(limits.isExplicit && config.timestampType === 'CreateTime'
      ? { timestampMsMin: limits.minMs, timestampMsMax: limits.maxMs }
      : {}),
  })
  if (!checked.ok) return refusal(checked.code, `${checked.message} (byte ${checked.at} of the batches, ${where}).`)
  const headers: PlacedHeader[] = []
  let recordCount = 0
  let maxTimestampMs = -1
  for (const { header, position, recordsMaxTimestampMs } of checked.batches) {
    if (header.isTransactional)
      return refusal(
        'INVALID_RECORD',
        `Transactions are not supported yet (byte ${position} of the batches, ${where}).`,
      )
    let batchMaxMs = header.maxTimestampMs
    if (config.timestampType === 'LogAppendTime') {
      stampAppendTime(bytes, position, nowMs, codecs)
      batchMaxMs = nowMs
    } else {
      if (recordsMaxTimestampMs !== null && recordsMaxTimestampMs !== header.maxTimestampMs) {
        stampMaxTimestamp(bytes, position, recordsMaxTimestampMs, codecs)
        batchMaxMs = recordsMaxTimestampMs
      }
      if (batchMaxMs > limits.maxMs || (batchMaxMs !== -1 && batchMaxMs < limits.minMs))
        return refusal(
          'INVALID_TIMESTAMP',
          `Timestamp ${batchMaxMs} is not between ${limits.minMs} and ${limits.maxMs}, the topic's limits now (${where}).`,
        )
    }
    headers.push({ ...header, maxTimestampMs: batchMaxMs, position })
    recordCount += header.recordCount
    maxTimestampMs = Math.max(maxTimestampMs, batchMaxMs)
  }
  return {
    ok: true,
    bytes,
    headers,
    recordCount,
    maxTimestampMs,
    ...(config.timestampType === 'LogAppendTime' ? { appendTimeMs: nowMs } : {}),
  }
}

/** Timestamps a record may have now. `isExplicit`: the topic sets a limit itself, so every record is looked at, not only the batch's largest. */
export function timestampLimits(topic: Topic, nowMs: EpochMs): { minMs: number; maxMs: number; isExplicit: boolean } {
  const config = effectiveConfig(topic)
  return {
    minMs: nowMs - config.timestampBeforeMaxMs,
    maxMs: nowMs + config.timestampAfterMaxMs,
    isExplicit:
      topic.configs['message.timestamp.before.max.ms'] !== undefined ||
      topic.configs['message.timestamp.after.max.ms'] !== undefined,
  }
}

/** The claim in the request and the one in the batch headers must agree; either is enough. */
function stampOf(
  request: AppendRequest,
  headers: readonly BatchHeader[],
): { readonly ok: true; readonly options: AppendOptions } | Refusal {
  const stamped = headers.find((header) => header.producerId >= 0)
  if (stamped === undefined) return { ok: true, options: request }
  if (headers.length > 1)
    return refusal(
      'INVALID_REQUEST',
      'A batch with a producer id must be the only one of its append: it has a sequence, an answer and a fate of its own.',
    )
  const { producerId, producerEpoch: epoch, baseSequence: sequence } = stamped
  const given = request.producer
  if (given !== undefined && (given.producerId !== producerId || given.epoch !== epoch || given.sequence !== sequence))
    return refusal(
      'INVALID_REQUEST',
      `The request claims producer ${given.producerId}/${given.epoch}/${given.sequence}, its batch ${producerId}/${epoch}/${sequence} (id/epoch/sequence).`,
    )
  return { ok: true, options: { ...request, producer: { producerId, epoch, sequence } } }
}

function identityOf(
  options: AppendOptions,
  recordCount: number,
  fingerprint: string | undefined,
): { readonly ok: true; readonly producer?: UnitProducer } | Refusal {
  const { producer, idempotencyKey, expectedOffset } = options
  if (expectedOffset !== undefined && (!Number.isSafeInteger(expectedOffset) || expectedOffset < 0))
    return refusal('INVALID_REQUEST', `The expected offset must be a whole number from 0, not ${expectedOffset}.`)
  if (producer !== undefined && idempotencyKey !== undefined)
    return refusal('INVALID_REQUEST', 'Use either a producer id or an Idempotency-Key, not both.')
  if (idempotencyKey !== undefined) {
    if (!/^[\x21-\x7e]+$/.test(idempotencyKey) || idempotencyKey.length > idempotencyKeyLengthMax)
      return refusal(
        'INVALID_REQUEST',
        `An Idempotency-Key has 1 to ${idempotencyKeyLengthMax} visible ASCII characters.`,
      )
    return {
      ok: true,
      producer: {
        key: `~${idempotencyKey}` as ProducerKey,
        claim: { epoch: 0, first: 0, last: lastSequence(0, recordCount) },
        fingerprint: fingerprint ?? '',
      },
    }
  }
  if (producer === undefined) return { ok: true }
  const wrong = checkStamp(producer)
  if (wrong !== undefined) return refusal('INVALID_REQUEST', wrong)
  return {
    ok: true,
    producer: {
      key: producerKeyOfId(producer.producerId),
      claim: {
        epoch: producer.epoch,
        first: producer.sequence,
        last: lastSequence(producer.sequence, recordCount),
      },
    },
  }
}

/** The sentence that says what is wrong with a stamp, or undefined. */
function checkStamp({ producerId, epoch, sequence }: ProducerStamp): string | undefined {
  if (!Number.isSafeInteger(producerId) || producerId < 0)
    return `A producer id is a whole number from 0, not ${producerId}.`
  if (!Number.isInteger(epoch) || epoch < 0 || epoch > producerEpochMax)
    return `A producer epoch is a whole number from 0 to ${producerEpochMax}, not ${epoch}.`
  if (!Number.isInteger(sequence) || sequence < 0 || sequence > sequenceMax)
    return `A producer sequence is a whole number from 0 to ${sequenceMax}, not ${sequence}.`
  return undefined
}

/** A hash of content that tells two requests under one idempotency key apart. Of a record's own bytes, not of times given here. */
export function fingerprintOf(context: Context, parts: Iterable<Uint8Array | null>): string {
  let crc = 0
  let sizeBytes = 0
  let count = 0
  for (const part of parts) {
    count++
    if (part === null) continue
    crc = context.codecs.crc32c(part, crc)
    sizeBytes += part.byteLength
  }
  return `${crc.toString(36)}.${sizeBytes.toString(36)}.${count.toString(36)}`
}

export type { Offset }
