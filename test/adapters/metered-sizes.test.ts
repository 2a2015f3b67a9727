/** The sizes that a meter reckons without making attributes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeHead, encodeItem } from '../../lib/adapters/aws/dynamodb-attributes.ts'
import { attributesBytes, headBytes, itemBytes } from '../../lib/adapters/aws/dynamodb-size.ts'
import { type Head, newHead } from '../../lib/core/head.ts'
import type { SegmentId } from '../../lib/core/names.ts'
import { newKey } from '../conformance/metadata-fixture.ts'

const offset = fc.oneof(fc.maxSafeNat(), fc.nat(), fc.constantFrom(0, 10, 1_000, 120_000, 4_294_967_296))
const state = fc.record({
  epoch: fc.nat(40),
  batches: fc.array(fc.record({ first: fc.nat(), last: fc.nat(), base: offset }), { minLength: 1, maxLength: 5 }),
})
const anyHead: fc.Arbitrary<Head> = fc
  .record({
    partition: fc.nat(20_000),
    numbers: fc.record({
      hw: offset,
      start: offset,
      rolls: offset,
      boundary: offset,
      producerFloor: offset,
      leaseEpoch: offset,
    }),
    tail: fc.dictionary(fc.stringMatching(/^[0-9a-z]{20}\.[0-9a-z]{1,9}\.[0-9a-z]{1,9}\.-?[0-9a-z]{1,9}$/), offset),
    producers: fc.dictionary(fc.string({ minLength: 1, maxLength: 12 }), state),
    lease: fc.option(fc.record({ owner: fc.string(), epoch: fc.nat(), untilMs: fc.nat(), isExclusive: fc.boolean() }), {
      nil: undefined,
    }),
    cleanedTo: fc.option(offset, { nil: undefined }),
    minSegment: fc.constantFrom('', '0mz00000000000000000' as SegmentId),
    isDeleted: fc.boolean(),
  })
  .map(
    ({ partition, numbers, lease, cleanedTo, ...rest }) =>
      ({
        ...newHead({ ...newKey(), partition }),
        ...numbers,
        ...rest,
        ...(lease === undefined ? {} : { lease }),
        ...(cleanedTo === undefined ? {} : { cleanedTo }),
      }) as Head,
  )

test('the size of a head or an item is that of its attributes, whatever it holds', () => {
  fc.assert(fc.property(anyHead, (head) => assert.equal(headBytes(head), attributesBytes(encodeHead(head)))))
  fc.assert(
    fc.property(
      fc.string(),
      fc.string(),
      fc.jsonValue(),
      fc.option(fc.uint8Array(), { nil: undefined }),
      (collection, sort, value, bytes) => {
        const item = {
          key: { collection, sort },
          version: 'v1',
          value: value as never,
          ...(bytes === undefined ? {} : { bytes }),
        }
        assert.equal(itemBytes(item), attributesBytes(encodeItem({ ...item, op: 'put', if: 'absent' })))
      },
    ),
  )
})
