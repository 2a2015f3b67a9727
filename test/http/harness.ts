/** The whole log in memory behind the app, without sockets; requests as a client would send them. */
import { nativeCodecs as codecs } from '../../lib/adapters/codecs-native.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { systemClock, systemRandom } from '../../lib/adapters/system.ts'
import type { Codecs } from '../../lib/core/codec.ts'
import { encodeBatch, type NewBatch, type NewRecord } from '../../lib/core/record-batch.ts'
import { parseSettings, type Settings } from '../../lib/core/settings.ts'
import { type App, type AppOptions, createApp } from '../../lib/http/app.ts'
import { allRoutes } from '../../lib/http/faces.ts'
import { batchesType } from '../../lib/http/raw.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Log, LogPorts } from '../../lib/log/log.ts'

export interface Harness {
  readonly app: App
  readonly log: Log
  readonly settings: Settings
  readonly codecs: Codecs
  readonly metadata: MemoryMetadata
  /** @param path with its query */
  send(method: string, path: string, options?: Sent): Promise<Response>
  /** Appends a raw batch of these values to partition 0 of `t`, which must be there. */
  appendValues(...values: string[]): Promise<void>
}

export interface Sent {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array | ReadableStream<Uint8Array>
  readonly signal?: AbortSignal
}

export interface HarnessOptions {
  readonly settings?: Partial<Settings>
  readonly ports?: Partial<LogPorts>
  readonly app?: Partial<AppOptions>
}

export function createHarness(options: HarnessOptions = {}): Harness {
  const parsed = parseSettings({ lingerMs: 0, isSoleProcess: true, ...options.settings })
  if (!parsed.ok) throw new Error(parsed.message)
  const { settings } = parsed
  const metadata = new MemoryMetadata()
  const log = createLog(
    { objects: new MemoryObjects(), metadata, clock: systemClock, random: systemRandom, codecs, ...options.ports },
    settings,
  )
  const app = createApp({ routes: allRoutes, log, settings, codecs, ...options.app })
  const send = (method: string, path: string, { headers = {}, body, signal }: Sent = {}) =>
    app.fetch(
      new Request(`http://log.test${path}`, {
        method,
        headers,
        ...(body === undefined ? {} : { body: body as BodyInit, duplex: 'half' }),
        ...(signal === undefined ? {} : { signal }),
      }),
    )
  return {
    app,
    log,
    settings,
    codecs,
    metadata,
    send,
    async appendValues(...values) {
      const response = await send('POST', '/topics/t/partitions/0', {
        headers: { 'content-type': batchesType },
        body: batchOf(values, {}),
      })
      if (response.status !== 200) throw new Error(await response.text())
    },
  }
}

/** A batch of records, one for each value, with timestamps 1000, 1001 ... */
export function batchOf(values: readonly (string | NewRecord)[], options: Partial<NewBatch> = {}): Uint8Array {
  const records = values.map((value, index) =>
    typeof value === 'string'
      ? { timestampMs: Date.now() + index, key: null, value: new TextEncoder().encode(value) }
      : value,
  )
  return encodeBatch({ records, compression: 'none', ...options }, codecs)
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}
