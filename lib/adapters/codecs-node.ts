/**
 * The codecs wherever Node runs, functions included: gzip and zstd from node:zlib, the rest portable. No native module.
 */
import type { Codecs, CompressionType, Decompressed } from '../core/codec.ts'
import { crc32c } from '../core/crc32c.ts'
import { lz4Compress, lz4Decompress } from '../core/lz4.ts'
import { snappyCompress, snappyDecompress } from '../core/snappy.ts'
import { gzipCompress, gzipDecompress } from './codecs-gzip.ts'
import { zstdCompress, zstdDecompress } from './codecs-zstd.ts'

export const nodeCodecs: Codecs = { crc32c, compress, decompress }

function compress(type: CompressionType, bytes: Uint8Array, level?: number): Uint8Array {
  switch (type) {
    case 'none':
      return bytes
    case 'gzip':
      return gzipCompress(bytes, level)
    case 'snappy':
      return snappyCompress(bytes)
    case 'lz4':
      return lz4Compress(bytes)
    case 'zstd':
      return zstdCompress(bytes, level)
    default:
      return type satisfies never
  }
}

function decompress(type: CompressionType, bytes: Uint8Array, bytesMax: number): Decompressed {
  switch (type) {
    case 'none':
      if (bytes.length <= bytesMax) return { ok: true, bytes }
      return { ok: false, reason: 'too-large', message: `${bytes.length} bytes; ${bytesMax} are allowed` }
    case 'gzip':
      return gzipDecompress(bytes, bytesMax)
    case 'snappy':
      return snappyDecompress(bytes, bytesMax)
    case 'lz4':
      return lz4Decompress(bytes, bytesMax)
    case 'zstd':
      return zstdDecompress(bytes, bytesMax)
    default:
      return type satisfies never
  }
}
