/**
 * `npm run bench -- soak [--minutes=8]`: the embedded server under small produces, with upkeep so often that minutes show what
 * months would: merges, retention and sweeps beside readers that compare every record. Then how fast a whole topic is read before
 * it was merged and after.
 */
import { mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Settings } from '../../lib/core/settings.ts'
import { ask, type Child, startChild, type Usage } from './child.ts'
import { median, quantile } from './figures.ts'
import type { Load, Loaded } from './load.ts'
import { createTopic, rawType } from './produce.ts'
import { readBare, readWhole, SoakLoad } from './soak-load.ts'
import { type Panel, plot } from './soak-plot.ts'

const topic = 'soak'
const partitions = 4
const appendsPerSecond = 200
const retentionBytes = 8_388_608
const often: Partial<Settings> = {
  mergeIntervalMs: 1_000,
  mergeQuietMs: 1_000,
  mergeRowsMin: 6,
  mergeBytesMin: 1_048_576,
  mergeBytesMax: 2_097_152,
  maintainIntervalMs: 5_000,
  sweepIntervalMs: 5_000,
  sweepAgeMs: 10_000,
}
const never: Partial<Settings> = {
  mergeIntervalMs: 86_400_000,
  maintainIntervalMs: 86_400_000,
  sweepIntervalMs: 86_400_000,
}
/** Less than the topic, so that each round reads from disk or page cache; enough for the chunks that are being read. */
const littleCache: Partial<Settings> = { chunkCacheBytesMax: 8_388_608 }
const readRounds = 9
const readAppends = 24_000

interface Sample {
  readonly seconds: number
  readonly objects: number
  readonly rows: number
  readonly inline: number
  readonly candidates: number
  /** Of all heads and items, keys and inline chunks among them. */
  readonly metadataBytes: number
}

export interface Soaked {
  /** As Markdown. */
  readonly text: string
  readonly svg: string
}

export async function soak(directory: string, seconds: number): Promise<Soaked> {
  const soaked = await soakServer(`${directory}/soak`, seconds)
  const read = await readBeforeAndAfter(`${directory}/read`)
  return { text: `${soaked.text}\n\n${read}`, svg: soaked.svg }
}

async function soakServer(directory: string, seconds: number): Promise<Soaked> {
  const server = startServer(directory, often)
  const port = await server.call<number>('port')
  await createTopic(port, topic, partitions)
  await configure(port, 'retention.bytes', String(retentionBytes))
  const store = new StoreWatch(directory)
  const load = new SoakLoad(port, topic, partitions)
  const samples: Sample[] = []
  const running = load.run(seconds, appendsPerSecond)
  let isOver = false
  const over = () => {
    isOver = true
  }
  running.then(over, over)
  const startedMs = performance.now()
  while (!isOver) {
    samples.push(await store.sample((performance.now() - startedMs) / 1_000))
    await sleep(1_000)
  }
  await running
  const compared = await load.readAll()
  const usage = await server.call<Usage>('usage')
  const { merged, seen } = store
  store.close()
  const databaseBytes = (await stat(`${directory}/metadata.db`)).size
  await server.stop()

  const latenciesMs = load.latenciesMs.sort((a, b) => a - b)
  const third = Math.floor(samples.length / 3)
  const most = (from: number, to: number, of: (sample: Sample) => number) =>
    Math.max(...samples.slice(from, to).map(of))
  const line = (name: string, of: (sample: Sample) => number) =>
    `| ${name} | ${[most(0, third, of), most(third, 2 * third, of), most(2 * third, samples.length, of)].map(thousands).join(' | ')} |`
  const text = [
    `${Math.round(seconds)} s of ${thousands(load.appends)} appends (${thousands(load.records)} records, ${megabytes(load.bytes)}), of which the last ${thousands(compared)} records were kept by \`retention.bytes\`. ` +
      `${thousands(merged)} merges; ${thousands(seen)} objects were there at some time, most of them gone by now. ` +
      `Readers compared ${thousands(load.recordsRead)} records meanwhile, and at the end all that were kept: each at its offset, none else. ` +
      `Produce took ${quantile(latenciesMs, 0.5).toFixed(1)} ms (p50) and ${quantile(latenciesMs, 0.99).toFixed(1)} ms (p99), the server's memory was at most ${megabytes(usage.rssBytesPeak)}, its processor time ${usage.cpuSeconds.toFixed(0)} s, \`metadata.db\` ${megabytes(databaseBytes)}.`,
    [
      '| most at a time, of all partitions | first third | second | last |',
      '|:--|--:|--:|--:|',
      line('objects', ({ objects }) => objects),
      line('rows', ({ rows }) => rows),
      line('inline chunks', ({ inline }) => inline),
      line('candidates', ({ candidates }) => candidates),
      line('KB of heads and items', ({ metadataBytes }) => Math.round(metadataBytes / 1_000)),
    ].join('\n'),
  ].join('\n\n')
  const panel = (title: string, of: (sample: Sample) => number): Panel => ({ title, values: samples.map(of) })
  const svg = plot(
    `${thousands(load.appends)} appends, ${megabytes(load.bytes)}, ${thousands(merged)} merges`,
    samples.map((sample) => sample.seconds),
    [
      panel('Objects', ({ objects }) => objects),
      panel('Rows', ({ rows }) => rows),
      panel('Inline chunks', ({ inline }) => inline),
      panel('KB of metadata, inline chunks included', ({ metadataBytes }) => Math.round(metadataBytes / 1_000)),
    ],
  )
  return { text, svg }
}

/** Read by looking into the data directory, beside the process that has it. */
class StoreWatch {
  readonly #directory: string
  readonly #database: DatabaseSync
  readonly #seen = new Set<string>()
  /** Segments that a merge wrote. */
  merged = 0

  constructor(directory: string) {
    this.#directory = directory
    this.#database = new DatabaseSync(`${directory}/metadata.db`, { readOnly: true, timeout: 5_000 })
  }

  /** Objects that were there at some time. */
  get seen(): number {
    return this.#seen.size
  }

  async sample(seconds: number): Promise<Sample> {
    const kinds = this.#database
      .prepare(
        `SELECT substr(collection, 1, instr(collection || '/', '/') - 1) AS kind, count(*) AS count,
           sum(length(collection) + length(sort) + length(version) + length(value) + coalesce(length(bytes), 0)) AS bytes
         FROM items GROUP BY kind
         UNION ALL SELECT 'heads', count(*), sum(length(topic_id) + length(value)) FROM heads`,
      )
      .all() as { kind: string; count: number; bytes: number }[]
    const countOf = (name: string) => kinds.find(({ kind }) => kind === name)?.count ?? 0
    return {
      seconds,
      objects: await this.#objects(),
      rows: countOf('rows'),
      inline: countOf('inline'),
      candidates: countOf('candidates'),
      metadataBytes: kinds.reduce((sum, { bytes }) => sum + bytes, 0),
    }
  }

  close(): void {
    this.#database.close()
  }

  async #objects(): Promise<number> {
    const root = `${this.#directory}/objects/segments`
    const digits = await readdir(root)
    const files = (
      await Promise.all(digits.map(async (digit) => (await readdir(`${root}/${digit}`)).map((id) => `${digit}/${id}`)))
    ).flat()
    for (const file of files) {
      if (this.#seen.has(file)) continue
      this.#seen.add(file)
      // The footer's byte of the kind; the object may have been swept since it was listed.
      const bytes = await readFile(`${root}/${file}`).catch(() => undefined)
      if (bytes !== undefined && bytes[bytes.length - 104 + 52] === 1) this.merged++
    }
    return files.length
  }
}

export async function readBeforeAndAfter(directory: string): Promise<string> {
  const bareDirectory = `${directory}-bare`
  await mkdir(bareDirectory)
  const bare = startChild('bare-server.ts', [bareDirectory])
  await bare.call('fill', 64 * 1_048_576)

  const unmerged = startServer(directory, { ...never, ...littleCache })
  const port = await unmerged.call<number>('port')
  // All requests have the same value, of which compression would leave nothing to read.
  await createTopic(port, topic, partitions, { 'merge.compression.type': 'producer' })
  const load = startChild('load.ts')
  await load.call<Loaded>('run', {
    port,
    connections: partitions,
    requests: readAppends,
    method: 'POST',
    paths: Array.from({ length: partitions }, (_, partition) => `/topics/${topic}/partitions/${partition}`),
    headers: { 'content-type': rawType },
    body: { kind: 'small', records: 1, valueBytes: 1_000 },
  } satisfies Load)
  await load.stop()
  const before = await compareReads(unmerged, bare)
  await unmerged.stop()
  const store = new StoreWatch(directory)
  const { rows: rowsBefore, inline: inlineBefore } = await store.sample(0)

  const merging = startServer(directory, {
    ...never,
    maintainIntervalMs: 1_000,
    mergeQuietMs: 0,
    sweepIntervalMs: 1_000,
    sweepAgeMs: 1_000,
  })
  await merging.call('port')
  const { rows: rowsAfter, inline: inlineAfter, objects } = await settled(store, rowsBefore)
  await merging.stop()
  store.close()

  const merged = startServer(directory, { ...never, ...littleCache })
  const after = await compareReads(merged, bare)
  await merged.stop()
  await bare.stop()
  const line = (what: string, stored: string, reads: Reads) => {
    const { megabytesPerSecond, bareMegabytesPerSecond, ratio, cpuSecondsPerGigabyte, bareCpuSecondsPerGigabyte } =
      reads
    const speed = `${megabytesPerSecond.toFixed(0)} | ${bareMegabytesPerSecond.toFixed(0)} | ${ratio.toFixed(2)}`
    return `| ${what} | ${stored} | ${speed} | ${cpuSecondsPerGigabyte.toFixed(1)} | ${bareCpuSecondsPerGigabyte.toFixed(1)} |`
  }
  return [
    `A whole topic of ${thousands(readAppends)} appends of one record of 1 KB (${megabytes(before.bytes)}), read over HTTP, a connection for each of ${partitions} partitions, 1 MiB at a time, beside a bare server that sends as many bytes of a file:`,
    '',
    '| | stored as | MB/s | bare MB/s | ratio | CPU s/GB | bare CPU s/GB |',
    '|:--|:--|--:|--:|--:|--:|--:|',
    line('before merging', `${thousands(rowsBefore)} rows, ${thousands(inlineBefore)} inline chunks`, before),
    line(
      'after',
      `${thousands(rowsAfter)} rows, ${thousands(inlineAfter)} inline chunks, ${thousands(objects)} objects`,
      after,
    ),
  ].join('\n')
}

interface Reads {
  readonly bytes: number
  readonly megabytesPerSecond: number
  readonly bareMegabytesPerSecond: number
  /** Of pairs of rounds. */
  readonly ratio: number
  /** Of the server's process, which neighbours on the machine disturb less than its time. */
  readonly cpuSecondsPerGigabyte: number
  readonly bareCpuSecondsPerGigabyte: number
}

async function compareReads(server: Child, bare: Child): Promise<Reads> {
  const port = await server.call<number>('port')
  const barePort = await bare.call<number>('port')
  const cpuSeconds = async (child: Child) => (await child.call<Usage>('usage')).cpuSeconds
  const [cpuBefore, bareCpuBefore] = [await cpuSeconds(server), await cpuSeconds(bare)]
  const ours: number[] = []
  const bares: number[] = []
  let bytes = 0
  let bytesRead = 0
  let bareBytesRead = 0
  for (let round = 0; round <= readRounds; round++) {
    const startedMs = performance.now()
    bytes = await readWhole(port, topic, partitions)
    const betweenMs = performance.now()
    const bareBytes = await readBare(barePort, bytes, partitions)
    const endedMs = performance.now()
    bytesRead += bytes
    bareBytesRead += bareBytes
    if (round === 0) continue
    ours.push(bytes / 1e3 / (betweenMs - startedMs))
    bares.push(bareBytes / 1e3 / (endedMs - betweenMs))
  }
  return {
    bytes,
    megabytesPerSecond: median(ours),
    bareMegabytesPerSecond: median(bares),
    ratio: median(ours.map((our, index) => our / bares[index]!)),
    cpuSecondsPerGigabyte: ((await cpuSeconds(server)) - cpuBefore) / (bytesRead / 1e9),
    bareCpuSecondsPerGigabyte: ((await cpuSeconds(bare)) - bareCpuBefore) / (bareBytesRead / 1e9),
  }
}

/** When there are fewer rows than `rowsBefore`, and for four seconds nothing was merged or swept. */
async function settled(store: StoreWatch, rowsBefore: number): Promise<Sample> {
  const isSame = (a: Sample, b: Sample) => a.rows === b.rows && a.objects === b.objects && a.candidates === b.candidates
  let last = await store.sample(0)
  for (let quiet = 0; quiet < 4; ) {
    await sleep(1_000)
    const now = await store.sample(0)
    quiet = now.rows < rowsBefore && isSame(now, last) ? quiet + 1 : 0
    last = now
  }
  return last
}

function startServer(directory: string, settings: Partial<Settings>): Child {
  return startChild('highwater-server.ts', [directory, JSON.stringify(settings)])
}

async function configure(port: number, name: string, value: string): Promise<void> {
  const { body } = await ask(`http://127.0.0.1:${port}/v3/clusters`)
  const cluster = (JSON.parse(body.toString()) as { data: { cluster_id: string }[] }).data[0]!.cluster_id
  const answer = await ask(
    `http://127.0.0.1:${port}/v3/clusters/${cluster}/topics/${topic}/configs/${name}`,
    'PUT',
    { 'content-type': 'application/json' },
    JSON.stringify({ value }),
  )
  if (answer.status >= 300) throw new Error(answer.body.toString())
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`
}
