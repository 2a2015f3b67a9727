import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { arrayBuffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { composeHandler, readEnvironment } from '../../functions/environment.ts'
import { functionSettings } from '../../functions/settings.ts'
import { composeMaintain } from '../../functions/upkeep.ts'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import type { HeadKey } from '../../lib/core/head.ts'
import { fetchRoutes } from '../../lib/http/fetch-routes.ts'
import type { StreamHandler } from '../../lib/http/lambda.ts'
import { batchesType } from '../../lib/http/raw.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { LogPorts } from '../../lib/log/log.ts'
import { fetchPart } from '../../lib/log/part-fetch.ts'
import { TestClock } from '../conformance/log-fixture.ts'
import { batchOf } from '../http/harness.ts'
import { functionUrlEvent } from '../http/lambda-events.ts'
import { composeFunctions, contextOf, memoryPorts, partsOf, toldBy } from './fixture.ts'

const jsonRecords = { 'content-type': 'application/vnd.kafka.json.v2+json' }
const one = { headers: jsonRecords, body: '{"records":[{"value":1}]}' }
const read = { path: '/topics/t/partitions/0/records?offset=0', headers: { accept: jsonRecords['content-type'] } }
const createTopic = {
  path: '/admin/topics',
  body: '{"topic_name":"t"}',
  headers: { 'content-type': 'application/json' },
}

test('the environment names the stores; the rest has defaults', () => {
  assert.deepEqual(readEnvironment({ HIGHWATER_BUCKET: 'b', HIGHWATER_TABLE: 't' }), {
    bucket: 'b',
    table: 't',
    settings: {},
    cors: [],
    isStreaming: false,
  })
  assert.deepEqual(
    readEnvironment({
      HIGHWATER_BUCKET: 'b',
      HIGHWATER_TABLE: 't',
      HIGHWATER_SETTINGS: '{"headPollMsMax":100}',
      HIGHWATER_CORS: 'https://a.example,https://b.example',
      HIGHWATER_PUBLIC_URL: 'https://log.example',
      HIGHWATER_STREAM_ANSWERS: 'true',
      AWS_ENDPOINT_URL: 'http://localhost:4566',
    }),
    {
      bucket: 'b',
      table: 't',
      settings: { headPollMsMax: 100 },
      cors: ['https://a.example', 'https://b.example'],
      publicUrl: 'https://log.example',
      isStreaming: true,
      endpoint: 'http://localhost:4566',
    },
  )
})

test('an environment that is not in order says everything that is wrong with it', () => {
  assert.throws(
    () => readEnvironment({ HIGHWATER_BUCKET: '', HIGHWATER_SETTINGS: '[1]' }),
    /HIGHWATER_BUCKET is missing; HIGHWATER_TABLE is missing; HIGHWATER_SETTINGS is no JSON object/,
  )
  assert.throws(
    () => readEnvironment({ HIGHWATER_BUCKET: 'b', HIGHWATER_TABLE: 't', HIGHWATER_SETTINGS: '{' }),
    /no JSON/,
  )
})

test('a function never waits for company and is never alone, whatever the settings say', () => {
  const parsed = functionSettings({ lingerMs: 100, isSoleProcess: true, headPollMsMax: 70 })
  assert.ok(parsed.ok)
  assert.deepEqual(
    [parsed.settings.lingerMs, parsed.settings.isSoleProcess, parsed.settings.headPollMsMax],
    [0, false, 70],
  )
})

test('settings that could not be kept behind a gateway are refused, all in one message', () => {
  assert.deepEqual(functionSettings({ appendBytesMax: 4_194_305, fetchBytesMax: 4_194_305, fetchWaitMsMax: 25_001 }), {
    ok: false,
    message:
      'Invalid settings: appendBytesMax is at most 4194304 in a function, not 4194305; fetchBytesMax is at most 4194304 behind an HTTP API, not 4194305; fetchWaitMsMax is at most 25000 behind an HTTP API, not 25001.',
  })
  assert.ok(functionSettings({ appendBytesMax: 4_194_304, fetchBytesMax: 4_194_304, fetchWaitMsMax: 25_000 }).ok)
  assert.ok(functionSettings({ fetchBytesMax: 60_000_000, fetchWaitMsMax: 800_000 }, true).ok)
  assert.ok(!functionSettings({ appendBytesMax: 4_194_305 }, true).ok)
})

test('what one function writes another reads', async () => {
  const { call } = composeFunctions()
  assert.equal((await call('POST', createTopic)).statusCode, 201)
  assert.equal((await call('POST', { path: '/topics/t', ...one })).statusCode, 200)
  assert.equal(JSON.parse((await call('GET', read)).body ?? '')[0].value, 1)
  assert.equal((await call('GET', { path: '/nowhere' })).headers?.['highwater-error'], 'NOT_FOUND')
  assert.equal((await call('PATCH', { path: '/topics/t' })).headers?.allow, 'GET, HEAD, OPTIONS, POST')
})

test('a long poll is woken by a record that another function wrote', async () => {
  const { call } = composeFunctions()
  await call('POST', createTopic)
  const waiting = call('GET', { ...read, path: `${read.path}&timeout=20000` })
  await call('POST', { path: '/topics/t', ...one })
  assert.equal(JSON.parse((await waiting).body ?? '').length, 1)
})

test('a function that was frozen for hours asks again what a topic is called and how far a partition goes', async () => {
  const clock = new TestClock()
  const ports: LogPorts = { ...memoryPorts(), clock }
  const { call } = composeFunctions(ports)
  const others = createLog(ports)
  await call('POST', createTopic)
  await call('POST', { path: '/topics/t', ...one })
  assert.equal(JSON.parse((await call('GET', read)).body ?? '').length, 1)

  // Meanwhile the topic is deleted and made again, and others write to it until its head has rolled several times.
  assert.ok((await others.deleteTopic('t')).ok)
  assert.ok((await others.createTopic({ name: 't' })).ok)
  for (let i = 0; i < 40; i++)
    await others.produce({ topic: 't', records: [{ key: null, value: new TextEncoder().encode(`"new ${i}"`) }] })
  await others.settled()
  clock.advance(6 * 3_600_000)

  const written = await call('POST', { path: '/topics/t', ...one })
  assert.equal(JSON.parse(written.body ?? '').offsets[0].offset, 40)
  const values = JSON.parse((await call('GET', read)).body ?? '').map((record: { value: unknown }) => record.value)
  assert.deepEqual([values.length, values[0], values[40]], [41, 'new 0', 1])
})

/** Connections that died while the function was frozen: each fails once, at its first use. */
class DeadConnections extends MemoryMetadata {
  reads = 0
  writes = 0
  override async readHead(key: HeadKey) {
    if (this.reads-- > 0) throw new Unavailable('read ECONNRESET', 'none')
    return super.readHead(key)
  }
  override async updateHead(...args: Parameters<MemoryMetadata['updateHead']>) {
    // Nothing was sent, but who can know.
    if (this.writes-- > 0) throw new Unavailable('write EPIPE', 'possible')
    return super.updateHead(...args)
  }
}

test('connections that died while a function was frozen cost a second attempt: nothing is lost, nothing is doubled', async () => {
  const clock = new TestClock()
  const metadata = new DeadConnections()
  const { call, told } = composeFunctions({ ...memoryPorts(), metadata, clock })
  await call('POST', createTopic)
  await call('POST', { path: '/topics/t', ...one })
  clock.advance(3_600_000)
  metadata.reads = 2
  metadata.writes = 1
  const written = await call('POST', { path: '/topics/t', ...one })
  assert.equal(written.statusCode, 200, written.body)
  assert.equal(JSON.parse(written.body ?? '').offsets[0].offset, 1)
  metadata.reads = 2
  assert.equal(JSON.parse((await call('GET', read)).body ?? '').length, 2)
  assert.ok(told.produce.lines().some(({ reason, CommitRefusals }) => reason === 'unknown' && CommitRefusals === 1))
})

test('through a function URL that streams, a read may answer far more than through the gateway', async () => {
  const ports = memoryPorts()
  // Not compressed on their way in.
  const { call } = composeFunctions(ports, { largeChunkBytesMin: 1_073_741_824 })
  await call('POST', createTopic)
  const batch = batchOf([Buffer.alloc(1_000_000, 'x').toString()])
  const raw = { headers: { 'content-type': batchesType }, path: '/topics/t/partitions/0' }
  for (let i = 0; i < 10; i++) assert.equal((await call('POST', { ...raw, body: batch.slice() })).statusCode, 200)
  const path = '/topics/t/partitions/0/records?offset=0&max_bytes=100000000'
  const buffered = await call('GET', { path, headers: { accept: batchesType } })
  assert.equal(Buffer.from(buffered.body ?? '', 'base64').length, 4 * batch.length)

  const wire = new PassThrough()
  const streamed = arrayBuffer(wire)
  const handler = composeHandler(
    { ...partsOf('fetch', ports), isStreaming: true },
    { log: [fetchPart], routes: fetchRoutes },
    { streamifyResponse: (handle) => handle, HttpResponseStream: { from: (stream) => stream } },
  ) as unknown as StreamHandler
  await handler(functionUrlEvent('GET', { path, headers: { accept: batchesType } }), wire, contextOf())
  assert.equal((await streamed).byteLength, 10 * batch.length)
})

async function withIdleKeys(ports: LogPorts, partitions: number): Promise<void> {
  const log = createLog(ports)
  assert.ok((await log.createTopic({ name: 't', partitions })).ok)
  for (let partition = 0; partition < partitions; partition++) {
    const record = { partition, key: null, value: new Uint8Array(1) }
    const written = await log.produce({ topic: 't', records: [record], idempotencyKey: `key-${partition}` })
    assert.ok(written.ok && written.records[0]?.ok)
  }
  await log.settled()
}

test('upkeep goes over every partition and tells what it did', async () => {
  const clock = new TestClock()
  const ports: LogPorts = { ...memoryPorts(), clock }
  await withIdleKeys(ports, 3)
  clock.advance(2 * 86_400_000)
  const { telemetry, lines } = toldBy('maintain')
  const round = await composeMaintain(partsOf('maintain', ports, telemetry))({}, contextOf())
  assert.deepEqual([round.partitions, round.forgotten], [3, 3])
  const metrics = lines().find((line) => 'PartitionsMaintained' in line)
  assert.deepEqual([metrics?.PartitionsMaintained, metrics?.ProducersForgotten], [3, 3])
})

test('upkeep ends while there is time', async () => {
  const ports = memoryPorts()
  await withIdleKeys(ports, 3)
  const round = await composeMaintain(partsOf('maintain', ports))({}, contextOf(5_000))
  assert.deepEqual([round.partitions, round.forgotten], [0, 0])
})

test('upkeep that fails is an error of the function: an alarm counts it', async () => {
  class Gone extends MemoryMetadata {
    override async query(): Promise<never> {
      throw new Unavailable('the table is gone', 'none')
    }
  }
  const { telemetry, lines } = toldBy('maintain')
  const ports = { ...memoryPorts(), metadata: new Gone(), objects: new MemoryObjects(), codecs: nodeCodecs }
  await assert.rejects(composeMaintain(partsOf('maintain', ports, telemetry))({}, contextOf()), /the table is gone/)
  assert.ok(lines().some((line) => line.Errors === 1))
})
