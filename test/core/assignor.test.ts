import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AssignorName, assign } from '../../lib/core/assignor.ts'
import { group, load, members, shown } from './assignor-fixture.ts'

const names: AssignorName[] = ['range', 'roundrobin', 'sticky', 'cooperative-sticky']

test('range gives each member a run of each topic, and the first members one more', () => {
  // The examples of Kafka's RangeAssignor.
  const { topics, topicsOf } = group({ t0: 3, t1: 3 }, { C0: 't0 t1', C1: 't0 t1' })
  assert.deepEqual(shown(assign('range', members(topicsOf), topics)), {
    C0: 't0:0,1 t1:0,1',
    C1: 't0:2 t1:2',
  })
})

test('range counts the subscribers of each topic alone', () => {
  const { topics, topicsOf } = group({ t0: 4, t1: 3 }, { C0: 't0', C1: 't0 t1', C2: 't0 t1' })
  assert.deepEqual(shown(assign('range', members(topicsOf), topics)), {
    C0: 't0:0,1',
    C1: 't0:2 t1:0,1',
    C2: 't0:3 t1:2',
  })
})

test('topics with as many partitions are read together by the same members of a range', () => {
  const { topics, topicsOf } = group(
    { clicks: 5, views: 5 },
    { a: 'clicks views', b: 'clicks views', c: 'clicks views' },
  )
  for (const assignment of assign('range', members(topicsOf), topics).values()) {
    assert.deepEqual(assignment.get('clicks'), assignment.get('views'))
  }
})

test('roundrobin deals all partitions in a circle', () => {
  // The examples of Kafka's RoundRobinAssignor, here and below.
  const { topics, topicsOf } = group({ t0: 3, t1: 3 }, { C0: 't0 t1', C1: 't0 t1' })
  assert.deepEqual(shown(assign('roundrobin', members(topicsOf), topics)), {
    C0: 't0:0,2 t1:1',
    C1: 't0:1 t1:0,2',
  })
})

test('roundrobin passes over members that did not subscribe to the topic', () => {
  const { topics, topicsOf } = group({ t0: 1, t1: 2, t2: 3 }, { C0: 't0', C1: 't0 t1', C2: 't0 t1 t2' })
  assert.deepEqual(shown(assign('roundrobin', members(topicsOf), topics)), {
    C0: 't0:0',
    C1: 't1:0',
    C2: 't1:1 t2:0,1,2',
  })
})

test('a static member that comes back under another id gets the partitions it had', () => {
  // The example of static membership in the documentation of Kafka's RangeAssignor and RoundRobinAssignor.
  const topics = new Map([
    ['t0', 3],
    ['t1', 3],
  ])
  const before = ['C0', 'C1', 'C2'].map((id, at) => ({ id, instanceId: `I${at}`, ...load('t0 t1') }))
  const after = ['C5', 'C3', 'C4'].map((id, at) => ({ id, instanceId: `I${at}`, ...load('t0 t1') }))
  for (const name of names) {
    const first = assign(name, before, topics)
    const second = assign(name, after, topics)
    for (const at of [0, 1, 2]) assert.deepEqual(second.get(after[at]!.id), first.get(before[at]!.id), name)
  }
})

test('static members come before the others, whatever their ids', () => {
  const topics = new Map([['t', 3]])
  const mixed = [
    { id: 'a', ...load('t') },
    { id: 'z', instanceId: 'second', ...load('t') },
    { id: 'y', instanceId: 'first', ...load('t') },
  ]
  assert.deepEqual(shown(assign('range', mixed, topics)), { y: 't:0', z: 't:1', a: 't:2' })
})

test('names sort by code units, as Java sorts them, not by a language', () => {
  const topics = new Map([['t', 4]])
  const ids = ['b', 'B', 'a-1', 'a.1']
  assert.deepEqual(
    shown(
      assign(
        'range',
        ids.map((id) => ({ id, ...load('t') })),
        topics,
      ),
    ),
    {
      B: 't:0',
      'a-1': 't:1',
      'a.1': 't:2',
      b: 't:3',
    },
  )
})

test('a topic that does not exist, or that nobody subscribed to, is left out, and every member has an entry', () => {
  const { topics, topicsOf } = group({ t0: 2, nobodys: 5, empty: 0 }, { C0: 't0 gone empty', C1: 'gone', C2: '' })
  for (const name of names) {
    assert.deepEqual(shown(assign(name, members(topicsOf), topics)), { C0: 't0:0,1', C1: '', C2: '' }, name)
  }
})

test('a topic named twice in a subscription counts once', () => {
  const topics = new Map([['t', 4]])
  const doubled = [
    { id: 'a', ...load('t t') },
    { id: 'b', ...load('t') },
  ]
  assert.deepEqual(shown(assign('range', doubled, topics)), { a: 't:0,1', b: 't:2,3' })
  assert.deepEqual(shown(assign('roundrobin', doubled, topics)), { a: 't:0,2', b: 't:1,3' })
})

test('a group without members has nothing to assign', () => {
  for (const name of names) assert.equal(assign(name, [], new Map([['t', 3]])).size, 0)
})

test('two members with one id are a bug of the caller', () => {
  const twins = ['a', 'a'].map((id) => ({ id, ...load('t') }))
  for (const name of names) assert.throws(() => assign(name, twins, new Map([['t', 1]])), /same id/)
})
