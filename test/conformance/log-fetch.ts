import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { readBatchHeader } from '../../lib/core/record-batch.ts'
import type { StoresFactory } from './log-fixture.ts'
import {
  append,
  appended,
  batchOf,
  createTopic,
  readAll,
  recordsOf,
  refusedWith,
  textOf,
  withLog,
} from './log-fixture.ts'

export function fetchSuite(name: string, factory: StoresFactory): void {
  describe(`fetches (${name})`, () => {
    it('a fetch answers whole batches, the first even beyond the limit, and where to go on', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        await appended(log, ['a', 'b', 'c'])
        await appended(log, ['d', 'e'])
        await appended(log, ['f'])
        const middle = await log.fetch({ topic: 'orders', partition: 0, offset: 1, bytesMax: 1 })
        assert.ok(middle.ok)
        assert.deepEqual(
          recordsOf(middle).map((record) => textOf(record.value)),
          ['a', 'b', 'c'],
        )
        assert.deepEqual([middle.nextOffset, middle.highWatermark, middle.startOffset], [3, 6, 0])
        const counted = await log.fetch({ topic: 'orders', partition: 0, offset: 2, recordsMax: 2 })
        assert.deepEqual(counted.ok && [recordsOf(counted).length, counted.nextOffset], [5, 5])
        const rest = await log.fetch({ topic: 'orders', partition: 0, offset: 3 })
        assert.deepEqual(rest.ok && recordsOf(rest).map((record) => record.offset), [3, 4, 5])
      }))

    it('a fetch at every offset of a long log finds it, in the tail, in rows and across them', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log)
        const values: string[] = []
        for (let index = 0; index < 60; index++) {
          const batch = Array.from({ length: 1 + (index % 3) }, (_, at) => `${index}.${at}`)
          values.push(...batch)
          await appended(log, batch)
        }
        const reader = another()
        for (let offset = 0; offset < values.length; offset += 7) {
          const fetched = await reader.fetch({ topic: 'orders', partition: 0, offset, bytesMax: 200 })
          assert.ok(fetched.ok)
          const record = recordsOf(fetched).find((candidate) => candidate.offset === offset)
          assert.equal(textOf(record?.value ?? null), values[offset])
        }
        assert.deepEqual(await readAll(reader, { bytesMax: 100 }), values)
        assert.deepEqual(await readAll(reader), values)
      }))

    it('an offset outside the log is refused with the range, and the end offset is inside', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        await appended(log, ['a', 'b', 'c'])
        await log.deleteRecords('orders', 0, 1)
        for (const offset of [0, 4, -1, 1.5, Number.MAX_SAFE_INTEGER]) {
          const answer = await log.fetch({ topic: 'orders', partition: 0, offset })
          refusedWith(answer, 'OFFSET_OUT_OF_RANGE')
          assert.deepEqual(!answer.ok && [answer.details?.startOffset, answer.details?.endOffset], [1, 3])
        }
        const end = await log.fetch({ topic: 'orders', partition: 0, offset: 3 })
        assert.deepEqual(end.ok && [end.batches.length, end.nextOffset], [0, 3])
        refusedWith(await log.fetch({ topic: 'orders', partition: 1, offset: 0 }), 'UNKNOWN_PARTITION')
        refusedWith(await log.fetch({ topic: 'nothing', partition: 0, offset: 0 }), 'UNKNOWN_TOPIC')
      }))

    for (const isSoleProcess of [true, false])
      it(`a waiting fetch is answered by the next commit (${isSoleProcess ? 'one process' : 'another process'})`, () =>
        withLog(
          factory,
          async ({ log, another }) => {
            await createTopic(log)
            await appended(log, ['a'])
            const writer = isSoleProcess ? log : another()
            const waiting = log.fetch({ topic: 'orders', partition: 0, offset: 1, waitMs: 20_000 })
            await new Promise((resolve) => setImmediate(resolve))
            await appended(writer, ['b'])
            const fetched = await waiting
            assert.deepEqual(fetched.ok && recordsOf(fetched).map((record) => textOf(record.value)), ['b'])
          },
          { isSoleProcess, headPollMsMin: 5, headPollMsMax: 20 },
        ))

    it('a waiting fetch ends empty after its time, when its caller leaves, and when the log closes', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log)
        const timed = await log.fetch({ topic: 'orders', partition: 0, offset: 0, waitMs: 30 })
        assert.deepEqual(timed.ok && timed.batches, [])
        const leaving = new AbortController()
        const left = log.fetch({ topic: 'orders', partition: 0, offset: 0, waitMs: 20_000, signal: leaving.signal })
        setImmediate(() => leaving.abort())
        assert.equal((await left).ok, true)
        const closing = another({ isSoleProcess: true })
        const waiting = closing.fetch({ topic: 'orders', partition: 0, offset: 0, waitMs: 20_000 })
        await new Promise((resolve) => setImmediate(resolve))
        await closing.close()
        assert.equal((await waiting).ok, true)
      }))

    it('a waiting fetch of a deleted topic is told so', () =>
      withLog(
        factory,
        async ({ log }) => {
          await createTopic(log)
          const waiting = log.fetch({ topic: 'orders', partition: 0, offset: 0, waitMs: 20_000 })
          await new Promise((resolve) => setImmediate(resolve))
          await log.deleteTopic('orders')
          refusedWith(await waiting, 'UNKNOWN_TOPIC')
        },
        { isSoleProcess: true },
      ))

    it('records before the log start are deleted for readers, and offsets go on', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        for (let index = 0; index < 30; index++) await appended(log, [`${index}`])
        assert.deepEqual(await log.deleteRecords('orders', 0, 20), { ok: true, startOffset: 20 })
        assert.deepEqual(await log.deleteRecords('orders', 0, 5), { ok: true, startOffset: 20 })
        refusedWith(await log.deleteRecords('orders', 0, 31), 'OFFSET_OUT_OF_RANGE')
        assert.deepEqual(
          await readAll(log, { offset: 20 }),
          Array.from({ length: 10 }, (_, index) => `${index + 20}`),
        )
        assert.deepEqual(await log.deleteRecords('orders', 0, -1), { ok: true, startOffset: 30 })
        assert.equal(await appended(log, ['next']), 30)
        const offsets = await log.offsets('orders', 0)
        assert.deepEqual(offsets.ok && [offsets.startOffset, offsets.highWatermark], [30, 31])
      }))

    it('the offset for a time is the first record at or after it, exactly', () =>
      withLog(factory, async ({ log, clock }) => {
        await createTopic(log)
        const startMs = clock.now() - 1_000_000
        // Timestamps neither ascending nor distinct, one of them from the future.
        const times = Array.from({ length: 150 }, (_, index) => startMs + ((index * 7919) % 1000) * 10 + index * 100)
        times[3] = clock.now() + 600_000
        for (let at = 0; at < times.length; at += 2) {
          const pair = [times[at], times[at + 1]].map((timestampMs, index) =>
            batchOf([`${at + index}`], { timestampMs: timestampMs ?? 0 }),
          )
          const compressed = at % 4 === 0
          const batches = compressed ? new Uint8Array(pair.flatMap((batch) => [...batch])) : pair
          if (batches instanceof Uint8Array)
            assert.ok((await log.append({ topic: 'orders', partition: 0, batches })).ok)
          else
            for (const batch of batches)
              assert.ok((await log.append({ topic: 'orders', partition: 0, batches: batch })).ok)
        }
        await log.settled()
        await log.deleteRecords('orders', 0, 5)
        const targets = [
          0,
          ...times.filter((_, index) => index % 10 === 0),
          startMs + 9_999,
          clock.now() - 1,
          clock.now() + 700_000,
        ]
        for (const target of targets) {
          const expected = times.findIndex((time, offset) => offset >= 5 && time >= target)
          const answer = await log.offsetForTimestamp('orders', 0, target)
          assert.ok(answer.ok)
          assert.deepEqual(
            [answer.offset, answer.timestampMs],
            [expected, expected === -1 ? -1 : times[expected]],
            `first at or after ${target}`,
          )
        }
      }))

    it('a reader that runs beside writers and rollers skips nothing and sees nothing twice', () =>
      withLog(
        factory,
        async ({ log, another }) => {
          await createTopic(log)
          const total = 300
          const writer = another()
          const writing = (async () => {
            for (let index = 0; index < total; index += 3)
              await Promise.all([0, 1, 2].map((at) => append(writer, [`${index + at}`])))
          })()
          const seen: string[] = []
          let offset = 0
          while (seen.length < total) {
            const fetched = await log.fetch({ topic: 'orders', partition: 0, offset, waitMs: 5_000, bytesMax: 400 })
            assert.ok(fetched.ok)
            for (const record of recordsOf(fetched)) {
              assert.equal(record.offset, seen.length)
              seen.push(textOf(record.value) ?? '')
            }
            offset = fetched.nextOffset
          }
          await writing
          assert.equal(new Set(seen).size, total)
        },
        { headPollMsMin: 1, headPollMsMax: 5 },
      ))

    it('an answer shows a batch where it was committed, however often and whatever else is read', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        // Two chunks of one segment, each with offsets from 0 in what is stored.
        await Promise.all([appended(log, ['a', 'b']), appended(log, ['c'], { expectedOffset: 2 })])
        await appended(log, ['d'])
        for (const offset of [0, 2, 3, 2, 0]) {
          const fetched = await log.fetch({ topic: 'orders', partition: 0, offset })
          assert.ok(fetched.ok)
          const first = readBatchHeader(fetched.batches[0] ?? new Uint8Array())
          assert.ok(first.ok)
          assert.equal(first.header.baseOffset, offset)
        }
        assert.deepEqual(await readAll(log), ['a', 'b', 'c', 'd'])
      }))
  })
}
