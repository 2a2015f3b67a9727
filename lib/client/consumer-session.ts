/**
 * A consumer's membership: who it is in its group, what the group said last, and the requests that speak for it.
 *
 * M3 One request at a time speaks for the membership (join, poll, heartbeat, leave), so that what the member says it holds, and
 *    what it is told, come in one order.
 * M4 What the group says (`news`) is kept until the user waits in an ask, and carried out there: never under a record that is
 *    being processed. Until then heartbeats say the epoch before it and everything that is held, so that nothing is let go of
 *    behind the user's back, and the group says it again.
 */
import type { MembershipText } from '../core/poll-frame.ts'
import type { ConsumerOptions } from './consumer-options.ts'
import type { HeldPartitions } from './consumer-partitions.ts'
import { asHighwaterError, type HighwaterError } from './error.ts'
import { type GroupCalls, type JoinBody, type Polled, untilAnswered } from './group-calls.ts'
import type { Transport } from './transport.ts'

/** How long the last words of a consumer are repeated, where the client is not told less: the commit before a partition is let go of, and leaving. */
const lastWordsMsMax = 10_000
/** A server that answers "nothing" at once is not asked again at once. */
const emptyPauseMsMin = 50
const emptyPauseMsMax = 1_000
const heartbeatIntervalMsDefault = 3_000
const sessionTimeoutMsDefault = 45_000

export interface Fetched {
  readonly polled: Polled
  /** Of each partition when it was asked for. */
  readonly turns: ReadonlyMap<string, number>
  /** Which request this answers. */
  readonly request: number
  /** Answered long before `waitMs`. */
  readonly isEarly: boolean
}

export class ConsumerSession {
  /** Undefined: no member. */
  memberId: string | undefined
  /** What the member knows of the group; 0: it wants to be told everything. */
  epoch = 0
  /** What the group said last and is not carried out yet (M4). */
  news: MembershipText | undefined
  /** Evicted, or left because the loop took too long: everything is lost. */
  isGone = false
  /** The next poll's records as JSON: there were some that this platform cannot decompress. */
  isPlain = false
  heartbeatIntervalMs = heartbeatIntervalMsDefault
  readonly stopped: AbortSignal
  readonly lastWordsMs: number

  readonly #transport: Transport
  readonly #calls: GroupCalls
  readonly #held: HeldPartitions
  readonly #options: ConsumerOptions
  readonly #stop = new AbortController()
  readonly #waitMs: number
  readonly #idlePauseMs: number
  /** Of a joining that was not answered yet: its repeat has the same id. */
  #joiningId: string | undefined
  #wire: Promise<unknown> = Promise.resolve()
  #onWire = 0
  /** Requests sent, and the one whose answer was heard last. */
  #requests = 0
  #heard = 0
  #wake = new AbortController()
  /** Pause before the next poll. */
  #idleMs = 0
  #contactMs = 0
  #isAsked = false
  #askedMs = 0
  #stopTicking: (() => void) | undefined
  readonly #onTick: () => void

  /** @param onTick called from time to time while the user's code is at work */
  constructor(
    transport: Transport,
    calls: GroupCalls,
    held: HeldPartitions,
    options: ConsumerOptions,
    onTick: () => void,
  ) {
    this.#transport = transport
    this.#calls = calls
    this.#held = held
    this.#options = options
    this.#onTick = onTick
    this.stopped = this.#stop.signal
    this.lastWordsMs = Math.min(lastWordsMsMax, transport.options.retryTimeoutMs)
    this.#waitMs = options.waitMs ?? 20_000
    const pauseMs = options.idlePauseMs ?? (this.#waitMs > 0 ? 0 : 1_000)
    this.#idlePauseMs = Math.min(pauseMs, (options.sessionTimeoutMs ?? sessionTimeoutMsDefault) / 3)
  }

  /** Whether the user waits in an ask, or is at work with what it was given. */
  set isAsked(isAsked: boolean) {
    this.#isAsked = isAsked
    this.#askedMs = this.#transport.timing.now()
  }

  get isAsked(): boolean {
    return this.#isAsked
  }

  async join(): Promise<void> {
    const { topics, pattern, instanceId, clientId, assignor, sessionTimeoutMs, maxPollIntervalMs } = this.#options
    this.#joiningId ??= this.#newMemberId()
    const body: JoinBody = {
      member_id: this.#joiningId,
      ...(topics === undefined ? {} : { topics }),
      ...(pattern === undefined ? {} : { topic_pattern: pattern }),
      ...(instanceId === undefined ? {} : { instance_id: instanceId }),
      ...(clientId === undefined ? {} : { client_id: clientId }),
      ...(assignor === undefined ? {} : { assignor }),
      ...(sessionTimeoutMs === undefined ? {} : { session_timeout_ms: sessionTimeoutMs }),
      ...(maxPollIntervalMs === undefined ? {} : { rebalance_timeout_ms: maxPollIntervalMs }),
    }
    try {
      const news = await this.#exclusively(() => this.#calls.join(body, this.stopped))
      this.hear(news, this.#requests)
    } catch (error) {
      // Evicted between a joining and its repeat.
      if (isEviction(asHighwaterError(error, 'Joining'))) this.#joiningId = undefined
      throw error
    }
    this.memberId = this.#joiningId
    this.#joiningId = undefined
    this.#tick()
  }

  /** Polls, once everything before it on the wire is answered. */
  fetch(): Promise<Fetched> {
    const { bytesMax = 1_048_576, bytesMin, decompressedBytesMax = 268_435_456 } = this.#options
    const { timing } = this.#transport
    // From now on an interruption counts, also while this waits for its turn.
    if (this.#wake.signal.aborted && !this.stopped.aborted) this.#wake = new AbortController()
    if (this.#options.signal?.aborted) this.#wake.abort()
    const { signal } = this.#wake
    return this.#exclusively(async () => {
      if (this.#idleMs > 0) await this.#transport.sleep(this.#idleMs, signal)
      const startedMs = timing.now()
      const request = this.#requests
      const turns = new Map(this.#held.all().map((held) => [held.key, held.turn]))
      const polled = await this.#calls.poll(this.memberId ?? '', {
        epoch: this.epoch,
        holding: this.#held.holding(),
        waitMs: this.#waitMs,
        bytesMax,
        ...(bytesMin === undefined ? {} : { bytesMin }),
        decompressedBytesMax,
        signal,
        isPlain: this.isPlain,
      })
      return { polled, turns, request, isEarly: timing.now() - startedMs < Math.min(emptyPauseMsMin, this.#waitMs) }
    })
  }

  /** What the group says. Each answer is about everything that is held: an earlier one that is heard later counts no more. */
  hear(news: MembershipText, request: number): void {
    if (request < this.#heard) return
    this.#heard = request
    this.news = news
  }

  /** The last poll brought nothing, or something: the pause before the next one grows, or is over. */
  noteIdle(isIdle: boolean, isEarly: boolean): void {
    const doubled = this.#idleMs * 2
    const wanted = Math.min(this.#idlePauseMs, Math.max(100, doubled))
    const needed = isEarly ? Math.min(emptyPauseMsMax, Math.max(emptyPauseMsMin, doubled)) : 0
    this.#idleMs = isIdle ? Math.max(wanted, needed) : 0
  }

  /** A poll that waits, or is about to, comes back: something else is wanted now. */
  interrupt(): void {
    this.#idleMs = 0
    this.#wake.abort()
  }

  /** No member any more: the next joining is of another one (G4). */
  reset(): void {
    this.isGone = false
    this.memberId = undefined
    this.epoch = 0
    this.news = undefined
    this.#stopTicking?.()
  }

  /** Ends what is under way; nothing but `leave` is sent from then on. */
  async stop(): Promise<void> {
    this.#stop.abort()
    this.#wake.abort()
    this.#stopTicking?.()
    await this.#wire
  }

  /** Whoever cannot leave is evicted when its session is over. */
  async leave(): Promise<void> {
    const { onRetry } = this.#options
    const memberId = this.memberId ?? this.#joiningId
    if (memberId === undefined || this.isGone) return
    try {
      await untilAnswered(this.#transport, () => this.#calls.leave(memberId), this.lastWordsMs, undefined, onRetry)
    } catch (error) {
      onRetry?.(asHighwaterError(error, 'Leaving'))
    }
  }

  /** Never used twice: the time, and more chance than two consumers of one millisecond will share. */
  #newMemberId(): string {
    const { timing } = this.#transport
    const { clientId = 'consumer' } = this.#options
    const digits = () =>
      Math.floor(timing.random() * 36 ** 8)
        .toString(36)
        .padStart(8, '0')
    const name = clientId.replaceAll(/[^a-zA-Z0-9._-]/g, '-').slice(0, 60)
    return `${name}-${Math.floor(timing.now()).toString(36)}${digits()}${digits()}`
  }

  /** Keeps the session while the user's code is at work (M4), for as long as it may take. */
  #tick(): void {
    this.#stopTicking?.()
    const { timing } = this.#transport
    // Half: a session may be as short as two intervals.
    this.#stopTicking = timing.timer(this.heartbeatIntervalMs / 2, () => {
      const { memberId } = this
      if (this.stopped.aborted || this.isGone || memberId === undefined) return
      this.#tick()
      const nowMs = timing.now()
      const { maxPollIntervalMs = 300_000 } = this.#options
      if (!this.#isAsked && nowMs - this.#askedMs > maxPollIntervalMs) this.#giveUp(memberId)
      else if (this.#onWire === 0 && nowMs - this.#contactMs >= this.heartbeatIntervalMs * 0.9)
        void this.#heartbeat(memberId)
      if (!this.#isAsked) this.#onTick()
    })
  }

  async #heartbeat(memberId: string): Promise<void> {
    let epoch = 0
    let request = 0
    try {
      const news = await this.#exclusively(() => {
        epoch = this.epoch
        request = this.#requests
        return this.#calls.heartbeat(memberId, epoch, this.#held.holding(), this.stopped)
      })
      // Meanwhile it is another member, or wants to be told everything.
      if (memberId !== this.memberId || epoch !== this.epoch) return
      this.hear(news, request)
      if (!hasDuties(news)) {
        this.news = undefined
        this.epoch = news.epoch
      }
    } catch (thrown) {
      const error = asHighwaterError(thrown, 'A heartbeat')
      if (this.stopped.aborted || memberId !== this.memberId) return
      // What to do about it is found out by the next ask.
      if (isEviction(error)) this.isGone = true
      else this.#options.onRetry?.(error)
    }
  }

  /** The loop takes too long: others should go on. */
  #giveUp(memberId: string): void {
    this.isGone = true
    this.#stopTicking?.()
    this.interrupt()
    void this.#exclusively(() => this.#calls.leave(memberId)).catch(() => {})
  }

  /** M3 */
  #exclusively<Value>(request: () => Promise<Value>): Promise<Value> {
    this.#onWire++
    const turn = this.#wire.then(() => {
      this.#requests++
      return request()
    })
    const end = () => {
      this.#onWire--
      this.#contactMs = this.#transport.timing.now()
    }
    this.#wire = turn.then(end, end)
    return turn
  }
}

export function isEviction({ code }: HighwaterError): boolean {
  return code === 'UNKNOWN_MEMBER_ID' || code === 'GROUP_ID_NOT_FOUND'
}

function hasDuties({ assigned, revoked, lost, incomplete }: MembershipText): boolean {
  return incomplete || assigned.length > 0 || revoked.length > 0 || lost.length > 0
}
