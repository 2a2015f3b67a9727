import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { httpApiEvent } from '../http/lambda-events.ts'
import { type Bundle, type BundledName, bundleFunction, bundleSdk, functionNames } from './bundles.ts'
import { memoryPorts } from './fixture.ts'

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
  assert.equal(memoryPorts().codecs, nodeCodecs)
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
        /^test\/|^lib\/(cli|client)\/|adapters\/(local|memory|faulty|metered)|^(pino|commander)$/,
        name,
      )
      if (name !== 'web') assert.notEqual(path, 'lib/http/node-server.ts', name)
    }
})

test('an event function is at most 200 KB larger than the two clients of the SDK alone', () => {
  for (const [name, { sizeBytes }] of bundles)
    if (name !== 'web')
      assert.ok(sizeBytes - sdk.sizeBytes <= 200 * 1_024, `${name}: ${sizeBytes - sdk.sizeBytes} more`)
})

test('a bundle runs by itself: it answers, and names what is wrong with its environment', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'highwater-bundle-'))
  try {
    const event = JSON.stringify(httpApiEvent('GET', { path: '/nowhere' }))
    const call = `
      const { handler } = await import('./index.mjs')
      const { statusCode } = await handler(${event}, { getRemainingTimeInMillis: () => 9_000 })
      console.error(statusCode)`
    await writeFile(join(directory, 'index.mjs'), bundles.get('admin')?.code ?? '')
    await writeFile(join(directory, 'call.mjs'), call)
    const run = (variables: Record<string, string>) =>
      promisify(execFile)(process.execPath, ['call.mjs'], {
        cwd: directory,
        env: { AWS_REGION: 'eu-central-1', ...variables },
      })
    const { stderr } = await run({ HIGHWATER_BUCKET: 'b', HIGHWATER_TABLE: 't' })
    assert.equal(stderr, '404\n')
    await assert.rejects(run({}), /HIGHWATER_BUCKET is missing; HIGHWATER_TABLE is missing/)
  } finally {
    await rm(directory, { recursive: true })
  }
})
