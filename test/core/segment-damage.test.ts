import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { crc32c } from '../../lib/core/crc32c.ts'
import { stampMaxTimestamp } from '../../lib/core/record-batch.ts'
import { checkChunk, checkSegment, encodeSegment } from '../../lib/core/segment.ts'
import {
  decodeSegmentTail,
  type SegmentIndex,
  type SegmentIndexChunk,
  segmentFooterBytes,
} from '../../lib/core/segment-index.ts'
import { batch, checked, chunk, codecs, encoded, golden, joined, t0 } from './segment-samples.ts'

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
