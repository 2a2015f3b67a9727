/** The verification of a deployed log by its own function, of whatever the suites before have left. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Caller } from './caller.ts'

export function verifySuite(called: () => Caller): void {
  describe('the verification of a deployed stack', () => {
    test('finds no damage, topic by topic, piece by piece', async () => {
      const { verification } = called().client().admin
      const { topics, findings } = await verification.topics()
      assert.deepEqual(findings, [])
      assert.ok(topics.length > 5)
      let records = 0
      for (const { name, partitions } of topics)
        for (let partition = 0; partition < partitions; partition++) {
          let cursor: string | undefined
          do {
            const piece = await verification.partition(name, partition, {
              isDeep: true,
              ...(cursor === undefined ? {} : { cursor }),
            })
            assert.deepEqual(
              piece.findings.filter(({ severity }) => severity === 'damage'),
              [],
            )
            records += piece.counts.records
            cursor = piece.cursor
          } while (cursor !== undefined)
        }
      assert.ok(records > 2_000, `${records} records`)
    })

    test('says what waits for the sweep', async () => {
      const { isWhole, unnamed } = await called().client().admin.verification.leftovers()
      assert.deepEqual([isWhole, unnamed], [true, 0])
    })
  })
}
