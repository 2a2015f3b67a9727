/**
 * Snappy, in the two dresses that Kafka clients give it. Portable and with bounded memory, so that functions, servers
 * and browsers share it.
 *
 * A raw block:
 *
 *   length      unsigned varint   bytes after decompression
 *   elements    tag byte, its low two bits the kind:
 *     0  literal   upper 6 bits: length - 1, or 60..63: it follows in 1..4 bytes (little-endian); then the bytes
 *     1  copy      3 bits: length - 4 (4..11); 3 bits and 1 byte: distance below 2048
 *     2  copy      6 bits: length - 1 (1..64); 2 bytes: distance
 *     3  copy      6 bits: length - 1 (1..64); 4 bytes: distance
 *
 * The xerial framing (what Kafka's own client writes, hence what we write):
 *
 *   magic       82 53 4e 41 50 50 59 00
 *   version     i32 big-endian, 1
 *   compatible  i32 big-endian, 1
 *   blocks      i32 big-endian: size, then a raw block of that size
 *
 * librdkafka and others write one raw block with no framing; both are read.
 */
import type { Decompressed } from './codec.ts'

const xerialMagic = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]
const xerialHeaderBytes = 16
/** Bytes before compression of each block of a frame: what xerial's own writer takes. */
const blockBytes = 32_768
/** A three-byte copy yields 64 bytes: no honest block expands further. */
const expansionMax = 22

// --- Decompression ---------------------------------------------------------------------------------------------------

/** Reads xerial framing or one raw block; `bytesMax` bounds what is allocated. */
export function snappyDecompress(bytes: Uint8Array, bytesMax: number): Decompressed {
  const blocks = isXerial(bytes) ? xerialBlocks(bytes) : [{ from: 0, end: bytes.length }]
  if (blocks === null) return corrupt('the framing is cut short')
  let total = 0
  const opened: { from: number; end: number; size: number }[] = []
  for (const { from, end } of blocks) {
    const preamble = readPreamble(bytes, from, end)
    if (preamble === null) return corrupt('a block has no length')
    if (preamble.size > (end - preamble.at) * expansionMax) return corrupt('a block claims more than it can hold')
    total += preamble.size
    opened.push({ from: preamble.at, end, size: preamble.size })
  }
  if (total > bytesMax) return { ok: false, reason: 'too-large', message: `${total} bytes; ${bytesMax} are allowed` }
  const target = new Uint8Array(total)
  let at = 0
  for (const { from, end, size } of opened) {
    if (!decompressBlock(bytes, from, end, target, at, at + size)) return corrupt('a block is damaged')
    at += size
  }
  return { ok: true, bytes: target }
}

function isXerial(bytes: Uint8Array): boolean {
  return bytes.length >= xerialHeaderBytes && xerialMagic.every((byte, at) => bytes[at] === byte)
}

/** Where the blocks of a framed stream lie; null if the last one is cut short. */
function xerialBlocks(bytes: Uint8Array): { from: number; end: number }[] | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const blocks: { from: number; end: number }[] = []
  let at = xerialHeaderBytes
  while (at < bytes.length) {
    if (bytes.length - at < 4) return null
    const size = view.getInt32(at)
    const from = at + 4
    if (size <= 0 || size > bytes.length - from) return null
    at = from + size
    blocks.push({ from, end: at })
  }
  return blocks
}

function readPreamble(bytes: Uint8Array, from: number, end: number): { at: number; size: number } | null {
  let size = 0
  let at = from
  for (let shift = 0; shift < 35 && at < end; shift += 7) {
    const byte = bytes[at++]!
    if (shift === 28 && byte > 0x0f) return null
    size |= (byte & 0x7f) << shift
    if (byte < 0x80) return { at, size: size >>> 0 }
  }
  return null
}

/** Fills `target` from `start` to `stop` exactly; false if the elements do not. A copy stays within its own block. */
function decompressBlock(
  bytes: Uint8Array,
  from: number,
  end: number,
  target: Uint8Array,
  start: number,
  stop: number,
): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const targetView = new DataView(target.buffer, target.byteOffset, target.byteLength)
  let at = from
  let to = start
  while (at < end) {
    const tag = bytes[at++]!
    const kind = tag & 3
    let length = (tag >>> 2) + 1
    if (kind === 0) {
      if (length > 60) {
        const more = length - 60
        if (at + more > end) return false
        length = bytes[at]!
        for (let i = 1; i < more; i++) length |= bytes[at + i]! << (8 * i)
        if (length < 0) return false
        length += 1
        at += more
      }
      if (length > end - at || length > stop - to) return false
      if (length > 32) {
        target.set(bytes.subarray(at, at + length), to)
      } else if (to + length + 3 <= stop && at + length + 3 <= end) {
        for (let i = 0; i < length; i += 4) targetView.setInt32(to + i, view.getInt32(at + i, true), true)
      } else {
        for (let i = 0; i < length; i++) target[to + i] = bytes[at + i]!
      }
      to += length
      at += length
      continue
    }
    let distance: number
    if (kind === 1) {
      if (at >= end) return false
      length = ((tag >>> 2) & 7) + 4
      distance = ((tag >>> 5) << 8) | bytes[at]!
      at += 1
    } else if (kind === 2) {
      if (at + 2 > end) return false
      distance = bytes[at]! | (bytes[at + 1]! << 8)
      at += 2
    } else {
      if (at + 4 > end) return false
      distance = (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
      at += 4
    }
    if (distance === 0 || distance > to - start || length > stop - to) return false
    const source = to - distance
    if (distance >= 4 && to + length + 3 <= stop) {
      for (let i = 0; i < length; i += 4) targetView.setInt32(to + i, targetView.getInt32(source + i, true), true)
    } else {
      // In order, for a copy may overlap what it writes: that is how a run is expressed.
      for (let i = 0; i < length; i++) target[to + i] = target[source + i]!
    }
    to += length
  }
  return to === stop
}

// --- Compression -----------------------------------------------------------------------------------------------------

/** Compresses into xerial framing. */
export function snappyCompress(bytes: Uint8Array): Uint8Array {
  const count = Math.ceil(bytes.length / blockBytes)
  const target = new Uint8Array(xerialHeaderBytes + count * 16 + bytes.length + Math.ceil(bytes.length / 6))
  const view = new DataView(target.buffer)
  target.set(xerialMagic)
  view.setInt32(8, 1)
  view.setInt32(12, 1)
  let to = xerialHeaderBytes
  for (let from = 0; from < bytes.length; from += blockBytes) {
    const next = compressBlock(bytes, from, Math.min(from + blockBytes, bytes.length), target, to + 4)
    view.setInt32(to, next - to - 4)
    to = next
  }
  return target.slice(0, to)
}

/** Last position + 1 (relative to the block) of each hash of four bytes; cleared per block, so the output is a function of the input. */
const hashBits = 13
const positions = new Uint16Array(1 << hashBits)

function compressBlock(bytes: Uint8Array, from: number, end: number, target: Uint8Array, at: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let to = at
  let size = end - from
  for (; size > 0x7f; size >>>= 7) target[to++] = (size & 0x7f) | 0x80
  target[to++] = size

  positions.fill(0)
  const base = from - 1
  let anchor = from
  let scan = from
  // The farther the last match, the larger the steps: bytes that do not compress are soon left alone.
  let misses = 32
  for (const last = end - 4; scan <= last; ) {
    const word = view.getInt32(scan, true)
    const slot = Math.imul(word, 0x1e35a7bd) >>> (32 - hashBits)
    const candidate = base + positions[slot]!
    positions[slot] = scan - base
    if (candidate < from || view.getInt32(candidate, true) !== word) {
      scan += misses++ >>> 5
      continue
    }
    misses = 32
    if (scan > anchor) to = writeLiteral(bytes, anchor, scan, target, to)
    const distance = scan - candidate
    let match = candidate + 4
    const begin = scan
    scan += 4
    while (scan < end && bytes[scan] === bytes[match]) {
      scan++
      match++
    }
    to = writeCopies(target, to, distance, scan - begin)
    anchor = scan
    if (scan <= last) {
      // One position inside the match: the next repetition of a record is found from its start.
      const inside = scan - 1
      const before = view.getInt32(inside, true)
      positions[Math.imul(before, 0x1e35a7bd) >>> (32 - hashBits)] = inside - base
    }
  }
  return anchor < end ? writeLiteral(bytes, anchor, end, target, to) : to
}

function writeLiteral(bytes: Uint8Array, from: number, end: number, target: Uint8Array, at: number): number {
  const length = end - from
  let to = at
  if (length <= 60) {
    target[to++] = (length - 1) << 2
  } else if (length <= 0x100) {
    target[to++] = 60 << 2
    target[to++] = length - 1
  } else {
    target[to++] = 61 << 2
    target[to++] = (length - 1) & 0xff
    target[to++] = (length - 1) >>> 8
  }
  if (length > 32) target.set(bytes.subarray(from, end), to)
  else for (let i = 0; i < length; i++) target[to + i] = bytes[from + i]!
  return to + length
}

function writeCopies(target: Uint8Array, at: number, distance: number, length: number): number {
  let to = at
  let left = length
  // A rest of 1..3 would need the three-byte form as well: leave at least 4 for the short form.
  for (; left >= 68; left -= 64) to = writeCopy(target, to, distance, 64)
  if (left > 64) {
    to = writeCopy(target, to, distance, 60)
    left -= 60
  }
  return writeCopy(target, to, distance, left)
}

function writeCopy(target: Uint8Array, at: number, distance: number, length: number): number {
  if (length < 12 && distance < 2048) {
    target[at] = ((distance >>> 8) << 5) | ((length - 4) << 2) | 1
    target[at + 1] = distance & 0xff
    return at + 2
  }
  target[at] = ((length - 1) << 2) | 2
  target[at + 1] = distance & 0xff
  target[at + 2] = distance >>> 8
  return at + 3
}

function corrupt(message: string): Decompressed {
  return { ok: false, reason: 'corrupt', message }
}
