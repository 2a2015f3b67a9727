import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { AppendCommand, Head } from '../../lib/core/head.ts'
import { decideHead, newHead } from '../../lib/core/head.ts'
import { metadataConformance } from '../conformance/metadata.ts'
import { append, newKey } from '../conformance/metadata-fixture.ts'
import { engines, newTable, shared } from './stores.ts'

for (const engine of engines.dynamodb) {
  const table = shared(() => newTable(engine))
  metadataConformance(`DynamoDB on ${engine.name}`, async () => {
    const metadata = (await table()).open()
    return { metadata, close: async () => metadata.close() }
  })

  describe(`metadata: DynamoDB on ${engine.name}: leases`, () => {
    test('every append under every lease is decided as the rule decides it', async () => {
      const metadata = (await table()).open()
      const lease = { owner: 'ann', epoch: 1, untilMs: 1 }
      const leases: Partial<Head>[] = [
        {},
        { lease: { ...lease, isExclusive: false } },
        { lease: { ...lease, isExclusive: true } },
      ]
      const epochs = [undefined, 0, 1, 2]
      for (const held of leases)
        for (const leaderEpoch of epochs)
          for (const leaseSeen of epochs) {
            const head: Head = { ...newHead(newKey()), leaseEpoch: 1, ...held }
            const command: AppendCommand = {
              ...append('a'),
              ...(leaderEpoch !== undefined && { leaderEpoch }),
              ...(leaseSeen !== undefined && { leaseSeen }),
            }
            await metadata.createHead(head)
            const answer = await metadata.updateHead(head, command)
            const decision = decideHead(head, command)
            const where = JSON.stringify({ held, leaderEpoch, leaseSeen })
            assert.equal(answer.applied, decision.ok, where)
            assert.deepEqual(answer.head, decision.ok ? decision.next : head, where)
          }
    })
  })
}
