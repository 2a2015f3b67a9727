import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { headProducersMax } from '../../lib/core/head.ts'
import type { ProducerStamp } from '../../lib/log/log.ts'
import type { StoresFactory } from './log-fixture.ts'
import { append, appended, batchOf, bytesOf, createTopic, readAll, refusedWith, withLog } from './log-fixture.ts'

const stamp = (producerId: number, sequence: number, epoch = 0): ProducerStamp => ({ producerId, epoch, sequence })

export function producerSuite(name: string, factory: StoresFactory): void {
  describe(`idempotent producers (${name})`, () => {
    it('producer ids are never given twice, whoever allocates', () =>
      withLog(
        factory,
        async ({ log, another }) => {
          const logs = [log, another(), another()]
          const ids = await Promise.all(Array.from({ length: 60 }, (_, index) => logs[index % 3]!.allocateProducer()))
          const given = ids.map((id) => id.ok && id.producerId)
          assert.equal(new Set(given).size, 60)
          assert.ok(ids.every((id) => id.ok && id.epoch === 0))
        },
        { producerIdBlock: 4 },
      ))

    it('a repeat gets the first answer', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log)
        await appended(log, ['other'])
        const first = await append(log, ['a', 'b'], { producer: stamp(1, 0) })
        assert.deepEqual(first.ok && [first.baseOffset, first.isDuplicate], [1, false])
        const repeat = await append(another(), ['a', 'b'], { producer: stamp(1, 0) })
        assert.deepEqual(repeat.ok && [repeat.baseOffset, repeat.isDuplicate], [1, true])
        assert.deepEqual(await readAll(log), ['other', 'a', 'b'])
      }))

    it('a repeat within the last five batches gets its offsets, an older one is told that it is a duplicate', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        for (let sequence = 0; sequence < 8; sequence++)
          assert.equal(await appended(log, [`${sequence}`], { producer: stamp(1, sequence) }), sequence)
        for (const sequence of [3, 5, 7]) {
          const repeat = await append(log, ['again'], { producer: stamp(1, sequence) })
          assert.deepEqual(repeat.ok && [repeat.baseOffset, repeat.isDuplicate], [sequence, true])
        }
        const old = await append(log, ['again'], { producer: stamp(1, 2) })
        refusedWith(old, 'DUPLICATE_SEQUENCE_NUMBER')
        assert.equal(!old.ok && old.details?.lastSequence, 7)
        assert.equal((await readAll(log)).length, 8)
      }))

    it('batches that wait for one before them keep nobody from writing, least of all that one', () =>
      withLog(
        factory,
        async ({ log }) => {
          await createTopic(log)
          // One flush at a time, and each of these fills one.
          const values = ['third', 'second', 'first'].map((text) => text.padEnd(4_096, '.'))
          const offsets = await Promise.all(
            [2, 1, 0].map((sequence, index) => appended(log, [values[index]!], { producer: stamp(1, sequence) })),
          )
          assert.deepEqual(offsets, [2, 1, 0])
          assert.deepEqual(await readAll(log), values.toReversed())
        },
        { flushesInFlightMax: 1, segmentBytesMax: 4_096, sequenceGapWaitMs: 10_000 },
      ))

    it('a gap in sequence is refused with the expected number', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        await appended(log, ['a', 'b'], { producer: stamp(1, 0) })
        const ahead = await append(log, ['d'], { producer: stamp(1, 3) })
        refusedWith(ahead, 'OUT_OF_ORDER_SEQUENCE_NUMBER')
        assert.equal(!ahead.ok && ahead.details?.expectedSequence, 2)
        const unknown = await append(log, ['x'], { producer: stamp(2, 4) })
        assert.equal(!unknown.ok && unknown.details?.expectedSequence, 0)
        assert.deepEqual(await readAll(log), ['a', 'b'])
      }))

    it('batches that arrive out of order within the wait are committed in sequence', () =>
      withLog(
        factory,
        async ({ log, another }) => {
          await createTopic(log)
          const other = another()
          const late = append(other, ['c'], { producer: stamp(1, 2) })
          const later = append(log, ['b'], { producer: stamp(1, 1) })
          const first = append(log, ['a'], { producer: stamp(1, 0) })
          assert.deepEqual(
            (await Promise.all([first, later, late])).map((answer) => answer.ok && answer.baseOffset),
            [0, 1, 2],
          )
          assert.deepEqual(await readAll(log), ['a', 'b', 'c'])
        },
        { sequenceGapWaitMs: 5_000 },
      ))

    it('an older epoch cannot commit, and a newer one begins with sequence 0', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        await appended(log, ['a'], { producer: stamp(1, 0) })
        refusedWith(await append(log, ['x'], { producer: stamp(1, 1, 1) }), 'OUT_OF_ORDER_SEQUENCE_NUMBER')
        assert.equal(await appended(log, ['b'], { producer: stamp(1, 0, 1) }), 1)
        const fenced = await append(log, ['x'], { producer: stamp(1, 1, 0) })
        refusedWith(fenced, 'INVALID_PRODUCER_EPOCH')
        assert.equal(!fenced.ok && fenced.details?.epoch, 1)
        refusedWith(await append(log, ['a'], { producer: stamp(1, 0, 0) }), 'INVALID_PRODUCER_EPOCH')
        assert.deepEqual(await readAll(log), ['a', 'b'])
      }))

    it("the claim in a batch header counts as the request's, and they must agree", () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        const batch = () => batchOf(['a'], { producerId: 3, producerEpoch: 0, baseSequence: 0 })
        const first = await log.append({ topic: 'orders', partition: 0, batches: batch() })
        const repeat = await log.append({ topic: 'orders', partition: 0, batches: batch(), producer: stamp(3, 0) })
        assert.deepEqual(first.ok && repeat.ok && [first.isDuplicate, repeat.isDuplicate, repeat.baseOffset], [
          false,
          true,
          0,
        ])
        refusedWith(
          await log.append({ topic: 'orders', partition: 0, batches: batch(), producer: stamp(3, 1) }),
          'INVALID_REQUEST',
        )
        const two = new Uint8Array([...batch(), ...batch()])
        refusedWith(await log.append({ topic: 'orders', partition: 0, batches: two }), 'INVALID_REQUEST')
      }))

    it('sequences go on with 0 after 2^31 - 1', () =>
      withLog(factory, async ({ log, stores }) => {
        await createTopic(log)
        await appended(log, ['a'], { producer: stamp(1, 0) })
        const described = await log.describeTopic('orders')
        assert.ok(described.ok)
        assert.ok(await stores.metadata.readHead({ topicId: described.topic.id, partition: 0 }))
        refusedWith(await append(log, ['x'], { producer: stamp(1, 2 ** 31) }), 'INVALID_REQUEST')
        refusedWith(await append(log, ['x'], { producer: stamp(1, 1, 32_768) }), 'INVALID_REQUEST')
        refusedWith(await append(log, ['x'], { producer: stamp(-1, 0) }), 'INVALID_REQUEST')
      }))

    it('a thousand producers at once on one partition are each right, and the head stays small', () =>
      withLog(factory, async ({ log, stores }) => {
        await createTopic(log)
        const producers = 1_000
        const send = (sequence: number) =>
          Promise.all(
            Array.from({ length: producers }, (_, id) =>
              append(log, [`${id}/${sequence}`], { producer: stamp(id, sequence) }),
            ),
          )
        const first = await send(0)
        const second = await send(1)
        const repeat = await send(0)
        assert.ok([...first, ...second].every((answer) => answer.ok && !answer.isDuplicate))
        repeat.forEach((answer, id) => {
          const original = first[id]
          assert.ok(answer.ok && original?.ok)
          assert.deepEqual([answer.baseOffset, answer.isDuplicate], [original.baseOffset, true])
        })
        const values = await readAll(log, { bytesMax: 10_000_000 })
        assert.equal(values.length, 2 * producers)
        assert.equal(new Set(values).size, 2 * producers)
        const described = await log.describeTopic('orders')
        assert.ok(described.ok)
        const head = await stores.metadata.readHead({ topicId: described.topic.id, partition: 0 })
        assert.ok(head && Object.keys(head.producers).length <= headProducersMax)
      }))

    it('a producer that gave its place in the head to others is remembered all the same', () =>
      withLog(factory, async ({ log, stores }) => {
        await createTopic(log)
        await appended(log, ['a'], { producer: stamp(1, 0) })
        for (let index = 0; index < 60; index++) await appended(log, [`plain ${index}`])
        await log.settled()
        const described = await log.describeTopic('orders')
        assert.ok(described.ok)
        const head = await stores.metadata.readHead({ topicId: described.topic.id, partition: 0 })
        assert.deepEqual(head?.producers, {}, 'it was evicted')
        const repeat = await append(log, ['a'], { producer: stamp(1, 0) })
        assert.deepEqual(repeat.ok && [repeat.baseOffset, repeat.isDuplicate], [0, true])
        assert.equal(await appended(log, ['b'], { producer: stamp(1, 1) }), 61)
        assert.equal((await append(log, ['b'], { producer: stamp(1, 1) })).ok, true)
        assert.equal((await readAll(log)).length, 62)
      }))

    it('forgetting a producer never makes its late retry look new (P4)', () =>
      withLog(
        factory,
        async ({ log, clock }) => {
          await createTopic(log)
          // More producers than the head holds: the last ones have items.
          for (let id = 0; id < headProducersMax + 3; id++) await appended(log, ['a'], { producer: stamp(id, 0) })
          const idle = headProducersMax + 1
          clock.advance(10_000)
          const forgotten = await log.forgetProducers('orders', 0)
          assert.equal(forgotten.ok && forgotten.forgotten, 3)
          refusedWith(await append(log, ['a'], { producer: stamp(idle, 0) }), 'UNKNOWN_PRODUCER_ID')
          refusedWith(await append(log, ['b'], { producer: stamp(idle, 1) }), 'UNKNOWN_PRODUCER_ID')
          assert.equal(await appended(log, ['b'], { producer: stamp(0, 1) }), headProducersMax + 3)
          assert.ok((await append(log, ['a'], { producer: stamp(headProducersMax + 3, 0) })).ok)
        },
        { producerIdExpirationMs: 5_000 },
      ))

    it('upkeep forgets the idle producers and idempotency keys of every partition, and none that is in use', () =>
      withLog(
        factory,
        async ({ log, clock }) => {
          await createTopic(log, 2)
          await createTopic(log, 1, {}, 'payments')
          const produce = (topic: string, partition: number, idempotencyKey: string) =>
            log.produce({ topic, idempotencyKey, records: [{ partition, key: null, value: bytesOf('a') }] })
          await produce('orders', 0, 'old')
          await produce('orders', 1, 'old')
          await produce('payments', 0, 'old')
          clock.advance(4_000)
          await produce('orders', 0, 'young')
          const upkeep = async () => {
            const round = await log.maintain()
            return round.ok && [round.partitions, round.forgotten]
          }
          assert.deepEqual(await upkeep(), [3, 0])
          clock.advance(2_000)
          assert.deepEqual(await upkeep(), [3, 3])
          const repeat = await produce('orders', 0, 'young')
          assert.ok(repeat.ok && repeat.records[0]?.ok && repeat.records[0].isDuplicate)
          assert.equal((await readAll(log)).length, 2)
        },
        { producerIdExpirationMs: 5_000, maintainRoundMs: 0 },
      ))

    it('a request under an Idempotency-Key is committed once, whatever its partitions', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 4)
        const records = ['a', 'b', 'c', 'd', 'e'].map((key) => ({ key: bytesOf(key), value: bytesOf(key) }))
        const send = (from = log) =>
          from.produce({
            topic: 'orders',
            records: [...records, { key: null, value: bytesOf('free') }],
            idempotencyKey: 'request-1',
          })
        const first = await send()
        const again = await Promise.all([send(), send(another())])
        assert.ok(first.ok)
        for (const answer of again) {
          assert.ok(answer.ok)
          answer.records.forEach((record, index) => {
            const original = first.records[index]
            assert.ok(record.ok && original?.ok)
            assert.deepEqual([record.partition, record.offset], [original.partition, original.offset])
          })
        }
        const counts = await Promise.all(
          [0, 1, 2, 3].map(async (partition) => (await readAll(log, { partition })).length),
        )
        assert.equal(
          counts.reduce((sum, count) => sum + count, 0),
          6,
        )
      }))

    it('an Idempotency-Key that comes back with another content is refused', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        const send = (value: string, count = 1) =>
          log.produce({
            topic: 'orders',
            idempotencyKey: 'k',
            records: Array.from({ length: count }, () => ({ key: null, value: bytesOf(value) })),
          })
        assert.ok((await send('a')).ok)
        for (const other of [await send('b'), await send('a', 2)]) {
          assert.ok(other.ok)
          assert.equal(other.records[0]?.ok === false && other.records[0].code, 'IDEMPOTENCY_KEY_REUSED')
        }
        assert.deepEqual(await readAll(log), ['a'])
        const bad = await log.produce({
          topic: 'orders',
          idempotencyKey: 'with space',
          records: [{ key: null, value: null }],
        })
        assert.equal(bad.ok && bad.records[0]?.ok === false && bad.records[0].code, 'INVALID_REQUEST')
      }))

    it('a sequence holds for one partition: records of several are refused and nothing is written', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 2)
        const records = [0, 1].map((partition) => ({ partition, key: null, value: bytesOf('a') }))
        refusedWith(await log.produce({ topic: 'orders', records, producer: stamp(1, 0) }), 'INVALID_PAYLOAD')
        refusedWith(await log.produce({ topic: 'orders', records, expectedOffset: 0 }), 'INVALID_PAYLOAD')
        const free = { key: null, value: bytesOf('a') }
        const answers = await Promise.all(
          [0, 1].map((sequence) => log.produce({ topic: 'orders', records: [free], producer: stamp(7, sequence) })),
        )
        assert.deepEqual(
          answers.map(
            (answer) => answer.ok && answer.records[0]?.ok && [answer.records[0].partition, answer.records[0].offset],
          ),
          [
            [1, 0],
            [1, 1],
          ],
        )
        assert.deepEqual(await readAll(log, { partition: 0 }), [])
      }))
  })
}
