import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { commitWith, heldByAll, Member, settled, succeeded, valuesOf } from './group-member.ts'
import type { StoresFactory } from './log-fixture.ts'
import { appended, createTopic, refusedWith, withLog } from './log-fixture.ts'

const sessionTimeoutMs = 9_000
/** A waiting poll looks at its group often, so that tests need not wait. */
const quick = { groupPollMs: 20, topicAgeMsMax: 0 }

const partitions = (count: number, topic = 'orders') =>
  Array.from({ length: count }, (_, partition) => `${topic}/${partition}`)

export function groupSuite(name: string, factory: StoresFactory): void {
  describe(`members of groups (${name})`, () => {
    it('the first member has every partition at once, with a claim for each', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 3)
        const a = new Member(log, 'a')
        const joined = await a.join()
        assert.deepEqual(a.names, partitions(3))
        assert.deepEqual([joined.revoked, joined.lost, joined.isIncomplete], [[], [], false])
        for (const { offset, partition } of joined.assigned) {
          assert.equal(offset, undefined)
          assert.ok((await a.commit(0, partition)).ok)
        }
        const again = await a.beat()
        assert.deepEqual([again.epoch, again.assigned, again.revoked, again.lost], [joined.epoch, [], [], []])
      }))

    it('a member without an id gets one', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        const join = () => log.groups.join({ group: 'g', subscription: { kind: 'topics', topics: ['orders'] } })
        const ids = [succeeded(await join()).memberId, succeeded(await join()).memberId]
        assert.notEqual(ids[0], ids[1])
      }))

    it('a partition is given to its new owner only after the old one let go of it (G1)', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 4)
        const a = new Member(log, 'a')
        await a.join()
        a.isSlow = true
        const b = new Member(another(), 'b')
        await b.join()
        assert.deepEqual(b.names, [])
        const told = await a.beat()
        assert.equal(told.revoked.length, 2)
        await a.beat()
        await b.beat()
        assert.deepEqual(b.names, [], 'a is told, and holds them still')
        const moving = told.revoked.map(({ topic, partition }) => `${topic}/${partition}`)
        for (const name of moving) a.held.delete(name)
        await a.beat()
        await b.beat()
        assert.deepEqual(b.names, moving.sort())
        await settled(a, b)
        assert.deepEqual(heldByAll(a, b), partitions(4))
      }))

    it('a heartbeat of an older epoch lets go of nothing (G2)', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 2)
        const a = new Member(log, 'a')
        await a.join()
        const { epoch } = a
        const b = new Member(log, 'b')
        await b.join()
        // Late: it was sent before a was told of anything, and names nothing that it holds.
        succeeded(await log.groups.heartbeat({ group: 'billing', memberId: 'a', epoch, holding: [] }))
        await b.beat()
        assert.deepEqual(b.names, [])
        await settled(a, b)
        assert.deepEqual(heldByAll(a, b), partitions(2))
      }))

    it('partitions that stay keep their claim over a rebalance', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 4)
        const a = new Member(log, 'a')
        await a.join()
        const before = new Map([...a.held].map(([key, { claim }]) => [key, claim]))
        const b = new Member(log, 'b')
        await b.join()
        await settled(a, b)
        for (const [key, { claim, partition }] of a.held) {
          assert.equal(claim, before.get(key))
          assert.ok((await a.commit(1, partition)).ok)
        }
        assert.equal(a.held.size, 2)
      }))

    it('what a member leaves goes to the others at once', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 4)
        const members = ['a', 'b'].map((id) => new Member(another(), id))
        const [a, b] = members as [Member, Member]
        for (const member of members) await member.join()
        await settled(a, b)
        await b.leave()
        await a.beat()
        assert.deepEqual(a.names, partitions(4))
        refusedWith(await b.tryBeat(), 'UNKNOWN_MEMBER_ID')
        assert.ok((await log.groups.leave('billing', 'b')).ok, 'who is not there has left')
        assert.ok((await log.groups.leave('no-such-group', 'b')).ok)
      }))

    it('any process serves any member: requests that go to one after the other', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 4)
        await appended(log, ['1', '2', '3'])
        const logs = [another(), another(), another()]
        const [a, b] = [new Member(log, 'a'), new Member(log, 'b')]
        let requests = 0
        const next = (member: Member) => {
          member.log = logs[requests++ % logs.length]!
          return member
        }
        await next(a).join({ sessionTimeoutMs })
        await next(b).join({ sessionTimeoutMs })
        for (let round = 0; round < 4; round++) for (const member of [a, b]) await next(member).beat()
        assert.deepEqual(heldByAll(a, b), partitions(4))
        for (let round = 1; round <= 6; round++)
          for (const member of [a, b])
            for (const { partition } of member.held.values()) {
              const committed = await next(member).commit(round, partition)
              assert.ok(committed.ok, committed.ok ? '' : committed.message)
            }
        const stored = succeeded(await log.groups.committed('billing'))
        assert.deepEqual(
          stored.offsets.map(({ offset }) => offset),
          [6, 6, 6, 6],
        )
      }))

    it('many that join at once all get their part', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 12)
        const logs = [log, another(), another()]
        const members = Array.from({ length: 6 }, (_, at) => new Member(logs[at % 3]!, `member-${at}`))
        await Promise.all(members.map((member) => member.join()))
        await settled(...members)
        assert.deepEqual(heldByAll(...members), partitions(12).sort())
        for (const member of members) assert.equal(member.held.size, 2)
      }))

    it('a member that sends no heartbeat for its session is evicted by whoever looks, and its commits end with its claims', () =>
      withLog(
        factory,
        async ({ log, another, clock }) => {
          await createTopic(log, 2)
          const a = new Member(log, 'a')
          const b = new Member(another(), 'b')
          for (const member of [a, b]) await member.join({ sessionTimeoutMs })
          await settled(a, b)
          const lost = [...b.held.values()][0]!
          for (let beat = 0; beat < 5; beat++) {
            clock.advance(sessionTimeoutMs / 3)
            await a.beat()
          }
          // The look is beside the heartbeat.
          for (let tries = 0; a.held.size < 2 && tries < 50; tries++) await a.beat()
          assert.deepEqual(a.names, partitions(2))
          refusedWith(await commitWith(b.log, 'billing', lost, 7), 'FENCED_CLAIM')
          refusedWith(await b.tryBeat(), 'UNKNOWN_MEMBER_ID')
          assert.ok((await a.commit(1, lost.partition)).ok)
        },
        quick,
      ))

    it('a beat in time keeps a member, however long it goes on', () =>
      withLog(factory, async ({ log, clock }) => {
        await createTopic(log)
        const a = new Member(log, 'a')
        await a.join({ sessionTimeoutMs })
        for (let beat = 0; beat < 8; beat++) {
          clock.advance(sessionTimeoutMs - 1_000)
          await a.beat()
          const { group } = succeeded(await log.groups.describe('billing'))
          assert.equal(group.members, 1)
        }
        clock.advance(sessionTimeoutMs + 1)
        const { group } = succeeded(await log.groups.describe('billing'))
        assert.deepEqual([group.members, group.state], [0, 'Empty'])
      }))

    it('who does not let go within its rebalance timeout is evicted, although it beats', () =>
      withLog(factory, async ({ log, clock }) => {
        await createTopic(log, 2)
        const a = new Member(log, 'a')
        await a.join({ rebalanceTimeoutMs: 5_000 })
        a.isSlow = true
        const b = new Member(log, 'b')
        await b.join({ rebalanceTimeoutMs: 5_000 })
        clock.advance(4_000)
        for (const member of [a, b]) await member.beat()
        assert.deepEqual(b.names, [])
        clock.advance(1_500)
        await a.beat()
        succeeded(await log.groups.describe('billing'))
        await b.beat()
        assert.deepEqual(b.names, partitions(2))
        refusedWith(await a.tryBeat(), 'UNKNOWN_MEMBER_ID')
      }))

    it('a static member that comes back takes its place without a rebalance; its predecessor is fenced', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 4)
        const first = new Member(log, 'first')
        const b = new Member(another(), 'b')
        await first.join({ instanceId: 'host-1' })
        await b.join({ instanceId: 'host-2' })
        await settled(first, b)
        const had = first.names
        const held = [...first.held.values()][0]!
        await first.commit(5, held.partition)
        const second = new Member(another(), 'second')
        const joined = await second.join({ instanceId: 'host-1' })
        assert.deepEqual(second.names, had)
        assert.equal(joined.assigned.find(({ partition }) => partition === held.partition)?.offset, 5)
        const told = await b.beat()
        assert.deepEqual([told.assigned, told.revoked, told.lost], [[], [], []])
        refusedWith(await first.tryBeat(), 'FENCED_INSTANCE_ID')
        refusedWith(await commitWith(first.log, 'billing', held, 9), 'FENCED_CLAIM')
        assert.deepEqual(heldByAll(second, b), partitions(4))
      }))

    it('a member that subscribes to something else gets that; one that was evicted meanwhile hears of it (G4)', () =>
      withLog(factory, async ({ log, clock }) => {
        await createTopic(log, 1)
        await createTopic(log, 2, {}, 'bills')
        const a = new Member(log, 'a')
        await a.join({ sessionTimeoutMs })
        const options = { subscription: { kind: 'topics' as const, topics: ['bills'] }, sessionTimeoutMs }
        await a.join({ ...options, epoch: a.epoch })
        await settled(a)
        assert.deepEqual(a.names, partitions(2, 'bills'))
        clock.advance(sessionTimeoutMs + 1)
        succeeded(await log.groups.describe('billing'))
        refusedWith(await a.tryJoin({ ...options, epoch: a.epoch }), 'UNKNOWN_MEMBER_ID')
      }))

    it('each assignor gives what its name says', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 3)
        await createTopic(log, 3, {}, 'bills')
        const given = async (assignor: 'range' | 'roundrobin') => {
          const members = ['a', 'b'].map((id) => new Member(log, id, assignor))
          const subscription = { kind: 'topics' as const, topics: ['orders', 'bills'] }
          for (const member of members) await member.join({ assignor, subscription })
          await settled(...members)
          return members.map((member) => member.names.join(' '))
        }
        assert.deepEqual(await given('range'), ['bills/0 bills/1 orders/0 orders/1', 'bills/2 orders/2'])
        assert.deepEqual(await given('roundrobin'), ['bills/0 bills/2 orders/1', 'bills/1 orders/0 orders/2'])
      }))

    it('what is no group, no member, no subscription or no session is said to be none', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        refusedWith(await new Member(log, 'a', '').tryJoin(), 'INVALID_GROUP_ID')
        refusedWith(await new Member(log, 'a b').tryJoin(), 'INVALID_REQUEST')
        const a = new Member(log, 'a')
        refusedWith(await a.tryJoin({ subscription: { kind: 'topics', topics: [] } }), 'INVALID_SUBSCRIPTION')
        refusedWith(await a.tryJoin({ subscription: { kind: 'topics', topics: ['a/b'] } }), 'INVALID_SUBSCRIPTION')
        refusedWith(await a.tryJoin({ subscription: { kind: 'pattern', pattern: '(' } }), 'INVALID_SUBSCRIPTION')
        refusedWith(await a.tryJoin({ instanceId: '' }), 'INVALID_REQUEST')
        for (const timeout of [5_999, 1_800_001, 7_000.5])
          refusedWith(await a.tryJoin({ sessionTimeoutMs: timeout }), 'INVALID_SESSION_TIMEOUT')
        for (const timeout of [6_000, 1_800_000])
          assert.ok((await new Member(log, `m-${timeout}`).tryJoin({ sessionTimeoutMs: timeout })).ok)
        refusedWith(await a.tryBeat(), 'UNKNOWN_MEMBER_ID')
        refusedWith(await new Member(log, 'a', 'nobody').tryBeat(), 'UNKNOWN_MEMBER_ID')
        refusedWith(await new Member(log, 'a', 'nobody').tryPoll(), 'UNKNOWN_MEMBER_ID')
      }))
  })

  describe(`topics that come and go under a group (${name})`, () => {
    it('a topic that is subscribed to may come later', () =>
      withLog(
        factory,
        async ({ log, another, clock }) => {
          const a = new Member(log, 'a')
          await a.join({ sessionTimeoutMs })
          assert.deepEqual(a.names, [])
          await createTopic(another(), 2)
          await noticed(a, clock, 2)
          assert.deepEqual(a.names, partitions(2))
        },
        quick,
      ))

    it('a pattern takes in topics that come later, and no others', () =>
      withLog(
        factory,
        async ({ log, another, clock }) => {
          await createTopic(log, 1, {}, 'orders-eu')
          const a = new Member(log, 'a')
          await a.join({ sessionTimeoutMs, subscription: { kind: 'pattern', pattern: 'orders-.*' } })
          assert.deepEqual(a.names, ['orders-eu/0'])
          await createTopic(another(), 1, {}, 'bills')
          await createTopic(another(), 1, {}, 'more-orders-us')
          await createTopic(another(), 2, {}, 'orders-us')
          await noticed(a, clock, 3)
          assert.deepEqual(a.names, ['orders-eu/0', 'orders-us/0', 'orders-us/1'])
        },
        quick,
      ))

    it('partitions that are added are given out', () =>
      withLog(
        factory,
        async ({ log, another, clock }) => {
          await createTopic(log, 1)
          const a = new Member(log, 'a')
          await a.join({ sessionTimeoutMs })
          succeeded(await another().addPartitions('orders', 3))
          await noticed(a, clock, 3)
          assert.deepEqual(a.names, partitions(3))
        },
        quick,
      ))

    it('a topic that was created again is another: its partitions are lost and given anew, and it has no offsets', () =>
      withLog(
        factory,
        async ({ log, another, clock }) => {
          await createTopic(log, 1)
          await appended(log, ['old', 'old'])
          const a = new Member(log, 'a')
          await a.join({ sessionTimeoutMs })
          const before = a.held.get('orders/0')!
          assert.ok((await a.commit(2)).ok)
          succeeded(await another().deleteTopic('orders'))
          await createTopic(another(), 1)
          await appended(another(), ['new'])
          for (let beat = 0; a.held.get('orders/0')?.topicId === before.topicId && beat < 20; beat++) {
            clock.advance(sessionTimeoutMs / 3)
            await a.beat()
          }
          const after = a.held.get('orders/0')!
          assert.notEqual(after.topicId, before.topicId)
          assert.equal(after.offset, undefined)
          assert.deepEqual(succeeded(await log.groups.committed('billing')).offsets, [])
          assert.deepEqual(await a.poll(), ['new'])
          const late = { topic: 'orders', partition: 0, claim: before.claim, topicId: before.topicId, offset: 2 }
          const [answer] = succeeded(await log.groups.commit('billing', [late])).offsets
          refusedWith(answer!, 'UNKNOWN_TOPIC')
          refusedWith(await commitWith(log, 'billing', before, 2), 'FENCED_CLAIM')
        },
        quick,
      ))
  })

  describe(`polls of members (${name})`, () => {
    it('a poll answers records of all that a member holds', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log, 3)
        for (let partition = 0; partition < 3; partition++) await appended(another(), [`${partition}`], { partition })
        const a = new Member(log, 'a')
        await a.join()
        assert.deepEqual((await a.poll()).sort(), ['0', '1', '2'])
        assert.deepEqual(await a.poll(), [])
      }))

    for (const where of ['this process', 'another process'] as const) {
      it(`a waiting poll is woken by a commit of ${where}`, () =>
        withLog(factory, async ({ log, another }) => {
          await createTopic(log, 2)
          const a = new Member(log, 'a')
          await a.join()
          const startedMs = Date.now()
          const polling = a.poll({ waitMs: 20_000 })
          await new Promise((resolve) => setTimeout(resolve, 20))
          await appended(where === 'this process' ? log : another(), ['woken'], { partition: 1 })
          assert.deepEqual(await polling, ['woken'])
          assert.ok(Date.now() - startedMs < 10_000)
        }))

      it(`a waiting poll is woken by a change of its group made in ${where}`, () =>
        withLog(
          factory,
          async ({ log, another }) => {
            await createTopic(log, 2)
            const a = new Member(log, 'a')
            await a.join()
            const startedMs = Date.now()
            const polling = a.tryPoll({ waitMs: 20_000 })
            await new Promise((resolve) => setTimeout(resolve, 20))
            const b = new Member(where === 'this process' ? log : another(), 'b')
            await b.join()
            const polled = succeeded(await polling)
            assert.deepEqual([polled.membership?.revoked.length, polled.partitions], [1, []])
            assert.ok(Date.now() - startedMs < 10_000)
          },
          where === 'this process' ? { groupPollMs: 4_000 } : quick,
        ))
    }

    it('a poll comes at once where there is something to do, and waits for nothing', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 2)
        await appended(log, ['x'])
        const a = new Member(log, 'a')
        await a.join()
        await new Member(log, 'b').join()
        const polled = succeeded(await a.tryPoll({ waitMs: 20_000 }))
        assert.deepEqual([polled.membership?.revoked.length, polled.partitions], [1, []])
      }))

    it('a poll beats while it waits', () =>
      withLog(
        factory,
        async ({ log, another, clock }) => {
          await createTopic(log)
          const a = new Member(log, 'a')
          await a.join({ sessionTimeoutMs })
          const ended = new AbortController()
          const polling = a.tryPoll({ waitMs: 25_000, signal: ended.signal })
          const looker = another()
          const before = succeeded(await looker.groups.describe('billing')).group
          let beatMs = before.memberList[0]?.beatMs ?? 0
          for (let step = 0; step < 3; step++) {
            clock.advance(6_000)
            for (let tries = 0; ; tries++) {
              assert.ok(tries < 500, 'no beat')
              const { group } = succeeded(await looker.groups.describe('billing'))
              assert.equal(group.members, 1)
              const present = group.memberList[0]?.beatMs ?? 0
              if (present > beatMs) {
                beatMs = present
                break
              }
              await new Promise((resolve) => setTimeout(resolve, 5))
            }
          }
          ended.abort()
          assert.deepEqual(valuesOf(succeeded(await polling)), [])
        },
        quick,
      ))

    it('who is evicted while it waits is told so, and gets no records', () =>
      withLog(
        factory,
        async ({ log, another }) => {
          await createTopic(log)
          const a = new Member(log, 'a')
          await a.join()
          const polling = a.tryPoll({ waitMs: 20_000 })
          succeeded(await another().groups.leave('billing', 'a'))
          refusedWith(await polling, 'UNKNOWN_MEMBER_ID')
        },
        quick,
      ))

    it('a partition whose offset is gone is said so beside the others', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log, 2)
        await appended(log, ['x'], { partition: 1 })
        const a = new Member(log, 'a')
        await a.join()
        a.held.set('orders/0', { ...a.held.get('orders/0')!, offset: 9 })
        const { partitions: polled } = succeeded(await a.tryPoll({ waitMs: 20_000 }))
        assert.deepEqual(polled.map((one) => [one.partition, one.ok ? 'records' : one.code]).sort(), [
          [0, 'OFFSET_OUT_OF_RANGE'],
          [1, 'records'],
        ])
      }))
  })
}

/** Beats, as time goes by, until the member holds so many. */
async function noticed(member: Member, clock: { advance(ms: number): void }, count: number): Promise<void> {
  for (let beat = 0; member.held.size < count && beat < 20; beat++) {
    clock.advance(sessionTimeoutMs / 3)
    await member.beat()
  }
}
