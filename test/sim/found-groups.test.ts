/** What the simulation of groups found (seeds.txt), each in the few steps that it takes, so that it stays found when seeds fade. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { errorCatalogue } from '../../lib/core/errors.ts'
import type { Settings } from '../../lib/core/settings.ts'
import type { JoinRequest, Membership } from '../../lib/log/group-api.ts'
import type { Log } from '../../lib/log/log.ts'
import { codeOf, lost, must, Stores } from './found-stores.ts'

/** A topic `t`, a process with faults, and another without. */
async function twoProcesses(settings: Partial<Settings> = {}, partitions = 2) {
  const stores = new Stores()
  const { log, next } = stores.log(settings)
  const other = stores.log().log
  await must(log.createTopic({ name: 't', partitions }))
  return { stores, log, next, other }
}

const minute = 60_000

function join(log: Log, memberId: string, more: Partial<JoinRequest> = {}) {
  return log.groups.join({ group: 'g', memberId, subscription: { kind: 'topics', topics: ['t'] }, ...more })
}
/** A heartbeat of a member that goes on with what it was assigned, or with the first so many partitions of it. */
function heartbeat(log: Log, { memberId, epoch, assigned }: Membership, keeping = assigned.length) {
  return log.groups.heartbeat({ group: 'g', memberId, epoch, holding: assigned.slice(0, keeping) })
}
async function membersOf(log: Log): Promise<readonly string[]> {
  return (await must(log.groups.describe('g'))).group.memberList.map(({ memberId }) => memberId)
}
function commit(log: Log, { assigned: [first] }: Membership, offset: number) {
  assert.ok(first !== undefined)
  const { topic, partition, topicId, claim } = first
  return log.groups.commit('g', [{ topic, partition, topicId, claim, offset }])
}
async function offsetOf(log: Log): Promise<number | undefined> {
  return (await must(log.groups.committed('g', [{ topic: 't', partition: 0 }]))).offsets[0]?.offset
}

describe('a member', () => {
  it('that joins while somebody looks after the group keeps its beat, however late it is (1830311157)', async () => {
    const { stores, log, next, other } = await twoProcesses()
    await must(join(other, 'a'))
    await must(other.groups.leave('g', 'a'))
    next('query', async (call) => {
      await must(join(other, 'b', { sessionTimeoutMs: 6_000 }))
      stores.pass(7_000)
      return call()
    })
    await must(log.groups.lags('g'))
    assert.equal(await codeOf(other.groups.heartbeat({ group: 'g', memberId: 'b', epoch: 0, holding: [] })), 'ok')
  })

  it('whose joining took longer than a session begins its session when it has joined (1830311157)', async () => {
    const { stores, log, next, other } = await twoProcesses()
    next('get', async (call) => {
      stores.pass(7_000)
      return call()
    })
    await must(join(log, 'a', { sessionTimeoutMs: 6_000 }))
    assert.deepEqual(await membersOf(other), ['a'])
  })

  it('that let go in time for the eviction is not evicted (687015534)', async () => {
    const { stores, log, next, other } = await twoProcesses()
    const timeouts = { sessionTimeoutMs: 10 * minute, rebalanceTimeoutMs: minute }
    const a = await must(join(other, 'a', timeouts))
    await must(join(other, 'b', timeouts))
    const told = await must(heartbeat(other, a))
    assert.equal(told.revoked.length, 1)
    stores.pass(2 * minute)
    next('query', async (call) => {
      const beats = await call()
      await must(heartbeat(other, { ...a, epoch: told.epoch }, 1))
      return beats
    })
    await must(log.groups.lags('g'))
    assert.deepEqual(await membersOf(other), ['a', 'b'])
  })

  it('that was evicted and changes its subscription hears that it is no member (2527132011)', async () => {
    const { stores, log, other } = await twoProcesses()
    const a = await must(join(log, 'a'))
    stores.pass(minute)
    assert.deepEqual(await membersOf(other), [])
    assert.equal(await codeOf(join(log, 'a', { epoch: a.epoch })), 'UNKNOWN_MEMBER_ID')
    assert.deepEqual(await membersOf(other), [])
  })
})

describe('a commit', () => {
  it('that is repeated silently, with a claim of another in between, counts, and is not said not to (331947297)', async () => {
    const { log, next, other } = await twoProcesses({}, 1)
    const a = await must(join(other, 'a'))
    next('write', async (call) => {
      await call()
      await must(other.groups.leave('g', 'a'))
      await must(join(other, 'b'))
      return call()
    })
    const [answer] = (await must(commit(log, a, 7))).offsets
    assert.equal(answer?.ok === false && answer.code, 'FENCED_CLAIM')
    assert.equal(errorCatalogue.FENCED_CLAIM.effects, 'possible')
    assert.equal(await offsetOf(other), 7)
  })
})

describe('a group', () => {
  it('is not given back a topic that was deleted by a process that remembers it (2675834102)', async () => {
    const { log, other } = await twoProcesses({ topicAgeMsMax: minute })
    await must(join(log, 'a', { sessionTimeoutMs: 20 * minute }))
    await must(other.deleteTopic('t'))
    const { topic } = await must(other.createTopic({ name: 't', partitions: 2 }))
    const { epoch } = (await must(other.groups.describe('g'))).group
    assert.equal((await must(log.groups.describe('g'))).group.epoch, epoch)
    await must(log.groups.leave('g', 'a'))
    const { assigned } = await must(join(log, 'b'))
    assert.deepEqual(new Set(assigned.map(({ topicId }) => topicId)), new Set([topic.id]))
  })
})

describe('a reset', () => {
  it('does not set what it found out of one topic for another that was created under its name (2597068213)', async () => {
    const { stores, log, next, other } = await twoProcesses({ topicAgeMsMax: 0 }, 1)
    const value = new TextEncoder().encode('x')
    await must(log.produce({ topic: 't', records: [{ key: null, value }] }))
    next('write', async (call) => {
      await must(other.deleteTopic('t'))
      await must(other.createTopic({ name: 't', partitions: 1 }))
      stores.pass(1)
      return call()
    })
    await log.groups.reset({ group: 'g', topics: [{ topic: 't' }], to: { to: 'latest' } })
    assert.equal(await offsetOf(other), undefined)
  })
})

describe('a group that was deleted and made again', () => {
  it('takes no commit of a member of the one before, though a joining of it that came late has the same id and epoch (D6)', async () => {
    const { stores, log, other } = await twoProcesses({}, 1)
    const before = await must(join(other, 'a'))
    stores.pass(minute)
    await must(log.groups.delete('g'))
    const after = await must(join(log, 'a'))
    assert.equal(after.epoch, before.epoch)
    const [answer] = (await must(commit(other, before, 150))).offsets
    assert.equal(answer?.ok === false && answer.code, 'FENCED_CLAIM')
    assert.equal(await offsetOf(other), undefined)
    // Who then looks at everything is given the partition anew, whatever it believes to hold.
    const told = await must(heartbeat(other, { ...before, epoch: 0 }))
    assert.deepEqual(
      told.assigned.map(({ claim }) => claim),
      after.assigned.map(({ claim }) => claim),
    )
  })
})

describe('a poll', () => {
  it('whose look at the group fails while it waits is answered, and ends nothing else (seed 2, 300 seeds)', async () => {
    const { log, next } = await twoProcesses({ commitAttemptsMax: 1 })
    const a = await must(join(log, 'a', { sessionTimeoutMs: 6_000 }))
    next('readHead', async (call) => {
      await new Promise((resolve) => setImmediate(resolve))
      return call()
    })
    next('write', async () => {
      throw lost()
    })
    const holding = a.assigned.map((assigned) => ({ ...assigned, offset: 0 }))
    const polled = await log.groups.poll({ group: 'g', memberId: 'a', epoch: a.epoch, holding, waitMs: 20_000 })
    assert.equal(polled.ok || polled.code, 'STORAGE_UNAVAILABLE')
  })
})
