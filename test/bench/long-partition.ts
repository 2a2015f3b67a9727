/** What a fetch costs in a partition of ten million records: at its start, in its middle, at its end. */
import { nativeCodecs as codecs } from '../../lib/adapters/codecs-native.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { Meter, meteredMetadata, meteredObjects, requestsOf } from '../../lib/adapters/metered.ts'
import { systemClock as clock, systemRandom as random } from '../../lib/adapters/system.ts'
import { createLog } from '../../lib/log/create-log.ts'
import { makeBatch } from './bodies.ts'
import { quantile } from './figures.ts'

const recordsWanted = 10_000_000
/** In a request, and so in a commit: 5,000 commits. */
const recordsPerAppend = 2_000
const fetchesAtEach = 200

export interface LongPartition {
  readonly records: number
  readonly appends: number
  readonly places: readonly {
    readonly name: string
    readonly offset: number
    readonly requests: Readonly<Record<string, number>>
    readonly bytesRead: number
    readonly p50Ms: number
  }[]
}

export async function longPartition(): Promise<LongPartition> {
  const meter = new Meter()
  const objects = meteredObjects(new MemoryObjects(), meter)
  const metadata = meteredMetadata(new MemoryMetadata(), meter)
  // Every append a commit of its own, and nothing kept in memory for readers.
  const settings = { isSoleProcess: true, lingerMs: 0, chunkCacheBytesMax: 0 }
  const log = createLog({ objects, metadata, clock, random, codecs }, settings)
  await log.createTopic({ name: 'long', partitions: 1 })
  const batch = makeBatch(recordsPerAppend, 8)
  const appends = recordsWanted / recordsPerAppend
  for (let count = 0; count < appends; count++) {
    const appended = await log.append({ topic: 'long', partition: 0, batches: batch.slice() })
    if (!appended.ok) throw new Error(appended.message)
  }
  await log.settled()

  const places = []
  for (const [name, offset] of [
    ['start', 0],
    ['middle', recordsWanted / 2 + 1],
    ['end', recordsWanted - recordsPerAppend],
  ] as const) {
    const latenciesMs: number[] = []
    meter.take()
    for (let count = 0; count < fetchesAtEach; count++) {
      const startedMs = performance.now()
      const fetched = await log.fetch({ topic: 'long', partition: 0, offset, bytesMax: 1 })
      latenciesMs.push(performance.now() - startedMs)
      if (!fetched.ok || fetched.nextOffset <= offset) throw new Error(`nothing at ${offset}`)
    }
    const reading = meter.take()
    const requests = Object.entries(requestsOf(reading)).map(([kind, count]) => [kind, count / fetchesAtEach])
    places.push({
      name,
      offset,
      requests: Object.fromEntries(requests) as Record<string, number>,
      bytesRead: reading['objects.read'].bytes / fetchesAtEach,
      p50Ms: quantile(
        latenciesMs.sort((a, b) => a - b),
        0.5,
      ),
    })
  }
  await log.close()
  return { records: recordsWanted, appends, places }
}
