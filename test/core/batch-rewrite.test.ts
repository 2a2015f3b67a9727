import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { nodeCodecs as codecs } from '../../lib/adapters/codecs-node.ts'
import { forEachKey, type Rewrite, type RewrittenRecord, rewriteBatches } from '../../lib/core/batch-rewrite.ts'
import { type CompressionType, compressionTypes } from '../../lib/core/codec.ts'
import {
  type BatchHeader,
  batchHeaders,
  decodeBatch,
  encodeBatch,
  type LogRecord,
  type NewBatch,
  type NewRecord,
  rebaseBatch,
} from '../../lib/core/record-batch.ts'
import { forged, golden, joined, mebibyte, t0, text } from './record-batch-fixture.ts'

const decompressedBytesMax = 4 * mebibyte
const zstd: Rewrite = { compression: 'zstd', decompressedBytesMax }

function at(baseOffset: number, batch: Partial<NewBatch> & Pick<NewBatch, 'records'>): Uint8Array {
  const bytes = encodeBatch({ compression: 'none', ...batch }, codecs)
  rebaseBatch(bytes, 0, baseOffset)
  return bytes
}

/** One record of JSON, as a client sends that does not batch. */
function event(number: number): NewRecord {
  const value = {
    id: number,
    type: 'page-viewed',
    path: `/articles/${number % 17}`,
    at: new Date(t0 + number).toJSON(),
  }
  return { timestampMs: t0 + number, key: text(`k${number % 10}`), value: text(JSON.stringify(value)) }
}

/** What a reader sees: every record, with what its batch says of its producer. */
function readAll(buffers: readonly Uint8Array[]): (LogRecord & { producer: unknown })[] {
  return buffers.flatMap((buffer) =>
    headersOf([buffer]).flatMap(({ position, ...header }) => {
      const read = decodeBatch(buffer, position, codecs, decompressedBytesMax)
      assert.ok(read.ok, read.ok ? '' : read.message)
      const { producerId, producerEpoch, isTransactional, isControl, timestampType } = header
      const sequence = producerId === -1 ? -1 : header.baseSequence
      const producer = { producerId, producerEpoch, sequence, isTransactional, isControl, timestampType }
      return read.records.map((record) => ({ ...record, producer }))
    }),
  )
}

function headersOf(buffers: readonly Uint8Array[]): (BatchHeader & { position: number })[] {
  return buffers.flatMap((buffer) => {
    const read = batchHeaders(buffer)
    assert.ok(read.ok, read.ok ? '' : read.message)
    return read.headers
  })
}

const bytesOf = (buffers: readonly Uint8Array[]) => buffers.reduce((sum, { byteLength }) => sum + byteLength, 0)

// --- Properties --------------------------------------------------------------------------------------------------------

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.record({ byte: fc.nat(255), length: fc.nat(3000) }).map(({ byte, length }) => new Uint8Array(length).fill(byte)),
)
const record: fc.Arbitrary<NewRecord> = fc.record({
  timestampMs: fc.oneof(
    fc.integer({ min: t0, max: t0 + 100_000 }),
    fc.constantFrom(-1, 0, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER + 2),
  ),
  key: fc.option(fc.constantFrom(text('a'), text('b'), text('')), { freq: 4 }),
  value: fc.option(bytes, { freq: 4 }),
  headers: fc.array(fc.record({ key: fc.string({ maxLength: 5 }), value: fc.option(bytes) }), { maxLength: 2 }),
})
const batch = fc
  .record({
    records: fc.array(record, { minLength: 1, maxLength: 6 }),
    compression: fc.oneof(fc.constant<CompressionType>('none'), fc.constantFrom(...compressionTypes)),
    timestampType: fc.oneof(
      { weight: 4, arbitrary: fc.constant<'CreateTime' | 'LogAppendTime'>('CreateTime') },
      { weight: 1, arbitrary: fc.constant<'CreateTime' | 'LogAppendTime'>('LogAppendTime') },
    ),
    producer: fc.option(fc.record({ producerId: fc.nat(3), producerEpoch: fc.nat(2), baseSequence: fc.nat(9) })),
    isControl: fc.integer({ min: 0, max: 9 }).map((die) => die === 0),
    /** Offsets that a compaction took: before the batch, before each record, and behind the last. */
    gaps: fc.array(fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(3) }), {
      minLength: 8,
      maxLength: 8,
    }),
  })
  // One batch cannot hold times too far apart; several may.
  .filter(({ records }) =>
    records.every(({ timestampMs }) => Number.isSafeInteger(timestampMs - records[0]!.timestampMs)),
  )
const run = fc.record({ batches: fc.array(batch, { maxLength: 12 }), perBuffer: fc.integer({ min: 1, max: 4 }) })
type Run = typeof run extends fc.Arbitrary<infer Value> ? Value : never

function buffersOf({ batches, perBuffer }: Run): Uint8Array[] {
  const encoded: Uint8Array[] = []
  let next = 7
  for (const { gaps, producer, ...batch } of batches) {
    const offsetDeltas: number[] = []
    for (const index of batch.records.keys())
      offsetDeltas.push((offsetDeltas[index - 1] ?? -1) + 1 + (index === 0 ? 0 : gaps[index]!))
    const lastOffsetDelta = offsetDeltas[offsetDeltas.length - 1]! + gaps[7]!
    next += gaps[0]!
    encoded.push(at(next, { ...batch, ...producer, offsetDeltas, lastOffsetDelta }))
    next += lastOffsetDelta + 1
  }
  const buffers: Uint8Array[] = []
  for (let from = 0; from < encoded.length; from += perBuffer)
    buffers.push(joined(...encoded.slice(from, from + perBuffer)))
  return buffers
}

/** Batches ascend, and each keeps within where those lay of which it was made. */
function assertAscending(buffers: readonly Uint8Array[]): void {
  let next = 0
  for (const { baseOffset, lastOffsetDelta, recordCount } of headersOf(buffers)) {
    assert.ok(baseOffset >= next && recordCount <= lastOffsetDelta + 1)
    next = baseOffset + lastOffsetDelta + 1
  }
}

test('whatever the batches, the same records are read after a rewrite, in no more bytes', () => {
  fc.assert(
    fc.property(run, fc.constantFrom(...compressionTypes), (given, compression) => {
      const before = buffersOf(given)
      const records = readAll(before)
      const { batches, removed, isChanged } = rewriteBatches(before, { compression, decompressedBytesMax }, codecs)
      assertAscending(batches)
      assert.deepEqual(readAll(batches), records)
      assert.equal(removed, 0)
      assert.ok(bytesOf(batches) <= bytesOf(before))
      assert.equal(isChanged, Buffer.compare(Buffer.concat(batches), Buffer.concat(before)) !== 0)
      if (compression === 'none') assert.deepEqual(batches, before)
      // Again, it finds nothing to do.
      assert.equal(rewriteBatches(batches, { compression, decompressedBytesMax }, codecs).isChanged, false)
    }),
    { numRuns: 200 },
  )
})

test('whatever records are left out, the others are read as before, with offsets and sequences that were theirs', () => {
  fc.assert(
    fc.property(run, fc.constantFrom(...compressionTypes), fc.nat(255), (given, compression, salt) => {
      const before = buffersOf(given)
      const isKept = ({ offset }: { offset: number }) => ((offset * 73 + salt) & 4) === 0
      const records = readAll(before)
      const expected = records.filter((record) => isControl(record) || isKept(record))
      const { batches, removed, isChanged } = rewriteBatches(
        before,
        { compression, decompressedBytesMax, keep: isKept },
        codecs,
      )
      assertAscending(batches)
      assert.deepEqual(readAll(batches), expected)
      assert.equal(removed, records.length - expected.length)
      assert.equal(isChanged, Buffer.compare(Buffer.concat(batches), Buffer.concat(before)) !== 0)
    }),
    { numRuns: 200 },
  )
})

const isControl = ({ producer }: { producer: unknown }) => (producer as { isControl: boolean }).isControl

test('keys are visited with their offsets, in order, whatever the codec', () => {
  fc.assert(
    fc.property(run, (given) => {
      const buffers = buffersOf(given)
      const seen: RewrittenRecord[] = []
      forEachKey(buffers, codecs, decompressedBytesMax, (offset, key, isTombstone) =>
        seen.push({ offset, key: key === null ? null : key.slice(), isTombstone }),
      )
      const expected = readAll(buffers)
        .filter((record) => !isControl(record))
        .map(({ offset, key, value }) => ({ offset, key, isTombstone: value === null }))
      assert.deepEqual(seen, expected)
      const kept: RewrittenRecord[] = []
      const keep = (record: RewrittenRecord) => kept.push(record) > 0
      rewriteBatches(buffers, { compression: 'none', decompressedBytesMax, keep }, codecs)
      assert.deepEqual(kept, expected)
    }),
    { numRuns: 100 },
  )
})

// --- Coalescing --------------------------------------------------------------------------------------------------------

test('a thousand batches of one record become one compressed batch', () => {
  const before = Array.from({ length: 1000 }, (_, offset) => at(50 + offset, { records: [event(offset)] }))
  const { batches, isChanged } = rewriteBatches(before, zstd, codecs)
  const [header, ...others] = headersOf(batches)
  assert.deepEqual(others, [])
  assert.ok(isChanged && header !== undefined)
  const { compression, baseOffset, lastOffsetDelta, recordCount, baseTimestampMs, maxTimestampMs } = header
  assert.deepEqual([compression, baseOffset, lastOffsetDelta, recordCount], ['zstd', 50, 999, 1000])
  assert.deepEqual([baseTimestampMs, maxTimestampMs], [t0, t0 + 999])
  assert.ok(bytesOf(batches) * 10 < bytesOf(before), `${bytesOf(batches)} of ${bytesOf(before)} bytes`)
})

test('batches grow to the target and not beyond it, a larger one stays alone', () => {
  const record = (size: number): NewRecord => ({ timestampMs: t0, key: null, value: new Uint8Array(size) })
  const before = [600, 600, 600, 3000, 600, 600].map((size, offset) => at(offset, { records: [record(size)] }))
  const sizes = (recordsBytesTarget: number) =>
    headersOf(rewriteBatches(before, { ...zstd, recordsBytesTarget }, codecs).batches).map(
      (header) => header.recordCount,
    )
  const two = 2 * (before[0]!.byteLength - 61)
  assert.deepEqual(sizes(two - 1), [1, 1, 1, 1, 1, 1])
  assert.deepEqual(sizes(two), [2, 1, 1, 2])
  assert.deepEqual(sizes(131_072), [6])
})

test('neighbours with other times for the whole batch, or with times by another clock, stay apart', () => {
  const stamped = (offset: number, timestampMs: number) =>
    at(offset, { records: [{ ...event(offset), timestampMs }], timestampType: 'LogAppendTime' })
  const before = [
    stamped(0, t0),
    stamped(1, t0),
    stamped(2, t0 + 1),
    at(3, { records: [event(3)] }),
    at(4, { records: [event(4)] }),
  ]
  const after = headersOf(rewriteBatches(before, zstd, codecs).batches)
  assert.deepEqual(
    after.map(({ baseOffset, recordCount, timestampType, maxTimestampMs }) => [
      baseOffset,
      recordCount,
      timestampType,
      maxTimestampMs,
    ]),
    [
      [0, 2, 'LogAppendTime', t0],
      [2, 1, 'LogAppendTime', t0 + 1],
      [3, 2, 'CreateTime', t0 + 4],
    ],
  )
})

test('offsets that lie further apart than a batch can say stay apart', () => {
  const before = [
    at(0, { records: [event(0)] }),
    at(2 ** 31 - 1, { records: [event(1)] }),
    at(2 ** 31, { records: [event(2)] }),
  ]
  const after = headersOf(rewriteBatches(before, zstd, codecs).batches)
  assert.deepEqual(
    after.map(({ baseOffset, lastOffsetDelta }) => [baseOffset, lastOffsetDelta]),
    [
      [0, 2 ** 31 - 1],
      [2 ** 31, 0],
    ],
  )
})

test('batches of an idempotent producer are compressed, each alone', () => {
  const records = Array.from({ length: 20 }, (_, number) => event(number))
  const before = [0, 20, 40].map((offset) =>
    at(offset, { records, producerId: 5, producerEpoch: 1, baseSequence: offset + 100 }),
  )
  const after = headersOf(rewriteBatches(before, zstd, codecs).batches)
  assert.deepEqual(
    after.map(({ compression, producerId, producerEpoch, baseSequence }) => [
      compression,
      producerId,
      producerEpoch,
      baseSequence,
    ]),
    [100, 120, 140].map((sequence) => ['zstd', 5, 1, sequence]),
  )
})

test('small batches that are compressed already join their neighbours, if by the same codec; larger ones stay as they are', () => {
  const noise = Uint8Array.from({ length: 20_000 }, (_, index) => (index * index * 2_654_435_761) >>> 13)
  const before = [
    at(0, { records: [event(0)], compression: 'zstd' }),
    at(1, { records: [event(1)] }),
    at(2, { records: [event(2)], compression: 'zstd' }),
    at(3, { records: [event(3)], compression: 'gzip' }),
    at(4, { records: [{ ...event(4), value: noise }], compression: 'zstd' }),
    at(5, { records: [event(5)], compression: 'zstd' }),
  ]
  assert.ok(before[4]!.byteLength > 16_384)
  const after = rewriteBatches(before, zstd, codecs).batches
  assert.deepEqual(
    headersOf(after).map(({ baseOffset, recordCount, compression }) => [baseOffset, recordCount, compression]),
    [
      [0, 3, 'zstd'],
      [3, 1, 'gzip'],
      [4, 1, 'zstd'],
      [5, 1, 'zstd'],
    ],
  )
  assert.deepEqual(after.slice(1), before.slice(3))
})

test('what compression does not make smaller is coalesced all the same, and stays uncompressed', () => {
  const before = [0, 1].map((offset) => at(offset, { records: [{ timestampMs: t0, key: null, value: text('!') }] }))
  const [header, ...others] = headersOf(rewriteBatches(before, zstd, codecs).batches)
  assert.deepEqual([header?.compression, header?.recordCount, others.length], ['none', 2, 0])
})

// --- Filtering ---------------------------------------------------------------------------------------------------------

test('a batch of which something goes keeps its base offset, last offset, producer and codec', () => {
  for (const compression of compressionTypes) {
    const records = Array.from({ length: 30 }, (_, number) => event(number))
    const before = at(1000, { records, compression, producerId: 9, producerEpoch: 3, baseSequence: 77 })
    const keep = ({ offset }: RewrittenRecord) => offset === 1004 || offset === 1007
    const { batches, removed } = rewriteBatches([before], { ...zstd, compression: 'none', keep }, codecs)
    assert.equal(removed, 28)
    const [header, ...others] = headersOf(batches)
    assert.deepEqual(others, [])
    const { baseOffset, lastOffsetDelta, producerId, producerEpoch, baseSequence, recordCount, maxTimestampMs } =
      header!
    assert.deepEqual([baseOffset, lastOffsetDelta, recordCount], [1000, 29, 2])
    assert.deepEqual([producerId, producerEpoch, baseSequence], [9, 3, 77])
    assert.deepEqual([header!.compression, maxTimestampMs], [compression, t0 + 7])
  }
})

test('a batch whose records all stay is the same bytes, one of which none stays is gone', () => {
  const before = joined(
    ...(['gzip', 'none', 'zstd'] as const).map((compression, index) =>
      at(index * 2, { records: [event(index), event(index + 1)], compression }),
    ),
  )
  const keep = ({ offset }: RewrittenRecord) => offset < 2 || offset > 3
  const { batches, removed } = rewriteBatches([before], { compression: 'none', decompressedBytesMax, keep }, codecs)
  const [first, second, third] = headersOf([before])
  assert.equal(removed, 2)
  assert.deepEqual(batches, [
    before.subarray(0, first!.sizeBytes),
    before.subarray(first!.sizeBytes + second!.sizeBytes, before.byteLength),
  ])
  assert.equal(third!.compression, 'zstd')
  assert.equal(rewriteBatches([before], { ...zstd, compression: 'none', keep: () => true }, codecs).isChanged, false)
})

test('sparse batches that a compaction leaves become one', () => {
  const before = Array.from({ length: 50 }, (_, index) =>
    at(index * 20, { records: Array.from({ length: 20 }, (_, number) => event(number)), compression: 'zstd' }),
  )
  const keep = ({ offset }: RewrittenRecord) => offset % 20 === 3
  const { batches, removed } = rewriteBatches(before, { ...zstd, keep }, codecs)
  assert.equal(removed, 950)
  assert.deepEqual(
    headersOf(batches).map(({ baseOffset, lastOffsetDelta, recordCount }) => [
      baseOffset,
      lastOffsetDelta,
      recordCount,
    ]),
    [[0, 999, 50]],
  )
})

test('control batches stay, and their keys are nobody’s', () => {
  const before = golden('java-control-commit')
  rebaseBatch(before, 0, 3)
  assert.deepEqual(rewriteBatches([before], { ...zstd, keep: () => false }, codecs).batches, [before])
  forEachKey([before], codecs, decompressedBytesMax, () => assert.fail('a key'))
})

test('what cannot be read, or is too large to, stays as it came: nothing is lost with it', () => {
  const fine = at(0, { records: [event(0)] })
  const bomb = at(1, {
    records: [{ timestampMs: t0, key: text('k'), value: new Uint8Array(2 * mebibyte) }],
    compression: 'zstd',
  })
  const garbled = forged(at(2, { records: [event(2)], compression: 'zstd' }), (_, bytes) => bytes.fill(7, 70))
  // Its compressed records are whole, but fewer than it says.
  const short = forged(at(3, { records: [event(3), event(4)], compression: 'zstd' }), (view) => view.setInt32(57, 1))
  const foreign = forged(at(5, { records: [event(5)] }), (view) => view.setInt16(21, 1 << 7))
  const before = [fine, bomb, garbled, short]
  const rewrite: Rewrite = { compression: 'zstd', decompressedBytesMax: mebibyte, keep: () => false }
  assert.deepEqual(rewriteBatches(before, rewrite, codecs).batches, [bomb, garbled, short])
  const offsets: number[] = []
  forEachKey(before, codecs, mebibyte, (offset) => offsets.push(offset))
  assert.deepEqual(offsets, [0])
  const after = rewriteBatches([garbled, short, foreign, foreign], zstd, codecs)
  assert.deepEqual([after.batches, after.isChanged], [[garbled, short, foreign, foreign], false])
})

test('what other clients compressed or did not is read the same after a rewrite', () => {
  for (const client of ['java', 'librdkafka', 'kafka-python']) {
    const before = [...compressionTypes, ...compressionTypes].map((compression, index) => {
      const bytes = golden(`${client}-${compression}`)
      rebaseBatch(bytes, 0, index * 4)
      return bytes
    })
    for (const compression of compressionTypes)
      assert.deepEqual(
        readAll(rewriteBatches(before, { compression, decompressedBytesMax }, codecs).batches),
        readAll(before),
      )
  }
})
