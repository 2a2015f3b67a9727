import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nativeCodecs as codecs } from '../../lib/adapters/codecs-native.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { Meter, meteredMetadata, meteredObjects } from '../../lib/adapters/metered.ts'
import { systemClock as clock, systemRandom as random } from '../../lib/adapters/system.ts'
import { batchHeaders, encodeBatch, rebaseBatch } from '../../lib/core/record-batch.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Log } from '../../lib/log/log.ts'
import type { Objects } from '../../lib/ports.ts'

const batch = () =>
  encodeBatch(
    { compression: 'none', records: [{ timestampMs: Date.now(), key: null, value: new Uint8Array(100) }] },
    codecs,
  )

async function logOver(objects: Objects): Promise<Log> {
  const log = createLog(
    { objects, metadata: new MemoryMetadata(), clock, random, codecs },
    { isSoleProcess: true, lingerMs: 0, chunkCacheBytesMax: 0, retryDelayMs: 0 },
  )
  await log.createTopic({ name: 't', partitions: 1, configs: { 'chunk.placement': 'segment' } })
  return log
}

async function fetchMany(log: Log, offset: number) {
  const fetched = await log.fetchMany({ partitions: [{ topic: 't', partition: 0, offset }], waitMs: 1_000 })
  assert.ok(fetched.ok && fetched.partitions[0] !== undefined)
  return fetched.partitions[0]
}

const fetchFrom = (log: Log, offset: number) => log.fetch({ topic: 't', partition: 0, offset, waitMs: 1_000 })

test('readers whom a commit wakes together read its chunk once', async () => {
  const meter = new Meter()
  const log = await logOver(meteredObjects(new MemoryObjects(), meter))
  const waiting = Array.from({ length: 20 }, () => fetchFrom(log, 0))
  await log.append({ topic: 't', partition: 0, batches: batch() })
  for (const fetched of await Promise.all(waiting)) assert.ok(fetched.ok && fetched.nextOffset === 1)
  assert.equal(meter.take()['objects.read'].requests, 1)
  // Nothing is kept for those who come later, as the settings say.
  assert.ok((await fetchFrom(log, 0)).ok)
  assert.equal(meter.take()['objects.read'].requests, 1)
  await log.close()
})

for (const placement of ['segment', 'inline'])
  test(`a reader who waits in the process of the append asks the stores for nothing: the commit hands it what it is to read (${placement})`, async () => {
    const meter = new Meter()
    const objects = meteredObjects(new MemoryObjects(), meter)
    const metadata = meteredMetadata(new MemoryMetadata(), meter)
    const log = createLog({ objects, metadata, clock, random, codecs }, { headAgeMsMax: 60_000, topicAgeMsMax: 60_000 })
    await log.createTopic({ name: 't', partitions: 1, configs: { 'chunk.placement': placement } })
    const batches = [batch(), batch()]
    await log.append({ topic: 't', partition: 0, batches: batch() })
    const waiting = [fetchFrom(log, 1), fetchMany(log, 1)]
    // Both have looked at the head, and wait.
    await new Promise((resolve) => setTimeout(resolve, 0))
    meter.take()
    const sent = Buffer.concat(batches)
    await log.append({ topic: 't', partition: 0, batches: Uint8Array.from(sent) })
    for (const fetched of await Promise.all(waiting)) {
      assert.ok(fetched.ok && fetched.nextOffset === 3)
      const read = Buffer.concat(fetched.batches)
      const found = batchHeaders(read)
      assert.deepEqual(found.ok && found.headers.map((header) => header.baseOffset), [1, 2])
      rebaseBatch(read, 0, 0)
      rebaseBatch(read, sent.byteLength / 2, 0)
      assert.deepEqual(read, sent)
    }
    const reading = meter.take()
    for (const kind of ['objects.read', 'metadata.readHead', 'metadata.get', 'metadata.query'] as const)
      assert.equal(reading[kind].requests, 0, kind)
    await log.close()
  })

test('a chunk that could not be read is read anew by the next reader', async () => {
  const stored = new MemoryObjects()
  let failures = 1
  const objects: Objects = {
    create: (key, parts) => stored.create(key, parts),
    list: (prefix, after, limit) => stored.list(prefix, after, limit),
    delete: (key) => stored.delete(key),
    read: async (key, position, length) => {
      if (failures-- > 0) throw new Error('a bug of the store')
      return stored.read(key, position, length)
    },
  }
  const log = await logOver(objects)
  await log.append({ topic: 't', partition: 0, batches: batch() })
  await assert.rejects(fetchFrom(log, 0), /a bug of the store/)
  assert.ok((await fetchFrom(log, 0)).ok)
  await log.close()
})
