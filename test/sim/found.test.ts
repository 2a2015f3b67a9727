/** What the simulation found (seeds.txt), each in the few steps that it takes, so that it stays found when seeds fade. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import type { HeadKey } from '../../lib/core/head.ts'
import type { Item } from '../../lib/core/items.ts'
import { inlineKey, producerItemKey, rowKey, rowsCollection } from '../../lib/core/items.ts'
import type { ProducerKey, SegmentId } from '../../lib/core/names.ts'
import { encodeBatch, readBatchHeader } from '../../lib/core/record-batch.ts'
import { encodeReference } from '../../lib/core/reference.ts'
import type { Row } from '../../lib/core/row.ts'
import type { Settings } from '../../lib/core/settings.ts'
import type { AppendOptions, Log } from '../../lib/log/log.ts'
import { codeOf, lost, must, Stores } from './found-stores.ts'

const encoder = new TextEncoder()
function batches(value: string, timestampMs = 0): Uint8Array {
  return encodeBatch(
    { records: [{ key: null, value: encoder.encode(value), timestampMs }], compression: 'none' },
    nodeCodecs,
  )
}
function append(log: Log, value: string, options: AppendOptions & { readonly timestampMs?: number } = {}) {
  const { timestampMs, ...rest } = options
  return log.append({ topic: 't', partition: 0, batches: batches(value, timestampMs), ...rest })
}
async function keyOf(log: Log): Promise<HeadKey> {
  return { topicId: (await must(log.describeTopic('t'))).topic.id, partition: 0 }
}
async function endOf(log: Log): Promise<number> {
  return (await must(log.offsets('t', 0))).highWatermark
}
/** A topic `t`, a process with faults, and another without. */
async function twoProcesses(settings: Partial<Settings> = {}) {
  const stores = new Stores()
  const { log, next } = stores.log(settings)
  const other = stores.log().log
  await must(log.createTopic({ name: 't' }))
  const rollTwice = async () => {
    await must(other.roll('t', 0))
    await must(other.roll('t', 0))
  }
  return { stores, log, next, other, rollTwice }
}

describe('an append', () => {
  it('that was applied, rolled away and then refused on a silent repeat is not sent again (C1)', async () => {
    const { log, next, rollTwice } = await twoProcesses()
    next('append updateHead', async (call) => {
      await call()
      await rollTwice()
      return call()
    })
    assert.equal((await must(append(log, 'once'))).baseOffset, 0)
    assert.equal(await endOf(log), 1)
  })

  it('whose last attempt is refused because it is committed is answered as committed', async () => {
    const { log, next } = await twoProcesses({ commitAttemptsMax: 1 })
    next('append updateHead', async (call) => {
      await call()
      return call()
    })
    assert.equal((await must(append(log, 'once'))).baseOffset, 0)
  })

  it('refused beside an exclusive leader does not commit when the leader has gone (C4, L4)', async () => {
    const { log, next, other } = await twoProcesses()
    let late: () => Promise<unknown> = async () => assert.fail('never sent')
    next('append updateHead', async (call) => {
      late = call
      await must(other.acquireLease('t', 0, 'leader', true))
      throw lost()
    })
    assert.equal(await codeOf(append(log, 'refused')), 'FENCED_LEADER_EPOCH')
    await must(other.releaseLease('t', 0, 'leader', 1))
    await late()
    assert.equal(await endOf(log), 0)
    assert.equal(await codeOf(append(log, 'now')), 'ok')
  })

  it('ahead of the expected end is not sent, so that it cannot commit when the end gets there (C4)', async () => {
    const { log, next, other } = await twoProcesses()
    let sent = 0
    next('append updateHead', (call) => {
      sent++
      return call()
    })
    assert.equal(await codeOf(append(log, 'early', { expectedOffset: 1 })), 'UNEXPECTED_END_OFFSET')
    assert.equal(sent, 0)
    await must(append(other, 'first'))
    assert.equal(await codeOf(append(log, 'in time', { expectedOffset: 1 })), 'ok')
  })

  it('under an idempotency key that was forgotten meanwhile does not go again where absence cannot be proved', async () => {
    const { stores, log, next, rollTwice } = await twoProcesses()
    const key = await keyOf(log)
    next('append updateHead', async (call) => {
      await call()
      await rollTwice()
      const [row] = await stores.metadata.query(rowsCollection(key.topicId, 0), { limit: 1 })
      const merged = row?.value as unknown as Row
      const chunks = merged.chunks.map(({ ref, base }) => ({ ref: `${'m'.repeat(20)}${ref.slice(20)}`, base }))
      const value = { ...merged, chunks, isMerged: true } as Item['value']
      await stores.metadata.write([
        { op: 'put', key: row!.key, version: 'merged', value, if: { version: row!.version } },
      ])
      const item = await stores.metadata.get(producerItemKey(key.topicId, 0, '~k' as ProducerKey))
      await stores.metadata.write([{ op: 'delete', key: item!.key, if: { version: item!.version } }])
      throw lost()
    })
    assert.equal(await codeOf(append(log, 'once', { idempotencyKey: 'k' })), 'OUTCOME_UNKNOWN')
    assert.equal(await endOf(log), 1)
  })

  it('of a producer below the floor finds its state though it moves from the item into the head between the reads', async () => {
    const { stores, log, next, other, rollTwice } = await twoProcesses()
    const second = { producer: { producerId: 0, epoch: 0, sequence: 1 } }
    await must(append(other, 'first', { producer: { producerId: 0, epoch: 0, sequence: 0 } }))
    await rollTwice()
    await stores.metadata.updateHead(await keyOf(log), { kind: 'forget', producerFloor: 1 })
    next('get', async (call) => {
      await must(append(other, 'second', second))
      return call()
    })
    const answer = await must(append(log, 'second', second))
    assert.deepEqual([answer.baseOffset, answer.isDuplicate], [1, true])
  })

  it('under an idempotency key is known again in a topic of LogAppendTime', async () => {
    const { stores, log } = await twoProcesses()
    await must(log.alterConfigs('t', [{ name: 'message.timestamp.type', value: 'LogAppendTime' }]))
    assert.equal((await must(append(log, 'once', { idempotencyKey: 'k' }))).isDuplicate, false)
    stores.pass(1_000)
    assert.equal((await must(append(log, 'once', { idempotencyKey: 'k' }))).isDuplicate, true)
  })
})

describe('a topic', () => {
  it('that was deleted does not take its name back when its creation comes once more (D6)', async () => {
    const stores = new Stores()
    const { log, next } = stores.log()
    let late: () => Promise<unknown> = async () => assert.fail('never sent')
    next('write', (call) => {
      late = call
      return call()
    })
    await must(log.createTopic({ name: 't' }))
    await must(log.deleteTopic('t'))
    await late()
    assert.equal(await codeOf(log.describeTopic('t')), 'UNKNOWN_TOPIC')
    assert.equal(await codeOf(log.createTopic({ name: 't' })), 'ok')
    assert.equal(await codeOf(append(log, 'now')), 'ok')
  })

  it('whose deletion was cut off is deleted by deleting again', async () => {
    const { log, next, other } = await twoProcesses()
    next('mark-deleted updateHead', async () => {
      throw new Unavailable('the process ends', 'none', 'closed')
    })
    assert.notEqual(await codeOf(log.deleteTopic('t')), 'ok')
    assert.equal(await codeOf(other.deleteTopic('t')), 'ok')
    assert.equal(await codeOf(other.deleteTopic('t')), 'UNKNOWN_TOPIC')
  })

  it('that was created again is the one that produce answers of, and no leader of the old one appends to it (D6)', async () => {
    const { log, other } = await twoProcesses({ topicAgeMsMax: 60_000 })
    const old = await must(log.acquireLease('t', 0, 'leader', true))
    await must(other.deleteTopic('t'))
    const { topic } = await must(other.createTopic({ name: 't' }))
    await must(other.acquireLease('t', 0, 'another', true))
    const led = { leaderEpoch: old.epoch, topicId: old.topicId }
    assert.equal(await codeOf(append(log, 'stale', led)), 'UNKNOWN_TOPIC')
    await must(other.releaseLease('t', 0, 'another', 1))
    await must(other.describeTopic('t'))
    const produced = await must(log.produce({ topic: 't', records: [{ key: null, value: encoder.encode('new') }] }))
    assert.equal(produced.topicId, topic.id)
    assert.deepEqual(await endOf(other), 1)
  })
})

describe('a change', () => {
  it('whose answer got lost is not answered as if nothing had been written', async () => {
    const { log, next } = await twoProcesses({ commitAttemptsMax: 1 })
    next('lease updateHead', async (call) => {
      await call()
      throw lost()
    })
    assert.equal(await codeOf(log.acquireLease('t', 0, 'leader')), 'OUTCOME_UNKNOWN')
    assert.equal((await must(log.describeLease('t', 0))).leaseEpoch, 1)
  })
})

describe('retention', () => {
  it('by time stops before a row that is not too old, also where a compacted one ends inside it (seed 1432488900, D2)', async () => {
    const stores = new Stores()
    const { log } = stores.log()
    await must(log.createTopic({ name: 't', configs: { 'retention.ms': '1000' } }))
    const key = await keyOf(log)
    stores.pass(10_000)
    const nowMs = 1_750_000_010_000
    for (let offset = 0; offset < 7; offset++)
      await must(append(log, `${offset}`, { timestampMs: offset < 3 ? nowMs - 9_000 : nowMs }))
    for (let roll = 0; roll < 2; roll++) await must(log.roll('t', 0))
    const [item] = await stores.metadata.query(rowsCollection(key.topicId, 0), { limit: 1 })
    const whole = item?.value as unknown as Row
    assert.deepEqual([whole.first, whole.last], [0, 6])
    const cleaned = { cleanedTo: 7, isMerged: true }
    const covering: Row = { ...whole, ...cleaned, first: 3, chunks: whole.chunks.slice(3) }
    // A pass that found the one above it there left nothing of what that holds.
    const left: Row = { ...whole, ...cleaned, last: 5, chunks: [], maxTimestampMs: -1 }
    const json = (row: Row) => row as unknown as Item['value']
    await stores.metadata.write([
      { op: 'put', key: item!.key, version: 'a', value: json(covering), if: { version: item!.version } },
      { op: 'put', key: rowKey(key.topicId, 0, 5), version: 'a', value: json(left), if: 'absent' },
    ])
    assert.ok((await stores.metadata.updateHead(key, { kind: 'clean', from: 0, to: 7, oldestSegment: '' })).applied)
    await must(log.maintain())
    assert.equal((await must(log.offsets('t', 0))).startOffset, 3)
    assert.equal((await must(log.fetch({ topic: 't', partition: 0, offset: 3 }))).nextOffset, 7)
  })
})

describe('a reader', () => {
  it('is told of a watermark that is not below what it is given', async () => {
    const { stores, log, next, other, rollTwice } = await twoProcesses()
    const { topicId } = await keyOf(log)
    await must(append(other, 'a'))
    await rollTwice()
    next('query', async (call) => {
      await must(append(other, 'b'))
      await rollTwice()
      const [a, b] = await stores.metadata.query(rowsCollection(topicId, 0), { limit: 2 })
      const rows = [a, b].map((item) => item?.value as unknown as Row)
      const both: Row = { ...rows[1]!, first: 0, chunks: rows.flatMap((row) => row.chunks) }
      const value = both as unknown as Item['value']
      await stores.metadata.write([{ op: 'put', key: b!.key, version: 'both', value, if: { version: b!.version } }])
      await stores.metadata.write([{ op: 'delete', key: a!.key, if: { version: a!.version } }])
      return call()
    })
    const fetched = await must(log.fetch({ topic: 't', partition: 0, offset: 0 }))
    assert.equal(fetched.nextOffset, 2)
    assert.ok(fetched.highWatermark >= 2)
  })

  it('ends before a batch of a merge that begins with what it holds already (D3)', async () => {
    const { stores, log, rollTwice } = await twoProcesses()
    const { topicId } = await keyOf(log)
    for (const value of ['0', '1', '2', '3']) await must(append(log, value))
    await rollTwice()
    const [item] = await stores.metadata.query(rowsCollection(topicId, 0), { limit: 1 })
    const whole = item?.value as unknown as Row
    // Records 1 to 3 in one batch, and a row that counts for record 0 alone but ends with record 1.
    const bytes = encodeBatch(
      {
        records: ['1', '2', '3'].map((value) => ({ key: null, value: encoder.encode(value), timestampMs: 0 })),
        compression: 'none',
      },
      nodeCodecs,
    )
    const segment = '0mbxoj2o00000000000a' as SegmentId
    const place = { segment, position: 0, lengthBytes: bytes.length, maxTimestampMs: 0, isInline: true } as const
    const merged: Row = { ...whole, first: 1, chunks: [{ ref: encodeReference(place), base: 1 }], isMerged: true }
    const front: Row = { ...whole, last: 1, chunks: whole.chunks.slice(0, 2) }
    const json = (row: Row) => row as unknown as Item['value']
    await stores.metadata.write([
      { op: 'put', key: inlineKey(topicId, 0, segment), version: 'a', value: {}, bytes, if: 'absent' },
      { op: 'put', key: item!.key, version: 'a', value: json(merged), if: { version: item!.version } },
      { op: 'put', key: rowKey(topicId, 0, 1), version: 'a', value: json(front), if: 'absent' },
    ])
    const [first, then] = [0, 2].map((offset) => log.fetch({ topic: 't', partition: 0, offset }))
    const { batches, nextOffset } = await must(first!)
    assert.deepEqual(
      batches.map((batch) => readBatchHeader(batch)).map((read) => read.ok && read.header.baseOffset),
      [0, 1],
    )
    assert.equal(nextOffset, 2)
    assert.equal((await must(then!)).nextOffset, 4)
    // Nor does one of many partitions, which reads more than once.
    const asked = [{ topic: 't', partition: 0, offset: 0 }]
    const [many] = (await must(log.fetchMany({ partitions: asked }))).partitions
    assert.ok(many?.ok)
    assert.deepEqual([many.batches.length, many.nextOffset], [2, 2])
  })

  it('that is overtaken by delete-records and a merge is told so, and skips nothing (seed 1697926536, D3)', async () => {
    const eager = { mergeRowsMin: 2, mergeQuietMs: 0 }
    const stores = new Stores()
    const { log, next } = stores.log(eager)
    const other = stores.log(eager).log
    await must(log.createTopic({ name: 't' }))
    for (let row = 0; row < 3; row++) {
      for (const half of ['a', 'b']) await must(append(other, `row ${row}, ${half}`))
      await must(other.roll('t', 0))
      await must(other.roll('t', 0))
    }
    stores.pass(1_000)
    // Between the reader's head and its rows.
    next('query', async (call) => {
      await must(other.deleteRecords('t', 0, 1))
      assert.ok((await must(other.merge('t', 0))).rows >= 2)
      return call()
    })
    assert.equal(await codeOf(log.fetch({ topic: 't', partition: 0, offset: 0 })), 'OFFSET_OUT_OF_RANGE')
  })

  it('by time finds what a row that came back does not hold (R1)', async () => {
    const { stores, log, rollTwice } = await twoProcesses()
    const { topicId } = await keyOf(log)
    for (const timestampMs of [30, 20, 10]) await must(append(log, 'x', { timestampMs }))
    await rollTwice()
    const [item] = await stores.metadata.query(rowsCollection(topicId, 0), { limit: 1 })
    const whole = item?.value as unknown as Row
    // A part of the row, as one before a merge.
    const back: Row = { ...whole, first: 1, last: 1, chunks: [whole.chunks[1]!], maxTimestampMs: 20 }
    const value = back as unknown as Item['value']
    await stores.metadata.write([{ op: 'put', key: rowKey(topicId, 0, 1), version: 'late', value, if: 'absent' }])
    assert.equal((await must(log.offsetForTimestamp('t', 0, 15))).offset, 0)
  })
})
