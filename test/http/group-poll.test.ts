import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isData, type PollHeader, pollType, readPollFrame } from '../../lib/core/poll-frame.ts'
import { decodeBatch } from '../../lib/core/record-batch.ts'
import type { Settings } from '../../lib/core/settings.ts'
import { batchOf, createHarness } from './harness.ts'

interface Said {
  readonly membership?: { readonly epoch: number; readonly assigned: readonly object[] }
  readonly partitions: readonly {
    readonly topic: string
    readonly partition: number
    readonly records?: readonly { readonly offset: number; readonly value: unknown }[]
    readonly next_offset?: number
    readonly high_watermark?: number
    readonly error?: string
    readonly error_code?: number
    readonly start_offset?: number
  }[]
}

async function world(settings: Partial<Settings> = {}) {
  const harness = createHarness({ settings: { topicAgeMsMax: 0, ...settings } })
  const { log, codecs } = harness
  assert.ok((await log.createTopic({ name: 't', partitions: 3 })).ok)
  const append = async (partition: number, values: readonly string[]) =>
    assert.ok((await log.append({ topic: 't', partition, batches: batchOf(values) })).ok)
  const post = (path: string, body: object, accept = 'application/json') =>
    harness.send('POST', path, {
      headers: { 'content-type': 'application/json', accept },
      body: JSON.stringify(body),
    })
  const fetchMany = async (partitions: readonly object[], more: object = {}): Promise<Said> => {
    const response = await post('/fetch', { partitions, ...more })
    assert.equal(response.status, 200)
    return (await response.json()) as Said
  }
  const at = (partition: number, offset: number) => ({ topic: 't', partition, offset })
  return { ...harness, append, post, fetchMany, at, codecs }
}

const text = (base64: unknown) => Buffer.from(String(base64), 'base64').toString()

describe('fetching many partitions', () => {
  it('answers those with something to say: records, or a refusal of their own', async () => {
    const { append, fetchMany, at } = await world()
    await append(0, ['a', 'b'])
    await append(1, ['c'])
    const said = await fetchMany([at(0, 1), at(1, 0), at(2, 9), { ...at(0, 0), topic: 'none' }])
    const shown = said.partitions.map(({ topic, partition, records, error }) => [
      topic,
      partition,
      records?.map(({ offset, value }) => `${offset}${text(value)}`) ?? error,
    ])
    assert.deepEqual(
      shown.sort((x, y) => String(x).localeCompare(String(y))),
      [
        ['none', 0, 'UNKNOWN_TOPIC'],
        ['t', 0, ['1b']],
        ['t', 1, ['0c']],
        ['t', 2, 'OFFSET_OUT_OF_RANGE'],
      ].sort((x, y) => String(x).localeCompare(String(y))),
    )
    const outside = said.partitions.find(({ error }) => error === 'OFFSET_OUT_OF_RANGE')
    assert.deepEqual([outside?.error_code, outside?.start_offset, outside?.high_watermark], [416, 0, 0])
  })

  it('holds as JSON exactly as many records as were asked for, and each partition says where to go on', async () => {
    const { append, fetchMany, at } = await world()
    for (const partition of [0, 1, 2]) await append(partition, ['a', 'b', 'c'])
    const offsets = [0, 0, 0]
    let count = 0
    for (let turn = 0; turn < 20 && count < 9; turn++) {
      const said = await fetchMany(
        offsets.map((offset, partition) => at(partition, offset)),
        { max_records: 2 },
      )
      let read = 0
      for (const { partition, records = [], next_offset = 0 } of said.partitions) {
        read += records.length
        offsets[partition] = next_offset
      }
      assert.ok(read >= 1 && read <= 2, `${read}`)
      count += read
    }
    assert.deepEqual([count, offsets], [9, [3, 3, 3]])
  })

  it('has no more JSON than an answer may have, of all partitions together; who is left out comes next time', async () => {
    const { log, fetchMany, at } = await world({ appendBytesMax: 4_096, fetchBytesMax: 4_096 })
    const nothings = Array.from({ length: 100 }, () => ({ timestampMs: 1, key: null, value: null }))
    for (const partition of [0, 1, 2])
      assert.ok((await log.append({ topic: 't', partition, batches: batchOf(nothings, { compression: 'gzip' }) })).ok)
    const offsets = [0, 0, 0]
    for (let turn = 0; turn < 30 && offsets.some((offset) => offset < 100); turn++) {
      const said = await fetchMany(offsets.map((offset, partition) => at(partition, offset)))
      const bytes = said.partitions.reduce((sum, { records = [] }) => sum + JSON.stringify(records).length, 0)
      assert.ok(bytes <= 4_096 + 8, `${bytes} bytes`)
      for (const { partition, records = [], next_offset = 0 } of said.partitions) {
        assert.equal(next_offset, (offsets[partition] ?? 0) + records.length)
        offsets[partition] = next_offset
      }
    }
    assert.deepEqual(offsets, [100, 100, 100])
  })

  it('embeds JSON where that is accepted, and refuses by partition what is none', async () => {
    const { append, post, at } = await world()
    await append(0, ['{"n":12345678901234567890}'])
    await append(1, ['no json'])
    const response = await post('/fetch', { partitions: [at(0, 0), at(1, 0)] }, 'application/vnd.kafka.json.v2+json')
    assert.equal(response.headers.get('content-type'), 'application/vnd.kafka.json.v2+json')
    const body = await response.text()
    assert.match(body, /"value":\{"n":12345678901234567890\}/)
    const { partitions } = JSON.parse(body) as Said
    assert.equal(partitions.find(({ partition }) => partition === 1)?.error, 'NOT_ACCEPTABLE')
  })

  it('is bytes where that is accepted: a header, and the batches as they are', async () => {
    const { append, post, at, codecs } = await world()
    await append(0, ['a', 'b'])
    await append(2, ['c'])
    const response = await post('/fetch', { partitions: [at(0, 0), at(1, 5), at(2, 0)] }, pollType)
    assert.equal(response.headers.get('content-type'), pollType)
    const read = readPollFrame(new Uint8Array(await response.arrayBuffer()))
    assert.ok(read.ok)
    const header: PollHeader = read.header
    const values = header.partitions.map((partition, index) => {
      if (!isData(partition)) return [partition.partition, partition.error]
      const batch = decodeBatch(read.batches[index]!, 0, codecs, 1_000_000)
      assert.ok(batch.ok)
      return [partition.partition, ...batch.records.map(({ value }) => Buffer.from(value!).toString())]
    })
    assert.deepEqual(values.sort(), [
      [0, 'a', 'b'],
      [1, 'OFFSET_OUT_OF_RANGE'],
      [2, 'c'],
    ])
  })

  it('waits for the first records of any partition', async () => {
    const { append, fetchMany, at } = await world()
    const waiting = fetchMany([at(0, 0), at(1, 0)], { wait_ms: 20_000 })
    await append(1, ['x'])
    const said = await waiting
    assert.deepEqual(
      said.partitions.map(({ partition }) => partition),
      [1],
    )
    assert.deepEqual(await fetchMany([at(0, 0)]), { partitions: [] })
  })

  it('is refused where a partition is named twice, and to who accepts nothing that there is', async () => {
    const { post, at } = await world()
    assert.equal((await post('/fetch', { partitions: [at(0, 0), at(0, 1)] })).status, 400)
    assert.equal((await post('/fetch', { partitions: [] }, 'text/html')).status, 406)
    assert.equal((await post('/groups/g/members/m/poll', { epoch: 0, holding: [] }, 'text/html')).status, 406)
  })
})

describe('a poll', () => {
  it('is heartbeat and fetch in one: what has changed comes first, then records', async () => {
    const { append, post, log } = await world()
    await append(0, ['a'])
    await append(1, ['b'])
    const subscription = { kind: 'topics', topics: ['t'] } as const
    assert.ok((await log.groups.join({ group: 'g', memberId: 'm', subscription })).ok)
    const poll = async (epoch: number, holding: readonly object[]): Promise<Said> =>
      (await (await post('/groups/g/members/m/poll', { epoch, holding })).json()) as Said
    const news = await poll(0, [])
    assert.equal(news.membership?.assigned.length, 3)
    assert.deepEqual(news.partitions, [])
    const { epoch, assigned } = news.membership
    const said = await poll(
      epoch,
      assigned.map((held, index) => (index === 1 ? held : { ...held, offset: 0 })),
    )
    // Held, but not wanted now: nothing of partition 1.
    assert.equal(said.membership, undefined)
    assert.deepEqual(
      said.partitions.map(({ partition, records, next_offset }) => [partition, text(records?.[0]?.value), next_offset]),
      [[0, 'a', 1]],
    )
    const framed = await post('/groups/g/members/m/poll', { epoch: 0, holding: [] }, pollType)
    const read = readPollFrame(new Uint8Array(await framed.arrayBuffer()))
    assert.ok(read.ok)
    assert.equal(read.header.membership?.member_id, 'm')
    assert.equal((await post('/groups/g/members/other/poll', { epoch, holding: [] })).status, 404)
  })
})
