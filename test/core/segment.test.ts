import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Codecs } from '../../lib/core/codec.ts'
import { crc32c } from '../../lib/core/crc32c.ts'
import { type TopicId, topicIdFromRandom } from '../../lib/core/names.ts'
import { encodeBatch, rebaseBatch, stampMaxTimestamp } from '../../lib/core/record-batch.ts'
import {
  checkChunk,
  checkSegment,
  checkStretch,
  encodeSegment,
  type SegmentChunkInput,
  segmentObjectBytesMax,
  segmentPartitions,
  segmentTailBytes,
  stretchAtOffset,
  stretchAtTime,
} from '../../lib/core/segment.ts'
import {
  decodeSegmentTail,
  type MergedRun,
  type SegmentIndex,
  type SegmentIndexChunk,
  segmentChunksMax,
  segmentFooterBytes,
  stretchBytesMin,
  stretchedChunkBytesMin,
} from '../../lib/core/segment-index.ts'

/** Segments never compress. */
const codecs: Codecs = {
  crc32c,
  compress: (_type, bytes) => bytes,
  decompress: (_type, bytes) => ({ ok: true, bytes }),
}

const t0 = 1_700_000_000_000
const topicA = topicIdFromRandom(Uint8Array.from({ length: 16 }, (_, index) => index))
const topicB = topicIdFromRandom(Uint8Array.from({ length: 16 }, (_, index) => 32 + index))
const text = (string: string) => new TextEncoder().encode(string)

/** A batch of `count` records at a relative offset, `valueBytes` of value in the first. */
function batch(offset: number, count = 1, timestampMs = t0, valueBytes = 3): Uint8Array {
  const records = Array.from({ length: count }, (_, index) => ({
    timestampMs,
    key: null,
    value: new Uint8Array(index === 0 ? valueBytes : 0),
  }))
  const bytes = encodeBatch({ records, compression: 'none' }, codecs)
  rebaseBatch(bytes, 0, offset)
  return bytes
}

function chunk(batches: Uint8Array[], recordCount: number, over: Partial<SegmentChunkInput> = {}): SegmentChunkInput {
  return { topicId: topicA, partition: 0, batches, recordCount, maxTimestampMs: t0, ...over }
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

function encoded(chunks: readonly SegmentChunkInput[], merged?: MergedRun): Uint8Array<ArrayBuffer> {
  return joined(encodeSegment(chunks, codecs, merged).parts)
}

function checked(bytes: Uint8Array): SegmentIndex {
  const answer = checkSegment(bytes, codecs)
  assert.ok(answer.ok, answer.ok ? '' : `${answer.message} (at ${answer.at})`)
  return answer.index
}

/** The two golden segments, as they were written when the version was new. */
function golden(name: string): Uint8Array<ArrayBuffer> {
  const lines = readFileSync(new URL(`golden/${name}`, import.meta.url), 'utf8').split('\n')
  const hex = lines.map((line) => line.replace(/#.*/, '').trim()).join('')
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))
}

const goldenChunks: SegmentChunkInput[] = [
  chunk(
    [
      encodeBatch(
        {
          compression: 'none',
          records: [
            { timestampMs: t0, key: text('k1'), value: text('one') },
            { timestampMs: t0 + 5, key: null, value: text('two'), headers: [{ key: 'h', value: text('v') }] },
          ],
        },
        codecs,
      ),
      based(
        2,
        encodeBatch(
          {
            compression: 'none',
            producerId: 4711,
            producerEpoch: 2,
            baseSequence: 7,
            records: [{ timestampMs: t0 + 3, key: text('k1'), value: null }],
          },
          codecs,
        ),
      ),
    ],
    3,
    { maxTimestampMs: t0 + 5 },
  ),
  chunk(
    [encodeBatch({ compression: 'none', records: [{ timestampMs: -1, key: null, value: text('three') }] }, codecs)],
    1,
    { topicId: topicB, partition: 9999, maxTimestampMs: -1 },
  ),
]

const mergedRun = { topicId: topicA, partition: 7, firstOffset: 5_000_000_000, lastOffset: 5_000_000_011 }

const mergedChunks: SegmentChunkInput[] = [
  chunk(
    [
      encodeBatch(
        {
          compression: 'none',
          records: [{ timestampMs: t0 + 5, key: text('k2'), value: text('two') }],
          offsetDeltas: [1],
        },
        codecs,
      ),
      based(
        4,
        encodeBatch(
          { compression: 'none', records: [{ timestampMs: t0 + 3, key: text('k1'), value: text('x') }] },
          codecs,
        ),
      ),
    ],
    2,
    { partition: 7, baseOffset: 5_000_000_000, maxTimestampMs: t0 + 5 },
  ),
  chunk(
    [
      encodeBatch(
        {
          compression: 'none',
          records: [],
          lastOffsetDelta: 0,
          producerId: 4711,
          producerEpoch: 2,
          baseSequence: 7,
        },
        codecs,
      ),
    ],
    0,
    { partition: 7, baseOffset: 5_000_000_010, maxTimestampMs: -1 },
  ),
]

function based(offset: number, bytes: Uint8Array): Uint8Array {
  rebaseBatch(bytes, 0, offset)
  return bytes
}

describe('a segment of version 1', () => {
  test('is read as it was written when the version was new', () => {
    const bytes = golden('segment-v1.hex')
    assert.equal(bytes.length, 486)
    const whole = (position: number, lengthBytes: number, headsCrc: number) => [
      { position, lengthBytes, relativeOffset: 0, maxTimestampBeforeMs: -1, headsCrc },
    ]
    assert.deepEqual(checked(bytes), {
      kind: 'gathered',
      chunks: [
        {
          topicId: 'AAECAwQFBgcICQoLDA0ODw',
          partition: 0,
          batchCount: 2,
          position: 8,
          lengthBytes: 157,
          recordCount: 3,
          maxTimestampMs: t0 + 5,
          baseOffset: -1,
          headsCrc: 3716523201,
          stretches: whole(8, 157, 3716523201),
        },
        {
          topicId: 'ICEiIyQlJicoKSorLC0uLw',
          partition: 9999,
          batchCount: 1,
          position: 165,
          lengthBytes: 73,
          recordCount: 1,
          maxTimestampMs: -1,
          baseOffset: -1,
          headsCrc: 957874600,
          stretches: whole(165, 73, 957874600),
        },
      ],
      batchCount: 3,
      recordCount: 4,
      maxTimestampMs: t0 + 5,
      sizeBytes: 486,
    } satisfies Record<keyof SegmentIndex | string, unknown>)
  })

  test('is written byte for byte as it was when the version was new', () => {
    assert.deepEqual(encoded(goldenChunks), golden('segment-v1.hex'))
    assert.deepEqual(encoded(mergedChunks, mergedRun), golden('segment-v1-merged.hex'))
  })

  test('that a merge wrote names the row it was written for and the offsets of its chunks', () => {
    const index = checked(golden('segment-v1-merged.hex'))
    assert.equal(index.kind, 'merged')
    assert.deepEqual(index.merged, mergedRun)
    assert.deepEqual(
      index.chunks.map(({ baseOffset, recordCount }) => ({ baseOffset, recordCount })),
      [
        { baseOffset: 5_000_000_000, recordCount: 2 },
        { baseOffset: 5_000_000_010, recordCount: 0 },
      ],
    )
  })

  test('has the buffers of the batches in it, not copies, and tells where each chunk lies', () => {
    const batches = [batch(0), batch(1), batch(0, 4)]
    const plan = encodeSegment(
      [chunk(batches.slice(0, 2), 2), chunk(batches.slice(2), 4, { partition: 3, topicId: topicB })],
      codecs,
    )
    assert.equal(plan.parts.length, 5)
    for (const [index, bytes] of batches.entries()) assert.equal(plan.parts[index + 1], bytes)
    const bytes = joined(plan.parts)
    assert.equal(bytes.length, plan.sizeBytes)
    const read = checked(bytes)
    assert.deepEqual(plan.chunks, read.chunks)
    const second = plan.chunks[1]!
    assert.deepEqual(bytes.subarray(second.position, second.position + second.lengthBytes), batches[2])
  })

  test('takes several batches in one buffer as it takes them one by one', () => {
    const batches = [batch(0), batch(1, 2), batch(3)]
    assert.deepEqual(encoded([chunk([joined(batches)], 4)]), encoded([chunk(batches, 4)]))
  })

  test('names each partition once for the sweep', () => {
    const index = checked(
      encoded([
        chunk([batch(0)], 1, { partition: 2 }),
        chunk([batch(0)], 1, { topicId: topicB, partition: 2 }),
        chunk([batch(0)], 1, { partition: 2 }),
        chunk([batch(0)], 1, { partition: 1 }),
      ]),
    )
    assert.deepEqual(segmentPartitions(index), [
      { topicId: topicA, partition: 2 },
      { topicId: topicB, partition: 2 },
      { topicId: topicA, partition: 1 },
    ])
  })

  test('of another version is refused with both numbers', () => {
    const foot = golden('segment-v1.hex')
    foot[foot.length - 5] = 2
    assert.deepEqual(decodeSegmentTail(foot, foot.length, codecs), {
      ok: false,
      reason: 'unknown-version',
      message: 'The segment has version 2; this reader knows version 1.',
      at: 486 - 6,
    })
    const head = golden('segment-v1.hex')
    head[6] = 1
    const answer = checkSegment(head, codecs)
    assert.ok(!answer.ok && answer.reason === 'unknown-version')
    assert.match(answer.message, /version 257.*version 1\./)
  })

  test('is told from other objects', () => {
    for (const bytes of [new Uint8Array(0), text('{"a": 1}'), new Uint8Array(1000), batch(0)]) {
      const answer = checkSegment(bytes, codecs)
      assert.ok(!answer.ok && answer.reason === 'not-a-segment')
      const tail = decodeSegmentTail(bytes, bytes.length, codecs)
      assert.ok(!tail.ok && tail.reason === 'not-a-segment')
    }
  })
})

describe('the end of a segment', () => {
  const many = encoded(Array.from({ length: 50 }, (_, partition) => chunk([batch(0)], 1, { partition })))

  test('tells from the footer alone how many bytes the index needs', () => {
    const answer = decodeSegmentTail(many.subarray(many.length - segmentFooterBytes), many.length, codecs)
    const needBytes = segmentFooterBytes + 50 * 72
    assert.deepEqual(answer, { ok: false, reason: 'need-more', needBytes })
    const again = decodeSegmentTail(many.subarray(many.length - needBytes), many.length, codecs)
    assert.deepEqual(again, { ok: true, index: checked(many) })
  })

  test('is asked for as a whole when less than the footer was read', () => {
    const answer = decodeSegmentTail(many.subarray(many.length - segmentFooterBytes + 1), many.length, codecs)
    assert.deepEqual(answer, { ok: false, reason: 'need-more', needBytes: segmentFooterBytes })
  })

  test('answers the same for every number of bytes that is enough', () => {
    const index = checked(many)
    for (let length = 0; length <= many.length; length++) {
      const answer = decodeSegmentTail(many.subarray(many.length - length), many.length, codecs)
      if (length >= segmentFooterBytes + 50 * 72) assert.deepEqual(answer, { ok: true, index })
      else assert.equal(answer.ok ? 'ok' : answer.reason, 'need-more')
    }
  })

  test('of 900 chunks fits the bytes that are read at first', () => {
    const bytes = encoded(Array.from({ length: 900 }, (_, partition) => chunk([batch(0)], 1, { partition })))
    assert.ok(decodeSegmentTail(bytes.subarray(bytes.length - segmentTailBytes), bytes.length, codecs).ok)
  })
})

describe('the limits of a segment', () => {
  test(`are ${segmentChunksMax} chunks`, () => {
    const one = chunk([batch(0)], 1)
    for (const count of [segmentChunksMax - 1, segmentChunksMax]) {
      const plan = encodeSegment(new Array(count).fill(one), codecs)
      const end = plan.parts.at(-1)!
      const answer = decodeSegmentTail(end, plan.sizeBytes, codecs)
      assert.ok(answer.ok && answer.index.chunks.length === count)
    }
    assert.throws(() => encodeSegment(new Array(segmentChunksMax + 1).fill(one), codecs), /65537/)
    assert.throws(() => encodeSegment([], codecs), /0 chunks/)
  })

  test('are 5 GiB, and places beyond 2 and 4 GiB are exact', () => {
    // The same 64 MiB are in every chunk: only heads of batches are read, so this costs no memory.
    const large = headOnly(64 * 2 ** 20)
    const chunks = new Array<SegmentChunkInput>(79).fill(chunk([large], 1))
    const taken = 8 + 79 * large.length + 80 * (72 + 28) + segmentFooterBytes
    const withLast = (sizeBytes: number) => encodeSegment([...chunks, chunk([headOnly(sizeBytes - taken)], 1)], codecs)
    assert.equal(withLast(segmentObjectBytesMax - 1).sizeBytes, segmentObjectBytesMax - 1)
    assert.throws(() => withLast(segmentObjectBytesMax + 1), /5368709121 bytes/)
    const plan = withLast(segmentObjectBytesMax)
    assert.equal(plan.sizeBytes, 5_368_709_120)
    const answer = decodeSegmentTail(plan.parts.at(-1)!, plan.sizeBytes, codecs)
    assert.ok(answer.ok)
    assert.deepEqual(answer.index.chunks, plan.chunks)
    for (const [index, { position, lengthBytes }] of answer.index.chunks.entries()) {
      assert.equal(position, 8 + index * 64 * 2 ** 20)
      if (index < 79) assert.equal(lengthBytes, 64 * 2 ** 20)
    }
    assert.ok(answer.index.chunks.some(({ position }) => position > 2 ** 32))
  })

  /** What the encoder reads of a batch of this size, and zeros. */
  function headOnly(sizeBytes: number): Uint8Array {
    const bytes = new Uint8Array(sizeBytes)
    bytes.set(batch(0).subarray(0, 61))
    new DataView(bytes.buffer).setInt32(8, sizeBytes - 12)
    return bytes
  }
})

describe('the encoder refuses what no caller may give', () => {
  const gathered: [string, SegmentChunkInput][] = [
    ['no batches', chunk([], 0)],
    ['an empty buffer', chunk([new Uint8Array(0)], 0)],
    ['less than a batch', chunk([batch(0).subarray(0, 60)], 1)],
    ['a batch that is cut off', chunk([batch(0).subarray(0, -1)], 1)],
    ['bytes behind the last batch', chunk([joined([batch(0), new Uint8Array(1)])], 1)],
    ['another message format', chunk([batch(0).map((byte, at) => (at === 16 ? 1 : byte))], 1)],
    ['a first batch that does not begin at 0', chunk([batch(1)], 1)],
    ['a gap between batches', chunk([batch(0), batch(2)], 2)],
    ['a batch twice', chunk([batch(0), batch(0)], 2)],
    ['fewer records than said', chunk([batch(0)], 2)],
    ['more records than said', chunk([batch(0, 2)], 1)],
    ['another largest timestamp than said', chunk([batch(0)], 1, { maxTimestampMs: t0 + 1 })],
    ['a base offset before the commit', chunk([batch(0)], 1, { baseOffset: 0 })],
    ['a partition below 0', chunk([batch(0)], 1, { partition: -1 })],
    ['a topic id that is none', chunk([batch(0)], 1, { topicId: 'orders' as TopicId })],
    ['a topic id with a digit that is none', chunk([batch(0)], 1, { topicId: 'A.ECAwQFBgcICQoLDA0ODw' as TopicId })],
    ['a topic id of 23 digits', chunk([batch(0)], 1, { topicId: `${topicA}A` as TopicId })],
  ]
  for (const [what, input] of gathered)
    test(what, () => assert.throws(() => encodeSegment([input], codecs), RangeError))

  const run: MergedRun = { topicId: topicA, partition: 0, firstOffset: 100, lastOffset: 109 }
  const merged: [string, SegmentChunkInput[]][] = [
    ['a merged chunk without its offset', [chunk([batch(0)], 1)]],
    ['a merged chunk before the run', [chunk([batch(0)], 1, { baseOffset: 99 })]],
    ['a merged chunk that goes on after the run', [chunk([batch(0), batch(9)], 2, { baseOffset: 101 })]],
    ['a merged chunk of another partition', [chunk([batch(0)], 1, { baseOffset: 100, partition: 1 })]],
    [
      'merged chunks that overlap',
      [chunk([batch(0), batch(5)], 2, { baseOffset: 100 }), chunk([batch(0)], 1, { baseOffset: 105 })],
    ],
    ['merged batches that overlap', [chunk([batch(0, 3), batch(2)], 4, { baseOffset: 100 })]],
  ]
  for (const [what, inputs] of merged)
    test(what, () => assert.throws(() => encodeSegment(inputs, codecs, run), RangeError))

  test('but a client’s timestamp before 1970 counts as none', () => {
    const index = checked(encoded([chunk([batch(0, 1, -5)], 1, { maxTimestampMs: -5 })]))
    assert.equal(index.maxTimestampMs, -1)
  })
})

describe('a chunk', () => {
  /** One chunk of exactly this many bytes, in batches of about 64 KiB. */
  function sized(lengthBytes: number): SegmentIndexChunk {
    const batches: Uint8Array[] = []
    let left = lengthBytes
    while (left > 0) {
      const size = left < 100_000 ? left : 65_536
      const overhead = batch(0, 1, t0, size).length - size
      batches.push(batch(batches.length, 1, t0, size - overhead))
      left -= size
    }
    const only = checked(encoded([chunk(batches, batches.length)])).chunks[0]!
    assert.equal(only.lengthBytes, lengthBytes)
    return only
  }

  test('of up to 256 KiB is one stretch', () => {
    for (const lengthBytes of [stretchedChunkBytesMin - 1, stretchedChunkBytesMin]) {
      const only = sized(lengthBytes)
      assert.deepEqual(only.stretches, [
        { position: 8, lengthBytes, relativeOffset: 0, maxTimestampBeforeMs: -1, headsCrc: only.headsCrc },
      ])
    }
  })

  test('of more than 256 KiB has a stretch for each 128 KiB', () => {
    const only = sized(stretchedChunkBytesMin + 1)
    assert.deepEqual(
      only.stretches.map(({ position, lengthBytes, relativeOffset }) => [position, lengthBytes, relativeOffset]),
      [
        [8, stretchBytesMin, 0],
        [8 + stretchBytesMin, stretchBytesMin + 1, 2],
      ],
    )
  })

  test('that is one large batch is one stretch', () => {
    const only = checked(encoded([chunk([batch(0, 1, t0, 400_000)], 1)])).chunks[0]!
    assert.equal(only.stretches.length, 1)
    assert.equal(only.stretches[0]!.lengthBytes, only.lengthBytes)
  })

  test('of a merge is found by offset and by time without reading it whole', () => {
    const batches = fc.array(
      fc.record({
        gap: fc.nat(3),
        count: fc.integer({ min: 1, max: 5 }),
        timestampMs: fc.nat(20),
        valueBytes: fc.nat(90_000),
      }),
      { minLength: 1, maxLength: 30 },
    )
    const property = fc.property(batches, (drawn) => {
      let offset = 0
      let recordCount = 0
      const written = drawn.map(({ gap, count, timestampMs, valueBytes }) => {
        const at = offset + gap
        offset = at + count
        recordCount += count
        return { at, end: offset, timestampMs, bytes: batch(at, count, timestampMs, valueBytes) }
      })
      const maxTimestampMs = Math.max(...drawn.map(({ timestampMs }) => timestampMs))
      const bytes = encoded(
        [
          chunk(
            written.map((one) => one.bytes),
            recordCount,
            { baseOffset: 1000, maxTimestampMs },
          ),
        ],
        { topicId: topicA, partition: 0, firstOffset: 1000, lastOffset: 1000 + offset },
      )
      const only = checked(bytes).chunks[0]!
      let position = 8
      const places = written.map((one) => {
        const place = { ...one, position }
        position += one.bytes.length
        return place
      })
      assert.equal(
        only.stretches.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
        only.lengthBytes,
      )
      for (const stretch of only.stretches) {
        const read = bytes.slice(stretch.position, stretch.position + stretch.lengthBytes)
        assert.deepEqual(checkStretch(read, only, stretch, codecs), { ok: true })
        read[read.length >>> 1]! ^= 1
        assert.ok(!checkStretch(read, only, stretch, codecs).ok)
        assert.ok(!checkStretch(read.subarray(1), only, stretch, codecs).ok)
      }
      // The batch looked for begins in the stretch that was found, or no batch up to its end has what was looked for.
      const isIn = (at: number, stretch: { position: number; lengthBytes: number }) =>
        at >= stretch.position && at < stretch.position + stretch.lengthBytes
      for (let wanted = 0; wanted < offset; wanted++) {
        const stretch = stretchAtOffset(only, wanted)
        const found = places.find(({ end }) => end > wanted)!
        if (found.at <= wanted) assert.ok(isIn(found.position, stretch))
        else assert.ok(found.position >= stretch.position)
      }
      for (let wanted = -1; wanted <= 21; wanted++) {
        const stretch = stretchAtTime(only, wanted)
        const found = places.find(({ timestampMs }) => timestampMs >= wanted)
        if (found === undefined) assert.equal(stretch, undefined)
        else assert.ok(stretch !== undefined && isIn(found.position, stretch))
      }
    })
    fc.assert(property, { numRuns: 40 })
  })
})

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
