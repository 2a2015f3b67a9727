/**
 * Chunks that a process has read, or committed while somebody waited for them: bytes by reference, with absolute offsets, so that every
 * answer is a view of them. What was committed never changes, so that nothing here is ever wrong. Bounded by `chunkCacheBytesMax`; the one
 * that was used longest ago goes first.
 */
import type { ChunkReference } from '../core/reference.ts'

export class ChunkCache {
  readonly #bytesMax: number
  /** In the order of their use. */
  readonly #chunks = new Map<ChunkReference, Uint8Array>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Shared: not to be changed. */
  get(ref: ChunkReference): Uint8Array | undefined {
    const chunk = this.#chunks.get(ref)
    if (chunk === undefined) return undefined
    this.#chunks.delete(ref)
    this.#chunks.set(ref, chunk)
    return chunk
  }

  keep(ref: ChunkReference, chunk: Uint8Array): void {
    if (chunk.byteLength > this.#bytesMax || this.#chunks.has(ref)) return
    this.#chunks.set(ref, chunk)
    this.#bytes += chunk.byteLength
    for (const [oldest, old] of this.#chunks) {
      if (this.#bytes <= this.#bytesMax) return
      this.#chunks.delete(oldest)
      this.#bytes -= old.byteLength
    }
  }
}
