/** A member that is given more partitions than one answer claims. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { systemClock } from '../../lib/adapters/system.ts'
import { createLog } from '../../lib/log/create-log.ts'
import { Member } from '../conformance/group-member.ts'

test('a member that is given more than one answer claims is told to come again, until it has all of it; each once', async () => {
  const log = createLog({
    objects: new MemoryObjects(),
    metadata: new MemoryMetadata(),
    clock: systemClock,
    random: Math.random,
    codecs: nodeCodecs,
  })
  assert.ok((await log.createTopic({ name: 'orders', partitions: 1_201 })).ok)
  const a = new Member(log, 'a')
  const told = [await a.join()]
  while (told.at(-1)?.isIncomplete) {
    assert.equal(told.at(-1)?.epoch, 0, 'what is not claimed yet is not known yet')
    told.push(await a.beat())
  }
  assert.deepEqual(
    told.map(({ assigned }) => assigned.length),
    [500, 500, 201],
  )
  assert.equal(a.held.size, 1_201)
  assert.ok((await a.commit(0, 1_200)).ok)
  await log.close()
})
