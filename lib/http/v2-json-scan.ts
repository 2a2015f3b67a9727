/**
 * A walk over JSON that makes no objects: it says where values begin and end. Exactly the texts that JSON.parse takes are
 * JSON here (RFC 8259), but for nesting beyond {@link jsonDepthMax}; a test holds the two against each other.
 *
 * Most bytes of a produce are keys and values that are stored as they are. JSON.parse would turn them into objects and
 * JSON.stringify back into text, which together take several times as long as this walk.
 */

/** Arrays and objects within each other (D8). */
export const jsonDepthMax = 1_000

const quote = 0x22
const comma = 0x2c
const minus = 0x2d
const plus = 0x2b
const point = 0x2e
const zero = 0x30
const nine = 0x39
const colon = 0x3a
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d
const smallU = 0x75

/** Bytes that stand for themselves within a string. */
const plain = new Uint8Array(256).fill(1)
plain.fill(0, 0, 0x20)
plain[quote] = 0
plain[backslash] = 0

const isEscape = bytesOf('"\\/bfnrt')
const isHex = bytesOf('0123456789abcdefABCDEF')
const isExponent = bytesOf('eE')
const literals = new Map(
  ['true', 'false', 'null'].map((text) => [text.charCodeAt(0), Uint8Array.from(Buffer.from(text))]),
)

function bytesOf(text: string): Uint8Array {
  const table = new Uint8Array(256)
  for (const byte of Buffer.from(text)) table[byte] = 1
  return table
}

export class JsonScan {
  readonly bytes: Uint8Array
  at: number
  /** The value that was walked over last. */
  from = 0
  end = 0
  /** Blanks between its parts. */
  hasBlanks = false
  /** Backslashes in its strings. */
  hasEscapes = false
  isTooDeep = false
  /** After a false: where it is no JSON, unless `at` is farther. */
  #faultAt = 0

  readonly #isObject = new Uint8Array(jsonDepthMax + 1)

  /** @param bytes UTF-8 */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.at = bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
  }

  /** Over the blanks; then answers the byte there, -1 at the end. */
  peek(): number {
    this.at = afterBlanks(this.bytes, this.at)
    return this.at < this.bytes.length ? this.bytes[this.at]! : -1
  }

  /** Over the blanks and this byte, if it is there. */
  take(byte: number): boolean {
    if (this.peek() !== byte) return false
    this.at++
    return true
  }

  /** Over the blanks, a string and the colon behind it: the name of a field. `from` and `end` are within the quotes. */
  name(): boolean {
    if (this.peek() !== quote) return false
    const end = this.#string(this.at)
    if (end < 0) return false
    this.from = this.at + 1
    this.end = end - 1
    this.at = end
    return this.take(colon)
  }

  /** Over the blanks and one value. False where there is none, which `at` is then of no use to say more about. */
  value(): boolean {
    const from = afterBlanks(this.bytes, this.at)
    this.hasBlanks = false
    this.hasEscapes = false
    const end = this.#value(from)
    if (end < 0) return false
    this.from = from
    this.end = end
    this.at = end
    return true
  }

  /** What is wrong with the bytes, after a false. */
  fault(): string {
    if (this.isTooDeep) return `arrays and objects are within each other more than ${jsonDepthMax} times`
    const at = Math.max(this.at, this.#faultAt)
    if (at >= this.bytes.length) return 'it ends too early'
    const byte = this.bytes[at]!
    const what = byte > 0x20 && byte < 0x7f ? `'${String.fromCharCode(byte)}'` : `0x${byte.toString(16)}`
    return `unexpected ${what} at byte ${at}`
  }

  #fail(at: number): -1 {
    this.#faultAt = at
    return -1
  }

  /** Where the value at `from` ends; -1 where there is none. */
  #value(from: number): number {
    const { bytes } = this
    const isObject = this.#isObject
    let depth = 0
    let at = from
    while (true) {
      // A value begins at `at`.
      const first = at < bytes.length ? bytes[at]! : -1
      if (first === quote) {
        at = this.#string(at)
        if (at < 0) return -1
      } else if (first === openBrace || first === openBracket) {
        if (depth === jsonDepthMax) {
          this.isTooDeep = true
          return this.#fail(at)
        }
        const next = this.#afterBlanks(at + 1)
        const inObject = first === openBrace
        if (bytes[next] === (inObject ? closeBrace : closeBracket)) {
          at = next + 1
        } else {
          isObject[++depth] = inObject ? 1 : 0
          at = inObject ? this.#field(next) : next
          if (at < 0) return -1
          continue
        }
      } else if ((first >= zero && first <= nine) || first === minus) {
        const end = numberEnd(bytes, at)
        if (end < 0) return this.#fail(~end)
        at = end
      } else {
        const end = literalEnd(bytes, at)
        if (end < 0) return this.#fail(~end)
        at = end
      }
      // A value ends at `at`.
      while (true) {
        if (depth === 0) return at
        at = this.#afterBlanks(at)
        const byte = bytes[at]
        if (byte === comma) {
          at = this.#afterBlanks(at + 1)
          if (isObject[depth] === 1) {
            at = this.#field(at)
            if (at < 0) return -1
          }
          break
        }
        if (byte !== (isObject[depth] === 1 ? closeBrace : closeBracket)) return this.#fail(at)
        depth--
        at++
      }
    }
  }

  /** Over the name of a field and its colon, to where its value must begin. */
  #field(from: number): number {
    const { bytes } = this
    if (bytes[from] !== quote) return this.#fail(from)
    const end = this.#string(from)
    if (end < 0) return -1
    const at = this.#afterBlanks(end)
    return bytes[at] === colon ? this.#afterBlanks(at + 1) : this.#fail(at)
  }

  #afterBlanks(from: number): number {
    const at = afterBlanks(this.bytes, from)
    if (at > from) this.hasBlanks = true
    return at
  }

  /** Where the string ends whose opening quote is at `from`. */
  #string(from: number): number {
    const { bytes } = this
    const { length } = bytes
    let at = from + 1
    while (at < length) {
      const byte = bytes[at]!
      if (plain[byte] === 1) at++
      else if (byte === quote) return at + 1
      else if (byte === backslash) {
        this.hasEscapes = true
        const end = escapeEnd(bytes, at)
        if (end < 0) return this.#fail(~end)
        at = end
      } else return this.#fail(at)
    }
    return this.#fail(length)
  }
}

function afterBlanks(bytes: Uint8Array, from: number): number {
  let at = from
  while (at < bytes.length) {
    const byte = bytes[at]!
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break
    at++
  }
  return at
}

// The following answer where something ends; where it is wrong, the complement (~) of where.

function escapeEnd(bytes: Uint8Array, from: number): number {
  const byte = bytes[from + 1] ?? 0
  if (isEscape[byte] === 1) return from + 2
  if (byte !== smallU) return ~(from + 1)
  for (let at = from + 2; at < from + 6; at++) if (isHex[bytes[at] ?? 0] !== 1) return ~at
  return from + 6
}

function digitsEnd(bytes: Uint8Array, from: number): number {
  let at = from
  while (at < bytes.length && bytes[at]! >= zero && bytes[at]! <= nine) at++
  return at
}

function numberEnd(bytes: Uint8Array, from: number): number {
  const first = bytes[from] === minus ? from + 1 : from
  let at = digitsEnd(bytes, first)
  if (at === first) return ~at
  if (bytes[first] === zero && at > first + 1) return ~(first + 1)
  if (bytes[at] === point) {
    const end = digitsEnd(bytes, at + 1)
    if (end === at + 1) return ~end
    at = end
  }
  if (isExponent[bytes[at] ?? 0] === 1) {
    const sign = bytes[at + 1]
    const digits = sign === plus || sign === minus ? at + 2 : at + 1
    const end = digitsEnd(bytes, digits)
    if (end === digits) return ~end
    at = end
  }
  return at
}

function literalEnd(bytes: Uint8Array, from: number): number {
  const literal = literals.get(bytes[from] ?? 0)
  if (literal === undefined) return ~from
  for (let index = 1; index < literal.length; index++)
    if (bytes[from + index] !== literal[index]) return ~(from + index)
  return from + literal.length
}

/** Takes the blanks out of the JSON value in these bytes, in place; answers where it then ends. */
export function dropBlanks(bytes: Uint8Array, from: number, end: number): number {
  let to = from
  let inString = false
  for (let at = from; at < end; at++) {
    const byte = bytes[at]!
    if (inString) {
      if (byte === backslash) {
        bytes[to++] = byte
        bytes[to++] = bytes[++at]!
        continue
      }
      if (byte === quote) inString = false
    } else {
      if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) continue
      if (byte === quote) inString = true
    }
    bytes[to++] = byte
  }
  return to
}
