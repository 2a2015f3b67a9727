import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  assignorNames,
  assignorOf,
  dutiesOf,
  formatGroup,
  type Group,
  type GroupTopic,
  join,
  type MemberOptions,
  newGroup,
  overdueMembers,
  parseGroup,
  partitionsOfGroup,
  refresh,
  release,
  remove,
  stateOf,
} from '../../lib/core/group.ts'
import { emptyPartitionSet } from '../../lib/core/partition-set.ts'
import { groupId, id, options, resolve, seenBy, set, show, topics, topicsOf } from './group-fixture.ts'

/** A group under test, in a world of topics. */
class Subject {
  group: Group = newGroup(groupId, 0)
  existing: Map<string, GroupTopic>
  nowMs = 0

  constructor(partitions: Readonly<Record<string, number>>) {
    this.existing = topicsOf(partitions)
  }

  join(
    member: string,
    more: Partial<MemberOptions> & { readonly topics?: readonly string[] } = {},
  ): string | undefined {
    const { topics: names = ['orders'], ...rest } = more
    const wanted = options(rest.subscription ?? topics(...names), rest)
    const seen = seenBy(this.group, this.existing, wanted.subscription)
    const { next, replaced } = join(this.group, id(member), wanted, seen, resolve, this.nowMs)
    this.group = next
    return replaced
  }

  remove(...members: readonly string[]): void {
    this.group = remove(this.group, members.map(id), seenBy(this.group, this.existing), resolve, this.nowMs)
  }

  refresh(): void {
    this.group = refresh(this.group, seenBy(this.group, this.existing), resolve, this.nowMs)
  }

  /** A heartbeat of a member that holds this. */
  release(member: string, holding: string, seenEpoch = this.group.epoch): void {
    this.group = release(this.group, id(member), seenEpoch, set(holding), this.nowMs)
  }

  owned(member: string): string {
    return show(this.group.members.get(id(member))?.owned)
  }

  target(member: string): string {
    return show(this.group.members.get(id(member))?.target)
  }
}

describe('a new group', () => {
  it('is empty, in epoch 1, since it was made', () => {
    const group = newGroup(groupId, 17)
    assert.equal(group.epoch, 1)
    assert.equal(group.emptySinceMs, 17)
    assert.equal(stateOf(group), 'Empty')
    assert.equal(partitionsOfGroup(group), 0)
  })
})

describe('a member that joins', () => {
  it('is granted at once what nobody owns (G1), and is no longer empty', () => {
    const s = new Subject({ orders: 2 })
    s.join('a')
    assert.equal(s.owned('a'), 'orders#1/0 orders#1/1')
    assert.equal(s.group.emptySinceMs, undefined)
    assert.equal(stateOf(s.group), 'Stable')
    assert.equal(partitionsOfGroup(s.group), 2)
  })

  it('waits for what another owns until that one has let go (G1)', () => {
    const s = new Subject({ orders: 2 })
    s.join('a')
    s.join('b')
    assert.equal(s.target('b'), 'orders#1/1')
    assert.equal(s.owned('b'), '')
    assert.equal(s.owned('a'), 'orders#1/0 orders#1/1')
    assert.equal(stateOf(s.group), 'Reconciling')
    s.release('a', 'orders#1/0')
    assert.equal(s.owned('a'), 'orders#1/0')
    assert.equal(s.owned('b'), 'orders#1/1')
    assert.equal(stateOf(s.group), 'Stable')
  })

  it('raises the epoch by one, whatever comes of it (G3)', () => {
    const s = new Subject({ orders: 1 })
    s.join('a')
    assert.equal(s.group.epoch, 2)
    s.join('b')
    assert.equal(s.group.epoch, 3)
    // Static, back, and the topic has grown meanwhile: still one change.
    s.join('c', { instanceId: 'i' })
    s.existing = topicsOf({ orders: 3 })
    s.join('d', { instanceId: 'i' })
    assert.equal(s.group.epoch, 5)
  })

  it('may be told to join twice: the same group', () => {
    const s = new Subject({ orders: 2 })
    s.join('a', { clientId: 'c' })
    const before = s.group
    s.join('a', { clientId: 'c' })
    assert.equal(s.group, before)
  })

  it('with other options raises the epoch and keeps what it has', () => {
    for (const more of [
      { sessionTimeoutMs: 1 },
      { rebalanceTimeoutMs: 1 },
      { clientId: 'c' },
      { assignor: 'range' },
    ] as const) {
      const s = new Subject({ orders: 2 })
      s.join('a')
      s.join('a', more)
      assert.equal(s.group.epoch, 3)
      assert.equal(s.owned('a'), 'orders#1/0 orders#1/1')
    }
  })

  it('with another subscription gets another target, and lets go of the rest', () => {
    const s = new Subject({ orders: 2, payments: 1 })
    s.join('a')
    s.join('a', { topics: ['payments'] })
    assert.equal(s.owned('a'), 'orders#1/0 orders#1/1 payments#1/0')
    assert.equal(s.target('a'), 'payments#1/0')
    s.release('a', 'payments#1/0')
    assert.equal(s.owned('a'), 'payments#1/0')
  })

  it('may subscribe to topics that do not exist, and gets them when they do', () => {
    const s = new Subject({})
    s.join('a')
    assert.equal(s.owned('a'), '')
    assert.equal(stateOf(s.group), 'Stable')
    s.existing = topicsOf({ orders: 1 })
    s.refresh()
    assert.equal(s.owned('a'), 'orders#1/0')
  })

  it('in the middle of a rebalance does not turn partitions back that have another target already', () => {
    const s = new Subject({ orders: 6 })
    s.join('a')
    s.join('b')
    const target = s.target('b')
    s.join('c')
    assert.ok(
      s
        .target('b')
        .split(' ')
        .every((partition) => target.includes(partition)),
    )
  })
})

describe('a partition that its owner has to let go of', () => {
  it('stays its own while it says that it holds it', () => {
    const s = new Subject({ orders: 2 })
    s.join('a')
    s.join('b')
    const before = s.group
    s.release('a', 'orders#1/0 orders#1/1')
    assert.equal(s.group, before)
  })

  it('is not freed by a heartbeat that knows an older epoch (G2)', () => {
    const s = new Subject({ orders: 2 })
    s.join('a')
    s.join('b')
    const before = s.group
    s.release('a', '', before.epoch - 1)
    assert.equal(s.group, before)
    s.release('a', '', before.epoch)
    assert.equal(s.owned('a'), 'orders#1/0')
  })

  it('is freed only as far as it is beyond the target: a member may not have taken up the rest yet', () => {
    const s = new Subject({ orders: 4 })
    s.join('a')
    const before = s.group
    s.release('a', '')
    assert.equal(s.group, before)
  })

  it('is not freed by what others, or nobody, say', () => {
    const s = new Subject({ orders: 2 })
    s.join('a')
    s.join('b')
    const before = s.group
    s.release('b', '')
    s.release('stranger', '')
    assert.equal(s.group, before)
  })

  it('is free at once when its owner leaves or is evicted', () => {
    const s = new Subject({ orders: 2 })
    s.join('a')
    s.join('b')
    s.remove('a')
    assert.equal(s.owned('b'), 'orders#1/0 orders#1/1')
    assert.equal(stateOf(s.group), 'Stable')
  })

  it('stays its own when its topic is no longer subscribed to, until it lets go (G1)', () => {
    const s = new Subject({ orders: 1, payments: 1 })
    s.join('a')
    s.join('a', { topics: ['payments'] })
    // Nobody subscribes to orders now: these changes do not look at it.
    s.join('b', { topics: ['payments'] })
    s.join('c', { topics: ['orders'] })
    assert.equal(s.target('c'), 'orders#1/0')
    assert.equal(s.owned('c'), '')
    s.release('a', 'payments#1/0')
    assert.equal(s.owned('c'), 'orders#1/0')
  })

  it('is owned no more when its topic is gone, or has been created again', () => {
    for (const existing of [topicsOf({}), topicsOf({ orders: 1 }, 2)]) {
      const s = new Subject({ orders: 1 })
      s.join('a')
      s.existing = existing
      s.refresh()
      assert.equal(s.owned('a'), show(set([...existing.values()].map(({ id }) => `${id}/0`).join(' '))))
      assert.equal(stateOf(s.group), 'Stable')
    }
  })

  it('makes its owner overdue when the rebalance timeout is over, and not before', () => {
    const s = new Subject({ orders: 2 })
    s.join('a', { rebalanceTimeoutMs: 1_000 })
    s.nowMs = 50
    s.join('b')
    assert.equal(s.group.members.get(id('a'))?.revokingSinceMs, 50)
    // A second change does not begin the time anew.
    s.nowMs = 500
    s.join('c')
    assert.deepEqual(overdueMembers(s.group, 1_049), [])
    assert.deepEqual(overdueMembers(s.group, 1_050), [])
    assert.deepEqual(overdueMembers(s.group, 1_051), ['a'])
    s.release('a', 'orders#1/0')
    assert.equal(s.group.members.get(id('a'))?.revokingSinceMs, undefined)
    assert.deepEqual(overdueMembers(s.group, 1_000_000), [])
  })

  it('is among the duties of its owner, apart from what that is to read', () => {
    const s = new Subject({ orders: 2 })
    s.join('a')
    s.join('b')
    const { assigned, revoked } = dutiesOf(s.group.members.get(id('a'))!)
    assert.equal(show(assigned), 'orders#1/0')
    assert.equal(show(revoked), 'orders#1/1')
    assert.deepEqual(dutiesOf(s.group.members.get(id('b'))!), {
      assigned: emptyPartitionSet,
      revoked: emptyPartitionSet,
    })
  })
})

describe('a static member that comes back', () => {
  it('under another id takes over what its predecessor had, which is named to be fenced (G4)', () => {
    const s = new Subject({ orders: 4 })
    s.join('a1', { instanceId: 'a' })
    s.join('b1', { instanceId: 'b' })
    s.release('a1', s.target('a1'))
    const had = s.owned('a1')
    const others = s.owned('b1')
    assert.equal(s.join('a2', { instanceId: 'a' }), 'a1')
    assert.equal(s.owned('a2'), had)
    assert.equal(s.owned('b1'), others)
    assert.equal(s.group.members.has(id('a1')), false)
    assert.equal(stateOf(s.group), 'Stable')
  })

  it('holds nothing: what its predecessor had to let go of is free at once, and it is not overdue', () => {
    const s = new Subject({ orders: 2 })
    s.join('a1', { instanceId: 'a', rebalanceTimeoutMs: 1_000 })
    s.join('b')
    s.nowMs = 2_000
    assert.deepEqual(overdueMembers(s.group, s.nowMs), ['a1'])
    s.join('a2', { instanceId: 'a', rebalanceTimeoutMs: 1_000 })
    assert.deepEqual(overdueMembers(s.group, s.nowMs), [])
    assert.equal(s.owned('a2'), 'orders#1/0')
    assert.equal(s.owned('b'), 'orders#1/1')
  })

  it('with another subscription gets another target', () => {
    const s = new Subject({ orders: 1, payments: 1 })
    s.join('a1', { instanceId: 'a' })
    s.join('a2', { instanceId: 'a', topics: ['payments'] })
    assert.equal(s.target('a2'), 'payments#1/0')
  })

  it('is a member like any other after its predecessor was evicted', () => {
    const s = new Subject({ orders: 2 })
    s.join('a1', { instanceId: 'a' })
    s.join('b', { instanceId: 'b' })
    s.remove('a1')
    assert.equal(s.join('a2', { instanceId: 'a' }), undefined)
    assert.equal(s.owned('a2'), '')
    s.release('b', s.target('b'))
    assert.notEqual(s.target('a2'), '')
    assert.equal(s.owned('a2'), s.target('a2'))
  })
})

describe('members that go', () => {
  it('leave an empty group when they were the last, since then', () => {
    const s = new Subject({ orders: 1 })
    s.join('a')
    s.join('b')
    s.nowMs = 33
    s.remove('a', 'b')
    assert.equal(s.group.emptySinceMs, 33)
    assert.equal(stateOf(s.group), 'Empty')
    assert.equal(s.group.epoch, 4)
    assert.equal(s.group.topics.size, 0)
  })

  it('that are not there change nothing', () => {
    const s = new Subject({ orders: 1 })
    s.join('a')
    const before = s.group
    s.remove('b')
    assert.equal(s.group, before)
  })
})

describe('topics', () => {
  it('as they were change nothing', () => {
    const s = new Subject({ orders: 2, others: 2 })
    s.join('a')
    const before = s.group
    s.existing = topicsOf({ orders: 2, others: 3 })
    s.refresh()
    assert.equal(s.group, before)
  })

  it('that grow are assigned to the last partition', () => {
    const s = new Subject({ orders: 1 })
    s.join('a')
    s.existing = topicsOf({ orders: 3 })
    s.refresh()
    assert.equal(s.owned('a'), 'orders#1/0 orders#1/1 orders#1/2')
    assert.equal(s.group.epoch, 3)
  })

  it('that match a pattern are noticed when they come and when they go', () => {
    const s = new Subject({ 'eu-orders': 1, 'us-orders': 1 })
    s.join('a', { subscription: { kind: 'pattern', pattern: 'eu-.*' } })
    assert.equal(s.owned('a'), 'eu-orders#1/0')
    s.existing = topicsOf({ 'eu-orders': 1, 'us-orders': 1, 'eu-payments': 1 })
    s.refresh()
    assert.equal(s.owned('a'), 'eu-orders#1/0 eu-payments#1/0')
    s.existing = topicsOf({ 'us-orders': 1, 'eu-payments': 1 })
    s.refresh()
    assert.equal(s.owned('a'), 'eu-payments#1/0')
  })

  it('are read only by members that subscribe to them', () => {
    const s = new Subject({ orders: 4, payments: 4 })
    s.join('a', { topics: ['orders'] })
    s.join('b', { topics: ['payments'] })
    assert.equal(s.owned('a'), 'orders#1/0 orders#1/1 orders#1/2 orders#1/3')
    assert.equal(s.owned('b'), 'payments#1/0 payments#1/1 payments#1/2 payments#1/3')
  })
})

describe('the assignor of a group', () => {
  it('is what most members wish for', () => {
    const s = new Subject({ orders: 3 })
    assert.equal(assignorOf(s.group), 'cooperative-sticky')
    s.join('a', { assignor: 'range' })
    assert.equal(assignorOf(s.group), 'range')
    s.join('b', { assignor: 'roundrobin' })
    s.join('c', { assignor: 'roundrobin' })
    assert.equal(assignorOf(s.group), 'roundrobin')
  })

  it('is of equals the first in the order of preference', () => {
    for (const [at, first] of assignorNames.entries())
      for (const second of assignorNames.slice(at + 1)) {
        const s = new Subject({ orders: 3 })
        s.join('a', { assignor: second })
        s.join('b', { assignor: first })
        assert.equal(assignorOf(s.group), first)
      }
  })

  it('assigns anew when it changes, though the member that changed it has the same subscription', () => {
    const s = new Subject({ orders: 2, payments: 2 })
    const names = ['orders', 'payments']
    s.join('a', { topics: names, assignor: 'roundrobin', instanceId: '1' })
    s.join('b', { topics: names, assignor: 'roundrobin', instanceId: '2' })
    assert.equal(s.target('a'), 'orders#1/0 payments#1/0')
    s.join('a', { topics: ['orders'], assignor: 'range', instanceId: '1' })
    s.join('b', { topics: names, assignor: 'range', instanceId: '2' })
    assert.equal(s.target('a'), 'orders#1/0')
    assert.equal(s.target('b'), 'orders#1/1 payments#1/0 payments#1/1')
  })
})

describe('a group as text', () => {
  it('is the same group again, in the middle of anything', () => {
    const s = new Subject({ orders: 5, __proto__x: 2, '7': 1 })
    const shown: Group[] = [s.group]
    s.join('a', { topics: ['7', 'orders', '__proto__x'], clientId: 'me' })
    shown.push(s.group)
    s.join('__proto__', { topics: ['orders', '7'], instanceId: 'constructor' })
    s.join('12', { subscription: { kind: 'pattern', pattern: '.*' }, assignor: 'range' })
    shown.push(s.group)
    s.remove('a')
    shown.push(s.group)
    for (const group of shown) assert.deepEqual(parseGroup(JSON.parse(JSON.stringify(formatGroup(group)))), group)
  })

  it('says what is owned only where it is not the target', () => {
    const s = new Subject({ orders: 12 })
    s.join('a')
    const { topicIds, members } = formatGroup(s.group)
    assert.deepEqual([topicIds, members.a?.target], [['orders#1'], { '0': '0-11' }])
    assert.equal(formatGroup(s.group).members.a?.owned, undefined)
    s.join('b')
    assert.deepEqual(formatGroup(s.group).members.b?.owned, {})
  })

  it('is Dead while it is being deleted', () => {
    const s = new Subject({ orders: 1 })
    assert.equal(stateOf({ ...s.group, state: 'deleting' }), 'Dead')
  })
})
