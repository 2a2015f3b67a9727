import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchHeaders } from '../../lib/core/record-batch.ts'
import { batchesType } from '../../lib/http/raw.ts'
import { batchOf, createHarness, type Harness, joined } from './harness.ts'

const path = '/topics/t/partitions/0/records'
const jsonType = 'application/vnd.kafka.json.v2+json'
const binaryType = 'application/vnd.kafka.binary.v2+json'

interface ReadRecord {
  readonly offset: number
  readonly value: unknown
}

async function withValues(...batches: (readonly string[])[]): Promise<Harness> {
  const harness = createHarness()
  await harness.log.createTopic({ name: 't', partitions: 2 })
  for (const values of batches) await harness.appendValues(...values)
  return harness
}

function read({ send }: Harness, query: string, accept?: string, headers: Record<string, string> = {}) {
  return send('GET', `${path}?${query}`, { headers: { ...(accept === undefined ? {} : { accept }), ...headers } })
}

async function offsetsOf(response: Response): Promise<number[]> {
  assert.equal(response.status, 200)
  return ((await response.json()) as ReadRecord[]).map((record) => record.offset)
}

async function errorOf(response: Response): Promise<[number, string | null]> {
  const { message } = (await response.json()) as { message: string }
  assert.ok(message.length > 0)
  return [response.status, response.headers.get('highwater-error')]
}

function next(response: Response): number {
  return Number(response.headers.get('highwater-next-offset'))
}

test('records are read as base64 by default, with everything they have', async () => {
  const { send, log } = createHarness()
  await log.createTopic({ name: 't' })
  const record = {
    timestampMs: 1_700_000_000_000,
    key: new TextEncoder().encode('k'),
    value: null,
    headers: [
      { key: 'a', value: new Uint8Array([255]) },
      { key: 'b', value: null },
    ],
  }
  await send('POST', '/topics/t/partitions/0', { headers: { 'content-type': batchesType }, body: batchOf([record]) })
  for (const accept of [undefined, '*/*', binaryType, 'application/vnd.kafka.v2+json', 'application/json']) {
    const response = await send('GET', `${path}?offset=0`, { headers: accept === undefined ? {} : { accept } })
    assert.equal(response.headers.get('content-type'), accept === undefined || accept === '*/*' ? binaryType : accept)
    assert.deepEqual(await response.json(), [
      {
        topic: 't',
        key: 'aw==',
        value: null,
        partition: 0,
        offset: 0,
        timestamp: 1_700_000_000_000,
        headers: [
          { key: 'a', value: '/w==' },
          { key: 'b', value: null },
        ],
      },
    ])
  }
})

test('the headers say where to go on, where the log begins and ends, and which topic it is', async () => {
  const harness = await withValues(['a', 'b', 'c'])
  const described = await harness.log.describeTopic('t')
  for (const accept of [binaryType, batchesType]) {
    const { headers } = await read(harness, 'offset=1', accept)
    assert.equal(headers.get('highwater-next-offset'), '3')
    assert.equal(headers.get('highwater-high-watermark'), '3')
    assert.equal(headers.get('highwater-start-offset'), '0')
    assert.equal(headers.get('highwater-topic-id'), described.ok ? described.topic.id : '')
    assert.equal(headers.get('vary'), 'accept')
  }
})

test('as JSON a read begins at the very offset; as batches with the batch that holds it', async () => {
  const harness = await withValues(['a', 'b', 'c'], ['d'])
  assert.deepEqual(await offsetsOf(await read(harness, 'offset=2')), [2, 3])
  const raw = new Uint8Array(await (await read(harness, 'offset=2', batchesType)).arrayBuffer())
  const offsets = batchHeaders(raw)
  assert.deepEqual(offsets.ok && offsets.headers.map((header) => [header.baseOffset, header.recordCount]), [
    [0, 3],
    [3, 1],
  ])
})

test('max_records ends the list at a record, of batches at a batch', async () => {
  const harness = await withValues(['a', 'b', 'c'], ['d'])
  const json = await read(harness, 'offset=1&max_records=1')
  assert.equal(next(json), 2)
  assert.deepEqual(await offsetsOf(json), [1])
  assert.equal(next(await read(harness, 'offset=1&max_records=1', batchesType)), 3)
})

test('max_bytes bounds keys and values, and the first record comes whatever its size', async () => {
  const harness = await withValues(['x'.repeat(100), 'y'.repeat(100), 'z'])
  for (const [bytes, offsets] of [
    [1, [0]],
    [199, [0]],
    [200, [0, 1]],
    [201, [0, 1, 2]],
  ] as const) {
    const response = await read(harness, `offset=0&max_bytes=${bytes}`)
    assert.equal(next(response), offsets.length)
    assert.deepEqual(await offsetsOf(response), offsets)
  }
})

test('reading on from where each answer ends yields every record once', async () => {
  const harness = await withValues(['a', 'b'], ['c'], ['d', 'e', 'f'])
  for (const accept of [binaryType, batchesType]) {
    let offset = 0
    let rounds = 0
    while (offset < 6) {
      const response = await read(harness, `offset=${offset}&max_records=2`, accept)
      assert.equal(response.status, 200)
      assert.ok(next(response) > offset)
      offset = next(response)
      rounds++
    }
    assert.equal(offset, 6)
    assert.ok(rounds >= 2)
  }
})

test('JSON is embedded as it was written, digits of large numbers included', async () => {
  const harness = await withValues(['{"n": 12345678901234567890}', '[1,  2]', '"text"', 'null'])
  const response = await read(harness, 'offset=0', jsonType)
  assert.equal(response.headers.get('content-type'), jsonType)
  const text = await response.text()
  assert.ok(text.includes('"value":{"n": 12345678901234567890}'), text)
  assert.deepEqual(
    (JSON.parse(text) as ReadRecord[]).slice(1).map((record) => record.value),
    [[1, 2], 'text', null],
  )
})

test('a value that is not JSON is refused with its offset, after what comes before it was answered', async () => {
  const harness = await withValues(['1', '{broken', '2'])
  const before = await read(harness, 'offset=0', jsonType)
  assert.equal(next(before), 1)
  assert.deepEqual(await offsetsOf(before), [0])
  const response = await read(harness, 'offset=1', jsonType)
  assert.match(await response.clone().text(), /offset 1 /)
  assert.deepEqual(await errorOf(response), [406, 'NOT_ACCEPTABLE'])
  assert.deepEqual(await offsetsOf(await read(harness, 'offset=2', jsonType)), [2])
})

test('bytes that are no UTF-8 are not JSON', async () => {
  const harness = await withValues()
  const record = { timestampMs: Date.now(), key: new Uint8Array([0xff]), value: null }
  await harness.send('POST', '/topics/t/partitions/0', {
    headers: { 'content-type': batchesType },
    body: batchOf([record]),
  })
  assert.deepEqual(await errorOf(await read(harness, 'offset=0', jsonType)), [406, 'NOT_ACCEPTABLE'])
})

test('compressed batches are read as JSON like any other', async () => {
  const harness = await withValues()
  for (const compression of ['gzip', 'snappy', 'lz4', 'zstd'] as const)
    await harness.send('POST', '/topics/t/partitions/0', {
      headers: { 'content-type': batchesType },
      body: batchOf(['"a"', '"b"'], { compression }),
    })
  assert.deepEqual(await offsetsOf(await read(harness, 'offset=0', jsonType)), [0, 1, 2, 3, 4, 5, 6, 7])
})

for (const [query, expected] of [
  ['', [400, 'INVALID_REQUEST']],
  ['offset=', [400, 'INVALID_REQUEST']],
  ['offset=-1', [400, 'INVALID_REQUEST']],
  ['offset=1.5', [400, 'INVALID_REQUEST']],
  ['offset=99999999999999999999', [400, 'INVALID_REQUEST']],
  ['offset=0&timeout=-1', [400, 'INVALID_REQUEST']],
  ['offset=0&max_bytes=0', [400, 'INVALID_REQUEST']],
  ['offset=0&max_records=0', [400, 'INVALID_REQUEST']],
  ['offset=0&topic_id=AAAAAAAAAAAAAAAAAAAAAA', [404, 'UNKNOWN_TOPIC']],
  ['offset=3', [416, 'OFFSET_OUT_OF_RANGE']],
] as const)
  test(`a read with ?${query} is refused with ${expected[1]}`, async () => {
    const harness = await withValues(['a', 'b'])
    assert.deepEqual(await errorOf(await read(harness, query)), expected)
  })

test('an offset outside the log is refused with the range there is', async () => {
  const harness = await withValues(['a', 'b', 'c'])
  await harness.send('DELETE', `${path}?before_offset=1`)
  for (const offset of [0, 4]) {
    const response = await read(harness, `offset=${offset}`)
    assert.equal(response.headers.get('highwater-start-offset'), '1')
    assert.equal(response.headers.get('highwater-high-watermark'), '3')
    assert.deepEqual(await errorOf(response), [416, 'OFFSET_OUT_OF_RANGE'])
  }
})

test('who accepts nothing that records can be had as gets 406', async () => {
  const harness = await withValues(['a'])
  assert.deepEqual(await errorOf(await read(harness, 'offset=0', 'text/html')), [406, 'NOT_ACCEPTABLE'])
})

test('an answer that ends before the high watermark never changes: with the topic id it is cached for ever', async () => {
  const harness = await withValues(['a'], ['b'])
  const topicId = (await read(harness, 'offset=0')).headers.get('highwater-topic-id')
  for (const accept of [binaryType, batchesType]) {
    const response = await read(harness, `offset=0&max_records=1&topic_id=${topicId}`, accept)
    assert.equal(response.headers.get('cache-control'), 'public, max-age=31536000, immutable')
    assert.notEqual(response.headers.get('etag'), null)
  }
})

test('without the topic id it is revalidated by its ETag, which differs by form and range', async () => {
  const harness = await withValues(['1'], ['2'], ['3'])
  const tags = new Set<string>()
  for (const accept of [binaryType, batchesType, jsonType])
    for (const query of ['offset=0&max_records=1', 'offset=0&max_records=2', 'offset=1&max_records=1']) {
      const response = await read(harness, query, accept)
      assert.equal(response.headers.get('cache-control'), 'no-cache')
      const etag = response.headers.get('etag') ?? ''
      tags.add(etag)
      const again = await read(harness, query, accept, { 'if-none-match': `"other", ${etag}` })
      assert.deepEqual([again.status, await again.text()], [304, ''])
      assert.equal(again.headers.get('etag'), etag)
      assert.equal(again.headers.get('highwater-next-offset'), response.headers.get('highwater-next-offset'))
      assert.equal((await read(harness, query, accept, { 'if-none-match': '"other"' })).status, 200)
    }
  assert.equal(tags.size, 9)
})

test('an answer that reaches the end is not stored', async () => {
  const harness = await withValues(['a'])
  const topicId = (await read(harness, 'offset=0')).headers.get('highwater-topic-id')
  for (const query of ['offset=0', 'offset=1', `offset=0&topic_id=${topicId}`]) {
    const response = await read(harness, query)
    assert.equal(response.headers.get('cache-control'), 'no-store')
    assert.equal(response.headers.get('etag'), null)
  }
})

test('without a timeout nothing new is answered at once, as nothing', async () => {
  const harness = await withValues(['a'])
  const json = await read(harness, 'offset=1')
  assert.deepEqual([await json.text(), next(json)], ['[]', 1])
  const raw = await read(harness, 'offset=1', batchesType)
  assert.deepEqual([raw.status, (await raw.arrayBuffer()).byteLength, next(raw)], [200, 0, 1])
})

test('a read that waits is answered as soon as there is something', async () => {
  const harness = await withValues(['a'])
  const waiting = read(harness, 'offset=1&timeout=20000')
  await new Promise(setImmediate)
  await harness.appendValues('b')
  assert.deepEqual(await offsetsOf(await waiting), [1])
})

test('a read waits no longer than the server allows', async () => {
  const harness = createHarness({ settings: { fetchWaitMsMax: 20 } })
  await harness.log.createTopic({ name: 't' })
  const startedMs = performance.now()
  assert.deepEqual(await offsetsOf(await read(harness, 'offset=0&timeout=600000')), [])
  assert.ok(performance.now() - startedMs < 5_000)
})

test('a read whose client went away waits no longer', async () => {
  const harness = await withValues(['a'])
  const gone = new AbortController()
  const answer = harness.app.answer(
    { method: 'GET', url: `http://log.test${path}?offset=1&timeout=20000`, headers: new Headers() },
    { signal: gone.signal },
  )
  await new Promise(setImmediate)
  gone.abort()
  assert.equal((await answer).status, 200)
})

test('an answer is never larger than a request may be, whatever is asked for', async () => {
  const harness = createHarness({ settings: { appendBytesMax: 2_000, fetchBytesMax: 1_000 } })
  await harness.log.createTopic({ name: 't' })
  for (let round = 0; round < 5; round++) await harness.appendValues('x'.repeat(900))
  const raw = await read(harness, 'offset=0&max_bytes=100000000', batchesType)
  assert.ok((await raw.arrayBuffer()).byteLength <= 2_000)
  assert.deepEqual(await offsetsOf(await read(harness, 'offset=0')), [0])
})

test('the JSON of an answer has a limit of its own: a compressed batch can be little, and its records many', async () => {
  const harness = createHarness({ settings: { appendBytesMax: 4_096, fetchBytesMax: 4_096 } })
  await harness.log.createTopic({ name: 't' })
  const nothings = Array.from({ length: 1_000 }, () => ({ timestampMs: 1, key: null, value: null }))
  await harness.send('POST', '/topics/t/partitions/0', {
    headers: { 'content-type': batchesType },
    body: batchOf(nothings, { compression: 'gzip' }),
  })
  const seen: number[] = []
  while (seen.length < 1_000) {
    const response = await read(harness, `offset=${seen.length}`)
    const text = await response.clone().text()
    assert.ok(text.length <= 4_096, `${text.length} bytes`)
    seen.push(...(await offsetsOf(response)))
    assert.equal(next(response), seen.length)
  }
  assert.deepEqual(seen, [...seen.keys()])
})

test('records are deleted up to an offset, or all of them', async () => {
  const harness = await withValues(['a', 'b', 'c'])
  const some = await harness.send('DELETE', `${path}?before_offset=2`)
  assert.deepEqual([some.status, await some.json()], [200, { beginning_offset: 2 }])
  assert.deepEqual(await offsetsOf(await read(harness, 'offset=2')), [2])
  const all = await harness.send('DELETE', `${path}?before_offset=-1`)
  assert.deepEqual(await all.json(), { beginning_offset: 3 })
  assert.deepEqual(await errorOf(await harness.send('DELETE', path)), [400, 'INVALID_REQUEST'])
  assert.deepEqual(await errorOf(await harness.send('DELETE', `${path}?before_offset=-2`)), [400, 'INVALID_REQUEST'])
  assert.deepEqual(await errorOf(await harness.send('DELETE', `${path}?before_offset=4`)), [416, 'OFFSET_OUT_OF_RANGE'])
})

test('several batches in one chunk are read one by one', async () => {
  const harness = await withValues()
  await harness.send('POST', '/topics/t/partitions/0', {
    headers: { 'content-type': batchesType },
    body: joined(batchOf(['a', 'b']), batchOf(['c'])),
  })
  assert.deepEqual(await offsetsOf(await read(harness, 'offset=1')), [1, 2])
})
