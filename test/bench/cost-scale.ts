/**
 * Requests as a log grows: in partitions, and in records of one partition. Each act is metered alone, in memory, with a clock that
 * jumps; nothing is kept for readers. What must stay constant, or go with what changed, is seen from one column to the next.
 */
import { nativeCodecs as codecs } from '../../lib/adapters/codecs-native.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { Meter, meteredMetadata, meteredObjects } from '../../lib/adapters/metered.ts'
import { type MeterReading, usageOf } from '../../lib/core/cost.ts'
import { encodeBatch } from '../../lib/core/record-batch.ts'
import { defaultSettings, type Settings } from '../../lib/core/settings.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Log } from '../../lib/log/log.ts'
import type { Clock } from '../../lib/ports.ts'
import { seededRandom } from '../sim/random.ts'

const partitionCounts = [100, 10_000, 100_000]
const partitionsPerTopic = 10_000
const recordCounts = [1_000_000, 10_000_000, 100_000_000]
const recordsPerAppend = 20_000
/** Enough for one merge, whatever is there already: a row is made of at most ten appends. */
const freshAppends = 10 * (defaultSettings.mergeRowsMin + 2)
const dayMs = 86_400_000

type Acts = readonly (readonly [act: string, reading: MeterReading])[]

export async function scaleTables(): Promise<string> {
  const byPartitions = await eachOf(partitionCounts, manyPartitions)
  const byRecords = await eachOf(recordCounts, longPartition)
  return [
    'Partitions of the cluster:',
    tableOf(partitionCounts, byPartitions),
    'Records of one partition:',
    tableOf(recordCounts, byRecords),
  ].join('\n\n')
}

async function manyPartitions(partitions: number): Promise<Acts> {
  const world = metered()
  const topics = Math.ceil(partitions / partitionsPerTopic)
  const log = world.open()
  for (let topic = 0; topic < topics; topic++) {
    const made = await log.createTopic({
      name: `t${topic}`,
      partitions: Math.min(partitions, partitionsPerTopic),
      configs: { 'chunk.placement': 'segment', 'retention.ms': '-1' },
    })
    if (!made.ok) throw new Error(made.message)
  }
  return acts(world, 't0', partitions > 50 ? 50 : 0)
}

async function longPartition(records: number): Promise<Acts> {
  const world = metered()
  const log = world.open()
  const made = await log.createTopic({
    name: 't',
    partitions: 1,
    configs: { 'chunk.placement': 'segment', 'retention.ms': '-1' },
  })
  if (!made.ok) throw new Error(made.message)
  for (let at = 0; at < records / recordsPerAppend; at++) {
    await append(log, 't', 0)
    if (at % freshAppends === 0) await mergeAll(world, log, 't', 0)
  }
  await mergeAll(world, log, 't', 0)
  await log.sweep()
  world.jump(2 * dayMs)
  await log.sweep()
  return acts(world, 't', 0)
}

async function acts(world: World, topic: string, partition: number): Promise<Acts> {
  const done: [string, MeterReading][] = []
  const measure = async (act: string, work: () => Promise<unknown>) => {
    world.meter.take()
    await work()
    done.push([act, world.meter.take()])
  }
  const log = world.open()
  await append(log, topic, partition)
  await log.settled()
  world.jump(10_000)
  await measure('a produce', () => append(log, topic, partition))
  const offsets = await log.offsets(topic, partition)
  if (!offsets.ok) throw new Error(offsets.message)
  const end = offsets.highWatermark
  for (const [where, offset] of [
    ['oldest', offsets.startOffset],
    ['newest', end - 1],
  ] as const) {
    const reader = world.open()
    await reader.describeTopic(topic)
    await measure(`a fetch of the ${where}`, async () => {
      const fetched = await reader.fetch({ topic, partition, offset, bytesMax: 1 })
      if (!fetched.ok || fetched.nextOffset <= offset) throw new Error(`nothing at ${offset}`)
    })
  }
  for (let count = 0; count < freshAppends; count++) await append(log, topic, partition)
  await log.settled()
  world.jump(10 * 60_000)
  await measure(`a merge of ${freshAppends} appends`, async () => {
    const merged = await log.merge(topic, partition)
    if (!merged.ok || merged.rows === 0) throw new Error('nothing was merged')
  })
  await mergeAll(world, log, topic, partition)
  world.jump(2 * dayMs)
  await measure('the sweep of what it left', async () => {
    const swept = await log.sweep()
    if (!swept.ok || swept.deleted.length === 0) throw new Error('nothing was swept')
  })
  world.jump(3_600_000)
  await measure('a sweep when nothing happened', () => log.sweep())
  await measure('a round of upkeep when nothing happened', () => log.maintain())
  return done
}

interface World {
  readonly meter: Meter
  open(): Log
  jump(durationMs: number): void
}

function metered(): World {
  const meter = new Meter()
  const objects = meteredObjects(new MemoryObjects(), meter)
  const metadata = meteredMetadata(new MemoryMetadata(), meter)
  let nowMs = 1_800_000_000_000
  const clock: Clock = {
    now: () => nowMs,
    async sleep(durationMs) {
      nowMs += durationMs
    },
  }
  const random = seededRandom(3)
  const settings: Partial<Settings> = { lingerMs: 0, chunkCacheBytesMax: 0 }
  return {
    meter,
    open: () => createLog({ objects, metadata, clock, random, codecs }, settings),
    jump: (durationMs) => {
      nowMs += durationMs
    },
  }
}

const batch = encodeBatch(
  {
    compression: 'zstd',
    records: Array.from({ length: recordsPerAppend }, () => ({
      timestampMs: 1_800_000_000_000,
      key: null,
      value: null,
    })),
  },
  codecs,
)

async function append(log: Log, topic: string, partition: number): Promise<void> {
  const appended = await log.append({ topic, partition, batches: batch.slice() })
  if (!appended.ok) throw new Error(appended.message)
}

async function mergeAll(world: World, log: Log, topic: string, partition: number): Promise<void> {
  await log.settled()
  world.jump(10 * 60_000)
  while (true) {
    const merged = await log.merge(topic, partition)
    if (!merged.ok || merged.rows === 0) return
  }
}

async function eachOf(sizes: readonly number[], run: (size: number) => Promise<Acts>): Promise<readonly Acts[]> {
  const all: Acts[] = []
  for (const size of sizes) all.push(await run(size))
  return all
}

function tableOf(sizes: readonly number[], columns: readonly Acts[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const names = columns[0]?.map(([act]) => act) ?? []
  return [
    line(['', ...sizes.map((size) => size.toLocaleString('en-US'))]),
    line([':--', ...sizes.map(() => '--:')]),
    ...names.map((act, at) => line([act, ...columns.map((acts) => told(acts[at]![1]))])),
  ].join('\n')
}

/** Requests to S3 and DynamoDB, and units. */
function told(reading: MeterReading): string {
  const { s3Put = 0, s3Get = 0, s3Delete = 0, dynamoDbWrite = 0, dynamoDbRead = 0 } = usageOf(reading)
  const requests = Object.entries(reading).reduce(
    (sum, [kind, { requests }]) => (kind.startsWith('metadata.') ? sum + requests : sum),
    0,
  )
  const s3 = [
    [s3Put, 'put'],
    [s3Get, 'get'],
    [s3Delete, 'delete'],
  ]
    .filter(([count]) => count !== 0)
    .map(([count, what]) => `${(count as number).toLocaleString('en-US')} ${what}`)
  const units = [
    [dynamoDbWrite, 'W'],
    [dynamoDbRead, 'R'],
  ]
    .filter(([count]) => count !== 0)
    .map(([count, what]) => `${(count as number).toLocaleString('en-US')} ${what}`)
  return [...s3, `${requests.toLocaleString('en-US')} items (${units.join(', ')})`].join(', ')
}
