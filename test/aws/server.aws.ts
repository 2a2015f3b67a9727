/** Servers that share a bucket and a table, as `highwater start --bucket --table` starts them. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { startServer } from '../../functions/server.ts'
import { Highwater } from '../../lib/client/highwater.ts'
import { engines, newBucket, newTable, serviceOf } from './stores.ts'

const engine = engines.s3.find(({ endpoint }) => engines.dynamodb.some((other) => other.endpoint === endpoint))

describe('two servers on one bucket and one table', () => {
  it('are one log: what either is given both serve, once and in order', async () => {
    assert.ok(engine, 'an engine that serves both, as AWS_ENDPOINT_URL needs it')
    const [bucket, table] = await Promise.all([newBucket(engine), newTable(engine)])
    const aws = { bucket: bucket.name, table: table.name, ...serviceOf(engine) }
    const start = () => startServer({ port: 0, host: '127.0.0.1', aws })
    const servers = await Promise.all([start(), start()])
    try {
      const clients = servers.map(({ url }) => new Highwater({ url }))
      await clients[0]?.admin.createTopic('orders', { partitions: 2 })
      const each = 40
      await Promise.all(
        clients.map(async (client, at) => {
          const producer = client.producer({ lingerMs: 0, batchBytesMax: 256 })
          const sent = Array.from({ length: each }, (_, index) =>
            producer.send({ topic: 'orders', partition: index % 2, key: `${at}`, value: `${at}/${index}` }),
          )
          await Promise.all(sent)
          await producer.close()
        }),
      )
      for (const client of clients)
        for (const partition of [0, 1]) {
          const values: string[] = []
          const reader = client.reader({ topic: 'orders', partition, from: 'earliest' })
          for await (const record of reader) {
            assert.equal(record.offset, values.length)
            values.push(new TextDecoder().decode(record.value ?? new Uint8Array()))
            if (values.length === each) break
          }
          for (const at of [0, 1])
            assert.deepEqual(
              values.filter((value) => value.startsWith(`${at}/`)),
              Array.from({ length: each / 2 }, (_, index) => `${at}/${index * 2 + partition}`),
            )
        }
    } finally {
      for (const server of servers) await server.close()
      await Promise.all([bucket.delete(), table.delete()])
    }
  })
})
