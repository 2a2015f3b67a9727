/**
 * The outside of a zstd frame: what it may hold, from its header and the headers of its blocks, before anything is decompressed.
 *
 *   magic             28 b5 2f fd                       (all numbers little-endian)
 *   descriptor        bits 7-6 size of the content size, 5 single segment, 3 reserved, 2 checksum, 1-0 size of
 *                     the dictionary id
 *   window            1 byte unless single segment: bits 7-3 exponent, 2-0 mantissa
 *   dictionary id     0, 1, 2 or 4 bytes
 *   content size      0 (1 if single segment), 2 (plus 256), 4 or 8 bytes
 *   blocks            3 bytes: bit 0 last, bits 2-1 type (0 raw, 1 repeated byte, 2 compressed), bits 23-3 size
 *   checksum          4 bytes if said
 */

const magic = 0xfd2fb528
const blockBytesMax = 131_072
const windowAt = 5

export interface ZstdFrame {
  /** Null: the frame does not say. */
  readonly contentSize: number | null
  /** The most that its blocks can hold. */
  readonly bound: number
  /** How far back its blocks may reach; null for a single segment, which may all through its content. */
  readonly windowBytes: number | null
}

/** Walks the one frame that `bytes` must be; a sentence where they are no whole frame, or more than one. */
export function measureZstdFrame(bytes: Uint8Array): ZstdFrame | string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = bytes.length
  if (length < 6) return 'the frame is cut short'
  if (view.getUint32(0, true) !== magic) return 'there is no zstd frame'
  const descriptor = bytes[4]!
  const isSingleSegment = (descriptor & 0x20) !== 0
  const window = bytes[windowAt]!
  const windowBytes = isSingleSegment ? null : 2 ** (10 + (window >>> 3)) * (1 + (window & 7) / 8)
  const sizeBytes = descriptor >>> 6 === 0 ? (isSingleSegment ? 1 : 0) : 1 << (descriptor >>> 6)
  let at = windowAt + (isSingleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!
  if (at + sizeBytes > length) return 'the frame is cut short'
  const contentSize = readContentSize(view, at, sizeBytes)
  at += sizeBytes
  let bound = 0
  for (let isLast = false; !isLast; ) {
    if (at + 3 > length) return 'the frame is cut short'
    const block = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16)
    isLast = (block & 1) !== 0
    const type = (block >>> 1) & 3
    const size = block >>> 3
    if (type === 3 || size > blockBytesMax) return 'a block is damaged'
    bound += type === 2 ? blockBytesMax : size
    at += 3 + (type === 1 ? 1 : size)
  }
  at += descriptor & 4 ? 4 : 0
  if (at > length) return 'the frame is cut short'
  if (at < length) return `${length - at} bytes follow the frame`
  if (contentSize !== null && contentSize > bound) return 'the frame claims more than it can hold'
  return { contentSize, bound, windowBytes }
}

/**
 * The same content, in a frame that asks for no larger a window than it can fill: at high levels it asks for 128 MiB, however little it
 * holds, and some decoders allocate, or refuse, what it asks for.
 */
export function narrowZstdWindow(bytes: Uint8Array, { contentSize, bound, windowBytes }: ZstdFrame): Uint8Array {
  const exponent = Math.max(0, Math.ceil(Math.log2(Math.max(contentSize ?? bound, 1))) - 10)
  if (windowBytes === null || 2 ** (10 + exponent) >= windowBytes) return bytes
  const narrowed = Uint8Array.from(bytes)
  narrowed[windowAt] = exponent << 3
  return narrowed
}

function readContentSize(view: DataView, at: number, sizeBytes: number): number | null {
  switch (sizeBytes) {
    case 0:
      return null
    case 1:
      return view.getUint8(at)
    case 2:
      return view.getUint16(at, true) + 256
    case 4:
      return view.getUint32(at, true)
    default:
      return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32
  }
}
