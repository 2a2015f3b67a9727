/**
 * What a consumer holds: its partitions, where it is in each, and the records that were fetched and not yet handed out.
 *
 *     committed <= processed <= position <= next
 *
 *     next        where the next fetch begins: behind everything that was fetched
 *     position    of the next record to be handed out
 *     processed   of the first record that is not known to be processed: what is committed
 *     committed   what the group knows
 *
 * After a seek backwards, or forwards, processed and committed are what they are: the next commit is of the new position.
 *
 * M1 A record is handed out only by who holds its partition; what was fetched before the partition was let go of, lost, paused
 *    or sought is never handed out (`turn`).
 * M2 `processed` moves only over records that were handed out.
 */
import type { AssignedText, PartitionText } from '../core/poll-frame.ts'
import type { LogRecord } from '../core/record-batch.ts'
import { type HoldingText, keyOf, type PolledRecords } from './group-calls.ts'

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** A record with where it was read. Its bytes share a buffer with those of its neighbours: copy what is kept for long. */
export interface ConsumedRecord extends LogRecord {
  readonly topic: string
  readonly partition: number
}

export class HeldPartition {
  readonly topic: string
  readonly topicId: string
  readonly partition: number
  readonly claim: string
  /** Of what was committed last, by whoever did it. */
  readonly metadata: string
  /** The end of the partition to begin at: where that is, the server says, as it refuses what is out of range with the range. */
  sought: 'earliest' | 'latest' | undefined
  next: number
  position: number | undefined
  processed: number | undefined
  committed: number | undefined
  highWatermark: number | undefined
  isPaused = false
  /** To be let go of: nothing is read any more. */
  isRevoked = false
  /** Its topic was deleted, as far as the server knows. The group will say that it is lost. */
  isMissing = false
  /** Raised whenever what was fetched, or is being fetched, is no longer wanted (M1). */
  turn = 0

  /** @param beginning where nothing was committed */
  constructor(assigned: AssignedText, beginning: 'earliest' | 'latest') {
    const { topic, topic_id, partition, claim, offset, metadata = '' } = assigned
    this.topic = topic
    this.topicId = topic_id
    this.partition = partition
    this.claim = claim
    this.metadata = metadata
    this.committed = offset
    this.position = offset
    this.processed = offset
    this.next = offset ?? 0
    if (offset === undefined) this.seekEnd(beginning)
  }

  get key(): string {
    return `${this.topicId}/${this.partition}`
  }

  get isWanted(): boolean {
    return !this.isPaused && !this.isRevoked && !this.isMissing
  }

  /** Something was processed that the group does not know of. */
  get isDirty(): boolean {
    return this.processed !== undefined && this.processed !== this.committed
  }

  /** From here on, whatever was fetched. */
  moveTo(offset: number): void {
    this.turn++
    this.sought = undefined
    this.next = offset
    this.position = offset
    this.processed = offset
  }

  /** From an end on. */
  seekEnd(end: 'earliest' | 'latest'): void {
    this.turn++
    this.sought = end
    this.next = end === 'earliest' ? 0 : Number.MAX_SAFE_INTEGER
    this.position = undefined
    this.processed = undefined
  }

  /** The sought end is here. */
  settle(offset: number): void {
    const { sought } = this
    this.moveTo(offset)
    // Who comes next finds the beginning by itself. The end is another by then: what lies between must not be skipped.
    if (sought === 'earliest' && this.committed === undefined) this.committed = offset
  }

  /** What was fetched and not handed out is fetched again. */
  refetch(): void {
    this.turn++
    if (this.position !== undefined) this.next = this.position
  }
}

interface Page {
  readonly held: HeldPartition
  readonly turn: number
  readonly records: readonly LogRecord[]
  readonly nextOffset: number
  at: number
}

export class HeldPartitions {
  readonly #held = new Map<string, HeldPartition>()
  #pages: Page[] = []

  get size(): number {
    return this.#held.size
  }

  all(): HeldPartition[] {
    return [...this.#held.values()]
  }

  get(partition: Pick<PartitionText, 'topic_id' | 'partition'>): HeldPartition | undefined {
    return this.#held.get(keyOf(partition))
  }

  /** By its name, as users say it: what stays before what is being let go of. */
  find({ topic, partition }: TopicPartition): HeldPartition | undefined {
    let found: HeldPartition | undefined
    for (const held of this.#held.values())
      if (held.partition === partition && held.topic === topic && (found === undefined || found.isRevoked)) found = held
    return found
  }

  add(held: HeldPartition): void {
    this.#held.set(held.key, held)
  }

  /** Forgets the partition and what was fetched of it (M1). */
  drop(held: HeldPartition): void {
    held.turn++
    if (this.#held.get(held.key) === held) this.#held.delete(held.key)
  }

  has(held: HeldPartition): boolean {
    return this.#held.get(held.key) === held
  }

  /** As a heartbeat and a poll say it. */
  holding(): HoldingText[] {
    return this.all().map((held) => ({
      topic: held.topic,
      topic_id: held.topicId,
      partition: held.partition,
      claim: held.claim,
      ...(held.isWanted ? { offset: held.next } : {}),
    }))
  }

  /** Takes in what was fetched, if it is still wanted: `turn` is that of the request. */
  accept(polled: PolledRecords, turn: number): void {
    const held = this.get(polled)
    if (held === undefined || held.turn !== turn) return
    if (held.sought !== undefined) held.settle(held.next)
    held.highWatermark = polled.highWatermark
    held.next = polled.nextOffset
    if (polled.records.length > 0)
      this.#pages.push({ held, turn: held.turn, records: polled.records, nextOffset: polled.nextOffset, at: 0 })
    // Nothing but control records, or what compaction left: who has handed out everything before goes on behind it.
    else if (
      !this.#pages.some((page) => page.held === held && page.turn === held.turn && page.at < page.records.length)
    )
      this.#pass(held, polled.nextOffset)
  }

  #pass(held: HeldPartition, nextOffset: number): void {
    if (held.processed === held.position) held.processed = nextOffset
    held.position = nextOffset
  }

  hasRecords(): boolean {
    return this.#page() !== undefined
  }

  /** The next record, and whose it is; the position moves behind it. */
  take(): { readonly record: ConsumedRecord; readonly held: HeldPartition } | undefined {
    const page = this.#page()
    const record = page?.records[page.at]
    if (page === undefined || record === undefined) return undefined
    const { held } = page
    page.at++
    // Behind the last record the answer knows more: compaction may have left nothing up to its next offset.
    held.position = page.at === page.records.length ? page.nextOffset : record.offset + 1
    return { record: { ...record, topic: held.topic, partition: held.partition }, held }
  }

  /** The first page that has a record to hand out. */
  #page(): Page | undefined {
    for (let at = 0; at < this.#pages.length; at++) {
      const page = this.#pages[at]!
      if (page.at < page.records.length && page.turn === page.held.turn) {
        if (at > 0) this.#pages = this.#pages.slice(at)
        return page
      }
    }
    this.#pages = []
    return undefined
  }
}
