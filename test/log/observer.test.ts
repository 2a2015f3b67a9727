import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { systemClock, systemRandom } from '../../lib/adapters/system.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Log } from '../../lib/log/log.ts'
import type { Observer } from '../../lib/log/observer.ts'

/** Adds up what it is told. */
class Tally implements Observer {
  readonly counts: Record<string, number> = {}
  readonly refusals: Record<string, number> = {}
  readonly steps = new Set<string>()
  count(name: string, n: number): void {
    this.counts[name] = (this.counts[name] ?? 0) + n
  }
  commitRefused(why: string): void {
    this.refusals[why] = (this.refusals[why] ?? 0) + 1
  }
  time(step: string, durationMs: number): void {
    assert.ok(durationMs >= 0)
    this.steps.add(step)
  }
}

class OnceLost extends MemoryMetadata {
  lost = 0
  override async updateHead(...args: Parameters<MemoryMetadata['updateHead']>) {
    const answer = await super.updateHead(...args)
    if (this.lost-- > 0) throw new Unavailable('the answer got lost', 'possible')
    return answer
  }
}

const encoder = new TextEncoder()
const produceTwo = (log: Log, options = {}) =>
  log.produce({
    topic: 't',
    records: [
      { key: null, value: encoder.encode('one') },
      { key: null, value: encoder.encode('two') },
    ],
    ...options,
  })

async function observedLog(metadata = new MemoryMetadata()) {
  const tally = new Tally()
  const stores = { objects: new MemoryObjects(), metadata }
  const ports = { ...stores, clock: systemClock, random: systemRandom, codecs: nodeCodecs }
  const settings = { lingerMs: 0, headAgeMsMax: 0, retryDelayMs: 1 }
  const log = createLog({ ...ports, observe: tally }, settings)
  assert.ok((await log.createTopic({ name: 't', configs: { 'chunk.placement': 'segment' } })).ok)
  return { tally, log, another: createLog(ports, settings) }
}

test('an observer is told of records, bytes, reads and steps, of a produce and of a fetch', async () => {
  const { tally, log } = await observedLog()
  assert.ok((await produceTwo(log)).ok)
  assert.equal(tally.counts.recordsAppended, 2)
  assert.equal(tally.counts.segmentsWritten, 1)
  assert.equal(tally.counts.headsRead, 1, 'the head is refreshed once, beside the upload')
  assert.deepEqual([...tally.steps], ['upload', 'commit'])

  const fetched = await log.fetch({ topic: 't', partition: 0, offset: 0 })
  assert.ok(fetched.ok)
  assert.equal(tally.counts.recordsFetched, 2)
  assert.equal(tally.counts.bytesFetched, tally.counts.bytesAppended)
  assert.deepEqual([...tally.steps].slice(2), ['head', 'rows', 'chunks'])
  await log.fetch({ topic: 't', partition: 0, offset: 2, waitMs: 100 })
  assert.ok(tally.steps.has('wait'))
})

test('an observer is told of a repeat as one, not as records', async () => {
  const { tally, log } = await observedLog()
  for (let i = 0; i < 2; i++) assert.ok((await produceTwo(log, { idempotencyKey: 'once' })).ok)
  assert.equal(tally.counts.recordsAppended, 2)
  assert.equal(tally.counts.recordsRepeated, 2)
})

test('an observer is told why a head refused a commit', async () => {
  const { tally, log } = await observedLog()
  assert.ok((await produceTwo(log)).ok)
  const answer = await produceTwo(log, { expectedOffset: 0 })
  assert.ok(answer.ok && answer.records.every((record) => !record.ok))
  assert.deepEqual(tally.refusals, { 'unexpected-offset': 1 })
})

test('an observer is told of a commit whose outcome was not known', async () => {
  const metadata = new OnceLost()
  const { tally, log } = await observedLog(metadata)
  metadata.lost = 1
  assert.ok((await produceTwo(log)).ok)
  assert.deepEqual(tally.refusals, { unknown: 1 })
  assert.equal(tally.counts.recordsAppended, 2)
})
