/** The authorizer as the gateway calls it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { authorizeDefine, gatewayRoutes } from '../../infra/routes.ts'
import { MemoryMetadata } from '../../lib/adapters/memory.ts'
import { systemRandom } from '../../lib/adapters/system.ts'
import { needOfRouteKey, type RouteNeeds, type Work } from '../../lib/core/api-key.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { createAuthorizer } from '../../lib/http/authorizer.ts'
import { principalOf } from '../../lib/http/principal.ts'
import { ApiKeys } from '../../lib/log/api-keys.ts'

const needs = JSON.parse(authorizeDefine.HIGHWATER_ROUTE_NEEDS!) as RouteNeeds

function createGateway() {
  const metadata = new MemoryMetadata()
  const world = { nowMs: 1_000, isDown: false }
  const keys = new ApiKeys(
    {
      metadata: {
        get: (key) => (world.isDown ? Promise.reject(new Unavailable('down', 'none')) : metadata.get(key)),
        query: (collection, range) => metadata.query(collection, range),
        write: (writes) => metadata.write(writes),
      },
      clock: { now: () => world.nowMs },
      random: systemRandom,
      persist: (work) => work(),
    },
    0,
  )
  const authorize = createAuthorizer(keys, needs)
  return {
    world,
    keys,
    ask: (routeKey: string, authorization?: string) =>
      authorize({ routeKey, headers: { host: 'x', ...(authorization === undefined ? {} : { authorization }) } }),
    authorize,
    async made(...allow: Work[]) {
      const created = await keys.create({ name: 'n', allow })
      assert.ok(created.ok)
      return {
        id: created.key.id,
        bearer: `Bearer ${created.token}`,
        basic: `Basic ${btoa(created.token.replace('.', ':'))}`,
      }
    },
  }
}

const produce = 'POST /topics/{topic}'
const fetch = 'GET /topics/{topic}/partitions/{partition}/records'

describe('the authorizer', () => {
  it('lets a key do what it allows, as Bearer and as Basic, and tells the function whose it is', async () => {
    const { ask, made } = createGateway()
    const key = await made('produce')
    for (const header of [key.bearer, key.basic]) {
      const answer = await ask(produce, header)
      assert.deepEqual(answer, { isAuthorized: true, context: { keyId: key.id } })
      assert.equal(principalOf({ lambda: answer.context }), `key:${key.id}`)
    }
    assert.deepEqual(await ask(fetch, key.bearer), {
      isAuthorized: false,
      context: { keyId: key.id, reason: 'AUTHORIZATION_FAILED' },
    })
    assert.equal((await ask('GET /topics', key.bearer)).isAuthorized, true)
    assert.equal((await ask('GET /api-keys', key.bearer)).isAuthorized, false)
    assert.equal((await ask('$default', key.bearer)).isAuthorized, false)
  })

  it('refuses whatever is no key', async () => {
    const { ask, authorize } = createGateway()
    for (const header of [undefined, '', 'Bearer', 'Bearer x', 'Basic !!!!', `Bearer hwnone.${'a'.repeat(43)}`])
      assert.equal((await ask(produce, header)).isAuthorized, false, header)
    assert.equal((await authorize({})).isAuthorized, false)
    assert.equal((await authorize({ routeKey: produce, headers: null })).isAuthorized, false)
  })

  it('knows the header in whatever case a gateway leaves it', async () => {
    const { authorize, made } = createGateway()
    const { bearer } = await made('produce')
    const answer = await authorize({ routeKey: produce, headers: { Authorization: bearer } })
    assert.equal(answer.isAuthorized, true)
  })

  it('remembers nothing: a key that is revoked is refused from the next call on', async () => {
    const { ask, made, keys } = createGateway()
    const key = await made('produce')
    assert.equal((await ask(produce, key.bearer)).isAuthorized, true)
    await keys.revoke(key.id)
    assert.equal((await ask(produce, key.bearer)).isAuthorized, false)
  })

  it('is an error, and no yes, while the store does not answer (A1)', async () => {
    const { ask, made, world } = createGateway()
    const key = await made('produce')
    world.isDown = true
    await assert.rejects(ask(produce, key.bearer), Unavailable)
  })

  it("shows no secret in what it answers, which goes into the gateway's log", async () => {
    const { ask, made } = createGateway()
    const key = await made('produce')
    const secret = key.bearer.split('.')[1]!
    for (const routeKey of [produce, fetch])
      assert.ok(!JSON.stringify(await ask(routeKey, key.bearer)).includes(secret))
  })
})

describe("the authorizer's table", () => {
  it('asks for the work of every route of the gateway, or any key, or admin', () => {
    for (const { method, path, work } of gatewayRoutes) {
      const need = needOfRouteKey(needs, `${method} ${path}`)
      if (work === 'admin') assert.ok(['admin', 'any-key', 'anybody'].includes(need), `${method} ${path}`)
      // A verification shows what is stored of every topic.
      else assert.equal(need, work === 'verify' ? 'admin' : work, `${method} ${path}`)
      if (need === 'any-key') assert.ok(['GET', 'HEAD'].includes(method), `${method} ${path}`)
    }
  })
})
