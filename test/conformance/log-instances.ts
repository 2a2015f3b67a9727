/** Instances of consumers, whatever stores are under them: made, used by several processes, removed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Delivery, Instance, InstanceConfig, Take } from '../../lib/log/instance-api.ts'
import type { Log } from '../../lib/log/log.ts'
import { appended, createTopic, recordsOf, refusedWith, type StoresFactory, textOf, withLog } from './log-fixture.ts'

const config: InstanceConfig = { format: 'text', offsetReset: 'earliest', isAutoCommit: false, waitMs: 0 }

async function opened(log: Log, name = 'i'): Promise<Instance> {
  const answer = await log.instances.open('g', name)
  assert.ok(answer.ok, answer.ok ? '' : answer.message)
  return answer.instance
}

async function subscribed(log: Log, name = 'i', own: Partial<InstanceConfig> = {}): Promise<void> {
  const created = await log.instances.create({ group: 'g', name, config: { ...config, ...own } })
  assert.ok(created.ok, created.ok ? '' : created.message)
  const answer = await (await opened(log, name)).subscribe({ kind: 'topics', topics: ['orders'] })
  assert.ok(answer.ok, answer.ok ? '' : answer.message)
}

/** At most so many records of each partition. */
const takeUpTo =
  (recordsMax: number): Take<readonly string[]> =>
  (deliveries) => {
    const taken = deliveries.map(({ offset, fetched }: Delivery) =>
      recordsOf(fetched)
        .filter((record) => record.offset >= offset)
        .slice(0, recordsMax),
    )
    const positions = taken.map((records, at) => (records.at(-1)?.offset ?? (deliveries[at]?.offset ?? 0) - 1) + 1)
    return { ok: true, value: taken.flat().map((record) => textOf(record.value) ?? ''), positions }
  }

async function polled(log: Log, name = 'i', recordsMax = 1_000): Promise<readonly string[]> {
  const answer = await (await opened(log, name)).poll({}, takeUpTo(recordsMax))
  assert.ok(answer.ok, answer.ok ? '' : answer.message)
  return answer.value
}

async function committed(log: Log, name = 'i'): Promise<readonly number[]> {
  const answer = await (await opened(log, name)).committed([
    { topic: 'orders', partition: 0 },
    { topic: 'orders', partition: 1 },
  ])
  assert.ok(answer.ok, answer.ok ? '' : answer.message)
  return answer.offsets.map(({ offset }) => offset)
}

export function instanceSuite(name: string, factory: StoresFactory): void {
  const fast = { headPollMsMin: 1, headPollMsMax: 10, groupPollMs: 20, topicAgeMsMax: 0 }

  describe(`consumer instances (${name})`, () => {
    it('a name is given once, and again when it is free; nobody has more than the limit', () =>
      withLog(
        factory,
        async ({ log, another }) => {
          const create = (own: string, through = log) => through.instances.create({ group: 'g', name: own, config })
          const other = another()
          const racing = await Promise.all([create('i'), create('i', other), create('i')])
          assert.equal(racing.filter(({ ok }) => ok).length, 1)
          for (const answer of racing) if (!answer.ok) refusedWith(answer, 'CONSUMER_ALREADY_EXISTS')
          assert.ok((await create('j', other)).ok)
          refusedWith(await create('k'), 'GROUP_LIMIT_REACHED')
          assert.ok((await (await opened(other)).delete()).ok)
          refusedWith(await log.instances.open('g', 'i'), 'UNKNOWN_CONSUMER_INSTANCE')
          assert.ok((await create('i')).ok)
        },
        { consumerInstancesMax: 2 },
      ))

    it('an instance is used through several processes in turns, and through all at once, and sees each record once', () =>
      withLog(
        factory,
        async ({ log, another }) => {
          await createTopic(log, 2)
          const expected: string[] = []
          for (let index = 0; index < 12; index++) {
            const values = [`${index}a`, `${index}b`]
            expected.push(...values)
            await appended(log, values, { partition: index % 2 })
          }
          const other = another()
          await subscribed(other)
          const seen: string[] = []
          for (let requests = 0; requests < 4; requests++)
            seen.push(...(await polled(requests % 2 === 0 ? log : other, 'i', 1)))
          for (let rounds = 0; seen.length < expected.length && rounds < 30; rounds++)
            seen.push(...(await Promise.all([log, other, log].map((each) => polled(each, 'i', 2)))).flat())
          assert.deepEqual(seen.toSorted(), expected.toSorted())
          assert.deepEqual(await committed(log), [])
          assert.ok((await (await opened(other)).commit('positions')).ok)
          assert.deepEqual(await committed(log), [12, 12])
        },
        fast,
      ))

    it('instances of a group pass partitions on, and nothing is lost or comes twice', () =>
      withLog(
        factory,
        async ({ log, another }) => {
          await createTopic(log, 2)
          for (let index = 0; index < 8; index++) await appended(log, [`${index}`], { partition: index % 2 })
          const other = another()
          await subscribed(log, 'first', { isAutoCommit: true })
          await subscribed(other, 'second', { isAutoCommit: true })
          const seen: string[] = [...(await polled(log, 'first', 1)), ...(await polled(other, 'first', 1))]
          for (let rounds = 0; seen.length < 8 && rounds < 20; rounds++)
            for (const [through, own] of [
              [other, 'second'],
              [log, 'first'],
            ] as const)
              seen.push(...(await polled(through, own, 1)))
          assert.deepEqual(seen.toSorted(), ['0', '1', '2', '3', '4', '5', '6', '7'])
          const shares = [(await opened(log, 'first')).assignment, (await opened(log, 'second')).assignment]
          assert.deepEqual(
            shares.map(({ length }) => length),
            [1, 1],
          )
        },
        fast,
      ))

    it('an instance that nobody uses is gone after its time, and upkeep removes what is left of it', () =>
      withLog(
        factory,
        async ({ log, another, clock }) => {
          await createTopic(log, 2)
          await appended(log, ['a'])
          await subscribed(log)
          assert.deepEqual(await polled(log), ['a'])
          await subscribed(log, 'other')
          clock.advance(100_000)
          refusedWith(await another().instances.open('g', 'i'), 'UNKNOWN_CONSUMER_INSTANCE')
          const maintained = await log.maintain()
          assert.equal(maintained.ok && maintained.instancesRemoved, 1)
          const described = await log.groups.describe('g')
          assert.equal(described.ok && described.group.members, 0)
          await subscribed(another())
          assert.deepEqual(await polled(log), ['a'])
        },
        { ...fast, consumerInstanceTimeoutMs: 60_000 },
      ))
  })
}
