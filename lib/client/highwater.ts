/**
 * The client of a Highwater server, for Node, browsers and edge runtimes: it needs `fetch`, `AbortController`, typed arrays
 * and timers, and for gzip `CompressionStream`.
 */
import { parseKey } from '../core/api-key.ts'
import { Admin } from './admin.ts'
import { type ClientCodecs, platformCodecs } from './compression.ts'
import { Consumer } from './consumer.ts'
import type { ConsumerOptions } from './consumer-options.ts'
import { Producer, type ProducerOptions } from './producer.ts'
import { Reader, type ReaderOptions } from './reader.ts'
import { type Fetch, type OutgoingRequest, systemTiming, type Timing, Transport } from './transport.ts'

export interface HighwaterOptions {
  /** Of the server, with a path prefix where there is one. */
  readonly url: string | URL
  /** @default globalThis.fetch */
  readonly fetch?: Fetch
  /** `<id>.<secret>`, sent with every request as a Bearer token. `authorize` and a header of that name replace it. */
  readonly apiKey?: string
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>
  /** Called for every request; the headers that it answers are added. For tokens that expire, and for signatures. */
  readonly authorize?: (
    request: OutgoingRequest,
  ) => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>
  /** How long one request may take; a long poll may take its wait in addition. @default 30_000 */
  readonly timeoutMs?: number
  /** How long an administrative call is repeated where that is safe. @default 60_000 */
  readonly retryTimeoutMs?: number
  /** Pause after the first failure; doubles up to `retryDelayMsMax`, with jitter. A Retry-After is honoured. @default 100 */
  readonly retryDelayMs?: number
  /** @default 5_000 */
  readonly retryDelayMsMax?: number
  /** Compression beyond what the platform has; see {@link ClientCodecs}. */
  readonly codecs?: ClientCodecs
  /** The clock and the dice, for tests. */
  readonly timing?: Timing
}

/**
 * A connection to a server, in name only: HTTP has none, so there is nothing to open or close.
 *
 * @example
 * const highwater = new Highwater({ url: 'http://127.0.0.1:8082' })
 * await highwater.admin.createTopic('greetings')
 *
 * const producer = highwater.producer()
 * await producer.send({ topic: 'greetings', key: 'world', value: 'hello' })
 * await producer.close()
 *
 * for await (const record of highwater.reader({ topic: 'greetings', partition: 0 })) {
 *   console.log(record.offset, text(record.value))
 *   break
 * }
 */
export class Highwater {
  readonly admin: Admin
  readonly #transport: Transport
  readonly #codecs: ClientCodecs

  /** @throws TypeError for a URL that is none, or an API key that is none */
  constructor(options: HighwaterOptions) {
    const { timeoutMs = 30_000, retryTimeoutMs = 60_000, retryDelayMs = 100, retryDelayMsMax = 5_000 } = options
    const { apiKey, headers } = options
    this.#transport = new Transport({
      ...options,
      ...(apiKey === undefined ? {} : { headers: { authorization: bearerOf(apiKey), ...lowerCased(headers) } }),
      timeoutMs,
      retryTimeoutMs,
      retryDelayMs,
      retryDelayMsMax,
      timing: options.timing ?? systemTiming,
    })
    this.#codecs = platformCodecs(options.codecs)
    this.admin = new Admin(this.#transport)
  }

  /**
   * Something to send records with. Keep one for as long as there is something to send: it batches, and its producer id is
   * what makes repeats safe.
   *
   * @throws RangeError for options that contradict each other
   * @example
   * await using producer = highwater.producer({ compression: 'gzip', lingerMs: 20 })
   * for (const order of orders) {
   *   await producer.ready
   *   producer.send({ topic: 'orders', key: order.customer, value: JSON.stringify(order) }).catch(report)
   * }
   * await producer.flush()
   */
  producer(options: ProducerOptions = {}): Producer {
    return new Producer(this.#transport, this.#codecs, options)
  }

  /**
   * Reads a partition.
   *
   * @example
   * const reader = highwater.reader({ topic: 'orders', partition: 0, from: 'earliest' })
   * for await (const record of reader) console.log(record.offset, json(record.value))
   */
  reader(options: ReaderOptions): Reader {
    return new Reader(this.#transport, this.#codecs, options)
  }

  /**
   * Reads topics as a member of a consumer group.
   *
   * @throws RangeError for options that contradict each other
   * @example
   * await using consumer = highwater.consumer({ group: 'billing', topics: ['orders'] })
   * for await (const record of consumer) await bill(json(record.value))
   */
  consumer(options: ConsumerOptions): Consumer {
    return new Consumer(this.#transport, this.#codecs, options)
  }
}

/** Never says what it was given: that is a secret, or becomes one with a letter more. */
function bearerOf(apiKey: string): string {
  if (parseKey(apiKey) === undefined) throw new TypeError('The API key is not <id>.<secret>')
  return `Bearer ${apiKey}`
}

function lowerCased(headers: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

export type { ApiKey, Work } from '../core/api-key.ts'
export type { CostOfStorage, CostOfUse, CostReport, Priced } from '../core/cost-report.ts'
export type { Finding, VerifiedLeftovers, VerifiedPiece, VerifiedTopics } from '../core/verify-rule.ts'
export type { Admin, CreatedApiKey, CreateTopicOptions, TopicConfig, TopicDescription, TopicSummary } from './admin.ts'
export type { ClientCodec, ClientCodecs } from './compression.ts'
export type { Consumer } from './consumer.ts'
export type { ConsumerOptions, ConsumerPosition, OffsetToCommit } from './consumer-options.ts'
export type { ConsumedRecord, TopicPartition } from './consumer-partitions.ts'
// biome-ignore lint/performance/noBarrelFile: the one door of the client; what is behind it, users need not know.
export { HighwaterError, type HighwaterErrorCode } from './error.ts'
export type {
  GroupAdmin,
  GroupDescription,
  GroupLag,
  GroupMember,
  GroupOffset,
  GroupSummary,
  ResetOffset,
  ResetOffsets,
} from './group-admin.ts'
export type { OffsetAtTime, Offsets } from './offsets.ts'
export type { Producer, ProducerOptions } from './producer.ts'
export type { Sent } from './producer-lane.ts'
export type { From, Reader, ReaderOptions, ReadRecord } from './reader.ts'
export { type Content, json, type ProducerRecord, text } from './record.ts'
export type { Fetch, OutgoingRequest, Timing } from './transport.ts'
export type { Verification, VerifyPieceOptions } from './verification.ts'
