import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { sizeText } from '../../lib/cli/produce.ts'
import { createTerminal } from './terminal.ts'

const directory = await mkdtemp(join(tmpdir(), 'highwater-cli-'))
after(() => rm(directory, { recursive: true }))

async function world() {
  const terminal = createTerminal()
  await terminal.run('topics create t --partitions 3')
  /** Key, value and headers of all records, each quoted. */
  const consumed = async (format = '%k=%s;') => (await terminal.run(`consume -t t -e -f '${format}'`)).stdout
  return { ...terminal, consumed }
}

describe('highwater produce', () => {
  it('sends each line of standard input, and says on standard error what it did', async () => {
    const { run, consumed } = await world()
    const { code, stdout, stderr } = await run('produce -t t -p 0', 'one\ntwo\n\nfour')
    assert.deepEqual([code, stdout], [0, ''])
    assert.match(stderr, /^4 records, 10 B in \d+\.\d s \(\S+ \S?B\/s\)\n$/)
    assert.equal(await consumed('%s,'), 'one,two,,four,')
    assert.equal((await run('produce -t t -p 0 -q', 'five')).stderr, '')
  })

  it('takes keys in front of a separator, and records of any delimiter', async () => {
    const { run, consumed } = await world()
    await run(`produce -t t -p 1 -K : -D ';'`, 'a:1;b:2:3;none;:empty')
    assert.equal(await consumed('%k|%K|%s;'), 'a|1|1;b|1|2:3;|-1|none;|0|empty;')
    await run(`produce -t t -p 2 -K '\\t' -D '\\x00' -Z`, 'k\tv\0k\t\0')
    assert.equal((await run(`consume -t t -p 2 -e -f '%k=%s/%S '`)).stdout, 'k=v/1 k=/-1 ')
  })

  it('gives all records the same key and headers where it is told so', async () => {
    const { run, consumed } = await world()
    await run(`produce -t t -k same -H a=1 -H 'b=x=y' -H c=`, 'v\nw')
    assert.equal(await consumed('%k %h %s;'), 'same a=1,b=x=y,c= v;same a=1,b=x=y,c= w;')
  })

  it('checks JSON lines, and takes the key out of a field', async () => {
    const { run } = await world()
    const { code, stderr } = await run(
      'produce -t t -p 0 --json-lines --key-field id',
      '{"id":"a","n":1}\n{"id":7}\nnot json\n{"other":true}\n[1]\n',
    )
    assert.equal(code, 1)
    assert.match(stderr, /standard input:3: This is not JSON/)
    assert.match(stderr, /standard input:5: This is no JSON object, so it has no field id/)
    assert.match(stderr, /3 records, .* 2 failed\n$/)
    assert.equal((await run(`consume -t t -p 0 -e -K ' '`)).stdout, 'a {"id":"a","n":1}\n7 {"id":7}\n {"other":true}\n')
  })

  it('sends files whole, or their lines with -l', async () => {
    const { run, consumed } = await world()
    const file = join(directory, 'lines.txt')
    await writeFile(file, 'a\nb\n')
    await run(`produce -t t -p 0 ${file}`)
    await run(`produce -t t -p 0 -l ${file} ${file}`)
    assert.equal(await consumed('%s|'), 'a\nb\n|a|b|a|b|')
    const missing = await run(`produce -t t ${join(directory, 'missing')}`)
    assert.equal(missing.code, 1)
    assert.match(missing.stderr, /highwater: There is no file .*missing\.\n$/)
  })

  it('compresses', async () => {
    const { run, consumed } = await world()
    for (const codec of ['gzip', 'snappy', 'lz4', 'zstd']) await run(`produce -t t -p 0 -z ${codec}`, codec)
    assert.equal(await consumed('%s,'), 'gzip,snappy,lz4,zstd,')
  })

  it('keeps bytes as they are', async () => {
    const { run } = await world()
    const bytes = Buffer.from([0xff, 0x00, 0x0d, 0xc3, 0x28])
    await run('produce -t t -p 0', bytes)
    assert.deepEqual((await run('consume -t t -p 0 -e -f %s')).stdoutBytes, bytes)
  })

  it('exits with 1 if any record failed, and sends the others', async () => {
    const { run, consumed } = await world()
    const { code, stderr } = await run('produce -t t -p 0', `a\n${'x'.repeat(2_000_000)}\nb`)
    assert.equal(code, 1)
    assert.match(stderr, /standard input:2: .*1 failed\n$/s)
    assert.equal(await consumed('%s,'), 'a,b,')
  })

  it('does not read on when the topic is not there', async () => {
    const { begin } = createTerminal()
    const session = begin('produce -t missing')
    session.stdin.write('a\n')
    const { code, stderr } = await session.ended
    assert.equal(code, 1)
    assert.match(stderr, /standard input:1: .*missing/)
  })

  it('sends what it has read when it is interrupted, and exits with 130', async () => {
    const { begin, consumed } = await world()
    const session = begin('produce -t t -p 0 --linger-ms 60000')
    session.stdin.write('a\nb\nunfinished')
    await new Promise((resolve) => setImmediate(resolve))
    session.interrupt()
    const { code, stderr } = await session.ended
    assert.equal(code, 130)
    assert.match(stderr, /^2 records/)
    assert.equal(await consumed('%s,'), 'a,b,')
  })

  it('reads no faster than it can send', async () => {
    const { begin, fetch } = await world()
    const gate = Promise.withResolvers<void>()
    const session = begin('produce -t t -p 0', {
      fetch: async (url, init) => {
        if (init.method === 'POST' && url.includes('/topics/')) await gate.promise
        return fetch(url, init)
      },
    })
    const chunk = Buffer.from(`${'x'.repeat(99_999)}\n`)
    let writtenBytes = 0
    const writing = (async () => {
      for (let index = 0; index < 600; index++) {
        const hasRoom = session.stdin.write(chunk)
        writtenBytes += chunk.length
        if (!hasRoom) await new Promise((resolve) => session.stdin.once('drain', resolve))
      }
      session.stdin.end()
    })()
    let before = -1
    while (before !== writtenBytes) {
      before = writtenBytes
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
    }
    assert.ok(writtenBytes < 40_000_000, `${writtenBytes} bytes were read`)
    gate.resolve()
    await writing
    const { code, stderr } = await session.ended
    assert.equal(code, 0)
    assert.match(stderr, /^600 records, 60\.0 MB/)
  })

  it('writes sizes as people read them', () => {
    assert.deepEqual([0, 999, 1_000, 999_949, 999_950, 1_234_567_890].map(sizeText), [
      '0 B',
      '999 B',
      '1.0 kB',
      '999.9 kB',
      '1.0 MB',
      '1.2 GB',
    ])
  })
})
