/** Several consumers of one group: who reads what, what they are told and in which order, and what survives failures. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { text } from '../../lib/client/highwater.ts'
import { groupWorld, type Member, numbers } from './group-world.ts'
import { roughWeather } from './network.ts'

describe('consumers of one group', () => {
  it('share the partitions; each is told of its own, and lets go before the other takes up', async () => {
    const { member, elapse, append } = await groupWorld({ t: 4 })
    const told: string[] = []
    const tell = (what: string) => () => {
      told.push(what)
    }
    const a = member('a', { onRevoked: tell('a revoked'), onAssigned: tell('a assigned') })
    await elapse(a.consumer.poll())
    const b = member('b', { onAssigned: tell('b assigned') })
    await elapse(Promise.all([a.consumer.poll(), b.consumer.poll()]))
    await elapse(Promise.all([a.consumer.poll(), b.consumer.poll()]))
    assert.deepEqual(told, ['a assigned', 'a revoked', 'b assigned'])
    assert.equal(a.consumer.assignment.length, 2)
    assert.equal(b.consumer.assignment.length, 2)
    for (const partition of [0, 1, 2, 3]) await append(partition, [`${partition}`])
    const read = await elapse(Promise.all([a.consumer.poll(), b.consumer.poll()]))
    assert.deepEqual(
      read
        .flat()
        .map((record) => text(record!.value))
        .sort(),
      ['0', '1', '2', '3'],
    )
    await elapse(Promise.all([a.consumer.close(), b.consumer.close()]))
  })

  it('hand a partition over only after what onRevoked does is done and committed', async () => {
    const { member, elapse, append, take, timing, committed } = await groupWorld({ t: 2 })
    await append(0, numbers(0, 10, 'x'))
    await append(1, numbers(0, 10, 'y'))
    const release = Promise.withResolvers<void>()
    let revoked = 0
    const a = member('a', {
      onRevoked: async (partitions) => {
        revoked = partitions[0]!.partition
        await release.promise
      },
    })
    const first = await take(a, 5)
    const b = member('b')
    const theirs: string[] = []
    const looped = (async () => {
      for await (const record of b.consumer) theirs.push(text(record.value)!)
    })()
    // A heartbeat tells a; it lets go when it is asked, and that takes long. b gets nothing meanwhile.
    await timing.advance(5_000)
    const asking = a.consumer.next()
    await timing.advance(120_000)
    assert.deepEqual([b.consumer.assignment, theirs], [[], []])
    assert.deepEqual(await committed(), {})
    release.resolve()
    await elapse(asking)
    const mine = first.filter((value) => value.startsWith(revoked === 0 ? 'x' : 'y')).length
    assert.equal((await committed())[revoked] ?? 0, mine)
    await timing.advance(5_000)
    assert.deepEqual(theirs, numbers(mine, 10, revoked === 0 ? 'x' : 'y'))
    await elapse(Promise.all([a.consumer.close(), b.consumer.close(), looped]))
  })

  it('never give out what was fetched of a partition that was let go of', async () => {
    const { member, elapse, append, take, timing } = await groupWorld({ t: 2 })
    for (const partition of [0, 1]) await append(partition, numbers(0, 50, `${partition}:`))
    const a = member('a')
    const read = await take(a, 10)
    const b = member('b')
    const joining = b.consumer.next()
    // a has everything in its hands, and gives out no more of what it loses.
    while (a.told.length === 1) {
      await timing.advance(300)
      read.push(...(await take(a, 1)))
    }
    const theirs = (await elapse(joining)).value!
    const mine = a.consumer.assignment[0]!.partition
    assert.notEqual(theirs.partition, mine)
    const left = read.length
    read.push(...(await take(a, 50 - read.filter((value) => value.startsWith(`${mine}:`)).length)))
    assert.ok(read.slice(left).every((value) => value.startsWith(`${mine}:`)))
    assert.deepEqual(await elapse(a.consumer.poll()), [])
    await elapse(Promise.all([a.consumer.close(), b.consumer.close()]))
  })

  it('heed what the group said last, not what was fetched ahead before', async () => {
    const { member, elapse, append, take, timing, log } = await groupWorld({ t: 2 })
    for (const partition of [0, 1])
      for (let at = 0; at < 40; at += 10) await append(partition, numbers(at, at + 10, `${partition}:`))
    const a = member('a', { bytesMax: 1 })
    const gate = Promise.withResolvers<void>()
    let polls = 0
    a.before = (path) => (path.endsWith('/poll') && ++polls === 2 ? gate.promise : undefined)
    await take(a, 1)
    // The poll ahead hears that b has come; a heartbeat after it, that b has gone.
    const subscription = { kind: 'topics', topics: ['t'] } as const
    assert.ok((await elapse(log.groups.join({ group: 'g', memberId: 'b', subscription }))).ok)
    gate.resolve()
    await timing.advance(100)
    assert.equal(polls, 2)
    assert.ok((await elapse(log.groups.leave('g', 'b'))).ok)
    await timing.advance(10_000)
    await take(a, 60)
    assert.deepEqual(a.told, ['a assigned 0,1'])
    await elapse(a.consumer.close())
  })

  it('take over from one that left at once, and from one that crashed when its session is over', async () => {
    const { member, elapse, timing } = await groupWorld({ t: 2 })
    const [a, b, c] = ['a', 'b', 'c'].map((name) => member(name, { autoCommit: false })) as [Member, Member, Member]
    while (b.consumer.assignment.length < 1) await elapse(Promise.all([a.consumer.poll(), b.consumer.poll()]))
    const leftAtMs = timing.now()
    await elapse(b.consumer.close())
    while (c.consumer.assignment.length < 1) await elapse(Promise.all([a.consumer.poll(), c.consumer.poll()]))
    assert.ok(timing.now() - leftAtMs < 10_000)
    a.cut()
    const crashedAtMs = timing.now()
    while (c.consumer.assignment.length < 2) await elapse(c.consumer.poll(), 500)
    const tookMs = timing.now() - crashedAtMs
    assert.ok(tookMs > 30_000 && tookMs < 90_000, `${tookMs}`)
    await elapse(c.consumer.close())
  })

  it('keep their session by heartbeats while the loop takes long', async () => {
    const { member, elapse, append, take, timing } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 3))
    const a = member('a')
    await take(a, 1)
    const b = member('b')
    const theirs: unknown[] = []
    const looped = (async () => {
      for await (const record of b.consumer) theirs.push(record)
    })()
    // Longer than a session, many times; b looks after the group all the while.
    await timing.advance(250_000)
    assert.deepEqual(await take(a, 2), ['1', '2'])
    assert.deepEqual(await elapse(a.consumer.poll()), [])
    assert.deepEqual([a.told, theirs], [['a assigned 0'], []])
    await elapse(Promise.all([a.consumer.close(), b.consumer.close(), looped]))
  })

  it('close in the end, although nobody answers', async () => {
    const { member, elapse, append, take, timing } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 3))
    const told: string[] = []
    const a = member('a', { onRetry: ({ code }) => told.push(code) })
    await take(a, 2)
    a.cut()
    const closedMs = timing.now()
    await elapse(a.consumer.close())
    assert.ok(timing.now() - closedMs < 25_000, `${timing.now() - closedMs}`)
    assert.ok(told.length > 2)
    const b = member('b')
    assert.deepEqual(await take(b, 3), ['0', '1', '2'])
    await elapse(b.consumer.close())
  })

  it('lose everything when the loop takes longer than it may, and join again', async () => {
    const { member, elapse, append, take, timing } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 10))
    const a = member('a', { maxPollIntervalMs: 60_000, autoCommitIntervalMs: 1_000 })
    await take(a, 3)
    const b = member('b')
    const waiting = take(b, 2)
    await timing.advance(70_000)
    // The record in hand of a is not known to be processed: b begins with it.
    assert.deepEqual(await waiting, ['2', '3'])
    const [before] = [a.consumer.memberId]
    await elapse(a.consumer.poll(1))
    assert.deepEqual(a.told.slice(0, 2), ['a assigned 0', 'a lost 0'])
    assert.notEqual(a.consumer.memberId, before)
    await elapse(Promise.all([a.consumer.close(), b.consumer.close()]))
  })

  it('cannot commit what another has taken over: not late, not after a freeze', async () => {
    const { member, elapse, append, take, committed } = await groupWorld({ t: 1 })
    await append(0, numbers(0, 10))
    const a = member('a', { autoCommit: false })
    await take(a, 3)
    a.cut()
    const b = member('b', { autoCommit: false })
    await take(b, 5)
    await elapse(b.consumer.commit())
    a.mend()
    await assert.rejects(elapse(a.consumer.commit()), { code: 'FENCED_CLAIM' })
    assert.deepEqual(await committed(), { 0: 5 })
    await elapse(a.consumer.poll())
    assert.deepEqual(a.told.slice(0, 2), ['a assigned 0', 'a lost 0'])
    await elapse(Promise.all([a.consumer.close(), b.consumer.close()]))
  })

  it('leave no gap for a static member that comes back', async () => {
    const { member, elapse } = await groupWorld({ t: 2 })
    const a = member('a', { instanceId: 'one' })
    const b = member('b', { instanceId: 'two' })
    const both = () => Promise.all([a.consumer.poll(), b.consumer.poll()])
    while (a.consumer.assignment.length * b.consumer.assignment.length !== 1) await elapse(both())
    const mine = a.consumer.assignment
    await elapse(a.consumer.close())
    const before = b.told.length
    const again = member('c', { instanceId: 'one' })
    await elapse(Promise.all([again.consumer.poll(), b.consumer.poll()]))
    assert.deepEqual(again.consumer.assignment, mine)
    assert.equal(b.told.length, before)
    // Whoever believes to be the first still, is told to stop.
    const zombie = member('d', { instanceId: 'one' })
    await elapse(zombie.consumer.poll(1))
    await assert.rejects(elapse(again.consumer.poll()), { code: 'FENCED_INSTANCE_ID' })
    assert.equal(await again.consumer.poll(), undefined)
    await elapse(Promise.all([b.consumer.close(), zombie.consumer.close()]))
  })

  for (const seed of [1, 2, 3, 4])
    it(`read everything over a network that loses, doubles and delays (seed ${seed})`, async () => {
      const partitions = 6
      const perPartition = 40
      const { member, elapse, append, timing } = await groupWorld({ t: partitions })
      for (let partition = 0; partition < partitions; partition++)
        for (let at = 0; at < perPartition; at += 10) await append(partition, numbers(at, at + 10, `${partition}:`))
      const seen = new Set<string>()
      /** What each reads of a partition between taking it up and letting go: without a gap. */
      const runs: string[] = []
      const members = ['a', 'b', 'c'].map((name, index) => {
        let last: Map<number, number> = new Map()
        const forget = () => {
          last = new Map()
        }
        const options = { autoCommitIntervalMs: 200, onAssigned: forget, waitMs: 500 }
        const reader = member(name, options, roughWeather, seed * 10 + index)
        const loop = async () => {
          for await (const record of reader.consumer) {
            const before = last.get(record.partition)
            if (before !== undefined && record.offset !== before + 1)
              runs.push(`${name} went from ${before} to ${record.offset} in ${record.partition}`)
            last.set(record.partition, record.offset)
            seen.add(text(record.value)!)
          }
        }
        return { ...reader, looped: loop() }
      })
      const untilMs = timing.now() + 600_000
      while (seen.size < partitions * perPartition && timing.now() < untilMs) await timing.advance(500)
      assert.equal(seen.size, partitions * perPartition)
      assert.deepEqual(runs, [])
      await elapse(Promise.all(members.map(({ consumer }) => consumer.close())))
      await elapse(Promise.all(members.map(({ looped }) => looped)))
    })
})
