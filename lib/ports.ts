/**
 * Everything Highwater asks of the outside world, on one screen.
 *
 * Any call may have taken effect although it failed, may be applied twice or hours later (D4): callers give every write an
 * identity or a condition that makes a repeat harmless. A call that could not do its work throws `Unavailable`, which says
 * whether it may have had its effect. Nothing else is thrown for what the world does.
 */
import type { Head, HeadCommand, HeadKey } from './core/head.ts'
import type { Item, ItemKey, Json } from './core/items.ts'
import type { EpochMs, TopicId, TopicName } from './core/names.ts'
import type { WorkTag } from './core/usage.ts'

/** Immutable objects. Reads see every creation that was answered. */
export interface Objects {
  /** Puts the object if there is none of that key; durable when it returns (D1). The parts, in order, are the content; they are not changed while the call runs. */
  create(key: string, parts: readonly Uint8Array[]): Promise<'created' | 'exists'>
  /**
   * `length` bytes from `position`, fewer where the object ends (none beyond it); undefined where there is no such object. A
   * negative position counts from the end: `read(key, -n, n)` are the last n bytes, or the whole of a smaller object.
   */
  read(key: string, position: number, length: number): Promise<Uint8Array | undefined>
  /** Up to `limit` objects whose keys begin with `prefix` and come after `after`, ascending. */
  list(prefix: string, after: string | undefined, limit: number): Promise<readonly ObjectEntry[]>
  /** Deletes the object; nothing happens where there is none. Only the sweep may call it. */
  delete(key: string): Promise<void>
}
export interface ObjectEntry {
  readonly key: string
  readonly sizeBytes: number
}

/** What is decided by compare-and-set. Reads are strongly consistent; every write is atomic and durable when answered. */
export interface Metadata {
  readHead(key: HeadKey): Promise<Head | undefined>
  createHead(head: Head): Promise<'created' | 'exists'>
  /**
   * Applies `decideHead` atomically; with `also`, in one transaction with those writes. Refused, it changes nothing and answers
   * what was there. `head` of an applied command is the head after it, where the store tells.
   */
  updateHead(key: HeadKey, command: HeadCommand, also?: readonly ItemWrite[]): Promise<HeadAnswer>
  get(key: ItemKey): Promise<Item | undefined>
  /** Items of a collection with `from` <= sort <= `to`, ascending (descending with `reverse`), at most `limit`. */
  query(collection: string, range: QueryRange): Promise<readonly Item[]>
  /** All of the writes or none, each item at most once, at most 100 with the head of `updateHead`. A refusal answers, for each write, the item that is there now. */
  write(writes: readonly ItemWrite[]): Promise<WriteAnswer>
}
export interface QueryRange {
  readonly from?: string
  readonly to?: string
  readonly limit: number
  readonly reverse?: boolean
}
/** `absent`: there is no such item; otherwise it has exactly this version. */
export type Condition = 'absent' | { readonly version: string }
export type ItemWrite =
  | {
      readonly op: 'put'
      readonly key: ItemKey
      readonly version: string
      readonly value: Json
      /** Stored beside the value; at most 300 KB. Not changed while the call runs. */
      readonly bytes?: Uint8Array
      readonly if: Condition
    }
  | { readonly op: 'delete'; readonly key: ItemKey; readonly if: { readonly version: string } }
  | { readonly op: 'check'; readonly key: ItemKey; readonly if: Condition }
export type HeadAnswer =
  | { readonly applied: true; readonly head: Head | undefined }
  /** `head` is what is there now; `items` the same for each of `also`. */
  | { readonly applied: false; readonly head: Head | undefined; readonly items: readonly (Item | undefined)[] }
export type WriteAnswer =
  | { readonly applied: true }
  | { readonly applied: false; readonly items: readonly (Item | undefined)[] }

export interface Clock {
  now(): EpochMs
  /** Resolves after `durationMs`, or at once when `signal` aborts. Never rejects. */
  sleep(durationMs: number, signal?: AbortSignal): Promise<void>
}

/** Told for what the stores are asked, by whoever knows. */
export interface WorkMeter {
  /** Every request that `work` makes, also after it waited, counts for this; what is not said is as it was around it. */
  within<Result>(tag: WorkTag, work: () => Result): Result
  /** A topic was seen by this name. */
  named(topicId: TopicId, name: TopicName): void
}

/** Uniform in [0, 1); unpredictable enough for identities in production, seeded in tests. */
export type Random = () => number
