import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nativeCodecs } from '../../lib/adapters/codecs-native.ts'
import { type ConsumedRecord, HighwaterError, text } from '../../lib/client/highwater.ts'
import { encodeBatch } from '../../lib/core/record-batch.ts'
import { groupWorld, numbers } from './group-world.ts'
import { withoutStreams } from './network.ts'

const failure = (promise: Promise<unknown>): Promise<HighwaterError> =>
  promise.then(
    () => assert.fail('it did not fail'),
    (error: unknown) => {
      assert.ok(error instanceof HighwaterError, String(error))
      return error
    },
  )

const nothing = { done: true, value: undefined }

describe('a consumer', () => {
  it('gives every record of its topics with topic, partition and offset, each partition in order', async () => {
    const { member, append, elapse } = await groupWorld({ t: 2, u: 1 })
    await append(0, ['a', 'b'])
    await append(1, ['c'])
    await append(0, ['d'], 'u')
    const { consumer } = member('a', { topics: ['t', 'u'] })
    const records: ConsumedRecord[] = []
    while (records.length < 4) records.push((await elapse(consumer.next())).value!)
    const seen = records.map(({ topic, partition, offset, value }) => `${topic}/${partition}@${offset} ${text(value)}`)
    assert.deepEqual(seen.sort(), ['t/0@0 a', 't/0@1 b', 't/1@0 c', 'u/0@0 d'])
    assert.ok(records.findIndex(({ offset }) => offset === 0) < records.findIndex(({ offset }) => offset === 1))
    await elapse(consumer.close())
  })

  it('reads what matches a pattern, also a topic that comes later', async () => {
    const { member, append, elapse, log, take } = await groupWorld({ 'orders-eu': 1, other: 1 })
    await append(0, ['eu'], 'orders-eu')
    await append(0, ['not this'], 'other')
    const reader = member('a', { topics: undefined as never, pattern: 'orders-.*' })
    assert.deepEqual(await take(reader, 1), ['eu'])
    await log.createTopic({ name: 'orders-us' })
    await append(0, ['us'], 'orders-us')
    assert.deepEqual(await take(reader, 1), ['us'])
    assert.deepEqual(reader.told, ['a assigned orders-eu/0', 'a assigned orders-us/0'])
    await elapse(reader.consumer.close())
  })

  it('begins at the start or at the end of a partition without a committed offset, as it is told', async () => {
    const { member, append, elapse, log, take, committed } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 5))
    await log.deleteRecords('t', 0, 2)
    assert.deepEqual(await take(member('a', { group: 'first' }), 2), ['2', '3'])
    const last = member('b', { group: 'last', from: 'latest' })
    assert.deepEqual(await elapse(last.consumer.poll()), [])
    await append(0, ['5'])
    assert.deepEqual(await take(last, 1), ['5'])
    // Nothing was processed yet, but whoever comes next must not skip what came since: the beginning is committed.
    assert.deepEqual(await committed('last'), { 0: 5 })
    const strict = await failure(elapse(member('c', { group: 'none', from: 'none' }).consumer.next()))
    assert.equal(strict.code, 'OFFSET_OUT_OF_RANGE')
    assert.match(strict.message, /committed no offset of t\/0/)
  })

  it('goes on from what was committed, whatever it is told of the beginning', async () => {
    const { member, append, elapse, take } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 5))
    const first = member('a')
    await take(first, 3)
    await elapse(first.consumer.commit())
    await elapse(first.consumer.close())
    for (const from of ['earliest', 'latest', 'none'] as const) {
      const next = member(from, { from })
      assert.deepEqual(await take(next, 1), ['3'])
      await elapse(next.consumer.close())
    }
  })

  it('goes on by its policy where retention has overtaken it', async () => {
    const { member, append, elapse, log, take } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 10))
    const first = member('a')
    await take(first, 3)
    await elapse(first.consumer.commit())
    await elapse(first.consumer.close())
    await log.deleteRecords('t', 0, 6)
    const retried: string[] = []
    const next = member('b', { onRetry: ({ code }) => retried.push(code) })
    assert.deepEqual(await take(next, 1), ['6'])
    assert.deepEqual(retried, ['OFFSET_OUT_OF_RANGE'])
    await elapse(next.consumer.close())
    await elapse(log.groups.commit('strict', [{ topic: 't', partition: 0, offset: 3 }]))
    const strict = member('c', { group: 'strict', from: 'none' })
    assert.equal((await failure(elapse(strict.consumer.next()))).code, 'OFFSET_OUT_OF_RANGE')
  })

  it('hands out many at once, at most as many as it is asked for, and an empty list when nothing came in time', async () => {
    const { member, append, elapse } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 5))
    const { consumer } = member('a')
    const values = async (recordsMax?: number) => (await elapse(consumer.poll(recordsMax)))?.map((r) => text(r.value))
    assert.deepEqual(await values(2), ['0', '1'])
    assert.deepEqual(await values(), ['2', '3', '4'])
    assert.deepEqual(await values(), [])
    assert.equal(consumer.lag, 0)
    await elapse(consumer.close())
    assert.equal(await consumer.poll(), undefined)
  })

  it('knows its partitions, its positions and how far it is behind', async () => {
    const { member, append, elapse } = await groupWorld({ t: 2 })
    await append(0, numbers(0, 5))
    const { consumer } = member('a')
    assert.deepEqual([consumer.memberId, consumer.assignment, consumer.lag], [undefined, [], undefined])
    await elapse(consumer.poll(2))
    assert.match(consumer.memberId ?? '', /^a-/)
    assert.deepEqual(consumer.assignment, [
      { topic: 't', partition: 0 },
      { topic: 't', partition: 1 },
    ])
    assert.deepEqual(consumer.positions[0], { topic: 't', partition: 0, offset: 2 })
    await elapse(consumer.poll())
    await elapse(consumer.poll())
    assert.deepEqual(
      consumer.positions.map(({ offset }) => offset),
      [5, 0],
    )
    assert.equal(consumer.lag, 0)
    await elapse(consumer.close())
  })

  it('seeks: the next record of the partition is the one that was sought', async () => {
    const { member, append, elapse, take, committed } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 10))
    const reader = member('a')
    const partition = { topic: 't', partition: 0 }
    await take(reader, 2)
    reader.consumer.seek(partition, 7)
    assert.deepEqual(await take(reader, 2), ['7', '8'])
    reader.consumer.seek(partition, 'earliest')
    assert.deepEqual(await take(reader, 1), ['0'])
    reader.consumer.seek(partition, 3)
    assert.deepEqual(await take(reader, 1), ['3'])
    await elapse(reader.consumer.commit())
    assert.deepEqual(await committed(), { 0: 4 })
    reader.consumer.seek(partition, 'latest')
    assert.deepEqual(await elapse(reader.consumer.poll()), [])
    await append(0, ['10'])
    assert.deepEqual(await take(reader, 1), ['10'])
    assert.throws(() => reader.consumer.seek(partition, -1), RangeError)
    assert.throws(() => reader.consumer.seek({ topic: 't', partition: 9 }, 0), { code: 'ILLEGAL_STATE' })
    await elapse(reader.consumer.close())
  })

  it('reads nothing of what is paused, and goes on exactly there', async () => {
    const { member, append, elapse, take } = await groupWorld({ t: 2 })
    await append(0, numbers(0, 3, 'a'))
    const reader = member('a')
    assert.deepEqual(await take(reader, 1), ['a0'])
    reader.consumer.pause([{ topic: 't', partition: 0 }])
    await append(1, ['b0'])
    assert.deepEqual(await take(reader, 1), ['b0'])
    assert.deepEqual(await elapse(reader.consumer.poll()), [])
    assert.equal(reader.consumer.assignment.length, 2)
    // A poll that waits is interrupted: it does not know that there is more to want.
    const waiting = elapse(reader.consumer.next(), 1)
    reader.consumer.resume()
    assert.equal(text((await waiting).value!.value), 'a1')
    assert.deepEqual(await take(reader, 1), ['a2'])
    await elapse(reader.consumer.close())
  })

  it('reads what only the server can decompress', async (context) => {
    withoutStreams(context)
    const { member, log, elapse, take, append } = await groupWorld({ t: 1 })
    const records = numbers(0, 3).map((value) => ({
      timestampMs: 1,
      key: null,
      value: new TextEncoder().encode(value),
    }))
    const batches = encodeBatch({ records, compression: 'gzip' }, nativeCodecs)
    assert.ok((await elapse(log.append({ topic: 't', partition: 0, batches }))).ok)
    await append(0, ['3'])
    const reader = member('a')
    assert.deepEqual(await take(reader, 4), numbers(0, 4))
    await elapse(reader.consumer.close())
  })

  it('never takes the records of a topic that was created again for a continuation', async () => {
    const { member, append, elapse, log, take, committed } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 5))
    const reader = member('a', { autoCommitIntervalMs: 0 })
    await take(reader, 5)
    await elapse(reader.consumer.commit())
    assert.ok((await log.deleteTopic('t')).ok)
    assert.ok((await log.createTopic({ name: 't' })).ok)
    await append(0, ['new'])
    assert.deepEqual(await take(reader, 1), ['new'])
    assert.deepEqual(reader.told.slice(0, 1), ['a assigned 0'])
    assert.equal(reader.told.at(-1), 'a assigned 0')
    assert.deepEqual(await committed(), {})
    // Until the group notices, what is gone is not asked for again and again.
    const polls = reader.network.seen.filter(({ path }) => path.endsWith('/poll')).length
    assert.ok(polls < 40, `${polls} polls`)
    await elapse(reader.consumer.close())
  })

  it('is asked for one thing at a time', async () => {
    const { member, elapse } = await groupWorld()
    const { consumer } = member('a')
    const first = consumer.poll()
    await assert.rejects(consumer.poll(), { code: 'ILLEGAL_STATE' })
    await elapse(first)
    await elapse(consumer.close())
  })

  it('refuses options that contradict each other', async () => {
    const { client } = await groupWorld()
    const { highwater } = client()
    assert.throws(() => highwater.consumer({ group: 'g' }), RangeError)
    assert.throws(() => highwater.consumer({ group: 'g', topics: ['t'], pattern: 'x' }), RangeError)
    assert.throws(() => highwater.consumer({ group: '', topics: ['t'] }), RangeError)
    assert.throws(() => highwater.consumer({ group: 'g', topics: ['t'], waitMs: -1 }), RangeError)
  })

  it('asks less and less often while there is nothing, where it is told to pause', async () => {
    const { member, elapse, append, take, timing } = await groupWorld({ t: 1 })
    const reader = member('a', { waitMs: 0, idlePauseMs: 5_000 })
    await elapse(reader.consumer.poll())
    const polls = () => reader.network.seen.filter(({ path }) => path.endsWith('/poll')).length
    const before = polls()
    const next = elapse(reader.consumer.next())
    const startedMs = timing.now()
    while (timing.now() - startedMs < 60_000) await timing.advance(1_000)
    assert.ok(polls() - before <= 20, `${polls() - before} polls in a minute`)
    await append(0, ['x', 'y'])
    assert.equal(text((await next).value!.value), 'x')
    assert.deepEqual(await take(reader, 1), ['y'])
    await elapse(reader.consumer.close())
  })
})

describe('what a consumer commits', () => {
  it('is what the loop has passed, not the record in hand', async () => {
    const { member, append, take, timing, committed, elapse } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 10))
    const reader = member('a', { autoCommitIntervalMs: 5_000 })
    await take(reader, 3)
    assert.deepEqual(await committed(), {})
    await timing.advance(5_000)
    // The ask for the fourth says that three are done.
    await take(reader, 1)
    assert.deepEqual(await committed(), { 0: 3 })
    await take(reader, 3)
    assert.deepEqual(await committed(), { 0: 3 })
    await elapse(reader.consumer.close())
  })

  it('is committed while the loop takes long over a record, too', async () => {
    const { member, append, take, timing, committed, elapse } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 10))
    const reader = member('a')
    await take(reader, 3)
    await timing.advance(10_000)
    assert.deepEqual(await committed(), { 0: 2 })
    await elapse(reader.consumer.close())
  })

  it('is nothing without autoCommit, until it is told to: everything handed out, or given offsets', async () => {
    const { member, append, take, timing, committed, elapse, log } = await groupWorld({ t: 2 })
    await append(0, numbers(0, 10))
    const reader = member('a', { autoCommit: false })
    await take(reader, 4)
    await timing.advance(20_000)
    await take(reader, 1)
    assert.deepEqual(await committed(), {})
    await elapse(reader.consumer.commit())
    assert.deepEqual(await committed(), { 0: 5 })
    await elapse(reader.consumer.commit([{ topic: 't', partition: 0, offset: 2, metadata: 'again from here' }]))
    const stored = await log.groups.committed('g')
    assert.ok(stored.ok)
    assert.deepEqual(
      stored.offsets.map(({ offset, metadata }) => [offset, metadata]),
      [[2, 'again from here']],
    )
    await assert.rejects(elapse(reader.consumer.commit([{ topic: 't', partition: 7, offset: 0 }])), {
      code: 'ILLEGAL_STATE',
    })
    await take(reader, 1)
    await elapse(reader.consumer.close())
    assert.deepEqual(await committed(), { 0: 2 })
  })

  it('is at closing what the loop has passed; the group is left', async () => {
    const { member, append, take, committed, elapse, log } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 10))
    const reader = member('a')
    await take(reader, 4)
    await elapse(reader.consumer.close())
    assert.deepEqual(await committed(), { 0: 3 })
    assert.deepEqual(reader.told, ['a assigned 0', 'a revoked 0'])
    const described = await log.groups.describe('g')
    assert.ok(described.ok)
    assert.equal(described.group.state, 'Empty')
    assert.deepEqual(await reader.consumer.next(), nothing)
  })

  it('is not the record under which the loop was left, or failed', async () => {
    const { member, append, committed, elapse } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 10))
    const failing = async () => {
      let count = 0
      for await (const _record of member('a').consumer) if (++count === 3) throw new Error('no')
    }
    await assert.rejects(elapse(failing()), { message: 'no' })
    assert.deepEqual(await committed(), { 0: 2 })
    const leaving = async () => {
      await using consumer = member('b').consumer
      for await (const record of consumer) {
        if (record.offset < 5) continue
        await consumer.commit()
        break
      }
    }
    await elapse(leaving())
    assert.deepEqual(await committed(), { 0: 6 })
  })

  it('is everything that was handed out, where a signal ends the loop', async () => {
    const { member, append, committed, elapse } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 10))
    const control = new AbortController()
    const reader = member('a', { signal: control.signal })
    const seen: number[] = []
    const loop = async () => {
      for await (const { offset } of reader.consumer) {
        seen.push(offset)
        if (offset === 3) control.abort()
      }
    }
    await elapse(loop())
    assert.deepEqual(seen, [0, 1, 2, 3])
    assert.deepEqual(await committed(), { 0: 4 })
    assert.deepEqual(reader.told, ['a assigned 0', 'a revoked 0'])
  })

  it('ends a wait for records, too', async () => {
    const { member, elapse } = await groupWorld({ t: 1 })
    const control = new AbortController()
    const reader = member('a', { signal: control.signal, waitMs: 20_000 })
    const waiting = elapse(reader.consumer.next())
    setImmediate(() => control.abort())
    assert.deepEqual(await waiting, nothing)
  })

  it('comes again after a crash, and nothing is skipped', async () => {
    const { member, append, take, timing, elapse } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 10))
    const first = member('a', { autoCommitIntervalMs: 1_000 })
    await take(first, 4)
    await timing.advance(1_000)
    await take(first, 2)
    first.cut()
    const second = member('b')
    assert.deepEqual(await take(second, 6), numbers(4, 10))
    await elapse(second.consumer.close())
  })
})
