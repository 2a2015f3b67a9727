import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { inlineCollection, rowsCollection } from '../../lib/core/items.ts'
import type { TopicId } from '../../lib/core/names.ts'
import type { Settings } from '../../lib/core/settings.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Log } from '../../lib/log/log.ts'
import type { RolledRows } from '../../lib/log/upkeep.ts'
import { batchOf, recordsOf, type Stores, textOf, type World, withLog } from '../conformance/log-fixture.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

/** Stores in memory that count what is asked of them, and call `onRead` at each read of a head. */
function countedStores() {
  const metadata = new MemoryMetadata()
  const asked: string[] = []
  const seen = { onRead: (_partition: number) => {} }
  const counted = new Proxy(metadata, {
    get(target, property) {
      const method = Reflect.get(target, property)
      if (typeof method !== 'function') return method
      return (...parameters: unknown[]) => {
        const [first] = parameters
        asked.push(typeof first === 'string' ? `${String(property)} ${first}` : String(property))
        if (property === 'readHead') seen.onRead((first as { partition: number }).partition)
        return method.apply(target, parameters)
      }
    },
  })
  const stores: Stores = { objects: new MemoryObjects(), metadata: counted, close: async () => {} }
  return { stores, asked, seen, metadata }
}

type Counted = ReturnType<typeof countedStores>

function within(settings: Partial<Settings>, body: (world: World & Counted) => Promise<void>): Promise<void> {
  const counted = countedStores()
  return withLog(
    async () => counted.stores,
    (world) => body({ ...world, ...counted }),
    settings,
  )
}

async function createTopic(log: Log, partitions: number, configs: Record<string, string> = {}): Promise<TopicId> {
  const created = await log.createTopic({ name: 'orders', partitions, configs })
  assert.ok(created.ok)
  return created.topic.id
}

async function fill({ log, clock }: World, count: number, partition = 0): Promise<void> {
  for (let index = 0; index < count; index++) {
    const batches = batchOf([`v${index}`], { timestampMs: clock.now() })
    assert.ok((await log.append({ topic: 'orders', partition, batches })).ok)
  }
  await log.settled()
}

async function maintained(log: Log, signal?: AbortSignal) {
  const round = await log.maintain(signal)
  assert.ok(round.ok)
  return round
}

async function startOf(log: Log, partition = 0): Promise<number> {
  const offsets = await log.offsets('orders', partition)
  assert.ok(offsets.ok)
  return offsets.startOffset
}

const valueAt = async (log: Log, offset: number, partition = 0) => {
  const fetched = await log.fetch({ topic: 'orders', partition, offset, recordsMax: 1 })
  assert.ok(fetched.ok)
  return textOf(recordsOf(fetched).find((record) => record.offset === offset)?.value ?? null)
}

describe('the round of upkeep', () => {
  test('begins once in maintainRoundMs, and costs one read in between', () =>
    within({}, async (world) => {
      const { log, clock, asked } = world
      await createTopic(log, 3)
      assert.equal((await maintained(log)).partitions, 3)
      clock.advance(dayMs - minuteMs)
      asked.length = 0
      const between = await maintained(log)
      assert.deepEqual([between.partitions, between.isRoundOver], [0, true])
      assert.deepEqual(
        asked.filter((one) => !/group/.test(one)),
        ['get'],
      )
      clock.advance(minuteMs)
      assert.equal((await maintained(log)).partitions, 3)
    }))

  test('stops when its time is up, and another process goes on where it stopped: each partition is looked at once', () =>
    within({}, async (world) => {
      const { log, another, seen } = world
      await createTopic(log, 1_000)
      const looks = new Map<number, number>()
      let ending = new AbortController()
      seen.onRead = (partition) => {
        looks.set(partition, (looks.get(partition) ?? 0) + 1)
        if (looks.size % 300 === 0) ending.abort()
      }
      const calls: number[] = []
      let isRoundOver = false
      while (!isRoundOver) {
        ending = new AbortController()
        const round = await maintained(another(), ending.signal)
        calls.push(round.partitions)
        isRoundOver = round.isRoundOver
      }
      assert.deepEqual(
        [...looks].sort(([a], [b]) => a - b),
        Array.from({ length: 1_000 }, (_, partition) => [partition, 1]),
      )
      assert.ok(calls.length === 4 && calls.every((partitions) => partitions <= 300), `${calls}`)
      assert.equal((await maintained(log)).partitions, 0)
    }))

  test('is done by two calls at once, and a topic that is gone meanwhile is passed over', () =>
    within({}, async (world) => {
      const { log, another, seen } = world
      await createTopic(log, 300)
      for (const name of ['first', 'zulu']) assert.ok((await log.createTopic({ name, partitions: 300 })).ok)
      let isDeleted = false
      const ending = new AbortController()
      seen.onRead = () => ending.abort()
      const stopped = await maintained(another(), ending.signal)
      assert.ok(stopped.partitions > 0 && !stopped.isRoundOver)
      seen.onRead = () => {
        if (!isDeleted) void log.deleteTopic('orders')
        isDeleted = true
      }
      const rounds = await Promise.all([maintained(another()), maintained(another())])
      assert.ok(rounds.some(({ isRoundOver }) => isRoundOver))
      assert.ok(rounds.reduce((sum, { partitions }) => sum + partitions, stopped.partitions) >= 600)
      assert.equal((await maintained(log)).partitions, 0)
    }))

  test('begins anew with a process that writes alone', () =>
    within({ isSoleProcess: true }, async ({ log, another }) => {
      await createTopic(log, 3)
      assert.equal((await maintained(log)).partitions, 3)
      assert.equal((await maintained(log)).partitions, 0)
      assert.equal((await maintained(another())).partitions, 3)
    }))

  test('leaves out a partition that is damaged, tells of it, and goes on', () =>
    within({ mergeRowsMin: 2, mergeQuietMs: 0 }, async (world) => {
      const { log, another, metadata, clock } = world
      const topicId = await createTopic(log, 2, { 'chunk.placement': 'inline' })
      await fill(world, 40)
      await fill(world, 40, 1)
      const inline = await metadata.query(inlineCollection(topicId, 0), { limit: 1 })
      const [damaged] = inline
      assert.ok(damaged?.bytes)
      damaged.bytes[damaged.bytes.length - 1]! ^= 1
      clock.advance(dayMs)
      const bugs: unknown[] = []
      const { objects } = world.stores
      const told = createLog(
        { objects, metadata, clock, random: Math.random, codecs: nodeCodecs, report: (bug) => bugs.push(bug) },
        { mergeRowsMin: 2, mergeQuietMs: 0 },
      )
      const round = await maintained(told)
      assert.deepEqual([round.partitions, round.failed, round.isRoundOver], [2, 1, true])
      assert.ok(round.rowsMerged > 0)
      assert.match(String(bugs[0]), /damaged/)
      await told.close()
      assert.equal(await valueAt(another(), 7, 1), 'v7')
    }))
})

describe('partitions that this process wrote to', () => {
  test('are rolled, trimmed and compacted with its calls, also where a few records never came to a row', () =>
    within({ tailAgeMsMax: minuteMs }, async (world) => {
      const { log, another, clock } = world
      await createTopic(log, 2, { 'retention.ms': String(5 * minuteMs) })
      await maintained(log)
      await fill(world, 3)
      clock.advance(10 * minuteMs)
      assert.equal((await maintained(another())).partitions, 0)
      assert.equal((await maintained(log)).partitions, 1)
      assert.equal((await maintained(log)).partitions, 1)
      assert.equal(await startOf(log), 3)
    }))

  test('are trimmed with every call, while all others wait for the round', () =>
    within({}, async (world) => {
      const { log, another, clock } = world
      await createTopic(log, 2, { 'retention.ms': String(5 * minuteMs) })
      await maintained(log)
      await fill(world, 40)
      clock.advance(10 * minuteMs)
      assert.equal((await maintained(another())).partitions, 0)
      assert.equal(await startOf(log), 0)
      const round = await maintained(log)
      assert.equal(round.partitions, 1)
      assert.ok(round.rowsRemoved > 0 && (await startOf(log)) > 0)
    }))

  test('are looked after until nothing of theirs is left to do, and no longer', () =>
    within({ maintainIntervalMs: minuteMs }, async (world) => {
      const { log, clock } = world
      await createTopic(log, 1)
      await fill(world, 40)
      await maintained(log)
      clock.advance(hourMs)
      assert.equal((await maintained(log)).partitions, 1)
      // Now its tail is old enough to be rolled, which is as if it were written to.
      clock.advance(3 * minuteMs)
      assert.equal((await maintained(log)).partitions, 1)
      clock.advance(hourMs + 3 * minuteMs)
      assert.equal((await maintained(log)).partitions, 1)
      assert.equal((await maintained(log)).partitions, 0)
    }))
})

describe('what is written seldom', () => {
  test('is rolled when it is old, merged out of the table, and let go by retention', () =>
    within({}, async (world) => {
      const { log, another, clock, metadata } = world
      const configs = { 'chunk.placement': 'inline', 'retention.ms': String(3 * dayMs) }
      const topicId = await createTopic(log, 1, configs)
      await fill(world, 3)
      const counts = async () => ({
        rows: (await metadata.query(rowsCollection(topicId, 0), { limit: 9 })).length,
        inline: (await metadata.query(inlineCollection(topicId, 0), { limit: 9 })).length,
      })
      clock.advance(hourMs - minuteMs)
      await maintained(another())
      assert.deepEqual(await counts(), { rows: 0, inline: 3 })
      clock.advance(dayMs)
      await maintained(another())
      assert.deepEqual(await counts(), { rows: 1, inline: 0 })
      assert.equal(await valueAt(another(), 2), 'v2')
      clock.advance(3 * dayMs)
      await maintained(another())
      assert.deepEqual(await counts(), { rows: 0, inline: 0 })
      assert.equal(await startOf(another()), 3)
    }))
})

describe('partitions to which rows came, in whatever process', () => {
  const rolledOf = (topicId: TopicId, partitions: readonly number[], rows = 1): RolledRows[] =>
    partitions.map((partition) => ({ key: { topicId, partition }, rows }))

  const looked = async (log: Log, rolled: readonly RolledRows[], signal?: AbortSignal) => {
    const done = await log.maintainRolled(rolled, signal)
    assert.ok(done.ok)
    return done
  }

  test('are looked at at once, then when many rows came, or after a while', () =>
    within({ mergeRowsMin: 10 }, async (world) => {
      const { log, another, clock } = world
      const topicId = await createTopic(log, 3)
      const merger = another()
      assert.equal((await looked(merger, rolledOf(topicId, [0, 2]))).partitions, 2)
      assert.equal((await looked(merger, rolledOf(topicId, [0, 1, 2], 5))).partitions, 1)
      assert.equal((await looked(merger, rolledOf(topicId, [0], 5))).partitions, 1)
      assert.equal((await looked(merger, rolledOf(topicId, [0], 9))).partitions, 0)
      clock.advance(10 * minuteMs)
      assert.equal((await looked(merger, [])).partitions, 3)
    }))

  test('are merged as soon as it is worth it, and trimmed every so often', () =>
    within({ mergeRowsMin: 4, mergeQuietMs: 0 }, async (world) => {
      const { log, another, clock } = world
      const topicId = await createTopic(log, 1, { 'retention.ms': String(20 * minuteMs) })
      const merger = another()
      await fill(world, 80)
      const first = await looked(merger, rolledOf(topicId, [0], 9))
      assert.ok(first.rowsMerged >= 6)
      assert.equal(await valueAt(another(), 11), 'v11')
      clock.advance(21 * minuteMs)
      const second = await looked(merger, rolledOf(topicId, [0]))
      assert.ok(second.rowsRemoved > 0)
      assert.ok((await startOf(another())) > 0)
    }))

  test('of a topic that is gone are forgotten', () =>
    within({}, async ({ log, another }) => {
      const topicId = await createTopic(log, 1)
      const merger = another()
      await log.deleteTopic('orders')
      assert.deepEqual(await looked(merger, rolledOf(topicId, [0, 1])), {
        ok: true,
        partitions: 0,
        failed: 0,
        forgotten: 0,
        rowsRemoved: 0,
        rowsMerged: 0,
        left: 0,
      })
    }))

  test('for which the time was not enough are left, and looked at the next time', () =>
    within({}, async ({ log, another, seen }) => {
      const topicId = await createTopic(log, 40)
      const partitions = [...Array(40).keys()]
      const merger = another()
      const ending = new AbortController()
      seen.onRead = (partition) => {
        if (partition === 9) ending.abort()
      }
      const first = await looked(merger, rolledOf(topicId, partitions), ending.signal)
      assert.ok(first.left > 0 && first.partitions + first.left === 40)
      const second = await looked(merger, [])
      assert.deepEqual([second.partitions, second.left], [first.left, 0])
    }))
})
