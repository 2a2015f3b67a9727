/**
 * A member of a consumer group: joins, polls, commits, and lets go of partitions when the group says so.
 *
 *     ask (next, poll) ──▶ what was handed out counts as processed
 *                          a change of the group is carried out: lost, revoked (callback, commit, let go), assigned (callback)
 *                          records that are there are handed out, otherwise a poll brings more
 *     between asks     ──▶ at most one poll ahead; then heartbeats, until the loop takes longer than maxPollIntervalMs
 *
 * M1, M2: consumer-partitions.ts. M3, M4: consumer-session.ts.
 */
import type { AssignedText, MembershipText, PartitionFault, PartitionText } from '../core/poll-frame.ts'
import type { ClientCodecs } from './compression.ts'
import { Commits, type Committed, type Wanted } from './consumer-commits.ts'
import {
  type ConsumerOptions,
  type ConsumerPosition,
  checkConsumerOptions,
  type OffsetToCommit,
} from './consumer-options.ts'
import { type ConsumedRecord, HeldPartition, HeldPartitions, type TopicPartition } from './consumer-partitions.ts'
import { ConsumerSession, type Fetched, isEviction } from './consumer-session.ts'
import { asHighwaterError, HighwaterError } from './error.ts'
import { errorOfFault, GroupCalls, keyOf, mayRepeat } from './group-calls.ts'
import type { Transport } from './transport.ts'

/** Damage on the way goes away when the bytes are fetched again; damage in the store does not. */
const damagedAttemptsMax = 3
/** What a callback of the user threw: not ours to repeat. */
class CallbackFailed extends Error {}

/**
 * An async iterator over the records of a group's topics, as far as the group gives them to this member; made by
 * {@link Highwater.consumer}. Every record comes at least once: one counts as processed when the next one is asked for, and what
 * is processed is committed from time to time. Leaving the loop closes the consumer; the record in hand is then not committed.
 *
 * @example
 * const consumer = highwater.consumer({ group: 'billing', topics: ['orders'], signal })
 * for await (const record of consumer) await bill(record.topic, record.offset, text(record.value))
 */
export class Consumer implements AsyncIterableIterator<ConsumedRecord> {
  readonly group: string
  readonly #transport: Transport
  readonly #options: ConsumerOptions
  readonly #calls: GroupCalls
  readonly #commits: Commits
  readonly #held = new HeldPartitions()
  readonly #session: ConsumerSession
  readonly #onAbort = () => this.#interrupt()
  #fenced: HeldPartition[] = []
  /** Handed out since the last ask. */
  #inHand: HeldPartition[] = []
  /** The next answer, asked for before the records of this one are all handed out. */
  #ahead: Promise<Fetched> | undefined
  #damaged = 0
  #committedMs: number
  #closing: Promise<void> | undefined

  constructor(transport: Transport, codecs: ClientCodecs, options: ConsumerOptions) {
    checkConsumerOptions(options)
    this.group = options.group
    this.#transport = transport
    this.#options = options
    this.#calls = new GroupCalls(transport, codecs, options.group)
    this.#commits = new Commits(transport, this.#calls, options.onRetry)
    this.#session = new ConsumerSession(transport, this.#calls, this.#held, options, () => this.#commitFromTimeToTime())
    this.#committedMs = transport.timing.now()
    options.signal?.addEventListener('abort', this.#onAbort)
  }

  /** Of this consumer in its group; undefined while it is no member. */
  get memberId(): string | undefined {
    return this.#session.memberId
  }

  /** The partitions that are this consumer's. */
  get assignment(): readonly TopicPartition[] {
    return this.#held
      .all()
      .filter((held) => !held.isRevoked)
      .map(nameOf)
  }

  /** Where the next records come from. */
  get positions(): readonly ConsumerPosition[] {
    return this.#held.all().map((held) => ({ ...nameOf(held), offset: held.position }))
  }

  /** Records in this consumer's partitions from their positions on, when the server last answered. undefined: not known yet. */
  get lag(): number | undefined {
    if (this.#session.memberId === undefined || this.#session.news !== undefined) return undefined
    let lag = 0
    for (const { position, highWatermark } of this.#held.all()) {
      if (position === undefined || highWatermark === undefined) return undefined
      lag += Math.max(0, highWatermark - position)
    }
    return lag
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** The next record; waits for it. What was handed out before counts as processed. Done when the signal aborts, or after `close`. */
  async next(): Promise<IteratorResult<ConsumedRecord, undefined>> {
    const records = this.#quick() ?? (await this.#ask(1, true))
    const record = records?.[0]
    return record === undefined ? { done: true, value: undefined } : { done: false, value: record }
  }

  /**
   * The records of one answer, at most `recordsMax`: none where nothing came within `waitMs`; undefined when the reading was ended.
   * What was handed out before counts as processed.
   */
  poll(recordsMax = Number.POSITIVE_INFINITY): Promise<readonly ConsumedRecord[] | undefined> {
    return this.#ask(recordsMax, false)
  }

  /**
   * Commits, and waits until it is done: everything that was handed out, or these offsets. FENCED_CLAIM where another member has taken
   * a partition over.
   */
  async commit(offsets?: readonly OffsetToCommit[]): Promise<void> {
    const wanted = offsets?.map(({ offset, metadata, ...partition }): Wanted => {
      const held = this.#heldOf(partition)
      return { held, offset, ...(metadata === undefined ? {} : { metadata }) }
    })
    const choose = () => wanted ?? this.#handedOut()
    this.#note(await this.#commits.commit(choose, this.#transport.options.retryTimeoutMs), true)
  }

  /** No records of these partitions, or of any, until `resume`. They stay this consumer's. */
  pause(partitions: readonly TopicPartition[] = this.assignment): void {
    for (const partition of partitions) {
      const held = this.#heldOf(partition)
      held.isPaused = true
      held.refetch()
    }
  }

  resume(partitions: readonly TopicPartition[] = this.assignment): void {
    for (const partition of partitions) this.#heldOf(partition).isPaused = false
    this.#interrupt()
  }

  /** The next record of the partition is that at an offset, or at an end. */
  seek(partition: TopicPartition, to: number | 'earliest' | 'latest'): void {
    const held = this.#heldOf(partition)
    if (typeof to === 'string') held.seekEnd(to)
    else if (Number.isSafeInteger(to) && to >= 0) held.moveTo(to)
    else throw new RangeError(`${to} is no offset`)
    this.#interrupt()
  }

  /**
   * Lets go of everything (`onRevoked`), commits what was processed, and leaves the group. A static member does not leave: its
   * place is kept for the session timeout. The record in hand does not count as processed.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** Closes the consumer. */
  async return(): Promise<IteratorResult<ConsumedRecord, undefined>> {
    await this.close()
    return { done: true, value: undefined }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** @param isPatient whether to wait for a record however long it takes */
  async #ask(recordsMax: number, isPatient: boolean): Promise<ConsumedRecord[] | undefined> {
    if (this.#session.isAsked) throw new HighwaterError('ILLEGAL_STATE', 'Ask a consumer for one thing at a time.')
    this.#session.isAsked = true
    try {
      this.#pass()
      for (;;) {
        if (await this.#isOver()) return undefined
        if (!this.#hasDuties() && this.#held.hasRecords()) return this.#handOut(recordsMax)
        const came = await this.#retrying(() => this.#advance())
        if (came === 'nothing' && !isPatient && !(await this.#isOver())) return []
      }
    } catch (thrown) {
      throw thrown instanceof CallbackFailed ? thrown.cause : thrown
    } finally {
      this.#session.isAsked = false
    }
  }

  /** The next record where there is nothing else to do; undefined: ask. */
  #quick(): ConsumedRecord[] | undefined {
    if (this.#session.isAsked || this.#closing !== undefined || this.#options.signal?.aborted) return undefined
    if (this.#hasDuties() || !this.#held.hasRecords()) return undefined
    this.#pass()
    this.#session.isAsked = false
    return this.#handOut(1)
  }

  /** M2 */
  #pass(): void {
    for (const held of this.#inHand) held.processed = held.position
    this.#inHand.length = 0
  }

  async #isOver(): Promise<boolean> {
    if (this.#options.signal?.aborted) await this.close()
    return this.#closing !== undefined
  }

  #handOut(recordsMax: number): ConsumedRecord[] {
    const records: ConsumedRecord[] = []
    while (records.length < recordsMax) {
      const taken = this.#held.take()
      if (taken === undefined) break
      records.push(taken.record)
      if (this.#inHand.at(-1) !== taken.held) this.#inHand.push(taken.held)
    }
    this.#commitFromTimeToTime()
    return records
  }

  #hasDuties(): boolean {
    const { memberId, isGone, news } = this.#session
    return memberId === undefined || isGone || news !== undefined || this.#fenced.length > 0
  }

  /** One step towards records. */
  async #advance(): Promise<'nothing' | 'something'> {
    const session = this.#session
    if (session.isGone) await this.#loseAll()
    else if (session.memberId === undefined) await session.join()
    else if (this.#fenced.length > 0) await this.#loseFenced()
    else if (session.news !== undefined) await this.#carryOut(session.news)
    else {
      this.#commitFromTimeToTime()
      const fetching = this.#ahead ?? session.fetch()
      this.#ahead = undefined
      return this.#takeIn(await fetching)
    }
    return 'something'
  }

  /** Takes one step; a failure that may pass is reported and slept over, and the step counts as done. */
  async #retrying(step: () => Promise<'nothing' | 'something'>): Promise<'nothing' | 'something'> {
    const { retryTimeoutMs = Number.POSITIVE_INFINITY, onRetry } = this.#options
    const { timing } = this.#transport
    let failedSinceMs: number | undefined
    for (let failures = 0; ; ) {
      try {
        return await step()
      } catch (thrown) {
        if (thrown instanceof CallbackFailed) throw thrown
        const error = asHighwaterError(thrown, `Reading in group ${this.group}`)
        if (this.#session.stopped.aborted || error.code === 'ABORTED') return 'something'
        failedSinceMs ??= timing.now()
        const delayMs = this.#transport.retryDelayMs(failures++, error.retryAfterMs)
        if (error.code === 'CORRUPT_MESSAGE' && ++this.#damaged >= damagedAttemptsMax) throw error
        if (isEviction(error)) {
          this.#session.isGone = true
          if (failures === 1) continue
        } else if (error.code === 'FENCED_INSTANCE_ID') {
          // Its place is another's: going on would take it back.
          this.#closing = this.#session.stop()
          await this.#loseAll()
          throw error
        } else if (!mayRepeat(error)) throw error
        if (timing.now() + delayMs - failedSinceMs > retryTimeoutMs) throw error
        onRetry?.(error)
        await this.#transport.sleep(delayMs, this.#session.stopped)
        if (this.#session.stopped.aborted) return 'something'
      }
    }
  }

  /** What the group wants of this member. Done again, it does nothing: each part looks at what is held. */
  async #carryOut(news: MembershipText): Promise<void> {
    this.#session.news = undefined
    this.#session.heartbeatIntervalMs = Math.max(1, news.heartbeat_interval_ms)
    const present = (partitions: readonly PartitionText[]) =>
      partitions.flatMap((partition) => this.#held.get(partition) ?? [])
    await this.#lose(present(news.lost))
    await this.#letGo(present(news.revoked))
    if (this.#session.stopped.aborted || this.#session.isGone) return
    await this.#takeUp(news.assigned)
    for (const held of this.#held.all()) held.isMissing = false
    // Last: whoever fails before is told the same again.
    this.#session.epoch = news.epoch
  }

  async #letGo(revoked: readonly HeldPartition[]): Promise<void> {
    if (revoked.length === 0) return
    for (const held of revoked) {
      held.isRevoked = true
      held.turn++
    }
    try {
      await this.#call(this.#options.onRevoked, revoked)
      if (this.#options.autoCommit !== false) await this.#commitLast(revoked)
    } finally {
      for (const held of revoked) this.#held.drop(held)
    }
  }

  async #takeUp(assigned: readonly AssignedText[]): Promise<void> {
    const { from = 'earliest' } = this.#options
    const taken: HeldPartition[] = []
    for (const partition of assigned) {
      const present = this.#held.get(partition)
      if (present?.claim === partition.claim) continue
      if (present !== undefined) await this.#lose([present])
      if (partition.offset === undefined && from === 'none')
        throw new HighwaterError(
          'OFFSET_OUT_OF_RANGE',
          `Group ${this.group} has committed no offset of ${partition.topic}/${partition.partition}, and \`from\` is 'none'.`,
        )
      const held = new HeldPartition(partition, from === 'none' ? 'earliest' : from)
      this.#held.add(held)
      taken.push(held)
    }
    if (taken.length > 0) await this.#call(this.#options.onAssigned, taken)
  }

  async #lose(lost: readonly HeldPartition[]): Promise<void> {
    for (const held of lost) this.#held.drop(held)
    if (lost.length > 0) await this.#call(this.#options.onLost, lost)
  }

  async #loseFenced(): Promise<void> {
    const lost = this.#fenced.filter((held) => this.#held.has(held))
    this.#fenced = []
    // The group is to look at everything, and to say everything again.
    this.#session.epoch = 0
    this.#session.news = undefined
    await this.#lose(lost)
  }

  async #loseAll(): Promise<void> {
    this.#session.reset()
    this.#ahead = undefined
    this.#fenced = []
    await this.#lose(this.#held.all())
  }

  async #call(callback: ConsumerOptions['onLost'], partitions: readonly HeldPartition[]): Promise<void> {
    try {
      await callback?.(partitions.map(nameOf))
    } catch (cause) {
      throw new CallbackFailed('a callback failed', { cause })
    }
  }

  #fetchAhead(): void {
    const ahead = this.#session.fetch()
    // Whoever comes for it sees the failure; until then it is nobody's.
    ahead.catch(() => {})
    this.#ahead = ahead
  }

  async #takeIn({ polled, turns, request, isEarly }: Fetched): Promise<'nothing' | 'something'> {
    const { membership, partitions, faults, isUnsupported } = polled
    this.#session.isPlain = isUnsupported
    this.#damaged = 0
    if (membership !== undefined) this.#session.hear(membership, request)
    for (const partition of partitions) this.#held.accept(partition, turns.get(keyOf(partition)) ?? -1)
    const isMore = partitions.some(({ nextOffset, highWatermark }) => nextOffset < highWatermark)
    if (isMore && membership === undefined && !isUnsupported) this.#fetchAhead()
    const failed = this.#heed(faults, turns)
    if (this.#held.hasRecords() || membership !== undefined || isUnsupported || partitions.length > 0) {
      this.#session.noteIdle(false, isEarly)
      return 'something'
    }
    if (failed !== undefined) throw failed
    if (faults.length > 0) return 'something'
    // Nothing: what was asked for is at its end.
    for (const held of this.#held.all()) {
      if (!held.isWanted || turns.get(held.key) !== held.turn) continue
      if (held.sought !== undefined) held.settle(held.next)
      held.highWatermark = held.next
    }
    this.#session.noteIdle(true, isEarly)
    return 'nothing'
  }

  /** The refusals of single partitions. Answers one that may pass; throws one that will not. */
  #heed(faults: readonly PartitionFault[], turns: ReadonlyMap<string, number>): HighwaterError | undefined {
    const { from = 'earliest', onRetry } = this.#options
    let failed: HighwaterError | undefined
    for (const fault of faults) {
      const held = this.#held.find(fault)
      if (held === undefined || turns.get(held.key) !== held.turn) continue
      const error = errorOfFault(fault)
      const { startOffset, endOffset } = error
      switch (error.code) {
        case 'OFFSET_OUT_OF_RANGE': {
          const policy = held.sought ?? from
          if (policy === 'none' || startOffset === undefined || endOffset === undefined) throw error
          if (held.sought === undefined) onRetry?.(error)
          held.sought ??= policy
          held.settle(policy === 'earliest' ? startOffset : endOffset)
          // Not to be lost: whoever begins at the end the next time would skip what came in between.
          if (policy === 'latest') this.#committedMs = Number.NEGATIVE_INFINITY
          held.highWatermark = endOffset
          break
        }
        case 'FENCED_CLAIM':
          this.#fenced.push(held)
          break
        case 'UNKNOWN_TOPIC':
        case 'UNKNOWN_PARTITION':
          // An id that is gone never comes back. The group notices within a third of the session.
          held.isMissing = true
          onRetry?.(error)
          break
        default:
          if (!mayRepeat(error)) throw error
          failed = error
      }
    }
    return failed
  }

  #handedOut(): Wanted[] {
    return this.#held.all().flatMap((held) => {
      if (held.position === undefined) return []
      held.processed = held.position
      return held.isDirty ? [{ held, offset: held.position }] : []
    })
  }

  #processed(partitions: readonly HeldPartition[]): Wanted[] {
    return partitions.flatMap((held) =>
      held.isDirty && held.processed !== undefined ? [{ held, offset: held.processed }] : [],
    )
  }

  #commitFromTimeToTime(): void {
    const { autoCommit = true, autoCommitIntervalMs = 5_000, onRetry } = this.#options
    if (!autoCommit || this.#session.isGone) return
    const nowMs = this.#transport.timing.now()
    if (nowMs - this.#committedMs < autoCommitIntervalMs || this.#commits.isUnderWay) return
    this.#committedMs = nowMs
    // Once: what fails is in the next one.
    this.#commits
      .commit(() => this.#processed(this.#held.all()), 0, this.#session.stopped)
      .then(
        (committed) => this.#note(committed, false),
        (error: unknown) => {
          if (!this.#session.stopped.aborted) onRetry?.(asHighwaterError(error, 'A commit'))
        },
      )
  }

  /** Before it is too late. What cannot be committed now comes again to whoever reads next. */
  async #commitLast(partitions: readonly HeldPartition[]): Promise<void> {
    try {
      this.#note(await this.#commits.commit(() => this.#processed(partitions), this.#session.lastWordsMs), false)
    } catch (error) {
      this.#options.onRetry?.(asHighwaterError(error, 'A commit'))
    }
  }

  #note({ fenced, error }: Committed, isAskedFor: boolean): void {
    this.#fenced.push(...fenced)
    if (error === undefined) return
    if (isAskedFor) throw error
    if (fenced.length === 0) this.#options.onRetry?.(error)
  }

  /** A poll that waits asks again: for something else now, or not at all. */
  #interrupt(): void {
    this.#ahead = undefined
    this.#session.interrupt()
  }

  #heldOf(partition: TopicPartition): HeldPartition {
    const held = this.#held.find(partition)
    if (held !== undefined) return held
    throw new HighwaterError(
      'ILLEGAL_STATE',
      `${partition.topic}/${partition.partition} is not assigned to this consumer.`,
    )
  }

  async #close(): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    await this.#session.stop()
    const present = this.#held.all().filter((held) => !held.isRevoked)
    try {
      if (this.#session.isGone) await this.#lose(present)
      else await this.#letGo(present)
    } catch (thrown) {
      throw thrown instanceof CallbackFailed ? thrown.cause : thrown
    } finally {
      if (this.#options.instanceId === undefined) await this.#session.leave()
      this.#session.reset()
    }
  }
}

function nameOf({ topic, partition }: HeldPartition): TopicPartition {
  return { topic, partition }
}
