/**
 * The body of a v2 produce:
 *
 *     {"records": [{"key"?, "value"?, "partition"?, "timestamp"?, "headers"?: [{"key", "value"}]}, …]}
 *
 * Keys and values are in the embedded format of the Content-Type; `timestamp` (milliseconds) and `headers` (values in
 * base64) are the Strimzi bridge's. Nothing is written unless every record of the body is in order.
 *
 * JSON values are stored as the sender wrote them, without the blanks between their parts: no digit of a number is lost, and
 * most need no byte copied. In a key, escaped characters become themselves: equal keys must be equal bytes whoever wrote them.
 *
 * This is the hot path of produce by JSON: one walk over the bytes, which makes a record and views of its parts.
 */
import { isUtf8 } from 'node:buffer'
import { type Refusal, refusal } from '../core/errors.ts'
import type { RecordHeader } from '../core/record-batch.ts'
import type { ProduceRecord } from '../log/log.ts'
import {
  ByteArena,
  decodeBase64InPlace,
  type EmbeddedFormat,
  emptyBody,
  encodeEmbedded,
  type Parsed,
  parseJsonText,
  shown,
} from './v2-embedded.ts'
import { dropBlanks, JsonScan } from './v2-json-scan.ts'

/** Records in one request (D8): their answers must fit into one response. */
export const v2RecordsMax = 50_000
export const partitionIndexMax = 2 ** 31 - 1

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
  if (!isUtf8(bytes)) return refusal('INVALID_REQUEST', 'The body is not UTF-8.')
  return new V2Body(bytes, format, partition).read()
}

const quote = 0x22
const comma = 0x2c
const openBracket = 0x5b
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

/** One body while it is read. Each step answers what is wrong, or undefined. */
class V2Body {
  readonly #bytes: Uint8Array
  readonly #buffer: Buffer
  readonly #scan: JsonScan
  readonly #format: EmbeddedFormat
  readonly #partition: number | undefined
  readonly #records: ProduceRecord[] = []

  constructor(bytes: Uint8Array, format: EmbeddedFormat, partition: number | undefined) {
    this.#bytes = bytes
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#scan = new JsonScan(bytes)
    this.#format = format
    this.#partition = partition
  }

  read(): Parsed<ProduceRecord[]> {
    const scan = this.#scan
    const first = scan.peek()
    if (first === -1) return emptyBody
    if (first !== openBrace) {
      if (!scan.value() || scan.peek() !== -1) return this.#damaged()
      return refusal('INVALID_PAYLOAD', `The body must be an object with records, not ${this.#shown()}.`)
    }
    scan.take(openBrace)
    let isThere = false
    if (!scan.take(closeBrace)) {
      do {
        if (!scan.name()) return this.#damaged()
        const name = this.#nameText()
        if (name === 'records' && isThere) return refusal('INVALID_PAYLOAD', 'records is there twice.')
        const wrong = name === 'records' ? this.#readRecords() : this.#checkField(name)
        if (wrong !== undefined) return wrong
        isThere ||= name === 'records'
      } while (scan.take(comma))
      if (!scan.take(closeBrace)) return this.#damaged()
    }
    if (scan.peek() !== -1) return this.#damaged()
    if (!isThere) return refusal('INVALID_PAYLOAD', 'records must be an array, not null.')
    if (this.#records.length === 0) return refusal('INVALID_PAYLOAD', 'records must not be empty.')
    return { ok: true, value: this.#records }
  }

  /** A field beside the records. */
  #checkField(name: string): Refusal | undefined {
    if (!schemaFields.includes(name)) return refusal('INVALID_PAYLOAD', `Unrecognized field: ${name.slice(0, 80)}`)
    if (!this.#scan.value()) return this.#damaged()
    if (this.#isNull()) return undefined
    return refusal('INVALID_PAYLOAD', `${name} needs a schema registry, which this server does not have.`)
  }

  #readRecords(): Refusal | undefined {
    const scan = this.#scan
    if (scan.peek() !== openBracket) {
      if (!scan.value()) return this.#damaged()
      return refusal('INVALID_PAYLOAD', `records must be an array, not ${this.#shown()}.`)
    }
    scan.take(openBracket)
    if (scan.take(closeBracket)) return undefined
    do {
      if (this.#records.length === v2RecordsMax)
        return refusal('REQUEST_TOO_LARGE', `The request has more than ${v2RecordsMax} records.`)
      const wrong = this.#readRecord()
      if (wrong !== undefined) return wrong
    } while (scan.take(comma))
    return scan.take(closeBracket) ? undefined : this.#damaged()
  }

  #readRecord(): Refusal | undefined {
    const scan = this.#scan
    if (!scan.take(openBrace)) {
      if (!scan.value()) return this.#damaged()
      return this.#invalid(` must be an object, not ${this.#shown()}.`)
    }
    const record: Mutable<ProduceRecord> = { key: null, value: null }
    if (this.#partition !== undefined) record.partition = this.#partition
    if (!scan.take(closeBrace)) {
      do {
        if (!scan.name()) return this.#damaged()
        const field = this.#recordField()
        if (field === undefined) return this.#invalid(` has an unrecognized field: ${this.#nameText().slice(0, 80)}`)
        if (!scan.value()) return this.#damaged()
        const wrong = this.#setField(record, field)
        if (wrong !== undefined) return wrong
      } while (scan.take(comma))
      if (!scan.take(closeBrace)) return this.#damaged()
    }
    this.#records.push(record)
    return undefined
  }

  /** Gives the record what the scan found last. */
  #setField(record: Mutable<ProduceRecord>, field: RecordField): Refusal | undefined {
    const isNull = this.#isNull()
    switch (field) {
      case 'key':
      case 'value': {
        const bytes = isNull ? null : this.#embedded(field === 'key')
        if (typeof bytes === 'string') return this.#invalid(`.${field}: ${bytes}`)
        record[field] = bytes
        return undefined
      }
      case 'partition': {
        if (isNull) return undefined
        const partition = this.#whole(partitionIndexMax)
        if (partition === undefined)
          return this.#invalid(`.partition must be a whole number from 0, not ${this.#shown()}.`)
        if (this.#partition !== undefined && partition !== this.#partition)
          return this.#invalid(`.partition is ${partition}, but the request is for partition ${this.#partition}.`)
        record.partition = partition
        return undefined
      }
      case 'timestamp': {
        if (isNull) return undefined
        const timestampMs = this.#whole(Number.MAX_SAFE_INTEGER)
        if (timestampMs === undefined)
          return this.#invalid(`.timestamp must be milliseconds since 1970, not ${this.#shown()}.`)
        record.timestampMs = timestampMs
        return undefined
      }
      case 'headers': {
        if (isNull) return undefined
        const headers = readHeaders(JSON.parse(this.#text()), this.#arena())
        if (typeof headers === 'string') return this.#invalid(`.headers ${headers}`)
        record.headers = headers
        return undefined
      }
      default:
        return field satisfies never
    }
  }

  /** The bytes of a key or value, which is not null; or what is wrong with it. */
  #embedded(isKey: boolean): Uint8Array | string {
    const { from, end, hasBlanks, hasEscapes } = this.#scan
    switch (this.#format) {
      case 'json':
        if (isKey && hasEscapes) return this.#arena().encodeText(JSON.stringify(parseJsonText(this.#text(), true)))
        return this.#view(from, hasBlanks ? dropBlanks(this.#bytes, from, end) : end)
      case 'text':
        if (!this.#isString()) return `data=${this.#shown()} is not a string.`
        if (hasEscapes) return this.#arena().encodeText(JSON.parse(this.#text()))
        return this.#view(from + 1, end - 1)
      case 'binary': {
        if (!this.#isString()) return `data=${this.#shown()} is not a base64 string.`
        if (hasEscapes) return encodeEmbedded('binary', JSON.parse(this.#text()), this.#arena())
        const length = decodeBase64InPlace(this.#buffer, from + 1, end - 1)
        return length < 0
          ? `data=${this.#shown()} is not a valid base64 string.`
          : this.#view(from + 1, from + 1 + length)
      }
      default:
        return this.#format satisfies never
    }
  }

  #view(from: number, end: number): Uint8Array {
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + from, end - from)
  }

  /** The place of the value itself takes what is decoded from it. */
  #arena(): ByteArena {
    return new ByteArena(this.#view(this.#scan.from, this.#scan.end))
  }

  #text(): string {
    return this.#buffer.toString('utf8', this.#scan.from, this.#scan.end)
  }

  #nameText(): string {
    const { from, end } = this.#scan
    const text = this.#buffer.toString('utf8', from, end)
    return text.includes('\\') ? JSON.parse(`"${text}"`) : text
  }

  #recordField(): RecordField | undefined {
    const { from, end } = this.#scan
    for (const { name, bytes } of recordFields) if (isAt(this.#bytes, from, end, bytes)) return name
    const name = this.#nameText()
    return recordFields.find((field) => field.name === name)?.name
  }

  #isNull(): boolean {
    return isAt(this.#bytes, this.#scan.from, this.#scan.end, nullBytes)
  }

  #isString(): boolean {
    return this.#bytes[this.#scan.from] === quote
  }

  /** The value as a whole number from 0 to `max`. */
  #whole(max: number): number | undefined {
    const { from, end } = this.#scan
    const first = this.#bytes[from]!
    if (first === quote || first === openBrace || first === openBracket) return undefined
    const value: unknown = JSON.parse(this.#buffer.toString('latin1', from, end))
    return isWhole(value, max) ? value : undefined
  }

  #shown(): string {
    return shown(JSON.parse(this.#text()))
  }

  #invalid(message: string): Refusal {
    return refusal('INVALID_PAYLOAD', `records[${this.#records.length}]${message}`)
  }

  #damaged(): Refusal {
    const fault = this.#scan.fault()
    return this.#scan.isTooDeep
      ? refusal('INVALID_PAYLOAD', `The body is nested too deeply: ${fault}.`)
      : refusal('INVALID_REQUEST', `The body is not JSON: ${fault}.`)
  }
}

const schemaFields: readonly string[] = ['key_schema', 'key_schema_id', 'value_schema', 'value_schema_id']

const recordFields = (['value', 'key', 'partition', 'timestamp', 'headers'] as const).map((name) => ({
  name,
  bytes: Uint8Array.from(Buffer.from(name)),
}))
type RecordField = (typeof recordFields)[number]['name']

const nullBytes = Uint8Array.from(Buffer.from('null'))

function isAt(bytes: Uint8Array, from: number, end: number, expected: Uint8Array): boolean {
  if (end - from !== expected.length) return false
  for (let index = 0; index < expected.length; index++) if (bytes[from + index] !== expected[index]) return false
  return true
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

export function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isWhole(value: unknown, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max
}
