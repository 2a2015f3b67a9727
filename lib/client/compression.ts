/**
 * Compression where the platform offers it as streams (CompressionStream) or not at all: one asynchronous step before the
 * synchronous batch format of lib/core. gzip is the platform's; snappy and LZ4 are core's own; zstd is read everywhere, and
 * written by the caller's codec.
 */
import { type Codecs, type CompressionType, compressionTypes, type Decompressed } from '../core/codec.ts'
import { crc32c } from '../core/crc32c.ts'
import { lz4Compress, lz4Decompress } from '../core/lz4.ts'
import {
  type BatchHeader,
  batchOverheadBytes,
  decodeBatch,
  encodeBatch,
  type LogRecord,
  type NewBatch,
  readBatchHeader,
} from '../core/record-batch.ts'
import { snappyCompress, snappyDecompress } from '../core/snappy.ts'
import { readZstd } from './zstd.ts'

/** The bytes of one compression type: whole in, whole out. */
export interface ClientCodec {
  /** Without it, batches of this type are only read. */
  compress?(bytes: Uint8Array): Uint8Array | Promise<Uint8Array>
  /** Throws where the bytes are damaged or expand beyond `bytesMax`. */
  decompress(bytes: Uint8Array, bytesMax: number): Uint8Array | Promise<Uint8Array>
}

/**
 * Codecs by compression type; one that is given replaces the built-in.
 *
 * @example
 * // zstd on Node: written, too, and read twice as fast
 * import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
 * const zstd = {
 *   compress: (bytes) => zstdCompressSync(bytes),
 *   decompress: (bytes, bytesMax) => zstdDecompressSync(bytes, { maxOutputLength: bytesMax }),
 * }
 * const highwater = new Highwater({ url, codecs: { zstd } })
 */
export type ClientCodecs = Readonly<Partial<Record<Exclude<CompressionType, 'none'>, ClientCodec>>>

/** What this platform can do, with the given codecs in front. */
export function platformCodecs(given: ClientCodecs = {}): ClientCodecs {
  const hasStreams = typeof CompressionStream === 'function' && typeof DecompressionStream === 'function'
  return { ...(hasStreams ? { gzip } : {}), snappy, lz4, zstd, ...given }
}

const gzip: ClientCodec = {
  compress: (bytes) => throughStream(new CompressionStream('gzip'), bytes, Number.POSITIVE_INFINITY),
  decompress: (bytes, bytesMax) => throughStream(new DecompressionStream('gzip'), bytes, bytesMax),
}
const snappy: ClientCodec = {
  compress: snappyCompress,
  decompress: (bytes, bytesMax) => orThrow(snappyDecompress(bytes, bytesMax)),
}
const lz4: ClientCodec = {
  compress: lz4Compress,
  decompress: (bytes, bytesMax) => orThrow(lz4Decompress(bytes, bytesMax)),
}
const zstd: ClientCodec = {
  decompress: (bytes, bytesMax) => readZstd(bytes, bytesMax, throughStream),
}

function orThrow(decompressed: Decompressed): Uint8Array {
  if (decompressed.ok) return decompressed.bytes
  throw new Error(decompressed.message)
}

async function throughStream(
  stream: CompressionStream | DecompressionStream,
  bytes: Uint8Array,
  bytesMax: number,
): Promise<Uint8Array> {
  const writer = stream.writable.getWriter()
  // What fails on the way in fails on the way out too, where it is seen.
  writer.write(bytes as Uint8Array<ArrayBuffer>).catch(() => {})
  writer.close().catch(() => {})
  const parts: Uint8Array[] = []
  let length = 0
  const reader = stream.readable.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    length += value.length
    if (length > bytesMax) {
      await reader.cancel()
      throw new Error(`more than ${bytesMax} bytes`)
    }
    parts.push(value)
  }
  if (parts.length === 1) return parts[0]!
  const whole = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Core's codecs where all that can take time has been done: they hand over what was prepared. */
function prepared(bytes: Decompressed | Uint8Array): Codecs {
  return {
    crc32c,
    compress: (_type, given) => (bytes instanceof Uint8Array ? bytes : given),
    decompress: () => (bytes instanceof Uint8Array ? { ok: true, bytes } : bytes),
  }
}

const noBytes = new Uint8Array(0)

/** Of a batch, what does not depend on its sequence. */
export type BatchContent = Pick<NewBatch, 'records' | 'compression'>

/**
 * Does the slow part of encoding and answers the quick one, which may be called for one sequence after another. Same
 * content and same stamp, same bytes.
 */
export async function prepareBatch(
  content: BatchContent,
  codecs: ClientCodecs,
): Promise<(stamp: Pick<NewBatch, 'producerId' | 'producerEpoch' | 'baseSequence'>) => Uint8Array> {
  if (content.compression === 'none') return (stamp) => encodeBatch({ ...content, ...stamp }, prepared(noBytes))
  const codec = codecs[content.compression]
  if (codec?.compress === undefined) throw new RangeError(`there is no codec for ${content.compression}`)
  const plain = encodeBatch({ ...content, compression: 'none' }, prepared(noBytes))
  const compressed = await codec.compress(plain.subarray(batchOverheadBytes))
  return (stamp) => encodeBatch({ ...content, ...stamp }, prepared(compressed))
}

export type DecodedBatch =
  | { readonly ok: true; readonly header: BatchHeader; readonly records: readonly LogRecord[] }
  /** `unsupported`: no codec for it here. `corrupt`: damaged, here or on the way. */
  | { readonly ok: false; readonly reason: 'unsupported' | 'corrupt'; readonly message: string }

/** The batch at `at`, decompressed to at most `bytesMax`. */
export async function openBatch(
  bytes: Uint8Array,
  at: number,
  codecs: ClientCodecs,
  bytesMax: number,
): Promise<DecodedBatch> {
  const read = readBatchHeader(bytes, at)
  if (!read.ok) {
    const reason = read.code === 'UNSUPPORTED_COMPRESSION_TYPE' ? 'unsupported' : 'corrupt'
    return { ok: false, reason, message: read.message }
  }
  const { compression, sizeBytes } = read.header
  let opened: Decompressed = { ok: true, bytes: noBytes }
  if (compression !== 'none') {
    const codec = codecs[compression]
    if (codec === undefined)
      return { ok: false, reason: 'unsupported', message: `there is no codec for ${compression} here` }
    try {
      opened = {
        ok: true,
        bytes: await codec.decompress(bytes.subarray(at + batchOverheadBytes, at + sizeBytes), bytesMax),
      }
    } catch (thrown) {
      opened = { ok: false, reason: 'corrupt', message: thrown instanceof Error ? thrown.message : String(thrown) }
    }
  }
  const decoded = decodeBatch(bytes, at, prepared(opened.ok ? opened.bytes : opened), bytesMax)
  if (decoded.ok) return decoded
  return { ok: false, reason: 'corrupt', message: decoded.message }
}

export function isCompressionType(text: string): text is CompressionType {
  return (compressionTypes as readonly string[]).includes(text)
}
