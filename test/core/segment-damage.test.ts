import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { crc32c } from '../../lib/core/crc32c.ts'
import { encodeBatch, rebaseBatch, stampMaxTimestamp } from '../../lib/core/record-batch.ts'
import { checkChunk, checkSegment, encodeSegment } from '../../lib/core/segment.ts'
import {
  decodeSegmentTail,
  type SegmentIndex,
  type SegmentIndexChunk,
  segmentFooterBytes,
} from '../../lib/core/segment-index.ts'
import { batch, checked, chunk, codecs, encoded, golden, joined, t0, topicA } from './segment-samples.ts'

describe('damage to a segment', () => {
  const samples = [golden('segment-v1.hex'), golden('segment-v1-merged.hex')]

  test('of any single bit is found', () => {
    for (const sample of samples)
      for (let at = 0; at < sample.length; at++)
        for (let bit = 0; bit < 8; bit++) {
          const bytes = sample.slice()
          bytes[at]! ^= 1 << bit
          const answer = checkSegment(bytes, codecs)
          assert.ok(!answer.ok, `bit ${bit} of byte ${at}`)
          assert.ok(answer.at >= 0 && answer.at <= bytes.length && answer.message.endsWith('.'))
        }
  })

  test('of a large chunk is found in each of its bytes that a batch’s own CRC leaves out', () => {
    const batches = Array.from({ length: 12 }, (_, index) => batch(index, 1, t0 + index, 40_000))
    const sample = encoded([chunk(batches, 12, { maxTimestampMs: t0 + 11 })])
    assert.ok(checked(sample).chunks[0]!.stretches.length > 2)
    for (let index = 0; index < 12; index++)
      for (let at = 8 + index * batches[0]!.length, byte = 0; byte < 21; byte++) {
        sample[at + byte]! ^= 4
        assert.ok(!checkSegment(sample, codecs).ok, `byte ${byte} of batch ${index}`)
        sample[at + byte]! ^= 4
      }
    checked(sample)
  })

  test('by cutting it off anywhere is found', () => {
    for (const sample of samples)
      for (let length = 0; length < sample.length; length++) {
        assert.ok(!checkSegment(sample.subarray(0, length), codecs).ok)
        const tail = decodeSegmentTail(sample.subarray(0, length), length, codecs)
        assert.ok(!tail.ok && tail.reason !== 'need-more')
      }
  })

  test('by cutting off its beginning is found', () => {
    for (const sample of samples)
      for (let from = 1; from <= sample.length; from++) {
        assert.ok(!checkSegment(sample.subarray(from), codecs).ok)
        assert.ok(!decodeSegmentTail(sample.subarray(from), sample.length - from, codecs).ok)
      }
  })

  test('by exchanging two batches, or one for another that is valid, is found', () => {
    const parts = encodeSegment([chunk([batch(0), batch(1), batch(2)], 3)], codecs).parts
    const [header, first, second, third, end] = parts as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array]
    checked(joined([header, first, second, third, end]))
    assert.ok(!checkSegment(joined([header, second, first, third, end]), codecs).ok)
    const other = second.slice()
    stampMaxTimestamp(other, 0, t0 - 1, codecs)
    assert.ok(!checkSegment(joined([header, first, other, third, end]), codecs).ok)
  })

  test('of the footer is not read as the need for more', () => {
    const bytes = samples[0]!.slice()
    bytes[bytes.length - segmentFooterBytes + 7]! ^= 1
    const answer = decodeSegmentTail(bytes.subarray(bytes.length - segmentFooterBytes), bytes.length, codecs)
    assert.ok(!answer.ok && answer.reason === 'damaged')
  })
})

describe('a lie about numbers, with every CRC right', () => {
  const samples = [golden('segment-v1.hex'), golden('segment-v1-merged.hex')]

  /** Puts the CRCs of index and footer right after a change to either. */
  function signed(bytes: Uint8Array<ArrayBuffer>): Uint8Array {
    const view = new DataView(bytes.buffer)
    const footer = bytes.length - segmentFooterBytes
    const [position, length] = [Number(view.getBigUint64(footer)), Number(view.getBigUint64(footer + 8))]
    if (position + length <= bytes.length)
      view.setUint32(footer + 16, crc32c(bytes.subarray(position, position + length)))
    view.setUint32(footer + 100, crc32c(bytes.subarray(footer, footer + 100)))
    return bytes
  }

  test('is a fault, or the segment of exactly these bytes', () => {
    const lie = fc.record({
      sample: fc.constantFrom(...samples),
      fromEnd: fc.integer({ min: 13, max: 248 }),
      width: fc.constantFrom(1, 2, 4, 8),
      value: fc.oneof(
        fc.constantFrom(0n, 1n, 2n, 3n, 0x7fffffffn, 0x80000000n, 0xffffffffn, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n),
        fc.bigInt(0n, 2n ** 64n - 1n),
      ),
    })
    const property = fc.property(fc.array(lie, { minLength: 1, maxLength: 3 }), (lies) => {
      const bytes = lies[0]!.sample.slice()
      for (const { fromEnd, width, value } of lies)
        for (let byte = 0; byte < Math.min(width, fromEnd - 12); byte++)
          bytes[bytes.length - fromEnd + byte] = Number((value >> BigInt(8 * (width - 1 - byte))) & 255n)
      signed(bytes)
      const tail = decodeSegmentTail(bytes.subarray(100), bytes.length, codecs)
      if (!tail.ok && tail.reason === 'need-more') assert.ok(tail.needBytes <= bytes.length)
      const answer = checkSegment(bytes, codecs)
      if (answer.ok) assert.deepEqual(reencoded(answer.index, bytes), bytes)
    })
    fc.assert(property, { numRuns: 2000 })
  })

  function reencoded(index: SegmentIndex, bytes: Uint8Array): Uint8Array {
    const chunks = index.chunks.map(({ baseOffset, position, lengthBytes, ...rest }) => ({
      ...rest,
      batches: [bytes.subarray(position, position + lengthBytes)],
      ...(baseOffset === -1 ? {} : { baseOffset }),
    }))
    return encoded(chunks, index.merged)
  }

  /** A change of the index (from its start) or of the footer: where, how many bytes, and the number they hold then. */
  type Edit = readonly ['index' | 'footer', at: number, width: 1 | 4 | 8, value: bigint | number]

  function lied(sample: Uint8Array<ArrayBuffer>, edits: readonly Edit[]): Uint8Array {
    const bytes = sample.slice()
    const view = new DataView(bytes.buffer)
    const footer = bytes.length - segmentFooterBytes
    const index = Number(view.getBigUint64(footer))
    for (const [part, at, width, value] of edits) {
      const to = at + (part === 'index' ? index : footer)
      if (width === 8) view.setBigInt64(to, BigInt(value))
      else if (width === 4) view.setUint32(to, Number(value))
      else view.setUint8(to, Number(value))
    }
    return signed(bytes)
  }

  const [gathered, merged] = samples as [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>]
  const eight = encoded(Array.from({ length: 8 }, (_, partition) => chunk([batch(0)], 1, { partition })))
  const stretched = encoded([
    chunk(
      Array.from({ length: 4 }, (_, at) => batch(at, 1, t0 + at, 100_000)),
      4,
      { maxTimestampMs: t0 + 3 },
    ),
  ])
  const run = { topicId: topicA, partition: 0, firstOffset: 100, lastOffset: 104 }
  const sparse = encoded([chunk([batch(1), batch(4)], 2, { baseOffset: 100 })], run)
  const base = 5_000_000_000

  const lies: [string, Uint8Array<ArrayBuffer>, Edit[], RegExp][] = [
    ['no chunks', gathered, [['footer', 20, 4, 0]], /has 1 to 65536 chunks, not 0/],
    ['too many chunks', gathered, [['footer', 20, 4, 65_537]], /has 1 to 65536 chunks, not 65537/],
    ['another number of stretches', gathered, [['footer', 24, 4, 1]], /do not make an index/],
    ['an index elsewhere', gathered, [['footer', 0, 8, 237]], /does not end at the footer/],
    ['an index before the object', gathered, [['footer', 0, 8, -1]], /does not end at the footer/],
    ['other batches in all', gathered, [['footer', 28, 8, 4]], /The totals/],
    ['other records in all', gathered, [['footer', 36, 8, 5]], /The totals/],
    ['another largest timestamp', gathered, [['footer', 44, 8, t0]], /The totals/],
    ['a kind that is not known', gathered, [['footer', 52, 1, 2]], /Kind 2 is not known/],
    ['something where zeros are', gathered, [['footer', 55, 1, 1]], /is not known/],
    ['a row of a gathered segment', gathered, [['footer', 72, 4, 1]], /no row of a gathered/],
    ['a row that ends before it begins', merged, [['footer', 84, 8, base - 1]], /no row of a merged/],
    ['a row below 0', merged, [['footer', 76, 8, -1]], /no row of a merged/],
    ['a partition beyond 2^31', gathered, [['index', 16, 4, 2 ** 31]], /there is no partition 2147483648/],
    ['no batches', gathered, [['index', 20, 4, 0]], /0 batches are not/],
    ['more batches than fit', gathered, [['index', 20, 4, 3]], /3 batches are not 157 bytes/],
    ['a chunk elsewhere', gathered, [['index', 24, 8, 9]], /cannot lie at 9/],
    ['a chunk that goes on in the index', gathered, [['index', 32, 8, 231]], /cannot lie at 8 with 231 bytes/],
    ['a chunk beyond 2^53', gathered, [['index', 32, 8, 2n ** 53n]], /cannot lie at 8/],
    ['a chunk that ends early', gathered, [['index', 72 + 32, 8, 72]], /bytes that belong to no chunk/],
    ['no records', gathered, [['index', 40, 8, 0]], /0 records up to/],
    ['a timestamp below none', gathered, [['index', 48, 8, -2]], /up to -2 cannot be/],
    ['an offset before the commit', gathered, [['index', 56, 8, 0]], /has no offset yet/],
    ['another partition than was merged', merged, [['index', 16, 4, 8]], /not of the partition that was merged/],
    ['an offset before the row', merged, [['index', 56, 8, base - 1]], /is not within/],
    ['an offset after the row', merged, [['index', 72 + 56, 8, base + 12]], /is not within/],
    ['stretches that are not there', gathered, [['index', 72 + 68, 4, 4_000_000_000]], /has no room for/],
    [
      'entries that nobody counts',
      eight,
      [
        ['footer', 20, 4, 1],
        ['footer', 24, 4, 18],
      ],
      /goes on after its last entry/,
    ],
    ['a first stretch that does not begin the chunk', stretched, [['index', 72, 8, 1]], /stretches do not follow/],
    ['a first stretch elsewhere', stretched, [['index', 80, 8, 1]], /stretches do not follow/],
    ['a time before all others', stretched, [['index', 88, 8, t0]], /stretches do not follow/],
    ['a stretch with the offset of the one before', stretched, [['index', 100, 8, 0]], /stretches do not follow/],
    ['a stretch at the place of the one before', stretched, [['index', 108, 8, 0]], /stretches do not follow/],
    ['a stretch behind the chunk', stretched, [['index', 108, 8, 400_292]], /stretches do not follow/],
    ['a time above the chunk’s', stretched, [['index', 116, 8, t0 + 4]], /stretches do not follow/],
    ['a time below the one before', stretched, [['index', 116, 8, -2]], /stretches do not follow/],
  ]
  for (const [what, sample, edits, message] of lies)
    test(`of the index is a fault: ${what}`, () => {
      const bytes = lied(sample, edits)
      const answer = decodeSegmentTail(bytes, bytes.length, codecs)
      assert.ok(!answer.ok && answer.reason === 'damaged')
      assert.match(answer.message, message)
      assert.ok(answer.at >= 8 && answer.at < bytes.length)
    })

  const bytesLies: [string, Uint8Array<ArrayBuffer>, Edit[], RegExp][] = [
    ['a chunk that begins in the one before', merged, [['index', 72 + 56, 8, base + 4]], /lies in the chunk before/],
    ['a row that ends within its chunk', sparse, [['footer', 84, 8, 103]], /Offset 104 comes after the last, 103/],
    [
      'more records than there are',
      encoded([chunk([batch(0)], 1, { baseOffset: 0 })], { ...run, firstOffset: 0 }),
      [
        ['index', 40, 8, 2],
        ['footer', 36, 8, 2],
      ],
      /1 batches of 1 records/,
    ],
    ['a stretch that begins at another offset', stretched, [['index', 100, 8, 3]], /where 3 follows/],
    ['a stretch that begins within a batch', stretched, [['index', 108, 8, 200_000]], /There is no batch/],
    ['a stretch after another time', stretched, [['index', 116, 8, t0]], /does not go on/],
    ['other heads', gathered, [['index', 64, 4, 0]], /do not match the CRC/],
    ['other heads of a stretch', stretched, [['index', 124, 4, 0]], /match the CRC of the stretch/],
    ['other heads of all stretches', stretched, [['index', 64, 4, 0]], /match the CRC of the chunk/],
  ]
  for (const [what, sample, edits, message] of bytesLies)
    test(`is a fault when the bytes are compared with it: ${what}`, () => {
      const bytes = lied(sample, edits)
      const tail = decodeSegmentTail(bytes, bytes.length, codecs)
      assert.ok(tail.ok, tail.ok ? '' : 'message' in tail ? tail.message : '')
      const answer = checkSegment(bytes, codecs)
      assert.ok(!answer.ok)
      assert.match(answer.message, message)
    })

  test('is a fault: a gathered segment whose batches have fewer records than offsets', () => {
    const emptied = encodeBatch({ compression: 'none', records: [], lastOffsetDelta: 0 }, codecs)
    rebaseBatch(emptied, 0, 1)
    const bytes = encoded([chunk([batch(0), emptied], 1, { baseOffset: 100 })], run)
    const none = Array.from({ length: 20 }, (_, at): Edit => ['footer', 56 + at, 1, 0])
    const edits: Edit[] = [
      ...none,
      ['index', 56, 8, -1],
      ['footer', 52, 1, 0],
      ['footer', 76, 8, -1],
      ['footer', 84, 8, -1],
    ]
    const answer = checkSegment(lied(bytes, edits), codecs)
    assert.ok(!answer.ok)
    assert.match(answer.message, /1 records fill 2 offsets/)
  })

  test('about the number of chunks or stretches allocates nothing', () => {
    for (const field of [20, 24, 8, 0])
      for (const value of [0, 1, 3, 4_000_000_000]) {
        const bytes = samples[0]!.slice()
        new DataView(bytes.buffer).setUint32(bytes.length - segmentFooterBytes + field, value)
        const before = process.memoryUsage().arrayBuffers
        const answer = decodeSegmentTail(signed(bytes), bytes.length, codecs)
        assert.ok(!answer.ok || value === 0)
        assert.ok(process.memoryUsage().arrayBuffers - before < 1_000_000)
      }
  })

  test('about a chunk is told by checking its bytes', () => {
    const bytes = samples[0]!
    const first = checked(bytes).chunks[0]!
    const own = bytes.subarray(first.position, first.position + first.lengthBytes)
    assert.deepEqual(checkChunk(own, first, codecs), { ok: true, endOffset: 3 })
    const lies: Partial<SegmentIndexChunk>[] = [
      { batchCount: 3 },
      { recordCount: 4 },
      { maxTimestampMs: t0 },
      { headsCrc: first.headsCrc ^ 1 },
      { lengthBytes: first.lengthBytes - 1 },
      { stretches: [{ ...first.stretches[0]!, relativeOffset: 1 }] },
      { stretches: [{ ...first.stretches[0]!, maxTimestampBeforeMs: 0 }] },
      { stretches: [{ ...first.stretches[0]!, headsCrc: first.headsCrc ^ 1 }] },
    ]
    for (const lie of lies) assert.ok(!checkChunk(own, { ...first, ...lie }, codecs).ok, JSON.stringify(lie))
  })
})
