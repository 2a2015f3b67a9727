/** Puts the use cases together: `createLog(ports, settings)` is the whole engine. */
import type { Refusal } from '../core/errors.ts'
import { refusal, Unavailable } from '../core/errors.ts'
import type { ClusterItem, Item } from '../core/items.ts'
import { clusterIdKey } from '../core/items.ts'
import { topicIdFromRandom } from '../core/names.ts'
import type { Settings } from '../core/settings.ts'
import { parseSettings } from '../core/settings.ts'
import { ApiKeys } from './api-keys.ts'
import { append } from './append.ts'
import { Chunks } from './chunks.ts'
import { refusalOfUnavailable } from './commit-outcomes.ts'
import type { LogRules } from './context.ts'
import { Context, logRules } from './context.ts'
import { fetch, liveHead } from './fetch.ts'
import { fetchMany } from './fetch-many.ts'
import { Gather } from './gather.ts'
import { createGroups } from './groups.ts'
import { acquireLease, releaseLease, renewLease } from './leases.ts'
import type { Log, LogPorts } from './log.ts'
import { maintain } from './maintain.ts'
import { offsetForTimestamp } from './offset-for-timestamp.ts'
import { Produce } from './produce.ts'
import { forgetProducers, ProducerIds } from './producer-ids.ts'
import { rollPartition } from './roll.ts'
import { Topics } from './topics.ts'
import { trim } from './trim.ts'

/**
 * The log over the given ports. Throws where the settings are wrong, all failures in one message. `rules` are replaced by a
 * simulation only, to show that it notices.
 */
export function createLog(ports: LogPorts, settings: Partial<Settings> = {}, rules: Partial<LogRules> = {}): Log {
  const parsed = parseSettings(settings)
  if (!parsed.ok) throw new Error(parsed.message)
  const context = new Context(ports, parsed.settings, { ...logRules, ...rules })
  const topics = new Topics(context)
  const gather = new Gather(context)
  const produce = new Produce(context, topics, gather)
  const chunks = new Chunks(context)
  const producerIds = new ProducerIds(context)
  const apiKeys = new ApiKeys(context)
  const closing = new AbortController()

  const underWay = new Set<Promise<unknown>>()

  /** The world's failures become refusals here; whatever else is thrown is a bug. */
  const answer = async <Value>(
    work: () => Promise<Value | Refusal>,
    effects: 'seen' | 'unseen' = 'seen',
  ): Promise<Value | Refusal> => {
    if (closing.signal.aborted) return refusal('SHUTTING_DOWN', 'The log is closing.')
    const working = work()
    underWay.add(working)
    try {
      return await working
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
      if (error.effects === 'none' || effects === 'unseen') return refusalOfUnavailable(error)
      return refusal('OUTCOME_UNKNOWN', `The storage did not answer; the change may have been made (${error.message}).`)
    } finally {
      underWay.delete(working)
    }
  }

  const { groups, admin } = createGroups(context, topics, chunks, answer, closing.signal)

  return {
    clusterId: () => clusterId(context),

    createTopic: (request) => answer(() => topics.create(request)),
    describeTopic: (name) => answer(() => topics.describe(name)),
    listTopics: () => topics.list(),
    alterConfigs: (name, changes, validateOnly) => answer(() => topics.alterConfigs(name, changes, validateOnly)),
    addPartitions: (name, partitions) => answer(() => topics.addPartitions(name, partitions)),
    deleteTopic: (name) => answer(() => topics.delete(name)),

    append: (request) => answer(() => append(context, topics, gather, request)),
    produce: (request) => answer(() => produce.produce(request)),
    // An id that nobody was told, a roll and a producer that is forgotten change nothing that anybody sees.
    allocateProducer: () => answer(() => producerIds.allocate(), 'unseen'),

    fetch: (request) =>
      answer(() => {
        return fetch(context, topics, chunks, { ...request, signal: either(request.signal, closing.signal) })
      }),
    fetchMany: (request) =>
      answer(() => fetchMany(context, topics, chunks, { ...request, signal: either(request.signal, closing.signal) })),
    groups,
    offsets: (topic, partition) =>
      answer(async () => {
        const found = await liveHead(context, topics, topic, partition)
        if (!found.ok) return found
        const { head } = found
        return { ok: true, topicId: found.topic.id, startOffset: head.start, highWatermark: head.hw }
      }),
    offsetForTimestamp: (topic, partition, timestampMs) =>
      answer(() => offsetForTimestamp(context, topics, chunks, topic, partition, timestampMs)),
    deleteRecords: (topic, partition, beforeOffset) =>
      answer(() => trim(context, topics, topic, partition, beforeOffset)),

    acquireLease: (topic, partition, owner, isExclusive = false) =>
      answer(() => acquireLease(context, topics, topic, partition, owner, isExclusive)),
    renewLease: (topic, partition, owner, epoch) =>
      answer(() => renewLease(context, topics, topic, partition, owner, epoch)),
    releaseLease: (topic, partition, owner, epoch) =>
      answer(() => releaseLease(context, topics, topic, partition, owner, epoch)),
    describeLease: (topic, partition) =>
      answer(async () => {
        const found = await liveHead(context, topics, topic, partition)
        if (!found.ok) return found
        return { ok: true, lease: found.head.lease, leaseEpoch: found.head.leaseEpoch }
      }),

    createApiKey: (request) => answer(() => apiKeys.create(request)),
    listApiKeys: () => apiKeys.list(),
    revokeApiKey: (id) => answer(() => apiKeys.revoke(id)),
    checkApiKey: (credentials, need) => answer(() => apiKeys.check(credentials, need), 'unseen'),

    roll: (topic, partition) =>
      answer(async () => {
        const found = await liveHead(context, topics, topic, partition)
        if (!found.ok) return found
        return { ok: true, rolled: await rollPartition(context, found.key) }
      }, 'unseen'),
    forgetProducers: (topic, partition) =>
      answer(async () => {
        const found = await liveHead(context, topics, topic, partition)
        if (!found.ok) return found
        return { ok: true, forgotten: await forgetProducers(context, found.key) }
      }, 'unseen'),

    maintain: (signal) => answer(() => maintain(context, topics, admin, either(signal, closing.signal))),

    settled: async () => {
      while (underWay.size > 0) await Promise.allSettled(underWay)
      await context.settled()
    },
    close: async () => {
      // Who was let in is answered, from wherever it is on its way: looking up its topic, waiting to be gathered, committing.
      closing.abort()
      gather.hurry()
      context.commits.notifyAll()
      context.groups.notifyAll()
      await Promise.allSettled(underWay)
      gather.close()
      await context.settled()
    },
  }
}

function either(signal: AbortSignal | undefined, closing: AbortSignal): AbortSignal {
  return signal === undefined ? closing : AbortSignal.any([signal, closing])
}

/** The cluster's id: made once, by whoever comes first. */
async function clusterId(context: Context): Promise<string> {
  const { metadata, random } = context
  const present = await context.persist(() => metadata.get(clusterIdKey))
  if (present !== undefined) return (present.value as unknown as ClusterItem).clusterId
  const value: ClusterItem = {
    clusterId: topicIdFromRandom(Uint8Array.from({ length: 16 }, () => Math.floor(random() * 256))),
  }
  const version = context.newVersion()
  const answer = await context.persist(() =>
    metadata.write([{ op: 'put', key: clusterIdKey, version, value: value as unknown as Item['value'], if: 'absent' }]),
  )
  const standing = answer.applied ? value : (answer.items[0]?.value as unknown as ClusterItem)
  return standing.clusterId
}
