/**
 * The batches of one partition on their way to the server: what may be sent now, under which sequence, and what an answer
 * means for it and for those behind it. Pure bookkeeping; producer-lane.ts does what the steps say.
 *
 *     pending  --take a sequence-->  flight: sent <--> waiting  --acknowledged, refused, given up-->  gone
 *        ^                                       |
 *        +------------- another session ---------+
 *
 * A session is a producer id and epoch whose sequence begins at 0 in this partition; the partition accepts its batches only
 * in that order (P1, lib/core/producer.ts). From that follows:
 *
 * W1 A flight is sent again with the same bytes and only while all before it are on their way: order is kept.
 * W2 Whether a flight was written is in doubt from the first attempt whose outcome is unknown. A flight in doubt never gets
 *    another sequence; it is acknowledged, or given up with `mayBeWritten`.
 * W3 A flight that was certainly not written dooms those behind it: the partition takes none of them in this session. They,
 *    and it, may go on in another session.
 * W4 From the oldest unresolved flight on there are at most `inFlightMax` (5 or fewer), those that were acknowledged meanwhile
 *    included: the partition remembers its last five batches, so it still knows each that may be repeated (P2).
 * W5 Another session has a higher epoch or another id, so that late copies of the old one are fenced once it has begun (P3).
 */
import { producerEpochMax, sequenceAfter } from '../core/producer.ts'

export interface WindowBatch {
  readonly recordCount: number
  /** When it is given up. */
  readonly deadlineMs: number
}

export interface Stamp {
  readonly producerId: number
  readonly epoch: number
  /** Of the first record. */
  readonly sequence: number
}

/** A batch with its sequence. The stamp never changes; without idempotence there is none. */
export interface Flight<Batch extends WindowBatch> {
  readonly batch: Batch
  readonly stamp: Stamp | undefined
}

interface Tracked<Batch extends WindowBatch> extends Flight<Batch> {
  /** Counts the flights of the window. */
  readonly number: number
  state: 'sent' | 'waiting'
  /** Waiting: not before this time, or (gap) not before another has left. */
  notBeforeMs: number
  isBlocked: boolean
  /** The present attempt began with nothing before it unresolved. */
  isSentAsHead: boolean
  /** W2 */
  mayBeWritten: boolean
  /** W3 */
  isDoomed: boolean
  attempts: number
  deadlineMs: number
}

export type Step<Batch extends WindowBatch> =
  /** Send it, then say `answered`. */
  | { readonly kind: 'send'; readonly flight: Flight<Batch>; readonly isRepeat: boolean }
  /** It is gone: fail its records. `lost-sequence`: the partition lost track of the producer while its outcome was unknown. */
  | {
      readonly kind: 'give-up'
      readonly batch: Batch
      readonly mayBeWritten: boolean
      readonly why: 'deadline' | 'lost-sequence'
    }
  /** Get a producer id, another than `notId`; then say `begin` or `beginFailed`. */
  | { readonly kind: 'begin'; readonly notId: number | undefined }
  /** Nothing to do before that time (Infinity: before an answer or a new batch). */
  | { readonly kind: 'wait'; readonly untilMs: number }

export type Outcome<Batch extends WindowBatch> =
  /** Written, now or before. */
  | { readonly kind: 'acked' }
  /** Not written by this attempt, and no other would help. */
  | { readonly kind: 'refused' }
  /** Too large, but its parts may pass. */
  | { readonly kind: 'split'; readonly parts: readonly Batch[] }
  /** Try again. `possible`: this attempt may have written it. */
  | { readonly kind: 'again'; readonly effects: 'none' | 'possible'; readonly delayMs: number }
  /** OUT_OF_ORDER_SEQUENCE_NUMBER: not written; one before it is missing. */
  | { readonly kind: 'gap' }
  /** UNKNOWN_PRODUCER_ID: not written; the partition does not know the producer (any more). */
  | { readonly kind: 'unknown-producer' }

/** `isFinal`: the flight is gone, and its records are to be settled; in doubt as `mayBeWritten` says. */
export interface Verdict {
  readonly isFinal: boolean
  readonly mayBeWritten: boolean
}

interface Session {
  readonly producerId: number
  readonly epoch: number
  nextSequence: number
  /** A sequence in it may be missing for ever: nothing new is sent in it. */
  isBroken: boolean
}

export interface SendWindowOptions {
  readonly isIdempotent: boolean
  readonly inFlightMax: number
  /** Attempts after the first that a batch gets. @default no limit but the deadline */
  readonly retriesMax?: number
  /** Pause before the n-th new session in a row (from 1) that acknowledged nothing. */
  readonly sessionDelayMs: (count: number) => number
}

export class SendWindow<Batch extends WindowBatch> {
  readonly #options: SendWindowOptions
  #pending: Batch[] = []
  #flights: Tracked<Batch>[] = []
  #nextNumber = 0
  #session: Session | undefined
  #isBeginning = false
  /** The session is over; nothing is sent until all attempts were answered and the next one can begin. */
  #isResetting = false
  #needsOtherId = false
  #notId: number | undefined
  #sessionsSinceAck = 0
  #resumeMs = 0

  constructor(options: SendWindowOptions) {
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#pending.length === 0 && this.#flights.length === 0
  }

  /** Would a batch that is added now be sent now? Until then it may as well grow. */
  get hasRoom(): boolean {
    return this.#pending.length === 0 && this.#isOpen
  }

  /** W4 */
  get #isOpen(): boolean {
    const [oldest] = this.#flights
    return oldest === undefined || this.#nextNumber - oldest.number < this.#options.inFlightMax
  }

  add(batch: Batch): void {
    this.#pending.push(batch)
  }

  /** Everything that is left, in order, for failing it; the window is empty afterwards. */
  drain(): { batch: Batch; mayBeWritten: boolean }[] {
    const left = [
      ...this.#flights.map((flight) => ({ batch: flight.batch, mayBeWritten: isInDoubt(flight) })),
      ...this.#pending.map((batch) => ({ batch, mayBeWritten: false })),
    ]
    this.#flights = []
    this.#pending = []
    return left
  }

  /** What to do now. Ask again after doing it, until it says `wait`. */
  next(nowMs: number): Step<Batch> {
    const expired = this.#expire(nowMs)
    if (expired !== undefined) return expired
    if (this.#session?.isBroken && this.#flights.length === 0) this.#isResetting = true
    if (this.#isResetting) {
      if (this.#flights.some((flight) => flight.state === 'sent')) return this.#wait(nowMs)
      const lost = this.#reset(nowMs)
      if (lost !== undefined) return lost
    }
    return this.#resend(nowMs) ?? this.#sendNew(nowMs) ?? this.#wait(nowMs)
  }

  /** A producer of one's own; its sequence begins at 0 here. */
  begin(producerId: number, epoch: number): void {
    this.#isBeginning = false
    this.#needsOtherId = false
    this.#session = { producerId, epoch, nextSequence: 0, isBroken: false }
  }

  beginFailed(resumeMs: number): void {
    this.#isBeginning = false
    this.#resumeMs = resumeMs
  }

  /** What became of the present attempt of a flight. */
  answered(flight: Flight<Batch>, outcome: Outcome<Batch>, nowMs: number): Verdict {
    const tracked = flight as Tracked<Batch>
    const index = this.#flights.indexOf(tracked)
    if (index < 0) return { isFinal: false, mayBeWritten: false }
    tracked.state = 'waiting'
    switch (outcome.kind) {
      case 'acked':
        this.#sessionsSinceAck = 0
        this.#remove(index)
        return { isFinal: true, mayBeWritten: false }
      case 'refused':
        this.#lose(index)
        return { isFinal: true, mayBeWritten: isInDoubt(tracked) }
      case 'split':
        return this.#split(index, tracked, outcome.parts)
      case 'again':
        return this.#again(index, tracked, outcome.effects, nowMs + outcome.delayMs, nowMs)
      case 'gap':
        if (index === 0 && tracked.isSentAsHead) this.#breakSession()
        else tracked.isBlocked = index > 0
        return { isFinal: false, mayBeWritten: false }
      case 'unknown-producer':
        this.#breakSession()
        this.#needsOtherId = true
        return { isFinal: false, mayBeWritten: false }
      default:
        return outcome satisfies never
    }
  }

  #again(
    index: number,
    flight: Tracked<Batch>,
    effects: 'none' | 'possible',
    notBeforeMs: number,
    nowMs: number,
  ): Verdict {
    if (effects === 'possible') flight.mayBeWritten = true
    if (!this.#options.isIdempotent && flight.mayBeWritten) {
      // Nobody would recognize the repeat: it would be another append (D4).
      this.#remove(index)
      return { isFinal: true, mayBeWritten: true }
    }
    flight.attempts++
    flight.notBeforeMs = notBeforeMs
    if (flight.attempts > (this.#options.retriesMax ?? Number.POSITIVE_INFINITY)) flight.deadlineMs = nowMs
    return { isFinal: false, mayBeWritten: false }
  }

  #split(index: number, flight: Tracked<Batch>, parts: readonly Batch[]): Verdict {
    if (isInDoubt(flight)) {
      this.#lose(index)
      return { isFinal: true, mayBeWritten: true }
    }
    if (!this.#options.isIdempotent) {
      this.#remove(index)
      this.#pending.unshift(...parts)
      return { isFinal: false, mayBeWritten: false }
    }
    // The parts take its place and its certainty; with all behind it they go on in another session (W3).
    const stand = parts.map((batch) => ({ ...flight, batch, isDoomed: true }))
    for (const behind of this.#flights.slice(index + 1)) behind.isDoomed = true
    this.#flights.splice(index, 1, ...stand)
    this.#breakSession()
    return { isFinal: false, mayBeWritten: false }
  }

  #breakSession(): void {
    if (this.#session !== undefined) this.#session.isBroken = true
    this.#isResetting = true
  }

  /** A flight leaves unacknowledged: its sequence is missing, perhaps for ever (in doubt) or certainly (W3). */
  #lose(index: number): void {
    const flight = this.#flights[index]!
    if (this.#options.isIdempotent) {
      if (this.#session !== undefined) this.#session.isBroken = true
      if (!isInDoubt(flight)) {
        for (const behind of this.#flights.slice(index + 1)) behind.isDoomed = true
        this.#isResetting = true
      }
    }
    this.#remove(index)
  }

  #remove(index: number): void {
    this.#flights.splice(index, 1)
    // Somebody's missing predecessor may have been this one.
    for (const flight of this.#flights) flight.isBlocked = false
  }

  /** Attempts under way end by their own time limit, so that their outcome is known or known to be unknown. */
  #expire(nowMs: number): Step<Batch> | undefined {
    for (const [index, flight] of this.#flights.entries()) {
      if (flight.state === 'sent' || flight.deadlineMs > nowMs) continue
      const mayBeWritten = isInDoubt(flight)
      this.#lose(index)
      return { kind: 'give-up', batch: flight.batch, mayBeWritten, why: 'deadline' }
    }
    const first = this.#pending[0]
    if (first === undefined || first.deadlineMs > nowMs) return undefined
    this.#pending.shift()
    return { kind: 'give-up', batch: first, mayBeWritten: false, why: 'deadline' }
  }

  /** Precondition: no attempt is under way. Flights in doubt are given up (W2), the others wait for the next session (W3). */
  #reset(nowMs: number): Step<Batch> | undefined {
    const first = this.#flights[0]
    if (first !== undefined && isInDoubt(first)) {
      this.#flights.shift()
      return { kind: 'give-up', batch: first.batch, mayBeWritten: true, why: 'lost-sequence' }
    }
    this.#pending.unshift(...this.#flights.map((flight) => flight.batch))
    this.#flights = []
    this.#isResetting = false
    const session = this.#session
    this.#session = undefined
    this.#sessionsSinceAck++
    if (this.#sessionsSinceAck > 1) this.#resumeMs = nowMs + this.#options.sessionDelayMs(this.#sessionsSinceAck - 1)
    if (session === undefined) return undefined
    if (this.#needsOtherId || session.epoch >= producerEpochMax) this.#notId = session.producerId
    else this.#session = { ...session, epoch: session.epoch + 1, nextSequence: 0, isBroken: false } // W5
    return undefined
  }

  #resend(nowMs: number): Step<Batch> | undefined {
    for (const [index, flight] of this.#flights.entries()) {
      if (flight.state === 'sent') continue
      if (flight.isBlocked || flight.notBeforeMs > nowMs) return this.#wait(nowMs)
      flight.state = 'sent'
      flight.isSentAsHead = index === 0
      return { kind: 'send', flight, isRepeat: true }
    }
    return undefined
  }

  #sendNew(nowMs: number): Step<Batch> | undefined {
    const batch = this.#pending[0]
    if (batch === undefined || !this.#isOpen) return undefined
    if (this.#session?.isBroken || this.#isBeginning || this.#resumeMs > nowMs) return undefined
    let stamp: Stamp | undefined
    if (this.#options.isIdempotent) {
      const session = this.#session
      if (session === undefined) {
        this.#isBeginning = true
        return { kind: 'begin', notId: this.#notId }
      }
      stamp = { producerId: session.producerId, epoch: session.epoch, sequence: session.nextSequence }
      session.nextSequence = sequenceAfter(session.nextSequence, batch.recordCount)
    }
    this.#pending.shift()
    const flight: Tracked<Batch> = {
      number: this.#nextNumber++,
      batch,
      stamp,
      state: 'sent',
      notBeforeMs: 0,
      isBlocked: false,
      isSentAsHead: this.#flights.length === 0,
      mayBeWritten: false,
      isDoomed: false,
      attempts: 0,
      deadlineMs: batch.deadlineMs,
    }
    this.#flights.push(flight)
    return { kind: 'send', flight, isRepeat: false }
  }

  /** Precondition: nothing can be done now. */
  #wait(nowMs: number): Step<Batch> {
    let untilMs = this.#pending[0]?.deadlineMs ?? Number.POSITIVE_INFINITY
    let isFirst = true
    for (const flight of this.#flights) {
      if (flight.state === 'sent') continue
      untilMs = Math.min(untilMs, flight.deadlineMs)
      if (isFirst && !flight.isBlocked && !this.#isResetting) untilMs = Math.min(untilMs, flight.notBeforeMs)
      isFirst = false
    }
    if (this.#pending.length > 0 && this.#resumeMs > nowMs) untilMs = Math.min(untilMs, this.#resumeMs)
    return { kind: 'wait', untilMs }
  }
}

function isInDoubt(flight: Tracked<WindowBatch>): boolean {
  return flight.mayBeWritten && !flight.isDoomed
}
