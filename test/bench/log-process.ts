/** The log without HTTP, on a data directory (argument 1) or in memory; with `metered` as argument 3 every request to its stores is counted. */
import { nativeCodecs } from '../../lib/adapters/codecs-native.ts'
import { openDataDirectory } from '../../lib/adapters/local/data-directory.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { meteredMetadata, meteredObjects } from '../../lib/adapters/metered.ts'
import { systemClock, systemRandom } from '../../lib/adapters/system.ts'
import { TaggedMeter } from '../../lib/adapters/tagged-meter.ts'
import { rebaseBatch } from '../../lib/core/record-batch.ts'
import type { Settings } from '../../lib/core/settings.ts'
import { createLog } from '../../lib/log/create-log.ts'
import { makeBatch } from './bodies.ts'
import { answerCalls } from './child.ts'

const directory = process.argv[2] ?? ''
const settings = JSON.parse(process.argv[3] ?? '{}') as Partial<Settings>
const stores =
  directory === ''
    ? { objects: new MemoryObjects(), metadata: new MemoryMetadata() }
    : await openDataDirectory(directory)
const meter = process.argv[4] === 'metered' ? new TaggedMeter() : undefined
const metered =
  meter === undefined
    ? stores
    : { objects: meteredObjects(stores.objects, meter), metadata: meteredMetadata(stores.metadata, meter), meter }
const log = createLog(
  { ...metered, clock: systemClock, random: systemRandom, codecs: nativeCodecs },
  { isSoleProcess: true, ...settings },
)

export interface AppendWork {
  readonly topic: string
  readonly appends: number
  readonly concurrency: number
  readonly records: number
  readonly valueBytes: number
}

export interface FetchWork {
  readonly topic: string
  readonly bytes: number
  readonly concurrency: number
  /** Of each fetch. @default 4 MiB */
  readonly bytesMax?: number
}

export interface Work {
  readonly seconds: number
  readonly bytes: number
  readonly records: number
  readonly latenciesMs?: readonly number[]
}

answerCalls({
  async createTopic({ name, partitions }: { name: string; partitions: number }) {
    const created = await log.createTopic({ name, partitions })
    if (!created.ok) throw new Error(created.message)
  },

  /** Each worker sends its own buffer again and again, as a client that waits for its answers does. */
  async append({ topic, appends, concurrency, records, valueBytes }: AppendWork): Promise<Work> {
    const body = makeBatch(records, valueBytes)
    const bodies = Array.from({ length: concurrency }, () => body.slice())
    const latenciesMs: number[] = []
    let next = 0
    const startedMs = performance.now()
    await Promise.all(
      bodies.map(async (batches) => {
        while (next++ < appends) {
          rebaseBatch(batches, 0, 0)
          const sentMs = performance.now()
          const appended = await log.append({ topic, partition: 0, batches })
          if (!appended.ok) throw new Error(appended.message)
          latenciesMs.push(performance.now() - sentMs)
        }
      }),
    )
    return {
      seconds: (performance.now() - startedMs) / 1_000,
      bytes: appends * body.length,
      records: appends * records,
      latenciesMs: latenciesMs.sort((a, b) => a - b),
    }
  },

  /** Readers, each from another place on, so that none lives off another's reads. */
  async fetch({ topic, bytes: bytesWanted, concurrency, bytesMax = 4_194_304 }: FetchWork): Promise<Work> {
    let bytes = 0
    let records = 0
    const startedMs = performance.now()
    await Promise.all(
      Array.from({ length: concurrency }, async (_, reader) => {
        const offsets = await log.offsets(topic, 0)
        let offset = offsets.ok ? Math.floor((offsets.highWatermark * reader) / concurrency) : 0
        while (bytes < bytesWanted) {
          const fetched = await log.fetch({ topic, partition: 0, offset, bytesMax })
          if (!fetched.ok) throw new Error(fetched.message)
          for (const batch of fetched.batches) bytes += batch.length
          records += fetched.nextOffset - offset
          offset = fetched.nextOffset === fetched.highWatermark ? 0 : fetched.nextOffset
        }
      }),
    )
    return { seconds: (performance.now() - startedMs) / 1_000, bytes, records }
  },
})
