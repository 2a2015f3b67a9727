/**
 * Kafka's variable-length integers: groups of seven bits, least significant first, the high bit of a byte set when
 * another follows.
 *
 *   unsigned varint   32 bits, 1..5 bytes           lengths in the wire protocol
 *   varint            32 bits zig-zag, 1..5 bytes   everything in a record but
 *   varlong           64 bits zig-zag, 1..10 bytes  its timestamp delta
 *
 * Zig-zag maps 0, -1, 1, -2... to 0, 1, 2, 3... A varlong is read and written as a safe integer (magnitude below
 * 2^53): a larger one is refused on reading. Longer encodings than needed are read (Kafka reads them too), bits that
 * do not fit are refused.
 */

const two26 = 2 ** 26
const two27 = 2 ** 27
const two28 = 2 ** 28

/** Bytes of an unsigned varint; `value` in 0..2^32-1. */
export function unsignedVarintSize(value: number): number {
  const bits = 32 - Math.clz32(value)
  return bits <= 7 ? 1 : bits <= 14 ? 2 : bits <= 21 ? 3 : bits <= 28 ? 4 : 5
}

/** Bytes of a varint; `value` is a signed 32-bit integer. */
export function varintSize(value: number): number {
  return unsignedVarintSize(((value << 1) ^ (value >> 31)) >>> 0)
}

/** Bytes of a varlong; `value` is a safe integer. */
export function varlongSize(value: number): number {
  if (value === (value | 0)) return varintSize(value)
  let size = 1
  let rest = Math.floor((value < 0 ? -value - 1 : value) / 64)
  for (; rest >= two28; rest = Math.floor(rest / two28)) size += 4
  return size + (rest === 0 ? 0 : unsignedVarintSize(rest))
}

/** Writes `value` (0..2^32-1) at `at`; answers the position behind it. */
export function writeUnsignedVarint(bytes: Uint8Array, at: number, value: number): number {
  let next = at
  let rest = value >>> 0
  while (rest > 0x7f) {
    bytes[next++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  bytes[next++] = rest
  return next
}

/** Writes a signed 32-bit integer at `at`; answers the position behind it. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  return writeUnsignedVarint(bytes, at, (value << 1) ^ (value >> 31))
}

/** Writes a safe integer at `at`; answers the position behind it. */
export function writeVarlong(bytes: Uint8Array, at: number, value: number): number {
  if (value === (value | 0)) return writeVarint(bytes, at, value)
  // Zig-zag of a 54-bit magnitude does not fit a double: the sign goes into the first group by hand.
  const magnitude = value < 0 ? -value - 1 : value
  let rest = Math.floor(magnitude / 64)
  let next = at
  bytes[next++] = ((magnitude % 64) << 1) | (value < 0 ? 1 : 0) | 0x80
  while (rest > 0x7f) {
    bytes[next++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  bytes[next++] = rest
  return next
}

/**
 * Reads varints from `at` up to `end`. A reader fails once and for all: what does not fit sets `failed`, and that read
 * and all further ones answer 0, so that a caller may look at `failed` once per record instead of once per number.
 */
export class VarintReader {
  readonly bytes: Uint8Array
  at: number
  end: number
  failed = false

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  /** An unsigned 32-bit integer. */
  readUnsignedVarint(): number {
    return this.#readBits32() >>> 0
  }

  /** A signed 32-bit integer. */
  readVarint(): number {
    const at = this.at
    const bytes = this.bytes
    if (at + 2 < this.end) {
      let bits = bytes[at]!
      if (bits < 0x80) {
        this.at = at + 1
        return (bits >>> 1) ^ -(bits & 1)
      }
      bits = (bits & 0x7f) | (bytes[at + 1]! << 7)
      if (bits < 0x4000) {
        this.at = at + 2
        return (bits >>> 1) ^ -(bits & 1)
      }
      bits = (bits & 0x3fff) | (bytes[at + 2]! << 14)
      if (bits < 0x200000) {
        this.at = at + 3
        return (bits >>> 1) ^ -(bits & 1)
      }
    }
    const bits = this.#readBits32()
    return (bits >>> 1) ^ -(bits & 1)
  }

  /** A safe integer. */
  readVarlong(): number {
    const at = this.at
    const bytes = this.bytes
    // Up to three bytes, the delta of almost every record, without a loop.
    if (at + 2 < this.end) {
      let bits = bytes[at]!
      if (bits < 0x80) {
        this.at = at + 1
        return (bits >>> 1) ^ -(bits & 1)
      }
      bits = (bits & 0x7f) | (bytes[at + 1]! << 7)
      if (bits < 0x4000) {
        this.at = at + 2
        return (bits >>> 1) ^ -(bits & 1)
      }
      bits = (bits & 0x3fff) | (bytes[at + 2]! << 14)
      if (bits < 0x200000) {
        this.at = at + 3
        return (bits >>> 1) ^ -(bits & 1)
      }
    }
    return this.#readLongVarlong()
  }

  /** Steps over `size` bytes (a negative size fails); answers where they began. */
  skip(size: number): number {
    const from = this.at
    if (size < 0 || size > this.end - from) this.#fail()
    else this.at = from + size
    return from
  }

  #readBits32(): number {
    const bytes = this.bytes
    const end = this.end
    let at = this.at
    let bits = 0
    for (let shift = 0; shift < 35 && at < end; shift += 7) {
      const byte = bytes[at++]!
      if (shift === 28 && byte > 0x0f) break
      bits |= (byte & 0x7f) << shift
      if (byte < 0x80) {
        this.at = at
        return bits
      }
    }
    return this.#fail()
  }

  #readLongVarlong(): number {
    const bytes = this.bytes
    const end = this.end
    let at = this.at
    let low = 0 // bits 0..27
    let middle = 0 // bits 28..55
    let high = 0 // bits 56..63
    for (let group = 0; group < 10 && at < end; group++) {
      const byte = bytes[at++]!
      const bits = byte & 0x7f
      if (group < 4) low |= bits << (group * 7)
      else if (group < 8) middle |= bits << (group * 7 - 28)
      else if (group === 8) high |= bits
      else if (byte > 1) break
      else high |= bits << 7
      if (byte < 0x80) {
        // The magnitude is the 64 bits shifted right by one; safe means below 2^53, so bits 54 and up are clear.
        if (high !== 0 || middle >= two26) break
        const magnitude = (low >>> 1) + middle * two27
        const value = low & 1 ? -magnitude - 1 : magnitude
        if (!Number.isSafeInteger(value)) break
        this.at = at
        return value
      }
    }
    return this.#fail()
  }

  #fail(): number {
    this.failed = true
    this.end = this.at
    return 0
  }
}
