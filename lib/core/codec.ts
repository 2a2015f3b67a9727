/**
 * What the record batch needs from the outside: one checksum and four compressions. The formats are Kafka's; who
 * computes them (portable JavaScript, node:zlib, a native module) is an adapter's choice and never changes a byte
 * that a reader depends on.
 */

/** Kafka's compression types; the position in {@link compressionTypes} is the value of attribute bits 0..2. */
export type CompressionType = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

/** Index = attribute bits 0..2 of a record batch. Values 5 to 7 mean nothing (yet) and are refused. */
export const compressionTypes: readonly CompressionType[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

/** `corrupt`: the bytes are not what the codec writes. `too-large`: they are (so far), but expand beyond the limit. */
export type Decompressed =
  | { ok: true; bytes: Uint8Array }
  | { ok: false; reason: 'corrupt' | 'too-large'; message: string }

export interface Codecs {
  /** CRC-32C (Castagnoli), unsigned. `seed` is the checksum of the bytes that came before, default none. */
  crc32c(bytes: Uint8Array, seed?: number): number

  /**
   * Compresses whole: gzip stream, snappy in xerial framing, LZ4 frame, zstd frame. `none` answers the same bytes. `level` is
   * that of gzip or zstd; without it, theirs by default.
   */
  compress(type: CompressionType, bytes: Uint8Array, level?: number): Uint8Array

  /**
   * Never allocates more than `bytesMax` (and a small constant) for the result; a bomb or a damaged input is a value,
   * not a throw. `none` answers the same bytes, also subject to `bytesMax`.
   */
  decompress(type: CompressionType, bytes: Uint8Array, bytesMax: number): Decompressed
}
