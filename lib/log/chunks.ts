/** Chunk bytes by reference. What was committed never changes, so a chunk read once may be kept; adjacent chunks of one segment are one read. */
import { segmentObjectKey } from '../core/names.ts'
import type { ChunkPlace, ChunkReference } from '../core/reference.ts'
import { decodeReference } from '../core/reference.ts'
import type { Context } from './context.ts'

/** The largest range that adjacent chunks are read in. */
const readBytesMax = 8_388_608

export class Chunks {
  readonly #context: Context
  readonly #cache = new Map<ChunkReference, Uint8Array>()
  #cachedBytes = 0

  constructor(context: Context) {
    this.#context = context
  }

  /** The bytes of each reference, undefined where the object is gone. The bytes are shared: nobody may change them. */
  async read(refs: readonly ChunkReference[]): Promise<readonly (Uint8Array | undefined)[]> {
    const found = new Map<ChunkReference, Uint8Array>()
    const missing: { ref: ChunkReference; place: ChunkPlace }[] = []
    for (const ref of refs) {
      const cached = this.#cache.get(ref)
      if (cached === undefined) missing.push({ ref, place: decodeReference(ref) })
      else {
        this.#cache.delete(ref)
        this.#cache.set(ref, cached)
        found.set(ref, cached)
      }
    }
    await Promise.all(
      adjacentRuns(missing).map(async (run) => {
        const first = run[0]
        const last = run[run.length - 1]
        if (first === undefined || last === undefined) return
        const position = first.place.position
        const lengthBytes = last.place.position + last.place.lengthBytes - position
        const bytes = await this.#context.persist(() =>
          this.#context.objects.read(segmentObjectKey(first.place.segment), position, lengthBytes),
        )
        if (bytes === undefined || bytes.byteLength < lengthBytes) return
        for (const { ref, place } of run) {
          const at = place.position - position
          const chunk = bytes.subarray(at, at + place.lengthBytes)
          found.set(ref, chunk)
          this.#keep(ref, run.length === 1 ? chunk : chunk.slice())
        }
      }),
    )
    return refs.map((ref) => found.get(ref))
  }

  #keep(ref: ChunkReference, bytes: Uint8Array): void {
    const max = this.#context.settings.chunkCacheBytesMax
    if (bytes.byteLength > max || this.#cache.has(ref)) return
    this.#cache.set(ref, bytes)
    this.#cachedBytes += bytes.byteLength
    for (const [oldest, old] of this.#cache) {
      if (this.#cachedBytes <= max) return
      this.#cache.delete(oldest)
      this.#cachedBytes -= old.byteLength
    }
  }
}

function adjacentRuns<Chunk extends { readonly place: ChunkPlace }>(chunks: readonly Chunk[]): Chunk[][] {
  const runs: Chunk[][] = []
  for (const chunk of chunks) {
    const run = runs[runs.length - 1]
    const first = run?.[0]
    const last = run?.[run.length - 1]
    if (
      run !== undefined &&
      first !== undefined &&
      last !== undefined &&
      last.place.segment === chunk.place.segment &&
      last.place.position + last.place.lengthBytes === chunk.place.position &&
      chunk.place.position + chunk.place.lengthBytes - first.place.position <= readBytesMax
    )
      run.push(chunk)
    else runs.push([chunk])
  }
  return runs
}
