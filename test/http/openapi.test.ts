import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { errorCatalogue } from '../../lib/core/errors.ts'
import { allRoutes } from '../../lib/http/faces.ts'
import { describeRoutes } from '../../lib/http/openapi.ts'
import { type Method, needOf, type Route } from '../../lib/http/route.ts'
import { createRouter } from '../../lib/http/router.ts'
import { createHarness } from './harness.ts'

interface Document {
  readonly openapi: string
  readonly paths: Record<string, Record<string, unknown>>
  readonly components: { schemas: { Error: { properties: { error_code: { enum: number[] } } } } }
}
interface Operation {
  readonly operationId: string
  readonly parameters: readonly { name: string; in: string }[]
}

const { send } = createHarness()
const openApi = describeRoutes(allRoutes, '0.0.0')
const document = openApi as Document

/** Every path, method and operation of the document, with what may stand before the path. */
function* operations(): Generator<{ path: string; method: Method; operation: Operation; prefixes: readonly string[] }> {
  for (const [path, item] of Object.entries(document.paths)) {
    const servers = (item.servers ?? [{ url: '/' }]) as { url: string }[]
    const prefixes = servers.map(({ url }) => (url === '/' ? '' : url))
    for (const [method, operation] of Object.entries(item))
      if (method !== 'servers')
        yield { path, method: method.toUpperCase() as Method, operation: operation as Operation, prefixes }
  }
}

test('the document is valid OpenAPI 3.1', async () => {
  assert.equal(document.openapi, '3.1.0')
  const result = await new Validator().validate(structuredClone(openApi) as Record<string, unknown>)
  assert.deepEqual(result.errors ?? [], [])
  assert.equal(result.valid, true)
})

test('the document is served as JSON at /openapi.json', async () => {
  const response = await send('GET', '/openapi.json')
  assert.equal(response.headers.get('content-type'), 'application/json')
  assert.deepEqual(await response.json(), document)
})

test('every operation of the document is a route', () => {
  const router = createRouter(allRoutes)
  for (const { path, method, prefixes } of operations())
    for (const prefix of prefixes) {
      const match = router.match(method, prefix + path.replaceAll(/\{[^}]+\}/g, 'x'), '')
      assert.ok(match.kind === 'route' || match.kind === 'wrong-media-type', `${method} ${prefix}${path}`)
    }
})

test('every route is an operation of the document', () => {
  const described = new Set<string>()
  for (const { path, method, prefixes } of operations())
    for (const prefix of prefixes) described.add(`${method} ${prefix}${path}`)
  const served = new Set(
    allRoutes.flatMap((route: Route) =>
      (route.prefixes ?? ['']).map((prefix) => `${route.method} ${prefix}${route.path}`),
    ),
  )
  assert.deepEqual([...described].sort(), [...served].sort())
})

test('every operation has an id of its own, and describes each parameter of its path', () => {
  const ids = new Set<string>()
  for (const { path, operation } of operations()) {
    assert.ok(!ids.has(operation.operationId), operation.operationId)
    ids.add(operation.operationId)
    const described = operation.parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name)
    const named = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name)
    assert.deepEqual(described.sort(), named.sort(), path)
  }
})

test('every code of the catalogue of errors is in the schema of errors', () => {
  const { enum: codes } = document.components.schemas.Error.properties.error_code
  for (const entry of Object.values(errorCatalogue)) assert.ok(codes.includes(entry.restCode), String(entry.restCode))
})

test('every operation says how a caller may say who it is, and what its key has to allow', () => {
  const { components } = openApi as { components: { securitySchemes: Record<string, object> } }
  for (const { path, method, operation } of operations()) {
    const { security } = operation as unknown as { security: Record<string, string[]>[] }
    for (const requirement of security)
      for (const scheme of Object.keys(requirement)) assert.ok(scheme in components.securitySchemes, scheme)
    const need = needOf(allRoutes.find((route) => route.operation.operationId === operation.operationId)!)
    if (need === 'anybody') assert.deepEqual(security, [], path)
    else assert.deepEqual(security[0], { bearer: need === 'any-key' ? [] : [need] }, `${method} ${path}`)
  }
})
