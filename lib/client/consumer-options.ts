/** What a consumer can be told. */
import type { AssignorName } from '../core/assignor.ts'
import type { TopicPartition } from './consumer-partitions.ts'
import type { HighwaterError } from './error.ts'

export interface ConsumerOptions {
  readonly group: string
  /** What to read: topics by name, or all whose whole name matches a pattern, now and later. One of the two. */
  readonly topics?: readonly string[]
  readonly pattern?: string
  /** Where to begin in a partition that the group has committed nothing of, or where the offset is gone. @default 'earliest' */
  readonly from?: 'earliest' | 'latest' | 'none'
  /**
   * Commit what the loop has passed: every `autoCommitIntervalMs`, before a partition is let go of, and when the consumer is
   * closed. @default true
   */
  readonly autoCommit?: boolean
  /** @default 5_000 */
  readonly autoCommitIntervalMs?: number
  /** Evicted when the server hears nothing for this long. @default the server's, 45_000 */
  readonly sessionTimeoutMs?: number
  /**
   * How long the loop may take over what it was given before it comes for more. After that the consumer leaves its group, so
   * that others go on. Kafka's `max.poll.interval.ms`. @default 300_000
   */
  readonly maxPollIntervalMs?: number
  /** A static member: who comes back under it within the session timeout goes on where it was, without a rebalance. */
  readonly instanceId?: string
  /** What the group shows for this consumer. */
  readonly clientId?: string
  /** @default 'cooperative-sticky' */
  readonly assignor?: AssignorName
  /** Told of partitions that are now this consumer's, before their first record. Awaited. */
  readonly onAssigned?: (partitions: readonly TopicPartition[]) => void | Promise<void>
  /** Told of partitions to be let go of, which happens when it is done. After it, what was processed is committed. Awaited. */
  readonly onRevoked?: (partitions: readonly TopicPartition[]) => void | Promise<void>
  /** Told of partitions that are already somebody else's: nothing more can be committed. Awaited. */
  readonly onLost?: (partitions: readonly TopicPartition[]) => void | Promise<void>
  /** Told of every failure that is tried again. */
  readonly onRetry?: (error: HighwaterError) => void
  /** Of one answer, over all partitions. @default 1_048_576 */
  readonly bytesMax?: number
  /** The server answers when there is this much, or `waitMs` is over. @default 1 */
  readonly bytesMin?: number
  /** How long the server keeps a poll while there is nothing to read (it has a limit of its own, 25 s). @default 20_000 */
  readonly waitMs?: number
  /**
   * While there is nothing to read, pause between polls, doubling up to this: where a waiting request costs, which it does on
   * Lambda. At most a third of the session timeout. @default 0 with `waitMs`, 1_000 without
   */
  readonly idlePauseMs?: number
  /** How long failures that may pass are tried again before they are thrown. @default no limit */
  readonly retryTimeoutMs?: number
  /** The most that one batch may decompress to. @default 268_435_456 */
  readonly decompressedBytesMax?: number
  /** Ends the reading: the loop stops when it comes for the next record; what it passed is committed, and the group is left. */
  readonly signal?: AbortSignal
}

export interface OffsetToCommit extends TopicPartition {
  /** The next offset to read. */
  readonly offset: number
  readonly metadata?: string
}

/** Where a consumer is in a partition: the offset of the next record; undefined until the server has said where it begins. */
export interface ConsumerPosition extends TopicPartition {
  readonly offset: number | undefined
}

/** @throws RangeError for options that contradict each other */
export function checkConsumerOptions(options: ConsumerOptions): void {
  const { group, topics, pattern } = options
  if (group === '') throw new RangeError('a group has a name')
  if ((topics === undefined) === (pattern === undefined)) throw new RangeError('read either `topics` or a `pattern`')
  for (const name of [
    'autoCommitIntervalMs',
    'sessionTimeoutMs',
    'maxPollIntervalMs',
    'waitMs',
    'idlePauseMs',
    'bytesMax',
  ] as const) {
    const value = options[name]
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0))
      throw new RangeError(`${name} is a whole number of at least 0, not ${value}`)
  }
}
