/** Over real sockets, on free ports: what only a connection can show. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { after, test } from 'node:test'
import type { App } from '../../lib/http/app.ts'
import { type RunningServer, serve } from '../../lib/http/node-server.ts'
import { batchesType } from '../../lib/http/raw.ts'
import { jsonReply } from '../../lib/http/replies.ts'
import { batchOf, createHarness, type Harness } from './harness.ts'

const servers: RunningServer[] = []
after(() => Promise.all(servers.map((server) => server.close(0))))

async function start(app: Pick<App, 'answer'>): Promise<RunningServer> {
  const server = await serve({ app, host: '127.0.0.1', port: 0 })
  servers.push(server)
  return server
}

/** What is larger is compressed on its way in. */
const asTheyCome = 1_073_741_824

async function withTopic(options: Parameters<typeof createHarness>[0] = {}): Promise<Harness & RunningServer> {
  const harness = createHarness(options)
  await harness.log.createTopic({ name: 't' })
  return { ...harness, ...(await start(harness.app)) }
}

async function open({ url }: RunningServer): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

/** Everything until the server closes the connection. */
async function readAll(socket: Socket): Promise<string> {
  let text = ''
  for await (const part of socket) text += part
  return text
}

/** Until what came contains `end`. */
async function readUntil(socket: Socket, end: string): Promise<string> {
  let text = ''
  while (!text.includes(end)) {
    const [part] = (await once(socket, 'data')) as [Buffer]
    text += part.toString('latin1')
  }
  return text
}

test('records go in and come out over a connection, bytes unchanged', async () => {
  const { url } = await withTopic({ settings: { largeChunkBytesMin: asTheyCome } })
  const batch = batchOf(['a'.repeat(300_000), 'b'])
  const posted = await fetch(`${url}/topics/t/partitions/0`, {
    method: 'POST',
    headers: { 'content-type': batchesType },
    body: batch as BodyInit,
  })
  assert.equal(posted.status, 200)
  assert.equal(posted.headers.get('content-type'), 'application/json')
  const read = await fetch(`${url}/topics/t/partitions/0/records?offset=0`, { headers: { accept: batchesType } })
  assert.equal(read.headers.get('content-length'), String(batch.length))
  assert.deepEqual(new Uint8Array(await read.arrayBuffer()), batch)
})

test('a body in chunks is read too', async () => {
  const { url } = await withTopic()
  const batch = batchOf(['a', 'b', 'c'])
  const posted = await fetch(`${url}/topics/t/partitions/0`, {
    method: 'POST',
    headers: { 'content-type': batchesType },
    body: new ReadableStream({
      start(controller) {
        controller.enqueue(batch.subarray(0, 50))
        controller.enqueue(batch.subarray(50))
        controller.close()
      },
    }),
    duplex: 'half',
  } as RequestInit)
  assert.equal(((await posted.json()) as { record_count: number }).record_count, 3)
})

test('a body that declares too much is refused before it is sent', async () => {
  const server = await withTopic({ settings: { appendBytesMax: 2_000 } })
  const socket = await open(server)
  socket.write(
    `POST /topics/t/partitions/0 HTTP/1.1\r\nhost: log.test\r\ncontent-type: ${batchesType}\r\ncontent-length: 100000\r\n\r\n`,
  )
  const answer = await readUntil(socket, '}')
  assert.match(answer, /^HTTP\/1\.1 413 /)
  assert.match(answer, /connection: close/i)
  socket.destroy()
})

test('who sends too much all the same sees the answer, not a reset connection', async () => {
  const { url } = await withTopic({ settings: { appendBytesMax: 2_000 } })
  for (const body of [new Uint8Array(8 * 1_048_576), endlessly(8)]) {
    const response = await fetch(`${url}/topics/t/partitions/0`, {
      method: 'POST',
      headers: { 'content-type': batchesType },
      body: body as BodyInit,
      duplex: 'half',
    } as RequestInit)
    assert.equal(response.status, 413)
    assert.equal(((await response.json()) as { error_code: number }).error_code, 413)
  }
})

/** Mebibytes of nothing, without a declared length. */
function endlessly(mebibytes: number): ReadableStream<Uint8Array> {
  let sent = 0
  return new ReadableStream({
    pull(controller) {
      if (sent++ < mebibytes) controller.enqueue(new Uint8Array(1_048_576))
      else controller.close()
    },
  })
}

test('who waits for 100 Continue is told before it sends: go on, or 413', async () => {
  const server = await withTopic({ settings: { appendBytesMax: 2_000 } })
  const head = (length: number) =>
    `POST /topics/t/partitions/0 HTTP/1.1\r\nhost: log.test\r\ncontent-type: ${batchesType}\r\nexpect: 100-continue\r\ncontent-length: ${length}\r\n\r\n`
  const refused = await open(server)
  refused.write(head(2_001))
  assert.match(await readUntil(refused, '}'), /^HTTP\/1\.1 413 /)
  refused.destroy()

  const batch = batchOf(['a'])
  const taken = await open(server)
  taken.write(head(batch.length))
  assert.match(await readUntil(taken, '\r\n\r\n'), /^HTTP\/1\.1 100 Continue/)
  taken.write(batch)
  assert.match(await readUntil(taken, '}'), /^HTTP\/1\.1 200 /)
  taken.destroy()
})

test('a connection is kept for the next request, also after a small body that nobody read', async () => {
  const { url } = await withTopic()
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const used = new Set<number | undefined>()
  for (const [method, path, body] of [
    ['GET', '/health', undefined],
    ['POST', '/nothing', 'small'],
    ['PATCH', '/health', 'small'],
    ['GET', '/health', undefined],
  ] as const) {
    const request = httpRequest(url + path, { agent, method })
    request.end(body)
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    used.add(response.socket.localPort)
    response.resume()
    await once(response, 'end')
  }
  agent.destroy()
  assert.equal(used.size, 1)
})

test('HEAD and 204 have no body on the wire', async () => {
  const server = await withTopic()
  const socket = await open(server)
  socket.write(
    'HEAD /health/live HTTP/1.1\r\nhost: log.test\r\n\r\nOPTIONS /health HTTP/1.1\r\nhost: log.test\r\nconnection: close\r\n\r\n',
  )
  const answers = (await readAll(socket)).split('\r\n\r\n')
  assert.equal(answers.length, 3)
  assert.match(answers[0] ?? '', /^HTTP\/1\.1 200 .*content-length: 13/s)
  assert.match(answers[1] ?? '', /^HTTP\/1\.1 204 (?!.*content-length)/s)
  assert.equal(answers[2], '')
})

test('a client that goes away ends its waiting read', async () => {
  const begun = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<boolean>()
  const server = await start({
    async answer(_request, transport) {
      begun.resolve()
      await new Promise<void>((resolve) => transport.signal.addEventListener('abort', () => resolve()))
      ended.resolve(transport.signal.aborted)
      return jsonReply(200, {})
    },
  })
  const socket = await open(server)
  socket.write('GET /anything HTTP/1.1\r\nhost: log.test\r\n\r\n')
  await begun.promise
  socket.destroy()
  assert.equal(await ended.promise, true)
})

test('a client that goes away in the middle of a body leaves nothing behind', async () => {
  const server = await withTopic()
  const socket = await open(server)
  const batch = batchOf(['abc'])
  socket.write(
    `POST /topics/t/partitions/0 HTTP/1.1\r\nhost: log.test\r\ncontent-type: ${batchesType}\r\ncontent-length: ${batch.length}\r\n\r\n`,
  )
  socket.write(batch.subarray(0, 70))
  socket.end()
  await readAll(socket)
  await server.close()
  const offsets = await server.log.offsets('t', 0)
  assert.equal(offsets.ok && offsets.highWatermark, 0)
})

test('stopping answers a waiting read with nothing, lets running requests finish, and closes idle connections', async () => {
  const harness = createHarness()
  await harness.log.createTopic({ name: 't' })
  const begun = { read: Promise.withResolvers<void>(), append: Promise.withResolvers<void>() }
  const server = await start({
    answer(request, transport) {
      if (request.url.includes('records')) begun.read.resolve()
      if (request.method === 'POST') begun.append.resolve()
      return harness.app.answer(request, transport)
    },
  })
  const idle = await open(server)
  idle.write('GET /health HTTP/1.1\r\nhost: log.test\r\n\r\n')
  await readUntil(idle, '}')
  const idleClosed = once(idle, 'close')

  const waiting = fetch(`${server.url}/topics/t/partitions/0/records?offset=0&timeout=20000`)
  const batch = batchOf(['a'])
  const slow = await open(server)
  slow.write(
    `POST /topics/t/partitions/0 HTTP/1.1\r\nhost: log.test\r\ncontent-type: ${batchesType}\r\ncontent-length: ${batch.length}\r\n\r\n`,
  )
  await Promise.all([begun.read.promise, begun.append.promise])
  const closed = server.close()
  slow.write(batch)

  assert.deepEqual(await (await waiting).json(), [])
  assert.match(await readAll(slow), /^HTTP\/1\.1 200 .*connection: close/is)
  await closed
  await idleClosed
  await assert.rejects(fetch(`${server.url}/health`))
  const offsets = await harness.log.offsets('t', 0)
  assert.equal(offsets.ok && offsets.highWatermark, 1)
})

test('stopping waits for a request that does not end no longer than it is told', async () => {
  const begun = Promise.withResolvers<void>()
  const server = await start({
    answer() {
      begun.resolve()
      return new Promise(() => {})
    },
  })
  const socket = await open(server)
  socket.write('GET / HTTP/1.1\r\nhost: log.test\r\n\r\n')
  await begun.promise
  const closed = once(socket, 'close')
  await server.close(50)
  await closed
})

test('a stream is sent as it comes, and is cancelled when the client goes away', async () => {
  const cancelled = Promise.withResolvers<void>()
  const encoder = new TextEncoder()
  const server = await start({
    async answer() {
      return {
        status: 200,
        headers: { 'content-type': 'text/plain' },
        body: new ReadableStream<Uint8Array>({
          start: (controller) => controller.enqueue(encoder.encode('first')),
          cancel: () => cancelled.resolve(),
        }),
      }
    },
  })
  const socket = await open(server)
  socket.write('GET / HTTP/1.1\r\nhost: log.test\r\n\r\n')
  assert.match(await readUntil(socket, 'first'), /transfer-encoding: chunked/i)
  socket.destroy()
  await cancelled.promise
})

test('what is no HTTP is answered in the form of every error', async () => {
  const server = await withTopic()
  for (const [sent, status] of [
    ['nonsense\r\n\r\n', 400],
    [`GET / HTTP/1.1\r\nhost: log.test\r\nx-large: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ] as const) {
    const socket = await open(server)
    socket.write(sent)
    const answer = await readAll(socket)
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `))
    assert.equal(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))).error_code, status)
  }
})

test('a Host that is no host is not repeated in links', async () => {
  const server = await withTopic()
  for (const [host, expected] of [
    ['log.example:8082', 'http://log.example:8082/v3/clusters'],
    ['evil"><x', `${server.url}/v3/clusters`],
  ] as const) {
    const request = httpRequest(`${server.url}/v3/clusters`, { headers: { host } })
    request.end()
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    let text = ''
    for await (const part of response) text += part
    assert.equal(JSON.parse(text).metadata.self, expected)
  }
})

test('a port that is in use is refused with the system’s code', async () => {
  const { url } = await withTopic()
  await assert.rejects(
    serve({ app: createHarness().app, host: '127.0.0.1', port: Number(new URL(url).port) }),
    (error: NodeJS.ErrnoException) => error.code === 'EADDRINUSE',
  )
})
