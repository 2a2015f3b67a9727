/**
 * Gzip by node:zlib, made strict about size. The last four bytes of a gzip stream say how long its content is, so the
 * result is allocated once, at its size, and a bomb is refused before it is inflated; one that lies there is stopped
 * at what it said. The price: a stream of several members, which no Kafka client writes, reads as damaged.
 */
import { gunzipSync, gzipSync } from 'node:zlib'
import type { Decompressed } from '../core/codec.ts'
import { plainBytes, zlibFault } from './codecs-zlib.ts'

/** Header and trailer; the shortest deflate stream between them has two bytes. */
const gzipBytesMin = 20
/** The most that deflate expands. */
const expansionMax = 1032

export function gzipCompress(bytes: Uint8Array, level?: number): Uint8Array {
  return plainBytes(gzipSync(bytes, level === undefined ? {} : { level }))
}

export function gzipDecompress(bytes: Uint8Array, bytesMax: number): Decompressed {
  if (bytes.length < gzipBytesMin) return { ok: false, reason: 'corrupt', message: 'the stream is cut short' }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const size = view.getUint32(bytes.length - 4, true)
  if (size > bytes.length * expansionMax) {
    return { ok: false, reason: 'corrupt', message: 'the stream claims more than it can hold' }
  }
  if (size > bytesMax) return { ok: false, reason: 'too-large', message: `${size} bytes; ${bytesMax} are allowed` }
  try {
    // One byte more than the content: zlib allocates a further chunk as soon as one is full.
    const content = gunzipSync(bytes, { chunkSize: Math.max(size + 1, 64), maxOutputLength: Math.max(size, 1) })
    if (content.length === size) return { ok: true, bytes: plainBytes(content) }
    return { ok: false, reason: 'corrupt', message: `${content.length} bytes; the stream claims ${size}` }
  } catch (error) {
    const fault = zlibFault(error)
    // The limit was what the stream said of itself, and that was within the caller's.
    return { ...fault, reason: 'corrupt' }
  }
}
