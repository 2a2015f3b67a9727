import assert from 'node:assert/strict'
import { test } from 'node:test'
import { topicConfigs } from '../../lib/core/topic.ts'
import { createHarness, type Harness } from './harness.ts'

type Json = Record<string, unknown> & { data: Json[] }

async function call({ send }: Harness, method: string, path: string, body?: unknown) {
  const response = await send(method, `/v3/clusters/c/topics${path}`, {
    ...(body === undefined
      ? {}
      : {
          body: typeof body === 'string' ? body : JSON.stringify(body),
          headers: { 'content-type': 'application/json' },
        }),
  })
  const text = await response.text()
  return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as Json }
}

async function withTopic(configs: Record<string, string> = {}) {
  const harness = createHarness()
  const created = await harness.log.createTopic({ name: 't', configs })
  assert(created.ok)
  const set = async () => {
    const found = await harness.log.describeTopic('t')
    assert(found.ok)
    return found.topic.configs
  }
  return { harness, set, id: await harness.log.clusterId() }
}

test('a config that was set has its value and its default as synonyms', async () => {
  const { harness, id } = await withTopic({ 'compression.type': 'gzip' })
  const { status, body } = await call(harness, 'GET', '/t/configs/compression.type')
  assert.equal(status, 200)
  assert.deepEqual(body, {
    kind: 'KafkaTopicConfig',
    metadata: {
      self: `http://log.test/v3/clusters/${id}/topics/t/configs/compression.type`,
      resource_name: `crn:///kafka=${id}/topic=t/config=compression.type`,
    },
    cluster_id: id,
    topic_name: 't',
    name: 'compression.type',
    value: 'gzip',
    is_default: false,
    is_read_only: false,
    is_sensitive: false,
    source: 'DYNAMIC_TOPIC_CONFIG',
    synonyms: [
      { name: 'compression.type', value: 'gzip', source: 'DYNAMIC_TOPIC_CONFIG' },
      { name: 'compression.type', value: 'producer', source: 'DEFAULT_CONFIG' },
    ],
  })
})

test('a config that was not set has its default', async () => {
  const { harness } = await withTopic()
  const { body } = await call(harness, 'GET', '/t/configs/retention.ms')
  assert.deepEqual([body.value, body.is_default, body.source], ['604800000', true, 'DEFAULT_CONFIG'])
  assert.deepEqual(body.synonyms, [{ name: 'retention.ms', value: '604800000', source: 'DEFAULT_CONFIG' }])
})

test('all configs are listed by name, of one topic and of all', async () => {
  const { harness, id } = await withTopic({ 'retention.ms': '1000' })
  const names = Object.keys(topicConfigs).sort()
  const { body } = await call(harness, 'GET', '/t/configs')
  assert.deepEqual([body.kind, body.data.map((config) => config.name)], ['KafkaTopicConfigList', names])
  await harness.log.createTopic({ name: 'u' })
  const all = await call(harness, 'GET', '/-/configs')
  assert.deepEqual(all.body.metadata, {
    self: `http://log.test/v3/clusters/${id}/topics/-/configs`,
    next: null,
  })
  assert.deepEqual(
    all.body.data.map((config) => [config.topic_name, config.name]),
    ['t', 'u'].flatMap((topic) => names.map((name) => [topic, name])),
  )
})

test('a config is set and reset', async () => {
  const { harness, set } = await withTopic()
  assert.equal((await call(harness, 'PUT', '/t/configs/retention.ms', { value: '1000' })).status, 204)
  assert.equal((await call(harness, 'PUT', '/t/configs/segment.bytes', { value: 2_000_000 })).status, 204)
  assert.deepEqual(await set(), { 'retention.ms': '1000', 'segment.bytes': '2000000' })
  assert.equal((await call(harness, 'DELETE', '/t/configs/retention.ms')).status, 204)
  assert.equal((await call(harness, 'DELETE', '/t/configs/retention.ms')).status, 204)
  assert.deepEqual(await set(), { 'segment.bytes': '2000000' })
})

test('several configs are altered, all or none', async () => {
  const { harness, set } = await withTopic({ 'retention.ms': '1000' })
  const alter = (body: unknown) => call(harness, 'POST', '/t/configs:alter', body)
  const altered = await alter({
    data: [
      { name: 'retention.ms', operation: 'DELETE' },
      { name: 'compression.type', value: 'gzip' },
      { name: 'cleanup.policy', value: 'compact', operation: 'SET' },
    ],
  })
  assert.equal(altered.status, 204)
  const expected = { 'cleanup.policy': 'compact', 'compression.type': 'gzip' }
  assert.deepEqual(await set(), expected)
  const wrong = await alter({
    data: [
      { name: 'retention.ms', value: '5' },
      { name: 'compression.type', value: 'rar' },
    ],
  })
  assert.deepEqual([wrong.status, wrong.body.error_code], [400, 40002])
  assert.match(String(wrong.body.message), /compression\.type/)
  assert.deepEqual(await set(), expected)
})

test('validate_only alters nothing', async () => {
  const { harness, set } = await withTopic()
  const alter = (value: string) =>
    call(harness, 'POST', '/t/configs:alter', { data: [{ name: 'retention.ms', value }], validate_only: true })
  assert.equal((await alter('5')).status, 204)
  assert.equal((await alter('soon')).status, 400)
  assert.deepEqual(await set(), {})
})

test('the colon of configs:alter may come encoded', async () => {
  const { harness, set } = await withTopic()
  const body = { data: [{ name: 'retention.ms', value: '5' }] }
  assert.equal((await call(harness, 'POST', '/t/configs%3Aalter', body)).status, 204)
  assert.deepEqual(await set(), { 'retention.ms': '5' })
})

test('what is wrong with a change is refused with the number of the convention', async () => {
  const { harness, set } = await withTopic()
  for (const [method, path, body, status, code] of [
    ['GET', '/x/configs', undefined, 404, 40403],
    ['GET', '/x/configs/retention.ms', undefined, 404, 40403],
    ['GET', '/t/configs/no.such', undefined, 404, 40403],
    ['PUT', '/t/configs/no.such', { value: '1' }, 404, 40403],
    ['PUT', '/t/configs/__proto__', { value: '1' }, 404, 40403],
    ['DELETE', '/t/configs/no.such', undefined, 404, 40403],
    ['DELETE', '/x/configs/retention.ms', undefined, 404, 40403],
    ['PUT', '/x/configs/retention.ms', { value: '1' }, 404, 40403],
    ['PUT', '/t/configs/retention.ms', '', 422, 42206],
    ['PUT', '/t/configs/retention.ms', '{', 400, 400],
    ['PUT', '/t/configs/retention.ms', {}, 400, 400],
    ['PUT', '/t/configs/retention.ms', { value: null }, 400, 400],
    ['PUT', '/t/configs/retention.ms', { value: [] }, 400, 400],
    ['PUT', '/t/configs/retention.ms', { val: '1' }, 422, 422],
    ['PUT', '/t/configs/retention.ms', { value: 'soon' }, 400, 40002],
    ['POST', '/t/configs:alter', '', 422, 42206],
    ['POST', '/t/configs:alter', {}, 400, 400],
    ['POST', '/t/configs:alter', { data: [{ value: '1' }] }, 400, 400],
    ['POST', '/t/configs:alter', { data: [{ name: 'retention.ms' }] }, 400, 400],
    ['POST', '/t/configs:alter', { data: [{ name: 'retention.ms', operation: 'ADD', value: '1' }] }, 400, 400],
    ['POST', '/t/configs:alter', { data: [{ name: '__proto__', value: '1' }] }, 404, 40403],
    [
      'POST',
      '/t/configs:alter',
      {
        data: [
          { name: 'a', value: '1' },
          { name: 'a', value: '1' },
        ],
      },
      400,
      400,
    ],
    ['POST', '/x/configs:alter', { data: [] }, 404, 40403],
  ] as const) {
    const answer = await call(harness, method, path, body)
    assert.deepEqual(
      [answer.status, answer.body?.error_code],
      [status, code],
      `${method} ${path} ${JSON.stringify(body)}`,
    )
  }
  assert.deepEqual(await set(), {})
})
