import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryObjects } from '../../lib/adapters/memory.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { v3BatchEntriesMax, v3RecordsMax } from '../../lib/http/v3-records.ts'
import { createHarness, type Harness, type HarnessOptions } from './harness.ts'

interface Report {
  error_code: number
  message?: string
  cluster_id?: string
  topic_name?: string
  partition_id?: number
  offset?: number
  timestamp?: string
  key?: { type: string; size: number }
  value?: { type: string; size: number }
}

async function withTopic(partitions = 1, options: HarnessOptions = {}): Promise<Harness> {
  const harness = createHarness(options)
  const created = await harness.log.createTopic({ name: 't', partitions, configs: { 'chunk.placement': 'segment' } })
  assert(created.ok)
  return harness
}

async function post({ send }: Harness, path: string, body: unknown, headers: Record<string, string> = {}) {
  const response = await send('POST', path, {
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

const recordsPath = '/v3/clusters/c/topics/t/records'

/** Posts records in concatenated JSON; answers their reports. */
async function produce(harness: Harness, body: unknown, headers: Record<string, string> = {}, path = recordsPath) {
  const { status, headers: answered, text } = await post(harness, path, body, headers)
  const reports = text.split('\n').map((line) => JSON.parse(line) as Report)
  return { status, headers: answered, reports, report: reports[0]! }
}

interface BatchAnswer {
  error_code?: number
  successes: (Report & { id: string })[]
  failures: { id: string; error_code: number; message: string }[]
}

async function produceBatch(harness: Harness, body: unknown, headers: Record<string, string> = {}, query = '') {
  const { status, headers: answered, text } = await post(harness, `${recordsPath}:batch${query}`, body, headers)
  return { status, headers: answered, body: JSON.parse(text) as BatchAnswer }
}

async function stored({ send }: Harness, partition = 0): Promise<Record<string, unknown>[]> {
  const response = await send('GET', `/topics/t/partitions/${partition}/records?offset=0`, {
    headers: { accept: 'application/vnd.kafka.binary.v2+json' },
  })
  assert.equal(response.status, 200)
  return (await response.json()) as Record<string, unknown>[]
}

const base64 = (text: string) => Buffer.from(text).toString('base64')
const hi = { value: { type: 'STRING', data: 'hi' } }

test('a record is reported with its place, its time and the sizes of its parts', async () => {
  const harness = await withTopic(2)
  const timestamp = new Date(Date.now() - 5_000).toISOString()
  const { status, headers, report } = await produce(harness, {
    partition_id: 1,
    headers: [{ name: 'Header-1', value: base64('one') }, { name: 'Header-2' }],
    key: { type: 'BINARY', data: base64('key') },
    value: { type: 'JSON', data: { foo: 'bar' } },
    timestamp,
  })
  assert.equal(status, 200)
  assert.equal(headers.get('content-type'), 'application/json')
  assert.deepEqual(report, {
    error_code: 200,
    cluster_id: await harness.log.clusterId(),
    topic_name: 't',
    partition_id: 1,
    offset: 0,
    timestamp,
    key: { type: 'BINARY', size: 3 },
    value: { type: 'JSON', size: 13 },
  })
  const [record] = await stored(harness, 1)
  assert.deepEqual([record?.key, record?.value], [base64('key'), base64('{"foo":"bar"}')])
  assert.equal(record?.timestamp, Date.parse(timestamp))
  assert.deepEqual(record?.headers, [
    { key: 'Header-1', value: base64('one') },
    { key: 'Header-2', value: null },
  ])
})

test('a part that was not sent is not reported; null has the size -1', async () => {
  const harness = await withTopic()
  const { report } = await produce(harness, { value: { type: 'STRING', data: null } })
  assert.equal('key' in report, false)
  assert.deepEqual(report.value, { type: 'STRING', size: -1 })
  assert.equal((await produce(harness, {})).report.error_code, 200)
  assert.deepEqual(
    (await stored(harness)).map(({ key, value }) => [key, value]),
    [
      [null, null],
      [null, null],
    ],
  )
})

test('without a timestamp a record has the time of its coming', async () => {
  const before = Date.now()
  const { report } = await produce(await withTopic(), hi)
  const time = Date.parse(report.timestamp ?? '')
  assert(time >= before && time <= Date.now())
})

test('both prefixes produce', async () => {
  const harness = await withTopic()
  const { report } = await produce(harness, hi, {}, '/kafka/v3/clusters/c/topics/t/records')
  assert.deepEqual([report.error_code, report.offset], [200, 0])
})

test('concatenated records have concatenated reports, in order, and are one batch', async () => {
  for (const between of ['', '\n', ' \r\n']) {
    const harness = await withTopic()
    const bodies = Array.from({ length: 100 }, (_, index) =>
      JSON.stringify({ value: { type: 'JSON', data: { '}{"': index } } }),
    )
    const { status, reports } = await produce(harness, bodies.join(between))
    assert.equal(status, 200)
    assert.deepEqual(
      reports.map(({ error_code, offset }) => [error_code, offset]),
      bodies.map((_, index) => [200, index]),
    )
    const fetched = await harness.log.fetch({ topic: 't', partition: 0, offset: 0 })
    assert(fetched.ok)
    assert.equal(fetched.batches.length, 1)
  }
})

test('a record that is not in order is reported in its place, and the others are written', async () => {
  const harness = await withTopic()
  const bodies = [hi, { value: { type: 'BINARY', data: 1 } }, { partition_id: 9, ...hi }, { records: [] }, [], hi]
  const { status, reports } = await produce(harness, bodies.map((body) => JSON.stringify(body)).join(''))
  assert.equal(status, 200)
  assert.deepEqual(
    reports.map(({ error_code, offset }) => [error_code, offset]),
    [
      [200, 0],
      [400, undefined],
      [40403, undefined],
      [400, undefined],
      [400, undefined],
      [200, 1],
    ],
  )
  assert.deepEqual(reports[1], { error_code: 400, message: 'Bad Request: data=1 is not a base64 string.' })
  assert.match(reports[2]?.message ?? '', /^This server does not host this topic-partition\..*partition 9/)
  assert.equal((await stored(harness)).length, 2)
})

test('a single record that is not in order has its report, too, and nothing is written', async () => {
  const harness = await withTopic()
  for (const [body, code] of [
    [{ value: { data: 'fooba' } }, 400],
    [{ value: { type: 'AVRO', schema: '"string"', data: 'x' } }, 422],
    [{ headers: [{ name: 'a', value: '%' }], ...hi }, 400],
    [{ timestamp: 'today', ...hi }, 400],
    [{ partition_id: 7, ...hi }, 40403],
  ] as const) {
    const { status, report } = await produce(harness, body)
    assert.deepEqual([status, report.error_code], [200, code], JSON.stringify(body))
  }
  assert.deepEqual(await stored(harness), [])
})

test('a request that is no request is refused whole, and nothing is written', async () => {
  const harness = await withTopic()
  const good = JSON.stringify(hi)
  for (const [body, status, code] of [
    ['', 422, 42206],
    ['  \n', 422, 42206],
    ['{', 400, 400],
    [`${good}{"value":`, 400, 400],
    [`${good},${good}`, 400, 400],
    [`${good}]`, 400, 400],
  ] as const) {
    const answer = await produce(harness, body)
    assert.deepEqual([answer.status, answer.report.error_code], [status, code], body)
  }
  const typed = await produce(harness, good, { 'content-type': 'text/plain' })
  assert.deepEqual([typed.status, typed.report.error_code], [415, 415])
  const unknown = await produce(harness, hi, {}, '/v3/clusters/c/topics/x/records')
  assert.deepEqual([unknown.status, unknown.report.error_code], [404, 40403])
  assert.deepEqual(await stored(harness), [])
})

test('an empty body is refused in the words of the convention', async () => {
  const { report } = await produce(await withTopic(), '')
  assert.equal(report.message, 'Payload error. Request body is empty. Data is required.')
})

test(`a request has at most ${v3RecordsMax} records`, async () => {
  const harness = await withTopic()
  for (const count of [v3RecordsMax - 1, v3RecordsMax])
    assert.equal((await produce(harness, '{}'.repeat(count))).reports.length, count)
  assert.equal((await produce(harness, '{}'.repeat(v3RecordsMax + 1))).status, 413)
})

test('acks=0 is answered at once, without places', async () => {
  const harness = await withTopic()
  const { status, report } = await produce(harness, hi, {}, `${recordsPath}?acks=0`)
  assert.deepEqual([status, report.error_code, report.offset], [202, 200, null])
  await harness.log.settled()
  assert.equal((await stored(harness)).length, 1)
})

test('an idempotent request is written whole or not at all', async () => {
  const harness = await withTopic()
  const producer = await harness.log.allocateProducer()
  assert(producer.ok)
  const stamp = {
    'producer-id': String(producer.producerId),
    'producer-epoch': String(producer.epoch),
    'producer-seq': '0',
  }
  const good = JSON.stringify(hi)
  const mixed = await produce(harness, `${good}{"value":1}`, stamp)
  assert.deepEqual([mixed.status, mixed.report.error_code], [422, 422])
  assert.match(mixed.report.message ?? '', /^Record 1: .*Nothing was written/)
  assert.deepEqual(await stored(harness), [])

  const first = await produce(harness, good + good, stamp)
  assert.deepEqual(
    first.reports.map(({ offset }) => offset),
    [0, 1],
  )
  const again = await produce(harness, good + good, stamp)
  assert.deepEqual(
    again.reports.map(({ offset }) => offset),
    [0, 1],
  )
  assert.equal((await stored(harness)).length, 2)
  const gap = await produce(harness, good, { ...stamp, 'producer-seq': '7' })
  assert.deepEqual([gap.status, gap.headers.get('producer-expected-seq')], [409, '2'])
})

test('an expected offset that is not the end is a 412', async () => {
  const harness = await withTopic()
  const condition = { 'highwater-expected-offset': '0' }
  assert.equal((await produce(harness, hi, condition)).status, 200)
  const { status, headers, report } = await produce(harness, hi, condition)
  assert.deepEqual([status, report.error_code, headers.get('highwater-end-offset')], [412, 412, '1'])
})

test('when nothing can be written the status says so', async () => {
  class Broken extends MemoryObjects {
    override async create(): Promise<never> {
      throw new Unavailable('the store is away', 'none')
    }
  }
  const harness = await withTopic(1, { ports: { objects: new Broken() }, settings: { retryDelayMs: 0 } })
  const one = await produce(harness, `${JSON.stringify(hi)}${JSON.stringify(hi)}`)
  assert.equal(one.status, 503)
  assert.deepEqual(
    one.reports.map(({ error_code }) => error_code),
    [50301, 50301],
  )
  const batch = await produceBatch(harness, { entries: [{ id: '1', ...hi }] })
  assert.deepEqual([batch.status, batch.body.error_code, batch.body.failures[0]?.error_code], [503, 50301, 50301])
})

test('the entries of a batch are reported by their ids', async () => {
  const harness = await withTopic()
  const cluster_id = await harness.log.clusterId()
  const { status, body } = await produceBatch(harness, {
    entries: [
      { id: 'one', ...hi },
      { id: 'two', value: { type: 'BINARY', data: 1 } },
      { id: 'three', partition_id: 9 },
      { id: 'four', key: { type: 'STRING', data: 'k' }, ...hi },
    ],
  })
  assert.equal(status, 207)
  assert.deepEqual(
    body.successes.map(({ timestamp, ...rest }) => rest),
    [
      { id: 'one', cluster_id, topic_name: 't', partition_id: 0, offset: 0, value: { type: 'STRING', size: 2 } },
      {
        id: 'four',
        cluster_id,
        topic_name: 't',
        partition_id: 0,
        offset: 1,
        key: { type: 'STRING', size: 1 },
        value: { type: 'STRING', size: 2 },
      },
    ],
  )
  assert.deepEqual(
    body.failures.map(({ id, error_code }) => [id, error_code]),
    [
      ['two', 400],
      ['three', 40403],
    ],
  )
  assert.equal((await stored(harness)).length, 2)
})

test('entries of a batch have distinct ids of 1 to 80 letters, digits, dashes and underscores', async () => {
  const harness = await withTopic()
  const of = (...ids: unknown[]) => produceBatch(harness, { entries: ids.map((id) => ({ id, ...hi })) })
  for (const id of ['a', 'a'.repeat(80), 'A_b-9']) assert.equal((await of(id)).status, 207)
  for (const id of ['', 'a'.repeat(81), 'a b', 'é', 1, null, undefined]) {
    const { status, body } = await of('first', id)
    assert.deepEqual([status, body.error_code], [422, 42208], String(id))
  }
  assert.match(JSON.stringify((await of('a', 'b', 'a')).body), /Batch entry IDs are not distinct\./)
})

test(`a batch has 1 to ${v3BatchEntriesMax} entries`, async () => {
  const harness = await withTopic()
  const of = (count: number) =>
    produceBatch(harness, { entries: Array.from({ length: count }, (_, index) => ({ id: String(index) })) })
  for (const count of [1, v3BatchEntriesMax - 1, v3BatchEntriesMax])
    assert.equal((await of(count)).body.successes.length, count)
  const none = await of(0)
  assert.deepEqual([none.status, none.body.error_code], [422, 42208])
  assert.match(JSON.stringify(none.body), /Empty batch\./)
  const tooMany = await of(v3BatchEntriesMax + 1)
  assert.deepEqual([tooMany.status, tooMany.body.error_code], [422, 42208])
  assert.match(JSON.stringify(tooMany.body), /Too many entries in batch\./)
})

test('a batch of another shape is refused', async () => {
  const harness = await withTopic()
  for (const [body, status, code] of [
    ['', 422, 42206],
    ['{"entries":[', 400, 400],
    [[], 400, 400],
    [{}, 422, 42208],
    [{ entries: {} }, 422, 42208],
    [{ entries: ['a'] }, 422, 42208],
    [{ records: [] }, 422, 422],
    ['{"entries":[{"id":"1"}]}{"entries":[{"id":"2"}]}', 400, 400],
  ] as const) {
    const answer = await produceBatch(harness, body)
    assert.deepEqual([answer.status, answer.body.error_code], [status, code], JSON.stringify(body))
  }
  assert.deepEqual(await stored(harness), [])
})

test('a batch with acks=0 is answered at once', async () => {
  const harness = await withTopic()
  const { status, body } = await produceBatch(harness, { entries: [{ id: '1', ...hi }] }, {}, '?acks=0')
  assert.deepEqual([status, body.successes[0]?.offset], [202, null])
  await harness.log.settled()
  assert.equal((await stored(harness)).length, 1)
})

test('large whole numbers are stored with their digits', async () => {
  const harness = await withTopic()
  await produce(harness, '{"value":{"type":"JSON","data":{"id":12345678901234567890}}}')
  assert.equal((await stored(harness))[0]?.value, base64('{"id":12345678901234567890}'))
})
