import assert from 'node:assert/strict'
import { cp, mkdtemp, readdir, readFile, rm, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, describe, it } from 'node:test'
import { startServer } from '../../functions/server.ts'
import { openVerifier } from '../../functions/verifier.ts'
import type { CliGiven } from '../../lib/cli/io.ts'
import { Highwater } from '../../lib/client/highwater.ts'
import { findingCodes } from '../../lib/core/verify-rule.ts'
import { createTerminal, noServer } from './terminal.ts'

const onStores: CliGiven = { ...noServer, openVerifier: (place) => openVerifier(place, undefined) }

describe('highwater verify, over a server', () => {
  it('sums up what it has looked at, and ends with 0', async () => {
    const { run, appendValues } = createTerminal()
    await run('topics create t --partitions 2')
    await appendValues('a', 'b', 'c')
    const { code, stdout, stderr } = await run('verify')
    assert.match(
      stdout,
      /^Verified 2 partitions of 1 topic: 3 records, [0-9,]+ bytes, 1 chunk, 0 rows\.\nNo damage; 0 leftovers\.\n$/,
    )
    assert.deepEqual([code, stderr], [0, ''])
    const named = await run('verify t -p 0 --deep')
    assert.match(named.stdout, /^Verified 1 partition of 1 topic: 3 records/)
    const json = JSON.parse((await run('verify --json')).stdout) as object
    const { bytes: _, ...rest } = json as { bytes: number }
    assert.deepEqual(rest, {
      topics: 1,
      partitions: 2,
      records: 3,
      chunks: 1,
      rows: 0,
      producers: 0,
      damage: 0,
      leftovers: 0,
      unnamed: 0,
      isWhole: true,
      findings: [],
    })
  })

  it('ends with 2 where it could not verify', async () => {
    const { run, begin } = createTerminal()
    const unknown = await run('verify nowhere')
    assert.deepEqual([unknown.code, unknown.stderr], [2, "highwater: Topic 'nowhere' does not exist.\n"])
    assert.equal((await run('verify --bucket b')).code, 2)
    assert.equal((await run('verify --bucket b --table t --data d')).code, 2)
    const nobody = await begin('verify', { fetch: () => Promise.reject(new TypeError('no network')) }).ended
    assert.equal(nobody.code, 2)
  })
})

describe('highwater verify, on a data directory', () => {
  let directory: string
  let data: string
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'highwater-verify-'))
    data = join(directory, 'data')
    const server = await startServer({ host: '127.0.0.1', port: 0, dataDir: data, settings: { lingerMs: 0 } })
    const highwater = new Highwater({ url: server.url })
    await highwater.admin.createTopic('orders', { configs: { 'chunk.placement': 'segment' } })
    const producer = highwater.producer({ lingerMs: 0 })
    for (let index = 0; index < 30; index++) await producer.send({ topic: 'orders', value: `order ${index}` })
    await producer.close()
    await server.close()
  })
  after(() => rm(directory, { recursive: true }))

  const { begin } = createTerminal()
  const verify = (path: string, flags = '') => begin(`verify --data ${path} ${flags}`, {}, onStores).ended

  it('finds a log that was left in good order as it was left', async () => {
    const { code, stdout } = await verify(data, '--deep')
    assert.match(stdout, /^Verified 1 partition of 1 topic: 30 records, .*\nNo damage; 0 leftovers\.\n$/)
    assert.equal(code, 0)
  })

  it('says what is damaged, a line each, and ends with 1', async () => {
    const spoilt = join(directory, 'spoilt')
    await cp(data, spoilt, { recursive: true })
    const objects = (await readdir(join(spoilt, 'objects'), { recursive: true, withFileTypes: true })).filter((entry) =>
      entry.isFile(),
    )
    const [one, other] = objects.map(({ parentPath, name }) => join(parentPath, name)).sort()
    await unlink(one!)
    const bytes = await readFile(other!)
    bytes[40]! ^= 1
    await writeFile(other!, bytes)
    const { code, stdout, stderr } = await verify(spoilt)
    const lines = stdout.split('\n')
    assert.equal(lines.filter((line) => line.startsWith('DAMAGE\tCHUNK_MISSING\torders/0\t')).length, 1, stdout)
    assert.equal(lines.filter((line) => line.startsWith('DAMAGE\tCHUNK_DAMAGED\torders/0\t')).length, 1, stdout)
    assert.match(stdout, /\nDAMAGE: 2; 0 leftovers\.\n$/)
    assert.deepEqual([code, stderr], [1, ''])
    const json = JSON.parse((await verify(spoilt, '--json')).stdout) as { damage: number; findings: object[] }
    assert.deepEqual([json.damage, json.findings.length], [2, 2])
    await rm(spoilt, { recursive: true })
  })

  it('says what cannot even be read: 2', async () => {
    const broken = join(directory, 'broken')
    await cp(data, broken, { recursive: true })
    const database = new DatabaseSync(join(broken, 'metadata.db'))
    database.exec("UPDATE heads SET value = 'nonsense'")
    database.close()
    const { code, stderr } = await verify(broken)
    assert.equal(code, 2)
    assert.match(stderr, /^highwater: What is stored cannot be read: .*nonsense/)
  })

  it('makes no log where there is none, and takes none that a server has open: 2', async () => {
    const none = await verify(join(directory, 'none'))
    assert.equal(none.code, 2)
    assert.match(none.stderr, /is no data directory/)
    const server = await startServer({ host: '127.0.0.1', port: 0, dataDir: data })
    try {
      const open = await verify(data)
      assert.equal(open.code, 2)
      assert.match(open.stderr, /in use by another process/)
    } finally {
      await server.close()
    }
  })
})

it('docs/operations.md says of every kind of finding what it means', async () => {
  const page = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8')
  for (const [code, { meaning }] of Object.entries(findingCodes))
    assert.ok(page.includes(`| \`${code}\` | ${meaning}`), code)
})
