/** What a running log costs, as text. */
import { hoursPerMonth } from '../core/cost.ts'
import type { CostOfUse, CostReport, Priced } from '../core/cost-report.ts'
import type { PriceName } from '../core/prices.ts'
import { operations } from '../core/usage.ts'

/** Lines of the first table; the dearest. */
const usesShownMax = 30

export function liveCostText(report: CostReport): string {
  const { used, stored, windowMs, sinceMs, untilMs, usdPerMonth, storageUsdPerMonth } = report
  const window = `${durationText(windowMs)}${windowMs + 60_000 < untilMs - sinceMs ? ` (the server has run for ${durationText(untilMs - sinceMs)})` : ''}`
  const whose = report.scope === 'log' ? 'The log' : 'This server, without others that share its stores'
  const parts = [
    `${whose}, over the last ${window}, priced as on AWS, requests to the stores alone:\n`,
    tableOf(
      ['TOPIC', 'OPERATION', ...usedColumns],
      used.slice(0, usesShownMax).map((use) => [use.topic ?? '-', use.operation, ...usedCells(use.inWindow, use)]),
    ),
    used.length > usesShownMax ? `and ${used.length - usesShownMax} more (--json has all)\n` : '',
    '\n',
    tableOf(
      ['OPERATION', ...usedColumns],
      operations.flatMap((operation) => {
        const own = used.filter((use) => use.operation === operation)
        return own.length === 0 ? [] : [[operation, ...usedCells(sumOf(own.map(({ inWindow }) => inWindow)), ...own)]]
      }),
    ),
    '\n',
    stored.length === 0
      ? ''
      : `${tableOf(
          ['STORED', 'MB IN OBJECTS', 'MB INLINE', 'USD/MONTH'],
          stored.map(({ topic, objectBytes, inlineBytes, usdPerMonth: usd }) => [
            topic,
            megabytes(objectBytes),
            megabytes(inlineBytes),
            usdText(usd),
          ]),
        )}${report.isStoredWhole ? '' : 'and more, which was not looked at\n'}\n`,
    `requests  ${usdText(report.usdPerHour)} an hour, ${usdText(usdPerMonth)} in a month of ${hoursPerMonth} hours like this\n`,
    `storage   ${usdText(storageUsdPerMonth)} a month\n`,
    `together  ${usdText(usdPerMonth + storageUsdPerMonth)} US dollars a month\n`,
  ]
  return parts.join('')
}

const usedColumns = ['REQUESTS', 'PUTS', 'GETS', 'WRITE UNITS', 'READ UNITS', 'USD/MONTH']

function usedCells({ requests, units }: Priced, ...uses: readonly Pick<CostOfUse, 'usdPerMonth'>[]): string[] {
  const counts = [requests, units.s3Put, units.s3Get, units.dynamoDbWrite, units.dynamoDbRead]
  return [
    ...counts.map((count = 0) => Math.round(count).toLocaleString('en-US')),
    usdText(uses.reduce((sum, { usdPerMonth }) => sum + usdPerMonth, 0)),
  ]
}

function sumOf(parts: readonly Priced[]): Priced {
  const units: { [Name in PriceName]?: number } = {}
  for (const part of parts)
    for (const [name, quantity] of Object.entries(part.units) as [PriceName, number][])
      units[name] = (units[name] ?? 0) + quantity
  return {
    requests: parts.reduce((sum, { requests }) => sum + requests, 0),
    usd: parts.reduce((sum, { usd }) => sum + usd, 0),
    units,
  }
}

/** Numbers to the right; the first columns, which are no numbers, to the left. */
function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const isText = (column: number) => head[column] === 'TOPIC' || head[column] === 'OPERATION' || column === 0
  return all
    .map((row) =>
      row.map((cell, at) => (isText(at) ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('  '),
    )
    .map((line) => `${line.trimEnd()}\n`)
    .join('')
}

function usdText(usd: number): string {
  return usd === 0 || usd >= 0.01 ? usd.toFixed(2) : usd < 0.000_001 ? '0.000001' : usd.toFixed(6)
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes > 0 && bytes < 1e5 ? 3 : 1)
}

function durationText(durationMs: number): string {
  const minutes = Math.round(durationMs / 60_000)
  if (minutes < 1) return `${Math.round(durationMs / 1_000)} s`
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
