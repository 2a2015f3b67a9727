/**
 * Producers and readers of the soak, over HTTP. What a record holds follows from its partition and offset, so that whoever reads
 * any of them knows what must be there.
 */
import { randomBytes } from 'node:crypto'
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { nativeCodecs } from '../../lib/adapters/codecs-native.ts'
import type { LogRecord, NewRecord } from '../../lib/core/record.ts'
import { decodeBatch, encodeBatch } from '../../lib/core/record-batch.ts'
import { rawType } from './produce.ts'

const agent = new Agent({ keepAlive: true })
const noise = randomBytes(1_048_576)
const firstTimestampMs = Date.now()
/** One append of so many is large enough for a segment. */
const largeEvery = 16
const largeRecords = 40

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** 200 to 1,000 bytes of noise that begin with partition and offset. */
function recordAt(partition: number, offset: number): NewRecord {
  const length = 200 + ((offset * 7_919) % 801)
  const value = Buffer.from(noise.subarray((offset * 104_729) % (noise.length - 1_000)).subarray(0, length))
  value.writeUInt32BE(partition, 0)
  value.writeUInt32BE(offset, 4)
  return { timestampMs: firstTimestampMs + offset, key: Buffer.from(`${partition}-${offset}`), value }
}

/** Counts what it does; ends at the first thing that is wrong, by throwing. */
export class SoakLoad {
  readonly #url: string
  readonly #partitions: number
  readonly #next: number[]
  #isOver = false
  appends = 0
  records = 0
  bytes = 0
  /** Records that readers compared while they were written. */
  recordsRead = 0
  readonly latenciesMs: number[] = []

  constructor(port: number, topic: string, partitions: number) {
    this.#url = `http://127.0.0.1:${port}/topics/${topic}/partitions`
    this.#partitions = partitions
    this.#next = Array.from({ length: partitions }, () => 0)
  }

  /** One producer and two readers a partition, until `seconds` have passed. */
  async run(seconds: number, appendsPerSecond: number): Promise<void> {
    const over = setTimeout(() => {
      this.#isOver = true
    }, seconds * 1_000)
    const everyMs = (1_000 * this.#partitions) / appendsPerSecond
    const partitions = Array.from({ length: this.#partitions }, (_, partition) => partition)
    try {
      await Promise.all(
        partitions.flatMap((partition) => [
          this.#produce(partition, everyMs),
          this.#readTail(partition),
          this.#readAnywhere(partition),
        ]),
      )
    } finally {
      this.#isOver = true
      clearTimeout(over)
    }
  }

  /** Everything from the log start on, compared; how many records that were. */
  async readAll(): Promise<number> {
    let records = 0
    for (const [partition, end] of this.#next.entries())
      for (let offset = await this.#start(partition); offset < end; ) {
        const next = this.#compare(partition, offset, await this.#read(partition, offset, 1_048_576))
        if (next <= offset) throw new Error(`partition ${partition} ends at ${offset} instead of ${end}`)
        records += next - offset
        offset = next
      }
    return records
  }

  async #produce(partition: number, everyMs: number): Promise<void> {
    let dueMs = performance.now() + everyMs * Math.random()
    for (let append = 0; !this.#isOver; append++) {
      const first = this.#next[partition]!
      const count = append % largeEvery === largeEvery - 1 ? largeRecords : 1 + (append % 3)
      const records = Array.from({ length: count }, (_, index) => recordAt(partition, first + index))
      const body = encodeBatch({ compression: 'none', records }, nativeCodecs)
      const sentMs = performance.now()
      const answer = await ask(`${this.#url}/${partition}`, body)
      this.latenciesMs.push(performance.now() - sentMs)
      const { base_offset: base } = JSON.parse(answer.body.toString()) as { base_offset?: number }
      if (answer.status !== 200 || base !== first)
        throw new Error(`offset ${first} of partition ${partition} was answered with ${answer.body}`)
      this.#next[partition] = first + count
      this.appends++
      this.records += count
      this.bytes += body.byteLength
      dueMs = Math.max(dueMs + everyMs, performance.now() - 1_000)
      await pause(dueMs - performance.now())
    }
  }

  async #readTail(partition: number): Promise<void> {
    for (let offset = 0; !this.#isOver; ) {
      const next = this.#compare(partition, offset, await this.#read(partition, offset, 1_048_576, 500))
      this.recordsRead += next - offset
      offset = next
    }
  }

  /** Old records, where merges, retention and the sweep are at work. */
  async #readAnywhere(partition: number): Promise<void> {
    while (!this.#isOver) {
      await pause(100)
      const end = this.#next[partition]!
      if (end === 0) continue
      const start = await this.#start(partition)
      const offset = start + Math.floor(Math.random() * (end - start))
      const answer = await this.#read(partition, offset, 65_536)
      // The only excuse: retention came between.
      if (answer.status !== 200 && (await this.#start(partition)) > offset) continue
      const next = this.#compare(partition, offset, answer)
      if (next <= offset) throw new Error(`nothing at offset ${offset} of partition ${partition}, below ${end}`)
      this.recordsRead += next - offset
    }
  }

  async #start(partition: number): Promise<number> {
    const answer = await this.#read(partition, Math.max(0, this.#next[partition]! - 1), 1)
    return Number(answer.headers['highwater-start-offset'])
  }

  #read(partition: number, offset: number, bytesMax: number, timeoutMs = 0): Promise<Answer> {
    return ask(`${this.#url}/${partition}/records?offset=${offset}&max_bytes=${bytesMax}&timeout=${timeoutMs}`)
  }

  /** Every record from `offset` on is the one that was written there. @returns the offset after the last */
  #compare(partition: number, offset: number, { status, headers, body }: Answer): number {
    if (status !== 200)
      throw new Error(`offset ${offset} of partition ${partition} was answered with ${status}: ${body}`)
    let expected = offset
    for (let at = 0; at < body.length; ) {
      const batch = decodeBatch(body, at, nativeCodecs, 1_048_576)
      if (!batch.ok) throw new Error(`a batch from offset ${offset} of partition ${partition} on: ${batch.message}`)
      for (const record of batch.records) {
        if (record.offset < offset) continue
        if (record.offset !== expected || !isRecordAt(partition, record))
          throw new Error(`partition ${partition} has another record at offset ${expected}`)
        expected++
      }
      at += batch.header.sizeBytes
    }
    const next = Number(headers['highwater-next-offset'])
    if (next !== expected) throw new Error(`partition ${partition}: ${next} is said to follow ${expected - 1}`)
    return expected
  }
}

function isRecordAt(partition: number, { offset, timestampMs, key, value }: LogRecord): boolean {
  const wanted = recordAt(partition, offset)
  return (
    timestampMs === wanted.timestampMs &&
    Buffer.compare(key ?? noise, wanted.key ?? noise) === 0 &&
    Buffer.compare(value ?? noise, wanted.value ?? noise) === 0
  )
}

/** Bytes of all partitions, one connection each, a mebibyte at a time, by offsets that the answers tell. */
export async function readWhole(port: number, topic: string, partitions: number): Promise<number> {
  const read = await Promise.all(
    Array.from({ length: partitions }, async (_, partition) => {
      let bytes = 0
      for (let offset = 0; ; ) {
        const path = `topics/${topic}/partitions/${partition}/records?offset=${offset}&max_bytes=1048576`
        const { body, headers } = await ask(`http://127.0.0.1:${port}/${path}`)
        bytes += body.length
        offset = Number(headers['highwater-next-offset'])
        if (offset >= Number(headers['highwater-high-watermark'])) return bytes
      }
    }),
  )
  return read.reduce((sum, bytes) => sum + bytes, 0)
}

/** The same number of bytes from the bare server, over as many connections. */
export async function readBare(port: number, bytesWanted: number, connections: number): Promise<number> {
  let bytes = 0
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (bytes < bytesWanted) bytes += (await ask(`http://127.0.0.1:${port}/bytes`)).body.length
    }),
  )
  return bytes
}

function ask(url: string, body?: Uint8Array): Promise<Answer> {
  const headers = body === undefined ? { accept: rawType } : { 'content-type': rawType, 'content-length': body.length }
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { method: body === undefined ? 'GET' : 'POST', agent, headers }, (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) }),
      )
      response.on('error', reject)
    })
    request.on('error', reject)
    request.end(body)
  })
}

function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, durationMs)))
}
