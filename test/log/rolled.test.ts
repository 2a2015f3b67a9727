import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { systemClock, systemRandom } from '../../lib/adapters/system.ts'
import { newHead } from '../../lib/core/head.ts'
import type { TopicId } from '../../lib/core/names.ts'
import { rolledMax } from '../../lib/log/context.ts'
import { createEngine } from '../../lib/log/engine.ts'
import { adminPart } from '../../lib/log/part-admin.ts'
import { producePart } from '../../lib/log/part-produce.ts'
import { rollPartition } from '../../lib/log/roll.ts'
import { batchOf } from '../conformance/log-fixture.ts'

/** Whether a roll is kept in mind by a process that has `before` others in mind already. */
async function isKept(before: number): Promise<boolean> {
  const stores = { objects: new MemoryObjects(), metadata: new MemoryMetadata() }
  const { engine, base } = createEngine(
    { ...stores, clock: systemClock, random: systemRandom, codecs: nodeCodecs },
    { lingerMs: 0 },
  )
  const other = newHead({ topicId: 'of another topic' as TopicId, partition: 0 })
  for (let partition = 0; partition < before; partition++) engine.context.rolled.set(`${partition}`, other)
  const created = await adminPart(engine).createTopic({ name: 't' })
  assert.ok(created.ok)
  const key = { topicId: created.topic.id, partition: 0 }
  const appended = await producePart(engine).append({ topic: 't', partition: 0, batches: batchOf(['v']) })
  assert.ok(appended.ok)
  // The first roll draws the line, the second moves what lies below it.
  await rollPartition(engine.context, key)
  assert.equal(await rollPartition(engine.context, key), 1)
  await base.close()
  return engine.context.rolled.size === before + 1
}

test('a process keeps so many partitions in mind for its next merges, and no more', async () => {
  assert.equal(await isKept(rolledMax - 1), true)
  assert.equal(await isKept(rolledMax), false)
})
