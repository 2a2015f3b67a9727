/** What the suites of the log's behaviour share: a log over ports that a factory gives, and words to write and read with. */
import assert from 'node:assert/strict'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import type { CompressionType } from '../../lib/core/codec.ts'
import type { LogRecord, NewRecord } from '../../lib/core/record-batch.ts'
import { decodeBatch, encodeBatch } from '../../lib/core/record-batch.ts'
import type { Settings } from '../../lib/core/settings.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Answer, Appended, AppendOptions, CreateTopicRequest, Fetched, Log } from '../../lib/log/log.ts'
import type { Clock, Metadata, Objects } from '../../lib/ports.ts'

export interface Stores {
  readonly objects: Objects
  readonly metadata: Metadata
  /** Of every topic that a test makes, beside its own. */
  readonly topicConfigs?: Readonly<Record<string, string>>
  close(): Promise<void>
}

export type StoresFactory = () => Promise<Stores>

/** A clock that runs with the real one and can be moved ahead. */
export class TestClock implements Clock {
  #aheadMs = 0
  now(): number {
    return Date.now() + this.#aheadMs
  }
  advance(durationMs: number): void {
    this.#aheadMs += durationMs
  }
  sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) return resolve()
      const finish = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', finish)
        resolve()
      }
      const timer = setTimeout(finish, durationMs)
      signal?.addEventListener('abort', finish)
    })
  }
}

export interface World {
  readonly log: Log
  readonly clock: TestClock
  readonly stores: Stores
  /** Another process over the same stores. */
  another(settings?: Partial<Settings>): Log
  /** Another process that sees the stores through these. */
  over(stores: Stores): Log
}

/** Runs `body` with a fresh log, and closes everything after it. */
export async function withLog(
  factory: StoresFactory,
  body: (world: World) => Promise<void>,
  settings: Partial<Settings> = {},
): Promise<void> {
  const stores = await factory()
  const clock = new TestClock()
  const logs: Log[] = []
  const open = (own: Partial<Settings> = {}, seen = stores) => {
    const log = createLog(
      { ...portsOf(seen), clock, random: Math.random, codecs: nodeCodecs },
      { retryDelayMs: 1, sequenceGapWaitMs: 60, ...settings, ...own },
    )
    logs.push(log)
    const { topicConfigs } = stores
    if (topicConfigs === undefined) return log
    return {
      ...log,
      createTopic: (request: CreateTopicRequest) =>
        log.createTopic({ ...request, configs: { ...topicConfigs, ...request.configs } }),
    }
  }
  try {
    await body({ log: open(), clock, stores, another: (own) => open(own), over: (seen) => open({}, seen) })
  } finally {
    for (const log of logs) await log.close()
    await stores.close()
  }
}

function portsOf({ objects, metadata }: Stores): { objects: Objects; metadata: Metadata } {
  return { objects, metadata }
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const bytesOf = (text: string): Uint8Array => encoder.encode(text)
export const textOf = (bytes: Uint8Array | null): string | null => (bytes === null ? null : decoder.decode(bytes))

/** A batch of records with these values. */
export function batchOf(
  values: readonly string[],
  options: {
    compression?: CompressionType
    timestampMs?: number
    producerId?: number
    producerEpoch?: number
    baseSequence?: number
  } = {},
): Uint8Array {
  const { compression = 'none', timestampMs = Date.now(), ...producer } = options
  const records: NewRecord[] = values.map((value) => ({ timestampMs, key: null, value: bytesOf(value) }))
  return encodeBatch({ records, compression, ...producer }, nodeCodecs)
}

/** Appends a batch of these values; answers what the log answers. */
export function append(
  log: Log,
  values: readonly string[],
  options: AppendOptions & { topic?: string; partition?: number } = {},
): Promise<Answer<Appended>> {
  const { topic = 'orders', partition = 0, ...rest } = options
  return log.append({ topic, partition, batches: batchOf(values), ...rest })
}

/** Topic configs under which batches are stored as they come, whatever compression would save. */
export const asSent = { 'merge.compression.type': 'producer' }

/** The base offset of an append that must succeed. */
export async function appended(
  log: Log,
  values: readonly string[],
  options: Parameters<typeof append>[2] = {},
): Promise<number> {
  const answer = await append(log, values, options)
  assert.ok(answer.ok, answer.ok ? '' : answer.message)
  return answer.baseOffset
}

export function recordsOf(fetched: Fetched): LogRecord[] {
  return fetched.batches.flatMap((batch) => {
    const decoded = decodeBatch(batch, 0, nodeCodecs, 1 << 26)
    assert.ok(decoded.ok, decoded.ok ? '' : decoded.message)
    return decoded.records
  })
}

/** Every record from `offset` to the end, read fetch by fetch; offsets must be dense. */
export async function readAll(
  log: Log,
  options: { topic?: string; partition?: number; offset?: number; bytesMax?: number } = {},
): Promise<string[]> {
  const { topic = 'orders', partition = 0, bytesMax } = options
  let offset = options.offset ?? 0
  const values: string[] = []
  while (true) {
    const fetched = await log.fetch({ topic, partition, offset, ...(bytesMax === undefined ? {} : { bytesMax }) })
    assert.ok(fetched.ok, fetched.ok ? '' : fetched.message)
    for (const record of recordsOf(fetched)) {
      if (record.offset < offset) continue
      assert.equal(record.offset, offset, 'offsets are dense (D3)')
      values.push(textOf(record.value) ?? '')
      offset++
    }
    assert.equal(fetched.nextOffset, offset)
    if (offset === fetched.highWatermark) return values
    assert.ok(fetched.batches.length > 0, 'a fetch below the high watermark answers records')
  }
}

export function refusedWith(
  answer: { readonly ok: boolean; readonly code?: string; readonly message?: string },
  code: string,
): void {
  assert.equal(answer.ok, false, `expected ${code}`)
  assert.equal(answer.code, code, answer.message)
}

export async function createTopic(
  log: Log,
  partitions = 1,
  configs: Record<string, string> = {},
  name = 'orders',
): Promise<void> {
  const created = await log.createTopic({ name, partitions, configs })
  assert.ok(created.ok, created.ok ? '' : created.message)
}
