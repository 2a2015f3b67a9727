/** What the two codecs from node:zlib share: their results and their errors, in our words. */
import type { Decompressed } from '../core/codec.ts'

/** The same bytes as a Uint8Array and nothing more. */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Damaged input as a value; what zlib did not say about its input is thrown on. */
export function zlibFault(error: unknown): Decompressed & { ok: false } {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    if (error.code === 'ERR_BUFFER_TOO_LARGE')
      return { ok: false, reason: 'too-large', message: 'more than is allowed' }
    if (error.code.startsWith('Z')) return { ok: false, reason: 'corrupt', message: error.message }
  }
  throw error
}
