import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { batchesType } from '../../lib/http/raw.ts'
import { batchOf, createHarness, type Harness, joined } from './harness.ts'

async function withTopic(options: Parameters<typeof createHarness>[0] = {}): Promise<Harness> {
  const harness = createHarness(options)
  const created = await harness.log.createTopic({ name: 't', partitions: 2 })
  assert.ok(created.ok)
  return harness
}

function post(
  { send }: Harness,
  body: Uint8Array,
  headers: Record<string, string> = {},
  path = '/topics/t/partitions/0',
): Promise<Response> {
  return send('POST', path, { headers: { 'content-type': batchesType, ...headers }, body })
}

async function errorOf(response: Response): Promise<[number, string | null]> {
  const { message } = (await response.json()) as { message: string }
  assert.ok(message.length > 0)
  return [response.status, response.headers.get('highwater-error')]
}

test('batches that are appended get consecutive offsets', async () => {
  const harness = await withTopic()
  const first = await post(harness, batchOf(['a', 'b']))
  assert.equal(first.status, 200)
  const { topic_id, ...answer } = (await first.json()) as Record<string, unknown>
  assert.match(String(topic_id), /^[\w-]{22}$/)
  assert.deepEqual(answer, { partition: 0, base_offset: 0, record_count: 2, next_offset: 2, duplicate: false })
  const second = (await (await post(harness, joined(batchOf(['c']), batchOf(['d'])))).json()) as Record<string, unknown>
  assert.deepEqual([second.base_offset, second.record_count, second.next_offset], [2, 2, 4])
})

test('what was appended is read back byte for byte, but for the offsets', async () => {
  const harness = await withTopic()
  const sent = [batchOf(['a', 'b'], { compression: 'gzip' }), batchOf(['c'])]
  await post(harness, joined(...sent))
  const response = await harness.send('GET', '/topics/t/partitions/0/records?offset=0', {
    headers: { accept: batchesType },
  })
  assert.equal(response.headers.get('content-type'), batchesType)
  const read = new Uint8Array(await response.arrayBuffer())
  const expected = joined(...sent)
  const view = new DataView(expected.buffer)
  view.setBigInt64(sent[0]!.length, 2n)
  assert.deepEqual(read, expected)
})

test('a body in gzip is a body', async () => {
  const harness = await withTopic()
  const response = await post(harness, new Uint8Array(gzipSync(batchOf(['a']))), { 'content-encoding': 'gzip' })
  assert.equal(response.status, 200)
})

test('an idempotent batch that is sent again is answered with its first offset', async () => {
  const harness = await withTopic()
  const producer = (await (await harness.send('POST', '/producers')).json()) as {
    producer_id: number
    producer_epoch: number
  }
  const batch = () => batchOf(['a', 'b'], { ...stamp(producer), baseSequence: 0 })
  const first = await post(harness, batch())
  assert.equal(first.headers.get('highwater-duplicate'), null)
  await post(harness, batchOf(['other']))
  const again = await post(harness, batch())
  assert.equal(again.headers.get('highwater-duplicate'), 'true')
  const answer = (await again.json()) as Record<string, unknown>
  assert.deepEqual([answer.base_offset, answer.duplicate], [0, true])
})

function stamp(producer: { producer_id: number; producer_epoch: number }) {
  return { producerId: producer.producer_id, producerEpoch: producer.producer_epoch }
}

test('the producer can be named in the headers instead', async () => {
  const harness = await withTopic()
  const headers = { 'producer-id': '7', 'producer-epoch': '0', 'producer-seq': '0' }
  const first = (await (await post(harness, batchOf(['a']), headers)).json()) as { base_offset: number }
  const again = await post(harness, batchOf(['a']), headers)
  assert.equal(again.headers.get('highwater-duplicate'), 'true')
  assert.deepEqual(((await again.json()) as { base_offset: number }).base_offset, first.base_offset)
})

test('a gap in the sequence is refused with the sequence that is expected', async () => {
  const harness = await withTopic({ settings: { sequenceGapWaitMs: 0 } })
  await post(harness, batchOf(['a']), { 'producer-id': '7', 'producer-epoch': '0', 'producer-seq': '0' })
  const response = await post(harness, batchOf(['c']), {
    'producer-id': '7',
    'producer-epoch': '0',
    'producer-seq': '2',
  })
  assert.equal(response.headers.get('producer-expected-seq'), '1')
  assert.deepEqual(await errorOf(response), [409, 'OUT_OF_ORDER_SEQUENCE_NUMBER'])
})

test('an older epoch is fenced and told the newer one', async () => {
  const harness = await withTopic()
  await post(harness, batchOf(['a']), { 'producer-id': '7', 'producer-epoch': '3', 'producer-seq': '0' })
  const response = await post(harness, batchOf(['b']), {
    'producer-id': '7',
    'producer-epoch': '2',
    'producer-seq': '0',
  })
  assert.equal(response.headers.get('producer-epoch'), '3')
  assert.deepEqual(await errorOf(response), [403, 'INVALID_PRODUCER_EPOCH'])
})

test('an idempotency key does the same for those who want just that', async () => {
  const harness = await withTopic()
  const batch = batchOf(['a'])
  await post(harness, batch.slice(), { 'idempotency-key': 'k1' })
  const again = await post(harness, batch.slice(), { 'idempotency-key': 'k1' })
  assert.equal(again.headers.get('highwater-duplicate'), 'true')
  assert.deepEqual(await errorOf(await post(harness, batchOf(['b']), { 'idempotency-key': 'k1' })), [
    422,
    'IDEMPOTENCY_KEY_REUSED',
  ])
})

test('several idempotent batches are appended one by one, and neighbours without identity together', async () => {
  const harness = await withTopic()
  const producer = { producerId: 5, producerEpoch: 0 }
  const body = () =>
    joined(
      batchOf(['a'], { ...producer, baseSequence: 0 }),
      batchOf(['b', 'c'], { ...producer, baseSequence: 1 }),
      batchOf(['d']),
      batchOf(['e']),
    )
  const response = await post(harness, body())
  assert.equal(response.status, 200)
  const answer = (await response.json()) as Record<string, unknown>
  assert.equal(answer.next_offset, 5)
  assert.deepEqual(answer.batches, [
    { base_offset: 0, record_count: 1, duplicate: false },
    { base_offset: 1, record_count: 2, duplicate: false },
    { base_offset: 3, record_count: 2, duplicate: false },
  ])
})

test('where one of several idempotent batches is refused, the status does not hide it and the rest is not attempted', async () => {
  const harness = await withTopic({ settings: { sequenceGapWaitMs: 0 } })
  const producer = { producerId: 5, producerEpoch: 0 }
  const response = await post(
    harness,
    joined(
      batchOf(['a'], { ...producer, baseSequence: 0 }),
      batchOf(['c'], { ...producer, baseSequence: 2 }),
      batchOf(['b'], { ...producer, baseSequence: 1 }),
    ),
  )
  assert.equal(response.status, 207)
  const { batches, next_offset } = (await response.json()) as {
    batches: Record<string, unknown>[]
    next_offset: number
  }
  assert.deepEqual(batches[0], { base_offset: 0, record_count: 1, duplicate: false })
  assert.deepEqual(
    batches.slice(1).map((batch) => batch.error_code),
    [409, 409],
  )
  assert.equal(next_offset, 1)
  const refused = await post(
    harness,
    joined(batchOf(['d'], { ...producer, baseSequence: 9 }), batchOf(['e'], { ...producer, baseSequence: 10 })),
  )
  assert.deepEqual(await errorOf(refused), [409, 'OUT_OF_ORDER_SEQUENCE_NUMBER'])
})

test('several idempotent batches take no condition that is meant for one', async () => {
  const harness = await withTopic()
  const body = joined(batchOf(['a'], { producerId: 5, producerEpoch: 0, baseSequence: 0 }), batchOf(['b']))
  const response = await post(harness, body, { 'highwater-expected-offset': '0' })
  assert.deepEqual(await errorOf(response), [400, 'INVALID_REQUEST'])
})

test('an append can be conditional on the end offset', async () => {
  const harness = await withTopic()
  assert.equal((await post(harness, batchOf(['a']), { 'highwater-expected-offset': '0' })).status, 200)
  const response = await post(harness, batchOf(['b']), { 'highwater-expected-offset': '0' })
  assert.equal(response.headers.get('highwater-end-offset'), '1')
  assert.deepEqual(await errorOf(response), [412, 'UNEXPECTED_END_OFFSET'])
})

test('with acks=0 the answer comes at once and the records follow', async () => {
  const harness = await withTopic()
  const response = await post(harness, batchOf(['a']), {}, '/topics/t/partitions/0?acks=0')
  assert.deepEqual([response.status, await response.text()], [202, ''])
  await harness.log.settled()
  const offsets = await harness.log.offsets('t', 0)
  assert.equal(offsets.ok && offsets.highWatermark, 1)
})

test('with acks=0 what failed is reported to the server’s log', async () => {
  const failures: string[] = []
  const harness = await withTopic({ app: { onFailure: (failure) => failures.push(failure.message) } })
  assert.equal((await post(harness, batchOf(['a']), {}, '/topics/none/partitions/0?acks=0')).status, 202)
  await harness.log.settled()
  await new Promise(setImmediate)
  assert.equal(failures.length, 1)
  assert.match(failures[0] ?? '', /none/)
})

test('nothing of a body with a damaged batch is appended', async () => {
  const harness = await withTopic()
  const damaged = batchOf(['b'])
  damaged[damaged.length - 1]! ^= 1
  assert.deepEqual(await errorOf(await post(harness, joined(batchOf(['a']), damaged))), [422, 'CORRUPT_MESSAGE'])
  assert.deepEqual(await errorOf(await post(harness, batchOf(['a']).subarray(0, -1))), [422, 'CORRUPT_MESSAGE'])
  const offsets = await harness.log.offsets('t', 0)
  assert.equal(offsets.ok && offsets.highWatermark, 0)
})

for (const [what, path, headers, expected] of [
  ['an unknown topic', '/topics/none/partitions/0', {}, [404, 'UNKNOWN_TOPIC']],
  ['an unknown partition', '/topics/t/partitions/2', {}, [404, 'UNKNOWN_PARTITION']],
  ['a partition that is no number', '/topics/t/partitions/x', {}, [404, 'NOT_FOUND']],
  ['a negative partition', '/topics/t/partitions/-1', {}, [404, 'NOT_FOUND']],
  ['unknown acks', '/topics/t/partitions/0?acks=2', {}, [400, 'INVALID_REQUEST']],
  ['half of a producer', '/topics/t/partitions/0', { 'producer-id': '1' }, [400, 'INVALID_REQUEST']],
  [
    'a sequence that is no number',
    '/topics/t/partitions/0',
    { 'producer-id': '1', 'producer-epoch': '0', 'producer-seq': '1e3' },
    [400, 'INVALID_REQUEST'],
  ],
  [
    'a sequence beyond 32 bits',
    '/topics/t/partitions/0',
    { 'producer-id': '1', 'producer-epoch': '0', 'producer-seq': String(2 ** 31) },
    [400, 'INVALID_REQUEST'],
  ],
  [
    'an epoch beyond 16 bits',
    '/topics/t/partitions/0',
    { 'producer-id': '1', 'producer-epoch': '32768', 'producer-seq': '0' },
    [400, 'INVALID_REQUEST'],
  ],
  [
    'a producer and an idempotency key',
    '/topics/t/partitions/0',
    { 'producer-id': '1', 'producer-epoch': '0', 'producer-seq': '0', 'idempotency-key': 'k' },
    [400, 'INVALID_REQUEST'],
  ],
  ['an idempotency key with a blank', '/topics/t/partitions/0', { 'idempotency-key': 'a b' }, [400, 'INVALID_REQUEST']],
  [
    'an idempotency key that is too long',
    '/topics/t/partitions/0',
    { 'idempotency-key': 'k'.repeat(256) },
    [400, 'INVALID_REQUEST'],
  ],
  [
    'an expected offset below zero',
    '/topics/t/partitions/0',
    { 'highwater-expected-offset': '-1' },
    [400, 'INVALID_REQUEST'],
  ],
] as const)
  test(`an append with ${what} is refused with ${expected[1]}`, async () => {
    const harness = await withTopic()
    assert.deepEqual(await errorOf(await post(harness, batchOf(['a']), headers, path)), expected)
  })

test('an append without a body is refused', async () => {
  const harness = await withTopic()
  const response = await harness.send('POST', '/topics/t/partitions/0', { headers: { 'content-type': batchesType } })
  assert.deepEqual(await errorOf(response), [422, 'EMPTY_PAYLOAD'])
})

test('an append of the largest size is taken, one byte more is not', async () => {
  const batch = batchOf(['x'.repeat(2_000)])
  for (const [limit, status] of [
    [batch.length, 200],
    [batch.length - 1, 413],
  ] as const) {
    const harness = await withTopic({ settings: { appendBytesMax: limit } })
    assert.equal((await post(harness, batch.slice())).status, status)
  }
})

test('producer ids are given once', async () => {
  const { send } = await withTopic()
  const ids = new Set<number>()
  for (let round = 0; round < 5; round++) {
    const response = await send('POST', '/producers')
    const { producer_id, producer_epoch } = (await response.json()) as Record<string, number>
    assert.equal(producer_epoch, 0)
    ids.add(producer_id ?? -1)
  }
  assert.equal(ids.size, 5)
})
