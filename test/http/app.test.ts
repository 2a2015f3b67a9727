import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryMetadata } from '../../lib/adapters/memory.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import type { Answered, Failure } from '../../lib/http/app.ts'
import type { Log } from '../../lib/log/log.ts'
import { createHarness } from './harness.ts'

async function errorOf(response: Response): Promise<[number, number, string | null]> {
  assert.equal(response.headers.get('content-type'), 'application/json')
  const { error_code, message } = (await response.json()) as { error_code: number; message: string }
  assert.ok(message.length > 0)
  return [response.status, error_code, response.headers.get('highwater-error')]
}

test('an unknown path is 404, in the form of every error', async () => {
  const { send } = createHarness()
  for (const path of ['/nothing', '/topics/a/b/c', '/v9/clusters'])
    assert.deepEqual(await errorOf(await send('GET', path)), [404, 404, 'NOT_FOUND'])
})

test('a wrong method is 405 and names the right ones', async () => {
  const { send } = createHarness()
  const response = await send('PATCH', '/producers')
  assert.equal(response.headers.get('allow'), 'OPTIONS, POST')
  assert.deepEqual(await errorOf(response), [405, 405, 'METHOD_NOT_ALLOWED'])
  assert.equal((await send('DELETE', '/health')).headers.get('allow'), 'GET, HEAD, OPTIONS')
})

test('HEAD has the headers of GET, its length among them, and no body', async () => {
  const { send } = createHarness()
  const got = await send('GET', '/openapi.json')
  const head = await send('HEAD', '/openapi.json')
  assert.equal(head.status, 200)
  assert.equal(head.headers.get('content-length'), String(Buffer.byteLength(await got.text())))
  assert.equal(head.headers.get('content-type'), 'application/json')
  assert.equal(await head.text(), '')
})

test('OPTIONS says what may be done at a path', async () => {
  const { send } = createHarness()
  const response = await send('OPTIONS', '/health')
  assert.equal(response.status, 204)
  assert.equal(response.headers.get('allow'), 'GET, HEAD, OPTIONS')
  assert.equal((await send('OPTIONS', '/nothing')).status, 404)
})

test('every answer has a request id: the one the client sent if it is sane, or a fresh one', async () => {
  const { send } = createHarness()
  const id = async (given?: string) =>
    (await send('GET', '/nothing', given === undefined ? {} : { headers: { 'x-request-id': given } })).headers.get(
      'x-request-id',
    ) ?? ''
  assert.equal(await id('abc-123.x'), 'abc-123.x')
  assert.match(await id(), /^[0-9a-f-]{36}$/)
  assert.notEqual(await id(), await id())
  assert.match(await id('a b'), /^[0-9a-f-]{36}$/)
  assert.match(await id('x'.repeat(129)), /^[0-9a-f-]{36}$/)
  assert.equal(await id('x'.repeat(128)), 'x'.repeat(128))
})

test('every answer forbids sniffing, and storing unless the route allows it', async () => {
  const { send } = createHarness()
  for (const path of ['/', '/health', '/nothing', '/topics']) {
    const { headers } = await send('GET', path)
    assert.equal(headers.get('x-content-type-options'), 'nosniff')
    assert.equal(headers.get('cache-control'), 'no-store')
  }
})

const preflight = { origin: 'https://app.example', 'access-control-request-method': 'POST' }

test('without origins no page of another one may read', async () => {
  const { send } = createHarness()
  const response = await send('OPTIONS', '/producers', { headers: preflight })
  assert.equal(response.headers.get('access-control-allow-origin'), null)
  assert.equal(response.headers.get('access-control-allow-methods'), null)
})

test('an origin that is named may read and send what the faces take', async () => {
  const { send } = createHarness({ app: { cors: ['https://app.example'] } })
  const response = await send('OPTIONS', '/producers', { headers: preflight })
  assert.equal(response.status, 204)
  assert.equal(response.headers.get('access-control-allow-origin'), 'https://app.example')
  assert.match(response.headers.get('access-control-allow-methods') ?? '', /POST/)
  assert.match(response.headers.get('access-control-allow-headers') ?? '', /Producer-Id/)
  const read = await send('GET', '/health', { headers: { origin: 'https://app.example' } })
  assert.equal(read.headers.get('access-control-allow-origin'), 'https://app.example')
  assert.match(read.headers.get('access-control-expose-headers') ?? '', /Highwater-Next-Offset/)
  assert.equal(read.headers.get('vary'), 'origin')
  const other = await send('GET', '/health', { headers: { origin: 'https://evil.example' } })
  assert.equal(other.headers.get('access-control-allow-origin'), null)
  assert.equal(other.headers.get('vary'), 'origin')
})

test('an asterisk lets every origin read', async () => {
  const { send } = createHarness({ app: { cors: ['*'] } })
  const response = await send('GET', '/nothing', { headers: { origin: 'https://any.example' } })
  assert.equal(response.headers.get('access-control-allow-origin'), '*')
})

test('health says that the metadata store answers, or 503', async () => {
  const healthy = createHarness()
  const ready = await healthy.send('GET', '/health')
  assert.deepEqual([ready.status, await ready.json()], [200, { live: true, ready: true }])

  class Unreachable extends MemoryMetadata {
    override async get(): Promise<never> {
      throw new Unavailable('The store is away.', 'none')
    }
  }
  const { send } = createHarness({
    ports: { metadata: new Unreachable() },
    settings: { commitAttemptsMax: 1, retryDelayMs: 0 },
  })
  const unready = await send('GET', '/health')
  assert.deepEqual([unready.status, await unready.json()], [503, { live: true, ready: false }])
  const live = await send('GET', '/health/live')
  assert.deepEqual([live.status, await live.json()], [200, { live: true }])
})

function withLog(methods: Partial<Log>): { send: ReturnType<typeof createHarness>['send']; failures: Failure[] } {
  const failures: Failure[] = []
  const { log } = createHarness()
  const { send } = createHarness({
    app: { log: { ...log, ...methods }, onFailure: (failure) => failures.push(failure) },
  })
  return { send, failures }
}

for (const [why, expected] of [
  ['failed', [503, 50301, 'STORAGE_UNAVAILABLE']],
  ['timeout', [503, 50301, 'STORAGE_UNAVAILABLE']],
  ['throttled', [429, 429, 'TOO_MANY_REQUESTS']],
  ['full', [507, 50701, 'STORAGE_FULL']],
  ['closed', [503, 50302, 'SHUTTING_DOWN']],
] as const)
  test(`a store that is unavailable because it ${why} is told as ${expected[2]}, with a time to come back`, async () => {
    const { send, failures } = withLog({
      allocateProducer: () => Promise.reject(new Unavailable('The store is away.', 'none', why)),
    })
    const response = await send('POST', '/producers')
    assert.equal(response.headers.get('retry-after'), '1')
    assert.deepEqual(await errorOf(response), expected)
    assert.equal(failures.length, 1)
  })

test('a write that failed but may have happened is never called one that did not', async () => {
  const fail = () => Promise.reject(new Unavailable('No answer.', 'possible', 'timeout'))
  const { send } = withLog({ allocateProducer: fail, fetch: fail })
  assert.deepEqual(await errorOf(await send('POST', '/producers')), [504, 50401, 'OUTCOME_UNKNOWN'])
  const read = await send('GET', '/topics/t/partitions/0/records?offset=0')
  assert.deepEqual(await errorOf(read), [503, 50301, 'STORAGE_UNAVAILABLE'])
})

test('a fault of ours is 500, says nothing of its insides, and is reported with the request id', async () => {
  const { send, failures } = withLog({ allocateProducer: () => Promise.reject(new TypeError('secret path')) })
  const response = await send('POST', '/producers', { headers: { 'x-request-id': 'r1' } })
  const body = await response.clone().text()
  assert.ok(!body.includes('secret'))
  assert.deepEqual(await errorOf(response), [500, 50002, 'INTERNAL'])
  const [failure] = failures
  assert.deepEqual(
    [failure?.requestId, failure?.method, failure?.path, failure?.status],
    ['r1', 'POST', '/producers', 500],
  )
  assert.ok(failure?.error instanceof TypeError)
})

test('every answer is reported with its status to who wants to know', async () => {
  const answers: Answered[] = []
  const { send } = createHarness({ app: { onAnswer: (answer) => answers.push(answer) } })
  await send('GET', '/nothing?x=1', { headers: { 'x-request-id': 'r2' } })
  const [answer] = answers
  assert.deepEqual([answer?.requestId, answer?.method, answer?.path, answer?.status], ['r2', 'GET', '/nothing', 404])
  assert.ok((answer?.durationMs ?? -1) >= 0)
})

test('links begin with the public URL where there is one, else with what the client asked; X-Forwarded is not believed', async () => {
  const self = async (app: Parameters<typeof createHarness>[0]) => {
    const response = await createHarness(app).send('GET', '/kafka/v3/clusters', {
      headers: { 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' },
    })
    return ((await response.json()) as { metadata: { self: string } }).metadata.self
  }
  assert.equal(await self({}), 'http://log.test/kafka/v3/clusters')
  assert.equal(
    await self({ app: { publicUrl: 'https://log.example/stage/' } }),
    'https://log.example/stage/kafka/v3/clusters',
  )
})
