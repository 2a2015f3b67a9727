/**
 * What is truly in the groups: seen at the store, write by write, with what must hold between two writes; and what members
 * were told, asked for and read. The log it belongs to is truth.ts.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Group, GroupText } from '../../lib/core/group.ts'
import { parseGroup, stateOf } from '../../lib/core/group.ts'
import type { Claim, GroupOffset } from '../../lib/core/group-offset.ts'
import { formatClaim as carriedClaim, incarnationOf } from '../../lib/core/group-offset.ts'
import type { GroupItem, Item, MemberItem } from '../../lib/core/items.ts'
import { groupsCollection, partitionOfGroupOffset } from '../../lib/core/items.ts'
import type { GroupId, MemberId, Offset, TopicId } from '../../lib/core/names.ts'
import { hasPartition, partitionsOf } from '../../lib/core/partition-set.ts'
import type { History } from './history.ts'
import type { Truth } from './truth.ts'

/** A commit that a client asked for; its number is its metadata. */
export interface CommitIntent {
  readonly id: number
  readonly group: string
  readonly topicId: TopicId
  readonly partition: number
  readonly offset: Offset
  /** Absent: from outside. */
  readonly claim?: string
  /** The committer means to go back. */
  readonly isLower: boolean
  told?: 'committed' | 'definite' | 'possible'
  applied: boolean
}

/** What a member believes to read, by topic id and partition. */
export interface MemberView {
  readonly memberId: MemberId
  /** The incarnation that it believes to be in. */
  readonly groupId: GroupId | undefined
  readonly holding: ReadonlyMap<string, { readonly topicId: TopicId; readonly partition: number }>
}

interface Moment<Value> {
  readonly fromMs: number
  readonly value: Value
}

/** One partition's progress in one incarnation of a group. */
export class ProgressTruth {
  /** Every value that the item had; undefined where it was not there. */
  readonly moments: Moment<GroupOffset | undefined>[] = [{ fromMs: 0, value: undefined }]
  /** Offsets that some member has processed. */
  readonly processed = new Set<Offset>()
  /** Offsets below this need not be processed: somebody set the offset from outside. */
  excusedTo: Offset = 0
  /** All below are processed or excused. */
  doneTo: Offset = 0

  get value(): GroupOffset | undefined {
    return this.moments[this.moments.length - 1]?.value
  }
}

export class GroupIncarnation {
  readonly id: GroupId
  readonly name: string
  readonly bornMs: number
  goneMs = Number.POSITIVE_INFINITY
  group: Group
  /** By epoch. */
  readonly epochs = new Map<number, Group>()
  /** Who was ever a member. */
  readonly everMembers = new Set<MemberId>()
  readonly beats = new Map<MemberId, MemberItem>()
  readonly progress = new Map<string, ProgressTruth>()

  constructor(group: Group, name: string, nowMs: number) {
    this.id = group.id
    this.name = name
    this.bornMs = nowMs
    this.group = group
  }

  progressOf(topicId: TopicId, partition: number): ProgressTruth {
    const key = `${topicId}/${partition}`
    const present = this.progress.get(key)
    if (present !== undefined) return present
    const made = new ProgressTruth()
    this.progress.set(key, made)
    return made
  }
}

/** Of one item as JSON; what a member adds to the state comes on top. */
const smallItemBytesMax = 600
const stateBytesMax = 400
const stateBytesPerMemberMax = 700
const memberItemBytesMax = 120
const offsetItemBytesMax = 300

export class GroupTruth {
  readonly incarnations = new Map<GroupId, GroupIncarnation>()
  readonly commits: CommitIntent[] = []
  /** Members whose leaving was asked for. */
  readonly leaving = new Set<MemberId>()
  /** Members again, since an epoch, though their clients do not know that they were none for a while. */
  readonly unaware = new Map<MemberId, number>()
  readonly views = new Map<MemberId, MemberView>()
  /** How many joinings of a member did not end well: those may still end, late. */
  readonly joining = new Map<MemberId, number>()
  /** The most that two clocks may differ. */
  skewMs = 0
  readonly #history: History
  readonly #truth: Truth
  readonly #small = new Map<string, GroupItem>()

  constructor(history: History, truth: Truth) {
    this.#history = history
    this.#truth = truth
  }

  intend(intent: Omit<CommitIntent, 'id' | 'applied' | 'told'>): CommitIntent {
    const made: CommitIntent = { ...intent, id: this.commits.length, applied: false }
    this.commits.push(made)
    return made
  }

  /** The incarnation that has the name now. */
  named(name: string): GroupIncarnation | undefined {
    const small = this.#small.get(encodeURIComponent(name))
    return small === undefined ? undefined : this.incarnations.get(small.id)
  }

  process(groupId: GroupId, topicId: TopicId, partition: number, from: Offset, to: Offset): void {
    const progress = this.incarnations.get(groupId)?.progressOf(topicId, partition)
    for (let offset = from; offset < to; offset++) progress?.processed.add(offset)
  }

  /** The first offset that nobody in the group has processed, though it can be read; the watermark where there is none. */
  firstMissing(incarnation: GroupIncarnation, topicId: TopicId, partition: number): Offset {
    const progress = incarnation.progressOf(topicId, partition)
    const log = this.#truth.partition(topicId, partition)
    let { doneTo } = progress
    const beginning = Math.max(progress.excusedTo, log?.head.start ?? 0)
    while (doneTo < (log?.hw ?? 0) && (doneTo < beginning || progress.processed.has(doneTo))) doneTo++
    progress.doneTo = doneTo
    return doneTo
  }

  // --- Effects --------------------------------------------------------------------------------------------------------

  put({ key: { collection, sort }, value }: Item): void {
    const bytes = JSON.stringify(value).length
    if (collection === groupsCollection) this.#smallPut(sort, value as unknown as GroupItem, bytes)
    else if (collection === 'group-states') this.#statePut(value as unknown as GroupText, bytes)
    else if (collection.startsWith('members/'))
      this.#memberPut(collection.slice(8) as GroupId, sort as MemberId, value as unknown as MemberItem, bytes)
    else if (collection.startsWith('offsets/'))
      this.#offsetPut(collection.slice(8) as GroupId, sort, value as unknown as GroupOffset, bytes)
  }

  deleted({ collection, sort }: Item['key']): void {
    if (collection === groupsCollection) {
      const small = this.#small.get(sort)
      this.#small.delete(sort)
      const incarnation = small && this.incarnations.get(small.id)
      if (incarnation === undefined) return
      if (small?.state !== 'Dead') this.#violate('D6', `group ${sort} was freed without having been marked`)
      incarnation.goneMs = this.#history.nowMs
    } else if (collection.startsWith('members/')) {
      const incarnation = this.incarnations.get(collection.slice(8) as GroupId)
      incarnation?.beats.delete(sort as MemberId)
      if (incarnation?.group.members.has(sort as MemberId) === true && this.skewMs === 0)
        this.#violate('G5', `the beat of ${sort} was deleted, which is a member`)
    } else if (collection.startsWith('offsets/')) {
      const incarnation = this.incarnations.get(collection.slice(8) as GroupId)
      const { topicId, partition } = partitionOfGroupOffset({ collection, sort })
      const isTopicLive = [...this.#truth.topics.values()].some(({ id, state }) => id === topicId && state === 'live')
      if (incarnation?.group.state === 'live' && isTopicLive)
        this.#violate('O3', `the offset of ${where(topicId, partition)} was deleted, with its claim`)
      incarnation?.progressOf(topicId, partition).moments.push({ fromMs: this.#history.nowMs, value: undefined })
    }
  }

  #smallPut(sort: string, small: GroupItem, bytes: number): void {
    const before = this.#small.get(sort)
    if (before !== undefined && before.id !== small.id)
      this.#violate('D6', `group ${sort} became ${small.id} without having been deleted`)
    if (
      this.incarnations.get(small.id)?.goneMs !== undefined &&
      before === undefined &&
      this.incarnations.has(small.id)
    )
      this.#violate('D6', `group ${small.id} is back`)
    if (bytes > smallItemBytesMax) this.#violate('D8', `the item of group ${sort} has ${bytes} bytes`)
    this.#small.set(sort, small)
  }

  #statePut(text: GroupText, bytes: number): void {
    const group = parseGroup(text)
    const small = [...this.#small.values()].find(({ id }) => id === group.id)
    const known = this.incarnations.get(group.id)
    const before = known?.group
    const shown = [...group.members].map(
      ([id, { owned, target }]) =>
        `${id}:${shownSet(owned)}${isDeepStrictEqual(owned, target) ? '' : `->${shownSet(target)}`}`,
    )
    this.#history.note(`group ${group.id.slice(0, 4)} epoch ${group.epoch} ${stateOf(group)} ${shown.join(' ')}`)
    if (
      small === undefined ||
      small.epoch !== group.epoch ||
      small.state !== stateOf(group) ||
      small.members !== group.members.size
    )
      this.#violate('group-store.ts', `the two items of group ${group.id} do not agree`)
    if (bytes > stateBytesMax + stateBytesPerMemberMax * group.members.size)
      this.#violate('D8', `the state of a group of ${group.members.size} has ${bytes} bytes`)
    const incarnation = known ?? new GroupIncarnation(group, small?.name ?? '', this.#history.nowMs)
    this.incarnations.set(group.id, incarnation)
    if (before !== undefined) {
      if (group.epoch !== before.epoch + 1) this.#violate('G3', `epoch ${group.epoch} of a group after ${before.epoch}`)
      if (before.state === 'deleting') this.#violate('D6', `group ${group.id} was changed after it was marked`)
      if (isDeepStrictEqual({ ...group, epoch: 0 }, { ...before, epoch: 0 }))
        this.#violate('section 9', `group ${group.id} was written, and nothing has changed`)
      this.#checkGone(incarnation, before, group)
    }
    for (const memberId of group.members.keys()) {
      // A joining that nobody waits for any more may still end. The member that it brings back is silent, and goes; or it is
      // told with its next answer what is no longer its own.
      const isBack = incarnation.everMembers.has(memberId) && before?.members.has(memberId) !== true
      if (isBack) this.unaware.set(memberId, group.epoch)
      if (isBack && (this.joining.get(memberId) ?? 0) === 0) this.#violate('G4', `member ${memberId} is back`)
      incarnation.everMembers.add(memberId)
    }
    incarnation.group = group
    incarnation.epochs.set(group.epoch, group)
    this.#checkOwners(group)
  }

  /** G1, of what is stored and of what members believe. */
  #checkOwners(group: Group): void {
    const owners = new Map<string, MemberId>()
    for (const [memberId, { owned }] of group.members)
      for (const [topicId, partition] of partitionsOf(owned)) {
        const other = owners.get(`${topicId}/${partition}`)
        if (other !== undefined)
          this.#violate('G1', `${where(topicId, partition)} is owned by ${memberId} and ${other}`)
        owners.set(`${topicId}/${partition}`, memberId)
      }
    for (const [memberId, member] of group.members) {
      const view = this.views.get(memberId)
      if (view === undefined || view.groupId !== group.id || this.unaware.has(memberId)) continue
      for (const { topicId, partition } of view.holding.values()) {
        const isThere = [...this.#truth.topics.values()].some(({ id, state }) => id === topicId && state === 'live')
        if (isThere && !hasPartition(member.owned, topicId, partition))
          this.#violate('G1', `${memberId} reads ${where(topicId, partition)}, which is no longer its own`)
      }
    }
  }

  /** Who is no longer a member left, was replaced, or was silent or slow for as long as it may be. */
  #checkGone(incarnation: GroupIncarnation, before: Group, after: Group): void {
    const nowMs = this.#history.nowMs + 2 * this.skewMs
    for (const [memberId, { instanceId, revokingSinceMs, rebalanceTimeoutMs }] of before.members) {
      if (after.members.has(memberId) || this.leaving.has(memberId)) continue
      const isReplaced =
        instanceId !== undefined &&
        [...after.members].some(([id, other]) => other.instanceId === instanceId && !before.members.has(id))
      const isOverdue = revokingSinceMs !== undefined && nowMs - revokingSinceMs > rebalanceTimeoutMs
      const beat = incarnation.beats.get(memberId)
      const isSilent = beat === undefined || nowMs - beat.beatMs > beat.sessionTimeoutMs
      if (!isReplaced && !isOverdue && !isSilent)
        this.#violate('section 9', `${memberId} was evicted ${nowMs - (beat?.beatMs ?? 0)} ms after its last beat`)
    }
  }

  #memberPut(groupId: GroupId, memberId: MemberId, item: MemberItem, bytes: number): void {
    const incarnation = this.incarnations.get(groupId)
    const before = incarnation?.beats.get(memberId)
    if (bytes > memberItemBytesMax) this.#violate('D8', `the beat of ${memberId} has ${bytes} bytes`)
    if (incarnation === undefined) this.#violate('D6', `a beat of ${memberId} in a group that never was`)
    else if (before === undefined && !incarnation.group.members.has(memberId))
      this.#violate('G4', `a beat of ${memberId}, which is no member`)
    else if (before !== undefined && item.isFenced !== true) {
      if (Math.abs(item.beatMs - before.beatMs) * 3 < before.sessionTimeoutMs)
        this.#violate('section 9', `${memberId} beats after ${item.beatMs - before.beatMs} ms`)
      if (before.isFenced === true) this.#violate('G4', `${memberId} was fenced, and beats`)
    }
    this.#history.note(`beat ${memberId} ${item.isFenced === true ? 'fenced' : ''}`)
    incarnation?.beats.set(memberId, item)
  }

  #offsetPut(groupId: GroupId, sort: string, value: GroupOffset, bytes: number): void {
    const { topicId, partition } = partitionOfGroupOffset({ collection: '', sort })
    const incarnation = this.incarnations.get(groupId)
    const at = `${groupId.slice(0, 4)} ${where(topicId, partition)}`
    const claim = value.claim
    this.#history.note(`offset ${at} ${value.offset} by ${claim && formatClaim(claim)} ${value.metadata ?? ''}`)
    if (bytes > offsetItemBytesMax) this.#violate('D8', `the offset of ${at} has ${bytes} bytes`)
    if (incarnation === undefined || claim === undefined) {
      this.#violate('O1', `the offset of ${at} has no group, or no claim`)
      return
    }
    const progress = incarnation.progressOf(topicId, partition)
    const before = progress.value
    progress.moments.push({ fromMs: this.#history.nowMs, value })
    // Of a deleted group nobody reads anything any more: late repeats may bring its items back, even with the version they had.
    if (incarnation.group.state === 'deleting') {
      const intent = this.commits[Number(value.metadata?.slice(1) ?? -1)]
      if (intent !== undefined) intent.applied = true
      return
    }
    if (claim.member === '') this.#setFromOutside(incarnation, progress, before, value, claim, at)
    else if (before?.claim?.member !== claim.member || before.claim.epoch !== claim.epoch)
      this.#claimed(incarnation, topicId, partition, before, value, claim, at)
    else this.#committed(incarnation, topicId, partition, before, value, claim, at)
  }

  #claimed(
    incarnation: GroupIncarnation,
    topicId: TopicId,
    partition: number,
    before: GroupOffset | undefined,
    value: GroupOffset,
    claim: Claim,
    at: string,
  ): void {
    if (before?.claim !== undefined && before.claim.epoch >= claim.epoch)
      this.#violate('O2', `${at} was claimed by ${formatClaim(claim)} after ${formatClaim(before.claim)}`)
    const owner = incarnation.epochs.get(claim.epoch)?.members.get(claim.member as MemberId)
    if (owner === undefined || !hasPartition(owner.owned, topicId, partition))
      this.#violate('O2', `${at} was claimed by ${formatClaim(claim)}, which did not own it then`)
    if (value.offset !== before?.offset || value.metadata !== before?.metadata)
      this.#violate('O2', `the claim ${formatClaim(claim)} changed the offset of ${at}`)
  }

  #committed(
    incarnation: GroupIncarnation,
    topicId: TopicId,
    partition: number,
    before: GroupOffset,
    value: GroupOffset,
    claim: Claim,
    at: string,
  ): void {
    const intent = this.commits[Number(value.metadata?.slice(1) ?? -1)]
    if (intent === undefined || value.offset === undefined) {
      this.#violate('O1', `nobody committed ${value.offset} to ${at}`)
      return
    }
    const what = `commit ${intent.id} of ${intent.offset} to ${at}`
    const isMeant = intent.topicId === topicId && intent.partition === partition && intent.group === incarnation.name
    if (!isMeant)
      this.#violate('D6', `${what} was meant for ${intent.group} ${where(intent.topicId, intent.partition)}`)
    if (intent.offset !== value.offset) this.#violate('O1', `${what} became ${value.offset}`)
    if (intent.claim !== carriedClaim(incarnationOf(incarnation.id), claim))
      this.#violate('O1', `${what} by ${intent.claim} counts, where ${formatClaim(claim)} stands`)
    if (intent.told === 'committed' && intent.applied) this.#violate('D4', `${what} was applied after it was answered`)
    if (intent.told === 'definite') this.#violate('errors.ts', `${what} was refused for good, and counts`)
    if (value.offset < (before.offset ?? 0) && !intent.isLower) {
      // Under one claim a later commit of the same member may have overtaken one that it no longer waited for.
      const standing = this.commits[Number(before.metadata?.slice(1) ?? -1)]
      if (standing === undefined || standing.claim !== intent.claim || standing.id < intent.id)
        this.#violate('O1', `${what} goes back from ${before.offset}`)
    }
    intent.applied = true
    const missing = this.firstMissing(incarnation, topicId, partition)
    if (value.offset > missing) this.#violate('skipped', `${what}, and nobody has processed ${missing}`)
  }

  #setFromOutside(
    incarnation: GroupIncarnation,
    progress: ProgressTruth,
    before: GroupOffset | undefined,
    value: GroupOffset,
    claim: Claim,
    at: string,
  ): void {
    if (before?.claim !== undefined && before.claim.epoch > claim.epoch)
      this.#violate('O3', `${at} was set from outside in epoch ${claim.epoch} after ${formatClaim(before.claim)}`)
    const seen = incarnation.epochs.get(claim.epoch)
    const isForgotten = value.offset === undefined
    if (seen === undefined || (seen.members.size > 0 && !isForgotten))
      this.#violate('O3', `${at} was set from outside in epoch ${claim.epoch}, when there were members`)
    const intent = this.commits[Number(value.metadata?.slice(1) ?? -1)]
    if (intent !== undefined) {
      if (intent.claim !== undefined) this.#violate('O1', `commit ${intent.id} to ${at} counts as one from outside`)
      intent.applied = true
    }
    progress.excusedTo = Math.max(progress.excusedTo, value.offset ?? 0)
  }

  // --- What clients were told -----------------------------------------------------------------------------------------

  /** D6, O1: whether a client that asked since then may have been told that this was committed. */
  stood(
    incarnation: GroupIncarnation,
    topicId: TopicId,
    partition: number,
    sinceMs: number,
    isTrue: (value: GroupOffset | undefined) => boolean,
  ): boolean {
    const { moments } = incarnation.progressOf(topicId, partition)
    return moments.some(
      ({ value }, at) => (moments[at + 1]?.fromMs ?? Number.POSITIVE_INFINITY) >= sinceMs && isTrue(value),
    )
  }

  #violate(rule: string, how: string): void {
    this.#history.violate(rule, how)
  }
}

function formatClaim({ member, epoch }: Claim): string {
  return `${epoch}-${member}`
}

function where(topicId: TopicId, partition: number): string {
  return `${topicId.slice(0, 4)}/${partition}`
}

function shownSet(set: ReadonlyMap<TopicId, readonly number[]>): string {
  return [...set].map(([topicId, partitions]) => `${topicId.slice(0, 4)}/${partitions.join('+')}`).join(',')
}
