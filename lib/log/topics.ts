/**
 * Topics: names, ids, partition counts, configs. Heads are made first, then the name; on deletion the name is freed only
 * after every head is marked (D6). A warm process may believe an old name for a while: the mark is what refuses it.
 *
 *     (nothing) ──heads, then name──▶ live ──▶ deleting ──heads marked, name freed──▶ (nothing, and a grave for the sweep)
 */
import type { Refusal } from '../core/errors.ts'
import { refusal } from '../core/errors.ts'
import { newHead } from '../core/head.ts'
import type { Grave, Item } from '../core/items.ts'
import { graveKey, topicKey, topicsCollection } from '../core/items.ts'
import type { EpochMs, TopicId, TopicName } from '../core/names.ts'
import { parseTopicName, topicIdFromRandom } from '../core/names.ts'
import type { Topic } from '../core/topic.ts'
import { checkPartitions, parseConfigs } from '../core/topic.ts'
import type { Context } from './context.ts'
import { inParallel } from './in-parallel.ts'
import type { Answer, ConfigChange, CreateTopicRequest } from './log.ts'

type Found = { readonly ok: true; readonly topic: Topic }

/** What a request knows of a topic: a process that believes an older one has to look again. */
export interface KnownOfTopic {
  readonly topicId?: TopicId | undefined
  /** The largest that it names. */
  readonly partition?: number
}

const cachedTopicsMax = 10_000
const headsAtOnce = 32
const changeAttemptsMax = 20

export class Topics {
  readonly #context: Context
  readonly #cache = new Map<string, { topic: Topic; atMs: EpochMs }>()
  readonly #reading = new Map<string, Promise<Found | Refusal>>()

  constructor(context: Context) {
    this.#context = context
  }

  /** The live topic of that name, believed for `topicAgeMsMax`. */
  async resolve(name: string): Promise<Found | Refusal> {
    const cached = this.#cache.get(name)
    const { clock, settings } = this.#context
    if (cached !== undefined && clock.now() - cached.atMs <= settings.topicAgeMsMax)
      return { ok: true, topic: cached.topic }
    return this.describe(name)
  }

  /** As `resolve`; read now where the request knows of more than what is believed has: of another id, of a partition beyond the last. */
  async resolveFor(name: string, known: KnownOfTopic): Promise<Found | Refusal> {
    const found = await this.resolve(name)
    if (!found.ok) return found
    const { id, partitions } = found.topic
    const { topicId = id, partition = 0 } = known
    return topicId === id && partition < partitions ? found : this.describe(name)
  }

  /** As `resolveFor`, but a topic that does not exist is created where the settings say so. */
  async resolveOrCreate(name: string, known: KnownOfTopic): Promise<Found | Refusal> {
    const found = await this.resolveFor(name, known)
    if (found.ok || found.code !== 'UNKNOWN_TOPIC' || !this.#context.settings.autoCreateTopics) return found
    const created = await this.create({ name })
    return created.ok || created.code !== 'TOPIC_ALREADY_EXISTS' ? created : this.describe(name)
  }

  /** The live topic of that name, read now. Concurrent readers share one read. */
  describe(name: string): Promise<Found | Refusal> {
    const present = this.#reading.get(name)
    if (present !== undefined) return present
    const reading = this.#read(name).finally(() => this.#reading.delete(name))
    this.#reading.set(name, reading)
    return reading
  }

  /** As `describe`, and never older than the call: no read is shared that began before it, and may have hung since. */
  describeNow(name: string): Promise<Found | Refusal> {
    return this.#read(name)
  }

  forget(name: string): void {
    this.#cache.delete(name)
  }

  /** @param first the name to begin with. @default all */
  async list(first?: string): Promise<readonly Topic[]> {
    const topics: Topic[] = []
    const pageItems = 1_000
    let from = first
    while (true) {
      const items = await this.#context.persist(() =>
        this.#context.metadata.query(topicsCollection, { ...(from === undefined ? {} : { from }), limit: pageItems }),
      )
      for (const item of items) {
        const topic = item.value as unknown as Topic
        if (topic.state !== 'live') continue
        this.#context.meter?.named(topic.id, topic.name)
        topics.push(topic)
      }
      const last = items[items.length - 1]
      if (items.length < pageItems || last === undefined) return topics
      from = `${last.key.sort}\0`
    }
  }

  async create(request: CreateTopicRequest): Promise<Answer<{ topic: Topic }>> {
    const { settings, random, clock } = this.#context
    const name = parseTopicName(request.name)
    if (!name.ok) return refusal('INVALID_TOPIC', name.message)
    const partitions = request.partitions ?? settings.partitionsDefault
    const counted = checkPartitions(partitions)
    if (!counted.ok) return refusal(counted.code, counted.message)
    const configs = parseConfigs(request.configs ?? {})
    if (!configs.ok) return refusal('INVALID_CONFIG', configs.message)
    const present = await this.#item(name.name)
    if (present !== undefined) {
      const topic = present.value as unknown as Topic
      if (topic.state === 'live') return refusal('TOPIC_ALREADY_EXISTS', `Topic '${topic.name}' already exists.`)
      // A deletion that somebody began and did not end: it must end before the name is used again.
      if (request.validateOnly !== true) await this.#finishDeletion(topic, present.version)
    }
    const id = topicIdFromRandom(Uint8Array.from({ length: 16 }, () => Math.floor(random() * 256)))
    const topic: Topic = {
      name: name.name,
      id,
      partitions,
      configs: configs.configs,
      state: 'live',
      createdMs: clock.now(),
    }
    if (request.validateOnly === true) return { ok: true, topic }
    await this.#createHeads(topic, 0)
    const version = this.#context.newVersion()
    const answer = await this.#context.persist(() =>
      this.#context.metadata.write([
        { op: 'put', key: topicKey(topic.name), version, value: topic as unknown as Item['value'], if: 'absent' },
        // A late repeat would otherwise give the name back to this topic after it was deleted (D6).
        { op: 'check', key: graveKey(topic.id), if: 'absent' },
      ]),
    )
    // Refused by a version, or a grave, that is ours: an earlier attempt, whose answer got lost, was the creation.
    if (!answer.applied && answer.items[0]?.version !== version && answer.items[1] === undefined)
      return refusal('TOPIC_ALREADY_EXISTS', `Topic '${topic.name}' already exists.`)
    this.#remember(topic)
    return { ok: true, topic }
  }

  alterConfigs(
    name: string,
    changes: readonly ConfigChange[],
    validateOnly = false,
  ): Promise<Answer<{ topic: Topic }>> {
    return this.#change(
      name,
      (topic) => {
        const wanted: Record<string, string | null> = { ...topic.configs }
        for (const change of changes) wanted[change.name] = change.value
        const configs = parseConfigs(wanted)
        if (!configs.ok) return refusal(configs.code, configs.message)
        return { ok: true, topic: { ...topic, configs: configs.configs } }
      },
      validateOnly,
    )
  }

  addPartitions(name: string, partitions: number): Promise<Answer<{ topic: Topic }>> {
    return this.#change(name, async (topic) => {
      const counted = checkPartitions(partitions)
      if (!counted.ok) return refusal(counted.code, counted.message)
      if (partitions <= topic.partitions)
        return refusal(
          'INVALID_PARTITIONS',
          `Topic '${topic.name}' has ${topic.partitions} partitions; the count can only be raised, not set to ${partitions}.`,
        )
      const grown = { ...topic, partitions }
      await this.#createHeads(grown, topic.partitions)
      return { ok: true, topic: grown }
    })
  }

  async delete(name: string): Promise<Answer<object>> {
    const parsed = parseTopicName(name)
    if (!parsed.ok) return unknownTopic(name)
    const marked = await this.#change(name, (topic) => ({ ok: true, topic: { ...topic, state: 'deleting' } }))
    this.forget(name)
    const item = await this.#item(parsed.name)
    const stored = item?.value as unknown as Topic | undefined
    // Also a deletion that somebody else, or an earlier try, began and did not end.
    const isBegun = stored?.state === 'deleting' && (!marked.ok || stored.id === marked.topic.id)
    if (item !== undefined && isBegun) await this.#finishDeletion(stored, item.version)
    return marked.ok || isBegun ? { ok: true } : marked
  }

  /** Marks every head, then frees the name and leaves a grave, so that the sweep finds what is left. Safe to do twice. */
  async #finishDeletion(topic: Topic, version: string): Promise<void> {
    await inParallel(numbers(topic.partitions), headsAtOnce, async (partition) => {
      await this.#context.persist(() =>
        this.#context.metadata.updateHead({ topicId: topic.id, partition }, { kind: 'mark-deleted' }),
      )
      this.#context.heads.forget({ topicId: topic.id, partition })
      this.#context.commits.notify({ topicId: topic.id, partition })
    })
    const grave: Grave = { name: topic.name, partitions: topic.partitions, deletedMs: this.#context.clock.now() }
    await this.#context.persist(() =>
      this.#context.metadata.write([
        { op: 'delete', key: topicKey(topic.name), if: { version } },
        {
          op: 'put',
          key: graveKey(topic.id),
          version: this.#context.newVersion(),
          value: grave as unknown as Item['value'],
          if: 'absent',
        },
      ]),
    )
    // Refused: somebody else ended it.
  }

  async #createHeads(topic: Topic, from: number): Promise<void> {
    await inParallel(numbers(topic.partitions - from), headsAtOnce, async (index) => {
      const head = newHead({ topicId: topic.id, partition: from + index })
      await this.#context.persist(() => this.#context.metadata.createHead(head))
    })
  }

  /** The read-decide-write loop of a topic's item. */
  async #change(
    name: string,
    decide: (topic: Topic) => Found | Refusal | Promise<Found | Refusal>,
    validateOnly = false,
  ): Promise<Answer<{ topic: Topic }>> {
    const parsed = parseTopicName(name)
    if (!parsed.ok) return unknownTopic(name)
    let ours: { version: string; topic: Topic } | undefined
    for (let attempt = 1; attempt <= changeAttemptsMax; attempt++) {
      const item = await this.#item(parsed.name)
      const topic = item?.value as unknown as Topic | undefined
      if (item !== undefined && ours !== undefined && item.version === ours.version) return this.#changed(ours.topic)
      if (item === undefined || topic?.state !== 'live') return unknownTopic(name)
      const decided = await decide(topic)
      if (!decided.ok || validateOnly) return decided
      const version = this.#context.newVersion()
      ours = { version, topic: decided.topic }
      const answer = await this.#context.persist(() =>
        this.#context.metadata.write([
          {
            op: 'put',
            key: item.key,
            version,
            value: decided.topic as unknown as Item['value'],
            if: { version: item.version },
          },
        ]),
      )
      if (answer.applied || answer.items[0]?.version === version) return this.#changed(decided.topic)
      await this.#context.pause(attempt)
    }
    return refusal('STORAGE_UNAVAILABLE', `Topic '${name}' is being changed by too many at once.`, {
      retryAfterMs: 1_000,
    })
  }

  #changed(topic: Topic): Found {
    if (topic.state === 'live') this.#remember(topic)
    return { ok: true, topic }
  }

  async #read(name: string): Promise<Found | Refusal> {
    const parsed = parseTopicName(name)
    if (!parsed.ok) return unknownTopic(name)
    const item = await this.#item(parsed.name)
    const topic = item?.value as unknown as Topic | undefined
    if (topic === undefined || topic.state !== 'live') {
      this.forget(name)
      return unknownTopic(name)
    }
    this.#remember(topic)
    return { ok: true, topic }
  }

  #item(name: TopicName): Promise<Item | undefined> {
    return this.#context.persist(() => this.#context.metadata.get(topicKey(name)))
  }

  #remember(topic: Topic): void {
    this.#cache.delete(topic.name)
    if (this.#cache.size >= cachedTopicsMax) {
      const oldest = this.#cache.keys().next()
      if (!oldest.done) this.#cache.delete(oldest.value)
    }
    this.#context.meter?.named(topic.id, topic.name)
    this.#cache.set(topic.name, { topic, atMs: this.#context.clock.now() })
  }
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}

function unknownTopic(name: string): Refusal {
  return refusal('UNKNOWN_TOPIC', `Topic ${JSON.stringify(name.slice(0, 300))} does not exist.`)
}

export function unknownPartition(topic: Topic, partition: number): Refusal {
  return refusal(
    'UNKNOWN_PARTITION',
    `Topic '${topic.name}' has no partition ${partition}; it has partitions 0 to ${topic.partitions - 1}.`,
  )
}
