/** Any history of a group: members that behave, late repeats of what they said, members that vanish, topics that come and go. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  assignorNames,
  dutiesOf,
  formatGroup,
  type Group,
  type GroupTopic,
  join,
  newGroup,
  overdueMembers,
  parseGroup,
  refresh,
  release,
  remove,
  type Subscription,
  stateOf,
} from '../../lib/core/group.ts'
import type { MemberId, TopicId } from '../../lib/core/names.ts'
import { countPartitions, minus, type PartitionSet, partitionsOf, union } from '../../lib/core/partition-set.ts'
import { groupId, id, options, resolve, seenBy, topics } from './group-fixture.ts'

/** A member as it sees itself: it reads what it holds until it lets go, or until it hears that it is no member. */
interface Reader {
  epoch: number
  holding: PartitionSet
  isMember: boolean
  /** What it said, to be heard once more later. */
  readonly said: { readonly epoch: number; readonly holding: PartitionSet }[]
}

const topicNames = ['t', 'u', 'v'] as const
const subscription: fc.Arbitrary<Subscription> = fc.oneof(
  fc.subarray([...topicNames], { minLength: 1 }).map((names) => topics(...names)),
  fc.constantFrom('.*', 't|u').map((pattern) => ({ kind: 'pattern' as const, pattern })),
)
const step = fc.record({
  what: fc.constantFrom(
    ...['join', 'join', 'again', 'restart', 'heartbeat', 'heartbeat', 'heartbeat', 'let go', 'let go', 'repeat'],
    ...['leave', 'evict', 'overdue', 'grow', 'create', 'delete', 'refresh', 'refresh'],
  ),
  who: fc.nat(7),
  topic: fc.constantFrom(...topicNames),
  subscription,
  instance: fc.option(fc.constantFrom('i', 'j'), { nil: undefined, freq: 2 }),
  assignor: fc.constantFrom(...assignorNames),
  which: fc.nat(20),
})
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never

class Run {
  group: Group = newGroup(groupId, 0)
  readonly existing = new Map<string, GroupTopic>()
  readonly readers = new Map<MemberId, Reader>()
  /** Time goes on by itself, by a second a step. */
  nowMs = 0
  #nextId = 0
  #nextTopic = 0

  constructor() {
    this.create('t')
    this.create('u')
  }

  create(name: string): void {
    this.existing.set(name, { id: `${name}#${this.#nextTopic++}` as TopicId, partitions: 2 })
  }

  step(step: Step): void {
    this.nowMs += 1_000
    const present = [...this.group.members.keys()]
    const member = present[step.who % Math.max(1, present.length)]
    switch (step.what) {
      case 'join':
        this.join(id(`m${this.#nextId++}`), step, undefined)
        break
      case 'restart': {
        const instanceId = member && this.group.members.get(member)?.instanceId
        if (instanceId !== undefined) this.join(id(`m${this.#nextId++}`), step, instanceId)
        break
      }
      case 'again':
        if (member !== undefined) this.join(member, step, this.group.members.get(member)?.instanceId)
        break
      case 'heartbeat':
        if (member !== undefined) this.heartbeat(member)
        break
      case 'let go':
        if (member !== undefined) this.letGo(member)
        break
      case 'repeat': {
        const [readerId, reader] = [...this.readers][step.who % Math.max(1, this.readers.size)] ?? []
        const said = reader?.said[step.which % Math.max(1, reader.said.length)]
        if (readerId !== undefined && said !== undefined)
          this.change(release(this.group, readerId, said.epoch, said.holding, this.nowMs))
        break
      }
      case 'leave':
        if (member !== undefined) {
          this.readers.get(member)!.isMember = false
          this.change(remove(this.group, [member], this.#seen(), resolve, this.nowMs))
        }
        break
      case 'evict':
        if (member !== undefined) this.#evict([member])
        break
      case 'overdue':
        this.#evict(overdueMembers(this.group, this.nowMs))
        break
      case 'grow': {
        const topic = this.existing.get(step.topic)
        if (topic !== undefined && topic.partitions < 5)
          this.existing.set(step.topic, { ...topic, partitions: topic.partitions + 1 })
        break
      }
      case 'create':
        if (!this.existing.has(step.topic)) this.create(step.topic)
        break
      case 'delete':
        this.existing.delete(step.topic)
        break
      case 'refresh':
        this.change(refresh(this.group, this.#seen(), resolve, this.nowMs))
        break
      default:
        assert.fail(step.what)
    }
  }

  join(memberId: MemberId, { subscription, assignor, instance }: Step, instanceId: string | undefined): void {
    const name = instanceId ?? (this.readers.has(memberId) ? undefined : instance)
    const wanted = options(subscription, {
      assignor,
      rebalanceTimeoutMs: 10_000,
      ...(name === undefined ? {} : { instanceId: name }),
    })
    const before = this.group
    const { next, replaced } = join(before, memberId, wanted, this.#seen(subscription), resolve, this.nowMs)
    if (replaced !== undefined) this.readers.get(replaced)!.isMember = false
    this.change(next)
    if (!this.readers.has(memberId))
      this.readers.set(memberId, { epoch: 0, holding: new Map(), isMember: true, said: [] })
    // Told again at once, it is the same.
    const again = join(next, memberId, wanted, this.#seen(subscription), resolve, this.nowMs + 1)
    assert.equal(again.next, next)
    assert.equal(again.replaced, undefined)
  }

  /** Says what it holds, and takes up what it is given; what is revoked it goes on reading. */
  heartbeat(memberId: MemberId): void {
    const reader = this.readers.get(memberId)!
    const said = { epoch: reader.epoch, holding: reader.holding }
    reader.said.push(said)
    this.change(release(this.group, memberId, said.epoch, said.holding, this.nowMs))
    const member = this.group.members.get(memberId)!
    reader.epoch = this.group.epoch
    const lost = minus(reader.holding, member.owned)
    reader.holding = union(minus(reader.holding, lost), dutiesOf(member).assigned)
    this.check()
  }

  letGo(memberId: MemberId): void {
    const reader = this.readers.get(memberId)!
    const member = this.group.members.get(memberId)!
    // It knows of no other duties than those of its epoch.
    if (reader.epoch === this.group.epoch) reader.holding = minus(reader.holding, dutiesOf(member).revoked)
    this.heartbeat(memberId)
  }

  change(next: Group): void {
    if (next !== this.group) {
      assert.equal(next.epoch, this.group.epoch + 1, 'G3: every change raises the epoch')
      assert.notDeepEqual(
        { ...next, epoch: 0 },
        { ...this.group, epoch: 0 },
        'nothing raises the epoch without a change',
      )
    }
    this.group = next
    assert.deepEqual(parseGroup(JSON.parse(JSON.stringify(formatGroup(next)))), next)
    assert.equal(next.emptySinceMs === undefined, next.members.size > 0)
    this.check()
  }

  check(): void {
    const owners = new Map<string, MemberId>()
    const targets = new Set<string>()
    const readers = new Map<string, MemberId>()
    const exists = new Set([...this.existing.values()].map((topic) => topic.id))
    for (const [memberId, { owned, target }] of this.group.members) {
      for (const partition of names(owned)) {
        assert.equal(
          owners.has(partition),
          false,
          `G1: ${partition} is owned by ${memberId} and ${owners.get(partition)}`,
        )
        owners.set(partition, memberId)
      }
      for (const partition of names(target)) {
        assert.equal(targets.has(partition), false, `${partition} is the target of two`)
        targets.add(partition)
      }
    }
    for (const target of targets) assert.ok(owners.has(target), `${target} is wanted, and owned by nobody`)
    for (const [memberId, { holding }] of this.readers) {
      const member = this.group.members.get(memberId)
      if (member === undefined) continue
      for (const partition of names(holding)) {
        if (!exists.has(partition.slice(0, partition.indexOf('/')) as TopicId)) continue
        assert.equal(
          readers.has(partition),
          false,
          `G1: ${partition} is read by ${memberId} and ${readers.get(partition)}`,
        )
        readers.set(partition, memberId)
        assert.equal(owners.get(partition), memberId, `G1: ${partition} is read by ${memberId}`)
      }
      assert.equal(member.revokingSinceMs !== undefined, countPartitions(minus(member.owned, member.target)) > 0)
    }
  }

  /** Everybody hears what there is and lets go: the rebalance ends. */
  settle(): void {
    this.change(refresh(this.group, this.#seen(), resolve, this.nowMs))
    for (let rounds = 0; stateOf(this.group) === 'Reconciling'; rounds++) {
      assert.ok(rounds < 4, 'the rebalance does not end')
      for (const memberId of this.group.members.keys()) this.heartbeat(memberId)
      for (const memberId of this.group.members.keys()) this.letGo(memberId)
    }
    for (const memberId of this.group.members.keys()) this.heartbeat(memberId)
    const wanted = new Set(
      [...this.group.members.values()].flatMap(({ subscription }) =>
        resolve(subscription, this.existing).flatMap((name) => {
          const { id: topicId, partitions } = this.existing.get(name)!
          return Array.from({ length: partitions }, (_, partition) => `${topicId}/${partition}`)
        }),
      ),
    )
    const members = [...this.group.members]
    assert.deepEqual(new Set(members.flatMap(([, { owned }]) => names(owned))), wanted)
    for (const [memberId, { owned }] of members)
      assert.deepEqual(new Set(names(this.readers.get(memberId)!.holding)), new Set(names(owned)))
    for (const [, { owned, subscription }] of members) {
      const ids = new Set(resolve(subscription, this.existing).map((name) => this.existing.get(name)!.id))
      for (const topicId of owned.keys()) assert.ok(ids.has(topicId), 'a member reads what it did not subscribe to')
    }
    const stable = this.group
    this.change(refresh(stable, this.#seen(), resolve, this.nowMs))
    assert.equal(this.group, stable, 'a stable group changes by itself')
  }

  #evict(members: readonly MemberId[]): void {
    // They do not know: they go on holding what they hold, and find out when they next say something.
    this.change(remove(this.group, members, this.#seen(), resolve, this.nowMs))
  }

  #seen(...more: readonly Subscription[]) {
    return seenBy(this.group, this.existing, ...more)
  }
}

function names(set: PartitionSet): string[] {
  return [...partitionsOf(set)].map(([topicId, partition]) => `${topicId}/${partition}`)
}

describe('any history of a group', () => {
  it('keeps one owner per partition (G1), raises the epoch with every change (G3), and comes to rest', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const run = new Run()
        for (const one of steps) run.step(one)
        run.settle()
      }),
      { numRuns: 300 },
    )
  })
})
