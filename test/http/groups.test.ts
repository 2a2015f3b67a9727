import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { allRoutes } from '../../lib/http/faces.ts'
import type { JsonSchema } from '../../lib/http/route.ts'
import { createHarness } from './harness.ts'

const ajv = new Ajv2020({ strict: false, allErrors: true })

/** The answer's schema, as the document has it. */
function schemaOf(operationId: string): JsonSchema {
  const route = allRoutes.find(({ operation }) => operation.operationId === operationId)
  const schema = route?.operation.responses['200']?.content?.['application/json']?.schema
  assert.ok(schema !== undefined, operationId)
  return schema
}

interface Assigned {
  readonly topic: string
  readonly topic_id: string
  readonly partition: number
  readonly claim: string
  readonly offset?: number
}
interface Membership {
  readonly epoch: number
  readonly assigned: readonly Assigned[]
  readonly revoked: readonly object[]
  readonly lost: readonly object[]
  readonly incomplete: boolean
}

async function world(partitions = 2) {
  const harness = createHarness({ settings: { topicAgeMsMax: 0 } })
  assert.ok((await harness.log.createTopic({ name: 't', partitions })).ok)
  /** The status, and the answer checked against the document where it says 200. */
  const call = async <Value = Record<string, unknown>>(
    operationId: string,
    method: string,
    path: string,
    body?: object,
  ): Promise<{ status: number; error: string | null; said: Value }> => {
    const response = await harness.send(method, path, {
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    const said = (text === '' ? undefined : JSON.parse(text)) as Value
    if (response.status === 200)
      assert.ok(ajv.validate(schemaOf(operationId), said), `${operationId} ${ajv.errorsText()} ${text}`)
    return { status: response.status, error: response.headers.get('highwater-error'), said }
  }
  const join = async (member: string, body: object = { topics: ['t'] }) =>
    (await call<Membership>('joinGroup', 'POST', '/groups/g/members', { member_id: member, ...body })).said
  const heartbeat = (member: string, epoch: number, holding: readonly object[]) =>
    call<Membership>('heartbeat', 'POST', `/groups/g/members/${member}/heartbeat`, { epoch, holding })
  const commit = (offsets: readonly object[], group = 'g') =>
    call<{ offsets: Record<string, unknown>[] }>('commitOffsets', 'POST', `/groups/${group}/offsets`, { offsets })
  return { ...harness, call, join, heartbeat, commit }
}

describe('members over HTTP', () => {
  it('join, hear what has changed, let go, and leave', async () => {
    const { join, heartbeat, call } = await world()
    const a = await join('a')
    assert.deepEqual(
      a.assigned.map(({ topic, partition, offset }) => [topic, partition, offset]),
      [
        ['t', 0, undefined],
        ['t', 1, undefined],
      ],
    )
    assert.deepEqual((await join('b')).assigned, [])
    const told = (await heartbeat('a', a.epoch, a.assigned)).said
    assert.equal(told.revoked.length, 1)
    const [revoked] = told.revoked as Assigned[]
    const kept = a.assigned.filter(({ partition }) => partition !== revoked!.partition)
    const after = (await heartbeat('a', told.epoch, kept)).said
    assert.deepEqual([after.assigned, after.revoked, after.lost], [[], [], []])
    const b = (await heartbeat('b', 0, [])).said
    assert.deepEqual(
      b.assigned.map(({ partition }) => partition),
      [revoked!.partition],
    )
    assert.equal((await call('leaveGroup', 'DELETE', '/groups/g/members/b')).status, 204)
    assert.equal((await call('leaveGroup', 'DELETE', '/groups/g/members/b')).status, 204)
    const gone = await heartbeat('b', b.epoch, b.assigned)
    assert.deepEqual([gone.status, gone.error], [404, 'UNKNOWN_MEMBER_ID'])
  })

  it('commit with their claims; each offset has its own answer', async () => {
    const { join, commit, call } = await world()
    const { assigned } = await join('a')
    const [first, second] = assigned
    const { status, said } = await commit([
      { ...first, offset: 5, metadata: 'half way' },
      { ...second, offset: 5, claim: '1-AAAAAAAA-somebody' },
      { ...first, partition: 9, offset: 5 },
      { ...first, topic_id: 'AAAAAAAAAAAAAAAAAAAAAA', offset: 5 },
    ])
    assert.equal(status, 200)
    assert.deepEqual(
      said.offsets.map(({ partition, offset, error, error_code }) => [partition, offset ?? error, error_code]),
      [
        [0, 5, undefined],
        [1, 'FENCED_CLAIM', 40903],
        [9, 'UNKNOWN_PARTITION', 40402],
        [0, 'UNKNOWN_TOPIC', 40401],
      ],
    )
    const stored = await call<{ offsets: object[] }>('getCommittedOffsets', 'GET', '/groups/g/offsets')
    assert.equal(stored.said.offsets.length, 1)
    for (const [query, count] of [
      ['?topic=t', 1],
      ['?topic=u', 0],
      ['?topic=t&partition=0', 1],
      ['?topic=t&partition=1', 0],
    ] as const)
      assert.equal(
        (await call<{ offsets: object[] }>('getCommittedOffsets', 'GET', `/groups/g/offsets${query}`)).said.offsets
          .length,
        count,
        query,
      )
    assert.equal((await call('getCommittedOffsets', 'GET', '/groups/g/offsets?partition=1')).status, 400)
    assert.equal((await call('getCommittedOffsets', 'GET', '/groups/nobody/offsets')).status, 404)
    // What was committed is what the next one begins with.
    await call('leaveGroup', 'DELETE', '/groups/g/members/a')
    const next = await join('b')
    assert.deepEqual(
      next.assigned.map(({ offset }) => offset),
      [5, undefined],
    )
  })

  it('are refused what is no request, with the place that is wrong', async () => {
    const { call, send } = await world()
    const wrong = async (path: string, body: unknown, status: number, message: RegExp) => {
      const answer = await send('POST', path, {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      const said = (await answer.json()) as { message: string }
      assert.deepEqual([answer.status, message.test(said.message)], [status, true], `${path} ${said.message}`)
    }
    await wrong('/groups/g/members', {}, 422, /either to topics or to a topic_pattern/)
    await wrong('/groups/g/members', { topics: ['t'], topic_pattern: 'x' }, 422, /either/)
    await wrong('/groups/g/members', { topics: 't' }, 400, /topics must be an array of strings/)
    await wrong('/groups/g/members', { topics: ['t'], assignor: 'fair' }, 400, /assignor is one of/)
    await wrong('/groups/g/members', { topics: ['t'], session_timeout_ms: 1 }, 422, /session timeout/)
    await wrong('/groups/g/members', { topics: ['t'], session_timeout_ms: '1' }, 400, /whole number/)
    await wrong('/groups/g/members', { topics: ['t'], colour: 1 }, 422, /Unrecognized field: colour/)
    await wrong('/groups/g/members', { topic_pattern: '(' }, 422, /./)
    await wrong('/groups/g/members/m/heartbeat', { epoch: 1 }, 422, /holding is required/)
    await wrong('/groups/g/members/m/heartbeat', { holding: [] }, 422, /epoch is required/)
    await wrong('/groups/g/members/m/heartbeat', { epoch: 1, holding: [{}] }, 422, /holding\[0\]: topic_id is required/)
    await wrong('/groups/g/members/m/heartbeat', { epoch: -1, holding: [] }, 400, /epoch must be/)
    await wrong('/groups/g/members/m/poll', { epoch: 1, holding: [], wait_ms: 1.5 }, 400, /wait_ms must be/)
    await wrong(
      '/groups/g/offsets',
      { offsets: [{ topic: 't', partition: 0 }] },
      422,
      /offsets\[0\]: offset is required/,
    )
    await wrong('/groups/g/offsets', { offsets: {} }, 400, /offsets must be an array/)
    assert.equal((await call('joinGroup', 'POST', '/groups/%07/members', { topics: ['t'] })).error, 'INVALID_GROUP_ID')
  })

  it('say no more than the limit of partitions', async () => {
    const harness = createHarness({ settings: { groupPartitionsMax: 2 } })
    const holding = (count: number) =>
      Array.from({ length: count }, (_, partition) => ({ topic_id: 'x', partition, claim: '1-AAAAAAAA-m' }))
    const status = async (count: number) =>
      (
        await harness.send('POST', '/groups/g/members/m/heartbeat', {
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ epoch: 1, holding: holding(count) }),
        })
      ).status
    assert.equal(await status(2), 404)
    assert.equal(await status(3), 400)
  })
})

describe('looking after groups over HTTP', () => {
  it('lists them, describes one with its members, and says how far it is behind', async () => {
    const { join, commit, call, appendValues } = await world()
    assert.deepEqual((await call('listGroups', 'GET', '/groups')).said, { groups: [] })
    const { assigned } = await join('a', { topics: ['t'], client_id: 'worker', instance_id: 'one' })
    await appendValues('x', 'y', 'z')
    await commit([{ ...assigned[0], offset: 1 }])
    const listed = await call<{ groups: Record<string, unknown>[] }>('listGroups', 'GET', '/groups')
    assert.deepEqual(
      listed.said.groups.map(({ group, state, member_count }) => [group, state, member_count]),
      [['g', 'Stable', 1]],
    )
    const described = await call<{ members: Record<string, unknown>[] }>('describeGroup', 'GET', '/groups/g')
    const [member] = described.said.members
    assert.deepEqual([member?.member_id, member?.client_id, member?.instance_id], ['a', 'worker', 'one'])
    assert.equal((member!.assigned as object[]).length, 2)
    const lags = await call<{ lags: Record<string, unknown>[] }>('getGroupLags', 'GET', '/groups/g/lags')
    assert.deepEqual(
      lags.said.lags.map((lag) => [lag.partition, lag.current_offset, lag.end_offset, lag.lag, lag.member_id]),
      [
        [0, 1, 3, 2, 'a'],
        [1, null, 0, 0, 'a'],
      ],
    )
    for (const path of ['/groups/nobody', '/groups/nobody/lags'])
      assert.equal((await call('describeGroup', 'GET', path)).error, 'GROUP_ID_NOT_FOUND')
  })

  it('resets offsets of a group without members, to each place there is', async () => {
    const { commit, call, appendValues, log, join } = await world(1)
    await appendValues(...'abcdefgh')
    await log.deleteRecords('t', 0, 2)
    await commit([{ topic: 't', partition: 0, offset: 4 }], 'r')
    const reset = (to: unknown, more: object = {}) =>
      call<{ dry_run: boolean; offsets: { offset: number; before: number | null }[] }>(
        'resetOffsets',
        'POST',
        '/groups/r/offsets:reset',
        { topics: [{ topic: 't' }], to, ...more },
      )
    const dry = await reset('earliest', { dry_run: true })
    assert.deepEqual(dry.said, {
      dry_run: true,
      offsets: [{ topic: 't', partition: 0, offset: 2, before: 4 }],
    })
    for (const [to, offset] of [
      ['current', 4],
      [{ shift: 2 }, 6],
      [{ shift: -100 }, 2],
      ['latest', 8],
      ['earliest', 2],
      [{ offset: 5 }, 5],
      [{ timestamp_ms: 0 }, 2],
      [{ timestamp_ms: 9e12 }, 8],
    ] as const)
      assert.equal((await reset(to)).said.offsets[0]?.offset, offset, JSON.stringify(to))
    assert.equal((await reset('latest', { topics: 'all' })).said.offsets.length, 1)
    assert.equal((await reset('latest', { topics: [{ topic: 't', partitions: [0] }] })).said.offsets.length, 1)
    for (const to of ['soon', {}, { offset: -1 }, { offset: 1, shift: 1 }, undefined, 7])
      assert.equal((await reset(to)).status, 400, JSON.stringify(to))
    assert.equal((await reset('latest', { topics: [{ topic: 'none' }] })).error, 'UNKNOWN_TOPIC')
    await join('a')
    const busy = await call('resetOffsets', 'POST', '/groups/g/offsets:reset', { topics: 'all', to: 'latest' })
    assert.equal(busy.error, 'NON_EMPTY_GROUP')
  })

  it('deletes offsets, and groups, that nobody uses', async () => {
    const { commit, call, join } = await world()
    const both = [0, 1].map((partition) => ({ topic: 't', partition, offset: 1 }))
    await commit(both)
    const deleteOffsets = (query: string) => call('deleteOffsets', 'DELETE', `/groups/g/offsets${query}`)
    assert.deepEqual((await deleteOffsets('?topic=t&partition=1')).said, { deleted: 1 })
    assert.deepEqual((await deleteOffsets('?topic=t')).said, { deleted: 1 })
    assert.equal((await deleteOffsets('')).status, 400)
    await join('a')
    assert.equal((await deleteOffsets('?topic=t')).error, 'GROUP_SUBSCRIBED_TO_TOPIC')
    assert.equal((await call('deleteGroup', 'DELETE', '/groups/g')).error, 'NON_EMPTY_GROUP')
    await call('leaveGroup', 'DELETE', '/groups/g/members/a')
    assert.equal((await call('deleteGroup', 'DELETE', '/groups/g')).status, 204)
    assert.equal((await call('deleteGroup', 'DELETE', '/groups/g')).error, 'GROUP_ID_NOT_FOUND')
  })
})

describe('consumer groups in Kafka REST v3', () => {
  it('are what the log has, with links that lead somewhere', async () => {
    const { join, commit, appendValues, send } = await world()
    const { assigned } = await join('a', { topics: ['t'], client_id: 'worker' })
    await appendValues('x', 'y', 'z')
    await commit([{ ...assigned[0], offset: 1 }])
    const get = async (path: string) => {
      const response = await send('GET', path)
      assert.equal(response.status, 200, path)
      return (await response.json()) as Record<string, unknown> & { data: Record<string, unknown>[] }
    }
    const at = '/kafka/v3/clusters/any/consumer-groups'
    const group = await get(`${at}/g`)
    assert.deepEqual([group.state, group.type, group.partition_assignor], ['STABLE', 'CONSUMER', 'cooperative-sticky'])
    const summary = await get(`${at}/g/lag-summary`)
    assert.deepEqual(
      [summary.total_lag, summary.max_lag, summary.max_lag_partition_id, summary.max_lag_client_id],
      [2, 2, 0, 'worker'],
    )
    const lag = await get(`${at}/g/lags/t/partitions/0`)
    assert.deepEqual([lag.current_offset, lag.log_end_offset, lag.lag, lag.consumer_id], [1, 3, 2, 'a'])
    const links = new Set<string>()
    const collect = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return
      for (const [name, inner] of Object.entries(value))
        if ((name === 'related' || name === 'self') && typeof inner === 'string') links.add(inner)
        else collect(inner)
    }
    for (const path of ['', '/g', '/g/consumers', '/g/consumers/a/assignments', '/g/lags', '/g/lag-summary'])
      collect(await get(`${at}${path}`))
    assert.ok(links.size > 12)
    for (const link of links) await get(new URL(link).pathname)
  })

  it('are 404 where they are not', async () => {
    const { join, send } = await world()
    await join('a')
    const at = '/v3/clusters/any/consumer-groups'
    for (const path of [
      '/none',
      '/none/consumers',
      '/none/lags',
      '/none/lag-summary',
      '/g/consumers/b',
      '/g/consumers/a/assignments/t/partitions/7',
      '/g/consumers/a/assignments/t/partitions/x',
      '/g/lags/u/partitions/0',
    ])
      assert.equal((await send('GET', at + path)).status, 404, path)
  })
})
