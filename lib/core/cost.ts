/**
 * From requests to capacity units and dollars. Pure: what was counted (lib/adapters/metered.ts) and what is estimated (estimate.ts)
 * are priced by the same functions.
 *
 * DynamoDB bills each write by its whole item, rounded up to 1 KB for that request: the larger of before and after, doubled in a
 * transaction, and the same where the condition refused it; a deletion by what was deleted. A strongly consistent read of one item
 * is rounded up to 4 KB, a query once for the sum of what it read. Either is at least one unit. S3 bills requests by kind.
 */
import type { PriceList, PriceName } from './prices.ts'
import { listPrices } from './prices.ts'

export const writeUnitBytes = 1_024
export const readUnitBytes = 4_096
/** An HTTP API counts a request once for each of these that it brings. */
export const httpApiUnitBytes = 524_288
export const hoursPerMonth = 730
export const secondsPerMonth = hoursPerMonth * 3_600
export const gigabyte = 2 ** 30

export const requestKinds = [
  'objects.create',
  'objects.read',
  'objects.list',
  'objects.delete',
  'metadata.readHead',
  'metadata.createHead',
  'metadata.updateHead',
  /** With items: a transaction, which costs more than the one update. */
  'metadata.updateHeadWithItems',
  'metadata.get',
  'metadata.query',
  'metadata.write',
  /** Of more than one item. */
  'metadata.writeTransaction',
] as const
export type RequestKind = (typeof requestKinds)[number]

export interface Metered {
  readonly requests: number
  /**
   * Objects: content bytes written or read. Heads and items: their size as DynamoDB counts it, the whole of each that was read, or that an
   * applied write left, or that a refusal answered.
   */
  readonly bytes: number
  /** Capacity units of DynamoDB, each request rounded up by itself. */
  readonly writeUnits: number
  readonly readUnits: number
}
export type MeterReading = Readonly<Record<RequestKind, Metered>>

/** Of one write of one item. `itemBytes`: the larger of the item before and after. */
export function writeUnitsOf(itemBytes: number, isInTransaction = false): number {
  return Math.max(1, Math.ceil(itemBytes / writeUnitBytes)) * (isInTransaction ? 2 : 1)
}

/** Of one strongly consistent read: of an item, or of all that a query reads. */
export function readUnitsOf(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / readUnitBytes))
}

/** How often an HTTP API counts a request with a body of so many bytes. */
export function httpApiRequestsOf(bodyBytes: number): number {
  return Math.max(1, Math.ceil(bodyBytes / httpApiUnitBytes))
}

/** How much of what has a price is used, by the price's name, in its unit. */
export type Usage = { readonly [Name in PriceName]?: number }

/** What a meter read of the stores. Kinds that are missing were not asked for. */
export function usageOf(reading: Partial<MeterReading>): Usage {
  let dynamoDbWrite = 0
  let dynamoDbRead = 0
  const requestsOfKind = (kind: RequestKind) => reading[kind]?.requests ?? 0
  for (const { writeUnits, readUnits } of Object.values(reading)) {
    dynamoDbWrite += writeUnits
    dynamoDbRead += readUnits
  }
  return {
    // A list costs what a put does.
    s3Put: requestsOfKind('objects.create') + requestsOfKind('objects.list'),
    s3Get: requestsOfKind('objects.read'),
    s3Delete: requestsOfKind('objects.delete'),
    dynamoDbWrite,
    dynamoDbRead,
  }
}

/** One usage after the other. */
export function sumOf(...usages: readonly Usage[]): Usage {
  const sum: { [Name in PriceName]?: number } = {}
  for (const usage of usages) for (const [name, quantity] of entriesOf(usage)) sum[name] = (sum[name] ?? 0) + quantity
  return sum
}

export function times(usage: Usage, factor: number): Usage {
  return Object.fromEntries(entriesOf(usage).map(([name, quantity]) => [name, quantity * factor]))
}

export interface BillLine {
  readonly name: PriceName
  readonly quantity: number
  readonly usd: number
}

export interface Bill {
  /** What is used, in the order of the price table; also what is free. */
  readonly lines: readonly BillLine[]
  readonly usd: number
}

export function billOf(usage: Usage, prices: PriceList = listPrices): Bill {
  const lines = (Object.keys(prices) as PriceName[]).flatMap((name): BillLine[] => {
    const quantity = usage[name] ?? 0
    return quantity === 0 ? [] : [{ name, quantity, usd: quantity * prices[name] }]
  })
  return { lines, usd: lines.reduce((sum, line) => sum + line.usd, 0) }
}

function entriesOf(usage: Usage): [PriceName, number][] {
  return Object.entries(usage) as [PriceName, number][]
}
