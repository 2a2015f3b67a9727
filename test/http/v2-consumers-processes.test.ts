/** Consumer instances behind several processes: logs and apps of their own over the same stores. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { Meter, meteredMetadata, requestsOf } from '../../lib/adapters/metered.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { instancesCollection } from '../../lib/core/items.ts'
import type { GroupName } from '../../lib/core/names.ts'
import type { Settings } from '../../lib/core/settings.ts'
import type { ItemWrite, Metadata } from '../../lib/ports.ts'
import { TestClock } from '../conformance/log-fixture.ts'
import { createHarness, type Harness } from './harness.ts'
import { Consumer, isError, produce } from './v2-consumers-fixture.ts'

interface World {
  readonly clock: TestClock
  readonly meter: Meter
  /** Two processes. */
  readonly a: Harness
  readonly b: Harness
  /** What a process sends its writes through. */
  fault: (writes: readonly ItemWrite[], write: () => ReturnType<Metadata['write']>) => ReturnType<Metadata['write']>
}

async function withProcesses(
  partitions: number,
  body: (world: World) => Promise<void>,
  settings: Partial<Settings> = {},
): Promise<void> {
  const [objects, stored, clock, meter] = [new MemoryObjects(), new MemoryMetadata(), new TestClock(), new Meter()]
  const metered = meteredMetadata(stored, meter)
  const metadata: Metadata = {
    readHead: (key) => metered.readHead(key),
    createHead: (head) => metered.createHead(head),
    updateHead: (key, command, also) => metered.updateHead(key, command, also),
    get: (key) => metered.get(key),
    query: (collection, range) => metered.query(collection, range),
    write: (writes) => world.fault(writes, () => metered.write(writes)),
  }
  const process = () =>
    createHarness({
      settings: {
        isSoleProcess: false,
        headPollMsMin: 1,
        headPollMsMax: 10,
        groupPollMs: 20,
        topicAgeMsMax: 0,
        retryDelayMs: 1,
        commitAttemptsMax: 2,
        ...settings,
      },
      ports: { objects, metadata, clock },
    })
  const world: World = { clock, meter, a: process(), b: process(), fault: (_, write) => write() }
  try {
    assert.ok((await world.a.log.createTopic({ name: 't', partitions, configs: { 'chunk.placement': 'segment' } })).ok)
    await body(world)
  } finally {
    await world.a.log.close()
    await world.b.log.close()
  }
}

/** So many values to each partition, `partition.index`. */
async function fill({ a }: World, partitions: number, count: number, from = 0): Promise<Set<unknown>> {
  const all = new Set<unknown>()
  for (let partition = 0; partition < partitions; partition++) {
    const values = Array.from({ length: count }, (_, index) => `${partition}.${from + index}`)
    for (const value of values) all.add(value)
    await produce(a.send, values, partition)
  }
  return all
}

describe('v2 consumer instances of several processes', () => {
  it('are served by each of them: made through one, subscribed through another, read through both in turns', () =>
    withProcesses(3, async (world) => {
      const { a, b } = world
      const all = await fill(world, 3, 20)
      const consumer = await Consumer.create(a.send, 'g')
      consumer.send = b.send
      await consumer.subscribe('t')
      const seen: unknown[] = []
      for (let requests = 0; seen.length < 60; requests++) {
        assert.ok(requests < 100, `${seen.length} records`)
        consumer.send = requests % 2 === 0 ? a.send : b.send
        seen.push(...(await consumer.values('?max_bytes=20')))
        if (requests % 5 === 0) await consumer.expect(200, 'POST', '/offsets')
      }
      assert.deepEqual(new Set(seen), all)
      assert.equal(seen.length, all.size)
      consumer.send = a.send
      await consumer.expect(200, 'POST', '/offsets')
      consumer.send = b.send
      assert.deepEqual(await consumer.committed(0, 1, 2), [20, 20, 20])
      await consumer.expect(204, 'DELETE')
      consumer.send = a.send
      isError(await consumer.call('GET', '/records'), 404, 40403)
    }))

  it('answer each record once, however many requests come at once through however many processes', () =>
    withProcesses(2, async (world) => {
      const { a, b } = world
      const all = await fill(world, 2, 30)
      const consumer = await Consumer.create(a.send, 'g')
      await consumer.subscribe('t')
      const seen: unknown[] = []
      for (let rounds = 0; seen.length < all.size && rounds < 60; rounds++) {
        const answers = await Promise.all(
          [a, b, a, b].map(async ({ send }) => {
            const response = await send('GET', `${consumer.path}/records?max_bytes=30`)
            return ((await response.json()) as { value: unknown }[]).map(({ value }) => value)
          }),
        )
        seen.push(...answers.flat())
      }
      assert.deepEqual(new Set(seen), all)
      assert.equal(seen.length, all.size)
    }))

  for (const isAuto of [false, true])
    it(`share a group's partitions, and pass them on without a loss or a repeat (${isAuto ? 'committing by themselves' : 'committing after each answer'})`, () =>
      withProcesses(4, async (world) => {
        const { a, b } = world
        const config = { 'auto.commit.enable': isAuto }
        const [first, second] = [await Consumer.create(a.send, 'g', config), await Consumer.create(b.send, 'g', config)]
        const seen: unknown[] = []
        const read = async (consumer: Consumer) => {
          seen.push(...(await consumer.values('?max_bytes=30')))
          if (!isAuto) await consumer.expect(200, 'POST', '/offsets')
        }
        const all = await fill(world, 4, 10)
        await first.subscribe('t')
        await read(first)
        await read(first)
        assert.equal((await first.assignments()).length, 4)
        await second.subscribe('t')
        for (let rounds = 0; rounds < 8; rounds++) {
          await read(second)
          await read(first)
        }
        const shares = [await first.assignments(), await second.assignments()]
        assert.deepEqual(
          shares.map((share) => share.length),
          [2, 2],
        )
        assert.deepEqual(shares.flat().sort(), ['t/0', 't/1', 't/2', 't/3'])
        await first.expect(204, 'DELETE')
        for (const value of await fill(world, 4, 3, 10)) all.add(value)
        for (let rounds = 0; rounds < 60 && seen.length < all.size; rounds++) await read(second)
        assert.deepEqual(new Set(seen), all)
        assert.equal(seen.length, all.size)
      }))

  it('wait for records, and are given a partition as soon as another lets go of it', () =>
    withProcesses(2, async (world) => {
      const { a, b } = world
      const [first, second] = [await Consumer.create(a.send, 'g'), await Consumer.create(b.send, 'g')]
      await first.subscribe('t')
      await first.values()
      await second.subscribe('t')
      const waiting = second.values('?timeout=20000')
      await first.values('?timeout=200')
      await produce(a.send, ['0'], 0)
      await produce(a.send, ['1'], 1)
      const mine = await first.values('?timeout=20000')
      assert.deepEqual([...mine, ...(await waiting)].sort(), ['0', '1'])
    }))

  it('lose their partitions when their client is gone; what it had not committed comes again, to another', () =>
    withProcesses(2, async (world) => {
      const { a, b, clock } = world
      const all = await fill(world, 2, 5)
      const config = { 'session.timeout.ms': 6_000 }
      const [dead, living] = [await Consumer.create(a.send, 'g', config), await Consumer.create(b.send, 'g', config)]
      await dead.subscribe('t')
      assert.ok((await dead.values('?max_bytes=1')).length === 1)
      await dead.expect(200, 'POST', '/offsets')
      assert.equal((await dead.values()).length, 9)
      // From here on nobody hears of it.
      await living.subscribe('t')
      assert.deepEqual(await living.values(), [])
      clock.advance(6_001)
      const seen: unknown[] = []
      for (let requests = 0; requests < 10; requests++) {
        seen.push(...(await living.values()))
        await a.log.maintain()
      }
      assert.equal(seen.length, 9)
      assert.ok(seen.every((value) => all.has(value)))
      await living.expect(200, 'POST', '/offsets')
      // It was only slow: it comes back as a new member, and nothing of what it held is its own any more.
      isError(
        await dead.call('POST', '/offsets', { offsets: [{ topic: 't', partition: 0, offset: 0 }] }),
        409,
        40903,
        /partition 0/,
      )
      await dead.values()
      await living.values()
      await dead.values()
      assert.deepEqual((await living.assignments()).length + (await dead.assignments()).length, 2)
      assert.deepEqual(await living.committed(0, 1), [5, 5])
    }))
})

describe('a request for records of a v2 consumer instance', () => {
  it('costs what is documented: reads of the instance, its group and the heads; a write for its positions, one for each commit', () =>
    withProcesses(3, async ({ a, meter }) => {
      const consumer = await Consumer.create(a.send, 'g', { 'auto.commit.enable': true })
      await consumer.subscribe('t')
      // Joins; then commits where it begins.
      await consumer.values()
      await consumer.values()
      await a.log.settled()
      const idle = { 'metadata.get': 2, 'metadata.readHead': 3 }
      const costs = async () => {
        meter.take()
        const values = await consumer.values()
        return [values.length, requestsOf(meter.take())]
      }
      assert.deepEqual(await costs(), [0, idle])
      await produce(a.send, ['x', 'y'], 0)
      await produce(a.send, ['z'], 2)
      assert.deepEqual(await costs(), [3, { ...idle, 'metadata.write': 1 }])
      // Two commits, and the note that they were made.
      const { 'metadata.get': reads, ...others } = (await costs())[1] as Record<string, number>
      assert.deepEqual(others, { 'metadata.readHead': 3, 'metadata.write': 3 })
      // The topic of a commit is looked up anew with this world's settings.
      assert.ok(reads !== undefined && reads <= 4)
      assert.deepEqual(await costs(), [0, idle])
    }))

  it('takes a partition up anew whose claim was replaced, though it stayed its own', () =>
    withProcesses(1, async ({ a }) => {
      const [consumer, other] = [await Consumer.create(a.send, 'g'), await Consumer.create(a.send, 'g')]
      await produce(a.send, ['x'])
      await consumer.subscribe('t')
      assert.deepEqual(await consumer.values(), ['x'])
      await other.subscribe('t')
      await other.values()
      await other.expect(204, 'DELETE')
      // As if another request had told the group, in the epoch that followed, and its note had come too late.
      const described = await a.log.groups.describe('g')
      const memberId = (described.ok && described.group.memberList[0]?.memberId) || ''
      const told = await a.log.groups.heartbeat({ group: 'g', memberId, epoch: 0, holding: [] })
      assert.equal(told.ok && told.assigned.length, 1)
      isError(await consumer.call('POST', '/offsets'), 409, 40903)
      // Nobody knows whether it was processed: it comes again.
      assert.deepEqual(await consumer.values(), ['x'])
      await consumer.expect(200, 'POST', '/offsets')
      assert.deepEqual(await consumer.committed(0), [1])
    }))

  it('ends when the subscription that it waits for is taken back', () =>
    withProcesses(1, async ({ a, b }) => {
      const consumer = await Consumer.create(a.send, 'g')
      await consumer.subscribe('t')
      await consumer.values()
      const waiting = consumer.call('GET', '/records?timeout=20000')
      await new Promise((resolve) => setImmediate(resolve))
      consumer.send = b.send
      await consumer.expect(204, 'DELETE', '/subscription')
      isError(await waiting, 409, 40903)
      const again = consumer.call('GET', '/assignments')
      assert.deepEqual((await again).body, { partitions: [] })
    }))

  it('ends when the instance is deleted', () =>
    withProcesses(1, async ({ a, b }) => {
      const consumer = await Consumer.create(a.send, 'g')
      await consumer.subscribe('t')
      await consumer.values()
      const waiting = consumer.call('GET', '/records?timeout=20000')
      await new Promise((resolve) => setImmediate(resolve))
      consumer.send = b.send
      await consumer.expect(204, 'DELETE')
      isError(await waiting, 404, 40403)
      const described = await b.log.groups.describe('g')
      assert.equal(described.ok && described.group.members, 0)
    }))
})

describe('an idle v2 consumer instance', () => {
  const timeoutMs = 60_000

  it('is kept for as long as it is used, and writes that down at most once per third of the timeout', () =>
    withProcesses(
      1,
      async ({ a, clock, meter }) => {
        const consumer = await Consumer.create(a.send, 'g')
        await consumer.subscribe('t')
        await consumer.values()
        await a.log.settled()
        const writes = () => meter.take()['metadata.write'].requests
        writes()
        for (let request = 0; request < 20; request++) await consumer.values()
        assert.equal(writes(), 0)
        for (let request = 0; request < 20; request++) {
          clock.advance(timeoutMs / 4)
          await consumer.expect(200, 'GET', '/offsets?topic=t&partition=0')
          await consumer.values()
        }
        await a.log.settled()
        // Of the instance, and of the member's heartbeat.
        assert.ok(writes() <= 20, 'ten of each')
      },
      { consumerInstanceTimeoutMs: timeoutMs },
    ))

  it('is gone after the timeout, with its membership, and makes room', () =>
    withProcesses(
      1,
      async ({ a, b, clock }) => {
        const consumer = await Consumer.create(a.send, 'g', { name: 'i', 'auto.commit.enable': true })
        await produce(a.send, ['x'])
        await consumer.subscribe('t')
        assert.deepEqual(await consumer.values(), ['x'])
        clock.advance(timeoutMs)
        // Another waits for it, and finds it there.
        assert.deepEqual(await b.log.instances.open('g', 'i').then(({ ok }) => ok), true)
        clock.advance(timeoutMs / 3)
        clock.advance(1)
        consumer.send = b.send
        isError(await consumer.call('GET', '/records'), 404, 40403)
        const described = await a.log.groups.describe('g')
        assert.equal(described.ok && described.group.members, 0)
        // Nobody said that the record had arrived: it comes again.
        const next = await Consumer.create(b.send, 'g', { name: 'i' })
        await next.subscribe('t')
        assert.deepEqual(await next.values(), ['x'])
        clock.advance(2 * timeoutMs)
        await Consumer.create(a.send, 'g', { name: 'other' })
        await Consumer.create(a.send, 'g', { name: 'i' })
      },
      { consumerInstanceTimeoutMs: timeoutMs, consumerInstancesMax: 2, sessionTimeoutMsMin: 6_000 },
    ))

  it('is removed by upkeep, whoever made it', () =>
    withProcesses(
      1,
      async ({ a, b, clock }) => {
        const names = ['one', 'two', 'grüße/slash']
        for (const group of names) for (const name of ['i', 'j']) await Consumer.create(a.send, group, { name })
        const left = async () => {
          let count = 0
          for (const group of names)
            count += (await b.metadata.query(instancesCollection(group as GroupName), { limit: 10 })).length
          return count
        }
        const maintained = await a.log.maintain()
        assert.equal(maintained.ok && maintained.instancesRemoved, 0)
        clock.advance(2 * timeoutMs)
        await Consumer.create(b.send, 'one', { name: 'k' })
        const again = await b.log.maintain()
        assert.equal(again.ok && again.instancesRemoved, 6)
        assert.equal(await left(), 0)
      },
      { consumerInstanceTimeoutMs: timeoutMs },
    ))
})

describe('a v2 consumer instance whose store answers badly', () => {
  const isOfInstance = (writes: readonly ItemWrite[]) => writes[0]?.key.collection === 'instances/g'

  it('answers the records all the same where it is not known whether its positions moved', () =>
    withProcesses(1, async (world) => {
      const { a } = world
      await produce(a.send, ['a', 'b'])
      const consumer = await Consumer.create(a.send, 'g')
      await consumer.subscribe('t')
      assert.deepEqual(await consumer.values('?max_bytes=1'), ['a'])
      world.fault = async (writes, write) => {
        const answer = await write()
        if (isOfInstance(writes)) throw new Unavailable('the answer was lost', 'possible')
        return answer
      }
      assert.deepEqual(await consumer.values(), ['b'])
      world.fault = (_, write) => write()
      assert.deepEqual(await consumer.values(), [])
    }))

  it('answers none where they did not, and goes on with the same ones', () =>
    withProcesses(1, async (world) => {
      const { a } = world
      await produce(a.send, ['a', 'b'])
      const consumer = await Consumer.create(a.send, 'g')
      await consumer.subscribe('t')
      assert.deepEqual(await consumer.values('?max_bytes=1'), ['a'])
      world.fault = (writes, write) => {
        if (isOfInstance(writes)) throw new Unavailable('the store is away', 'none')
        return write()
      }
      isError(await consumer.call('GET', '/records'), 503, 50301)
      world.fault = (_, write) => write()
      assert.deepEqual(await consumer.values(), ['b'])
    }))

  it('joins its group once, though its process goes away at any write on the way', () =>
    withProcesses(2, async (world) => {
      const { a, b } = world
      await produce(a.send, ['a'])
      const consumer = await Consumer.create(a.send, 'g')
      await consumer.subscribe('t')
      for (let survived = 0; ; survived++) {
        let writes = 0
        let isGone = false
        world.fault = async (_, write) => {
          if (isGone) throw new Unavailable('the process is gone', 'none')
          const answer = await write()
          isGone = writes++ === survived
          return answer
        }
        consumer.send = survived % 2 === 0 ? a.send : b.send
        const answer = await consumer.call('GET', '/records')
        world.fault = (_, write) => write()
        if (answer.status === 200) {
          assert.deepEqual(
            (answer.body as { value: unknown }[]).map(({ value }) => value),
            ['a'],
          )
          break
        }
        assert.ok(survived < 20)
      }
      const described = await a.log.groups.describe('g')
      assert.ok(described.ok)
      assert.equal(described.group.members, 1)
      assert.equal((await consumer.assignments()).length, 2)
    }))
})
