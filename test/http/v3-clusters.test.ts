import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHarness, type Harness } from './harness.ts'

type Json = Record<string, never> & { data: Json[]; metadata: { self: string; next: null; resource_name: string } }

async function get({ send }: Harness, path: string): Promise<{ status: number; body: Json }> {
  const response = await send('GET', path)
  return { status: response.status, body: (await response.json()) as Json }
}

test('there is one cluster, under either prefix, and its links go on under the same', async () => {
  const harness = createHarness()
  const id = await harness.log.clusterId()
  for (const prefix of ['/v3', '/kafka/v3']) {
    const base = `http://log.test${prefix}/clusters`
    const { status, body } = await get(harness, `${prefix}/clusters`)
    assert.equal(status, 200)
    const cluster = {
      kind: 'KafkaCluster',
      metadata: { self: `${base}/${id}`, resource_name: `crn:///kafka=${id}` },
      cluster_id: id,
      controller: { related: `${base}/${id}/brokers/0` },
      acls: { related: `${base}/${id}/acls` },
      brokers: { related: `${base}/${id}/brokers` },
      broker_configs: { related: `${base}/${id}/broker-configs` },
      consumer_groups: { related: `${base}/${id}/consumer-groups` },
      topics: { related: `${base}/${id}/topics` },
      partition_reassignments: { related: `${base}/${id}/topics/-/partitions/-/reassignment` },
    }
    assert.deepEqual(body, { kind: 'KafkaClusterList', metadata: { self: base, next: null }, data: [cluster] })
    assert.deepEqual((await get(harness, `${prefix}/clusters/${id}`)).body, cluster)
    assert.deepEqual((await get(harness, `${prefix}/clusters/whatever`)).body, cluster)
  }
})

test('there is one broker, number 0, at the address of the server', async () => {
  const harness = createHarness()
  const id = await harness.log.clusterId()
  const base = `http://log.test/v3/clusters/${id}`
  const broker = {
    kind: 'KafkaBroker',
    metadata: { self: `${base}/brokers/0`, resource_name: `crn:///kafka=${id}/broker=0` },
    cluster_id: id,
    broker_id: 0,
    host: 'log.test',
    port: 80,
    rack: null,
    configs: { related: `${base}/brokers/0/configs` },
    partition_replicas: { related: `${base}/brokers/0/partition-replicas` },
  }
  const list = await get(harness, '/v3/clusters/c/brokers')
  assert.deepEqual(list.body, {
    kind: 'KafkaBrokerList',
    metadata: { self: `${base}/brokers`, next: null },
    data: [broker],
  })
  assert.deepEqual((await get(harness, '/v3/clusters/c/brokers/0')).body, broker)
  for (const path of ['/brokers/1', '/brokers/x', '/brokers/1/configs', '/brokers/1/partition-replicas']) {
    const { status, body } = await get(harness, `/v3/clusters/c${path}`)
    assert.deepEqual([status, body.error_code], [404, 404], path)
  }
})

test('the configs of the broker are the settings of the log, read only', async () => {
  const harness = createHarness({ settings: { partitionsDefault: 6 } })
  const id = await harness.log.clusterId()
  const { body } = await get(harness, '/v3/clusters/c/brokers/0/configs/num.partitions')
  assert.deepEqual(body, {
    kind: 'KafkaBrokerConfig',
    metadata: {
      self: `http://log.test/v3/clusters/${id}/brokers/0/configs/num.partitions`,
      resource_name: `crn:///kafka=${id}/broker=0/config=num.partitions`,
    },
    cluster_id: id,
    broker_id: 0,
    name: 'num.partitions',
    value: '6',
    is_default: false,
    is_read_only: true,
    is_sensitive: false,
    source: 'STATIC_BROKER_CONFIG',
    synonyms: [
      { name: 'num.partitions', value: '6', source: 'STATIC_BROKER_CONFIG' },
      { name: 'num.partitions', value: '1', source: 'DEFAULT_CONFIG' },
    ],
  })
  for (const path of ['/brokers/0/configs', '/brokers/-/configs', '/broker-configs']) {
    const list = await get(harness, `/v3/clusters/c${path}`)
    assert.equal(list.status, 200)
    const names = list.body.data.map((config) => config.name)
    assert(names.includes('socket.request.max.bytes' as never), path)
    assert.equal(list.body.metadata.self, `http://log.test/v3/clusters/${id}${path}`)
  }
  const cluster = await get(harness, '/v3/clusters/c/broker-configs/auto.create.topics.enable')
  assert.deepEqual(
    [cluster.body.kind, cluster.body.value, cluster.body.source],
    ['KafkaClusterConfig', 'false', 'DEFAULT_CONFIG'],
  )
  for (const path of ['/brokers/0/configs/no.such', '/broker-configs/no.such'])
    assert.equal((await get(harness, `/v3/clusters/c${path}`)).status, 404)
})

test('the broker has one replica of every partition', async () => {
  const harness = createHarness()
  await harness.log.createTopic({ name: 'a', partitions: 2 })
  await harness.log.createTopic({ name: 'b', partitions: 1 })
  const { body } = await get(harness, '/v3/clusters/c/brokers/0/partition-replicas')
  assert.equal(body.kind, 'KafkaReplicaList')
  assert.deepEqual(
    body.data.map((replica) => [replica.topic_name, replica.partition_id, replica.broker_id]),
    [
      ['a', 0, 0],
      ['a', 1, 0],
      ['b', 0, 0],
    ],
  )
})
