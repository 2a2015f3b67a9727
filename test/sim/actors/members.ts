/**
 * Members of consumer groups, as a careful client is one: process, then commit; let go after a last commit. They call whichever
 * process they like, give up on answers, come back late, die, and go on as if nothing had been.
 */
import type { AssignorName } from '../../../lib/core/assignor.ts'
import type { Subscription } from '../../../lib/core/group.ts'
import { assignorNames } from '../../../lib/core/group.ts'
import { parseClaim } from '../../../lib/core/group-offset.ts'
import type { GroupId, MemberId, Offset, TopicId } from '../../../lib/core/names.ts'
import type { JoinRequest, Membership, Polled, PollRequest } from '../../../lib/log/group-api.ts'
import type { Answer } from '../../../lib/log/log.ts'
import type { Dice } from '../dice.ts'
import type { MemberView } from '../group-truth.ts'
import type { Heard, Simulation } from '../simulation.ts'
import { isDefinite } from '../simulation.ts'
import { somePatience } from './appends.ts'
import { deleteGroup } from './keepers.ts'
import { checkRecords } from './readers.ts'

interface Held {
  readonly topic: string
  readonly topicId: TopicId
  readonly partition: number
  claim: string
  position: Offset
  /** Committed last, as far as it knows. */
  committed: Offset | undefined
  /** The highest that it was given or wanted to commit: below it, it means to go back. */
  highest: Offset
  isRevoked: boolean
}

/** How a member behaves; `careful` ones do nothing that is not asked of them. */
interface Manners {
  readonly isCareful: boolean
}

export class Member implements MemberView {
  readonly memberId: MemberId
  readonly holding = new Map<string, Held>()
  epoch = 0
  groupId: GroupId | undefined
  readonly request: JoinRequest
  readonly #sim: Simulation
  readonly #dice: Dice

  constructor(sim: Simulation, dice: Dice, request: JoinRequest) {
    this.#sim = sim
    this.#dice = dice
    this.request = request
    this.memberId = request.memberId as MemberId
  }

  get #truth() {
    return this.#sim.truth.groups
  }

  async join(request: JoinRequest, patienceMs: number): Promise<Heard<Membership>> {
    const what = `join ${request.group} ${this.memberId} ${shown(request.subscription)}`
    const { joining } = this.#truth
    const count = (more: number) => joining.set(this.memberId, (joining.get(this.memberId) ?? 0) + more)
    const send = (patience: number) =>
      this.#sim.call(
        this.memberId,
        this.#sim.anyProcess(this.#dice),
        what,
        (log) => {
          count(1)
          return log.groups.join(request)
        },
        (answer) => {
          if (answer.ok) count(-1)
          this.#check(what, answer)
        },
        patience,
      )
    this.#late(0.1, () => send(0))
    const heard = await send(patienceMs)
    if (heard.kind === 'answered' && heard.answer.ok) {
      if (!this.#truth.views.has(this.memberId)) this.#truth.views.set(this.memberId, this)
      this.apply(heard.answer)
    }
    return heard
  }

  async heartbeat(patienceMs: number): Promise<Heard<Membership>> {
    const { group } = this.request
    const holding = [...this.holding.values()].map(({ topicId, partition, claim }) => ({ topicId, partition, claim }))
    const what = `heartbeat ${group} ${this.memberId} epoch ${this.epoch} ${this.#shown()}`
    const { memberId, epoch } = this
    const send = (patience: number) =>
      this.#sim.call(
        memberId,
        this.#sim.anyProcess(this.#dice),
        what,
        (log) => log.groups.heartbeat({ group, memberId, epoch, holding }),
        (answer) => this.#check(what, answer),
        patience,
      )
    this.#late(0.2, () => send(0))
    const heard = await send(patienceMs)
    if (heard.kind === 'answered' && heard.answer.ok) this.apply(heard.answer)
    return heard
  }

  /** Polls, and processes what it is given. */
  async poll(
    options: Pick<PollRequest, 'bytesMax' | 'recordsMax' | 'waitMs'>,
    patienceMs: number,
  ): Promise<Heard<Polled>> {
    const { memberId, epoch } = this
    const { group } = this.request
    const holding = [...this.holding.values()].map(({ topic, topicId, partition, claim, position, isRevoked }) => ({
      topic,
      topicId,
      partition,
      claim,
      ...(isRevoked ? {} : { offset: position }),
    }))
    const what = `poll ${group} ${memberId} epoch ${epoch} ${this.#shown()} ${JSON.stringify(options)}`
    const heard = await this.#sim.call(
      memberId,
      this.#sim.anyProcess(this.#dice),
      what,
      (log) => log.groups.poll({ group, memberId, epoch, holding, ...options }),
      (answer) => {
        if (answer.ok && answer.membership !== undefined) this.#check(what, { ok: true, ...answer.membership })
      },
      patienceMs,
    )
    if (heard.kind === 'lost' || !heard.answer.ok) return heard
    const { membership, partitions } = heard.answer
    if (membership !== undefined) this.apply(membership)
    for (const answer of partitions) {
      const { topic, partition } = answer
      if (answer.ok) {
        const held = this.holding.get(keyOf(answer.topicId, partition))
        if (held === undefined || held.isRevoked) continue
        const there = this.#sim.truth.partition(answer.topicId, partition)
        const end = there && checkRecords(this.#sim, there, answer.batches, held.position, what)
        if (end !== undefined && answer.batches.length > 0 && end !== answer.nextOffset)
          this.#sim.history.violate('D3', `${what}: ${topic}/${partition} ends at ${end} and says ${answer.nextOffset}`)
        if (this.groupId !== undefined)
          this.#truth.process(this.groupId, held.topicId, partition, held.position, answer.nextOffset)
        held.position = answer.nextOffset
      } else if (answer.code === 'OFFSET_OUT_OF_RANGE') {
        const start = answer.details?.startOffset
        for (const held of this.holding.values())
          if (held.topic === topic && held.partition === partition && start !== undefined && held.position < start)
            held.position = start
      }
    }
    return heard
  }

  /** Takes up, lets go, drops: what an answer says. */
  apply(membership: Membership): void {
    if (membership.epoch >= (this.#truth.unaware.get(this.memberId) ?? 0)) this.#truth.unaware.delete(this.memberId)
    this.groupId = membership.groupId
    this.epoch = membership.epoch
    for (const { topicId, partition } of membership.lost) this.holding.delete(keyOf(topicId, partition))
    for (const { topicId, partition } of membership.revoked) {
      const held = this.holding.get(keyOf(topicId, partition))
      if (held !== undefined) held.isRevoked = true
    }
    for (const { topic, topicId, partition, claim, offset } of membership.assigned) {
      const held = this.holding.get(keyOf(topicId, partition))
      // By the claim that it has it goes on. Another means that it was no member for a while, perhaps of another group.
      if (held?.claim === claim) continue
      this.holding.set(keyOf(topicId, partition), {
        topic,
        topicId,
        partition,
        claim,
        position: offset ?? 0,
        committed: offset,
        highest: offset ?? 0,
        isRevoked: false,
      })
    }
  }

  /** Commits positions. `back`: the first of them goes back by so much, and is read from there again. */
  async commit(which: readonly Held[], patienceMs: number, back = 0): Promise<void> {
    const first = which[0]
    if (first === undefined) return
    if (back > 0) first.position = Math.max(0, first.position - back)
    const { group } = this.request
    const commits = which.map((held) => ({
      held,
      intent: this.#truth.intend({
        group,
        topicId: held.topicId,
        partition: held.partition,
        offset: held.position,
        claim: held.claim,
        isLower: held.position < held.highest,
      }),
    }))
    for (const { held } of commits) held.highest = Math.max(held.highest, held.position)
    const offsets = commits.map(({ held: { topic, topicId, partition, claim }, intent }) => ({
      topic,
      partition,
      topicId,
      claim,
      offset: intent.offset,
      metadata: `c${intent.id}`,
    }))
    const what = `commit ${group} ${offsets.map(({ partition, offset, claim, metadata, topicId }) => `${topicId.slice(0, 4)}/${partition}@${offset} ${claim} ${metadata}`).join(', ')}`
    const heard = await this.#sim.call(
      this.memberId,
      this.#sim.anyProcess(this.#dice),
      what,
      (log) => log.groups.commit(group, offsets),
      (answer) => {
        for (const [at, { intent }] of commits.entries()) {
          const one = answer.ok ? answer.offsets[at]! : answer
          intent.told = one.ok ? 'committed' : isDefinite(one.code) ? 'definite' : 'possible'
          if (intent.told === 'committed' && !intent.applied)
            this.#sim.history.violate('O1', `commit ${intent.id} was acknowledged, and does not count`)
          if (intent.told === 'definite' && intent.applied)
            this.#sim.history.violate('errors.ts', `commit ${intent.id} counts, and was refused for good`)
        }
      },
      patienceMs,
    )
    if (heard.kind === 'lost' || !heard.answer.ok) return
    for (const [at, { held, intent }] of commits.entries()) {
      const answer = heard.answer.offsets[at]!
      if (answer.ok) held.committed = intent.offset
      else if (answer.code === 'FENCED_CLAIM' && held.claim === intent.claim) {
        // Another has it, or it has another claim by now: it lets go, and looks.
        this.holding.delete(keyOf(held.topicId, held.partition))
        this.epoch = 0
      }
    }
  }

  /** It is dead, or no member any more: what it held it no longer reads. */
  end(): void {
    this.holding.clear()
    this.#truth.views.delete(this.memberId)
  }

  async leave(patienceMs: number): Promise<void> {
    const { group } = this.request
    this.end()
    this.#truth.leaving.add(this.memberId)
    await this.#sim.call(
      this.memberId,
      this.#sim.anyProcess(this.#dice),
      `leave ${group} ${this.memberId}`,
      (log) => log.groups.leave(group, this.memberId),
      () => undefined,
      patienceMs,
    )
  }

  get dirty(): Held[] {
    return [...this.holding.values()].filter(({ position, committed }) => position !== (committed ?? 0))
  }

  get revoked(): Held[] {
    return [...this.holding.values()].filter(({ isRevoked }) => isRevoked)
  }

  letGo(): void {
    for (const [key, { isRevoked }] of [...this.holding]) if (isRevoked) this.holding.delete(key)
  }

  /** A request that arrives once more, or late: somebody between the client and the process repeated it. */
  #late(probability: number, send: () => Promise<unknown>): void {
    if (!this.#sim.areFaultsOn || !this.#dice.chance(probability)) return
    const [least, most] = this.#sim.swarm.lateMs
    this.#sim.world.after(this.#dice.scattered(least, most), () => {
      if (this.#sim.areFaultsOn) void send()
    })
  }

  /** Of every answer with a membership, whoever still listens. */
  #check(what: string, answer: Answer<Membership>): void {
    if (!answer.ok) return
    const { history, truth } = this.#sim
    const incarnation = this.#truth.incarnations.get(answer.groupId)
    if (incarnation === undefined || incarnation.name !== this.request.group || answer.memberId !== this.memberId) {
      history.violate('D6', `${what} was answered for ${answer.memberId} of ${answer.groupId}`)
      return
    }
    if (answer.epoch > incarnation.group.epoch)
      history.violate('G3', `${what} was told epoch ${answer.epoch}, where it is ${incarnation.group.epoch}`)
    for (const { topic, topicId, partition, claim, offset } of answer.assigned) {
      const at = `${topic}/${partition} of ${what}`
      const parsed = parseClaim(claim)
      if (truth.names.get(topicId) !== topic) history.violate('D6', `${at}: ${topicId} is no ${topic}`)
      if (parsed?.member !== this.memberId) history.violate('O2', `${at}: the claim is ${claim}`)
      const isTrue = this.#truth.stood(
        incarnation,
        topicId,
        partition,
        0,
        (value) =>
          value?.claim?.member === parsed?.member && value?.claim?.epoch === parsed?.epoch && value?.offset === offset,
      )
      if (!isTrue) history.violate('D6', `${at}: told ${claim} and ${offset}, which never stood there`)
    }
  }

  #shown(): string {
    return [...this.holding.values()]
      .map(
        ({ topicId, partition, position, isRevoked }) =>
          `${topicId.slice(0, 4)}/${partition}@${position}${isRevoked ? '!' : ''}`,
      )
      .join(',')
  }
}

/** One member after the other, under one instance id or none. */
export async function member(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  const group = someGroup(sim, dice)
  const isStatic = dice.chance(0.3)
  for (let life = 0; sim.isActive; life++) {
    await sim.think(dice)
    await sim.groupsStarted()
    const request = someJoin(sim, dice, group, `${actor}.${life}`, isStatic ? actor : undefined)
    await live(sim, dice, new Member(sim, dice, request), { isCareful: false }, () => sim.isActive)
  }
}

/**
 * A member of a group of its own that is away for longer than its session, and does not know that its group was deleted
 * meanwhile, and made again by a repeat of its own joining.
 */
export async function sleepwalker(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  for (let life = 0; sim.isActive; life++) {
    const { sessionTimeoutMs } = sim.swarm
    const subscription = someSubscription(sim, dice)
    const request: JoinRequest = { group: actor, memberId: `${actor}.${life}`, subscription, sessionTimeoutMs }
    const me = new Member(sim, dice, request)
    const heard = await me.join(request, somePatience(dice))
    if (heard.kind === 'answered' && heard.answer.ok) {
      for (let polls = dice.int(1, 3); polls > 0; polls--) {
        await me.poll({}, somePatience(dice))
        if (dice.chance(0.3)) await me.commit(me.dirty, somePatience(dice))
      }
      await sim.world.sleep(sessionTimeoutMs * dice.between(1, 3))
      const isDeleted = await deleteGroup(sim, dice, actor, actor)
      if (isDeleted && dice.chance(0.7)) await new Member(sim, dice, request).join(request, somePatience(dice))
      for (let left = 3; left > 0 && me.dirty.length > 0; left--) {
        await me.commit(me.dirty, somePatience(dice))
        await me.poll({}, somePatience(dice))
      }
    }
    me.end()
    for (let pauses = 3; pauses > 0; pauses--) await sim.think(dice)
  }
}

/** A member that wants to read everything and does nothing wrong, until it is told to stop. */
export async function carefulMember(
  sim: Simulation,
  dice: Dice,
  request: JoinRequest,
  goesOn: () => boolean,
): Promise<void> {
  for (let life = 0; goesOn(); life++) {
    const memberId = `${request.memberId}.${life}`
    await live(sim, dice, new Member(sim, dice, { ...request, memberId }), { isCareful: true }, goesOn)
    await sim.world.sleep(100)
  }
}

async function live(
  sim: Simulation,
  dice: Dice,
  me: Member,
  { isCareful }: Manners,
  goesOn: () => boolean,
): Promise<void> {
  const { request } = me
  const patience = () => (isCareful ? 60_000 : somePatience(dice))
  const { sessionTimeoutMs = 1_000 } = request
  let isMember = false
  for (let tries = 0; !isMember && tries < 4 && goesOn(); tries++) {
    const heard = await me.join(request, patience())
    isMember = heard.kind === 'answered' && heard.answer.ok
    if (!isMember) await sim.think(dice)
  }
  while (isMember && goesOn()) {
    const act = isCareful ? 1 : dice.random()
    if (act < 0.02) return me.end()
    if (act < 0.05 || (!isCareful && sim.areGroupsStopped)) {
      if (dice.chance(0.6)) await me.commit(me.dirty, patience())
      await me.leave(patience())
      return
    }
    // Away for a while, as a process that waits for something is, or a laptop that sleeps.
    if (act < 0.09) await sim.world.sleep(dice.scattered(sessionTimeoutMs / 4, sessionTimeoutMs * 6))
    else if (act < 0.11) {
      const subscription = someSubscription(sim, dice)
      await me.join({ ...request, subscription, epoch: me.epoch }, patience())
    } else if (act < 0.15) await me.commit(me.dirty, patience(), dice.int(1, 4))
    if (me.revoked.length > 0 && (isCareful || dice.chance(0.85))) {
      if (isCareful || dice.chance(0.8)) await me.commit(me.revoked, patience())
      me.letGo()
    }
    const heard = dice.chance(0.15)
      ? await me.heartbeat(patience())
      : await me.poll(
          {
            waitMs: isCareful ? 200 : Math.floor(dice.pick([0, 0, dice.scattered(5, 5_000)])),
            ...(dice.chance(0.7) ? { bytesMax: Math.floor(dice.scattered(1, 3_000)) } : {}),
            ...(dice.chance(0.2) ? { recordsMax: dice.int(1, 10) } : {}),
          },
          patience(),
        )
    if (heard.kind === 'answered' && !heard.answer.ok) {
      const { code } = heard.answer
      if (code === 'UNKNOWN_MEMBER_ID' || code === 'FENCED_INSTANCE_ID') {
        // It did not know; what it has done it still tries to save.
        if (dice.chance(0.7)) await me.commit(me.dirty, patience())
        return me.end()
      }
    }
    if (isCareful || dice.chance(0.6)) await me.commit(me.dirty, patience())
    await (isCareful ? sim.world.sleep(dice.between(10, 100)) : sim.think(dice))
  }
  me.end()
}

export function someGroup(sim: Simulation, dice: Dice): string {
  return `g${dice.int(0, sim.swarm.groups - 1)}`
}

function someSubscription(sim: Simulation, dice: Dice): Subscription {
  const all = Array.from({ length: sim.swarm.topics }, (_, index) => `t${index}`)
  if (dice.chance(0.2)) return { kind: 'pattern', pattern: dice.pick(['t.*', 't[01]', 't0|other']) }
  return { kind: 'topics', topics: dice.chance(0.75) ? all : [dice.pick(all)] }
}

function someJoin(
  sim: Simulation,
  dice: Dice,
  group: string,
  memberId: string,
  instanceId: string | undefined,
): JoinRequest {
  const sessionTimeoutMs = Math.floor(sim.swarm.sessionTimeoutMs * dice.pick([0.5, 1, 1, 1]))
  const assignor: AssignorName = dice.chance(0.8) ? 'cooperative-sticky' : dice.pick(assignorNames)
  return {
    group,
    memberId,
    ...(instanceId === undefined ? {} : { instanceId }),
    subscription: someSubscription(sim, dice),
    sessionTimeoutMs,
    rebalanceTimeoutMs: Math.floor(sessionTimeoutMs * dice.pick([1, 5])),
    assignor,
  }
}

function shown(subscription: Subscription): string {
  return subscription.kind === 'topics' ? subscription.topics.join('+') : `/${subscription.pattern}/`
}

function keyOf(topicId: TopicId, partition: number): string {
  return `${topicId}/${partition}`
}
