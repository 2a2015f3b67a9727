import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  commitRefusals,
  countMetrics,
  holdMsMax,
  maintainMetrics,
  metricsNamespace,
  requestMetrics,
  stepMetrics,
} from '../../functions/metrics.ts'
import type { Telemetry } from '../../functions/telemetry.ts'
import { MemoryObjects } from '../../lib/adapters/memory.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { assumed, logBytesPerCall } from '../../lib/core/estimate.ts'
import { composeFunctions, contextOf, memoryPorts, toldBy } from './fixture.ts'

interface Emf {
  readonly _aws: {
    readonly Timestamp: number
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

/** CloudWatch takes no metrics of a time far from now. */
const startMs = Date.now()

/** Calls of a function every `gapMs`, each of which appended a record in so many milliseconds. */
function calls(count: number, gapMs: number, call: (at: number, telemetry: Telemetry) => void = () => {}) {
  let nowMs = startMs
  const told = toldBy('produce', 'INFO', () => nowMs)
  const { telemetry } = told
  for (let at = 0; at < count; at++) {
    telemetry.begin(contextOf(), undefined)
    telemetry.observer.count('recordsAppended', 1)
    telemetry.observer.count('bytesAppended', 1_073)
    telemetry.observer.count('inlineChunksWritten', 1)
    telemetry.observer.time('upload', 8)
    telemetry.observer.time('commit', 9)
    telemetry.onAnswer({
      requestId: 'r',
      method: 'POST',
      path: '/',
      route: '/',
      status: 200,
      durationMs: 20 + (at % 10),
    })
    call(at, telemetry)
    telemetry.end()
    nowMs += gapMs
  }
  const written = told.written().filter((line) => !line.includes('ColdStart'))
  return { written, lines: written.map((line) => JSON.parse(line) as Record<string, unknown>) }
}

test('calls that follow each other share a line of metrics: sums of what is counted, each of the times', () => {
  const { lines } = calls(62, 1_000)
  assert.deepEqual(
    lines.map(({ RecordsAppended }) => RecordsAppended),
    [1, 29, 30],
  )
  assert.deepEqual(
    lines.map(({ BytesAppended }) => BytesAppended),
    [1_073, 29 * 1_073, 30 * 1_073],
  )
  assert.deepEqual(
    valuesOf(lines, 'RequestTime'),
    Array.from({ length: 60 }, (_, at) => 20 + (at % 10)),
  )
  const times = emf(lines).map(({ _aws }) => _aws.Timestamp - startMs)
  assert.deepEqual(times, [0, 1_000, 30_000])
})

test('a function that is called less often writes a line for each call, and loses nothing when it ends', () => {
  assert.equal(calls(5, holdMsMax).written.length, 5)
})

test('what was held when the calls ceased is written when the next one begins, with the time that it is of', () => {
  let nowMs = startMs
  const { telemetry, written } = toldBy('fetch', 'INFO', () => nowMs)
  const call = () => {
    telemetry.begin(contextOf(), undefined)
    telemetry.observer.count('recordsFetched', 1)
    telemetry.end()
  }
  call()
  nowMs += 1_000
  call()
  nowMs += 3_600_000
  telemetry.begin(contextOf(), undefined)
  const lines = written().map((line) => JSON.parse(line) as Record<string, unknown>)
  assert.deepEqual(valuesOf(lines, 'RecordsFetched'), [1, 1])
  assert.deepEqual(
    emf(lines).map(({ _aws }) => _aws.Timestamp - startMs),
    [0, 1_000],
  )
})

test('errors and commits of unknown outcome are written when the call ends, with what was held', () => {
  const failing = calls(10, 1_000, (at, { onAnswer }) => {
    if (at === 4) onAnswer({ requestId: 'r', method: 'POST', path: '/', route: '/', status: 503, durationMs: 1 })
  })
  assert.deepEqual(
    failing.lines.map(({ RecordsAppended, Errors }) => [RecordsAppended, Errors]),
    [
      [1, undefined],
      [4, 1],
    ],
  )
  const unknown = calls(10, 1_000, (at, { observer }) => {
    if (at === 4) observer.commitRefused('unknown')
  })
  assert.deepEqual(
    unknown.lines.map(({ RecordsAppended, reason }) => RecordsAppended ?? reason),
    [1, 4, 'unknown'],
  )
})

test('a line has no more values of a metric than the format takes, however many calls there are', () => {
  const { lines } = calls(1_000, 1)
  assert.ok(lines.length <= 12)
  for (const line of lines) assert.ok([line.RequestTime ?? []].flat().length < 100)
})

test('lines are as long as estimates of what they cost assume', () => {
  assert.equal(assumed.logHoldMs, holdMsMax)
  for (const gapMs of [100, 1_000, holdMsMax]) {
    const count = 600
    const asking = (_: number, { meter }: Telemetry) =>
      meter.count('metadata.updateHead', { requests: 1, bytes: 900, writeUnits: 1 })
    const bytes = calls(count, gapMs, asking).written.reduce((sum, line) => sum + line.length + 1, 0)
    const ratio = logBytesPerCall(1_000 / gapMs, 1) / (bytes / count)
    assert.ok(ratio > 0.9 && ratio < 1.3, `a call every ${gapMs} ms: ${bytes / count} bytes, ${ratio}`)
  }
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
