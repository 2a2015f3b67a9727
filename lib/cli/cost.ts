/**
 * `highwater cost`: what a running log costs, as its server counts; or, with `--estimate`, what a load would cost on AWS in a month, by
 * the arithmetic of the engine's requests and the list prices, asking nobody.
 */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { billOf, sumOf } from '../core/cost.ts'
import { type Estimate, type EstimatedLoad, estimateOf } from '../core/estimate.ts'
import { type Placement, placements } from '../core/placement.ts'
import { type PriceName, prices } from '../core/prices.ts'
import { CliError, type CliIo, exitCodes, Output } from './io.ts'
import { liveCostText } from './live-cost.ts'
import { connect, type ServerOptions, wholeNumber, withServer } from './options.ts'

interface CostFlags extends ServerOptions {
  readonly estimate?: boolean
  readonly recordsPerSecond?: number
  readonly recordBytes: number
  readonly storedShare?: number
  readonly recordsPerRequest: number
  readonly partitions: number
  readonly retention: number
  readonly through: EstimatedLoad['through']
  readonly placement: Placement
  readonly json?: boolean
}

const dayMs = 86_400_000

export function addCost(program: Command, io: CliIo): void {
  withServer(program.command('cost'))
    .description(
      'Show what a running log costs, by topic and operation, or estimate what a load would, in a month of 730 hours on AWS, without free tiers.',
    )
    .option('--estimate', 'reckon it from the load that the other options describe, without a server')
    .option('--records-per-second <number>', 'all producers together; 0.1 is one in ten seconds', parseRate)
    .option(
      '--record-bytes <number>',
      'key, value and headers of a record, as compressed',
      wholeNumber(1, 4_194_304),
      1_000,
    )
    .option(
      '--stored-share <number>',
      'what the server’s own compression leaves of them: 0.3 of JSON, perhaps',
      parseShare,
    )
    .option('--records-per-request <number>', 'how many the producers gather', wholeNumber(1, 1_000_000), 1)
    .option('--partitions <number>', 'of all topics', wholeNumber(1, 1_000_000), 1)
    .option('--retention <duration>', 'how long records are kept: 12h, 7d', parseDuration, 7 * dayMs)
    .addOption(new Option('--through <door>', 'how requests come in').choices(['api', 'url']).default('api'))
    .addOption(new Option('--placement <where>', 'chunk.placement of the topics').choices(placements).default('auto'))
    .option('--json', 'as one JSON object')
    .action(async (flags: CostFlags) => {
      const { recordsPerSecond } = flags
      if (flags.estimate !== true) {
        if (recordsPerSecond !== undefined)
          throw new CliError('A load is described for an estimate: --estimate.', exitCodes.usage)
        const report = await connect(flags, io).admin.cost()
        const text = flags.json ? `${JSON.stringify(report, null, 2)}\n` : liveCostText(report)
        await new Output(io.stdout).write(text)
        return
      }
      if (recordsPerSecond === undefined) throw new CliError('An estimate needs --records-per-second.', exitCodes.usage)
      const load: EstimatedLoad = {
        recordsPerSecond,
        recordBytes: flags.recordBytes,
        recordsPerRequest: flags.recordsPerRequest,
        partitions: flags.partitions,
        retentionMs: flags.retention,
        through: flags.through,
        placement: flags.placement,
        ...(flags.storedShare === undefined ? {} : { storedShare: flags.storedShare }),
      }
      const estimate = estimateOf(load)
      await new Output(io.stdout).write(flags.json ? jsonOf(load, estimate) : textOf(estimate))
    })
}

/** What is used, as people call it. */
const labels: Readonly<Partial<Record<PriceName, string>>> = {
  httpApiRequest: 'HTTP API requests',
  lambdaRequest: 'Lambda requests',
  lambdaArmGbSecond: 'Lambda GB-seconds',
  logsIngestGb: 'GB of logs',
  s3Put: 'S3 puts and lists',
  s3Get: 'S3 gets',
  s3StorageGbMonth: 'S3 GB-months',
  dynamoDbWrite: 'DynamoDB write units',
  dynamoDbRead: 'DynamoDB read units',
  schedulerInvocation: 'scheduled calls',
}

function textOf({ usage, isInline, requestMs, requestsPerMonth }: Estimate): string {
  const rows: string[][] = []
  for (const [purpose, used] of Object.entries(usage))
    for (const [at, { name, quantity, usd }] of billOf(used).lines.entries())
      rows.push([at === 0 ? purpose : '', labels[name] ?? name, quantityText(quantity), usd.toFixed(2)])
  const { usd } = billOf(sumOf(...Object.values(usage)))
  rows.push(['total', 'US dollars a month', '', usd.toFixed(2)])
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]!.length)))
  const lines = rows.map((row) =>
    row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join('  '),
  )
  const where = isInline ? 'DynamoDB until they are merged' : 'S3'
  const note =
    requestsPerMonth === 0
      ? ''
      : `Batches go to ${where}; a request takes about ${requestMs.toFixed(0)} ms of a function.\n`
  return `${lines.join('\n')}\n${note}`
}

function jsonOf(load: EstimatedLoad, { usage, ...rest }: Estimate): string {
  const bills = Object.entries(usage).map(([purpose, used]) => {
    const { lines, usd } = billOf(used)
    return [purpose, { usd, lines: lines.map((line) => ({ ...line, unit: prices[line.name].unit })) }]
  })
  const { usd } = billOf(sumOf(...Object.values(usage)))
  return `${JSON.stringify({ load, ...rest, usdPerMonth: usd, bills: Object.fromEntries(bills) }, null, 2)}\n`
}

function quantityText(quantity: number): string {
  return quantity >= 100 ? Math.round(quantity).toLocaleString('en-US') : quantity.toPrecision(3)
}

function parseRate(text: string): number {
  const value = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= 0 && value <= 1e9)) throw new InvalidArgumentError('It is a number of at least 0.')
  return value
}

function parseShare(text: string): number {
  const value = /^[01](\.[0-9]+)?$/.test(text) ? Number(text) : Number.NaN
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('It is a number above 0, at most 1.')
  return value
}

const unitsMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: dayMs }

function parseDuration(text: string): number {
  const [, digits, unit = ''] = /^([0-9]{1,6})([smhd])$/.exec(text) ?? []
  if (digits === undefined) throw new InvalidArgumentError('It is a number and s, m, h or d.')
  return Number(digits) * (unitsMs[unit] ?? 0)
}
