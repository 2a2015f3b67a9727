/** What a head weighs, and what a produce and a fetch cost: requests, and capacity units as the engine counts them. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { expressionBytesMax, headUpdate } from '../../lib/adapters/aws/dynamodb-head.ts'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { systemClock } from '../../lib/adapters/system.ts'
import type { AppendChunk, Head, HeadCommand } from '../../lib/core/head.ts'
import {
  chunksPerAppendMax,
  headProducersMax,
  newHead,
  tailEntriesMax,
  tailEntriesToRoll,
} from '../../lib/core/head.ts'
import type { ProducerKey } from '../../lib/core/names.ts'
import { segmentIdAt } from '../../lib/core/names.ts'
import type { ProducerState } from '../../lib/core/producer.ts'
import type { ChunkReference } from '../../lib/core/reference.ts'
import { encodeReference } from '../../lib/core/reference.ts'
import { createLog } from '../../lib/log/create-log.ts'
import { appended, createTopic, readAll } from '../conformance/log-fixture.ts'
import { append, created, newKey } from '../conformance/metadata-fixture.ts'
import { FaultyNetwork } from './network.ts'
import { engines, networkOf, newBucket, newTable, pairs, shared } from './stores.ts'

const reference = (): ChunkReference =>
  encodeReference({
    segment: segmentIdAt(Date.now(), Math.random),
    position: 3_000_000,
    lengthBytes: 100_000,
    maxTimestampMs: Date.now(),
  })

const fullState: ProducerState = {
  epoch: 12,
  batches: Array.from({ length: 5 }, (_, index) => ({
    first: 1_000_000 + index * 500,
    last: 1_000_499 + index * 500,
    base: 4_000_000_000 + index * 500,
  })),
}

/** A head as large as work makes it: twice the entries that make a writer roll, and every producer's slot taken. */
function heavyHead(): Head {
  return {
    ...newHead(newKey()),
    hw: 5_000_000_000,
    start: 4_000_000_000,
    boundary: 4_999_999_000,
    rolls: 600_000,
    tail: Object.fromEntries(
      Array.from({ length: 2 * tailEntriesToRoll.heavy }, (_, index) => [reference(), 4_999_999_000 + index]),
    ),
    producers: Object.fromEntries(
      Array.from({ length: headProducersMax }, (_, index) => [String(1_000_000 + index), fullState]),
    ) as Record<ProducerKey, ProducerState>,
    lease: { owner: 'x'.repeat(36), epoch: 1_000, untilMs: Date.now(), isExclusive: false },
    leaseEpoch: 1_000,
    minSegment: segmentIdAt(0, Math.random),
  }
}

/** As many chunks as one command takes, each of a producer of its own whose slot is full. */
const largestAppend: HeadCommand = {
  kind: 'append',
  chunks: Array.from({ length: chunksPerAppendMax }, (_, index): AppendChunk => {
    const key = `~${'k'.repeat(43)}${index}` as ProducerKey
    const claim = { epoch: 12, first: 0, last: 999_999 }
    return { ref: reference(), count: 1_000_000 + index, producer: { key, claim, home: 'head', seen: fullState } }
  }),
  seen: 1e9,
  expectedHw: 1e15,
  leaseSeen: 1e9,
}
const largestRoll: HeadCommand = {
  kind: 'roll',
  generation: 1e9,
  refs: Array.from({ length: tailEntriesMax }, reference),
}

test('the largest append and the largest roll take less than half of what an expression may have', () => {
  for (const command of [largestAppend, largestRoll]) {
    const { ConditionExpression, UpdateExpression } = headUpdate(command)
    for (const expression of [ConditionExpression, UpdateExpression])
      assert.ok(expression.length < expressionBytesMax / 2)
  }
})

for (const engine of engines.dynamodb)
  describe(`heads on DynamoDB of ${engine.name}`, () => {
    const table = shared(() => newTable(engine))

    test('a head as large as work makes it is billed two units an update, and its read one', async (t) => {
      const consumed: [string, number][] = []
      const metadata = (await table()).open({ onConsumed: (action, units) => consumed.push([action, units]) })
      const head = heavyHead()
      await metadata.createHead(head)
      const ref = reference()
      const answer = await metadata.updateHead(head, { ...append(ref), seen: head.rolls, leaseSeen: 1_000 })
      assert.equal(answer.applied, true)
      await metadata.readHead(head)
      t.diagnostic(JSON.stringify(consumed))
      assert.deepEqual(consumed, [
        ['PutItem', 2],
        ['UpdateItem', 2],
        ['GetItem', 1],
      ])
    })

    test('an update is billed by the size of the whole item', async (t) => {
      let units = 0
      const metadata = (await table()).open({ onConsumed: (_, of) => (units = of) })
      const tail = Array.from({ length: tailEntriesMax - 1 }, (_, index) => [reference(), 4_999_999_000 + index])
      const head: Head = { ...newHead(newKey()), hw: 5_000_000_000, tail: Object.fromEntries(tail) }
      await metadata.createHead(head)
      assert.equal((await metadata.updateHead(head, append(reference()))).applied, true)
      t.diagnostic(`${units} units`)
      assert.equal(units, 4)
    })

    test('the largest append and the largest roll are understood', async () => {
      const metadata = (await table()).open()
      const key = await created(metadata)
      for (const command of [largestAppend, largestRoll])
        assert.deepEqual(await metadata.updateHead(key, command), { applied: false, head: newHead(key), items: [] })
    })
  })

for (const { s3, dynamodb } of pairs)
  describe(`the cost of the log on S3 of ${s3.name} and DynamoDB of ${dynamodb.name}`, () => {
    test('a produce is one put and one update, a fetch at most two metadata reads and its data, however long the log is', async (t) => {
      const [bucket, table] = await Promise.all([newBucket(s3), newTable(dynamodb)])
      const [toS3, toDynamoDb] = [new FaultyNetwork(networkOf(s3)), new FaultyNetwork(networkOf(dynamodb))]
      let units = 0
      const ports = () => ({
        objects: bucket.open({ requestHandler: toS3 }),
        metadata: table.open({ requestHandler: toDynamoDb, onConsumed: (_, of) => (units += of) }),
        clock: systemClock,
        random: Math.random,
        codecs: nodeCodecs,
      })
      const log = createLog(ports(), { retryDelayMs: 1 })
      await createTopic(log, 1, { 'chunk.placement': 'segment' })
      const measured = async (act: () => Promise<unknown>) => {
        await log.settled()
        toS3.sent.length = 0
        toDynamoDb.sent.length = 0
        units = 0
        await act()
        return { s3: [...toS3.sent], dynamodb: [...toDynamoDb.sent], units }
      }
      await appended(log, ['first'])
      let written = 1
      for (const length of [2, 200, 600]) {
        while (written < length - 1) {
          await Promise.all(Array.from({ length: 4 }, () => appended(log, [`${written++}`])))
          await log.settled()
        }
        const produce = await measured(() => appended(log, ['one more']))
        written++
        // Another process, which has cached nothing but what every fetch asks again.
        const other = createLog(ports(), {})
        await other.describeTopic('orders')
        const read = (offset: number) =>
          measured(async () =>
            assert.ok((await other.fetch({ topic: 'orders', partition: 0, offset, bytesMax: 1 })).ok),
          )
        const oldest = await read(0)
        const newest = await read(written - 1)
        await other.close()
        t.diagnostic(`after ${length} appends: ${JSON.stringify({ produce, oldest, newest })}`)
        assert.deepEqual(produce.s3, ['PUT'])
        assert.equal(produce.dynamodb.filter((action) => action === 'UpdateItem').length, 1)
        assert.ok(produce.dynamodb.length <= 2, 'at most the read of the head beside it')
        for (const fetched of [oldest, newest]) {
          assert.ok(fetched.dynamodb.length <= 2)
          assert.deepEqual(fetched.s3, ['GET'])
        }
        assert.ok(produce.units <= 2)
        // The head is one unit, the query's eight rows of one roll each are two.
        assert.ok(oldest.units <= 3 && newest.units <= 3)
      }
      await log.close()
      await Promise.all([bucket.delete(), table.delete()])
    })

    test('200 produces at once to one partition, of four processes: every record once, dense offsets', async (t) => {
      const [bucket, table] = await Promise.all([newBucket(s3), newTable(dynamodb)])
      const toDynamoDb = new FaultyNetwork(networkOf(dynamodb))
      const processes = Array.from({ length: 4 }, () =>
        createLog(
          {
            objects: bucket.open(),
            metadata: table.open({ requestHandler: toDynamoDb }),
            clock: systemClock,
            random: Math.random,
            codecs: nodeCodecs,
          },
          { retryDelayMs: 1, lingerMs: 0 },
        ),
      )
      await createTopic(processes[0]!)
      const values = Array.from({ length: 200 }, (_, index) => `record ${index}`)
      const offsets = await Promise.all(values.map((value, index) => appended(processes[index % 4]!, [value])))
      const read = await readAll(processes[0]!)
      assert.equal(read.length, 200)
      for (const [index, value] of values.entries()) assert.equal(read[offsets[index]!], value)
      t.diagnostic(`${toDynamoDb.sent.filter((action) => action === 'UpdateItem').length} updates`)
      for (const log of processes) await log.close()
      await Promise.all([bucket.delete(), table.delete()])
    })
  })
