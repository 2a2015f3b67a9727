/** What the embedded server does by itself for partitions that are written to, long before the round over all of them. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startServer } from '../../functions/server.ts'
import { Highwater, text } from '../../lib/client/highwater.ts'

const settings = {
  lingerMs: 0,
  mergeIntervalMs: 100,
  mergeRowsMin: 2,
  mergeQuietMs: 0,
  maintainIntervalMs: 1_000,
} as const
const local = { host: '127.0.0.1', port: 0 } as const
const deadlineMs = 20_000

let directory = ''
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'highwater-upkeep-'))
})
after(() => rm(directory, { recursive: true, force: true }))

/** Each record a commit of its own. */
async function produce(client: Highwater, topic: string, count: number): Promise<void> {
  const producer = client.producer({ lingerMs: 0 })
  for (let index = 0; index < count; index++) await producer.send({ topic, partition: 0, value: `${index}` })
  await producer.close()
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (const endMs = Date.now() + deadlineMs; !(await isSo()); await sleep(50))
    assert.ok(Date.now() < endMs, `${what}: not within ${deadlineMs} ms`)
}

async function rowsMerged(url: string): Promise<number> {
  const page = await (await fetch(`${url}/metrics`)).text()
  return Number(/^highwater_rows_merged_total (\d+)/m.exec(page)?.[1] ?? 0)
}

const startOf = async (client: Highwater, topic: string) => (await client.admin.offsets(topic, 0)).startOffset

describe('the upkeep of the embedded server', () => {
  it('merges and trims what is written to, without waiting for the round', async () => {
    const server = await startServer({ ...local, settings })
    try {
      const client = new Highwater({ url: server.url })
      await client.admin.createTopic('kept', { partitions: 1 })
      await client.admin.createTopic('short', { partitions: 1, configs: { 'retention.ms': '1' } })
      await produce(client, 'kept', 40)
      await produce(client, 'short', 40)
      await until('rows are merged', async () => (await rowsMerged(server.url)) >= 3)
      await until('old records go', async () => (await startOf(client, 'short')) >= 16)
      assert.equal(await startOf(client, 'kept'), 0)
      const values: string[] = []
      for await (const record of client.reader({ topic: 'kept', partition: 0, from: 'earliest' }))
        if (values.push(text(record.value) ?? '') === 40) break
      assert.deepEqual(
        values,
        Array.from({ length: 40 }, (_, index) => `${index}`),
      )
    } finally {
      await server.close()
    }
  })

  it('compacts a topic that asks for it: of each key the last value stays', async () => {
    const server = await startServer({ ...local, settings })
    try {
      const client = new Highwater({ url: server.url })
      const configs = { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0' }
      await client.admin.createTopic('latest', { partitions: 1, configs })
      const producer = client.producer({ lingerMs: 0 })
      for (let index = 0; index < 60; index++)
        await producer.send({ topic: 'latest', partition: 0, key: `k${index % 3}`, value: `${index}` })
      await producer.close()
      const all = async () => {
        const reader = client.reader({ topic: 'latest', partition: 0, from: 'earliest', waitMs: 0 })
        const values: string[] = []
        do for (const record of (await reader.poll()) ?? []) values.push(text(record.value) ?? '')
        while ((reader.lag ?? 1) > 0)
        await reader.return()
        return values
      }
      // What is in the tail stays as it is.
      await until('records go', async () => (await all()).length <= 30)
      assert.deepEqual((await all()).slice(-3), ['57', '58', '59'])
    } finally {
      await server.close()
    }
  })

  it('begins with a round over all partitions: what an earlier process wrote is trimmed, too', async () => {
    const dataDir = join(directory, 'data')
    const first = await startServer({ ...local, dataDir, settings: { ...settings, maintainIntervalMs: 86_400_000 } })
    const client = new Highwater({ url: first.url })
    await client.admin.createTopic('short', { partitions: 1, configs: { 'retention.ms': '1' } })
    await produce(client, 'short', 40)
    assert.equal(await startOf(client, 'short'), 0)
    await first.close()

    const second = await startServer({ ...local, dataDir, settings: { ...settings, maintainIntervalMs: 86_400_000 } })
    try {
      await until('old records go', async () => (await startOf(new Highwater({ url: second.url }), 'short')) >= 16)
    } finally {
      await second.close()
    }
  })
})
