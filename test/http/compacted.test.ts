/** Every face over offsets that compaction took away: whoever follows what an answer says gets all that is left, and waits for what comes. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { Highwater, text } from '../../lib/client/highwater.ts'
import { encodeBatch } from '../../lib/core/record-batch.ts'
import { createHarness } from './harness.ts'
import { Consumer } from './v2-consumers-fixture.ts'

const bytesOf = (value: string) => new TextEncoder().encode(value)

async function world() {
  const harness = createHarness({ settings: { topicAgeMsMax: 0, mergeQuietMs: 0, mergeRowsMin: 2 } })
  const { log, app } = harness
  const configs = { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0', 'delete.retention.ms': '0' }
  assert.ok((await log.createTopic({ name: 't', configs })).ok)
  /** `key=value`, or `key` for a tombstone; JSON strings. */
  const put = async (...texts: string[]) => {
    for (const one of texts) {
      const [key = '', value] = one.split('=')
      const records = [
        {
          timestampMs: Date.now(),
          key: bytesOf(JSON.stringify(key)),
          value: value === undefined ? null : bytesOf(JSON.stringify(value)),
        },
      ]
      const batches = encodeBatch({ records, compression: 'none' }, nodeCodecs)
      assert.ok((await log.append({ topic: 't', partition: 0, batches })).ok)
    }
  }
  const compact = async () => {
    for (let rolls = 0; rolls < 2; rolls++) assert.ok((await log.roll('t', 0)).ok)
    const answer = await log.compact('t', 0)
    assert.ok(answer.ok)
  }
  /** Offsets 0 to 4, of which nothing is left. */
  const emptied = async () => {
    await put('a=1', 'b=1')
    await put('a', 'b')
    await compact()
    await put('c=1')
    await put('c')
    for (let passes = 0; passes < 3; passes++) {
      await new Promise((resolve) => setTimeout(resolve, 2))
      await compact()
    }
  }
  const highwater = new Highwater({
    url: 'http://log.test',
    fetch: (url, init) => app.fetch(new Request(url, init)),
    retryDelayMs: 1,
  })
  return { ...harness, put, compact, emptied, highwater }
}

describe('a compacted partition', () => {
  test('is read by offset, as JSON and as batches, with where to go on in each answer', async () => {
    const { put, compact, send } = await world()
    await put('a=1', 'b=1', 'a=2', 'c=1', 'b=2')
    await compact()
    for (const [offset, expected] of [
      [0, [2, 3, 4]],
      [1, [2, 3, 4]],
      [4, [4]],
    ] as const) {
      const answer = await send('GET', `/topics/t/partitions/0/records?offset=${offset}`, {
        headers: { accept: 'application/vnd.kafka.json.v2+json' },
      })
      assert.equal(answer.status, 200)
      assert.equal(answer.headers.get('highwater-next-offset'), '5')
      const records = (await answer.json()) as { offset: number }[]
      assert.deepEqual(
        records.map((record) => record.offset),
        expected,
      )
    }
  })

  test('is not kept by caches, which would show a value after its tombstone is gone', async () => {
    const { put, compact, send, log } = await world()
    await put('a=1', 'b=1')
    const kept = async () => {
      const described = await log.describeTopic('t')
      assert.ok(described.ok)
      const url = `/topics/t/partitions/0/records?offset=0&max_records=1&topic_id=${described.topic.id}`
      const answer = await send('GET', url, { headers: { accept: 'application/vnd.kafka.binary.v2+json' } })
      assert.equal(answer.headers.get('highwater-next-offset'), '1')
      return [answer.headers.get('cache-control'), answer.headers.get('etag') !== null]
    }
    assert.deepEqual(await kept(), ['no-store', false])
    await compact()
    assert.ok((await log.alterConfigs('t', [{ name: 'cleanup.policy', value: 'delete' }])).ok)
    // Nobody knows what was taken out of it before.
    assert.deepEqual(await kept(), ['no-store', false])
  })

  test('of which nothing is left is answered at once with the end, and waits from there', async () => {
    const { emptied, put, send } = await world()
    await emptied()
    const empty = await send('GET', '/topics/t/partitions/0/records?offset=1')
    assert.deepEqual([empty.status, empty.headers.get('highwater-next-offset'), await empty.text()], [200, '6', '[]'])
    const waiting = send('GET', '/topics/t/partitions/0/records?offset=1&timeout=10000')
    await put('d=1')
    const answer = await waiting
    assert.equal(answer.headers.get('highwater-next-offset'), '7')
    assert.equal(((await answer.json()) as unknown[]).length, 1)
  })

  test('is read to its end by a reader of the client, and on from there', async () => {
    const { put, compact, emptied, highwater } = await world()
    await emptied()
    const reader = highwater.reader({ topic: 't', partition: 0, waitMs: 0 })
    assert.deepEqual(await reader.poll(), [])
    assert.deepEqual([reader.position, reader.lag], [6, 0])
    await put('d=1', 'e=1', 'd=2')
    await compact()
    const values: string[] = []
    for (let polls = 0; polls < 5; polls++)
      for (const record of (await reader.poll()) ?? []) values.push(`${record.offset} ${text(record.value)}`)
    assert.deepEqual(values, ['7 "1"', '8 "2"'])
    await reader.return()
  })

  test('is read by a consumer of a group, which commits beyond what is gone', async () => {
    const { put, compact, emptied, highwater, log } = await world()
    await emptied()
    await put('d=1', 'e=1', 'd=2')
    await compact()
    const consumer = highwater.consumer({ group: 'g', topics: ['t'], from: 'earliest', waitMs: 0 })
    const seen: string[] = []
    while (seen.length < 2) {
      const next = await consumer.next()
      if (next.value !== undefined) seen.push(`${next.value.offset} ${text(next.value.value)}`)
    }
    assert.deepEqual(seen, ['7 "1"', '8 "2"'])
    // Who asks for more has processed what there was.
    assert.deepEqual(await consumer.poll(), [])
    await consumer.close()
    const committed = await log.groups.committed('g')
    assert.ok(committed.ok, JSON.stringify(committed))
    assert.deepEqual(
      committed.offsets.map(({ offset }) => offset),
      [9],
    )
  })

  test('is read by an instance of the v2 API, whose position moves over what is gone', async () => {
    const { put, compact, emptied, send } = await world()
    await emptied()
    const consumer = await Consumer.create(send, 'g')
    await consumer.expect(204, 'POST', '/assignments', { partitions: [{ topic: 't', partition: 0 }] })
    const poll = async () => {
      const answer = await consumer.call('GET', '/records?timeout=0', undefined, {
        accept: 'application/vnd.kafka.json.v2+json',
      })
      assert.equal(answer.status, 200, JSON.stringify(answer.body))
      return (answer.body as { offset: number }[]).map((record) => record.offset)
    }
    assert.deepEqual(await poll(), [])
    await put('d=1', 'e=1', 'd=2')
    await compact()
    assert.deepEqual(await poll(), [7, 8])
    assert.deepEqual(await poll(), [])
  })

  test('takes no record without a key: v2 and v3 say so of that record alone, and the others are written', async () => {
    const { send } = await world()
    const v2 = await send('POST', '/topics/t', {
      headers: { 'content-type': 'application/vnd.kafka.json.v2+json' },
      body: JSON.stringify({ records: [{ key: 'k', value: 1 }, { value: 2 }] }),
    })
    assert.equal(v2.status, 200)
    const { offsets } = (await v2.json()) as { offsets: { offset: number | null; error: string | null }[] }
    assert.equal(offsets[0]?.offset, 0)
    assert.match(offsets[1]?.error ?? '', /needs a key/)
    const clusterId = ((await (await send('GET', '/v3/clusters')).json()) as { data: { cluster_id: string }[] }).data[0]
    const v3 = await send('POST', `/v3/clusters/${clusterId?.cluster_id}/topics/t/records`, {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ value: { type: 'JSON', data: 2 } }),
    })
    const said = (await v3.json()) as { error_code: number; message: string }
    assert.equal(said.error_code, 42206, JSON.stringify(said))
    assert.match(said.message, /needs a key/)
  })
})
