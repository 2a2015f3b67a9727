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

for (const [name, given, requestsMax, storedShare] of [
  ['a record a second', { recordsPerSecond: 1, recordsPerRequest: 1 }, 2_500, undefined],
  ['a record of JSON a second', { recordsPerSecond: 1, recordsPerRequest: 1, json: 'as it is' }, 2_500, 0.6],
  ['a thousand records in a request a second', { recordsPerSecond: 1_000, recordsPerRequest: 1_000 }, 400, undefined],
] as const)
  test(`of ${name} an estimate says what the engine, metered, comes to: within a tenth for the stores, a quarter for the upkeep`, async () => {
    const run = await costRun({ name, partitions: 1, door: 'functions', requestsMax, ...given }, await idleCost(1))
    const { usage } = estimateOf({ ...load, ...given, ...(storedShare === undefined ? {} : { storedShare }) })
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

test('an idle log costs its upkeep', async () => {
  const { usage } = estimateOf({ ...load, recordsPerSecond: 0 })
  const { upkeep, ...others } = usage
  assert.equal(billOf(sumOf(...Object.values(others))).usd, 0)
  const ratio = billOf(upkeep).usd / billOf((await idleCost(1)).month).usd
  assert.ok(ratio > 0.9 && ratio < 1.1, `${ratio}`)
})

test('what the server compresses is stored, and read by merges, as less; a gateway counts it as it comes', () => {
  const batched = { ...load, recordsPerRequest: 1_000 }
  const [plain, half] = [estimateOf(batched), estimateOf({ ...batched, storedShare: 0.5 })]
  assert.deepEqual(half.usage.gateway, plain.usage.gateway)
  const ratio = (half.usage.storage.s3StorageGbMonth ?? 0) / (plain.usage.storage.s3StorageGbMonth ?? 0)
  assert.ok(Math.abs(ratio - 0.5) < 0.01)
  assert.ok(totalOf({ ...load, storedShare: 0.5 }) < totalOf(load) - 3)
})

test('other prices make another bill, and may move the batches', () => {
  const dear = { ...listPrices, dynamoDbWrite: 1 }
  assert.equal(estimateOf(load, dear).isInline, false)
})
