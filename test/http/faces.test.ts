import assert from 'node:assert/strict'
import { test } from 'node:test'
import { consumeRoutes } from '../../lib/http/consume-routes.ts'
import { allRoutes } from '../../lib/http/faces.ts'
import { fetchRoutes } from '../../lib/http/fetch-routes.ts'
import { produceRoutes } from '../../lib/http/produce-routes.ts'
import type { Route, Work } from '../../lib/http/route.ts'
import { createHarness } from './harness.ts'

test('a function serves all the routes of its work, and no others', () => {
  const lists: readonly [Work, readonly Route[]][] = [
    ['produce', produceRoutes],
    ['fetch', fetchRoutes],
    ['consume', consumeRoutes],
  ]
  for (const [work, routes] of lists)
    assert.deepEqual(
      routes.map((route) => route.operation.operationId),
      allRoutes.filter((route) => route.work === work).map((route) => route.operation.operationId),
    )
})

test('routes that share a method and a path share their work: a gateway does not look at media types', () => {
  const works = new Map<string, Work>()
  for (const { method, path, prefixes = [''], work } of allRoutes)
    for (const prefix of prefixes) {
      const place = `${method} ${prefix}${path.replaceAll(/\{[^}]+\}/g, '{}')}`
      assert.equal(works.get(place) ?? work, work, place)
      works.set(place, work)
    }
})

test('who serves one work knows the other routes, answers 404 to them, and counts them in Allow', async () => {
  const { send } = createHarness({ app: { work: 'admin' } })
  assert.equal((await send('GET', '/topics')).status, 200)
  const elsewhere = await send('POST', '/topics/t/', { body: '{"records":[{"value":""}]}' })
  assert.equal(elsewhere.status, 404)
  assert.match(((await elsewhere.json()) as { message: string }).message, /POST \/topics\/t\/ is not served here/)
  const wrong = await send('PUT', '/topics/t/partitions/0/records')
  assert.equal(wrong.status, 405)
  assert.equal(wrong.headers.get('allow'), 'DELETE, GET, HEAD, OPTIONS')
})
