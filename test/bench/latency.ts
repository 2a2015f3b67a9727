/**
 * `npm run bench -- latency`: how long an append takes until it is durable and answered, and until a waiting reader has it, over stores
 * with published latencies (lib/adapters/slow.ts), in virtual time. Modelled: what the engine itself computes takes no time here.
 */
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { latencyAt, publishedLatencies, type Quantiles, slowMetadata, slowObjects } from '../../lib/adapters/slow.ts'
import { encodeBatch } from '../../lib/core/record-batch.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Log } from '../../lib/log/log.ts'
import type { Observer, Step } from '../../lib/log/observer.ts'
import type { Clock } from '../../lib/ports.ts'
import { seededRandom } from '../sim/random.ts'
import { World } from '../sim/world.ts'
import { quantile } from './figures.ts'

const appends = 4_000
const shares = [0.5, 0.99, 0.999] as const

/**
 * What lies between a client in the region and the engine; not measured here, as the sources of lib/adapters/slow.ts are.
 *
 * - Gateway: AWS's announcement of HTTP APIs (aws.amazon.com/blogs/compute/building-better-apis-http-apis-now-generally-available, 2020):
 *   of 99 % of the requests, request and answer together take less than 10 ms more. The median, 5, and the largest, 30, are assumptions.
 * - Function: placing a call in an environment that is warm. No distribution was found; those who tell theirs say 1 to 3 ms. The
 *   99th percentile, 8, and the largest, 30, are assumptions.
 * - Handler: parsing and answering, 3 ms, as in docs/costs.md.
 */
const gateway: Quantiles = [
  [0, 2],
  [0.5, 5],
  [0.99, 10],
  [1, 30],
]
const warmCall: Quantiles = [
  [0, 1],
  [0.5, 2],
  [0.99, 8],
  [1, 30],
]
const handlerMs = 3

interface Kind {
  readonly name: string
  readonly valueBytes: number
}

const kinds: readonly Kind[] = [
  { name: '200 B, inline', valueBytes: 200 },
  { name: '3 KB, inline', valueBytes: 3_000 },
  { name: '100 KB, S3', valueBytes: 100_000 },
  { name: '1 MiB, S3', valueBytes: 1_048_000 },
]

/** All in milliseconds, ascending. */
export interface Latency {
  readonly upload: readonly number[]
  readonly commit: readonly number[]
  readonly produce: readonly number[]
  /** The same through a function, and through a gateway and a function. */
  readonly throughUrl: readonly number[]
  readonly throughApi: readonly number[]
  /** From the call of the producer until a reader that waits has the record: in the same process, and in another. */
  readonly sameProcess: readonly number[]
  readonly otherProcess: readonly number[]
  /** The same put, and a conditional write, one after the other, and nothing else. */
  readonly model: readonly number[]
}

export async function measureLatency({ valueBytes }: Kind, count = appends): Promise<Latency> {
  const world = new World(1_800_000_000_000)
  const clock: Clock = {
    now: () => world.nowMs,
    sleep: (durationMs, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve()
        world.after(durationMs, resolve)
        signal?.addEventListener('abort', () => resolve(), { once: true })
      }),
  }
  const random = seededRandom(valueBytes)
  const objects = new MemoryObjects()
  const metadata = new MemoryMetadata()
  const steps = { upload: [] as number[], commit: [] as number[] }
  const observe: Observer = {
    count() {},
    commitRefused() {},
    time(step: Step, durationMs: number) {
      if (step === 'upload' || step === 'commit') steps[step].push(durationMs)
    },
  }
  const slow = { random, sleep: (durationMs: number) => world.sleep(durationMs) }
  const stores = { objects: slowObjects(objects, slow), metadata: slowMetadata(metadata, slow) }
  const process = (observer?: Observer) =>
    createLog({
      ...stores,
      clock,
      random,
      codecs: nodeCodecs,
      ...(observer === undefined ? {} : { observe: observer }),
    })
  const producer = process(observe)
  const reader = process()

  const sentMs: number[] = []
  const produce: number[] = []
  let isOver = false
  const follow = async (log: Log): Promise<number[]> => {
    const seen: number[] = []
    for (let offset = 0; offset < count; ) {
      const fetched = await log.fetch({ topic: 't', partition: 0, offset, waitMs: 25_000 })
      if (!fetched.ok) throw new Error(fetched.message)
      for (; offset < fetched.nextOffset; offset++) seen.push(world.nowMs - sentMs[offset]!)
    }
    return seen
  }
  let failure: unknown
  let readers: readonly [number[], number[]] | undefined
  const all = async () => {
    const made = await producer.createTopic({ name: 't', partitions: 1 })
    if (!made.ok) throw new Error(made.message)
    const value = new Uint8Array(valueBytes)
    const records = [{ timestampMs: Math.floor(world.nowMs), key: null, value }]
    const batches = encodeBatch({ compression: 'none', records }, nodeCodecs)
    const reading = Promise.all([follow(producer), follow(reader)])
    for (let index = 0; index < count; index++) {
      await world.sleep(500 + random() * 1_000)
      sentMs.push(world.nowMs)
      const appended = await producer.append({ topic: 't', partition: 0, batches: batches.slice() })
      if (!appended.ok) throw new Error(appended.message)
      produce.push(world.nowMs - sentMs[index]!)
    }
    readers = await reading
    isOver = true
  }
  all().catch((error: unknown) => {
    failure = error
    isOver = true
  })
  await world.run(() => isOver, 50_000_000)
  if (failure !== undefined || readers === undefined) throw failure ?? new Error('the readers came to no end')
  // The engine's own draws for the put, so that tails of few samples compare.
  const model = steps.upload.map((uploadMs) => uploadMs + latencyAt(publishedLatencies.write, random()))
  const [sameProcess, otherProcess] = readers
  const throughUrl = produce.map((producedMs) => producedMs + handlerMs + latencyAt(warmCall, random()))
  const throughApi = throughUrl.map((urlMs) => urlMs + latencyAt(gateway, random()))
  return ascending({ ...steps, produce, throughUrl, throughApi, sameProcess, otherProcess, model })
}

function ascending(latency: Latency): Latency {
  const sorted = Object.entries(latency).map(([name, values]) => [
    name,
    values.toSorted((a: number, b: number) => a - b),
  ])
  return Object.fromEntries(sorted) as Latency
}

/** As Markdown. */
export async function latencyTable(): Promise<string> {
  const lines = [
    `Milliseconds of ${appends.toLocaleString('en-US')} appends, one at a time: p50 / p99 / p99.9, **modelled**:`,
    '',
    '| append | durable | commit | produce | put + commit alone | p50 by that | through a function URL | through the HTTP API | a reader has it: same process | another process |',
    '|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|',
  ]
  for (const kind of kinds) {
    const latency = await measureLatency(kind)
    const ratio = quantile(latency.produce, 0.5) / quantile(latency.model, 0.5)
    const { upload, commit, produce, model, throughUrl, throughApi, sameProcess, otherProcess } = latency
    lines.push(
      `| ${kind.name} | ${three(upload)} | ${three(commit)} | ${three(produce)} | ${three(model)} | ${ratio.toFixed(2)} | ${three(throughUrl)} | ${three(throughApi)} | ${three(sameProcess)} | ${three(otherProcess)} |`,
    )
  }
  return lines.join('\n')
}

function three(values: readonly number[]): string {
  return shares.map((share) => quantile(values, share).toFixed(share === 0.5 ? 1 : 0)).join(' / ')
}
