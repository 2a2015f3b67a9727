import assert from 'node:assert/strict'
import { PassThrough, type Writable } from 'node:stream'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { MemoryMetadata } from '../../lib/adapters/memory.ts'
import type { Settings } from '../../lib/core/settings.ts'
import { type App, createApp } from '../../lib/http/app.ts'
import {
  type LambdaEvent,
  type LambdaResult,
  lambdaHandler,
  resultBytesMax,
  type StreamHandler,
  streamingHandler,
} from '../../lib/http/lambda.ts'
import { batchesType } from '../../lib/http/raw.ts'
import { jsonReply } from '../../lib/http/replies.ts'
import type { HttpRequest, Reply, Route } from '../../lib/http/route.ts'
import { batchOf, createHarness, type Harness } from './harness.ts'
import { contextFor, functionUrlEvent, httpApiEvent, type Sent } from './lambda-events.ts'

const longMs = 29_000
const settled = async () => {}
const jsonRecords = { 'content-type': 'application/vnd.kafka.json.v2+json' }

/** A whole log, with topic `t`, behind a handler. */
async function logBehindHandler(harness: Harness = createHarness()) {
  await harness.log.createTopic({ name: 't' })
  const handler = lambdaHandler({ app: harness.app, settled: () => harness.log.settled() })
  const call = (method: string, sent: Sent, remainingMs = longMs) =>
    handler(httpApiEvent(method, sent), contextFor(remainingMs))
  return { harness, call }
}

/** An app of one route, `/one`. */
function appOf(handle: Route['handle'], method: Route['method'] = 'GET', settings: Partial<Settings> = {}): App {
  const { log, codecs, ...harness } = createHarness({ settings })
  const operation = { operationId: 'one', summary: '', tags: [], responses: {} }
  const route: Route = { work: 'fetch', method, path: '/one', operation, handle }
  return createApp({ routes: [route], log, settings: harness.settings, codecs })
}

function callOne(app: Pick<App, 'answer'>, sent: Partial<Sent> = {}, method = 'GET'): Promise<LambdaResult> {
  return lambdaHandler({ app, settled })(httpApiEvent(method, { path: '/one', ...sent }), contextFor(longMs))
}

/** What the app is asked for an event. */
async function requestOf(event: LambdaEvent): Promise<HttpRequest> {
  let asked: HttpRequest | undefined
  const answer = async (request: HttpRequest): Promise<Reply> => {
    asked = request
    return { status: 200, headers: {}, body: null }
  }
  await lambdaHandler({ app: { answer }, settled })(event, contextFor(longMs))
  assert.ok(asked !== undefined)
  return asked
}

function bytesOf({ body = '', isBase64Encoded = false }: LambdaResult): Buffer {
  return Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8')
}

test('records go in and come out through events', async () => {
  const { call } = await logBehindHandler()
  const body = '{"records":[{"value":{"größe":"ü"}}]}'
  const written = await call('POST', { path: '/topics/t', headers: jsonRecords, body })
  assert.equal(written.statusCode, 200)
  assert.equal(JSON.parse(written.body ?? '').offsets[0].offset, 0)
  const read = await call('GET', {
    path: '/topics/t/partitions/0/records?offset=0',
    headers: { accept: 'application/vnd.kafka.json.v2+json' },
  })
  assert.equal(read.isBase64Encoded, false)
  assert.deepEqual(JSON.parse(read.body ?? '')[0].value, { größe: 'ü' })
})

test('batches go in and come out byte for byte, as base64', async () => {
  const { call } = await logBehindHandler()
  const batch = batchOf(['one', 'two'])
  const headers = { 'content-type': batchesType }
  const written = await call('POST', { path: '/topics/t/partitions/0', headers, body: batch.slice() })
  assert.equal(written.statusCode, 200, written.body)
  const read = await call('GET', { path: '/topics/t/partitions/0/records?offset=0', headers: { accept: batchesType } })
  assert.equal(read.isBase64Encoded, true)
  assert.deepEqual(new Uint8Array(bytesOf(read)), batch)
})

test('a body that was encoded with gzip is decoded', async () => {
  const { call } = await logBehindHandler()
  const headers = { ...jsonRecords, 'content-encoding': 'gzip' }
  const written = await call('POST', { path: '/topics/t', headers, body: gzipSync('{"records":[{"value":1}]}') })
  assert.equal(written.statusCode, 200, written.body)
})

test('a body is counted as the bytes that it stands for, and not decoded above the limit', async () => {
  const app = appOf(
    async ({ readBody }) => {
      const body = await readBody()
      return body.ok ? jsonReply(200, body.bytes.length) : jsonReply(413, body.code)
    },
    'POST',
    { appendBytesMax: 2_000 },
  )
  for (const sizeBytes of [1, 2, 3, 1_999, 2_000, 2_001, 2_002, 2_003])
    for (const body of [new Uint8Array(sizeBytes).fill(255), 'x'.repeat(sizeBytes)]) {
      const event = httpApiEvent('POST', { path: '/one', body })
      // Nobody says beforehand how long it is.
      delete event.headers['content-length']
      const result = await lambdaHandler({ app, settled })(event, contextFor(longMs))
      const expected = sizeBytes <= 2_000 ? [200, String(sizeBytes)] : [413, '"REQUEST_TOO_LARGE"']
      assert.deepEqual([result.statusCode, result.body], expected)
    }
})

test('an event without a body is a request without one', async () => {
  const app = appOf(async ({ readBody }) => {
    const body = await readBody()
    return jsonReply(200, body.ok && body.bytes.length)
  })
  assert.equal((await callOne(app)).body, '0')
  assert.equal((await callOne(app, { body: '' })).body, '0')
})

test('a path that a gateway has decoded means what the client wrote', async () => {
  const paths: readonly [decoded: string, encoded: string][] = [
    ['/topics/plain', '/topics/plain'],
    ['/a b/ü/日本/😀', '/a%20b/%C3%BC/%E6%97%A5%E6%9C%AC/%F0%9F%98%80'],
    ['/topics/100%', '/topics/100%25'],
    ['/topics/50%of#"<>[]{}|\\^`', '/topics/50%25of%23%22%3C%3E%5B%5D%7B%7D%7C%5C%5E%60'],
    ["/records:batch/@!$&'()*+,;=~", "/records:batch/@!$&'()*+,;=~"],
  ]
  for (const [decoded, encoded] of paths) {
    for (const event of [httpApiEvent('GET', { path: decoded }), functionUrlEvent('GET', { path: encoded })]) {
      const { url } = await requestOf(event)
      assert.equal(url, `https://${event.requestContext.domainName}${encoded}`)
    }
  }
})

test('the query comes as it was sent, and a path without one has none', async () => {
  const sent = '/one?a=1&a=2&b=%C3%BC%20x&c'
  assert.ok((await requestOf(httpApiEvent('GET', { path: sent }))).url.endsWith(sent))
  assert.ok((await requestOf(httpApiEvent('GET', { path: '/one' }))).url.endsWith('/one'))
})

test('a stage that is not the default one is no part of the path, and stands in front of every link', async () => {
  const { call } = await logBehindHandler()
  for (const [stage, path, base] of [
    ['prod', '/prod/v3/clusters', '/prod/v3/clusters'],
    ['prod', '/v3/clusters', '/v3/clusters'],
    ['$default', '/v3/clusters', '/v3/clusters'],
  ] as const) {
    const { statusCode, body } = await call('GET', { path, stage })
    assert.equal(statusCode, 200)
    assert.equal(new URL(JSON.parse(body ?? '').metadata.self).pathname, base)
  }
  assert.equal((await call('GET', { path: '/production/v3/clusters', stage: 'prod' })).statusCode, 404)
  assert.deepEqual((await call('GET', { path: '/prod', stage: 'prod' })).body, '{}')
})

test('header names mean the same in any case, several values are one list, and cookies are a header again', async () => {
  const { headers } = await requestOf(
    httpApiEvent('GET', { path: '/one', headers: { 'X-One': 'a', accept: 'a/b,c/d' }, cookies: ['a=1', 'b=2'] }),
  )
  assert.deepEqual(
    ['x-one', 'X-ONE', 'accept', 'cookie', 'missing'].map((name) => headers.get(name)),
    ['a', 'a', 'a/b,c/d', 'a=1; b=2', null],
  )
})

test('an answer has the id that the client gave its request, or else the one that the gateway gave it', async () => {
  const { call } = await logBehindHandler()
  const idOf = async (headers: Record<string, string>) =>
    (await call('GET', { path: '/topics', headers })).headers?.['x-request-id']
  assert.equal(await idOf({}), 'JKJaXmPLvHcESHA=')
  assert.equal(await idOf({ 'x-request-id': 'mine' }), 'mine')
})

test('the gateway says who asks, and nobody else', async () => {
  const app = appOf(async ({ principal }) => jsonReply(200, principal ?? null))
  assert.equal((await callOne(app)).body, 'null')
  assert.equal((await callOne(app, { authorizer: { lambda: { keyId: 'k1' } } })).body, '"key:k1"')
})

test('HEAD has the headers of GET and no body', async () => {
  const { call } = await logBehindHandler()
  const get = await call('GET', { path: '/topics' })
  const head = await call('HEAD', { path: '/topics' })
  assert.equal(head.statusCode, 200)
  assert.equal(head.headers?.['content-type'], get.headers?.['content-type'])
  assert.equal(head.headers?.['content-length'], String(get.body?.length))
  assert.equal(head.body, '')
})

test('an answer without a body is an empty one', async () => {
  const { call } = await logBehindHandler()
  const cluster = JSON.parse((await call('GET', { path: '/v3/clusters' })).body ?? '').data[0].cluster_id
  const deleted = await call('DELETE', { path: `/v3/clusters/${cluster}/topics/t` })
  assert.deepEqual([deleted.statusCode, deleted.body, deleted.isBase64Encoded], [204, '', false])
})

test('text that would grow by its quotes goes as base64 where that is less', async () => {
  const answerOf = async (text: string) => callOne(appOf(async () => ({ status: 200, headers: {}, body: text })))
  const quotes = '"'.repeat(3_500_000)
  const quoted = await answerOf(quotes)
  assert.equal(quoted.isBase64Encoded, true)
  assert.equal(bytesOf(quoted).toString(), quotes)
  const plain = 'x'.repeat(3_500_000)
  const unquoted = await answerOf(plain)
  assert.deepEqual([unquoted.isBase64Encoded, unquoted.body?.length], [false, plain.length])
})

test('what can leave in 6 MB leaves, and what cannot is refused in words instead of a 502', async () => {
  const answerOf = (bytes: number) =>
    callOne(
      appOf(async () => ({ status: 200, headers: { etag: '"x"' }, body: [new Uint8Array(bytes), new Uint8Array(1)] })),
    )
  const room = Math.floor((resultBytesMax * 3) / 4)
  const whole = await answerOf(room - 1_000)
  assert.equal(whole.statusCode, 200)
  assert.equal(bytesOf(whole).length, room - 999)
  assert.ok(JSON.stringify(whole).length <= 6 * 1_048_576)

  const refused = await answerOf(room)
  assert.equal(refused.statusCode, 406)
  assert.match(JSON.parse(refused.body ?? '').message, /more than can leave this way/)
  assert.deepEqual(
    [refused.headers?.['highwater-error'], refused.headers?.['x-request-id'], refused.headers?.etag],
    ['NOT_ACCEPTABLE', 'JKJaXmPLvHcESHA=', undefined],
  )
})

test('the most that a fetch answers can leave, as batches and as JSON', async () => {
  // Not compressed on their way in.
  const { call, harness } = await logBehindHandler(createHarness({ settings: { largeChunkBytesMin: 1_073_741_824 } }))
  const value = Buffer.alloc(1_000_000, 'x').toString()
  for (let i = 0; i < 6; i++) await harness.appendValues(value)
  for (const accept of [batchesType, 'application/vnd.kafka.binary.v2+json']) {
    const read = await call('GET', {
      path: '/topics/t/partitions/0/records?offset=0&max_bytes=99999999',
      headers: { accept },
    })
    assert.equal(read.statusCode, 200)
    assert.ok(bytesOf(read).length > 2_500_000, `${bytesOf(read).length} bytes as ${accept}`)
    assert.ok(JSON.stringify(read).length <= resultBytesMax)
  }
})

test('a long poll that finds nothing is answered while there is time', async () => {
  const { call } = await logBehindHandler()
  const startedMs = performance.now()
  const read = await call('GET', { path: '/topics/t/partitions/0/records?offset=0&timeout=20000' }, 1_100)
  assert.deepEqual([read.statusCode, read.body], [200, '[]'])
  assert.ok(performance.now() - startedMs < 1_000)
})

test('a request that takes too long is answered before the function ends: a write with an unknown outcome, a read without', async () => {
  const never = new Promise<never>(() => {})
  for (const [method, code] of [
    ['GET', 'STORAGE_UNAVAILABLE'],
    ['POST', 'OUTCOME_UNKNOWN'],
  ] as const) {
    const app = appOf(() => never, method)
    const handler = lambdaHandler({ app, settled: () => never })
    const result = await handler(httpApiEvent(method, { path: '/one' }), contextFor(320))
    assert.equal(result.headers?.['highwater-error'], code)
    assert.equal(result.headers?.['x-request-id'], 'JKJaXmPLvHcESHA=')
  }
})

/** Answers a little later than asked, and counts what it is doing. */
class SlowMetadata extends MemoryMetadata {
  underWay = 0
  override async readHead(...args: Parameters<MemoryMetadata['readHead']>) {
    return this.#slowly(() => super.readHead(...args))
  }
  override async updateHead(...args: Parameters<MemoryMetadata['updateHead']>) {
    return this.#slowly(() => super.updateHead(...args))
  }
  override async get(...args: Parameters<MemoryMetadata['get']>) {
    return this.#slowly(() => super.get(...args))
  }
  async #slowly<Result>(work: () => Promise<Result>): Promise<Result> {
    this.underWay++
    await new Promise((resolve) => setTimeout(resolve, 3))
    this.underWay--
    return work()
  }
}

test('nothing is under way when a handler returns: no roll, and no append that nobody waits for', async () => {
  const metadata = new SlowMetadata()
  const { call, harness } = await logBehindHandler(
    createHarness({ ports: { metadata }, settings: { isSoleProcess: false } }),
  )
  const body = '{"records":[{"value":1}]}'
  for (let i = 0; i < 20; i++) {
    const acks = i % 2 === 0 ? '?acks=0' : ''
    const { statusCode } = await call('POST', { path: `/topics/t${acks}`, headers: jsonRecords, body })
    assert.equal(statusCode, i % 2 === 0 ? 202 : 200)
    assert.equal(metadata.underWay, 0)
  }
  const offsets = await harness.log.offsets('t', 0)
  assert.equal(offsets.ok && offsets.highWatermark, 20)
})

test('an event of another kind is a mistake of whoever sends it here, not a request', async () => {
  await assert.rejects(
    lambdaHandler({ app: appOf(async () => jsonReply(200, {})), settled })(
      { httpMethod: 'GET' } as never,
      contextFor(longMs),
    ),
    /no event of an HTTP API/,
  )
})

/** What Lambda's runtime does: status and headers leave with the first write. */
function streamed(app: Pick<App, 'answer'>) {
  const parts: Buffer[] = []
  let start: object | undefined
  const wire = new PassThrough({ highWaterMark: 16 })
  wire.on('data', (part: Buffer) => parts.push(part))
  const handler = streamingHandler(
    { app, settled },
    {
      streamifyResponse: (handle) => handle,
      HttpResponseStream: {
        from(stream: Writable, said) {
          const write = stream.write.bind(stream) as Writable['write']
          stream.write = ((part: string | Uint8Array) => {
            start ??= said
            return write(part)
          }) as Writable['write']
          return stream
        },
      },
    },
  ) as StreamHandler
  return {
    async call(method: string, sent: Sent) {
      await handler(functionUrlEvent(method, sent), wire, contextFor(longMs))
      return { start: start as { statusCode: number; headers: Record<string, string> }, body: Buffer.concat(parts) }
    },
  }
}

test('through a function URL that streams, answers leave as they are: bytes, text, parts, streams, and nothing', async () => {
  for (const body of [
    'abc',
    Buffer.from('abc'),
    [Buffer.from('ab'), Buffer.from('c')],
    new Blob(['ab', 'c']).stream(),
    null,
  ]) {
    const app = appOf(async () => ({ status: 201, headers: { 'content-type': 'text/plain' }, body }))
    const answer = await streamed(app).call('GET', { path: '/one' })
    assert.equal(answer.start.statusCode, 201)
    assert.equal(answer.start.headers['content-type'], 'text/plain')
    assert.equal(answer.body.toString(), body === null ? '' : 'abc')
  }
})

test('through a function URL that streams, an answer may be larger than 6 MB', async () => {
  const app = appOf(async () => ({ status: 200, headers: {}, body: Buffer.alloc(10_000_000) }))
  const { start, body } = await streamed(app).call('GET', { path: '/one' })
  assert.deepEqual([start.statusCode, body.length], [200, 10_000_000])
})
