/**
 * The last offset of each key of a run, for key compaction: 24 bytes a slot, whatever the length of the keys. A key is known by its
 * SipHash-2-4 with 128 bits of output under a secret of the pass, so that nobody can choose keys which collide: a collision would drop a
 * record. (Kafka keeps an MD5.) Two of a million keys have the same hash once in 10^26 passes.
 *
 * Open addressing, linear probing, at most three quarters full; it grows by doubling. What is not touched of a large map is not in memory: most systems
 * give pages of zeros when they are first written. 32-bit arithmetic: numbers have no 64-bit integers.
 */
import type { Offset } from './names.ts'

/** Four words of 32 bits. */
export type HashSecret = readonly [number, number, number, number]

const slotsMin = 1_024
/** The hash that was computed last. */
const hash = new Uint32Array(4)

export class KeyMap {
  readonly #secret: HashSecret
  #hashes: Uint32Array
  /** One more than the offset; 0 where there is none. */
  #ends: Float64Array
  #size = 0

  /** @param keysExpected so many do not make it grow, which holds up everything else for some tens of milliseconds a million */
  constructor(secret: HashSecret, keysExpected = 0) {
    this.#secret = secret
    let slots = slotsMin
    while (slots * 3 < keysExpected * 4) slots *= 2
    this.#hashes = new Uint32Array(slots * 4)
    this.#ends = new Float64Array(slots)
  }

  /** Distinct keys. */
  get size(): number {
    return this.#size
  }

  /** What the map holds at most in memory. */
  get bytes(): number {
    return this.#hashes.byteLength + this.#ends.byteLength
  }

  /** Keeps the largest offset of the key. */
  put(key: Uint8Array, offset: Offset): void {
    sipHash128(key, this.#secret, hash)
    const slot = this.#find()
    const known = this.#ends[slot]!
    if (known === 0) {
      this.#hashes.set(hash, slot * 4)
      this.#size++
    }
    if (offset >= known) this.#ends[slot] = offset + 1
    if (this.#size * 4 > this.#ends.length * 3) this.#grow()
  }

  get(key: Uint8Array): Offset | undefined {
    sipHash128(key, this.#secret, hash)
    const end = this.#ends[this.#find()]!
    return end === 0 ? undefined : end - 1
  }

  /** The slot of `hash`, or the empty one where it belongs. */
  #find(): number {
    const [a, b, c, d] = [hash[0]!, hash[1]!, hash[2]!, hash[3]!]
    const hashes = this.#hashes
    const ends = this.#ends
    const mask = ends.length - 1
    for (let slot = a & mask; ; slot = (slot + 1) & mask) {
      if (ends[slot] === 0) return slot
      const at = slot * 4
      if (hashes[at] === a && hashes[at + 1] === b && hashes[at + 2] === c && hashes[at + 3] === d) return slot
    }
  }

  #grow(): void {
    const [hashes, ends] = [this.#hashes, this.#ends]
    const mask = ends.length * 2 - 1
    this.#hashes = new Uint32Array(hashes.length * 2)
    this.#ends = new Float64Array(ends.length * 2)
    for (let from = 0; from < ends.length; from++) {
      const end = ends[from]!
      if (end === 0) continue
      let slot = hashes[from * 4]! & mask
      while (this.#ends[slot] !== 0) slot = (slot + 1) & mask
      this.#ends[slot] = end
      for (let word = 0; word < 4; word++) this.#hashes[slot * 4 + word] = hashes[from * 4 + word]!
    }
  }
}

/**
 * SipHash-2-4 with 128 bits of output (Aumasson, Bernstein). A 64-bit word is two of 32: l below, h above.
 *
 * @param out four words: the output, the lowest first
 */
export function sipHash128(bytes: Uint8Array, [k0l, k0h, k1l, k1h]: HashSecret, out: Uint32Array): void {
  const length = bytes.byteLength
  const blocks = (length >>> 3) + 1
  let [v0l, v0h] = [k0l ^ 0x70736575, k0h ^ 0x736f6d65]
  let [v1l, v1h] = [k1l ^ 0x6e646f6d ^ 0xee, k1h ^ 0x646f7261]
  let [v2l, v2h] = [k0l ^ 0x6e657261, k0h ^ 0x6c796765]
  let [v3l, v3h] = [k1l ^ 0x79746573, k1h ^ 0x74656462]
  let at = 0
  // The blocks of the message with two rounds each, then twice four rounds, after each of which half of the output is taken.
  for (let step = 0; step < blocks + 2; step++) {
    const isBlock = step < blocks
    let ml = 0
    let mh = 0
    if (step < blocks - 1) {
      ml = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
      mh = bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24)
      at += 8
    } else if (isBlock) {
      for (let i = 0; at + i < length; i++) {
        if (i < 4) ml |= bytes[at + i]! << (8 * i)
        else mh |= bytes[at + i]! << (8 * (i - 4))
      }
      mh |= (length & 0xff) << 24
    } else if (step === blocks) v2l ^= 0xee
    else v1l ^= 0xdd
    v3l ^= ml
    v3h ^= mh
    for (let round = isBlock ? 2 : 4; round > 0; round--) {
      let sum = (v0l >>> 0) + (v1l >>> 0)
      v0h = (v0h + v1h + (sum > 0xffffffff ? 1 : 0)) | 0
      v0l = sum | 0
      let l = (v1l << 13) | (v1h >>> 19)
      let h = (v1h << 13) | (v1l >>> 19)
      v1l = l ^ v0l
      v1h = h ^ v0h
      l = v0l
      v0l = v0h
      v0h = l

      sum = (v2l >>> 0) + (v3l >>> 0)
      v2h = (v2h + v3h + (sum > 0xffffffff ? 1 : 0)) | 0
      v2l = sum | 0
      l = (v3l << 16) | (v3h >>> 16)
      h = (v3h << 16) | (v3l >>> 16)
      v3l = l ^ v2l
      v3h = h ^ v2h

      sum = (v0l >>> 0) + (v3l >>> 0)
      v0h = (v0h + v3h + (sum > 0xffffffff ? 1 : 0)) | 0
      v0l = sum | 0
      l = (v3l << 21) | (v3h >>> 11)
      h = (v3h << 21) | (v3l >>> 11)
      v3l = l ^ v0l
      v3h = h ^ v0h

      sum = (v2l >>> 0) + (v1l >>> 0)
      v2h = (v2h + v1h + (sum > 0xffffffff ? 1 : 0)) | 0
      v2l = sum | 0
      l = (v1l << 17) | (v1h >>> 15)
      h = (v1h << 17) | (v1l >>> 15)
      v1l = l ^ v2l
      v1h = h ^ v2h
      l = v2l
      v2l = v2h
      v2h = l
    }
    v0l ^= ml
    v0h ^= mh
    if (!isBlock) {
      out[(step - blocks) * 2] = v0l ^ v1l ^ v2l ^ v3l
      out[(step - blocks) * 2 + 1] = v0h ^ v1h ^ v2h ^ v3h
    }
  }
}
