import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { streamSource } from '../../lib/http/request-body.ts'
import { createHarness, type Harness, type HarnessOptions } from './harness.ts'
import { Consumer, call, isError, produce } from './v2-consumers-fixture.ts'

/** A log with topic `t` of so many partitions. */
async function withTopic(partitions = 1, options: HarnessOptions = {}): Promise<Harness> {
  const harness = createHarness(options)
  const created = await harness.log.createTopic({ name: 't', partitions })
  assert.ok(created.ok)
  return harness
}

describe('a v2 consumer instance is created', () => {
  it('with an id, and a URI at which anybody reaches it', async () => {
    const { send } = createHarness({ app: { publicUrl: 'https://log.example/base/' } })
    const named = await call(send, 'POST', '/consumers/my%20group', { name: 'reader 1', format: 'json' })
    assert.deepEqual(
      [named.status, named.type, named.body],
      [
        200,
        'application/vnd.kafka.v2+json',
        {
          instance_id: 'reader 1',
          base_uri: 'https://log.example/base/consumers/my%20group/instances/reader%201',
        },
      ],
    )
    const ids = new Set<string>()
    for (const body of [undefined, {}, { name: null }]) {
      const { status, body: made } = await call(send, 'POST', '/consumers/g', body)
      assert.equal(status, 200)
      ids.add((made as { instance_id: string }).instance_id)
    }
    assert.equal(ids.size, 3)
    for (const id of ids) assert.match(id, /^rest-consumer-[a-z0-9]{20}$/)
  })

  it('once under a name, also under its legacy one', async () => {
    const { send } = createHarness()
    assert.equal((await call(send, 'POST', '/consumers/g', { name: 'a' })).status, 200)
    isError(await call(send, 'POST', '/consumers/g', { name: 'a' }), 409, 40902)
    isError(await call(send, 'POST', '/consumers/g', { id: 'a' }), 409, 40902)
    assert.equal((await call(send, 'POST', '/consumers/other', { name: 'a' })).status, 200)
  })

  it('from a configuration in the words of every server that has this API', async () => {
    const { send } = createHarness()
    for (const config of [
      { 'auto.commit.enable': 'true', 'fetch.min.bytes': '100', 'consumer.request.timeout.ms': 500 },
      { responseMinBytes: 1, requestWaitMs: '10' },
      { 'enable.auto.commit': true, 'isolation.level': 'read_committed', 'fetch.min.bytes': -1 },
      { format: 'TEXT', 'auto.offset.reset': 'none', 'session.timeout.ms': 30_000 },
      { 'auto.offset.reset': null, format: null },
    ])
      assert.equal((await call(send, 'POST', '/consumers/g', config)).status, 200, JSON.stringify(config))
  })

  it('and what is wrong with its configuration is said', async () => {
    const { send } = createHarness()
    for (const [config, message] of [
      [{ format: 'avro' }, /format "avro" needs a schema registry/],
      [{ format: 'xml' }, /format must be one of binary, json, text/],
      [{ 'auto.offset.reset': 'smallest' }, /auto\.offset\.reset must be one of earliest, latest, none/],
      [{ 'auto.commit.enable': 'perhaps' }, /auto\.commit\.enable must be true or false/],
      [{ 'fetch.min.bytes': -2 }, /fetch\.min\.bytes must be a whole number of at least -1/],
      [{ requestWaitMs: 1.5 }, /requestWaitMs must be a whole number/],
      [{ 'session.timeout.ms': 1 }, /session\.timeout\.ms must be a whole number from 6000 to 1800000/],
      [{ name: 7 }, /name must be a string/],
      [{ name: 'naïve' }, /printable ASCII/],
    ] as const)
      isError(await call(send, 'POST', '/consumers/g', config), 422, 42204, message)
    isError(await call(send, 'POST', '/consumers/g', { key: 1 }), 422, 422, /Unrecognized field: "key"/)
    isError(await call(send, 'POST', '/consumers/g', '{'), 400, 400)
    isError(await call(send, 'POST', `/consumers/${'g'.repeat(256)}`, {}), 400, 40002)
  })

  it('no more often than a group may have instances', async () => {
    const { send } = createHarness({ settings: { consumerInstancesMax: 2 } })
    const first = await Consumer.create(send, 'g')
    await Consumer.create(send, 'g')
    isError(await call(send, 'POST', '/consumers/g', {}), 429, 42902, /consumerInstancesMax/)
    assert.equal((await call(send, 'POST', '/consumers/other', {})).status, 200)
    await first.expect(204, 'DELETE')
    assert.equal((await call(send, 'POST', '/consumers/g', {})).status, 200)
  })
})

describe('records of a v2 consumer instance', () => {
  it('come in the shape of the convention, once each, in the order of their partitions', async () => {
    const { send } = await withTopic()
    await produce(send, [{ a: 1 }, 'two', null])
    const consumer = await Consumer.create(send, 'g')
    await consumer.subscribe('t')
    const answer = await consumer.call('GET', '/records', undefined, { accept: 'application/vnd.kafka.json.v2+json' })
    assert.equal(answer.type, 'application/vnd.kafka.json.v2+json')
    const records = answer.body as Record<string, unknown>[]
    assert.equal(typeof records[0]?.timestamp, 'number')
    assert.deepEqual(
      records.map(({ timestamp: _, ...record }) => record),
      [{ a: 1 }, 'two', null].map((value, offset) => ({
        topic: 't',
        key: null,
        value,
        partition: 0,
        offset,
        headers: [],
      })),
    )
    assert.deepEqual(await consumer.records(), [])
    await produce(send, ['three'])
    assert.deepEqual(await consumer.values(), ['three'])
  })

  it('come in the format of the instance, and in no other', async () => {
    const { send } = await withTopic()
    await produce(send, [{ a: 'é' }])
    const types = {
      binary: 'application/vnd.kafka.binary.v2+json',
      json: 'application/vnd.kafka.json.v2+json',
      text: 'application/vnd.kafka.text.v2+json',
    }
    const values = { binary: btoa('{"a":"Ã©"}'), json: { a: 'é' }, text: '{"a":"é"}' }
    for (const format of ['binary', 'json', 'text'] as const)
      for (const accept of [...Object.values(types), '*/*', '', 'application/json', 'application/vnd.kafka.v2+json']) {
        const consumer = await Consumer.create(send, `${format} ${accept}`, { format })
        await consumer.subscribe('t')
        const answer = await consumer.call('GET', '/records', undefined, { accept })
        const isOther = accept.startsWith('application/vnd.kafka.') && accept !== types[format]
        if (isOther && !(format === 'binary' && accept === 'application/vnd.kafka.v2+json')) {
          isError(answer, 406, 40601, new RegExp(`created with the format ${format}`))
          continue
        }
        assert.equal(answer.status, 200)
        assert.equal(answer.type, accept.startsWith('application/') ? accept : types[format])
        assert.deepEqual(
          (answer.body as { value: unknown }[]).map(({ value }) => value),
          [values[format]],
        )
      }
  })

  it('are at most max_bytes, but at least one, and the next request goes on', async () => {
    const { send } = await withTopic(3)
    for (let partition = 0; partition < 3; partition++)
      await produce(
        send,
        [0, 1, 2].map((index) => `${partition}.${index}`.padEnd(98, '-')),
        partition,
      )
    const consumer = await Consumer.create(send, 'g')
    await consumer.subscribe('t')
    const seen: unknown[] = []
    for (let requests = 0; requests < 3; requests++) {
      const values = await consumer.values('?max_bytes=10')
      assert.equal(values.length, 1)
      seen.push(...values)
    }
    const more = await consumer.values('?max_bytes=450')
    assert.ok(more.length >= 1 && more.length <= 4)
    seen.push(...more)
    while (seen.length < 9) seen.push(...(await consumer.values()))
    assert.equal(new Set(seen).size, 9)
    for (let partition = 0; partition < 3; partition++) {
      const ofPartition = seen.filter((value) => String(value).startsWith(`${partition}.`))
      assert.deepEqual(ofPartition, ofPartition.toSorted())
    }
  })

  it('are waited for, until there are fetch.min.bytes or the time is over', async () => {
    const { send } = await withTopic()
    const consumer = await Consumer.create(send, 'g', { 'fetch.min.bytes': 300, 'consumer.request.timeout.ms': 20_000 })
    await consumer.subscribe('t')
    assert.deepEqual(await consumer.values('?timeout=20'), [])
    const waiting = consumer.values()
    for (let index = 0; index < 4; index++) {
      await new Promise((resolve) => setImmediate(resolve))
      await produce(send, ['x'.repeat(80)])
    }
    assert.ok((await waiting).length >= 2)
  })

  it('begin where auto.offset.reset says, where nothing was committed', async () => {
    const { send } = await withTopic()
    await produce(send, ['before'])
    const latest = await Consumer.create(send, 'latest', { 'auto.offset.reset': undefined })
    await latest.subscribe('t')
    assert.deepEqual(await latest.values(), [])
    await produce(send, ['after'])
    assert.deepEqual(await latest.values(), ['after'])
    const earliest = await Consumer.create(send, 'earliest', { 'auto.offset.reset': 'earliest' })
    await earliest.subscribe('t')
    assert.deepEqual(await earliest.values(), ['before', 'after'])
    const none = await Consumer.create(send, 'none', { 'auto.offset.reset': 'none' })
    await none.subscribe('t')
    isError(await none.call('GET', '/records'), 416, 416, /no committed offset .* auto\.offset\.reset is none/)
  })

  it('that were deleted before they were read are passed over as auto.offset.reset says', async () => {
    const { send, log } = await withTopic()
    await produce(send, ['a', 'b'])
    const consumers = []
    for (const reset of ['earliest', 'latest', 'none']) {
      const consumer = await Consumer.create(send, reset, { 'auto.offset.reset': reset })
      await consumer.expect(204, 'POST', '/assignments', { partitions: [{ topic: 't', partition: 0 }] })
      await consumer.expect(204, 'POST', '/positions', { offsets: [{ topic: 't', partition: 0, offset: 0 }] })
      consumers.push(consumer)
    }
    await log.deleteRecords('t', 0, 1)
    const [earliest, latest, none] = consumers as [Consumer, Consumer, Consumer]
    assert.deepEqual(await earliest.values(), ['b'])
    assert.deepEqual(await latest.values(), [])
    isError(await none.call('GET', '/records'), 416, 416)
  })

  it('that the format cannot hold stop the instance until its position is moved', async () => {
    const { send, appendValues } = await withTopic()
    await produce(send, ['good'])
    await appendValues('not json')
    await produce(send, ['after'])
    const consumer = await Consumer.create(send, 'g')
    await consumer.subscribe('t')
    assert.deepEqual(await consumer.values(), ['good'])
    for (let tries = 0; tries < 2; tries++)
      isError(
        await consumer.call('GET', '/records'),
        422,
        42206,
        /offset 1 of t\/0 is not JSON\. Nothing was delivered/,
      )
    await consumer.expect(204, 'POST', '/positions', { offsets: [{ topic: 't', partition: 0, offset: 2 }] })
    assert.deepEqual(await consumer.values(), ['after'])
  })

  it('come to one of two requests that are made at once, never to both', async () => {
    const { send } = await withTopic(4)
    for (let partition = 0; partition < 4; partition++)
      await produce(
        send,
        Array.from({ length: 25 }, (_, index) => `${partition}.${index}`),
        partition,
      )
    const consumer = await Consumer.create(send, 'g')
    await consumer.subscribe('t')
    const seen: unknown[] = []
    for (let rounds = 0; seen.length < 100 && rounds < 100; rounds++) {
      const answers = await Promise.all([1, 2, 3].map(() => consumer.values('?max_bytes=30')))
      seen.push(...answers.flat())
    }
    assert.equal(seen.length, 100)
    assert.equal(new Set(seen).size, 100)
  })
})

describe('offsets of a v2 consumer instance', () => {
  it('are committed by a request without a body: what was delivered, and nothing else', async () => {
    const { send } = await withTopic(2)
    await produce(send, ['a', 'b'])
    const consumer = await Consumer.create(send, 'g')
    await consumer.subscribe('t')
    assert.deepEqual(await consumer.expect(200, 'POST', '/offsets'), [])
    await consumer.values('?max_bytes=1')
    await consumer.values()
    assert.deepEqual(await consumer.committed(0), [undefined])
    assert.deepEqual(
      new Set((await consumer.expect(200, 'POST', '/offsets?async=true')) as object[]),
      new Set([
        { topic: 't', partition: 0, consumed: 2, committed: 2 },
        { topic: 't', partition: 1, consumed: 0, committed: 0 },
      ]),
    )
    assert.deepEqual(await consumer.committed(0, 1), [2, 0])
    // What is committed already is not committed again.
    assert.deepEqual(await consumer.expect(200, 'POST', '/offsets', ''), [])
  })

  it('are committed as given, by the last record that was processed, with metadata', async () => {
    const { send } = await withTopic()
    await produce(send, ['a', 'b', 'c'])
    const consumer = await Consumer.create(send, 'g')
    await consumer.subscribe('t')
    await consumer.values()
    const offsets = [{ topic: 't', partition: 0, offset: 1, metadata: 'half' }]
    assert.deepEqual(await consumer.expect(200, 'POST', '/offsets', { offsets }), [
      { topic: 't', partition: 0, consumed: 2, committed: 2 },
    ])
    const committed = { offsets: [{ topic: 't', partition: 0, offset: 2, metadata: 'half' }] }
    assert.deepEqual(await consumer.expect(200, 'GET', '/offsets?topic=t&partition=0'), committed)
    await consumer.expect(204, 'DELETE')
    const next = await Consumer.create(send, 'g')
    await next.subscribe('t')
    assert.deepEqual(await next.values(), ['c'])
  })

  it('are asked for in a body, as in the convention, or in the query', async () => {
    const { send, app } = await withTopic()
    await produce(send, ['a'])
    const consumer = await Consumer.create(send, 'g')
    await consumer.subscribe('t')
    await consumer.values()
    await consumer.expect(200, 'POST', '/offsets')
    const body = new TextEncoder().encode('{"partitions":[{"topic":"t","partition":0}]}')
    const reply = await app.answer(
      { method: 'GET', url: `http://log.test${consumer.path}/offsets`, headers: new Headers() },
      { body: streamSource(new Blob([body]).stream()), signal: new AbortController().signal },
    )
    assert.deepEqual(JSON.parse(String(reply.body)), {
      offsets: [{ topic: 't', partition: 0, offset: 1, metadata: '' }],
    })
    isError(await consumer.call('GET', '/offsets'), 404, 40402, /\?topic=orders&partition=0/)
    isError(await consumer.call('GET', '/offsets?topic=t'), 400, 400)
    isError(await consumer.call('GET', '/offsets?topic=t&partition=x'), 400, 400)
    isError(await consumer.call('GET', '/offsets?topic=t&partition=7'), 404, 40402)
    isError(await consumer.call('GET', '/offsets?topic=other&partition=0'), 404, 40401)
  })

  it('are committed only of partitions that the instance has', async () => {
    const { send } = await withTopic(2)
    await produce(send, ['a'])
    const consumer = await Consumer.create(send, 'g')
    await consumer.subscribe('t')
    await consumer.values()
    isError(
      await consumer.call('POST', '/offsets', { offsets: [{ topic: 'other', partition: 0, offset: 0 }] }),
      409,
      40903,
      /is not assigned/,
    )
    for (const offset of [-2, 1.5, '1', null])
      isError(await consumer.call('POST', '/offsets', { offsets: [{ topic: 't', partition: 0, offset }] }), 422, 422)
    isError(await consumer.call('POST', '/offsets', { offsets: [{ topic: 't', offset: 1 }] }), 422, 422, /offsets\[0\]/)
    isError(await consumer.call('POST', '/offsets', { offsets: {} }), 422, 422, /must be an array/)
  })

  it('are committed by themselves: at the next request what was there before, never what it delivers, and at the end', async () => {
    const { send } = await withTopic()
    const observer = await Consumer.create(send, 'g')
    await produce(send, ['a', 'b', 'c'])
    const consumer = await Consumer.create(send, 'g', { 'auto.commit.enable': 'true' })
    await consumer.subscribe('t')
    for (const [value, committed] of [
      ['a', undefined],
      ['b', 1],
      ['c', 2],
    ] as const) {
      assert.deepEqual(await consumer.values('?max_bytes=1'), [value])
      assert.deepEqual(await observer.committed(0), [committed])
    }
    assert.deepEqual(await consumer.values(), [])
    assert.deepEqual(await observer.committed(0), [3])
    await produce(send, ['d'])
    assert.deepEqual(await consumer.values(), ['d'])
    await consumer.expect(204, 'DELETE')
    assert.deepEqual(await observer.committed(0), [4])
  })
})

describe('what a v2 consumer instance reads', () => {
  it('is what it subscribes to, which another subscription replaces', async () => {
    const { send, log } = await withTopic(2)
    await log.createTopic({ name: 'u', partitions: 1 })
    const consumer = await Consumer.create(send, 'g')
    isError(await consumer.call('GET', '/records'), 409, 40903, /is not subscribed/)
    assert.deepEqual(await consumer.expect(200, 'GET', '/subscription'), { topics: [], partitions: [] })
    await consumer.subscribe('t', 'u')
    assert.deepEqual(await consumer.assignments(), ['t/0', 't/1', 'u/0'])
    assert.deepEqual(await consumer.expect(200, 'GET', '/subscription'), {
      topics: ['t', 'u'],
      partitions: [{ t: [0, 1] }, { u: [0] }],
    })
    await produce(send, ['a'])
    assert.deepEqual(await consumer.values(), ['a'])
    await consumer.subscribe('t')
    await produce(send, ['b'])
    // The same partitions go on where they were, though nothing was committed.
    assert.deepEqual(await consumer.values(), ['b'])
    assert.deepEqual(await consumer.assignments(), ['t/0', 't/1'])
    await consumer.expect(204, 'DELETE', '/subscription')
    assert.deepEqual(await consumer.assignments(), [])
    isError(await consumer.call('GET', '/records'), 409, 40903)
    const described = await log.groups.describe('g')
    assert.equal(described.ok && described.group.members, 0)
  })

  it('is every topic that a pattern matches, also those that come later', async () => {
    const { send, log } = await withTopic(1, { settings: { groupPollMs: 50, topicAgeMsMax: 0 } })
    const consumer = await Consumer.create(send, 'g')
    await consumer.expect(204, 'POST', '/subscription', { topic_pattern: 't.*' })
    assert.deepEqual(await consumer.assignments(), ['t/0'])
    assert.deepEqual(await consumer.expect(200, 'GET', '/subscription'), {
      topics: [],
      topic_pattern: 't.*',
      partitions: [{ t: [0] }],
    })
    await log.createTopic({ name: 'tea', partitions: 1 })
    await log.maintain()
    assert.deepEqual(await consumer.assignments(), ['t/0', 'tea/0'])
  })

  it('is either subscribed to, by names or by a pattern, or assigned by hand', async () => {
    const { send } = await withTopic(2)
    const partitions = [{ topic: 't', partition: 1 }]
    const consumer = await Consumer.create(send, 'g')
    isError(
      await consumer.call('POST', '/subscription', { topics: ['t'], topic_pattern: 't' }),
      409,
      40903,
      /exclude each other/,
    )
    await consumer.subscribe('t')
    isError(await consumer.call('POST', '/assignments', { partitions }), 409, 40903)
    isError(await consumer.call('POST', '/subscription', { topic_pattern: 't' }), 409, 40903)
    await consumer.expect(204, 'DELETE', '/subscription')
    await consumer.expect(204, 'POST', '/assignments', { partitions })
    assert.deepEqual(await consumer.assignments(), ['t/1'])
    isError(await consumer.call('POST', '/subscription', { topics: ['t'] }), 409, 40903)
    await consumer.expect(204, 'POST', '/assignments', { partitions: [] })
    await consumer.subscribe('t')
  })

  it('is said in a body that is in order', async () => {
    const { send } = await withTopic()
    const consumer = await Consumer.create(send, 'g')
    isError(await consumer.call('POST', '/subscription'), 422, 42206)
    isError(await consumer.call('POST', '/subscription', {}), 422, 422, /topics must be an array of names/)
    isError(await consumer.call('POST', '/subscription', { topics: ['t', 1] }), 422, 422)
    isError(await consumer.call('POST', '/subscription', { topics: [] }), 422, 42204)
    isError(await consumer.call('POST', '/subscription', { topics: ['a b'] }), 422, 42204)
    isError(await consumer.call('POST', '/subscription', { topic_pattern: '(' }), 422, 42204)
    isError(await consumer.call('POST', '/assignments', { partitions: [{ topic: 't', partition: -1 }] }), 422, 422)
    isError(await consumer.call('POST', '/assignments', { partitions: [{ topic: 't', partition: 0, x: 1 }] }), 422, 422)
  })

  it('is assigned by hand, and committed, while nobody subscribes', async () => {
    const { send } = await withTopic(2)
    await produce(send, ['a', 'b'])
    await produce(send, ['c'], 1)
    const partitions = [{ topic: 't', partition: 0 }]
    const consumer = await Consumer.create(send, 'g', { 'auto.commit.enable': true })
    await consumer.expect(204, 'POST', '/assignments', { partitions })
    assert.deepEqual(await consumer.values(), ['a', 'b'])
    assert.deepEqual(await consumer.expect(200, 'POST', '/offsets'), [
      { topic: 't', partition: 0, consumed: 2, committed: 2 },
    ])
    await consumer.expect(204, 'POST', '/assignments', { partitions: [...partitions, { topic: 't', partition: 1 }] })
    assert.deepEqual(await consumer.values(), ['c'])
    const other = await Consumer.create(send, 'g')
    await other.expect(204, 'POST', '/assignments', { partitions })
    await produce(send, ['d'])
    assert.deepEqual(await other.values(), ['d'])
    const member = await Consumer.create(send, 'g')
    await member.subscribe('t')
    await member.values()
    const refused = await consumer.call('POST', '/offsets', { offsets: [{ topic: 't', partition: 1, offset: 0 }] })
    assert.ok(refused.status >= 400, JSON.stringify(refused.body))
  })

  it('may not be there: what is assigned by hand is read when it comes', async () => {
    const { send, log } = await withTopic()
    const consumer = await Consumer.create(send, 'g')
    const partitions = [
      { topic: 'later', partition: 0 },
      { topic: 't', partition: 5 },
      { topic: 't', partition: 0 },
    ]
    await consumer.expect(204, 'POST', '/assignments', { partitions })
    await produce(send, ['a'])
    assert.deepEqual(await consumer.values(), ['a'])
    await log.createTopic({ name: 'later', partitions: 1 })
    await produce(send, ['b'], 0, 'later')
    assert.deepEqual(await consumer.values(), ['b'])
    // Another topic of its name is another topic: it begins anew.
    await log.deleteTopic('later')
    await log.createTopic({ name: 'later', partitions: 1 })
    await produce(send, ['new'], 0, 'later')
    assert.deepEqual(await consumer.values(), ['new'])
  })
})

describe('positions of a v2 consumer instance', () => {
  it('are moved to an offset, to the beginning, to the end, and to a time', async () => {
    const { send, log } = await withTopic()
    await produce(send, ['a', 'b'])
    const second = await log.fetch({ topic: 't', partition: 0, offset: 0 })
    assert.ok(second.ok)
    const partitions = [{ topic: 't', partition: 0 }]
    const consumer = await Consumer.create(send, 'g')
    await consumer.subscribe('t')
    const move = (path: string, body: object) => consumer.expect(204, 'POST', `/positions${path}`, body)
    assert.deepEqual(await consumer.values(), ['a', 'b'])
    await move('', { offsets: [{ topic: 't', partition: 0, offset: 1, metadata: 'taken, and without effect' }] })
    assert.deepEqual(await consumer.values(), ['b'])
    await move('/beginning', { partitions })
    assert.deepEqual(await consumer.values(), ['a', 'b'])
    await move('/beginning', { partitions: [] })
    await move('/end', { partitions })
    assert.deepEqual(await consumer.values(), [])
    const timestamp = (iso: string) => ({ timestamps: [{ topic: 't', partition: 0, timestamp: iso }] })
    await move('', timestamp('1970-01-01T00:00:00Z'))
    assert.deepEqual(await consumer.values(), ['a', 'b'])
    await move('', timestamp('2200-01-01T00:00:00Z'))
    assert.deepEqual(await consumer.values(), [])
  })

  it('are moved only of partitions that the instance has', async () => {
    const { send } = await withTopic()
    const consumer = await Consumer.create(send, 'g')
    await consumer.subscribe('t')
    const offsets = [{ topic: 't', partition: 0, offset: 0 }]
    isError(await consumer.call('POST', '/positions', { offsets }), 409, 40903, /is not assigned/)
    await consumer.values()
    await consumer.expect(204, 'POST', '/positions', { offsets })
    isError(await consumer.call('POST', '/positions/end', { partitions: [{ topic: 't', partition: 1 }] }), 409, 40903)
    isError(await consumer.call('POST', '/positions', { offsets: [{ ...offsets[0], offset: -1 }] }), 422, 422)
    const timestamps = [{ topic: 't', partition: 0, timestamp: 'yesterday' }]
    isError(await consumer.call('POST', '/positions', { timestamps }), 422, 422, /ISO-8601/)
    isError(await consumer.call('POST', '/positions'), 422, 42206)
  })
})

describe('a v2 consumer instance that is not there', () => {
  const requests: readonly [string, string, unknown?][] = [
    ['DELETE', ''],
    ['POST', '/subscription', { topics: ['t'] }],
    ['GET', '/subscription'],
    ['DELETE', '/subscription'],
    ['POST', '/assignments', { partitions: [] }],
    ['GET', '/assignments'],
    ['GET', '/records'],
    ['POST', '/offsets'],
    ['GET', '/offsets?topic=t&partition=0'],
    ['POST', '/positions', { offsets: [] }],
    ['POST', '/positions/beginning', { partitions: [] }],
    ['POST', '/positions/end', { partitions: [] }],
  ]

  it('is 40403 to every request, also after it was deleted', async () => {
    const { send } = await withTopic()
    const consumer = await Consumer.create(send, 'g', { name: 'gone' })
    await consumer.subscribe('t')
    await consumer.values()
    await consumer.expect(204, 'DELETE')
    for (const [method, path, body] of requests)
      for (const name of ['gone', 'never', 'n%C3%A4ive'])
        isError(await call(send, method, `/consumers/g/instances/${name}${path}`, body), 404, 40403)
  })

  it('is what somebody else has made', async () => {
    const harness = await withTopic()
    const as = (principal: string | undefined, method: string, path: string, body = '') =>
      harness.app.answer(
        { method, url: `http://log.test${path}`, headers: new Headers() },
        {
          signal: new AbortController().signal,
          principal,
          ...(body === '' ? {} : { body: streamSource(new Blob([body]).stream()) }),
        },
      )
    assert.equal((await as('key:alice', 'POST', '/consumers/g', '{"name":"i"}')).status, 200)
    for (const [method, path, body] of requests)
      for (const other of ['key:bob', undefined]) {
        const reply = await as(
          other,
          method,
          `/consumers/g/instances/i${path}`,
          body === undefined ? '' : JSON.stringify(body),
        )
        assert.deepEqual([reply.status, JSON.parse(String(reply.body)).error_code], [404, 40403])
      }
    assert.equal((await as('key:alice', 'GET', '/consumers/g/instances/i/subscription')).status, 200)
  })
})
