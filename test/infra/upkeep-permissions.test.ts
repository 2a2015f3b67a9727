/**
 * The roles of those that look after the log, held against the engine: what upkeep, merges and the sweep ask of stores in memory is
 * what the roles of their functions allow. The deployed run (test/aws) sees only what happens in a few minutes.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type FunctionName, permissionsOf } from '../../infra/permissions.ts'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import type { HeadKey } from '../../lib/core/head.ts'
import type { ItemKey } from '../../lib/core/items.ts'
import type { TopicId } from '../../lib/core/names.ts'
import type { Settings } from '../../lib/core/settings.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Log } from '../../lib/log/log.ts'
import type { ItemWrite, Metadata, Objects } from '../../lib/ports.ts'
import { TestClock } from '../conformance/log-fixture.ts'
import { isLike } from './policies.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const objectActions = { create: 's3:PutObject', read: 's3:GetObject', delete: 's3:DeleteObject' } as const
const itemActions = { put: 'PutItem', delete: 'DeleteItem', check: 'ConditionCheckItem' } as const

/** What is asked, as IAM names it: `dynamodb:PutItem rows/…/0`. */
function recorded(asked: Set<string>): { objects: Objects; metadata: Metadata } {
  const items = (action: string, collection: string) => asked.add(`dynamodb:${action} ${collection}`)
  const writes = (all: readonly ItemWrite[]) => {
    for (const { op, key } of all) items(itemActions[op], key.collection)
  }
  const head = ({ topicId, partition }: HeadKey) => `heads/${topicId}/${partition}`
  const told: { readonly [Method in keyof Metadata]: (...parameters: never[]) => void } = {
    readHead: (key: HeadKey) => items('GetItem', head(key)),
    createHead: (key: HeadKey) => items('PutItem', head(key)),
    updateHead: (key: HeadKey, _command: unknown, also: readonly ItemWrite[] = []) => {
      items('UpdateItem', head(key))
      writes(also)
    },
    get: (key: ItemKey) => items('GetItem', key.collection),
    query: (collection: string) => items('Query', collection),
    write: writes,
  }
  const spied = <Store extends object>(store: Store, tell: (method: string, parameters: never[]) => void): Store =>
    new Proxy(store, {
      get(target, property) {
        const method = Reflect.get(target, property)
        if (typeof method !== 'function') return method
        return (...parameters: never[]) => {
          tell(String(property), parameters)
          return method.apply(target, parameters)
        }
      },
    })
  return {
    objects: spied<Objects>(new MemoryObjects(), (method) =>
      asked.add(method === 'list' ? 's3:ListBucket' : objectActions[method as keyof typeof objectActions]),
    ),
    metadata: spied<Metadata>(new MemoryMetadata(), (method, parameters) =>
      told[method as keyof Metadata](...parameters),
    ),
  }
}

function mayAsk(name: FunctionName, asked: string): boolean {
  const [action = '', collection] = asked.split(' ')
  return permissionsOf(name).some(
    ({ actions, on }) =>
      actions.includes(action) &&
      (collection === undefined || (on.kind === 'items' && on.collections.some((each) => isLike(each, collection)))),
  )
}

interface World {
  readonly log: Log
  readonly clock: TestClock
  readonly ids: readonly TopicId[]
  /** What was asked so far does not count. */
  readonly forget: () => Promise<void>
}

/** Small and large batches of two topics, one of them compacted; producers that come and go; a topic that was deleted. Answers what `keep` asked. */
async function askedBy(keep: (world: World) => Promise<void>): Promise<string[]> {
  const asked = new Set<string>()
  const all = new Set<string>()
  const stores = recorded(asked)
  const clock = new TestClock()
  const settings: Partial<Settings> = {
    mergeRowsMin: 2,
    mergeQuietMs: 0,
    sweepAgeMs: 1_000,
    producerIdExpirationMs: hourMs,
    retryDelayMs: 1,
  }
  const log = createLog({ ...stores, clock, random: Math.random, codecs: nodeCodecs }, settings)
  const encode = (text: string) => new TextEncoder().encode(text)
  const configs = {
    events: { 'retention.ms': String(3 * dayMs) },
    latest: { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0' },
    gone: {},
  }
  const ids: TopicId[] = []
  for (const [name, of] of Object.entries(configs)) {
    const created = await log.createTopic({ name, partitions: 1, configs: of })
    assert.ok(created.ok)
    ids.push(created.topic.id)
  }
  const forget = async () => {
    await log.settled()
    asked.clear()
  }
  const produce = async (topic: string, index: number) => {
    const value = encode('v'.repeat(index % 5 === 0 ? 20_000 : 10))
    const identity = index % 7 === 0 ? { idempotencyKey: `${topic} ${index}` } : {}
    assert.ok((await log.produce({ topic, ...identity, records: [{ key: encode(`${index % 3}`), value }] })).ok)
  }
  try {
    for (let day = 0; day < 6; day++) {
      for (const topic of ['events', 'latest', ...(day < 2 ? ['gone'] : [])])
        for (let index = 0; index < (day % 2 === 0 ? 45 : 3); index++) await produce(topic, day * 100 + index)
      if (day === 2) assert.ok((await log.deleteTopic('gone')).ok)
      await forget()
      await keep({ log, clock, ids, forget })
      await log.settled()
      for (const one of asked) all.add(one)
      clock.advance(dayMs)
    }
    return [...all]
  } finally {
    await log.close()
  }
}

describe('what looks after the log', () => {
  for (const [name, keep, must] of [
    [
      'maintain',
      async ({ log }: World) => void (await log.maintain()),
      ['dynamodb:PutItem upkeep', 'dynamodb:PutItem compactions', 's3:PutObject', 's3:GetObject'],
    ],
    [
      'merge',
      async ({ log, ids }: World) =>
        void (await log.maintainRolled(ids.map((topicId) => ({ key: { topicId, partition: 0 }, rows: 9 })))),
      ['dynamodb:PutItem compactions', 's3:PutObject', 's3:GetObject'],
    ],
    [
      'sweep',
      async ({ log, clock, forget }: World) => {
        await log.maintain()
        clock.advance(10_000)
        await forget()
        await log.sweep()
      },
      ['s3:DeleteObject', 's3:ListBucket', 'dynamodb:PutItem graves'],
    ],
  ] as const)
    it(`asks for what the role of ${name} allows, and for nothing else`, async () => {
      const asked = await askedBy(keep)
      for (const one of must) assert.ok(asked.includes(one), `this world is too quiet: nothing asks for ${one}`)
      assert.deepEqual(
        asked.filter((one) => !mayAsk(name, one)),
        [],
      )
    })
})
