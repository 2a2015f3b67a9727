/**
 * A consumer group as a pure state machine, in the spirit of KIP-848: the group computes who should have which partition (the
 * target), and moves there in steps.
 *
 *     target of a member:  what the assignor gave it
 *     owned by a member:   what was granted to it and not given back
 *
 *         not owned ──granted (in its target, owned by nobody)──▶ owned
 *         owned, no longer in its target ──the member says that it let go, or is gone──▶ not owned
 *
 * G1 A partition is owned by at most one member. It is granted only when nobody owns it: after the old owner let go, or went.
 * G2 Letting go counts only from a member that has seen the present epoch: an older heartbeat, late or repeated, may not know
 *    of a grant.
 * G3 Every change of membership, subscription or assignment raises `epoch`; a member that knows the epoch knows the group.
 * G4 Member ids are never reused: who left or was evicted comes back under another id.
 * G5 Progress is kept by claims, not by membership (group-offset.ts): that G1 holds while clocks lie is not needed for safety.
 *
 * A member is `reconciling` while what it owns is not its target; the group while any of its members is.
 */
import { type Assignment, type AssignorName, assign } from './assignor.ts'
import type { EpochMs, GroupId, MemberId, TopicId } from './names.ts'
import {
  countPartitions,
  emptyPartitionSet,
  formatPartitionSet,
  isEqualSet,
  minus,
  type PartitionSet,
  type PartitionSetText,
  parsePartitionSet,
  partitionsOf,
  union,
} from './partition-set.ts'

export interface Group {
  readonly id: GroupId
  /** From 1. Kafka's generation, or group epoch. */
  readonly epoch: number
  /** `deleting`: nobody joins any more; what belongs to the group is being removed. */
  readonly state: 'live' | 'deleting'
  /** The topics that the target was computed from, by name. */
  readonly topics: ReadonlyMap<string, GroupTopic>
  readonly members: ReadonlyMap<MemberId, GroupMember>
  /** When the last member went, or the group was made without one. Absent while there are members. */
  readonly emptySinceMs?: EpochMs
}

export interface GroupTopic {
  readonly id: TopicId
  readonly partitions: number
}

/** Topic names, ascending; or a pattern that matches whole names, now and later. */
export type Subscription =
  | { readonly kind: 'topics'; readonly topics: readonly string[] }
  | { readonly kind: 'pattern'; readonly pattern: string }

export interface MemberOptions {
  /** Of a static member: who comes back under it takes over what its predecessor had, without a rebalance. */
  readonly instanceId?: string
  /** What the member calls itself, for those who look at the group. */
  readonly clientId?: string
  readonly subscription: Subscription
  /** Evicted when no heartbeat was stored for this long. */
  readonly sessionTimeoutMs: number
  /** Evicted when it does not let go of what was revoked for this long. Kafka's `max.poll.interval.ms`. */
  readonly rebalanceTimeoutMs: number
  /** The members' most frequent wish decides. */
  readonly assignor: AssignorName
}

export interface GroupMember extends MemberOptions {
  readonly target: PartitionSet
  readonly owned: PartitionSet
  /** Since when it owns what is no longer in its target. */
  readonly revokingSinceMs?: EpochMs
}

/**
 * Existing topics, by name: those that somebody subscribes to, and those in `Group.topics`, as far as they exist; all, where
 * somebody subscribes to a pattern.
 */
export type TopicsSeen = ReadonlyMap<string, GroupTopic>
/** Which of the existing topics a subscription means. */
export type Resolve = (subscription: Subscription, topics: TopicsSeen) => readonly string[]

export function newGroup(id: GroupId, nowMs: EpochMs): Group {
  return { id, epoch: 1, state: 'live', topics: new Map(), members: new Map(), emptySinceMs: nowMs }
}

export interface Joined {
  readonly next: Group
  /** The static member whose place was taken: its id is fenced from now on. */
  readonly replaced?: MemberId
}

/**
 * The group with this member: new, back under its instance id, or with another subscription. The same group where nothing
 * changes, so that a repeat is harmless.
 */
export function join(
  group: Group,
  memberId: MemberId,
  options: MemberOptions,
  topics: TopicsSeen,
  resolve: Resolve,
  nowMs: EpochMs,
): Joined {
  const present = group.members.get(memberId)
  const predecessor = present === undefined ? staticMember(group, options.instanceId) : undefined
  // A member that comes back holds nothing: what its predecessor had to let go of is free.
  const inherited = present ?? (predecessor === undefined ? undefined : settled(predecessor[1]))
  const member: GroupMember = {
    ...options,
    target: inherited?.target ?? emptyPartitionSet,
    owned: inherited?.owned ?? emptyPartitionSet,
    ...(inherited?.revokingSinceMs === undefined ? {} : { revokingSinceMs: inherited.revokingSinceMs }),
  }
  const members = new Map(group.members)
  if (predecessor !== undefined) members.delete(predecessor[0])
  members.set(memberId, member)
  const { emptySinceMs: _left, ...rest } = group
  const joined: Group = { ...rest, members }
  // Who comes back as it was needs no rebalance, and neither does who only says again what it said.
  const isSame =
    inherited !== undefined &&
    isSameSubscription(inherited.subscription, options.subscription) &&
    assignorOf(joined) === assignorOf(group)
  const next = isSame ? refresh(joined, topics, resolve, nowMs) : reassign(joined, topics, resolve, nowMs)
  if (predecessor !== undefined) return { next: raised(group, settle(next, nowMs)), replaced: predecessor[0] }
  const isUnchanged = next === joined && present !== undefined && isSameOptions(present, options)
  return { next: isUnchanged ? group : raised(group, next) }
}

/** Without these members: they left, or were evicted. What they owned is free at once. */
export function remove(
  group: Group,
  memberIds: readonly MemberId[],
  topics: TopicsSeen,
  resolve: Resolve,
  nowMs: EpochMs,
): Group {
  const members = new Map(group.members)
  for (const memberId of memberIds) members.delete(memberId)
  if (members.size === group.members.size) return group
  const left = { ...group, members, ...(members.size === 0 ? { emptySinceMs: nowMs } : {}) }
  return raised(group, reassign(left, topics, resolve, nowMs))
}

/**
 * The member said what it still holds; what it owns beyond its target and does not hold is free (G2: only if it has seen the
 * present epoch).
 */
export function release(
  group: Group,
  memberId: MemberId,
  seenEpoch: number,
  holding: PartitionSet,
  nowMs: EpochMs,
): Group {
  const member = group.members.get(memberId)
  if (member === undefined || seenEpoch !== group.epoch) return group
  const released = minus(minus(member.owned, member.target), holding)
  if (released.size === 0) return group
  const members = new Map(group.members).set(memberId, { ...member, owned: minus(member.owned, released) })
  return raised(group, settle({ ...group, members }, nowMs))
}

/** The same group where the topics are as they were; otherwise a new target for what there is now. */
export function refresh(group: Group, topics: TopicsSeen, resolve: Resolve, nowMs: EpochMs): Group {
  const wanted = subscribedTopics(group, topics, resolve)
  const isSame =
    wanted.size === group.topics.size &&
    [...wanted].every(([name, topic]) => {
      const known = group.topics.get(name)
      return known?.id === topic.id && known.partitions === topic.partitions
    })
  return isSame ? group : raised(group, reassign(group, topics, resolve, nowMs))
}

/** Members that did not let go of what was revoked in time. */
export function overdueMembers(group: Group, nowMs: EpochMs): readonly MemberId[] {
  return [...group.members]
    .filter(
      ([, { revokingSinceMs, rebalanceTimeoutMs }]) =>
        revokingSinceMs !== undefined && nowMs - revokingSinceMs > rebalanceTimeoutMs,
    )
    .map(([memberId]) => memberId)
}

/** What a member has to do: take up what it owns in its target, and let go of what it owns beyond. */
export function dutiesOf(member: GroupMember): { readonly assigned: PartitionSet; readonly revoked: PartitionSet } {
  const revoked = minus(member.owned, member.target)
  return { assigned: minus(member.owned, revoked), revoked }
}

export type GroupState = 'Empty' | 'Stable' | 'Reconciling' | 'Dead'

/** Kafka's name for the state of the group. */
export function stateOf(group: Group): GroupState {
  if (group.state === 'deleting') return 'Dead'
  if (group.members.size === 0) return 'Empty'
  for (const member of group.members.values()) if (!isEqualSet(member.owned, member.target)) return 'Reconciling'
  return 'Stable'
}

/** In order of preference. */
export const assignorNames: readonly AssignorName[] = ['cooperative-sticky', 'sticky', 'range', 'roundrobin']

/** What most members wish for; of equals, what comes first. */
export function assignorOf(group: Group): AssignorName {
  const votes = new Map<AssignorName, number>()
  for (const { assignor } of group.members.values()) votes.set(assignor, (votes.get(assignor) ?? 0) + 1)
  let chosen: AssignorName = 'cooperative-sticky'
  let most = 0
  for (const name of assignorNames) {
    const count = votes.get(name) ?? 0
    if (count > most) [chosen, most] = [name, count]
  }
  return chosen
}

/** Partitions that would be assigned in all: what the limit of a group counts. */
export function partitionsOfGroup(group: Group): number {
  let count = 0
  for (const { partitions } of group.topics.values()) count += partitions
  return count
}

/** The topics that some member subscribes to, of those that exist. */
function subscribedTopics(group: Group, topics: TopicsSeen, resolve: Resolve): Map<string, GroupTopic> {
  const wanted = new Map<string, GroupTopic>()
  for (const { subscription } of group.members.values())
    for (const name of resolve(subscription, topics)) {
      const topic = topics.get(name)
      if (topic !== undefined) wanted.set(name, topic)
    }
  return wanted
}

/** A new target for everybody, and the grants that are possible at once. */
function reassign(group: Group, topics: TopicsSeen, resolve: Resolve, nowMs: EpochMs): Group {
  const wanted = subscribedTopics(group, topics, resolve)
  const nameOf = new Map([...wanted].map(([name, { id }]) => [id, name]))
  const byName = (set: PartitionSet): Assignment =>
    new Map(
      [...set].flatMap(([topicId, partitions]) => {
        const name = nameOf.get(topicId)
        return name === undefined ? [] : [[name, partitions] as const]
      }),
    )
  const targets = assign(
    assignorOf(group),
    [...group.members].map(([id, member]) => ({
      id,
      ...(member.instanceId === undefined ? {} : { instanceId: member.instanceId }),
      topics: resolve(member.subscription, wanted),
      // Where it was to go, not where it still is: a second change in the middle of a first does not turn partitions back.
      owned: byName(member.target),
    })),
    new Map([...wanted].map(([name, { partitions }]) => [name, partitions])),
  )
  const gone = new Set(
    [...group.topics].filter(([name, { id }]) => topics.get(name)?.id !== id).map(([, { id }]) => id),
  )
  const members = new Map<MemberId, GroupMember>()
  for (const [id, member] of group.members) {
    const target = new Map<TopicId, readonly number[]>()
    for (const [name, partitions] of targets.get(id) ?? []) {
      const topic = wanted.get(name)
      if (topic !== undefined && partitions.length > 0) target.set(topic.id, partitions)
    }
    // Of a topic that is gone nobody else will ever own a partition. One that is merely not subscribed to any more may be
    // again, before its owner has let go (G1).
    const owned = new Map([...member.owned].filter(([topicId]) => !gone.has(topicId)))
    members.set(id, { ...member, target, owned })
  }
  return settle({ ...group, topics: wanted, members }, nowMs)
}

/** Grants what is free to those whose target it is (G1), and notes since when somebody has to let go. */
function settle(group: Group, nowMs: EpochMs): Group {
  const taken = new Set<string>()
  for (const { owned } of group.members.values())
    for (const [topicId, partition] of partitionsOf(owned)) taken.add(`${topicId}/${partition}`)
  const members = new Map<MemberId, GroupMember>()
  for (const [id, member] of group.members) {
    const granted = new Map<TopicId, number[]>()
    for (const [topicId, partition] of partitionsOf(member.target)) {
      if (taken.has(`${topicId}/${partition}`)) continue
      const present = granted.get(topicId)
      if (present === undefined) granted.set(topicId, [partition])
      else present.push(partition)
    }
    const owned = union(member.owned, granted)
    const isRevoking = countPartitions(minus(owned, member.target)) > 0
    const { revokingSinceMs, ...rest } = member
    members.set(id, { ...rest, owned, ...(isRevoking ? { revokingSinceMs: revokingSinceMs ?? nowMs } : {}) })
  }
  return { ...group, members }
}

/** As if it had let go of everything that it has to. */
function settled({ revokingSinceMs: _since, ...member }: GroupMember): GroupMember {
  return { ...member, owned: dutiesOf(member).assigned }
}

function raised(before: Group, after: Group): Group {
  return { ...after, epoch: before.epoch + 1 }
}

function staticMember(group: Group, instanceId: string | undefined): readonly [MemberId, GroupMember] | undefined {
  if (instanceId === undefined) return undefined
  for (const entry of group.members) if (entry[1].instanceId === instanceId) return entry
  return undefined
}

export function isSameSubscription(a: Subscription, b: Subscription): boolean {
  if (a.kind === 'pattern') return b.kind === 'pattern' && a.pattern === b.pattern
  return (
    b.kind === 'topics' && a.topics.length === b.topics.length && a.topics.every((name, at) => name === b.topics[at])
  )
}

function isSameOptions(member: GroupMember, options: MemberOptions): boolean {
  return (
    member.instanceId === options.instanceId &&
    member.clientId === options.clientId &&
    member.sessionTimeoutMs === options.sessionTimeoutMs &&
    member.rebalanceTimeoutMs === options.rebalanceTimeoutMs &&
    member.assignor === options.assignor
  )
}

/**
 * As the group is stored (items.ts). Member ids and topic names are keys of JSON objects. In the sets of members, topics are
 * numbers: with their ids, a group of many members and many topics would not fit into an item.
 */
export interface GroupText {
  readonly id: GroupId
  readonly epoch: number
  readonly state: Group['state']
  readonly topics: Readonly<Record<string, GroupTopic>>
  /** By their numbers; also of those that somebody owns partitions of and nobody subscribes to any more. */
  readonly topicIds: readonly TopicId[]
  readonly members: Readonly<Record<string, GroupMemberText>>
  readonly emptySinceMs?: EpochMs
}
export interface GroupMemberText extends MemberOptions {
  readonly target: PartitionSetText
  /** Absent where it is the target. */
  readonly owned?: PartitionSetText
  readonly revokingSinceMs?: EpochMs
}

export function formatGroup(group: Group): GroupText {
  const { topics, members, ...rest } = group
  const numbers = new Map<TopicId, number>()
  const numbered = (set: PartitionSet): PartitionSetText =>
    Object.fromEntries(
      Object.entries(formatPartitionSet(set)).map(([id, runs]) => {
        const topicId = id as TopicId
        const number = numbers.get(topicId) ?? numbers.size
        numbers.set(topicId, number)
        return [number, runs]
      }),
    )
  const texts = [...members].map(([id, { target, owned, ...member }]): [MemberId, GroupMemberText] => [
    id,
    { ...member, target: numbered(target), ...(isEqualSet(target, owned) ? {} : { owned: numbered(owned) }) },
  ])
  return {
    ...rest,
    topics: Object.fromEntries(topics),
    topicIds: [...numbers.keys()],
    members: Object.fromEntries(texts),
  }
}

export function parseGroup(text: GroupText): Group {
  const { topics, topicIds, members, ...rest } = text
  const named = (set: PartitionSetText): PartitionSet =>
    parsePartitionSet(
      Object.fromEntries(Object.entries(set).map(([number, runs]) => [topicIds[Number(number)]!, runs])),
    )
  return {
    ...rest,
    topics: new Map(Object.entries(topics)),
    members: new Map(
      Object.entries(members).map(([id, { target, owned, ...member }]) => [
        id as MemberId,
        { ...member, target: named(target), owned: named(owned ?? target) },
      ]),
    ),
  }
}
