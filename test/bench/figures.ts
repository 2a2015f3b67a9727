/** Rounds in turn, medians, and the table. */
import { open } from 'node:fs/promises'
import type { Child, Usage } from './child.ts'
import { withTempDirectory } from './temp-directory.ts'

/** What one round of a contender did. */
export interface Round {
  readonly seconds: number
  readonly bytes: number
  readonly records: number
  readonly cpuSeconds: number
  /** Of single requests, ascending. */
  readonly latenciesMs?: readonly number[]
}

export interface Measured {
  readonly name: string
  readonly megabytesPerSecond: number
  readonly recordsPerSecond: number
  readonly cpuSecondsPerGigabyte: number
  readonly rssBytesPeak: number
  /** Bytes that JavaScript copied for each byte of the payload. */
  readonly copiesPerByte?: number
  readonly p50Ms?: number
  readonly p99Ms?: number
}

export interface Figure {
  readonly what: string
  readonly ours: Measured
  readonly bare?: Measured
  /** Our throughput by the bare program's: the median over pairs of rounds that ran one after the other. */
  readonly ratio?: number
  readonly aim?: number
  /** Anything worth a sentence. */
  readonly note?: string
}

export interface Contender {
  readonly name: string
  /** Whose processor time and memory count. */
  readonly process: Child
  round(): Promise<Omit<Round, 'cpuSeconds'>>
}

/**
 * Both contenders in turn, `rounds` times after one that warms up and is not counted. Neighbours on the machine slow both
 * down alike, so the ratio is taken pair by pair.
 */
export async function compare(
  what: string,
  ours: Contender,
  bare: Contender | undefined,
  { rounds, aim, note }: { rounds: number; aim?: number; note?: string },
): Promise<Figure> {
  const ourRounds: Round[] = []
  const bareRounds: Round[] = []
  for (let index = 0; index <= rounds; index++) {
    const our = await timed(ours)
    const other = bare === undefined ? undefined : await timed(bare)
    if (index === 0) continue
    ourRounds.push(our)
    if (other !== undefined) bareRounds.push(other)
  }
  const ourUsage = await ours.process.call<Usage>('usage')
  const ratios = bareRounds.map((other, index) => {
    const our = ourRounds[index]!
    return our.bytes / our.seconds / (other.bytes / other.seconds)
  })
  return {
    what,
    ours: { ...(await measured(ours, ourRounds, ourUsage)), copiesPerByte: await copies(ours) },
    ...(bare === undefined
      ? {}
      : { bare: await measured(bare, bareRounds, await bare.process.call<Usage>('usage')), ratio: median(ratios) }),
    ...(aim === undefined ? {} : { aim }),
    ...(note === undefined ? {} : { note }),
  }
}

async function timed(contender: Contender): Promise<Round> {
  await touchFreeMemory()
  const before = await contender.process.call<Usage>('usage')
  const round = await contender.round()
  const after = await contender.process.call<Usage>('usage')
  return { ...round, cpuSeconds: after.cpuSeconds - before.cpuSeconds }
}

/**
 * Under a hypervisor that takes back what is free, the first use of a page costs several times its filling, and falls to
 * whoever runs after a file was written. A scratch file, removed at once, leaves the next round pages that are there.
 */
async function touchFreeMemory(): Promise<void> {
  await withTempDirectory(async (directory) => {
    const file = await open(`${directory}/scratch`, 'w')
    for (let written = 0; written < scratchBytes; written += scratch.length) await file.write(scratch)
    await file.close()
  })
}

const scratchBytes = 256 * 1_048_576
const scratch = Buffer.alloc(4_194_304, 1)

/** A last round, not timed, that counts. */
async function copies(contender: Contender): Promise<number> {
  await contender.process.call('countCopies')
  const before = await contender.process.call<Usage>('usage')
  const { bytes } = await contender.round()
  const after = await contender.process.call<Usage>('usage')
  return (after.copiedBytes - before.copiedBytes) / bytes
}

async function measured(contender: Contender, rounds: readonly Round[], usage: Usage): Promise<Measured> {
  const latencies = rounds.flatMap((round) => round.latenciesMs ?? []).sort((a, b) => a - b)
  return {
    name: contender.name,
    megabytesPerSecond: median(rounds.map(({ bytes, seconds }) => bytes / seconds / 1e6)),
    recordsPerSecond: median(rounds.map(({ records, seconds }) => records / seconds)),
    cpuSecondsPerGigabyte: median(rounds.map(({ bytes, cpuSeconds }) => cpuSeconds / (bytes / 1e9))),
    rssBytesPeak: usage.rssBytesPeak,
    ...(latencies.length === 0 ? {} : { p50Ms: quantile(latencies, 0.5), p99Ms: quantile(latencies, 0.99) }),
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Of ascending values. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

const columns = [
  'what',
  'MB/s',
  'records/s',
  'bare MB/s',
  'ratio',
  'aim',
  'p50 ms',
  'p99 ms',
  'CPU s/GB',
  'bare CPU s/GB',
  'copies/byte',
  'peak RSS MB',
] as const

/** As Markdown. */
export function table(figures: readonly Figure[]): string {
  const rows = figures.map(({ what, ours, bare, ratio, aim }) => [
    what,
    short(ours.megabytesPerSecond),
    short(ours.recordsPerSecond),
    short(bare?.megabytesPerSecond),
    ratio === undefined ? '' : ratio.toFixed(2),
    aim === undefined ? '' : aim.toFixed(1),
    short(ours.p50Ms),
    short(ours.p99Ms),
    short(ours.cpuSecondsPerGigabyte),
    short(bare?.cpuSecondsPerGigabyte),
    ours.copiesPerByte === undefined ? '' : ours.copiesPerByte.toFixed(2),
    short(ours.rssBytesPeak / 1e6),
  ])
  const widths = columns.map((column, index) => Math.max(column.length, ...rows.map((row) => row[index]!.length)))
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, index) => (index === 0 ? cell.padEnd(widths[index]!) : cell.padStart(widths[index]!))).join(' | ')} |`
  const rule = `|${widths.map((width, index) => (index === 0 ? `:${'-'.repeat(width + 1)}` : `${'-'.repeat(width + 1)}:`)).join('|')}|`
  return [line(columns), rule, ...rows.map(line)].join('\n')
}

/** Three digits that mean something. */
function short(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return ''
  if (value >= 1_000) return Math.round(value).toLocaleString('en-US')
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
