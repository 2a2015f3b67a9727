import assert from 'node:assert/strict'
import { test } from 'node:test'
import { topicConfigs } from '../../lib/core/topic.ts'
import { createHarness, type Harness } from './harness.ts'

async function withTopic(partitions = 2): Promise<Harness> {
  const harness = createHarness()
  const created = await harness.log.createTopic({ name: 't', partitions, configs: { 'retention.ms': '1000' } })
  assert(created.ok)
  return harness
}

async function call({ send }: Harness, path: string, method = 'GET', body?: unknown) {
  const response = await send(method, path, {
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/vnd.kafka.v2+json' } }),
  })
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    body: (await response.json()) as Record<string, unknown> & unknown[],
  }
}

const replicas = [{ broker: 0, leader: true, in_sync: true }]

test('there is one broker, and it leads every partition', async () => {
  const harness = await withTopic()
  assert.deepEqual((await call(harness, '/brokers')).body, { brokers: [0] })
  const partitions = [
    { partition: 0, leader: 0, replicas },
    { partition: 1, leader: 0, replicas },
  ]
  assert.deepEqual((await call(harness, '/topics/t/partitions')).body, partitions)
  assert.deepEqual((await call(harness, '/topics/t/partitions/1')).body, partitions[1])
  assert.deepEqual((await call(harness, '/topics/t')).body.partitions, partitions)
})

test('topics are listed by name', async () => {
  const harness = await withTopic()
  await harness.log.createTopic({ name: 'a' })
  const { status, type, body } = await call(harness, '/topics')
  assert.deepEqual([status, type, body], [200, 'application/vnd.kafka.v2+json', ['a', 't']])
})

test('a topic has all its configs, those it was given and the defaults', async () => {
  const { body } = await call(await withTopic(), '/topics/t')
  const configs = body.configs as Record<string, string>
  assert.equal(body.name, 't')
  assert.deepEqual(Object.keys(configs).sort(), Object.keys(topicConfigs).sort())
  assert.equal(configs['retention.ms'], '1000')
  assert.equal(configs['cleanup.policy'], 'delete')
})

test('what does not exist is a 404 with the number of the convention', async () => {
  const harness = await withTopic()
  for (const [path, code] of [
    ['/topics/other', 40401],
    ['/topics/other/partitions', 40401],
    ['/topics/other/partitions/0', 40401],
    ['/topics/other/partitions/0/offsets', 40401],
    ['/topics/t/partitions/2', 40402],
    ['/topics/t/partitions/2/offsets', 40402],
    ['/topics/t/partitions/-1', 404],
    ['/topics/t/partitions/one', 404],
    ['/topics/t/partitions/one/offsets', 404],
  ] as const) {
    const { status, type, body } = await call(harness, path)
    assert.deepEqual([status, body.error_code, type], [404, code, 'application/vnd.kafka.v2+json'], path)
  }
})

test('offsets are the range that can be read, its end exclusive', async () => {
  const harness = await withTopic()
  const path = '/topics/t/partitions/0/offsets'
  assert.deepEqual((await call(harness, path)).body, { beginning_offset: 0, end_offset: 0 })
  await harness.appendValues('a', 'b', 'c')
  assert.deepEqual((await call(harness, path)).body, { beginning_offset: 0, end_offset: 3 })
  await harness.log.deleteRecords('t', 0, 1)
  assert.deepEqual((await call(harness, path)).body, { beginning_offset: 1, end_offset: 3 })
})

test('a timestamp finds the first record at or after it, or -1', async () => {
  const harness = await withTopic()
  const timestampMs = Date.now() - 10_000
  const value = new Uint8Array(1)
  const produced = await harness.log.produce({
    topic: 't',
    records: [0, 10, 20].map((later) => ({ key: null, value, partition: 0, timestampMs: timestampMs + later })),
  })
  assert(produced.ok)
  const path = '/topics/t/partitions/0/offsets'
  const range = { beginning_offset: 0, end_offset: 3 }
  assert.deepEqual((await call(harness, `${path}?timestamp=${timestampMs + 5}`)).body, {
    ...range,
    offset: 1,
    timestamp: timestampMs + 10,
  })
  assert.equal((await call(harness, `${path}?timestamp=${timestampMs + 21}`)).body.offset, -1)
  assert.equal((await call(harness, `${path}?timestamp=yesterday`)).status, 400)
})

test('a topic is created as the Strimzi bridge has it', async () => {
  const harness = await withTopic()
  const { status, body } = await call(harness, '/admin/topics', 'POST', {
    topic_name: 'new',
    partitions_count: 3,
    replication_factor: 3,
  })
  assert.deepEqual([status, body.name], [201, 'new'])
  assert.equal((body.partitions as unknown[]).length, 3)
  assert.deepEqual((await call(harness, '/topics')).body, ['new', 't'])
  assert.equal((await call(harness, '/admin/topics', 'POST', { topic_name: 'plain' })).status, 201)
})

test('a topic is not created out of a wrong body', async () => {
  const harness = await withTopic()
  for (const [wrong, status, code] of [
    [{}, 422, 422],
    [[], 422, 422],
    [{ topic_name: 1 }, 422, 422],
    [{ topic_name: 'x', partitions: 1 }, 422, 422],
    [{ topic_name: 'x', partitions_count: '1' }, 422, 422],
    [{ topic_name: 'x', replication_factor: 0 }, 422, 422],
    [{ topic_name: 'x', partitions_count: 0 }, 400, 40002],
    [{ topic_name: 'x y' }, 400, 40002],
    [{ topic_name: 't' }, 400, 40002],
  ] as const) {
    const { status: given, body } = await call(harness, '/admin/topics', 'POST', wrong)
    assert.deepEqual([given, body.error_code], [status, code], JSON.stringify(wrong))
  }
  assert.deepEqual((await call(harness, '/topics')).body, ['t'])
})
