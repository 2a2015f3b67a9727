/**
 * What a request through the deployed functions costs: requests to S3 and DynamoDB, and capacity units as DynamoDB Local
 * counts them. The functions are those that were deployed; their requests to DynamoDB are sent on to another engine.
 */
import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { createTable, engines } from '../stores.ts'
import { ask } from './ask.ts'
import type { Answer, Caller } from './caller.ts'
import type { Cloud } from './cloud.ts'
import type { Asked } from './recorder.ts'
import type { Stack } from './stack.ts'

interface Given {
  readonly cloud: Cloud
  readonly stack: Stack
  readonly owner: Caller
}

/** After a function was not asked for this long, a head of which it knows no more is too old to be believed; its topic is not. */
const pauseMs = 1_100

/** @param begin called before requests are counted, for which what was recorded is forgotten */
export function costSuite(given: () => Given, begin: () => void): void {
  describe('what a request costs through the deployed functions', () => {
    let whyNot: string | undefined
    before(async () => {
      const { cloud, stack } = given()
      begin()
      if (cloud.recorder === undefined) return
      const engine = engines.dynamodb.find(({ name }) => name === 'DynamoDB Local')
      if (engine === undefined) {
        whyNot = 'DynamoDB Local, which counts as AWS does, is not there'
        return
      }
      await createTable(engine, stack.table)
      cloud.recorder.dynamodb = engine.endpoint
    })
    after(async () => {
      const { recorder } = given().cloud
      if (recorder !== undefined) recorder.dynamodb = undefined
    })

    const measured = async (t: TestContext, what: string | undefined, act: () => Promise<Answer>): Promise<Cost> => {
      const { recorder } = given().cloud
      assert.ok(recorder)
      recorder.asked.length = 0
      const { status, text } = await act()
      assert.equal(status, 200, text)
      const cost = costOf(recorder.asked)
      if (what !== undefined)
        t.diagnostic(`${what}: ${cost.requests.join(', ')}; ${cost.writeUnits} write, ${cost.readUnits} read units`)
      return cost
    }
    const produceTo = (topic: string) =>
      given().owner.send('POST', `/topics/${topic}/partitions/0`, {
        headers: { 'content-type': 'application/vnd.kafka.json.v2+json' },
        body: JSON.stringify({ records: [{ value: 'one' }] }),
      })
    const produce = () => produceTo('cost')
    const fetch = (offset: number) =>
      given().owner.send('GET', `/topics/cost/partitions/0/records?offset=${offset}&max_bytes=1`)
    const fresh = async (name: string) => {
      const { cloud, stack } = given()
      const { functionName } = stack.functions.find((each) => each.name === name) ?? {}
      assert.ok(functionName)
      // What is configured anew begins anew.
      await ask(cloud, 'lambda', 'PUT', `/2015-03-31/functions/${functionName}/configuration`, { Timeout: 30 })
    }

    test('a produce is one put, one update of at most 2 units and the head beside the upload; a fetch at most 2 metadata reads, and its data', async (t) => {
      if (given().cloud.recorder === undefined) return t.skip('requests are counted on a cloud of our own')
      if (whyNot !== undefined) return t.skip(whyNot)
      const { admin } = given().owner.client()
      await admin.createTopic('cost', { partitions: 1, configs: { 'chunk.placement': 'segment' } })
      for (let length = 0; length < 10; length++) await produce()
      for (const appends of [10, 300]) {
        let length = Number((await fetch(0)).headers.get('highwater-high-watermark'))
        while (length < appends) {
          await Promise.all(Array.from({ length: 4 }, produce))
          length += 4
        }
        const after = `after ${length} appends`
        await fresh('produce')
        const costs = [await measured(t, `${after}, produce, a new process`, produce)]
        await wait(pauseMs)
        costs.push(await measured(t, `${after}, produce, after a pause`, produce))
        costs.push(await measured(t, `${after}, produce, at once`, produce))
        for (const { requests, writeUnits } of costs) {
          const counted = (name: string) => requests.filter((request) => request === name).length
          // A roll, every eighth append, runs beside the answer.
          const isRoll = requests.includes(roll)
          assert.deepEqual([counted('PUT'), counted('UpdateItem heads')], [1, isRoll ? 2 : 1])
          assert.ok(counted('GetItem heads') <= 1 && counted('GetItem topics') <= 1)
          assert.ok(requests === costs[0]?.requests || counted('GetItem topics') === 0)
          assert.ok(isRoll || writeUnits <= 2)
        }
        for (let tries = 0; tries < 16; tries++) {
          const { requests } = await measured(t, undefined, produce)
          if (!requests.includes(roll)) continue
          t.diagnostic(`${after}, produce that rolls: ${requests.join(', ')}`)
          break
        }
        for (const [which, offset] of [
          ['the newest', length],
          ['the oldest', 0],
        ] as const) {
          await fresh('fetch')
          await measured(t, `${after}, fetch of ${which}, a new process`, () => fetch(offset))
          await wait(pauseMs)
          await measured(t, `${after}, fetch of ${which}, after a pause`, () => fetch(offset))
          const { requests } = await measured(t, `${after}, fetch of ${which}, at once`, () => fetch(offset))
          assert.ok(requests.filter((request) => /^(GetItem|Query)/.test(request)).length <= 2)
          assert.ok(requests.length <= 3)
        }
      }
    })

    test('a small produce where small chunks go into the table is one put and one update of an item, and no object', async (t) => {
      if (given().cloud.recorder === undefined) return t.skip('requests are counted on a cloud of our own')
      if (whyNot !== undefined) return t.skip(whyNot)
      await given().owner.client().admin.createTopic('cost-small', { partitions: 1 })
      await produceTo('cost-small')
      await wait(pauseMs)
      const costs = [await measured(t, 'small produce, after a pause', () => produceTo('cost-small'))]
      costs.push(await measured(t, 'small produce, at once', () => produceTo('cost-small')))
      for (const { requests } of costs)
        assert.deepEqual(
          requests.filter((request) => !request.startsWith('GetItem')),
          ['PutItem inline', 'UpdateItem heads'],
        )
    })
  })
}

interface Cost {
  readonly requests: readonly string[]
  readonly writeUnits: number
  readonly readUnits: number
}

/** Of the request that puts a row. */
const roll = 'PutItem rows'

/** `PUT`; `UpdateItem heads`. */
function labelOf({ request, keys: [key = ''] }: Asked): string {
  return `${request} ${key.split('/')[0]}`.trim()
}

const writes = new Set(['UpdateItem', 'PutItem', 'DeleteItem', 'TransactWriteItems'])

function costOf(asked: readonly Asked[]): Cost {
  const whole = asked.filter(({ isFirst }) => isFirst)
  const units = (isWrite: boolean) =>
    whole.reduce((sum, { request, units: of }) => (writes.has(request) === isWrite ? sum + of : sum), 0)
  return { requests: whole.map(labelOf), writeUnits: units(true), readUnits: units(false) }
}
