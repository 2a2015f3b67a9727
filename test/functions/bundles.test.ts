import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { awsPorts, readEnvironment } from '../../functions/environment.ts'
import type { BundledName } from '../../infra/bundling.ts'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { allRoutes } from '../../lib/http/faces.ts'
import type { LambdaResult } from '../../lib/http/lambda.ts'
import { describeRoutes } from '../../lib/http/openapi.ts'
import packageJson from '../../package.json' with { type: 'json' }
import { httpApiEvent } from '../http/lambda-events.ts'
import { type Bundle, bundleFunction, bundleSdk, functionNames } from './bundles.ts'

const stores = { HIGHWATER_BUCKET: 'b', HIGHWATER_TABLE: 't' }

const [sdk, ...made] = await Promise.all([bundleSdk(), ...functionNames.map(bundleFunction)])
const bundles = new Map<BundledName, Bundle>(functionNames.map((name, index) => [name, made[index] as Bundle]))

function modulesOf(name: BundledName, folder: string): string[] {
  return [...(bundles.get(name)?.modules ?? [])].filter((path) => path.startsWith(folder))
}

test('no bundle holds or asks for a native module, or for anything but Node', () => {
  for (const [name, { code, modules, imports }] of bundles) {
    assert.doesNotMatch(code, /\.node["'`]/, name)
    for (const path of modules) assert.ok(!path.endsWith('.node') && !path.startsWith('@node-rs/'), `${name}: ${path}`)
    for (const path of imports) assert.ok(isBuiltin(path), `${name} imports ${path}`)
  }
})

test('the codecs that the golden vectors are run on are those of the functions', () => {
  const environment = readEnvironment({ ...stores, AWS_REGION: 'eu-central-1' })
  assert.equal(awsPorts(environment).codecs, nodeCodecs)
  for (const name of functionNames) {
    const adapters = modulesOf(name, 'lib/adapters/')
    assert.ok(!adapters.includes('lib/adapters/codecs-native.ts'), name)
    if (name !== 'authorize') assert.ok(adapters.includes('lib/adapters/codecs-node.ts'), name)
  }
})

test('a bundle holds the routes of its function and no others', () => {
  const others = [
    'v2-topics',
    'v3-topics',
    'v3-configs',
    'v3-clusters',
    'records-delete',
    'server-routes',
    'openapi',
    'faces',
  ]
  const reading = ['records-read', 'v2-offsets', 'record-json']
  const producing = ['raw', 'v2-produce', 'v3-records']
  const unwanted: readonly (readonly [BundledName, readonly string[]])[] = [
    ['produce', [...others, ...reading]],
    ['fetch', [...others, ...producing.filter((file) => file !== 'raw')]],
    ['maintain', [...others, ...reading, ...producing]],
    ['merge', [...others, ...reading, ...producing]],
    ['sweep', [...others, ...reading, ...producing]],
    ['verify', [...others, ...reading, ...producing]],
    ['authorize', [...others, ...reading, ...producing]],
  ]
  for (const [name, files] of unwanted) {
    const http = modulesOf(name, 'lib/http/')
    for (const file of files) assert.ok(!http.includes(`lib/http/${file}.ts`), `${name} holds ${file}`)
  }
})

test('no bundle holds what is for tests, servers or command lines', () => {
  for (const name of functionNames)
    for (const path of bundles.get(name)?.modules ?? []) {
      assert.doesNotMatch(
        path,
        /^test\/|^lib\/(cli|client)\/|adapters\/(local|memory|faulty|slow)|^(pino|commander)$/,
        name,
      )
      if (name !== 'web') assert.notEqual(path, 'lib/http/node-server.ts', name)
    }
})

test('an event function is at most 220 KB larger than the two clients of the SDK alone', () => {
  for (const [name, { sizeBytes }] of bundles)
    if (name !== 'web')
      assert.ok(sizeBytes - sdk.sizeBytes <= 220 * 1_024, `${name}: ${sizeBytes - sdk.sizeBytes} more`)
})

async function runBundle(name: BundledName, event: object, variables: Record<string, string>): Promise<LambdaResult> {
  const directory = await mkdtemp(join(tmpdir(), 'highwater-bundle-'))
  try {
    await writeFile(join(directory, 'index.mjs'), bundles.get(name)?.code ?? '')
    await writeFile(
      join(directory, 'call.mjs'),
      `const { handler } = await import('./index.mjs')
      const result = await handler(${JSON.stringify(event)}, { getRemainingTimeInMillis: () => 9_000 })
      console.error(JSON.stringify(result))`,
    )
    const env = { AWS_REGION: 'eu-central-1', ...variables }
    const { stderr } = await promisify(execFile)(process.execPath, ['call.mjs'], { cwd: directory, env })
    return JSON.parse(stderr) as LambdaResult
  } finally {
    await rm(directory, { recursive: true })
  }
}

test('a bundle runs by itself: it answers, and names what is wrong with its environment', async () => {
  const event = httpApiEvent('GET', { path: '/nowhere' })
  assert.equal((await runBundle('produce', event, stores)).statusCode, 404)
  await assert.rejects(runBundle('produce', event, {}), /HIGHWATER_BUCKET is missing; HIGHWATER_TABLE is missing/)
})

test('the bundle of admin has the document of all routes, and knows what the other functions serve', async () => {
  const document = await runBundle('admin', httpApiEvent('GET', { path: '/openapi.json' }), stores)
  assert.deepEqual(
    JSON.parse(document.body ?? ''),
    JSON.parse(JSON.stringify(describeRoutes(allRoutes, packageJson.version))),
  )
  const path = '/topics/t/partitions/0/records'
  const wrong = await runBundle('admin', httpApiEvent('PUT', { path }), stores)
  assert.deepEqual([wrong.statusCode, wrong.headers?.allow], [405, 'DELETE, GET, HEAD, OPTIONS'])
  const elsewhere = await runBundle('admin', httpApiEvent('GET', { path }), stores)
  assert.match(elsewhere.body ?? '', /is not served here/)
})
