/**
 * How records are printed: kcat's format strings, its JSON envelope, and plain values.
 *
 *     %s value   %S its length, -1 for null    %R the same as 4 bytes, big-endian
 *     %k key     %K its length, -1 for null    %h headers, name=value,…
 *     %t topic   %p partition   %o offset      %T timestamp in milliseconds   %% a percent sign
 *     \n \r \t \\ \xNN
 */
import type { ReadRecord } from '../client/highwater.ts'

/** Appends the record's bytes to `parts`. */
export type RecordFormat = (record: ReadRecord, partition: number, parts: Uint8Array[]) => void

export type ParsedFormat =
  | { readonly ok: true; readonly format: RecordFormat }
  | { readonly ok: false; readonly message: string }

const encoder = new TextEncoder()
const comma = encoder.encode(',')
const equals = encoder.encode('=')
const none = new Uint8Array(0)

type Token = (record: ReadRecord, partition: number, parts: Uint8Array[]) => void

const number = (pick: (record: ReadRecord, partition: number) => number): Token => {
  return (record, partition, parts) => parts.push(encoder.encode(String(pick(record, partition))))
}

/** @param nullText printed for a null key or value */
export function parseFormat(text: string, topic: string, nullText = ''): ParsedFormat {
  const nullBytes = encoder.encode(nullText)
  const topicBytes = encoder.encode(topic)
  const tokens: Readonly<Record<string, Token>> = {
    s: (record, _partition, parts) => parts.push(record.value ?? nullBytes),
    S: number((record) => record.value?.length ?? -1),
    R: (record, _partition, parts) => {
      const bytes = new Uint8Array(4)
      new DataView(bytes.buffer).setInt32(0, record.value?.length ?? -1)
      parts.push(bytes)
    },
    k: (record, _partition, parts) => parts.push(record.key ?? nullBytes),
    K: number((record) => record.key?.length ?? -1),
    h: (record, _partition, parts) => pushHeaders(record, nullBytes, parts),
    t: (_record, _partition, parts) => parts.push(topicBytes),
    p: number((_record, partition) => partition),
    o: number((record) => record.offset),
    T: number((record) => record.timestampMs),
  }
  const program: Token[] = []
  let literal: number[] = []
  const endLiteral = () => {
    if (literal.length === 0) return
    const bytes = Uint8Array.from(literal)
    literal = []
    program.push((_record, _partition, parts) => parts.push(bytes))
  }
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? ''
    if (char === '%') {
      const name = text[++at]
      if (name === '%') {
        literal.push(0x25)
        continue
      }
      const token = name === undefined ? undefined : tokens[name]
      if (token === undefined)
        return { ok: false, message: `%${name ?? ''} means nothing in a format; known are %${knownTokens.join(' %')}.` }
      endLiteral()
      program.push(token)
    } else {
      const read = readEscape(text, at)
      literal.push(...read.bytes)
      at = read.last
    }
  }
  endLiteral()
  return {
    ok: true,
    format: (record, partition, parts) => {
      for (const token of program) token(record, partition, parts)
    },
  }
}

const knownTokens = ['s', 'S', 'R', 'k', 'K', 'h', 't', 'p', 'o', 'T', '%']

const escapes: Readonly<Record<string, number>> = { n: 0x0a, r: 0x0d, t: 0x09, '\\': 0x5c, '0': 0 }

/** The bytes of the character at `at`, an escape being one; `last` is its last position. */
function readEscape(text: string, at: number): { bytes: Iterable<number>; last: number } {
  if (text[at] === '\\') {
    const next = text[at + 1] ?? ''
    const escaped = escapes[next]
    if (escaped !== undefined) return { bytes: [escaped], last: at + 1 }
    const hex = /^x[0-9a-fA-F]{2}/.exec(text.slice(at + 1))
    if (hex !== null) return { bytes: [Number.parseInt(text.slice(at + 2, at + 4), 16)], last: at + 3 }
  }
  const char = String.fromCodePoint(text.codePointAt(at) ?? 0)
  return { bytes: encoder.encode(char), last: at + char.length - 1 }
}

/** A delimiter as users write it on a command line, e.g. `\t` or `\x00`. */
export function parseDelimiter(text: string): Uint8Array {
  const bytes: number[] = []
  for (let at = 0; at < text.length; at++) {
    const read = readEscape(text, at)
    bytes.push(...read.bytes)
    at = read.last
  }
  return Uint8Array.from(bytes)
}

function pushHeaders(record: ReadRecord, nullBytes: Uint8Array, parts: Uint8Array[]): void {
  for (const [index, header] of record.headers.entries()) {
    if (index > 0) parts.push(comma)
    parts.push(encoder.encode(header.key), equals, header.value ?? nullBytes)
  }
}

/** One JSON object per line, with kcat's field names. What is not UTF-8 comes as base64, and `…_encoding` says so. */
export function jsonFormat(topic: string): RecordFormat {
  return (record, partition, parts) => {
    const headers: (string | null)[] = []
    for (const { key, value } of record.headers) headers.push(key, textOrBase64(value).text)
    const key = textOrBase64(record.key)
    const payload = textOrBase64(record.value)
    const line = JSON.stringify({
      topic,
      partition,
      offset: record.offset,
      ts: record.timestampMs,
      headers,
      key: key.text,
      ...(key.isBase64 ? { key_encoding: 'base64' } : {}),
      payload: payload.text,
      ...(payload.isBase64 ? { payload_encoding: 'base64' } : {}),
    })
    parts.push(encoder.encode(`${line}\n`))
  }
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function textOrBase64(bytes: Uint8Array | null): { text: string | null; isBase64: boolean } {
  if (bytes === null) return { text: null, isBase64: false }
  try {
    return { text: strict.decode(bytes), isBase64: false }
  } catch {
    return { text: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64'), isBase64: true }
  }
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 0 ? none : Buffer.concat(parts)
}
