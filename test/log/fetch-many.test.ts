/** What a fetch of many partitions asks of the store. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nativeCodecs as codecs } from '../../lib/adapters/codecs-native.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { Meter, meteredMetadata, meteredObjects } from '../../lib/adapters/metered.ts'
import { encodeBatch } from '../../lib/core/record-batch.ts'
import type { Settings } from '../../lib/core/settings.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Clock } from '../../lib/ports.ts'

const partitionCount = 200

/** Time passes only in sleep. */
class SleepingClock implements Clock {
  #nowMs = 1_800_000_000_000
  now(): number {
    return this.#nowMs
  }
  async sleep(durationMs: number): Promise<void> {
    this.#nowMs += durationMs
  }
}

async function world(settings: Partial<Settings>) {
  const meter = new Meter()
  const clock = new SleepingClock()
  const log = createLog(
    {
      objects: meteredObjects(new MemoryObjects(), meter),
      metadata: meteredMetadata(new MemoryMetadata(), meter),
      clock,
      random: Math.random,
      codecs,
    },
    { lingerMs: 0, ...settings },
  )
  const created = await log.createTopic({ name: 't', partitions: partitionCount })
  assert.ok(created.ok)
  const batch = () =>
    encodeBatch(
      { compression: 'none', records: [{ timestampMs: 1, key: null, value: new Uint8Array(80_000) }] },
      codecs,
    )
  const append = (partition: number) => log.append({ topic: 't', partition, batches: batch() })
  const partitions = Array.from({ length: partitionCount }, (_, partition) => ({ topic: 't', partition, offset: 0 }))
  meter.take()
  return { log, meter, clock, append, partitions, topicId: created.topic.id }
}

test('how often heads are looked at while a fetch waits does not depend on how many there are', async () => {
  const { log, meter, partitions, clock } = await world({ headReadsPerSecondMax: 40 })
  const startMs = clock.now()
  const fetched = await log.fetchMany({ partitions, waitMs: 10_000 })
  assert.deepEqual(fetched.ok && fetched.partitions, [])
  assert.equal(clock.now() - startMs, 10_000)
  const heads = meter.take()['metadata.readHead'].requests
  assert.ok(heads > partitionCount + 380 && heads <= partitionCount + 400, `${heads} looks`)
})

test('idle partitions are looked at no more often than a fetch of one does', async () => {
  const { log, meter, partitions } = await world({ headReadsPerSecondMax: 10_000, headPollMsMax: 500 })
  await log.fetchMany({ partitions: partitions.slice(0, 3), waitMs: 10_000 })
  const heads = meter.take()['metadata.readHead'].requests
  assert.ok(heads >= 3 * 18 && heads <= 3 * 21, `${heads} looks`)
})

test('the topic is looked up once, not for each partition, and not at all by its id', async () => {
  const { log, meter, partitions, topicId, clock } = await world({ topicAgeMsMax: 0, isSoleProcess: true })
  await clock.sleep(1)
  await log.fetchMany({ partitions: partitions.slice(0, 20) })
  assert.equal(meter.take()['metadata.get'].requests, 1)
  await clock.sleep(1)
  await log.fetchMany({ partitions: partitions.slice(0, 20).map((one) => ({ ...one, topicId })) })
  assert.equal(meter.take()['metadata.get'].requests, 0)
})

test('a fetch looks at no more partitions than fill its answer', async () => {
  const { log, meter, partitions, append } = await world({ chunkCacheBytesMax: 0, isSoleProcess: true })
  for (let partition = 0; partition < partitionCount; partition++) await append(partition)
  meter.take()
  const fetched = await log.fetchMany({ partitions, bytesMax: 1_000_000 })
  assert.ok(fetched.ok && fetched.partitions.length === 12)
  const reading = meter.take()
  assert.ok(reading['metadata.readHead'].requests <= 32, `${reading['metadata.readHead'].requests} looks`)
  assert.ok(reading['objects.read'].requests <= 16, `${reading['objects.read'].requests} reads`)
})
