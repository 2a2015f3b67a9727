import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeHead, encodeItem } from '../../lib/adapters/aws/dynamodb-attributes.ts'
import { attributesBytes } from '../../lib/adapters/aws/dynamodb-size.ts'
import { writeUnitsOf } from '../../lib/core/cost.ts'
import type { Head } from '../../lib/core/head.ts'
import {
  headBytesWithoutTail,
  headProducersMax,
  newHead,
  tailEntriesMax,
  tailEntriesToRoll,
  tailEntryBytes,
  wantsRoll,
} from '../../lib/core/head.ts'
import { inlineKey } from '../../lib/core/items.ts'
import type { ProducerKey, SegmentId } from '../../lib/core/names.ts'
import { inlineItemOverheadBytes } from '../../lib/core/placement.ts'
import type { ProducerState } from '../../lib/core/producer.ts'
import type { ChunkReference } from '../../lib/core/reference.ts'
import { newKey } from '../conformance/metadata-fixture.ts'

test('names and texts count their UTF-8 bytes, numbers half their digits and one, maps 3 and one for each entry', () => {
  assert.equal(attributesBytes({ pk: { S: 'a' } }), 3)
  assert.equal(attributesBytes({ ü: { S: '€' } }), 5)
  for (const [number, bytes] of [
    ['0', 1],
    ['7', 2],
    ['1000', 2],
    ['1010', 3],
    ['12345', 4],
    ['-12345', 5],
    ['0.05', 2],
    ['1e21', 2],
  ] as const)
    assert.equal(attributesBytes({ n: { N: number } }), 1 + bytes, number)
  assert.equal(attributesBytes({ f: { BOOL: true } }), 2)
  assert.equal(attributesBytes({ b: { B: new Uint8Array(300) } }), 301)
  assert.equal(attributesBytes({ m: { M: {} } }), 4)
  assert.equal(attributesBytes({ m: { M: { x: { N: '1' }, y: { S: 'yy' } } } }), 4 + (1 + 1 + 2) + (1 + 1 + 2))
  assert.equal(attributesBytes({ l: { L: [{ S: 'a' }, { S: 'b' }] } }), 4 + 2 + 2)
})

const references = (count: number): [ChunkReference, number][] =>
  Array.from({ length: count }, (_, index) => [
    `0mz${String(index).padStart(17, '0')}.1sayo.255s.mhzqfk00` as ChunkReference,
    4_999_999_000 + index,
  ])
const fullState: ProducerState = {
  epoch: 12,
  batches: Array.from({ length: 5 }, (_, index) => ({
    first: 1_000_000 + index * 500,
    last: 1_000_499 + index * 500,
    base: 4_000_000_000 + index * 500,
  })),
}

/** The same heads are billed by DynamoDB Local in test/aws/cost.aws.ts. */
test('heads weigh what DynamoDB was measured to bill: 1 unit, 2 with all producers and a lease, 4 with a full tail', () => {
  const unitsOf = (head: Head) => writeUnitsOf(attributesBytes(encodeHead(head)))
  const head = { ...newHead(newKey()), hw: 5_000_000_000 }
  const toRoll = Array.from({ length: 20 }, (_, count) => count).find((count) =>
    wantsRoll({ ...head, tail: Object.fromEntries(references(count)) }),
  )
  assert.equal(toRoll, 9)
  assert.equal(unitsOf({ ...head, tail: Object.fromEntries(references(2 * toRoll)) }), 1)
  const producers = Array.from({ length: headProducersMax }, (_, index) => [String(1_000_000 + index), fullState])
  const heavy: Head = {
    ...head,
    start: 4_000_000_000,
    boundary: 4_999_999_000,
    rolls: 600_000,
    tail: Object.fromEntries(references(2 * tailEntriesToRoll.heavy)),
    producers: Object.fromEntries(producers) as Record<ProducerKey, ProducerState>,
    lease: { owner: 'x'.repeat(36), epoch: 1_000, untilMs: 1_800_000_000_000, isExclusive: false },
    leaseEpoch: 1_000,
    minSegment: '0mz00000000000000000' as SegmentId,
  }
  assert.equal(unitsOf(heavy), 2)
  assert.equal(unitsOf({ ...head, tail: Object.fromEntries(references(tailEntriesMax)) }), 4)
})

test('what the rule of rolls takes a head for is at least what it weighs, and little more: entries are put off only within one write unit', () => {
  const number = fc.integer({ min: 0, max: 2 ** 31 - 1 })
  const offset = fc.integer({ min: 0, max: 99_999_999_999 })
  const state = fc.record({
    epoch: fc.integer({ min: 0, max: 32_767 }),
    batches: fc.array(fc.record({ first: number, last: number, base: offset }), { minLength: 1, maxLength: 5 }),
  })
  fc.assert(
    fc.property(
      fc.record({
        hw: offset,
        start: offset,
        boundary: offset,
        rolls: number,
        producerFloor: number,
        leaseEpoch: number,
        cleanedTo: offset,
      }),
      fc.array(fc.tuple(number, state), { maxLength: headProducersMax }),
      fc.boolean(),
      offset,
      (numbers, producers, isLed, base) => {
        const head: Head = {
          ...newHead({ ...newKey(), partition: 9_999 }),
          ...numbers,
          minSegment: '0mz00000000000000000' as SegmentId,
          producers: Object.fromEntries(producers.map(([id, of]) => [String(id), of])) as Record<
            ProducerKey,
            ProducerState
          >,
          ...(isLed && {
            lease: { owner: 'x'.repeat(36), epoch: 32_000, untilMs: 1_800_000_000_123, isExclusive: true },
          }),
        }
        const bytesOf = (of: Head) => attributesBytes(encodeHead(of))
        const spareBytes = headBytesWithoutTail(head) - bytesOf(head)
        assert.ok(spareBytes >= 0 && spareBytes < 20 + 60 * producers.length, `${spareBytes} bytes`)
        const [[ref] = ['']] = references(1)
        const entry = bytesOf({ ...head, tail: { [ref]: base } }) - bytesOf(head)
        assert.ok(entry <= ref.length + tailEntryBytes({ ...head, hw: base }))
      },
    ),
  )
})

test('what the placement adds to an inline chunk is at least what its item adds, and little more', () => {
  const itemBytes = (partition: number, recordCount: number) =>
    attributesBytes(
      encodeItem({
        op: 'put',
        key: inlineKey(newKey().topicId, partition, '0mz00000000000000000' as SegmentId),
        version: 'x'.repeat(20),
        value: { recordCount },
        bytes: new Uint8Array(0),
        if: 'absent',
      }),
    )
  assert.ok(itemBytes(9_999, 4_000_000) <= inlineItemOverheadBytes)
  assert.ok(inlineItemOverheadBytes - itemBytes(0, 1) < 60, `${itemBytes(0, 1)} bytes`)
})
