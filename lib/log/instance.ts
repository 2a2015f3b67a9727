/**
 * What is done with an instance. Each request begins with the instance as it was read, does its part as a member of the group or
 * by hand, and writes what has changed on the condition that nobody else did; otherwise it reads again and goes on from there.
 *
 *     poll   commit what was delivered before (I2) ─▶ join ─▶ settle positions ─▶ fetch ─▶ write the positions ─▶ answer (I1)
 *                                       ▲                                        │
 *                                       └── the group has something to say ──────┘
 */
import { type Refusal, refusal } from '../core/errors.ts'
import type { Subscription } from '../core/group.ts'
import type { Offset } from '../core/names.ts'
import { parseTopicName } from '../core/names.ts'
import type { CommittedOffset, StoredOffset, TopicPartition } from './group-api.ts'
import { offsetsAtOnce } from './group-offsets.ts'
import { parseSubscription } from './group-topics.ts'
import { inParallel } from './in-parallel.ts'
import type { ExplicitOffset, Instance, InstanceConfig, InstancePoll, Seek, Take } from './instance-api.ts'
import type { InstanceState } from './instance-item.ts'
import { assigned, heldKey, informed, moved, released, subscribed, uncommitted } from './instance-item.ts'
import { PollOfInstance } from './instance-poll.ts'
import { attemptsMax, type InstanceSession, isGone, type ToCommit } from './instance-session.ts'
import type { Answer } from './log.ts'

export class OpenInstance implements Instance {
  readonly #session: InstanceSession

  constructor(session: InstanceSession) {
    this.#session = session
  }

  get config(): InstanceConfig {
    return this.#session.state.config
  }
  get subscription(): Subscription | undefined {
    return this.#session.state.subscription
  }
  get assignment(): readonly TopicPartition[] {
    return assignmentOf(this.#session.state)
  }

  delete(): Promise<Answer<object>> {
    return this.#answer(async () => {
      for (let attempt = 1; attempt <= attemptsMax; attempt++) {
        const left = await this.#session.leave()
        if (!left.ok || (await this.#session.remove())) return left
        if (!(await this.#session.readAgain())) return { ok: true }
      }
      return this.#session.busy()
    })
  }

  subscribe(subscription: Subscription): Promise<Answer<object>> {
    return this.#answer(async () => {
      const parsed = parseSubscription(subscription)
      if (!parsed.ok) return parsed
      const wanted = parsed.subscription
      return this.#session.change((state) => {
        if (state.isManual || (state.subscription !== undefined && state.subscription.kind !== wanted.kind))
          return exclusive(this.#session.id)
        if (JSON.stringify(state.subscription) === JSON.stringify(wanted)) return state
        return subscribed(state, wanted, this.#session.freshMemberId())
      })
    })
  }

  unsubscribe(): Promise<Answer<object>> {
    return this.#answer(async () => {
      for (let attempt = 1; attempt <= attemptsMax; attempt++) {
        const left = await this.#session.leave()
        if (!left.ok || (await this.#session.replace(released(this.#session.state)))) return left
        if (!(await this.#session.readAgain())) return this.#session.gone()
      }
      return this.#session.busy()
    })
  }

  assign(partitions: readonly TopicPartition[]): Promise<Answer<object>> {
    return this.#answer(async () => {
      const { groupPartitionsMax } = this.#session.engine.context.settings
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
      if (this.config.isAutoCommit && this.#session.state.isManual) await this.#session.commitPositions()
      return this.#session.change((state) => {
        if (state.subscription !== undefined) return exclusive(this.#session.id)
        return partitions.length === 0 ? released(state) : assigned(state, partitions)
      })
    })
  }

  settle(): Promise<Answer<{ readonly assignment: readonly TopicPartition[] }>> {
    return this.#answer(async () => {
      const touching = await this.#session.change((state) => state)
      if (!touching.ok) return touching
      for (let attempt = 1; attempt <= attemptsMax && this.#session.state.subscription !== undefined; attempt++) {
        const told = await this.#session.heartbeat()
        if (!told.ok) {
          if (!isGone(told)) return told
          if (!(await this.#session.rejoin())) return this.#session.gone()
        } else if (await this.#session.replace(informed(this.#session.state, told, false))) {
          if (!told.isIncomplete) break
        } else if (!(await this.#session.readAgain())) return this.#session.gone()
      }
      return { ok: true, assignment: this.assignment }
    }, 'unseen')
  }

  poll<Value>(request: InstancePoll, take: Take<Value>): Promise<Answer<{ readonly value: Value }>> {
    return this.#answer(() => new PollOfInstance(this.#session).run(request, take), 'unseen')
  }

  commit(
    offsets: readonly ExplicitOffset[] | 'positions',
  ): Promise<Answer<{ readonly offsets: readonly CommittedOffset[] }>> {
    return this.#answer(async () => {
      const touching = await this.#session.change((state) => state)
      if (!touching.ok) return touching
      if (offsets === 'positions') {
        const { isManual, holding } = this.#session.state
        // Of a member nobody else changes what is committed; by hand somebody may have.
        const wanted = isManual
          ? holding.filter(({ position }) => position !== undefined)
          : uncommitted(this.#session.state)
        return this.#commitAnd(wanted.map((held) => ({ ...held, offset: held.position ?? 0 })))
      }
      const holding = new Map(this.#session.state.holding.map((held) => [heldKey(held), held]))
      const isMember = this.#session.state.member?.isJoined === true
      for (const offset of offsets) if (isMember && !holding.has(heldKey(offset))) return this.#session.notHeld(offset)
      return this.#commitAnd(offsets.map((offset) => ({ ...holding.get(heldKey(offset)), ...offset })))
    })
  }

  committed(partitions: readonly TopicPartition[]): Promise<Answer<{ readonly offsets: readonly StoredOffset[] }>> {
    return this.#answer(async () => {
      const touching = await this.#session.change((state) => state)
      if (!touching.ok) return touching
      const found = await this.#session.log.groups.committed(this.#session.group, partitions)
      return !found.ok && found.code === 'GROUP_ID_NOT_FOUND' ? { ok: true, offsets: [] } : found
    }, 'unseen')
  }

  seek(targets: readonly Seek[]): Promise<Answer<object>> {
    return this.#answer(async () => {
      const held = new Set(this.#session.state.holding.map(heldKey))
      for (const target of targets) if (!held.has(heldKey(target))) return this.#session.notHeld(target)
      const found = await inParallel(targets, offsetsAtOnce, (target) => this.#offsetOf(target))
      const positions = new Map<string, { readonly position: Offset }>()
      for (const [at, target] of targets.entries()) {
        const offset = found[at]
        if (offset?.ok === false) return offset
        if (offset !== undefined) positions.set(heldKey(target), { position: offset.offset })
      }
      return this.#session.change((state) => {
        const present = new Set(state.holding.map(heldKey))
        const missing = targets.find((target) => !present.has(heldKey(target)))
        return missing === undefined ? moved(state, positions) : this.#session.notHeld(missing)
      })
    })
  }

  async #offsetOf(target: Seek): Promise<{ readonly ok: true; readonly offset: Offset } | Refusal> {
    if (target.to === 'offset') return { ok: true, offset: target.offset }
    if (target.to === 'time') {
      const found = await this.#session.log.offsetForTimestamp(target.topic, target.partition, target.timestampMs)
      if (!found.ok || found.offset >= 0) return found
    }
    const range = await this.#session.log.offsets(target.topic, target.partition)
    if (!range.ok) return range
    return { ok: true, offset: target.to === 'beginning' ? range.startOffset : range.highWatermark }
  }

  async #commitAnd(wanted: readonly ToCommit[]): Promise<Answer<{ readonly offsets: readonly CommittedOffset[] }>> {
    if (wanted.length === 0) return { ok: true, offsets: [] }
    const answer = await this.#session.commitNow(wanted)
    // That it is known to be committed saves a commit: if it cannot be written now, nothing is lost.
    if (answer.ok) await this.#session.replace(this.#session.state)
    return answer
  }

  #answer<Value>(work: () => Promise<Value | Refusal>, effects?: 'seen' | 'unseen'): Promise<Value | Refusal> {
    return this.#session.engine.answer(work, effects)
  }
}

function assignmentOf({ holding }: InstanceState): readonly TopicPartition[] {
  return holding
    .map(({ topic, partition }) => ({ topic, partition }))
    .sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1))
}

function exclusive(id: string): Refusal {
  return refusal(
    'ILLEGAL_STATE',
    `Subscription to topics, to a pattern, and partitions assigned by hand exclude each other; unsubscribe consumer instance '${id}' first.`,
  )
}
