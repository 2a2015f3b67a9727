/**
 * `npm run bench:cost [-- word ...]`: what loads cost on AWS, from runs of the engine whose requests are metered (cost-runs.ts), beside published
 * prices of others. docs/costs.md says how, and holds the last run: `--write` puts it there. Words choose loads by their names.
 */
import { readFile, writeFile } from 'node:fs/promises'
import type { Usage } from '../../lib/core/cost.ts'
import { billOf, gigabyte, hoursPerMonth, secondsPerMonth, sumOf } from '../../lib/core/cost.ts'
import { listPrices, type Price, prices } from '../../lib/core/prices.ts'
import { others } from './cost-others.ts'
import { type CostRun, costRun, type IdleCost, idleCost, type Load } from './cost-runs.ts'
import { scaleTables } from './cost-scale.ts'

const mib = 1_048_576 / 1_000
const functions = { recordsPerRequest: 1, partitions: 1, door: 'functions' } as const
const gathered = { recordsPerRequest: 1, partitions: 1, door: 'gathered' } as const
const loads: readonly Load[] = [
  { ...functions, name: '1 record/s', recordsPerSecond: 1 },
  { ...functions, name: '1 record/s, JSON', recordsPerSecond: 1, json: 'as it is' },
  { ...functions, name: '10 records/s', recordsPerSecond: 10 },
  { ...functions, name: '100 KiB/s', recordsPerSecond: mib / 10.24 },
  { ...functions, name: '100 KiB/s, 1,000 a request', recordsPerSecond: mib / 10.24, recordsPerRequest: 1_000 },
  { ...functions, name: '1 MiB/s', recordsPerSecond: mib, partitions: 4 },
  { ...functions, name: '1 MiB/s, 1,000 a request', recordsPerSecond: mib, recordsPerRequest: 1_000 },
  {
    ...functions,
    name: '1 MiB/s, 1,000 a request, JSON',
    recordsPerSecond: mib,
    recordsPerRequest: 1_000,
    json: 'as it is',
  },
  {
    ...functions,
    name: '1 MiB/s, 1,000 a request, JSON in zstd',
    recordsPerSecond: mib,
    recordsPerRequest: 1_000,
    json: 'zstd',
  },
  {
    ...functions,
    name: '10 MiB/s, 1,000 a request',
    recordsPerSecond: 10 * mib,
    recordsPerRequest: 1_000,
    partitions: 2,
  },
  { ...gathered, name: '1 record/s', recordsPerSecond: 1, requestsMax: 8_000 },
  { ...gathered, name: '10 records/s', recordsPerSecond: 10, requestsMax: 12_000 },
  { ...gathered, name: '100 KiB/s', recordsPerSecond: mib / 10.24, requestsMax: 60_000 },
  { ...gathered, name: '1 MiB/s', recordsPerSecond: mib, partitions: 4 },
  {
    ...gathered,
    name: '10 MiB/s, 1,000 a request',
    recordsPerSecond: 10 * mib,
    recordsPerRequest: 1_000,
    partitions: 2,
  },
]
const storedDays = 7

interface Row {
  readonly run: CostRun
  readonly api: number
  readonly url: number
}

const usd = (value: number) =>
  value >= 1_000 ? Math.round(value).toLocaleString('en-US') : value >= 100 ? value.toFixed(0) : value.toFixed(2)
const table = (head: readonly string[], rows: readonly (readonly string[])[]) => {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, at) => (at === 0 ? ':--' : '--:'))), ...rows.map(line)].join('\n')
}
const only = (usage: Usage, ...names: (keyof Usage)[]) =>
  billOf(Object.fromEntries(names.map((name) => [name, usage[name] ?? 0]))).usd

const page = new URL('../../docs/costs.md', import.meta.url)
const words = process.argv.slice(2).filter((word) => !word.startsWith('-'))
const startedMs = performance.now()
const idles = new Map<number, IdleCost>()
const idleOf = async (partitions: number) => {
  const known = idles.get(partitions) ?? (await idleCost(partitions))
  idles.set(partitions, known)
  return known
}

const rows: Row[] = []
for (const load of loads) {
  if (words.length > 0 && !words.some((word) => load.name.includes(word) || load.door === word)) continue
  const beganMs = performance.now()
  const run = await costRun(load, await idleOf(load.partitions))
  const url = billOf(run.produce).usd + billOf(run.upkeep).usd
  rows.push({ run, url, api: url + billOf({ httpApiRequest: run.apiRequests }).usd })
  console.error(
    `${load.door}, ${load.name}: ${((performance.now() - beganMs) / 1_000).toFixed(0)} s, ${run.merges} merges, ${run.segmentsDeleted} segments deleted`,
  )
}
/** Functions of one partition share nothing with those of another: ten times the partitions, ten times the bill. Servers gather more: at most. */
for (const { run } of rows.filter(({ run }) => run.load.name.startsWith('10 MiB'))) {
  const ten = (usage: Usage) => sumOf(...Array.from({ length: 10 }, () => usage))
  const { load } = run
  const more: CostRun = {
    ...run,
    load: {
      ...load,
      name: `${load.name.replace('10', '100')} *`,
      recordsPerSecond: 100 * mib,
      partitions: 10 * load.partitions,
    },
    produce: ten(run.produce),
    upkeep: ten(run.upkeep),
    requests: 10 * run.requests,
    apiRequests: 10 * run.apiRequests,
  }
  const url = billOf(more.produce).usd + billOf(more.upkeep).usd
  rows.push({ run: more, url, api: url + billOf({ httpApiRequest: more.apiRequests }).usd })
}

const storage = ({ load, bytesPerRecord }: CostRun) =>
  (load.recordsPerSecond * bytesPerRecord * storedDays * 86_400 * listPrices.s3StorageGbMonth) / gigabyte

/** A server of this size was measured to do it (docs/benchmarks.md: about 3 processor seconds for a gigabyte). */
const serverOf = ({ recordsPerSecond }: Load) =>
  recordsPerSecond > 50 * mib
    ? { vcpu: 1, gb: 4 }
    : recordsPerSecond > 5 * mib
      ? { vcpu: 0.5, gb: 2 }
      : { vcpu: 0.25, gb: 0.5 }
const serversUsd = (load: Load) => {
  const { vcpu, gb } = serverOf(load)
  return billOf({ fargateArmVcpuHour: 2 * vcpu * hoursPerMonth, fargateArmGbHour: 2 * gb * hoursPerMonth }).usd
}

function functionsTable(): string {
  return table(
    [
      'load',
      'partitions',
      'requests/s',
      'HTTP API: total',
      'URL: total',
      'gateway',
      'functions',
      'logs',
      'S3',
      'DynamoDB',
      'upkeep',
      'ms/request',
      `storage, ${storedDays} days`,
    ],
    rows
      .filter(({ run }) => run.load.door === 'functions')
      .map(({ run, api, url }) => [
        run.load.name,
        `${run.load.partitions}`,
        (run.requests / secondsPerMonth).toPrecision(3),
        `**${usd(api)}**`,
        `**${usd(url)}**`,
        usd(api - url),
        usd(only(run.produce, 'lambdaRequest', 'lambdaArmGbSecond')),
        usd(only(run.produce, 'logsIngestGb')),
        usd(only(run.produce, 's3Put', 's3Get')),
        usd(only(run.produce, 'dynamoDbWrite', 'dynamoDbRead')),
        usd(billOf(run.upkeep).usd),
        run.requestMs.toFixed(0),
        usd(storage(run)),
      ]),
  )
}

function gatheredTable(): string {
  return table(
    [
      'load',
      'partitions',
      'requests/s',
      'total',
      'two servers',
      'S3',
      'DynamoDB',
      'upkeep',
      'ms/request',
      `storage, ${storedDays} days`,
    ],
    rows
      .filter(({ run }) => run.load.door === 'gathered')
      .map(({ run, url }) => [
        run.load.name,
        `${run.load.partitions}`,
        (run.requests / secondsPerMonth).toPrecision(3),
        `**${usd(url + serversUsd(run.load))}**`,
        usd(serversUsd(run.load)),
        usd(only(run.produce, 's3Put', 's3Get')),
        usd(only(run.produce, 'dynamoDbWrite', 'dynamoDbRead')),
        usd(billOf(run.upkeep).usd),
        run.requestMs.toFixed(0),
        usd(storage(run)),
      ]),
  )
}

function unitsTable(): string {
  const per = ({ requests }: CostRun, count = 0) => (count / requests).toFixed(2)
  return table(
    [
      'load',
      'puts',
      'write units',
      'read units',
      'GB-seconds',
      'puts of upkeep',
      'gets',
      'write units',
      'read units',
      'GB-seconds',
    ],
    rows
      .filter(({ run }) => run.load.door === 'functions')
      .map(({ run }) => [
        run.load.name,
        per(run, run.produce.s3Put),
        per(run, run.produce.dynamoDbWrite),
        per(run, run.produce.dynamoDbRead),
        ((run.produce.lambdaArmGbSecond ?? 0) / run.requests).toFixed(3),
        per(run, run.upkeep.s3Put),
        per(run, run.upkeep.s3Get),
        per(run, run.upkeep.dynamoDbWrite),
        per(run, run.upkeep.dynamoDbRead),
        ((run.upkeep.lambdaArmGbSecond ?? 0) / run.requests).toFixed(3),
      ]),
  )
}

async function idleTable(): Promise<string> {
  return table(
    ['partitions', 'a month', 'S3', 'DynamoDB', 'functions and their calls'],
    await Promise.all(
      [1, 100].map(async (partitions) => {
        const { month } = await idleOf(partitions)
        return [
          `${partitions}`,
          `**${usd(billOf(month).usd)}**`,
          usd(only(month, 's3Put', 's3Get')),
          usd(only(month, 'dynamoDbRead', 'dynamoDbWrite')),
          usd(only(month, 'lambdaRequest', 'lambdaArmGbSecond', 'logsIngestGb', 'schedulerInvocation')),
        ]
      }),
    ),
  )
}

function othersTable(): string {
  const compared = rows.filter(({ run }) => run.load.json === undefined)
  const names = [...new Set(compared.map(({ run }) => run.load.name.replace(' *', '')))]
  const cheapest = (door: Load['door'], name: string) => {
    const row = compared.find(({ run }) => run.load.door === door && run.load.name.replace(' *', '') === name)
    if (row === undefined) return ''
    return usd(row.url + storage(row.run) + (door === 'gathered' ? serversUsd(row.run.load) : 0))
  }
  const sources = others.map(({ name, source }) => `- **${name}**: ${source}`).join('\n')
  const beside = table(
    ['load', 'functions, URL', 'servers', ...others.map(({ name }) => name)],
    names.map((name) => {
      const { load } = compared.find(({ run }) => run.load.name.replace(' *', '') === name)!.run
      const bytesPerSecond = load.recordsPerSecond * 1_000
      const asked = { recordsPerSecond: load.recordsPerSecond, bytesPerSecond, partitions: load.partitions, storedDays }
      return [
        name,
        cheapest('functions', name),
        cheapest('gathered', name),
        ...others.map((other) => usd(other.usd(asked))),
      ]
    }),
  )
  return `${beside}\n\n${sources}`
}

const pricesTable = () =>
  table(
    ['price', 'US dollars', 'of one', 'from', 'read there in November 2026'],
    Object.entries<Price>(prices).map(([name, { usd: of, unit, source, isChecked }]) => [
      name,
      of < 0.001 ? `${Number((of * 1e6).toPrecision(6))} / million` : `${of}`,
      unit,
      source,
      isChecked ? 'yes' : 'no',
    ]),
  )

const parts: Readonly<Record<string, () => string | Promise<string>>> = {
  functions: functionsTable,
  units: unitsTable,
  gathered: gatheredTable,
  idle: idleTable,
  others: othersTable,
  prices: pricesTable,
  scale: scaleTables,
}
let text = await readFile(page, 'utf8')
for (const [name, make] of Object.entries(parts)) {
  // Who asks for some loads does not ask how the log grows.
  if (words.length > 0 && name === 'scale') continue
  const made = await make()
  console.log(`\n${name}\n\n${made}`)
  const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`]
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < 0) throw new Error(`docs/costs.md has no place for ${name}`)
  text = `${text.slice(0, from + begin.length)}\n\n${made}\n\n${text.slice(to)}`
}
console.error(`${((performance.now() - startedMs) / 1_000).toFixed(0)} s`)
if (process.argv.includes('--write')) {
  if (words.length > 0) throw new Error('what is written is a whole run: no words')
  await writeFile(page, text)
}
