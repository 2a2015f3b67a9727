import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allRoutes } from '../../lib/http/faces.ts'
import type { Route } from '../../lib/http/route.ts'
import { composeFunctions } from './fixture.ts'

const names: Readonly<Record<string, string>> = {
  topic: 'orders',
  topic_name: 'orders',
  partition: '0',
  partition_id: '0',
  broker_id: '0',
  name: 'retention.ms',
}

function pathOf({ path, prefixes = [''] }: Route): string {
  return prefixes[0] + path.replace(/\{([a-z_]+)\}/g, (_, name: string) => names[name] ?? 'any')
}

test('every route is served by the function of its work, with what that function has', async () => {
  for (const route of allRoutes) {
    const { call, each } = composeFunctions()
    const what = `${route.method} ${pathOf(route)}`
    await call('POST', {
      path: '/admin/topics',
      headers: { 'content-type': 'application/json' },
      body: '{"topic_name":"orders"}',
    })
    for (const [type, { example }] of Object.entries(route.operation.requestBody?.content ?? { '': {} })) {
      const result = await each[route.work](route.method, {
        path: pathOf(route),
        ...(type === '' ? {} : { headers: { 'content-type': type }, body: JSON.stringify(example ?? {}) }),
      })
      assert.ok((result.statusCode ?? 0) < 500, `${what}: ${result.body}`)
      assert.doesNotMatch(result.body ?? '', /There is nothing at|is not served here/, what)
    }
  }
})

test('a function that is asked for the work of another knows nothing of it', async () => {
  const { each } = composeFunctions()
  const records = '/topics/orders/partitions/0/records?offset=0'
  assert.equal((await each.produce('GET', { path: records })).statusCode, 404)
  assert.equal((await each.admin('GET', { path: records })).statusCode, 404)
  assert.equal((await each.fetch('POST', { path: '/topics/orders', body: '{}' })).statusCode, 404)
})
