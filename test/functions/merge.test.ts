/** The function that the table's stream calls, over memory. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DynamoDBStreamEvent } from 'aws-lambda'
import { composeMerge, rolledIn } from '../../functions/upkeep.ts'
import { MemoryMetadata } from '../../lib/adapters/memory.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { rowKey, rowsCollection } from '../../lib/core/items.ts'
import type { TopicId } from '../../lib/core/names.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { LogPorts } from '../../lib/log/log.ts'
import { batchOf } from '../conformance/log-fixture.ts'
import { contextOf, memoryPorts, partsOf, toldBy } from './fixture.ts'

/** As Lambda hands over what a stream of keys, or of images, tells. */
function eventOf(...changes: readonly (readonly [eventName: 'INSERT' | 'MODIFY' | 'REMOVE', pk: string])[]) {
  return {
    Records: changes.map(([eventName, pk], index) => ({
      eventID: `${index}`,
      eventName,
      eventSource: 'aws:dynamodb',
      awsRegion: 'eu-central-1',
      dynamodb: {
        Keys: { pk: { S: pk }, sk: { S: `${index}` } },
        SequenceNumber: `${index}`,
        StreamViewType: 'KEYS_ONLY',
      },
    })),
  } as DynamoDBStreamEvent
}

/** A topic of two partitions, the first of them with forty commits. */
async function filled(ports: LogPorts): Promise<TopicId> {
  const log = createLog(ports)
  const created = await log.createTopic({ name: 't', partitions: 2 })
  assert.ok(created.ok)
  for (let index = 0; index < 40; index++)
    assert.ok((await log.append({ topic: 't', partition: 0, batches: batchOf([`v${index}`]) })).ok)
  await log.settled()
  return created.topic.id
}

const soon = { mergeRowsMin: 2, mergeQuietMs: 0 }

test('rows are counted by partition, and all else that a stream tells is passed over', () => {
  const [a, b] = ['a' as TopicId, 'b' as TopicId]
  const event = eventOf(
    ['INSERT', rowKey(a, 0, 7).collection],
    ['MODIFY', rowsCollection(a, 1)],
    ['INSERT', rowsCollection(b, 12)],
    ['INSERT', rowsCollection(a, 0)],
    ['REMOVE', rowsCollection(b, 3)],
    ['INSERT', 'heads/a/0'],
    ['INSERT', 'inline/a/0'],
    ['INSERT', 'rows/a/x'],
  )
  assert.deepEqual(rolledIn(event), [
    { key: { topicId: a, partition: 0 }, rows: 2 },
    { key: { topicId: b, partition: 12 }, rows: 1 },
  ])
})

test('partitions to which rows came are merged, each once, however often an event names them', async () => {
  const ports = memoryPorts()
  const topicId = await filled(ports)
  const { telemetry, lines } = toldBy('merge')
  const merge = composeMerge(partsOf('merge', ports, telemetry, soon))
  const row = ['INSERT', rowsCollection(topicId, 0)] as const
  const round = await merge(eventOf(row, row, row), contextOf())
  assert.equal(round.partitions, 1)
  assert.ok(round.rowsMerged >= 2)
  assert.equal((await merge(eventOf(row), contextOf())).partitions, 0)
  const told = lines().filter((line) => 'PartitionsMaintained' in line)
  assert.equal(
    told.reduce((sum, line) => sum + Number(line.PartitionsMaintained), 0),
    1,
  )
})

test('what there is no time for is counted, kept in mind, and done by the next call', async () => {
  const ports = memoryPorts()
  const topicId = await filled(ports)
  const { telemetry, lines } = toldBy('merge')
  const merge = composeMerge(partsOf('merge', ports, telemetry, soon))
  const late = await merge(eventOf(['INSERT', rowsCollection(topicId, 0)]), contextOf(5_000))
  assert.deepEqual([late.partitions, late.left], [0, 1])
  const next = await merge(eventOf(['INSERT', rowsCollection(topicId, 1)]), contextOf())
  assert.deepEqual([next.partitions, next.left], [2, 0])
  assert.ok(lines().some((line) => line.PartitionsLeft === 1))
})

test('a store that does not answer is an error of the function: the stream is read again, and an alarm counts it', async () => {
  class Gone extends MemoryMetadata {
    override async query(): Promise<never> {
      throw new Unavailable('the table is gone', 'none')
    }
  }
  const { telemetry, lines } = toldBy('merge')
  const merge = composeMerge(partsOf('merge', { ...memoryPorts(), metadata: new Gone() }, telemetry))
  await assert.rejects(merge(eventOf(['INSERT', rowsCollection('a' as TopicId, 0)]), contextOf()), /the table is gone/)
  assert.ok(lines().some((line) => line.Errors === 1))
})
