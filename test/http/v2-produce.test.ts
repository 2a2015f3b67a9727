import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryObjects } from '../../lib/adapters/memory.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { createHarness, type Harness, type HarnessOptions } from './harness.ts'

const binary = 'application/vnd.kafka.binary.v2+json'
const json = 'application/vnd.kafka.json.v2+json'
const text = 'application/vnd.kafka.text.v2+json'

async function withTopic(partitions = 1, options: HarnessOptions = {}): Promise<Harness> {
  const harness = createHarness(options)
  const created = await harness.log.createTopic({ name: 't', partitions, configs: { 'chunk.placement': 'segment' } })
  assert(created.ok)
  return harness
}

interface Answer {
  status: number
  type: string | null
  headers: Headers
  body: { error_code?: number; message?: string; offsets: Entry[]; key_schema_id: null; value_schema_id: null }
}
interface Entry {
  partition: number | null
  offset: number | null
  error_code: number | null
  error: string | null
}

async function post(
  { send }: Harness,
  body: unknown,
  headers: Record<string, string> = {},
  path = '/topics/t',
): Promise<Answer> {
  const response = await send('POST', path, {
    headers: { 'content-type': json, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  const answer = await response.text()
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    headers: response.headers,
    body: answer === '' ? undefined : JSON.parse(answer),
  }
}

/** What a reader finds, keys and values in base64. */
async function stored({ send }: Harness, partition = 0): Promise<Record<string, unknown>[]> {
  const response = await send('GET', `/topics/t/partitions/${partition}/records?offset=0`, {
    headers: { accept: binary },
  })
  assert.equal(response.status, 200)
  return (await response.json()) as Record<string, unknown>[]
}

const base64 = (text: string) => Buffer.from(text).toString('base64')
const entry = (offset: number, partition = 0): Entry => ({ partition, offset, error_code: null, error: null })

test('records are answered with their places, in the order of the request', async () => {
  const harness = await withTopic()
  const answer = await post(harness, { records: [{ key: 'k', value: { a: 1 } }, { value: null }, { value: 'x' }] })
  assert.equal(answer.status, 200)
  assert.equal(answer.type, 'application/vnd.kafka.v2+json')
  assert.deepEqual(answer.body, { offsets: [entry(0), entry(1), entry(2)], key_schema_id: null, value_schema_id: null })
  const records = await stored(harness)
  assert.deepEqual(
    records.map(({ key, value }) => [key, value]),
    [
      [base64('"k"'), base64('{"a":1}')],
      [null, null],
      [null, base64('"x"')],
    ],
  )
})

test('the Content-Type names the format of keys and values; binary is the default', async () => {
  for (const [type, value, bytes] of [
    [binary, base64('hi'), 'hi'],
    [json, 'hi', '"hi"'],
    [text, 'hi', 'hi'],
    ['application/vnd.kafka.v2+json', base64('hi'), 'hi'],
    ['application/json; charset=utf-8', base64('hi'), 'hi'],
    ['Application/VND.kafka.JSON.v2+json', 'hi', '"hi"'],
  ] as const) {
    const harness = await withTopic()
    const answer = await post(harness, { records: [{ value }] }, { 'content-type': type })
    assert.equal(answer.status, 200, type)
    assert.equal((await stored(harness))[0]?.value, base64(bytes), type)
  }
})

test('headers and timestamps are kept', async () => {
  const harness = await withTopic()
  const timestamp = Date.now() - 1_000
  await post(harness, { records: [{ value: 1, timestamp, headers: [{ key: 'a', value: 'YQ==' }, { key: 'b' }] }] })
  const [record] = await stored(harness)
  assert.equal(record?.timestamp, timestamp)
  assert.deepEqual(record?.headers, [
    { key: 'a', value: 'YQ==' },
    { key: 'b', value: null },
  ])
})

test('records go to the partition they name, and a key always to the same', async () => {
  const harness = await withTopic(8)
  const { body } = await post(harness, {
    records: [
      { value: 1, partition: 5 },
      { key: 'a', value: 1 },
      { value: 2, partition: 5 },
      { key: 'a', value: 2 },
    ],
  })
  const places = body.offsets.map(({ partition }) => partition)
  assert.deepEqual([places[0], places[2]], [5, 5])
  assert.equal(places[1], places[3])
})

test('a record that cannot be written has its error in its place, and the others are written', async () => {
  const harness = await withTopic(2)
  const { status, body } = await post(harness, {
    records: [
      { value: 1, partition: 0 },
      { value: 2, partition: 7 },
      { value: 3, partition: 0 },
    ],
  })
  assert.equal(status, 200)
  assert.deepEqual(body.offsets[0], entry(0))
  assert.deepEqual(body.offsets[2], entry(1))
  const { error, ...rest } = body.offsets[1]!
  assert.deepEqual(rest, { partition: null, offset: null, error_code: 40402 })
  assert.match(error ?? '', /partition 7/)
})

test('a single record with a partition that does not exist is told so in its place', async () => {
  const { status, body } = await post(await withTopic(2), { records: [{ value: 2, partition: 7 }] })
  assert.equal(status, 200)
  assert.equal(body.offsets[0]?.error_code, 40402)
})

test('produce to a partition of the path', async () => {
  const harness = await withTopic(3)
  const { status, body } = await post(harness, { records: [{ value: 1 }, { value: 2 }] }, {}, '/topics/t/partitions/2')
  assert.equal(status, 200)
  assert.deepEqual(body.offsets, [entry(0, 2), entry(1, 2)])
})

test('a topic or partition of the path that does not exist is a 404', async () => {
  const harness = await withTopic()
  const body = { records: [{ value: 1 }] }
  for (const [path, code] of [
    ['/topics/other', 40401],
    ['/topics/other/partitions/0', 40401],
    ['/topics/t/partitions/1', 40402],
    ['/topics/t/partitions/x', 404],
  ] as const) {
    const answer = await post(harness, body, {}, path)
    assert.deepEqual([answer.status, answer.body.error_code], [404, code], path)
  }
})

test('formats that need a schema registry, and other types, are refused with 415', async () => {
  const harness = await withTopic()
  for (const type of [
    'application/vnd.kafka.avro.v2+json',
    'application/vnd.kafka.jsonschema.v2+json',
    'application/vnd.kafka.protobuf.v2+json',
  ]) {
    const { status, body } = await post(harness, { records: [{ value: 1 }] }, { 'content-type': type })
    assert.deepEqual([status, body.error_code], [415, 415])
    assert.match(body.message ?? '', /schema registry/)
  }
  const { status, body } = await post(harness, 'records=1', { 'content-type': 'application/x-www-form-urlencoded' })
  assert.equal(status, 415)
  assert.match(body.message ?? '', /application\/vnd\.kafka\.json\.v2\+json/)
})

test('nothing is written of a body that is not in order', async () => {
  const harness = await withTopic()
  for (const [body, status, code] of [
    ['', 422, 42206],
    ['{"records":[', 400, 400],
    [{}, 422, 422],
    [{ records: [] }, 422, 422],
    [{ records: [{ value: 'aGk=' }, { value: '!' }] }, 422, 422],
    [{ records: [{ value: 'aGk=' }, { value: 1 }] }, 422, 422],
    [{ records: [{ value: 'aGk=' }, 1] }, 422, 422],
    [{ records: [{ value: 'aGk=' }], value_schema: '"string"' }, 422, 422],
  ] as const) {
    const answer = await post(harness, body, { 'content-type': binary })
    assert.deepEqual([answer.status, answer.body.error_code], [status, code], JSON.stringify(body))
    assert.equal(typeof answer.body.message, 'string')
  }
  assert.deepEqual(await stored(harness), [])
})

test('answers have the type of the convention, or plain JSON for those who want that', async () => {
  const harness = await withTopic()
  for (const [accept, type] of [
    ['*/*', 'application/vnd.kafka.v2+json'],
    ['application/vnd.kafka.v2+json, application/json', 'application/vnd.kafka.v2+json'],
    ['application/json', 'application/json'],
    ['application/json, text/plain, */*', 'application/json'],
    ['application/vnd.kafka.json.v2+json', 'application/vnd.kafka.v2+json'],
    ['text/html', 'application/vnd.kafka.v2+json'],
  ] as const) {
    assert.equal((await post(harness, { records: [{}] }, { accept })).type, type, accept)
    assert.equal((await post(harness, {}, { accept })).type, type, accept)
  }
})

test('acks=0 is answered at once, without offsets', async () => {
  const harness = await withTopic()
  const { status, body } = await post(harness, { records: [{ value: 1 }, { value: 2 }] }, {}, '/topics/t?acks=0')
  assert.equal(status, 202)
  const nothing = { partition: null, offset: null, error_code: null, error: null }
  assert.deepEqual(body, { offsets: [nothing, nothing], key_schema_id: null, value_schema_id: null })
  await harness.log.settled()
  assert.equal((await stored(harness)).length, 2)
})

test('async=true is answered at once, without a body', async () => {
  const harness = await withTopic()
  assert.equal((await post(harness, { records: [{ value: 1 }] }, {}, '/topics/t?async=true')).status, 204)
  await harness.log.settled()
  assert.equal((await stored(harness)).length, 1)
})

test('acks that are no acks are refused', async () => {
  const { status, body } = await post(await withTopic(), { records: [{}] }, {}, '/topics/t?acks=2')
  assert.deepEqual([status, body.error_code], [400, 400])
})

test('a repeat of an idempotent producer gets the first offsets', async () => {
  const harness = await withTopic()
  const producer = await harness.log.allocateProducer()
  assert(producer.ok)
  const stamp = (sequence: number, epoch = producer.epoch) => ({
    'producer-id': String(producer.producerId),
    'producer-epoch': String(epoch),
    'producer-seq': String(sequence),
  })
  const two = { records: [{ value: 1 }, { value: 2 }] }
  const first = await post(harness, two, stamp(0))
  assert.deepEqual([first.status, first.headers.get('highwater-duplicate')], [200, null])
  const again = await post(harness, two, stamp(0))
  assert.deepEqual(again.body, first.body)
  assert.equal((await stored(harness)).length, 2)

  const ahead = await post(harness, two, stamp(9))
  assert.deepEqual([ahead.status, ahead.headers.get('producer-expected-seq')], [409, '2'])
  assert.equal(ahead.body.error_code, 409)
  assert.deepEqual(
    ahead.body.offsets.map((each) => each.error_code),
    [409, 409],
  )
  assert.equal((await post(harness, two, stamp(0, producer.epoch + 1))).status, 200)
  const fenced = await post(harness, two, stamp(2))
  assert.deepEqual([fenced.status, fenced.headers.get('producer-epoch')], [403, String(producer.epoch + 1)])
})

test('a repeat under the same Idempotency-Key gets the first offsets', async () => {
  const harness = await withTopic(4)
  const body = { records: [{ value: 1 }, { key: 'a', value: 2 }, { key: 'b', value: 2 }] }
  const first = await post(harness, body, { 'idempotency-key': 'order-1' })
  const again = await post(harness, body, { 'idempotency-key': 'order-1' })
  assert.equal(first.status, 200)
  assert.deepEqual(again.body, first.body)
})

test('the answer to a repeat says that it is one', async () => {
  const harness = await withTopic(4)
  const body = { records: [{ value: 1 }, { key: 'a', value: 2 }] }
  const headers = { 'idempotency-key': 'order-1' }
  assert.equal((await post(harness, body, headers)).headers.get('highwater-duplicate'), null)
  assert.equal((await post(harness, body, headers)).headers.get('highwater-duplicate'), 'true')
})

test('an expected offset that is not the end is a 412 which names the end', async () => {
  const harness = await withTopic()
  const body = { records: [{ value: 1 }] }
  assert.equal((await post(harness, body, { 'highwater-expected-offset': '0' })).status, 200)
  const { status, headers } = await post(harness, body, { 'highwater-expected-offset': '0' })
  assert.deepEqual([status, headers.get('highwater-end-offset')], [412, '1'])
  assert.equal((await stored(harness)).length, 1)
})

test('when nothing can be written the status says so, beside the entries', async () => {
  class Broken extends MemoryObjects {
    override async create(): Promise<never> {
      throw new Unavailable('the store is away', 'none')
    }
  }
  const harness = await withTopic(1, { ports: { objects: new Broken() }, settings: { retryDelayMs: 0 } })
  const { status, body, headers } = await post(harness, { records: [{ value: 1 }, { value: 2 }] })
  assert.equal(status, 503)
  assert.equal(headers.get('highwater-error'), 'STORAGE_UNAVAILABLE')
  assert.equal(body.error_code, 50301)
  assert.deepEqual(
    body.offsets.map((each) => each.error_code),
    [50301, 50301],
  )
})

test('raw batches come to the same path by their type', async () => {
  const harness = await withTopic()
  await harness.appendValues('a', 'b')
  const { body } = await post(harness, { records: [{ value: 1 }] }, {}, '/topics/t/partitions/0')
  assert.deepEqual(body.offsets, [entry(2)])
})
