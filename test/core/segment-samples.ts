/** Batches, chunks and whole segments for the tests of the format. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Codecs } from '../../lib/core/codec.ts'
import { crc32c } from '../../lib/core/crc32c.ts'
import { topicIdFromRandom } from '../../lib/core/names.ts'
import { encodeBatch, rebaseBatch } from '../../lib/core/record-batch.ts'
import { checkSegment, encodeSegment, type SegmentChunkInput } from '../../lib/core/segment.ts'
import type { MergedRun, SegmentIndex } from '../../lib/core/segment-index.ts'

/** Segments never compress. */
export const codecs: Codecs = {
  crc32c,
  compress: (_type, bytes) => bytes,
  decompress: (_type, bytes) => ({ ok: true, bytes }),
}

export const t0 = 1_700_000_000_000
export const topicA = topicIdFromRandom(Uint8Array.from({ length: 16 }, (_, index) => index))
export const topicB = topicIdFromRandom(Uint8Array.from({ length: 16 }, (_, index) => 32 + index))
export const text = (string: string) => new TextEncoder().encode(string)

/** A batch of `count` records at a relative offset, `valueBytes` of value in the first. */
export function batch(offset: number, count = 1, timestampMs = t0, valueBytes = 3): Uint8Array {
  const records = Array.from({ length: count }, (_, index) => ({
    timestampMs,
    key: null,
    value: new Uint8Array(index === 0 ? valueBytes : 0),
  }))
  const bytes = encodeBatch({ records, compression: 'none' }, codecs)
  rebaseBatch(bytes, 0, offset)
  return bytes
}

export function chunk(
  batches: Uint8Array[],
  recordCount: number,
  over: Partial<SegmentChunkInput> = {},
): SegmentChunkInput {
  return { topicId: topicA, partition: 0, batches, recordCount, maxTimestampMs: t0, ...over }
}

export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

export function encoded(chunks: readonly SegmentChunkInput[], merged?: MergedRun): Uint8Array<ArrayBuffer> {
  return joined(encodeSegment(chunks, codecs, merged).parts)
}

export function checked(bytes: Uint8Array): SegmentIndex {
  const answer = checkSegment(bytes, codecs)
  assert.ok(answer.ok, answer.ok ? '' : `${answer.message} (at ${answer.at})`)
  return answer.index
}

/** The two golden segments, as they were written when the version was new. */
export function golden(name: string): Uint8Array<ArrayBuffer> {
  const lines = readFileSync(new URL(`golden/${name}`, import.meta.url), 'utf8').split('\n')
  const hex = lines.map((line) => line.replace(/#.*/, '').trim()).join('')
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))
}

export const goldenChunks: SegmentChunkInput[] = [
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

export const mergedRun = { topicId: topicA, partition: 7, firstOffset: 5_000_000_000, lastOffset: 5_000_000_011 }

export const mergedChunks: SegmentChunkInput[] = [
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

export function based(offset: number, bytes: Uint8Array): Uint8Array {
  rebaseBatch(bytes, 0, offset)
  return bytes
}
