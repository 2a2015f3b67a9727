/**
 * What is done with an instance. Each request begins with the instance as it was read, does its part as a member of the group or
 * by hand, and writes what has changed on the condition that nobody else did; otherwise it reads again and goes on from there.
 *
 *     poll   commit what was delivered before (I2) ─▶ join ─▶ settle positions ─▶ fetch ─▶ write the positions ─▶ answer (I1)
 *                                       ▲                                        │
 *                                       └── the group has something to say ──────┘
 */
import { type Refusal, refusal, Unavailable } from '../core/errors.ts'
import type { Subscription } from '../core/group.ts'
import type { MemberId, Offset } from '../core/names.ts'
import { parseTopicName } from '../core/names.ts'
import type { Engine } from './engine.ts'
import type { CommittedOffset, Membership, PolledPartition, StoredOffset, TopicPartition } from './group-api.ts'
import { inParallel } from './group-offsets.ts'
import { parseSubscription } from './group-topics.ts'
import type { Delivery, ExplicitOffset, Instance, InstanceConfig, InstancePoll, Seek, Take } from './instance-api.ts'
import type { Held, InstanceState } from './instance-item.ts'
import {
  assigned,
  forgetting,
  heldKey,
  informed,
  moved,
  rejoining,
  released,
  subscribed,
  uncommitted,
} from './instance-item.ts'
import { type InstanceStore, type StoredInstance, tooMany, touched, unknownInstance } from './instance-store.ts'
import type { Answer, Log } from './log.ts'

/** What an instance asks of the log it is part of. */
export type InstanceLog = Pick<Log, 'groups' | 'fetchMany' | 'offsets' | 'offsetForTimestamp'>

/** Rounds of one poll: joining, letting go, being told of more, starting again elsewhere. */
const roundsMax = 100
const attemptsMax = 20

type Done = { readonly ok: true } | Refusal

export class OpenInstance implements Instance {
  readonly #engine: Engine
  readonly #log: InstanceLog
  readonly #store: InstanceStore
  /** The state may be ahead of what is stored: `#written`. */
  #stored: StoredInstance
  #written: InstanceState

  constructor(engine: Engine, log: InstanceLog, store: InstanceStore, stored: StoredInstance) {
    this.#engine = engine
    this.#log = log
    this.#store = store
    this.#stored = stored
    this.#written = stored.state
  }

  get config(): InstanceConfig {
    return this.#state.config
  }
  get subscription(): Subscription | undefined {
    return this.#state.subscription
  }
  get assignment(): readonly TopicPartition[] {
    return assignmentOf(this.#state)
  }

  delete(): Promise<Answer<object>> {
    return this.#answer(async () => {
      for (let attempt = 1; attempt <= attemptsMax; attempt++) {
        const left = await this.#leave()
        if (!left.ok || (await this.#store.remove(this.#stored))) return left
        if (!(await this.#readAgain())) return { ok: true }
      }
      return tooMany(this.#stored.id)
    })
  }

  subscribe(subscription: Subscription): Promise<Answer<object>> {
    return this.#answer(async () => {
      const parsed = parseSubscription(subscription)
      if (!parsed.ok) return parsed
      const wanted = parsed.subscription
      return this.#change((state) => {
        if (state.isManual || (state.subscription !== undefined && state.subscription.kind !== wanted.kind))
          return exclusive(this.#stored.id)
        if (JSON.stringify(state.subscription) === JSON.stringify(wanted)) return state
        return subscribed(state, wanted, this.#freshMemberId())
      })
    })
  }

  unsubscribe(): Promise<Answer<object>> {
    return this.#answer(async () => {
      for (let attempt = 1; attempt <= attemptsMax; attempt++) {
        const left = await this.#leave()
        if (!left.ok || (await this.#replace(released(this.#state)))) return left
        if (!(await this.#readAgain())) return this.#gone()
      }
      return tooMany(this.#stored.id)
    })
  }

  assign(partitions: readonly TopicPartition[]): Promise<Answer<object>> {
    return this.#answer(async () => {
      const { groupPartitionsMax } = this.#engine.context.settings
      if (partitions.length > groupPartitionsMax)
        return refusal(
          'GROUP_LIMIT_REACHED',
          `${partitions.length} partitions are more than ${groupPartitionsMax} (groupPartitionsMax).`,
        )
      for (const { topic, partition } of partitions) {
        const name = parseTopicName(topic)
        if (!name.ok) return refusal('INVALID_TOPIC', name.message)
        if (!Number.isSafeInteger(partition) || partition < 0)
          return refusal('UNKNOWN_PARTITION', `${partition} is not a partition number.`)
      }
      if (this.config.isAutoCommit && this.#state.isManual) await this.#commitPositions()
      return this.#change((state) => {
        if (state.subscription !== undefined) return exclusive(this.#stored.id)
        return partitions.length === 0 ? released(state) : assigned(state, partitions)
      })
    })
  }

  settle(): Promise<Answer<{ readonly assignment: readonly TopicPartition[] }>> {
    return this.#answer(async () => {
      const touching = await this.#change((state) => state)
      if (!touching.ok) return touching
      for (let attempt = 1; attempt <= attemptsMax && this.#state.subscription !== undefined; attempt++) {
        const told = await this.#heartbeat()
        if (!told.ok) {
          if (!isGone(told)) return told
          if (!(await this.#rejoin())) return this.#gone()
        } else if (await this.#replace(informed(this.#state, told, false))) {
          if (!told.isIncomplete) break
        } else if (!(await this.#readAgain())) return this.#gone()
      }
      return { ok: true, assignment: this.assignment }
    }, 'unseen')
  }

  poll<Value>(request: InstancePoll, take: Take<Value>): Promise<Answer<{ readonly value: Value }>> {
    return this.#answer(() => this.#poll(request, take), 'unseen')
  }

  commit(
    offsets: readonly ExplicitOffset[] | 'positions',
  ): Promise<Answer<{ readonly offsets: readonly CommittedOffset[] }>> {
    return this.#answer(async () => {
      const touching = await this.#change((state) => state)
      if (!touching.ok) return touching
      if (offsets === 'positions') {
        const { isManual, holding } = this.#state
        // Of a member nobody else changes what is committed; by hand somebody may have.
        const wanted = isManual ? holding.filter(({ position }) => position !== undefined) : uncommitted(this.#state)
        return this.#commitAnd(wanted.map((held) => ({ ...held, offset: held.position ?? 0 })))
      }
      const holding = new Map(this.#state.holding.map((held) => [heldKey(held), held]))
      const isMember = this.#state.member?.isJoined === true
      for (const offset of offsets) if (isMember && !holding.has(heldKey(offset))) return this.#notHeld(offset)
      return this.#commitAnd(offsets.map((offset) => ({ ...holding.get(heldKey(offset)), ...offset })))
    })
  }

  committed(partitions: readonly TopicPartition[]): Promise<Answer<{ readonly offsets: readonly StoredOffset[] }>> {
    return this.#answer(async () => {
      const touching = await this.#change((state) => state)
      if (!touching.ok) return touching
      const found = await this.#log.groups.committed(this.#stored.group, partitions)
      return !found.ok && found.code === 'GROUP_ID_NOT_FOUND' ? { ok: true, offsets: [] } : found
    }, 'unseen')
  }

  seek(targets: readonly Seek[]): Promise<Answer<object>> {
    return this.#answer(async () => {
      const held = new Set(this.#state.holding.map(heldKey))
      for (const target of targets) if (!held.has(heldKey(target))) return this.#notHeld(target)
      const found = await inParallel(targets, (target) => this.#offsetOf(target))
      const positions = new Map<string, { readonly position: Offset }>()
      for (const [at, target] of targets.entries()) {
        const offset = found[at]
        if (offset?.ok === false) return offset
        if (offset !== undefined) positions.set(heldKey(target), { position: offset.offset })
      }
      return this.#change((state) => {
        const present = new Set(state.holding.map(heldKey))
        const missing = targets.find((target) => !present.has(heldKey(target)))
        return missing === undefined ? moved(state, positions) : this.#notHeld(missing)
      })
    })
  }

  async #poll<Value>(request: InstancePoll, take: Take<Value>): Promise<Answer<{ value: Value }>> {
    const { clock, settings } = this.#engine.context
    const { signal } = request
    const untilMs = clock.now() + Math.min(request.waitMs ?? this.config.waitMs, settings.fetchWaitMsMax)
    const begun = await this.#begin()
    if (!begun.ok) return begun
    /** Not to be read for now: of a topic or partition that is not there. */
    const absent = new Set<string>()
    for (let round = 1; round <= roundsMax; round++) {
      const settled = await this.#settlePositions(absent)
      if (!settled.ok) return settled
      const before = this.#state
      const polled = await this.#fetch(absent, { ...request, waitMs: Math.max(0, untilMs - clock.now()) })
      if (!polled.ok) {
        if (!isGone(polled)) return polled
        if (!(await this.#rejoin())) return this.#gone()
        const joined = await this.#join()
        if (!joined.ok) return joined
        continue
      }
      const { membership, partitions } = polled
      const outcome = this.#outcomeOf(before, partitions, absent)
      if (!outcome.ok) return outcome
      const { deliveries } = outcome
      const known = forgetting(before, outcome.forgotten)
      const told = membership === undefined ? known : informed(known, membership, true)
      if (deliveries.length > 0) {
        const taken = take(deliveries)
        if (!taken.ok) return taken
        const delivered = deliveries.map(({ topic, partition, fetched }, at) => {
          const position = taken.positions[at] ?? fetched.nextOffset
          return [heldKey({ topic, partition }), { position, topicId: fetched.topicId }] as const
        })
        const next = moved(told, new Map([...outcome.changes, ...delivered]))
        if (await this.#deliver(next)) return { ok: true, value: taken.value }
      } else {
        const next = moved(told, outcome.changes)
        const isQuiet = membership === undefined && outcome.isQuiet
        const isWritten = await this.#replace(next)
        if (isWritten && isQuiet && (clock.now() >= untilMs || signal?.aborted === true)) break
        if (isWritten) {
          if (signal?.aborted === true) break
          continue
        }
      }
      // Another request on this instance was faster: from where it is now.
      if (!(await this.#readAgain())) return this.#gone()
    }
    const empty = take([])
    return empty.ok ? { ok: true, value: empty.value } : empty
  }

  /** What a poll does first, once: is used, commits what was delivered before, joins. */
  async #begin(): Promise<Done> {
    const { isManual, subscription } = this.#state
    if (!isManual && subscription === undefined)
      return refusal(
        'ILLEGAL_STATE',
        `Consumer instance '${this.#stored.id}' is not subscribed to topics, and has no partitions.`,
      )
    const touching = await this.#change((state) => state)
    if (!touching.ok) return touching
    if (this.config.isAutoCommit) await this.#commitPositions()
    return this.#state.isManual || this.#state.member?.isJoined === true ? { ok: true } : this.#join()
  }

  async #join(): Promise<Done> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const { member, subscription } = this.#state
      if (member === undefined || subscription === undefined || member.isJoined) return { ok: true }
      const joined = await this.#heartbeat()
      if (!joined.ok && !isGone(joined)) return joined
      if (joined.ok && (await this.#replace(informed(this.#state, joined, false)))) return { ok: true }
      if (!joined.ok ? !(await this.#rejoin()) : !(await this.#readAgain())) return this.#gone()
    }
    return tooMany(this.#stored.id)
  }

  /** Joins where it has not; otherwise says that it is there, and what it holds. */
  async #heartbeat(): Promise<Answer<Membership>> {
    const { group, id } = this.#stored
    const { member, subscription, config, holding } = this.#state
    if (member === undefined || subscription === undefined) return this.#gone()
    const { consumerInstanceTimeoutMs, sessionTimeoutMsMin, sessionTimeoutMsMax } = this.#engine.context.settings
    if (!member.isJoined)
      return this.#log.groups.join({
        group,
        memberId: member.id,
        clientId: id,
        subscription,
        // Its polls are its heartbeats, and its client polls when it likes: it is there for as long as the instance is.
        sessionTimeoutMs:
          config.sessionTimeoutMs ??
          Math.min(Math.max(consumerInstanceTimeoutMs, sessionTimeoutMsMin), sessionTimeoutMsMax),
      })
    return this.#log.groups.heartbeat({
      group,
      memberId: member.id,
      epoch: member.epoch,
      holding: holding.flatMap(({ topicId, partition, claim }) =>
        topicId === undefined || claim === undefined ? [] : [{ topicId, partition, claim }],
      ),
    })
  }

  /** The member is gone: another one takes its place. False where the instance is gone, too. */
  async #rejoin(): Promise<boolean> {
    const gone = this.#state.member?.id
    const changed = await this.#change((state) =>
      state.member?.id === gone && gone !== undefined ? rejoining(state, this.#freshMemberId()) : state,
    )
    return changed.ok
  }

  async #fetch(
    absent: ReadonlySet<string>,
    request: InstancePoll,
  ): Promise<Answer<{ readonly membership?: Membership; readonly partitions: readonly PolledPartition[] }>> {
    const { group } = this.#stored
    const { member, holding, config } = this.#state
    const limits = {
      ...(request.waitMs === undefined ? {} : { waitMs: request.waitMs }),
      ...(request.bytesMax === undefined ? {} : { bytesMax: request.bytesMax }),
      ...(config.bytesMin === undefined ? {} : { bytesMin: config.bytesMin }),
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    }
    const offsetOf = (held: Held) =>
      held.position === undefined || absent.has(heldKey(held)) ? {} : { offset: held.position }
    if (member === undefined)
      return this.#log.fetchMany({
        ...limits,
        partitions: holding.flatMap((held) => {
          const { topic, partition, topicId } = held
          const { offset } = offsetOf(held)
          if (offset === undefined) return []
          return [{ topic, partition, offset, ...(topicId === undefined ? {} : { topicId }) }]
        }),
      })
    return this.#log.groups.poll({
      ...limits,
      group,
      memberId: member.id,
      epoch: member.epoch,
      holding: holding.flatMap((held) => {
        const { topic, partition, topicId, claim } = held
        if (topicId === undefined || claim === undefined) return []
        return [{ topic, partition, topicId, claim, ...offsetOf(held) }]
      }),
    })
  }

  /** What was answered for each partition: records, or where else to go on. */
  #outcomeOf(
    state: InstanceState,
    partitions: readonly PolledPartition[],
    absent: Set<string>,
  ):
    | {
        readonly ok: true
        readonly deliveries: readonly Delivery[]
        readonly changes: ReadonlyMap<string, { readonly position: Offset }>
        /** Of a topic that is gone; there may be another of its name. */
        readonly forgotten: ReadonlySet<string>
        readonly isQuiet: boolean
      }
    | Refusal {
    const holding = new Map(state.holding.map((held) => [heldKey(held), held]))
    const deliveries: Delivery[] = []
    const changes = new Map<string, { readonly position: Offset }>()
    const forgotten = new Set<string>()
    for (const polled of partitions) {
      const { topic, partition } = polled
      const held = holding.get(heldKey(polled))
      if (held?.position === undefined) continue
      if (polled.ok) deliveries.push({ topic, partition, offset: held.position, fetched: polled })
      else if (polled.code === 'OFFSET_OUT_OF_RANGE') {
        const { startOffset, endOffset } = polled.details ?? {}
        const position = this.config.offsetReset === 'earliest' ? startOffset : endOffset
        if (this.config.offsetReset === 'none' || position === undefined) return polled
        changes.set(heldKey(polled), { position })
      } else if (held.claim === undefined && held.topicId !== undefined) forgotten.add(heldKey(polled))
      else absent.add(heldKey(polled))
    }
    return { ok: true, deliveries, changes, forgotten, isQuiet: partitions.length === 0 }
  }

  /** Where nothing says where to begin: the committed offset, or what `auto.offset.reset` says. */
  async #settlePositions(absent: Set<string>): Promise<Done> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const unsettled = this.#state.holding.filter((held) => held.position === undefined && !absent.has(heldKey(held)))
      if (unsettled.length === 0) return { ok: true }
      const ranges = await inParallel(unsettled, ({ topic, partition }) => this.#log.offsets(topic, partition))
      const present: {
        readonly held: Held
        readonly range: { startOffset: Offset; highWatermark: Offset; topicId: NonNullable<Held['topicId']> }
      }[] = []
      for (const [at, held] of unsettled.entries()) {
        const range = ranges[at]
        const isThere = range?.ok === true && (held.topicId === undefined || held.topicId === range.topicId)
        if (isThere) present.push({ held, range })
        else if (range?.ok === false && range.code !== 'UNKNOWN_TOPIC' && range.code !== 'UNKNOWN_PARTITION')
          return range
        else absent.add(heldKey(held))
      }
      // A member was told what is committed when it took the partition up.
      const byHand = present.flatMap(({ held }) => (held.claim === undefined ? [held] : []))
      const known = await this.#committedOf(byHand)
      if (!known.ok) return known
      const changes = new Map<string, Pick<Held, 'topicId' | 'position' | 'committed'>>()
      for (const { held, range } of present) {
        const { topicId, startOffset, highWatermark } = range
        const at = known.offsets.get(heldKey(held))
        if (at !== undefined) changes.set(heldKey(held), { topicId, position: at, committed: at })
        else if (this.config.offsetReset === 'none')
          return refusal(
            'OFFSET_OUT_OF_RANGE',
            `Topic '${held.topic}', partition ${held.partition} has no committed offset in group '${this.#stored.group}', and auto.offset.reset is none.`,
            { startOffset, endOffset: highWatermark },
          )
        else
          changes.set(heldKey(held), {
            topicId,
            position: this.config.offsetReset === 'earliest' ? startOffset : highWatermark,
          })
      }
      if (await this.#replace(moved(this.#state, changes))) return { ok: true }
      if (!(await this.#readAgain())) return this.#gone()
    }
    return tooMany(this.#stored.id)
  }

  async #committedOf(partitions: readonly Held[]): Promise<{ ok: true; offsets: Map<string, Offset> } | Refusal> {
    if (partitions.length === 0) return { ok: true, offsets: new Map() }
    const found = await this.#log.groups.committed(this.#stored.group, partitions)
    if (found.ok) return { ok: true, offsets: new Map(found.offsets.map((one) => [heldKey(one), one.offset])) }
    return found.code === 'GROUP_ID_NOT_FOUND' ? { ok: true, offsets: new Map() } : found
  }

  async #offsetOf(target: Seek): Promise<{ readonly ok: true; readonly offset: Offset } | Refusal> {
    if (target.to === 'offset') return { ok: true, offset: target.offset }
    if (target.to === 'time') {
      const found = await this.#log.offsetForTimestamp(target.topic, target.partition, target.timestampMs)
      if (!found.ok || found.offset >= 0) return found
    }
    const range = await this.#log.offsets(target.topic, target.partition)
    if (!range.ok) return range
    return { ok: true, offset: target.to === 'beginning' ? range.startOffset : range.highWatermark }
  }

  /** Commits what is not committed yet. What is refused stays so: a lost partition is somebody else's, the rest comes next time. */
  async #commitPositions(): Promise<void> {
    const wanted = uncommitted(this.#state)
    if (wanted.length > 0) await this.#commitNow(wanted.map((held) => ({ ...held, offset: held.position ?? 0 })))
  }

  async #commitAnd(wanted: readonly ToCommit[]): Promise<Answer<{ readonly offsets: readonly CommittedOffset[] }>> {
    if (wanted.length === 0) return { ok: true, offsets: [] }
    const answer = await this.#commitNow(wanted)
    // That it is known to be committed saves a commit: if it cannot be written now, nothing is lost.
    if (answer.ok) await this.#replace(this.#state)
    return answer
  }

  async #commitNow(wanted: readonly ToCommit[]): Promise<Answer<{ readonly offsets: readonly CommittedOffset[] }>> {
    const answer = await this.#log.groups.commit(
      this.#stored.group,
      wanted.map(({ topic, partition, offset, metadata, claim, topicId }) => ({
        topic,
        partition,
        offset,
        ...(metadata === undefined ? {} : { metadata }),
        ...(claim === undefined ? {} : { claim }),
        ...(topicId === undefined ? {} : { topicId }),
      })),
    )
    if (!answer.ok) return answer
    const done = answer.offsets.flatMap((one) => (one.ok ? [[heldKey(one), { committed: one.offset }] as const] : []))
    this.#stored = { ...this.#stored, state: moved(this.#state, new Map(done)) }
    return answer
  }

  /** Commits if it does so by itself, and leaves the group. */
  async #leave(): Promise<Done> {
    if (this.config.isAutoCommit) await this.#commitPositions()
    const { member } = this.#state
    return member === undefined ? { ok: true } : this.#log.groups.leave(this.#stored.group, member.id)
  }

  /**
   * Moves the positions; false where another request did (I1). Where it is not known whether they were moved the records are
   * answered all the same: if they were, nobody would see them otherwise; if not, they come once more.
   */
  async #deliver(next: InstanceState): Promise<boolean> {
    try {
      return await this.#replace(next)
    } catch (error) {
      if (error instanceof Unavailable && error.effects === 'possible') return true
      throw error
    }
  }

  /** Writes if there is anything to write: the state, or that it was used. False where somebody else was faster. */
  async #replace(state: InstanceState): Promise<boolean> {
    const next = this.#touched(state)
    if (next === this.#written) return true
    const written = await this.#store.replace(this.#stored, next)
    if (written === 'changed') return false
    this.#stored = written
    this.#written = next
    return true
  }

  /** The read-decide-write loop. */
  async #change(decide: (state: InstanceState) => InstanceState | Refusal): Promise<Done> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const next = decide(this.#state)
      if ('ok' in next) return next
      if (await this.#replace(next)) return { ok: true }
      await this.#engine.context.pause(attempt)
      if (!(await this.#readAgain())) return this.#gone()
    }
    return tooMany(this.#stored.id)
  }

  /** False where it is gone, or another one has its name now. */
  async #readAgain(): Promise<boolean> {
    const { group, id, state } = this.#stored
    const stored = await this.#store.read(group, id)
    const isSame = stored?.state.createdMs === state.createdMs && stored.state.principal === state.principal
    if (stored === undefined || !isSame) return false
    this.#stored = stored
    this.#written = stored.state
    return true
  }

  #answer<Value>(work: () => Promise<Value | Refusal>, effects?: 'seen' | 'unseen'): Promise<Value | Refusal> {
    return this.#engine.answer(work, effects)
  }

  get #state(): InstanceState {
    return this.#stored.state
  }

  #touched(state: InstanceState): InstanceState {
    const { clock, settings } = this.#engine.context
    return touched(state, clock.now(), settings.consumerInstanceTimeoutMs)
  }

  #freshMemberId(): MemberId {
    return this.#engine.context.newVersion() as MemberId
  }

  #gone(): Refusal {
    return unknownInstance(this.#stored.group, this.#stored.id)
  }

  #notHeld({ topic, partition }: TopicPartition): Refusal {
    return refusal(
      'ILLEGAL_STATE',
      `Topic ${JSON.stringify(topic.slice(0, 300))}, partition ${partition} is not assigned to consumer instance '${this.#stored.id}'.`,
    )
  }
}

type ToCommit = ExplicitOffset & Pick<Held, 'claim' | 'topicId'>

function assignmentOf({ holding }: InstanceState): readonly TopicPartition[] {
  return holding
    .map(({ topic, partition }) => ({ topic, partition }))
    .sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1))
}

function isGone({ code }: Refusal): boolean {
  return code === 'UNKNOWN_MEMBER_ID' || code === 'FENCED_INSTANCE_ID'
}

function exclusive(id: string): Refusal {
  return refusal(
    'ILLEGAL_STATE',
    `Subscription to topics, to a pattern, and partitions assigned by hand exclude each other; unsubscribe consumer instance '${id}' first.`,
  )
}
