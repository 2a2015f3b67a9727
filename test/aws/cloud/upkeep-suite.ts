/** What schedules begin, and a verification of what they left. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ask } from './ask.ts'
import type { Caller } from './caller.ts'
import type { Cloud } from './cloud.ts'
import type { Stack } from './stack.ts'

interface Given {
  readonly cloud: Cloud
  readonly stack: Stack
  readonly owner: Caller
}

export function upkeepSuite(given: () => Given): void {
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

    test('leaves nothing that a verification through the gateway finds damaged', async () => {
      const { owner } = given()
      const topics = await owner.send('GET', '/verify/topics')
      assert.deepEqual([topics.status, topics.json.findings], [200, []])
      for (let partition = 0; partition < 4; partition++) {
        let cursor = ''
        do {
          const piece = await owner.send('GET', `/verify/topics/load/partitions/${partition}${cursor}`)
          assert.equal(piece.status, 200, piece.text)
          const { findings } = piece.json as { findings: { severity: string }[] }
          assert.deepEqual(
            findings.filter(({ severity }) => severity === 'damage'),
            [],
          )
          cursor = piece.json.cursor === undefined ? '' : `?cursor=${encodeURIComponent(piece.json.cursor)}`
        } while (cursor !== '')
      }
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
