/**
 * A record of a v3 produce:
 *
 *     {"partition_id"?, "headers"?: [{"name", "value"}], "key"?: D, "value"?: D, "timestamp"?: ISO-8601}
 *     D = {"type"?: "BINARY" | "JSON" | "STRING", "data"}
 *
 * Without a type, `data` is base64. Whatever needs a schema is refused: there is no registry yet. Each record is judged by
 * itself; what is wrong with one is in its own report.
 */
import { type Refusal, refusal } from '../core/errors.ts'
import type { RecordHeader } from '../core/record-batch.ts'
import type { ProduceRecord } from '../log/log.ts'
import { type ByteArena, type EmbeddedFormat, encodeEmbedded, type Parsed, shown } from './v2-embedded.ts'
import { isFields, isWhole, partitionIndexMax, readHeader } from './v2-records.ts'

export type DataType = 'BINARY' | 'JSON' | 'STRING'

export interface ReadRecord {
  readonly ok: true
  readonly record: ProduceRecord
  /** undefined: there is no such part, and none in the report. */
  readonly keyType: DataType | undefined
  readonly valueType: DataType | undefined
}

const formats: ReadonlyMap<unknown, EmbeddedFormat> = new Map<unknown, EmbeddedFormat>([
  ['BINARY', 'binary'],
  ['JSON', 'json'],
  ['STRING', 'text'],
])
const schemaTypes: readonly unknown[] = ['AVRO', 'JSONSCHEMA', 'PROTOBUF']
const schemaFields: readonly string[] = ['schema', 'schema_id', 'schema_version', 'subject', 'subject_name_strategy']

type Mutable<Value> = { -readonly [Name in keyof Value]: Value[Name] }

/** @param isEntry of a batch: has an `id`, which is the caller's affair */
export function readRecord(item: unknown, isEntry: boolean, arena: ByteArena): ReadRecord | Refusal {
  try {
    return readFields(item, isEntry, arena)
  } catch (error) {
    if (error instanceof RangeError) return badRequest('a value is nested too deeply.')
    throw error
  }
}

function readFields(item: unknown, isEntry: boolean, arena: ByteArena): ReadRecord | Refusal {
  if (!isFields(item)) return badRequest(`a record must be an object, not ${shown(item)}.`)
  const record: Mutable<ProduceRecord> = { key: null, value: null }
  let keyType: DataType | undefined
  let valueType: DataType | undefined
  for (const name in item) {
    const field = item[name]
    switch (name) {
      case 'key':
      case 'value': {
        if (field === null) break
        const data = readData(name, field, arena)
        if (!data.ok) return data
        record[name] = data.bytes
        if (name === 'key') keyType = data.type
        else valueType = data.type
        break
      }
      case 'partition_id':
        if (field === null) break
        if (!isWhole(field, partitionIndexMax))
          return badRequest(`partition_id must be a whole number from 0, not ${shown(field)}.`)
        record.partition = field
        break
      case 'headers': {
        if (field === null) break
        const headers = readHeaders(field, arena)
        if (!headers.ok) return headers
        record.headers = headers.value
        break
      }
      case 'timestamp': {
        if (field === null) break
        const timestampMs = parseTimestamp(field)
        if (timestampMs === undefined)
          return badRequest(`timestamp must be ISO-8601, as 2026-01-31T12:00:00Z, not ${shown(field)}.`)
        record.timestampMs = timestampMs
        break
      }
      case 'id':
        if (isEntry) break
        return badRequest(`Unrecognized field ${shown(name)}.`)
      default:
        return badRequest(`Unrecognized field ${shown(name)}.`)
    }
  }
  return { ok: true, record, keyType, valueType }
}

type Data = { readonly ok: true; readonly type: DataType; readonly bytes: Uint8Array | null } | Refusal

function readData(part: string, field: unknown, arena: ByteArena): Data {
  if (!isFields(field)) return badRequest(`${part} must be an object with data, not ${shown(field)}.`)
  for (const name in field) {
    if (name === 'type' || name === 'data' || field[name] === null) continue
    if (!schemaFields.includes(name)) return badRequest(`Unrecognized field ${shown(`${part}.${name}`)}.`)
    return needsRegistry(`${name} of the ${part}`)
  }
  const type = field.type ?? 'BINARY'
  const format = formats.get(type)
  if (format === undefined)
    return schemaTypes.includes(type)
      ? needsRegistry(`type=${String(type)} of the ${part}`)
      : badRequest(`type of the ${part} must be BINARY, JSON or STRING, not ${shown(type)}.`)
  const { data = null } = field
  if (data === null) return { ok: true, type: type as DataType, bytes: null }
  const bytes = encodeEmbedded(format, data, arena)
  return typeof bytes === 'string' ? badRequest(bytes) : { ok: true, type: type as DataType, bytes }
}

function readHeaders(field: unknown, arena: ByteArena): Parsed<RecordHeader[]> {
  if (!Array.isArray(field)) return badRequest(`headers must be an array, not ${shown(field)}.`)
  const headers: RecordHeader[] = []
  for (const item of field as unknown[]) {
    const header = readHeader(item, 'name', arena)
    if (typeof header === 'string') return badRequest(`headers ${header}`)
    headers.push(header)
  }
  return { ok: true, value: headers }
}

const instant = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?:Z|([+-])(\d\d):?(\d\d))$/
const minuteMs = 60_000

/** Milliseconds since 1970, finer parts cut off; undefined where it is no instant at or after 1970. */
export function parseTimestamp(value: unknown): number | undefined {
  const parts = typeof value === 'string' ? instant.exec(value) : null
  if (parts === null) return undefined
  const [year, month, day, hour, minute] = parts.slice(1, 6).map(Number) as [number, number, number, number, number]
  const second = Number(parts[6] ?? 0)
  const fractionMs = Number((parts[7] ?? '').padEnd(3, '0').slice(0, 3))
  const offset = (parts[8] === '-' ? -1 : 1) * (Number(parts[9] ?? 0) * 60 + Number(parts[10] ?? 0))
  // Date.UTC carries what is too large over to the next field, which shows in the day.
  const localMs = Date.UTC(year, month - 1, day, hour, minute, second, fractionMs)
  if (year < 1970 || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59) return undefined
  if (new Date(localMs).getUTCDate() !== day) return undefined
  const ms = localMs - offset * minuteMs
  return ms >= 0 ? ms : undefined
}

function badRequest(message: string): Refusal {
  return refusal('INVALID_REQUEST', `Bad Request: ${message}`)
}

function needsRegistry(what: string): Refusal {
  return refusal(
    'INVALID_PAYLOAD',
    `${what} needs a schema registry, which this server does not have; send BINARY, JSON or STRING.`,
  )
}
