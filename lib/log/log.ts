/**
 * The log: what happens, as one object over the ports. Everything a face (HTTP, later protocols) can ask is here; expected
 * outcomes are values. Only bugs throw.
 *
 * A record's way: `produce` or `append` -> gather.ts -> flush.ts (segment) -> commit.ts (offset) -> the answer;
 * back: fetch.ts -> chunks.ts -> batches.
 */
import type { ApiKey, Credentials, KeyVerdict, Need, NewApiKey } from '../core/api-key.ts'
import type { Codecs } from '../core/codec.ts'
import type { Stored } from '../core/cost-report.ts'
import type { Refusal } from '../core/errors.ts'
import type { Lease } from '../core/lease.ts'
import type { EpochMs, Offset, ProducerKey, TopicId, TopicName } from '../core/names.ts'
import type { NewRecord } from '../core/record-batch.ts'
import type { Settings } from '../core/settings.ts'
import type { Topic } from '../core/topic.ts'
import type { VerifiedLeftovers, VerifiedPiece, VerifiedTopics } from '../core/verify-rule.ts'
import type { Clock, Metadata, Objects, Random, WorkMeter } from '../ports.ts'
import type { CreatedApiKey } from './api-keys.ts'
import type { Compacted } from './compact.ts'
import type { FetchManyRequest, Groups, PolledPartition } from './group-api.ts'
import type { Instances } from './instance-api.ts'
import type { Observer } from './observer.ts'
import type { StoredLimits } from './stored.ts'
import type { Swept } from './sweep.ts'
import type { Looked, RolledRows } from './upkeep.ts'
import type { VerifyRequest } from './verify.ts'

export interface LogPorts {
  readonly objects: Objects
  readonly metadata: Metadata
  readonly clock: Clock
  readonly random: Random
  readonly codecs: Codecs
  /** Told of a bug in what runs beside requests. Without it, such a bug ends the process as an unhandled rejection. */
  readonly report?: (bug: unknown) => void
  /** Told what is done. @default nobody, at no cost */
  readonly observe?: Observer
  /** Told for what the stores are asked. @default nobody, at no cost */
  readonly meter?: WorkMeter
}

export type Answer<Value> = ({ readonly ok: true } & Value) | Refusal

/** An idempotent producer's claim on an append: the whole of it is one batch in the producer's sequence. */
export interface ProducerStamp {
  readonly producerId: number
  readonly epoch: number
  /** Of the first record, in this partition. */
  readonly sequence: number
}

export interface AppendOptions {
  readonly producer?: ProducerStamp
  /** Identity for those who want just that: a repeat under the same key and content gets the first answer. Excludes `producer`. */
  readonly idempotencyKey?: string
  /** Append only if the partition's end offset is this. */
  readonly expectedOffset?: Offset
  /** Written as the exclusive leader of this epoch. An epoch is one topic's: say whose with `topicId`. */
  readonly leaderEpoch?: number
  /** Refuse when the name now means another topic than this. */
  readonly topicId?: TopicId
}

/** What one process has under way and waiting. */
export interface UnderWay {
  /** Bytes of appends that are not answered yet. */
  readonly appendBytes: number
  /** Fetches that wait for records. */
  readonly fetchesWaiting: number
  /** Bytes that are being read for fetches of older records. */
  readonly backfillBytes: number
  /** Reads for them that wait for their turn (`fetchBytesInFlightMax`). */
  readonly backfillsWaiting: number
}

export interface AppendRequest extends AppendOptions {
  readonly topic: string
  readonly partition: number
  /** One or more whole record batches (v2), back to back. The buffer is the log's from here on: base offsets are patched in it. A batch with a producer id in its header must be alone. */
  readonly batches: Uint8Array
}

export interface Appended {
  readonly topicId: TopicId
  readonly partition: number
  readonly baseOffset: Offset
  readonly recordCount: number
  /** With LogAppendTime: the time given to the records. */
  readonly appendTimeMs?: EpochMs
  /** True when this was a repeat, answered with the offsets of the first. */
  readonly isDuplicate: boolean
}

/** A record to be placed by its partition, its key, or neither. */
export interface ProduceRecord extends Omit<NewRecord, 'timestampMs'> {
  readonly partition?: number
  readonly timestampMs?: EpochMs
}

export interface ProduceRequest extends AppendOptions {
  readonly topic: string
  readonly records: readonly ProduceRecord[]
}

/** Per record, in input order. */
export type Produced = Answer<{
  readonly partition: number
  readonly offset: Offset
  readonly timestampMs: EpochMs
  /** True when the record was committed by an earlier request, whose offset this is. */
  readonly isDuplicate: boolean
}>

export interface FetchRequest {
  readonly topic: string
  readonly partition: number
  readonly offset: Offset
  /** Default `fetchBytesMax`. Whole batches; the first is answered whatever its size. */
  readonly bytesMax?: number
  /** Stop after the batch that reaches this many records at or after `offset`. */
  readonly recordsMax?: number
  /** Wait up to this long while there is nothing at `offset`. Default 0. */
  readonly waitMs?: number
  readonly signal?: AbortSignal
  /** Refuse when the name now means another topic than this. */
  readonly topicId?: TopicId
}

export interface Fetched {
  readonly topicId: TopicId
  readonly partition: number
  /** Whole batches with absolute base offsets, ascending. The first may begin before `offset`. The bytes are shared with other readers: they are not to be changed. */
  readonly batches: readonly Uint8Array[]
  /** Where to go on: one past the last offset answered, or `offset` where nothing was. */
  readonly nextOffset: Offset
  readonly startOffset: Offset
  readonly highWatermark: Offset
  /** Key compaction may take records out of it later, or has: who keeps it, keeps what was deleted. */
  readonly isCompacted?: true
}

export interface CreateTopicRequest {
  readonly name: string
  readonly partitions?: number
  readonly configs?: Readonly<Record<string, string | null>>
  /** Check everything, create nothing. */
  readonly validateOnly?: boolean
}

export interface ConfigChange {
  readonly name: string
  /** null or absent with DELETE: back to the default. */
  readonly value: string | null
}

export interface LeaseGrant {
  readonly topicId: TopicId
  readonly epoch: number
  readonly untilMs: EpochMs
}

export interface Maintained extends Looked {
  /** The round over all partitions is done; the next one begins at its time. */
  readonly isRoundOver: boolean
  readonly groups: number
  readonly groupsDeleted: number
  readonly instancesRemoved: number
}

export interface Log {
  clusterId(): Promise<string>

  createTopic(request: CreateTopicRequest): Promise<Answer<{ readonly topic: Topic }>>
  describeTopic(name: string): Promise<Answer<{ readonly topic: Topic }>>
  /** Live topics by name, ascending. */
  listTopics(): Promise<readonly Topic[]>
  alterConfigs(
    name: string,
    changes: readonly ConfigChange[],
    validateOnly?: boolean,
  ): Promise<Answer<{ readonly topic: Topic }>>
  /** Raises the partition count to `partitions`. */
  addPartitions(name: string, partitions: number): Promise<Answer<{ readonly topic: Topic }>>
  deleteTopic(name: string): Promise<Answer<object>>

  /** Batches as bytes to one partition. */
  append(request: AppendRequest): Promise<Answer<Appended>>
  /** Records to the partitions they belong to. One answer per record, in order; a refusal of the whole request is a `Refusal`. */
  produce(
    request: ProduceRequest,
  ): Promise<Answer<{ readonly topicId: TopicId; readonly records: readonly Produced[] }>>
  allocateProducer(): Promise<Answer<{ readonly producerId: number; readonly epoch: number }>>

  fetch(request: FetchRequest): Promise<Answer<Fetched>>
  /** Several partitions at once, one wait and one limit for all. Answers only those with something to say. */
  fetchMany(request: FetchManyRequest): Promise<Answer<{ readonly partitions: readonly PolledPartition[] }>>
  readonly groups: Groups
  readonly instances: Instances
  offsets(
    topic: string,
    partition: number,
  ): Promise<Answer<{ readonly topicId: TopicId; readonly startOffset: Offset; readonly highWatermark: Offset }>>
  /** The first record whose timestamp is at or after `timestampMs`; offset -1 where there is none. */
  offsetForTimestamp(
    topic: string,
    partition: number,
    timestampMs: EpochMs,
  ): Promise<Answer<{ readonly topicId: TopicId; readonly offset: Offset; readonly timestampMs: EpochMs }>>
  /** Raises the log start offset (-1: to the end). Records below it are no longer answered. */
  deleteRecords(
    topic: string,
    partition: number,
    beforeOffset: Offset,
  ): Promise<Answer<{ readonly startOffset: Offset }>>

  acquireLease(topic: string, partition: number, owner: string, isExclusive?: boolean): Promise<Answer<LeaseGrant>>
  /** The lease stays exclusive, or not, as it was acquired. */
  renewLease(topic: string, partition: number, owner: string, epoch: number): Promise<Answer<LeaseGrant>>
  releaseLease(topic: string, partition: number, owner: string, epoch: number): Promise<Answer<object>>
  describeLease(
    topic: string,
    partition: number,
  ): Promise<Answer<{ readonly lease: Lease | undefined; readonly leaseEpoch: number }>>

  /** The secret is in this answer and nowhere else. */
  createApiKey(request: NewApiKey): Promise<Answer<CreatedApiKey>>
  /** Those that were not revoked, by id. */
  listApiKeys(): Promise<readonly ApiKey[]>
  /** At once in this process; others see it within `apiKeyAgeMsMax`, a gateway that caches its authorizer when that cache ends. */
  revokeApiKey(id: string): Promise<Answer<object>>
  /** May whoever shows these credentials have this done? */
  checkApiKey(credentials: Credentials, need: Need): Promise<KeyVerdict>

  /** Rolls the partition's tail if there is anything to roll; writers do this by themselves. */
  roll(topic: string, partition: number): Promise<Answer<{ readonly rolled: number }>>
  /** Forgets producers that were idle for longer than `producerIdExpirationMs` (P4 holds). */
  forgetProducers(topic: string, partition: number): Promise<Answer<{ readonly forgotten: number }>>

  /** Merges the partition's small chunks into one segment, if it is worth it. Answers the rows that became one, and their bytes. */
  merge(topic: string, partition: number): Promise<Answer<{ readonly rows: number; readonly bytes: number }>>

  /**
   * One pass of key compaction, if the topic's `cleanup.policy` has `compact` and it is worth it; safe to stop anywhere. Undefined: it was not,
   * or something moved meanwhile.
   */
  compact(
    topic: string,
    partition: number,
    signal?: AbortSignal,
  ): Promise<Answer<{ readonly pass: Compacted | undefined }>>

  /** Merges what rolled in this process since the last time, wherever it is worth it. */
  mergeRolled(signal?: AbortSignal): Promise<Answer<{ readonly rows: number }>>

  /**
   * Upkeep, safe to stop anywhere and to run twice: forgets idle producers, removes what retention lets go, merges; evicts members that
   * are gone, deletes groups that nobody needs any more. Each call looks at all groups and at the partitions that this process wrote
   * rows of, and goes on with a round over all partitions, which begins once in `maintainRoundMs`. The embedded server does it by
   * itself; a function does it on a schedule. Ends early, with what was done, when `signal` aborts.
   */
  maintain(signal?: AbortSignal): Promise<Answer<Maintained>>
  /**
   * Upkeep of partitions to which rows came, in whatever process: merges where they are worth it, everything else at most once in
   * `maintainIntervalMs` of this process. A function that the table's stream triggers calls it.
   */
  maintainRolled(
    rolled: readonly RolledRows[],
    signal?: AbortSignal,
  ): Promise<
    Answer<
      Looked & {
        /** Partitions for which the time was not enough. */
        readonly left: number
      }
    >
  >
  /** Deletes the objects that nothing names any more, and nothing else does; with `isDryRun`, only says which. */
  sweep(options?: { readonly isDryRun?: boolean; readonly signal?: AbortSignal }): Promise<Answer<Swept>>

  /** A page of topics, their items checked; `after`: `next` of the page before. */
  verifyTopics(after?: string): Promise<Answer<VerifiedTopics>>
  /** A piece of a partition, from its end towards its start: everything that is stored of it, held against each other. Changes nothing. */
  verifyPartition(request: VerifyRequest): Promise<Answer<VerifiedPiece>>
  /** What nothing names any more, and the next sweep would take. Changes nothing. */
  verifyLeftovers(signal?: AbortSignal): Promise<Answer<VerifiedLeftovers>>

  /** Bytes of records that are there, by topic. Reads heads and rows, of no more than `limits` of them. */
  stored(limits?: StoredLimits): Promise<Answer<{ readonly stored: Stored }>>
  /** What this process has under way. */
  underWay(): UnderWay

  /** Resolves when nothing of what was begun (rolls and unattended appends included) is under way: a function calls it before it returns. */
  settled(): Promise<void>
  /** Refuses new appends, answers those that wait, wakes waiting fetches, and settles. */
  close(): Promise<void>
}

export type { Lease, ProducerKey, Refusal, Settings, Topic, TopicName }
