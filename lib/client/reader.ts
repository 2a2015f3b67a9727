/**
 * Reads a partition from an offset on, for ever or for as long as it is asked: long polls, one answer fetched ahead, and after
 * a failure on from exactly where the last record was handed over.
 *
 * Q1 The position moves only when a record is handed over, and every fetch begins at a position or at the next offset of an
 *    answer that was decoded whole: nothing is skipped and nothing comes twice.
 * Q2 The topic id of the first answer is part of every later request: a topic that was deleted and created again is another
 *    topic (D6), and its records are never taken for a continuation.
 */
import type { LogRecord } from '../core/record-batch.ts'
import type { ClientCodecs } from './compression.ts'
import { asHighwaterError, HighwaterError } from './error.ts'
import { decodeBatches, recordOfJson, type SaidRecord } from './fetched-records.ts'
import { offsetAtOrAfter, offsetsOf } from './offsets.ts'
import { type AnswerRead, jsonOf, type Transport } from './transport.ts'

/** Where reading begins: an end of the partition, an offset, or the first record at or after a time. */
export type From = 'earliest' | 'latest' | { readonly offset: number } | { readonly timestampMs: number }

export interface ReaderOptions {
  readonly topic: string
  readonly partition: number
  /** @default 'earliest' */
  readonly from?: From
  /** Per answer; the first batch comes whole, however large. @default 1_048_576 */
  readonly bytesMax?: number
  /** How long the server keeps a request while there is nothing to read (it has a limit of its own, 25 s). @default 20_000 */
  readonly waitMs?: number
  /**
   * What to do when the position is not in the partition (any more): fail with OFFSET_OUT_OF_RANGE, or go on at an end.
   * @default 'error'
   */
  readonly onOffsetOutOfRange?: 'error' | 'earliest' | 'latest'
  /** How long failures that may pass are tried again before they are thrown. @default no limit */
  readonly retryTimeoutMs?: number
  /** Told of every failure that is tried again. */
  readonly onRetry?: (error: HighwaterError) => void
  /** The most that one batch may decompress to. @default 268_435_456 */
  readonly decompressedBytesMax?: number
  /** Ends the reading: iteration stops without an error. */
  readonly signal?: AbortSignal
}

/** A record as it is read. Its bytes share a buffer with those of its neighbours: copy what is kept for long. */
export type ReadRecord = LogRecord

interface Page {
  readonly records: readonly LogRecord[]
  readonly nextOffset: number
  readonly highWatermark: number
  readonly startOffset: number
}

const rawType = 'application/vnd.highwater.batches.v1'
const jsonType = 'application/vnd.kafka.binary.v2+json'
/** Damage on the way goes away when the bytes are fetched again; damage in the store does not. */
const damagedAttemptsMax = 3
/** A server that answers "nothing" at once is not asked again at once. */
const emptyPauseMs = 50

/**
 * An async iterator over the records of a partition; made by {@link Highwater.reader}. Iterate it once.
 *
 * @example
 * const reader = highwater.reader({ topic: 'orders', partition: 0, from: { offset: 42 } })
 * for await (const record of reader) {
 *   console.log(record.offset, text(record.value))
 *   if (reader.lag === 0) break
 * }
 */
export class Reader implements AsyncIterableIterator<ReadRecord> {
  readonly topic: string
  readonly partition: number
  readonly #transport: Transport
  readonly #codecs: ClientCodecs
  readonly #options: ReaderOptions
  readonly #stop = new AbortController()
  readonly #onAbort = () => this.#stop.abort()
  /** Of the next record to hand over; undefined until the beginning is resolved. */
  #position: number | undefined
  #page: Page = { records: [], nextOffset: 0, highWatermark: 0, startOffset: 0 }
  #nextInPage = 0
  #ahead: Promise<Page> | undefined
  #topicId: string | undefined
  #highWatermark: number | undefined
  #startOffset: number | undefined
  #failure: HighwaterError | undefined

  constructor(transport: Transport, codecs: ClientCodecs, options: ReaderOptions) {
    this.topic = options.topic
    this.partition = options.partition
    this.#transport = transport
    this.#codecs = codecs
    this.#options = options
    const { from } = options
    if (typeof from === 'object' && 'offset' in from) {
      if (!Number.isSafeInteger(from.offset) || from.offset < 0) throw new RangeError(`${from.offset} is no offset`)
      this.#position = from.offset
    }
    if (options.signal?.aborted) this.#stop.abort()
    options.signal?.addEventListener('abort', this.#onAbort)
  }

  /** The offset of the next record to come: what to store in order to go on later. undefined before the first answer. */
  get position(): number | undefined {
    return this.#position
  }

  /** Records in the partition from the position on, when the server last answered. undefined before the first answer. */
  get lag(): number | undefined {
    if (this.#highWatermark === undefined || this.#position === undefined) return undefined
    return Math.max(0, this.#highWatermark - this.#position)
  }

  /** The offset that the partition's next record will get, when the server last answered. */
  get highWatermark(): number | undefined {
    return this.#highWatermark
  }

  /** The first offset that can be read, when the server last answered. */
  get startOffset(): number | undefined {
    return this.#startOffset
  }

  /** Identity of the topic that is being read. */
  get topicId(): string | undefined {
    return this.#topicId
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** The next record; waits for it. Done when the signal aborts or after `return`. */
  async next(): Promise<IteratorResult<ReadRecord, undefined>> {
    for (;;) {
      if (this.#stop.signal.aborted) return { done: true, value: undefined }
      const record = this.#take()
      if (record !== undefined) return { done: false, value: record }
      if (!(await this.#turn())) return { done: true, value: undefined }
    }
  }

  /**
   * The records of the next answer at once: an empty list when nothing came within `waitMs`, undefined when the reading was
   * ended. For who handles many records together; `next` and `poll` may be mixed.
   */
  async poll(): Promise<readonly ReadRecord[] | undefined> {
    if (this.#nextInPage >= this.#page.records.length && !(await this.#turn())) return undefined
    if (this.#stop.signal.aborted) return undefined
    const records = this.#nextInPage === 0 ? this.#page.records : this.#page.records.slice(this.#nextInPage)
    this.#nextInPage = this.#page.records.length
    this.#position = this.#page.nextOffset
    return records
  }

  /** Ends the reading; what is under way is aborted. */
  async return(): Promise<IteratorResult<ReadRecord, undefined>> {
    this.#stop.abort()
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    return { done: true, value: undefined }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  #take(): LogRecord | undefined {
    const record = this.#page.records[this.#nextInPage]
    if (record === undefined) return undefined
    this.#nextInPage++
    // Q1. Behind the last record the answer knows more: compaction may have left nothing up to its next offset.
    const isLast = this.#nextInPage === this.#page.records.length
    this.#position = isLast ? this.#page.nextOffset : record.offset + 1
    return record
  }

  /** Makes the next answer the present page; false when the reading was ended. */
  async #turn(): Promise<boolean> {
    if (this.#failure !== undefined) throw this.#failure
    try {
      this.#position ??= await this.#resolve(this.#options.from ?? 'earliest')
      const page = await (this.#ahead ?? this.#fetchPage(this.#position))
      this.#ahead = undefined
      this.#page = page
      this.#nextInPage = 0
      this.#highWatermark = page.highWatermark
      this.#startOffset = page.startOffset
      if (page.records.length === 0) this.#position = page.nextOffset
      if (page.nextOffset < page.highWatermark) this.#fetchAhead(page.nextOffset)
      return true
    } catch (thrown) {
      if (this.#stop.signal.aborted) return false
      this.#failure = asHighwaterError(thrown, `Reading ${this.topic}/${this.partition}`)
      throw this.#failure
    }
  }

  #fetchAhead(offset: number): void {
    const ahead = this.#fetchPage(offset)
    // Whoever comes for it sees the failure; until then it is nobody's.
    ahead.catch(() => {})
    this.#ahead = ahead
  }

  async #resolve(from: From): Promise<number> {
    return this.#retrying(async () => {
      const { topic, partition } = this
      const signal = this.#stop.signal
      if (typeof from === 'object' && 'offset' in from) return from.offset
      if (typeof from === 'object') {
        const found = await offsetAtOrAfter(this.#transport, topic, partition, from.timestampMs, signal)
        return found.offset ?? found.endOffset
      }
      const offsets = await offsetsOf(this.#transport, topic, partition, signal)
      return from === 'earliest' ? offsets.startOffset : offsets.endOffset
    })
  }

  /** Records from `offset` on; none when nothing came in time. */
  async #fetchPage(offset: number): Promise<Page> {
    let from = offset
    let damaged = 0
    let accept = rawType
    return this.#retrying(async () => {
      const startedMs = this.#transport.timing.now()
      let answer: AnswerRead
      try {
        answer = await this.#ask(from, accept, damaged > 0)
      } catch (thrown) {
        const moved = await this.#afterOutOfRange(thrown)
        if (moved === undefined) throw this.#clarify(thrown)
        from = moved
        return undefined
      }
      this.#pin(answer)
      const page = await this.#decode(answer, from, accept)
      if (page === 'unsupported') {
        // The server decompresses what this platform cannot, for this answer.
        if (accept === jsonType) throw new HighwaterError('UNSUPPORTED_CODEC', this.#where('cannot be decoded'))
        accept = jsonType
        return undefined
      }
      if (page instanceof HighwaterError) {
        if (++damaged >= damagedAttemptsMax) throw page
        return undefined
      }
      const tookMs = this.#transport.timing.now() - startedMs
      if (page.records.length === 0 && page.nextOffset <= from && tookMs < emptyPauseMs)
        await this.#transport.sleep(Math.min(emptyPauseMs, this.#options.waitMs ?? emptyPauseMs), this.#stop.signal)
      return page
    })
  }

  /** Runs `attempt` until it answers a value; failures that may pass are tried again, for `retryTimeoutMs` each time. */
  async #retrying<Value>(attempt: () => Promise<Value | undefined>): Promise<Value> {
    const { retryTimeoutMs = Number.POSITIVE_INFINITY, onRetry } = this.#options
    const { timing } = this.#transport
    let failedSinceMs: number | undefined
    for (let failures = 0; ; ) {
      try {
        const value = await attempt()
        if (value !== undefined) return value
        failures = 0
        failedSinceMs = undefined
      } catch (thrown) {
        const error = asHighwaterError(thrown, `Reading ${this.topic}/${this.partition}`)
        failedSinceMs ??= timing.now()
        const delayMs = this.#transport.retryDelayMs(failures++, error.retryAfterMs)
        const isTooLate = timing.now() + delayMs - failedSinceMs > retryTimeoutMs
        if (!error.retriable || isTooLate || this.#stop.signal.aborted) throw error
        onRetry?.(error)
        await this.#transport.sleep(delayMs, this.#stop.signal)
        if (this.#stop.signal.aborted) throw error
      }
    }
  }

  #ask(offset: number, accept: string, isFresh: boolean): Promise<AnswerRead> {
    const { bytesMax = 1_048_576, waitMs = 20_000 } = this.#options
    return this.#transport.ask({
      method: 'GET',
      path: ['topics', this.topic, 'partitions', String(this.partition), 'records'],
      query: { offset, timeout: waitMs, max_bytes: bytesMax, topic_id: this.#topicId },
      headers: { accept },
      timeoutMs: this.#transport.options.timeoutMs + waitMs,
      signal: this.#stop.signal,
      isFresh,
    })
  }

  /** Where to go on after OFFSET_OUT_OF_RANGE, if the options say so; undefined: it is another failure, or theirs to see. */
  async #afterOutOfRange(thrown: unknown): Promise<number | undefined> {
    const { onOffsetOutOfRange = 'error' } = this.#options
    if (!(thrown instanceof HighwaterError) || thrown.code !== 'OFFSET_OUT_OF_RANGE') return undefined
    if (onOffsetOutOfRange === 'error') return undefined
    const known = onOffsetOutOfRange === 'earliest' ? thrown.startOffset : thrown.endOffset
    return known ?? (await this.#resolve(onOffsetOutOfRange))
  }

  /** Says what a missing topic means to somebody who was just reading it. */
  #clarify(thrown: unknown): unknown {
    if (!(thrown instanceof HighwaterError) || thrown.code !== 'UNKNOWN_TOPIC' || this.#topicId === undefined)
      return thrown
    return new HighwaterError(
      'UNKNOWN_TOPIC',
      `Topic ${this.topic} (${this.#topicId}) was deleted while it was read, and may have been created again: ${thrown.message}`,
      { status: thrown.status, cause: thrown },
    )
  }

  /** Q2 */
  #pin(answer: AnswerRead): void {
    const topicId = answer.headers.get('highwater-topic-id') ?? undefined
    if (topicId === undefined || topicId === this.#topicId) return
    if (this.#topicId === undefined) this.#topicId = topicId
    else
      throw new HighwaterError(
        'UNKNOWN_TOPIC',
        this.#where(`was created again: its id is ${topicId}, not ${this.#topicId}`),
      )
  }

  /** `unsupported`: a batch needs a codec that is not here. An error: the answer is damaged. */
  async #decode(answer: AnswerRead, from: number, accept: string): Promise<Page | 'unsupported' | HighwaterError> {
    const nextOffset = numberOf(answer, 'highwater-next-offset')
    const highWatermark = numberOf(answer, 'highwater-high-watermark')
    const startOffset = numberOf(answer, 'highwater-start-offset') ?? 0
    if (nextOffset === undefined || highWatermark === undefined || nextOffset < from)
      throw new HighwaterError('UNEXPECTED_ANSWER', this.#where('was answered without its offsets'), {
        status: answer.status,
        retriable: true,
      })
    const page = { nextOffset, highWatermark, startOffset }
    if (accept === jsonType) return { ...page, records: this.#recordsOfJson(answer) }
    const bytesMax = this.#options.decompressedBytesMax ?? 268_435_456
    const decoded = await decodeBatches(answer.body, from, nextOffset, this.#codecs, bytesMax)
    if (decoded.ok) return { ...page, records: decoded.records }
    if (decoded.reason === 'unsupported') return 'unsupported'
    return new HighwaterError('CORRUPT_MESSAGE', this.#where(`has a damaged batch: ${decoded.message}`))
  }

  #recordsOfJson(answer: AnswerRead): LogRecord[] {
    return jsonOf<SaidRecord[]>(answer, `GET records of ${this.topic}/${this.partition}`).map(recordOfJson)
  }

  #where(what: string): string {
    return `${this.topic}/${this.partition} ${what}.`
  }
}

function numberOf(answer: AnswerRead, header: string): number | undefined {
  const text = answer.headers.get(header)
  return text !== null && /^[0-9]{1,16}$/.test(text) ? Number(text) : undefined
}
