/** Histories of compaction: random ones, and one that is stopped at each of its writes. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { rowsCollection } from '../../lib/core/items.ts'
import type { Row } from '../../lib/core/row.ts'
import type { LogRules } from '../../lib/log/context.ts'
import { logRules } from '../../lib/log/context.ts'
import type { KeyedValue, Stores } from './compaction-model.ts'
import { KeyedPartition, topic } from './compaction-model.ts'

const stores = (): Stores => ({ objects: new MemoryObjects(), metadata: new MemoryMetadata() })

const value = fc.record({
  key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
  value: fc.option(fc.string({ maxLength: 12, unit: 'grapheme-ascii' }), { freq: 3 }),
})
const act = fc.oneof(
  { weight: 6, arbitrary: fc.record({ put: fc.array(value, { minLength: 1, maxLength: 4 }) }) },
  { weight: 2, arbitrary: fc.constant('roll' as const) },
  { weight: 2, arbitrary: fc.constant('merge' as const) },
  { weight: 3, arbitrary: fc.constant('compact' as const) },
  { weight: 1, arbitrary: fc.constant('sweep' as const) },
  { weight: 2, arbitrary: fc.record({ advanceMs: fc.constantFrom(1, 400, 1_000, 5_000) }) },
)

/** Random histories, of which each must be right. */
async function histories(numRuns: number, rules: Partial<LogRules> = {}): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      fc.array(act, { minLength: 5, maxLength: 40 }),
      fc.record({
        keysMax: fc.constantFrom(3, 10, 1_000),
        retentionMs: fc.constantFrom(0, 1_000, 100_000),
        placement: fc.constantFrom('inline', 'segment'),
      }),
      async (acts, { keysMax, retentionMs, placement }) => {
        const configs = { 'delete.retention.ms': String(retentionMs), 'chunk.placement': placement }
        const settings = { compactionKeysMax: keysMax, sweepAgeMs: 1_000 }
        const partition = new KeyedPartition(stores(), configs, settings, rules)
        await partition.create()
        for (const one of acts) {
          if (one === 'roll') await partition.roll()
          else if (one === 'merge') assert.ok((await partition.log.merge(topic, 0)).ok)
          else if (one === 'compact') assert.ok((await partition.log.compact(topic, 0)).ok)
          else if (one === 'sweep') assert.ok((await partition.log.sweep()).ok)
          else if ('put' in one) await partition.put(...one.put)
          else partition.clock.advance(one.advanceMs)
          if (one === 'compact' || one === 'sweep') await partition.check()
        }
        await partition.roll()
        await partition.compactAll()
        await partition.check()
        assert.ok((await partition.read()).length <= 5)
        // Tombstones, too, once their time has come.
        for (let times = 0; times < 2; times++) {
          partition.clock.advance(retentionMs + 1)
          await partition.compactAll()
        }
        await partition.check()
        for (const offset of await partition.read()) assert.notEqual(partition.appended[offset]?.value, null)
        await partition.verify()
      },
    ),
    { numRuns },
  )
}

type Stop = 'before' | 'after' | 'late'

/** Stores whose write number `at`, from when `begin` was called, or the first of that name, is the last: not done, done unseen, or done later. Reads fail from then on, too. */
function stopping(under: Stores, at: number | string, how: Stop) {
  let writes = -1
  let isStopped = false
  const late: (() => Promise<unknown>)[] = []
  const stopped = () => new Unavailable('the process has ended', 'possible', 'closed')
  const write = async <Result>(name: string, effect: () => Promise<Result>): Promise<Result> => {
    if (isStopped) throw stopped()
    if (writes < 0 || (writes++ !== at && name !== at)) return effect()
    isStopped = true
    if (how === 'after') await effect()
    if (how === 'late') late.push(effect)
    throw stopped()
  }
  const read = <Result>(effect: () => Promise<Result>): Promise<Result> => {
    if (isStopped) throw stopped()
    return effect()
  }
  const { objects, metadata } = under
  const seen: Stores = {
    objects: {
      create: (key, parts) => {
        const sent = parts.map((part) => part.slice())
        return write('create', () => objects.create(key, sent))
      },
      read: (...asked) => read(() => objects.read(...asked)),
      list: (...asked) => read(() => objects.list(...asked)),
      delete: (key) => write('delete', () => objects.delete(key)),
    },
    metadata: {
      readHead: (key) => read(() => metadata.readHead(key)),
      createHead: (head) => write('createHead', () => metadata.createHead(head)),
      updateHead: (key, command, also) => write(command.kind, () => metadata.updateHead(key, command, also)),
      get: (key) => read(() => metadata.get(key)),
      query: (...asked) => read(() => metadata.query(...asked)),
      write: (writes) => write('write', () => metadata.write(writes)),
    },
  }
  return {
    seen,
    begin: () => {
      writes = 0
    },
    isStopped: () => isStopped,
    arrive: async () => {
      for (const effect of late) await effect()
    },
  }
}

/** The methods of a class as they are, to be handed on one by one. */
function bound(objects: Stores['objects']): Stores['objects'] {
  return {
    create: (...given) => objects.create(...given),
    read: (...given) => objects.read(...given),
    list: (...given) => objects.list(...given),
    delete: (...given) => objects.delete(...given),
  }
}

const kv = (key: string, text: string | null): KeyedValue => ({ key, value: text })

/** Clean rows, tombstones that are due, dirty rows of all kinds: everything that a pass may meet. */
async function prepared(rules: Partial<LogRules>): Promise<KeyedPartition> {
  const partition = new KeyedPartition(
    stores(),
    { 'delete.retention.ms': '1000', 'chunk.placement': 'segment' },
    // Segments of few records: a pass writes several.
    { mergeBytesMin: 65_536, mergeBytesMax: 65_536, sweepAgeMs: 1_000 },
    rules,
  )
  await partition.create()
  const filler = 'x'.repeat(30_000)
  const incompressible = () =>
    Array.from({ length: 30_000 }, () => String.fromCharCode(33 + Math.random() * 90)).join('')
  await partition.put(kv('a', '1'), kv('b', '1'))
  await partition.put(kv('big1', incompressible()), kv('gone', '1'))
  await partition.roll()
  await partition.put(kv('gone', null), kv('c', filler))
  await partition.put(kv('big2', incompressible()))
  await partition.roll()
  await partition.compactAll()
  partition.clock.advance(2_000)
  for (let round = 0; round < 3; round++) {
    await partition.put(kv('a', `2.${round}`), kv(`d${round}`, incompressible()))
    await partition.put(kv('c', null), kv('b', `2.${round}`))
    await partition.roll()
  }
  return partition
}

/** A pass that is stopped at its write number 0, 1, 2 ... until it comes to its end; each time what follows must be right. Answers how many there are. */
async function interruptions(how: Stop, rules: Partial<LogRules> = {}): Promise<number> {
  for (let at = 0; ; at++) {
    const partition = await prepared(rules)
    const process = stopping(partition.stores, at, how)
    const log = partition.open(process.seen)
    process.begin()
    const answer = await log.compact(topic, 0)
    assert.equal(answer.ok, !process.isStopped())
    await partition.check()
    await partition.verify()
    if (!process.isStopped()) return at
    if (at % 2 === 1) {
      // Another history goes on meanwhile: more records, merges, tombstones that go.
      await partition.put(kv('a', null), kv('d1', 'later'))
      await partition.put(kv('e', '1'))
      await partition.roll()
      assert.ok((await partition.log.merge(topic, 0)).ok)
    }
    await partition.compactAll()
    await partition.check()
    partition.clock.advance(5_000)
    await partition.compactAll()
    partition.clock.advance(5_000)
    await partition.put(kv('f', '1'))
    await partition.roll()
    await partition.compactAll()
    assert.ok((await partition.log.sweep()).ok)
    await partition.check()
    await process.arrive()
    await partition.check()
    await partition.verify()
    await partition.compactAll()
    partition.clock.advance(50_000)
    assert.ok((await partition.log.sweep()).ok)
    await partition.check()
  }
}

/** A merge whose last writes arrive after a tombstone went that its run held no more: the deleted key must stay deleted. */
async function lateMerge(rules: Partial<LogRules> = {}): Promise<void> {
  for (let at = 0; ; at++) {
    const partition = await prepared(rules)
    const process = stopping(partition.stores, at, 'late')
    const log = partition.open(process.seen)
    process.begin()
    const answer = await log.merge(topic, 0)
    assert.equal(answer.ok, !process.isStopped())
    if (!process.isStopped()) {
      assert.ok(at > 2, `${at} writes`)
      return
    }
    await partition.put(kv('d0', null), kv('d1', null))
    await partition.roll()
    await partition.compactAll()
    partition.clock.advance(2_000)
    await partition.put(kv('f', '1'))
    await partition.roll()
    await partition.compactAll()
    await partition.check()
    await process.arrive()
    await partition.check()
    await partition.compactAll()
    await partition.check()
  }
}

/** A row that a roll puts late, as it was: when the tombstones of what it holds are gone. */
async function lateRow(rules: Partial<LogRules> = {}): Promise<void> {
  const partition = await prepared(rules)
  const { metadata } = partition.stores
  const collection = rowsCollection(partition.key.topicId, 0)
  const before = await metadata.query(collection, { limit: 100 })
  await partition.put(kv('d0', null), kv('d1', null))
  await partition.roll()
  await partition.compactAll()
  partition.clock.advance(2_000)
  await partition.put(kv('f', '1'))
  await partition.roll()
  await partition.compactAll()
  await partition.check()
  for (const { key, version, value } of before) await metadata.write([{ op: 'put', key, version, value, if: 'absent' }])
  await partition.check()
  await partition.compactAll()
  await partition.check()
}

/** The process ends when the head says that the pass is done: its tombstones still go in time, though nothing is written any more. */
async function endedAtTheHead(): Promise<void> {
  const partition = await prepared({})
  const process = stopping(partition.stores, 'clean', 'after')
  process.begin()
  const stopped = await partition.open(process.seen).compact(topic, 0)
  assert.ok(!stopped.ok && process.isStopped())
  const tombstones = async () => (await partition.read()).filter((offset) => partition.appended[offset]?.value === null)
  await partition.compactAll()
  assert.ok((await tombstones()).length > 0)
  partition.clock.advance(1_001)
  await partition.compactAll()
  await partition.check()
  assert.deepEqual(await tombstones(), [])
}

/** Between the rows of a pass and its write to the head comes another pass, which may take tombstones and nothing else. */
async function tombstonesMeanwhile(): Promise<void> {
  const partition = await prepared({})
  const configure = async (configs: Record<string, string>) => {
    const changes = Object.entries(configs).map(([name, value]) => ({ name, value }))
    assert.ok((await partition.log.alterConfigs(topic, changes)).ok)
  }
  await configure({ 'delete.retention.ms': '100000' })
  const process = stopping(partition.stores, 'clean', 'late')
  const log = partition.open(process.seen)
  process.begin()
  const stopped = await log.compact(topic, 0)
  assert.ok(!stopped.ok && process.isStopped())
  // Now the tombstones of before are due, and nothing else may be taken.
  await configure({ 'delete.retention.ms': '1000', 'min.compaction.lag.ms': '100000000' })
  const before = await partition.stores.metadata.readHead(partition.key)
  const other = await partition.open().compact(topic, 0)
  assert.ok(other.ok && other.pass?.cleanedTo === before?.cleanedTo)
  await partition.check()
  await process.arrive()
  const after = await partition.stores.metadata.readHead(partition.key)
  assert.ok((after?.cleanedTo ?? 0) > (before?.cleanedTo ?? 0))
  await partition.check()
}

describe('a compacted partition', () => {
  test('shows the last of each key to every reader, whatever was merged, compacted and swept, and nothing that it replaced', () =>
    histories(60))

  test('is what it was where a row comes late whose tombstones are gone', () => lateRow())

  test('is what it was where a merge comes late whose tombstones are gone', () => lateMerge())

  test('is what it was where the end of a pass comes late, after another pass that took tombstones only', () =>
    tombstonesMeanwhile())

  test('loses its tombstones in time, also where the process ended that cleaned before them', () => endedAtTheHead())

  test('is cleaned by several passes where each is told to stop, and none does again what another has done', async () => {
    const partition = await prepared({})
    const collection = rowsCollection(partition.key.topicId, 0)
    const versions = async () =>
      new Map((await partition.stores.metadata.query(collection, { limit: 100 })).map((item) => [item.key.sort, item]))
    const done = new Map<string, string>()
    let passes = 0
    for (let isOver = false; !isOver; passes++) {
      assert.ok(passes < 20)
      const stop = new AbortController()
      const { objects, metadata } = partition.stores
      const create: typeof objects.create = (key, parts) => {
        // After the segment that is being written.
        stop.abort()
        return objects.create(key, parts)
      }
      const seen = { objects: { ...bound(objects), create }, metadata }
      const answer = await partition.open(seen).compact(topic, 0, stop.signal)
      assert.ok(answer.ok)
      isOver = answer.pass !== undefined
      const now = await versions()
      for (const [key, version] of done) assert.equal(now.get(key)?.version, version, `${key} was done again`)
      const head = await metadata.readHead(partition.key)
      for (const [key, { version, value }] of now)
        if (((value as unknown as Row).cleanedTo ?? 0) > (isOver ? 0 : (head?.cleanedTo ?? 0))) done.set(key, version)
      await partition.check()
    }
    assert.ok(passes > 1, `${passes} passes`)
  })

  for (const how of ['before', 'after', 'late'] as const)
    test(`is what it was where a pass ends at any of its writes, and the next one does the rest: the write was done ${how}`, async () => {
      const writes = await interruptions(how)
      assert.ok(writes > 8, `${writes} writes`)
    })
})

describe('a wrong design is found out: ', () => {
  test('one that loses the last value', async () => {
    const keepsRecord: LogRules['keepsRecord'] = (record, latest) => latest === undefined || record.offset > latest
    await assert.rejects(histories(60, { keepsRecord }), /Counterexample/)
  })

  test('one that drops a tombstone before what it deletes', async () => {
    const keepsRecord: LogRules['keepsRecord'] = (record, latest, below) =>
      !record.isTombstone && logRules.keepsRecord(record, latest, below)
    await assert.rejects(interruptions('before', { keepsRecord }), /the last of/)
  })

  test('one where rows of before count', async () => {
    await assert.rejects(lateRow({ isStaleRow: () => false }), /the last of|comes twice/)
  })
})
