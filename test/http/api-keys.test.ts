/** Keys over HTTP: made, listed, revoked; and a server that lets nobody in without one. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { allRoutes } from '../../lib/http/faces.ts'
import { requireKeys } from '../../lib/http/key-guard.ts'
import { needOf } from '../../lib/http/route.ts'
import { createHarness, type Harness, type HarnessOptions } from './harness.ts'

const json = { 'content-type': 'application/json' }

interface MadeKey {
  readonly id: string
  readonly key: string
}

async function makeKey({ log }: Harness, ...allow: ('produce' | 'fetch' | 'consume' | 'admin')[]): Promise<MadeKey> {
  const created = await log.createApiKey({ name: 'test', allow })
  assert.ok(created.ok)
  return { id: created.key.id, key: created.token }
}

/** A server that wants keys. */
function createGuarded(options: HarnessOptions = {}): Harness {
  let harness: Harness | undefined
  harness = createHarness({
    ...options,
    app: { guard: (request, need) => requireKeys(harness!.log)(request, need), ...options.app },
  })
  return harness
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
const basic = (key: string) => ({ authorization: `Basic ${btoa(key.replace('.', ':'))}` })

async function refusedWith(response: Response): Promise<[number, number, string | null]> {
  const { error_code } = (await response.json()) as { error_code: number }
  return [response.status, error_code, response.headers.get('highwater-error')]
}

describe('/api-keys', () => {
  it('makes a key whose secret is in the answer and nowhere else', async () => {
    const harness = createHarness()
    const response = await harness.send('POST', '/api-keys', {
      headers: json,
      body: '{"name":"order service","allow":["produce","fetch"]}',
    })
    assert.equal(response.status, 201)
    const made = (await response.json()) as { id: string; key: string; created_ms: number }
    assert.match(made.key, new RegExp(`^${made.id}\\.[\\w-]{43}$`))
    const { key, ...shown } = made
    assert.deepEqual(shown, {
      id: made.id,
      name: 'order service',
      allow: ['produce', 'fetch'],
      created_ms: made.created_ms,
      expires_ms: null,
    })
    assert.equal(response.headers.get('location'), `http://log.test/api-keys/${made.id}`)
    assert.equal(response.headers.get('cache-control'), 'no-store')
    const listed = await (await harness.send('GET', '/api-keys')).text()
    assert.deepEqual(JSON.parse(listed), { data: [shown] })
    assert.ok(!listed.includes(key.slice(-43)))
  })

  it('makes keys that expire', async () => {
    const harness = createHarness()
    const expires_ms = Date.now() + 60_000
    const body = JSON.stringify({ name: 'n', allow: ['fetch'], expires_ms })
    const made = await (await harness.send('POST', '/api-keys', { headers: json, body })).json()
    assert.equal((made as { expires_ms: number }).expires_ms, expires_ms)
  })

  const wrong: [string, number][] = [
    ['', 422],
    ['{', 400],
    ['[]', 400],
    ['{"allow":["fetch"]}', 422],
    ['{"name":"n"}', 400],
    ['{"name":"n","allow":"fetch"}', 400],
    ['{"name":"n","allow":[]}', 400],
    ['{"name":"n","allow":["everything"]}', 400],
    ['{"name":"n","allow":[{}]}', 400],
    ['{"name":"","allow":["fetch"]}', 400],
    ['{"name":7,"allow":["fetch"]}', 400],
    ['{"name":"n","allow":["fetch"],"expires_ms":"soon"}', 400],
    ['{"name":"n","allow":["fetch"],"expires_ms":1}', 400],
    ['{"name":"n","allow":["fetch"],"secret":"mine"}', 422],
  ]
  for (const [body, status] of wrong)
    it(`makes none of ${body || 'nothing'}`, async () => {
      const harness = createHarness()
      assert.equal((await harness.send('POST', '/api-keys', { headers: json, body })).status, status)
      assert.deepEqual(await harness.log.listApiKeys(), [])
    })

  it('revokes', async () => {
    const harness = createHarness()
    const { id } = await makeKey(harness, 'fetch')
    assert.equal((await harness.send('DELETE', `/api-keys/${id}`)).status, 204)
    assert.equal((await harness.send('DELETE', `/api-keys/${id}`)).status, 204)
    assert.equal((await harness.send('DELETE', '/api-keys/hwnone')).status, 404)
    assert.deepEqual(await harness.log.listApiKeys(), [])
  })
})

describe('a server that wants keys', () => {
  it('says so to whoever shows none, or anything that is none, at any path', async () => {
    const harness = createGuarded()
    const { key } = await makeKey(harness, 'admin')
    const strangers: Record<string, string>[] = [
      {},
      { authorization: 'Bearer' },
      { authorization: `Bearer ${key}x` },
      { authorization: `Bearer ${key.slice(0, -1)}-` },
      { authorization: `Basic ${btoa(key)}` },
      { authorization: 'Negotiate abcd' },
    ]
    for (const headers of strangers)
      for (const [method, path] of [
        ['GET', '/topics'],
        ['POST', '/topics/t'],
        ['GET', '/'],
        ['HEAD', '/'],
        ['GET', '/openapi.json'],
        ['GET', '/nowhere'],
        ['PUT', '/topics'],
        ['GET', '/api-keys'],
      ] as const) {
        const response = await harness.send(method, path, { headers })
        assert.equal(response.status, 401, `${method} ${path} ${JSON.stringify(headers)}`)
        assert.equal(response.headers.get('www-authenticate'), 'Bearer realm="highwater", Basic realm="highwater"')
        if (method !== 'HEAD') assert.deepEqual(await refusedWith(response), [401, 40101, 'AUTHENTICATION_FAILED'])
      }
  })

  it('lets a key in as Bearer and as Basic', async () => {
    const harness = createGuarded()
    const { key } = await makeKey(harness, 'admin')
    for (const headers of [bearer(key), basic(key)])
      assert.equal((await harness.send('GET', '/topics', { headers })).status, 200)
  })

  it('lets a key do what it allows, and nothing else', async () => {
    const harness = createGuarded()
    await harness.log.createTopic({ name: 't' })
    const keys = {
      produce: await makeKey(harness, 'produce'),
      fetch: await makeKey(harness, 'fetch'),
      consume: await makeKey(harness, 'consume'),
      admin: await makeKey(harness, 'admin'),
    }
    const asks: Record<string, () => Parameters<Harness['send']>> = {
      produce: () => [
        'POST',
        '/topics/t',
        { headers: { 'content-type': 'application/vnd.kafka.json.v2+json' }, body: '{"records":[{"value":1}]}' },
      ],
      fetch: () => ['GET', '/topics/t/partitions/0/records?offset=0'],
      admin: () => ['POST', '/admin/topics', { headers: json, body: '{"topic_name":"u"}' }],
    }
    for (const [work, ask] of Object.entries(asks))
      for (const [allowed, { key }] of Object.entries(keys)) {
        const [method, path, sent = {}] = ask()
        const response = await harness.send(method, path, { ...sent, headers: { ...sent.headers, ...bearer(key) } })
        if (work === allowed) assert.equal(Math.floor(response.status / 100), 2, `${work} with ${allowed}`)
        else
          assert.deepEqual(await refusedWith(response), [403, 40301, 'AUTHORIZATION_FAILED'], `${work} with ${allowed}`)
      }
  })

  it('shows every key what topics there are, and only admin the keys', async () => {
    const harness = createGuarded()
    await harness.log.createTopic({ name: 't' })
    const { key } = await makeKey(harness, 'produce')
    for (const path of [
      '/',
      '/health',
      '/openapi.json',
      '/topics',
      '/topics/t',
      '/v3/clusters',
      '/v3/clusters/x/topics/t',
    ])
      assert.equal((await harness.send('GET', path, { headers: bearer(key) })).status, 200, path)
    assert.equal((await harness.send('GET', '/api-keys', { headers: bearer(key) })).status, 403)
    assert.equal((await harness.send('GET', '/nowhere', { headers: bearer(key) })).status, 404)
  })

  it('says to everybody that it lives, and answers a preflight', async () => {
    const harness = createGuarded({ app: { cors: ['https://page.test'] } })
    assert.equal((await harness.send('GET', '/health/live')).status, 200)
    const preflight = await harness.send('OPTIONS', '/topics/t', {
      headers: { origin: 'https://page.test', 'access-control-request-method': 'POST' },
    })
    assert.equal(preflight.status, 204)
    assert.match(preflight.headers.get('access-control-allow-headers') ?? '', /Authorization/)
    const refused = await harness.send('GET', '/topics', { headers: { origin: 'https://page.test' } })
    assert.equal(refused.headers.get('access-control-allow-origin'), 'https://page.test')
  })

  it('refuses a key from the moment it is revoked', async () => {
    const harness = createGuarded()
    const [admin, other] = [await makeKey(harness, 'admin'), await makeKey(harness, 'fetch')]
    assert.equal((await harness.send('GET', '/topics', { headers: bearer(other.key) })).status, 200)
    assert.equal((await harness.send('DELETE', `/api-keys/${other.id}`, { headers: bearer(admin.key) })).status, 204)
    const refused = await harness.send('GET', '/topics', { headers: bearer(other.key) })
    assert.equal(refused.status, 401)
    assert.match(await refused.text(), /was revoked/)
  })

  it('reads no body of whoever it does not let in', async () => {
    const harness = createGuarded()
    let isRead = false
    const reply = await harness.app.answer(
      { method: 'POST', url: 'http://log.test/topics/t', headers: new Headers() },
      {
        signal: AbortSignal.any([]),
        body: {
          async read() {
            isRead = true
            return new Uint8Array(0)
          },
        },
      },
    )
    assert.deepEqual([reply.status, isRead], [401, false])
  })

  it('lets nobody in while it cannot ask for the key (A1)', async () => {
    const harness = createHarness({
      app: {
        guard: async () => {
          throw new Error('a bug')
        },
      },
    })
    assert.equal((await harness.send('GET', '/topics')).status, 500)
  })

  it('gives no answer away to caches that others share', async () => {
    const open = createHarness()
    const guarded = createGuarded()
    const controls: (string | null)[] = []
    for (const harness of [open, guarded]) {
      const created = await harness.log.createTopic({ name: 't' })
      assert.ok(created.ok)
      const { key } = await makeKey(harness, 'fetch', 'produce')
      for (let count = 0; count < 2; count++)
        await harness.send('POST', '/topics/t', {
          headers: { 'content-type': 'application/vnd.kafka.json.v2+json', ...bearer(key) },
          body: '{"records":[{"value":1}]}',
        })
      const path = `/topics/t/partitions/0/records?offset=0&max_records=1&topic_id=${created.topic.id}`
      controls.push((await harness.send('GET', path, { headers: bearer(key) })).headers.get('cache-control'))
    }
    assert.deepEqual(controls, ['public, max-age=31536000, immutable', 'private, max-age=31536000, immutable'])
  })
})

describe('what the routes ask for', () => {
  it('is admin for every change that is no record, and nothing for one route only', () => {
    for (const route of allRoutes) {
      const need = needOf(route)
      const what = `${route.method} ${route.path}`
      if (need === 'anybody') assert.equal(what, 'GET /health/live')
      if (need === 'any-key') assert.equal(route.method, 'GET', what)
      if (route.work === 'admin' && route.method !== 'GET') assert.equal(need, 'admin', what)
      if (route.path.startsWith('/api-keys')) assert.equal(need, 'admin', what)
    }
  })
})

describe('a handler', () => {
  const principals: (string | undefined)[] = []
  const routes = [
    {
      work: 'fetch',
      method: 'GET',
      path: '/who',
      operation: { operationId: 'who', summary: '', tags: [], responses: {} },
      async handle({ principal }: { principal: string | undefined }) {
        principals.push(principal)
        return { status: 200, headers: {}, body: null }
      },
    },
  ] as const

  it('knows who asks: the key, or whom the transport names, or nobody', async () => {
    const guarded = createGuarded({ app: { routes } })
    const { id, key } = await makeKey(guarded, 'fetch')
    await guarded.send('GET', '/who', { headers: bearer(key) })
    const open = createHarness({ app: { routes } })
    await open.send('GET', '/who', { headers: bearer(key) })
    const request = { method: 'GET', url: 'http://log.test/who', headers: new Headers() }
    await open.app.answer(request, { signal: AbortSignal.any([]), principal: 'iam:1:AIDA' })
    assert.deepEqual(principals, [`key:${id}`, undefined, 'iam:1:AIDA'])
  })
})
