/**
 * What a request through the deployed functions costs: requests to S3 and DynamoDB, and capacity units as DynamoDB Local
 * counts them. The functions are those that were deployed; their requests to DynamoDB are sent on to another engine.
 */
import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { defaultSettings } from '../../../lib/core/settings.ts'
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

/** After a function was not asked for this long, what it believes of a topic and a head is too old. */
const pauseMs = Math.max(defaultSettings.topicAgeMsMax, defaultSettings.headAgeMsMax) + 100

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

    const measured = async (t: TestContext, what: string, act: () => Promise<Answer>): Promise<Cost> => {
      const { recorder } = given().cloud
      assert.ok(recorder)
      recorder.asked.length = 0
      const { status, text } = await act()
      assert.equal(status, 200, text)
      const cost = costOf(recorder.asked)
      t.diagnostic(`${what}: ${cost.requests.join(', ')}; ${cost.writeUnits} write, ${cost.readUnits} read units`)
      return cost
    }
    const produce = () =>
      given().owner.send('POST', '/topics/cost/partitions/0', {
        headers: { 'content-type': 'application/vnd.kafka.json.v2+json' },
        body: JSON.stringify({ records: [{ value: 'one' }] }),
      })
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
      await given().owner.client().admin.createTopic('cost', { partitions: 1 })
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
          const isRoll = counted('PutItem') > 0
          assert.deepEqual([counted('PUT'), counted('UpdateItem')], [1, isRoll ? 2 : 1])
          assert.ok(counted('GetItem') <= 2, 'the topic, the head')
          assert.ok(isRoll || writeUnits <= 2)
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
          assert.ok(requests.filter((request) => request === 'GetItem' || request === 'Query').length <= 2)
          assert.ok(requests.length <= 3)
        }
      }
    })
  })
}

interface Cost {
  readonly requests: readonly string[]
  readonly writeUnits: number
  readonly readUnits: number
}

const writes = new Set(['UpdateItem', 'PutItem', 'DeleteItem', 'TransactWriteItems'])

function costOf(asked: readonly Asked[]): Cost {
  const whole = asked.filter(({ isFirst }) => isFirst)
  const units = (isWrite: boolean) =>
    whole.reduce((sum, { request, units: of }) => (writes.has(request) === isWrite ? sum + of : sum), 0)
  return { requests: whole.map(({ request }) => request), writeUnits: units(true), readUnits: units(false) }
}
