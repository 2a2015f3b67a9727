/**
 * What members do: join, send heartbeats, poll, leave. And what becomes of those who send none: they are evicted, by whoever looks,
 * on the condition that the last beat that was seen is still the last.
 *
 *     join ──one transaction: the group with the member in it, and the member's item──▶ member
 *     heartbeat ──the group's small item is read; the member's own item is written, once per third of the session──▶ member
 *     leave, evict ──one transaction: the group without it, and its item removed──▶ gone, for ever under this id (G4)
 */
import type { Refusal } from '../core/errors.ts'
import { refusal } from '../core/errors.ts'
import type { Group, MemberOptions, TopicsSeen } from '../core/group.ts'
import { dutiesOf, isSameSubscription, join, overdueMembers, refresh, remove } from '../core/group.ts'
import { formatClaim, incarnationOf, parseClaim } from '../core/group-offset.ts'
import type { GroupItem, Item, MemberItem } from '../core/items.ts'
import { groupKey, memberKey, membersCollection } from '../core/items.ts'
import type { EpochMs, GroupId, GroupName, MemberId } from '../core/names.ts'
import { parseGroupName, parseMemberId } from '../core/names.ts'
import { hasPartition, minus, partitionSet, partitionsOf } from '../core/partition-set.ts'
import type { ItemWrite } from '../ports.ts'
import type { Context } from './context.ts'
import type { Assigned, HeartbeatRequest, Holding, JoinRequest, Membership, NamedPartition } from './group-api.ts'
import type { GroupOffsets } from './group-offsets.ts'
import type { Changed, GroupStore } from './group-store.ts'
import { unknownGroup } from './group-store.ts'
import { parseSubscription, resolveSubscription, topicsSeen, withinLimit } from './group-topics.ts'
import type { Answer } from './log.ts'
import type { Topics } from './topics.ts'

/** Claims that one answer makes at most; the next heartbeat goes on. */
const claimsPerHeartbeatMax = 500
/** Of all members of a group, about so many look after the others in each third of a session. */
const lookersPerBeat = 3
/** Members whose last beat is kept in mind. */
const beatsMax = 20_000
/** Members that one transaction removes. */
const removalsMax = 50

interface Beat {
  readonly version: string
  readonly value: MemberItem
}

export class GroupMembers {
  readonly #context: Context
  readonly #store: GroupStore
  readonly #offsets: GroupOffsets
  readonly #topics: Topics
  /** The last beats of members that this process served: saves reading them. */
  readonly #beats = new Map<string, Beat>()

  constructor(context: Context, store: GroupStore, offsets: GroupOffsets, topics: Topics) {
    this.#context = context
    this.#store = store
    this.#offsets = offsets
    this.#topics = topics
  }

  async join(request: JoinRequest): Promise<Answer<Membership>> {
    const parsed = this.#parseJoin(request)
    if (!parsed.ok) return parsed
    const { name, memberId, options } = parsed
    const { clock } = this.#context
    const version = this.#context.newVersion()
    const { sessionTimeoutMs } = options
    let beat: MemberItem = { beatMs: clock.now(), sessionTimeoutMs }
    // Who comes after a crash of all should not wait for what they had: nobody else is there to look.
    const small = await this.#store.find(name)
    if (small !== undefined && small.members > 0) await this.check(name)
    const isMember = request.epoch !== undefined
    const changed = await this.#store.change(name, !isMember, async (group) => {
      if (isMember && !group.members.has(memberId)) return unknownMember({ group: name, memberId })
      const seen = await topicsSeen(this.#topics, group, [options.subscription])
      const joining = (topics: TopicsSeen) => join(group, memberId, options, topics, resolveSubscription, clock.now())
      let joined = joining(seen)
      // Who subscribes as others do adds nothing to a group whose topics have grown beyond its limit.
      if ([...group.members.values()].some((one) => isSameSubscription(one.subscription, options.subscription)))
        this.#within(group, seen, (topics) => {
          if (topics !== seen) joined = joining(topics)
          return joined.next
        })
      const also: ItemWrite[] = []
      // Of now: what came before may have taken longer than a session.
      beat = { beatMs: clock.now(), sessionTimeoutMs }
      if (!group.members.has(memberId))
        also.push({ op: 'put', key: memberKey(group.id, memberId), version, value: json(beat), if: 'absent' })
      if (joined.replaced !== undefined) {
        const key = memberKey(group.id, joined.replaced)
        const item = await this.#context.persist(() => this.#context.metadata.get(key))
        const fenced: MemberItem = { ...(item?.value as unknown as MemberItem), isFenced: true }
        if (item !== undefined)
          also.push({
            op: 'put',
            key,
            version: this.#context.newVersion(),
            value: json(fenced),
            if: { version: item.version },
          })
      }
      return { ok: true, next: joined.next, also }
    })
    if (!changed.ok) return changed
    this.#remember(beatKey(changed.group.id, memberId), { version, value: beat })
    return this.#look(name, changed, memberId, 0, [])
  }

  async heartbeat(request: HeartbeatRequest): Promise<Answer<Membership>> {
    const name = parseGroupName(request.group)
    if (!name.ok) return refusal('INVALID_GROUP_ID', name.message)
    const memberId = parseMemberId(request.memberId)
    if (!memberId.ok) return unknownMember(request)
    const small = await this.#store.find(name.name)
    if (small === undefined) return unknownMember(request)
    const alive = await this.#beat(name.name, small, memberId.id)
    if (!alive.ok) return alive
    // Nothing has changed since the member was told, and nothing is on its way (G3).
    if (small.epoch === request.epoch && small.state === 'Stable')
      return { ...nothingNew, groupId: small.id, memberId: memberId.id, epoch: small.epoch, ...this.#interval() }
    const stored = await this.#store.read(name.name)
    if (stored === undefined || stored.group.state === 'deleting') return unknownMember(request)
    return this.#look(name.name, { ok: true, group: stored.group }, memberId.id, request.epoch, request.holding)
  }

  async leave(group: string, member: string): Promise<Answer<object>> {
    const name = parseGroupName(group)
    if (!name.ok) return refusal('INVALID_GROUP_ID', name.message)
    const memberId = parseMemberId(member)
    if (!memberId.ok || (await this.#store.find(name.name)) === undefined) return { ok: true }
    const left = await this.#remove(name.name, [memberId.id])
    return left.ok || left.code === 'GROUP_ID_NOT_FOUND' ? { ok: true } : left
  }

  /**
   * Looks after the group: evicts who sent no heartbeat for a session, or did not let go in time, and notices topics and
   * partitions that came or went. Any process may do it at any time.
   */
  async check(name: GroupName): Promise<Changed> {
    const { clock, metadata } = this.#context
    const stored = await this.#store.read(name)
    if (stored === undefined || stored.group.state === 'deleting') return unknownGroup(name)
    const { group } = stored
    const items = new Map<MemberId, Item>()
    for await (const item of this.#store.pages(membersCollection(group.id))) items.set(item.key.sort as MemberId, item)
    const nowMs = clock.now()
    const overdue = new Set(overdueMembers(group, nowMs))
    const gone = [...group.members.keys()].filter((memberId) => {
      const item = items.get(memberId)
      return item === undefined || overdue.has(memberId) || this.#isExpired(item.value as unknown as MemberItem, nowMs)
    })
    for (let at = 0; at < gone.length; at += removalsMax) {
      const evicted = await this.#evict(name, gone.slice(at, at + removalsMax), items)
      if (!evicted.ok) return evicted
    }
    // Of members that are in no group: fenced, or left behind by a late write. The group must be the one that was read: who
    // joined since then is in it.
    const asRead: ItemWrite = { op: 'check', key: groupKey(name), if: { version: stored.version } }
    for (const [memberId, item] of items) {
      if (group.members.has(memberId) || !this.#isExpired(item.value as unknown as MemberItem, nowMs)) continue
      await this.#context.persist(() =>
        metadata.write([asRead, { op: 'delete', key: item.key, if: { version: item.version } }]),
      )
    }
    const isAsRemembered = async (present: Group) => {
      const remembered = await topicsSeen(this.#topics, present, [], 'remembered')
      return refresh(present, remembered, resolveSubscription, clock.now()) === present
    }
    // Nothing to do: the group need not be read once more to see that.
    if (gone.length === 0 && (await isAsRemembered(group))) return { ok: true, group }
    return this.#store.change(name, false, async (present) => {
      if (await isAsRemembered(present)) return { ok: true, next: present }
      const seen = await topicsSeen(this.#topics, present)
      const refreshed = (topics: TopicsSeen) => refresh(present, topics, resolveSubscription, clock.now())
      return { ok: true, next: this.#within(present, seen, refreshed) }
    })
  }

  /** Of all members, for those who look at the group. */
  async beats(groupId: GroupId): Promise<ReadonlyMap<MemberId, EpochMs>> {
    const beats = new Map<MemberId, EpochMs>()
    for await (const item of this.#store.pages(membersCollection(groupId)))
      beats.set(item.key.sort as MemberId, (item.value as unknown as MemberItem).beatMs)
    return beats
  }

  /** Everything of a deleted group. */
  async removeAll(groupId: GroupId): Promise<void> {
    for await (const { key, version } of this.#store.pages(membersCollection(groupId)))
      await this.#context.persist(() => this.#context.metadata.write([{ op: 'delete', key, if: { version } }]))
  }

  #parseJoin(
    request: JoinRequest,
  ): { ok: true; name: GroupName; memberId: MemberId; options: MemberOptions } | Refusal {
    const { settings } = this.#context
    const name = parseGroupName(request.group)
    if (!name.ok) return refusal('INVALID_GROUP_ID', name.message)
    const memberId = parseMemberId(request.memberId ?? this.#context.newVersion())
    if (!memberId.ok) return refusal('INVALID_REQUEST', memberId.message)
    const subscription = parseSubscription(request.subscription)
    if (!subscription.ok) return subscription
    const { sessionTimeoutMs = settings.sessionTimeoutMsDefault, rebalanceTimeoutMs, instanceId, clientId } = request
    const { sessionTimeoutMsMin, sessionTimeoutMsMax } = settings
    if (!isWhole(sessionTimeoutMs, sessionTimeoutMsMin, sessionTimeoutMsMax))
      return refusal(
        'INVALID_SESSION_TIMEOUT',
        `The session timeout is ${sessionTimeoutMsMin} to ${sessionTimeoutMsMax} ms, not ${sessionTimeoutMs}.`,
      )
    if (rebalanceTimeoutMs !== undefined && !isWhole(rebalanceTimeoutMs, 1, sessionTimeoutMsMax))
      return refusal(
        'INVALID_SESSION_TIMEOUT',
        `The rebalance timeout is 1 to ${sessionTimeoutMsMax} ms, not ${rebalanceTimeoutMs}.`,
      )
    for (const text of [instanceId, clientId])
      if (text !== undefined && !/^[\x20-\x7e]{1,255}$/.test(text))
        return refusal('INVALID_REQUEST', 'An instance id and a client id have 1 to 255 printable ASCII characters.')
    return {
      ok: true,
      name: name.name,
      memberId: memberId.id,
      options: {
        ...(instanceId === undefined ? {} : { instanceId }),
        ...(clientId === undefined ? {} : { clientId }),
        subscription: subscription.subscription,
        sessionTimeoutMs,
        rebalanceTimeoutMs: rebalanceTimeoutMs ?? settings.rebalanceTimeoutMsDefault,
        assignor: request.assignor ?? 'cooperative-sticky',
      },
    }
  }

  /** A sign of life, written when a third of the session is over since the last one. */
  async #beat(name: GroupName, { id, members }: GroupItem, memberId: MemberId): Promise<{ ok: true } | Refusal> {
    const { clock, metadata, random } = this.#context
    const cacheKey = beatKey(id, memberId)
    let beat = this.#beats.get(cacheKey)
    for (let isFresh = false; ; isFresh = true) {
      if (beat === undefined) {
        const item = await this.#context.persist(() => metadata.get(memberKey(id, memberId)))
        isFresh = true
        if (item === undefined) return unknownMember({ group: name, memberId })
        beat = { version: item.version, value: item.value as unknown as MemberItem }
        this.#remember(cacheKey, beat)
      }
      if (beat.value.isFenced === true) {
        this.#beats.delete(cacheKey)
        return fencedInstance(memberId)
      }
      const nowMs = clock.now()
      // A clock that went back must not keep a member from beating.
      const agoMs = Math.abs(nowMs - beat.value.beatMs)
      if (agoMs * 3 < beat.value.sessionTimeoutMs) return { ok: true }
      // Another process may have served it since: a read costs a fifth of a write that is refused.
      if (!isFresh && !this.#context.settings.isSoleProcess) {
        beat = undefined
        continue
      }
      const next: Beat = { version: this.#context.newVersion(), value: { ...beat.value, beatMs: nowMs } }
      const { version } = beat
      const answer = await this.#context.persist(() =>
        metadata.write([
          { op: 'put', key: memberKey(id, memberId), version: next.version, value: json(next.value), if: { version } },
        ]),
      )
      const present = answer.applied ? undefined : answer.items[0]
      if (answer.applied || present?.version === next.version) {
        this.#remember(cacheKey, next)
        if (random() * Math.max(1, members) < lookersPerBeat) this.#context.beside(() => this.check(name))
        return { ok: true }
      }
      // Evicted; or another process has served this member since.
      this.#beats.delete(cacheKey)
      if (present === undefined) return unknownMember({ group: name, memberId })
      beat = isFresh ? { version: present.version, value: present.value as unknown as MemberItem } : undefined
    }
  }

  /** Why a member is not in its group: the beat that this process remembers of it may be from before. */
  async #absent(name: GroupName, groupId: GroupId, memberId: MemberId): Promise<Refusal> {
    this.#beats.delete(beatKey(groupId, memberId))
    const item = await this.#context.persist(() => this.#context.metadata.get(memberKey(groupId, memberId)))
    const isFenced = (item?.value as unknown as MemberItem | undefined)?.isFenced === true
    return isFenced ? fencedInstance(memberId) : unknownMember({ group: name, memberId })
  }

  /** Tells a member what has changed for it since `seenEpoch`: what it let go of is freed, what is new is claimed. */
  async #look(
    name: GroupName,
    read: Changed,
    memberId: MemberId,
    seenEpoch: number,
    holding: readonly Holding[],
  ): Promise<Answer<Membership>> {
    if (!read.ok) return read
    const { clock, rules } = this.#context
    const held = partitionSet(holding.map(({ topicId, partition }) => [topicId, partition] as const))
    let { group } = read
    if (rules.release(group, memberId, seenEpoch, held, clock.now()) !== group) {
      const changed = await this.#store.change(name, false, (present) => ({
        ok: true,
        next: rules.release(present, memberId, seenEpoch, held, clock.now()),
      }))
      if (!changed.ok) return changed
      group = changed.group
    }
    const member = group.members.get(memberId)
    if (member === undefined) return this.#absent(name, group.id, memberId)
    const { assigned, revoked } = dutiesOf(member)
    const claimed = partitionSet(
      holding.flatMap(({ topicId, partition, claim }) => {
        const carried = parseClaim(claim)
        const isOwn = carried?.member === memberId && carried.incarnation === incarnationOf(group.id)
        return isOwn ? [[topicId, partition] as const] : []
      }),
    )
    const toClaim = [...partitionsOf(minus(assigned, claimed))]
    const claiming = toClaim.slice(0, claimsPerHeartbeatMax).map(([topicId, partition]) => ({ topicId, partition }))
    const claim = { member: memberId, epoch: group.epoch }
    const offsets = await this.#offsets.claim(group.id, claiming, claim)
    const nameOf = new Map([...group.topics].map(([topic, { id }]) => [id, topic]))
    const taken: Assigned[] = []
    for (const [at, offset] of offsets.entries()) {
      const { topicId, partition } = claiming[at]!
      const topic = nameOf.get(topicId)
      if (offset?.claim === undefined || topic === undefined) continue
      taken.push({
        topic,
        topicId,
        partition,
        claim: formatClaim(incarnationOf(group.id), offset.claim),
        ...(offset.offset === undefined ? {} : { offset: offset.offset, metadata: offset.metadata ?? '' }),
      })
    }
    const isIncomplete = taken.length < toClaim.length
    const named = (isNamed: (holding: Holding) => boolean): NamedPartition[] =>
      holding
        .filter(isNamed)
        .map(({ topicId, partition }) => ({ topic: nameOf.get(topicId) ?? '', partition, topicId }))
    return {
      ok: true,
      groupId: group.id,
      memberId,
      // What is not claimed yet is not known yet.
      epoch: isIncomplete ? 0 : group.epoch,
      assigned: taken,
      revoked: named(({ topicId, partition }) => hasPartition(revoked, topicId, partition)),
      lost: named(({ topicId, partition }) => !hasPartition(member.owned, topicId, partition)),
      isIncomplete,
      ...this.#interval(),
    }
  }

  #remember(key: string, beat: Beat): void {
    if (this.#beats.size >= beatsMax) this.#beats.clear()
    this.#beats.set(key, beat)
  }

  #interval(): { readonly heartbeatIntervalMs: number } {
    return { heartbeatIntervalMs: this.#context.settings.groupPollMs }
  }

  #isExpired({ beatMs, sessionTimeoutMs }: MemberItem, nowMs: EpochMs): boolean {
    return nowMs - beatMs > sessionTimeoutMs
  }

  /**
   * Removes those of the members that are still to be evicted: who let go meanwhile, or beat since `items` were read, stays. The
   * beat that was judged must be the last one.
   */
  async #evict(name: GroupName, memberIds: readonly MemberId[], items: ReadonlyMap<MemberId, Item>): Promise<Changed> {
    const { clock } = this.#context
    return this.#store.change(name, false, async (group) => {
      const also: ItemWrite[] = []
      const gone: MemberId[] = []
      const nowMs = clock.now()
      // Who is overdue beats all the time: its present beat is what must not change.
      const overdue = new Set(overdueMembers(group, nowMs))
      for (const memberId of memberIds) {
        if (!group.members.has(memberId)) continue
        const key = memberKey(group.id, memberId)
        const present = await this.#context.persist(() => this.#context.metadata.get(key))
        if (present === undefined) also.push({ op: 'check', key, if: 'absent' })
        else {
          const isSeen = present.version === items.get(memberId)?.version
          const isSilent = isSeen && this.#isExpired(present.value as unknown as MemberItem, nowMs)
          if (!isSilent && !overdue.has(memberId)) continue
          also.push({ op: 'delete', key, if: { version: present.version } })
        }
        gone.push(memberId)
      }
      if (gone.length === 0) return { ok: true, next: group }
      return { ok: true, next: await this.#without(group, gone), also }
    })
  }

  /** Removes members that leave by themselves. */
  async #remove(name: GroupName, memberIds: readonly MemberId[]): Promise<Changed> {
    const { metadata } = this.#context
    return this.#store.change(name, false, async (group) => {
      const gone = memberIds.filter((memberId) => group.members.has(memberId))
      if (gone.length === 0) return { ok: true, next: group }
      const also: ItemWrite[] = []
      for (const memberId of gone) {
        const item = await this.#context.persist(() => metadata.get(memberKey(group.id, memberId)))
        if (item !== undefined) also.push({ op: 'delete', key: item.key, if: { version: item.version } })
        this.#beats.delete(beatKey(group.id, memberId))
      }
      return { ok: true, next: await this.#without(group, gone), also }
    })
  }

  async #without(group: Group, gone: readonly MemberId[]): Promise<Group> {
    const seen = await topicsSeen(this.#topics, group)
    return this.#within(group, seen, (topics) =>
      remove(group, gone, topics, resolveSubscription, this.#context.clock.now()),
    )
  }

  #within(group: Group, seen: TopicsSeen, decide: (topics: TopicsSeen) => Group): Group {
    return withinLimit(group, seen, this.#context.settings.groupPartitionsMax, decide)
  }
}

const nothingNew = { ok: true, assigned: [], revoked: [], lost: [], isIncomplete: false } as const

function beatKey(groupId: GroupId, memberId: MemberId): string {
  return `${groupId}/${memberId}`
}

function json(value: MemberItem): Item['value'] {
  return value as unknown as Item['value']
}

function isWhole(value: number, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max
}

function fencedInstance(memberId: MemberId): Refusal {
  return refusal('FENCED_INSTANCE_ID', `Another member took the place of '${memberId}' under its instance id.`)
}

function unknownMember({ group, memberId }: { readonly group: string; readonly memberId: string }): Refusal {
  return refusal(
    'UNKNOWN_MEMBER_ID',
    `Group ${JSON.stringify(group.slice(0, 300))} has no member '${memberId.slice(0, 120)}': it left, or was evicted.`,
  )
}
