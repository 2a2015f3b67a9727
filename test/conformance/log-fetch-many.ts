import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { TopicId } from '../../lib/core/names.ts'
import type { FetchManyRequest, PolledPartition } from '../../lib/log/group-api.ts'
import type { Log } from '../../lib/log/log.ts'
import type { StoresFactory } from './log-fixture.ts'
import { appended, asSent, createTopic, recordsOf, refusedWith, textOf, withLog } from './log-fixture.ts'

type Asked = FetchManyRequest['partitions'][number]

/** Partitions 0 to `count` - 1 of a topic. */
const from = (count: number, offset = 0, topic = 'orders'): Asked[] =>
  Array.from({ length: count }, (_, partition) => ({ topic, partition, offset }))

async function fetched(log: Log, request: FetchManyRequest): Promise<readonly PolledPartition[]> {
  const answer = await log.fetchMany(request)
  assert.ok(answer.ok, answer.ok ? '' : answer.message)
  return answer.partitions
}

/** `topic/partition` -> values, or the code of its refusal. */
function valuesOf(partitions: readonly PolledPartition[]): Record<string, string> {
  return Object.fromEntries(
    partitions
      .map((polled) => [
        `${polled.topic}/${polled.partition}`,
        polled.ok
          ? recordsOf(polled)
              .map((record) => textOf(record.value))
              .join('')
          : polled.code,
      ])
      .sort(),
  )
}

const bytesOf = (polled: PolledPartition): number =>
  polled.ok ? polled.batches.reduce((sum, batch) => sum + batch.byteLength, 0) : 0

async function topicIdOf(log: Log): Promise<TopicId> {
  const found = await log.describeTopic('orders')
  assert.ok(found.ok)
  return found.topic.id
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

export function fetchManySuite(name: string, factory: StoresFactory): void {
  describe(`fetches of many partitions (${name})`, () => {
    it('one fetch answers the partitions that have something, each with where to go on, and no others', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 4)
        await createTopic(log, 2, {}, 'bills')
        await appended(log, ['a', 'b'], { partition: 1 })
        await appended(log, ['c'], { partition: 3 })
        await appended(log, ['d'], { topic: 'bills', partition: 0 })
        const partitions = await fetched(another(), { partitions: [...from(4), ...from(2, 0, 'bills')] })
        assert.deepEqual(valuesOf(partitions), { 'bills/0': 'd', 'orders/1': 'ab', 'orders/3': 'c' })
        const polled = partitions.find(({ topic, partition }) => topic === 'orders' && partition === 1)
        const topicId = await topicIdOf(log)
        assert.ok(polled?.ok)
        assert.deepEqual(
          [polled.topicId, polled.nextOffset, polled.startOffset, polled.highWatermark],
          [topicId, 2, 0, 2],
        )
      }))

    it('a long log is read to its end, in the tail, in rows and across them', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 3)
        const expected = ['', '', '']
        for (let index = 0; index < 90; index++) {
          const partition = index % 4 === 3 ? 0 : index % 3
          await appended(log, [`${index}.`], { partition })
          expected[partition] += `${index}.`
        }
        const reader = another()
        const read = ['', '', '']
        const asked = from(3).map((one) => ({ ...one }))
        for (let requests = 0; asked.some(({ partition }) => read[partition] !== expected[partition]); requests++) {
          assert.ok(requests < 90, `read ${read.join('|')}`)
          const partitions = await fetched(reader, { partitions: asked, bytesMax: 700 })
          for (const polled of partitions) {
            assert.ok(polled.ok)
            read[polled.partition] += recordsOf(polled)
              .map((record) => textOf(record.value))
              .join('')
            asked[polled.partition] = { ...asked[polled.partition]!, offset: polled.nextOffset }
          }
        }
        assert.deepEqual(read, expected)
      }))

    it('the limit of bytes is for all of them: a full partition leaves room for the others, and what one does not need the others get', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 3, asSent)
        const large = 'x'.repeat(10_000)
        for (let index = 0; index < 30; index++) await appended(log, [large], { partition: 0 })
        for (let index = 0; index < 30; index++) await appended(log, [large], { partition: 1 })
        await appended(log, ['small'], { partition: 2 })
        const bytesMax = 200_000
        for (let round = 0; round < 5; round++) {
          const partitions = await fetched(log, { partitions: from(3), bytesMax })
          const bytes = partitions.map(bytesOf)
          const sum = bytes.reduce((a, b) => a + b, 0)
          assert.equal(partitions.length, 3)
          assert.ok(sum <= bytesMax && sum > bytesMax * 0.85, `${bytes}`)
          assert.ok(bytes.filter((one) => one > bytesMax * 0.35).length === 2, `${bytes}`)
        }
      }))

    it('batches larger than a part of the limit come one at a time, and each of them comes', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 3)
        for (let partition = 0; partition < 3; partition++) await appended(log, ['y'.repeat(5_000)], { partition })
        const asked = new Map(from(3).map((one) => [one.partition, one]))
        for (let requests = 1; asked.size > 0; requests++) {
          const partitions = await fetched(log, { partitions: [...asked.values()], bytesMax: 100 })
          assert.equal(partitions.length, 1)
          for (const { partition } of partitions) asked.delete(partition)
          assert.ok(requests <= 3)
        }
      }))

    it('a partition whose batches fill every answer does not starve the others', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 2)
        await appended(log, ['y'.repeat(5_000)], { partition: 0 })
        await appended(log, ['small'], { partition: 1 })
        const isServed = async () => (await fetched(log, { partitions: from(2), bytesMax: 100 }))[0]?.partition === 1
        let requests = 1
        while (!(await isServed())) assert.ok(requests++ < 100)
      }))

    it('a limit of records is for all of them, to the end of a batch', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 2)
        for (let index = 0; index < 20; index++) await appended(log, ['a', 'b'], { partition: index % 2 })
        const partitions = await fetched(log, { partitions: from(2), recordsMax: 7 })
        const records = partitions.map((polled) => (polled.ok ? recordsOf(polled).length : 0))
        assert.deepEqual(
          records.toSorted().join(),
          '4,4',
          'four for each is what seven in parts of whole batches comes to',
        )
      }))

    it('what is wrong with one partition is said of it alone', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 2)
        await appended(log, ['a'])
        const topicId = await topicIdOf(log)
        const asked: Asked[] = [
          { topic: 'orders', partition: 0, offset: 0 },
          { topic: 'orders', partition: 1, offset: 7 },
          { topic: 'orders', partition: 2, offset: 0 },
          { topic: 'orders', partition: -1, offset: 0 },
          { topic: 'orders', partition: 3, offset: 0, topicId },
          { topic: 'nothing', partition: 0, offset: 0 },
        ]
        // Nobody waits for records where there is a refusal to be told.
        for (const waitMs of [0, 20_000])
          assert.deepEqual(valuesOf(await fetched(log, { partitions: asked, waitMs, bytesMin: 1_000 })), {
            'nothing/0': 'UNKNOWN_TOPIC',
            'orders/-1': 'UNKNOWN_PARTITION',
            'orders/0': 'a',
            'orders/1': 'OFFSET_OUT_OF_RANGE',
            'orders/2': 'UNKNOWN_PARTITION',
            'orders/3': 'UNKNOWN_PARTITION',
          })
      }))

    it('a topic that was deleted is told so by its id, also when there is another of its name', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 2)
        const topicId = await topicIdOf(log)
        const reader = another({ topicAgeMsMax: 60_000 })
        assert.deepEqual(await fetched(reader, { partitions: from(2) }), [])
        await log.deleteTopic('orders')
        const byId = { partitions: from(2).map((one) => ({ ...one, topicId })) }
        for (const polled of await fetched(reader, byId)) refusedWith(polled, 'UNKNOWN_TOPIC')
        await createTopic(log, 2)
        await appended(log, ['new'])
        for (const polled of await fetched(reader, byId)) refusedWith(polled, 'UNKNOWN_TOPIC')
        // By its name alone the new one is meant, whatever the reader still believes.
        assert.deepEqual(valuesOf(await fetched(reader, { partitions: from(2) })), { 'orders/0': 'new' })
      }))

    for (const isSoleProcess of [true, false])
      it(`a waiting fetch is answered by the next commit to any of its partitions (${isSoleProcess ? 'one process' : 'another process'})`, () =>
        withLog(
          factory,
          async ({ log, another }) => {
            await createTopic(log, 12)
            const writer = isSoleProcess ? log : another()
            const waiting = fetched(log, { partitions: from(12), waitMs: 20_000 })
            await turn()
            await appended(writer, ['b'], { partition: 7 })
            assert.deepEqual(valuesOf(await waiting), { 'orders/7': 'b' })
          },
          { isSoleProcess, headPollMsMin: 5, headPollMsMax: 20 },
        ))

    it('a waiting fetch gathers from all of its partitions until there is as much as was asked for', () =>
      withLog(
        factory,
        async ({ log, another }) => {
          await createTopic(log, 3, asSent)
          const writer = another()
          const waiting = fetched(log, { partitions: from(3), waitMs: 20_000, bytesMin: 5_000 })
          for (let index = 0; index < 5; index++) {
            await turn()
            await appended(index % 2 === 0 ? log : writer, ['z'.repeat(1_000)], { partition: index % 3 })
          }
          const partitions = await waiting
          assert.equal(partitions.length, 3)
          assert.ok(partitions.every((polled) => polled.ok && polled.nextOffset === recordsOf(polled).length))
          assert.ok(partitions.map(bytesOf).reduce((a, b) => a + b, 0) >= 5_000)
          // Not enough ever comes: then what there is, after its time.
          const few = await fetched(log, { partitions: from(3, 1), waitMs: 30, bytesMin: 5_000 })
          assert.ok(few.length > 0 && few.every((polled) => polled.ok))
        },
        { headPollMsMin: 2, headPollMsMax: 10 },
      ))

    it('a waiting fetch ends empty after its time, when its caller leaves, and when the log closes', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 2)
        assert.deepEqual(await fetched(log, { partitions: from(2), waitMs: 30 }), [])
        assert.deepEqual(await fetched(log, { partitions: [], waitMs: 30 }), [])
        const leaving = new AbortController()
        const left = fetched(log, { partitions: from(2), waitMs: 20_000, signal: leaving.signal })
        setImmediate(() => leaving.abort())
        assert.deepEqual(await left, [])
        for (const isSoleProcess of [true, false]) {
          const closing = another({ isSoleProcess })
          const waiting = fetched(closing, { partitions: from(2), waitMs: 20_000 })
          await turn()
          await closing.close()
          assert.deepEqual(await waiting, [])
        }
      }))

    it('a waiting fetch is told of the deletion of its topic', () =>
      withLog(
        factory,
        async ({ log, another }) => {
          await createTopic(log, 2)
          for (const deleter of [log, another()]) {
            const waiting = fetched(log, { partitions: from(2), waitMs: 20_000 })
            await turn()
            await deleter.deleteTopic('orders')
            for (const polled of await waiting) refusedWith(polled, 'UNKNOWN_TOPIC')
            await createTopic(log, 2)
          }
        },
        { headPollMsMin: 2, headPollMsMax: 10 },
      ))

    it('readers of many partitions beside writers skip nothing and see nothing twice', () =>
      withLog(
        factory,
        async ({ log, another }) => {
          const [partitions, each] = [6, 30]
          await createTopic(log, partitions)
          const writer = another()
          const writing = Promise.all(
            Array.from({ length: partitions }, async (_, partition) => {
              for (let index = 0; index < each; index++) await appended(writer, [`${index}`], { partition })
            }),
          )
          const asked = from(partitions).map((one) => ({ ...one }))
          let seen = 0
          while (seen < partitions * each) {
            for (const polled of await fetched(log, { partitions: asked, waitMs: 5_000, bytesMax: 1_000 })) {
              assert.ok(polled.ok)
              for (const record of recordsOf(polled)) {
                assert.equal(textOf(record.value), `${record.offset}`)
                assert.equal(record.offset, asked[polled.partition]!.offset)
                asked[polled.partition] = { ...asked[polled.partition]!, offset: record.offset + 1 }
                seen++
              }
            }
          }
          await writing
        },
        { headPollMsMin: 1, headPollMsMax: 5, headReadsPerSecondMax: 1_000 },
      ))
  })
}
