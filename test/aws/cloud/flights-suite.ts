/** The real-data example of docs/example-flights.md, its commands as they stand there, against the deployed URL. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { runFlights } from '../../e2e/flights.ts'
import type { Caller } from './caller.ts'
import type { Cloud } from './cloud.ts'
import type { Stack } from './stack.ts'

export function flightsSuite(
  given: () => { readonly cloud: Cloud; readonly stack: Stack; readonly owner: Caller },
): void {
  describe('the command line against the deployed URL', () => {
    test('twenty thousand flights go in and come back as they were, by offset and by time', async (t) => {
      const { cloud, stack, owner } = given()
      const { steps, rows, partitions } = await runFlights(
        t,
        ({ title, seconds }) => t.diagnostic(`${title}: ${seconds.toFixed(1)} s`),
        {
          url: stack.url,
          fetch: owner.fetch,
          env: {
            HIGHWATER_AUTH: 'aws',
            AWS_REGION: cloud.region,
            AWS_ACCESS_KEY_ID: cloud.credentials.accessKeyId,
            AWS_SECRET_ACCESS_KEY: cloud.credentials.secretAccessKey,
          },
        },
      )
      for (const { commands, expected, printed } of steps) assert.equal(printed, expected, commands)
      assert.equal(
        partitions.reduce((sum, records) => sum + records),
        rows,
      )
    })
  })
}
