import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Highwater, HighwaterError } from '../../lib/client/highwater.ts'
import { createHarness } from '../http/harness.ts'
import { Network, type Weather } from './network.ts'

function world(weather: Weather = {}, seed = 1) {
  const harness = createHarness({ settings: { topicAgeMsMax: 0 } })
  const network = new Network(harness.app.fetch, weather, seed)
  const highwater = new Highwater({ url: 'http://log.test', fetch: network.fetch, retryDelayMs: 1, retryDelayMsMax: 2 })
  return { ...harness, network, highwater, admin: highwater.admin }
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'ok',
    (error: unknown) => (error instanceof HighwaterError ? error.code : String(error)),
  )

describe('the admin client', () => {
  it('creates, lists, describes, alters and deletes topics', async () => {
    const { admin } = world()
    const created = await admin.createTopic('b', { partitions: 2, configs: { 'retention.ms': '1000' } })
    assert.equal(created.name, 'b')
    assert.equal(created.partitions, 2)
    await admin.createTopic('a')
    assert.deepEqual(
      (await admin.listTopics()).map(({ name, partitions }) => [name, partitions]),
      [
        ['a', 1],
        ['b', 2],
      ],
    )
    assert.equal((await admin.addPartitions('b', 5)).partitions, 5)
    await admin.alterConfigs('b', { 'retention.ms': null, 'cleanup.policy': 'compact' })
    const { configs, partitions } = await admin.describeTopic('b')
    assert.equal(partitions, 5)
    assert.deepEqual(configs['retention.ms'], { value: '604800000', isDefault: true })
    assert.deepEqual(configs['cleanup.policy'], { value: 'compact', isDefault: false })
    await admin.deleteTopic('b')
    assert.deepEqual(
      (await admin.listTopics()).map(({ name }) => name),
      ['a'],
    )
  })

  it('only checks what it is asked to validate', async () => {
    const { admin } = world()
    await admin.createTopic('a', { validateOnly: true, partitions: 3 })
    assert.deepEqual(await admin.listTopics(), [])
  })

  it('says what is wrong by code', async () => {
    const { admin } = world()
    await admin.createTopic('a', { partitions: 2 })
    assert.equal(await codeOf(admin.createTopic('a')), 'TOPIC_ALREADY_EXISTS')
    assert.equal(await codeOf(admin.createTopic('a b')), 'INVALID_TOPIC')
    assert.equal(await codeOf(admin.createTopic('b', { partitions: 0 })), 'INVALID_PARTITIONS')
    assert.equal(await codeOf(admin.createTopic('b', { configs: { nonsense: '1' } })), 'INVALID_CONFIG')
    assert.equal(await codeOf(admin.alterConfigs('a', { nonsense: '1' })), 'UNKNOWN_CONFIG')
    assert.equal(await codeOf(admin.alterConfigs('a', { 'retention.ms': 'soon' })), 'INVALID_CONFIG')
    assert.equal(await codeOf(admin.addPartitions('a', 1)), 'INVALID_PARTITIONS')
    assert.equal(await codeOf(admin.describeTopic('b')), 'UNKNOWN_TOPIC')
    assert.equal(await codeOf(admin.deleteTopic('b')), 'UNKNOWN_TOPIC')
    assert.equal(await codeOf(admin.offsets('a', 2)), 'UNKNOWN_PARTITION')
    assert.equal(await codeOf(admin.deleteRecords('a', 0, 1)), 'OFFSET_OUT_OF_RANGE')
  })

  it('knows offsets, offsets of times, and deletes records', async () => {
    const { admin, highwater } = world()
    await admin.createTopic('a')
    const producer = highwater.producer()
    for (const timestampMs of [1_000, 3_000, 2_000]) await producer.send({ topic: 'a', value: 'x', timestampMs })
    assert.deepEqual(await admin.offsets('a', 0), { startOffset: 0, endOffset: 3 })
    assert.deepEqual(await admin.offsetForTimestamp('a', 0, 1_001), {
      startOffset: 0,
      endOffset: 3,
      offset: 1,
      timestampMs: 3_000,
    })
    assert.equal((await admin.offsetForTimestamp('a', 0, 3_001)).offset, undefined)
    assert.deepEqual(await admin.deleteRecords('a', 0, 2), { startOffset: 2 })
    assert.deepEqual(await admin.offsets('a', 0), { startOffset: 2, endOffset: 3 })
    assert.deepEqual(await admin.deleteRecords('a', 0, 'end'), { startOffset: 3 })
  })

  it('knows which cluster answers, and asks for it once', async () => {
    const { admin, log, network } = world()
    assert.equal((await admin.cluster()).clusterId, await log.clusterId())
    await admin.listTopics()
    await admin.listTopics()
    assert.equal(network.seen.filter(({ path }) => path === '/v3/clusters').length, 2)
  })

  it('repeats reads until they are answered, and changes only where they certainly did nothing', async () => {
    const { admin, network, log } = world()
    network.weather = { unavailable: 50 }
    await admin.createTopic('a')
    network.weather = { lostRequest: 20, lostAnswer: 20, gateway: 20 }
    for (let time = 0; time < 5; time++) assert.equal((await admin.listTopics()).length, 1)
    network.weather = { lostAnswer: 100 }
    const before = network.seen.length
    const error = await admin.createTopic('b').catch((error: unknown) => error as HighwaterError)
    assert.ok(error instanceof HighwaterError)
    assert.deepEqual([error.code, error.effects], ['CONNECTION_FAILED', 'possible'])
    assert.equal(network.seen.length, before + 1)
    assert.ok((await log.describeTopic('b')).ok, 'it was created all the same')
  })

  it('works behind a path prefix and refuses what is no URL of a server', () => {
    const urls: string[] = []
    const fetch = async (url: string) => {
      urls.push(url)
      return new Response('{"beginning_offset":0,"end_offset":7}')
    }
    const highwater = new Highwater({ url: 'https://log.test/kafka/', fetch })
    return highwater.admin.offsets('a b/c', 1).then((offsets) => {
      assert.equal(offsets.endOffset, 7)
      assert.deepEqual(urls, ['https://log.test/kafka/topics/a%20b%2Fc/partitions/1/offsets'])
      for (const url of ['log.test', 'ftp://log.test', 'http://user:secret@log.test'])
        assert.throws(() => new Highwater({ url }), TypeError)
    })
  })
})
