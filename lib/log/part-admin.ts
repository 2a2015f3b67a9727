/** The part of a log that says and changes what there is: topics, leases, API keys. */
import { ApiKeys } from './api-keys.ts'
import { countedAs, type Engine } from './engine.ts'
import { liveHead } from './fetch.ts'
import { acquireLease, releaseLease, renewLease } from './leases.ts'
import type { Log } from './log.ts'
import { trim } from './trim.ts'

type AdminMethods =
  | 'createTopic'
  | 'describeTopic'
  | 'listTopics'
  | 'alterConfigs'
  | 'addPartitions'
  | 'deleteTopic'
  | 'deleteRecords'
  | 'acquireLease'
  | 'renewLease'
  | 'releaseLease'
  | 'describeLease'
  | 'createApiKey'
  | 'listApiKeys'
  | 'revokeApiKey'
  | 'checkApiKey'

export function adminPart(engine: Engine): Pick<Log, AdminMethods> {
  const { context, topics, answer } = countedAs('admin', engine)
  const apiKeys = new ApiKeys(context)
  return {
    createTopic: (request) => answer(() => topics.create(request)),
    describeTopic: (name) => answer(() => topics.describe(name)),
    listTopics: () => context.within({ operation: 'admin' }, () => topics.list()),
    alterConfigs: (name, changes, validateOnly) => answer(() => topics.alterConfigs(name, changes, validateOnly)),
    addPartitions: (name, partitions) => answer(() => topics.addPartitions(name, partitions)),
    deleteTopic: (name) => answer(() => topics.delete(name)),
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
    listApiKeys: () => context.within({ operation: 'admin' }, () => apiKeys.list()),
    revokeApiKey: (id) => answer(() => apiKeys.revoke(id)),
    checkApiKey: (credentials, need) => answer(() => apiKeys.check(credentials, need), 'unseen'),
  }
}
