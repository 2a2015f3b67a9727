import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { nodeCodecs as codecs } from '../../lib/adapters/codecs-node.ts'
import { type CompressionType, compressionTypes } from '../../lib/core/codec.ts'
import {
  batchHeaders,
  batchOverheadBytes,
  checkBatch,
  decodeBatch,
  firstRecordAtOrAfter,
  readBatchHeader,
} from '../../lib/core/record-batch.ts'
import { check, codeOf, encode, forged, goldenRecords, joined, limits, mebibyte, t0 } from './record-batch-fixture.ts'

/** Everything that reads batches, over any bytes: typed faults or values, in bounded time; a throw fails the test. */
function readEveryWay(bytes: Uint8Array) {
  const read = {
    header: readBatchHeader(bytes),
    headers: batchHeaders(bytes),
    checked: checkBatch(bytes, 0, codecs, { ...limits, walk: 'always' }),
    checkedHeader: checkBatch(bytes, 0, codecs, limits),
    decoded: decodeBatch(bytes, 0, codecs, mebibyte),
    found: firstRecordAtOrAfter(bytes, 0, t0 + 1, codecs, mebibyte),
  }
  for (const result of Object.values(read)) {
    if (result.ok) continue
    assert.ok(result.message.length > 0)
    assert.ok(result.at >= 0 && result.at <= bytes.length, `${result.at} of ${bytes.length}`)
  }
  return read
}

test('a batch cut short anywhere is corrupt', () => {
  for (const compression of compressionTypes) {
    const bytes = encode({ compression })
    for (let size = 0; size < bytes.length; size++) {
      const { header, checked, decoded } = readEveryWay(bytes.subarray(0, size))
      for (const result of [header, checked, decoded]) assert.equal(codeOf(result), 'CORRUPT_MESSAGE', `${size} bytes`)
    }
  }
})

test('any bit turned on the way is noticed, or lies in the two fields that the log writes', () => {
  for (const compression of compressionTypes) {
    const bytes = encode({ compression })
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const turned = Uint8Array.from(bytes)
      turned[bit >>> 3]! ^= 1 << (bit & 7)
      const { checked, decoded } = readEveryWay(turned)
      const field = bit >>> 3
      const isLeaderEpoch = field >= 12 && field < 16
      assert.equal(checked.ok, isLeaderEpoch, `bit ${bit}`)
      if (!decoded.ok) continue
      assert.ok(isLeaderEpoch || field < 8, `bit ${bit}`)
      const deltas = decoded.records.map(({ offset, ...record }) => ({
        offset: offset - decoded.header.baseOffset,
        ...record,
      }))
      assert.deepEqual(
        deltas,
        goldenRecords.map((record, offset) => ({ offset, ...record })),
      )
    }
  }
})

test('any bit turned by a client that computes its CRC over it is refused or read as something else', () => {
  for (const compression of compressionTypes) {
    const bytes = encode({ compression })
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      readEveryWay(forged(bytes, (_, turned) => turned.set([turned[bit >>> 3]! ^ (1 << (bit & 7))], bit >>> 3)))
    }
  }
})

test('whatever else is done to the bytes of a batch, with the CRC right, is refused or read as something else', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...compressionTypes),
      fc.array(fc.tuple(fc.nat(), fc.constantFrom(0, 1, 0x7f, 0x80, 0xfe, 0xff), fc.integer({ min: 1, max: 10 })), {
        minLength: 1,
        maxLength: 6,
      }),
      fc.nat(30),
      (compression, changes, cut) => {
        const bytes = encode({ compression })
        const size = Math.max(batchOverheadBytes, bytes.length - cut)
        readEveryWay(
          forged(bytes.subarray(0, size), (view, changed) => {
            for (const [at, byte, length] of changes) changed.fill(byte, at % size, (at % size) + length)
            view.setInt8(16, 2)
            view.setInt32(8, size - 12)
          }),
        )
      },
    ),
    { numRuns: 3000 },
  )
})

test('a batch that claims two thousand million records is refused at once', () => {
  for (const compression of compressionTypes) {
    const bytes = forged(encode({ compression }), (view) => {
      view.setInt32(23, 0x7ffffffe)
      view.setInt32(57, 0x7fffffff)
    })
    const { checked, checkedHeader, decoded } = readEveryWay(bytes)
    assert.equal(codeOf(checked), 'INVALID_RECORD')
    assert.equal(codeOf(checkedHeader), 'INVALID_RECORD', 'even unwalked: no limit would let it expand so far')
    assert.equal(codeOf(decoded), 'INVALID_RECORD')
  }
})

test('lengths and counts that lie are refused', () => {
  // One record: length 7, attributes, timestamp, offset, key 'k', value null, no headers.
  const record = [0x0e, 0, 0, 0, 0x02, 0x6b, 0x01, 0]
  const batchOf = (...bytes: number[]) => {
    const header = encode({ records: goldenRecords.slice(0, 1) }).subarray(0, batchOverheadBytes)
    return forged(joined(header, Uint8Array.from(bytes)), (view) =>
      view.setInt32(8, batchOverheadBytes + bytes.length - 12),
    )
  }
  const huge = [0xfe, 0xff, 0xff, 0xff, 0x0f]
  const lowest = [0xff, 0xff, 0xff, 0xff, 0x0f]
  const endless = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]
  assert.equal(codeOf(check(batchOf(...record))), 'ok')
  const lies: Record<string, number[]> = {
    'no record': [],
    'a byte behind the record': [...record, 0],
    'a record length of 2^31 - 1': [...huge, ...record.slice(1)],
    'a record length of -2^31': [...lowest, ...record.slice(1)],
    'a record length without end': [...endless, ...record.slice(1)],
    'a record one byte longer than it is': [0x10, ...record.slice(1)],
    'a record one byte shorter than it is': [0x0c, ...record.slice(1)],
    'a key of 2^31 - 1 bytes': [0x16, 0, 0, 0, ...huge, 0x6b, 0x01, 0],
    'a key of -2 bytes': [0x0c, 0, 0, 0, 0x03, 0x01, 0],
    'a value of 2^31 - 1 bytes': [0x14, 0, 0, 0, 0x01, ...huge, 0x00],
    'a value of -2^31 bytes': [0x14, 0, 0, 0, 0x01, ...lowest, 0x00],
    '2^31 - 1 headers': [0x14, 0, 0, 0, 0x01, 0x01, ...huge],
    '-1 headers': [0x0c, 0, 0, 0, 0x01, 0x01, 0x01],
    'a header key of -1 bytes': [0x10, 0, 0, 0, 0x01, 0x01, 0x02, 0x01, 0x01],
    'a header value of -2 bytes': [0x10, 0, 0, 0, 0x01, 0x01, 0x02, 0x00, 0x03],
    'a header that is not there': [0x0c, 0, 0, 0, 0x01, 0x01, 0x02],
    'an offset of 1 where 0 is the last': [0x0e, 0, 0, 0x02, 0x02, 0x6b, 0x01, 0],
    'an offset of -1': [0x0e, 0, 0, 0x01, 0x02, 0x6b, 0x01, 0],
    'a timestamp delta of 2^63': [
      0x1e, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0, 0x01, 0x01, 0,
    ],
    'a timestamp beyond 2^53': [0x1c, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0, 0x01, 0x01, 0],
  }
  for (const [what, bytes] of Object.entries(lies)) {
    assert.equal(codeOf(check(batchOf(...bytes))), 'INVALID_RECORD', what)
    readEveryWay(batchOf(...bytes))
  }
})

test('a bomb of records is refused without the memory that it asks for', () => {
  const records = [{ timestampMs: t0, key: null, value: new Uint8Array(32 * mebibyte) }]
  for (const compression of ['gzip', 'snappy', 'lz4', 'zstd'] satisfies CompressionType[]) {
    const bytes = encode({ records, compression })
    const before = process.memoryUsage().arrayBuffers
    assert.equal(
      codeOf(check(bytes, { batchBytesMax: bytes.length, decompressedBytesMax: mebibyte, walk: 'always' })),
      'MESSAGE_TOO_LARGE',
    )
    assert.equal(codeOf(decodeBatch(bytes, 0, codecs, mebibyte)), 'MESSAGE_TOO_LARGE')
    assert.equal(codeOf(firstRecordAtOrAfter(bytes, 0, t0, codecs, mebibyte)), 'MESSAGE_TOO_LARGE')
    assert.ok(process.memoryUsage().arrayBuffers - before < 4 * mebibyte)
  }
})
