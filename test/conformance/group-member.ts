/** A member of a group as a client is one: it knows an epoch, holds partitions with their claims, and does what it is told. */
import assert from 'node:assert/strict'
import type { Assigned, CommittedOffset, JoinRequest, Membership, Polled } from '../../lib/log/group-api.ts'
import type { Answer, Log, Refusal } from '../../lib/log/log.ts'
import { recordsOf, textOf } from './log-fixture.ts'

export type JoinOptions = Omit<Partial<JoinRequest>, 'group' | 'memberId'>

export class Member {
  /** Any process serves any member: change it between requests. */
  log: Log
  readonly group: string
  readonly memberId: string
  epoch = 0
  /** By `topic/partition`. */
  readonly held = new Map<string, Assigned>()
  /** Told to let go of, and kept: what a slow member does. */
  isSlow = false

  constructor(log: Log, memberId: string, group = 'billing') {
    this.log = log
    this.group = group
    this.memberId = memberId
  }

  async tryJoin(options: JoinOptions = {}): Promise<Answer<Membership>> {
    const { group, memberId } = this
    const answer = await this.log.groups.join({
      group,
      memberId,
      subscription: { kind: 'topics', topics: ['orders'] },
      ...options,
    })
    if (answer.ok) this.#carryOut(answer)
    return answer
  }

  async join(options: JoinOptions = {}): Promise<Membership> {
    return succeeded(await this.tryJoin(options))
  }

  async tryBeat(): Promise<Answer<Membership>> {
    const { group, memberId, epoch } = this
    const answer = await this.log.groups.heartbeat({ group, memberId, epoch, holding: this.holding })
    if (answer.ok) this.#carryOut(answer)
    return answer
  }

  async beat(): Promise<Membership> {
    return succeeded(await this.tryBeat())
  }

  /** Reads every partition it holds from where the group is, and goes on behind what it got. */
  async tryPoll(options: { waitMs?: number; bytesMin?: number; signal?: AbortSignal } = {}): Promise<Answer<Polled>> {
    const { group, memberId, epoch } = this
    const holding = [...this.held.values()].map(({ topic, topicId, partition, claim, offset = 0 }) => {
      return { topic, topicId, partition, claim, offset }
    })
    const answer = await this.log.groups.poll({ group, memberId, epoch, holding, ...options })
    if (answer.ok && answer.membership !== undefined) this.#carryOut(answer.membership)
    if (answer.ok)
      for (const polled of answer.partitions) {
        const held = this.held.get(`${polled.topic}/${polled.partition}`)
        if (polled.ok && held !== undefined)
          this.held.set(`${polled.topic}/${polled.partition}`, { ...held, offset: polled.nextOffset })
      }
    return answer
  }

  /** The values that a poll brought. */
  async poll(options: { waitMs?: number; bytesMin?: number } = {}): Promise<string[]> {
    return valuesOf(succeeded(await this.tryPoll(options)))
  }

  async leave(): Promise<void> {
    succeeded(await this.log.groups.leave(this.group, this.memberId))
    this.held.clear()
  }

  /** Of one partition that it holds, or held, with the claim that it has. */
  commit(offset: number, partition = 0, topic = 'orders', metadata?: string): Promise<CommittedOffset> {
    const held = this.held.get(`${topic}/${partition}`)
    assert.ok(held !== undefined, `${this.memberId} does not hold ${topic}/${partition}`)
    return commitWith(this.log, this.group, held, offset, metadata)
  }

  get holding() {
    return [...this.held.values()].map(({ topicId, partition, claim }) => ({ topicId, partition, claim }))
  }

  /** `topic/partition`, ascending. */
  get names(): string[] {
    return [...this.held.keys()].sort()
  }

  #carryOut({ epoch, assigned, revoked, lost }: Membership): void {
    for (const one of assigned) this.held.set(`${one.topic}/${one.partition}`, one)
    for (const { topicId, partition } of this.isSlow ? lost : [...lost, ...revoked])
      for (const [name, held] of this.held)
        if (held.topicId === topicId && held.partition === partition) this.held.delete(name)
    this.epoch = epoch
  }
}

/** A commit with this claim, whoever shows it. */
export async function commitWith(
  log: Log,
  group: string,
  { topic, partition, claim }: Pick<Assigned, 'topic' | 'partition' | 'claim'>,
  offset: number,
  metadata?: string,
): Promise<CommittedOffset> {
  const answer = succeeded(
    await log.groups.commit(group, [
      { topic, partition, claim, offset, ...(metadata === undefined ? {} : { metadata }) },
    ]),
  )
  return answer.offsets[0]!
}

export function valuesOf({ partitions }: Polled): string[] {
  return partitions.flatMap((polled) => {
    assert.ok(polled.ok, polled.ok ? '' : polled.message)
    return recordsOf(polled).map((record) => textOf(record.value) ?? '')
  })
}

export function succeeded<Value>(answer: ({ readonly ok: true } & Value) | Refusal): Value & { readonly ok: true } {
  assert.ok(answer.ok, answer.ok ? '' : `${answer.code}: ${answer.message}`)
  return answer
}

/** Beats of all members, until none of them is told anything new. */
export async function settled(...members: readonly Member[]): Promise<void> {
  for (let round = 0; round < 20; round++) {
    const answers: Membership[] = []
    for (const member of members) answers.push(await member.beat())
    const isQuiet = answers.every(
      ({ assigned, revoked, lost, isIncomplete, epoch }) =>
        assigned.length + revoked.length + lost.length === 0 && !isIncomplete && epoch === answers[0]?.epoch,
    )
    if (isQuiet) return
  }
  assert.fail('the group did not come to rest')
}

/** What these members hold together, ascending; none of it twice (G1). */
export function heldByAll(...members: readonly Member[]): string[] {
  const names = members.flatMap((member) => member.names).sort()
  assert.equal(new Set(names).size, names.length, `held twice: ${names}`)
  return names
}
