/**
 * The restore drill of docs/operations.md: a bucket and a table are copied under load, in the order that it says, to new ones, which are
 * verified by the command line, served, read and written to.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type AttributeValue, BatchWriteItemCommand, DynamoDBClient, paginateScan } from '@aws-sdk/client-dynamodb'
import { startServer } from '../../functions/server.ts'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { systemRandom } from '../../lib/adapters/system.ts'
import { Highwater, text } from '../../lib/client/highwater.ts'
import { parseSettings } from '../../lib/core/settings.ts'
import { createApp } from '../../lib/http/app.ts'
import { allRoutes } from '../../lib/http/faces.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Metadata, Objects } from '../../lib/ports.ts'
import { TestClock } from '../conformance/log-fixture.ts'
import type { Engine } from './engines.ts'
import { engines, newBucket, newTable, serviceOf } from './stores.ts'

const engine = engines.s3.find(({ endpoint }) => engines.dynamodb.some((other) => other.endpoint === endpoint))
const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Point-in-time recovery gives a table of one moment, which no local AWS has. A scan gives it, too, while nobody writes: the log's requests
 * to the table wait for as long as it takes. Those to the bucket do not.
 */
class Gate {
  #underWay = 0
  #waiting: Promise<void> | undefined
  #quiet: (() => void) | undefined

  around<Port extends object>(port: Port): Port {
    return new Proxy(port, {
      get: (target, name) => {
        const value = Reflect.get(target, name) as unknown
        if (typeof value !== 'function') return value
        return async (...given: unknown[]) => {
          while (this.#waiting !== undefined) await this.#waiting
          this.#underWay++
          try {
            return (await value.apply(target, given)) as unknown
          } finally {
            if (--this.#underWay === 0) this.#quiet?.()
          }
        }
      },
    })
  }

  async closedFor<Result>(work: () => Promise<Result>): Promise<Result> {
    let open = () => {}
    this.#waiting = new Promise((resolve) => {
      open = resolve
    })
    if (this.#underWay > 0)
      await new Promise<void>((resolve) => {
        this.#quiet = resolve
      })
    try {
      return await work()
    } finally {
      this.#waiting = undefined
      open()
    }
  }
}

type Attributes = Record<string, AttributeValue>

async function scanned(on: Engine, table: string): Promise<Attributes[]> {
  const client = new DynamoDBClient(serviceOf(on))
  const items: Attributes[] = []
  for await (const { Items = [] } of paginateScan({ client }, { TableName: table, ConsistentRead: true }))
    items.push(...Items)
  client.destroy()
  return items
}

async function filled(on: Engine, table: string, items: readonly Attributes[]): Promise<void> {
  const client = new DynamoDBClient(serviceOf(on))
  for (let at = 0; at < items.length; at += 25) {
    let left = items.slice(at, at + 25).map((Item) => ({ PutRequest: { Item } }))
    while (left.length > 0) {
      const answer = await client.send(new BatchWriteItemCommand({ RequestItems: { [table]: left } }))
      left = (answer.UnprocessedItems?.[table] ?? []) as typeof left
    }
  }
  client.destroy()
}

/** As `aws s3 sync` without `--delete`. Answers how many were new. */
async function synced(from: Objects, to: Objects): Promise<number> {
  const there = new Set((await to.list('', undefined, 100_000)).map(({ key }) => key))
  let copied = 0
  for (const { key, sizeBytes } of await from.list('', undefined, 100_000)) {
    if (there.has(key)) continue
    const bytes = await from.read(key, 0, sizeBytes)
    // Swept since it was listed.
    if (bytes === undefined) continue
    await to.create(key, [bytes])
    copied++
  }
  return copied
}

function highwater(on: Engine, ...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { region } = serviceOf(on)
  const env = {
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    ...process.env,
    AWS_REGION: String(region),
    AWS_ENDPOINT_URL: on.endpoint,
  }
  return new Promise((resolve) =>
    execFile(process.execPath, ['functions/highwater.js', ...argv], { cwd: root, env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    ),
  )
}

describe('a bucket and a table, copied under load', () => {
  it('are a log: verified, all that was acknowledged before is there, and it goes on', async () => {
    assert.ok(engine, 'an engine that serves both, as AWS_ENDPOINT_URL needs it')
    const [bucket, table, newerBucket, newerTable] = await Promise.all([
      newBucket(engine),
      newTable(engine),
      newBucket(engine),
      newTable(engine),
    ])
    const [source, target] = [bucket.open(), newerBucket.open()]
    const gate = new Gate()
    const parsed = parseSettings({ lingerMs: 0, mergeRowsMin: 2, mergeQuietMs: 0 })
    assert.ok(parsed.ok)
    const { settings } = parsed
    const clock = new TestClock()
    const metadata: Metadata = gate.around(table.open())
    const log = createLog({ objects: source, metadata, clock, random: systemRandom, codecs: nodeCodecs }, settings)
    const app = createApp({ routes: allRoutes, log, settings, codecs: nodeCodecs })
    const client = new Highwater({ url: 'http://log.test', fetch: (url, init) => app.fetch(new Request(url, init)) })
    try {
      // Half of it in objects, half in the table.
      await client.admin.createTopic('orders', { partitions: 2, configs: { 'chunk.placement': 'segment' } })
      await client.admin.createTopic('small', { partitions: 1, configs: { 'chunk.placement': 'inline' } })
      const acknowledged: Record<string, string[]> = {}
      let isOver = false
      const places = [
        ['orders', 0],
        ['orders', 1],
        ['small', 0],
      ] as const
      const producing = places.map(async ([topic, partition]) => {
        const producer = client.producer({ lingerMs: 0 })
        const values: string[] = []
        acknowledged[`${topic}/${partition}`] = values
        while (!isOver) {
          const value = `${topic}/${partition}/${values.length}`
          const { offset } = await producer.send({ topic, partition, value })
          assert.equal(offset, values.push(value) - 1)
          await new Promise((resolve) => setTimeout(resolve, 10))
        }
        await producer.close()
      })
      const lengths = () => Object.values(acknowledged).map(({ length }) => length)
      const grown = async (count: number) => {
        const from = lengths()
        while (lengths().some((length, at) => length < (from[at] ?? 0) + count))
          await new Promise((resolve) => setTimeout(resolve, 5))
      }
      let swept = 0
      /** Beside the producers: merges what there is, and deletes what that left. */
      const upkeep = async () => {
        for (const [topic, partition] of places) await log.merge(topic, partition)
        const done = await log.sweep()
        if (done.ok) swept += done.deleted.length
      }
      await new Promise(setImmediate)
      await grown(28)
      await upkeep()
      // From here on the sweep takes what that has superseded; and of what comes now, nothing before a day has passed.
      clock.advance(settings.sweepAgeMs + 60_000)
      const consumer = client.consumer({ group: 'billing', topics: ['orders'], from: 'earliest' })
      let read = 0
      for await (const _ of consumer) if (++read === 30) break
      await consumer.commit()
      await consumer.close()
      const committed = await client.admin.groups.offsets('billing')
      assert.ok(committed.length > 0)

      assert.ok((await synced(source, target)) > 0)
      await grown(8)
      await upkeep()
      const { items, before } = await gate.closedFor(async () => ({
        items: await scanned(engine, table.name),
        before: structuredClone(acknowledged),
      }))
      await filled(engine, newerTable.name, items)
      const place = ['--bucket', newerBucket.name, '--table', newerTable.name]
      const tooEarly = await highwater(engine, 'verify', ...place)
      assert.equal(tooEarly.code, 1, `${tooEarly.stdout}${tooEarly.stderr}`)
      assert.match(tooEarly.stdout, /^DAMAGE\tCHUNK_MISSING\torders/m)
      await grown(8)
      await upkeep()
      await synced(source, target)
      isOver = true
      await Promise.all(producing)
      assert.ok(swept > 0, 'the sweep was at work')

      const verified = await highwater(engine, 'verify', '--deep', ...place)
      assert.equal(verified.code, 0, `${verified.stdout}${verified.stderr}`)
      const aws = { bucket: newerBucket.name, table: newerTable.name, ...serviceOf(engine) }
      const server = await startServer({ host: '127.0.0.1', port: 0, aws })
      try {
        const restored = new Highwater({ url: server.url })
        const producer = restored.producer()
        for (const [name, values] of Object.entries(before)) {
          const [topic = '', partition] = name.split('/')
          const found: string[] = []
          for await (const record of restored.reader({ topic, partition: Number(partition), from: 'earliest' })) {
            found.push(text(record.value) ?? '')
            if (found.length === values.length) break
          }
          assert.deepEqual(found, values, name)
          // Committed, and not acknowledged any more, when the table was taken: at most one for each producer.
          const { offset } = await producer.send({ topic, partition: Number(partition), value: 'after' })
          assert.ok(
            offset === values.length || offset === values.length + 1,
            `${name}: ${offset} after ${values.length}`,
          )
        }
        await producer.close()
        assert.deepEqual(await restored.admin.groups.offsets('billing'), committed)
      } finally {
        await server.close()
      }
      const after = await highwater(engine, 'verify', ...place)
      assert.equal(after.code, 0, `${after.stdout}${after.stderr}`)
    } finally {
      await log.close()
      await Promise.all([bucket.delete(), table.delete(), newerBucket.delete(), newerTable.delete()])
    }
  })
})
