/**
 * Sends records: batched, compressed, repeated where answers get lost, and written exactly once, in order per partition
 * (see send-window.ts for why).
 *
 * A record's way: `send` -> room in the buffer -> the topic's partitions are known -> a partition -> its lane -> the answer.
 */
import type { CompressionType } from '../core/codec.ts'
import { partitionForKey, type StickyState, stickyNext } from '../core/partitioner.ts'
import { batchOverheadBytes, type NewRecord } from '../core/record-batch.ts'
import type { ClientCodecs } from './compression.ts'
import { asHighwaterError, HighwaterError } from './error.ts'
import { type Entry, type LaneHost, type LaneOptions, ProducerLane, type Sent } from './producer-lane.ts'
import { newRecordOf, type ProducerRecord, recordBytesMax } from './record.ts'
import { jsonOf, type Transport } from './transport.ts'

export interface ProducerOptions {
  /** How long the first record of a batch waits for others. @default 5 */
  readonly lingerMs?: number
  /** A batch is sent when it has this size before compression; below the topic's max.message.bytes. @default 1_000_000 */
  readonly batchBytesMax?: number
  /** gzip, snappy and lz4 are built in where the platform has them; to write zstd takes a codec in `codecs`. @default 'none' */
  readonly compression?: CompressionType
  /** `0`: do not wait for the outcome; the offset is then -1, and a record may get lost. `1` is the same as `all`. @default 'all' */
  readonly acks?: 'all' | 1 | 0
  /** Every record exactly once, in order, whatever gets lost. Not together with `acks: 0`. @default true, with acks 0 false */
  readonly idempotent?: boolean
  /**
   * Requests under way per partition, at most 5. Without idempotence more than 1 gives up the order.
   * @default 5, without idempotence 1
   */
  readonly maxInFlight?: number
  /** Bytes of records that are not yet acknowledged; above, `send` waits. @default 33_554_432 */
  readonly bufferBytesMax?: number
  /** A larger record is refused at once; at most what the topic's max.message.bytes allows. @default 1_048_576 */
  readonly recordBytesMax?: number
  /** Chooses a partition; undefined leaves it to the default: Kafka's murmur2 of the key, without a key a sticky one. */
  readonly partitioner?: (record: NewRecord & { readonly topic: string }, partitions: number) => number | undefined
  /** Attempts after the first. @default no limit but deliveryTimeoutMs */
  readonly retries?: number
  /** From when a record's batch is begun until it is acknowledged or fails. @default 120_000 */
  readonly deliveryTimeoutMs?: number
  /** How long a topic's partition count is believed. @default 300_000 */
  readonly metadataAgeMsMax?: number
}

/** A record that has room in the buffer. */
interface Placed {
  readonly topic: string
  readonly partition: number | undefined
  readonly entry: Entry
}

interface TopicState {
  partitions: number | undefined
  loadedMs: number
  isLoading: boolean
  /** Placed when the partitions are known, in order. */
  waiting: Placed[]
  readonly lanes: Map<number, ProducerLane>
  sticky: StickyState | undefined
}

/** The records sent between two calls of `flush`. */
interface Generation {
  unsettled: number
  onEmpty: (() => void) | undefined
}

/**
 * Sends records; made by {@link Highwater.producer}.
 *
 * @example
 * const producer = highwater.producer({ compression: 'gzip' })
 * const { partition, offset } = await producer.send({ topic: 'orders', key: 'customer-7', value: '{"total":12}' })
 * await producer.close()
 */
export class Producer {
  readonly #transport: Transport
  readonly #options: LaneOptions
  readonly #limits: { bufferBytesMax: number; recordBytesMax: number; metadataAgeMsMax: number }
  readonly #partitioner: ProducerOptions['partitioner']
  readonly #host: LaneHost
  readonly #topics = new Map<string, TopicState>()
  #bufferedBytes = 0
  /** Waiting for room in the buffer, in order. */
  readonly #admission = new Queue<Placed>()
  #isAdmitting = false
  #ready: { promise: Promise<void>; resolve: () => void } | undefined
  #generation: Generation = { unsettled: 0, onEmpty: undefined }
  #flushes = 0
  #isClosed = false
  #failure: HighwaterError | undefined
  #identity: Promise<{ producerId: number; epoch: number }> | undefined

  /** @throws RangeError for options that contradict each other */
  constructor(transport: Transport, codecs: ClientCodecs, options: ProducerOptions) {
    const { acks = 'all', idempotent = acks !== 0, compression = 'none' } = options
    const { maxInFlight = idempotent ? 5 : 1 } = options
    if (idempotent && acks === 0) throw new RangeError('acks 0 cannot be idempotent: there would be nothing to repeat')
    if (!(maxInFlight >= 1 && maxInFlight <= 5)) throw new RangeError(`maxInFlight is 1 to 5, not ${maxInFlight}`)
    if (compression !== 'none' && codecs[compression]?.compress === undefined)
      throw new RangeError(`there is no codec for ${compression} on this platform; pass one in \`codecs\``)
    this.#transport = transport
    this.#partitioner = options.partitioner
    this.#options = {
      lingerMs: options.lingerMs ?? 5,
      batchBytesMax: options.batchBytesMax ?? 1_000_000,
      compression,
      codecs,
      acks,
      isIdempotent: idempotent,
      inFlightMax: maxInFlight,
      retriesMax: options.retries ?? Number.POSITIVE_INFINITY,
      deliveryTimeoutMs: options.deliveryTimeoutMs ?? 120_000,
    }
    this.#limits = {
      bufferBytesMax: options.bufferBytesMax ?? 33_554_432,
      recordBytesMax: options.recordBytesMax ?? 1_048_576,
      metadataAgeMsMax: options.metadataAgeMsMax ?? 300_000,
    }
    const isFlushing = () => this.#flushes > 0
    this.#host = {
      transport,
      options: this.#options,
      producerId: (notId) => this.#producerId(notId),
      get isFlushing() {
        return isFlushing()
      },
      topicChanged: (topic) => {
        const state = this.#topics.get(topic)
        if (state !== undefined) state.partitions = undefined
      },
      fail: (error) => this.#stop(error),
    }
  }

  /**
   * Sends a record; resolves when it is durable and readable. Records for one partition are written in the order of the
   * calls. While the buffer is full the record waits; await {@link ready} between calls to wait with it. Bytes that are
   * handed over must not be changed before the promise settles.
   *
   * Rejects with a HighwaterError: MESSAGE_TOO_LARGE at once, a refusal of the server, DELIVERY_TIMEOUT. Where `effects` is
   * `possible`, the record may have been written.
   */
  send(record: ProducerRecord): Promise<Sent> {
    const { promise, resolve, reject } = Promise.withResolvers<Sent>()
    try {
      const stopped = this.#isClosed ? new HighwaterError('CLOSED', 'The producer is closed.') : this.#failure
      if (stopped !== undefined) throw stopped
      this.#admit(this.#place(record, resolve, reject))
    } catch (thrown) {
      reject(thrown)
    }
    return promise
  }

  /** Has the buffer room? Then {@link ready} need not be awaited. */
  get isReady(): boolean {
    return this.#hasRoom
  }

  /** Resolves when the buffer has room: the way to send much without holding it all in memory. */
  get ready(): Promise<void> {
    if (this.#hasRoom) return Promise.resolve()
    if (this.#ready === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#ready = { promise, resolve }
    }
    return this.#ready.promise
  }

  /** Sends what waits without lingering; resolves when everything sent before is acknowledged or has failed. Never rejects. */
  async flush(): Promise<void> {
    const generation = this.#generation
    if (generation.unsettled === 0) return
    // Later records count in another generation, but what came before this one is part of it.
    const emptied = new Promise<void>((resolve) => {
      generation.onEmpty = resolve
    })
    const next: Generation = { unsettled: 1, onEmpty: undefined }
    this.#generation = next
    this.#flushes++
    for (const topic of this.#topics.values()) for (const lane of topic.lanes.values()) lane.schedule()
    await emptied
    this.#flushes--
    this.#leave(next)
  }

  /** Flushes and takes no more records. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.flush()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #place(record: ProducerRecord, resolve: (sent: Sent) => void, reject: (error: HighwaterError) => void): Placed {
    const { topic, partition } = record
    if (typeof topic !== 'string' || topic === '')
      throw new HighwaterError('INVALID_TOPIC', 'A record is sent to a topic; its name is missing.')
    if (partition !== undefined && !(Number.isSafeInteger(partition) && partition >= 0))
      throw new HighwaterError('UNKNOWN_PARTITION', `${partition} is not a partition number.`)
    const added = newRecordOf(record, this.#transport.timing.now())
    const sizeBytes = recordBytesMax(added)
    if (sizeBytes + batchOverheadBytes > this.#limits.recordBytesMax)
      throw new HighwaterError(
        'MESSAGE_TOO_LARGE',
        `A record of about ${sizeBytes} bytes; recordBytesMax is ${this.#limits.recordBytesMax}.`,
      )
    const generation = this.#generation
    generation.unsettled++
    const settle = (outcome: Sent | HighwaterError) => {
      this.#bufferedBytes -= sizeBytes
      if (outcome instanceof HighwaterError) reject(outcome)
      else resolve(outcome)
      this.#leave(generation)
      this.#admitWaiting()
    }
    return { topic, partition, entry: { record: added, sizeBytes, settle } }
  }

  #leave(generation: Generation): void {
    generation.unsettled--
    if (generation.unsettled === 0) generation.onEmpty?.()
  }

  get #hasRoom(): boolean {
    return this.#admission.isEmpty && this.#bufferedBytes < this.#limits.bufferBytesMax
  }

  #admit(placed: Placed): void {
    if (this.#hasRoom) {
      this.#bufferedBytes += placed.entry.sizeBytes
      this.#route(placed)
    } else this.#admission.push(placed)
  }

  #admitWaiting(): void {
    // What is admitted may fail at once, and come here again.
    if (this.#isAdmitting) return
    this.#isAdmitting = true
    while (this.#bufferedBytes < this.#limits.bufferBytesMax) {
      const placed = this.#admission.shift()
      if (placed === undefined) break
      this.#bufferedBytes += placed.entry.sizeBytes
      if (this.#failure === undefined) this.#route(placed)
      else placed.entry.settle(this.#failure)
    }
    this.#isAdmitting = false
    if (!this.#hasRoom || this.#ready === undefined) return
    this.#ready.resolve()
    this.#ready = undefined
  }

  #route(placed: Placed): void {
    const topic = this.#topicOf(placed.topic)
    const { partitions } = topic
    const isStale = this.#transport.timing.now() - topic.loadedMs > this.#limits.metadataAgeMsMax
    if (topic.waiting.length === 0 && (placed.partition !== undefined || partitions !== undefined)) {
      this.#assign(topic, placed, partitions)
      if (partitions === undefined || !isStale) return
    } else topic.waiting.push(placed)
    if (!topic.isLoading) void this.#load(placed.topic, topic)
  }

  #topicOf(name: string): TopicState {
    let topic = this.#topics.get(name)
    if (topic === undefined) {
      topic = {
        partitions: undefined,
        loadedMs: Number.NEGATIVE_INFINITY,
        isLoading: false,
        waiting: [],
        lanes: new Map(),
        sticky: undefined,
      }
      this.#topics.set(name, topic)
    }
    return topic
  }

  /** Precondition: the record names its partition, or `partitions` is known. */
  #assign(topic: TopicState, placed: Placed, partitions: number | undefined): void {
    let partition: number
    try {
      partition = placed.partition ?? this.#choose(topic, placed, partitions ?? 1)
    } catch (thrown) {
      const message = `The partitioner failed: ${String(thrown)}`
      placed.entry.settle(new HighwaterError('INVALID_RECORD', message, { cause: thrown }))
      return
    }
    let lane = topic.lanes.get(partition)
    if (lane === undefined) {
      lane = new ProducerLane(placed.topic, partition, this.#host)
      topic.lanes.set(partition, lane)
    }
    lane.add(placed.entry)
  }

  #choose(topic: TopicState, { topic: name, entry }: Placed, partitions: number): number {
    const chosen = this.#partitioner?.({ ...entry.record, topic: name }, partitions)
    if (chosen !== undefined) {
      if (!(Number.isInteger(chosen) && chosen >= 0 && chosen < partitions))
        throw new RangeError(`${chosen} is no partition of ${partitions}`)
      return chosen
    }
    if (entry.record.key !== null) return partitionForKey(entry.record.key, partitions)
    topic.sticky = stickyNext(topic.sticky, entry.sizeBytes, partitions, {
      stickyBytes: this.#options.batchBytesMax,
      random: this.#transport.timing.random,
    })
    return topic.sticky.partition
  }

  async #load(name: string, topic: TopicState): Promise<void> {
    topic.isLoading = true
    let failure: HighwaterError | undefined
    try {
      const path = ['topics', name, 'partitions']
      // As long as the records that wait for it may: an outage before the first batch is like one after it.
      const forMs = this.#options.deliveryTimeoutMs
      const answer = await this.#transport.askUntilAnswered({ method: 'GET', path }, true, forMs)
      const partitions = jsonOf<unknown[]>(answer, `GET /${path.join('/')}`)
      if (!Array.isArray(partitions) || partitions.length === 0)
        throw new HighwaterError('UNEXPECTED_ANSWER', `${name} was described without partitions.`)
      topic.partitions = partitions.length
    } catch (thrown) {
      failure = asHighwaterError(thrown, `Describing ${name}`)
    }
    // After a failure too: what was known serves on, and the next attempt is not due at every record.
    topic.loadedMs = this.#transport.timing.now()
    topic.isLoading = false
    const { waiting } = topic
    topic.waiting = []
    for (const placed of waiting) {
      if (this.#failure !== undefined) placed.entry.settle(this.#failure)
      else if (topic.partitions !== undefined) this.#assign(topic, placed, topic.partitions)
      else placed.entry.settle(failure as HighwaterError)
    }
  }

  /** One id for all partitions; a partition that does not know it (any more) gets another, and so do those after it. */
  async #producerId(notId: number | undefined): Promise<{ producerId: number; epoch: number }> {
    const known = this.#identity
    if (known !== undefined && notId !== undefined) {
      const identity = await known.catch(() => undefined)
      if (identity?.producerId === notId && this.#identity === known) this.#identity = undefined
    }
    if (this.#identity === undefined) {
      const asked = this.#allocate()
      this.#identity = asked
      asked.catch(() => {
        if (this.#identity === asked) this.#identity = undefined
      })
    }
    return this.#identity
  }

  async #allocate(): Promise<{ producerId: number; epoch: number }> {
    const headers = { accept: 'application/json' }
    const answer = await this.#transport.ask({ method: 'POST', path: ['producers'], headers })
    const said = jsonOf<{ producer_id?: unknown; producer_epoch?: unknown }>(answer, 'POST /producers')
    if (!Number.isSafeInteger(said.producer_id) || !Number.isSafeInteger(said.producer_epoch))
      throw new HighwaterError('UNEXPECTED_ANSWER', 'POST /producers was answered without a producer id.')
    return { producerId: said.producer_id as number, epoch: said.producer_epoch as number }
  }

  #stop(error: HighwaterError): void {
    this.#failure = error
    for (const topic of this.#topics.values()) for (const lane of topic.lanes.values()) lane.abandon(error)
  }
}

/** First in, first out; taking is O(1) however long it grows. */
class Queue<Item> {
  #items: (Item | undefined)[] = []
  #first = 0

  get isEmpty(): boolean {
    return this.#first === this.#items.length
  }

  push(item: Item): void {
    this.#items.push(item)
  }

  shift(): Item | undefined {
    if (this.isEmpty) return undefined
    const item = this.#items[this.#first]
    this.#items[this.#first++] = undefined
    if (this.#first > 1_024 && this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first)
      this.#first = 0
    }
    return item
  }
}
