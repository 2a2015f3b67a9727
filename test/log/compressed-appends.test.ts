/** Small appends are compressed on their way in where that saves write units of their items, and nowhere else. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { inlineCollection } from '../../lib/core/items.ts'
import { inlineItemOverheadBytes } from '../../lib/core/placement.ts'
import { batchHeaders, encodeBatch, type NewBatch, type NewRecord } from '../../lib/core/record-batch.ts'
import type { AppendOptions } from '../../lib/log/log.ts'
import { bytesOf, recordsOf, type StoresFactory, type World, withLog } from '../conformance/log-fixture.ts'

const memory: StoresFactory = async () => ({
  objects: new MemoryObjects(),
  metadata: new MemoryMetadata(),
  close: async () => {},
})

/** JSON of about a kilobyte, as an order is; noise is what no codec makes smaller. */
function order(number: number): NewRecord {
  const items = Array.from({ length: 9 }, (_, item) => ({
    sku: `SKU-${number * 31 + item * 7919}`,
    quantity: item,
    unitPrice: 9.99 + item,
  }))
  const value = {
    id: `order-${number}`,
    customer: { name: 'Maria', city: 'Rotterdam' },
    items,
    total: number,
    currency: 'EUR',
  }
  return {
    timestampMs: Date.now(),
    key: bytesOf(`k${number}`),
    value: bytesOf(JSON.stringify(value).padEnd(1_000)),
    headers: [],
  }
}
function noise(bytes: number): NewRecord {
  const value = Uint8Array.from(
    { length: bytes },
    (_, index) => (Math.imul(index + 1, 0x9e3779b1) >>> 24) ^ (Math.imul(index * index, 0x85ebca6b) >>> 21),
  )
  return { timestampMs: Date.now(), key: null, value, headers: [] }
}

const batchOf = (records: readonly NewRecord[], more: Partial<NewBatch> = {}) =>
  encodeBatch({ records, compression: 'none', ...more }, nodeCodecs)

async function inWorld(configs: Record<string, string>, body: (world: World) => Promise<void>): Promise<void> {
  await withLog(memory, async (world) => {
    assert.ok((await world.log.createTopic({ name: 'orders', configs })).ok)
    await body(world)
  })
}

async function append({ log }: World, batches: Uint8Array, options: AppendOptions = {}): Promise<number> {
  const answer = await log.append({ topic: 'orders', partition: 0, batches, ...options })
  assert.ok(answer.ok, answer.ok ? '' : answer.message)
  return answer.baseOffset
}

/** Write units of each inline chunk, in the order of their ids, and how many objects there are. */
async function stored({ log, stores }: World): Promise<{ units: number[]; objects: number }> {
  const described = await log.describeTopic('orders')
  assert.ok(described.ok)
  const items = await stores.metadata.query(inlineCollection(described.topic.id, 0), { limit: 100 })
  const objects = await stores.objects.list('segments/', undefined, 100)
  return {
    units: items.map(({ bytes }) => Math.ceil(((bytes?.byteLength ?? 0) + inlineItemOverheadBytes) / 1_024)),
    objects: objects.length,
  }
}

async function fetched({ another }: World) {
  const answer = await another().fetch({ topic: 'orders', partition: 0, offset: 0 })
  assert.ok(answer.ok, answer.ok ? '' : answer.message)
  const headers = answer.batches.flatMap((batch) => {
    const read = batchHeaders(batch)
    assert.ok(read.ok)
    return read.headers
  })
  return { headers, records: recordsOf(answer) }
}

test('a kilobyte of JSON takes one write unit instead of two, and is read as it was sent', async () => {
  await inWorld({}, async (world) => {
    const record = order(1)
    const sent = batchOf([record])
    assert.ok(sent.byteLength > 1_024)
    assert.equal(await append(world, sent), 0)
    assert.deepEqual(await stored(world), { units: [1], objects: 0 })
    const { headers, records } = await fetched(world)
    assert.equal(headers[0]?.compression, 'zstd')
    assert.deepEqual(records, [{ offset: 0, ...record }])
  })
})

test('what compression does not bring below a write unit stays as it came', async () => {
  await inWorld({}, async (world) => {
    for (const batch of [batchOf([noise(1_000)]), batchOf([{ ...order(1), value: bytesOf('a'.repeat(700)) }])])
      await append(world, batch)
    const { headers } = await fetched(world)
    assert.deepEqual(
      headers.map(({ compression }) => compression),
      ['none', 'none'],
    )
    assert.deepEqual((await stored(world)).units.sort(), [1, 2])
  })
})

test('what would be an object becomes an item where compression makes it small enough', async () => {
  const records = Array.from({ length: 12 }, (_, number) => order(number))
  const large = batchOf(records)
  assert.ok(large.byteLength > 10_000)
  await inWorld({}, async (world) => {
    await append(world, large)
    const { units, objects } = await stored(world)
    assert.ok(units.length === 1 && units[0]! <= 4 && objects === 0, `${units}`)
    assert.equal((await fetched(world)).records.length, 12)
  })
  // Where it goes into an object all the same, the merge compresses it.
  await inWorld({}, async (world) => {
    await append(world, batchOf([noise(10_000)]))
    assert.deepEqual(await stored(world), { units: [], objects: 1 })
    assert.equal((await fetched(world)).headers[0]?.compression, 'none')
  })
})

for (const configs of [
  { 'merge.compression.type': 'producer' },
  { 'compression.type': 'uncompressed' },
  { 'chunk.placement': 'segment' },
])
  test(`with ${JSON.stringify(configs)} appends are stored as they come`, async () => {
    await inWorld(configs, async (world) => {
      const sent = batchOf([order(1)])
      const copy = sent.slice()
      await append(world, sent)
      const answer = await world.log.fetch({ topic: 'orders', partition: 0, offset: 0 })
      assert.ok(answer.ok)
      assert.deepEqual(answer.batches[0]?.subarray(16), copy.subarray(16))
    })
  })

test('appends that were gathered share a batch of their item, and each gets its own offset', async () => {
  await inWorld({}, async (world) => {
    const offsets = await Promise.all([1, 2, 3, 4].map((number) => append(world, batchOf([order(number)]))))
    assert.deepEqual(offsets, [0, 1, 2, 3])
    const { units } = await stored(world)
    assert.ok(units.length === 1 && units[0] === 1, `${units}`)
    const { headers, records } = await fetched(world)
    assert.deepEqual(
      headers.map(({ baseOffset, recordCount }) => [baseOffset, recordCount]),
      [[0, 4]],
    )
    assert.deepEqual(
      records.map(({ key }) => key),
      [1, 2, 3, 4].map((number) => bytesOf(`k${number}`)),
    )
  })
})

test('an idempotent append keeps producer and sequence, and its repeat gets the first answer', async () => {
  await inWorld({}, async (world) => {
    const { log } = world
    const given = await log.allocateProducer()
    assert.ok(given.ok)
    const stamp = { producerId: given.producerId, producerEpoch: given.epoch }
    const batch = (sequence: number) => batchOf([order(sequence)], { ...stamp, baseSequence: sequence })
    for (const sequence of [0, 1, 2]) assert.equal(await append(world, batch(sequence)), sequence)
    assert.equal(await append(world, batch(1)), 1)
    const { headers } = await fetched(world)
    assert.deepEqual(
      headers.map(({ compression, producerId, producerEpoch, baseSequence }) => [
        compression,
        producerId,
        producerEpoch,
        baseSequence,
      ]),
      [0, 1, 2].map((sequence) => ['zstd', stamp.producerId, stamp.producerEpoch, sequence]),
    )
  })
})

test('a reader who waits in the process of the append gets the bytes that every later one gets', async () => {
  await inWorld({}, async (world) => {
    await append(world, batchOf([order(0)]))
    const waiting = world.log.fetch({ topic: 'orders', partition: 0, offset: 1, waitMs: 5_000 })
    await new Promise((resolve) => setTimeout(resolve, 5))
    await Promise.all([1, 2].map((number) => append(world, batchOf([order(number)]))))
    const handed = await waiting
    const later = await world.another().fetch({ topic: 'orders', partition: 0, offset: 1 })
    assert.ok(handed.ok && later.ok)
    assert.deepEqual(handed.batches, later.batches)
    assert.deepEqual(
      recordsOf(later).map(({ offset }) => offset),
      [1, 2],
    )
  })
})
