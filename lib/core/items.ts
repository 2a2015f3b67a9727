/**
 * Every item of the metadata store that is not a partition head: its key, who writes it, when it dies, its shape.
 *
 * | collection | sort key | written by | dies | value |
 * |---|---|---|---|---|
 * | `cluster` | `id` | the first process, once | never | `ClusterItem` |
 * | `cluster` | `producer-ids` | producer id allocation, by version | never | `ProducerIdsItem` |
 * | `topics` | topic name | topic creation, alteration, deletion, by version | when the topic is deleted | `Topic` (topic.ts) |
 * | `graves` | topic id | topic deletion, with the name's removal | when the sweep has taken the topic's objects | `Grave` |
 * | `rows/<topic id>/<partition>` | last offset, 16 digits | rolls (if absent), merges (by version) | when merged away, or below the log start | `Row` (row.ts) |
 * | `producers/<topic id>/<partition>` | producer key | appends and evictions, in the transaction with the head | when forgotten, after the head's floor was raised (P4) | `ProducerItem` |
 * | `api-keys` | key id | its creation (if absent), its revocation (by version) | never (A2) | `ApiKeyItem` (api-key.ts) |
 * | `inline/<topic id>/<partition>` | segment id | a flush that finds it cheaper than an object, if absent | when a merge has put its records into a segment, or by the sweep | `InlineItem`, with the chunk's batches as bytes |
 * | `candidates` | the newest segment id of a note, `.`, its first version | a merge, a trim or the deletion of a topic, before it removes what named the segments, if absent; the sweep, by version | when the sweep has deleted all of its segments | `CandidateItem` |
 * | `compactions` | topic id, partition in 6 digits | passes of key compaction, after the head, by version | with its topic | `CompactionItem` |
 * | `sweep` | first character of the keys that were swept | the sweep, by version | never | `SweepItem` |
 * | `upkeep` | `round` | upkeep, by version | never | `UpkeepItem` |
 * | `groups` | group name, percent-encoded | every change of the group, with its state, by version | when the group is deleted | `GroupItem` |
 * | `group-states` | group id | the same, in the same transaction | the same | `GroupText` (group.ts) |
 * | `members/<group id>` | member id | joins, then heartbeats: at most one per third of the session timeout | when the member leaves, is evicted, or its group is deleted | `MemberItem` |
 * | `offsets/<group id>` | topic id, partition in 6 digits | claims, commits, resets, by version | when deleted, retained no longer, or the topic is gone | `GroupOffset` (group-offset.ts) |
 * | `instances/<group name, percent-encoded>` | instance id, percent-encoded | requests of a v2 consumer instance, by version | when deleted, or idle for too long | `InstanceItem` (log/instance-item.ts) |
 * | `instance-groups` | group name, percent-encoded | creation and removal of instances, in their transactions | with the group's last instance | `InstanceGroupItem` |
 *
 * Sort keys are compared as bytes of UTF-8; all are ASCII. Keys are persisted: their form must be kept.
 */
import type {
  EpochMs,
  GroupId,
  GroupName,
  MemberId,
  Offset,
  ProducerKey,
  SegmentId,
  TopicId,
  TopicName,
} from './names.ts'
import type { ProducerState } from './producer.ts'

export interface ItemKey {
  readonly collection: string
  readonly sort: string
}

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined }

/** An item and its version. A version is random and chosen by the writer, so that a writer whose answer got lost knows its own write again. */
export interface Item {
  readonly key: ItemKey
  readonly version: string
  readonly value: Json
  /** What is no JSON: the batches of a small chunk. Shared; not to be changed. */
  readonly bytes?: Uint8Array
}

const offsetDigits = 16
export function offsetSortKey(offset: Offset): string {
  return String(offset).padStart(offsetDigits, '0')
}

export const clusterIdKey: ItemKey = { collection: 'cluster', sort: 'id' }
export const producerIdsKey: ItemKey = { collection: 'cluster', sort: 'producer-ids' }
export const topicsCollection = 'topics'
export function topicKey(name: TopicName): ItemKey {
  return { collection: topicsCollection, sort: name }
}
export const gravesCollection = 'graves'
export function graveKey(topicId: TopicId): ItemKey {
  return { collection: gravesCollection, sort: topicId }
}
/** What all collections of rows begin with, and no other. */
export const rowsPrefix = 'rows/'
export function rowsCollection(topicId: TopicId, partition: number): string {
  return `${rowsPrefix}${topicId}/${partition}`
}
/** The partition of a collection of rows; undefined: another collection. */
export function partitionOfRows(collection: string): { topicId: TopicId; partition: number } | undefined {
  const [, topicId, partition] = /^rows\/([^/]+)\/(\d+)$/.exec(collection) ?? []
  return topicId === undefined ? undefined : { topicId: topicId as TopicId, partition: Number(partition) }
}
export function rowKey(topicId: TopicId, partition: number, last: Offset): ItemKey {
  return { collection: rowsCollection(topicId, partition), sort: offsetSortKey(last) }
}
export function producersCollection(topicId: TopicId, partition: number): string {
  return `producers/${topicId}/${partition}`
}
export const apiKeysCollection = 'api-keys'
export function apiKeyKey(keyId: string): ItemKey {
  return { collection: apiKeysCollection, sort: keyId }
}
export function producerItemKey(topicId: TopicId, partition: number, producer: ProducerKey): ItemKey {
  return { collection: producersCollection(topicId, partition), sort: producer }
}

export function inlineCollection(topicId: TopicId, partition: number): string {
  return `inline/${topicId}/${partition}`
}
export function inlineKey(topicId: TopicId, partition: number, id: SegmentId): ItemKey {
  return { collection: inlineCollection(topicId, partition), sort: id }
}
export const candidatesCollection = 'candidates'
/** A query up to a horizon finds the notes whose newest segment is below it. */
export function candidateKey(newest: SegmentId, version: string): ItemKey {
  return { collection: candidatesCollection, sort: `${newest}.${version}` }
}
export function compactionKey(topicId: TopicId, partition: number): ItemKey {
  return { collection: 'compactions', sort: `${topicId}/${String(partition).padStart(partitionDigits, '0')}` }
}
export function sweepKey(digit: string): ItemKey {
  return { collection: 'sweep', sort: digit }
}
export const upkeepRoundKey: ItemKey = { collection: 'upkeep', sort: 'round' }
export const groupsCollection = 'groups'
export function groupKey(name: GroupName): ItemKey {
  return { collection: groupsCollection, sort: encodeURIComponent(name) }
}
export function groupStateKey(id: GroupId): ItemKey {
  return { collection: 'group-states', sort: id }
}
export function membersCollection(id: GroupId): string {
  return `members/${id}`
}
export function memberKey(id: GroupId, member: MemberId): ItemKey {
  return { collection: membersCollection(id), sort: member }
}
export function groupOffsetsCollection(id: GroupId): string {
  return `offsets/${id}`
}
const partitionDigits = 6
export function groupOffsetKey(id: GroupId, topicId: TopicId, partition: number): ItemKey {
  return {
    collection: groupOffsetsCollection(id),
    sort: `${topicId}/${String(partition).padStart(partitionDigits, '0')}`,
  }
}
export function partitionOfGroupOffset(key: ItemKey): { topicId: TopicId; partition: number } {
  const [topicId, partition] = key.sort.split('/')
  return { topicId: topicId as TopicId, partition: Number(partition) }
}
export function instancesCollection(group: GroupName): string {
  return `instances/${encodeURIComponent(group)}`
}
export function instanceKey(group: GroupName, instance: string): ItemKey {
  return { collection: instancesCollection(group), sort: encodeURIComponent(instance) }
}
export const instanceGroupsCollection = 'instance-groups'
export function instanceGroupKey(group: GroupName): ItemKey {
  return { collection: instanceGroupsCollection, sort: encodeURIComponent(group) }
}

/** Whose the item is, where its key tells. */
export function topicIdOfCollection(collection: string): TopicId | undefined {
  return /^(?:rows|inline|producers)\/([^/]+)\//.exec(collection)?.[1] as TopicId | undefined
}

export interface ClusterItem {
  readonly clusterId: string
}

export interface ProducerIdsItem {
  /** The next id nobody has. */
  readonly next: number
}

/** A note for the sweep: segments that lost names. */
export interface CandidateItem {
  readonly sinceMs: EpochMs
  /** Segment ids, separated by spaces. `*n` follows one of which the run named n chunks, if those were several. */
  readonly segments: string
  /** Where the names stood: rows of this partition between these offsets. */
  readonly run?: {
    readonly topicId: TopicId
    readonly partition: number
    readonly first: Offset
    readonly last: Offset
  }
}

/** A pass of key compaction: below `to` everything was clean at that time. */
export interface FinishedPass {
  readonly to: Offset
  readonly atMs: EpochMs
}

/** What the next pass needs to know. Lost, tombstones stay longer. */
export interface CompactionItem {
  /** In the order in which they ended; bounded. */
  readonly passes: readonly FinishedPass[]
  /** Of the rows that the last pass left. */
  readonly cleanBytes: number
  /** The lowest offset at which a tombstone may stand; absent: it left none. */
  readonly firstTombstone?: Offset
}

export interface SweepItem {
  /** Every object below it was looked at once, when it was old enough. */
  readonly horizon: SegmentId
  /** When the listing last began from the first object, to find what came late under an id that it had passed. */
  readonly fullSinceMs: EpochMs
}

/** How far the round of upkeep over all partitions came: topics by name, their partitions by number. */
export interface UpkeepItem {
  readonly beganMs: EpochMs
  /** The next partition to look at: this one of this topic, or the first of the next topic there is. Of a round that is over: none. */
  readonly next?: { readonly topic: string; readonly partition: number }
}

export interface InlineItem {
  readonly recordCount: number
}

export interface Grave {
  readonly name: TopicName
  readonly partitions: number
  readonly deletedMs: EpochMs
  /** When what the topic left was noted for the sweep, or removed. */
  readonly sweptMs?: EpochMs
}

/** State of a producer that is not in the head. */
export interface ProducerItem {
  readonly state: ProducerState
  readonly usedMs: EpochMs
  /** For an idempotency key: hash of the request's content, so that another request under the same key is told apart. */
  readonly fingerprint?: string
}

/** The little that a heartbeat asks of a group, and what a list of groups shows. */
export interface GroupItem {
  readonly id: GroupId
  readonly name: GroupName
  readonly epoch: number
  readonly state: 'Empty' | 'Stable' | 'Reconciling' | 'Dead'
  readonly members: number
  /** Since when it has had no members. */
  readonly emptySinceMs?: EpochMs
}

/** A sign of life. Its version is what an eviction must have seen. */
export interface MemberItem {
  readonly beatMs: EpochMs
  readonly sessionTimeoutMs: number
  /** Another member has taken its place under its instance id. */
  readonly isFenced?: boolean
}

/** How many v2 consumer instances a group has. */
export interface InstanceGroupItem {
  readonly instances: number
}
