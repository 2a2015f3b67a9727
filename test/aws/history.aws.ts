/**
 * The whole log over a network that loses, repeats and delays what the SDK sends: the history is judged, not the calls.
 * The faults are drawn from the seed; which requests meet them depends on the time that the engines take.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { systemClock } from '../../lib/adapters/system.ts'
import { errorCatalogue } from '../../lib/core/errors.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Log } from '../../lib/log/log.ts'
import { append, batchOf, createTopic, readAll } from '../conformance/log-fixture.ts'
import { seededRandom } from '../sim/random.ts'
import type { Fate } from './network.ts'
import { FaultyNetwork } from './network.ts'
import { networkOf, newBucket, newTable, pairs } from './stores.ts'

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32))

for (const { s3, dynamodb } of pairs)
  describe(`the log on S3 of ${s3.name} and DynamoDB of ${dynamodb.name}, over a faulty network`, () => {
    test(`every acknowledged record is there exactly once, in a dense order, whatever gets lost (SEED=${seed})`, async () => {
      const random = seededRandom(seed)
      const [bucket, table] = await Promise.all([newBucket(s3), newTable(dynamodb)])
      const networks: FaultyNetwork[] = []
      const network = (engine: typeof s3, fate: (action: string) => Fate) => {
        const faulty = new FaultyNetwork(networkOf(engine))
        faulty.fate = fate
        networks.push(faulty)
        return faulty
      }
      const ofDynamoDb = (): Fate => drawn(random())
      // The body of a PUT is a stream, which cannot be delivered twice.
      const ofS3 = (): Fate => {
        const fate = drawn(random())
        return fate === 'twice' || fate === 'late-repeat' ? 'unanswered' : fate
      }
      const open = (isFaulty: boolean): Log =>
        createLog(
          {
            objects: bucket.open(isFaulty ? { requestHandler: network(s3, ofS3) } : {}),
            metadata: table.open(isFaulty ? { requestHandler: network(dynamodb, ofDynamoDb) } : {}),
            clock: systemClock,
            random: Math.random,
            codecs: nodeCodecs,
          },
          { retryDelayMs: 1 },
        )
      const calm = open(false)
      await createTopic(calm, 2)
      const processes = [open(true), open(true)]

      const plain = await Promise.all(
        Array.from({ length: 120 }, async (_, index) => {
          await systemClock.sleep(Math.floor(index / 10) * 15)
          const log = processes[index % 2]!
          const answer = await append(log, [`plain ${index}`], { partition: index % 3 === 0 ? 1 : 0 })
          if (index % 7 === 0) await Promise.all(networks.map((each) => each.late()))
          return { value: `plain ${index}`, answer }
        }),
      )
      // Each producer sends one batch after the other to whichever process, until it is answered.
      const producers = await Promise.all(
        Array.from({ length: 6 }, async (_, index) => {
          const allocated = await calm.allocateProducer()
          assert.ok(allocated.ok)
          const sent: string[] = []
          for (let sequence = 0; sequence < 10; sequence++) {
            const value = `producer ${index} ${sequence}`
            const { producerId, epoch } = allocated
            const batches = batchOf([value], { producerId, producerEpoch: epoch, baseSequence: sequence })
            for (let attempt = 0; ; attempt++) {
              const log = processes[(index + sequence + attempt) % 2]!
              const answer = await log.append({ topic: 'orders', partition: 0, batches })
              if (answer.ok || answer.code === 'DUPLICATE_SEQUENCE_NUMBER') break
              const { retriable, effects } = errorCatalogue[answer.code]
              assert.ok(retriable || effects === 'possible', `${answer.code}: ${answer.message}`)
              assert.ok(attempt < 50, answer.message)
            }
            sent.push(value)
          }
          return sent
        }),
      )
      for (const log of processes) await log.settled()
      for (const each of networks) await each.late()

      const partitions = [await readAll(calm, { partition: 0 }), await readAll(calm, { partition: 1 })]
      const all = partitions.flat()
      const times = new Map<string, number>()
      for (const value of all) times.set(value, (times.get(value) ?? 0) + 1)
      let acknowledged = 0
      for (const { value, answer } of plain) {
        const found = times.get(value) ?? 0
        if (answer.ok) {
          acknowledged++
          assert.equal(found, 1, `${value} was acknowledged`)
          assert.equal(partitions[answer.partition]?.[answer.baseOffset], value)
        } else if (errorCatalogue[answer.code].effects === 'possible') assert.ok(found <= 1, `${value}: ${answer.code}`)
        else assert.equal(found, 0, `${value} was refused without effect: ${answer.code}`)
      }
      for (const [index, sent] of producers.entries())
        assert.deepEqual(
          all.filter((value) => value.startsWith(`producer ${index} `)),
          sent,
        )
      assert.ok(acknowledged > 60, `only ${acknowledged} of 120 were acknowledged: nothing much was shown`)
      for (const log of [...processes, calm]) await log.close()
      for (const each of networks) each.destroy()
      await Promise.all([bucket.delete(), table.delete()])
    })
  })

function drawn(chance: number): Fate {
  if (chance < 0.05) return 'lost'
  if (chance < 0.1) return 'unanswered'
  if (chance < 0.13) return 'timeout'
  if (chance < 0.17) return 'twice'
  if (chance < 0.22) return 'late-repeat'
  if (chance < 0.24) return { status: 400, error: 'ThrottlingException' }
  return 'answered'
}
