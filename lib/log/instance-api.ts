/**
 * Instances of consumers as the v2 face has them: what a consumer's process keeps (subscription, membership, positions) is kept
 * in the metadata store, so that any process serves any instance. See instance-item.ts for what is kept, instances.ts for how
 * it is used.
 */
import type { Subscription } from '../core/group.ts'
import type { EpochMs, Offset } from '../core/names.ts'
import type { CommittedOffset, StoredOffset, TopicPartition } from './group-api.ts'
import type { Answer, Fetched, Refusal } from './log.ts'

export type OffsetReset = 'earliest' | 'latest' | 'none'

export interface InstanceConfig {
  /** How its face writes records; the log does not look at it. */
  readonly format: string
  /** Where there is no committed offset, or none that can be read. */
  readonly offsetReset: OffsetReset
  /** Commits what earlier polls delivered, at the next poll and at the end. */
  readonly isAutoCommit: boolean
  /** @default 1 */
  readonly bytesMin?: number
  readonly waitMs: number
  /** @default `consumerInstanceTimeoutMs` */
  readonly sessionTimeoutMs?: number
}

export interface NewInstance {
  readonly group: string
  /** 1 to 255 printable ASCII characters. @default one is made */
  readonly name?: string
  /** Who may use it: nobody else. @default everybody */
  readonly principal?: string
  readonly config: InstanceConfig
}

/** What a partition has for a caller that goes on at `offset`. */
export interface Delivery extends TopicPartition {
  readonly offset: Offset
  readonly fetched: Fetched
}

/** Makes an answer of what is there. Runs again when another request on the instance was faster. */
export type Take<Value> = (deliveries: readonly Delivery[]) =>
  | {
      readonly ok: true
      readonly value: Value /** Where to go on, in the order of the deliveries. */
      readonly positions: readonly Offset[]
    }
  | Refusal

export interface InstancePoll {
  /** @default of the instance's config */
  readonly waitMs?: number
  readonly bytesMax?: number
  readonly signal?: AbortSignal
}

export type SeekTo =
  | { readonly to: 'offset'; readonly offset: Offset }
  | { readonly to: 'time'; readonly timestampMs: EpochMs }
  | { readonly to: 'beginning' }
  | { readonly to: 'end' }
export type Seek = TopicPartition & SeekTo

export interface ExplicitOffset extends TopicPartition {
  /** The next offset to read. */
  readonly offset: Offset
  readonly metadata?: string
}

export interface Instances {
  create(request: NewInstance): Promise<Answer<{ readonly instance: string }>>
  /** UNKNOWN_CONSUMER_INSTANCE where there is none, or it is somebody else's. */
  open(group: string, instance: string, principal?: string): Promise<Answer<{ readonly instance: Instance }>>
}

/** An instance as it was read; each of these requests reads it again when it has changed meanwhile. */
export interface Instance {
  readonly config: InstanceConfig
  readonly subscription: Subscription | undefined
  /** What it reads, as of its last poll. */
  readonly assignment: readonly TopicPartition[]

  /** Leaves its group, and is gone. */
  delete(): Promise<Answer<object>>
  /** ILLEGAL_STATE where partitions were assigned by hand, or it subscribes by another kind. */
  subscribe(subscription: Subscription): Promise<Answer<object>>
  /** Of topics, or of partitions. */
  unsubscribe(): Promise<Answer<object>>
  /** By hand, beside no subscription: ILLEGAL_STATE. Partitions that it had keep their positions. */
  assign(partitions: readonly TopicPartition[]): Promise<Answer<object>>
  /** Joins its group if it has not yet; answers what it may read. */
  settle(): Promise<Answer<{ readonly assignment: readonly TopicPartition[] }>>
  /** Records, and the positions moved beyond them before they are answered. Without any after the time is over, or the signal aborted: `take([])`. */
  poll<Value>(request: InstancePoll, take: Take<Value>): Promise<Answer<{ readonly value: Value }>>
  /** These offsets, or the positions. One answer per offset. */
  commit(
    offsets: readonly ExplicitOffset[] | 'positions',
  ): Promise<Answer<{ readonly offsets: readonly CommittedOffset[] }>>
  /** Of its group. */
  committed(partitions: readonly TopicPartition[]): Promise<Answer<{ readonly offsets: readonly StoredOffset[] }>>
  /** All or none. ILLEGAL_STATE for a partition that it does not have. */
  seek(targets: readonly Seek[]): Promise<Answer<object>>
}
