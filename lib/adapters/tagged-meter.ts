/**
 * Counts requests to the stores by operation and topic: since the beginning, and minute by minute over the last hour. What a request
 * is made for follows its asynchronous context (`within`), so that nothing has to be handed from function to function.
 *
 * Bounded (D8): at most `topicsMax` topics are kept apart. When there is no room for another, those that were idle for an hour
 * become part of `otherTopics`, with what they had; where there are none, the new one counts there. Whoever reads first lets go of
 * topics that were idle for a day: deleted ones among them.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Metered, RequestKind } from '../core/cost.ts'
import { requestKinds } from '../core/cost.ts'
import type { EpochMs, TopicId, TopicName } from '../core/names.ts'
import type { PriceName } from '../core/prices.ts'
import type { Operation, UsageReport, UsedFor, WorkTag } from '../core/usage.ts'
import { otherTopics } from '../core/usage.ts'
import type { WorkMeter } from '../ports.ts'
import type { RequestCounter } from './metered.ts'

const minuteMs = 60_000
const minutesKept = 60
const idleMsForRoom = 60 * minuteMs
const idleMsToFade = 24 * 60 * minuteMs
/** As many as a log keeps in mind. */
const namesMax = 10_000

/** What the minutes hold of each: prices by name, then requests. */
const priced = ['s3Put', 's3Get', 's3Delete', 'dynamoDbWrite', 'dynamoDbRead'] as const satisfies readonly PriceName[]
const [putAt, getAt, deleteAt, writeAt, readAt, requestsAt, slots] = [0, 1, 2, 3, 4, 5, 6] as const
const slotOfKind: { readonly [Kind in RequestKind]?: number } = {
  'objects.create': putAt,
  'objects.list': putAt,
  'objects.read': getAt,
  'objects.delete': deleteAt,
}

type Counting = { -readonly [Name in keyof Metered]: Metered[Name] }

export interface TaggedMeterOptions {
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => EpochMs
  /** Topics that are kept apart. @default 200 */
  readonly topicsMax?: number
}

export class TaggedMeter implements RequestCounter, WorkMeter {
  readonly #context = new AsyncLocalStorage<WorkTag>()
  readonly #now: () => EpochMs
  readonly #topicsMax: number
  readonly #names = new Map<TopicId, TopicName>()
  #topics = new Map<TopicId | '', TopicCounts>()
  #sinceMs: EpochMs
  /** When room was last looked for. */
  #lookedMs = Number.NEGATIVE_INFINITY

  constructor({ now = Date.now, topicsMax = 200 }: TaggedMeterOptions = {}) {
    this.#now = now
    this.#topicsMax = topicsMax
    this.#sinceMs = now()
  }

  within<Result>(tag: WorkTag, work: () => Result): Result {
    const around = this.#context.getStore()
    return this.#context.run(around === undefined ? tag : { ...around, ...tag }, work)
  }

  named(topicId: TopicId, name: TopicName): void {
    if (this.#names.has(topicId)) return
    this.#names.set(topicId, name)
    if (this.#names.size > namesMax) for (const oldest of this.#names.keys()) return void this.#names.delete(oldest)
  }

  /** Undefined where this process has not met it by name. */
  nameOf(topicId: TopicId): TopicName | undefined {
    return this.#names.get(topicId)
  }

  /** Is the topic kept apart from the others by now? */
  isApart(topicId: TopicId): boolean {
    return this.#topics.has(topicId)
  }

  count(kind: RequestKind, counted: Partial<Metered> = { requests: 1 }, topicId?: TopicId): void {
    const tag = this.#context.getStore()
    const operation = tag?.operation ?? 'other'
    const nowMs = this.#now()
    const own = topicId ?? tag?.topicId
    if (own === undefined && tag?.shares !== undefined)
      for (const share of tag.shares)
        this.#topicOf(share.topicId, nowMs).add(operation, kind, counted, share.part, nowMs)
    else this.#topicOf(own ?? '', nowMs).add(operation, kind, counted, 1, nowMs)
  }

  /** Nothing was counted since it began. */
  get isEmpty(): boolean {
    return this.#topics.size === 0
  }

  read(): UsageReport {
    const nowMs = this.#now()
    this.#fold(idleMsToFade, nowMs)
    const firstMinute = minuteOf(nowMs) - minutesKept + 1
    const used: UsedFor[] = []
    for (const [topicId, topic] of this.#topics)
      for (const [operation, counts] of topic.operations) {
        const [recent, recentRequests] = counts.recent(minuteOf(nowMs))
        used.push({ operation, topicId, total: copyOf(counts.total), recent, recentRequests })
      }
    return {
      sinceMs: this.#sinceMs,
      untilMs: nowMs,
      windowMs: Math.max(0, nowMs - Math.max(this.#sinceMs, firstMinute * minuteMs)),
      used,
    }
  }

  /** The same, and begins anew: for one who tells what came since the last time. */
  take(): UsageReport {
    const report = this.read()
    this.#topics = new Map()
    this.#sinceMs = report.untilMs
    return report
  }

  #topicOf(id: TopicId | '', nowMs: EpochMs): TopicCounts {
    const present = this.#topics.get(id)
    if (present !== undefined) return present
    // What belongs to no topic, and to all the others, is not one of them.
    if (id !== '' && id !== otherTopics && !this.#hasRoom(nowMs)) return this.#topicOf(otherTopics, nowMs)
    const topic = new TopicCounts(nowMs)
    this.#topics.set(id, topic)
    return topic
  }

  /** Looks for topics to let go of once a minute at most. */
  #hasRoom(nowMs: EpochMs): boolean {
    const isFull = () =>
      this.#topics.size - Number(this.#topics.has('')) - Number(this.#topics.has(otherTopics)) >= this.#topicsMax
    if (!isFull()) return true
    if (nowMs - this.#lookedMs < minuteMs) return false
    this.#lookedMs = nowMs
    this.#fold(idleMsForRoom, nowMs)
    return !isFull()
  }

  /** Makes topics that were idle for so long part of the others. */
  #fold(idleMs: number, nowMs: EpochMs): void {
    for (const [id, topic] of this.#topics) {
      if (id === '' || id === otherTopics || nowMs - topic.usedMs < idleMs) continue
      this.#topics.delete(id)
      this.#names.delete(id)
      // Of the last hour it has nothing.
      const others = this.#topicOf(otherTopics, nowMs)
      for (const [operation, { total }] of topic.operations)
        for (const kind of requestKinds) {
          const counted = total[kind]
          if (counted !== undefined) others.of(operation, nowMs).addTotal(kind, counted, 1)
        }
    }
  }
}

class TopicCounts {
  readonly operations = new Map<Operation, Counts>()
  usedMs: EpochMs

  constructor(nowMs: EpochMs) {
    this.usedMs = nowMs
  }

  of(operation: Operation, nowMs: EpochMs): Counts {
    let counts = this.operations.get(operation)
    if (counts === undefined) {
      counts = new Counts(minuteOf(nowMs))
      this.operations.set(operation, counts)
    }
    return counts
  }

  add(operation: Operation, kind: RequestKind, counted: Partial<Metered>, part: number, nowMs: EpochMs): void {
    this.usedMs = nowMs
    const counts = this.of(operation, nowMs)
    counts.addTotal(kind, counted, part)
    counts.addRecent(kind, counted, part, minuteOf(nowMs))
  }
}

class Counts {
  readonly total: { [Kind in RequestKind]?: Counting } = {}
  /** A ring of minutes, made when it is first written. */
  #minutes: Float64Array | undefined
  #minute: number

  constructor(minute: number) {
    this.#minute = minute
  }

  addTotal(kind: RequestKind, counted: Partial<Metered>, part: number): void {
    this.total[kind] ??= { requests: 0, bytes: 0, writeUnits: 0, readUnits: 0 }
    const sofar = this.total[kind]
    sofar.requests += (counted.requests ?? 0) * part
    sofar.bytes += (counted.bytes ?? 0) * part
    sofar.writeUnits += (counted.writeUnits ?? 0) * part
    sofar.readUnits += (counted.readUnits ?? 0) * part
  }

  addRecent(kind: RequestKind, counted: Partial<Metered>, part: number, minute: number): void {
    const minutes = this.#turnTo(minute)
    const at = (minute % minutesKept) * slots
    const { requests = 0, writeUnits = 0, readUnits = 0 } = counted
    const slot = slotOfKind[kind]
    if (slot !== undefined) minutes[at + slot]! += requests * part
    minutes[at + requestsAt]! += requests * part
    minutes[at + writeAt]! += writeUnits * part
    minutes[at + readAt]! += readUnits * part
  }

  recent(minute: number): [UsedFor['recent'], requests: number] {
    const minutes = this.#turnTo(minute)
    const sums = new Float64Array(slots)
    for (let at = 0; at < minutes.length; at++) sums[at % slots]! += minutes[at]!
    return [Object.fromEntries(priced.map((name, slot) => [name, sums[slot]!])), sums[requestsAt]!]
  }

  /** The ring, without what is older than it holds. */
  #turnTo(minute: number): Float64Array {
    this.#minutes ??= new Float64Array(minutesKept * slots)
    // A clock that was set back writes into a minute that is there.
    for (let passed = 1; passed <= Math.min(minute - this.#minute, minutesKept); passed++) {
      const at = ((minute - passed + 1) % minutesKept) * slots
      this.#minutes.fill(0, at, at + slots)
    }
    this.#minute = Math.max(this.#minute, minute)
    return this.#minutes
  }
}

function copyOf(total: Counts['total']): Counts['total'] {
  return Object.fromEntries(Object.entries(total).map(([kind, counted]) => [kind, { ...counted }]))
}

function minuteOf(nowMs: EpochMs): number {
  return Math.floor(nowMs / minuteMs)
}
