/** API keys over a store: what is kept, what is believed and for how long, and what happens when the store fails. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MemoryMetadata } from '../../lib/adapters/memory.ts'
import { systemRandom } from '../../lib/adapters/system.ts'
import { apiKeysMax, type Credentials, parseKey } from '../../lib/core/api-key.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { apiKeyKey, apiKeysCollection } from '../../lib/core/items.ts'
import { type ApiKeyHost, ApiKeys, apiKeyAgeMsMax } from '../../lib/log/api-keys.ts'
import type { Metadata } from '../../lib/ports.ts'

interface World {
  readonly metadata: MemoryMetadata
  readonly keys: ApiKeys
  nowMs: number
  /** Of single items. */
  reads: number
  /** Thrown instead of, or after, the next write. */
  fault: { readonly before?: boolean } | undefined
  /** Every write that was sent. */
  readonly writes: Parameters<Metadata['write']>[0][]
  another(ageMsMax?: number): ApiKeys
}

function createWorld(): World {
  const metadata = new MemoryMetadata()
  const world = {
    metadata,
    nowMs: 1_000_000,
    reads: 0,
    fault: undefined as World['fault'],
    writes: [] as World['writes'],
  }
  const host: ApiKeyHost = {
    metadata: {
      get: (key) => {
        world.reads++
        return metadata.get(key)
      },
      query: (collection, range) => metadata.query(collection, range),
      async write(writes) {
        const { fault } = world
        world.fault = undefined
        if (fault?.before) throw new Unavailable('not reached', 'none')
        world.writes.push(writes)
        const answer = await metadata.write(writes)
        if (fault !== undefined) throw new Unavailable('answer lost', 'possible')
        return answer
      },
    },
    clock: { now: () => world.nowMs },
    random: systemRandom,
    async persist(work) {
      try {
        return await work()
      } catch (error) {
        if (error instanceof Unavailable) return work()
        throw error
      }
    },
  }
  const another = (ageMsMax?: number) => new ApiKeys(host, ageMsMax)
  return Object.assign(world, { keys: another(), another })
}

async function made(keys: ApiKeys, change: object = {}): Promise<Credentials> {
  const created = await keys.create({ name: 'orders', allow: ['produce'], ...change })
  assert.ok(created.ok)
  return parseKey(created.token)!
}

async function codeOf(keys: ApiKeys, credentials: Credentials, need: 'produce' | 'fetch' | 'any-key' = 'produce') {
  const verdict = await keys.check(credentials, need)
  return verdict.ok ? 'ok' : verdict.code
}

describe('API keys', () => {
  it('work with their own secret only, and for what they allow', async () => {
    const { keys } = createWorld()
    const [a, b] = [await made(keys), await made(keys, { allow: ['fetch'] })]
    assert.equal(await codeOf(keys, a), 'ok')
    assert.equal(await codeOf(keys, b), 'AUTHORIZATION_FAILED')
    assert.equal(await codeOf(keys, b, 'fetch'), 'ok')
    assert.equal(await codeOf(keys, { ...a, secret: b.secret }), 'AUTHENTICATION_FAILED')
    assert.equal(await codeOf(keys, { ...a, keyId: 'hwnone' }), 'AUTHENTICATION_FAILED')
    // And not after the right one was seen, either.
    assert.equal(await codeOf(keys, { ...a, secret: `${a.secret.slice(0, -1)}_` }), 'AUTHENTICATION_FAILED')
  })

  it('are stored without their secrets', async () => {
    const { keys, metadata } = createWorld()
    const { keyId, secret } = await made(keys)
    const item = await metadata.get(apiKeyKey(keyId))
    const { secretHash, ...rest } = item!.value as { secretHash: string }
    assert.deepEqual(rest, { name: 'orders', allow: ['produce'], createdMs: 1_000_000 })
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(secret)))
    assert.equal(secretHash, Buffer.from(hash).toString('hex'))
    assert.ok(!JSON.stringify(item).includes(secret))
  })

  it('are listed by id, without those that were revoked', async () => {
    const { keys } = createWorld()
    const made_ = [await made(keys), await made(keys), await made(keys)]
    const ids = made_.map(({ keyId }) => keyId).sort()
    assert.deepEqual(
      (await keys.list()).map((key) => key.id),
      ids,
    )
    await keys.revoke(ids[1]!)
    assert.deepEqual(
      (await keys.list()).map((key) => key.id),
      [ids[0], ids[2]],
    )
    assert.deepEqual(Object.keys((await keys.list())[0]!).sort(), ['allow', 'createdMs', 'id', 'name'])
  })

  it('end at their time, to the millisecond, also where they were seen before', async () => {
    const world = createWorld()
    const key = await made(world.keys, { expiresMs: 1_000_500 })
    world.nowMs = 1_000_499
    assert.equal(await codeOf(world.keys, key), 'ok')
    world.nowMs = 1_000_500
    assert.equal(await codeOf(world.keys, key), 'AUTHENTICATION_FAILED')
  })

  it('are refused at once where they were revoked, and elsewhere when what is believed of them is too old', async () => {
    const world = createWorld()
    const elsewhere = world.another()
    const key = await made(world.keys)
    assert.equal(await codeOf(world.keys, key), 'ok')
    assert.equal(await codeOf(elsewhere, key), 'ok')
    assert.ok((await world.keys.revoke(key.keyId)).ok)
    assert.equal(await codeOf(world.keys, key), 'AUTHENTICATION_FAILED')
    world.nowMs += apiKeyAgeMsMax - 1
    assert.equal(await codeOf(elsewhere, key), 'ok')
    world.nowMs += 1
    assert.equal(await codeOf(elsewhere, key), 'AUTHENTICATION_FAILED')
  })

  it('are read once for many who ask, and every time where nothing is to be believed', async () => {
    const world = createWorld()
    const key = await made(world.keys)
    await Promise.all(Array.from({ length: 20 }, () => world.keys.check(key, 'produce')))
    await world.keys.check(key, 'produce')
    assert.equal(world.reads, 1)
    const believer = world.another(0)
    for (let count = 0; count < 3; count++) await believer.check(key, 'produce')
    assert.equal(world.reads, 4)
  })

  it('that a check was reading while they were revoked are read again', async () => {
    const world = createWorld()
    const key = await made(world.keys)
    const checking = world.keys.check(key, 'produce')
    await world.keys.revoke(key.keyId)
    await checking
    assert.equal(await codeOf(world.keys, key), 'AUTHENTICATION_FAILED')
  })

  it('never work again, though their creation arrives once more (A2)', async () => {
    const world = createWorld()
    const key = await made(world.keys)
    await world.keys.revoke(key.keyId)
    const late = await world.metadata.write(world.writes[0]!)
    assert.equal(late.applied, false)
    assert.equal(await codeOf(world.another(), key), 'AUTHENTICATION_FAILED')
  })

  it('are made once, and revoked, though the first answer gets lost', async () => {
    for (const fault of [{}, { before: true }]) {
      const world = createWorld()
      world.fault = fault
      const key = await made(world.keys)
      assert.equal(await codeOf(world.keys, key), 'ok')
      assert.equal((await world.keys.list()).length, 1)
      world.fault = fault
      assert.ok((await world.keys.revoke(key.keyId)).ok)
      assert.equal(await codeOf(world.keys, key), 'AUTHENTICATION_FAILED')
    }
  })

  it('may be revoked twice, and not where there are none', async () => {
    const { keys } = createWorld()
    const { keyId } = await made(keys)
    assert.ok((await keys.revoke(keyId)).ok)
    assert.ok((await keys.revoke(keyId)).ok)
    for (const id of ['hwnone', '', 'a/b', 'x'.repeat(2_000)]) {
      const revoked = await keys.revoke(id)
      assert.equal(revoked.ok || revoked.code, 'NOT_FOUND')
    }
  })

  it('let nobody in while the store cannot be asked, and remember no failure (A1)', async () => {
    const metadata = new MemoryMetadata()
    let isDown = false
    const keys = new ApiKeys({
      metadata: {
        get: (key) => (isDown ? Promise.reject(new Unavailable('down', 'none')) : metadata.get(key)),
        query: (collection, range) => metadata.query(collection, range),
        write: (writes) => metadata.write(writes),
      },
      clock: { now: () => 1 },
      random: systemRandom,
      persist: (work) => work(),
    })
    const key = await made(keys)
    isDown = true
    await assert.rejects(keys.check(key, 'any-key'), Unavailable)
    isDown = false
    assert.equal(await codeOf(keys, key), 'ok')
  })

  it(`are at most ${apiKeysMax} at a time`, async () => {
    const { keys, metadata } = createWorld()
    for (let count = 0; count < apiKeysMax - 1; count++) {
      const value = { name: 'n', secretHash: '', allow: ['fetch'], createdMs: 1 }
      const key = { collection: apiKeysCollection, sort: `hw${count}` }
      await metadata.write([{ op: 'put', key, version: 'v', value, if: 'absent' }])
    }
    const { keyId } = await made(keys)
    const refused = await keys.create({ name: 'n', allow: ['fetch'] })
    assert.equal(refused.ok || refused.code, 'INVALID_REQUEST')
    await keys.revoke(keyId)
    await made(keys)
  })
})
