/**
 * What it costs to compress in merges, and what it saves: the same run of batches merged once for each `merge.compression.type`, in memory.
 * Not a comparison with a bare program, therefore no figure of the table.
 */
import { nativeCodecs as codecs } from '../../lib/adapters/codecs-native.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { systemRandom as random, systemClock } from '../../lib/adapters/system.ts'
import { decodeBatch, encodeBatch } from '../../lib/core/record-batch.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Log } from '../../lib/log/log.ts'
import type { Clock } from '../../lib/ports.ts'

const runBytes = 16 * 2 ** 20
const compressions = ['producer', 'zstd', 'lz4', 'snappy', 'gzip'] as const

/** Half of it as in every other record, half of its own: as events are. */
function record(number: number, bytes: number) {
  const value = {
    type: 'order-changed',
    id: Math.imul(number, 0x9e3779b1) >>> 0,
    user: `user-${number % 997}`,
    at: new Date(1_700_000_000_000 + number * 37).toISOString(),
    status: ['created', 'paid', 'shipped'][number % 3],
  }
  let text = JSON.stringify(value)
  for (let item = 0; text.length < bytes; item++)
    text += JSON.stringify({
      sku: Math.imul(number + item, 0x85ebca6b) >>> 0,
      name: 'a bottle of steel',
      quantity: item,
    })
  return { timestampMs: 1_700_000_000_000 + number, key: Buffer.from(`k${number % 1_000}`), value: Buffer.from(text) }
}

export async function recompressionTable(): Promise<string> {
  const lines = [
    '| batches as they come | merged to | MB/s | CPU s/GB | a turn, CPU ms | of its bytes | records a batch | read, MB/s | read, CPU s/GB |',
    '|:--|:--|--:|--:|--:|--:|--:|--:|--:|',
  ]
  for (const [recordBytes, recordsPerBatch] of [
    [150, 1],
    [1_000, 1],
    [1_000, 100],
  ] as const)
    for (const compression of compressions) {
      const what = `${recordsPerBatch === 1 ? 'one record' : `${recordsPerBatch} records`} of ${recordBytes} bytes`
      const merged = await mergeOnce(recordBytes, recordsPerBatch, compression)
      lines.push(`| ${what} | ${compression === 'producer' ? 'as they came' : compression} | ${merged.join(' | ')} |`)
    }
  return lines.join('\n')
}

/** The system's clock, which remembers how long the process worked between its sleeps. */
class TurnClock implements Clock {
  readonly turnsMs: number[] = []
  #since = process.cpuUsage()
  now = systemClock.now
  async sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    this.turnsMs.push(cpuSecondsSince(this.#since) * 1_000)
    await systemClock.sleep(durationMs, signal)
    this.#since = process.cpuUsage()
  }
}

async function mergeOnce(recordBytes: number, recordsPerBatch: number, compression: string): Promise<string[]> {
  const stores = { objects: new MemoryObjects(), metadata: new MemoryMetadata() }
  const settings = { mergeQuietMs: 0, mergeRowsMin: 2, topicAgeMsMax: 60_000 }
  const writer = createLog({ ...stores, clock: systemClock, random, codecs }, settings)
  const configs = { 'chunk.placement': 'segment', 'merge.compression.type': compression }
  await writer.createTopic({ name: 't', partitions: 1, configs })
  let number = 0
  for (let bytes = 0; bytes < runBytes; ) {
    const batches = Array.from({ length: recordsPerBatch === 1 ? 4 : 1 }, () => {
      const records = Array.from({ length: recordsPerBatch }, () => record(number++, recordBytes))
      return encodeBatch({ records, compression: 'none' }, codecs)
    })
    await Promise.all(batches.map((batch) => writer.append({ topic: 't', partition: 0, batches: batch })))
    for (const batch of batches) bytes += batch.byteLength
  }
  await writer.settled()
  const clock = new TurnClock()
  const log = createLog({ ...stores, clock, random, codecs }, settings)
  const before = await readAll(log)
  const cpu = process.cpuUsage()
  const startedMs = performance.now()
  await clock.sleep(0)
  const merged = await log.merge('t', 0)
  await clock.sleep(0)
  const seconds = (performance.now() - startedMs) / 1_000
  const cpuSeconds = cpuSecondsSince(cpu)
  if (!merged.ok || merged.rows < 2) throw new Error(`nothing was merged: ${JSON.stringify(merged)}`)
  const after = await readAll(log)
  await writer.close()
  await log.close()
  const { bytes } = before
  return [
    (bytes / 1e6 / seconds).toFixed(0),
    (cpuSeconds / (bytes / 1e9)).toFixed(1),
    compression === 'producer' ? '' : (clock.turnsMs.sort((a, b) => a - b)[clock.turnsMs.length >> 1] ?? 0).toFixed(0),
    `${((after.bytes / bytes) * 100).toFixed(0)} %`,
    (number / after.batches).toFixed(0),
    (bytes / 1e6 / after.seconds).toFixed(0),
    (after.cpuSeconds / (bytes / 1e9)).toFixed(1),
  ]
}

/** Every record of the topic, decoded. */
async function readAll(log: Log): Promise<{ batches: number; bytes: number; seconds: number; cpuSeconds: number }> {
  const startedMs = performance.now()
  const cpu = process.cpuUsage()
  let [batches, bytes] = [0, 0]
  for (let offset = 0; ; ) {
    const fetched = await log.fetch({ topic: 't', partition: 0, offset })
    if (!fetched.ok) throw new Error(fetched.message)
    if (fetched.batches.length === 0)
      return { batches, bytes, seconds: (performance.now() - startedMs) / 1_000, cpuSeconds: cpuSecondsSince(cpu) }
    for (const given of fetched.batches) {
      bytes += given.byteLength
      for (let at = 0; at < given.byteLength; batches++) {
        const decoded = decodeBatch(given, at, codecs, 2 ** 26)
        if (!decoded.ok) throw new Error(decoded.message)
        at += decoded.header.sizeBytes
      }
    }
    offset = fetched.nextOffset
  }
}

function cpuSecondsSince(earlier: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(earlier)
  return (user + system) / 1e6
}
