/**
 * The head: the one small item per partition that decides everything by compare-and-set, and the rules of each write to it.
 *
 *     hw        next offset = high watermark; what lies below is durable and readable (D1)
 *     start     log start offset; what lies below may be gone
 *     tail      chunk reference -> base offset, of the commits not yet rolled into rows; contiguous up to hw
 *     rolls     generation of the tail: how many rolls were done
 *     boundary  hw at the last roll; only entries below it may be rolled next
 *     producers recent idempotent producers; the others have an item of their own (never both)
 *     producerFloor  producer ids below it that are not known here may have been forgotten (P4)
 *     leaseEpoch, lease   see lease.ts
 *     minSegment     fence of the sweep: chunks of older segments can no longer be committed
 *     cleanedTo      key compaction came so far; absent where it never ran (K2, row.ts)
 *     isDeleted      the topic's deletion mark
 *
 * H1 exactly once: a reference committed at roll g stays in the tail while rolls is g or g + 1; a repeat arriving later saw
 *    at most g and is refused by `rolls <= seen + 1`. Three parts, all needed: the reference, the bound, the generation.
 * H2 the store assigns the base offset: the write that makes a record visible is the one that gives it its offset.
 * H3 hw, start, rolls, leaseEpoch, producerFloor, minSegment and cleanedTo never go back.
 *
 * `decideHead` is the rule. Adapters that cannot run it inside the store encode it as a condition; a property test holds the
 * encodings together.
 */
import { writeUnitBytes } from './cost.ts'
import type { Lease, LeaseClaim } from './lease.ts'
import type { Offset, ProducerKey, SegmentId, TopicId } from './names.ts'
import { producerIdOfKey } from './names.ts'
import type { ProducerClaim, ProducerState } from './producer.ts'
import { isSameProducerState, producerAfter } from './producer.ts'
import type { ChunkReference } from './reference.ts'
import { segmentOfReference } from './reference.ts'

export interface HeadKey {
  readonly topicId: TopicId
  readonly partition: number
}

export interface Head extends HeadKey {
  readonly hw: Offset
  readonly start: Offset
  readonly tail: Readonly<Record<ChunkReference, Offset>>
  readonly rolls: number
  readonly boundary: Offset
  readonly producers: Readonly<Record<ProducerKey, ProducerState>>
  readonly producerFloor: number
  readonly leaseEpoch: number
  readonly lease?: Lease
  readonly minSegment: SegmentId | ''
  /** K2. Absent where no pass has finished, so that such a head stays as small as it was. */
  readonly cleanedTo?: Offset
  readonly isDeleted: boolean
}

export function newHead(key: HeadKey): Head {
  return {
    topicId: key.topicId,
    partition: key.partition,
    hw: 0,
    start: 0,
    tail: {},
    rolls: 0,
    boundary: 0,
    producers: {},
    producerFloor: 0,
    leaseEpoch: 0,
    minSegment: '',
    isDeleted: false,
  }
}

/** Entries a tail may have; above, an append is refused until somebody rolled. Keeps the head's size, and so the price of every commit, bounded (D8). */
export const tailEntriesMax = 64
/** New entries since the last roll that make a writer roll: these, or as many as one write unit has room for. A tail swings between so many and twice as many. */
export const tailEntriesToRoll = { min: 6, max: 10, heavy: 8, retry: 8 } as const
/** Chunks one append command may carry: bounds the store's expression. */
export const chunksPerAppendMax = 8
/** Producers whose state the head itself holds. About 512 bytes with five batches each. */
export const headProducersMax = 4

export interface AppendChunk {
  readonly ref: ChunkReference
  /** Records in the chunk: how far it moves hw. At least 1. */
  readonly count: number
  readonly producer?: AppendProducer
}

export interface AppendProducer {
  readonly key: ProducerKey
  readonly claim: ProducerClaim
  /** `head`: the head holds the state, before (`seen`) or after this append. `item`: an item does, written in the same transaction; the head must not know the producer. */
  readonly home: 'head' | 'item'
  /** What the writer saw and judged. With home `head` undefined means not in the head: its item, or its absence, is checked in the same transaction and the state moves in. */
  readonly seen: ProducerState | undefined
  /** The state to move in, when it comes from an item. */
  readonly carried?: ProducerState
}

export interface AppendCommand {
  readonly kind: 'append'
  /** At least one; each producer at most once. */
  readonly chunks: readonly AppendChunk[]
  /** `rolls` of a head that the writer read before this attempt. */
  readonly seen: number
  /** The user's "append only if the end offset is x"; also what a transaction with producer items needs, since they store base offsets. */
  readonly expectedHw?: Offset
  /** Set when written as the exclusive leader. */
  readonly leaderEpoch?: number
  /**
   * Set by any other writer: the lease epoch of a head that it saw under no exclusive lease. A later epoch refuses the attempt
   * for good, so that an append which was answered with an exclusive leader's refusal can never commit afterwards (L4).
   */
  readonly leaseSeen?: number
}

/** Moves the oldest entries, which a row now holds, out of the tail. */
export interface RollCommand {
  readonly kind: 'roll'
  readonly generation: number
  readonly refs: readonly ChunkReference[]
}

/** Moves an idle producer's state out; its item is put in the same transaction. */
export interface EvictCommand {
  readonly kind: 'evict'
  readonly producer: ProducerKey
  readonly seen: ProducerState
}

/** Before producers are forgotten: unknown ids below the floor are refused from here on (P4). */
export interface ForgetCommand {
  readonly kind: 'forget'
  readonly producerFloor: number
}

/** Raises the log start offset. */
export interface TrimCommand {
  readonly kind: 'trim'
  readonly start: Offset
  /** Set by maintenance, which must lead; a user's delete-records leaves it out. */
  readonly leaderEpoch?: number
}

/** Raises the fence of the sweep. */
export interface FenceCommand {
  readonly kind: 'fence'
  readonly minSegment: SegmentId
}

/** A pass of key compaction is done: the rows below `to` are stamped (K2). */
export interface CleanCommand {
  readonly kind: 'clean'
  /** What the pass saw when it began, 0 for none: two passes do not both finish. */
  readonly from: Offset
  readonly to: Offset
  /**
   * The oldest segment that the pass wrote, empty for none. Below the fence it may have been swept before its row was put: something covered it then, which
   * would count no more (S3, K2).
   */
  readonly oldestSegment: SegmentId | ''
}

export interface MarkDeletedCommand {
  readonly kind: 'mark-deleted'
}

export interface LeaseCommand {
  readonly kind: 'lease'
  readonly claim: LeaseClaim
  /** `take` raises the epoch; `renew` and `release` need owner and epoch to be those of the claim. A lease stays exclusive, or not, as it was taken (L4). */
  readonly act: 'take' | 'renew' | 'release'
}

export type HeadCommand =
  | AppendCommand
  | RollCommand
  | EvictCommand
  | ForgetCommand
  | TrimCommand
  | FenceCommand
  | CleanCommand
  | MarkDeletedCommand
  | LeaseCommand

/** Why an append was refused, in the order in which it is judged. */
export type HeadRefusal =
  | { readonly reason: 'no-head' }
  /** The writer's own reference is there: an earlier attempt was the commit. */
  | { readonly reason: 'already-committed'; readonly ref: ChunkReference; readonly base: Offset }
  /** What the head remembers of a producer is not what the writer saw. */
  | { readonly reason: 'producer-changed'; readonly key: ProducerKey }
  | { readonly reason: 'deleted' }
  | { readonly reason: 'fenced-segment'; readonly minSegment: SegmentId }
  | { readonly reason: 'stale-leader'; readonly epoch: number }
  | { readonly reason: 'stale-generation'; readonly rolls: number }
  | { readonly reason: 'unexpected-offset'; readonly hw: Offset }
  | { readonly reason: 'tail-full' }
  /** For the other commands: what they wanted is done, or no longer applies. */
  | { readonly reason: 'superseded' }

export type HeadDecision =
  | { readonly ok: true; readonly next: Head }
  | { readonly ok: false; readonly refusal: HeadRefusal }

const refuse = (refusal: HeadRefusal): HeadDecision => ({ ok: false, refusal })
const accept = (next: Head): HeadDecision => ({ ok: true, next })

/** The one rule for every write to a head: a pure function, atomic in the store. */
export function decideHead(head: Head | undefined, command: HeadCommand): HeadDecision {
  if (head === undefined) return refuse({ reason: 'no-head' })
  switch (command.kind) {
    case 'append':
      return decideAppend(head, command)
    case 'roll': {
      if (head.rolls !== command.generation) return refuse({ reason: 'superseded' })
      const tail = { ...head.tail }
      for (const ref of command.refs) delete tail[ref]
      return accept({ ...head, tail, boundary: head.hw, rolls: head.rolls + 1 })
    }
    case 'evict': {
      if (!isSameProducerState(head.producers[command.producer], command.seen)) return refuse({ reason: 'superseded' })
      const producers = { ...head.producers }
      delete producers[command.producer]
      return accept({ ...head, producers })
    }
    case 'forget':
      if (command.producerFloor <= head.producerFloor) return refuse({ reason: 'superseded' })
      return accept({ ...head, producerFloor: command.producerFloor })
    case 'trim':
      if (head.isDeleted) return refuse({ reason: 'deleted' })
      if (command.leaderEpoch !== undefined && command.leaderEpoch !== head.leaseEpoch)
        return refuse({ reason: 'stale-leader', epoch: head.leaseEpoch })
      if (command.start <= head.start || command.start > head.hw) return refuse({ reason: 'superseded' })
      return accept({ ...head, start: command.start })
    case 'fence':
      if (command.minSegment <= head.minSegment) return refuse({ reason: 'superseded' })
      return accept({ ...head, minSegment: command.minSegment })
    case 'clean':
      if (head.isDeleted) return refuse({ reason: 'deleted' })
      if ((head.cleanedTo ?? 0) !== command.from || command.to <= command.from || command.to > head.hw)
        return refuse({ reason: 'superseded' })
      if (command.oldestSegment !== '' && head.minSegment !== '' && command.oldestSegment < head.minSegment)
        return refuse({ reason: 'fenced-segment', minSegment: head.minSegment })
      return accept({ ...head, cleanedTo: command.to })
    case 'mark-deleted':
      if (head.isDeleted) return refuse({ reason: 'deleted' })
      return accept({ ...head, isDeleted: true })
    case 'lease':
      return decideLease(head, command)
    default:
      return command satisfies never
  }
}

function decideAppend(head: Head, command: AppendCommand): HeadDecision {
  if (
    command.chunks.length === 0 ||
    command.chunks.length > chunksPerAppendMax ||
    command.chunks.some(({ count }) => !(count >= 1))
  )
    throw new Error(`an append of ${command.chunks.length} chunks, each of at least one record, cannot be asked for`)
  for (const chunk of command.chunks) {
    const base = head.tail[chunk.ref]
    if (base !== undefined) return refuse({ reason: 'already-committed', ref: chunk.ref, base })
  }
  let inHead = Object.keys(head.producers).length
  for (const { producer } of command.chunks) {
    if (producer === undefined) continue
    const known = head.producers[producer.key]
    const expected = producer.home === 'head' ? producer.seen : undefined
    if (!isSameProducerState(known, expected)) return refuse({ reason: 'producer-changed', key: producer.key })
    const id = producerIdOfKey(producer.key)
    const isFirstHere = producer.seen === undefined && producer.carried === undefined
    if (isFirstHere && id !== undefined && id < head.producerFloor)
      return refuse({ reason: 'producer-changed', key: producer.key })
    // Others moved in since the writer looked: no room any more (D8).
    if (producer.home === 'head' && known === undefined && ++inHead > headProducersMax)
      return refuse({ reason: 'producer-changed', key: producer.key })
  }
  if (head.isDeleted) return refuse({ reason: 'deleted' })
  for (const chunk of command.chunks)
    if (segmentOfReference(chunk.ref) < head.minSegment && head.minSegment !== '')
      return refuse({ reason: 'fenced-segment', minSegment: head.minSegment })
  const isLed = command.leaderEpoch === undefined && head.lease?.isExclusive === true
  if (isLed || (command.leaderEpoch ?? command.leaseSeen ?? head.leaseEpoch) !== head.leaseEpoch)
    return refuse({ reason: 'stale-leader', epoch: head.leaseEpoch })
  if (head.rolls > command.seen + 1) return refuse({ reason: 'stale-generation', rolls: head.rolls })
  if (command.expectedHw !== undefined && head.hw !== command.expectedHw)
    return refuse({ reason: 'unexpected-offset', hw: head.hw })
  if (Object.keys(head.tail).length + command.chunks.length > tailEntriesMax) return refuse({ reason: 'tail-full' })

  const tail: Record<ChunkReference, Offset> = { ...head.tail }
  const producers: Record<ProducerKey, ProducerState> = { ...head.producers }
  let hw = head.hw
  for (const { ref, count, producer } of command.chunks) {
    tail[ref] = hw
    if (producer?.home === 'head')
      producers[producer.key] = producerAfter(producer.seen ?? producer.carried, producer.claim, hw)
    hw += count
  }
  return accept({ ...head, hw, tail, producers })
}

function decideLease(head: Head, { claim, act }: LeaseCommand): HeadDecision {
  if (head.isDeleted) return refuse({ reason: 'deleted' })
  if (head.leaseEpoch !== claim.seenEpoch) return refuse({ reason: 'stale-leader', epoch: head.leaseEpoch })
  if (act === 'take') {
    const epoch = head.leaseEpoch + 1
    const { owner, untilMs, isExclusive } = claim
    return accept({ ...head, leaseEpoch: epoch, lease: { owner, epoch, untilMs, isExclusive } })
  }
  if (head.lease?.owner !== claim.owner || head.lease.epoch !== claim.seenEpoch)
    return refuse({ reason: 'stale-leader', epoch: head.leaseEpoch })
  const { lease: _released, ...rest } = head
  if (act === 'release') return accept(rest)
  return accept({ ...rest, lease: { ...head.lease, untilMs: claim.untilMs } })
}

export interface TailEntry {
  readonly ref: ChunkReference
  readonly base: Offset
  /** One past the last offset. */
  readonly end: Offset
}

/** The tail in offset order. Entries are contiguous: each ends where the next begins, the last at hw. */
export function tailEntries(head: Head): TailEntry[] {
  const sorted = (Object.entries(head.tail) as [ChunkReference, Offset][]).sort((a, b) => a[1] - b[1])
  return sorted.map(([ref, base], index) => ({ ref, base, end: sorted[index + 1]?.[1] ?? head.hw }))
}

/** Where the tail begins; everything below lies in rows. */
export function tailStart(head: Head): Offset {
  let first = head.hw
  for (const base of Object.values(head.tail) as Offset[]) if (base < first) first = base
  return first
}

/** The entries that the next roll may move: those committed before the last roll (H1 keeps the others a generation). */
export function rollableEntries(head: Head): TailEntry[] {
  return tailEntries(head).filter((entry) => entry.base < head.boundary)
}

/**
 * Is it time to roll?
 *
 * @param added entries that a commit just added: then only the commit that comes to the number rolls, and where its writer died, one that is
 * `retry` entries later. A roll takes as long as some commits, and each of these would begin another one. @default no matter who
 */
export function wantsRoll(head: Head, added = Number.POSITIVE_INFINITY): boolean {
  let fresh = 0
  for (const base of Object.values(head.tail) as Offset[]) if (base >= head.boundary) fresh++
  if (fresh < tailEntriesToRoll.min) return false
  const { retry } = tailEntriesToRoll
  const over = fresh - entriesToRoll(head)
  return over >= 0 && (over < added || Math.floor(over / retry) > Math.floor((over - added) / retry))
}

/**
 * A roll costs a row, an update of the head and later the row's deletion, so it is put off as long as twice the entries leave the head
 * within one write unit. A head that is heavy without them takes two in any case.
 */
function entriesToRoll(head: Head): number {
  let referenceLength = 0
  for (const ref in head.tail) referenceLength = Math.max(referenceLength, ref.length)
  const entryBytes = referenceLength + tailEntryBytes(head)
  const fit = Math.floor((writeUnitBytes - headBytesWithoutTail(head)) / (2 * entryBytes))
  const { min, max, heavy } = tailEntriesToRoll
  if (fit < min) return heavy
  // What came while the last roll was under way is there in addition, and as much will come again.
  let old = 0
  for (const base of Object.values(head.tail) as Offset[]) if (base < head.boundary) old++
  const most = Math.min(fit, max)
  return Math.max(min, most - Math.max(0, old - most))
}

/** Of an entry of the tail, beside its reference: a base offset, and what a map adds. */
export function tailEntryBytes({ hw }: Head): number {
  return numberBytes(hw) + 1
}

/** At least as much as the stored head has beside its tail, as DynamoDB counts it, and little more. */
export function headBytesWithoutTail(head: Head): number {
  const { partition, hw, start, boundary, rolls, producerFloor, leaseEpoch, cleanedTo, producers, lease } = head
  // Names, the key but for the partition, a fence.
  let bytes = 147 + `${partition}`.length
  for (const number of [hw, start, boundary, rolls, producerFloor, leaseEpoch]) bytes += numberBytes(number)
  if (cleanedTo !== undefined) bytes += 9 + numberBytes(cleanedTo)
  for (const key in producers) bytes += 2 * key.length + 20 + 22 * (producers[key as ProducerKey]?.batches.length ?? 0)
  return lease === undefined ? bytes : bytes + 55 + lease.owner.length
}

/** Two digits to a byte, and one more. */
function numberBytes(number: number): number {
  return 1 + Math.ceil(`${number}`.length / 2)
}
