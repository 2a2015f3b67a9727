/**
 * What it costs to compress in merges, and what it saves: the same run of batches merged for each `merge.compression.type`, in memory. All
 * times are processor time, medians of three rounds in turn; all bytes those of the batches as they came.
 * Not a comparison with a bare program, therefore no figure of the table.
 */
import { nativeCodecs as codecs } from '../../lib/adapters/codecs-native.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { systemRandom as random, systemClock } from '../../lib/adapters/system.ts'
import { decodeBatch, encodeBatch } from '../../lib/core/record-batch.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Log } from '../../lib/log/log.ts'
import type { Clock } from '../../lib/ports.ts'

const runBytes = 12 * 2 ** 20
const rounds = 3
const compressions = ['producer', 'zstd', 'lz4', 'gzip'] as const

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
    '| batches as they come | merged to | merged, MB/s | a turn, ms | bytes left | records a batch | read, MB/s |',
    '|:--|:--|--:|--:|--:|--:|--:|',
  ]
  for (const [recordBytes, recordsPerBatch] of [
    [150, 1],
    [1_000, 1],
    [1_000, 100],
  ] as const) {
    const measured = new Map(compressions.map((compression) => [compression, [] as Merged[]]))
    for (let round = 0; round < rounds; round++)
      for (const [compression, each] of measured) each.push(await mergeOnce(recordBytes, recordsPerBatch, compression))
    const what = `${recordsPerBatch === 1 ? 'one record' : `${recordsPerBatch} records`} of ${recordBytes} bytes`
    for (const [compression, each] of measured) {
      const of = (name: keyof Merged) => each.map((merged) => merged[name]).sort((a, b) => a - b)[rounds >> 1] ?? 0
      const isKept = compression === 'producer'
      lines.push(
        `| ${what} | ${isKept ? 'as they came' : compression} | ${of('megabytesPerSecond').toFixed(0)} | ${isKept ? '' : of('turnMs').toFixed(0)} | ${of('percentLeft').toFixed(0)} % | ${of('recordsPerBatch').toFixed(0)} | ${of('readMegabytesPerSecond').toFixed(0)} |`,
      )
    }
  }
  return lines.join('\n')
}

interface Merged {
  readonly megabytesPerSecond: number
  /** The median of what is done between two turns of others. */
  readonly turnMs: number
  readonly percentLeft: number
  readonly recordsPerBatch: number
  readonly readMegabytesPerSecond: number
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

async function mergeOnce(recordBytes: number, recordsPerBatch: number, compression: string): Promise<Merged> {
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
  await clock.sleep(0)
  const merged = await log.merge('t', 0)
  await clock.sleep(0)
  const cpuSeconds = cpuSecondsSince(cpu)
  if (!merged.ok || merged.rows < 2) throw new Error(`nothing was merged: ${JSON.stringify(merged)}`)
  const after = await readAll(log)
  await writer.close()
  await log.close()
  const { bytes } = before
  return {
    megabytesPerSecond: bytes / 1e6 / cpuSeconds,
    turnMs: clock.turnsMs.sort((a, b) => a - b)[clock.turnsMs.length >> 1] ?? 0,
    percentLeft: (after.bytes / bytes) * 100,
    recordsPerBatch: number / after.batches,
    readMegabytesPerSecond: bytes / 1e6 / after.cpuSeconds,
  }
}

/** Every record of the topic, decoded. */
async function readAll(log: Log): Promise<{ batches: number; bytes: number; cpuSeconds: number }> {
  const cpu = process.cpuUsage()
  let [batches, bytes] = [0, 0]
  for (let offset = 0; ; ) {
    const fetched = await log.fetch({ topic: 't', partition: 0, offset })
    if (!fetched.ok) throw new Error(fetched.message)
    if (fetched.batches.length === 0) return { batches, bytes, cpuSeconds: cpuSecondsSince(cpu) }
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
