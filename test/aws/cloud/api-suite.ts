/** What an application does, through the gateway and real function processes: create, produce, read, be refused, wait. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { nodeCodecs } from '../../../lib/adapters/codecs-node.ts'
import { batchHeaders, decodeBatch } from '../../../lib/core/record-batch.ts'
import { batchesType } from '../../../lib/http/raw.ts'
import { batchOf } from '../../conformance/log-fixture.ts'
import type { Answer, Caller } from './caller.ts'

const json = 'application/json'
const jsonRecords = 'application/vnd.kafka.json.v2+json'
const binaryRecords = 'application/vnd.kafka.binary.v2+json'
const base64 = (text: string) => Buffer.from(text).toString('base64')
const bodyBytesMax = 4 * 1_048_576

function body(type: string, value: unknown): { headers: Record<string, string>; body: string } {
  return { headers: { 'content-type': type }, body: JSON.stringify(value) }
}

function refused({ status, json: said, headers }: Answer): [number, number, string | null] {
  return [status, said?.error_code, headers.get('highwater-error')]
}

export function apiSuite(called: () => Caller): void {
  const send: Caller['send'] = (...parameters) => called().send(...parameters)
  const produce = (topic: string, values: readonly string[]) =>
    send('POST', `/topics/${topic}/partitions/0`, body(jsonRecords, { records: values.map((value) => ({ value })) }))

  describe('the API of a deployed stack', () => {
    test('says who it is', async () => {
      assert.deepEqual((await send('GET', '/health')).json, { live: true, ready: true })
      assert.deepEqual((await send('GET', '/')).json, {})
      const { json: document } = await send('GET', '/openapi.json')
      assert.equal(document.openapi.slice(0, 3), '3.1')
      for (const path of [
        '/topics/{topic}',
        '/v3/clusters/{cluster_id}/topics',
        '/topics/{topic}/partitions/{partition}/records',
      ])
        assert.ok(document.paths[path], path)
    })

    test('creates topics, shows them, raises their partitions, alters and deletes them', async () => {
      const { json: clusters } = await send('GET', '/v3/clusters')
      const at = `/v3/clusters/${clusters.data[0].cluster_id}/topics`
      const created = await send('POST', at, body(json, { topic_name: 'life', partitions_count: 2 }))
      assert.deepEqual([created.status, created.json.partitions_count], [201, 2])
      assert.equal((await send('POST', at, body(json, { topic_name: 'life' }))).status, 400)
      assert.ok((await send('GET', '/topics')).json.includes('life'))
      assert.equal((await send('PATCH', `${at}/life`, body(json, { partitions_count: 3 }))).json.partitions_count, 3)
      const config = `${at}/life/configs/retention.ms`
      assert.equal((await send('PUT', config, body(json, { value: '60000' }))).status, 204)
      assert.equal((await send('GET', config)).json.value, '60000')
      assert.equal((await send('DELETE', `${at}/life`)).status, 204)
      assert.equal((await send('GET', `/topics/life`)).status, 404)
    })

    test('takes records as JSON, as base64, one by one and as batches, and gives them back in every form', async () => {
      await called().client().admin.createTopic('forms', { partitions: 1 })
      const offset = ({ json: said }: Answer) => said.offsets[0].offset
      assert.equal(offset(await produce('forms', ['as json'])), 0)
      const binary = { records: [{ key: base64('k'), value: base64('as bytes \0\u{1f40b}') }] }
      assert.equal(offset(await send('POST', '/topics/forms', body(binaryRecords, binary))), 1)
      const { json: clusters } = await send('GET', '/v3/clusters')
      const v3 = await send(
        'POST',
        `/v3/clusters/${clusters.data[0].cluster_id}/topics/forms/records`,
        body(json, {
          partition_id: 0,
          headers: [{ name: 'h', value: base64('v') }],
          value: { type: 'STRING', data: 'as v3' },
        }),
      )
      assert.deepEqual([v3.status, v3.json.offset], [200, 2])
      const raw = await send('POST', '/topics/forms/partitions/0', {
        headers: { 'content-type': batchesType },
        body: batchOf(['as a batch', 'of two'], { compression: 'zstd' }),
      })
      assert.deepEqual([raw.status, raw.json.base_offset, raw.json.next_offset], [200, 3, 5])

      const expected = ['"as json"', 'as bytes \0\u{1f40b}', 'as v3', 'as a batch', 'of two']
      const asJson = await send('GET', '/topics/forms/partitions/0/records?offset=0', {
        headers: { accept: binaryRecords },
      })
      assert.equal(asJson.headers.get('highwater-next-offset'), '5')
      assert.deepEqual(
        asJson.json.map(({ value }: { value: string }) => Buffer.from(value, 'base64').toString()),
        expected,
      )
      assert.deepEqual(asJson.json[2].headers, [{ key: 'h', value: base64('v') }])
      const asBatches = await send('GET', '/topics/forms/partitions/0/records?offset=0', {
        headers: { accept: batchesType },
      })
      assert.equal(asBatches.headers.get('content-type'), batchesType)
      assert.deepEqual(valuesOf(asBatches.bytes), expected)
    })

    test('serves the client: a compressing, idempotent producer, and a reader from the beginning', async () => {
      const client = called().client()
      await client.admin.createTopic('client', { partitions: 3 })
      const producer = client.producer({ compression: 'gzip', lingerMs: 5 })
      const values = Array.from({ length: 300 }, (_, index) => `value ${index}`)
      const sent = await Promise.all(
        values.map((value, index) => producer.send({ topic: 'client', key: `${index % 7}`, value })),
      )
      await producer.close()
      for (const partition of [0, 1, 2]) {
        const here = sent.flatMap((place, index) =>
          place.partition === partition ? [{ ...place, value: values[index] }] : [],
        )
        let next = 0
        if (here.length === 0) continue
        for await (const record of client.reader({ topic: 'client', partition, from: 'earliest' })) {
          assert.equal(record.offset, next++)
          assert.equal(
            new TextDecoder().decode(record.value ?? new Uint8Array()),
            here.find(({ offset }) => offset === record.offset)?.value,
          )
          if (next === here.length) break
        }
      }
    })

    test('knows more idempotent producers than a head has room for', async () => {
      await called().client().admin.createTopic('producers', { partitions: 1 })
      const ids: number[] = []
      for (let count = 0; count < 7; count++) ids.push((await send('POST', '/producers')).json.producer_id)
      const append = async (id: number, sequence: number) => {
        const { headers, body: records } = body(jsonRecords, { records: [{ value: `${id}/${sequence}` }] })
        const identity = { 'producer-id': `${id}`, 'producer-epoch': '0', 'producer-seq': `${sequence}` }
        const answer = await send('POST', '/topics/producers/partitions/0', {
          headers: { ...headers, ...identity },
          body: records,
        })
        assert.equal(answer.status, 200, answer.text)
        return [answer.json.offsets[0].offset, answer.headers.get('highwater-duplicate')]
      }
      for (const sequence of [0, 1])
        for (const [index, id] of ids.entries())
          assert.deepEqual(await append(id, sequence), [sequence * ids.length + index, null])
      for (const [index, id] of ids.entries()) assert.deepEqual(await append(id, 1), [ids.length + index, 'true'])
    })

    test('refuses with the numbers and the words of the protocol', async () => {
      await called().client().admin.createTopic('refusals')
      const one = { records: [{ value: 1 }] }
      assert.deepEqual(refused(await send('POST', '/topics/nobody', body(jsonRecords, one))), [
        404,
        40401,
        'UNKNOWN_TOPIC',
      ])
      assert.deepEqual(refused(await send('GET', '/topics/refusals/partitions/0/records?offset=7')), [
        416,
        416,
        'OFFSET_OUT_OF_RANGE',
      ])
      assert.equal((await send('POST', '/topics/refusals', body(jsonRecords, { records: 1 }))).status, 422)
      assert.equal((await send('POST', '/topics/refusals', body('text/plain', one))).status, 415)
      assert.deepEqual(refused(await send('GET', '/no/such/path')), [404, 404, 'NOT_FOUND'])
      const { status, headers } = await send('DELETE', '/openapi.json')
      assert.deepEqual([status, headers.get('allow')], [405, 'GET, HEAD, OPTIONS'])
      const options = body(jsonRecords, one)
      const conditional = await send('POST', '/topics/refusals/partitions/0', {
        ...options,
        headers: { ...options.headers, 'highwater-expected-offset': '9' },
      })
      assert.deepEqual([conditional.status, conditional.headers.get('highwater-end-offset')], [412, '0'])
    })

    test('takes a body of 4 MiB, and refuses one byte more', async () => {
      // Kept as it is sent.
      await called()
        .client()
        .admin.createTopic('large', { configs: { 'merge.compression.type': 'producer' } })
      const headers = { 'content-type': batchesType }
      const parts = 4
      const whole = sized(bodyBytesMax / parts)
      const largest = Buffer.concat(Array.from({ length: parts }, () => whole))
      const taken = await send('POST', '/topics/large/partitions/0', { headers, body: largest })
      assert.deepEqual([taken.status, taken.json.record_count], [200, parts], taken.text)
      const larger = Buffer.concat([largest.subarray(whole.byteLength), sized(whole.byteLength + 1)])
      const above = await send('POST', '/topics/large/partitions/0', { headers, body: larger })
      assert.deepEqual([above.status, above.headers.get('highwater-error')], [413, 'REQUEST_TOO_LARGE'])
      const back = await send('GET', `/topics/large/partitions/0/records?offset=0&max_bytes=${bodyBytesMax}`, {
        headers: { accept: batchesType },
      })
      assert.deepEqual([back.status, back.bytes.byteLength], [200, bodyBytesMax])
    })

    test('a long poll ends without records when its time is up', async () => {
      await called().client().admin.createTopic('quiet')
      const startedMs = performance.now()
      const polled = await send('GET', '/topics/quiet/partitions/0/records?offset=0&timeout=2000')
      const tookMs = performance.now() - startedMs
      assert.deepEqual([polled.status, polled.json], [200, []])
      assert.ok(tookMs >= 1_950 && tookMs < 10_000, `${tookMs} ms`)
    })

    test('a long poll is woken by what another process appends', async () => {
      await called().client().admin.createTopic('woken')
      const startedMs = performance.now()
      const polling = send('GET', '/topics/woken/partitions/0/records?offset=0&timeout=20000', {
        headers: { accept: jsonRecords },
      })
      await wait(1_000)
      assert.equal((await produce('woken', ['good morning'])).status, 200)
      const polled = await polling
      assert.deepEqual(
        polled.json.map(({ value }: { value: unknown }) => value),
        ['good morning'],
      )
      assert.ok(performance.now() - startedMs < 10_000)
    })
  })
}

/** One batch of one record that has this many bytes in all. */
function sized(bytes: number): Uint8Array {
  let length = bytes
  for (;;) {
    const batch = batchOf(['x'.repeat(length)])
    if (batch.byteLength === bytes) return batch
    // Lengths are written in as many bytes as they need.
    length -= batch.byteLength - bytes
  }
}

function valuesOf(batches: Uint8Array): string[] {
  const found = batchHeaders(batches)
  assert.ok(found.ok)
  return found.headers.flatMap(({ position }) => {
    const decoded = decodeBatch(batches, position, nodeCodecs, 1 << 20)
    assert.ok(decoded.ok)
    return decoded.records.map(({ value }) => new TextDecoder().decode(value ?? new Uint8Array()))
  })
}
