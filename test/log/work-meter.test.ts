import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { meteredMetadata, meteredObjects } from '../../lib/adapters/metered.ts'
import { systemClock, systemRandom } from '../../lib/adapters/system.ts'
import { TaggedMeter } from '../../lib/adapters/tagged-meter.ts'
import type { TopicId } from '../../lib/core/names.ts'
import { createLog } from '../../lib/log/create-log.ts'

const encoder = new TextEncoder()
const records = (count: number, bytes = 10) =>
  Array.from({ length: count }, () => ({ key: null, value: encoder.encode('v'.repeat(bytes)) }))

async function meteredLog() {
  const meter = new TaggedMeter()
  const log = createLog(
    {
      objects: meteredObjects(new MemoryObjects(), meter),
      metadata: meteredMetadata(new MemoryMetadata(), meter),
      clock: systemClock,
      random: systemRandom,
      codecs: nodeCodecs,
      meter,
    },
    { isSoleProcess: true, segmentBytesMax: 1_048_576, mergeRowsMin: 2, mergeQuietMs: 0, sweepAgeMs: 1_000 },
  )
  const ids = new Map<string, TopicId>()
  for (const name of ['a', 'b']) {
    const created = await log.createTopic({ name, partitions: 1, configs: { 'chunk.placement': 'segment' } })
    assert.ok(created.ok)
    ids.set(name, created.topic.id)
  }
  /** Requests since the last time: `operation topic kind` -> how many. */
  const asked = () => {
    const counts: Record<string, number> = {}
    for (const { operation, topicId, total } of meter.take().used)
      for (const [kind, { requests }] of Object.entries(total))
        counts[`${operation} ${topicId === '' ? '-' : meter.nameOf(topicId)} ${kind}`] = requests
    return counts
  }
  return { log, meter, asked, id: (name: string) => ids.get(name)! }
}

/** Without kinds: which operations, on which topics. */
const purposes = (asked: Record<string, number>) => [
  ...new Set(Object.keys(asked).map((text) => text.slice(0, text.lastIndexOf(' ')))),
]

describe('what requests are made for', () => {
  test('a topic is created by the administration, and everything it asks carries its name', async () => {
    const { asked } = await meteredLog()
    assert.deepEqual(purposes(asked()).sort(), ['admin -', 'admin a', 'admin b'])
  })

  test('one segment of two topics is shared by them, each commit is its own', async () => {
    const { log, asked } = await meteredLog()
    asked()
    await Promise.all([
      log.produce({ topic: 'a', records: records(1, 1_000) }),
      log.produce({ topic: 'b', records: records(1, 1_000) }),
    ])
    const counts = asked()
    assert.deepEqual(purposes(counts).sort(), ['produce -', 'produce a', 'produce b'].slice(-2))
    assert.equal(counts['produce a objects.create'], 0.5)
    assert.equal(counts['produce b objects.create'], 0.5)
    assert.equal(counts['produce a metadata.updateHead'], 1)
    assert.equal(counts['produce b metadata.updateHead'], 1)
  })

  test('flushes that an earlier flush sent off count for themselves', async () => {
    const { log, asked, meter, id } = await meteredLog()
    asked()
    // More than may be under way at once: each that ends begins the next.
    const topics = ['a', 'b', 'a', 'b', 'b', 'b']
    await Promise.all(topics.map((topic) => log.produce({ topic, records: records(1, 900_000) })))
    const { used } = meter.read()
    const bytes = (name: string) =>
      used.find(({ topicId }) => topicId === id(name))?.total['objects.create']?.bytes ?? 0
    assert.ok(Math.abs(bytes('b') / bytes('a') - 2) < 0.01, `${bytes('a')} ${bytes('b')}`)
    assert.deepEqual(new Set(used.map(({ operation }) => operation)), new Set(['produce']))
  })

  test('a fetch reads heads and objects of its topic; a poll of a group reads records as a fetch', async () => {
    const { log, asked } = await meteredLog()
    await log.produce({ topic: 'a', records: records(3) })
    asked()
    await log.fetch({ topic: 'a', partition: 0, offset: 0 })
    const fetched = asked()
    assert.deepEqual(purposes(fetched), ['fetch a'])
    assert.equal(fetched['fetch a objects.read'], 1)

    const joined = await log.groups.join({ group: 'g', subscription: { kind: 'topics', topics: ['a'] } })
    assert.ok(joined.ok)
    const polled = await log.groups.poll({
      group: 'g',
      memberId: joined.memberId,
      epoch: joined.epoch,
      holding: [],
    })
    assert.ok(polled.ok)
    assert.ok(purposes(asked()).every((purpose) => purpose.startsWith('group ')))
  })

  test('merges, retention, the sweep and the rest of the upkeep are told apart, and know their topic', async () => {
    const { log, asked } = await meteredLog()
    await log.alterConfigs('a', [{ name: 'retention.ms', value: '3600000' }])
    for (let count = 0; count < 40; count++) await log.produce({ topic: 'a', records: records(1) })
    await log.settled()
    asked()
    const merged = await log.mergeRolled()
    assert.ok(merged.ok && merged.rows > 0)
    const byMerge = asked()
    assert.ok((byMerge['merge a objects.read'] ?? 0) > 0)
    assert.equal(byMerge['merge a objects.create'], 1)
    assert.ok(purposes(byMerge).includes('sweep a'))
    assert.ok(purposes(byMerge).every((purpose) => !/^(produce|fetch|other)/.test(purpose)))

    await log.maintain()
    const byUpkeep = purposes(asked())
    for (const purpose of ['retention a', 'upkeep a', 'upkeep b', 'upkeep -']) assert.ok(byUpkeep.includes(purpose))

    await log.sweep()
    assert.ok(purposes(asked()).every((purpose) => purpose.startsWith('sweep')))
  })

  test('nothing of all that is counted as of nobody knows what', async () => {
    const { log, asked } = await meteredLog()
    const key = await log.createApiKey({ name: 'k', allow: ['produce'] })
    assert.ok(key.ok)
    await log.checkApiKey({ keyId: key.key.id, secret: key.token.split('.')[1] ?? '' }, 'produce')
    await log.listApiKeys()
    await log.listTopics()
    await log.clusterId()
    await log.allocateProducer()
    await log.offsets('a', 0)
    await log.offsetForTimestamp('a', 0, 0)
    await log.acquireLease('a', 0, 'me')
    await log.groups.list()
    await log.roll('a', 0)
    await log.forgetProducers('a', 0)
    await log.deleteTopic('b')
    await log.settled()
    assert.deepEqual(
      purposes(asked()).filter((purpose) => purpose.startsWith('other')),
      [],
    )
  })
})
