/** How heads lie in the table; needs no engine. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeHead, encodeHead, newestBase, stateText } from '../../lib/adapters/aws/dynamodb-attributes.ts'
import type { Head } from '../../lib/core/head.ts'
import { newHead } from '../../lib/core/head.ts'
import type { ProducerKey } from '../../lib/core/names.ts'
import type { ProducerState } from '../../lib/core/producer.ts'
import { isSameProducerState, producerAfter, producerEpochMax, sequenceMax } from '../../lib/core/producer.ts'
import { fullHead } from '../conformance/metadata-fixture.ts'

const sequence = fc.oneof(fc.integer({ min: 0, max: sequenceMax }), fc.integer({ min: 0, max: 2 }))
const base = fc.oneof(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), fc.integer({ min: 0, max: 2 }))
const plain = { noNullPrototype: true } as const
const state: fc.Arbitrary<ProducerState> = fc.record(
  {
    epoch: fc.oneof(fc.integer({ min: 0, max: producerEpochMax }), fc.integer({ min: 0, max: 2 })),
    batches: fc.array(fc.record({ first: sequence, last: sequence, base }, plain), { minLength: 1, maxLength: 5 }),
  },
  plain,
)

test('a head comes back from its attributes as it was', () => {
  const { lease: _lease, ...unled } = fullHead()
  for (const head of [fullHead(), unled, newHead(fullHead())])
    assert.deepEqual(decodeHead(head, encodeHead(head)), head)
})

test('every producer state comes back, and two states have the same text and base exactly when they are the same', () => {
  fc.assert(
    fc.property(state, state, (one, other) => {
      const head: Head = {
        ...newHead(fullHead()),
        producers: { '1': one, '~k': other } as Record<ProducerKey, ProducerState>,
      }
      assert.deepEqual(decodeHead(head, encodeHead(head)), head)
      const isSameHere = stateText(one) === stateText(other) && newestBase(one) === newestBase(other)
      assert.equal(isSameHere, isSameProducerState(one, other))
    }),
  )
})

test('the text of the next state does not depend on the offset that the store will give', () => {
  fc.assert(
    fc.property(fc.option(state, { nil: undefined }), base, (before, given) => {
      const claim = { epoch: before?.epoch ?? 0, first: 7, last: 9 }
      assert.equal(stateText(producerAfter(before, claim, given)), stateText(producerAfter(before, claim, 0)))
    }),
  )
})

test('a damaged head is refused with the name of what is damaged', () => {
  const head = fullHead()
  const attributes = encodeHead(head)
  // A head may have no lease, and none where compaction never came says how far.
  const optional = ['lease', 'cleanedTo']
  for (const name of Object.keys(attributes).filter((name) => !['pk', 'sk', ...optional].includes(name))) {
    const { [name]: _missing, ...rest } = attributes
    assert.throws(() => decodeHead(head, rest), new RegExp(`damaged head of .*${name}`), name)
  }
  const wrong = { ...attributes, cleanedTo: { S: '7' } }
  assert.throws(() => decodeHead(head, wrong), /damaged head of .*cleanedTo/)
  for (const text of ['', '0', '0,1', '0,1-', '0,1-2,3-4@5', '0,1-2@3', 'x y,1-2'])
    assert.throws(
      () =>
        decodeHead(head, { ...attributes, producers: { M: { '1': { S: text } } }, bases: { M: { '1': { N: '1' } } } }),
      /damaged producer state/,
      text,
    )
})
