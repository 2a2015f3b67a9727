/**
 * The body of a v2 produce:
 *
 *     {"records": [{"key"?, "value"?, "partition"?, "timestamp"?, "headers"?: [{"key", "value"}]}, …]}
 *
 * Keys and values are in the embedded format of the Content-Type; `timestamp` (milliseconds) and `headers` (values in
 * base64) are the Strimzi bridge's. Nothing is written unless every record of the body is in order.
 *
 * This is the hot path of JSON produce: one JSON.parse, then one loop that allocates a record and its bytes' views.
 */
import { type Refusal, refusal } from '../core/errors.ts'
import type { RecordHeader } from '../core/record-batch.ts'
import type { ProduceRecord } from '../log/log.ts'
import { ByteArena, type EmbeddedFormat, encodeEmbedded, type Parsed, parseJson, shown } from './v2-embedded.ts'

/** Records in one request (D8): their answers must fit into one response. */
export const v2RecordsMax = 50_000
export const partitionIndexMax = 2 ** 31 - 1

type Fields = Readonly<Record<string, unknown>>
type Mutable<Value> = { -readonly [Name in keyof Value]: Value[Name] }

/**
 * @param bytes the caller's own; the records' keys and values lie in it afterwards
 * @param partition where all records go, when the path says so
 */
export function parseV2Records(
  bytes: Uint8Array,
  format: EmbeddedFormat,
  partition: number | undefined,
): Parsed<ProduceRecord[]> {
  const body = parseJson(bytes)
  if (!body.ok) return body
  const items = itemsOf(body.value)
  if (!items.ok) return items
  try {
    return readRecords(items.value, format, partition, new ByteArena(bytes))
  } catch (error) {
    if (error instanceof RangeError) return refusal('INVALID_PAYLOAD', 'A value is nested too deeply.')
    throw error
  }
}

function itemsOf(body: unknown): Parsed<readonly unknown[]> {
  if (!isFields(body)) return refusal('INVALID_PAYLOAD', `The body must be an object with records, not ${shown(body)}.`)
  for (const name in body) {
    if (name === 'records') continue
    if (!schemaFields.includes(name)) return refusal('INVALID_PAYLOAD', `Unrecognized field: ${name}`)
    if (body[name] !== null)
      return refusal('INVALID_PAYLOAD', `${name} needs a schema registry, which this server does not have.`)
  }
  const { records } = body
  if (!Array.isArray(records))
    return refusal('INVALID_PAYLOAD', `records must be an array, not ${shown(records ?? null)}.`)
  if (records.length === 0) return refusal('INVALID_PAYLOAD', 'records must not be empty.')
  if (records.length > v2RecordsMax)
    return refusal(
      'REQUEST_TOO_LARGE',
      `The request has ${records.length} records; at most ${v2RecordsMax} are allowed.`,
    )
  return { ok: true, value: records }
}

const schemaFields: readonly string[] = ['key_schema', 'key_schema_id', 'value_schema', 'value_schema_id']

function readRecords(
  items: readonly unknown[],
  format: EmbeddedFormat,
  pathPartition: number | undefined,
  arena: ByteArena,
): Parsed<ProduceRecord[]> {
  const records: ProduceRecord[] = new Array(items.length)
  for (let index = 0; index < items.length; index++) {
    const item = items[index]
    if (!isFields(item)) return invalid(index, ` must be an object, not ${shown(item)}.`)
    const record: Mutable<ProduceRecord> = { key: null, value: null }
    if (pathPartition !== undefined) record.partition = pathPartition
    for (const name in item) {
      const data = item[name]
      if (data === null) {
        if (!isRecordField(name)) return invalid(index, ` has an unrecognized field: ${name}`)
        continue
      }
      switch (name) {
        case 'key':
        case 'value': {
          const bytes = encodeEmbedded(format, data, arena)
          if (typeof bytes === 'string') return invalid(index, `.${name}: ${bytes}`)
          record[name] = bytes
          break
        }
        case 'partition': {
          if (!isWhole(data, partitionIndexMax))
            return invalid(index, `.partition must be a whole number from 0, not ${shown(data)}.`)
          if (pathPartition !== undefined && data !== pathPartition)
            return invalid(index, `.partition is ${data}, but the request is for partition ${pathPartition}.`)
          record.partition = data
          break
        }
        case 'timestamp': {
          if (!isWhole(data, Number.MAX_SAFE_INTEGER))
            return invalid(index, `.timestamp must be milliseconds since 1970, not ${shown(data)}.`)
          record.timestampMs = data
          break
        }
        case 'headers': {
          const headers = readHeaders(data, arena)
          if (typeof headers === 'string') return invalid(index, `.headers ${headers}`)
          record.headers = headers
          break
        }
        default:
          return invalid(index, ` has an unrecognized field: ${name}`)
      }
    }
    records[index] = record
  }
  return { ok: true, value: records }
}

function readHeaders(data: unknown, arena: ByteArena): RecordHeader[] | string {
  if (!Array.isArray(data)) return `must be an array, not ${shown(data)}.`
  const headers: RecordHeader[] = []
  for (const item of data as unknown[]) {
    const header = readHeader(item, 'key', arena)
    if (typeof header === 'string') return header
    headers.push(header)
  }
  return headers
}

/** A header of either convention: its name is under `key` in v2, under `name` in v3. Or what is wrong with it. */
export function readHeader(item: unknown, nameField: 'key' | 'name', arena: ByteArena): RecordHeader | string {
  if (!isFields(item)) return `must hold objects, not ${shown(item)}.`
  for (const field in item)
    if (field !== nameField && field !== 'value') return `must not have the field ${shown(field)} in a header.`
  const name = item[nameField]
  if (typeof name !== 'string') return `must have a string as the ${nameField} of a header, not ${shown(name ?? null)}.`
  const { value = null } = item
  if (value === null) return { key: name, value: null }
  const bytes = encodeEmbedded('binary', value, arena)
  return typeof bytes === 'string' ? `must have base64 as the value of a header: ${bytes}` : { key: name, value: bytes }
}

function isRecordField(name: string): boolean {
  return name === 'key' || name === 'value' || name === 'partition' || name === 'timestamp' || name === 'headers'
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isWhole(value: unknown, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max
}

function invalid(index: number, message: string): Refusal {
  return refusal('INVALID_PAYLOAD', `records[${index}]${message}`)
}
