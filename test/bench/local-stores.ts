/**
 * What the local stores do on this machine's disk: node test/bench/local-stores.ts
 *
 * Traps: the disk under the system's temporary directory may be memory (then every sync is free); a shared machine
 * changes from second to second, so that what is compared takes turns, and medians are compared.
 */
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { promisify } from 'node:util'
import { commitFailure, openForReading, openForWriting } from '../../lib/adapters/local/database.ts'
import { systemDisk } from '../../lib/adapters/local/disk.ts'
import { LocalMetadata, openLocalMetadata } from '../../lib/adapters/local/metadata.ts'
import { openLocalObjects } from '../../lib/adapters/local/objects.ts'
import { newHead, rollableEntries, tailEntriesMax, wantsRoll } from '../../lib/core/head.ts'
import { segmentIdAt, segmentObjectKey, segmentPrefixes, topicIdFromRandom } from '../../lib/core/names.ts'
import { encodeReference } from '../../lib/core/reference.ts'

const directory = await mkdtemp(join(tmpdir(), 'highwater-bench-'))
try {
  await benchCreations(4 * 2 ** 20, 100)
  await benchCreations(64 * 2 ** 10, 400)
  for (const [writers, partitions] of [
    [1, 1],
    [16, 16],
    [64, 16],
    [256, 64],
  ] as const)
    for (const thread of ['own thread', 'event loop'] as const) await benchCommits(thread, writers, partitions)
} finally {
  await rm(directory, { recursive: true })
}

/** An object's creation beside the least that any durable file costs: open, write, sync, close. */
async function benchCreations(objectBytes: number, count: number): Promise<void> {
  const parts = Array.from({ length: 16 }, () => randomBytes(objectBytes / 16))
  const objects = await openLocalObjects(systemDisk, join(directory, `objects-${objectBytes}`), segmentPrefixes)
  const [open, writev, fsync, close] = [fs.open, fs.writev, fs.fsync, fs.close].map((call) =>
    promisify(call as (...args: unknown[]) => void),
  ) as ((...args: unknown[]) => Promise<unknown>)[]
  const bare: number[] = []
  const created: number[] = []
  for (let index = 0; index < count; index++) {
    let begun = performance.now()
    const file = await open!(join(directory, `bare-${objectBytes}-${index}`), 'wx')
    await writev!(file, parts)
    await fsync!(file)
    await close!(file)
    bare.push(performance.now() - begun)
    const key = segmentObjectKey(segmentIdAt(Date.now(), Math.random))
    begun = performance.now()
    await objects.create(key, parts)
    created.push(performance.now() - begun)
  }
  await objects.close()
  const [bareMs, createdMs] = [median(bare), median(created)]
  console.log(
    `create ${objectBytes / 1024} KiB: ${createdMs.toFixed(2)} ms, ${mibPerSecond(objectBytes, createdMs)} MiB/s; ` +
      `bare ${bareMs.toFixed(2)} ms, ${mibPerSecond(objectBytes, bareMs)} MiB/s; ratio ${(bareMs / createdMs).toFixed(2)}`,
  )
}

/** Writers that append one after another, and roll. `event loop`: the same commits, made where the commands are decided. */
async function benchCommits(thread: 'own thread' | 'event loop', writers: number, partitions: number): Promise<void> {
  const path = join(directory, `metadata-${thread}-${writers}.db`)
  const metadata = thread === 'own thread' ? await openLocalMetadata(path) : inEventLoop(path)
  const topicId = topicIdFromRandom(randomBytes(16))
  for (let partition = 0; partition < partitions; partition++)
    await metadata.createHead(newHead({ topicId, partition }))

  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const before = performance.eventLoopUtilization()
  const begun = performance.now()
  const latencies: number[] = []
  const write = async (writer: number) => {
    const key = { topicId, partition: writer % partitions }
    while (performance.now() - begun < 2_000) {
      const head = await metadata.readHead(key)
      if (head === undefined) throw new Error('no head')
      const segment = segmentIdAt(Date.now(), Math.random)
      const ref = encodeReference({ segment, position: 16, lengthBytes: 4_096, maxTimestampMs: Date.now() })
      const sent = performance.now()
      const answer = await metadata.updateHead(key, { kind: 'append', chunks: [{ ref, count: 1 }], seen: head.rolls })
      if (answer.applied) latencies.push(performance.now() - sent)
      const after = answer.head ?? head
      if (answer.applied ? wantsRoll(after) : Object.keys(after.tail).length >= tailEntriesMax)
        await metadata.updateHead(key, {
          kind: 'roll',
          generation: after.rolls,
          refs: rollableEntries(after).map((entry) => entry.ref),
        })
    }
  }
  await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)))
  const tookMs = performance.now() - begun
  delay.disable()
  const busy = performance.eventLoopUtilization(before).utilization
  await metadata.close()
  latencies.sort((a, b) => a - b)
  console.log(
    `commits in ${thread}, ${writers} writers on ${partitions} partitions: ${Math.round((latencies.length * 1_000) / tookMs)} appends/s, ` +
      `p50 ${median(latencies).toFixed(2)} ms, p99 ${(latencies[Math.floor(latencies.length * 0.99)] ?? 0).toFixed(2)} ms; ` +
      `event loop ${Math.round(busy * 100)} % busy, delayed p99 ${(delay.percentile(99) / 1e6).toFixed(1)} ms`,
  )
}

function inEventLoop(path: string): LocalMetadata {
  const database = openForWriting(path)
  return new LocalMetadata(
    {
      async commit(writes) {
        try {
          database.commit(writes)
          return undefined
        } catch (error) {
          return commitFailure(error)
        }
      },
      close: async () => database.close(),
    },
    openForReading(path),
  )
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
}

function mibPerSecond(bytes: number, ms: number): string {
  return ((bytes / 2 ** 20 / ms) * 1_000).toFixed(0)
}
