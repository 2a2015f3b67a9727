/** What functions say of what they asked the stores for. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { usageProperties } from '../../functions/metrics.ts'
import { Meter, meteredMetadata, meteredObjects } from '../../lib/adapters/metered.ts'
import { usageOf } from '../../lib/core/cost.ts'
import { operations } from '../../lib/core/usage.ts'
import { composeFunctions, contextOf, memoryPorts, toldBy } from './fixture.ts'

const jsonRecords = { 'content-type': 'application/vnd.kafka.json.v2+json' }

async function functionsWithTopics(...names: string[]) {
  const meter = new Meter()
  const ports = memoryPorts()
  const functions = composeFunctions({
    ...ports,
    objects: meteredObjects(ports.objects, meter),
    metadata: meteredMetadata(ports.metadata, meter),
  })
  for (const name of names) {
    const created = await functions.call('POST', {
      path: '/v3/clusters/any/topics',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ topic_name: name }),
    })
    assert.equal(created.statusCode, 201)
  }
  return { ...functions, meter }
}

interface Usage extends Readonly<Record<(typeof usageProperties)[number] | 'requests', number>> {
  readonly usage: string
  readonly topic: string
  readonly function: string
}

test('each function says what it asked the stores for, by operation and topic, and together it is all that was asked', async () => {
  const { call, told, meter } = await functionsWithTopics('orders', 'clicks')
  for (const topic of ['orders', 'clicks', 'orders'])
    await call('POST', { path: `/topics/${topic}`, headers: jsonRecords, body: '{"records":[{"value":1}]}' })
  await call('GET', { path: '/topics/orders/partitions/0/records?offset=0' })
  const lines = Object.values(told)
    .flatMap(({ lines }) => lines())
    .filter((line) => 'usage' in line) as unknown as Usage[]
  const shown = new Set(lines.map(({ function: by, usage, topic }) => `${by}: ${usage} ${topic}`))
  for (const line of [
    'produce: produce orders',
    'produce: produce clicks',
    'fetch: fetch orders',
    'admin: admin orders',
  ])
    assert.ok(shown.has(line), [...shown].join())
  assert.ok(![...shown].some((line) => line.startsWith('produce: fetch') || line.includes('other')))
  const asked = usageOf(meter.read())
  for (const name of usageProperties)
    assert.ok(Math.abs(lines.reduce((sum, line) => sum + line[name], 0) - (asked[name] ?? 0)) < 1e-9, name)
  for (const line of lines) {
    assert.ok(operations.includes(line.usage as never))
    assert.ok(!('_aws' in line))
    // A line of its own for each is only cheap while it is short.
    assert.ok(JSON.stringify(line).length < 250)
  }
})

test('calls that follow each other share these lines, as they share metrics; a quiet function says what it did in the end', () => {
  let nowMs = Date.now()
  const { telemetry, written } = toldBy('sweep', 'INFO', () => nowMs)
  const usages = () => written().filter((line) => line.includes('"usage"')).length
  for (let call = 0; call < 5; call++) {
    telemetry.begin(contextOf(), undefined)
    telemetry.meter.within({ operation: 'sweep' }, () => telemetry.meter.count('objects.list'))
    telemetry.end()
    nowMs += 1_000
  }
  assert.equal(usages(), 1)
  nowMs += 60_000
  telemetry.begin(contextOf(), undefined)
  assert.equal(usages(), 2)
  const [, second = ''] = written().filter((line) => line.includes('"usage"'))
  assert.equal(JSON.parse(second).requests, 4)
})

test('more topics than lines may be written of are one line together', () => {
  const { telemetry, lines } = toldBy('produce')
  for (let topic = 0; topic < 200; topic++)
    telemetry.meter.within({ operation: 'produce' }, () =>
      telemetry.meter.count('metadata.write', { requests: 1, writeUnits: 1 }, `topic-${topic}` as never),
    )
  const usages = lines().filter((line) => 'usage' in line)
  assert.equal(usages.length, 51)
  assert.equal(usages.find(({ topic }) => topic === '(other)')?.dynamoDbWrite, 150)
})
