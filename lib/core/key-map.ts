/**
 * The last offset of each key of a run, for key compaction: 24 bytes a slot, whatever the length of the keys. A key is known by its
 * SipHash-2-4 with 128 bits of output under a secret of the pass, so that nobody can choose keys which collide: a collision would drop a
 * record. (Kafka keeps an MD5.) Two of a million keys have the same hash once in 10^26 passes.
 *
 * Open addressing, linear probing, at most three quarters full; it grows by doubling. 32-bit arithmetic: numbers have no 64-bit integers.
 */
import type { Offset } from './names.ts'

/** Four words of 32 bits. */
export type HashSecret = readonly [number, number, number, number]

const slotsMin = 1_024
const empty = -1
/** The hash that was computed last. */
const hash = new Uint32Array(4)

export class KeyMap {
  readonly #secret: HashSecret
  #hashes = new Uint32Array(slotsMin * 4)
  #offsets = new Float64Array(slotsMin).fill(empty)
  #size = 0

  constructor(secret: HashSecret) {
    this.#secret = secret
  }

  /** Distinct keys. */
  get size(): number {
    return this.#size
  }

  /** What the map holds in memory. */
  get bytes(): number {
    return this.#hashes.byteLength + this.#offsets.byteLength
  }

  /** Keeps the largest offset of the key. */
  put(key: Uint8Array, offset: Offset): void {
    sipHash128(key, this.#secret, hash)
    const slot = this.#find()
    const known = this.#offsets[slot]!
    if (known === empty) {
      this.#hashes.set(hash, slot * 4)
      this.#size++
    }
    if (offset > known) this.#offsets[slot] = offset
    if (this.#size * 4 > this.#offsets.length * 3) this.#grow()
  }

  get(key: Uint8Array): Offset | undefined {
    sipHash128(key, this.#secret, hash)
    const offset = this.#offsets[this.#find()]!
    return offset === empty ? undefined : offset
  }

  /** The slot of `hash`, or the empty one where it belongs. */
  #find(): number {
    const [a, b, c, d] = [hash[0]!, hash[1]!, hash[2]!, hash[3]!]
    const hashes = this.#hashes
    const mask = this.#offsets.length - 1
    for (let slot = a & mask; ; slot = (slot + 1) & mask) {
      if (this.#offsets[slot] === empty) return slot
      const at = slot * 4
      if (hashes[at] === a && hashes[at + 1] === b && hashes[at + 2] === c && hashes[at + 3] === d) return slot
    }
  }

  #grow(): void {
    const [hashes, offsets] = [this.#hashes, this.#offsets]
    const mask = offsets.length * 2 - 1
    this.#hashes = new Uint32Array(hashes.length * 2)
    this.#offsets = new Float64Array(offsets.length * 2).fill(empty)
    for (let from = 0; from < offsets.length; from++) {
      const offset = offsets[from]!
      if (offset === empty) continue
      let slot = hashes[from * 4]! & mask
      while (this.#offsets[slot] !== empty) slot = (slot + 1) & mask
      this.#offsets[slot] = offset
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
