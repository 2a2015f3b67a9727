/**
 * Passes of key compaction over a million keys on a data directory: how fast they go, and what they hold in memory. Not a comparison
 * with a bare program, therefore no figure of the table.
 */
import { nativeCodecs as codecs } from '../../lib/adapters/codecs-native.ts'
import { openDataDirectory } from '../../lib/adapters/local/data-directory.ts'
import { systemRandom as random, systemClock } from '../../lib/adapters/system.ts'
import { encodeBatch } from '../../lib/core/record-batch.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Clock } from '../../lib/ports.ts'

const keys = 1_000_000
const recordsPerBatch = 2_000

/** The system's clock, which looks at every turn how much memory the process has. */
class WatchingClock implements Clock {
  rssMax = 0
  now = systemClock.now
  sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    this.rssMax = Math.max(this.rssMax, process.memoryUsage.rss())
    return systemClock.sleep(durationMs, signal)
  }
}

/** Each key once, in another order each round. */
function* batches(round: number): Generator<Uint8Array> {
  for (let at = 0; at < keys; at += recordsPerBatch) {
    const records = Array.from({ length: recordsPerBatch }, (_, index) => {
      const key = ((at + index) * 7_919 + round * 104_729) % keys
      const value = JSON.stringify({
        id: key,
        round,
        seen: Math.imul(key + round, 0x9e3779b1) >>> 0,
        name: `customer ${key % 977} of ${key}`,
        status: ['created', 'paid', 'shipped'][(key + round) % 3],
      })
      return { timestampMs: Date.now(), key: Buffer.from(`customer-${key}`), value: Buffer.from(value) }
    })
    yield encodeBatch({ records, compression: 'none' }, codecs)
  }
}

export async function compactionTable(directory: string): Promise<string> {
  const stores = await openDataDirectory(directory)
  const clock = new WatchingClock()
  const settings = { mergeQuietMs: 0, isSoleProcess: true, chunkCacheBytesMax: 0, compactionKeysMax: keys }
  const log = createLog({ ...stores, clock, random, codecs }, settings)
  const configs = { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0', 'chunk.placement': 'segment' }
  await log.createTopic({ name: 't', partitions: 1, configs })
  const lines = [
    '| pass | records read | that went | keys in the map | map, MB | MB stored before | after | s | records/s | CPU µs a record | memory before, MB | most during it |',
    '|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|',
  ]
  for (let round = 0; round < 3; round++) {
    for (const batch of batches(round)) {
      const appended = await log.append({ topic: 't', partition: 0, batches: batch })
      if (!appended.ok) throw new Error(appended.message)
    }
    await log.settled()
    for (let rolls = 0; rolls < 2; rolls++) await log.roll('t', 0)
    while (true) {
      const merged = await log.merge('t', 0)
      if (!merged.ok || merged.rows === 0) break
    }
    globalThis.gc?.()
    const before = process.memoryUsage.rss()
    clock.rssMax = before
    const cpu = process.cpuUsage()
    const startedMs = performance.now()
    const answer = await log.compact('t', 0)
    const seconds = (performance.now() - startedMs) / 1_000
    const { user, system } = process.cpuUsage(cpu)
    if (!answer.ok || answer.pass === undefined) throw new Error('no pass')
    const { pass } = answer
    const records = (round === 0 ? 1 : 2) * keys
    const mb = (bytes: number) => (bytes / 1e6).toFixed(0)
    const cells = [
      round + 1,
      records.toLocaleString('en'),
      pass.recordsRemoved.toLocaleString('en'),
      pass.keys.toLocaleString('en'),
      mb(pass.mapBytes),
      mb(pass.bytesBefore),
      mb(pass.bytesAfter),
      seconds.toFixed(1),
      Math.round(records / seconds).toLocaleString('en'),
      ((user + system) / records).toFixed(1),
      mb(before),
      mb(clock.rssMax),
    ]
    lines.push(`| ${cells.join(' | ')} |`)
  }
  await log.close()
  await stores.close()
  return lines.join('\n')
}
