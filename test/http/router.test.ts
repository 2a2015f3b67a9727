import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jsonReply } from '../../lib/http/replies.ts'
import type { Method, Route } from '../../lib/http/route.ts'
import { createRouter } from '../../lib/http/router.ts'

function route(method: Method, path: string, more: Partial<Route> = {}): Route {
  return {
    work: 'admin',
    method,
    path,
    operation: { operationId: `${method} ${path}`, summary: '', tags: [], responses: {} },
    handle: async () => jsonReply(200, null),
    ...more,
  }
}

function operationOf(match: ReturnType<ReturnType<typeof createRouter>['match']>): string {
  return match.kind === 'route' ? match.route.operation.operationId : match.kind
}

test('a literal segment wins over a parameter, whichever was listed first', () => {
  for (const order of [0, 1]) {
    const routes = [route('GET', '/topics/{topic}/configs'), route('GET', '/topics/-/configs')]
    const router = createRouter(order === 0 ? routes : routes.reverse())
    assert.equal(operationOf(router.match('GET', '/topics/-/configs', '')), 'GET /topics/-/configs')
    assert.equal(operationOf(router.match('GET', '/topics/t/configs', '')), 'GET /topics/{topic}/configs')
  }
})

test('a method that only the parameter path has is found where the literal path lacks it', () => {
  const router = createRouter([route('PUT', '/topics/{topic}'), route('GET', '/topics/new')])
  assert.equal(operationOf(router.match('PUT', '/topics/new', '')), 'PUT /topics/{topic}')
  const wrong = router.match('DELETE', '/topics/new', '')
  assert.deepEqual(wrong.kind === 'wrong-method' && [...wrong.allow].sort(), ['GET', 'PUT'])
})

test('parameters are percent-decoded, one segment each', () => {
  const router = createRouter([route('GET', '/topics/{topic}/partitions/{partition}')])
  const match = router.match('GET', '/topics/a%2Fb%20c/partitions/3', '')
  assert.deepEqual(match.kind === 'route' && match.params, { topic: 'a/b c', partition: '3' })
})

test('a segment that is no percent-encoded UTF-8, or is empty, is an unknown path', () => {
  const router = createRouter([route('GET', '/topics/{topic}')])
  for (const path of ['/topics/%ff', '/topics/%', '/topics/', '/topics//', '/topics/a/b'])
    assert.equal(router.match('GET', path, '').kind, 'unknown-path', path)
})

test('one slash at the end means nothing, and the colon of a custom verb may be encoded', () => {
  const router = createRouter([
    route('POST', '/topics/{topic}/records:batch'),
    route('POST', '/topics/{topic}/records'),
  ])
  for (const path of ['/topics/t/records:batch', '/topics/t/records:batch/', '/topics/t/records%3Abatch'])
    assert.equal(operationOf(router.match('POST', path, '')), 'POST /topics/{topic}/records:batch')
  assert.equal(operationOf(router.match('POST', '/topics/t/records', '')), 'POST /topics/{topic}/records')
})

test('HEAD goes where GET goes', () => {
  const router = createRouter([route('GET', '/topics'), route('POST', '/topics')])
  assert.equal(operationOf(router.match('HEAD', '/topics', '')), 'GET /topics')
})

test('routes of one path are told apart by content type; the one without takes the others', () => {
  const raw = route('POST', '/p', { mediaTypes: ['application/raw'] })
  const other = route('POST', '/p', { operation: { operationId: 'other', summary: '', tags: [], responses: {} } })
  for (const routes of [
    [raw, other],
    [other, raw],
  ]) {
    const router = createRouter(routes)
    assert.equal(operationOf(router.match('POST', '/p', 'application/raw')), 'POST /p')
    assert.equal(operationOf(router.match('POST', '/p', 'application/json')), 'other')
    assert.equal(operationOf(router.match('POST', '/p', '')), 'other')
  }
  const match = createRouter([raw]).match('POST', '/p', 'application/json')
  assert.deepEqual(match, { kind: 'wrong-media-type', mediaTypes: ['application/raw'] })
})

test('a path is served under each of its prefixes', () => {
  const router = createRouter([route('GET', '/clusters', { prefixes: ['/v3', '/kafka/v3'] })])
  for (const prefix of ['/v3', '/kafka/v3']) {
    const match = router.match('GET', `${prefix}/clusters`, '')
    assert.equal(match.kind === 'route' && match.prefix, prefix)
  }
  assert.equal(router.match('GET', '/clusters', '').kind, 'unknown-path')
})

test('two routes that claim the same requests are a bug that is noticed at once', () => {
  assert.throws(() => createRouter([route('GET', '/a/{b}'), route('GET', '/a/{b}')]), /claimed by two routes/)
  assert.throws(() => createRouter([route('GET', '/a/{b}'), route('PUT', '/a/{c}')]), /names its parameters c/)
})
