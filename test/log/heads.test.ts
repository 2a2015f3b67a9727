/** How often a process reads the heads that it commits to. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { systemRandom } from '../../lib/adapters/system.ts'
import type { Settings } from '../../lib/core/settings.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Log } from '../../lib/log/log.ts'
import { batchOf } from '../conformance/log-fixture.ts'

async function twoProcesses(settings: Partial<Settings> = {}) {
  const stores = { objects: new MemoryObjects(), metadata: new MemoryMetadata() }
  let nowMs = 1_800_000_000_000
  const clock = {
    now: () => nowMs,
    sleep: async (durationMs: number) => {
      nowMs += durationMs
    },
  }
  const open = () => {
    const seen = { headsRead: 0, refused: [] as string[] }
    const observe = {
      count: (name: string, n: number) => {
        if (name === 'headsRead') seen.headsRead += n
      },
      commitRefused: (why: string) => {
        seen.refused.push(why)
      },
      time: () => {},
    }
    const ports = { ...stores, clock, random: systemRandom, codecs: nodeCodecs, observe }
    return { log: createLog(ports, { lingerMs: 0, ...settings }), seen }
  }
  const [one, other] = [open(), open()]
  assert.ok((await one.log.createTopic({ name: 't' })).ok)
  let appends = 0
  /** Appends to the one partition, each after so long, and everything that they led to. */
  const append = async (log: Log, times: number, gapMs: number) => {
    for (let i = 0; i < times; i++) {
      await clock.sleep(gapMs)
      const answer = await log.append({ topic: 't', partition: 0, batches: batchOf(['v']) })
      assert.deepEqual(answer.ok ? answer.baseOffset : answer, appends++)
      await log.settled()
    }
  }
  return { one, other, append }
}

test('a process that commits once a second reads the head no more when it has seen how slowly the partition rolls', async () => {
  const { one, append } = await twoProcesses()
  await append(one.log, 30, 1_000)
  assert.ok(one.seen.headsRead > 0)
  one.seen.headsRead = 0
  await append(one.log, 100, 1_000)
  assert.deepEqual(one.seen, { headsRead: 0, refused: [] })
})

test('a process that commits once a minute reads the head each time', async () => {
  const { one, append } = await twoProcesses()
  await append(one.log, 30, 60_000)
  assert.ok(one.seen.headsRead >= 30)
})

test('where others write much faster at once, an old head costs one refusal, and is believed for less time', async () => {
  const { one, other, append } = await twoProcesses()
  await append(one.log, 50, 1_000)
  await append(other.log, 40, 5)
  await append(one.log, 1, 1_000)
  assert.deepEqual(one.seen.refused, ['stale-generation'])
  await append(other.log, 40, 5)
  one.seen.headsRead = 0
  await append(one.log, 1, 1_000)
  assert.deepEqual(one.seen.refused, ['stale-generation'])
  assert.equal(one.seen.headsRead, 1)
})

test('where no head may be older than nothing, each commit reads it', async () => {
  const { one, append } = await twoProcesses({ headAgeMsMax: 0 })
  await append(one.log, 20, 1_000)
  assert.ok(one.seen.headsRead >= 20)
})
