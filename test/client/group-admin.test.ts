import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { groupWorld, numbers } from './group-world.ts'

async function world() {
  const harness = await groupWorld({ t: 2 })
  const { highwater, network } = harness.client()
  return { ...harness, groups: highwater.admin.groups, network }
}

describe('the group admin', () => {
  it('lists groups, describes members, and says how far a group is behind', async () => {
    const { groups, member, append, take, elapse } = await world()
    await append(0, numbers(0, 10))
    const { consumer, ...rest } = member('worker', { instanceId: 'one', topics: ['t'] })
    await take({ consumer, ...rest }, 4)
    await elapse(consumer.commit())
    assert.deepEqual(
      (await elapse(groups.list())).map(({ group, state, memberCount }) => [group, state, memberCount]),
      [['g', 'Stable', 1]],
    )
    const described = await elapse(groups.describe('g'))
    const [only] = described.members
    assert.deepEqual(
      [described.assignor, only?.memberId, only?.clientId, only?.instanceId, only?.topics, only?.assigned.length],
      ['cooperative-sticky', consumer.memberId, 'worker', 'one', ['t'], 2],
    )
    const lags = await elapse(groups.lags('g'))
    assert.deepEqual(
      lags.map(({ partition, currentOffset, endOffset, lag, clientId }) => [
        partition,
        currentOffset,
        endOffset,
        lag,
        clientId,
      ]),
      [
        [0, 4, 10, 6, 'worker'],
        [1, undefined, 0, 0, 'worker'],
      ],
    )
    assert.deepEqual(
      (await elapse(groups.offsets('g'))).map(({ topic, partition, offset }) => [topic, partition, offset]),
      [['t', 0, 4]],
    )
    await assert.rejects(elapse(groups.describe('none')), { code: 'GROUP_ID_NOT_FOUND' })
    await elapse(consumer.close())
  })

  it('resets offsets: to an end, an offset, a time, by a shift; and only says so in a dry run', async () => {
    const { groups, append, elapse, committed, member } = await world()
    await append(0, numbers(0, 10))
    const reset = async (to: Parameters<typeof groups.resetOffsets>[1]['to'], isDryRun = false) =>
      (await elapse(groups.resetOffsets('r', { topics: [{ topic: 't', partitions: [0] }], to, isDryRun }))).map(
        ({ partition, offset, before }) => [partition, offset, before],
      )
    assert.deepEqual(await reset('latest', true), [[0, 10, undefined]])
    assert.deepEqual(await committed('r'), {})
    assert.deepEqual(await reset('latest'), [[0, 10, undefined]])
    assert.deepEqual(await reset({ shift: -3 }), [[0, 7, 10]])
    assert.deepEqual(await reset({ offset: 5 }), [[0, 5, 7]])
    assert.deepEqual(await reset({ timestampMs: 0 }), [[0, 0, 5]])
    assert.deepEqual(await reset('current'), [[0, 0, 0]])
    assert.equal((await elapse(groups.resetOffsets('r', { topics: ['t'], to: 'earliest' }))).length, 2)
    assert.equal((await elapse(groups.resetOffsets('r', { topics: 'all', to: 'earliest' }))).length, 2)
    const { consumer } = member('a')
    await elapse(consumer.poll())
    await assert.rejects(elapse(groups.resetOffsets('g', { topics: 'all', to: 'earliest' })), {
      code: 'NON_EMPTY_GROUP',
    })
    await elapse(consumer.close())
  })

  it('deletes offsets and groups', async () => {
    const { groups, elapse, log } = await world()
    const offsets = [0, 1].map((partition) => ({ topic: 't', partition, offset: 1 }))
    assert.ok((await elapse(log.groups.commit('d', offsets))).ok)
    assert.equal(await elapse(groups.deleteOffsets('d', 't', 1)), 1)
    assert.equal(await elapse(groups.deleteOffsets('d', 't')), 1)
    await elapse(groups.delete('d'))
    await assert.rejects(elapse(groups.delete('d')), { code: 'GROUP_ID_NOT_FOUND' })
    assert.deepEqual(await elapse(groups.list()), [])
  })
})
