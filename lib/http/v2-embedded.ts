/**
 * The formats that keys and values of records have inside a JSON body (the Kafka REST conventions' "embedded formats"):
 *
 *     binary   a string of base64           -> the bytes
 *     json     any JSON value               -> its JSON text without blanks, in UTF-8
 *     text     a string                     -> UTF-8
 *
 * null, or nothing at all, is null in each of them: no key, or a tombstone.
 *
 * JSON text is made again from the parsed value, so that equal values are equal bytes however the sender laid them out
 * (a key's bytes decide its partition). Whole numbers beyond 2^53 keep their digits all the same.
 */
import { type Refusal, refusal } from '../core/errors.ts'

export const embeddedFormats = ['binary', 'json', 'text'] as const
export type EmbeddedFormat = (typeof embeddedFormats)[number]

export type Parsed<Value> = { readonly ok: true; readonly value: Value } | Refusal

// A byte order mark is dropped; bytes that are not UTF-8 must not become other characters silently.
const utf8 = new TextDecoder('utf-8', { fatal: true })

/** The body as text. Refuses with EMPTY_PAYLOAD and INVALID_REQUEST. */
export function parseText(bytes: Uint8Array): Parsed<string> {
  if (bytes.length > 0) {
    let text: string
    try {
      text = utf8.decode(bytes)
    } catch {
      return refusal('INVALID_REQUEST', 'The body is not UTF-8.')
    }
    if (text.trimStart() !== '') return { ok: true, value: text }
  }
  return emptyBody
}

export const emptyBody: Refusal = refusal('EMPTY_PAYLOAD', 'Payload error. Request body is empty. Data is required.')

/** The body as one JSON value; see {@link parseJsonText} for its numbers. Refuses with EMPTY_PAYLOAD and INVALID_REQUEST. */
export function parseJson(bytes: Uint8Array): Parsed<unknown> {
  const text = parseText(bytes)
  if (!text.ok) return text
  try {
    return { ok: true, value: parseJsonText(text.value, hasDelicateNumber(bytes, text.value)) }
  } catch (error) {
    return notJson(error)
  }
}

export function notJson(error: unknown): Refusal {
  return refusal('INVALID_REQUEST', `The body is not JSON: ${error instanceof Error ? error.message : String(error)}`)
}

/**
 * JSON.parse. With `isDelicate`, numbers that a double does not hold become objects that JSON.stringify writes with their
 * own digits; that costs several times as much, hence {@link hasDelicateNumber}.
 */
export function parseJsonText(text: string, isDelicate: boolean): unknown {
  return isDelicate ? JSON.parse(text, keepDigits as (key: string, value: unknown) => unknown) : JSON.parse(text)
}

/** JSON.parse source text access (ECMAScript 2026), which TypeScript's library does not know yet. */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): object }

function keepDigits(_key: string, value: unknown, context: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value) || context.source === undefined) return value
  return String(value) === context.source ? value : rawJSON(context.source)
}

const digitsMin = 16
const zero = 48
const nine = 57
const point = 46
const minus = 45

/**
 * Might there be a number that JSON.parse would change: a whole number beyond 2^53, or an exponent of three digits? Long
 * fractions do not count, as they are doubles that were printed, nor do digits among the letters of an id in hex, which
 * many records have. Also true for such a number as a word of its own inside of a string.
 */
export function hasDelicateNumber(bytes: Uint8Array, text: string): boolean {
  // A run of 16 digits has one at a multiple of 16, so most bytes need no look.
  for (let at = digitsMin - 1; at < bytes.length; at += digitsMin) {
    if (!isDigit(bytes[at]!)) continue
    let first = at
    while (first > 0 && isDigit(bytes[first - 1]!)) first--
    let end = at + 1
    while (end < bytes.length && isDigit(bytes[end]!)) end++
    if (end - first >= digitsMin && beginsNumber(bytes, first) && !isSafe(bytes, first, end)) return true
    at = end - 1
  }
  return /\d[eE]\+?\d{3,}[\s,\]}]/.test(text)
}

/** Can a JSON number begin with the digit at `at`, by what stands before it? */
function beginsNumber(bytes: Uint8Array, at: number): boolean {
  const before = at > 0 && bytes[at - 1] === minus ? at - 2 : at - 1
  return before < 0 || ' \t\r\n:,['.includes(String.fromCharCode(bytes[before]!))
}

/** Is the number of 16 digits and more a whole one that a double holds? */
function isSafe(bytes: Uint8Array, first: number, end: number): boolean {
  const after = bytes[end]
  if (end - first > digitsMin || after === point || after === 0x65 || after === 0x45) return false
  let value = 0
  for (let at = first; at < end; at++) value = value * 10 + (bytes[at]! - zero)
  return value <= Number.MAX_SAFE_INTEGER
}

function isDigit(byte: number): boolean {
  return byte >= zero && byte <= nine
}

/**
 * Bytes for many short texts, in one buffer: of the request's body, when its text has been read. A text that does not
 * surely fit gets a buffer of its own.
 */
export class ByteArena {
  readonly #buffer: Buffer
  #at = 0

  /** @param bytes the caller's own, and of no use to it any more */
  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** UTF-8. */
  encodeText(text: string): Uint8Array {
    // At most three bytes per UTF-16 unit.
    if (text.length * 3 > this.#buffer.length - this.#at) return plain(Buffer.from(text, 'utf8'))
    return this.#taken(this.#buffer.write(text, this.#at, 'utf8'))
  }

  /** Base64 with or without padding, also of the URL alphabet; undefined where the text is anything else. */
  decodeBase64(text: string): Uint8Array | undefined {
    const size = base64Size(text)
    if (size < 0) return undefined
    if (size > this.#buffer.length - this.#at) {
      const bytes = Buffer.from(text, 'base64')
      return bytes.length === size ? plain(bytes) : undefined
    }
    // Node skips what is not base64, so a wrong text comes out shorter than it should.
    const written = this.#buffer.write(text, this.#at, size, 'base64')
    return written === size ? this.#taken(written) : undefined
  }

  #taken(length: number): Uint8Array {
    const from = this.#buffer.byteOffset + this.#at
    this.#at += length
    return new Uint8Array(this.#buffer.buffer, from, length)
  }
}

/** Bytes that the text must decode to if it is base64; -1 where its length alone says it is not. */
function base64Size(text: string): number {
  let { length } = text
  if (length > 0 && text.charCodeAt(length - 1) === 0x3d) {
    if (length % 4 !== 0) return -1
    length -= text.charCodeAt(length - 2) === 0x3d ? 2 : 1
  }
  return length % 4 === 1 ? -1 : Math.floor((length * 3) / 4)
}

/** Up to this length a loop is faster than two calls into Node (measured: equal at 160 bytes, a tenth at 10). */
const loopBytesMax = 160

/**
 * Decodes the base64 in these bytes to where it stands; answers the length of what came of it. -1 where it is not base64: the
 * bytes are then as they were.
 */
export function decodeBase64InPlace(buffer: Buffer, from: number, end: number): number {
  if (end - from <= loopBytesMax) return decodeInLoop(buffer, from, end)
  const text = buffer.toString('latin1', from, end)
  const size = base64Size(text)
  if (size < 0) return -1
  if (buffer.write(text, from, size, 'base64') === size) return size
  buffer.write(text, from, 'latin1')
  return -1
}

const sixBits = new Uint8Array(256).fill(255)
for (const alphabet of ['+/', '-_'])
  for (const [index, byte] of Buffer.from(
    `ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789${alphabet}`,
  ).entries())
    sixBits[byte] = index

const padding = 0x3d

function decodeInLoop(bytes: Uint8Array, from: number, end: number): number {
  let last = end
  if (last > from && bytes[last - 1] === padding) {
    if ((end - from) % 4 !== 0) return -1
    last -= bytes[last - 2] === padding ? 2 : 1
  }
  const rest = (last - from) % 4
  if (rest === 1) return -1
  let all = 0
  for (let at = from; at < last; at++) all |= sixBits[bytes[at]!]!
  if (all > 63) return -1
  let to = from
  for (let at = from; at < last - rest; at += 4) {
    const word =
      (sixBits[bytes[at]!]! << 18) |
      (sixBits[bytes[at + 1]!]! << 12) |
      (sixBits[bytes[at + 2]!]! << 6) |
      sixBits[bytes[at + 3]!]!
    bytes[to] = word >> 16
    bytes[to + 1] = word >> 8
    bytes[to + 2] = word
    to += 3
  }
  if (rest === 0) return to - from
  const word =
    (sixBits[bytes[last - rest]!]! << 10) |
    (sixBits[bytes[last - rest + 1]!]! << 4) |
    (rest === 3 ? sixBits[bytes[last - 1]!]! >> 2 : 0)
  bytes[to++] = word >> 8
  if (rest === 3) bytes[to++] = word
  return to - from
}

function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}

/** A user's value in a message: as JSON, and not longer than a line. */
export function shown(value: unknown): string {
  let text: string
  try {
    text = JSON.stringify(value) ?? 'undefined'
  } catch {
    text = 'a value that is nested too deeply'
  }
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

/**
 * What `data` is in a format, or the sentence that says what it should be.
 * @param data not null
 * @throws RangeError where JSON is nested too deeply to be written
 */
export function encodeEmbedded(format: EmbeddedFormat, data: unknown, arena: ByteArena): Uint8Array | string {
  switch (format) {
    case 'json':
      return arena.encodeText(JSON.stringify(data))
    case 'text':
      return typeof data === 'string' ? arena.encodeText(data) : `data=${shown(data)} is not a string.`
    case 'binary': {
      if (typeof data !== 'string') return `data=${shown(data)} is not a base64 string.`
      return arena.decodeBase64(data) ?? `data=${shown(data)} is not a valid base64 string.`
    }
    default:
      return format satisfies never
  }
}
