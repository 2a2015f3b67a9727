/** The records of an instance: see the drawing in instance.ts. */
import { type Refusal, refusal, Unavailable } from '../core/errors.ts'
import type { Offset } from '../core/names.ts'
import type { Membership, PolledPartition } from './group-api.ts'
import { offsetsAtOnce } from './group-offsets.ts'
import { inParallel } from './in-parallel.ts'
import type { Delivery, InstanceConfig, InstancePoll, Take } from './instance-api.ts'
import type { Held, InstanceState } from './instance-item.ts'
import { forgetting, heldKey, informed, moved } from './instance-item.ts'
import { attemptsMax, type Done, type InstanceSession, isGone } from './instance-session.ts'
import type { Answer } from './log.ts'

/** Rounds of one poll: joining, letting go, being told of more, starting again elsewhere. */
const roundsMax = 100

export class PollOfInstance {
  readonly #session: InstanceSession
  /** Not to be read for now: of a topic or partition that is not there. */
  readonly #absent = new Set<string>()

  constructor(session: InstanceSession) {
    this.#session = session
  }

  async run<Value>(request: InstancePoll, take: Take<Value>): Promise<Answer<{ value: Value }>> {
    const { clock, settings } = this.#session.engine.context
    const { signal } = request
    const untilMs = clock.now() + Math.min(request.waitMs ?? this.#config.waitMs, settings.fetchWaitMsMax)
    const touching = await this.#session.change((state) => state)
    if (!touching.ok) return touching
    if (this.#config.isAutoCommit) await this.#session.commitPositions()
    for (let round = 1; round <= roundsMax; round++) {
      const ready = await this.#join()
      if (!ready.ok) return ready
      const settled = await this.#settlePositions()
      if (!settled.ok) return settled
      const before = this.#session.state
      const polled = await this.#fetch({ ...request, waitMs: Math.max(0, untilMs - clock.now()) })
      if (!polled.ok) {
        if (!isGone(polled)) return polled
        if (!(await this.#session.rejoin())) return this.#session.gone()
        continue
      }
      const { membership, partitions } = polled
      const outcome = this.#outcomeOf(before, partitions)
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
        const isWritten = await this.#session.replace(next)
        if (isWritten && isQuiet && (clock.now() >= untilMs || signal?.aborted === true)) break
        if (isWritten) {
          if (signal?.aborted === true) break
          continue
        }
      }
      // Another request on this instance was faster: from where it is now.
      if (!(await this.#session.readAgain())) return this.#session.gone()
    }
    const empty = take([])
    return empty.ok ? { ok: true, value: empty.value } : empty
  }

  /** Is it to read anything, and a member where it must be one? Another request may have changed that meanwhile. */
  async #join(): Promise<Done> {
    const { isManual, subscription, member } = this.#session.state
    if (isManual || member?.isJoined === true) return { ok: true }
    if (subscription !== undefined) return this.#session.join()
    return refusal(
      'ILLEGAL_STATE',
      `Consumer instance '${this.#session.id}' is not subscribed to topics, and has no partitions.`,
    )
  }

  async #fetch(
    request: InstancePoll,
  ): Promise<Answer<{ readonly membership?: Membership; readonly partitions: readonly PolledPartition[] }>> {
    const { group } = this.#session
    const { member, holding, config } = this.#session.state
    const limits = {
      ...(request.waitMs === undefined ? {} : { waitMs: request.waitMs }),
      ...(request.bytesMax === undefined ? {} : { bytesMax: request.bytesMax }),
      ...(config.bytesMin === undefined ? {} : { bytesMin: config.bytesMin }),
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    }
    const offsetOf = (held: Held) =>
      held.position === undefined || this.#absent.has(heldKey(held)) ? {} : { offset: held.position }
    if (member === undefined)
      return this.#session.log.fetchMany({
        ...limits,
        partitions: holding.flatMap((held) => {
          const { topic, partition, topicId } = held
          const { offset } = offsetOf(held)
          if (offset === undefined) return []
          return [{ topic, partition, offset, ...(topicId === undefined ? {} : { topicId }) }]
        }),
      })
    return this.#session.log.groups.poll({
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
      // Compaction left nothing: the position moves, and there is nothing to deliver.
      if (polled.ok && polled.batches.length === 0) changes.set(heldKey(polled), { position: polled.nextOffset })
      else if (polled.ok) deliveries.push({ topic, partition, offset: held.position, fetched: polled })
      else if (polled.code === 'OFFSET_OUT_OF_RANGE') {
        const { startOffset, endOffset } = polled.details ?? {}
        const position = this.#config.offsetReset === 'earliest' ? startOffset : endOffset
        if (this.#config.offsetReset === 'none' || position === undefined) return polled
        changes.set(heldKey(polled), { position })
      } else if (held.claim === undefined && held.topicId !== undefined) forgotten.add(heldKey(polled))
      else this.#absent.add(heldKey(polled))
    }
    return { ok: true, deliveries, changes, forgotten, isQuiet: partitions.length === 0 }
  }

  /** Where nothing says where to begin: the committed offset, or what `auto.offset.reset` says. */
  async #settlePositions(): Promise<Done> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const unsettled = this.#session.state.holding.filter(
        (held) => held.position === undefined && !this.#absent.has(heldKey(held)),
      )
      if (unsettled.length === 0) return { ok: true }
      const ranges = await inParallel(unsettled, offsetsAtOnce, ({ topic, partition }) =>
        this.#session.log.offsets(topic, partition),
      )
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
        else this.#absent.add(heldKey(held))
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
        else if (this.#config.offsetReset === 'none')
          return refusal(
            'OFFSET_OUT_OF_RANGE',
            `Topic '${held.topic}', partition ${held.partition} has no committed offset in group '${this.#session.group}', and auto.offset.reset is none.`,
            { startOffset, endOffset: highWatermark },
          )
        else
          changes.set(heldKey(held), {
            topicId,
            position: this.#config.offsetReset === 'earliest' ? startOffset : highWatermark,
          })
      }
      if (await this.#session.replace(moved(this.#session.state, changes))) return { ok: true }
      if (!(await this.#session.readAgain())) return this.#session.gone()
    }
    return this.#session.busy()
  }

  async #committedOf(partitions: readonly Held[]): Promise<{ ok: true; offsets: Map<string, Offset> } | Refusal> {
    if (partitions.length === 0) return { ok: true, offsets: new Map() }
    const found = await this.#session.log.groups.committed(this.#session.group, partitions)
    if (found.ok) return { ok: true, offsets: new Map(found.offsets.map((one) => [heldKey(one), one.offset])) }
    return found.code === 'GROUP_ID_NOT_FOUND' ? { ok: true, offsets: new Map() } : found
  }

  /**
   * Moves the positions; false where another request did (I1). Where it is not known whether they were moved the records are
   * answered all the same: if they were, nobody would see them otherwise; if not, they come once more.
   */
  async #deliver(next: InstanceState): Promise<boolean> {
    try {
      return await this.#session.replace(next)
    } catch (error) {
      if (error instanceof Unavailable && error.effects === 'possible') return true
      throw error
    }
  }

  get #config(): InstanceConfig {
    return this.#session.state.config
  }
}
