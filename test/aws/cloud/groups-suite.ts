/** Consumer groups through the gateway: members whose requests are served by whatever process is free. */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { defaultSettings } from '../../../lib/core/settings.ts'
import type { Answer, Caller } from './caller.ts'

const v2 = 'application/vnd.kafka.v2+json'
const jsonRecords = 'application/vnd.kafka.json.v2+json'
const attemptsMax = 20

export function groupsSuite(called: () => Caller): void {
  const send = (
    method: string,
    path: string,
    value?: unknown,
    type = 'application/json',
    accept?: string,
  ): Promise<Answer> =>
    called().send(method, path, {
      headers: {
        ...(value === undefined ? {} : { 'content-type': type }),
        ...(accept === undefined ? {} : { accept }),
      },
      ...(value === undefined ? {} : { body: JSON.stringify(value) }),
    })
  const produced = async (topic: string, count: number) => {
    await called().client().admin.createTopic(topic, { partitions: 2 })
    const records = Array.from({ length: count }, (_, index) => ({ partition: index % 2, value: index }))
    assert.equal((await send('POST', `/topics/${topic}`, { records }, jsonRecords)).status, 200)
  }

  describe('consumer groups of a deployed stack', () => {
    let expiresMs = 0
    before(async () => {
      await produced('left', 4)
      const member = { member_id: 'gone', topics: ['left'], session_timeout_ms: defaultSettings.sessionTimeoutMsMin }
      assert.equal((await send('POST', '/groups/left/members', member)).status, 200)
      expiresMs = Date.now() + defaultSettings.sessionTimeoutMsMin
    })

    test('two members of the client share the partitions, and the group begins where it had committed', async () => {
      await produced('shared', 20)
      const client = called().client()
      const read = async (count: number): Promise<number[]> => {
        const consumer = client.consumer({ group: 'sharing', topics: ['shared'], from: 'earliest' })
        const values: number[] = []
        for await (const { value } of consumer) {
          values.push(Number(new TextDecoder().decode(value ?? new Uint8Array())))
          if (values.length < count) continue
          await consumer.commit()
          break
        }
        await consumer.close()
        return values
      }
      const first = await read(20)
      assert.deepEqual(
        first.sort((a, b) => a - b),
        Array.from({ length: 20 }, (_, index) => index),
      )
      assert.equal((await send('POST', '/topics/shared', { records: [{ value: 20 }] }, jsonRecords)).status, 200)
      // What was in hand when the loop was left counts as not processed.
      assert.ok((await read(1)).every((value) => value >= 18))
    })

    test('two members have their partitions, and one that leaves gives them to the other', async () => {
      await produced('divided', 2)
      const join = async (member: string) => {
        const joined = await send('POST', '/groups/divided/members', { member_id: member, topics: ['divided'] })
        assert.equal(joined.status, 200, joined.text)
        return joined.json
      }
      const a = await join('a')
      assert.equal(a.assigned.length, 2)
      await join('b')
      const beat = (epoch: number, holding: unknown) =>
        send('POST', '/groups/divided/members/a/heartbeat', { epoch, holding })
      const { json: told } = await beat(a.epoch, a.assigned)
      assert.equal(told.revoked.length, 1)
      assert.equal((await send('DELETE', '/groups/divided/members/b')).status, 204)
    })

    test('a member reads what lies in rows and segments', async () => {
      const client = called().client()
      await client.admin.createTopic('rolled', { partitions: 1, configs: { 'chunk.placement': 'segment' } })
      // The second roll looks at the row of the first.
      const count = 40
      for (let index = 0; index < count; index++)
        assert.equal((await send('POST', '/topics/rolled', { records: [{ value: index }] }, jsonRecords)).status, 200)
      const consumer = client.consumer({ group: 'rolled', topics: ['rolled'], from: 'earliest' })
      let next = 0
      for await (const { offset } of consumer) {
        assert.equal(offset, next++)
        if (next === count) break
      }
      await consumer.close()
      assert.equal((await send('GET', '/topics/rolled/partitions/0/records?offset=0')).json.length, count)
    })

    test('an instance of the v2 API subscribes, reads, commits and is deleted', async () => {
      await produced('instanced', 6)
      const created = await send(
        'POST',
        '/consumers/old',
        { name: 'one', format: 'json', 'auto.offset.reset': 'earliest' },
        v2,
      )
      assert.equal(created.status, 200, created.text)
      const at = '/consumers/old/instances/one'
      assert.equal((await send('POST', `${at}/subscription`, { topics: ['instanced'] }, v2)).status, 204)
      const values: number[] = []
      for (let attempt = 0; attempt < attemptsMax && values.length < 6; attempt++) {
        const polled = await send('GET', `${at}/records?timeout=1000`, undefined, undefined, jsonRecords)
        assert.equal(polled.status, 200, polled.text)
        values.push(...polled.json.map(({ value }: { value: number }) => value))
      }
      assert.deepEqual(values.sort(), [0, 1, 2, 3, 4, 5])
      const committed = await send('POST', `${at}/offsets`)
      assert.equal(committed.status, 200, committed.text)
      assert.equal((await send('DELETE', at, undefined, v2)).status, 204)
      const { json } = await send('GET', '/groups/old/offsets')
      assert.deepEqual(
        json.offsets.map(({ offset }: { offset: number }) => offset),
        [3, 3],
      )
    })

    test('a member that subscribes by pattern is told of what comes to match it', async () => {
      await produced('pattern-1', 1)
      const joined = await send('POST', '/groups/matching/members', { member_id: 'm', topic_pattern: 'pattern-.*' })
      assert.equal(joined.status, 200, joined.text)
      assert.deepEqual(
        joined.json.assigned.map(({ topic }: { topic: string }) => topic),
        ['pattern-1', 'pattern-1'],
      )
      assert.equal((await send('DELETE', '/groups/matching/members/m')).status, 204)
    })

    test('groups are listed, described, reset and deleted', async () => {
      await produced('kept', 4)
      const reset = { topics: [{ topic: 'kept' }], to: { offset: 1 } }
      assert.equal((await send('POST', '/groups/kept/offsets:reset', reset)).status, 200)
      assert.ok((await send('GET', '/groups')).text.includes('"kept"'))
      assert.equal((await send('GET', '/groups/kept')).status, 200)
      assert.equal((await send('GET', '/groups/kept/lags')).status, 200)
      const { json: clusters } = await send('GET', '/v3/clusters')
      const v3 = await send('GET', `/v3/clusters/${clusters.data[0].cluster_id}/consumer-groups/kept/lag-summary`)
      assert.deepEqual([v3.status, v3.json.total_lag], [200, 2])
      assert.equal((await send('DELETE', '/groups/kept')).status, 204)
      assert.equal((await send('GET', '/groups/kept')).status, 404)
    })

    test('a member that is gone does not keep its group from being deleted', async () => {
      await wait(Math.max(0, expiresMs - Date.now()) + 500)
      const deleted = await send('DELETE', '/groups/left')
      assert.equal(deleted.status, 204, deleted.text)
    })

    test('an instance of the v2 API that nobody deletes is left to upkeep', async () => {
      const created = await send('POST', '/consumers/forgotten', { name: 'one', format: 'json' }, v2)
      assert.equal(created.status, 200, created.text)
    })
  })
}
