/**
 * Records as the JSON of the Kafka REST conventions, version 2: read out of fetched batches, bounded by records and bytes.
 * Built as text: what is JSON already is copied through, digits of large numbers included.
 */
import type { Codecs } from '../core/codec.ts'
import { type Refusal, refusal } from '../core/errors.ts'
import type { Offset } from '../core/names.ts'
import { decodeBatch, type LogRecord } from '../core/record-batch.ts'
import type { Fetched } from '../log/log.ts'

/** How keys and values are embedded: as base64, or as the JSON that they are. */
export type EmbeddedFormat = 'binary' | 'json'

export interface RecordsJson {
  readonly ok: true
  /** Of one record each. */
  readonly records: readonly string[]
  /** Where to go on: fewer records than were fetched may have been taken. */
  readonly nextOffset: Offset
}

export interface RecordLimits {
  /** Of keys, values and headers; the first record is answered whatever its size. */
  readonly bytesMax: number
  /** Of the JSON, which is a hundred times its records where they are small or compressed; the first record stands here, too. @default no limit */
  readonly textBytesMax?: number
  readonly recordsMax?: number
  /** Of one batch, see `decompressedBytesMax`. */
  readonly decompressedBytesMax: number
}

/**
 * The records at and after `offset`. A record that cannot be embedded ends the list before it; where it would be the first,
 * it is NOT_ACCEPTABLE and the message names its offset.
 */
export function recordsJson(
  topic: string,
  fetched: Fetched,
  offset: Offset,
  format: EmbeddedFormat,
  limits: RecordLimits,
  codecs: Codecs,
): RecordsJson | Refusal {
  const prefix = `{"topic":${JSON.stringify(topic)},"key":`
  const middle = `,"partition":${fetched.partition},"offset":`
  const { bytesMax, recordsMax = Number.POSITIVE_INFINITY, textBytesMax = Number.POSITIVE_INFINITY } = limits
  const records: string[] = []
  let bytes = 0
  let textBytes = 0
  for (const batches of fetched.batches) {
    for (let at = 0; at < batches.length; ) {
      const batch = decodeBatch(batches, at, codecs, limits.decompressedBytesMax)
      // The log checked it when it came: now it is damage, or a limit that was lowered.
      if (!batch.ok) throw new Error(`cannot read a batch of ${topic}/${fetched.partition}: ${batch.message}`)
      at += batch.header.sizeBytes
      // Control records are the log's own.
      if (batch.header.isControl) continue
      for (const record of batch.records) {
        if (record.offset < offset) continue
        if (records.length > 0 && bytes + sizeOf(record) > bytesMax)
          return { ok: true, records, nextOffset: record.offset }
        if (records.length >= recordsMax) return { ok: true, records, nextOffset: record.offset }
        const key = embed(record.key, format)
        const value = embed(record.value, format)
        if (key === undefined || value === undefined) {
          if (records.length > 0) return { ok: true, records, nextOffset: record.offset }
          return refusal(
            'NOT_ACCEPTABLE',
            `The ${key === undefined ? 'key' : 'value'} of the record at offset ${record.offset} of ${topic}/${fetched.partition} is not JSON; read it as application/vnd.kafka.binary.v2+json.`,
          )
        }
        const text = `${prefix}${key},"value":${value}${middle}${record.offset},"timestamp":${record.timestampMs},"headers":${headersJson(record)}}`
        textBytes += Buffer.byteLength(text) + 1
        if (records.length > 0 && textBytes > textBytesMax) return { ok: true, records, nextOffset: record.offset }
        bytes += sizeOf(record)
        records.push(text)
      }
    }
  }
  return { ok: true, records, nextOffset: fetched.nextOffset }
}

const textDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** undefined: it is not JSON. */
function embed(bytes: Uint8Array | null, format: EmbeddedFormat): string | undefined {
  if (bytes === null) return 'null'
  if (format === 'binary') return `"${base64(bytes)}"`
  try {
    const text = textDecoder.decode(bytes)
    JSON.parse(text)
    return text
  } catch {
    return undefined
  }
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

function headersJson(record: LogRecord): string {
  if (record.headers.length === 0) return '[]'
  return JSON.stringify(record.headers.map(({ key, value }) => ({ key, value: value === null ? null : base64(value) })))
}

function sizeOf(record: LogRecord): number {
  let size = (record.key?.length ?? 0) + (record.value?.length ?? 0)
  for (const { key, value } of record.headers) size += key.length + (value?.length ?? 0)
  return size
}
