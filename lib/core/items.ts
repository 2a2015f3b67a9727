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
 *
 * Sort keys are compared as bytes of UTF-8; all are ASCII. Keys are persisted: their form must be kept.
 */
import type { EpochMs, Offset, ProducerKey, TopicId, TopicName } from './names.ts'
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
export function rowsCollection(topicId: TopicId, partition: number): string {
  return `rows/${topicId}/${partition}`
}
export function rowKey(topicId: TopicId, partition: number, last: Offset): ItemKey {
  return { collection: rowsCollection(topicId, partition), sort: offsetSortKey(last) }
}
export function producersCollection(topicId: TopicId, partition: number): string {
  return `producers/${topicId}/${partition}`
}
export function producerItemKey(topicId: TopicId, partition: number, producer: ProducerKey): ItemKey {
  return { collection: producersCollection(topicId, partition), sort: producer }
}

export interface ClusterItem {
  readonly clusterId: string
}

export interface ProducerIdsItem {
  /** The next id nobody has. */
  readonly next: number
}

export interface Grave {
  readonly name: TopicName
  readonly partitions: number
  readonly deletedMs: EpochMs
}

/** State of a producer that is not in the head. */
export interface ProducerItem {
  readonly state: ProducerState
  readonly usedMs: EpochMs
  /** For an idempotency key: hash of the request's content, so that another request under the same key is told apart. */
  readonly fingerprint?: string
}
