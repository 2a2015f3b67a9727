import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { StoresFactory } from './log-fixture.ts'
import { append, appended, createTopic, readAll, refusedWith, withLog } from './log-fixture.ts'

export function topicSuite(name: string, factory: StoresFactory): void {
  describe(`topics (${name})`, () => {
    it('a created topic has an id, its partitions and only the configs that were set', () =>
      withLog(factory, async ({ log }) => {
        const created = await log.createTopic({
          name: 'orders',
          partitions: 3,
          configs: { 'retention.ms': '1000', 'segment.bytes': null },
        })
        assert.ok(created.ok)
        assert.match(created.topic.id, /^[A-Za-z0-9_-]{22}$/)
        assert.equal(created.topic.partitions, 3)
        assert.deepEqual(created.topic.configs, { 'retention.ms': '1000' })
        const described = await log.describeTopic('orders')
        assert.ok(described.ok)
        assert.deepEqual(described.topic, created.topic)
      }))

    it('a topic without a partition count has the default', () =>
      withLog(
        factory,
        async ({ log }) => {
          const created = await log.createTopic({ name: 'orders' })
          assert.equal(created.ok && created.topic.partitions, 4)
        },
        { partitionsDefault: 4 },
      ))

    it('a name, a partition count or a config that is not allowed is refused and creates nothing', () =>
      withLog(factory, async ({ log }) => {
        refusedWith(await log.createTopic({ name: 'a/b' }), 'INVALID_TOPIC')
        refusedWith(await log.createTopic({ name: '..' }), 'INVALID_TOPIC')
        refusedWith(await log.createTopic({ name: 'orders', partitions: 0 }), 'INVALID_PARTITIONS')
        refusedWith(await log.createTopic({ name: 'orders', partitions: 10_001 }), 'INVALID_PARTITIONS')
        refusedWith(await log.createTopic({ name: 'orders', configs: { 'retention.ms': 'soon' } }), 'INVALID_CONFIG')
        refusedWith(await log.createTopic({ name: 'orders', configs: { 'retention.hours': '1' } }), 'INVALID_CONFIG')
        assert.deepEqual(await log.listTopics(), [])
      }))

    it('a second creation of the same name is refused, and of fifty at once one wins', () =>
      withLog(factory, async ({ log, another }) => {
        const other = another()
        const answers = await Promise.all(
          Array.from({ length: 50 }, (_, index) => (index % 2 ? log : other).createTopic({ name: 'orders' })),
        )
        assert.equal(answers.filter((answer) => answer.ok).length, 1)
        for (const answer of answers) if (!answer.ok) assert.equal(answer.code, 'TOPIC_ALREADY_EXISTS')
      }))

    it('validateOnly checks everything and creates nothing', () =>
      withLog(factory, async ({ log }) => {
        assert.ok((await log.createTopic({ name: 'orders', validateOnly: true })).ok)
        refusedWith(await log.describeTopic('orders'), 'UNKNOWN_TOPIC')
        await createTopic(log)
        refusedWith(await log.createTopic({ name: 'orders', validateOnly: true }), 'TOPIC_ALREADY_EXISTS')
      }))

    it('topics are listed by name', () =>
      withLog(factory, async ({ log }) => {
        for (const topic of ['b', 'a.b', 'A', 'c']) await createTopic(log, 1, {}, topic)
        assert.deepEqual(
          (await log.listTopics()).map((topic) => topic.name),
          ['A', 'a.b', 'b', 'c'],
        )
      }))

    it('configs are set, changed and put back to their defaults', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 1, { 'retention.ms': '1000' })
        const altered = await log.alterConfigs('orders', [
          { name: 'retention.ms', value: null },
          { name: 'cleanup.policy', value: 'compact' },
        ])
        assert.deepEqual(altered.ok && altered.topic.configs, { 'cleanup.policy': 'compact' })
        refusedWith(await log.alterConfigs('orders', [{ name: 'cleanup.policy', value: 'hoard' }]), 'INVALID_CONFIG')
        refusedWith(await log.alterConfigs('orders', [{ name: 'no.such', value: '1' }]), 'UNKNOWN_CONFIG')
        refusedWith(await log.alterConfigs('nothing', []), 'UNKNOWN_TOPIC')
        assert.ok((await log.alterConfigs('orders', [{ name: 'cleanup.policy', value: null }], true)).ok)
        const described = await log.describeTopic('orders')
        assert.deepEqual(described.ok && described.topic.configs, { 'cleanup.policy': 'compact' })
      }))

    it('partitions are added, never taken away, and can be written to at once', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 2)
        const other = another()
        refusedWith(await append(other, ['x'], { partition: 3 }), 'UNKNOWN_PARTITION')
        assert.equal(await appended(log, ['old'], { partition: 1 }), 0)
        const grown = await log.addPartitions('orders', 4)
        assert.equal(grown.ok && grown.topic.partitions, 4)
        assert.equal(await appended(log, ['new'], { partition: 3 }), 0)
        assert.deepEqual(await readAll(other, { partition: 3 }), ['new'])
        assert.deepEqual(await readAll(log, { partition: 1 }), ['old'])
        refusedWith(await log.addPartitions('orders', 4), 'INVALID_PARTITIONS')
        refusedWith(await log.addPartitions('orders', 3), 'INVALID_PARTITIONS')
      }))

    it('a deleted topic can be neither written nor read, and deleting it again is refused', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        await appended(log, ['a'])
        assert.ok((await log.deleteTopic('orders')).ok)
        refusedWith(await append(log, ['b']), 'UNKNOWN_TOPIC')
        refusedWith(await log.fetch({ topic: 'orders', partition: 0, offset: 0 }), 'UNKNOWN_TOPIC')
        refusedWith(await log.deleteTopic('orders'), 'UNKNOWN_TOPIC')
        assert.deepEqual(await log.listTopics(), [])
      }))

    it('a re-created topic shows nothing of the old one (D6)', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        for (let index = 0; index < 30; index++) await appended(log, [`old ${index}`])
        const before = await log.describeTopic('orders')
        await log.deleteTopic('orders')
        await createTopic(log)
        const after = await log.describeTopic('orders')
        assert.notEqual(before.ok && before.topic.id, after.ok && after.topic.id)
        assert.deepEqual(await readAll(log), [])
        assert.equal(await appended(log, ['new']), 0)
        assert.deepEqual(await readAll(log), ['new'])
      }))

    it('a writer and a reader with a stale name reach the topic that has the name now, or none', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 2)
        const stale = another({ topicAgeMsMax: 60_000, headAgeMsMax: 60_000 })
        await appended(stale, ['old'])
        await log.deleteTopic('orders')
        refusedWith(await append(stale, ['lost']), 'UNKNOWN_TOPIC')
        refusedWith(await stale.fetch({ topic: 'orders', partition: 0, offset: 0 }), 'UNKNOWN_TOPIC')
        await createTopic(log)
        const stale2 = another({ topicAgeMsMax: 60_000, headAgeMsMax: 60_000 })
        await appended(stale2, ['first'])
        await log.deleteTopic('orders')
        await createTopic(log)
        assert.equal(await appended(stale2, ['second']), 0)
        assert.deepEqual(await readAll(stale2), ['second'])
        assert.deepEqual(await readAll(log), ['second'])
        refusedWith(await append(stale2, ['x'], { partition: 1 }), 'UNKNOWN_PARTITION')
      }))

    it('who names a partition, or an id, that a process does not know yet is not refused because of what it believes', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 1)
        const stale = another({ topicAgeMsMax: 60_000 })
        await appended(stale, ['old'])
        assert.ok((await log.addPartitions('orders', 3)).ok)
        assert.equal(await appended(stale, ['to the last one'], { partition: 2 }), 0)
        refusedWith(await append(stale, ['x'], { partition: 3 }), 'UNKNOWN_PARTITION')
        assert.ok((await log.addPartitions('orders', 4)).ok)
        const records = [0, 3].map((partition) => ({ key: null, value: new Uint8Array(1), partition }))
        const produced = await stale.produce({ topic: 'orders', records })
        assert.ok(produced.ok && produced.records.every(({ ok }) => ok))
        await log.deleteTopic('orders')
        await createTopic(log, 1)
        const now = await log.describeTopic('orders')
        assert.ok(now.ok)
        assert.equal(await appended(stale, ['new'], { topicId: now.topic.id }), 0)
      }))

    it('a fetch that pins the topic id is refused after the name means another topic', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        const fetched = await log.fetch({ topic: 'orders', partition: 0, offset: 0 })
        assert.ok(fetched.ok)
        await log.deleteTopic('orders')
        await createTopic(log)
        refusedWith(
          await log.fetch({ topic: 'orders', partition: 0, offset: 0, topicId: fetched.topicId }),
          'UNKNOWN_TOPIC',
        )
      }))

    it('a topic is created by the first append only where the settings say so', () =>
      withLog(factory, async ({ log, another }) => {
        refusedWith(await append(log, ['a'], { topic: 'fresh' }), 'UNKNOWN_TOPIC')
        const creating = another({ autoCreateTopics: true })
        const answers = await Promise.all([1, 2, 3].map(() => append(creating, ['a'], { topic: 'fresh' })))
        assert.deepEqual(
          answers.map((answer) => answer.ok),
          [true, true, true],
        )
        refusedWith(await append(creating, ['a'], { topic: 'a/b' }), 'INVALID_TOPIC')
      }))

    it('the cluster id is made once and seen by every process', () =>
      withLog(factory, async ({ log, another }) => {
        const ids = await Promise.all([log.clusterId(), another().clusterId(), another().clusterId()])
        assert.match(ids[0] ?? '', /^[A-Za-z0-9_-]{22}$/)
        assert.equal(new Set(ids).size, 1)
      }))
  })
}
