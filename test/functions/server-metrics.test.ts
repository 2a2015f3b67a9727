/** GET /metrics of a running server, read as Prometheus reads it. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { countMetrics, serverMetrics } from '../../functions/metrics.ts'
import { type Started, startServer } from '../../functions/server.ts'
import { counterName } from '../../functions/server-metrics.ts'

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}
interface Family {
  readonly type: string
  readonly help: string
  readonly samples: Sample[]
}

/** The text exposition format 0.0.4. Throws on what is not that. */
function parse(text: string): Map<string, Family> {
  assert.ok(text.endsWith('\n'))
  const families = new Map<string, Family>()
  let help: readonly [name: string, text: string] | undefined
  let current: { readonly name: string; readonly family: Family } | undefined
  for (const line of text.split('\n')) {
    if (line === '') continue
    const comment = /^# (HELP|TYPE) ([a-z_:][a-z0-9_:]*) (.+)$/i.exec(line)
    if (comment !== null) {
      const [, kind, name = '', rest = ''] = comment
      if (kind === 'HELP') help = [name, rest]
      else {
        assert.ok(!families.has(name), `${name} twice`)
        assert.equal(help?.[0], name)
        assert.match(rest, /^(counter|gauge|histogram|summary|untyped)$/)
        const family = { type: rest, help: help?.[1] ?? '', samples: [] }
        families.set(name, family)
        current = { name, family }
      }
      continue
    }
    const sample = /^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)$/i.exec(line)
    assert.ok(sample !== null, line)
    const [, name = '', inBraces = '', value] = sample
    assert.ok(current !== undefined && name.startsWith(current.name), line)
    const labels: Record<string, string> = {}
    let rest = inBraces
    while (rest !== '') {
      const label = /^([a-z_][a-z0-9_]*)="((?:[^"\\]|\\.)*)",?/i.exec(rest)
      assert.ok(label !== null, line)
      labels[label[1] ?? ''] = label[2] ?? ''
      rest = rest.slice(label[0].length)
    }
    const number = value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value)
    // What Node has not measured yet is not a number.
    assert.ok(!Number.isNaN(number) || (value?.toLowerCase() === 'nan' && name.startsWith('nodejs_')), line)
    current.family.samples.push({ name, labels, value: number })
  }
  return families
}

describe('GET /metrics', () => {
  let server: Started
  const topic = 'metered "topic"'
  const jsonType = 'application/json'
  const call = (path: string, init: RequestInit = {}) => fetch(new URL(path, server.url), init)
  const produce = (to: string, values: readonly unknown[]) =>
    call(`/topics/${encodeURIComponent(to)}`, {
      method: 'POST',
      headers: { 'content-type': 'application/vnd.kafka.json.v2+json' },
      body: JSON.stringify({ records: values.map((value) => ({ value })) }),
    })
  const scrape = async () => {
    const response = await call('/metrics')
    assert.equal(response.status, 200)
    assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
    return parse(await response.text())
  }
  const sum = (families: Map<string, Family>, name: string, labels: Readonly<Record<string, string>> = {}) => {
    const family = families.get(name)
    assert.ok(family !== undefined, `there is no ${name}`)
    return family.samples
      .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
      .reduce((total, { value }) => total + value, 0)
  }

  before(async () => {
    server = await startServer({ host: '127.0.0.1', port: 0, settings: { partitionsDefault: 2 } })
    const { data } = (await (await call('/v3/clusters')).json()) as { data: { cluster_id: string }[] }
    for (const name of ['orders', 'clicks']) {
      const created = await call(`/v3/clusters/${data[0]?.cluster_id}/topics`, {
        method: 'POST',
        headers: { 'content-type': jsonType },
        body: JSON.stringify({ topic_name: name }),
      })
      assert.equal(created.status, 201)
    }
  })
  after(() => server.close())

  test('counts what was really asked: answers by route, records by topic, requests to the stores by what they were for', async () => {
    const first = await scrape()
    assert.equal((await produce('orders', [1, 2, 3])).status, 200)
    assert.equal((await produce('clicks', ['a'])).status, 200)
    assert.equal((await produce(topic, [1])).status, 404)
    for (const partition of [0, 1])
      assert.equal((await call(`/topics/orders/partitions/${partition}/records?offset=0`)).status, 200)
    await call('/no/such/path')
    const families = await scrape()
    const grown = (name: string, labels: Readonly<Record<string, string>>) =>
      sum(families, name, labels) - sum(first, name, labels)

    const route = '/topics/{topic}'
    assert.equal(grown('highwater_requests_total', { route, method: 'POST', code: '200' }), 2)
    assert.equal(grown('highwater_requests_total', { route, method: 'POST', code: '404' }), 1)
    assert.equal(grown('highwater_requests_total', { route: '', code: '404' }), 1)
    assert.equal(grown('highwater_requests_total', { route: '/metrics' }), 1)
    assert.equal(grown('highwater_records_appended_total', { topic: 'orders' }), 3)
    assert.equal(grown('highwater_records_appended_total', { topic: 'clicks' }), 1)
    assert.equal(grown('highwater_records_fetched_total', { topic: 'orders' }), 3)
    assert.ok(grown('highwater_bytes_fetched_total', { topic: 'orders' }) > 3)
    for (const [operation, kind] of [
      ['produce', 'metadata.updateHead'],
      ['fetch', 'metadata.readHead'],
      ['fetch', 'metadata.get'],
    ] as const)
      assert.ok(
        grown('highwater_store_requests_total', { operation, kind, topic: 'orders' }) >= 1,
        `${operation} ${kind}`,
      )
    assert.ok(grown('highwater_store_write_units_total', { operation: 'produce', topic: 'clicks' }) >= 2)
    assert.ok(sum(families, 'highwater_store_write_units_total', { operation: 'admin' }) >= 4)
    assert.equal(sum(families, 'highwater_store_requests_total', { operation: 'other' }), 0)
    assert.equal(sum(families, 'highwater_append_bytes_pending'), 0)
  })

  test('histograms are cumulative, and hold every request', async () => {
    const families = await scrape()
    const { samples, type } = families.get('highwater_request_duration_seconds') ?? { samples: [], type: '' }
    assert.equal(type, 'histogram')
    const ofRoute = samples.filter(({ labels }) => labels.route === '/topics/{topic}')
    const buckets = ofRoute.filter(({ name }) => name.endsWith('_bucket'))
    const counts = buckets.map(({ value }) => value)
    assert.deepEqual(
      counts,
      counts.toSorted((a, b) => a - b),
    )
    assert.equal(buckets.at(-1)?.labels.le, '+Inf')
    const count = ofRoute.find(({ name }) => name.endsWith('_count'))?.value
    assert.equal(buckets.at(-1)?.value, count)
    assert.equal(count, sum(families, 'highwater_requests_total', { route: '/topics/{topic}' }))
    const total = ofRoute.find(({ name }) => name.endsWith('_sum'))?.value ?? -1
    assert.ok(total > 0 && total < 60)
  })

  test('has everything that the page of metrics lists, the process among it, and counts fetches that wait', async () => {
    const { end_offset: end } = (await (await call('/topics/clicks/partitions/0/offsets')).json()) as {
      end_offset: number
    }
    const waiting = call(`/topics/clicks/partitions/0/records?offset=${end}&timeout=20000`)
    const waits = async () => sum(await scrape(), 'highwater_fetches_waiting')
    let seen = 0
    for (let attempt = 0; attempt < 200 && seen === 0; attempt++) seen = await waits()
    assert.equal(seen, 1)
    for (let count = 0; count < 20; count++) await produce('clicks', [count])
    assert.equal((await waiting).status, 200)
    assert.equal(await waits(), 0)
    const families = await scrape()
    const listed = [
      ...Object.values(serverMetrics).map(({ name }) => name),
      ...Object.values(countMetrics).map(({ name }) => counterName(name)),
    ]
    for (const name of listed) assert.ok((families.get(name)?.help ?? '') !== '', name)
    const ours = [...families.keys()].filter((name) => name.startsWith('highwater_'))
    assert.deepEqual(ours.sort(), listed.sort())
    for (const name of [
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'nodejs_eventloop_lag_p99_seconds',
    ])
      assert.ok(families.has(name), name)
  })
})

test('where keys are required, metrics are for those who may administrate', async () => {
  const { openKeyStore } = await import('../../functions/key-store.ts')
  const { mkdtemp, rm } = await import('node:fs/promises')
  const dataDir = await mkdtemp(`${process.env.TMPDIR ?? '/tmp'}/highwater-metrics-`)
  try {
    const store = await openKeyStore({ dataDir }, undefined)
    const tokenOf = async (allow: 'admin' | 'fetch') => {
      const created = await store.create({ name: allow, allow: [allow] })
      assert.ok(created.ok)
      return created.token
    }
    const [admin, reader] = [await tokenOf('admin'), await tokenOf('fetch')]
    await store.close()
    const server = await startServer({ host: '127.0.0.1', port: 0, dataDir, requireKeys: true })
    try {
      const status = async (path: string, token?: string) => {
        const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
        return (await fetch(new URL(path, server.url), { headers })).status
      }
      for (const path of ['/metrics', '/cost']) {
        assert.equal(await status(path), 401)
        assert.equal(await status(path, reader), 403)
        assert.equal(await status(path, admin), 200)
      }
    } finally {
      await server.close()
    }
  } finally {
    await rm(dataDir, { recursive: true })
  }
})
