/**
 * A request's hold on an instance: its state as it was read, what this request has made of it, and the write of that, which fails
 * where another request was faster.
 */
import { type Refusal, refusal } from '../core/errors.ts'
import type { MemberId } from '../core/names.ts'
import type { Engine } from './engine.ts'
import type { CommittedOffset, Membership, TopicPartition } from './group-api.ts'
import type { ExplicitOffset } from './instance-api.ts'
import type { Held, InstanceState } from './instance-item.ts'
import { fenced, heldKey, informed, moved, rejoining, uncommitted } from './instance-item.ts'
import { type InstanceStore, type StoredInstance, tooMany, touched, unknownInstance } from './instance-store.ts'
import type { Answer, Log } from './log.ts'

/** What an instance asks of the log it is part of. */
export type InstanceLog = Pick<Log, 'groups' | 'fetchMany' | 'offsets' | 'offsetForTimestamp'>

export type Done = { readonly ok: true } | Refusal

/** How often a request begins again, since others on the same instance are faster. */
export const attemptsMax = 20

export class InstanceSession {
  readonly engine: Engine
  readonly log: InstanceLog
  readonly #store: InstanceStore
  /** The state may be ahead of what is stored: `#written`. */
  #stored: StoredInstance
  #written: InstanceState

  constructor(engine: Engine, log: InstanceLog, store: InstanceStore, stored: StoredInstance) {
    this.engine = engine
    this.log = log
    this.#store = store
    this.#stored = stored
    this.#written = stored.state
  }

  get state(): InstanceState {
    return this.#stored.state
  }
  get group(): string {
    return this.#stored.group
  }
  get id(): string {
    return this.#stored.id
  }

  /** False where it has changed since it was read. */
  remove(): Promise<boolean> {
    return this.#store.remove(this.#stored)
  }

  /** Writes if there is anything to write: the state, or that it was used. False where somebody else was faster. */
  async replace(state: InstanceState): Promise<boolean> {
    const next = this.#touched(state)
    if (next === this.#written) return true
    const written = await this.#store.replace(this.#stored, next)
    if (written === 'changed') return false
    this.#stored = written
    this.#written = next
    return true
  }

  /** The read-decide-write loop. */
  async change(decide: (state: InstanceState) => InstanceState | Refusal): Promise<Done> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const next = decide(this.state)
      if ('ok' in next) return next
      if (await this.replace(next)) return { ok: true }
      await this.engine.context.pause(attempt)
      if (!(await this.readAgain())) return this.gone()
    }
    return this.busy()
  }

  /** False where it is gone, or another one has its name now. */
  async readAgain(): Promise<boolean> {
    const { group, id, state } = this.#stored
    const stored = await this.#store.read(group, id)
    const isSame = stored?.state.createdMs === state.createdMs && stored.state.principal === state.principal
    if (stored === undefined || !isSame) return false
    this.#stored = stored
    this.#written = stored.state
    return true
  }

  async join(): Promise<Done> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const { member, subscription } = this.state
      if (member === undefined || subscription === undefined || member.isJoined) return { ok: true }
      const joined = await this.heartbeat()
      if (!joined.ok && !isGone(joined)) return joined
      if (joined.ok && (await this.replace(informed(this.state, joined, false)))) return { ok: true }
      if (!joined.ok ? !(await this.rejoin()) : !(await this.readAgain())) return this.gone()
    }
    return this.busy()
  }

  /** Joins where it has not; otherwise says that it is there, and what it holds. */
  async heartbeat(): Promise<Answer<Membership>> {
    const { group, id } = this.#stored
    const { member, subscription, config, holding } = this.state
    if (member === undefined || subscription === undefined) return this.gone()
    const { consumerInstanceTimeoutMs, sessionTimeoutMsMin, sessionTimeoutMsMax } = this.engine.context.settings
    if (!member.isJoined)
      return this.log.groups.join({
        group,
        memberId: member.id,
        clientId: id,
        subscription,
        // Its polls are its heartbeats, and its client polls when it likes: it is there for as long as the instance is.
        sessionTimeoutMs:
          config.sessionTimeoutMs ??
          Math.min(Math.max(consumerInstanceTimeoutMs, sessionTimeoutMsMin), sessionTimeoutMsMax),
      })
    return this.log.groups.heartbeat({
      group,
      memberId: member.id,
      epoch: member.epoch,
      holding: holding.flatMap(({ topicId, partition, claim }) =>
        topicId === undefined || claim === undefined ? [] : [{ topicId, partition, claim }],
      ),
    })
  }

  /** The member is gone: another one takes its place. False where the instance is gone, too. */
  async rejoin(): Promise<boolean> {
    const gone = this.state.member?.id
    const changed = await this.change((state) =>
      state.member?.id === gone && gone !== undefined ? rejoining(state, this.freshMemberId()) : state,
    )
    return changed.ok
  }

  /** Commits if it does so by itself, and leaves the group. */
  async leave(): Promise<Done> {
    if (this.state.config.isAutoCommit) await this.commitPositions()
    const { member } = this.state
    return member === undefined ? { ok: true } : this.log.groups.leave(this.#stored.group, member.id)
  }

  /** Commits what is not committed yet. What is refused stays so: a lost partition is somebody else's, the rest comes next time. */
  async commitPositions(): Promise<void> {
    const wanted = uncommitted(this.state)
    if (wanted.length > 0) await this.commitNow(wanted.map((held) => ({ ...held, offset: held.position ?? 0 })))
  }

  async commitNow(wanted: readonly ToCommit[]): Promise<Answer<{ readonly offsets: readonly CommittedOffset[] }>> {
    const answer = await this.log.groups.commit(
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
    const lost = answer.offsets.flatMap((one) => (!one.ok && one.code === 'FENCED_CLAIM' ? [heldKey(one)] : []))
    this.#stored = { ...this.#stored, state: fenced(moved(this.state, new Map(done)), new Set(lost)) }
    return answer
  }

  freshMemberId(): MemberId {
    return this.engine.context.newVersion() as MemberId
  }

  gone(): Refusal {
    return unknownInstance(this.group, this.id)
  }

  busy(): Refusal {
    return tooMany(this.id)
  }

  notHeld({ topic, partition }: TopicPartition): Refusal {
    return refusal(
      'ILLEGAL_STATE',
      `Topic ${JSON.stringify(topic.slice(0, 300))}, partition ${partition} is not assigned to consumer instance '${this.#stored.id}'.`,
    )
  }

  #touched(state: InstanceState): InstanceState {
    const { clock, settings } = this.engine.context
    return touched(state, clock.now(), settings.consumerInstanceTimeoutMs)
  }
}

export type ToCommit = ExplicitOffset & Pick<Held, 'claim' | 'topicId'>

/** The member is gone, and will not come back. */
export function isGone({ code }: Refusal): boolean {
  return code === 'UNKNOWN_MEMBER_ID' || code === 'FENCED_INSTANCE_ID'
}
