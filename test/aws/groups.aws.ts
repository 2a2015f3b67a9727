/** The end-to-end run of a group (test/e2e/groups.e2e.ts: members killed, frozen and stopped) against a server on a bucket and a table. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { startServer } from '../../functions/server.ts'
import { engines, newBucket, newTable, serviceOf } from './stores.ts'

const engine = engines.s3.find(({ endpoint }) => engines.dynamodb.some((other) => other.endpoint === endpoint))

test('a group on S3 and DynamoDB misses nothing, whatever becomes of its members', async (t) => {
  assert.ok(engine, 'an engine that serves both, as AWS_ENDPOINT_URL needs it')
  const [bucket, table] = await Promise.all([newBucket(engine), newTable(engine)])
  const server = await startServer({
    port: 0,
    host: '127.0.0.1',
    aws: { bucket: bucket.name, table: table.name, ...serviceOf(engine) },
  })
  try {
    const { NODE_TEST_CONTEXT: _ours, ...environment } = process.env
    const run = spawn(process.execPath, ['--test', join(import.meta.dirname, '../e2e/groups.e2e.ts')], {
      env: { ...environment, HIGHWATER_URL: server.url, SECONDS: environment.SECONDS ?? '20' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    run.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
    const [code] = (await once(run, 'close')) as [number | null]
    for (const line of said.split('\n')) if (line.startsWith('ℹ ')) t.diagnostic(line.slice(2))
    assert.equal(code, 0, said)
  } finally {
    await server.close()
    await Promise.all([bucket.delete(), table.delete()])
  }
})
