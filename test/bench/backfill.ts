/**
 * Do readers of old data hurt producers? Small produces, each waiting for its answer: alone, beside readers that take 4 MiB at a
 * time as fast as they can with no limit to what is read at a time, and with the default limit. All in turn, in one run.
 */
import { defaultSettings, settingsTable } from '../../lib/core/settings.ts'
import type { Bench } from './bench.ts'
import { type Child, startChild, type Usage } from './child.ts'
import { median, quantile } from './figures.ts'
import type { Load, Loaded } from './load.ts'
import { createTopic, rawType } from './produce.ts'

const rounds = 5
const readers = 32
/** 256 MiB: more than the log keeps for readers, less than the system keeps of files. */
const stored = { appends: 256, records: 1_018, valueBytes: 1_000 } as const
const appendsPerFetch = 4
const producing = { connections: 4, requests: 600 } as const

interface Server {
  readonly process: Child
  readonly port: number
}

interface Measured {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly perSecond: number
}

const ways = ['alone', 'beside readers, no limit', 'beside readers, limited'] as const
type Way = (typeof ways)[number]

export async function backfillTable({ directory }: Bench): Promise<string> {
  const unlimited = { fetchBytesInFlightMax: settingsTable.fetchBytesInFlightMax.max }
  const limited = await startServer(`${directory}/limited`, {})
  const free = await startServer(`${directory}/free`, unlimited)
  const load = startChild('load.ts')
  const measured: Record<Way, Measured[]> = { alone: [], 'beside readers, no limit': [], 'beside readers, limited': [] }
  const readBytes: Record<string, number[]> = {}
  for (let round = 0; round <= rounds; round++)
    for (const way of ways) {
      const server = way === 'beside readers, no limit' ? free : limited
      const result = way === 'alone' ? await produce(load, server) : await besideReaders(load, server, way, readBytes)
      if (round > 0) measured[way].push(result)
    }
  const peaks = {
    'beside readers, no limit': (await free.process.call<Usage>('usage')).rssBytesPeak,
    'beside readers, limited': (await limited.process.call<Usage>('usage')).rssBytesPeak,
  }
  for (const child of [load, limited.process, free.process]) await child.stop()
  const ratio = (way: Way, of: (one: Measured) => number) =>
    median(measured[way].map((one, index) => of(one) / of(measured.alone[index]!))).toFixed(2)
  const rows = ways.map((way) => {
    const all = measured[way]
    const cell = (of: (one: Measured) => number) => median(all.map(of)).toFixed(2)
    return [
      way,
      cell(({ p50Ms }) => p50Ms),
      way === 'alone' ? '' : ratio(way, ({ p50Ms }) => p50Ms),
      cell(({ p99Ms }) => p99Ms),
      way === 'alone' ? '' : ratio(way, ({ p99Ms }) => p99Ms),
      median(all.map(({ perSecond }) => perSecond)).toFixed(0),
      way === 'alone' ? '' : median(readBytes[way] ?? []).toFixed(0),
      way === 'alone' ? '' : (peaks[way] / 1e6).toFixed(0),
    ]
  })
  return [
    `Produces of one record of 100 bytes, ${producing.connections} at once, beside ${readers} readers of 256 MiB that take 4 MiB at a time; files; the limit is ${defaultSettings.fetchBytesInFlightMax / 1_048_576} MiB:`,
    '',
    '| producers | p50 ms | by alone | p99 ms | by alone | produces/s | read MB/s | peak RSS MB |',
    '| :-- | --: | --: | --: | --: | --: | --: | --: |',
    ...rows.map((row) => `| ${row.join(' | ')} |`),
  ].join('\n')
}

async function startServer(directory: string, settings: object): Promise<Server> {
  const process = startChild('highwater-server.ts', [directory, JSON.stringify(settings)])
  const port = await process.call<number>('port')
  await createTopic(port, 'old', 1)
  await createTopic(port, 'live', 1)
  const filler = startChild('load.ts')
  await filler.call<Loaded>('run', {
    port,
    connections: 4,
    requests: stored.appends,
    method: 'POST',
    paths: ['/topics/old/partitions/0'],
    headers: { 'content-type': rawType },
    body: { kind: 'batches', records: stored.records, valueBytes: stored.valueBytes },
  } satisfies Load)
  await filler.stop()
  return { process, port }
}

async function produce(load: Child, { port }: Server): Promise<Measured> {
  const { latenciesMs, seconds } = await load.call<Loaded>('run', {
    port,
    ...producing,
    method: 'POST',
    paths: ['/topics/live/partitions/0'],
    headers: { 'content-type': rawType },
    body: { kind: 'small', records: 1, valueBytes: 100 },
  } satisfies Load)
  return {
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
    perSecond: producing.requests / seconds,
  }
}

async function besideReaders(
  load: Child,
  server: Server,
  way: Way,
  readBytes: Record<string, number[]>,
): Promise<Measured> {
  const reading = startChild('load.ts')
  const fetches = stored.appends / appendsPerFetch
  const records = appendsPerFetch * stored.records
  const ended = reading.call<Loaded>('run', {
    port: server.port,
    connections: readers,
    // Until it is stopped.
    requests: 1e9,
    method: 'GET',
    paths: Array.from(
      { length: fetches },
      // From all over the log, so that readers do not live off each other's reads.
      (_, index) => `/topics/old/partitions/0/records?offset=${((index * 37) % fetches) * records}&max_bytes=4194304`,
    ),
    headers: { accept: rawType },
  } satisfies Load)
  ended.catch(() => undefined)
  // They have begun when something was read.
  const before = await fetchedBytes(server)
  while ((await fetchedBytes(server)) === before) await new Promise((resolve) => setTimeout(resolve, 20))
  const [startBytes, startMs] = [await fetchedBytes(server), performance.now()]
  const measured = await produce(load, server)
  const megabytes = ((await fetchedBytes(server)) - startBytes) / 1e6
  readBytes[way] ??= []
  readBytes[way].push(megabytes / ((performance.now() - startMs) / 1_000))
  await reading.stop()
  return measured
}

/** As the server's metrics say. */
async function fetchedBytes({ port }: Server): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  return Number(/^highwater_bytes_fetched_total\{topic="old"\} (\S+)$/m.exec(text)?.[1] ?? 0)
}
