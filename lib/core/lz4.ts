/**
 * LZ4 in its frame format. Portable and with bounded memory, so that functions, servers and browsers share it.
 *
 *   magic             04 22 4d 18
 *   FLG               bits 7-6 version 01, 5 blocks independent, 4 block checksums, 3 content size,
 *                     2 content checksum, 1 zero, 0 dictionary id
 *   BD                bits 6-4 largest block: 4..7 = 64 KiB, 256 KiB, 1 MiB, 4 MiB
 *   content size      u64, if said        (all numbers little-endian)
 *   dictionary id     u32, if said        (no Kafka client uses one: refused)
 *   header checksum   second byte of the xxHash32 of FLG to here
 *   blocks            u32 size, bit 31 set if stored uncompressed; the bytes; u32 xxHash32 of them, if said
 *   end               u32 0
 *   content checksum  u32 xxHash32 of everything decompressed, if said
 *
 * A compressed block is a series of sequences:
 *
 *   token             4 bits literal length, 4 bits match length - 4; 15: more follows
 *   literal length    bytes to add, until one is not 255
 *   literals
 *   distance          u16, back from here; missing after the last literals of a block
 *   match length      bytes to add, until one is not 255
 *
 * Written as Kafka's own client writes it (and as the only thing it reads): independent blocks of 64 KiB, no checksums
 * but the header's, since the batch has its CRC. Read: all of the above.
 */
import type { Decompressed } from './codec.ts'
import { xxhash32 } from './xxhash32.ts'

const magic = 0x184d2204
const independentFlag = 0x20
const blockChecksumFlag = 0x10
const contentSizeFlag = 0x08
const contentChecksumFlag = 0x04
const reservedFlag = 0x02
const dictionaryFlag = 0x01
const storedBit = 0x80000000
/** A byte of match length yields 255 bytes: no honest block expands further. */
const expansionMax = 255

// --- Decompression ---------------------------------------------------------------------------------------------------

interface Frame {
  flags: number
  blockBytesMax: number
  contentSize: number | null
  blocksAt: number
}

/** Reads one frame; `bytesMax` bounds what is allocated. */
export function lz4Decompress(bytes: Uint8Array, bytesMax: number): Decompressed {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const frame = readFrame(bytes, view)
  if (typeof frame === 'string') return corrupt(frame)
  const bound = measureBlocks(bytes, view, frame)
  if (typeof bound === 'string') return corrupt(bound)
  const { contentSize } = frame
  if (contentSize !== null && contentSize > bound) return corrupt('the frame claims more than it can hold')
  if (contentSize !== null && contentSize > bytesMax) return tooLarge(bytesMax)
  const target = new Uint8Array(Math.min(contentSize ?? bound, bytesMax))

  const hasBlockChecksums = (frame.flags & blockChecksumFlag) !== 0
  const isIndependent = (frame.flags & independentFlag) !== 0
  let at = frame.blocksAt
  let to = 0
  for (;;) {
    const field = view.getUint32(at, true)
    at += 4
    if (field === 0) break
    const size = field & ~storedBit
    const end = at + size
    if (hasBlockChecksums && xxhash32(bytes.subarray(at, end)) !== view.getUint32(end, true)) {
      return corrupt('a block fails its checksum')
    }
    const stop = Math.min(to + frame.blockBytesMax, target.length)
    if (field & storedBit) {
      if (size > stop - to) return overrun(frame, target, bytesMax)
      target.set(bytes.subarray(at, end), to)
      to += size
    } else {
      const reached = decompressBlock(bytes, at, end, target, isIndependent ? to : 0, to, stop)
      if (reached === damaged) return corrupt('a block is damaged')
      if (reached === noRoom) return overrun(frame, target, bytesMax)
      to = reached
    }
    at = end + (hasBlockChecksums ? 4 : 0)
  }
  if (contentSize !== null && to !== contentSize) return corrupt(`${to} bytes; the frame claims ${contentSize}`)
  const content = to === target.length ? target : target.subarray(0, to)
  if (frame.flags & contentChecksumFlag) {
    if (xxhash32(content) !== view.getUint32(at, true)) return corrupt('the content fails its checksum')
    at += 4
  }
  if (at !== bytes.length) return corrupt(`${bytes.length - at} bytes follow the frame`)
  return { ok: true, bytes: content }
}

function readFrame(bytes: Uint8Array, view: DataView): Frame | string {
  if (bytes.length < 7) return 'the frame is cut short'
  if (view.getUint32(0, true) !== magic) return 'there is no LZ4 frame'
  const flags = bytes[4]!
  const descriptor = bytes[5]!
  if (flags >>> 6 !== 1) return `frame version ${flags >>> 6} is not known`
  if (flags & reservedFlag || descriptor & 0x8f) return 'a reserved bit is set'
  if (flags & dictionaryFlag) return 'dictionaries are not supported'
  const blockSizeId = descriptor >>> 4
  if (blockSizeId < 4) return `block size ${blockSizeId} is not known`
  let at = 6
  let contentSize: number | null = null
  if (flags & contentSizeFlag) {
    if (bytes.length < at + 9) return 'the frame is cut short'
    contentSize = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32
    at += 8
  }
  if (((xxhash32(bytes.subarray(4, at)) >>> 8) & 0xff) !== bytes[at]) return 'the frame header fails its checksum'
  return { flags, blockBytesMax: 1 << (8 + 2 * blockSizeId), contentSize, blocksAt: at + 1 }
}

/**
 * The most that the blocks can hold, or what is wrong with their framing: afterwards every size field is known to be
 * good. All blocks but the last are full as a rule, and the last one is measured: the bound is close.
 */
function measureBlocks(bytes: Uint8Array, view: DataView, frame: Frame): number | string {
  const { flags, blockBytesMax, blocksAt } = frame
  const checksumBytes = flags & blockChecksumFlag ? 4 : 0
  const length = view.byteLength
  let full = 0
  let last = 0
  let at = blocksAt
  for (;;) {
    if (length - at < 4) return 'the frame is cut short'
    const field = view.getUint32(at, true)
    at += 4
    if (field === 0) break
    const size = field & ~storedBit
    if (size > blockBytesMax) return `a block of ${size} bytes; the frame allows ${blockBytesMax}`
    if (length - at < size + checksumBytes) return 'the frame is cut short'
    full += last
    last = field & storedBit ? size : Math.min(blockBytesMax, size * expansionMax)
    const next = at + size + checksumBytes
    if (!(field & storedBit) && length - next >= 4 && view.getUint32(next, true) === 0) {
      last = Math.min(last, measureBlock(bytes, at, at + size))
    }
    at = next
  }
  if (flags & contentChecksumFlag && length - at < 4) return 'the frame is cut short'
  return full + last
}

/** What the lengths of a block add up to; whether its sequences are good is for the decompression to say. */
function measureBlock(bytes: Uint8Array, from: number, end: number): number {
  let total = 0
  for (let at = from; at < end; ) {
    const token = bytes[at++]!
    let literals = token >>> 4
    if (literals === 15) {
      let more = 255
      while (more === 255 && at < end) literals += more = bytes[at++]!
    }
    total += literals
    at += literals + 2
    if (at > end) break
    let match = token & 15
    if (match === 15) {
      let more = 255
      while (more === 255 && at < end) match += more = bytes[at++]!
    }
    total += match + 4
  }
  return total
}

/** A block did not fit: because of the caller's limit, or against what the frame itself says? */
function overrun(frame: Frame, target: Uint8Array, bytesMax: number): Decompressed {
  if (frame.contentSize === null && target.length === bytesMax) return tooLarge(bytesMax)
  return corrupt('a block holds more than its frame allows')
}

const damaged = -1
const noRoom = -2

/** Writes from `start` on, not beyond `stop`, copying from no earlier than `earliest`; answers where it ended. */
function decompressBlock(
  bytes: Uint8Array,
  from: number,
  end: number,
  target: Uint8Array,
  earliest: number,
  start: number,
  stop: number,
): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const targetView = new DataView(target.buffer, target.byteOffset, target.byteLength)
  let at = from
  let to = start
  while (at < end) {
    const token = bytes[at++]!
    let length = token >>> 4
    if (length === 15) {
      let more: number
      do {
        if (at >= end) return damaged
        more = bytes[at++]!
        length += more
      } while (more === 255)
    }
    if (length > end - at) return damaged
    if (length > stop - to) return noRoom
    if (length > 32) {
      target.set(bytes.subarray(at, at + length), to)
    } else if (to + length + 3 <= stop && at + length + 3 <= end) {
      for (let i = 0; i < length; i += 4) targetView.setInt32(to + i, view.getInt32(at + i, true), true)
    } else {
      for (let i = 0; i < length; i++) target[to + i] = bytes[at + i]!
    }
    to += length
    at += length
    if (at === end) return to

    if (end - at < 2) return damaged
    const distance = bytes[at]! | (bytes[at + 1]! << 8)
    at += 2
    length = (token & 15) + 4
    if (length === 19) {
      let more: number
      do {
        if (at >= end) return damaged
        more = bytes[at++]!
        length += more
      } while (more === 255)
    }
    if (distance === 0 || distance > to - earliest) return damaged
    if (length > stop - to) return noRoom
    const source = to - distance
    if (length > 64 && distance >= length) {
      target.copyWithin(to, source, source + length)
    } else if (distance >= 4 && to + length + 3 <= stop) {
      for (let i = 0; i < length; i += 4) targetView.setInt32(to + i, targetView.getInt32(source + i, true), true)
    } else {
      // In order, for a match may overlap what it writes: that is how a run is expressed.
      for (let i = 0; i < length; i++) target[to + i] = target[source + i]!
    }
    to += length
  }
  return damaged // a block ends with literals, if only none
}

// --- Compression -----------------------------------------------------------------------------------------------------

const blockBytes = 65_536
const headerBytes = 7
/** The last match begins this far before the end of a block at the latest, and the last bytes are literals: the format's rule. */
const matchFreeBytes = 12
const lastLiterals = 5

/** Last position + 1 (relative to the block) of each hash of four bytes; cleared per block, so the output is a function of the input. */
const hashBits = 13
const positions = new Int32Array(1 << hashBits)

/** Compresses into one frame. */
export function lz4Compress(bytes: Uint8Array): Uint8Array {
  const blocks = Math.ceil(bytes.length / blockBytes)
  // A block that does not shrink is stored, but is written in full before that is known.
  const target = new Uint8Array(headerBytes + bytes.length + blocks * 4 + 4 + Math.ceil(blockBytes / 255) + 16)
  const view = new DataView(target.buffer)
  view.setUint32(0, magic, true)
  target[4] = 0x40 | independentFlag
  target[5] = 4 << 4
  target[6] = (xxhash32(target.subarray(4, 6)) >>> 8) & 0xff
  let to = headerBytes
  for (let from = 0; from < bytes.length; from += blockBytes) {
    const end = Math.min(from + blockBytes, bytes.length)
    const next = compressBlock(bytes, from, end, target, to + 4)
    const size = next - to - 4
    if (size < end - from) {
      view.setUint32(to, size, true)
      to = next
    } else {
      view.setUint32(to, (end - from) | storedBit, true)
      target.set(bytes.subarray(from, end), to + 4)
      to += 4 + end - from
    }
  }
  view.setUint32(to, 0, true)
  return target.slice(0, to + 4)
}

function compressBlock(bytes: Uint8Array, from: number, end: number, target: Uint8Array, at: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let to = at
  let anchor = from
  positions.fill(0)
  const base = from - 1
  const matchEnd = end - lastLiterals
  let scan = from
  // The farther the last match, the larger the steps: bytes that do not compress are soon left alone.
  let misses = 64
  for (const last = end - matchFreeBytes; scan <= last; ) {
    const word = view.getInt32(scan, true)
    const slot = Math.imul(word, 0x9e3779b1) >>> (32 - hashBits)
    const candidate = base + positions[slot]!
    positions[slot] = scan - base
    if (candidate < from || view.getInt32(candidate, true) !== word) {
      scan += misses++ >>> 6
      continue
    }
    misses = 64
    const distance = scan - candidate
    const literals = scan - anchor
    let match = candidate + 4
    let ahead = scan + 4
    while (ahead < matchEnd && bytes[ahead] === bytes[match]) {
      ahead++
      match++
    }
    const matched = ahead - scan - 4
    target[to++] = (Math.min(literals, 15) << 4) | Math.min(matched, 15)
    to = writeSequenceLiterals(bytes, anchor, scan, target, to)
    target[to++] = distance & 0xff
    target[to++] = distance >>> 8
    if (matched >= 15) to = writeLength(target, to, matched - 15)
    scan = ahead
    anchor = ahead
    if (scan <= last) {
      // One position inside the match: the next repetition of a record is found from its start.
      const inside = scan - 2
      const before = view.getInt32(inside, true)
      positions[Math.imul(before, 0x9e3779b1) >>> (32 - hashBits)] = inside - base
    }
  }
  target[to++] = Math.min(end - anchor, 15) << 4
  return writeSequenceLiterals(bytes, anchor, end, target, to)
}

function writeSequenceLiterals(bytes: Uint8Array, from: number, end: number, target: Uint8Array, at: number): number {
  const length = end - from
  const to = length >= 15 ? writeLength(target, at, length - 15) : at
  if (length > 32) target.set(bytes.subarray(from, end), to)
  else for (let i = 0; i < length; i++) target[to + i] = bytes[from + i]!
  return to + length
}

function writeLength(target: Uint8Array, at: number, length: number): number {
  let to = at
  let left = length
  for (; left >= 255; left -= 255) target[to++] = 255
  target[to++] = left
  return to
}

function corrupt(message: string): Decompressed {
  return { ok: false, reason: 'corrupt', message }
}

function tooLarge(bytesMax: number): Decompressed {
  return { ok: false, reason: 'too-large', message: `more than ${bytesMax} bytes` }
}
