import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { nodeCodecs as codecs } from '../../lib/adapters/codecs-node.ts'
import { compressionTypes } from '../../lib/core/codec.ts'
import {
  batchHeaders,
  checkBatch,
  checkBatches,
  decodeBatch,
  encodeBatch,
  firstRecordAtOrAfter,
  type NewRecord,
  readBatchHeader,
  rebaseBatch,
} from '../../lib/core/record-batch.ts'
import {
  check,
  codeOf,
  decoded,
  encode,
  forged,
  golden,
  goldenRecords,
  headerOf,
  joined,
  limits,
  mebibyte,
  t0,
  text,
} from './record-batch-fixture.ts'

// --- What other clients write ----------------------------------------------------------------------------------------

for (const client of ['java', 'librdkafka', 'kafka-python']) {
  test(`what ${client} wrote is read, in every compression`, () => {
    for (const compression of compressionTypes) {
      const bytes = golden(`${client}-${compression}`)
      const { header, records } = decoded(bytes)
      assert.deepEqual(
        records,
        goldenRecords.map((record, offset) => ({ offset, ...record })),
        compression,
      )
      assert.deepEqual(header, {
        baseOffset: 0,
        sizeBytes: bytes.length,
        partitionLeaderEpoch: client === 'java' ? -1 : 0,
        magic: 2,
        crc: new DataView(bytes.buffer).getUint32(17),
        compression,
        timestampType: 'CreateTime',
        isTransactional: false,
        isControl: false,
        lastOffsetDelta: 3,
        baseTimestampMs: t0,
        maxTimestampMs: t0 + 70_000,
        producerId: -1,
        producerEpoch: -1,
        baseSequence: -1,
        recordCount: 4,
      })
      assert.equal(codeOf(check(bytes, { walk: 'always' })), 'ok')
    }
  })
}

test('an idempotent batch carries producer id, epoch and sequence', () => {
  const { producerId, producerEpoch, baseSequence, isTransactional } = headerOf(golden('java-idempotent'))
  assert.deepEqual([producerId, producerEpoch, baseSequence, isTransactional], [4294967301, 7, 42, false])
  assert.equal(codeOf(check(golden('java-idempotent'))), 'ok')
})

test('a transactional batch says so', () => {
  const { producerId, producerEpoch, baseSequence, isTransactional } = headerOf(golden('java-transactional'))
  assert.deepEqual([producerId, producerEpoch, baseSequence, isTransactional], [9, 0, 0, true])
  assert.equal(codeOf(check(golden('java-transactional'), { walk: 'always' })), 'ok')
})

test('all records of a LogAppendTime batch have the time of the append', () => {
  const { header, records } = decoded(golden('java-log-append-time'))
  assert.equal(header.timestampType, 'LogAppendTime')
  assert.deepEqual(
    records.map((record) => record.timestampMs),
    Array(4).fill(t0 + 99),
  )
})

test('a control batch holds the marker of a transaction', () => {
  for (const [name, type, offset] of [
    ['java-control-abort', 0, 1235],
    ['java-control-commit', 1, 1234],
  ] as const) {
    const { header, records } = decoded(golden(name))
    assert.deepEqual([header.isControl, header.isTransactional, header.partitionLeaderEpoch], [true, true, 5])
    assert.deepEqual([header.producerId, header.producerEpoch, header.baseSequence], [9, 0, -1])
    assert.deepEqual(records, [
      {
        offset,
        timestampMs: t0,
        key: Uint8Array.from([0, 0, 0, type]),
        value: Uint8Array.from([0, 0, 0, 0, 0, 3]),
        headers: [],
      },
    ])
  }
})

test('LZ4 frames with linked blocks, checksums, sizes, large blocks or stored blocks are read', async () => {
  const lines = Array.from({ length: 8000 }, (_, i) => `${String(i % 50).padStart(5, '0')} the high watermark; `)
  for (const name of ['lz4-linked', 'lz4-4mb']) {
    assert.deepEqual(decoded(golden(name)).records[0]!.value, text(lines.join('')))
  }
  const digests = await Promise.all(
    Array.from({ length: 12 }, async (_, i) => [
      ...new Uint8Array(await crypto.subtle.digest('SHA-256', Uint8Array.of(i))),
    ]),
  )
  assert.deepEqual(decoded(golden('lz4-stored')).records[0]!.value, Uint8Array.from(digests.flat()))
})

// --- Writing ---------------------------------------------------------------------------------------------------------

test("a batch is written byte for byte as Kafka's own producer writes it", () => {
  assert.deepEqual(encode(), golden('java-none'))
  assert.deepEqual(encode({ producerId: 4294967301, producerEpoch: 7, baseSequence: 42 }), golden('java-idempotent'))
})

test('whatever records a batch is given are read back, in every compression', () => {
  fc.assert(
    fc.property(batches, fc.nat(Number.MAX_SAFE_INTEGER - 1000), fc.nat(40), (batch, baseOffset, at) => {
      const encoded = encodeBatch(batch, codecs)
      assert.deepEqual(encodeBatch(batch, codecs), encoded, 'same input, same bytes')
      const bytes = joined(new Uint8Array(at).fill(0x55), encoded, Uint8Array.of(1, 2, 3))
      rebaseBatch(bytes, at, baseOffset)
      const { header, records } = decoded(bytes, at)
      const maxTimestampMs = Math.max(...batch.records.map((record) => record.timestampMs))
      assert.deepEqual(
        records,
        batch.records.map((record, index) => ({
          offset: baseOffset + index,
          timestampMs: batch.timestampType === 'LogAppendTime' ? maxTimestampMs : record.timestampMs,
          key: record.key,
          value: record.value,
          headers: (record.headers ?? []).map(({ key, value }) => ({ key: key.toWellFormed(), value })),
        })),
      )
      assert.equal(header.maxTimestampMs, maxTimestampMs)
      assert.equal(header.baseTimestampMs, batch.records[0]!.timestampMs)
      assert.deepEqual(
        [header.producerId, header.producerEpoch, header.baseSequence, header.isTransactional, header.compression],
        [batch.producerId, batch.producerEpoch, batch.baseSequence, batch.isTransactional, batch.compression],
      )
      if (batch.timestampType === 'CreateTime') {
        const checked = checkBatch(encoded, 0, codecs, { ...limits, walk: 'always' })
        assert.ok(checked.ok)
        assert.equal(checked.recordsMaxTimestampMs, maxTimestampMs)
      }
    }),
  )
})

test('a batch that compaction thinned out keeps its offsets, even when no record is left', () => {
  const bytes = encode({ offsetDeltas: [1, 2, 40, 41], lastOffsetDelta: 99 })
  rebaseBatch(bytes, 0, 1000)
  const { header, records } = decoded(bytes)
  assert.deepEqual(
    records.map((record) => record.offset),
    [1001, 1002, 1040, 1041],
  )
  assert.deepEqual([header.lastOffsetDelta, header.recordCount], [99, 4])
  const empty = decoded(encode({ records: [], lastOffsetDelta: 9 }))
  assert.deepEqual([empty.records, empty.header.lastOffsetDelta, empty.header.maxTimestampMs], [[], 9, -1])
  // Only the log may write them.
  assert.equal(codeOf(check(bytes)), 'INVALID_RECORD')
  assert.equal(codeOf(check(encode({ records: [], lastOffsetDelta: 0 }))), 'INVALID_RECORD')
})

test('a batch that cannot be is a bug of the caller', () => {
  const record = (timestampMs: number): NewRecord => ({ timestampMs, key: null, value: null })
  for (const batch of [
    { records: [] },
    { records: [record(0.5)] },
    { records: [record(2 ** 53)] },
    { records: [record(2 ** 52), record(-(2 ** 53) + 1)] },
    { offsetDeltas: [0, 1, 2] },
    { offsetDeltas: [0, 1, 1, 2] },
    { offsetDeltas: [-1, 0, 1, 2] },
    { lastOffsetDelta: 2 },
    { lastOffsetDelta: 2 ** 31 },
    { producerId: 2 ** 53 },
  ]) {
    assert.throws(() => encode(batch), RangeError, JSON.stringify(batch))
  }
})

test('what is read from a Buffer is plain Uint8Arrays', () => {
  const record = decoded(Buffer.from(encode())).records[1]!
  assert.equal(record.value!.constructor, Uint8Array)
  assert.equal(record.headers[0]!.value!.constructor, Uint8Array)
})

test('header keys that repeat and header keys that do not are told apart', () => {
  const names = (record: number) => ['trace', `span-${record % 3}`, record % 2 ? 'odd' : 'eve', `\ufeff${record}`]
  const records = Array.from({ length: 50 }, (_, record) => ({
    timestampMs: t0,
    key: null,
    value: null,
    headers: names(record).map((key) => ({ key, value: null })),
  }))
  const read = decoded(encode({ records })).records
  for (const [index, record] of read.entries()) {
    assert.deepEqual(
      record.headers.map(({ key }) => key),
      names(index),
    )
  }
})

test('a reader may ask for the records from an offset on, and for no more than it needs', () => {
  const bytes = encode()
  rebaseBatch(bytes, 0, 100)
  const offsets = (selection: object) => {
    const result = decodeBatch(bytes, 0, codecs, mebibyte, selection)
    return result.ok && result.records.map((record) => record.offset)
  }
  assert.deepEqual(offsets({ offsetMin: 102 }), [102, 103])
  assert.deepEqual(offsets({ recordsMax: 2 }), [100, 101])
  assert.deepEqual(offsets({ offsetMin: 101, recordsMax: 1 }), [101])
  assert.deepEqual(offsets({ offsetMin: 104 }), [])
  assert.deepEqual(offsets({ recordsMax: 0 }), [])
})

// --- Headers ---------------------------------------------------------------------------------------------------------

test('the headers of a chunk are read one after the other, each with its position', () => {
  const parts = [
    encode(),
    encode({ compression: 'zstd' }),
    encode({ producerId: 1, producerEpoch: 0, baseSequence: 5 }),
  ]
  const read = batchHeaders(joined(...parts))
  assert.ok(read.ok)
  let position = 0
  for (const [index, header] of read.headers.entries()) {
    assert.deepEqual(header, { ...headerOf(parts[index]!), position })
    position += parts[index]!.length
  }
  assert.equal(read.headers.length, 3)
  assert.deepEqual(batchHeaders(new Uint8Array()), { ok: true, headers: [] })
})

test('the first fault of a chunk says where it is', () => {
  const first = encode()
  const faults = [
    batchHeaders(joined(first, first.subarray(0, 10))),
    batchHeaders(joined(first, first.subarray(0, 100))),
    checkBatches(joined(first, first.subarray(0, 100)), codecs, limits),
    checkBatches(joined(first, encode({ isControl: true })), codecs, limits),
  ]
  for (const fault of faults) assert.equal(!fault.ok && fault.at, first.length)
})

test('a 64-bit field beyond 2^53 is a fault of its own name, not a number that is nearly right', () => {
  const faultOf = (at: number, value: bigint) =>
    codeOf(readBatchHeader(forged(golden('java-none'), (view) => view.setBigInt64(at, value))))
  for (const value of [2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n, -(2n ** 63n)]) {
    assert.equal(faultOf(0, value), 'CORRUPT_MESSAGE', 'base offset')
    assert.equal(faultOf(27, value), 'INVALID_TIMESTAMP', 'base timestamp')
    assert.equal(faultOf(35, value), 'INVALID_TIMESTAMP', 'max timestamp')
    assert.equal(faultOf(43, value), 'INVALID_RECORD', 'producer id')
  }
  assert.equal(faultOf(0, 2n ** 53n - 4n), 'ok')
  assert.equal(faultOf(0, 2n ** 53n - 3n), 'CORRUPT_MESSAGE', 'the last offset would be beyond')
  assert.equal(faultOf(0, -1n), 'CORRUPT_MESSAGE')
  assert.equal(faultOf(35, -1n), 'ok', 'no timestamp')
})

// --- Offset for a time -----------------------------------------------------------------------------------------------

test('the first record at or after a time is found, though timestamps go back and forth', () => {
  for (const compression of compressionTypes) {
    const bytes = encode({ compression })
    rebaseBatch(bytes, 0, 500)
    const found = (timestampMs: number, offsetMin?: number) => {
      const result = firstRecordAtOrAfter(bytes, 0, timestampMs, codecs, mebibyte, offsetMin)
      assert.ok(result.ok)
      return result.record
    }
    assert.deepEqual(found(0), { offset: 500, timestampMs: t0 })
    assert.deepEqual(found(t0), { offset: 500, timestampMs: t0 })
    assert.deepEqual(found(t0 + 1), { offset: 502, timestampMs: t0 + 70_000 })
    assert.deepEqual(found(t0 + 70_000), { offset: 502, timestampMs: t0 + 70_000 })
    assert.equal(found(t0 + 70_001), null)
    assert.deepEqual(found(t0, 501), { offset: 502, timestampMs: t0 + 70_000 })
    assert.deepEqual(found(t0, 503), { offset: 503, timestampMs: t0 + 1 })
    assert.equal(found(t0, 504), null)
  }
  const appended = golden('java-log-append-time')
  assert.deepEqual(firstRecordAtOrAfter(appended, 0, t0 + 99, codecs, mebibyte), {
    ok: true,
    record: { offset: 0, timestampMs: t0 + 99 },
  })
})

// --- Any batch -------------------------------------------------------------------------------------------------------

const bytesOrNull = fc.option(fc.uint8Array({ maxLength: 200 }))
const timestamps = fc.oneof(
  fc.integer({ min: -1, max: 5 }),
  fc.integer({ min: -100_000, max: 100_000 }).map((delta) => t0 + delta),
  fc.integer({ min: -(2 ** 51), max: 2 ** 51 }),
)
const newRecords = fc.record(
  {
    timestampMs: timestamps,
    key: bytesOrNull,
    value: bytesOrNull,
    headers: fc.array(fc.record({ key: fc.string({ unit: 'binary' }), value: bytesOrNull }), { maxLength: 4 }),
  },
  { requiredKeys: ['timestampMs', 'key', 'value'] },
)
const producers = fc.oneof(
  fc.constant({ producerId: -1, producerEpoch: -1, baseSequence: -1, isTransactional: false }),
  fc.record({
    producerId: fc.nat(Number.MAX_SAFE_INTEGER),
    producerEpoch: fc.nat(0x7fff),
    baseSequence: fc.nat(0x7fffffff),
    isTransactional: fc.boolean(),
  }),
)
const batches = fc
  .tuple(
    fc.array(newRecords, { minLength: 1, maxLength: 30 }),
    fc.constantFrom(...compressionTypes),
    fc.constantFrom('CreateTime' as const, 'LogAppendTime' as const),
    producers,
  )
  .map(([records, compression, timestampType, producer]) => ({ records, compression, timestampType, ...producer }))
