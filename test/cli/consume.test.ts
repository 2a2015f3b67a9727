import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Writable } from 'node:stream'
import { describe, it } from 'node:test'
import { createTerminal } from './terminal.ts'

async function world() {
  const terminal = createTerminal()
  await terminal.run('topics create t --partitions 2')
  await terminal.run('produce -t t -p 0 -K : -H h=1', 'a:0\nb:1\nc:2\nd:3')
  await terminal.run('produce -t t -p 1', '10\n11')
  const out = async (args: string) => {
    const { code, stdout, stderr } = await terminal.run(`consume ${args}`)
    assert.deepEqual([args, code, stderr], [args, 0, ''])
    return stdout
  }
  return { ...terminal, out }
}

describe('highwater consume', () => {
  it('prints the values of all partitions, a line each, and exits at the end with -e', async () => {
    const { out } = await world()
    assert.deepEqual((await out('-t t -e')).split('\n').sort(), ['', '0', '1', '10', '11', '2', '3'])
    assert.equal(await out('-t t -p 0 -e'), '0\n1\n2\n3\n')
    assert.deepEqual((await out('-t t -p 0,1 -e')).length, 14)
  })

  it('begins where it is told', async () => {
    const { out } = await world()
    assert.equal(await out('-t t -p 0 -e -o 2'), '2\n3\n')
    assert.equal(await out('-t t -p 0 -e -o -1'), '3\n')
    assert.equal(await out('-t t -p 0 -e -o -100'), '0\n1\n2\n3\n')
    assert.equal(await out('-t t -p 0 -e -o end'), '')
    assert.equal(await out('-t t -p 0 -e -o s@0'), '0\n1\n2\n3\n')
    assert.equal(await out('-t t -p 0 -e -o s@9999-01-01T00:00:00Z'), '')
    assert.equal(await out('-t t -p 0 -e --offset beginning --count 1'), '0\n')
  })

  it('stops after -c records', async () => {
    const { out } = await world()
    assert.equal(await out('-t t -p 0 -c 3'), '0\n1\n2\n')
    assert.equal((await out('-t t -c 5')).split('\n').length, 6)
    assert.equal(await out('-t t -c 0'), '')
  })

  it('prints by a format, with keys, or as JSON', async () => {
    const { out } = await world()
    assert.equal(
      await out(`-t t -p 0 -c 2 -f '%t/%p@%o %k(%K)=%s(%S) %h\\n'`),
      't/0@0 a(1)=0(1) h=1\nt/0@1 b(1)=1(1) h=1\n',
    )
    assert.equal(await out(`-t t -p 0 -c 1 -K ' -> '`), 'a -> 0\n')
    assert.equal(await out(`-t t -p 1 -c 2 -D ' '`), '10 11 ')
    assert.equal(await out(`-t t -p 1 -c 1 -Z -K /`), 'NULL/10\n')
    const { ts, ...line } = JSON.parse(await out('-t t -p 0 -c 1 -J'))
    assert.deepEqual(line, { topic: 't', partition: 0, offset: 0, headers: ['h', '1'], key: 'a', payload: '0' })
    assert.ok(Math.abs(ts - Date.now()) < 60_000)
  })

  it('follows the topic until it is interrupted', async () => {
    const { begin, run, fetch } = await world()
    // The end is where it is when the command asks: from the first request for records on, nothing may be missed.
    const began = Promise.withResolvers<void>()
    const reading = new Set<string>()
    const session = begin('consume -t t -o end', {
      fetch: (url, init) => {
        const answer = fetch(url, init)
        if (url.includes('/records?')) reading.add(new URL(url).pathname)
        if (reading.size === 2) began.resolve()
        return answer
      },
    })
    await began.promise
    await run('produce -t t -p 0', 'x')
    await session.stdout.shows('x\n')
    await run('produce -t t -p 1', 'y')
    await session.stdout.shows('y\n')
    session.interrupt()
    assert.deepEqual(await session.ended.then(({ code, stdout, stderr }) => [code, stdout, stderr]), [0, 'x\ny\n', ''])
  })

  it('goes on after failures that pass, and says so', async () => {
    const { begin, fetch } = await world()
    let failures = 3
    const session = begin('consume -t t -p 0 -c 4', {
      fetch: (url, init) =>
        url.includes('/records') && failures-- > 0 ? Promise.reject(new TypeError('fetch failed')) : fetch(url, init),
    })
    const { code, stdout, stderr } = await session.ended
    assert.deepEqual([code, stdout], [0, '0\n1\n2\n3\n'])
    assert.match(stderr, /^(highwater: .*fetch failed.* Trying again\.\n){3}$/)
  })

  it('exits quietly when its reader has seen enough', async () => {
    const { begin } = await world()
    const closed = new Writable({
      write(_chunk, _encoding, done) {
        done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
      },
    })
    const session = begin('consume -t t', { stdout: closed })
    assert.deepEqual(await session.ended.then(({ code, stderr }) => [code, stderr]), [0, ''])
  })

  it('fetches no faster than its reader reads', async () => {
    const { begin, run, fetch } = await world()
    // What cannot be compressed: twenty records would be one fetch.
    const line = () => randomBytes(375_000).toString('base64')
    await run('produce -t t -p 1', Array.from({ length: 20 }, () => `${line()}\n`).join(''))
    let release: (() => void) | undefined
    let fetches = 0
    const slow = new Writable({
      highWaterMark: 1,
      write(_chunk, _encoding, done) {
        release = done
      },
    })
    const session = begin('consume -t t -p 1 -e', {
      stdout: slow,
      fetch: (url, init) => {
        if (url.includes('/records')) fetches++
        return fetch(url, init)
      },
    })
    for (let turn = 0; turn < 300; turn++) await new Promise((resolve) => setImmediate(resolve))
    assert.ok(fetches <= 3, `${fetches} fetches`)
    let isDone = false
    void session.ended.then(() => {
      isDone = true
    })
    while (!isDone) {
      const resume = release
      release = undefined
      resume?.()
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.ok(fetches > 5)
  })
})
