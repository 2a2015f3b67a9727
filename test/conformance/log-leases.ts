import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { StoresFactory } from './log-fixture.ts'
import { append, appended, createTopic, readAll, refusedWith, withLog } from './log-fixture.ts'

export function leaseSuite(name: string, factory: StoresFactory): void {
  describe(`leader leases (${name})`, () => {
    it('a lease is held by one owner, renewed by it, and free when it ran out', () =>
      withLog(factory, async ({ log, another, clock }) => {
        await createTopic(log)
        const other = another()
        const granted = await log.acquireLease('orders', 0, 'a')
        assert.deepEqual(granted.ok && granted.epoch, 1)
        const refused = await other.acquireLease('orders', 0, 'b')
        refusedWith(refused, 'FENCED_LEADER_EPOCH')
        assert.ok(!refused.ok && (refused.details?.retryAfterMs ?? 0) > 0)
        clock.advance(8_000)
        assert.ok((await log.renewLease('orders', 0, 'a', 1)).ok)
        clock.advance(8_000)
        refusedWith(await other.acquireLease('orders', 0, 'b'), 'FENCED_LEADER_EPOCH')
        clock.advance(2_001)
        const taken = await other.acquireLease('orders', 0, 'b')
        assert.deepEqual(taken.ok && taken.epoch, 2)
        refusedWith(await log.renewLease('orders', 0, 'a', 1), 'FENCED_LEADER_EPOCH')
        const described = await log.describeLease('orders', 0)
        assert.deepEqual(described.ok && [described.lease?.owner, described.leaseEpoch], ['b', 2])
      }))

    it('a released lease is free at once, and the next epoch is larger', () =>
      withLog(factory, async ({ log }) => {
        await createTopic(log)
        await log.acquireLease('orders', 0, 'a')
        assert.ok((await log.releaseLease('orders', 0, 'a', 1)).ok)
        const next = await log.acquireLease('orders', 0, 'b')
        assert.deepEqual(next.ok && next.epoch, 2)
        refusedWith(await log.releaseLease('orders', 0, 'a', 1), 'FENCED_LEADER_EPOCH')
      }))

    it('of many that take a free lease at once one gets it', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log)
        const logs = [log, another(), another()]
        const answers = await Promise.all(
          Array.from({ length: 15 }, (_, index) => logs[index % 3]!.acquireLease('orders', 0, `owner ${index}`)),
        )
        assert.equal(answers.filter((answer) => answer.ok).length, 1)
      }))

    it('under an exclusive lease only its holder appends; a stale one is refused although its clock says it leads (L2, L3)', () =>
      withLog(factory, async ({ log, another, clock }) => {
        await createTopic(log)
        const granted = await log.acquireLease('orders', 0, 'a', true)
        assert.ok(granted.ok)
        assert.equal(await appended(log, ['leader'], { leaderEpoch: 1 }), 0)
        refusedWith(await append(another(), ['anyone']), 'FENCED_LEADER_EPOCH')
        clock.advance(10_001)
        refusedWith(await append(another(), ['anyone']), 'FENCED_LEADER_EPOCH')
        const taken = await another().acquireLease('orders', 0, 'b')
        assert.deepEqual(taken.ok && taken.epoch, 2)
        refusedWith(await append(log, ['stale'], { leaderEpoch: 1 }), 'FENCED_LEADER_EPOCH')
        assert.equal(await appended(another(), ['anyone']), 1)
        assert.deepEqual(await readAll(log), ['leader', 'anyone'])
      }))

    it('anyone may append and roll beside a lease that is not exclusive', () =>
      withLog(factory, async ({ log, another }) => {
        await createTopic(log)
        await log.acquireLease('orders', 0, 'a')
        for (let index = 0; index < 20; index++) await appended(another(), [`${index}`])
        assert.ok((await another().roll('orders', 0)).ok)
        assert.equal((await readAll(log)).length, 20)
      }))
  })
}
