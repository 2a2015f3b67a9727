import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type SegmentId, segmentIdFloor } from '../../lib/core/names.ts'
import {
  type ChunkReference,
  decodeReference,
  encodeReference,
  isInlineReference,
  isReference,
  segmentOfReference,
} from '../../lib/core/reference.ts'

const segment = '0lojz1s0kabcdefghijk' as SegmentId

describe('a chunk reference', () => {
  test('is written as it was when it was new', () => {
    const place = { segment, position: 8, lengthBytes: 157, maxTimestampMs: 1_700_000_000_005 }
    assert.equal(encodeReference(place), '0lojz1s0kabcdefghijk.8.4d.loyw3v2d')
    const none = { segment, position: 165, lengthBytes: 73, maxTimestampMs: -1 }
    assert.equal(encodeReference(none), '0lojz1s0kabcdefghijk.4l.21.-1')
  })

  test('of an inline chunk has no position', () => {
    const place = { segment, position: 0, lengthBytes: 73, maxTimestampMs: 5, isInline: true } as const
    const reference = encodeReference(place)
    assert.equal(reference, '0lojz1s0kabcdefghijk.~.21.5')
    assert.deepEqual(decodeReference(reference), place)
    assert.ok(isInlineReference(reference) && isReference(reference))
    assert.equal(isInlineReference('0lojz1s0kabcdefghijk.0.21.5' as ChunkReference), false)
    for (const damaged of [
      '0lojz1s0kabcdefghijk.~~.21.5',
      '0lojz1s0kabcdefghijk.~1.21.5',
      '0lojz1s0kabcdefghijk.~.0.5',
    ])
      assert.throws(() => decodeReference(damaged as ChunkReference), /damaged chunk reference/)
  })

  test('gives back the place that it was made of', () => {
    const place = fc.record(
      {
        segment: fc.integer({ min: 0, max: 2 ** 40 }).map((ms) => segmentIdFloor(ms)),
        position: fc.maxSafeNat(),
        lengthBytes: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
        maxTimestampMs: fc.maxSafeInteger(),
      },
      { noNullPrototype: true },
    )
    const property = fc.property(place, (value) => {
      const reference = encodeReference(value)
      assert.deepEqual(decodeReference(reference), value)
      assert.equal(segmentOfReference(reference), value.segment)
    })
    fc.assert(property)
  })

  test('of a merged segment beyond 4 GiB is exact', () => {
    const place = { segment, position: 2 ** 32 + 1, lengthBytes: 2 ** 31 + 1, maxTimestampMs: 0 }
    assert.deepEqual(decodeReference(encodeReference(place)), place)
  })

  test('is short: 50 characters for a place in a flush of 4 MiB', () => {
    const place = { segment, position: 4_194_303, lengthBytes: 4_194_303, maxTimestampMs: 1_700_000_000_000 }
    assert.ok(encodeReference(place).length <= 50)
  })

  test('that no writer made is damage, not a place', () => {
    const damaged = [
      '',
      segment,
      `${segment}.8.4d`,
      `${segment}.8.4d.0.0`,
      `${segment}..4d.0`,
      `${segment}.8..0`,
      `${segment}.8.4d.`,
      `${segment}.-1.4d.0`,
      `${segment}.8.0.0`,
      `${segment}.8.-1.0`,
      `${segment}.8!.4d.0`,
      `${segment}. 8.4d.0`,
      `${segment}.+8.4d.0`,
      `${segment}.08.4d.0`,
      `${segment}.8.4D.0`,
      `${segment}.8.4d.-0`,
      `${segment}.8.4d.1_0`,
      `${segment}.zzzzzzzzzzzz.4d.0`,
      `${segment.slice(1)}.8.4d.0`,
      `${segment.toUpperCase()}.8.4d.0`,
    ]
    for (const text of damaged)
      assert.throws(() => decodeReference(text as ChunkReference), /damaged chunk reference/, text)
  })

  test('either is damage or is what its place is written as', () => {
    const valid = '0lojz1s0kabcdefghijk.8.4d.loyw3v2d'
    const property = fc.property(fc.nat(valid.length - 1), fc.string({ minLength: 0, maxLength: 2 }), (at, put) => {
      const text = (valid.slice(0, at) + put + valid.slice(at + 1)) as ChunkReference
      let place: ReturnType<typeof decodeReference>
      try {
        place = decodeReference(text)
      } catch (error) {
        assert.match(String(error), /damaged chunk reference/)
        return
      }
      assert.equal(encodeReference(place), text)
    })
    fc.assert(property, { numRuns: 1000 })
  })
})
