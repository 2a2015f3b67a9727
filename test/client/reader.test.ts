import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nativeCodecs } from '../../lib/adapters/codecs-native.ts'
import { Highwater, HighwaterError, json, type ReaderOptions, text } from '../../lib/client/highwater.ts'
import type { CompressionType } from '../../lib/core/codec.ts'
import { encodeBatch } from '../../lib/core/record-batch.ts'
import type { Settings } from '../../lib/core/settings.ts'
import { createHarness } from '../http/harness.ts'
import { ManualTiming, Network, settled, type Weather, withoutStreams } from './network.ts'

async function world(weather: Weather = {}, seed = 1, settings: Partial<Settings> = {}) {
  const harness = createHarness({ settings: { topicAgeMsMax: 0, ...settings } })
  const { log, app } = harness
  assert.ok((await log.createTopic({ name: 't' })).ok)
  const network = new Network(app.fetch, weather, seed)
  const highwater = new Highwater({ url: 'http://log.test', fetch: network.fetch, retryDelayMs: 1, retryDelayMsMax: 2 })
  /** Appends one batch of these values; timestamps are 1000 plus the offset, times 1000. */
  let count = 0
  const append = async (values: readonly string[], compression: CompressionType = 'none') => {
    const records = values.map((value) => ({
      timestampMs: 1_000_000 + count++ * 1_000,
      key: new TextEncoder().encode('k'),
      value: new TextEncoder().encode(value),
      headers: [{ key: 'h', value: null }],
    }))
    const batches = encodeBatch({ records, compression }, nativeCodecs)
    const appended = await log.append({ topic: 't', partition: 0, batches })
    assert.ok(appended.ok, JSON.stringify(appended))
  }
  const reader = (options: Partial<ReaderOptions> = {}) =>
    highwater.reader({ topic: 't', partition: 0, waitMs: 0, ...options })
  return { ...harness, network, highwater, append, reader }
}

/** Reads values until there are `count`. */
async function take(reader: ReturnType<Highwater['reader']>, count: number): Promise<string[]> {
  const values: string[] = []
  if (count === 0) return values
  for await (const record of reader) {
    values.push(text(record.value) ?? 'null')
    if (values.length === count) break
  }
  return values
}

const numbers = (from: number, end: number) => Array.from({ length: end - from }, (_, index) => String(from + index))

const failure = (promise: Promise<unknown>): Promise<HighwaterError> =>
  promise.then(
    () => assert.fail('it did not fail'),
    (error: unknown) => {
      assert.ok(error instanceof HighwaterError, String(error))
      return error
    },
  )

describe('a reader', () => {
  it('gives each record with offset, timestamp, key, value and headers', async () => {
    const { append, reader } = await world()
    await append(['{"a":1}', 'b'])
    const read = reader()
    const first = await read.next()
    assert.deepEqual(first, {
      done: false,
      value: {
        offset: 0,
        timestampMs: 1_000_000,
        key: new TextEncoder().encode('k'),
        value: new TextEncoder().encode('{"a":1}'),
        headers: [{ key: 'h', value: null }],
      },
    })
    assert.deepEqual(json(first.value?.value ?? null), { a: 1 })
    assert.equal(json(null), null)
    assert.equal(text(null), null)
    await read.return()
  })

  it('knows its position and its lag', async () => {
    const { append, reader } = await world()
    await append(numbers(0, 5))
    const read = reader({ from: { offset: 2 } })
    assert.equal(read.position, 2)
    assert.equal(read.lag, undefined)
    await read.next()
    assert.deepEqual([read.position, read.lag, read.highWatermark, read.startOffset], [3, 2, 5, 0])
    assert.equal((await read.poll())?.length, 2)
    assert.deepEqual([read.position, read.lag], [5, 0])
    assert.deepEqual(await read.poll(), [])
    await read.return()
  })

  it('begins at an end, at an offset inside a batch, or at a time', async () => {
    const { append, reader, log } = await world()
    await append(numbers(0, 10))
    await append(numbers(10, 12))
    await log.deleteRecords('t', 0, 3)
    assert.deepEqual(await take(reader({ from: 'earliest' }), 2), ['3', '4'])
    assert.deepEqual(await take(reader({ from: { offset: 7 } }), 2), ['7', '8'])
    assert.deepEqual(await take(reader({ from: { timestampMs: 1_008_001 } }), 1), ['9'])
    const latest = reader({ from: 'latest' })
    assert.deepEqual(await latest.poll(), [])
    await append(['12'])
    assert.deepEqual(await take(latest, 1), ['12'])
    const later = reader({ from: { timestampMs: 9e12 } })
    assert.deepEqual(await later.poll(), [])
    assert.equal(later.position, 13)
  })

  it('reads through many answers, however small they are', async () => {
    const { append, reader } = await world()
    for (let index = 0; index < 60; index += 3) await append(numbers(index, index + 3))
    assert.deepEqual(await take(reader({ bytesMax: 1 }), 60), numbers(0, 60))
    assert.deepEqual(await take(reader({ bytesMax: 500 }), 60), numbers(0, 60))
  })

  it('waits for records that are not there yet', async () => {
    const { append, reader } = await world()
    const read = take(reader({ waitMs: 5_000 }), 3)
    await append(['0'])
    await settled()
    await append(['1', '2'])
    assert.deepEqual(await read, ['0', '1', '2'])
  })

  for (const compression of ['gzip', 'snappy', 'lz4', 'zstd'] as const)
    it(`decompresses ${compression} by itself`, async () => {
      const { append, reader, network } = await world()
      await append(numbers(0, 300), compression)
      assert.deepEqual(await take(reader(), 300), numbers(0, 300))
      assert.equal(network.seen.filter(({ path }) => path.endsWith('/records')).length, 1)
    })

  it('lets the server decompress what it cannot, and reads on in batches', async (context) => {
    withoutStreams(context)
    const { append, reader } = await world()
    await append(numbers(0, 5))
    await append(numbers(5, 10), 'gzip')
    await append(numbers(10, 15))
    const records = []
    for await (const record of reader()) {
      records.push(record)
      if (records.length === 15) break
    }
    assert.deepEqual(
      records.map((record) => text(record.value)),
      numbers(0, 15),
    )
    assert.deepEqual(records[7], {
      offset: 7,
      timestampMs: 1_007_000,
      key: new TextEncoder().encode('k'),
      value: new TextEncoder().encode('7'),
      headers: [{ key: 'h', value: null }],
    })
  })

  it('ends without an error when its signal aborts, also while it waits', async () => {
    const { append, reader } = await world()
    await append(['0'])
    const control = new AbortController()
    const read = reader({ waitMs: 20_000, signal: control.signal })
    await read.next()
    const next = read.next()
    const polled = reader({ waitMs: 20_000, from: 'latest', signal: control.signal }).poll()
    await settled()
    control.abort()
    assert.deepEqual(await next, { done: true, value: undefined })
    assert.equal(await polled, undefined)
    assert.deepEqual(await read.next(), { done: true, value: undefined })
    assert.deepEqual(await reader({ signal: control.signal }).next(), { done: true, value: undefined })
  })

  it('aborts its request when it is left', async () => {
    const { app, append } = await world()
    await append(['0'])
    let signal: AbortSignal | null | undefined
    const highwater = new Highwater({
      url: 'http://log.test',
      fetch: (url, init) => {
        signal = init.signal
        return app.fetch(new Request(url, init))
      },
    })
    const reader = highwater.reader({ topic: 't', partition: 0, from: { offset: 1 } })
    const next = reader.next()
    await settled()
    await reader.return()
    assert.equal(signal?.aborted, true)
    assert.equal((await next).done, true)
  })

  it('pauses before it asks again a server that says at once that there is nothing', async () => {
    const timing = new ManualTiming()
    const { app, network } = await world()
    let requests = 0
    const highwater = new Highwater({
      url: 'http://log.test',
      timing,
      fetch: (url, init) => {
        requests++
        return app.fetch(new Request(url.replace('timeout=20000', 'timeout=0'), init))
      },
    })
    assert.equal(network.seen.length, 0)
    const control = new AbortController()
    const next = highwater.reader({ topic: 't', partition: 0, from: { offset: 0 }, signal: control.signal }).next()
    await timing.advance(500)
    assert.ok(requests > 2 && requests < 15, `${requests} requests`)
    control.abort()
    await next
  })
})

describe('a reader, when something fails', () => {
  for (const seed of [1, 2, 3, 4, 5])
    it(`skips nothing and repeats nothing while requests and answers get lost (seed ${seed})`, async () => {
      const { append, reader, network } = await world({}, seed)
      for (let index = 0; index < 100; index += 4)
        await append(numbers(index, index + 4), (['none', 'gzip', 'zstd', 'lz4'] as const)[(index / 4) % 4] ?? 'none')
      network.weather = { lostRequest: 15, lostAnswer: 20, unavailable: 15, gateway: 10 }
      const retried: string[] = []
      const read = reader({ bytesMax: 200, onRetry: (error) => retried.push(error.code) })
      assert.deepEqual(await take(read, 100), numbers(0, 100))
      assert.ok(retried.includes('CONNECTION_FAILED') && retried.includes('UNEXPECTED_ANSWER'))
    })

  it('fetches an answer again that was damaged on the way, past the caches', async () => {
    const { append, app } = await world()
    await append(numbers(0, 10))
    let damaged = 0
    const caches: (string | undefined)[] = []
    const highwater = new Highwater({
      url: 'http://log.test',
      fetch: async (url, init) => {
        const response = await app.fetch(new Request(url, init))
        if (!url.includes('/records?')) return response
        caches.push(init.cache)
        const body = new Uint8Array(await response.arrayBuffer())
        if (damaged++ < 2) body[body.length - 1]! ^= 1
        return new Response(body, { headers: response.headers })
      },
    })
    assert.deepEqual(await take(highwater.reader({ topic: 't', partition: 0 }), 10), numbers(0, 10))
    assert.deepEqual(caches, [undefined, 'reload', 'reload'])
  })

  it('says so when the damage stays', async () => {
    const { append, app } = await world()
    await append(numbers(0, 10))
    const highwater = new Highwater({
      url: 'http://log.test',
      fetch: async (url, init) => {
        const response = await app.fetch(new Request(url, init))
        const body = new Uint8Array(await response.arrayBuffer())
        if (url.includes('/records?')) body[70]! ^= 1
        return new Response(body, { headers: response.headers })
      },
    })
    const error = await failure(highwater.reader({ topic: 't', partition: 0 }).next())
    assert.equal(error.code, 'CORRUPT_MESSAGE')
  })

  it('an offset that is not there is an error, or an end, as was asked', async () => {
    const { append, reader, log } = await world()
    await append(numbers(0, 10))
    await log.deleteRecords('t', 0, 4)
    for (const offset of [2, 11]) {
      const error = await failure(reader({ from: { offset } }).next())
      assert.deepEqual([error.code, error.startOffset, error.endOffset], ['OFFSET_OUT_OF_RANGE', 4, 10])
      assert.deepEqual(await take(reader({ from: { offset }, onOffsetOutOfRange: 'earliest' }), 6), numbers(4, 10))
      const latest = reader({ from: { offset }, onOffsetOutOfRange: 'latest' })
      assert.deepEqual(await latest.poll(), [])
      assert.equal(latest.position, 10)
    }
  })

  it('never takes the records of a topic that was created again for a continuation', async () => {
    const { append, reader, log } = await world()
    await append(numbers(0, 3))
    const read = reader()
    await read.next()
    await read.poll()
    assert.ok((await log.deleteTopic('t')).ok)
    assert.ok((await log.createTopic({ name: 't' })).ok)
    await append(numbers(0, 5))
    const error = await failure(read.next())
    assert.equal(error.code, 'UNKNOWN_TOPIC')
    assert.match(error.message, /deleted while it was read/)
    assert.equal((await failure(read.next())).code, 'UNKNOWN_TOPIC', 'and it stays so')
  })

  it('does not try again what no retry can help', async () => {
    const { highwater, network } = await world()
    const error = await failure(highwater.reader({ topic: 'missing', partition: 0 }).next())
    assert.equal(error.code, 'UNKNOWN_TOPIC')
    assert.equal(network.seen.length, 1)
  })

  it('gives up after retryTimeoutMs, where there is one', async () => {
    const { reader } = await world({ lostRequest: 100 })
    const error = await failure(reader({ from: { offset: 0 }, retryTimeoutMs: 15 }).next())
    assert.equal(error.code, 'CONNECTION_FAILED')
  })

  it('refuses a batch that decompresses to more than was allowed', async () => {
    const { append, reader } = await world()
    await append(['x'.repeat(100_000)], 'gzip')
    const error = await failure(reader({ decompressedBytesMax: 50_000 }).next())
    assert.equal(error.code, 'CORRUPT_MESSAGE')
    assert.match(error.message, /50000/)
  })
})
