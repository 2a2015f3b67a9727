/** V1: beside writers and upkeep a verification calls nothing damage that is none. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import type { Finding } from '../../lib/core/verify-rule.ts'
import { createEngine } from '../../lib/log/engine.ts'
import { verifyPartition } from '../../lib/log/verify.ts'
import type { Metadata, Objects } from '../../lib/ports.ts'
import type { World } from '../conformance/log-fixture.ts'
import { appended, withLog } from '../conformance/log-fixture.ts'
import { damageOf, eager, memoryStores, verified } from './verify-fixture.ts'

/** The same store, which does something before every n-th request. */
function interrupted<Port extends object>(port: Port, before: () => Promise<void>): Port {
  return new Proxy(port, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown
      if (typeof value !== 'function') return value
      return async (...given: unknown[]) => {
        await before()
        return value.apply(target, given) as unknown
      }
    },
  })
}

/**
 * What one verification finds of a partition in small chunks, one request after the other, when before its request number `at` everything
 * is merged, trimmed and swept.
 */
async function besideUpkeep(
  at: number,
  looks: number | undefined,
): Promise<{ damage: readonly Finding[]; requests: number }> {
  let damage: readonly Finding[] = []
  let requests = 0
  await withLog(
    memoryStores,
    async (world) => {
      const { log, clock, stores } = world
      assert.ok(
        (await log.createTopic({ name: 'orders', partitions: 1, configs: { 'chunk.placement': 'segment' } })).ok,
      )
      for (let index = 0; index < 60; index++) {
        await appended(log, [`v${index}`])
        if (index === 40) await log.alterConfigs('orders', [{ name: 'chunk.placement', value: 'inline' }])
      }
      await log.settled()
      const before = async () => {
        if (requests++ !== at) return
        for (let index = 0; index < 20; index++) await appended(log, [`w${index}`])
        await log.deleteRecords('orders', 0, 7)
        await log.maintain()
        for (let merges = 0; merges < 3; merges++) await log.merge('orders', 0)
        clock.advance(60_000)
        await log.sweep()
        await log.sweep()
      }
      const objects: Objects = interrupted(stores.objects, before)
      const metadata: Metadata = interrupted(stores.metadata, before)
      const { engine, base } = createEngine(
        { objects, metadata, clock, random: Math.random, codecs: nodeCodecs },
        { retryDelayMs: 1 },
      )
      const piece = await verifyPartition(engine.context, engine.topics, { topic: 'orders', partition: 0 }, looks)
      assert.ok(piece.ok, piece.ok ? '' : piece.message)
      assert.ok(looks === 0 || piece.cursor === undefined)
      damage = damageOf(piece)
      await base.close()
    },
    eager,
  )
  return { damage, requests }
}

describe('a verification beside upkeep', () => {
  it('finds no damage, whenever all that it looks at is merged, trimmed and swept', async () => {
    const { requests } = await besideUpkeep(-1, undefined)
    assert.ok(requests > 40, `${requests} requests`)
    for (let at = 0; at < requests; at += 9) {
      const { damage } = await besideUpkeep(at, undefined)
      assert.deepEqual(damage, [], `before request ${at}`)
    }
  })

  it('would find some if it believed its first look', async () => {
    const { requests } = await besideUpkeep(-1, 0)
    let fooled = 0
    for (let at = 1; at < requests; at += 16) if ((await besideUpkeep(at, 0)).damage.length > 0) fooled++
    assert.ok(fooled >= 2, `${fooled} times fooled`)
  })

  it('finds no damage while producers, merges, retention, sweeps and rolls go on at once', async () => {
    await withLog(
      memoryStores,
      async (world) => {
        const { log, over, stores, clock } = world
        assert.ok((await log.createTopic({ name: 'orders', partitions: 2 })).ok)
        let isOver = false
        const producing = [0, 1].map(async (partition) => {
          for (let index = 0; !isOver; index++) {
            const placement = index % 50 === 0 ? 'segment' : index % 25 === 0 ? 'inline' : undefined
            if (placement !== undefined)
              await log.alterConfigs('orders', [{ name: 'chunk.placement', value: placement }])
            await appended(log, [`v${index}`, 'w'], { partition })
          }
        })
        const keeping = upkeep(world, () => isOver)
        const seen = { pieces: 0, records: 0 }
        // Everybody's turn before each of its requests.
        const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
        const slow = { objects: interrupted(stores.objects, turn), metadata: interrupted(stores.metadata, turn) }
        const verifier = over({ ...stores, ...slow })
        while (seen.pieces < 30)
          for (const partition of [0, 1]) {
            const { findings, counts, pieces } = await verified(verifier, { partition, isDeep: true, bytesMax: 2_000 })
            assert.deepEqual(damageOf({ findings }), [])
            seen.pieces += pieces
            seen.records += counts.records
          }
        isOver = true
        await Promise.all([...producing, keeping])
        clock.advance(60_000)
        assert.ok(seen.records > 100, `${seen.records} records in ${seen.pieces} pieces`)
        for (const partition of [0, 1]) assert.deepEqual(damageOf(await verified(log, { partition })), [])
      },
      { ...eager, retryDelayMs: 1 },
    )
  })
})

async function upkeep({ log, clock }: World, isOver: () => boolean): Promise<void> {
  for (let round = 0; !isOver(); round++) {
    for (const partition of [0, 1]) await log.merge('orders', partition)
    clock.advance(2_000)
    await log.sweep()
    const offsets = await log.offsets('orders', 0)
    if (offsets.ok && round % 4 === 0) await log.deleteRecords('orders', 0, Math.floor(offsets.highWatermark * 0.6))
    await log.maintain()
    await new Promise(setImmediate)
  }
}
