import assert from 'node:assert/strict'
import { test } from 'node:test'
import { billOf, secondsPerMonth, sumOf } from '../../lib/core/cost.ts'
import { type EstimatedLoad, estimateOf } from '../../lib/core/estimate.ts'
import { listPrices } from '../../lib/core/prices.ts'
import { costRun, idleCost } from '../bench/cost-runs.ts'

const load: EstimatedLoad = {
  recordsPerSecond: 1,
  recordBytes: 1_000,
  recordsPerRequest: 1,
  partitions: 1,
  retentionMs: 7 * 86_400_000,
  through: 'api',
  placement: 'auto',
}
const totalOf = (given: EstimatedLoad) => billOf(sumOf(...Object.values(estimateOf(given).usage))).usd

test('an estimate says what the engine, metered, comes to: within a tenth for the stores, a quarter for the upkeep', async () => {
  const run = await costRun(
    {
      name: 'a short run',
      recordsPerSecond: 1,
      recordsPerRequest: 1,
      partitions: 1,
      door: 'functions',
      requestsMax: 2_500,
    },
    await idleCost(1),
  )
  const { usage } = estimateOf(load)
  const ratio = (estimated: number, measured: number) => estimated / measured
  const stores = ratio(billOf(sumOf(usage.stores, usage.functions, usage.logs)).usd, billOf(run.produce).usd)
  assert.ok(stores > 0.9 && stores < 1.1, `stores ${stores}`)
  const upkeep = ratio(billOf(usage.upkeep).usd, billOf(run.upkeep).usd)
  assert.ok(upkeep > 0.8 && upkeep < 1.25, `upkeep ${upkeep}`)
})

test('an HTTP API adds its requests, each begun 512 KB of a body counted; a function URL adds nothing', () => {
  const gateway = (given: Partial<EstimatedLoad>) => estimateOf({ ...load, ...given }).usage.gateway
  assert.deepEqual(gateway({}), { httpApiRequest: secondsPerMonth })
  assert.deepEqual(gateway({ recordsPerSecond: 1_000, recordsPerRequest: 1_000 }), {
    httpApiRequest: 2 * secondsPerMonth,
  })
  assert.deepEqual(gateway({ through: 'url' }), {})
})

test('small batches are inline where that is cheaper, and no choice of the topic is cheaper than auto', () => {
  assert.equal(estimateOf(load).isInline, true)
  assert.equal(estimateOf({ ...load, recordsPerRequest: 100 }).isInline, false)
  for (const recordsPerRequest of [1, 3, 4, 20, 1_000])
    for (const placement of ['inline', 'segment'] as const)
      assert.ok(
        totalOf({ ...load, recordsPerRequest }) <= totalOf({ ...load, recordsPerRequest, placement }) * 1.0001,
        `${recordsPerRequest} ${placement}`,
      )
})

test('twice the records cost at most twice as much, more records in a request never more', () => {
  assert.ok(totalOf({ ...load, recordsPerSecond: 2 }) <= 2 * totalOf(load))
  let last = Number.POSITIVE_INFINITY
  for (const recordsPerRequest of [1, 2, 4, 10, 100, 1_000]) {
    const total = totalOf({ ...load, recordsPerSecond: 1_000, recordsPerRequest })
    assert.ok(total < last, `${recordsPerRequest}: ${total} after ${last}`)
    last = total
  }
})

test('what is kept costs by how long it is kept, and nothing else depends on it', () => {
  const { usage } = estimateOf({ ...load, retentionMs: 86_400_000 })
  const week = estimateOf(load).usage
  assert.deepEqual({ ...usage, storage: 0 }, { ...week, storage: 0 })
  assert.ok(Math.abs((week.storage.s3StorageGbMonth ?? 0) / (usage.storage.s3StorageGbMonth ?? 0) - 7) < 1e-9)
})

test('an idle log costs its upkeep', () => {
  const { usage } = estimateOf({ ...load, recordsPerSecond: 0 })
  const { upkeep, ...others } = usage
  assert.equal(billOf(sumOf(...Object.values(others))).usd, 0)
  const month = billOf(upkeep).usd
  assert.ok(month > 0.05 && month < 0.3, `${month}`)
})

test('other prices make another bill, and may move the batches', () => {
  const dear = { ...listPrices, dynamoDbWrite: 1 }
  assert.equal(estimateOf(load, dear).isInline, false)
})
