/** What merges make of uncompressed batches: the same records, in fewer bytes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import type { BatchHeader, LogRecord, NewRecord } from '../../lib/core/record-batch.ts'
import { batchHeaders, encodeBatch } from '../../lib/core/record-batch.ts'
import type { Log } from '../../lib/log/log.ts'
import { bytesOf, recordsOf, type Stores, type StoresFactory, withLog } from '../conformance/log-fixture.ts'

const memory: StoresFactory = async () => ({
  objects: new MemoryObjects(),
  metadata: new MemoryMetadata(),
  close: async () => {},
})
const eager = { mergeRowsMin: 2, mergeQuietMs: 0 }
const t0 = 1_700_000_000_000

function event(number: number): NewRecord {
  const value = { id: number, type: 'page-viewed', path: `/articles/${number % 17}`, user: `user-${number % 29}` }
  return {
    timestampMs: t0 + number,
    key: bytesOf(`k${number % 5}`),
    value: number % 10 === 9 ? null : bytesOf(JSON.stringify(value).repeat(8)),
    headers: [{ key: 'number', value: bytesOf(String(number)) }],
  }
}

async function fill(log: Log, count: number, producer: { producerId?: number } = {}): Promise<void> {
  for (let number = 0; number < count; number++) {
    const stamp = producer.producerId === undefined ? {} : { ...producer, producerEpoch: 0, baseSequence: number }
    const batches = encodeBatch({ records: [event(number)], compression: 'none', ...stamp }, nodeCodecs)
    const answer = await log.append({ topic: 'events', partition: 0, batches })
    assert.ok(answer.ok, answer.ok ? '' : answer.message)
  }
  await log.settled()
}

interface Stored {
  readonly records: readonly LogRecord[]
  readonly headers: readonly BatchHeader[]
}

/** The whole log, as one reader gets it with answers of at most so many bytes. */
async function readAll(log: Log, bytesMax: number): Promise<Stored> {
  const records: LogRecord[] = []
  const headers: BatchHeader[] = []
  for (let next = 0; ; ) {
    const fetched = await log.fetch({ topic: 'events', partition: 0, offset: next, bytesMax })
    assert.ok(fetched.ok, fetched.ok ? '' : fetched.message)
    if (fetched.batches.length === 0) return { records, headers }
    records.push(...recordsOf(fetched).filter(({ offset }) => offset >= next))
    for (const batch of fetched.batches) {
      const read = batchHeaders(batch)
      assert.ok(read.ok)
      headers.push(...read.headers)
    }
    next = fetched.nextOffset
  }
}

async function bytesStored({ objects }: Stores): Promise<number> {
  const entries = await objects.list('segments/', undefined, 1_000)
  return entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}

for (const placement of ['segment', 'inline'])
  test(`merged, a hundred batches of one record are a few compressed ones, and read the same (${placement})`, async () => {
    await withLog(
      memory,
      async ({ log, stores, another }) => {
        assert.ok((await log.createTopic({ name: 'events', configs: { 'chunk.placement': placement } })).ok)
        await fill(log, 100)
        const before = await readAll(log, 1_000)
        assert.equal(before.headers.length, 100)
        const merged = await log.merge('events', 0)
        assert.ok(merged.ok && merged.rows >= 2)
        for (const reader of [another(), another()])
          for (const bytesMax of [1, 1_000, 1_000_000]) {
            const after = await readAll(reader, bytesMax)
            assert.deepEqual(after.records, before.records)
            const [first, ...tail] = after.headers
            assert.ok(
              first !== undefined && first.compression === 'zstd' && first.recordCount >= 80,
              `${first?.recordCount}`,
            )
            assert.equal(tail.length, 100 - first.recordCount)
          }
        const recordBytes = before.headers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
        assert.ok(merged.bytes * 8 < recordBytes, `${merged.bytes} of ${recordBytes} bytes`)
        assert.ok((await bytesStored(stores)) > merged.bytes)
        // Times are found inside the one batch as they were found between the many.
        for (const number of [0, 1, 41, 79, 99])
          assert.deepEqual(await log.offsetForTimestamp('events', 0, t0 + number), {
            ...(await another().offsetForTimestamp('events', 0, t0 + number)),
            offset: number,
          })
      },
      eager,
    )
  })

test('what an earlier merge compressed small grows with the next ones', async () => {
  await withLog(
    memory,
    async ({ log }) => {
      assert.ok((await log.createTopic({ name: 'events', configs: { 'chunk.placement': 'segment' } })).ok)
      for (let round = 0; round < 4; round++) {
        await fill(log, 40)
        await log.merge('events', 0)
      }
      const { records, headers } = await readAll(log, 1_000_000)
      assert.equal(records.length, 160)
      assert.ok(headers[0]!.recordCount >= 100, headers.map(({ recordCount }) => recordCount).join(' '))
    },
    eager,
  )
})

test('the batches of an idempotent producer are compressed, and keep their sequences', async () => {
  await withLog(
    memory,
    async ({ log }) => {
      assert.ok((await log.createTopic({ name: 'events', configs: { 'chunk.placement': 'segment' } })).ok)
      await fill(log, 40, { producerId: 7 })
      const before = await readAll(log, 1_000)
      assert.ok((await log.merge('events', 0)).ok)
      const after = await readAll(log, 1_000)
      assert.deepEqual(after.records, before.records)
      const producers = ({ headers }: Stored) =>
        headers.map(({ baseOffset, producerId, baseSequence }) => [baseOffset, producerId, baseSequence])
      assert.deepEqual(producers(after), producers(before))
      assert.ok(after.headers.filter(({ compression }) => compression === 'zstd').length >= 20)
    },
    eager,
  )
})

for (const [config, compression, isCoalesced] of [
  [{ 'merge.compression.type': 'producer' }, 'none', false],
  [{ 'merge.compression.type': 'gzip', 'compression.gzip.level': '9' }, 'gzip', true],
  [{ 'merge.compression.type': 'lz4' }, 'lz4', true],
  [{ 'compression.type': 'snappy' }, 'snappy', true],
] as const)
  test(`a topic with ${JSON.stringify(config)} has its merges write ${compression}`, async () => {
    await withLog(
      memory,
      async ({ log }) => {
        assert.ok((await log.createTopic({ name: 'events', configs: { 'chunk.placement': 'segment', ...config } })).ok)
        await fill(log, 40)
        const before = await readAll(log, 1_000)
        assert.ok((await log.merge('events', 0)).ok)
        const after = await readAll(log, 1_000)
        assert.deepEqual(after.records, before.records)
        assert.equal(after.headers[0]!.compression, compression)
        assert.equal(after.headers.length < before.headers.length, isCoalesced)
        if (!isCoalesced) assert.deepEqual(after.headers, before.headers)
      },
      eager,
    )
  })

test('no batch becomes larger than the topic takes in', async () => {
  await withLog(
    memory,
    async ({ log }) => {
      const configs = { 'chunk.placement': 'segment', 'max.message.bytes': '4000', 'merge.compression.type': 'snappy' }
      assert.ok((await log.createTopic({ name: 'events', configs })).ok)
      await fill(log, 60)
      await log.merge('events', 0)
      const { headers } = await readAll(log, 1_000)
      assert.ok(headers.length < 60)
      for (const { sizeBytes } of headers) assert.ok(sizeBytes <= 4_000)
    },
    eager,
  )
})

test('a merge lets others have their turn after each mebibyte that it compressed', async () => {
  await withLog(
    memory,
    async ({ log, clock }) => {
      assert.ok((await log.createTopic({ name: 'events', configs: { 'chunk.placement': 'segment' } })).ok)
      const record = { timestampMs: t0, key: null, value: new Uint8Array(100_000).fill(7) }
      for (let number = 0; number < 80; number++) {
        const batches = encodeBatch({ records: [record], compression: 'none' }, nodeCodecs)
        assert.ok((await log.append({ topic: 'events', partition: 0, batches })).ok)
      }
      await log.settled()
      let turns = 0
      const sleep = clock.sleep.bind(clock)
      clock.sleep = (durationMs, signal) => {
        if (durationMs === 0) turns++
        return sleep(durationMs, signal)
      }
      const merged = await log.merge('events', 0)
      assert.ok(merged.ok && merged.rows >= 2)
      assert.ok(turns >= 5, `${turns} turns`)
    },
    eager,
  )
})
