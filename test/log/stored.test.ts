import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { systemClock, systemRandom } from '../../lib/adapters/system.ts'
import { rowsCollection } from '../../lib/core/items.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Log } from '../../lib/log/log.ts'

function newLog(metadata = new MemoryMetadata()): Log {
  return createLog(
    {
      objects: new MemoryObjects(),
      metadata,
      clock: systemClock,
      random: systemRandom,
      codecs: nodeCodecs,
    },
    { isSoleProcess: true, mergeRowsMin: 2, mergeQuietMs: 0 },
  )
}

async function fill(log: Log, topic: string, partitions: number, appends: number): Promise<number> {
  let bytes = 0
  for (let partition = 0; partition < partitions; partition++)
    for (let count = 0; count < appends; count++) {
      const produced = await log.produce({ topic, records: [{ key: null, value: new Uint8Array(500), partition }] })
      assert.ok(produced.ok)
      const fetched = await log.fetch({ topic, partition, offset: count, recordsMax: 1 })
      assert.ok(fetched.ok)
      bytes += fetched.batches[0]?.byteLength ?? 0
    }
  await log.settled()
  return bytes
}

const storedOf = async (log: Log, limits = {}) => {
  const answer = await log.stored(limits)
  assert.ok(answer.ok)
  return answer.stored
}

describe('what is stored', () => {
  test('is every byte of every batch once: in the tail, in rows, inline or in objects, merged or not', async () => {
    const log = newLog()
    await log.createTopic({ name: 'inline', partitions: 2, configs: { 'chunk.placement': 'inline' } })
    await log.createTopic({ name: 'objects', partitions: 1, configs: { 'chunk.placement': 'segment' } })
    const inline = await fill(log, 'inline', 2, 40)
    const objects = await fill(log, 'objects', 1, 20)
    const { topics, isWhole } = await storedOf(log)
    assert.equal(isWhole, true)
    const [first, second] = topics
    assert.deepEqual([first?.name, first?.objectBytes, first?.inlineBytes], ['inline', 0, inline])
    assert.deepEqual([second?.name, second?.objectBytes, second?.inlineBytes], ['objects', objects, 0])

    const merged = await log.merge('inline', 0)
    assert.ok(merged.ok && merged.rows > 0)
    const after = (await storedOf(log)).topics[0]
    assert.ok(after !== undefined && after.objectBytes > 0 && after.inlineBytes < inline)
  })

  test('is read of no more partitions and rows than it may, and said not to be whole then', async () => {
    const metadata = new MemoryMetadata()
    const log = newLog(metadata)
    const created = await log.createTopic({ name: 't', partitions: 3 })
    assert.ok(created.ok)
    await fill(log, 't', 3, 20)
    let rows = 0
    for (let partition = 0; partition < 3; partition++)
      rows += (await metadata.query(rowsCollection(created.topic.id, partition), { limit: 100 })).length
    assert.ok(rows >= 3)
    for (const [limits, isWhole] of [
      [{ partitionsMax: 2 }, false],
      [{ partitionsMax: 3 }, true],
      [{ partitionsMax: 4 }, true],
      [{ rowsMax: rows - 1 }, false],
      [{ rowsMax: rows }, true],
      [{ rowsMax: rows + 1 }, true],
    ] as const)
      assert.equal((await storedOf(log, limits)).isWhole, isWhole, JSON.stringify(limits))
  })
})
