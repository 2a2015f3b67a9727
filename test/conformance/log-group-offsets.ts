import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { faultyMetadata } from '../../lib/adapters/faulty.ts'
import { Meter, meteredMetadata, requestsOf } from '../../lib/adapters/metered.ts'
import { offsetMetadataCharactersMax } from '../../lib/core/group-offset.ts'
import type { OffsetToCommit } from '../../lib/log/group-api.ts'
import type { Log } from '../../lib/log/log.ts'
import { commitWith, heldByAll, Member, settled, succeeded } from './group-member.ts'
import type { Stores, StoresFactory } from './log-fixture.ts'
import { createTopic, refusedWith, withLog } from './log-fixture.ts'

async function commitAll(log: Log, group: string, offsets: readonly OffsetToCommit[]) {
  return succeeded(await log.groups.commit(group, offsets)).offsets
}

/** `topic/partition` -> offset. */
async function committed(log: Log, group = 'billing'): Promise<Record<string, number>> {
  const { offsets } = succeeded(await log.groups.committed(group))
  return Object.fromEntries(offsets.map(({ topic, partition, offset }) => [`${topic}/${partition}`, offset]))
}

/** The factory's stores with something in between. */
function around(factory: StoresFactory, wrap: (metadata: Stores['metadata']) => Stores['metadata']): StoresFactory {
  return async () => {
    const stores = await factory()
    return { ...stores, metadata: wrap(stores.metadata), close: () => stores.close() }
  }
}

export function groupOffsetSuite(name: string, factory: StoresFactory): void {
  describe(`commits of groups (${name})`, () => {
    it('a committed offset is where the next owner begins, with its metadata', () =>
      withLog(factory, async ({ log, another, clock }) => {
        await createTopic(log, 2)
        const a = new Member(log, 'a')
        await a.join()
        const atMs = clock.now()
        assert.ok((await a.commit(7, 1, 'orders', 'as of noon')).ok)
        await a.leave()
        const b = new Member(another(), 'b')
        const { assigned } = await b.join()
        assert.deepEqual(
          assigned.map(({ partition, offset, metadata }) => [partition, offset, metadata]),
          [
            [0, undefined, undefined],
            [1, 7, 'as of noon'],
          ],
        )
        const { offsets } = succeeded(await log.groups.committed('billing'))
        assert.deepEqual([offsets.length, offsets[0]?.offset, offsets[0]?.metadata], [1, 7, 'as of noon'])
        assert.ok(offsets[0]!.committedMs >= atMs - 1_000 && offsets[0]!.committedMs <= clock.now())
      }))

    it('an owner may commit a lower offset: where it goes on is its own affair', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        const a = new Member(log, 'a')
        await a.join()
        for (const offset of [9, 3, 0]) assert.ok((await a.commit(offset)).ok)
        assert.deepEqual(await committed(log), { 'orders/0': 0 })
      }))

    it('each offset of a request has its own answer, in order', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 3)
        const a = new Member(log, 'a')
        const { assigned } = await a.join()
        const claim = assigned[0]!.claim
        const of = (partition: number, offset: number, more: object = {}) => ({
          topic: 'orders',
          partition,
          offset,
          claim,
          ...more,
        })
        const answers = await commitAll(log, 'billing', [
          of(0, 1),
          of(1, -1),
          of(2, 0.5),
          of(3, 1),
          of(1, 1, { topic: 'nothing' }),
          of(1, 2, { metadata: 'x'.repeat(offsetMetadataCharactersMax) }),
          of(2, 2, { metadata: 'x'.repeat(offsetMetadataCharactersMax + 1) }),
          of(2, 2, { claim: 'no claim' }),
          of(2, 2, { topicId: 'AAAAAAAAAAAAAAAAAAAAAA' }),
          { topic: 'orders', partition: 2, offset: 5 },
        ])
        assert.deepEqual(
          answers.map((answer) => (answer.ok ? answer.offset : answer.code)),
          [
            1,
            'INVALID_REQUEST',
            'INVALID_REQUEST',
            'UNKNOWN_PARTITION',
            'UNKNOWN_TOPIC',
            2,
            'OFFSET_METADATA_TOO_LARGE',
            'INVALID_REQUEST',
            'UNKNOWN_TOPIC',
            'UNKNOWN_MEMBER_ID',
          ],
        )
        assert.deepEqual(await committed(log), { 'orders/0': 1, 'orders/1': 2 })
        refusedWith(await log.groups.commit('nobody', [of(0, 1)]), 'GROUP_ID_NOT_FOUND')
        refusedWith(await log.groups.commit('', [of(0, 1)]), 'INVALID_GROUP_ID')
        refusedWith(await log.groups.committed('nobody'), 'GROUP_ID_NOT_FOUND')
      }))

    it('who let go of a partition cannot commit it once the new owner has it, in the same epoch or a later one (O1)', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 2)
        const a = new Member(log, 'a')
        await a.join()
        const before = new Map(a.held)
        const b = new Member(another(), 'b')
        await b.join()
        await settled(a, b)
        const [moved] = [...before.values()].filter(({ partition }) => !a.held.has(`orders/${partition}`))
        assert.ok((await b.commit(5, moved!.partition)).ok)
        refusedWith(await commitWith(a.log, 'billing', moved!, 2), 'FENCED_CLAIM')
        assert.equal((await committed(log))[`orders/${moved!.partition}`], 5)
        // Back again is another claim: the first stays fenced.
        await b.leave()
        await settled(a)
        assert.equal(a.held.get(`orders/${moved!.partition}`)?.offset, 5)
        refusedWith(await commitWith(a.log, 'billing', moved!, 3), 'FENCED_CLAIM')
        assert.ok((await a.commit(6, moved!.partition)).ok)
      }))

    it('a group that was deleted and made again never sees its predecessor’s offsets, nor its late commits', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log)
        const a = new Member(another(), 'a')
        await a.join()
        const held = a.held.get('orders/0')!
        assert.ok((await a.commit(8)).ok)
        await a.leave()
        succeeded(await log.groups.delete('billing'))
        refusedWith(await log.groups.commit('billing', [{ ...held, offset: 9 }]), 'GROUP_ID_NOT_FOUND')
        const b = new Member(log, 'b')
        const { assigned } = await b.join()
        assert.equal(assigned[0]?.offset, undefined)
        refusedWith(await commitWith(a.log, 'billing', held, 9), 'FENCED_CLAIM')
        assert.deepEqual(await committed(log), {})
      }))

    it('without a claim one commits to a group without members, which is made by it; not to one that has some', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 2)
        const outside = { topic: 'orders', partition: 1, offset: 4, metadata: 'm' }
        assert.ok((await commitAll(log, 'manual', [outside]))[0]?.ok)
        assert.ok((await commitAll(another(), 'manual', [{ ...outside, offset: 3 }]))[0]?.ok)
        assert.deepEqual(await committed(log, 'manual'), { 'orders/1': 3 })
        const a = new Member(log, 'a', 'manual')
        const { assigned } = await a.join()
        assert.deepEqual(
          assigned.map(({ offset }) => offset),
          [undefined, 3],
        )
        refusedWith((await commitAll(another(), 'manual', [outside]))[0]!, 'UNKNOWN_MEMBER_ID')
        await a.leave()
        const claim = assigned[1]!
        assert.ok((await commitAll(another(), 'manual', [{ ...outside, offset: 9 }]))[0]?.ok)
        refusedWith(await commitWith(log, 'manual', claim, 4), 'FENCED_CLAIM')
      }))

    it('committed offsets are answered for some partitions, or for all', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 12)
        await createTopic(log, 1, {}, 'bills')
        const at = (partition: number, offset: number) => ({ topic: 'orders', partition, offset })
        await commitAll(log, 'g', [at(11, 1), at(2, 2), { topic: 'bills', partition: 0, offset: 3 }])
        assert.deepEqual(await committed(log, 'g'), { 'bills/0': 3, 'orders/11': 1, 'orders/2': 2 })
        const some = await log.groups.committed('g', [
          { topic: 'orders', partition: 2 },
          { topic: 'orders', partition: 3 },
          { topic: 'bills', partition: 0 },
        ])
        assert.deepEqual(
          succeeded(some).offsets.map(({ offset }) => offset),
          [2, 3],
        )
        refusedWith(await log.groups.committed('g', [{ topic: 'orders', partition: 12 }]), 'UNKNOWN_PARTITION')
      }))

    it('lost answers of join, commit and leave leave everything as if they had come', () => {
      let lost = 0
      const faulty = around(factory, (metadata) =>
        faultyMetadata(metadata, {
          rates: (call) => (call === 'write' && lost > 0 ? { 'lose-answer': 1 } : {}),
          sleep: async () => {},
          random: Math.random,
          onFault: () => lost--,
        }),
      )
      return withLog(faulty, async ({ log }) => {
        await createTopic(log, 2)
        const [a, b] = [new Member(log, 'a'), new Member(log, 'b')]
        const losing = async (work: () => Promise<unknown>) => {
          lost = 1
          await work()
          assert.equal(lost, 0, 'an answer was lost')
        }
        await losing(() => a.join())
        assert.equal(a.held.size, 2)
        await losing(() => b.join())
        await settled(a, b)
        assert.deepEqual(heldByAll(a, b), ['orders/0', 'orders/1'])
        const { partition } = [...b.held.values()][0]!
        await losing(async () => assert.ok((await b.commit(4, partition)).ok))
        assert.ok((await b.commit(5, partition)).ok)
        await losing(() => b.leave())
        await settled(a)
        assert.equal(a.held.get(`orders/${partition}`)?.offset, 5)
        assert.deepEqual(succeeded(await log.groups.describe('billing')).group.members, 1)
      })
    })

    it('a commit that the store never answers may have been done, and is good to be sent again', () => {
      let isLost = false
      const faulty = around(factory, (metadata) =>
        faultyMetadata(metadata, {
          rates: (call) => (call === 'write' && isLost ? { 'lose-answer': 1 } : {}),
          sleep: async () => {},
          random: Math.random,
        }),
      )
      return withLog(
        faulty,
        async ({ log }) => {
          await createTopic(log, 2)
          const a = new Member(log, 'a')
          await a.join()
          isLost = true
          refusedWith(await a.commit(4), 'OUTCOME_UNKNOWN')
          isLost = false
          assert.ok((await a.commit(4)).ok)
          assert.deepEqual(await committed(log), { 'orders/0': 4 })
        },
        { commitAttemptsMax: 3 },
      )
    })
  })

  describe(`what groups ask of the store (${name})`, () => {
    const metered = (
      body: (world: { log: Log; other: Log; meter: Meter; advance(ms: number): void }) => Promise<void>,
    ) => {
      const meter = new Meter()
      return withLog(
        around(factory, (metadata) => meteredMetadata(metadata, meter)),
        ({ log, another, clock }) => body({ log, other: another(), meter, advance: (ms) => clock.advance(ms) }),
        { topicAgeMsMax: 60_000 },
      )
    }

    it('an idle heartbeat of a warm process is one read, and one write of the member’s own item in a third of a session', () =>
      metered(async ({ log, meter, advance }) => {
        await createTopic(log, 3)
        // So many that few of them look after the others.
        const members = Array.from({ length: 4 }, (_, at) => new Member(log, `m${at}`))
        for (const member of members) await member.join({ sessionTimeoutMs: 9_000 })
        await settled(...members)
        const [a] = members as [Member]
        meter.take()
        for (let beat = 0; beat < 5; beat++) await a.beat()
        assert.deepEqual(requestsOf(meter.take()), { 'metadata.get': 5 })
        advance(3_001)
        await a.beat()
        await a.beat()
        const { 'metadata.write': writes, 'metadata.writeTransaction': changes = 0 } = requestsOf(meter.take())
        assert.deepEqual([writes, changes], [1, 0], 'the beat; the group is as it was')
      }))

    it('a process that served a member before does not write for it what another has written since', () =>
      metered(async ({ log, other, meter, advance }) => {
        await createTopic(log, 1)
        const a = new Member(log, 'a')
        await a.join({ sessionTimeoutMs: 9_000 })
        const writes = async (by: Log) => {
          a.log = by
          meter.take()
          await a.beat()
          return requestsOf(meter.take())['metadata.write'] ?? 0
        }
        assert.equal(await writes(other), 0)
        advance(3_001)
        assert.equal(await writes(other), 1)
        assert.equal(await writes(log), 0, 'a refused write is billed, too')
        advance(3_001)
        assert.equal(await writes(log), 1)
        assert.equal(await writes(other), 0)
      }))

    it('a commit of a warm process reads the group, and is one conditional write', () =>
      metered(async ({ log, other, meter }) => {
        await createTopic(log, 2)
        const a = new Member(log, 'a')
        await a.join()
        meter.take()
        for (let offset = 1; offset <= 3; offset++) assert.ok((await a.commit(offset)).ok)
        assert.deepEqual(requestsOf(meter.take()), { 'metadata.get': 3, 'metadata.write': 3 })
        a.log = other
        await other.describeTopic('orders')
        meter.take()
        assert.ok((await a.commit(4)).ok)
        assert.deepEqual(requestsOf(meter.take()), { 'metadata.get': 2, 'metadata.write': 1 }, 'and the item, once')
      }))

    it('the group’s items are written when its members, subscriptions or assignments change, and by nothing else', () =>
      metered(async ({ log, meter, advance }) => {
        await createTopic(log, 2)
        const changes = () => meter.take()['metadata.writeTransaction'].requests
        const [a, b] = [new Member(log, 'a'), new Member(log, 'b')]
        changes()
        await a.join({ sessionTimeoutMs: 9_000 })
        assert.equal(changes(), 1)
        await b.join({ sessionTimeoutMs: 9_000 })
        assert.equal(changes(), 1)
        await settled(a, b)
        assert.equal(changes(), 1, 'a let go')
        for (let beat = 0; beat < 6; beat++) {
          advance(3_001)
          for (const member of [a, b]) {
            await member.beat()
            await member.poll()
            await member.commit(beat, [...member.held.values()][0]!.partition)
          }
        }
        succeeded(await log.groups.describe('billing'))
        succeeded(await log.groups.lags('billing'))
        assert.equal(changes(), 0)
        await a.leave()
        assert.equal(changes(), 1)
      }))

    it('many partitions that are claimed at once cost a write each and few reads', () =>
      metered(async ({ log, meter }) => {
        await createTopic(log, 100)
        meter.take()
        const a = new Member(log, 'a')
        await a.join()
        assert.equal(a.held.size, 100)
        const asked = requestsOf(meter.take())
        assert.equal(asked['metadata.write'], 100)
        assert.ok((asked['metadata.get'] ?? 0) + (asked['metadata.query'] ?? 0) <= 8, JSON.stringify(asked))
      }))
  })
}
