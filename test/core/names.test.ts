import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  isSegmentId,
  type ProducerKey,
  parseTopicName,
  producerIdOfKey,
  producerKeyOfId,
  segmentIdAt,
  segmentIdFloor,
  segmentIdTimeMs,
  segmentIdTimeMsMax,
  segmentObjectKey,
  segmentPrefixes,
  topicIdFromRandom,
  topicNameLengthMax,
} from '../../lib/core/names.ts'

describe('a topic name', () => {
  test('has ASCII letters, digits, dots, underscores and hyphens', () => {
    for (const name of ['a', 'orders', 'Orders.v2_eu-west-1', '...', '.a', '_', '-', '0'])
      assert.deepEqual(parseTopicName(name), { ok: true, name })
  })

  test('is refused with other characters, and the message shows it', () => {
    for (const name of ['a b', 'a/b', 'é', 'a\n', '\u0000', 'a:b', '日本', '😀']) {
      const answer = parseTopicName(name)
      assert.ok(!answer.ok)
      assert.ok(answer.message.includes(JSON.stringify(name)) && answer.message.endsWith('.'), answer.message)
    }
  })

  test('is neither empty nor a dot nor two', () => {
    for (const name of ['', '.', '..']) assert.ok(!parseTopicName(name).ok)
  })

  test(`has at most ${topicNameLengthMax} characters`, () => {
    assert.ok(parseTopicName('a'.repeat(topicNameLengthMax - 1)).ok)
    assert.ok(parseTopicName('a'.repeat(topicNameLengthMax)).ok)
    const long = parseTopicName('a'.repeat(topicNameLengthMax + 1))
    assert.ok(!long.ok && long.message.includes('250') && long.message.length < 300)
  })
})

describe('a topic id', () => {
  test('is the base64url of 16 bytes, as Kafka prints a Uuid', () => {
    const bytes = fc.uint8Array({ minLength: 16, maxLength: 16 })
    fc.assert(fc.property(bytes, (id) => topicIdFromRandom(id) === Buffer.from(id).toString('base64url')))
  })
})

describe('a segment id', () => {
  const anyTime = fc.integer({ min: 0, max: segmentIdTimeMsMax })
  const anyRandom = fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }))

  test('has 20 digits, tells its time, and lies in the range of its prefix', () => {
    const property = fc.property(anyTime, anyRandom, (nowMs, stream) => {
      const id = segmentIdAt(nowMs, () => stream.next().value)
      assert.ok(isSegmentId(id), id)
      assert.equal(segmentIdTimeMs(id), nowMs)
      const prefix = segmentPrefixes.filter((prefix) => segmentObjectKey(id).startsWith(prefix))
      assert.equal(prefix.length, 1)
      assert.equal(segmentObjectKey(id), `${prefix[0]}${id}`)
    })
    fc.assert(property)
  })

  test('sorts by time, whatever the dice say', () => {
    const property = fc.property(anyTime, anyTime, anyRandom, (a, b, stream) => {
      const random = () => stream.next().value
      const [first, second] = [segmentIdAt(a, random), segmentIdAt(b, random)]
      if (a !== b) assert.equal(first < second, a < b)
      assert.ok(segmentIdFloor(a) <= first)
      if (a < b) assert.ok(first < segmentIdFloor(b))
    })
    fc.assert(property)
  })

  test('takes the extremes of the dice', () => {
    assert.equal(
      segmentIdAt(0, () => 0),
      '00000000000000000000',
    )
    assert.equal(
      segmentIdAt(0, () => 1 - 2 ** -53),
      '000000000zzzzzzzzzzz',
    )
  })

  test('counts whole milliseconds, and none before 1970', () => {
    assert.equal(segmentIdFloor(1.9), segmentIdFloor(1))
    assert.equal(segmentIdFloor(-1), segmentIdFloor(0))
  })

  test('is refused for a clock beyond what nine digits hold', () => {
    assert.equal(segmentIdTimeMsMax, 36 ** 9 - 1)
    assert.ok(isSegmentId(segmentIdFloor(segmentIdTimeMsMax - 1)))
    assert.equal(segmentIdFloor(segmentIdTimeMsMax), 'zzzzzzzzz00000000000')
    for (const nowMs of [segmentIdTimeMsMax + 1, Number.POSITIVE_INFINITY, Number.NaN])
      assert.throws(() => segmentIdAt(nowMs, () => 0.5), RangeError)
  })

  test('is told from other texts', () => {
    for (const text of [
      '',
      '0'.repeat(19),
      '0'.repeat(21),
      `${'0'.repeat(19)}A`,
      `${'0'.repeat(19)}.`,
      `${'0'.repeat(20)}\n`,
    ])
      assert.ok(!isSegmentId(text), JSON.stringify(text))
  })
})

describe('a producer key', () => {
  test('is the producer id in decimal, and gives it back', () => {
    for (const id of [0, 1, 4711, Number.MAX_SAFE_INTEGER]) {
      assert.equal(producerKeyOfId(id), String(id))
      assert.equal(producerIdOfKey(producerKeyOfId(id)), id)
    }
  })

  test('of an idempotency key has no producer id', () => {
    assert.equal(producerIdOfKey('~12' as ProducerKey), undefined)
  })
})
