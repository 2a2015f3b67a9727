import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeCodecs as codecs } from '../../lib/adapters/codecs-node.ts'
import { compressionTypes } from '../../lib/core/codec.ts'
import {
  type BatchFault,
  batchOverheadBytes,
  checkBatches,
  decodeBatch,
  rebaseBatch,
  stampAppendTime,
  stampMaxTimestamp,
} from '../../lib/core/record-batch.ts'
import {
  check,
  codeOf,
  decoded,
  encode,
  forged,
  goldenRecords,
  headerOf,
  joined,
  limits,
  t0,
} from './record-batch-fixture.ts'

test('base offset and leader epoch can be rewritten without touching the CRC', () => {
  const bytes = joined(encode({ compression: 'lz4' }), encode())
  const at = encode({ compression: 'lz4' }).length
  rebaseBatch(bytes, at, 2 ** 52 + 3, 17)
  rebaseBatch(bytes, 0, 5)
  assert.deepEqual([headerOf(bytes, at).baseOffset, headerOf(bytes, at).partitionLeaderEpoch], [2 ** 52 + 3, 17])
  assert.deepEqual([headerOf(bytes).baseOffset, headerOf(bytes).partitionLeaderEpoch], [5, -1])
  assert.deepEqual(
    decoded(bytes, at).records.map((record) => record.offset),
    [0, 1, 2, 3].map((delta) => 2 ** 52 + 3 + delta),
  )
  assert.throws(() => rebaseBatch(bytes, 0, 2 ** 53), RangeError)
})

test('the append time is stamped on every record, compressed or not, and the batch stays whole', () => {
  for (const compression of compressionTypes) {
    const bytes = joined(Uint8Array.of(1, 2, 3), encode({ compression }), Uint8Array.of(4))
    stampAppendTime(bytes, 3, t0 + 123_456, codecs)
    const { header, records } = decoded(bytes, 3)
    assert.deepEqual([header.timestampType, header.compression], ['LogAppendTime', compression])
    assert.deepEqual(
      records.map((record) => record.timestampMs),
      Array(4).fill(t0 + 123_456),
    )
  }
})

test('a largest timestamp that the client got wrong is found by the walk and can be put right', () => {
  const bytes = forged(encode(), (view) => view.setBigInt64(35, 7n))
  const checked = check(bytes)
  assert.ok(checked.ok)
  assert.deepEqual([checked.header.maxTimestampMs, checked.recordsMaxTimestampMs], [7, t0 + 70_000])
  stampMaxTimestamp(bytes, 0, t0 + 70_000, codecs)
  assert.deepEqual(bytes, encode())
})

test('the records of a compressed batch are walked only when asked', () => {
  const bytes = encode({ compression: 'gzip' })
  const walks = (options: object) => {
    const checked = check(bytes, options)
    assert.ok(checked.ok)
    return checked.recordsMaxTimestampMs !== null
  }
  assert.deepEqual([walks({}), walks({ walk: 'uncompressed' }), walks({ walk: 'always' })], [false, false, true])
  assert.deepEqual([walks({ timestampMsMin: 0 }), walks({ timestampMsMax: t0 * 2 })], [true, true])
  assert.equal(
    codeOf(check(encode({ records: goldenRecords.slice(0, 1), compression: 'gzip' }), { keyRequired: true })),
    'ok',
  )
})

const refused: [what: string, bytes: () => Uint8Array, code: BatchFault['code'], options?: object][] = [
  ['no bytes', () => new Uint8Array(), 'CORRUPT_MESSAGE'],
  ['less than a header', () => encode().subarray(0, 60), 'CORRUPT_MESSAGE'],
  ['a batch cut short', () => encode().subarray(0, 600), 'CORRUPT_MESSAGE'],
  ['a length below the header', () => forged(encode(), (view) => view.setInt32(8, 48)), 'CORRUPT_MESSAGE'],
  ['a negative length', () => forged(encode(), (view) => view.setInt32(8, -1)), 'CORRUPT_MESSAGE'],
  ['the message format of old', () => forged(encode(), (view) => view.setInt8(16, 1)), 'INVALID_RECORD'],
  ['a message format of later days', () => forged(encode(), (view) => view.setInt8(16, 3)), 'INVALID_RECORD'],
  [
    'a damaged record',
    () => {
      const bytes = encode()
      bytes[200]! ^= 1
      return bytes
    },
    'CORRUPT_MESSAGE',
  ],
  ['compression 5', () => forged(encode(), (view) => view.setInt16(21, 5)), 'UNSUPPORTED_COMPRESSION_TYPE'],
  ['a base offset of its own', () => forged(encode(), (view) => view.setBigInt64(0, 1n)), 'INVALID_RECORD'],
  ['no records', () => forged(encode(), (view) => view.setInt32(57, 0)), 'INVALID_RECORD'],
  ['fewer records than offsets', () => forged(encode(), (view) => view.setInt32(23, 4)), 'INVALID_RECORD'],
  ['more records than offsets', () => forged(encode(), (view) => view.setInt32(57, 5)), 'INVALID_RECORD'],
  ['negative counts', () => forged(encode(), (view) => view.setInt32(57, -1)), 'INVALID_RECORD'],
  ['a control batch', () => encode({ isControl: true }), 'INVALID_RECORD'],
  ['a producer without a sequence', () => encode({ producerId: 1, producerEpoch: 0 }), 'INVALID_RECORD'],
  ['a producer without an epoch', () => encode({ producerId: 1, baseSequence: 0 }), 'INVALID_RECORD'],
  ['a producer id below none', () => encode({ producerId: -2 }), 'INVALID_RECORD'],
  ['a transaction of no producer', () => encode({ isTransactional: true }), 'INVALID_RECORD'],
  ['an append time of its own', () => encode({ timestampType: 'LogAppendTime' }), 'INVALID_TIMESTAMP'],
  ['a missing key on a compacted topic', () => encode(), 'INVALID_RECORD', { keyRequired: true }],
  [
    'a missing key in compressed records',
    () => encode({ compression: 'zstd' }),
    'INVALID_RECORD',
    { keyRequired: true },
  ],
  ['a timestamp too early', () => encode(), 'INVALID_TIMESTAMP', { timestampMsMin: t0 - 4999 }],
  ['a timestamp too late', () => encode(), 'INVALID_TIMESTAMP', { timestampMsMax: t0 + 69_999 }],
  ['offsets that do not ascend', () => forged(encode(), (_, bytes) => bytes.set([0], 77)), 'INVALID_RECORD'],
  [
    'records that are not what the compression writes',
    () => forged(encode({ compression: 'gzip' }), (_, bytes) => bytes.set([0], 61)),
    'INVALID_RECORD',
    { walk: 'always' },
  ],
]

for (const [what, bytes, code, options = {}] of refused) {
  test(`${what}: ${code}`, () => {
    const result = check(bytes(), options)
    assert.equal(codeOf(result), code)
    assert.ok(!result.ok && result.message.length > 10)
  })
}

test('the record at fault is named', () => {
  const missing = check(encode(), { keyRequired: true })
  assert.ok(!missing.ok)
  assert.deepEqual([missing.recordIndex, missing.at], [1, batchOverheadBytes + 11])
  const late = check(encode({ compression: 'lz4' }), { timestampMsMax: t0 })
  assert.ok(!late.ok)
  assert.deepEqual([late.recordIndex, late.at], [2, 0])
})

test('timestamps at the limits pass, and no timestamp passes every limit', () => {
  assert.equal(codeOf(check(encode(), { timestampMsMin: t0 - 5000, timestampMsMax: t0 + 70_000 })), 'ok')
  const none = encode({ records: [{ timestampMs: -1, key: null, value: null }] })
  assert.equal(codeOf(check(none, { timestampMsMin: t0, timestampMsMax: t0 })), 'ok')
})

test('a batch may have its largest size and not a byte more', () => {
  const bytes = encode()
  const at = (batchBytesMax: number) => codeOf(check(bytes, { batchBytesMax }))
  assert.deepEqual([at(607), at(608), at(609)], ['MESSAGE_TOO_LARGE', 'ok', 'ok'])
})

test('records may have their largest size after decompression and not a byte more', () => {
  for (const compression of compressionTypes) {
    const bytes = encode({ compression })
    const at = (decompressedBytesMax: number) => codeOf(check(bytes, { decompressedBytesMax, walk: 'always' }))
    assert.deepEqual([at(546), at(547), at(548)], ['MESSAGE_TOO_LARGE', 'ok', 'ok'], compression)
    const read = (bytesMax: number) => codeOf(decodeBatch(bytes, 0, codecs, bytesMax))
    assert.deepEqual([read(546), read(547), read(548)], ['MESSAGE_TOO_LARGE', 'ok', 'ok'], compression)
  }
})

test('every batch is checked; no batch at all is refused', () => {
  const parts = [encode(), encode({ compression: 'snappy' })]
  const checked = checkBatches(joined(...parts), codecs, limits)
  assert.ok(checked.ok)
  assert.deepEqual(
    checked.batches.map(({ position, header }) => [position, header.sizeBytes, header.compression]),
    [
      [0, 608, 'none'],
      [608, parts[1]!.length, 'snappy'],
    ],
  )
  assert.equal(codeOf(checkBatches(new Uint8Array(), codecs, limits)), 'INVALID_RECORD')
})
