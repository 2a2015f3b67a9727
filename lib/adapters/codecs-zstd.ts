/**
 * Zstandard by node:zlib, made strict about size and ends. Some Nodes decompress a frame that was cut short to its first part
 * without an error, and all ignore what follows a first frame; so the frame is walked here first (its block headers
 * only), which also bounds what it can hold before anything is allocated:
 *
 *   magic             28 b5 2f fd                       (all numbers little-endian)
 *   descriptor        bits 7-6 size of the content size, 5 single segment, 3 reserved, 2 checksum, 1-0 size of
 *                     the dictionary id
 *   window            1 byte unless single segment
 *   dictionary id     0, 1, 2 or 4 bytes
 *   content size      0 (1 if single segment), 2 (plus 256), 4 or 8 bytes
 *   blocks            3 bytes: bit 0 last, bits 2-1 type (0 raw, 1 repeated byte, 2 compressed), bits 23-3 size
 *   checksum          4 bytes if said
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { Decompressed } from '../core/codec.ts'
import { plainBytes, zlibFault } from './codecs-zlib.ts'

const magic = 0xfd2fb528
const blockBytesMax = 131_072

export function zstdCompress(bytes: Uint8Array, level?: number): Uint8Array {
  const params = level === undefined ? undefined : { [constants.ZSTD_c_compressionLevel]: level }
  return plainBytes(zstdCompressSync(bytes, params === undefined ? {} : { params }))
}

export function zstdDecompress(bytes: Uint8Array, bytesMax: number): Decompressed {
  const frame = measureFrame(bytes)
  if (typeof frame === 'string') return { ok: false, reason: 'corrupt', message: frame }
  const { contentSize, bound } = frame
  if (contentSize !== null && contentSize > bound) {
    return { ok: false, reason: 'corrupt', message: 'the frame claims more than it can hold' }
  }
  if (contentSize !== null && contentSize > bytesMax) {
    return { ok: false, reason: 'too-large', message: `${contentSize} bytes; ${bytesMax} are allowed` }
  }
  const limit = Math.min(contentSize ?? bound, bytesMax)
  try {
    // One byte more than the content: zlib allocates a further chunk as soon as one is full.
    const content = zstdDecompressSync(bytes, {
      chunkSize: Math.max(limit + 1, 64),
      maxOutputLength: Math.max(limit, 1),
    })
    if (contentSize === null || content.length === contentSize) return { ok: true, bytes: plainBytes(content) }
    return { ok: false, reason: 'corrupt', message: `${content.length} bytes; the frame claims ${contentSize}` }
  } catch (error) {
    return zlibFault(error)
  }
}

/** Walks the one frame that `bytes` must be; answers what it says and the most that it can hold. */
function measureFrame(bytes: Uint8Array): { contentSize: number | null; bound: number } | string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = bytes.length
  if (length < 5) return 'the frame is cut short'
  if (view.getUint32(0, true) !== magic) return 'there is no zstd frame'
  const descriptor = bytes[4]!
  const isSingleSegment = (descriptor & 0x20) !== 0
  const sizeBytes = descriptor >>> 6 === 0 ? (isSingleSegment ? 1 : 0) : 1 << (descriptor >>> 6)
  let at = 5 + (isSingleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!
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
  return { contentSize, bound }
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
