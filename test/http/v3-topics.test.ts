import assert from 'node:assert/strict'
import { test } from 'node:test'
import { topicPartitionsMax } from '../../lib/core/topic.ts'
import { createHarness, type Harness } from './harness.ts'

type Json = Record<string, unknown> & { data: Json[] }

async function call({ send }: Harness, method: string, path: string, body?: unknown, contentType = 'application/json') {
  const response = await send(method, `/v3/clusters/c/topics${path}`, {
    ...(body === undefined
      ? {}
      : { body: typeof body === 'string' ? body : JSON.stringify(body), headers: { 'content-type': contentType } }),
  })
  const text = await response.text()
  return {
    status: response.status,
    location: response.headers.get('location'),
    body: (text === '' ? undefined : JSON.parse(text)) as Json,
  }
}

async function withTopic(partitions = 2) {
  const harness = createHarness()
  const created = await harness.log.createTopic({ name: 't', partitions })
  assert(created.ok)
  const id = await harness.log.clusterId()
  return { harness, id, url: `http://log.test/v3/clusters/${id}/topics/t`, crn: `crn:///kafka=${id}/topic=t` }
}

test('a topic is created, answered, found and listed in one shape', async () => {
  const harness = createHarness()
  const id = await harness.log.clusterId()
  const self = `http://log.test/v3/clusters/${id}/topics/orders`
  const created = await call(harness, 'POST', '', {
    topic_name: 'orders',
    partitions_count: 3,
    replication_factor: 3,
    configs: [
      { name: 'cleanup.policy', value: 'compact' },
      { name: 'retention.ms', value: 3_600_000 },
      { name: 'segment.bytes' },
    ],
  })
  const found = await harness.log.describeTopic('orders')
  assert(found.ok)
  const topic = {
    kind: 'KafkaTopic',
    metadata: { self, resource_name: `crn:///kafka=${id}/topic=orders` },
    cluster_id: id,
    topic_name: 'orders',
    topic_id: found.topic.id,
    is_internal: false,
    replication_factor: 1,
    partitions_count: 3,
    partitions: { related: `${self}/partitions` },
    configs: { related: `${self}/configs` },
    partition_reassignments: { related: `${self}/partitions/-/reassignment` },
  }
  assert.deepEqual(created, { status: 201, location: self, body: topic })
  assert.deepEqual((await call(harness, 'GET', '/orders')).body, topic)
  assert.deepEqual((await call(harness, 'GET', '/orders?include_authorized_operations=true')).body, topic)
  assert.deepEqual((await call(harness, 'GET', '')).body, {
    kind: 'KafkaTopicList',
    metadata: { self: `http://log.test/v3/clusters/${id}/topics`, next: null },
    data: [topic],
  })
  assert.deepEqual(found.topic.configs, { 'cleanup.policy': 'compact', 'retention.ms': '3600000' })
})

test('validate_only answers the topic as it would be, and creates none', async () => {
  const harness = createHarness()
  const body = { topic_name: 'x', partitions_count: 2, validate_only: true }
  const { status, location, body: topic } = await call(harness, 'POST', '', body)
  assert.deepEqual([status, location, topic.partitions_count], [200, null, 2])
  assert.equal((await call(harness, 'GET', '/x')).status, 404)
  await harness.log.createTopic({ name: 'x' })
  assert.equal((await call(harness, 'POST', '', body)).status, 400)
})

test('without a count a topic has the default number of partitions', async () => {
  const harness = createHarness({ settings: { partitionsDefault: 4 } })
  for (const [name, fields] of [
    ['a', {}],
    ['b', { partitions_count: null, replication_factor: null, configs: null, validate_only: null }],
    ['c', { replicas_assignments: {}, replication_factor: -1 }],
  ] as const)
    assert.equal((await call(harness, 'POST', '', { topic_name: name, ...fields })).body.partitions_count, 4)
})

test('replicas_assignments say how many partitions there are', async () => {
  const harness = createHarness()
  const replicas_assignments = { 0: [1, 2], 1: [2, 3], 2: [3, 1] }
  const { status, body } = await call(harness, 'POST', '', { topic_name: 'x', replicas_assignments })
  assert.deepEqual([status, body.partitions_count, body.replication_factor], [201, 3, 1])
  for (const wrong of [
    { replicas_assignments: { 0: [1], 2: [1] } },
    { replicas_assignments: { 0: [] } },
    { replicas_assignments: { 0: ['a'] } },
    { replicas_assignments: [[1]] },
    { replicas_assignments, partitions_count: 2 },
  ])
    assert.equal((await call(harness, 'POST', '', { topic_name: 'y', ...wrong })).status, 400, JSON.stringify(wrong))
})

test('what cannot be a topic is refused with the number of the convention', async () => {
  const { harness } = await withTopic()
  for (const [body, status, code] of [
    ['', 422, 42206],
    ['{', 400, 400],
    [[], 400, 400],
    [{}, 422, 422],
    [{ topic_name: 'x', name: 'y' }, 422, 422],
    [{ topic_name: 1 }, 400, 400],
    [{ topic_name: 'x', partitions_count: 'A' }, 400, 400],
    [{ topic_name: 'x', validate_only: 'yes' }, 400, 400],
    [{ topic_name: 'x', configs: {} }, 400, 400],
    [{ topic_name: 'x', configs: ['a'] }, 400, 400],
    [{ topic_name: 'x', configs: [{ value: '1' }] }, 400, 400],
    [{ topic_name: 'x', configs: [{ name: 'retention.ms', value: {} }] }, 400, 400],
    [{ topic_name: 'x', configs: [{ name: 'retention.ms', val: '1' }] }, 422, 422],
    [{ topic_name: 'x', configs: [{ name: 'retention.ms' }, { name: 'retention.ms' }] }, 400, 400],
    [{ topic_name: 'x', configs: [{ name: 'no.such', value: '1' }] }, 400, 40002],
    [{ topic_name: 'x', configs: [{ name: '__proto__', value: '1' }] }, 400, 40002],
    [{ topic_name: 'x', configs: [{ name: 'retention.ms', value: 'soon' }] }, 400, 40002],
    [{ topic_name: 'x', replication_factor: 0 }, 400, 40002],
    [{ topic_name: 'x', replication_factor: 1.5 }, 400, 40002],
    [{ topic_name: 'x', partitions_count: 0 }, 400, 40002],
    [{ topic_name: 'x', partitions_count: topicPartitionsMax + 1 }, 400, 40002],
    [{ topic_name: 'x/y' }, 400, 40002],
    [{ topic_name: '' }, 400, 40002],
    [{ topic_name: 't' }, 400, 40002],
  ] as const) {
    const answer = await call(harness, 'POST', '', body)
    assert.deepEqual([answer.status, answer.body.error_code], [status, code], JSON.stringify(body))
  }
  assert.equal((await call(harness, 'GET', '')).body.data.length, 1)
})

test('only JSON is read', async () => {
  const harness = createHarness()
  const body = '{"topic_name":"x"}'
  const refused = await call(harness, 'POST', '', body, 'application/x-www-form-urlencoded')
  assert.deepEqual([refused.status, refused.body.error_code], [415, 415])
  assert.equal((await call(harness, 'POST', '', body, 'application/json; charset=utf-8')).status, 201)
})

test('the number of partitions can be raised, and only raised', async () => {
  const { harness } = await withTopic(2)
  const grown = await call(harness, 'PATCH', '/t', { partitions_count: 5 })
  assert.deepEqual([grown.status, grown.body.partitions_count], [200, 5])
  for (const [body, status, code] of [
    [{ partitions_count: 5 }, 400, 40002],
    [{ partitions_count: 1 }, 400, 40002],
    [{ partitions_count: 'six' }, 400, 400],
    [{}, 422, 422],
    [{ partitions_count: 6, topic_name: 't' }, 422, 422],
    ['', 422, 42206],
  ] as const) {
    const answer = await call(harness, 'PATCH', '/t', body)
    assert.deepEqual([answer.status, answer.body.error_code], [status, code], JSON.stringify(body))
  }
  assert.equal((await call(harness, 'GET', '/t')).body.partitions_count, 5)
})

test('a deleted topic is gone, and one of the same name is another', async () => {
  const { harness } = await withTopic()
  await harness.appendValues('a')
  assert.equal((await call(harness, 'DELETE', '/t')).status, 204)
  assert.equal((await call(harness, 'GET', '/t')).status, 404)
  assert.equal((await call(harness, 'DELETE', '/t')).status, 404)
  assert.equal((await call(harness, 'POST', '', { topic_name: 't' })).status, 201)
  assert.equal((await call(harness, 'GET', '/t/partitions/0/offset')).body.latest_offset, 0)
})

test('what does not exist is a 404 with the number that clients of v3 ask for', async () => {
  const { harness } = await withTopic(2)
  const sentence = /^This server does not host this topic-partition\./
  for (const path of [
    '/x',
    '/x/partitions',
    '/x/partitions/0',
    '/x/partitions/0/offset',
    '/x/partitions/-/reassignment',
    '/t/partitions/2',
    '/t/partitions/2/offset',
    '/t/partitions/2/replicas',
    '/t/partitions/2/replicas/0',
    '/t/partitions/2/reassignment',
  ]) {
    const { status, body } = await call(harness, 'GET', path)
    assert.deepEqual([status, body.error_code], [404, 40403], path)
    assert.match(String(body.message), sentence)
  }
  for (const path of ['/t/partitions/x', '/t/partitions/-1', '/t/partitions/0/replicas/1']) {
    const { status, body } = await call(harness, 'GET', path)
    assert.deepEqual([status, body.error_code], [404, 404], path)
  }
  assert.equal((await call(harness, 'PATCH', '/x', { partitions_count: 2 })).body.error_code, 40403)
  assert.equal((await call(harness, 'DELETE', '/x')).body.error_code, 40403)
})

test('a partition is led by the one broker', async () => {
  const { harness, id, url, crn } = await withTopic(2)
  const partition = (number: number) => ({
    kind: 'KafkaPartition',
    metadata: { self: `${url}/partitions/${number}`, resource_name: `${crn}/partition=${number}` },
    cluster_id: id,
    topic_name: 't',
    partition_id: number,
    leader: { related: `${url}/partitions/${number}/replicas/0` },
    replicas: { related: `${url}/partitions/${number}/replicas` },
    reassignment: { related: `${url}/partitions/${number}/reassignment` },
  })
  assert.deepEqual((await call(harness, 'GET', '/t/partitions')).body, {
    kind: 'KafkaPartitionList',
    metadata: { self: `${url}/partitions`, next: null },
    data: [partition(0), partition(1)],
  })
  assert.deepEqual((await call(harness, 'GET', '/t/partitions/1')).body, {
    ...partition(1),
    leader_epoch: 0,
    lease: null,
  })
})

test('a partition shows its lease, and an epoch that outlives it', async () => {
  const { harness } = await withTopic(2)
  const shown = async () => {
    const { leader_epoch, lease } = (await call(harness, 'GET', '/t/partitions/1')).body
    return { leader_epoch, lease }
  }
  const lease = await harness.log.acquireLease('t', 1, 'ann', true)
  assert.ok(lease.ok)
  assert.deepEqual(await shown(), {
    leader_epoch: 1,
    lease: { owner: 'ann', until_timestamp: lease.untilMs, is_exclusive: true },
  })
  await harness.log.releaseLease('t', 1, 'ann', lease.epoch)
  assert.deepEqual(await shown(), { leader_epoch: 1, lease: null })
})

test('a partition has one replica, in sync', async () => {
  const { harness, id, url, crn } = await withTopic(1)
  const replica = {
    kind: 'KafkaReplica',
    metadata: { self: `${url}/partitions/0/replicas/0`, resource_name: `${crn}/partition=0/replica=0` },
    cluster_id: id,
    topic_name: 't',
    partition_id: 0,
    broker_id: 0,
    is_leader: true,
    is_in_sync: true,
    broker: { related: `http://log.test/v3/clusters/${id}/brokers/0` },
  }
  const list = await call(harness, 'GET', '/t/partitions/0/replicas')
  assert.deepEqual([list.body.kind, list.body.data], ['KafkaReplicaList', [replica]])
  assert.deepEqual((await call(harness, 'GET', '/t/partitions/0/replicas/0')).body, replica)
})

test('the offsets of a partition are its first and its next', async () => {
  const { harness, id, url, crn } = await withTopic(1)
  await harness.appendValues('a', 'b', 'c')
  await harness.log.deleteRecords('t', 0, 1)
  for (const query of ['', '?offset_type=earliest_and_latest'])
    assert.deepEqual((await call(harness, 'GET', `/t/partitions/0/offset${query}`)).body, {
      kind: 'KafkaPartitionWithOffsets',
      metadata: { self: `${url}/partitions/0/offset`, resource_name: `${crn}/partition=0/offset` },
      cluster_id: id,
      topic_name: 't',
      partition_id: 0,
      earliest_offset: 1,
      latest_offset: 3,
    })
  const { status, body } = await call(harness, 'GET', '/t/partitions/0/offset?offset_type=max')
  assert.deepEqual([status, body.error_code], [400, 400])
})

test('replicas are never reassigned', async () => {
  const { harness, url } = await withTopic(1)
  for (const path of ['/-/partitions/-/reassignment', '/t/partitions/-/reassignment']) {
    const { status, body } = await call(harness, 'GET', path)
    assert.deepEqual([status, body.kind, body.data], [200, 'KafkaReassignmentList', []], path)
  }
  const { body } = await call(harness, 'GET', '/t/partitions/0/reassignment')
  assert.deepEqual([body.kind, body.adding_replicas, body.removing_replicas], ['KafkaReassignment', [], []])
  assert.deepEqual(body.replicas, { related: `${url}/partitions/0/replicas` })
})
