import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { AppendCommand, Head, HeadCommand } from '../../lib/core/head.ts'
import { decideHead, newHead } from '../../lib/core/head.ts'
import type { ProducerKey } from '../../lib/core/names.ts'
import type { ProducerState } from '../../lib/core/producer.ts'
import { metadataConformance } from '../conformance/metadata.ts'
import { append, newKey } from '../conformance/metadata-fixture.ts'
import { engines, newTable, shared } from './stores.ts'

for (const engine of engines.dynamodb) {
  const table = shared(() => newTable(engine))
  metadataConformance(
    `DynamoDB on ${engine.name}`,
    async () => {
      const metadata = (await table()).open()
      return { metadata, close: async () => metadata.close() }
    },
    engine.isSlow === true ? { histories: 8 } : {},
  )

  /** What random commands rarely come to. */
  describe(`metadata: DynamoDB on ${engine.name}: heads that differ by little`, () => {
    const assertDecided = async (head: Head, command: HeadCommand) => {
      const metadata = (await table()).open()
      await metadata.createHead(head)
      const answer = await metadata.updateHead(head, command)
      const decision = decideHead(head, command)
      const where = JSON.stringify({ head, command })
      assert.equal(answer.applied, decision.ok, where)
      assert.deepEqual(answer.head, decision.ok ? decision.next : head, where)
      metadata.close()
    }

    test('every append under every lease is decided as the rule decides it', async () => {
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
            await assertDecided(head, command)
          }
    })

    test('a lease is renewed and released under its own epoch only', async () => {
      for (const act of ['renew', 'release'] as const)
        for (const epoch of [1, 2]) {
          const lease = { owner: 'ann', epoch, untilMs: 1, isExclusive: false }
          const claim = { owner: 'ann', seenEpoch: 2, untilMs: 5, isExclusive: false }
          await assertDecided({ ...newHead(newKey()), leaseEpoch: 2, lease }, { kind: 'lease', act, claim })
        }
    })

    test('two states of a producer are told apart by any one number', async () => {
      const batch = { first: 3, last: 4, base: 7 }
      const others: ProducerState[] = [
        { epoch: 1, batches: [batch, batch] },
        { epoch: 2, batches: [batch, batch] },
        { epoch: 1, batches: [batch] },
        ...(['first', 'last', 'base'] as const).flatMap((name) => [
          { epoch: 1, batches: [{ ...batch, [name]: 9 }, batch] },
          { epoch: 1, batches: [batch, { ...batch, [name]: 9 }] },
        ]),
      ]
      const key = '1' as ProducerKey
      const claim = { epoch: 1, first: 5, last: 5 }
      for (const stored of others) {
        const head: Head = { ...newHead(newKey()), hw: 9, producers: { [key]: stored } }
        const seen = { epoch: 1, batches: [batch, batch] }
        await assertDecided(head, append('a', 1, { key, claim, home: 'head', seen }))
        await assertDecided({ ...head, ...newKey() }, { kind: 'evict', producer: key, seen })
      }
    })
  })
}
