/**
 * Records as the JSON of the Kafka REST conventions, version 2: read out of fetched batches, bounded by records and bytes.
 * Built as text: what is JSON already is copied through, digits of large numbers included.
 */
import type { Codecs } from '../core/codec.ts'
import { type Refusal, refusal } from '../core/errors.ts'
import type { Offset } from '../core/names.ts'
import { decodeBatch, type LogRecord } from '../core/record-batch.ts'
import type { Fetched } from '../log/log.ts'

/** How keys and values are embedded: as base64, as the JSON that they are, or as strings of the UTF-8 that they are. */
export type EmbeddedFormat = 'binary' | 'json' | 'text'

/** What stands in an answer. */
export interface AnswerSize {
  /** Of keys, values and headers. */
  readonly bytes: number
  /** Of the JSON. */
  readonly textBytes: number
}

export interface RecordsJson extends AnswerSize {
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
  /** Of other partitions, in the same answer: it counts, and there is a first record already. */
  readonly before?: AnswerSize
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
  let { bytes, textBytes } = limits.before ?? { bytes: 0, textBytes: 0 }
  let isFirst = limits.before === undefined
  const taken = (nextOffset: Offset): RecordsJson => ({ ok: true, records, nextOffset, bytes, textBytes })
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
        if (!isFirst && bytes + sizeOf(record) > bytesMax) return taken(record.offset)
        if (records.length >= recordsMax) return taken(record.offset)
        const key = embed(record.key, format)
        const value = embed(record.value, format)
        if (key === undefined || value === undefined) {
          if (records.length > 0) return taken(record.offset)
          return refusal(
            'NOT_ACCEPTABLE',
            `The ${key === undefined ? 'key' : 'value'} of the record at offset ${record.offset} of ${topic}/${fetched.partition} is not ${format === 'json' ? 'JSON' : 'UTF-8'}; read it as application/vnd.kafka.binary.v2+json.`,
          )
        }
        const text = `${prefix}${key},"value":${value}${middle}${record.offset},"timestamp":${record.timestampMs},"headers":${headersJson(record)}}`
        const length = Buffer.byteLength(text) + 1
        if (!isFirst && textBytes + length > textBytesMax) return taken(record.offset)
        isFirst = false
        textBytes += length
        bytes += sizeOf(record)
        records.push(text)
      }
    }
  }
  return taken(fetched.nextOffset)
}

const textDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** undefined: it is not JSON, or not UTF-8. */
function embed(bytes: Uint8Array | null, format: EmbeddedFormat): string | undefined {
  if (bytes === null) return 'null'
  if (format === 'binary') return `"${base64(bytes)}"`
  try {
    const text = textDecoder.decode(bytes)
    if (format === 'text') return JSON.stringify(text)
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
