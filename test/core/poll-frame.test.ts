import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodePollFrame, type PollHeader, readPollFrame } from '../../lib/core/poll-frame.ts'

const data = (topic: string, partition: number, bytes: number) => ({
  topic,
  topic_id: `id-of-${topic}`,
  partition,
  bytes,
  next_offset: 5,
  start_offset: 0,
  high_watermark: 7,
})
const fault = {
  topic: 'gone',
  partition: 0,
  error_code: 40401,
  error: 'UNKNOWN_TOPIC',
  message: 'It is gone.',
} as const
const membership = {
  group_id: 'g-id',
  member_id: 'm',
  epoch: 3,
  assigned: [{ topic: 't', topic_id: 'id', partition: 1, claim: '3-m', offset: 9, metadata: '' }],
  revoked: [],
  lost: [{ topic: '', topic_id: 'old', partition: 0 }],
  incomplete: false,
  heartbeat_interval_ms: 3_000,
}

const joined = (parts: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(parts))

test('what is read is what was written: header, and the bytes of each partition', () => {
  const header: PollHeader = { membership, partitions: [data('t', 0, 3), fault, data('ü', 1, 0), data('u', 2, 2)] }
  const frame = joined(encodePollFrame(header, [[Uint8Array.of(1), Uint8Array.of(2, 3)], [], [Uint8Array.of(4, 5)]]))
  const read = readPollFrame(frame)
  assert.ok(read.ok)
  assert.deepEqual(read.header, header)
  assert.deepEqual(
    read.batches.map((batch) => [...batch]),
    [[1, 2, 3], [], [], [4, 5]],
  )
})

test('the layout is the documented one', () => {
  const frame = joined(encodePollFrame({ partitions: [] }, []))
  assert.equal(Buffer.from(frame).toString('latin1'), '\0\0\0\x11{"partitions":[]}')
})

test('a header that disagrees with its batches is never written', () => {
  assert.throws(() => encodePollFrame({ partitions: [data('t', 0, 3)] }, [[Uint8Array.of(1)]]), RangeError)
  assert.throws(() => encodePollFrame({ partitions: [] }, [[Uint8Array.of(1)]]), RangeError)
})

test('fields that are not known are passed over', () => {
  const header = { partitions: [{ ...data('t', 0, 1), colour: 'green' }], weather: 'fine' }
  assert.ok(readPollFrame(joined(encodePollFrame(header, [[Uint8Array.of(1)]]))).ok)
})

test('bytes of too few partitions, or of none, are named', () => {
  const frame = joined(encodePollFrame({ partitions: [data('t', 0, 2)] }, [[Uint8Array.of(1, 2)]]))
  for (const bytes of [
    frame.subarray(0, -1),
    joined([frame, Uint8Array.of(0)]),
    frame.subarray(0, 3),
    frame.subarray(0, 9),
  ]) {
    const read = readPollFrame(bytes)
    assert.ok(!read.ok)
    assert.match(read.message, /^The answer is damaged: .+\.$/)
  }
})

test('a header of another shape is refused', () => {
  const encode = (header: unknown) => {
    const text = Buffer.from(JSON.stringify(header))
    const front = Buffer.alloc(4)
    front.writeUInt32BE(text.length)
    return new Uint8Array(Buffer.concat([front, text]))
  }
  assert.ok(readPollFrame(encode({ membership, partitions: [fault] })).ok)
  for (const header of [
    null,
    [],
    1,
    {},
    { partitions: {} },
    { partitions: [null] },
    { partitions: [{ ...data('t', 0, 0), bytes: -1 }] },
    { partitions: [{ ...data('t', 0, 0), next_offset: 1.5 }] },
    { partitions: [{ ...fault, error: 7 }] },
    { partitions: [{ topic: 't', partition: 0 }] },
    { partitions: [], membership: { ...membership, epoch: '3' } },
    { partitions: [], membership: { ...membership, lost: [{}] } },
    { partitions: [], membership: { ...membership, assigned: [{ ...membership.assigned[0], claim: undefined }] } },
  ])
    assert.ok(!readPollFrame(encode(header)).ok, JSON.stringify(header))
})

test('whatever the bytes are, the answer is a frame or a sentence', () => {
  const header: PollHeader = { membership, partitions: [data('t', 0, 4), fault] }
  const frame = joined(encodePollFrame(header, [[Uint8Array.of(1, 2, 3, 4)]]))
  const check = (bytes: Uint8Array) => {
    const read = readPollFrame(bytes)
    if (!read.ok) return
    let length = 0
    for (const [index, partition] of read.header.partitions.entries()) {
      const size = 'bytes' in partition ? partition.bytes : 0
      assert.equal(read.batches[index]!.length, size)
      length += size
    }
    assert.ok(length <= bytes.length)
  }
  for (let at = 0; at <= frame.length; at++) check(frame.subarray(0, at))
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), check))
  fc.assert(
    fc.property(fc.nat(frame.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = frame.slice()
      damaged[at]! ^= flip
      check(damaged)
    }),
    { numRuns: 2_000 },
  )
})
