/** The round of upkeep that a schedule begins. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ask } from './ask.ts'
import type { Cloud } from './cloud.ts'
import type { Stack } from './stack.ts'

export function upkeepSuite(given: () => { readonly cloud: Cloud; readonly stack: Stack }): void {
  describe('the upkeep of a deployed stack', () => {
    test('goes over every partition of every topic', async () => {
      const { cloud, stack } = given()
      const maintain = stack.functions.find(({ name }) => name === 'maintain')
      assert.ok(maintain)
      const path = `/2015-03-31/functions/${maintain.functionName}/invocations`
      const round = (await ask(cloud, 'lambda', 'POST', path, {})) as { ok: boolean; partitions: number }
      assert.equal(round.ok, true)
      assert.ok(round.partitions > 10)
    })

    test('sweeps, and leaves what is too young', async () => {
      const { cloud, stack } = given()
      const sweep = stack.functions.find(({ name }) => name === 'sweep')
      assert.ok(sweep)
      const path = `/2015-03-31/functions/${sweep.functionName}/invocations`
      assert.deepEqual(await ask(cloud, 'lambda', 'POST', path, {}), {
        ok: true,
        candidates: 0,
        deleted: 0,
        damaged: 0,
        isWhole: true,
      })
    })
  })
}
