/** Key compaction: the last record of each key stays where it was, whatever else goes (K1, K2). */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import type { Item } from '../../lib/core/items.ts'
import { rowKey, rowsCollection } from '../../lib/core/items.ts'
import type { TopicId } from '../../lib/core/names.ts'
import { encodeBatch } from '../../lib/core/record-batch.ts'
import type { Row } from '../../lib/core/row.ts'
import type { Settings } from '../../lib/core/settings.ts'
import type { Compacted } from '../../lib/log/compact.ts'
import type { Log } from '../../lib/log/log.ts'
import type { StoresFactory, World } from './log-fixture.ts'
import { bytesOf, recordsOf, textOf, withLog } from './log-fixture.ts'

const eager: Partial<Settings> = { mergeRowsMin: 2, mergeQuietMs: 0, sweepAgeMs: 1_000 }
const dayMs = 86_400_000
const topic = 'orders'

export function compactionSuite(name: string, factory: StoresFactory): void {
  describe(`compaction (${name})`, () => {
    const specify = (sentence: string, body: (world: World) => Promise<void>, settings: Partial<Settings> = {}) =>
      test(sentence, () => withLog(factory, body, { ...eager, ...settings }))

    specify('the last record of each key stays, at its offset; the others go', async (world) => {
      const { log } = world
      await createTopic(log)
      await put(world, ['a=1', 'b=1', 'a=2'], ['c=1'], ['b=2', 'a=3'], ['d=1'])
      const pass = await compact(world)
      assert.deepEqual([pass.recordsRemoved, pass.keys, pass.cleanedTo], [3, 4, 7])
      assert.deepEqual(await records(log), ['3 c=1', '4 b=2', '5 a=3', '6 d=1'])
      assert.deepEqual(await records(world.another(), 5), ['5 a=3', '6 d=1'])
      assert.equal((await rows(world)).length, 1)
    })

    specify('passes go on from where the last one ended, and clean what was before, too', async (world) => {
      const { log } = world
      await createTopic(log)
      await put(world, ['a=1', 'b=1'], ['c=1'])
      await compact(world)
      await put(world, ['b=2'], ['d=1', 'e=1'])
      assert.equal((await compact(world)).cleanedTo, 6)
      await put(world, ['c=2', 'e=2', 'e=3'], ['a=2'])
      const pass = await compact(world)
      assert.equal(pass.keys, 3)
      assert.deepEqual(await records(log), ['3 b=2', '4 d=1', '6 c=2', '8 e=3', '9 a=2'])
    })

    specify('there is nothing to clean in a topic that is not compacted, and where nothing came', async (world) => {
      const { log } = world
      await createTopic(log, { 'cleanup.policy': 'delete' })
      await put(world, ['a=1'], ['a=2'])
      await rollAll(log)
      assert.deepEqual(await log.compact(topic, 0), { ok: true, pass: undefined })
      assert.ok((await log.alterConfigs(topic, [{ name: 'cleanup.policy', value: 'compact' }])).ok)
      assert.equal((await compact(world.another())).cleanedTo, 2)
      assert.deepEqual(await log.compact(topic, 0), { ok: true, pass: undefined })
      assert.deepEqual(await records(log), ['1 a=2'])
    })

    specify('upkeep does it by itself', async (world) => {
      const { log } = world
      await createTopic(log)
      await put(world, ['a=1'], ['b=1'], ['a=2'])
      await rollAll(log)
      assert.ok((await log.maintain()).ok)
      assert.deepEqual(await records(log), ['1 b=1', '2 a=2'])
      assert.deepEqual(await log.compact(topic, 0), { ok: true, pass: undefined })
    })

    specify('what is young, or still in the tail, stays as it is', async (world) => {
      const { log, clock, another } = world
      await createTopic(log)
      await put(world, ['a=1'], ['a=2'])
      assert.deepEqual(await log.compact(topic, 0), { ok: true, pass: undefined })
      await rollAll(log)
      assert.deepEqual(await another({ mergeQuietMs: 60_000 }).compact(topic, 0), { ok: true, pass: undefined })
      clock.advance(60_001)
      await put(world, ['a=3'])
      await rollAll(log)
      const young = await another({ mergeQuietMs: 60_000 }).compact(topic, 0)
      assert.ok(young.ok && young.pass?.cleanedTo === 2)
      assert.deepEqual(await records(log), ['1 a=2', '2 a=3'])
    })

    specify('records younger than min.compaction.lag.ms stay out of it', async (world) => {
      const { log, clock } = world
      await createTopic(log, { 'min.compaction.lag.ms': String(dayMs) })
      await put(world, ['a=1'], ['a=2'])
      await rollAll(log)
      clock.advance(dayMs - 10_000)
      await put(world, ['a=3'])
      await rollAll(log)
      assert.deepEqual(await log.compact(topic, 0), { ok: true, pass: undefined })
      clock.advance(20_000)
      assert.equal((await compact(world)).cleanedTo, 2)
      assert.deepEqual(await records(log), ['1 a=2', '2 a=3'])
    })

    specify('a pass waits for min.cleanable.dirty.ratio, but not beyond max.compaction.lag.ms', async (world) => {
      const { log, clock } = world
      await createTopic(log, { 'min.cleanable.dirty.ratio': '0.5', 'max.compaction.lag.ms': String(dayMs) })
      await put(
        world,
        Array.from({ length: 40 }, (_, index) => `k${index}=${'x'.repeat(50)}`),
      )
      await compact(world)
      await put(world, ['k1=2'])
      await rollAll(log)
      assert.deepEqual(await log.compact(topic, 0), { ok: true, pass: undefined })
      clock.advance(dayMs + 1)
      assert.equal((await compact(world)).cleanedTo, 41)
      assert.equal((await records(log)).length, 40)
    })

    specify(
      'a tombstone stays for delete.retention.ms after what it deletes was cleaned, then it goes',
      async (world) => {
        const { log, clock } = world
        await createTopic(log, { 'delete.retention.ms': String(dayMs) })
        await put(world, ['a=1', 'b=1'], ['a'])
        await compact(world)
        assert.deepEqual(await records(log), ['1 b=1', '2 a'])
        await put(world, ['c=1'], ['d=1', 'c=2'])
        clock.advance(dayMs / 2)
        await compact(world)
        assert.deepEqual(await records(log), ['1 b=1', '2 a', '4 d=1', '5 c=2'])
        clock.advance(dayMs / 2 + 1)
        await put(world, ['b=2'], ['e=1'], ['f=1'])
        await compact(world)
        assert.deepEqual(await records(log), ['4 d=1', '5 c=2', '6 b=2', '7 e=1', '8 f=1'])
      },
    )

    specify('tombstones go at their time although nothing is written any more', async (world) => {
      const { log, clock } = world
      await createTopic(log, { 'delete.retention.ms': String(dayMs) })
      await put(world, ['a=1', 'b=1'], ['a'])
      await compact(world)
      clock.advance(dayMs - 10_000)
      assert.deepEqual(await log.compact(topic, 0), { ok: true, pass: undefined })
      clock.advance(20_000)
      assert.equal((await compact(world)).recordsRemoved, 1)
      assert.deepEqual(await records(log), ['1 b=1'])
      clock.advance(2 * dayMs)
      assert.deepEqual(await log.compact(topic, 0), { ok: true, pass: undefined })
    })

    specify('a fetch goes on over what was taken away, at any offset, and says where to go on', async (world) => {
      const { log } = world
      await createTopic(log)
      await put(world, ['a=1', 'a=2', 'b=1'], ['a=3'], ['b=2'], ['a'])
      await compact(world)
      assert.deepEqual(await records(log), ['4 b=2', '5 a'])
      for (let offset = 0; offset <= 6; offset++) {
        const fetched = await log.fetch({ topic, partition: 0, offset })
        assert.ok(fetched.ok, fetched.ok ? '' : fetched.message)
        assert.equal(fetched.nextOffset, 6)
        const many = await log.fetchMany({ partitions: [{ topic, partition: 0, offset }] })
        assert.ok(many.ok)
        if (offset < 6) assert.ok(many.partitions[0]?.ok && many.partitions[0].nextOffset === 6)
      }
    })

    specify('a fetch where nothing is left is answered with where to go on, or waits from there', async (world) => {
      const { log, clock } = world
      await createTopic(log, { 'delete.retention.ms': '0' })
      await put(world, ['a=1', 'a=2'], ['a'])
      await compact(world)
      clock.advance(1)
      await put(world, ['b=1'], ['b'])
      await compact(world)
      clock.advance(1)
      await compact(world)
      assert.deepEqual(await records(log), [])
      const empty = await log.fetch({ topic, partition: 0, offset: 0 })
      assert.ok(empty.ok && empty.batches.length === 0 && empty.nextOffset === 5 && empty.highWatermark === 5)
      const many = await log.fetchMany({ partitions: [{ topic, partition: 0, offset: 1 }] })
      assert.ok(many.ok)
      const [one] = many.partitions
      assert.ok(one?.ok && one.batches.length === 0 && one.nextOffset === 5)
      const waiting = log.fetch({ topic, partition: 0, offset: 0, waitMs: 10_000 })
      const waitingForMany = log.fetchMany({ partitions: [{ topic, partition: 0, offset: 2 }], waitMs: 10_000 })
      await put(world, ['c=1'])
      const fetched = await waiting
      assert.ok(fetched.ok && fetched.nextOffset === 6)
      assert.deepEqual(
        recordsOf(fetched).map((record) => record.offset),
        [5],
      )
      const polled = await waitingForMany
      assert.ok(polled.ok && polled.partitions[0]?.ok && polled.partitions[0].nextOffset === 6)
    })

    specify('times are found among what is left', async (world) => {
      const { log, clock } = world
      await createTopic(log)
      const times: number[] = []
      for (const record of ['a=1', 'b=1', 'a=2', 'c=1']) {
        times.push(clock.now())
        await put(world, [record])
        clock.advance(1_000)
      }
      await compact(world)
      const found = await Promise.all(times.map((timestampMs) => log.offsetForTimestamp(topic, 0, timestampMs)))
      assert.deepEqual(
        found.map((answer) => answer.ok && answer.offset),
        [1, 1, 2, 3],
      )
    })

    specify('a batch that went wholly is still known to its producer, whose next one goes on', async (world) => {
      const { log } = world
      await createTopic(log)
      const producer = await log.allocateProducer()
      assert.ok(producer.ok)
      const send = (sequence: number, value: string) =>
        log.append({
          topic,
          partition: 0,
          batches: batchOf([`a=${value}`, `a=${value}!`], world.clock.now(), {
            producerId: producer.producerId,
            producerEpoch: 0,
            baseSequence: sequence,
          }),
        })
      const first = await send(0, '1')
      assert.ok(first.ok && first.baseOffset === 0)
      await put(world, ['a=2'], ['b=1'])
      await compact(world)
      assert.deepEqual(await records(log), ['2 a=2', '3 b=1'])
      const again = await send(0, '1')
      assert.ok(again.ok && again.baseOffset === 0 && again.isDuplicate)
      const next = await send(2, '3')
      assert.ok(next.ok && next.baseOffset === 4)
      const gap = await send(8, '4')
      assert.ok(!gap.ok && gap.code === 'OUT_OF_ORDER_SEQUENCE_NUMBER')
    })

    specify(
      'a pass takes as many records as its map may hold, and the next one the rest',
      async (world) => {
        const { log } = world
        await createTopic(log)
        for (let round = 0; round < 6; round++) {
          await put(world, [`a=${round}`, `b${round}=1`, 'c=1', `a=${round}!`])
          await rollAll(log)
        }
        const ends: number[] = []
        while (true) {
          const answer = await log.compact(topic, 0)
          assert.ok(answer.ok)
          if (answer.pass === undefined) break
          assert.ok(answer.pass.keys <= 8)
          ends.push(answer.pass.cleanedTo)
        }
        assert.deepEqual(ends, [8, 16, 24])
        const left = ['1 b0=1', '5 b1=1', '9 b2=1', '13 b3=1', '17 b4=1', '21 b5=1', '22 c=1', '23 a=5!']
        assert.deepEqual(await records(log), left)
      },
      { compactionKeysMax: 8 },
    )

    specify('merges leave alone what is clean, and take what came since', async (world) => {
      const { log } = world
      await createTopic(log)
      await put(world, ['a=1'], ['a=2'])
      await compact(world)
      for (const value of ['3', '4', '5']) {
        await put(world, [`a=${value}`])
        await rollAll(log)
      }
      const merged = await log.merge(topic, 0)
      assert.ok(merged.ok && merged.rows === 3)
      assert.deepEqual(
        (await rows(world)).map(({ first, last, cleanedTo }) => [first, last, cleanedTo]),
        [
          [0, 1, 2],
          [2, 4, undefined],
        ],
      )
      await compact(world)
      assert.deepEqual(await records(log), ['4 a=5'])
    })

    specify('a row of before that comes late is not read, and removed by the next pass', async (world) => {
      const { log, clock, stores } = world
      await createTopic(log, { 'delete.retention.ms': '0' })
      await put(world, ['a=1', 'b=1'])
      await rollAll(log)
      const [raw] = await rows(world)
      const topicId = await idOf(log)
      await put(world, ['a'], ['c=1'])
      await compact(world)
      await put(world, ['b=2'])
      clock.advance(1)
      await compact(world)
      assert.deepEqual(await records(log), ['3 c=1', '4 b=2'])
      const late = { op: 'put', key: rowKey(topicId, 0, raw!.last), version: 'late', if: 'absent' } as const
      assert.ok((await stores.metadata.write([{ ...late, value: raw as unknown as Item['value'] }])).applied)
      assert.deepEqual(await records(log), ['3 c=1', '4 b=2'])
      assert.deepEqual(await records(world.another()), ['3 c=1', '4 b=2'])
      await put(world, ['d=1'], ['e=1'])
      await compact(world)
      assert.ok((await rows(world)).every(({ cleanedTo }) => cleanedTo !== undefined))
    })

    specify('retention goes on over rows in which nothing is left', async (world) => {
      const { log, clock } = world
      await createTopic(log, {
        'cleanup.policy': 'compact,delete',
        'retention.ms': String(2 * dayMs),
        'delete.retention.ms': '0',
      })
      await put(world, ['a=1'], ['a'])
      await compact(world)
      clock.advance(1)
      assert.equal((await compact(world)).recordsRemoved, 1)
      await put(world, ['b=1'])
      await rollAll(log)
      clock.advance(dayMs * 3)
      await put(world, ['c=1'])
      await rollAll(log)
      assert.ok((await log.maintain()).ok)
      const offsets = await log.offsets(topic, 0)
      assert.ok(offsets.ok && offsets.startOffset === 3)
      assert.deepEqual(await records(log, 3), ['3 c=1'])
    })

    specify('what is swept afterwards is nothing that anybody reads', async (world) => {
      const { log, clock } = world
      await createTopic(log, { 'chunk.placement': 'segment' })
      for (let round = 0; round < 4; round++) {
        await put(world, ['a=1', `b${round}=1`], ['c=1'])
        await compact(world)
      }
      const before = await records(log)
      clock.advance(10_000)
      const swept = await log.sweep()
      assert.ok(swept.ok && swept.deleted.length > 0)
      assert.deepEqual(await records(world.another()), before)
    })
  })
}

async function createTopic(log: Log, configs: Record<string, string> = {}): Promise<void> {
  const created = await log.createTopic({
    name: topic,
    configs: { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0', ...configs },
  })
  assert.ok(created.ok, created.ok ? '' : created.message)
}

/** `key=value`, or `key` for a tombstone. */
function batchOf(
  texts: readonly string[],
  timestampMs: number,
  producer: { producerId?: number; producerEpoch?: number; baseSequence?: number } = {},
): Uint8Array {
  const parsed = texts.map((text) => {
    const [key = '', value] = text.split('=')
    return { timestampMs, key: bytesOf(key), value: value === undefined ? null : bytesOf(value) }
  })
  return encodeBatch({ records: parsed, compression: 'none', ...producer }, nodeCodecs)
}

/** Each list is an append. */
async function put({ log, clock }: Pick<World, 'log' | 'clock'>, ...appends: string[][]): Promise<void> {
  for (const texts of appends) {
    const answer = await log.append({ topic, partition: 0, batches: batchOf(texts, clock.now()) })
    assert.ok(answer.ok, answer.ok ? '' : answer.message)
  }
  await log.settled()
}

async function rollAll(log: Log): Promise<void> {
  for (let rolls = 0; rolls < 2; rolls++) assert.ok((await log.roll(topic, 0)).ok)
}

/** A pass that must have something to do. */
async function compact(world: World | Log): Promise<Compacted> {
  const log = 'log' in world ? world.log : world
  await rollAll(log)
  const answer = await log.compact(topic, 0)
  assert.ok(answer.ok && answer.pass !== undefined)
  return answer.pass
}

/** What a reader sees that follows `nextOffset`: offset and text of each record. */
async function records(log: Log, from = 0): Promise<string[]> {
  const found: string[] = []
  for (let next = from; ; ) {
    const fetched = await log.fetch({ topic, partition: 0, offset: next })
    assert.ok(fetched.ok, fetched.ok ? '' : fetched.message)
    for (const { offset, key, value } of recordsOf(fetched))
      if (offset >= next) found.push(`${offset} ${textOf(key)}${value === null ? '' : `=${textOf(value)}`}`)
    if (fetched.nextOffset >= fetched.highWatermark) return found
    assert.ok(fetched.nextOffset > next)
    next = fetched.nextOffset
  }
}

async function idOf(log: Log): Promise<TopicId> {
  const described = await log.describeTopic(topic)
  assert.ok(described.ok)
  return described.topic.id
}

async function rows({ log, stores }: World): Promise<readonly Row[]> {
  const items = await stores.metadata.query(rowsCollection(await idOf(log), 0), { limit: 1_000 })
  return items.map((item) => item.value as unknown as Row)
}
