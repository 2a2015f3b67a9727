import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { allRoutes } from '../../lib/http/faces.ts'
import type { OpenApiMedia, OpenApiResponse, Route } from '../../lib/http/route.ts'
import { createHarness, type Harness } from './harness.ts'

const ajv = new Ajv2020({ strict: false, allErrors: true })
addFormats.default(ajv)

const names: Readonly<Record<string, string>> = {
  topic: 'orders',
  topic_name: 'orders',
  partition: '0',
  partition_id: '0',
  cluster_id: 'any',
  broker_id: '0',
  consumer_group_id: 'billing',
  consumer_id: 'member-1',
  group: 'billing',
  instance: 'reader-1',
}

function pathsOf(route: Route): string[] {
  const name = route.path.includes('/brok') ? 'num.partitions' : 'retention.ms'
  const path = route.path.replace(/\{([a-z_]+)\}/g, (_, parameter: string) => names[parameter] ?? name)
  return (route.prefixes ?? ['']).map((prefix) => prefix + path)
}

/** Creating routes find no topic, all others find one with a partition, and a group that reads it. */
async function prepare(route: Route): Promise<Harness> {
  const harness = createHarness()
  if (route.operation.operationId.startsWith('createTopic')) return harness
  const created = await harness.log.createTopic({ name: 'orders' })
  assert(created.ok)
  if (route.path.includes('/consumer-groups')) {
    const subscription = { kind: 'topics', topics: ['orders'] } as const
    const joined = await harness.log.groups.join({ group: 'billing', memberId: 'member-1', subscription })
    assert(joined.ok)
  }
  if (route.path.startsWith('/consumers/{group}/')) await prepareInstance(harness, route)
  return harness
}

/** An instance by that name; with a partition of its own where the route is about those. */
async function prepareInstance({ send }: Harness, { path }: Route): Promise<void> {
  const post = async (at: string, body: object) => {
    const headers = { 'content-type': 'application/vnd.kafka.v2+json' }
    const response = await send('POST', at, { headers, body: JSON.stringify(body) })
    assert(response.ok, await response.text())
  }
  await post('/consumers/billing', { name: 'reader-1', format: 'binary' })
  if (/offsets|positions|records/.test(path))
    await post('/consumers/billing/instances/reader-1/assignments', { partitions: [{ topic: 'orders', partition: 0 }] })
}

function check(schema: object | undefined, value: unknown, what: string): void {
  assert(schema !== undefined, `${what} has no schema`)
  assert(ajv.validate(schema, value), `${what}: ${ajv.errorsText()}\n${JSON.stringify(value, null, 1)}`)
}

async function checkAnswer(route: Route, response: Response, what: string): Promise<void> {
  const { responses } = route.operation
  const documented: OpenApiResponse | undefined = responses[String(response.status)]
  const text = await response.text()
  assert(documented !== undefined && response.ok, `${what}: ${response.status} is not documented: ${text}`)
  if (documented.content === undefined) return assert.equal(text, '')
  const media: OpenApiMedia | undefined = documented.content[response.headers.get('content-type') ?? '']
  assert(media !== undefined, `${what}: ${response.headers.get('content-type')} is not documented`)
  check(media.schema, JSON.parse(text), what)
}

const routes = allRoutes.filter(({ operation }) => /^Kafka REST v[23]$/.test(operation.tags[0] ?? ''))

test('every request body is documented with a schema and an example that fits it', () => {
  for (const { method, operation, path } of routes) {
    const what = `${method} ${path}`
    assert.equal(operation.requestBody !== undefined, ['POST', 'PUT', 'PATCH'].includes(method), what)
    for (const [type, { schema, example }] of Object.entries(operation.requestBody?.content ?? {})) {
      assert(example !== undefined, `${what} ${type} has no example`)
      check(schema, example, `${what} ${type}`)
    }
  }
})

test('every documented example of a request is accepted, and answered in the documented shape', async () => {
  for (const route of routes)
    for (const path of pathsOf(route))
      for (const [type, { example }] of Object.entries(route.operation.requestBody?.content ?? {})) {
        const { send } = await prepare(route)
        const response = await send(route.method, path, {
          headers: { 'content-type': type },
          body: JSON.stringify(example),
        })
        await checkAnswer(route, response, `${route.method} ${path} ${type}`)
      }
})

test('every other operation is answered in the documented shape', async () => {
  for (const route of routes)
    for (const path of pathsOf(route)) {
      if (route.operation.requestBody !== undefined) continue
      const { send } = await prepare(route)
      // Says which partitions, as every request for committed offsets does.
      const query = path.endsWith('/reader-1/offsets') ? '?topic=orders&partition=0' : ''
      await checkAnswer(route, await send(route.method, path + query), `${route.method} ${path}`)
    }
})

test('every documented example of an answer fits its schema', () => {
  for (const { operation, path } of routes)
    for (const [status, { content = {} }] of Object.entries(operation.responses))
      for (const [type, { schema, example }] of Object.entries(content))
        if (example !== undefined) check(schema, example, `${path} ${status} ${type}`)
})

test('produce without waiting is answered in the documented shape', async () => {
  for (const route of routes) {
    if (route.operation.responses[202] === undefined) continue
    const [path] = pathsOf(route)
    for (const [type, { example }] of Object.entries(route.operation.requestBody?.content ?? {})) {
      const harness = await prepare(route)
      const response = await harness.send('POST', `${path}?acks=0`, {
        headers: { 'content-type': type },
        body: JSON.stringify(example),
      })
      assert.equal(response.status, 202)
      await checkAnswer(route, response, `${path} ${type}`)
      await harness.log.settled()
    }
  }
})

test('operation ids are distinct', () => {
  const ids = routes.map((route) => route.operation.operationId)
  assert.equal(new Set(ids).size, ids.length)
})
