/** The process as it is started by hand: what it prints, how it ends, what it keeps. */
import assert from 'node:assert/strict'
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { batchesType } from '../../lib/http/raw.ts'
import { batchOf } from '../http/harness.ts'

const entry = fileURLToPath(new URL('../../functions/highwater.js', import.meta.url))
const running = new Set<ChildProcessWithoutNullStreams>()
let directory = ''

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'highwater-start-'))
})
after(async () => {
  for (const child of running) child.kill('SIGKILL')
  await rm(directory, { recursive: true, force: true })
})

function run(args: readonly string[], nodeArgs: readonly string[] = []): ChildProcessWithoutNullStreams {
  const child = spawn(process.execPath, [...nodeArgs, entry, ...args])
  running.add(child)
  child.on('close', () => running.delete(child))
  return child
}

/** Runs to its end. */
async function runToEnd(
  args: readonly string[],
  nodeArgs?: readonly string[],
): Promise<{ code: number; out: string; err: string }> {
  return ended(run(args, nodeArgs))
}

async function ended(child: ChildProcessWithoutNullStreams): Promise<{ code: number; out: string; err: string }> {
  let out = ''
  let err = ''
  child.stdout.on('data', (part) => (out += part))
  child.stderr.on('data', (part) => (err += part))
  const [code] = (await once(child, 'close')) as [number]
  return { code, out, err }
}

interface Server {
  readonly url: string
  readonly lines: readonly string[]
  stop(signal: 'SIGTERM' | 'SIGINT'): Promise<number>
}

async function startServer(...args: readonly string[]): Promise<Server> {
  const child = run(['start', '--port', '0', ...args])
  const lines: string[] = []
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.on('data', (part) => {
      lines.push(...String(part).trim().split('\n'))
      const found = /http:\/\/[^ ]+/.exec(lines.join(' '))
      if (found !== null) resolve(found[0])
    })
    child.on('close', (code) => reject(new Error(`ended with ${code}`)))
  })
  return {
    url,
    lines,
    async stop(signal) {
      const closed = once(child, 'close')
      child.kill(signal)
      const [code] = (await closed) as [number]
      return code
    },
  }
}

async function append(url: string, value: string): Promise<number> {
  const response = await fetch(`${url}/topics/t/partitions/0`, {
    method: 'POST',
    headers: { 'content-type': batchesType },
    body: batchOf([value]) as BodyInit,
  })
  assert.equal(response.status, 200)
  return ((await response.json()) as { base_offset: number }).base_offset
}

async function createTopic(url: string): Promise<void> {
  const response = await fetch(`${url}/v3/clusters/-/topics`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ topic_name: 't' }),
  })
  assert.equal(response.status, 201)
}

test('a server says its URL on one line, and keeps what was acknowledged over a stop and a start', async () => {
  const data = join(directory, 'kept')
  const first = await startServer('--data', data)
  assert.equal(first.lines.length, 1)
  await createTopic(first.url)
  assert.equal(await append(first.url, 'a'), 0)
  assert.equal(await first.stop('SIGTERM'), 0)

  const second = await startServer('--data', data)
  assert.equal(await append(second.url, 'b'), 1)
  const read = await fetch(`${second.url}/topics/t/partitions/0/records?offset=0`)
  const records = (await read.json()) as { value: string }[]
  assert.deepEqual(
    records.map((record) => atob(record.value)),
    ['a', 'b'],
  )

  const other = await runToEnd(['start', '--port', '0', '--data', data])
  assert.equal(other.code, 1)
  assert.equal(other.out, '')
  assert.match(other.err, /^[^\n]*in use by another process[^\n]*\n$/)

  const port = new URL(second.url).port
  const samePort = await runToEnd(['start', '--port', port, '--memory'])
  assert.equal(samePort.code, 1)
  assert.match(samePort.err, /^[^\n]*Port \d+ on 127\.0\.0\.1 is in use[^\n]*\n$/)
  assert.equal(await second.stop('SIGINT'), 0)
})

test("a server on files or in memory stores large appends as they come: their compression is a merge's work", async () => {
  const server = await startServer('--memory')
  await createTopic(server.url)
  await append(server.url, 'x'.repeat(500_000))
  const read = await fetch(`${server.url}/topics/t/partitions/0/records?offset=0`, { headers: { accept: batchesType } })
  assert.ok((await read.arrayBuffer()).byteLength > 500_000)
  await server.stop('SIGTERM')
})

test('a stop answers who waits, and does not wait for them', async () => {
  const server = await startServer('--memory')
  await createTopic(server.url)
  await append(server.url, 'a')
  const waiting = fetch(`${server.url}/topics/t/partitions/0/records?offset=1&timeout=20000`)
  // Answered after the waiting read has arrived, in all likelihood; where it has not, it is refused, which is an answer too.
  await fetch(`${server.url}/health`)
  const startedMs = performance.now()
  const [code, answer] = await Promise.all([
    server.stop('SIGTERM'),
    waiting.then((response) => response.text(), String),
  ])
  assert.equal(code, 0)
  assert.ok(performance.now() - startedMs < 5_000)
  assert.ok(answer === '[]' || answer.includes('fetch failed'), answer)
})

test('an older Node is refused in one sentence', async () => {
  const older = `data:text/javascript,${encodeURIComponent(
    "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.19.1' } })",
  )}`
  const { code, out, err } = await runToEnd(['start'], ['--import', older])
  assert.equal(code, 1)
  assert.equal(out, '')
  assert.equal(err, 'Highwater needs Node.js 24.9 or newer; this is 20.19.1.\n')
})
