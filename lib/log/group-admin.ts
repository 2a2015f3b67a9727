/** Looking after groups: list, describe, lag, reset, delete; and the upkeep of those that nobody reads in any more. */
import type { Refusal } from '../core/errors.ts'
import { refusal } from '../core/errors.ts'
import type { Group } from '../core/group.ts'
import { assignorOf, stateOf } from '../core/group.ts'
import type { GroupOffset } from '../core/group-offset.ts'
import type { GroupId, GroupName, MemberId, TopicId } from '../core/names.ts'
import { parseGroupName } from '../core/names.ts'
import { type PartitionSet, partitionsOf } from '../core/partition-set.ts'
import type { Topic } from '../core/topic.ts'
import type { Chunks } from './chunks.ts'
import type { Context } from './context.ts'
import { liveHead } from './fetch.ts'
import type {
  CommittedOffset,
  GroupDescription,
  GroupSummary,
  MemberDescription,
  NamedPartition,
  OffsetToCommit,
  PartitionLag,
  ResetRequest,
  ResetTo,
  StoredOffset,
  TopicPartition,
} from './group-api.ts'
import type { GroupMembers } from './group-members.ts'
import { type GroupOffsets, offsetsAtOnce } from './group-offsets.ts'
import type { GroupStore } from './group-store.ts'
import { unknownGroup } from './group-store.ts'
import { inParallel } from './in-parallel.ts'
import type { Answer } from './log.ts'
import { offsetForTimestamp } from './offset-for-timestamp.ts'
import type { Topics } from './topics.ts'
import { unknownPartition } from './topics.ts'

/** In how many rounds of upkeep a group's offsets are looked through for topics that are gone: they cost nothing but their bytes. */
const forgettingShare = 1 / 50

type Named<Value> = ({ readonly ok: true; readonly name: GroupName } & Value) | Refusal

export class GroupAdmin {
  readonly #context: Context
  readonly #store: GroupStore
  readonly #members: GroupMembers
  readonly #offsets: GroupOffsets
  readonly #topics: Topics
  readonly #chunks: Chunks

  constructor(
    context: Context,
    store: GroupStore,
    members: GroupMembers,
    offsets: GroupOffsets,
    topics: Topics,
    chunks: Chunks,
  ) {
    this.#context = context
    this.#store = store
    this.#members = members
    this.#offsets = offsets
    this.#topics = topics
    this.#chunks = chunks
  }

  async commit(
    group: string,
    offsets: readonly OffsetToCommit[],
  ): Promise<Answer<{ offsets: readonly CommittedOffset[] }>> {
    const name = parseGroupName(group)
    if (!name.ok) return refusal('INVALID_GROUP_ID', name.message)
    let small = await this.#store.find(name.name)
    const isFromOutside = offsets.some(({ claim }) => claim === undefined)
    if (small === undefined && !isFromOutside) return unknownGroup(group)
    if (small === undefined) {
      // The first commit makes the group, as in Kafka.
      const made = await this.#store.change(name.name, true, (present) => ({ ok: true, next: present }))
      if (!made.ok) return made
      small = await this.#store.find(name.name)
      if (small === undefined) return unknownGroup(group)
    }
    if (isFromOutside && small.members > 0) {
      // Perhaps they are only remembered.
      await this.#members.check(name.name)
      small = (await this.#store.find(name.name)) ?? small
    }
    const outsideEpoch = isFromOutside && small.members === 0 ? small.epoch : undefined
    return { ok: true, offsets: await this.#offsets.commit(small.id, outsideEpoch, offsets) }
  }

  async committed(
    group: string,
    partitions?: readonly TopicPartition[],
  ): Promise<Answer<{ offsets: readonly StoredOffset[] }>> {
    const found = await this.#find(group)
    if (!found.ok) return found
    if (partitions === undefined) {
      const names = new Map((await this.#topics.list()).map((topic) => [topic.id, topic]))
      const offsets: StoredOffset[] = []
      for await (const { topicId, partition, value } of this.#offsets.all(found.small.id)) {
        const topic = names.get(topicId)
        if (topic !== undefined && value.offset !== undefined) offsets.push(stored(topic, partition, value))
      }
      return { ok: true, offsets: offsets.sort(byTopicAndPartition) }
    }
    const known = await this.#resolve(partitions)
    if (!known.ok) return known
    const values = await this.#offsets.read(
      found.small.id,
      known.partitions.map(({ topic, partition }) => ({ topicId: topic.id, partition })),
    )
    return {
      ok: true,
      offsets: known.partitions.flatMap(({ topic, partition }, at) => {
        const value = values[at]
        return value?.offset === undefined ? [] : [stored(topic, partition, value)]
      }),
    }
  }

  async list(): Promise<Answer<{ groups: readonly GroupSummary[] }>> {
    const groups = (await this.#store.list()).map(({ name, id, state, epoch, members }) => ({
      group: name,
      groupId: id,
      state,
      epoch,
      members,
    }))
    return { ok: true, groups: groups.sort((a, b) => (a.group < b.group ? -1 : 1)) }
  }

  async describe(group: string): Promise<Answer<{ group: GroupDescription }>> {
    const present = await this.#present(group)
    if (!present.ok) return present
    const { name } = present
    const now = present.group
    const beats = await this.#members.beats(now.id)
    const nameOf = new Map([...now.topics].map(([topic, { id }]) => [id, topic]))
    const memberList = [...now.members].map(([memberId, member]): MemberDescription => {
      const { instanceId, clientId, subscription, assignor, sessionTimeoutMs, rebalanceTimeoutMs } = member
      const beatMs = beats.get(memberId)
      return {
        memberId,
        ...(instanceId === undefined ? {} : { instanceId }),
        ...(clientId === undefined ? {} : { clientId }),
        subscription,
        assignor,
        sessionTimeoutMs,
        rebalanceTimeoutMs,
        assigned: named(member.owned, nameOf),
        target: named(member.target, nameOf),
        ...(beatMs === undefined ? {} : { beatMs }),
      }
    })
    const summary = {
      group: name,
      groupId: now.id,
      state: stateOf(now),
      epoch: now.epoch,
      members: now.members.size,
      assignor: assignorOf(now),
    }
    return {
      ok: true,
      group: { ...summary, memberList: memberList.sort((a, b) => (a.memberId < b.memberId ? -1 : 1)) },
    }
  }

  async lags(group: string): Promise<Answer<{ lags: readonly PartitionLag[] }>> {
    const present = await this.#present(group)
    if (!present.ok) return present
    const now = present.group
    const offsets = new Map<string, GroupOffset>()
    const wanted = new Map<string, { topic: Topic; partition: number }>()
    const topics = new Map((await this.#topics.list()).map((topic) => [topic.id, topic]))
    for (const { id } of now.topics.values()) {
      const topic = topics.get(id)
      for (let partition = 0; partition < (topic?.partitions ?? 0); partition++)
        if (topic !== undefined) wanted.set(`${id}/${partition}`, { topic, partition })
    }
    for await (const { topicId, partition, value } of this.#offsets.all(now.id)) {
      const topic = topics.get(topicId)
      offsets.set(`${topicId}/${partition}`, value)
      if (topic !== undefined && value.offset !== undefined) wanted.set(`${topicId}/${partition}`, { topic, partition })
    }
    const owners = new Map<string, MemberId>()
    for (const [memberId, { owned }] of now.members)
      for (const [topicId, partition] of partitionsOf(owned)) owners.set(`${topicId}/${partition}`, memberId)
    const lags = await inParallel(
      [...wanted],
      offsetsAtOnce,
      async ([key, { topic, partition }]): Promise<PartitionLag | undefined> => {
        const found = await liveHead(this.#context, this.#topics, topic.name, partition)
        if (!found.ok || found.topic.id !== topic.id) return undefined
        const { start, hw } = found.head
        const { offset, metadata = '' } = offsets.get(key) ?? {}
        const memberId = owners.get(key)
        const member = memberId === undefined ? undefined : now.members.get(memberId)
        return {
          topic: topic.name,
          topicId: topic.id,
          partition,
          ...(offset === undefined ? {} : { currentOffset: offset }),
          startOffset: start,
          endOffset: hw,
          lag: Math.max(0, hw - Math.max(start, offset ?? start)),
          ...(memberId === undefined ? {} : { memberId }),
          ...(member?.clientId === undefined ? {} : { clientId: member.clientId }),
          ...(member?.instanceId === undefined ? {} : { instanceId: member.instanceId }),
          metadata,
        }
      },
    )
    return { ok: true, lags: lags.filter((lag) => lag !== undefined).sort(byTopicAndPartition) }
  }

  async reset(
    request: ResetRequest,
  ): Promise<Answer<{ offsets: readonly (TopicPartition & { readonly offset: number; readonly before?: number })[] }>> {
    const name = parseGroupName(request.group)
    if (!name.ok) return refusal('INVALID_GROUP_ID', name.message)
    const empty = await this.#empty(name.name)
    if (!empty.ok && empty.code !== 'GROUP_ID_NOT_FOUND') return empty
    const groupId = empty.ok ? empty.group.id : undefined
    const wanted: TopicPartition[] = []
    if (request.topics === 'all') {
      const all = await this.committed(request.group)
      if (!all.ok) return all
      wanted.push(...all.offsets)
    } else
      for (const { topic, partitions } of request.topics) {
        const found = await this.#topics.describe(topic)
        if (!found.ok) return found
        const numbers = partitions ?? Array.from({ length: found.topic.partitions }, (_, partition) => partition)
        wanted.push(...numbers.map((partition) => ({ topic, partition })))
      }
    const known = await this.#resolve(wanted)
    if (!known.ok) return known
    const before =
      groupId === undefined
        ? []
        : await this.#offsets.read(
            groupId,
            known.partitions.map(({ topic, partition }) => ({ topicId: topic.id, partition })),
          )
    const targets = await inParallel(known.partitions, offsetsAtOnce, ({ topic, partition }, at) =>
      this.#resetOffset(topic, partition, request.to, before[at]?.offset),
    )
    const offsets: { topic: string; partition: number; offset: number; before?: number }[] = []
    for (const [at, target] of targets.entries()) {
      if (!target.ok) return target
      const { topic, partition } = known.partitions[at]!
      const was = before[at]?.offset
      offsets.push({
        topic: topic.name,
        partition,
        offset: target.offset,
        ...(was === undefined ? {} : { before: was }),
      })
    }
    if (request.isDryRun === true || offsets.length === 0) return { ok: true, offsets }
    const committed = await this.commit(
      request.group,
      // What was found out is of these topics, not of others that were created under their names since (D6).
      offsets.map(({ topic, partition, offset }, at) => {
        return { topic, partition, offset, topicId: known.partitions[at]!.topic.id }
      }),
    )
    if (!committed.ok) return committed
    for (const answer of committed.offsets)
      if (!answer.ok) return answer.code === 'UNKNOWN_MEMBER_ID' ? notEmpty(request.group) : answer
    return { ok: true, offsets }
  }

  async deleteOffsets(
    group: string,
    partitions: readonly TopicPartition[] | { readonly topic: string },
  ): Promise<Answer<{ deleted: number }>> {
    const present = await this.#present(group)
    if (!present.ok) return present
    const { group: now } = present
    const list: TopicPartition[] = []
    if ('topic' in partitions) {
      const found = await this.#topics.describe(partitions.topic)
      if (!found.ok) return found
      for (let partition = 0; partition < found.topic.partitions; partition++)
        list.push({ topic: found.topic.name, partition })
    } else list.push(...partitions)
    for (const { topic } of list)
      if (now.topics.has(topic))
        return refusal(
          'GROUP_SUBSCRIBED_TO_TOPIC',
          `Members of group ${JSON.stringify(group)} subscribe to topic '${topic}'.`,
        )
    const known = await this.#resolve(list)
    if (!known.ok) return known
    const answers = await inParallel(known.partitions, offsetsAtOnce, ({ topic, partition }) =>
      this.#offsets.forget(now.id, now.epoch, { topicId: topic.id, partition }),
    )
    let deleted = 0
    for (const answer of answers)
      if (answer === true) deleted++
      else if (answer !== false) return answer
    return { ok: true, deleted }
  }

  async delete(group: string): Promise<Answer<object>> {
    const name = parseGroupName(group)
    if (!name.ok) return refusal('INVALID_GROUP_ID', name.message)
    if (await this.#finishDeletion(name.name)) return { ok: true }
    const empty = await this.#empty(name.name)
    if (!empty.ok) return empty
    const { id } = empty.group
    const marked = await this.#store.change(name.name, false, (present) => {
      if (present.id !== id) return unknownGroup(group)
      if (present.members.size > 0) return notEmpty(group)
      return { ok: true, next: { ...present, epoch: present.epoch + 1, state: 'deleting', topics: new Map() } }
    })
    if (!marked.ok) return marked
    await this.#finishDeletion(name.name)
    return { ok: true }
  }

  /** Ends a deletion that was begun: this one, or one that was cut off. False where there is none. */
  async #finishDeletion(name: GroupName): Promise<boolean> {
    const stored = await this.#store.read(name)
    if (stored?.group.state !== 'deleting') return false
    await this.#store.finishDeletion(name, stored)
    return true
  }

  /** One round: deletions that were cut off are ended, who is gone is evicted, groups that nobody needed for `offsetsRetentionMs` go, and offsets of topics that are gone. */
  async maintain(signal: AbortSignal): Promise<{ readonly groups: number; readonly deleted: number }> {
    const { clock, settings } = this.#context
    let groups = 0
    let deleted = 0
    for (const small of await this.#store.list('all')) {
      if (signal.aborted) break
      if (small.state === 'Dead') {
        if (await this.#finishDeletion(small.name)) deleted++
        continue
      }
      groups++
      if (this.#context.random() < forgettingShare) await this.#forgetGoneTopics(small.id)
      let group: Pick<Group, 'id' | 'emptySinceMs'> = small
      if (small.members > 0) {
        const checked = await this.#members.check(small.name)
        if (!checked.ok) continue
        group = checked.group
      }
      if (group.emptySinceMs === undefined || clock.now() - group.emptySinceMs <= settings.offsetsRetentionMs) continue
      let usedMs = group.emptySinceMs
      for await (const { value } of this.#offsets.all(group.id)) usedMs = Math.max(usedMs, value.committedMs ?? 0)
      if (clock.now() - usedMs <= settings.offsetsRetentionMs) continue
      if ((await this.delete(small.name)).ok) deleted++
    }
    return { groups, deleted }
  }

  /** Offsets first, topics afterwards: the id of a topic that was there and is gone never comes back (D6). */
  async #forgetGoneTopics(groupId: GroupId): Promise<void> {
    const gone = new Set<TopicId>()
    for await (const { topicId } of this.#offsets.all(groupId)) gone.add(topicId)
    if (gone.size === 0) return
    for (const { id } of await this.#topics.list()) gone.delete(id)
    if (gone.size > 0) await this.#offsets.remove(groupId, ({ topicId }) => gone.has(topicId))
  }

  async #find(group: string): Promise<Named<{ readonly small: NonNullable<Awaited<ReturnType<GroupStore['find']>>> }>> {
    const name = parseGroupName(group)
    if (!name.ok) return refusal('INVALID_GROUP_ID', name.message)
    const small = await this.#store.find(name.name)
    return small === undefined ? unknownGroup(group) : { ok: true, name: name.name, small }
  }

  /** The group after a look at who is still alive. */
  async #present(group: string): Promise<Named<{ readonly group: Group }>> {
    const name = parseGroupName(group)
    if (!name.ok) return refusal('INVALID_GROUP_ID', name.message)
    const checked = await this.#members.check(name.name)
    return checked.ok ? { ok: true, name: name.name, group: checked.group } : checked
  }

  async #empty(name: GroupName): Promise<Answer<{ group: Group }>> {
    const checked = await this.#members.check(name)
    if (!checked.ok) return checked
    return checked.group.members.size > 0 ? notEmpty(name) : { ok: true, group: checked.group }
  }

  async #resolve(
    partitions: readonly TopicPartition[],
  ): Promise<Answer<{ partitions: readonly { readonly topic: Topic; readonly partition: number }[] }>> {
    const topics = new Map<string, Topic>()
    for (const { topic: name, partition } of partitions) {
      let topic = topics.get(name)
      if (topic === undefined) {
        const found = await this.#topics.describe(name)
        if (!found.ok) return found
        topic = found.topic
        topics.set(name, topic)
      }
      if (!Number.isInteger(partition) || partition < 0 || partition >= topic.partitions)
        return unknownPartition(topic, partition)
    }
    return {
      ok: true,
      partitions: partitions.map(({ topic, partition }) => ({ topic: topics.get(topic)!, partition })),
    }
  }

  async #resetOffset(
    topic: Topic,
    partition: number,
    to: ResetTo,
    before: number | undefined,
  ): Promise<Answer<{ offset: number }>> {
    const found = await liveHead(this.#context, this.#topics, topic.name, partition)
    if (!found.ok) return found
    if (found.topic.id !== topic.id) return recreated(topic)
    const { start, hw } = found.head
    const within = (offset: number) => ({ ok: true, offset: Math.min(hw, Math.max(start, offset)) }) as const
    switch (to.to) {
      case 'earliest':
        return within(start)
      case 'latest':
        return within(hw)
      case 'offset':
        return within(to.offset)
      case 'shift':
        return within((before ?? start) + to.by)
      case 'current':
        return within(before ?? hw)
      case 'time': {
        const { timestampMs } = to
        const at = await offsetForTimestamp(
          this.#context,
          this.#topics,
          this.#chunks,
          topic.name,
          partition,
          timestampMs,
        )
        if (!at.ok) return at
        if (at.topicId !== topic.id) return recreated(topic)
        return within(at.offset < 0 ? hw : at.offset)
      }
      default:
        return to satisfies never
    }
  }
}

function stored(topic: Topic, partition: number, value: GroupOffset): StoredOffset {
  return {
    topic: topic.name,
    topicId: topic.id,
    partition,
    offset: value.offset ?? 0,
    metadata: value.metadata ?? '',
    committedMs: value.committedMs ?? 0,
  }
}

function named(set: PartitionSet, nameOf: ReadonlyMap<TopicId, string>): NamedPartition[] {
  return [...partitionsOf(set)]
    .map(([topicId, partition]) => ({ topic: nameOf.get(topicId) ?? '', topicId, partition }))
    .sort(byTopicAndPartition)
}

function byTopicAndPartition(a: TopicPartition, b: TopicPartition): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1
  return a.partition - b.partition
}

function recreated({ name }: Topic): Refusal {
  return refusal('UNKNOWN_TOPIC', `Topic '${name}' was deleted, and created again, meanwhile.`)
}

function notEmpty(group: string): Refusal {
  return refusal('NON_EMPTY_GROUP', `Group ${JSON.stringify(group)} has members.`)
}
