/** Real processes: a server is killed while the command line produces and consumes, and another takes its place. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createTerminal } from './terminal.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const records = 20_000

describe('the command line, while its server is killed and started again', () => {
  let directory: string
  let server: ChildProcess | undefined
  let url = ''
  const { begin, run } = createTerminal()
  const fetch = (asked: string, init: RequestInit) => globalThis.fetch(asked.replace('http://log.test', url), init)
  const io = { fetch, env: { HIGHWATER_URL: 'http://log.test' } }

  async function startServer(): Promise<void> {
    const started = spawn(process.execPath, ['functions/highwater.js', 'start', '--port', '0', '--data', directory], {
      cwd: root,
      env: { ...process.env, HIGHWATER_LOG_LEVEL: 'fatal' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    server = started
    url = await new Promise<string>((resolve, reject) => {
      started.stdout.on('data', (chunk: Buffer) => resolve(/http:\S+/.exec(chunk.toString())?.[0] ?? ''))
      started.on('exit', () => reject(new Error('the server did not start')))
    })
  }
  async function stopServer(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const stopped = server
    server = undefined
    if (stopped === undefined) return
    const exited = new Promise((resolve) => stopped.once('exit', resolve))
    stopped.kill(signal)
    await exited
  }

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'highwater-outage-'))
    await startServer()
  })
  after(async () => {
    await stopServer('SIGTERM')
    await rm(directory, { recursive: true })
  })

  it('every record is written once and in order, and read once and in order', async () => {
    assert.equal((await run('topics create t --partitions 2', '', io)).code, 0)
    const half = Promise.withResolvers<void>()
    const resumed = Promise.withResolvers<void>()
    async function* lines() {
      for (let index = 0; index < records; index++) {
        // In the middle of it all, with both sides at work and batches under way.
        if (index === records / 2) {
          await consumer.stdout.shows('\n')
          half.resolve()
        }
        if (index === records * 0.9) await resumed.promise
        yield `${index}\n`
      }
    }
    const consumer = begin(`consume -t t -q -f '%p %s\\n' -c ${records}`, io)
    const producer = begin('produce -t t --linger-ms 1 -z snappy', { ...io, stdin: Readable.from(lines()) })
    await half.promise
    await stopServer('SIGKILL')
    await startServer()
    resumed.resolve()
    const produced = await producer.ended
    assert.equal(produced.code, 0, produced.stderr)
    assert.match(produced.stderr, /^20000 records/)
    const consumed = await consumer.ended
    assert.equal(consumed.code, 0, consumed.stderr)
    const again = await run(`consume -t t -e -f '%p %s\\n'`, '', io)
    for (const { stdout } of [consumed, again]) {
      const read = stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split(' ').map(Number))
      assert.equal(read.length, records)
      assert.equal(new Set(read.map(([, value]) => value)).size, records)
      for (const partition of [0, 1]) {
        const values = read.flatMap(([of, value]) => (of === partition ? [value ?? -1] : []))
        assert.deepEqual(
          values,
          values.toSorted((a, b) => a - b),
        )
      }
    }
  })
})
