import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { TestContext } from 'node:test'
import { describe, test } from 'node:test'
import type { CommitFailure, WritableDatabase } from '../../lib/adapters/local/database.ts'
import { commitFailure, openForReading, openForWriting } from '../../lib/adapters/local/database.ts'
import {
  cachedHeadsMax,
  groupCommandsMax,
  LocalMetadata,
  openLocalMetadata,
} from '../../lib/adapters/local/metadata.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import type { HeadCommand } from '../../lib/core/head.ts'
import { newHead } from '../../lib/core/head.ts'
import type { ChunkReference } from '../../lib/core/reference.ts'
import { metadataConformance } from '../conformance/metadata.ts'
import { append, newItemKeys, newKey, put } from '../conformance/metadata-fixture.ts'

metadataConformance('local database', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'highwater-metadata-'))
  const metadata = await openLocalMetadata(join(directory, 'metadata.db'))
  return {
    metadata,
    async close() {
      await metadata.close()
      await rm(directory, { recursive: true })
    },
  }
})

/** The path of a database in a directory of the test's own. */
async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'highwater-metadata-'))
  t.after(() => rm(directory, { recursive: true }))
  return join(directory, 'metadata.db')
}

/** Metadata whose database is in this thread, so that a test can look at the groups and let commits fail. */
async function watched(t: TestContext, pagesMax?: number) {
  const path = await temporary(t)
  const database: WritableDatabase = openForWriting(path, pagesMax)
  const world = {
    groups: [] as number[],
    /** What the next commit answers instead of doing its work. */
    failure: undefined as CommitFailure | undefined,
  }
  const metadata = new LocalMetadata(
    {
      async commit(writes) {
        world.groups.push(writes.length)
        const { failure } = world
        world.failure = undefined
        if (failure !== undefined) return failure
        try {
          database.commit(writes)
          return undefined
        } catch (error) {
          return commitFailure(error)
        }
      },
      close: async () => database.close(),
    },
    openForReading(path),
  )
  t.after(() => metadata.close())
  return { metadata, world, path }
}

describe('local metadata: groups', () => {
  test('the commands of one turn are one commit', async (t) => {
    const { metadata, world } = await watched(t)
    const keys = Array.from({ length: 50 }, newKey)
    await Promise.all(keys.map((key) => metadata.createHead(newHead(key))))
    assert.deepEqual(world.groups, [50])
    await Promise.all([
      ...keys.map((key, index) => metadata.updateHead(key, append(`ref${index}`))),
      metadata.write(newItemKeys(3).map((key) => put(key, '1', 1))),
    ])
    assert.deepEqual(world.groups, [50, 53])
  })

  test('a head that many commands of a group change is written once', async (t) => {
    const { metadata, world } = await watched(t)
    const key = newKey()
    await metadata.createHead(newHead(key))
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => metadata.updateHead(key, append(`r${i}`))))
    assert.deepEqual(world.groups, [1, 1])
    assert.deepEqual(
      answers.map((answer) => answer.head?.hw),
      Array.from({ length: 40 }, (_, i) => i + 1),
    )
  })

  test(`a group has at most ${groupCommandsMax} commands`, async (t) => {
    const { metadata, world } = await watched(t)
    const keys = Array.from({ length: groupCommandsMax + 1 }, newKey)
    await Promise.all(keys.map((key) => metadata.createHead(newHead(key))))
    assert.deepEqual(world.groups, [groupCommandsMax, 1])
  })

  test('commands that are all refused cost no commit', async (t) => {
    const { metadata, world } = await watched(t)
    const answers = await Promise.all([metadata.updateHead(newKey(), append('a')), metadata.write([])])
    assert.deepEqual(
      answers.map((answer) => answer.applied),
      [false, true],
    )
    assert.deepEqual(world.groups, [])
  })

  test('what a group has not committed yet is not read', async (t) => {
    const path = await temporary(t)
    const database = openForWriting(path)
    let release = () => {}
    const metadata = new LocalMetadata(
      {
        async commit(writes) {
          await new Promise<void>((resolve) => (release = resolve))
          database.commit(writes)
          return undefined
        },
        close: async () => database.close(),
      },
      openForReading(path),
    )
    t.after(() => metadata.close())
    const key = newKey()
    const [item] = newItemKeys(1)
    const writing = Promise.all([metadata.createHead(newHead(key)), metadata.write([put(item!, '1', 1)])])
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    assert.equal(await metadata.readHead(key), undefined)
    assert.equal(await metadata.get(item!), undefined)
    assert.deepEqual(await metadata.query(item!.collection, { limit: 1 }), [])
    release()
    await writing
    assert.deepEqual(await metadata.readHead(key), newHead(key))
    assert.equal((await metadata.get(item!))?.version, '1')
  })
})

describe('local metadata: failing disks', () => {
  const full: CommitFailure = { effects: 'none', why: 'full', message: 'full', isFinal: false }
  const broken: CommitFailure = { effects: 'possible', why: 'failed', message: 'broken', isFinal: true }

  test('a full disk refuses every command of the group without effect, and takes the next', async (t) => {
    const { metadata, world } = await watched(t)
    const key = newKey()
    await metadata.createHead(newHead(key))
    world.failure = full
    const refused = [
      metadata.updateHead(key, append('a')),
      // Refused by a neighbour's append: an answer that would have told of what is not durable.
      metadata.updateHead(key, append('a')),
      metadata.write([put(newItemKeys(1)[0]!, '1', 1)]),
    ]
    for (const command of refused) await assert.rejects(command, unavailable('none', 'full'))
    assert.deepEqual(await metadata.readHead(key), newHead(key))
    assert.equal((await metadata.updateHead(key, append('a', 5))).applied, true)
    assert.equal((await metadata.readHead(key))?.hw, 5)
  })

  test('SQLite says when it is full, and the transaction has had no effect', async (t) => {
    const { metadata } = await watched(t, 12)
    const key = newKey()
    await metadata.createHead(newHead(key))
    const [item] = newItemKeys(1)
    await assert.rejects(
      metadata.updateHead(key, append('a'), [put(item!, '1', 'x'.repeat(100_000))]),
      unavailable('none', 'full'),
    )
    assert.deepEqual(await metadata.readHead(key), newHead(key))
    assert.equal(await metadata.get(item!), undefined)
    assert.equal((await metadata.updateHead(key, append('a'), [put(item!, '1', 'short')])).applied, true)
  })

  test('after a commit whose outcome nobody knows nothing is written any more, and reads go on', async (t) => {
    const { metadata, world } = await watched(t)
    const key = newKey()
    await metadata.createHead(newHead(key))
    world.failure = broken
    await assert.rejects(metadata.updateHead(key, append('a')), unavailable('possible', 'failed'))
    const commits = world.groups.length
    await assert.rejects(metadata.updateHead(key, append('b')), unavailable('none', 'failed'))
    await assert.rejects(metadata.write([put(newItemKeys(1)[0]!, '1', 1)]), unavailable('none', 'failed'))
    assert.equal(world.groups.length, commits)
    assert.deepEqual(await metadata.readHead(key), newHead(key))
  })

  test('what SQLite reports of the disk is told apart: full is certain, anything else is not', () => {
    const error = (errcode: number) => Object.assign(new Error('reported'), { errcode })
    const ioErrorSync = 10 | (4 << 8)
    assert.deepEqual(outcome(commitFailure(error(13))), ['none', 'full', false])
    assert.deepEqual(outcome(commitFailure(error(ioErrorSync))), ['possible', 'failed', true])
    assert.deepEqual(outcome(commitFailure(new Error('who knows'))), ['possible', 'failed', true])
  })
})

describe('local metadata: files', () => {
  test('heads and items are there after a close and an open', async (t) => {
    const path = await temporary(t)
    const first = await openLocalMetadata(path)
    const key = newKey()
    const [item] = newItemKeys(1)
    await first.createHead(newHead(key))
    await first.updateHead(key, append('a.b/c', 3), [put(item!, '1', { some: 'value' })])
    const head = await first.readHead(key)
    await first.close()
    const second = await openLocalMetadata(path)
    t.after(() => second.close())
    assert.deepEqual(await second.readHead(key), head)
    assert.deepEqual(await second.get(item!), { key: item, version: '1', value: { some: 'value' } })
    assert.equal(await second.createHead(newHead(key)), 'exists')
  })

  test('closing writes what is waiting first, and is final', async (t) => {
    const path = await temporary(t)
    const metadata = await openLocalMetadata(path)
    const key = newKey()
    const waiting = [metadata.createHead(newHead(key)), metadata.updateHead(key, append('a'))]
    await Promise.all([metadata.close(), metadata.close()])
    await Promise.all(waiting)
    await assert.rejects(metadata.readHead(key), unavailable('none', 'closed'))
    await assert.rejects(metadata.get(newItemKeys(1)[0]!), unavailable('none', 'closed'))
    await assert.rejects(metadata.query('x', { limit: 1 }), unavailable('none', 'closed'))
    await assert.rejects(metadata.createHead(newHead(key)), unavailable('none', 'closed'))
    await assert.rejects(metadata.updateHead(key, append('b')), unavailable('none', 'closed'))
    const again = await openLocalMetadata(path)
    t.after(() => again.close())
    assert.equal((await again.readHead(key))?.hw, 1)
  })

  test('a newer schema is refused with both numbers', async (t) => {
    const path = await temporary(t)
    await (await openLocalMetadata(path)).close()
    const database = new DatabaseSync(path)
    database.exec('PRAGMA user_version = 7')
    database.close()
    await assert.rejects(openLocalMetadata(path), /schema version 7; this Highwater knows versions up to 2\./)
  })

  test('a file of the schema before is brought to this one, and keeps what it holds', async (t) => {
    const path = await temporary(t)
    const before = await openLocalMetadata(path)
    const key = { collection: 'topics', sort: 'a' }
    await before.write([{ op: 'put', key, version: '1', value: { is: 'old' }, if: 'absent' }])
    await before.close()
    // Schema 1 had no column of bytes.
    const database = new DatabaseSync(path)
    database.exec('ALTER TABLE items DROP COLUMN bytes; PRAGMA user_version = 1')
    database.close()
    for (const version of ['2', '3']) {
      const metadata = await openLocalMetadata(path)
      const item = await metadata.get(key)
      const bytes = Uint8Array.of(1, 2)
      assert.deepEqual(item?.value, { is: 'old' })
      await metadata.write([{ op: 'put', key, version, value: item.value, bytes, if: { version: item.version } }])
      await metadata.close()
    }
  })

  test("another program's database is refused", async (t) => {
    const path = await temporary(t)
    const database = new DatabaseSync(path)
    database.exec('CREATE TABLE theirs (x)')
    database.close()
    await assert.rejects(openLocalMetadata(path), /is not a metadata file of Highwater/)
  })

  test('a place that cannot keep what it is told to keep is refused in one sentence', () => {
    // A database in memory has no write-ahead log: SQLite ignores the pragma, as it does on some network file systems.
    assert.throws(() => openForWriting(':memory:'), /cannot be written durably: SQLite's journal_mode is memory there/)
  })

  test(`more heads than the ${cachedHeadsMax} that are kept in memory are read again`, async (t) => {
    const { metadata } = await watched(t)
    const { topicId } = newKey()
    const heads = Array.from({ length: cachedHeadsMax + 20 }, (_, partition) => newHead({ topicId, partition }))
    await Promise.all(heads.map((head) => metadata.createHead(head)))
    for (const head of [...heads.slice(0, 30), ...heads.slice(-30)]) {
      const command: HeadCommand = { ...append('x'), seen: 0 }
      assert.deepEqual(await metadata.readHead(head), head)
      assert.equal((await metadata.updateHead(head, command)).applied, true)
      assert.equal((await metadata.readHead(head))?.tail['x' as ChunkReference], 0)
    }
  })
})

function outcome({ effects, why, isFinal }: CommitFailure): unknown[] {
  return [effects, why, isFinal]
}

function unavailable(effects: string, why: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Unavailable, String(error))
    assert.deepEqual([error.effects, error.why], [effects, why])
    return true
  }
}
