import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { faultyMetadata } from '../../lib/adapters/faulty.ts'
import type { ResetRequest, ResetTo } from '../../lib/log/group-api.ts'
import type { Log } from '../../lib/log/log.ts'
import { commitWith, Member, settled, succeeded } from './group-member.ts'
import type { StoresFactory } from './log-fixture.ts'
import { append, appended, batchOf, createTopic, refusedWith, withLog } from './log-fixture.ts'

const commit = async (log: Log, offset: number, partition = 0, topic = 'orders', group = 'billing') => {
  const [answer] = succeeded(await log.groups.commit(group, [{ topic, partition, offset }])).offsets
  assert.ok(answer?.ok, answer?.ok === false ? answer.message : '')
}

async function offsetsOf(log: Log, group = 'billing'): Promise<(string | number)[][]> {
  const { offsets } = succeeded(await log.groups.committed(group))
  return offsets.map(({ topic, partition, offset }) => [topic, partition, offset])
}

/** Ten records, the first three of them gone; the time of record n is n seconds. */
async function tenRecords(log: Log): Promise<void> {
  await createTopic(log, 2)
  for (let index = 0; index < 10; index++)
    succeeded(
      await log.append({
        topic: 'orders',
        partition: 0,
        batches: batchOf([`${index}`], { timestampMs: index * 1_000 }),
      }),
    )
  succeeded(await log.deleteRecords('orders', 0, 3))
}

export function groupAdminSuite(name: string, factory: StoresFactory): void {
  describe(`looking after groups (${name})`, () => {
    it('lag is what lies between the committed offset and the end, or all that is there where nothing was committed', () =>
      withLog(factory, async ({ log }) => {
        await tenRecords(log)
        await createTopic(log, 1, {}, 'bills')
        await appended(log, ['x'], { topic: 'bills' })
        await commit(log, 1, 0, 'bills')
        const a = new Member(log, 'a')
        await a.join({ instanceId: 'host-1', clientId: 'biller' })
        assert.ok((await a.commit(8, 0, 'orders', 'm')).ok)
        const { lags } = succeeded(await log.groups.lags('billing'))
        assert.deepEqual(
          lags.map(({ topic, partition, currentOffset, startOffset, endOffset, lag, memberId, metadata }) => {
            return [topic, partition, currentOffset, startOffset, endOffset, lag, memberId, metadata]
          }),
          [
            ['bills', 0, 1, 0, 1, 0, undefined, ''],
            ['orders', 0, 8, 3, 10, 2, 'a', 'm'],
            ['orders', 1, undefined, 0, 0, 0, 'a', ''],
          ],
        )
        assert.deepEqual([lags[1]?.instanceId, lags[1]?.clientId], ['host-1', 'biller'])
        assert.ok((await a.commit(1)).ok)
        const again = succeeded(await log.groups.lags('billing')).lags[1]
        assert.deepEqual([again?.currentOffset, again?.lag], [1, 7], 'what was deleted is not to be read')
        refusedWith(await log.groups.lags('nobody'), 'GROUP_ID_NOT_FOUND')
      }))

    it('a group is listed and described, with who has what and who is to have what', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 3)
        assert.deepEqual(succeeded(await log.groups.list()).groups, [])
        const [a, b] = [new Member(log, 'a'), new Member(another(), 'b')]
        const subscription = { kind: 'topics' as const, topics: ['orders'] }
        await a.join({ clientId: 'biller', sessionTimeoutMs: 9_000, rebalanceTimeoutMs: 8_000, assignor: 'range' })
        await b.join({ assignor: 'range' })
        await commit(log, 1, 0, 'orders', 'another group')
        const names = (set: readonly { partition: number }[]) => set.map(({ partition }) => partition).join()
        const { group } = succeeded(await log.groups.describe('billing'))
        const [first, second] = group.memberList
        assert.deepEqual([group.state, group.members, group.assignor], ['Reconciling', 2, 'range'])
        assert.deepEqual(
          [first?.memberId, first?.clientId, first?.sessionTimeoutMs, first?.rebalanceTimeoutMs, first?.subscription],
          ['a', 'biller', 9_000, 8_000, subscription],
        )
        assert.deepEqual([names(first!.assigned), names(first!.target)], ['0,1,2', '0,1'])
        assert.deepEqual([names(second!.assigned), names(second!.target)], ['', '2'])
        assert.ok((second?.beatMs ?? 0) > 0)
        await settled(a, b)
        const { groups } = succeeded(await log.groups.list())
        assert.deepEqual(
          groups.map(({ group: name, state, members }) => [name, state, members]),
          [
            ['another group', 'Empty', 0],
            ['billing', 'Stable', 2],
          ],
        )
        refusedWith(await log.groups.describe('nobody'), 'GROUP_ID_NOT_FOUND')
      }))

    it('a reset moves a group without members to each of its targets, within what is there', () =>
      withLog(factory, async ({ log }) => {
        await tenRecords(log)
        const cases: readonly [ResetTo, number][] = [
          [{ to: 'earliest' }, 3],
          [{ to: 'latest' }, 10],
          [{ to: 'offset', offset: 7 }, 7],
          [{ to: 'offset', offset: 1 }, 3],
          [{ to: 'offset', offset: 99 }, 10],
          [{ to: 'time', timestampMs: 5_500 }, 6],
          [{ to: 'time', timestampMs: 6_000 }, 6],
          [{ to: 'time', timestampMs: 0 }, 3],
          [{ to: 'time', timestampMs: 60_000 }, 10],
          [{ to: 'shift', by: 2 }, 7],
          [{ to: 'shift', by: -1 }, 4],
          [{ to: 'shift', by: -9 }, 3],
          [{ to: 'shift', by: 9 }, 10],
          [{ to: 'current' }, 5],
        ]
        for (const [to, expected] of cases) {
          await commit(log, 5)
          const request: ResetRequest = { group: 'billing', topics: [{ topic: 'orders', partitions: [0] }], to }
          const planned = succeeded(await log.groups.reset({ ...request, isDryRun: true })).offsets
          assert.deepEqual(await offsetsOf(log), [['orders', 0, 5]], 'a dry run changes nothing')
          const done = succeeded(await log.groups.reset(request)).offsets
          assert.deepEqual(done, planned)
          assert.deepEqual(done, [{ topic: 'orders', partition: 0, offset: expected, before: 5 }], JSON.stringify(to))
          assert.deepEqual(await offsetsOf(log), [['orders', 0, expected]])
        }
      }))

    it('a reset is of some partitions, of a topic, or of all that was committed; and makes the group where there is none', () =>
      withLog(factory, async ({ log }) => {
        await tenRecords(log)
        const reset = (topics: ResetRequest['topics']) =>
          log.groups.reset({ group: 'billing', topics, to: { to: 'earliest' } })
        refusedWith(await reset('all'), 'GROUP_ID_NOT_FOUND')
        assert.equal(succeeded(await reset([{ topic: 'orders' }])).offsets.length, 2)
        assert.deepEqual(await offsetsOf(log), [
          ['orders', 0, 3],
          ['orders', 1, 0],
        ])
        await commit(log, 9)
        assert.equal(succeeded(await reset('all')).offsets.length, 2)
        refusedWith(await reset([{ topic: 'nothing' }]), 'UNKNOWN_TOPIC')
        refusedWith(await reset([{ topic: 'orders', partitions: [2] }]), 'UNKNOWN_PARTITION')
      }))

    it('a group with members is not reset; what was reset fences who was there before (O3)', () =>
      withLog(factory, async ({ log, another }) => {
        await tenRecords(log)
        const a = new Member(another(), 'a')
        await a.join()
        const held = a.held.get('orders/0')!
        const request: ResetRequest = { group: 'billing', topics: [{ topic: 'orders' }], to: { to: 'earliest' } }
        refusedWith(await log.groups.reset(request), 'NON_EMPTY_GROUP')
        await a.leave()
        succeeded(await log.groups.reset(request))
        refusedWith(await commitWith(a.log, 'billing', held, 9), 'FENCED_CLAIM')
        const { assigned } = await new Member(log, 'b').join()
        assert.equal(assigned[0]?.offset, 3)
      }))

    it('offsets are deleted for topics that nobody subscribes to; late commits of them are fenced', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 2)
        await createTopic(log, 1, {}, 'bills')
        const b = new Member(another(), 'b')
        await b.join({ subscription: { kind: 'topics', topics: ['bills'] } })
        const held = b.held.get('bills/0')!
        assert.ok((await b.commit(3, 0, 'bills')).ok)
        refusedWith(await log.groups.deleteOffsets('billing', { topic: 'bills' }), 'GROUP_SUBSCRIBED_TO_TOPIC')
        await b.leave()
        await commit(log, 4)
        await commit(log, 5, 1)
        const one = await log.groups.deleteOffsets('billing', [{ topic: 'orders', partition: 1 }])
        assert.equal(succeeded(one).deleted, 1)
        assert.equal(succeeded(await log.groups.deleteOffsets('billing', { topic: 'bills' })).deleted, 1)
        assert.equal(succeeded(await log.groups.deleteOffsets('billing', { topic: 'bills' })).deleted, 0)
        assert.deepEqual(await offsetsOf(log), [['orders', 0, 4]])
        refusedWith(await commitWith(b.log, 'billing', held, 9), 'FENCED_CLAIM')
        refusedWith(await log.groups.deleteOffsets('billing', { topic: 'nothing' }), 'UNKNOWN_TOPIC')
        refusedWith(await log.groups.deleteOffsets('nobody', { topic: 'bills' }), 'GROUP_ID_NOT_FOUND')
      }))

    it('a group without members is deleted with all that it has, one with members is not', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 2)
        const a = new Member(log, 'a')
        await a.join()
        refusedWith(await another().groups.delete('billing'), 'NON_EMPTY_GROUP')
        await a.commit(1)
        await a.leave()
        succeeded(await another().groups.delete('billing'))
        assert.deepEqual(succeeded(await log.groups.list()).groups, [])
        for (const answer of [
          await log.groups.describe('billing'),
          await log.groups.committed('billing'),
          await log.groups.delete('billing'),
        ])
          refusedWith(answer, 'GROUP_ID_NOT_FOUND')
        refusedWith(await a.tryBeat(), 'UNKNOWN_MEMBER_ID')
      }))

    for (const finishedBy of ['the next deletion', 'upkeep', 'the next that joins'] as const)
      it(`a deletion that was cut off in the middle is finished by ${finishedBy}`, () => {
        let left = Number.POSITIVE_INFINITY
        return withLog(
          async () => {
            const stores = await factory()
            const metadata = faultyMetadata(stores.metadata, {
              rates: (call) => (call === 'write' && left-- <= 0 ? { refuse: 1 } : {}),
              sleep: async () => {},
              random: Math.random,
            })
            return { ...stores, metadata, close: () => stores.close() }
          },
          async ({ log, another, stores }) => {
            await createTopic(log, 4)
            for (let partition = 0; partition < 4; partition++) await commit(log, 5, partition)
            // The rates are asked for five faults of each write: the mark, two offsets, and no more.
            left = 15
            refusedWith(await log.groups.delete('billing'), 'STORAGE_UNAVAILABLE')
            left = Number.POSITIVE_INFINITY
            const after = another()
            assert.deepEqual(succeeded(await after.groups.list()).groups, [], 'it is not there any more')
            refusedWith(await after.groups.describe('billing'), 'GROUP_ID_NOT_FOUND')
            assert.equal((await stores.metadata.query('groups', { limit: 10 })).length, 1)
            if (finishedBy === 'the next deletion') succeeded(await after.groups.delete('billing'))
            else if (finishedBy === 'upkeep') succeeded(await after.maintain())
            else assert.equal((await new Member(after, 'a').join()).assigned[0]?.offset, undefined)
            const expected = finishedBy === 'the next that joins' ? 1 : 0
            assert.equal((await stores.metadata.query('groups', { limit: 10 })).length, expected)
          },
          { commitAttemptsMax: 2 },
        )
      })
  })

  describe(`limits of groups (${name})`, () => {
    it('a group has groupMembersMax members and not one more, until one leaves', () =>
      withLog(
        factory,
        async ({ log }) => {
          await createTopic(log, 1)
          const members = ['a', 'b', 'c', 'd'].map((id) => new Member(log, id))
          for (const member of members.slice(0, 3)) await member.join()
          refusedWith(await members[3]!.tryJoin(), 'GROUP_MAX_SIZE_REACHED')
          await members[0]!.join()
          await members[0]!.leave()
          await members[3]!.join()
        },
        { groupMembersMax: 3 },
      ))

    it('a group subscribes to groupPartitionsMax partitions and not one more', () =>
      withLog(
        factory,
        async ({ log }) => {
          const subscribing = (member: string, ...topics: string[]) =>
            new Member(log, member, member).tryJoin({ subscription: { kind: 'topics', topics } })
          for (const count of [3, 4, 5]) await createTopic(log, count, {}, `of-${count}`)
          assert.ok((await subscribing('a', 'of-3')).ok)
          assert.ok((await subscribing('b', 'of-4')).ok)
          refusedWith(await subscribing('c', 'of-5'), 'GROUP_LIMIT_REACHED')
          refusedWith(await subscribing('d', 'of-3', 'of-4'), 'GROUP_LIMIT_REACHED')
        },
        { groupPartitionsMax: 4 },
      ))

    it('a group whose topics grow beyond the limit keeps what it had, and its members come and go', () =>
      withLog(
        factory,
        async ({ log, clock }) => {
          await createTopic(log, 4)
          const subscription = { kind: 'pattern' as const, pattern: 'orders.*' }
          const [a, b] = [new Member(log, 'a'), new Member(log, 'b')]
          for (const member of [a, b]) await member.join({ subscription, sessionTimeoutMs: 9_000 })
          await settled(a, b)
          await createTopic(log, 1, {}, 'orders-more')
          for (let beat = 0; beat < 3; beat++) {
            clock.advance(3_001)
            for (const member of [a, b]) await member.beat()
          }
          assert.equal(succeeded(await log.groups.describe('billing')).group.members, 2)
          await b.leave()
          await settled(a)
          assert.equal(a.held.size, 4)
          const c = new Member(log, 'c')
          await c.join({ subscription, sessionTimeoutMs: 9_000 })
          await settled(a, c)
          assert.deepEqual([a.held.size, c.held.size], [2, 2], 'who subscribes as others do adds nothing')
          const more = { kind: 'topics' as const, topics: ['orders-more'] }
          refusedWith(await new Member(log, 'd').tryJoin({ subscription: more }), 'GROUP_LIMIT_REACHED')
          clock.advance(9_001)
          assert.equal(succeeded(await log.groups.describe('billing')).group.members, 0)
          succeeded(await log.groups.delete('billing'))
        },
        { groupPartitionsMax: 4, topicAgeMsMax: 0 },
      ))

    it('who joins with more than fits into the group’s item is refused, and the others go on', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 2)
        const long = Array.from({ length: 99 }, (_, at) => `${at}-${'x'.repeat(240)}`)
        const subscription = { kind: 'topics' as const, topics: ['orders', ...long] }
        const members: Member[] = []
        for (let number = 1; ; number++) {
          const member = new Member(log, `m${number}`)
          const answer = await member.tryJoin({ subscription })
          if (!answer.ok) {
            refusedWith(answer, 'GROUP_MAX_SIZE_REACHED')
            break
          }
          members.push(member)
        }
        assert.ok(members.length >= 10 && members.length <= 15, `${members.length} members`)
        await settled(...members)
        assert.equal(
          members.reduce((sum, { held }) => sum + held.size, 0),
          2,
        )
        await members[0]!.leave()
        await settled(...members.slice(1))
        await new Member(log, 'late').join({ subscription })
      }))

    it('there are groupsMax groups and not one more, until one is deleted', () =>
      withLog(
        factory,
        async ({ log }) => {
          await createTopic(log)
          for (const group of ['g1', 'g2']) await commit(log, 1, 0, 'orders', group)
          await new Member(log, 'a', 'g3').join()
          refusedWith(await new Member(log, 'a', 'g4').tryJoin(), 'GROUP_LIMIT_REACHED')
          const late = await log.groups.commit('g4', [{ topic: 'orders', partition: 0, offset: 1 }])
          refusedWith(late, 'GROUP_LIMIT_REACHED')
          await new Member(log, 'b', 'g3').join()
          await commit(log, 2, 0, 'orders', 'g2')
          succeeded(await log.groups.delete('g2'))
          await new Member(log, 'a', 'g4').join()
        },
        { groupsMax: 3 },
      ))
  })

  describe(`upkeep of groups (${name})`, () => {
    const offsetsRetentionMs = 60_000

    it('offsets of a group without members are kept for their time since it was used last, and then go with it', () =>
      withLog(
        factory,
        async ({ log, clock }) => {
          await createTopic(log, 2)
          const a = new Member(log, 'a')
          await a.join()
          await a.commit(5)
          clock.advance(offsetsRetentionMs - 10_000)
          await a.beat()
          await a.leave()
          clock.advance(offsetsRetentionMs - 10_000)
          assert.equal(succeeded(await log.maintain()).groupsDeleted, 0)
          await commit(log, 6)
          clock.advance(offsetsRetentionMs - 10_000)
          assert.equal(succeeded(await log.maintain()).groupsDeleted, 0)
          assert.deepEqual(await offsetsOf(log), [['orders', 0, 6]])
          clock.advance(10_001)
          assert.equal(succeeded(await log.maintain()).groupsDeleted, 1)
          refusedWith(await log.groups.committed('billing'), 'GROUP_ID_NOT_FOUND')
          const { assigned } = await new Member(log, 'b').join()
          assert.equal(assigned[0]?.offset, undefined)
        },
        { offsetsRetentionMs, sessionTimeoutMsDefault: 1_800_000 },
      ))

    it('a group with members is kept however long it commits nothing; one whose members are dead is not', () =>
      withLog(
        factory,
        async ({ log, clock }) => {
          await createTopic(log)
          const a = new Member(log, 'a')
          await a.join({ sessionTimeoutMs: 90_000 })
          for (let round = 0; round < 4; round++) {
            clock.advance(80_000)
            await a.beat()
            assert.equal(succeeded(await log.maintain()).groupsDeleted, 0)
          }
          clock.advance(90_001)
          assert.equal(succeeded(await log.maintain()).groupsDeleted, 0, 'evicted')
          assert.equal(succeeded(await log.groups.describe('billing')).group.state, 'Empty')
          clock.advance(offsetsRetentionMs + 1)
          assert.equal(succeeded(await log.maintain()).groupsDeleted, 1)
        },
        { offsetsRetentionMs },
      ))

    it('a deleted topic’s offsets are no longer answered', () =>
      withLog(
        factory,
        async ({ log }) => {
          await createTopic(log)
          await append(log, ['x'])
          await commit(log, 1)
          succeeded(await log.deleteTopic('orders'))
          assert.deepEqual(await offsetsOf(log), [])
          assert.deepEqual(succeeded(await log.groups.lags('billing')).lags, [])
          await createTopic(log)
          assert.deepEqual(await offsetsOf(log), [])
        },
        { topicAgeMsMax: 0 },
      ))
  })
}
