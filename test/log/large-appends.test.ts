/** Large appends are compressed on their way in, where they can be, and no merge moves them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { tailEntriesToRoll } from '../../lib/core/head.ts'
import { batchHeaders, encodeBatch } from '../../lib/core/record-batch.ts'
import { defaultSettings } from '../../lib/core/settings.ts'
import { bytesOf, recordsOf, type StoresFactory, type World, withLog } from '../conformance/log-fixture.ts'
import { seededRandom } from '../sim/random.ts'

const { largeChunkBytesMin } = defaultSettings
const memory: StoresFactory = async () => ({
  objects: new MemoryObjects(),
  metadata: new MemoryMetadata(),
  close: async () => {},
})

type Kind = 'text' | 'noise'
const random = seededRandom(1)
const valueAt = (kind: Kind, number: number) =>
  kind === 'text'
    ? bytesOf(`the order number ${number}; `.repeat(40))
    : Uint8Array.from({ length: 1_000 }, () => random() * 256)

/** One batch of so many records of about a kilobyte, after `from` others. */
function batchOf(kind: Kind, records: number, from = 0): Uint8Array {
  const ofNumber = (_: unknown, index: number) => ({ timestampMs: 1, key: null, value: valueAt(kind, from + index) })
  return encodeBatch({ compression: 'none', records: Array.from({ length: records }, ofNumber) }, nodeCodecs)
}

async function inWorld(configs: Record<string, string>, body: (world: World) => Promise<void>): Promise<void> {
  const settings = { mergeQuietMs: 0, mergeRowsMin: 2, mergeBytesMin: 1_024, fetchBytesMax: 67_108_864 }
  await withLog(
    memory,
    async (world) => {
      assert.ok((await world.log.createTopic({ name: 'orders', configs })).ok)
      await body(world)
    },
    settings,
  )
}

async function append({ log }: World, ...batches: Uint8Array[]): Promise<void> {
  const answers = await Promise.all(batches.map((each) => log.append({ topic: 'orders', partition: 0, batches: each })))
  for (const answer of answers) assert.ok(answer.ok, answer.ok ? '' : answer.message)
  await log.settled()
}

async function fetched({ another }: World) {
  const answer = await another().fetch({ topic: 'orders', partition: 0, offset: 0 })
  assert.ok(answer.ok, answer.ok ? '' : answer.message)
  const compressions = answer.batches.flatMap((batch) => {
    const read = batchHeaders(batch)
    assert.ok(read.ok)
    return read.headers.map(({ compression }) => compression)
  })
  return { compressions, values: recordsOf(answer).map(({ value }) => Buffer.from(value ?? []).toString('latin1')) }
}

async function objectBytes({ stores }: World): Promise<number> {
  const entries = await stores.objects.list('segments/', undefined, 1_000)
  const contents = await Promise.all(entries.map(({ key }) => stores.objects.read(key, 0, 1 << 30)))
  return contents.reduce((sum, content) => sum + (content?.byteLength ?? 0), 0)
}

const text = (from: number, records: number) =>
  Array.from({ length: records }, (_, index) => Buffer.from(valueAt('text', from + index)).toString('latin1'))

test('a large append is compressed when it comes, with the appends that share its chunk, and is read as it was sent', () =>
  inWorld({}, async (world) => {
    const records = Math.ceil(largeChunkBytesMin / 800)
    await append(world, batchOf('text', records), batchOf('text', 3, records))
    assert.ok((await objectBytes(world)) < largeChunkBytesMin / 4)
    const { compressions, values } = await fetched(world)
    assert.deepEqual([...new Set(compressions)], ['zstd'])
    assert.deepEqual(values, text(0, records + 3))
  }))

test('a byte less is left to the merge', () =>
  inWorld({ 'chunk.placement': 'segment' }, async (world) => {
    const batch = batchOf('text', 100)
    assert.ok(batch.byteLength < largeChunkBytesMin)
    await append(world, batch)
    assert.deepEqual((await fetched(world)).compressions, ['none'])
  }))

test('what cannot be compressed, and what its topic wants as it came, stays as it came', async () => {
  for (const [configs, kind] of [
    [{}, 'noise'],
    [{ 'merge.compression.type': 'producer' }, 'text'],
    [{ 'compression.type': 'uncompressed' }, 'text'],
  ] as const)
    await inWorld(configs, async (world) => {
      await append(world, batchOf(kind, 400))
      assert.deepEqual((await fetched(world)).compressions, ['none'])
    })
})

test('large appends are not merged, however many; small ones before and after them are', () =>
  inWorld({ 'chunk.placement': 'segment' }, async (world) => {
    const { log } = world
    const rows = 4 * tailEntriesToRoll.max
    for (let number = 0; number < rows; number++) await append(world, batchOf('text', 1, number))
    for (let number = 0; number < rows; number++) await append(world, batchOf('noise', 300))
    const merged = await log.merge('orders', 0)
    assert.ok(merged.ok && merged.rows >= 2, 'the small ones before them')
    const before = await objectBytes(world)
    const again = await log.merge('orders', 0)
    assert.ok(again.ok && again.rows === 0)
    assert.equal(await objectBytes(world), before)
    for (let number = 0; number < rows; number++) await append(world, batchOf('text', 1, number))
    const after = await log.merge('orders', 0)
    assert.ok(after.ok && after.rows >= 2 && after.bytes < 100_000, 'those after them')
    const { values } = await fetched(world)
    assert.equal(values.length, 302 * rows)
    assert.deepEqual(values.slice(0, rows), text(0, rows))
    assert.deepEqual(values.slice(-rows), text(0, rows))
  }))
