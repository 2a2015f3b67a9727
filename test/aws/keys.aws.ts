/** API keys on a table: the first one straight on it, and servers that share it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { startServer } from '../../functions/server.ts'
import { Highwater } from '../../lib/client/highwater.ts'
import { runHighwater } from '../e2e/server-process.ts'
import { engines, newBucket, newTable, serviceOf } from './stores.ts'

const engine = engines.s3.find(({ endpoint }) => engines.dynamodb.some((other) => other.endpoint === endpoint))

describe('API keys on a table', () => {
  it('begin with one that is made straight on it, and hold for every server on it', async () => {
    assert.ok(engine, 'an engine that serves both, as AWS_ENDPOINT_URL needs it')
    const [bucket, table] = await Promise.all([newBucket(engine), newTable(engine)])
    const service = serviceOf(engine)
    const aws = { bucket: bucket.name, table: table.name, ...service }
    const start = () => startServer({ port: 0, host: '127.0.0.1', aws, requireKeys: true })
    try {
      await assert.rejects(start(), { name: 'StartError', message: /no API key yet/ })
      const env = {
        AWS_ENDPOINT_URL: engine.endpoint,
        AWS_REGION: service.region ?? 'us-east-1',
        AWS_ACCESS_KEY_ID: service.credentials?.accessKeyId ?? process.env.AWS_ACCESS_KEY_ID ?? '',
        AWS_SECRET_ACCESS_KEY: service.credentials?.secretAccessKey ?? process.env.AWS_SECRET_ACCESS_KEY ?? '',
      }
      const first = await runHighwater(['keys', 'create', 'root', '--allow', 'admin', '--table', table.name], { env })
      assert.equal(first.code, 0, first.stderr)
      const servers = await Promise.all([start(), start()])
      try {
        const [one, two] = servers.map(({ url }) => new Highwater({ url, apiKey: first.stdout.trim() }))
        assert.ok(one && two)
        await one.admin.createTopic('orders')
        const { id, key } = await one.admin.createApiKey({ name: 'reader', allow: ['fetch'] })
        const reader = new Highwater({ url: servers[1]!.url, apiKey: key })
        assert.deepEqual(
          (await reader.admin.listTopics()).map(({ name }) => name),
          ['orders'],
        )
        await assert.rejects(reader.admin.deleteTopic('orders'), { code: 'AUTHORIZATION_FAILED', status: 403 })
        await two.admin.revokeApiKey(id)
        await assert.rejects(reader.admin.listTopics(), { code: 'AUTHENTICATION_FAILED', status: 401 })
        assert.deepEqual(
          (await one.admin.listApiKeys()).map(({ name }) => name),
          ['root'],
        )
        await assert.rejects(new Highwater({ url: servers[0]!.url, apiKey: key }).admin.listTopics(), {
          code: 'AUTHENTICATION_FAILED',
        })
      } finally {
        for (const server of servers) await server.close()
      }
    } finally {
      await Promise.all([bucket.delete(), table.delete()])
    }
  })
})
