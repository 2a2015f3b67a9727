/**
 * `npm run bench [-- word ...]`: every figure beside a bare program's of the same run. docs/benchmarks.md says how it is
 * measured, and holds the last run: `--write` puts it there.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { appendBench } from './append.ts'
import { backfillTable } from './backfill.ts'
import { coldStart, coldStartTable } from './cold-start.ts'
import { commitsBench } from './commits.ts'
import { compactionTable } from './compaction.ts'
import { fetchBench } from './fetch.ts'
import { type Figure, table } from './figures.ts'
import { flightsBench } from './flights.ts'
import { idleGroupsTable } from './groups.ts'
import { latencyTable } from './latency.ts'
import { longPartition } from './long-partition.ts'
import { meterBench } from './meter.ts'
import { produceBench } from './produce.ts'
import { recompressionTable } from './recompression.ts'
import { soak } from './soak.ts'
import { withTempDirectory } from './temp-directory.ts'

/** What a bench gets. */
export interface Bench {
  /** A fresh directory, removed afterwards. */
  readonly directory: string
}

const benches: Readonly<Record<string, (bench: Bench) => Promise<readonly Figure[]>>> = {
  append: appendBench,
  produce: produceBench,
  fetch: fetchBench,
  commits: commitsBench,
  flights: flightsBench,
}
/** Only where they are named: their tables stand elsewhere. */
const named: typeof benches = { meter: meterBench }
const page = new URL('../../docs/benchmarks.md', import.meta.url)
const groupsPage = new URL('../../docs/groups.md', import.meta.url)
const upkeepPage = new URL('../../docs/upkeep.md', import.meta.url)
const latencyPage = new URL('../../docs/latency.md', import.meta.url)
const soakPlot = new URL('../../docs/soak.svg', import.meta.url)
const [begin, end] = ['<!-- the last run -->', '<!-- end of the last run -->']

const words = process.argv.slice(2).filter((word) => !word.startsWith('-'))
const isWanted = (name: string) => words.length === 0 || words.includes(name)
const startedMs = performance.now()
const seconds = (sinceMs: number) => ((performance.now() - sinceMs) / 1_000).toFixed(0)
const figures: Figure[] = []
for (const [name, run] of Object.entries({ ...benches, ...named })) {
  if (!isWanted(name) || (name in named && !words.includes(name))) continue
  const benchStartedMs = performance.now()
  figures.push(...(await withTempDirectory((directory) => run({ directory }))))
  console.error(`${name}: ${seconds(benchStartedMs)} s`)
}
const parts: string[] = []
if (figures.length > 0) parts.push(table(figures))
const notes = figures.flatMap(({ what, note }) => (note === undefined ? [] : [`- ${what}: ${note}`]))
if (notes.length > 0) parts.push(notes.join('\n'))
if (isWanted('long-partition')) parts.push(await longPartitionTable())
const idleGroups = isWanted('groups') ? await idleGroupsTable() : undefined
if (idleGroups !== undefined) parts.push(idleGroups)
if (isWanted('cold-start'))
  parts.push(
    `Functions’ bundles, and how long a fresh process takes to import one:\n\n${coldStartTable(await coldStart())}`,
  )
// Only where it is named, too.
if (words.includes('backfill')) parts.push(await withTempDirectory((directory) => backfillTable({ directory })))
parts.push(
  `${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model.trim()}, ${seconds(startedMs)} s.`,
)
const machine = parts[parts.length - 1]!
// Minutes long, therefore only where it is asked for.
const soaked = words.includes('soak')
  ? await withTempDirectory((directory) => soak(directory, soakSeconds()))
  : undefined
if (soaked !== undefined) console.log(soaked.text)
const latency = words.includes('latency') ? await latencyTable() : undefined
if (latency !== undefined) console.log(latency)
if (words.includes('recompression')) console.log(await recompressionTable())
if (words.includes('compaction')) console.log(await withTempDirectory(compactionTable))
const text = parts.join('\n\n')
console.log(text)
if (process.argv.includes('--write')) {
  // What costs money is a page of its own.
  if (idleGroups !== undefined) await write(groupsPage, idleGroups)
  if (latency !== undefined) await write(latencyPage, latency)
  if (soaked !== undefined) {
    await write(upkeepPage, `${soaked.text}\n\n${machine.slice(0, machine.lastIndexOf(','))}.`)
    await writeFile(soakPlot, soaked.svg)
  }
  if (parts.length > (idleGroups === undefined ? 1 : 2)) await write(page, text)
}

function soakSeconds(): number {
  const minutes = process.argv.find((word) => word.startsWith('--minutes='))?.slice('--minutes='.length)
  return minutes === undefined ? 60 : Number(minutes) * 60
}

async function write(where: URL, what: string): Promise<void> {
  const old = await readFile(where, 'utf8')
  const before = old.slice(0, old.indexOf(begin) + begin.length)
  await writeFile(where, `${before}\n\n${what}\n\n${old.slice(old.indexOf(end))}`)
}

async function longPartitionTable(): Promise<string> {
  const { records, appends, places } = await longPartition()
  const rows = places.map(({ name, offset, requests, bytesRead, p50Ms }) => {
    const asked = Object.entries(requests).map(([kind, count]) => `${count} ${kind}`)
    return `| ${name} | ${offset.toLocaleString('en')} | ${asked.join(', ')} | ${Math.round(bytesRead).toLocaleString('en')} | ${p50Ms.toFixed(2)} |`
  })
  return [
    `One fetch from a partition of ${records.toLocaleString('en')} records in ${appends.toLocaleString('en')} commits, nothing cached, in memory:`,
    '',
    '| where | offset | requests | bytes read | p50 ms |',
    '|:------|-------:|:---------|-----------:|-------:|',
    ...rows,
  ].join('\n')
}
