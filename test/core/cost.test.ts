import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  billOf,
  httpApiRequestsOf,
  type MeterReading,
  readUnitsOf,
  requestKinds,
  sumOf,
  times,
  usageOf,
  writeUnitsOf,
} from '../../lib/core/cost.ts'
import { listPrices } from '../../lib/core/prices.ts'

test('a write is billed by the whole item, each begun KB a unit, twice in a transaction', () => {
  assert.deepEqual(
    [0, 1, 1_023, 1_024, 1_025, 2_048, 2_049].map((bytes) => writeUnitsOf(bytes)),
    [1, 1, 1, 1, 2, 2, 3],
  )
  assert.deepEqual(
    [1, 1_024, 1_025].map((bytes) => writeUnitsOf(bytes, true)),
    [2, 2, 4],
  )
})

test('a read is billed by each begun 4 KB of all that it reads, and at least one unit where there is nothing', () => {
  assert.deepEqual([0, 1, 4_095, 4_096, 4_097, 8_193].map(readUnitsOf), [1, 1, 1, 1, 2, 3])
})

test('an HTTP API counts each begun 512 KB of a body as a request', () => {
  assert.deepEqual([0, 524_287, 524_288, 524_289, 4_194_304].map(httpApiRequestsOf), [1, 1, 1, 2, 8])
})

const reading = (some: Partial<MeterReading>): MeterReading => ({
  ...(Object.fromEntries(
    requestKinds.map((kind) => [kind, { requests: 0, bytes: 0, writeUnits: 0, readUnits: 0 }]),
  ) as unknown as MeterReading),
  ...some,
})

test('a reading becomes what has a price: lists are priced as puts, units come from every kind of request', () => {
  const used = usageOf(
    reading({
      'objects.create': { requests: 3, bytes: 9, writeUnits: 0, readUnits: 0 },
      'objects.list': { requests: 2, bytes: 0, writeUnits: 0, readUnits: 0 },
      'objects.read': { requests: 7, bytes: 9, writeUnits: 0, readUnits: 0 },
      'metadata.updateHead': { requests: 2, bytes: 9, writeUnits: 3, readUnits: 0 },
      'metadata.writeTransaction': { requests: 1, bytes: 9, writeUnits: 4, readUnits: 0 },
      'metadata.query': { requests: 1, bytes: 9, writeUnits: 0, readUnits: 2 },
      'metadata.readHead': { requests: 1, bytes: 9, writeUnits: 0, readUnits: 1 },
    }),
  )
  assert.deepEqual(used, { s3Put: 5, s3Get: 7, s3Delete: 0, dynamoDbWrite: 7, dynamoDbRead: 3 })
})

test('a bill has a line for each thing used, and its sum is theirs', () => {
  const bill = billOf(sumOf({ s3Put: 1e6 }, { s3Put: 1e6, dynamoDbWrite: 1e6 }, times({ dynamoDbWrite: 1e6 }, 3)))
  assert.deepEqual(
    bill.lines.map(({ name, quantity }) => [name, quantity]),
    [
      ['s3Put', 2e6],
      ['dynamoDbWrite', 4e6],
    ],
  )
  assert.ok(Math.abs(bill.usd - 12.5) < 1e-9)
  assert.equal(billOf({ s3Put: 2 }, { ...listPrices, s3Put: 4 }).usd, 8)
  assert.deepEqual(billOf({}), { lines: [], usd: 0 })
})
