import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nativeCodecs } from '../../lib/adapters/codecs-native.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { systemClock } from '../../lib/adapters/system.ts'
import { Highwater, HighwaterError, type HighwaterOptions, type Sent, text } from '../../lib/client/highwater.ts'
import { partitionForKey } from '../../lib/core/partitioner.ts'
import { decodeBatch, readBatchHeader } from '../../lib/core/record-batch.ts'
import { defaultSettings, type Settings } from '../../lib/core/settings.ts'
import type { LogPorts } from '../../lib/log/log.ts'
import { createHarness } from '../http/harness.ts'
import { ManualTiming, Network, randomOf, roughWeather, type Seen, settled, type Weather } from './network.ts'

const isAppend = ({ method, path }: Seen) => method === 'POST' && path.startsWith('/topics/')
const isWrite = ({ method }: Seen) => method === 'POST'

async function world(
  options: {
    partitions?: number
    weather?: Weather
    seed?: number
    settings?: Partial<Settings>
    ports?: Partial<LogPorts>
    /** Processes over the same stores; each request reaches one of them. */
    servers?: number
  } & Partial<HighwaterOptions> = {},
) {
  const { partitions = 1, weather = {}, seed = 1, settings = {}, ports = {}, servers = 1, ...client } = options
  const shared: Partial<LogPorts> = { objects: new MemoryObjects(), metadata: new MemoryMetadata(), ...ports }
  const harnesses = Array.from({ length: servers }, () =>
    createHarness({
      settings: { sequenceGapWaitMs: servers === 1 ? 5 : 40, isSoleProcess: servers === 1, ...settings },
      ports: shared,
    }),
  )
  const harness = harnesses[0]!
  const dice = randomOf(seed)
  const server = (request: Request) => harnesses[Math.floor(dice() * servers)]!.app.fetch(request)
  assert.ok((await harness.log.createTopic({ name: 't', partitions })).ok)
  const network = new Network(server, weather, seed, isWrite)
  const highwater = new Highwater({
    url: 'http://log.test/',
    fetch: network.fetch,
    retryDelayMs: 1,
    retryDelayMsMax: 4,
    ...client,
  })
  const written = async (partition = 0, topic = 't') => {
    const records: string[] = []
    const end = await harness.log.offsets(topic, partition)
    assert.ok(end.ok)
    for (let offset = 0; offset < end.highWatermark; ) {
      const fetched = await harness.log.fetch({ topic, partition, offset, bytesMax: 1 })
      assert.ok(fetched.ok)
      for (const batches of fetched.batches)
        for (let at = 0; at < batches.length; ) {
          const batch = decodeBatch(batches, at, nativeCodecs, 1e8)
          assert.ok(batch.ok)
          at += batch.header.sizeBytes
          for (const record of batch.records) if (record.offset >= offset) records.push(text(record.value) ?? 'null')
        }
      offset = fetched.nextOffset
    }
    return records
  }
  const appends = () => network.seen.filter(isAppend)
  return { ...harness, network, highwater, written, appends }
}

const failure = (promise: Promise<unknown>): Promise<HighwaterError> =>
  promise.then(
    () => assert.fail('it did not fail'),
    (error: unknown) => {
      assert.ok(error instanceof HighwaterError, String(error))
      return error
    },
  )

describe('a producer', () => {
  it('answers partition, offset and timestamp of a record once it can be read', async () => {
    const { highwater, written } = await world()
    const producer = highwater.producer()
    assert.deepEqual(await producer.send({ topic: 't', value: 'a', timestampMs: 1_700_000_000_123 }), {
      partition: 0,
      offset: 0,
      timestampMs: 1_700_000_000_123,
    })
    assert.deepEqual(await written(), ['a'])
    await producer.close()
  })

  it('writes keys, values and headers as bytes, text or null', async () => {
    const { highwater } = await world()
    const producer = highwater.producer()
    const headers = [
      ['a', 'x'],
      ['a', null],
      ['b', Uint8Array.of(0xff)],
    ] as const
    await producer.send({ topic: 't', key: Uint8Array.of(1), value: null, headers })
    await producer.send({ topic: 't', key: 'ü', value: '', headers: { c: 'y' } })
    await producer.close()
    const records = await highwater.reader({ topic: 't', partition: 0, waitMs: 0 }).poll()
    assert.deepEqual(
      records?.map(({ key, value, headers }) => ({ key, value, headers })),
      [
        {
          key: Uint8Array.of(1),
          value: null,
          headers: [
            { key: 'a', value: new TextEncoder().encode('x') },
            { key: 'a', value: null },
            { key: 'b', value: Uint8Array.of(0xff) },
          ],
        },
        {
          key: new TextEncoder().encode('ü'),
          value: new Uint8Array(0),
          headers: [{ key: 'c', value: new TextEncoder().encode('y') }],
        },
      ],
    )
  })

  it("sends records with a key where Kafka's clients send them", async () => {
    const { highwater } = await world({ partitions: 7 })
    const producer = highwater.producer()
    for (const key of ['', 'a', 'customer-17', 'ключ']) {
      const { partition } = await producer.send({ topic: 't', key, value: null })
      assert.equal(partition, partitionForKey(new TextEncoder().encode(key), 7))
    }
    assert.equal((await producer.send({ topic: 't', partition: 3, key: 'a', value: null })).partition, 3)
    await producer.close()
  })

  it('leaves the choice to a partitioner where one is given', async () => {
    const { highwater } = await world({ partitions: 4 })
    const producer = highwater.producer({
      partitioner: ({ topic }, partitions) => (topic === 't' ? partitions - 1 : 0),
    })
    assert.equal((await producer.send({ topic: 't', key: 'a', value: null })).partition, 3)
    const wrong = highwater.producer({ partitioner: () => 4 })
    assert.equal((await failure(wrong.send({ topic: 't', value: null }))).code, 'INVALID_RECORD')
  })

  it('keeps the order of its calls in every partition, also through records that wait for the topic', async () => {
    const { highwater, written } = await world({ partitions: 2 })
    const producer = highwater.producer({ batchBytesMax: 200, lingerMs: 0 })
    const sends: Promise<Sent>[] = []
    for (let index = 0; index < 200; index++)
      sends.push(producer.send({ topic: 't', partition: index % 2, value: String(index) }))
    await Promise.all(sends)
    await producer.close()
    for (const partition of [0, 1])
      assert.deepEqual(
        await written(partition),
        Array.from({ length: 100 }, (_, index) => String(index * 2 + partition)),
      )
  })

  it('sends records together that are sent at the same time', async () => {
    const { highwater, appends } = await world()
    const producer = highwater.producer({ lingerMs: 0 })
    const sends = Array.from({ length: 1_000 }, (_, index) => producer.send({ topic: 't', value: String(index) }))
    assert.deepEqual(
      (await Promise.all(sends)).map((sent) => sent.offset),
      Array.from({ length: 1_000 }, (_, index) => index),
    )
    assert.equal(appends().length, 1)
  })

  it('does not let a batch linger when it is full or when somebody flushes', async () => {
    const timing = new ManualTiming()
    const { highwater, appends, written } = await world({ timing })
    const producer = highwater.producer({ lingerMs: 60_000, batchBytesMax: 300 })
    void producer.send({ topic: 't', partition: 0, value: 'x'.repeat(200) })
    await settled()
    assert.equal(appends().length, 0)
    void producer.send({ topic: 't', partition: 0, value: 'y'.repeat(200) })
    await settled()
    assert.equal(appends().length, 1)
    await producer.flush()
    assert.equal((await written()).length, 2)
    void producer.send({ topic: 't', partition: 0, value: 'z' })
    await timing.advance(59_999)
    assert.equal(appends().length, 2)
    await timing.advance(1)
    assert.equal(appends().length, 3)
  })

  for (const compression of ['gzip', 'snappy', 'lz4'] as const)
    it(`compresses batches with ${compression}, for every reader`, async () => {
      const { highwater, appends, written } = await world()
      const producer = highwater.producer({ compression, lingerMs: 0, batchBytesMax: 5_000 })
      const values = Array.from({ length: 500 }, (_, index) => `value ${index} ${'abc'.repeat(10)}`)
      await Promise.all(values.map((value) => producer.send({ topic: 't', value })))
      await producer.close()
      assert.deepEqual(await written(), values)
      for (const { body } of appends()) {
        const read = readBatchHeader(body)
        assert.ok(read.ok && read.header.compression === compression)
      }
      assert.ok(appends().reduce((sum, { body }) => sum + body.length, 0) < 15_000)
    })

  it('refuses a record that is too large at once, and nothing else with it', async () => {
    const { highwater, network, written } = await world()
    const producer = highwater.producer({ recordBytesMax: 1_000 })
    const error = await failure(producer.send({ topic: 't', value: 'x'.repeat(1_000) }))
    assert.equal(error.code, 'MESSAGE_TOO_LARGE')
    assert.equal(network.seen.length, 0)
    await producer.send({ topic: 't', value: 'x'.repeat(900) })
    assert.equal((await written()).length, 1)
  })

  it('splits a batch that the topic does not take, and fails only the records that are too large by themselves', async () => {
    const { highwater, log, written } = await world()
    assert.ok((await log.alterConfigs('t', [{ name: 'max.message.bytes', value: '500' }])).ok)
    const producer = highwater.producer({ lingerMs: 0 })
    const values = Array.from({ length: 40 }, (_, index) => `${index}:${'x'.repeat(index === 13 ? 600 : 60)}`)
    const sends = await Promise.allSettled(values.map((value) => producer.send({ topic: 't', value })))
    assert.deepEqual(
      sends.flatMap((sent, index) => (sent.status === 'rejected' ? [[index, sent.reason.code]] : [])),
      [[13, 'MESSAGE_TOO_LARGE']],
    )
    assert.deepEqual(await written(), values.toSpliced(13, 1))
  })

  it('refuses what is no record, and a topic or partition that is not there', async () => {
    const { highwater } = await world()
    const producer = highwater.producer()
    const codes = await Promise.all(
      [
        { topic: '', value: 'a' },
        { topic: 't', value: 5 as unknown as string },
        { topic: 't', value: 'a', timestampMs: -1 },
        { topic: 't', value: 'a', partition: -1 },
        { topic: 't', value: 'a', partition: 1 },
        { topic: 'u', value: 'a' },
        { topic: 'u', value: 'a', partition: 0 },
      ].map(async (record) => (await failure(producer.send(record))).code),
    )
    assert.deepEqual(codes, [
      'INVALID_TOPIC',
      'INVALID_RECORD',
      'INVALID_TIMESTAMP',
      'UNKNOWN_PARTITION',
      'UNKNOWN_PARTITION',
      'UNKNOWN_TOPIC',
      'UNKNOWN_TOPIC',
    ])
    assert.equal((await producer.send({ topic: 't', value: 'a' })).offset, 0)
  })

  it('refuses options that contradict each other', async () => {
    const { highwater } = await world()
    assert.throws(() => highwater.producer({ acks: 0, idempotent: true }), RangeError)
    assert.throws(() => highwater.producer({ maxInFlight: 6 }), RangeError)
    assert.throws(() => highwater.producer({ compression: 'zstd' }), /codec/)
  })

  it('takes a codec for what the platform lacks', async () => {
    const zstd = {
      compress: (bytes: Uint8Array) => nativeCodecs.compress('zstd', bytes),
      decompress: (bytes: Uint8Array, bytesMax: number) => {
        const opened = nativeCodecs.decompress('zstd', bytes, bytesMax)
        if (!opened.ok) throw new Error(opened.message)
        return opened.bytes
      },
    }
    const { highwater, written } = await world({ codecs: { zstd } })
    const producer = highwater.producer({ compression: 'zstd' })
    await producer.send({ topic: 't', value: 'a'.repeat(1_000) })
    assert.equal((await written())[0]?.length, 1_000)
  })

  it('holds no more than bufferBytesMax (and the record that reached it), and `ready` waits for room', async () => {
    const { highwater, network } = await world()
    const gate = Promise.withResolvers<void>()
    const gated = new Highwater({
      url: 'http://log.test',
      fetch: async (url, init) => {
        if (init.method === 'POST') await gate.promise
        return network.fetch(url, init)
      },
    })
    const producer = gated.producer({ bufferBytesMax: 1_000, lingerMs: 0 })
    const sends: Promise<Sent>[] = []
    let isReady = false
    for (let index = 0; index < 11; index++) sends.push(producer.send({ topic: 't', value: 'x'.repeat(80) }))
    void producer.ready.then(() => {
      isReady = true
    })
    await settled()
    assert.equal(isReady, false)
    gate.resolve()
    const offsets = (await Promise.all(sends)).map((sent) => sent.offset)
    assert.deepEqual(
      offsets,
      [...offsets].sort((a, b) => a - b),
    )
    assert.equal(isReady, true)
    assert.equal((await highwater.admin.offsets('t', 0)).endOffset, 11)
  })

  it('takes no more records once it is closed, and sends those it has', async () => {
    const { highwater, written } = await world()
    const producer = highwater.producer({ lingerMs: 10_000 })
    const sent = producer.send({ topic: 't', value: 'a' })
    await producer.close()
    assert.equal((await sent).offset, 0)
    assert.equal((await failure(producer.send({ topic: 't', value: 'b' }))).code, 'CLOSED')
    assert.deepEqual(await written(), ['a'])
  })

  it('flush waits for what was sent before it, also for what failed', async () => {
    const { highwater } = await world()
    const producer = highwater.producer({ lingerMs: 10_000 })
    let outcomes = 0
    const count = () => outcomes++
    producer.send({ topic: 't', value: 'a' }).then(count, count)
    producer.send({ topic: 'missing', value: 'a' }).then(count, count)
    const flushed = producer.flush()
    producer.send({ topic: 't', value: 'b' }).then(count, count)
    await Promise.all([flushed, producer.flush()])
    assert.equal(outcomes, 3)
    await producer.flush()
  })

  it('does not wait for the outcome with acks 0', async () => {
    const { highwater, written } = await world()
    const producer = highwater.producer({ acks: 0 })
    assert.equal((await producer.send({ topic: 't', value: 'a' })).offset, -1)
    while ((await written()).length === 0) await settled()
    assert.deepEqual(await written(), ['a'])
  })
})

describe('a producer, when something fails', () => {
  it('sends the same bytes again when an answer is lost, and gets the first offset', async () => {
    const { highwater, network, appends, written } = await world()
    const producer = highwater.producer()
    await producer.send({ topic: 't', value: 'a' })
    network.weather = { lostAnswer: 100 }
    const sent = producer.send({ topic: 't', value: 'b' })
    while (appends().length < 4) await settled()
    network.weather = {}
    assert.equal((await sent).offset, 1)
    const [first, ...again] = appends().slice(1)
    for (const { body } of again) assert.deepEqual(body, first?.body)
    assert.deepEqual(await written(), ['a', 'b'])
  })

  it('does not wait for an answer for ever, and gets the first offset by repeating', async () => {
    const { app, log, written } = await world()
    let attempts = 0
    const highwater = new Highwater({
      url: 'http://log.test',
      timeoutMs: 100,
      retryDelayMs: 1,
      fetch: async (url, init) => {
        if (new URL(url).pathname !== '/topics/t/partitions/0' || attempts++ > 0)
          return app.fetch(new Request(url, init))
        const { signal, ...unsignalled } = init
        await app.fetch(new Request(url, unsignalled))
        return new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')))
        })
      },
    })
    const producer = highwater.producer()
    assert.equal((await producer.send({ topic: 't', value: 'a' })).offset, 0)
    await producer.close()
    assert.deepEqual(await written(), ['a'])
    assert.ok(attempts >= 2)
    await log.close()
  })

  it('waits as long as Retry-After says', async () => {
    const timing = new ManualTiming()
    let busy = 1
    const harness = createHarness()
    await harness.log.createTopic({ name: 't' })
    let attempts = 0
    const highwater = new Highwater({
      url: 'http://log.test',
      timing,
      fetch: (url, init) => {
        if (!isAppend({ method: init.method ?? '', path: new URL(url).pathname, body: new Uint8Array(0) }))
          return harness.app.fetch(new Request(url, init))
        attempts++
        if (busy-- > 0)
          return Promise.resolve(
            new Response('{}', {
              status: 429,
              headers: { 'retry-after': '3', 'highwater-error': 'TOO_MANY_REQUESTS' },
            }),
          )
        return harness.app.fetch(new Request(url, init))
      },
    })
    const sent = highwater.producer({ lingerMs: 0 }).send({ topic: 't', value: 'a' })
    await timing.advance(2_999)
    assert.equal(attempts, 1)
    await timing.advance(400)
    assert.equal(attempts, 2)
    assert.equal((await sent).offset, 0)
  })

  it('gives up after deliveryTimeoutMs, and says whether the record may have been written', async () => {
    const { highwater, network, written } = await world()
    const producer = highwater.producer({ deliveryTimeoutMs: 250 })
    await producer.send({ topic: 't', value: 'a' })
    network.weather = { unavailable: 100 }
    const none = await failure(producer.send({ topic: 't', value: 'b' }))
    assert.deepEqual([none.code, none.effects], ['DELIVERY_TIMEOUT', 'none'])
    network.weather = { lostAnswer: 100 }
    const possible = await failure(producer.send({ topic: 't', value: 'c' }))
    assert.deepEqual([possible.code, possible.effects], ['DELIVERY_TIMEOUT', 'possible'])
    network.weather = {}
    await producer.send({ topic: 't', value: 'd' })
    assert.deepEqual(await written(), ['a', 'c', 'd'])
  })

  it('gives up after so many retries, where they are limited', async () => {
    const { highwater, appends } = await world({ weather: { unavailable: 100 } })
    const producer = highwater.producer({ idempotent: false, retries: 2 })
    assert.equal((await failure(producer.send({ topic: 't', value: 'a' }))).code, 'DELIVERY_TIMEOUT')
    assert.equal(appends().length, 3)
  })

  it('without idempotence repeats only what certainly did nothing', async () => {
    const { highwater, network, appends, written } = await world()
    const producer = highwater.producer({ idempotent: false })
    network.weather = { lostAnswer: 100 }
    const error = await failure(producer.send({ topic: 't', value: 'a' }))
    assert.deepEqual([error.code, error.effects], ['CONNECTION_FAILED', 'possible'])
    assert.equal(appends().length, 1)
    assert.deepEqual(await written(), ['a'])
  })

  it('goes on in a topic that was created again, and repeats nothing there whose outcome is unknown', async () => {
    const { highwater, network, log, written } = await world({ settings: { topicAgeMsMax: 0 } })
    const producer = highwater.producer({ lingerMs: 0, maxInFlight: 1 })
    await producer.send({ topic: 't', value: 'a' })
    network.weather = { lostAnswer: 100 }
    const doubtful = failure(producer.send({ topic: 't', value: 'b' }))
    while ((await written()).length < 2) await settled()
    assert.ok((await log.deleteTopic('t')).ok)
    assert.ok((await log.createTopic({ name: 't' })).ok)
    network.weather = {}
    const error = await doubtful
    assert.deepEqual([error.code, error.effects], ['OUTCOME_UNKNOWN', 'possible'])
    assert.equal((await producer.send({ topic: 't', value: 'c' })).offset, 0)
    assert.deepEqual(await written(), ['c'])
  })

  it('takes another producer id where the partition has forgotten the first', async () => {
    let shiftMs = 0
    const clock = { ...systemClock, now: () => systemClock.now() + shiftMs }
    const { highwater, log, network, written } = await world({ ports: { clock } })
    const producer = highwater.producer({ lingerMs: 0 })
    await producer.send({ topic: 't', value: 'a' })
    // The partition's head remembers the latest few producers; it is the others that can be forgotten.
    for (let other = 0; other < 40; other++)
      await highwater.producer({ lingerMs: 0 }).send({ topic: 't', value: 'other' })
    shiftMs = 2 * defaultSettings.producerIdExpirationMs
    const forgotten = await log.forgetProducers('t', 0)
    assert.ok(forgotten.ok && forgotten.forgotten > 0)
    assert.equal((await producer.send({ topic: 't', value: 'b' })).offset, 41)
    assert.equal((await written()).at(-1), 'b')
    assert.equal(network.seen.filter(({ path }) => path === '/producers').length, 42)
  })

  it('asks for another way in when credentials expire, and says when they do not help', async () => {
    const harness = createHarness()
    await harness.log.createTopic({ name: 't' })
    let token = 0
    const highwater = new Highwater({
      url: 'http://log.test/',
      authorize: async ({ method }) => ({ authorization: `Bearer ${method === 'POST' ? ++token : 'read'}` }),
      fetch: async (url, init) => {
        const request = new Request(url, init)
        if (request.headers.get('authorization') === 'Bearer 2') return new Response('no', { status: 401 })
        return harness.app.fetch(request)
      },
    })
    const producer = highwater.producer()
    assert.equal((await failure(producer.send({ topic: 't', value: 'a' }))).code, 'UNAUTHORIZED')
    assert.equal((await producer.send({ topic: 't', value: 'b' })).offset, 0)
  })
})

/**
 * Retries never duplicate (D4), and the order is kept: random records over a network that loses requests and answers, repeats
 * them and delivers them late.
 */
describe('a producer in rough weather', () => {
  for (const seed of [1, 2, 3, 4, 5, 6, 7, 8])
    it(`writes every record once and in order (seed ${seed})`, () => rough(seed, 120_000))
  for (const seed of [21, 22, 23, 24])
    it(`the same where each request may reach another of three servers (seed ${seed})`, () => rough(seed, 120_000, 3))
  for (const seed of [11, 12, 13, 14, 15, 16])
    it(`says the truth about what it gave up (seed ${seed})`, () => rough(seed, 25))
})

async function rough(seed: number, deliveryTimeoutMs: number, servers = 1): Promise<void> {
  const random = randomOf(seed * 7919)
  const { highwater, network, written } = await world({ partitions: 3, weather: roughWeather, seed, servers })
  const compression = (['none', 'gzip', 'snappy', 'lz4'] as const)[seed % 4] ?? 'none'
  const producer = highwater.producer({
    compression,
    deliveryTimeoutMs,
    lingerMs: seed % 3,
    batchBytesMax: 400,
    maxInFlight: 1 + (seed % 5),
    bufferBytesMax: 20_000,
  })
  const outcomes: Promise<{ partition: number; value: string; outcome: Sent | HighwaterError }>[] = []
  for (let index = 0; index < 300; index++) {
    const partition = Math.floor(random() * 3)
    const value = `${index}${'.'.repeat(Math.floor(random() * 60))}`
    await producer.ready
    outcomes.push(
      producer.send({ topic: 't', partition, value }).then(
        (outcome) => ({ partition, value, outcome }),
        (outcome: HighwaterError) => ({ partition, value, outcome }),
      ),
    )
    if (random() < 0.2) await new Promise((resolve) => setImmediate(resolve))
  }
  await producer.close()
  await network.settle()
  const settledOutcomes = await Promise.all(outcomes)
  let acked = 0
  for (const partition of [0, 1, 2]) {
    const records = await written(partition)
    assert.equal(new Set(records).size, records.length, 'a record was written twice')
    let last = -1
    for (const { value, outcome } of settledOutcomes.filter((settled) => settled.partition === partition)) {
      if (outcome instanceof HighwaterError) {
        assert.notEqual(deliveryTimeoutMs, 120_000, outcome.message)
        if (outcome.effects === 'none') assert.ok(!records.includes(value), `${value}: ${outcome.message}`)
        continue
      }
      acked++
      assert.ok(outcome.offset > last, 'the order of sending is the order of the log')
      last = outcome.offset
      assert.equal(records[outcome.offset], value)
    }
  }
  if (deliveryTimeoutMs === 120_000) assert.equal(acked, 300)
}
