/**
 * One partition's way out of a producer: records gather in an open batch; closed batches are compressed, in order, and go
 * into the send window; the lane does what the window's steps say and turns answers into outcomes.
 */
import type { CompressionType } from '../core/codec.ts'
import { batchOverheadBytes, type NewRecord } from '../core/record-batch.ts'
import { type ClientCodecs, prepareBatch } from './compression.ts'
import { asHighwaterError, HighwaterError } from './error.ts'
import { type Flight, type Outcome, SendWindow, type Stamp } from './send-window.ts'
import { jsonOf, type Transport } from './transport.ts'

/** What became of a record that was sent. */
export interface Sent {
  readonly partition: number
  /** -1 where it is not known: with `acks: 0`, and for a repeat that came after five later batches. */
  readonly offset: number
  readonly timestampMs: number
}

/** A record on its way. */
export interface Entry {
  readonly record: NewRecord
  readonly sizeBytes: number
  /** Told once, with what became of it. */
  settle(outcome: Sent | HighwaterError): void
}

export interface LaneOptions {
  readonly lingerMs: number
  readonly batchBytesMax: number
  readonly compression: CompressionType
  readonly codecs: ClientCodecs
  readonly acks: 'all' | 1 | 0
  readonly isIdempotent: boolean
  readonly inFlightMax: number
  readonly retriesMax: number
  readonly deliveryTimeoutMs: number
}

/** What the lanes of a producer share. */
export interface LaneHost {
  readonly transport: Transport
  readonly options: LaneOptions
  /** A producer id of one's own, another than `notId`. */
  producerId(notId: number | undefined): Promise<{ producerId: number; epoch: number }>
  /** True while somebody waits for everything to be sent: nothing lingers. */
  readonly isFlushing: boolean
  /** The topic is not what it was: ask about it again. */
  topicChanged(topic: string): void
  /** The whole producer has to stop. */
  fail(error: HighwaterError): void
}

interface Batch {
  readonly entries: Entry[]
  sizeBytes: number
  readonly createdMs: number
  readonly deadlineMs: number
  recordCount: number
  encode: Awaited<ReturnType<typeof prepareBatch>> | undefined
  /** As it was sent first, with this stamp (W1). */
  encoded: { readonly stamp: Stamp | undefined; readonly bytes: Uint8Array } | undefined
  failures: number
  lastError: HighwaterError | undefined
}

const rawType = 'application/vnd.highwater.batches.v1'

export class ProducerLane {
  readonly topic: string
  readonly partition: number
  readonly #host: LaneHost
  readonly #window: SendWindow<Batch>
  #open: Batch | undefined
  /** Batches that are being compressed, in order. */
  #preparing = 0
  #prepared: Promise<void> = Promise.resolve()
  #isPumping = false
  #clearTimer: (() => void) | undefined
  #timerMs = Number.POSITIVE_INFINITY
  /** Falls when the topic takes less than `batchBytesMax` (its max.message.bytes). */
  #batchBytesMax: number
  #abandoned: HighwaterError | undefined

  constructor(topic: string, partition: number, host: LaneHost) {
    this.topic = topic
    this.partition = partition
    this.#host = host
    const { isIdempotent, inFlightMax, retriesMax, batchBytesMax } = host.options
    this.#batchBytesMax = batchBytesMax
    this.#window = new SendWindow({
      isIdempotent,
      inFlightMax,
      retriesMax,
      sessionDelayMs: (count) => host.transport.retryDelayMs(count - 1),
    })
  }

  /** Takes a record; records leave in the order in which they were taken. */
  add(entry: Entry): void {
    if (this.#open !== undefined && this.#open.sizeBytes + entry.sizeBytes > this.#batchBytesMax) this.#close()
    if (this.#open === undefined) this.#open = this.#newBatch([])
    this.#open.entries.push(entry)
    this.#open.recordCount++
    this.#open.sizeBytes += entry.sizeBytes
    this.schedule()
  }

  /** Looks at what can be done, after whatever runs now: records that are sent together go together. */
  schedule(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    queueMicrotask(() => {
      this.#isPumping = false
      this.#pump()
    })
  }

  /** Fails all that is left, and all that comes. */
  abandon(error: HighwaterError): void {
    this.#abandoned = error
    this.#failAll(error)
  }

  #failAll(error: HighwaterError): void {
    this.#clearTimer?.()
    this.#timerMs = Number.POSITIVE_INFINITY
    for (const { batch, mayBeWritten } of this.#window.drain()) {
      const doubt = mayBeWritten || batch.lastError?.effects === 'possible'
      this.#fail(batch, doubt ? inDoubt(error) : error)
    }
    if (this.#open !== undefined) this.#fail(this.#open, error)
    this.#open = undefined
  }

  #newBatch(entries: Entry[], like?: Batch): Batch {
    const nowMs = this.#host.transport.timing.now()
    return {
      entries,
      sizeBytes: entries.reduce((sum, entry) => sum + entry.sizeBytes, batchOverheadBytes),
      createdMs: nowMs,
      deadlineMs: like?.deadlineMs ?? nowMs + this.#host.options.deliveryTimeoutMs,
      recordCount: entries.length,
      encode: undefined,
      encoded: undefined,
      failures: 0,
      lastError: undefined,
    }
  }

  #pump(): void {
    const { timing } = this.#host.transport
    for (let isWaiting = false; !isWaiting; ) {
      const nowMs = timing.now()
      this.#closeIfDue(nowMs)
      const step = this.#window.next(nowMs)
      switch (step.kind) {
        case 'send':
          void this.#send(step.flight)
          break
        case 'begin':
          void this.#begin(step.notId)
          break
        case 'give-up':
          this.#fail(step.batch, this.#givenUp(step.batch, step.mayBeWritten, step.why))
          break
        case 'wait':
          this.#wakeAt(Math.min(step.untilMs, this.#openDueMs(nowMs)), nowMs)
          isWaiting = true
          break
        default:
          step satisfies never
      }
    }
  }

  /** When the open batch is to be looked at again. */
  #openDueMs(nowMs: number): number {
    const open = this.#open
    if (open === undefined) return Number.POSITIVE_INFINITY
    const lingeredMs = open.createdMs + this.#host.options.lingerMs
    return this.#hasRoom && lingeredMs > nowMs ? lingeredMs : open.deadlineMs
  }

  /** What is compressed already comes first. */
  get #hasRoom(): boolean {
    return this.#window.hasRoom && this.#preparing === 0
  }

  #closeIfDue(nowMs: number): void {
    const open = this.#open
    if (open === undefined) return
    const isFull = open.sizeBytes >= this.#batchBytesMax
    const hasLingered = this.#host.isFlushing || nowMs >= open.createdMs + this.#host.options.lingerMs
    if (isFull || (this.#hasRoom && hasLingered) || nowMs >= open.deadlineMs) this.#close()
  }

  #close(): void {
    const batch = this.#open
    if (batch === undefined) return
    this.#open = undefined
    if (this.#host.options.compression === 'none' && this.#preparing === 0) this.#window.add(batch)
    else this.#prepare([batch])
  }

  /** Compresses beside everything else; batches enter the window in the order in which they were closed. */
  #prepare(batches: readonly Batch[]): void {
    for (const batch of batches) {
      this.#preparing++
      const done = this.#encoderOf(batch).then(
        () => undefined,
        (thrown: unknown) => asCodecError(thrown),
      )
      this.#prepared = Promise.all([this.#prepared, done]).then(([, failure]) => {
        this.#preparing--
        const stopped = failure ?? this.#abandoned
        if (stopped === undefined) this.#window.add(batch)
        else this.#fail(batch, stopped)
        this.schedule()
      })
    }
  }

  async #encoderOf(batch: Batch): Promise<NonNullable<Batch['encode']>> {
    const { compression, codecs } = this.#host.options
    const records = batch.entries.map((entry) => entry.record)
    batch.encode = await prepareBatch({ records, compression }, codecs)
    return batch.encode
  }

  async #begin(notId: number | undefined): Promise<void> {
    const { transport } = this.#host
    try {
      const { producerId, epoch } = await this.#host.producerId(notId)
      this.#window.begin(producerId, epoch)
    } catch (thrown) {
      const error = asHighwaterError(thrown, 'POST /producers')
      this.#window.beginFailed(transport.timing.now() + transport.retryDelayMs(0, error.retryAfterMs))
      // An id that was handed out twice hurts nobody, so asking again is safe whatever became of the first request.
      if (!error.retriable) this.#failAll(error)
    }
    this.schedule()
  }

  async #send(flight: Flight<Batch>): Promise<void> {
    const { timing } = this.#host.transport
    const { batch } = flight
    let outcome: Outcome<Batch>
    let settled: ((verdict: { mayBeWritten: boolean }) => void) | undefined
    try {
      const answer = await this.#transmit(flight)
      outcome = { kind: 'acked' }
      settled = () => this.#acknowledge(batch, answer.baseOffset, answer.appendTimeMs)
    } catch (thrown) {
      const error = asHighwaterError(thrown, `POST /topics/${this.topic}/partitions/${this.partition}`)
      batch.lastError = error
      if (error.code === 'DUPLICATE_SEQUENCE_NUMBER') {
        outcome = { kind: 'acked' }
        settled = () => this.#acknowledge(batch, -1, undefined)
      } else {
        outcome = this.#outcomeOf(error, batch, flight)
        settled = ({ mayBeWritten }) => this.#fail(batch, mayBeWritten ? inDoubt(error) : error)
      }
    }
    const verdict = this.#window.answered(flight, outcome, timing.now())
    if (verdict.isFinal) settled(verdict)
    this.schedule()
  }

  #outcomeOf(error: HighwaterError, batch: Batch, flight: Flight<Batch>): Outcome<Batch> {
    const delayMs = this.#host.transport.retryDelayMs(batch.failures++, error.retryAfterMs)
    switch (error.code) {
      case 'OUT_OF_ORDER_SEQUENCE_NUMBER':
        return { kind: 'gap' }
      case 'UNKNOWN_PRODUCER_ID':
        return { kind: 'unknown-producer' }
      case 'MESSAGE_TOO_LARGE':
      case 'REQUEST_TOO_LARGE':
        if (batch.entries.length === 1) return { kind: 'refused' }
        return { kind: 'split', parts: this.#halves(batch) }
      case 'UNKNOWN_TOPIC':
      case 'UNKNOWN_PARTITION':
        this.#host.topicChanged(this.topic)
        return { kind: 'refused' }
      case 'INVALID_PRODUCER_EPOCH':
        // Nobody else has our id: whoever fenced us, going on would not be ours to decide.
        if (flight.stamp !== undefined) this.#host.fail(error)
        return { kind: 'refused' }
      default:
        if (error.effects === 'possible') return { kind: 'again', effects: 'possible', delayMs }
        return error.retriable ? { kind: 'again', effects: 'none', delayMs } : { kind: 'refused' }
    }
  }

  /** Their content is compressed anew when they are sent; that is rare and small enough to be done on the spot. */
  #halves(batch: Batch): Batch[] {
    const middle = Math.ceil(batch.entries.length / 2)
    const halves = [batch.entries.slice(0, middle), batch.entries.slice(middle)].map((entries) =>
      this.#newBatch(entries, batch),
    )
    this.#batchBytesMax = Math.max(1, Math.min(this.#batchBytesMax, Math.ceil(batch.sizeBytes / 2)))
    return halves
  }

  async #transmit(flight: Flight<Batch>): Promise<{ baseOffset: number; appendTimeMs: number | undefined }> {
    const { transport, options } = this.#host
    const { batch, stamp } = flight
    const path = ['topics', this.topic, 'partitions', String(this.partition)]
    const asked = `POST /${path.join('/')}`
    const body = await this.#bytesOf(batch, stamp)
    const leftMs = batch.deadlineMs - transport.timing.now()
    const answer = await transport.ask({
      method: 'POST',
      path,
      query: { acks: options.acks === 'all' ? undefined : options.acks },
      headers: { 'content-type': rawType, accept: 'application/json' },
      body,
      timeoutMs: Math.max(1, Math.min(transport.options.timeoutMs, leftMs)),
    })
    if (options.acks === 0) return { baseOffset: -1, appendTimeMs: undefined }
    const said = jsonOf<{ base_offset?: unknown; record_count?: unknown; append_time_ms?: unknown }>(answer, asked)
    if (typeof said.base_offset !== 'number' || said.record_count !== batch.entries.length)
      throw new HighwaterError('UNEXPECTED_ANSWER', `${asked} was answered for other records than were sent`, {
        status: answer.status,
        retriable: true,
        effects: 'possible',
      })
    const appendTimeMs = typeof said.append_time_ms === 'number' ? said.append_time_ms : undefined
    return { baseOffset: said.base_offset, appendTimeMs }
  }

  /** The same bytes at every attempt (W1), whatever became of the arrays that the records came in. */
  async #bytesOf(batch: Batch, stamp: Stamp | undefined): Promise<Uint8Array> {
    const encode = batch.encode ?? (await this.#encoderOf(batch))
    if (batch.encoded === undefined || batch.encoded.stamp !== stamp) {
      const bytes = encode(
        stamp === undefined
          ? {}
          : { producerId: stamp.producerId, producerEpoch: stamp.epoch, baseSequence: stamp.sequence },
      )
      batch.encoded = { stamp, bytes }
    }
    return batch.encoded.bytes
  }

  #acknowledge(batch: Batch, baseOffset: number, appendTimeMs: number | undefined): void {
    for (const [index, entry] of batch.entries.entries())
      entry.settle({
        partition: this.partition,
        offset: baseOffset < 0 ? -1 : baseOffset + index,
        timestampMs: appendTimeMs ?? entry.record.timestampMs,
      })
  }

  #fail(batch: Batch, error: HighwaterError): void {
    for (const entry of batch.entries) entry.settle(error)
  }

  #givenUp(batch: Batch, mayBeWritten: boolean, why: 'deadline' | 'lost-sequence'): HighwaterError {
    const where = `${this.topic}/${this.partition}`
    const last = batch.lastError
    const details = {
      status: last?.status ?? 0,
      effects: mayBeWritten ? 'possible' : 'none',
      ...(last === undefined ? {} : { cause: last }),
    } as const
    if (why === 'lost-sequence')
      return new HighwaterError(
        'OUTCOME_UNKNOWN',
        `${where} does not know this producer any more while the answer to a batch was lost; the batch may have been written.`,
        details,
      )
    const doubt = mayBeWritten ? 'It may have been written.' : 'It was not written.'
    const because = last === undefined ? '' : ` The last attempt: ${last.message}`
    return new HighwaterError(
      'DELIVERY_TIMEOUT',
      `A record for ${where} was not delivered in time. ${doubt}${because}`,
      details,
    )
  }

  #wakeAt(atMs: number, nowMs: number): void {
    if (atMs === this.#timerMs) return
    this.#clearTimer?.()
    this.#clearTimer = undefined
    this.#timerMs = atMs
    if (atMs === Number.POSITIVE_INFINITY) return
    this.#clearTimer = this.#host.transport.timing.timer(atMs - nowMs, () => {
      this.#timerMs = Number.POSITIVE_INFINITY
      this.schedule()
    })
  }
}

/** The same refusal where an earlier attempt of the same bytes may have been written. */
function inDoubt(error: HighwaterError): HighwaterError {
  return new HighwaterError(error.code, `${error.message} (An earlier attempt may have been written.)`, {
    status: error.status,
    effects: 'possible',
    cause: error,
  })
}

function asCodecError(thrown: unknown): HighwaterError {
  const reason = thrown instanceof Error ? thrown.message : String(thrown)
  return new HighwaterError('UNSUPPORTED_CODEC', `The batch could not be compressed: ${reason}`, { cause: thrown })
}
