/** Records as users write them, and bytes as users want to read them. */
import type { NewRecord, RecordHeader } from '../core/record-batch.ts'
import { HighwaterError } from './error.ts'

/** Text is written as UTF-8; null is Kafka's null (a tombstone, in a compacted topic). */
export type Content = Uint8Array | string | null

/** A record to be sent. */
export interface ProducerRecord {
  readonly topic: string
  /** @default by the key, else where batches fill best */
  readonly partition?: number
  /** @default null */
  readonly key?: Content
  readonly value: Content
  /** Name and value each; as a list where a name comes more than once. */
  readonly headers?: Readonly<Record<string, Content>> | readonly (readonly [name: string, value: Content])[]
  /** Milliseconds since 1970. @default now */
  readonly timestampMs?: number
}

const encoder = new TextEncoder()
// A byte order mark is part of the text: what was written is what is read.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/**
 * Bytes as UTF-8 text; null stays null.
 *
 * @example
 * for await (const record of reader) console.log(text(record.value))
 */
export function text(bytes: Uint8Array): string
export function text(bytes: Uint8Array | null): string | null
export function text(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : decoder.decode(bytes)
}

/**
 * Bytes as the JSON value in them; null, a record without a value, stays null. Throws SyntaxError where they are not JSON.
 *
 * @example
 * for await (const record of reader) handle(json<Order>(record.value))
 */
export function json<Value = unknown>(bytes: Uint8Array | null): Value | null {
  return bytes === null ? null : (JSON.parse(decoder.decode(bytes)) as Value)
}

export function bytesOf(content: Content): Uint8Array | null {
  return typeof content === 'string' ? encoder.encode(content) : content
}

const noHeaders: readonly RecordHeader[] = []

/** The record as a batch holds it. INVALID_RECORD where it cannot be one. */
export function newRecordOf(record: ProducerRecord, nowMs: number): NewRecord {
  const { key = null, value, headers, timestampMs = nowMs } = record
  if (!isContent(key) || !isContent(value))
    throw new HighwaterError('INVALID_RECORD', 'The key and the value of a record are bytes, text or null.')
  if (!Number.isSafeInteger(timestampMs) || timestampMs < 0)
    throw new HighwaterError('INVALID_TIMESTAMP', `${timestampMs} is not a time in milliseconds since 1970.`)
  return {
    timestampMs,
    key: bytesOf(key),
    value: bytesOf(value),
    headers: headers === undefined ? noHeaders : headersOf(headers),
  }
}

function headersOf(headers: NonNullable<ProducerRecord['headers']>): RecordHeader[] {
  const pairs = Array.isArray(headers) ? (headers as readonly (readonly [string, Content])[]) : Object.entries(headers)
  return pairs.map(([key, value]) => {
    if (typeof key !== 'string' || !isContent(value))
      throw new HighwaterError('INVALID_RECORD', 'A record header is a name and bytes, text or null.')
    return { key, value: bytesOf(value) }
  })
}

function isContent(content: unknown): content is Content {
  return content === null || typeof content === 'string' || content instanceof Uint8Array
}

/** Kafka's upper bound for a record without headers, besides its key and value. */
const recordOverheadBytesMax = 21

/** The most that the record takes in an uncompressed batch. */
export function recordBytesMax(record: NewRecord): number {
  let bytes = recordOverheadBytesMax + (record.key?.length ?? 0) + (record.value?.length ?? 0)
  for (const header of record.headers ?? noHeaders) bytes += 10 + header.key.length * 3 + (header.value?.length ?? 0)
  return bytes
}
