import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { compressionTypes } from '../../lib/core/codec.ts'
import { tailEntriesMax } from '../../lib/core/head.ts'
import { readBatchHeader } from '../../lib/core/record-batch.ts'
import type { StoresFactory } from './log-fixture.ts'
import {
  append,
  appended,
  asSent,
  batchOf,
  bytesOf,
  createTopic,
  readAll,
  recordsOf,
  refusedWith,
  textOf,
  withLog,
} from './log-fixture.ts'

export function appendSuite(name: string, factory: StoresFactory): void {
  describe(`appends (${name})`, () => {
    it('a batch gets consecutive offsets', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        assert.equal(await appended(log, ['a', 'b', 'c']), 0)
        assert.equal(await appended(log, ['d']), 3)
        assert.equal(await appended(log, ['e', 'f']), 4)
        assert.deepEqual(await readAll(log), ['a', 'b', 'c', 'd', 'e', 'f'])
      }))

    it('several batches in one append follow each other', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        const batches = new Uint8Array([
          ...batchOf(['a', 'b']),
          ...batchOf(['c'], { compression: 'gzip' }),
          ...batchOf(['d', 'e']),
        ])
        const answer = await log.append({ topic: 'orders', partition: 0, batches })
        assert.deepEqual(answer.ok && [answer.baseOffset, answer.recordCount], [0, 5])
        assert.deepEqual(await readAll(log), ['a', 'b', 'c', 'd', 'e'])
      }))

    for (const compression of compressionTypes)
      it(`a batch compressed with ${compression} is stored and served as it was given`, () =>
        withLog(factory, async ({ log }) => {
          await createTopic(log, 1, compression === 'none' ? asSent : {})
          await appended(log, ['first'])
          const given = batchOf(['x'.repeat(1000), 'y'], { compression })
          const copy = given.slice()
          assert.ok((await log.append({ topic: 'orders', partition: 0, batches: given })).ok)
          const fetched = await log.fetch({ topic: 'orders', partition: 0, offset: 1 })
          assert.ok(fetched.ok)
          const served = fetched.batches[0]
          assert.ok(served)
          // From the leader epoch on, all but the base offset is the producer's own bytes.
          assert.deepEqual(served.subarray(16), copy.subarray(16))
          assert.deepEqual(
            recordsOf(fetched).map((record) => record.offset),
            [1, 2],
          )
        }))

    it('what is in flight at once goes into few segments, and each append gets its own offset', () =>
      withLog(factory, async ({ log, stores }) => {
        await createTopic(log, 3)
        const answers = await Promise.all(
          Array.from({ length: 60 }, (_, index) => append(log, [`${index}`], { partition: index % 3 })),
        )
        assert.ok(answers.every((answer) => answer.ok))
        for (const partition of [0, 1, 2]) {
          const values = await readAll(log, { partition })
          assert.equal(values.length, 20)
          answers.forEach((answer, index) => {
            if (answer.ok && answer.partition === partition) assert.equal(values[answer.baseOffset], `${index}`)
          })
        }
        let objects = 0
        for (const digit of '0123456789abcdefghijklmnopqrstuvwxyz')
          objects += (await stores.objects.list(`segments/${digit}/`, undefined, 100)).length
        assert.ok(objects <= 5, `${objects} segments for 60 appends`)
      }))

    it('one refused append never fails its neighbours in a flush', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        const answers = await Promise.all([
          append(log, ['a']),
          append(log, ['refused'], { expectedOffset: 99 }),
          append(log, ['b']),
          append(log, ['fenced'], { leaderEpoch: 7 }),
          append(log, ['c']),
          append(log, ['ahead'], { producer: { producerId: 5, epoch: 0, sequence: 3 } }),
        ])
        assert.deepEqual(
          answers.map((answer) => (answer.ok ? 'ok' : answer.code)),
          ['ok', 'UNEXPECTED_END_OFFSET', 'ok', 'FENCED_LEADER_EPOCH', 'ok', 'OUT_OF_ORDER_SEQUENCE_NUMBER'],
        )
        assert.deepEqual(await readAll(log), ['a', 'b', 'c'])
      }))

    it('append only if the end offset is x: at x it commits, else it is refused with the end offset', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        assert.equal(await appended(log, ['a', 'b'], { expectedOffset: 0 }), 0)
        const late = await append(log, ['c'], { expectedOffset: 0 })
        refusedWith(late, 'UNEXPECTED_END_OFFSET')
        assert.equal(!late.ok && late.details?.endOffset, 2)
        assert.equal(await appended(log, ['c'], { expectedOffset: 2 }), 2)
        refusedWith(await append(log, ['d'], { expectedOffset: -1 }), 'INVALID_REQUEST')
        const racing = await Promise.all(
          Array.from({ length: 20 }, (_, index) => append(log, [`${index}`], { expectedOffset: 3 })),
        )
        assert.equal(racing.filter((answer) => answer.ok).length, 1)
        assert.equal((await readAll(log)).length, 4)
      }))

    it("writers in several processes do not lose or double each other's records", () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log)
        const logs = [log, another(), another(), another()]
        const bases = await Promise.all(
          logs.flatMap((each, writer) =>
            Array.from({ length: 25 }, (_, index) => appended(each, [`${writer}/${index}/a`, `${writer}/${index}/b`])),
          ),
        )
        assert.equal(new Set(bases).size, 100)
        const values = await readAll(log)
        assert.equal(values.length, 200)
        assert.equal(new Set(values).size, 200)
      }))

    it('hundreds of appends one by one keep the tail bounded, and every one stays readable', () =>
      withLog(factory, async ({ log, stores }) => {
        await createTopic(log)
        const values = Array.from({ length: 200 }, (_, index) => `${index}`)
        for (const value of values) await appended(log, [value])
        await log.settled()
        const described = await log.describeTopic('orders')
        assert.ok(described.ok)
        const head = await stores.metadata.readHead({ topicId: described.topic.id, partition: 0 })
        assert.ok(
          head && Object.keys(head.tail).length <= 24,
          `${Object.keys(head?.tail ?? {}).length} entries of at most ${tailEntriesMax}`,
        )
        assert.ok(JSON.stringify(head).length < 2_048, `the head has ${JSON.stringify(head).length} bytes`)
        assert.deepEqual(await readAll(log), values)
        assert.deepEqual(await readAll(log, { offset: 100, bytesMax: 300 }), values.slice(100))
      }))

    it('rolling by hand, again and again, changes nothing that a reader sees', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log)
        const other = another()
        for (let index = 0; index < 20; index++) {
          await appended(log, [`${index}`])
          await Promise.all([log.roll('orders', 0), other.roll('orders', 0)])
        }
        assert.deepEqual(
          await readAll(other),
          Array.from({ length: 20 }, (_, index) => `${index}`),
        )
      }))

    it('a batch that is damaged, too large, or not allowed is refused and nothing is written', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 1, { 'max.message.bytes': '300' })
        const given = (batches: Uint8Array) => log.append({ topic: 'orders', partition: 0, batches })
        const flipped = batchOf(['abc'])
        flipped[flipped.length - 2]! ^= 1
        refusedWith(await given(flipped), 'CORRUPT_MESSAGE')
        refusedWith(await given(batchOf(['abc']).subarray(0, 40)), 'CORRUPT_MESSAGE')
        refusedWith(await given(new Uint8Array(0)), 'INVALID_RECORD')
        refusedWith(await given(batchOf(['x'.repeat(400)])), 'MESSAGE_TOO_LARGE')
        const magic = batchOf(['abc'])
        magic[16] = 1
        assert.ok(!(await given(magic)).ok)
        const late = new Uint8Array([...batchOf(['good']), ...flipped])
        refusedWith(await given(late), 'CORRUPT_MESSAGE')
        assert.deepEqual(await readAll(log), [])
      }))

    it('a compressed batch whose record count lies is refused: it would be offsets without records', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        for (const compression of ['gzip', 'snappy', 'lz4', 'zstd'] as const) {
          const lying = batchOf(['a', 'b'], { compression })
          const view = new DataView(lying.buffer, lying.byteOffset)
          view.setInt32(23, 8)
          view.setInt32(57, 9)
          view.setUint32(17, nodeCodecs.crc32c(lying.subarray(21)))
          refusedWith(await log.append({ topic: 'orders', partition: 0, batches: lying }), 'INVALID_RECORD')
        }
        assert.deepEqual(await readAll(log), [])
      }))

    it('an append beyond appendBytesMax is refused, one at it is taken', () =>
      withLog(
        factory,
        async ({ log }) => {
          await createTopic(log, 1, { 'max.message.bytes': '10000' })
          const overhead = batchOf(['']).byteLength + 2
          assert.equal(batchOf(['x'.repeat(4096 - overhead)]).byteLength, 4096)
          assert.ok((await append(log, ['x'.repeat(4096 - overhead)])).ok)
          refusedWith(await append(log, ['x'.repeat(4097 - overhead)]), 'REQUEST_TOO_LARGE')
        },
        { appendBytesMax: 4096 },
      ))

    it('beyond pendingBytesMax appends are refused at once and those that wait are not harmed', () =>
      withLog(
        factory,
        async ({ log }) => {
          await createTopic(log, 1, { 'max.message.bytes': '2000000' })
          const answers = await Promise.all(
            Array.from({ length: 4 }, (_, index) => append(log, [`${index}`.repeat(400_000)])),
          )
          const codes = answers.map((answer) => (answer.ok ? 'ok' : answer.code))
          assert.deepEqual(codes, ['ok', 'ok', 'TOO_MANY_REQUESTS', 'TOO_MANY_REQUESTS'])
          assert.equal((await readAll(log)).length, 2)
          assert.ok((await append(log, ['again'])).ok)
        },
        { pendingBytesMax: 1_048_576, appendBytesMax: 1_048_576 },
      ))

    it("a topic with LogAppendTime stamps the records, with CreateTime it keeps the producer's time", () =>
      withLog(factory, async ({ log, clock }) => {
        await createTopic(log)
        await createTopic(log, 1, { 'message.timestamp.type': 'LogAppendTime' }, 'stamped')
        const then = clock.now() - 60_000
        const kept = await log.append({ topic: 'orders', partition: 0, batches: batchOf(['a'], { timestampMs: then }) })
        assert.equal(kept.ok && kept.appendTimeMs, undefined)
        const stamped = await log.append({
          topic: 'stamped',
          partition: 0,
          batches: batchOf(['a', 'b'], { timestampMs: then }),
        })
        assert.ok(stamped.ok && stamped.appendTimeMs !== undefined && stamped.appendTimeMs >= then + 60_000)
        const fetched = await log.fetch({ topic: 'stamped', partition: 0, offset: 0 })
        assert.ok(fetched.ok)
        assert.deepEqual(
          recordsOf(fetched).map((record) => record.timestampMs),
          [stamped.appendTimeMs, stamped.appendTimeMs],
        )
        const own = await log.fetch({ topic: 'orders', partition: 0, offset: 0 })
        assert.deepEqual(own.ok && recordsOf(own).map((record) => record.timestampMs), [then])
      }))

    it("a timestamp beyond the topic's limits is refused, compressed or not", () =>
      withLog(factory, async ({ log, clock }) => {
        await createTopic(log, 1, { 'message.timestamp.before.max.ms': '1000' })
        for (const compression of ['none', 'gzip'] as const) {
          refusedWith(
            await log.append({
              topic: 'orders',
              partition: 0,
              batches: batchOf(['a'], { compression, timestampMs: clock.now() - 5_000 }),
            }),
            'INVALID_TIMESTAMP',
          )
          refusedWith(
            await log.append({
              topic: 'orders',
              partition: 0,
              batches: batchOf(['a'], { compression, timestampMs: clock.now() + 7_200_000 }),
            }),
            'INVALID_TIMESTAMP',
          )
        }
        assert.ok((await log.append({ topic: 'orders', partition: 0, batches: batchOf(['a']) })).ok)
      }))

    it('a compacted topic takes no record without a key', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 1, { 'cleanup.policy': 'compact' })
        refusedWith(await append(log, ['a']), 'INVALID_RECORD')
        const produced = await log.produce({
          topic: 'orders',
          records: [
            { key: null, value: bytesOf('a') },
            { key: bytesOf('k'), value: null },
          ],
        })
        assert.ok(produced.ok)
        assert.deepEqual(
          produced.records.map((record) => (record.ok ? record.offset : record.code)),
          ['INVALID_RECORD', 0],
        )
      }))

    it('records go where their partition, their key or neither says, and each has its own answer', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 4)
        const produced = await log.produce({
          topic: 'orders',
          records: [
            { partition: 2, key: bytesOf('anything'), value: bytesOf('explicit') },
            { key: bytesOf('21'), value: bytesOf('keyed') },
            { partition: 9, key: null, value: bytesOf('nowhere') },
            {
              key: bytesOf('21'),
              value: null,
              headers: [{ key: 'h', value: bytesOf('v') }],
              timestampMs: Date.now() - 5,
            },
            { key: null, value: bytesOf('free') },
          ],
        })
        assert.ok(produced.ok)
        const [explicit, keyed, nowhere, again, free] = produced.records
        assert.equal(explicit?.ok && explicit.partition, 2)
        // Kafka's murmur2 of "21" is -973932308.
        assert.equal(keyed?.ok && keyed.partition, (-973932308 & 0x7fffffff) % 4)
        assert.equal(again?.ok && again.partition, keyed?.ok && keyed.partition)
        assert.equal(again?.ok && keyed?.ok && again.offset - keyed.offset, 1)
        assert.equal(nowhere?.ok === false && nowhere.code, 'UNKNOWN_PARTITION')
        assert.ok(free?.ok)
        const fetched = await log.fetch({
          topic: 'orders',
          partition: keyed?.ok ? keyed.partition : 0,
          offset: again?.ok ? again.offset : 0,
        })
        assert.ok(fetched.ok)
        const record = recordsOf(fetched).find((candidate) => candidate.value === null)
        assert.equal(textOf(record?.headers[0]?.value ?? null), 'v')
      }))

    it('a produce larger than max.message.bytes becomes several batches with consecutive offsets', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 1, { 'max.message.bytes': '1000' })
        const records = Array.from({ length: 50 }, (_, index) => ({
          key: null,
          value: bytesOf(`${index}`.padEnd(100, '.')),
        }))
        const produced = await log.produce({ topic: 'orders', records })
        assert.deepEqual(
          produced.ok && produced.records.map((record) => record.ok && record.offset),
          Array.from({ length: 50 }, (_, index) => index),
        )
        const fetched = await log.fetch({ topic: 'orders', partition: 0, offset: 0 })
        assert.ok(fetched.ok && fetched.batches.length > 4)
        for (const batch of fetched.batches) assert.ok(batch.byteLength <= 1000)
        const tooLarge = await log.produce({
          topic: 'orders',
          records: [
            { key: null, value: new Uint8Array(2000) },
            { key: null, value: bytesOf('fits') },
          ],
        })
        assert.deepEqual(tooLarge.ok && tooLarge.records.map((record) => (record.ok ? record.offset : record.code)), [
          'MESSAGE_TOO_LARGE',
          50,
        ])
      }))

    it('a topic with a compression type stores produced records compressed', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 1, { 'compression.type': 'zstd' })
        await log.produce({ topic: 'orders', records: [{ key: null, value: bytesOf('x'.repeat(5000)) }] })
        const fetched = await log.fetch({ topic: 'orders', partition: 0, offset: 0 })
        assert.ok(fetched.ok && fetched.batches[0])
        const header = readBatchHeader(fetched.batches[0])
        assert.equal(header.ok && header.header.compression, 'zstd')
        assert.ok(fetched.batches[0].byteLength < 500)
        assert.deepEqual(await readAll(log), ['x'.repeat(5000)])
      }))

    it('a closing log writes what it was given, wherever that is on its way, then refuses', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log)
        const closing = another({ lingerMs: 200 })
        const pending = Promise.all(Array.from({ length: 10 }, (_, index) => append(closing, [`${index}`])))
        await closing.close()
        assert.ok((await pending).every((answer) => answer.ok))
        refusedWith(await append(closing, ['late']), 'SHUTTING_DOWN')
        assert.equal((await readAll(log)).length, 10)
      }))

    it('every checksum of what was stored still holds', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        for (let index = 0; index < 20; index++) await appended(log, [`${index}`, 'x'])
        const fetched = await log.fetch({ topic: 'orders', partition: 0, offset: 0 })
        assert.ok(fetched.ok)
        for (const batch of fetched.batches) {
          const header = readBatchHeader(batch)
          assert.ok(header.ok)
          assert.equal(nodeCodecs.crc32c(batch.subarray(21)), header.header.crc)
        }
      }))
  })
}
