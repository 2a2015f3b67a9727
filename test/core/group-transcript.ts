/**
 * Groups as conversations that a person can review (group-transcripts/*.txt): commands after `> `, what came of each below it.
 *
 *     topic orders 4 | topic orders deleted | topic orders 4 created again
 *     join a orders,payments | join a /pattern/     with instance=i, assignor=range, session=10s, rebalance=60s behind it
 *     poll a                        a says what it reads, and hears; what it heard last to let go of, it has let go of now
 *     poll a still reading          the same, but it has not let go
 *     repeat a                      its last poll arrives once more
 *     commit a orders/0 17          with the claim that it has, or had last
 *     reset orders/0 5              from outside
 *     leave a
 *     after 30s                     time passes; who does not poll is silent
 *     check                         somebody looks after the group: evicts the silent and the overdue, notices topics
 *
 * A group is shown when it has changed: what each member reads, what it is giving back, what it waits for.
 */
import {
  dutiesOf,
  type Group,
  type GroupTopic,
  join,
  type MemberOptions,
  newGroup,
  overdueMembers,
  refresh,
  release,
  remove,
  stateOf,
} from '../../lib/core/group.ts'
import {
  type Claim,
  decideClaim,
  decideCommit,
  decideCommitFromOutside,
  type GroupOffset,
  incarnationOf,
} from '../../lib/core/group-offset.ts'
import type { MemberId, TopicId } from '../../lib/core/names.ts'
import {
  formatPartitionSet,
  minus,
  type PartitionSet,
  partitionSet,
  partitionsOf,
} from '../../lib/core/partition-set.ts'
import { groupId, id, options, resolve, seenBy, topics } from './group-fixture.ts'

/** A member's own view. */
interface Reader {
  epoch: number
  reading: PartitionSet
  /** Of what it reads, what it was told to let go of. */
  revoked: PartitionSet
  readonly claims: Map<string, Claim>
  beatMs: number
  lastSaid?: { readonly epoch: number; readonly holding: PartitionSet }
}

/** The script again, with what comes of it now. Prose, and everything before the first command, stays as it is. */
export function transcribe(script: string): string {
  const conversation = new Conversation()
  const lines: string[] = []
  let isOutput = false
  for (const line of script.split('\n')) {
    if (line.startsWith('> ')) {
      lines.push(line, ...conversation.run(line.slice(2)).map((output) => `    ${output}`.trimEnd()))
      isOutput = true
    } else if (!isOutput || !line.startsWith('    ')) {
      lines.push(line)
      isOutput = false
    }
  }
  return lines.join('\n')
}

class Conversation {
  #group: Group = newGroup(groupId, 0)
  readonly #existing = new Map<string, GroupTopic>()
  readonly #incarnations = new Map<string, number>()
  readonly #readers = new Map<MemberId, Reader>()
  readonly #offsets = new Map<string, GroupOffset>()
  #nowMs = 0

  run(command: string): string[] {
    const [verb, ...words] = command.split(' ')
    const before = this.#group
    const said = this.#do(verb ?? '', words)
    return [...said, ...(this.#group === before ? [] : this.#shown())]
  }

  #do(verb: string, words: readonly string[]): string[] {
    const [first = '', second = '', ...rest] = words
    switch (verb) {
      case 'topic':
        return this.#topic(first, second, rest.join(' '))
      case 'join':
        return this.#join(id(first), second, rest)
      case 'poll':
        return this.#poll(id(first), words.length > 1)
      case 'repeat': {
        const { lastSaid } = this.#readers.get(id(first))!
        this.#group = release(this.#group, id(first), lastSaid!.epoch, lastSaid!.holding, this.#nowMs)
        return []
      }
      case 'commit': {
        const had = this.#readers.get(id(first))?.claims.get(second) ?? { epoch: 0 }
        const claim = { member: id(first), epoch: had.epoch, incarnation: incarnationOf(groupId) }
        const commit = { offset: Number(rest[0]), metadata: '' }
        const decided = decideCommit(this.#offsets.get(second), groupId, claim, commit, this.#nowMs)
        if (decided.kind === 'fenced') return [`refused: ${described(decided.by)}`]
        this.#offsets.set(second, decided.next)
        return ['committed']
      }
      case 'reset': {
        if (this.#group.members.size > 0) return ['refused: the group has members']
        const commit = { offset: Number(second), metadata: '' }
        const decided = decideCommitFromOutside(this.#offsets.get(first), this.#group.epoch, commit, this.#nowMs)
        if (decided.kind === 'fenced') return [`refused: ${described(decided.by)}`]
        this.#offsets.set(first, decided.next)
        return ['committed']
      }
      case 'leave':
        this.#group = remove(this.#group, [id(first)], this.#seen(), resolve, this.#nowMs)
        return []
      case 'after':
        this.#nowMs += milliseconds(first)
        return []
      case 'check':
        return this.#check()
      default:
        throw new Error(`no command ${verb}`)
    }
  }

  #topic(name: string, partitions: string, how: string): string[] {
    if (partitions === 'deleted') {
      this.#existing.delete(name)
      return []
    }
    const incarnation = (this.#incarnations.get(name) ?? 1) + (how === 'created again' ? 1 : 0)
    this.#incarnations.set(name, incarnation)
    const topicId = (incarnation === 1 ? name : `${name}#${incarnation}`) as TopicId
    this.#existing.set(name, { id: topicId, partitions: Number(partitions) })
    return []
  }

  #join(memberId: MemberId, wanted: string, rest: readonly string[]): string[] {
    const subscription = wanted.startsWith('/')
      ? { kind: 'pattern' as const, pattern: wanted.slice(1, -1) }
      : topics(...wanted.split(','))
    const said = Object.fromEntries(rest.map((word) => word.split('=')))
    const chosen: MemberOptions = options(subscription, {
      ...(said.instance === undefined ? {} : { instanceId: said.instance }),
      ...(said.assignor === undefined ? {} : { assignor: said.assignor }),
      ...(said.session === undefined ? {} : { sessionTimeoutMs: milliseconds(said.session) }),
      ...(said.rebalance === undefined ? {} : { rebalanceTimeoutMs: milliseconds(said.rebalance) }),
    })
    const { next, replaced } = join(this.#group, memberId, chosen, this.#seen(subscription), resolve, this.#nowMs)
    this.#group = next
    if (!this.#readers.has(memberId))
      this.#readers.set(memberId, {
        epoch: 0,
        reading: new Map(),
        revoked: new Map(),
        claims: new Map(),
        beatMs: this.#nowMs,
      })
    return replaced === undefined ? [] : [`${memberId} takes the place of ${replaced}`]
  }

  #poll(memberId: MemberId, isStillReading: boolean): string[] {
    const reader = this.#readers.get(memberId)!
    if (!this.#group.members.has(memberId)) return [`${memberId} is no member`]
    reader.beatMs = this.#nowMs
    if (!isStillReading) reader.reading = minus(reader.reading, reader.revoked)
    reader.lastSaid = { epoch: reader.epoch, holding: reader.reading }
    this.#group = release(this.#group, memberId, reader.epoch, reader.reading, this.#nowMs)
    const member = this.#group.members.get(memberId)!
    reader.epoch = this.#group.epoch
    const lost = minus(reader.reading, member.owned)
    const kept = minus(reader.reading, lost)
    const { assigned, revoked } = dutiesOf(member)
    const taken: string[] = []
    const told: (readonly [TopicId, number])[] = []
    for (const [topicId, partition] of partitionsOf(minus(assigned, kept))) {
      const key = `${topicId}/${partition}`
      const claim = { member: memberId, epoch: this.#group.epoch }
      const decided = decideClaim(this.#offsets.get(key), claim)
      if (decided.kind === 'fenced') throw new Error(`${key}: ${described(decided.by)}`)
      if (decided.kind === 'claimed') this.#offsets.set(key, decided.next)
      reader.claims.set(key, claim)
      const { offset } = this.#offsets.get(key)!
      if (offset === undefined) told.push([topicId, partition])
      else taken.push(`${key} at ${offset}`)
    }
    const heard: [string, string][] = [
      ['take up', [show(partitionSet(told)), ...taken].filter((text) => text !== '').join(', ')],
      ['let go of', show(minus(kept, minus(kept, revoked)))],
      ['lost', show(lost)],
    ]
    reader.revoked = minus(kept, minus(kept, revoked))
    reader.reading = new Map([...kept, ...partitionSet([...partitionsOf(kept), ...partitionsOf(assigned)])])
    const words = heard.filter(([, what]) => what !== '').map(([verb, what]) => `${verb} ${what}`)
    return [`${memberId} hears: ${words.length === 0 ? 'nothing new' : words.join('; ')}`]
  }

  #check(): string[] {
    const said: string[] = []
    const silent = [...this.#group.members]
      .filter(
        ([memberId, { sessionTimeoutMs }]) => this.#nowMs - this.#readers.get(memberId)!.beatMs > sessionTimeoutMs,
      )
      .map(([memberId]) => memberId)
    const overdue = overdueMembers(this.#group, this.#nowMs).filter((memberId) => !silent.includes(memberId))
    if (silent.length > 0) said.push(`evicted, for it was silent: ${silent.join(' ')}`)
    if (overdue.length > 0) said.push(`evicted, for it did not let go: ${overdue.join(' ')}`)
    const evicted = remove(this.#group, [...silent, ...overdue], this.#seen(), resolve, this.#nowMs)
    this.#group = refresh(evicted, seenBy(evicted, this.#existing), resolve, this.#nowMs)
    return said
  }

  #shown(): string[] {
    const lines = [`epoch ${this.#group.epoch}, ${stateOf(this.#group)}`]
    for (const [memberId, member] of this.#group.members) {
      const { assigned, revoked } = dutiesOf(member)
      const parts = [
        show(assigned) || '-',
        ...(revoked.size === 0 ? [] : [`giving back ${show(revoked)}`]),
        ...(minus(member.target, member.owned).size === 0
          ? []
          : [`waiting for ${show(minus(member.target, member.owned))}`]),
      ]
      lines.push(`  ${memberId}: ${parts.join(', ')}`)
    }
    return lines
  }

  #seen(...more: Parameters<typeof seenBy>[2][]) {
    return seenBy(this.#group, this.#existing, ...more)
  }
}

/** `orders/0-3,7 payments/0` */
function show(set: PartitionSet): string {
  return Object.entries(formatPartitionSet(set))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([topicId, runs]) => `${topicId}/${runs}`)
    .join(' ')
}

function described(claim: Claim | undefined): string {
  if (claim === undefined) return 'nobody has claimed it'
  return `claimed ${claim.member === '' ? 'from outside' : `by ${claim.member}`} in epoch ${claim.epoch}`
}

function milliseconds(text: string): number {
  const match = /^(\d+)(s|min)$/.exec(text)
  if (match === null) throw new Error(`${text} is no duration`)
  return Number(match[1]) * (match[2] === 's' ? 1_000 : 60_000)
}
