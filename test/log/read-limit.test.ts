import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { systemClock, systemRandom } from '../../lib/adapters/system.ts'
import { createLog } from '../../lib/log/create-log.ts'

const chunkBytes = 100_000

/** Reads that wait until they are let go. */
class HeldObjects extends MemoryObjects {
  isHolding = false
  inFlightBytes = 0
  inFlightBytesMax = 0
  readonly #held: (() => void)[] = []

  override async read(key: string, position: number, length: number): Promise<Uint8Array | undefined> {
    this.inFlightBytes += length
    this.inFlightBytesMax = Math.max(this.inFlightBytesMax, this.inFlightBytes)
    if (this.isHolding) await new Promise<void>((resolve) => this.#held.push(resolve))
    this.inFlightBytes -= length
    return super.read(key, position, length)
  }

  get held(): number {
    return this.#held.length
  }

  letGo(): void {
    this.isHolding = false
    for (const go of this.#held.splice(0)) go()
  }
}

/** A partition each with old records in rows, and `tail` newer appends. */
async function backlog({ partitions, limitBytes }: { partitions: number; limitBytes: number }) {
  const objects = new HeldObjects()
  const log = createLog(
    { objects, metadata: new MemoryMetadata(), clock: systemClock, random: systemRandom, codecs: nodeCodecs },
    { isSoleProcess: true, chunkCacheBytesMax: 0, fetchBytesInFlightMax: limitBytes },
  )
  const created = await log.createTopic({ name: 't', partitions, configs: { 'chunk.placement': 'segment' } })
  assert.ok(created.ok)
  for (let partition = 0; partition < partitions; partition++) {
    for (let count = 0; count < 9; count++) {
      const value = new Uint8Array(count === 8 ? 10 : chunkBytes)
      const produced = await log.produce({ topic: 't', records: [{ key: null, value, partition }] })
      assert.ok(produced.ok)
    }
    await log.settled()
    // Twice: what was committed since the last roll stays a generation.
    for (let roll = 0; roll < 2; roll++) assert.ok((await log.roll('t', partition)).ok)
    await log.produce({ topic: 't', records: [{ key: null, value: new Uint8Array(10), partition }] })
  }
  await log.settled()
  return { log, objects }
}

const turns = async (count = 20) => {
  for (let turn = 0; turn < count; turn++) await setImmediate()
}

describe('fetches of older records', () => {
  // A chunk is a little larger than its value.
  for (const [what, chunks, limitBytes, together] of [
    ['below the limit are read at the same time', 3, 4 * chunkBytes, 3],
    ['that fill the limit are read at the same time', 4, 4 * (chunkBytes + 500), 4],
    ['above the limit wait', 5, 4 * (chunkBytes + 500), 4],
    ['that are larger than the limit go alone', 3, 65_536, 1],
  ] as const)
    test(`${what}`, async () => {
      const { log, objects } = await backlog({ partitions: chunks, limitBytes })
      objects.isHolding = true
      const fetches = Array.from({ length: chunks }, (_, partition) =>
        log.fetch({ topic: 't', partition, offset: 0, bytesMax: 1 }),
      )
      await turns()
      assert.equal(objects.held, together)
      const { backfillBytes, backfillsWaiting } = log.underWay()
      assert.ok(backfillBytes >= together * chunkBytes && backfillBytes < together * (chunkBytes + 500))
      assert.equal(backfillsWaiting, chunks - together)
      objects.letGo()
      for (const fetched of await Promise.all(fetches)) assert.ok(fetched.ok && fetched.batches.length === 1)
      assert.ok(objects.inFlightBytesMax <= Math.max(limitBytes, chunkBytes + 500))
      assert.deepEqual(log.underWay(), { appendBytes: 0, fetchesWaiting: 0, backfillBytes: 0, backfillsWaiting: 0 })
    })

  test('keep nobody waiting who reads at the end, or produces', async () => {
    const { log, objects } = await backlog({ partitions: 3, limitBytes: 65_536 })
    objects.isHolding = true
    const backfills = [0, 1, 2].map((partition) => log.fetch({ topic: 't', partition, offset: 0, bytesMax: 1 }))
    await turns()
    assert.equal(objects.held, 1)
    // From here on what is read is let through.
    objects.isHolding = false
    const offsets = await log.offsets('t', 2)
    assert.ok(offsets.ok)
    const followed = await log.fetch({ topic: 't', partition: 2, offset: offsets.highWatermark - 1 })
    assert.ok(followed.ok && followed.batches.length === 1)
    const produced = await log.produce({
      topic: 't',
      records: [{ key: null, value: new Uint8Array(10), partition: 2 }],
    })
    assert.ok(produced.ok)
    assert.equal(log.underWay().backfillsWaiting, 2)
    objects.letGo()
    for (const fetched of await Promise.all(backfills)) assert.ok(fetched.ok)
  })

  test('that fail make room for those that wait', async () => {
    const { log, objects } = await backlog({ partitions: 2, limitBytes: 65_536 })
    const read = objects.read.bind(objects)
    objects.read = async () => {
      objects.read = read
      await setImmediate()
      throw new Error('a bug')
    }
    const [first, second] = await Promise.allSettled(
      [0, 1].map((partition) => log.fetch({ topic: 't', partition, offset: 0, bytesMax: 1 })),
    )
    assert.equal(first?.status, 'rejected')
    assert.equal(second?.status, 'fulfilled')
  })
})

test('a log says what is waiting in it', async () => {
  const { log } = await backlog({ partitions: 1, limitBytes: 65_536 })
  const offsets = await log.offsets('t', 0)
  assert.ok(offsets.ok)
  const waiting = log.fetch({ topic: 't', partition: 0, offset: offsets.highWatermark, waitMs: 10_000 })
  await turns()
  assert.equal(log.underWay().fetchesWaiting, 1)
  const appending = log.produce({ topic: 't', records: [{ key: null, value: new Uint8Array(1_000) }] })
  let largest = 0
  for (let turn = 0; turn < 20; turn++) {
    await Promise.resolve()
    largest = Math.max(largest, log.underWay().appendBytes)
  }
  assert.ok(largest > 1_000, String(largest))
  await appending
  await waiting
  assert.equal(log.underWay().fetchesWaiting, 0)
  assert.equal(log.underWay().appendBytes, 0)
})
