import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Assignment, type AssignorMember, assign } from '../../lib/core/assignor.ts'
import { group, kept, load, members, shown, size, unevenness } from './assignor-fixture.ts'

test('a first assignment deals the partitions in a circle', () => {
  // The first example of KIP-54 and of Kafka's StickyAssignor, here and in the next test.
  const { topics, topicsOf } = group(
    { t0: 2, t1: 2, t2: 2, t3: 2 },
    { C0: 't0 t1 t2 t3', C1: 't0 t1 t2 t3', C2: 't0 t1 t2 t3' },
  )
  assert.deepEqual(shown(assign('sticky', members(topicsOf), topics)), {
    C0: 't0:0 t1:1 t3:0',
    C1: 't0:1 t2:0 t3:1',
    C2: 't1:0 t2:1',
  })
})

test('when a member leaves, the others keep what they have and share what it had', () => {
  const { topics, topicsOf } = group({ t0: 2, t1: 2, t2: 2, t3: 2 }, { C0: 't0 t1 t2 t3', C2: 't0 t1 t2 t3' })
  const before = new Map([
    ['C0', load('', 't0:0 t1:1 t3:0').owned],
    ['C2', load('', 't1:0 t2:1').owned],
  ])
  assert.deepEqual(shown(assign('sticky', members(topicsOf, before), topics)), {
    C0: 't0:0 t1:1 t2:0 t3:0',
    C2: 't0:1 t1:0 t2:1 t3:1',
  })
})

test('with different subscriptions a partition goes where fewer partitions are', () => {
  // The second example of KIP-54 and of Kafka's StickyAssignor: roundrobin would give C2 four.
  const { topics, topicsOf } = group({ t0: 1, t1: 2, t2: 3 }, { C0: 't0', C1: 't0 t1', C2: 't0 t1 t2' })
  const first = assign('sticky', members(topicsOf), topics)
  assert.deepEqual(shown(first), { C0: 't0:0', C1: 't1:0,1', C2: 't2:0,1,2' })
  const rest = members(topicsOf, first).filter(({ id }) => id !== 'C0')
  assert.deepEqual(shown(assign('sticky', rest, topics)), {
    C1: 't0:0 t1:0,1',
    C2: 't2:0,1,2',
  })
})

test('a member that joins gets its share and nothing else moves', () => {
  // The situation of KIP-429: two members have three partitions each, a third one joins.
  const { topics, topicsOf } = group({ t: 6 }, { A: 't', B: 't', C: 't' })
  const before = new Map([
    ['A', load('', 't:0,1,2').owned],
    ['B', load('', 't:3,4,5').owned],
  ])
  assert.deepEqual(shown(assign('cooperative-sticky', members(topicsOf, before), topics)), {
    A: 't:0,1',
    B: 't:3,4',
    C: 't:2,5',
  })
})

test('new partitions go to those with fewer and leave the others where they are', () => {
  const { topics, topicsOf } = group({ t: 6 }, { A: 't', B: 't' })
  const before = new Map([
    ['A', load('', 't:0,1').owned],
    ['B', load('', 't:2').owned],
  ])
  assert.deepEqual(shown(assign('sticky', members(topicsOf, before), topics)), { A: 't:0,1,4', B: 't:2,3,5' })
})

test('what a member gives up comes from all its topics', () => {
  const { topics, topicsOf } = group({ hot: 6, cold: 6 }, { A: 'hot cold', B: 'hot cold' })
  const before = new Map([['A', load('', 'cold:0,1,2,3,4,5 hot:0,1,2,3,4,5').owned]])
  assert.deepEqual(shown(assign('sticky', members(topicsOf, before), topics)), {
    A: 'cold:0,1,2 hot:0,1,2',
    B: 'cold:3,4,5 hot:3,4,5',
  })
})

test('the partitions of a topic are spread over members with different subscriptions too', () => {
  const { topics, topicsOf } = group(
    { cold: 4, hot: 4, mine: 1, yours: 1 },
    { A: 'cold hot mine', B: 'cold hot yours' },
  )
  assert.deepEqual(shown(assign('sticky', members(topicsOf), topics)), {
    A: 'cold:0,1 hot:0,1 mine:0',
    B: 'cold:2,3 hot:2,3 yours:0',
  })
  const before = new Map([
    ['A', load('', 'hot:0,1,2 mine:0').owned],
    ['B', load('', 'cold:0,1,2 yours:0').owned],
  ])
  assert.deepEqual(shown(assign('sticky', members(topicsOf, before), topics)), {
    A: 'cold:3 hot:0,1,2 mine:0',
    B: 'cold:0,1,2 hot:3 yours:0',
  })
})

test('of two that claim one partition the first keeps it', () => {
  const topics = new Map([['t', 2]])
  const claims = ['b', 'a'].map((id) => ({ id, ...load('t', 't:1') }))
  assert.deepEqual(shown(assign('sticky', claims, topics)), { a: 't:1', b: 't:0' })
})

test('a claim on what does not exist or is not subscribed to counts for nothing', () => {
  const topics = new Map([
    ['t', 2],
    ['u', 1],
  ])
  const claims = [
    { id: 'a', ...load('t', 't:0,1,2,99 gone:0 u:0') },
    { id: 'b', ...load('t u', '') },
  ]
  assert.deepEqual(shown(assign('sticky', claims, topics)), { a: 't:0,1', b: 'u:0' })
})

test('a partition goes round several members if that makes the assignment even', () => {
  // a can only pass something to b, b to c, c to d: one partition moves at each.
  const { topics, topicsOf } = group({ ab: 4, bc: 2, cd: 2 }, { a: 'ab', b: 'ab bc', c: 'bc cd', d: 'cd' })
  const before = new Map([
    ['a', load('', 'ab:0,1,2').owned],
    ['b', load('', 'ab:3 bc:0').owned],
    ['c', load('', 'bc:1 cd:0').owned],
    ['d', load('', 'cd:1').owned],
  ])
  const after = assign('sticky', members(topicsOf, before), topics)
  assert.deepEqual([...after.values()].map(size), [2, 2, 2, 2])
  assert.equal(kept(members(topicsOf, before), after), 5)
})

test('ten thousand partitions of a hundred topics are shared evenly by a thousand members, and stay', () => {
  const topics = new Map(Array.from({ length: 100 }, (_, t) => [`t${t}`, 100]))
  const names = [...topics.keys()]
  const none: Assignment = new Map()
  const large = Array.from({ length: 1_000 }, (_, m) => ({
    id: `m${m}`,
    topics: names.filter((_, t) => (t * 7 + m * 13 + ((t * m) % 11)) % 3 !== 0),
    owned: none,
  }))
  const first = assign('sticky', large, topics)
  assert.deepEqual(new Set([...first.values()].map(size)), new Set([10]))
  const owners = large.map((member) => ({ ...member, owned: first.get(member.id)! }))
  assert.deepEqual(assign('sticky', owners, topics), first)
  const rest = owners.slice(100)
  const second = assign('sticky', rest, topics)
  assert.equal(kept(rest, second), 9_000)
  assert.deepEqual(new Set([...second.values()].map(size)), new Set([11, 12]))
})

const topicNames = ['a', 'b', 'c', 'd', 'e', 'f']

const counts = (max: number) =>
  fc
    .uniqueArray(fc.tuple(fc.constantFrom(...topicNames), fc.integer({ min: 0, max })), { selector: ([name]) => name })
    .map((entries) => new Map(entries))

/** Members that own what they please, of topics that may not exist or that they did not subscribe to. */
const anyMembers = (
  max: number,
  partitionsMax: number,
  topics = fc.subarray(topicNames),
): fc.Arbitrary<AssignorMember[]> =>
  fc.uniqueArray(
    fc.record({
      id: fc.stringMatching(/^[a-zA-Z]{1,4}$/),
      topics,
      owned: fc
        .uniqueArray(
          fc.tuple(
            fc.constantFrom(...topicNames, 'gone'),
            fc
              .uniqueArray(fc.integer({ min: 0, max: partitionsMax }), { maxLength: partitionsMax, minLength: 1 })
              .map((list) => list.sort((x, y) => x - y)),
          ),
          { selector: ([name]) => name },
        )
        .map((entries): Assignment => new Map(entries)),
    }),
    { selector: ({ id }) => id, maxLength: max, minLength: 1 },
  )

/** Groups in which everybody subscribed to the same. */
const equalMembers = (max: number, partitionsMax: number) =>
  fc.subarray(topicNames, { minLength: 1 }).chain((topics) => anyMembers(max, partitionsMax, fc.constant(topics)))

const byId = (assigned: ReadonlyMap<string, Assignment>) => {
  const sorted = [...assigned].sort(([a], [b]) => (a < b ? -1 : 1))
  return sorted.map(([id, assignment]) => [id, [...assignment].sort(([a], [b]) => (a < b ? -1 : 1))])
}

/** The owners of what was assigned, as they would come to the next rebalance. */
const owning = (group: readonly AssignorMember[], assigned: ReadonlyMap<string, Assignment>): AssignorMember[] =>
  group.map((member) => ({ ...member, owned: assigned.get(member.id) ?? new Map() }))

test('every assignor gives each partition that somebody subscribed to exactly one owner, who subscribed to it', () => {
  fc.assert(
    fc.property(
      counts(12),
      anyMembers(8, 12),
      fc.constantFrom('range' as const, 'roundrobin' as const, 'sticky' as const, 'cooperative-sticky' as const),
      (topics, group, name) => {
        const assigned = assign(name, group, topics)
        assert.deepEqual([...assigned.keys()].sort(), group.map(({ id }) => id).sort())
        const given: string[] = []
        for (const { id, topics: subscribed } of group) {
          for (const [topic, partitions] of assigned.get(id)!) {
            assert.ok(subscribed.includes(topic))
            assert.ok(partitions.length > 0)
            assert.deepEqual(
              partitions,
              [...partitions].sort((a, b) => a - b),
            )
            given.push(...partitions.map((partition) => `${topic}-${partition}`))
          }
        }
        const wanted = [...topics].flatMap(([topic, count]) =>
          group.some((member) => member.topics.includes(topic))
            ? Array.from({ length: count }, (_, partition) => `${topic}-${partition}`)
            : [],
        )
        assert.deepEqual(given.sort(), wanted.sort())
      },
    ),
    { numRuns: 400 },
  )
})

test('the order in which members and topics are named does not matter, nor what names there are as long as they sort alike', () => {
  const mixedUp = <T>(items: readonly T[], by: number) =>
    items
      .map((item, at) => ({ item, rank: Math.imul(at + 1, by) >>> 3 }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ item }) => item)
  fc.assert(
    fc.property(
      counts(12),
      anyMembers(8, 12),
      fc.constantFrom('range' as const, 'roundrobin' as const, 'sticky' as const),
      fc.integer(),
      (topics, group, name, by) => {
        const assigned = byId(assign(name, group, topics))
        const other = mixedUp(group, by).map((member) => ({
          ...member,
          topics: mixedUp(member.topics, by),
          owned: new Map(mixedUp([...member.owned], by)),
        }))
        assert.deepEqual(byId(assign(name, other, new Map(mixedUp([...topics], by)))), assigned)
        const renamed = group.map((member) => ({ ...member, id: `client-${member.id}-1` }))
        assert.deepEqual(
          byId(assign(name, renamed, topics)),
          assigned.map(([id, assignment]) => [`client-${id}-1`, assignment]),
        )
      },
    ),
  )
})

test('no chain of moves takes a partition from a member to one with at least two fewer', () => {
  fc.assert(
    fc.property(counts(12), anyMembers(8, 12), (topics, group) => {
      const assigned = assign('sticky', group, topics)
      const sizeOf = (member: AssignorMember) => size(assigned.get(member.id)!)
      for (const start of group) {
        const reached = new Set([start])
        for (const giver of reached) {
          for (const topic of assigned.get(giver.id)!.keys()) {
            for (const taker of group) if (taker.topics.includes(topic)) reached.add(taker)
          }
        }
        for (const end of reached)
          assert.ok(sizeOf(end) >= sizeOf(start) - 1, `${start.id} could pass one to ${end.id}`)
      }
    }),
    { numRuns: 400 },
  )
})

test('an assignment that is balanced stays as it is', () => {
  fc.assert(
    fc.property(counts(12), anyMembers(8, 12), (topics, group) => {
      const assigned = assign('sticky', group, topics)
      assert.deepEqual(byId(assign('sticky', owning(group, assigned), topics)), byId(assigned))
    }),
  )
})

test('with equal subscriptions only the partitions of a member that left move', () => {
  fc.assert(
    fc.property(counts(12), equalMembers(8, 12), (topics, group) => {
      const [, ...rest] = owning(group, assign('sticky', group, topics))
      const held = rest.reduce((sum, { owned }) => sum + size(owned), 0)
      assert.equal(kept(rest, assign('sticky', rest, topics)), held)
    }),
  )
})

test('with equal subscriptions partitions move only to a member that joined, and no more than it needs', () => {
  fc.assert(
    fc.property(counts(12), equalMembers(8, 12), (topics, group) => {
      const [joining, ...rest] = group
      fc.pre(rest.length > 0)
      const before = assign('sticky', rest, topics)
      const partitions = [...before.values()].reduce((sum, assignment) => sum + size(assignment), 0)
      const after = assign('sticky', owning(group, before), topics)
      assert.equal(kept(owning(rest, before), after), partitions - size(after.get(joining!.id)!))
      assert.equal(size(after.get(joining!.id)!), Math.floor(partitions / group.length))
    }),
  )
})

test('nothing is more even, and nothing as even leaves more where it was: all assignments of small groups compared', () => {
  fc.assert(
    fc.property(counts(3), anyMembers(4, 3), (topics, group) => {
      const assigned = assign('sticky', group, topics)
      const best = bestOf(group, topics)
      if (best === undefined) return
      assert.deepEqual({ unevenness: unevenness(assigned), kept: keptOnce(group, assigned) }, best)
    }),
    { numRuns: 500 },
  )
})

/** Who is taken to own a partition: the first who claims it and subscribed to it. */
function ownerOf(group: readonly AssignorMember[], topic: string, partition: number): string | undefined {
  const claims = group.filter(({ topics, owned }) => topics.includes(topic) && owned.get(topic)?.includes(partition))
  return claims.map(({ id }) => id).sort()[0]
}

/** How many partitions stay with their owner. */
function keptOnce(group: readonly AssignorMember[], assigned: ReadonlyMap<string, Assignment>): number {
  let sum = 0
  for (const [id, assignment] of assigned) {
    for (const [topic, partitions] of assignment) {
      sum += partitions.filter((partition) => ownerOf(group, topic, partition) === id).length
    }
  }
  return sum
}

/** The best of all assignments, by trying them; nothing if there are too many to try. */
function bestOf(group: readonly AssignorMember[], topics: ReadonlyMap<string, number>) {
  const choices = [...topics].flatMap(([topic, count]) =>
    Array.from({ length: count }, (_, partition) => {
      const owner = ownerOf(group, topic, partition)
      return group.flatMap((member, m) => (member.topics.includes(topic) ? [{ m, stays: member.id === owner }] : []))
    }).filter((takers) => takers.length > 0),
  )
  if (choices.reduce((product, takers) => product * takers.length, 1) > 3_000) return undefined
  const best = { unevenness: Number.POSITIVE_INFINITY, kept: 0 }
  const sizes = group.map(() => 0)
  const attempt = (at: number, stay: number) => {
    const takers = choices[at]
    if (takers === undefined) {
      const uneven = sizes.reduce((sum, own) => sum + own ** 2, 0)
      if (uneven > best.unevenness || (uneven === best.unevenness && stay <= best.kept)) return
      best.unevenness = uneven
      best.kept = stay
      return
    }
    for (const { m, stays } of takers) {
      sizes[m]! += 1
      attempt(at + 1, stay + (stays ? 1 : 0))
      sizes[m]! -= 1
    }
  }
  attempt(0, 0)
  return best
}
