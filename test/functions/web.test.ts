import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { startWebServer } from '../../functions/web-server.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { ApiKeys } from '../../lib/log/api-keys.ts'
import { memoryPorts, partsOf, toldBy } from './fixture.ts'

const one = {
  method: 'POST',
  headers: { 'content-type': 'application/vnd.kafka.json.v2+json' },
  body: '{"records":[{"value":1}]}',
}

async function withTopic(url: string): Promise<void> {
  const created = await fetch(`${url}/admin/topics`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"topic_name":"t"}',
  })
  assert.equal(created.status, 201)
}

test('a web function gathers what many requests bring into few segments or inline chunks', async () => {
  const { telemetry, lines } = toldBy('web')
  const server = await startWebServer(partsOf('web', memoryPorts(), telemetry, { lingerMs: 20 }), '127.0.0.1:0')
  await withTopic(server.url)
  const answers = await Promise.all(Array.from({ length: 50 }, () => fetch(`${server.url}/topics/t`, one)))
  const offsets = await Promise.all(
    answers.map(
      async (answer) => ((await answer.json()) as { offsets: { offset: number }[] }).offsets[0]?.offset ?? -1,
    ),
  )
  assert.deepEqual(
    offsets.sort((a, b) => a - b),
    Array.from({ length: 50 }, (_, offset) => offset),
  )
  await server.close()
  const told = lines()
  const writes = ['SegmentsWritten', 'InlineChunksWritten']
    .flatMap((name) => told.map((line) => Number(line[name] ?? 0)))
    .reduce((sum, count) => sum + count)
  assert.ok(writes >= 1 && writes <= 25, `${writes} segments and inline chunks`)
})

test('a web function ends in less than a second: waiting reads are answered, running requests end, the rest is cut', async () => {
  class Stuck extends MemoryMetadata {
    readonly isRead = Promise.withResolvers<void>()
    readonly isStuck = Promise.withResolvers<void>()
    override async readHead(...args: Parameters<MemoryMetadata['readHead']>) {
      this.isRead.resolve()
      return super.readHead(...args)
    }
    override async updateHead() {
      this.isStuck.resolve()
      return new Promise<never>(() => {})
    }
  }
  const metadata = new Stuck()
  const ports = { ...memoryPorts(), metadata, objects: new MemoryObjects() }
  const server = await startWebServer(partsOf('web', ports), '127.0.0.1:0')
  await withTopic(server.url)
  const waiting = fetch(`${server.url}/topics/t/partitions/0/records?offset=0&timeout=20000`)
  await metadata.isRead.promise
  const stuck = fetch(`${server.url}/topics/t`, one)
  await metadata.isStuck.promise
  const startedMs = performance.now()
  await Promise.all([
    server.close(),
    waiting.then(async (answer) => assert.equal(await answer.text(), '[]')),
    assert.rejects(stuck),
  ])
  assert.ok(performance.now() - startedMs < 1_000)
})

test('a web function that wants API keys lets nobody in without one', async () => {
  const ports = memoryPorts()
  const keys = new ApiKeys({ ...ports, persist: (work) => work() })
  const made = await keys.create({ name: 'n', allow: ['fetch'] })
  assert.ok(made.ok)
  const server = await startWebServer({ ...partsOf('web', ports), requireKeys: true }, '127.0.0.1:0')
  const statusOf = async (headers: Record<string, string>) => (await fetch(`${server.url}/topics`, { headers })).status
  try {
    assert.equal(await statusOf({}), 401)
    assert.equal(await statusOf({ authorization: `Bearer ${made.token}` }), 200)
  } finally {
    await server.close()
  }
})

test('a web function listens where Lambda says, and nowhere else', async () => {
  for (const endpoint of ['', '127.0.0.1', ':80', '127.0.0.1:port'])
    await assert.rejects(
      startWebServer(partsOf('web', memoryPorts()), endpoint),
      /AWS_LAMBDA_HTTP_ENDPOINT is host:port/,
    )
})

test('the process serves at AWS_LAMBDA_HTTP_ENDPOINT, and ends by itself on SIGTERM', async () => {
  const port = await freePort()
  const child = spawn(process.execPath, ['functions/web.ts'], {
    env: {
      ...process.env,
      HIGHWATER_BUCKET: 'b',
      HIGHWATER_TABLE: 't',
      AWS_REGION: 'eu-central-1',
      AWS_LAMBDA_HTTP_ENDPOINT: `127.0.0.1:${port}`,
      POWERTOOLS_METRICS_DISABLED: 'true',
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  try {
    const url = `http://127.0.0.1:${port}/health/live`
    while (
      !(await fetch(url).then(
        (answer) => answer.ok,
        () => false,
      ))
    )
      await new Promise((resolve) => setTimeout(resolve, 50))
    const ended = once(child, 'exit')
    const startedMs = performance.now()
    child.kill('SIGTERM')
    assert.deepEqual(await ended, [0, null])
    assert.ok(performance.now() - startedMs < 1_000)
  } finally {
    child.kill('SIGKILL')
  }
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
