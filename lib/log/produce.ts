/**
 * Produce: records to the partitions they belong to. Resolve the topic, place each record, encode one run of batches per
 * partition, append, and give every record its own answer.
 */
import type { Refusal } from '../core/errors.ts'
import { refusal } from '../core/errors.ts'
import type { EpochMs } from '../core/names.ts'
import type { StickyState } from '../core/partitioner.ts'
import { partitionForKey, stickyNext } from '../core/partitioner.ts'
import { sequenceAfter } from '../core/producer.ts'
import type { NewRecord } from '../core/record-batch.ts'
import { batchOverheadBytes, encodeBatch, readBatchHeader } from '../core/record-batch.ts'
import type { EffectiveConfig, Topic } from '../core/topic.ts'
import { effectiveConfig } from '../core/topic.ts'
import type { CheckedBatches } from './append.ts'
import { appendChecked, beingDeleted, fingerprintOf, recreationsMax, timestampLimits, topicAfter } from './append.ts'
import type { Context } from './context.ts'
import { concatenated } from './flush.ts'
import type { Gather } from './gather.ts'
import type { Answer, Produced, ProduceRecord, ProduceRequest } from './log.ts'
import type { Topics } from './topics.ts'
import { unknownPartition } from './topics.ts'

/** Bytes that records without a key stay on one partition for (Kafka's default batch.size). */
const stickyBytes = 16_384
/** Upper bound of what the varints of one record take, beside key, value and headers. */
const recordOverheadBytesMax = 36

const encoder = new TextEncoder()

/** Records of one partition, and where each came from in the request. */
interface Share {
  readonly partition: number
  readonly records: NewRecord[]
  readonly sizes: number[]
  readonly indexes: number[]
  bytes: number
}

export class Produce {
  readonly #context: Context
  readonly #topics: Topics
  readonly #gather: Gather
  readonly #sticky = new Map<string, StickyState>()

  constructor(context: Context, topics: Topics, gather: Gather) {
    this.#context = context
    this.#topics = topics
    this.#gather = gather
  }

  async produce(request: ProduceRequest): Promise<Answer<{ topicId: Topic['id']; records: readonly Produced[] }>> {
    const fingerprint = request.idempotencyKey === undefined ? undefined : this.#fingerprint(request.records)
    const { topicId, records } = request
    const partition = records.reduce((largest, record) => Math.max(largest, record.partition ?? 0), 0)
    let found = await this.#topics.resolveOrCreate(request.topic, { topicId, partition })
    for (let recreations = 0; ; recreations++) {
      if (!found.ok) return found
      const { topic } = found
      const answers: Produced[] = new Array(request.records.length)
      const shares = this.#place(topic, request, answers)
      const wrong = checkShares(topic, request, shares, answers)
      if (wrong !== undefined) return wrong
      const areThere = await Promise.all(
        shares.map((share) => this.#append(topic, request, share, fingerprint, answers)),
      )
      if (areThere.includes(false)) this.#topics.forget(topic.name)
      // Only where the old topic got nothing at all may the whole request go to the one that has the name now (D6).
      if (areThere.length === 0 || areThere.includes(true) || recreations >= recreationsMax)
        return { ok: true, topicId: topic.id, records: answers }
      found = await topicAfter(this.#topics, topic, request)
    }
  }

  /** Each record to its partition; one that cannot be taken is answered here. */
  #place(topic: Topic, request: ProduceRequest, answers: Produced[]): readonly Share[] {
    const config = effectiveConfig(topic)
    const nowMs = this.#context.clock.now()
    const limits = timestampLimits(topic, nowMs)
    const shares = new Map<number, Share>()
    const fixed = fixedPartition(topic, request)
    request.records.forEach((record, index) => {
      const sizeBytes = recordSizeMax(record)
      const refused = checkRecord(topic, config, record, sizeBytes, limits)
      if (refused !== undefined) {
        answers[index] = refused
        return
      }
      const partition = record.partition ?? this.#partitionOf(topic, record, sizeBytes, fixed)
      let share = shares.get(partition)
      if (share === undefined) {
        share = { partition, records: [], sizes: [], indexes: [], bytes: 0 }
        shares.set(partition, share)
      }
      share.records.push({
        timestampMs: record.timestampMs ?? nowMs,
        key: record.key,
        value: record.value,
        ...(record.headers === undefined ? {} : { headers: record.headers }),
      })
      share.sizes.push(sizeBytes)
      share.indexes.push(index)
      share.bytes += sizeBytes
    })
    return [...shares.values()]
  }

  #partitionOf(topic: Topic, record: ProduceRecord, sizeBytes: number, fixed: number | undefined): number {
    if (topic.partitions === 1) return 0
    if (record.key !== null) return partitionForKey(record.key, topic.partitions)
    if (fixed !== undefined) return fixed
    const options = { stickyBytes, random: this.#context.random }
    const state = stickyNext(this.#sticky.get(topic.id), sizeBytes, topic.partitions, options)
    this.#sticky.set(topic.id, state)
    return state.partition
  }

  /** Answers the records of a share; false where the topic is deleted and nothing was written. */
  async #append(
    topic: Topic,
    request: ProduceRequest,
    share: Share,
    fingerprint: string | undefined,
    answers: Produced[],
  ): Promise<boolean> {
    const config = effectiveConfig(topic)
    const checked = encodeShare(this.#context, config, request, share)
    const { partition } = share
    const outcome = await appendChecked(this.#gather, topic, partition, checked, request, fingerprint)
    const appended = outcome === 'deleted' ? beingDeleted(topic) : outcome
    share.indexes.forEach((index, at) => {
      answers[index] = appended.ok
        ? {
            ok: true,
            partition: share.partition,
            offset: appended.baseOffset + at,
            timestampMs: checked.appendTimeMs ?? share.records[at]?.timestampMs ?? -1,
            isDuplicate: appended.isDuplicate,
          }
        : appended
    })
    return outcome !== 'deleted'
  }

  #fingerprint(records: readonly ProduceRecord[]): string {
    return fingerprintOf(
      this.#context,
      records.flatMap((record) => [
        record.key,
        record.value,
        ...(record.headers ?? []).flatMap((header) => [encoder.encode(header.key), header.value]),
      ]),
    )
  }
}

/**
 * Where records without a key go when a retry of the request must find the same partition: by the producer's id, or by the
 * idempotency key. Undefined leaves them to the sticky partitioner.
 */
function fixedPartition(topic: Topic, request: ProduceRequest): number | undefined {
  if (request.producer !== undefined) return request.producer.producerId % topic.partitions
  if (request.idempotencyKey !== undefined)
    return partitionForKey(encoder.encode(request.idempotencyKey), topic.partitions)
  return undefined
}

function recordSizeMax(record: ProduceRecord): number {
  let bytes = recordOverheadBytesMax + (record.key?.byteLength ?? 0) + (record.value?.byteLength ?? 0)
  for (const header of record.headers ?? []) bytes += 10 + header.key.length * 3 + (header.value?.byteLength ?? 0)
  return bytes
}

function checkRecord(
  topic: Topic,
  config: EffectiveConfig,
  record: ProduceRecord,
  sizeBytes: number,
  limits: { minMs: EpochMs; maxMs: EpochMs },
): Refusal | undefined {
  const { partition, timestampMs } = record
  if (partition !== undefined && (!Number.isInteger(partition) || partition < 0 || partition >= topic.partitions))
    return unknownPartition(topic, partition)
  if (config.cleanupPolicy.isCompact && record.key === null)
    return refusal('INVALID_RECORD', `Topic '${topic.name}' is compacted: a record needs a key.`)
  if (sizeBytes + batchOverheadBytes > config.messageBytesMax + recordOverheadBytesMax)
    return refusal(
      'MESSAGE_TOO_LARGE',
      `The record has about ${sizeBytes} bytes; max.message.bytes of topic '${topic.name}' is ${config.messageBytesMax}.`,
    )
  if (
    timestampMs !== undefined &&
    config.timestampType === 'CreateTime' &&
    (!Number.isSafeInteger(timestampMs) || timestampMs < limits.minMs || timestampMs > limits.maxMs)
  )
    return refusal(
      'INVALID_TIMESTAMP',
      `Timestamp ${timestampMs} is not between ${limits.minMs} and ${limits.maxMs}, the limits of topic '${topic.name}' now.`,
    )
  return undefined
}

/** What only holds for the whole of a request: a condition or a sequence needs one partition, and every record in it. */
function checkShares(
  topic: Topic,
  request: ProduceRequest,
  shares: readonly Share[],
  answers: readonly (Produced | undefined)[],
): Refusal | undefined {
  const isWhole =
    request.producer !== undefined || request.expectedOffset !== undefined || request.leaderEpoch !== undefined
  if (request.records.length === 0) return refusal('INVALID_PAYLOAD', 'There are no records in the request.')
  if (isWhole || request.idempotencyKey !== undefined)
    for (const answer of answers) if (answer !== undefined && !answer.ok) return answer
  if (isWhole && shares.length > 1)
    return refusal(
      'INVALID_PAYLOAD',
      `A producer sequence or an expected offset holds for one partition; these records belong to ${shares.length} partitions of topic '${topic.name}'.`,
    )
  return undefined
}

/** One run of batches, none larger than max.message.bytes. */
function encodeShare(context: Context, config: EffectiveConfig, request: ProduceRequest, share: Share): CheckedBatches {
  const appendTimeMs = config.timestampType === 'LogAppendTime' ? context.clock.now() : undefined
  const compression = config.compressionType === 'producer' ? 'none' : config.compressionType
  const encoded: Uint8Array[] = []
  let from = 0
  let sequence = request.producer?.sequence ?? -1
  while (from < share.records.length) {
    let to = from
    let bytes = batchOverheadBytes
    while (to < share.records.length) {
      const size = share.sizes[to] ?? 0
      if (to > from && bytes + size > config.messageBytesMax) break
      bytes += size
      to++
    }
    const whole = from === 0 && to === share.records.length
    const records = whole ? share.records : share.records.slice(from, to)
    encoded.push(
      encodeBatch(
        {
          records:
            appendTimeMs === undefined ? records : records.map((record) => ({ ...record, timestampMs: appendTimeMs })),
          compression,
          compressionLevel: config.compressionLevels[compression],
          ...(appendTimeMs === undefined ? {} : { timestampType: 'LogAppendTime' as const }),
          ...(request.producer === undefined
            ? {}
            : {
                producerId: request.producer.producerId,
                producerEpoch: request.producer.epoch,
                baseSequence: sequence,
              }),
        },
        context.codecs,
      ),
    )
    if (request.producer !== undefined) sequence = sequenceAfter(sequence, to - from)
    from = to
  }
  const bytes = concatenated(encoded)
  let maxTimestampMs = -1
  let position = 0
  const headers = encoded.map((batch) => {
    const read = readBatchHeader(batch)
    if (!read.ok) throw new Error(`an encoded batch is damaged: ${read.message}`)
    const placed = { ...read.header, position }
    position += batch.byteLength
    maxTimestampMs = Math.max(maxTimestampMs, read.header.maxTimestampMs)
    return placed
  })
  return {
    bytes,
    headers,
    recordCount: share.records.length,
    maxTimestampMs,
    ...(appendTimeMs === undefined ? {} : { appendTimeMs }),
  }
}
