/**
 * Zstandard by node:zlib, made strict about size and ends. Some Nodes decompress a frame that was cut short to its first part
 * without an error, and all ignore what follows a first frame; so the frame is walked before (lib/core/zstd-frame.ts), which also bounds
 * what it can hold before anything is allocated.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { Decompressed } from '../core/codec.ts'
import { measureZstdFrame } from '../core/zstd-frame.ts'
import { plainBytes, zlibFault } from './codecs-zlib.ts'

export function zstdCompress(bytes: Uint8Array, level?: number): Uint8Array {
  const params = level === undefined ? undefined : { [constants.ZSTD_c_compressionLevel]: level }
  return plainBytes(zstdCompressSync(bytes, params === undefined ? {} : { params }))
}

export function zstdDecompress(bytes: Uint8Array, bytesMax: number): Decompressed {
  const frame = measureZstdFrame(bytes)
  if (typeof frame === 'string') return { ok: false, reason: 'corrupt', message: frame }
  const { contentSize, bound } = frame
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
