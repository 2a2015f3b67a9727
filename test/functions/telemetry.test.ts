import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  commitRefusals,
  countMetrics,
  maintainMetrics,
  metricsNamespace,
  requestMetrics,
  stepMetrics,
} from '../../functions/metrics.ts'
import { MemoryObjects } from '../../lib/adapters/memory.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { composeFunctions, memoryPorts, toldBy } from './fixture.ts'

interface Emf {
  readonly _aws: {
    readonly CloudWatchMetrics: readonly {
      readonly Namespace: string
      readonly Dimensions: readonly (readonly string[])[]
      readonly Metrics: readonly { readonly Name: string; readonly Unit: string }[]
    }[]
  }
  readonly [name: string]: unknown
}

const topic = 'a-topic-of-its-own-name'
const jsonRecords = { 'content-type': 'application/vnd.kafka.json.v2+json' }
const one = { headers: jsonRecords, body: '{"records":[{"value":1},{"value":2}]}' }

async function functionsWithTopic(ports = memoryPorts()) {
  const functions = composeFunctions(ports)
  const created = await functions.call('POST', {
    path: '/v3/clusters/any/topics',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      topic_name: topic,
      partitions_count: 3,
      configs: [{ name: 'chunk.placement', value: 'segment' }],
    }),
  })
  assert.equal(created.statusCode, 201)
  return functions
}

function emf(lines: readonly Record<string, unknown>[]): Emf[] {
  return lines.filter((line) => '_aws' in line) as unknown as Emf[]
}

/** A metric's values of all lines. */
function valuesOf(lines: readonly Record<string, unknown>[], name: string): number[] {
  return emf(lines).flatMap((line) => (line[name] ?? []) as number | number[])
}

test('a produce and a fetch tell records, bytes, steps and how long they took', async () => {
  const { call, told } = await functionsWithTopic()
  await call('POST', { path: `/topics/${topic}/partitions/1`, ...one })
  await call('GET', { path: `/topics/${topic}/partitions/1/records?offset=0` })
  const produced = told.produce.lines()
  assert.deepEqual(valuesOf(produced, 'RecordsAppended'), [2])
  assert.deepEqual(valuesOf(produced, 'SegmentsWritten'), [1])
  assert.deepEqual(valuesOf(produced, 'HeadsRead'), [1])
  for (const name of ['BytesAppended', 'UploadTime', 'CommitTime', 'RequestTime'])
    assert.equal(valuesOf(produced, name).length, 1, name)
  const fetched = told.fetch.lines()
  assert.deepEqual(valuesOf(fetched, 'RecordsFetched'), [2])
  assert.deepEqual(valuesOf(fetched, 'BytesFetched'), valuesOf(produced, 'BytesAppended'))
})

test('refusals, errors and refused commits are told, the last by reason', async () => {
  class Full extends MemoryObjects {
    isGone = false
    override async create(...args: Parameters<MemoryObjects['create']>) {
      if (this.isGone) throw new Unavailable('the bucket is gone', 'none', 'closed')
      return super.create(...args)
    }
  }
  const objects = new Full()
  const { call, told } = await functionsWithTopic({ ...memoryPorts(), objects })
  const path = `/topics/${topic}/partitions/0`
  await call('POST', { path, ...one })
  await call('POST', { path, ...one, headers: { ...jsonRecords, 'highwater-expected-offset': '0' } })
  objects.isGone = true
  await call('POST', { path, ...one })
  const lines = told.produce.lines()
  assert.deepEqual(valuesOf(lines, 'RequestsRefused'), [1])
  assert.deepEqual(valuesOf(lines, 'Errors'), [1])
  const refusals = emf(lines).filter((line) => commitRefusals.name in line)
  assert.deepEqual(
    refusals.map(({ reason, CommitRefusals }) => [reason, CommitRefusals]),
    [['unexpected-offset', 1]],
  )
})

test('every metric is one of the table, with its unit, in one namespace', async () => {
  const { call, told } = await functionsWithTopic()
  for (let i = 0; i < 20; i++) await call('POST', { path: `/topics/${topic}/partitions/0`, ...one })
  await call('POST', { path: `/topics/${topic}/partitions/9`, ...one })
  await call('GET', { path: `/topics/${topic}/partitions/0/records?offset=40&timeout=100` })
  const units = new Map(
    [countMetrics, stepMetrics, requestMetrics, maintainMetrics, { commitRefusals }].flatMap((entries) =>
      Object.values(entries).map(({ name, unit }) => [name, unit] as const),
    ),
  )
  // Powertools counts cold starts by itself.
  units.set('ColdStart', 'Count')
  const seen = new Set<string>()
  for (const { lines } of Object.values(told))
    for (const line of emf(lines()))
      for (const { Namespace, Metrics } of line._aws.CloudWatchMetrics) {
        assert.equal(Namespace, metricsNamespace)
        for (const { Name, Unit } of Metrics) {
          assert.equal(Unit, units.get(Name), Name)
          seen.add(Name)
        }
      }
  assert.ok(seen.has('Rolls') && seen.has('WaitTime') && seen.has('RequestsRefused'), [...seen].join())
})

test('no dimension and no line of metrics ever holds a topic or a partition', async () => {
  const { call, told } = await functionsWithTopic()
  for (let partition = 0; partition < 3; partition++) {
    await call('POST', { path: `/topics/${topic}/partitions/${partition}`, ...one })
    await call('POST', {
      path: `/topics/${topic}/partitions/${partition}`,
      ...one,
      headers: { ...jsonRecords, 'highwater-expected-offset': '0' },
    })
    await call('GET', { path: `/topics/${topic}/partitions/${partition}/records?offset=0` })
  }
  const combinations = new Set<string>()
  for (const { lines } of Object.values(told))
    for (const line of emf(lines())) {
      assert.ok(!JSON.stringify(line).includes(topic))
      for (const { Dimensions } of line._aws.CloudWatchMetrics)
        for (const names of Dimensions) {
          for (const name of names)
            assert.ok(['service', 'function', 'function_name', 'reason'].includes(name), `a dimension ${name}`)
          combinations.add(names.map((name) => `${name}=${line[name]}`).join())
        }
    }
  assert.deepEqual([...combinations].filter((text) => !text.includes('function_name')).sort(), [
    'service=test,function=admin',
    'service=test,function=fetch',
    'service=test,function=produce',
    'service=test,function=produce,reason=unexpected-offset',
  ])
})

test('a failed request is a line with the ids that find it again', async () => {
  class Broken extends MemoryObjects {
    override async create(): Promise<never> {
      throw new TypeError('a bug in here')
    }
  }
  const { call, told } = await functionsWithTopic({ ...memoryPorts(), objects: new Broken() })
  await call('POST', { path: `/topics/${topic}`, ...one, headers: { ...jsonRecords, 'x-request-id': 'of the client' } })
  const [bug, failed] = told.produce.lines().filter((line) => line.level === 'ERROR')
  assert.match(String((bug?.error as { message: string } | undefined)?.message), /a bug in here/)
  assert.equal(failed?.message, 'request failed')
  assert.equal(failed?.correlation_id, 'JKJaXmPLvHcESHA=')
  assert.equal(failed?.function_request_id, 'c6af9ac6-7b61-11e6-9a41-93e8deadbeef')
  assert.equal(failed?.service, 'test')
  assert.deepEqual([failed?.method, failed?.path, failed?.status], ['POST', `/topics/${topic}`, 500])
})

test('what was told once is not told again, and without work nothing is', () => {
  const { telemetry, lines } = toldBy('produce')
  telemetry.publish()
  telemetry.observer.count('rolls', 1)
  telemetry.observer.commitRefused('tail-full')
  telemetry.publish()
  telemetry.publish()
  assert.deepEqual(valuesOf(lines(), 'Rolls'), [1])
  assert.deepEqual(valuesOf(lines(), 'CommitRefusals'), [1])
})

test('a request to very many partitions is told of in as many lines as its values need', async () => {
  const { call, told } = composeFunctions()
  const headers = { 'content-type': 'application/json' }
  await call('POST', { path: '/admin/topics', headers, body: '{"topic_name":"wide","partitions_count":250}' })
  const records = Array.from({ length: 250 }, (_, partition) => ({ partition, value: 1 }))
  const written = await call('POST', { path: '/topics/wide', headers: jsonRecords, body: JSON.stringify({ records }) })
  assert.equal(written.statusCode, 200)
  const lines = told.produce.lines()
  assert.equal(valuesOf(lines, 'CommitTime').length, 250)
  for (const line of emf(lines)) assert.ok([line.CommitTime ?? []].flat().length <= 100)
})
