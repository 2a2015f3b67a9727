/** Merge, retention and sweep: what readers see stays, what nobody needs goes. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { gravesCollection, inlineCollection, rowsCollection } from '../../lib/core/items.ts'
import type { Settings } from '../../lib/core/settings.ts'
import type { Log } from '../../lib/log/log.ts'
import type { StoresFactory, World } from './log-fixture.ts'
import { appended, asSent, batchOf, recordsOf, textOf, withLog } from './log-fixture.ts'

const eager: Partial<Settings> = { mergeRowsMin: 2, mergeQuietMs: 0, sweepAgeMs: 1_000 }
const dayMs = 86_400_000
const inSegments = { 'chunk.placement': 'segment' }

export function upkeepSuite(name: string, factory: StoresFactory): void {
  describe(`upkeep (${name})`, () => {
    const specify = (sentence: string, body: (world: World) => Promise<void>, settings: Partial<Settings> = {}) =>
      test(sentence, () => withLog(factory, body, { ...eager, ...settings }))

    specify('a merge makes one row, and one segment, of many, and every record stays where it was', async (world) => {
      const { log } = world
      await createTopic(log, inSegments)
      await fill(world, 40)
      const before = await counts(world)
      assert.ok(before.rows >= 2)
      const merged = await log.merge('orders', 0)
      assert.ok(merged.ok && merged.rows === before.rows && merged.bytes > 0)
      assert.equal((await counts(world)).rows, 1)
      assert.deepEqual(await valuesFrom(log, 0), values(40))
      for (const offset of [0, 1, 31, 39]) assert.deepEqual(await valuesFrom(log, offset), values(40).slice(offset))
      assert.deepEqual(await valuesFrom(world.another(), 17), values(40).slice(17))
    })

    specify('there is nothing to merge where there is too little, or all of it is too young', async (world) => {
      const { log, another } = world
      await createTopic(log)
      await fill(world, 40)
      const nothing = { ok: true, rows: 0, bytes: 0 }
      assert.deepEqual(await another({ mergeRowsMin: 1_000 }).merge('orders', 0), nothing)
      assert.deepEqual(await another({ mergeQuietMs: 60_000 }).merge('orders', 0), nothing)
      const merged = await log.merge('orders', 0)
      assert.ok(merged.ok && merged.rows > 0)
      assert.deepEqual(await log.merge('orders', 0), nothing)
    })

    specify('a merge of inline chunks leaves none of them', async (world) => {
      const { log } = world
      await createTopic(log, { 'chunk.placement': 'inline' })
      await fill(world, 40)
      const before = await counts(world)
      assert.equal(before.objects, 0)
      await log.merge('orders', 0)
      const after = await counts(world)
      assert.equal(after.objects, 1)
      assert.ok(after.inline < before.inline && after.inline <= 16, `${after.inline} of ${before.inline}`)
      assert.deepEqual(await valuesFrom(log, 0), values(40))
    })

    specify('readers that began before a merge go on reading, whatever it removed', async (world) => {
      const { log, another } = world
      await createTopic(log, { 'chunk.placement': 'inline' })
      await fill(world, 40)
      const reader = another()
      assert.deepEqual(await valuesFrom(reader, 0, 3), values(40).slice(0, 3))
      await log.merge('orders', 0)
      assert.deepEqual(await valuesFrom(reader, 3), values(40).slice(3))
    })

    specify('what was merged is merged again when there is as much beside it', async (world) => {
      const { log } = world
      await createTopic(log)
      for (let round = 0; round < 4; round++) {
        await fill(world, 24, round * 24)
        await log.merge('orders', 0)
      }
      assert.deepEqual(await valuesFrom(log, 0), values(96))
      assert.ok((await counts(world)).rows <= 5)
    })

    specify('the sweep deletes the segments that were merged, and nothing that is still named', async (world) => {
      const { log, clock } = world
      await createTopic(log, inSegments)
      await fill(world, 40)
      await log.merge('orders', 0)
      const before = await counts(world)
      clock.advance(10_000)
      const dry = await log.sweep({ isDryRun: true })
      assert.ok(dry.ok && dry.isDryRun && dry.deleted.length >= 16)
      assert.equal((await counts(world)).objects, before.objects)
      const swept = await log.sweep()
      assert.ok(swept.ok && swept.damaged.length === 0)
      assert.deepEqual([...swept.deleted].sort(), [...dry.deleted].sort())
      assert.equal((await counts(world)).objects, before.objects - swept.deleted.length)
      assert.deepEqual(await valuesFrom(world.another(), 0), values(40))
      const again = await log.sweep()
      assert.ok(again.ok && again.deleted.length === 0)
    })

    specify('a segment that several partitions share goes when the last of them names it no longer', async (world) => {
      const { log, clock } = world
      await createTopic(log, inSegments, 2)
      // Gathered into one segment each time.
      for (let index = 0; index < 40; index++)
        await Promise.all([0, 1].map((partition) => appended(log, [`v${index}`], { partition })))
      clock.advance(10_000)
      await log.merge('orders', 0)
      const kept = await log.sweep()
      assert.ok(kept.ok)
      const between = (await counts(world)).objects
      await log.merge('orders', 1)
      clock.advance(10_000)
      const swept = await log.sweep()
      assert.ok(swept.ok && swept.deleted.length > 0)
      assert.ok((await counts(world)).objects < between)
      for (const partition of [0, 1]) assert.deepEqual(await valuesFrom(log, 0, 100, partition), values(40))
    })

    specify(
      'the sweep looks at no segment that is too young',
      async (world) => {
        const { log } = world
        await createTopic(log, inSegments)
        await fill(world, 40)
        await log.merge('orders', 0)
        const swept = await log.sweep()
        assert.ok(swept.ok && swept.candidates === 0)
      },
      { sweepAgeMs: 600_000 },
    )

    specify('an object that nobody came to commit is swept, and its late commit is refused', async (world) => {
      const { log, clock, stores } = world
      await createTopic(log, inSegments)
      await appended(log, ['committed'])
      let isHeld = true
      const release = Promise.withResolvers<void>()
      const slow: World['stores'] = {
        ...stores,
        metadata: new Proxy(stores.metadata, {
          get: (target, property) =>
            property === 'updateHead'
              ? async (...request: Parameters<typeof target.updateHead>) => {
                  if (isHeld && request[1].kind === 'append') await release.promise
                  return target.updateHead(...request)
                }
              : Reflect.get(target, property).bind(target),
        }),
      }
      const writer = world.over(slow)
      const writing = appended(writer, ['late'])
      while ((await counts(world)).objects < 2) await new Promise((resolve) => setImmediate(resolve))
      clock.advance(10_000)
      const swept = await log.sweep()
      assert.ok(swept.ok && swept.deleted.length === 1)
      isHeld = false
      release.resolve()
      // It writes its bytes again, under an id above the fence.
      assert.equal(await writing, 1)
      assert.deepEqual(await valuesFrom(log, 0), ['committed', 'late'])
    })

    specify(
      'the segment of a merge that died before it noted it goes once a later merge covers its run',
      async (world) => {
        const { log, clock, stores } = world
        await createTopic(log, inSegments)
        await fill(world, 40)
        const before = await counts(world)
        const dying: World['stores'] = {
          ...stores,
          metadata: new Proxy(stores.metadata, {
            get: (target, property) =>
              property === 'write'
                ? () => Promise.reject(new Error('the process died'))
                : Reflect.get(target, property).bind(target),
          }),
        }
        await Promise.allSettled([world.over(dying).merge('orders', 0)])
        assert.equal((await counts(world)).objects, before.objects + 1)
        clock.advance(10_000)
        const kept = await log.sweep()
        assert.ok(kept.ok && kept.deleted.length === 0)
        await fill(world, 40, 40)
        await log.merge('orders', 0)
        clock.advance(10_000)
        await log.sweep()
        const after = await counts(world)
        assert.equal(after.rows, 1)
        // The merged segment, and what the tail still names.
        assert.equal(after.objects, 1 + (await tailLength(world)))
      },
    )

    specify('records older than the retention time go, whole rows at a time, and offsets go on', async (world) => {
      const { log, clock } = world
      await createTopic(log, { 'retention.ms': String(dayMs) })
      await fill(world, 40)
      clock.advance(2 * dayMs)
      await fill(world, 40, 40)
      const round = await log.maintain()
      assert.ok(round.ok && round.rowsRemoved > 0)
      const offsets = await log.offsets('orders', 0)
      assert.ok(offsets.ok && offsets.startOffset > 0 && offsets.startOffset <= 40 && offsets.highWatermark === 80)
      assert.deepEqual(await valuesFrom(log, offsets.startOffset), values(80).slice(offsets.startOffset))
      await log.sweep()
      assert.deepEqual(await valuesFrom(world.another(), offsets.startOffset), values(80).slice(offsets.startOffset))
    })

    specify('a partition keeps at least its retention size, and little more', async (world) => {
      const { log } = world
      await createTopic(log, { 'retention.bytes': '1500' })
      await fill(world, 60)
      await log.maintain()
      const offsets = await log.offsets('orders', 0)
      assert.ok(offsets.ok && offsets.startOffset > 0)
      const kept = await valuesFrom(log, offsets.startOffset)
      assert.deepEqual(kept, values(60).slice(offsets.startOffset))
      assert.ok(kept.length * batchOf(['v0']).length >= 1_500)
    })

    specify('compacted topics keep what is old', async (world) => {
      const { log, clock } = world
      await createTopic(log, { 'cleanup.policy': 'compact', 'retention.ms': '1000' })
      const key = new TextEncoder().encode('k')
      for (let index = 0; index < 20; index++) {
        const value = new TextEncoder().encode(`v${index}`)
        assert.ok((await log.produce({ topic: 'orders', records: [{ key, value }] })).ok)
      }
      clock.advance(dayMs)
      await log.maintain()
      const offsets = await log.offsets('orders', 0)
      assert.ok(offsets.ok && offsets.startOffset === 0)
    })

    specify('of a deleted topic nothing is left but its grave', async (world) => {
      const { log, clock, stores } = world
      const id = await createTopic(log, { 'chunk.placement': 'auto', ...asSent })
      await fill(world, 40)
      await appended(log, ['x'.repeat(20_000)])
      await log.deleteTopic('orders')
      clock.advance(10_000)
      const swept = await log.sweep()
      assert.ok(swept.ok && swept.deleted.length > 0)
      assert.deepEqual(await counts(world, id), { rows: 0, inline: 0, objects: 0 })
      assert.equal((await stores.metadata.query(gravesCollection, { limit: 9 })).length, 1)
      await createTopic(log)
      assert.deepEqual(await valuesFrom(log, 0), [])
    })
  })
}

async function createTopic(log: Log, configs: Record<string, string> = {}, partitions = 1): Promise<string> {
  const created = await log.createTopic({ name: 'orders', partitions, configs })
  assert.ok(created.ok, created.ok ? '' : created.message)
  return created.topic.id
}

/** One commit for each value; rolls are done when it returns. */
async function fill({ log, clock }: World, count: number, from = 0): Promise<void> {
  for (let index = from; index < from + count; index++) {
    const batches = batchOf([`v${index}`], { timestampMs: clock.now() })
    assert.ok((await log.append({ topic: 'orders', partition: 0, batches })).ok)
  }
  await log.settled()
}

const values = (count: number) => Array.from({ length: count }, (_, index) => `v${index}`)

async function valuesFrom(
  log: Log,
  offset: number,
  count = Number.POSITIVE_INFINITY,
  partition = 0,
): Promise<(string | null)[]> {
  const found: (string | null)[] = []
  let next = offset
  while (found.length < count) {
    const fetched = await log.fetch({ topic: 'orders', partition, offset: next, recordsMax: count - found.length })
    assert.ok(fetched.ok, fetched.ok ? '' : fetched.message)
    if (fetched.batches.length === 0) break
    for (const record of recordsOf(fetched)) if (record.offset >= next) found.push(textOf(record.value))
    next = fetched.nextOffset
  }
  return found
}

async function tailLength({ log, stores }: World): Promise<number> {
  const described = await log.describeTopic('orders')
  assert.ok(described.ok)
  const head = await stores.metadata.readHead({ topicId: described.topic.id, partition: 0 })
  return Object.keys(head?.tail ?? {}).length
}

async function counts({ log, stores }: World, id?: string): Promise<{ rows: number; inline: number; objects: number }> {
  const described = id === undefined ? await log.describeTopic('orders') : undefined
  const topicId = (described?.ok ? described.topic.id : id) as Parameters<typeof rowsCollection>[0]
  const rows = await stores.metadata.query(rowsCollection(topicId, 0), { limit: 1_000 })
  const inline = await stores.metadata.query(inlineCollection(topicId, 0), { limit: 1_000 })
  const objects = await stores.objects.list('segments/', undefined, 1_000)
  return { rows: rows.length, inline: inline.length, objects: objects.length }
}
