/** The restore drill of docs/operations.md for a data directory: backed up under load, verified, started, read, written to. */
import assert from 'node:assert/strict'
import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { backUp } from '../../functions/backup.ts'
import { type Started, startServer } from '../../functions/server.ts'
import { openVerifier } from '../../functions/verifier.ts'
import { runCli } from '../../lib/cli/cli.ts'
import type { CliGiven } from '../../lib/cli/io.ts'
import { Highwater, text } from '../../lib/client/highwater.ts'
import { noServer, Recorder } from '../cli/terminal.ts'

/** Upkeep all the time: what it moves and deletes is what a backup must cope with. */
const busy = {
  lingerMs: 0,
  mergeIntervalMs: 100,
  mergeRowsMin: 2,
  mergeQuietMs: 0,
  sweepIntervalMs: 1_000,
  sweepAgeMs: 3_000,
} as const

const given: CliGiven = { ...noServer, backUp, openVerifier: (place) => openVerifier(place, undefined) }

async function highwater(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const [stdout, stderr] = [new Recorder(), new Recorder()]
  const io = { stdin: process.stdin, stdout, stderr, env: {}, signal: new AbortController().signal }
  const code = await runCli(argv, io, given)
  return { code, stdout: stdout.text, stderr: stderr.text }
}

/** Produces until it is told to stop; what was acknowledged, in order, by partition. */
function produceTo(server: Started) {
  const client = new Highwater({ url: server.url })
  const acknowledged: string[][] = [[], []]
  let isOver = false
  const working = Promise.all(
    acknowledged.map(async (values, partition) => {
      const producer = client.producer({ lingerMs: 0 })
      while (!isOver) {
        const value = `${partition}/${values.length} ${'x'.repeat(values.length % 7 === 0 ? 3_000 : 10)}`
        const { offset } = await producer.send({ topic: 'orders', partition, value })
        assert.equal(offset, values.push(value) - 1)
      }
      await producer.close()
    }),
  )
  return {
    acknowledged,
    async stop() {
      isOver = true
      await working
    },
  }
}

async function valuesOf(server: Started, partition: number): Promise<string[]> {
  const client = new Highwater({ url: server.url })
  const { endOffset } = await client.admin.offsets('orders', partition)
  const values: string[] = []
  if (endOffset === 0) return values
  for await (const record of client.reader({ topic: 'orders', partition, from: 'earliest' })) {
    assert.equal(record.offset, values.length)
    values.push(text(record.value) ?? '')
    if (values.length === endOffset) break
  }
  return values
}

describe('a backup of a data directory', () => {
  let directory: string
  const at = (name: string) => join(directory, name)
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'highwater-backup-'))
  })
  after(() => rm(directory, { recursive: true }))

  it('taken under load is a log: all that was acknowledged before, and it goes on', async () => {
    const start = (dataDir: string) => startServer({ host: '127.0.0.1', port: 0, dataDir, settings: busy })
    const server = await start(at('data'))
    const client = new Highwater({ url: server.url })
    await client.admin.createTopic('orders', { partitions: 2 })
    const producing = produceTo(server)
    const until = async (count: number) => {
      while (producing.acknowledged.some(({ length }) => length < count)) await new Promise(setImmediate)
    }
    await until(60)
    const member = client.consumer({ group: 'billing', topics: ['orders'], from: 'earliest' })
    let read = 0
    for await (const _ of member) if (++read === 40) break
    await member.commit()
    await member.close()
    const committed = await client.admin.groups.offsets('billing')

    // Twice: the second copies what is new.
    const first = await highwater('backup', at('backup'), '--data', at('data'))
    assert.deepEqual([first.code, first.stderr], [0, ''])
    await until(producing.acknowledged[0]!.length + 60)
    const before = producing.acknowledged.map((values) => [...values])
    const second = await highwater('backup', at('backup'), '--data', at('data'))
    assert.equal(second.code, 0, second.stderr)
    const [, objects, copied] = /: (\d+) objects, of which (\d+) were copied/.exec(second.stdout) ?? []
    assert.ok(Number(copied) <= Number(objects), second.stdout)
    await until(producing.acknowledged[0]!.length + 20)
    await producing.stop()
    await server.close()

    const verified = await highwater('verify', '--deep', '--data', at('backup'))
    assert.equal(verified.code, 0, verified.stdout)
    // A copy of the backup is what is used: the backup stays what it is.
    await cp(at('backup'), at('restored'), { recursive: true })
    const restored = await start(at('restored'))
    try {
      for (const [partition, values] of before.entries()) {
        const found = await valuesOf(restored, partition)
        assert.ok(found.length >= values.length, `${found.length} of ${values.length}`)
        assert.deepEqual(found, producing.acknowledged[partition]!.slice(0, found.length))
      }
      const restoredClient = new Highwater({ url: restored.url })
      assert.deepEqual(await restoredClient.admin.groups.offsets('billing'), committed)
      const producer = restoredClient.producer()
      const counts = await Promise.all([0, 1].map(async (partition) => (await valuesOf(restored, partition)).length))
      for (const [partition, count] of counts.entries()) {
        const { offset } = await producer.send({ topic: 'orders', partition, value: 'after' })
        assert.equal(offset, count)
      }
      await producer.close()
    } finally {
      await restored.close()
    }
    const again = await highwater('verify', '--data', at('restored'))
    assert.equal(again.code, 0, again.stdout)
  })

  it('takes the objects away again that were swept since', async () => {
    const objectsOf = async (name: string) =>
      (await readdir(at(name), { recursive: true, withFileTypes: true })).filter(
        (entry) => entry.isFile() && entry.parentPath.includes('objects'),
      ).length
    const server = await startServer({
      host: '127.0.0.1',
      port: 0,
      dataDir: at('swept'),
      settings: { ...busy, sweepAgeMs: 1_000 },
    })
    const client = new Highwater({ url: server.url })
    await client.admin.createTopic('t', { partitions: 1, configs: { 'chunk.placement': 'segment' } })
    const producer = client.producer({ lingerMs: 0 })
    for (let index = 0; index < 40; index++) await producer.send({ topic: 't', value: `${index}` })
    await producer.close()
    await highwater('backup', at('old'), '--data', at('swept'))
    const most = await objectsOf('old')
    await client.admin.deleteTopic('t')
    while ((await objectsOf('swept')) > 0) await new Promise((resolve) => setTimeout(resolve, 20))
    await server.close()
    await highwater('backup', at('old'), '--data', at('swept'))
    assert.ok(most > 0)
    assert.equal(await objectsOf('old'), 0)
  })

  it('writes over nobody, and says where there is nothing to copy', async () => {
    await writeFile(at('precious'), '')
    const full = await highwater('backup', directory, '--data', at('data'))
    assert.match(full.stderr, /is not empty, and no backup/)
    const none = await highwater('backup', at('new'), '--data', at('none'))
    assert.match(none.stderr, /is no data directory/)
    assert.deepEqual([full.code, none.code], [1, 1])
    const restoring = await startServer({ host: '127.0.0.1', port: 0, dataDir: at('backup') })
    const inUse = await highwater('backup', at('backup'), '--data', at('data'))
    await restoring.close()
    assert.match(inUse.stderr, /in use by another process|is not empty, and no backup/)
    // A server has worked on it: it is a log now.
    assert.match((await highwater('backup', at('backup'), '--data', at('data'))).stderr, /is not empty, and no backup/)
  })
})
