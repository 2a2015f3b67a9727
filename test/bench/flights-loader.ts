/**
 * Three million flights (vega-datasets) through the client's producer, read back and compared; and the same rows written to
 * a plain file.
 */
import { open } from 'node:fs/promises'
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { nativeCodecs } from '../../lib/adapters/codecs-native.ts'
import { Highwater } from '../../lib/client/highwater.ts'
import { answerCalls } from './child.ts'

const dataPath = new URL('../../node_modules/vega-datasets/data/flights-3m.parquet', import.meta.url).pathname
const rowsPerRead = 100_000
const rowsInFile = 3_000_000
const partitions = 6
const journalBytes = 1_048_576

interface Flight {
  readonly date: Date
  readonly delay: bigint
  readonly distance: bigint
  readonly origin: string
  readonly destination: string
}

/** Of each key: how many values, and a checksum of them in their order. */
type Sums = Map<string, { count: number; crc: number }>

export interface Loading {
  readonly seconds: number
  readonly rows: number
  readonly bytes: number
}

let sent: Sums = new Map()

async function* flights(rows: number): AsyncGenerator<{ key: string; value: Buffer }[]> {
  const file = await asyncBufferFromFile(dataPath)
  for (let rowStart = 0; rowStart < Math.min(rows, rowsInFile); rowStart += rowsPerRead) {
    const read = (await parquetReadObjects({
      file,
      compressors,
      rowStart,
      rowEnd: Math.min(rowStart + rowsPerRead, rows),
    })) as unknown as Flight[]
    yield read.map(({ date, delay, distance, origin, destination }) => ({
      key: origin,
      value: Buffer.from(
        JSON.stringify({ date, delay: Number(delay), distance: Number(distance), origin, destination }),
      ),
    }))
  }
}

function add(sums: Sums, key: string, value: Uint8Array): void {
  const sum = sums.get(key)
  if (sum === undefined) sums.set(key, { count: 1, crc: nativeCodecs.crc32c(value) })
  else {
    sum.count++
    sum.crc = nativeCodecs.crc32c(value, sum.crc)
  }
}

answerCalls({
  async produce({ port, topic, rows }: { port: number; topic: string; rows: number }): Promise<Loading> {
    const highwater = new Highwater({ url: `http://127.0.0.1:${port}` })
    await highwater.admin.createTopic(topic, { partitions })
    const producer = highwater.producer()
    sent = new Map()
    let bytes = 0
    let count = 0
    let acknowledged = 0
    let failure: unknown
    const startedMs = performance.now()
    for await (const read of flights(rows)) {
      for (const { key, value } of read) {
        bytes += key.length + value.length
        count++
        add(sent, key, value)
        producer.send({ topic, key, value }).then(
          () => acknowledged++,
          (error: unknown) => {
            failure ??= error
          },
        )
        if (!producer.isReady) await producer.ready
      }
    }
    await producer.close()
    const seconds = (performance.now() - startedMs) / 1_000
    if (failure !== undefined || acknowledged !== count)
      throw new Error(`${acknowledged} of ${count} were acknowledged: ${failure}`)
    return { seconds, rows: count, bytes }
  },

  /** Reads the topic from its start and compares: how many of each key, and their values in order. */
  async verify({ port, topic }: { port: number; topic: string }): Promise<Loading> {
    const highwater = new Highwater({ url: `http://127.0.0.1:${port}` })
    const found: Sums = new Map()
    const texts = new TextDecoder()
    let rows = 0
    let bytes = 0
    const startedMs = performance.now()
    for (let partition = 0; partition < partitions; partition++) {
      const reader = highwater.reader({ topic, partition, waitMs: 0, bytesMax: 4_194_304 })
      let expected = 0
      for (let records = await reader.poll(); records !== undefined; records = await reader.poll()) {
        for (const { key, value, offset } of records) {
          if (offset !== expected++)
            throw new Error(`offset ${offset} of partition ${partition} comes after ${expected}`)
          if (key === null || value === null) throw new Error(`offset ${offset} has no key or no value`)
          add(found, texts.decode(key), value)
          rows++
          bytes += key.length + value.length
        }
        if (reader.lag === 0) break
      }
      await reader.return()
    }
    const seconds = (performance.now() - startedMs) / 1_000
    for (const [key, sum] of sent) {
      const stored = found.get(key)
      if (stored?.count !== sum.count || stored.crc !== sum.crc)
        throw new Error(`${key}: sent ${JSON.stringify(sum)}, stored ${JSON.stringify(stored)}`)
    }
    if (found.size !== sent.size) throw new Error(`${found.size} keys are stored, ${sent.size} were sent`)
    return { seconds, rows, bytes }
  },

  /** The same rows as lines of one file, synced after each megabyte. */
  async write({ path, rows }: { path: string; rows: number }): Promise<Loading> {
    const file = await open(path, 'w')
    let parts: Buffer[] = []
    let partsBytes = 0
    let bytes = 0
    let count = 0
    const flush = async () => {
      await file.writev(parts)
      await file.sync()
      parts = []
      partsBytes = 0
    }
    const startedMs = performance.now()
    for await (const read of flights(rows))
      for (const { key, value } of read) {
        bytes += key.length + value.length
        count++
        nativeCodecs.crc32c(value)
        parts.push(value)
        partsBytes += value.length
        if (partsBytes > journalBytes) await flush()
      }
    await flush()
    await file.close()
    return { seconds: (performance.now() - startedMs) / 1_000, rows: count, bytes }
  },
})
