/**
 * Claims and committed offsets: one item per group and partition, each change one conditional write on the version that was
 * judged by the pure rules (O1 to O3). A warm process knows that version from its last write; otherwise it reads first.
 */
import type { Refusal } from '../core/errors.ts'
import { refusal, Unavailable } from '../core/errors.ts'
import type { Claim, Commit, CommitDecision, GroupOffset } from '../core/group-offset.ts'
import { decideCommitFromOutside, offsetMetadataCharactersMax, parseClaim } from '../core/group-offset.ts'
import type { Item, ItemKey } from '../core/items.ts'
import { groupOffsetKey, groupOffsetsCollection, partitionOfGroupOffset } from '../core/items.ts'
import type { GroupId, Offset, TopicId } from '../core/names.ts'
import type { Topic } from '../core/topic.ts'
import { refusalOfUnavailable } from './commit-outcomes.ts'
import type { Context } from './context.ts'
import type { CommittedOffset, OffsetToCommit } from './group-api.ts'
import type { GroupStore } from './group-store.ts'
import { inParallel } from './in-parallel.ts'
import type { Topics } from './topics.ts'
import { unknownPartition } from './topics.ts'

/** What is there, as far as this process knows. */
interface Known {
  readonly version: string | undefined
  readonly value: GroupOffset | undefined
}

export interface Partition {
  readonly topicId: TopicId
  readonly partition: number
}

interface Committed {
  readonly ok: true
  readonly topicId: TopicId
  readonly offset: Offset
  readonly metadata: string
}

const cachedOffsetsMax = 20_000
/** Of one request, reads and writes under way at the same time. */
export const offsetsAtOnce = 32
const writeAttemptsMax = 20
/** From so many on, claims read a topic's offsets by one query instead of one by one. */
const claimsToQuery = 8

export class GroupOffsets {
  readonly #context: Context
  readonly #store: GroupStore
  readonly #topics: Topics
  readonly #cache = new Map<string, Known>()

  constructor(context: Context, store: GroupStore, topics: Topics) {
    this.#context = context
    this.#store = store
    this.#topics = topics
  }

  /**
   * Claims the partitions for a member that owns them in the group's `claim.epoch`. Undefined where somebody has claimed since:
   * the group was read too long ago.
   */
  async claim(
    groupId: GroupId,
    partitions: readonly Partition[],
    claim: Claim,
  ): Promise<readonly (GroupOffset | undefined)[]> {
    const known = await this.#readMany(groupId, partitions)
    return inParallel(partitions, offsetsAtOnce, (partition, at) =>
      this.#change(groupOffsetKey(groupId, partition.topicId, partition.partition), known[at], (present) => {
        const decided = this.#context.rules.decideClaim(present, claim)
        switch (decided.kind) {
          case 'claimed':
            return { kind: 'write', next: decided.next, answer: decided.next }
          case 'standing':
            return { kind: 'answer', answer: present }
          case 'fenced':
            return { kind: 'answer', answer: undefined }
          default:
            return decided satisfies never
        }
      }),
    )
  }

  /**
   * Commits what the claims allow; without a claim, as somebody from outside who saw the group without members in
   * `outsideEpoch`.
   */
  commit(
    groupId: GroupId,
    outsideEpoch: number | undefined,
    offsets: readonly OffsetToCommit[],
  ): Promise<readonly CommittedOffset[]> {
    return inParallel(offsets, offsetsAtOnce, async ({ topic, partition, ...wanted }) => ({
      topic,
      partition,
      ...(await this.#commitOne(groupId, outsideEpoch, { topic, partition, ...wanted }).catch(refusalOfLost)),
    }))
  }

  /** Undefined for those that have no item. In order. */
  async read(groupId: GroupId, partitions: readonly Partition[]): Promise<readonly (GroupOffset | undefined)[]> {
    return (await this.#readMany(groupId, partitions)).map(({ value }) => value)
  }

  /** All items of the group, also of topics that are gone. */
  async *all(groupId: GroupId): AsyncGenerator<Partition & { readonly value: GroupOffset }> {
    for await (const item of this.#store.pages(groupOffsetsCollection(groupId)))
      yield { ...partitionOfGroupOffset(item.key), value: item.value as unknown as GroupOffset }
  }

  /**
   * Forgets the offset, as somebody from outside. The item stays: it says that no earlier claim counts (O3), and that no late
   * write of it is the first one. False where there was none; a refusal where a member has claimed since.
   */
  async forget(groupId: GroupId, epoch: number, { topicId, partition }: Partition): Promise<boolean | Refusal> {
    const key = groupOffsetKey(groupId, topicId, partition)
    return this.#change<boolean | Refusal>(key, undefined, (present) => {
      if (present?.offset === undefined) return { kind: 'answer', answer: false }
      const decided = decideCommitFromOutside(present, epoch, { offset: 0, metadata: '' }, 0)
      if (decided.kind === 'fenced') return { kind: 'answer', answer: fenced(decided.by) }
      return { kind: 'write', next: { claim: decided.next.claim! }, answer: true }
    })
  }

  /** Removes items that nobody can come back to: those of a deleted group, or of a topic that is gone (their ids are never used again). */
  async remove(groupId: GroupId, isGone: (partition: Partition) => boolean): Promise<number> {
    let removed = 0
    for await (const item of this.#store.pages(groupOffsetsCollection(groupId))) {
      if (!isGone(partitionOfGroupOffset(item.key))) continue
      this.#cache.delete(cacheKey(item.key))
      const { key, version } = item
      const answer = await this.#context.persist(() =>
        this.#context.metadata.write([{ op: 'delete', key, if: { version } }]),
      )
      if (answer.applied) removed++
    }
    return removed
  }

  async #commitOne(
    groupId: GroupId,
    outsideEpoch: number | undefined,
    wanted: OffsetToCommit,
  ): Promise<
    { readonly ok: true; readonly topicId: TopicId; readonly offset: number; readonly metadata: string } | Refusal
  > {
    const { offset, metadata = '', partition } = wanted
    if (!Number.isSafeInteger(offset) || offset < 0)
      return refusal('INVALID_REQUEST', `An offset is a whole number of at least 0, not ${offset}.`)
    if (metadata.length > offsetMetadataCharactersMax)
      return refusal(
        'OFFSET_METADATA_TOO_LARGE',
        `The metadata has ${metadata.length} characters; at most ${offsetMetadataCharactersMax} are allowed.`,
      )
    const found = await this.#topicOf(wanted)
    if (!found.ok) return found
    const { topic } = found
    const claim = wanted.claim === undefined ? undefined : parseClaim(wanted.claim)
    if (wanted.claim !== undefined && claim === undefined)
      return refusal('INVALID_REQUEST', `${JSON.stringify(wanted.claim.slice(0, 120))} is no claim.`)
    if (claim === undefined && outsideEpoch === undefined)
      return refusal(
        'UNKNOWN_MEMBER_ID',
        'The group has members: only they commit, with the claim that they were given with the partition.',
      )
    const decide = (present: GroupOffset | undefined): CommitDecision => {
      const commit: Commit = { offset, metadata }
      const nowMs = this.#context.clock.now()
      if (claim !== undefined) return this.#context.rules.decideCommit(present, groupId, claim, commit, nowMs)
      return decideCommitFromOutside(present, outsideEpoch ?? 0, commit, nowMs)
    }
    const key = groupOffsetKey(groupId, topic.id, partition)
    return this.#change<Committed | Refusal>(key, this.#cache.get(cacheKey(key)), (present, isFresh) => {
      const decided = decide(present)
      if (decided.kind === 'committed')
        return { kind: 'write', next: decided.next, answer: { ok: true, topicId: topic.id, offset, metadata } }
      return isFresh ? { kind: 'answer', answer: fenced(decided.by) } : { kind: 'look' }
    })
  }

  async #topicOf({ topic: name, partition, topicId }: OffsetToCommit): Promise<{ ok: true; topic: Topic } | Refusal> {
    const found = await this.#topics.resolveFor(name, { topicId, partition })
    if (!found.ok) return found
    const { topic } = found
    if (topicId !== undefined && topic.id !== topicId)
      return refusal('UNKNOWN_TOPIC', `Topic '${name}' was created again: its id is ${topic.id}, not ${topicId}.`)
    if (!Number.isInteger(partition) || partition < 0 || partition >= topic.partitions)
      return unknownPartition(topic, partition)
    return { ok: true, topic }
  }

  /**
   * The read-decide-write loop of one item. `known` may be old: a decision on it that is `look` is made again on what is read.
   *
   * After an attempt whose outcome is unknown, the item shows what became of it: our version, or the one we wanted to replace. If it
   * shows a third, somebody wrote after, or instead: writing again could take back what came later.
   */
  async #change<Answer>(
    key: ItemKey,
    known: Known | undefined,
    decide: (
      present: GroupOffset | undefined,
      isFresh: boolean,
    ) =>
      | { readonly kind: 'write'; readonly next: GroupOffset; readonly answer: Answer }
      | { readonly kind: 'answer'; readonly answer: Answer }
      | { readonly kind: 'look' },
  ): Promise<Answer> {
    const { metadata } = this.#context
    let present = known
    let isFresh = false
    for (let attempt = 1; attempt <= writeAttemptsMax; attempt++) {
      if (present === undefined) {
        present = asKnown(await this.#context.persist(() => metadata.get(key)))
        isFresh = true
      }
      const decided = decide(present.value, isFresh)
      if (decided.kind === 'answer') return decided.answer
      if (decided.kind === 'look') {
        if (isFresh) throw new Error('a decision on what was just read cannot ask to look again')
        present = undefined
        continue
      }
      const { version: before } = present
      const version = this.#context.newVersion()
      const outcome = await this.#write(key, version, decided.next, before)
      if (outcome.isApplied) {
        this.#remember(key, { version, value: decided.next })
        return decided.answer
      }
      if (outcome.isUncertain)
        throw new Unavailable(`what became of the change of ${key.sort} cannot be told`, 'possible')
      present = outcome.present
      isFresh = true
    }
    throw new Unavailable(`${key.sort} is being changed by too many at once`, 'none')
  }

  async #write(
    key: ItemKey,
    version: string,
    next: GroupOffset,
    before: string | undefined,
  ): Promise<{ readonly isApplied: boolean; readonly isUncertain: boolean; readonly present: Known }> {
    const { metadata, settings } = this.#context
    let isUncertain = false
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await metadata.write([
          {
            op: 'put',
            key,
            version,
            value: next as unknown as Item['value'],
            if: before === undefined ? 'absent' : { version: before },
          },
        ])
        const item = answer.applied ? undefined : answer.items[0]
        const isApplied = answer.applied || item?.version === version
        return { isApplied, isUncertain: isUncertain && !isApplied, present: asKnown(item) }
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error
        if (error.effects === 'possible') isUncertain = true
        if (error.why === 'closed' || error.why === 'full' || attempt >= settings.commitAttemptsMax) {
          this.#cache.delete(cacheKey(key))
          throw new Unavailable(error.message, isUncertain ? 'possible' : 'none', error.why, error)
        }
        await this.#context.pause(attempt)
      }
    }
  }

  async #readMany(groupId: GroupId, partitions: readonly Partition[]): Promise<readonly Known[]> {
    const byTopic = new Map<TopicId, number[]>()
    for (const { topicId, partition } of partitions) {
      const present = byTopic.get(topicId)
      if (present === undefined) byTopic.set(topicId, [partition])
      else present.push(partition)
    }
    const found = new Map<string, Known>()
    for (const [topicId, wanted] of byTopic)
      if (wanted.length < claimsToQuery)
        await inParallel(wanted, offsetsAtOnce, async (partition) => {
          const key = groupOffsetKey(groupId, topicId, partition)
          found.set(key.sort, asKnown(await this.#context.persist(() => this.#context.metadata.get(key))))
        })
      else {
        const sortOf = (partition: number) => groupOffsetKey(groupId, topicId, partition).sort
        const from = sortOf(wanted.reduce((least, partition) => Math.min(least, partition)))
        const to = sortOf(wanted.reduce((most, partition) => Math.max(most, partition)))
        for await (const item of this.#store.pages(groupOffsetsCollection(groupId), from, to))
          found.set(item.key.sort, asKnown(item))
      }
    return partitions.map(
      ({ topicId, partition }) => found.get(groupOffsetKey(groupId, topicId, partition).sort) ?? asKnown(undefined),
    )
  }

  #remember(key: ItemKey, known: Known): void {
    const text = cacheKey(key)
    this.#cache.delete(text)
    if (this.#cache.size >= cachedOffsetsMax) {
      const oldest = this.#cache.keys().next()
      if (!oldest.done) this.#cache.delete(oldest.value)
    }
    this.#cache.set(text, known)
  }
}

/** One offset that cannot be told leaves the others as they are. To commit the same again is harmless. */
function refusalOfLost(error: unknown): Refusal {
  if (!(error instanceof Unavailable)) throw error
  if (error.effects === 'none') return refusalOfUnavailable(error)
  return refusal(
    'OUTCOME_UNKNOWN',
    `The offset may have been committed (${error.message}); to commit it again does no harm.`,
  )
}

function asKnown(item: Item | undefined): Known {
  return { version: item?.version, value: item?.value as GroupOffset | undefined }
}

function cacheKey({ collection, sort }: ItemKey): string {
  return `${collection}/${sort}`
}

function fenced(by: Claim | undefined): Refusal {
  return refusal(
    'FENCED_CLAIM',
    by === undefined || by.member === ''
      ? 'The claim no longer stands: the offset was changed from outside the group, the group was deleted, or the partition was never claimed.'
      : `The partition was claimed by member '${by.member}' in epoch ${by.epoch} of the group.`,
    by === undefined ? undefined : { epoch: by.epoch },
  )
}
