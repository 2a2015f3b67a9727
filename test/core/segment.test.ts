import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { TopicId } from '../../lib/core/names.ts'
import {
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
import {
  batch,
  checked,
  chunk,
  codecs,
  encoded,
  golden,
  goldenChunks,
  joined,
  mergedChunks,
  mergedRun,
  t0,
  text,
  topicA,
  topicB,
} from './segment-samples.ts'

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
