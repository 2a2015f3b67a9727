/**
 * Chunk bytes by reference, as readers get them: a reference was committed at one base, so the absolute offsets are written
 * into the batches once, when the bytes arrive, and every answer is a view of them. What was committed never changes, so a
 * chunk read once may be kept; adjacent chunks of one segment are one read. Every batch's checksum, and that the batches fill
 * the offsets the metadata gives them, is checked before: damage on the disk is an error, never an answer.
 */

import type { HeadKey } from '../core/head.ts'
import type { Item } from '../core/items.ts'
import { inlineCollection, inlineKey } from '../core/items.ts'
import type { Offset } from '../core/names.ts'
import { segmentObjectKey } from '../core/names.ts'
import { readBatchHeader, rebaseBatch } from '../core/record-batch.ts'
import type { ChunkPlace, ChunkReference } from '../core/reference.ts'
import { decodeReference } from '../core/reference.ts'
import type { Context } from './context.ts'
import { inParallel } from './in-parallel.ts'
import type { Span } from './locate.ts'

/** From here to its end a batch is under its CRC-32C. */
const batchCrcFrom = 21
/** The largest range that adjacent chunks are read in. */
const readBytesMax = 8_388_608
/** Runs that `load` reads at the same time. */
const loadsAtOnce = 16
/** From so many inline chunks on, one query is cheaper than a request for each. */
const inlineToQuery = 3
/** Inline chunks that one query is asked for at most. */
const inlineRunMax = 128

interface Placed {
  readonly span: Span
  readonly place: ChunkPlace
}

export class Chunks {
  readonly #context: Context
  /** Chunks that are being read. */
  readonly #underWay = new Map<ChunkReference, Promise<Uint8Array | undefined>>()

  constructor(context: Context) {
    this.#context = context
  }

  /**
   * Each span's chunk with absolute offsets, undefined where the object or the item is gone. The bytes are shared: nobody may change
   * them. Throws on damage.
   *
   * @param end what lies from here on is read beside all that is older, and does not wait for it
   */
  async read(key: HeadKey, spans: readonly Span[], end: Offset): Promise<readonly (Uint8Array | undefined)[]> {
    const missing: Placed[] = []
    for (const span of spans) {
      const { ref } = span
      if (this.#context.chunkCache.get(ref) === undefined && !this.#underWay.has(ref))
        missing.push({ span, place: decodeReference(ref) })
    }
    for (const run of adjacentRuns(missing)) this.#begin(key, run, end)
    return Promise.all(spans.map(({ ref }) => this.#underWay.get(ref) ?? this.#context.chunkCache.get(ref)))
  }

  /**
   * The same bytes for one who changes them, and reads so much that keeping them would drive out what readers want. Undefined where
   * any is gone.
   */
  async load(key: HeadKey, spans: readonly Span[]): Promise<Uint8Array[] | undefined> {
    const runs = adjacentRuns(spans.map((span) => ({ span, place: decodeReference(span.ref) })))
    const found = new Map<ChunkReference, Uint8Array>()
    await inParallel(runs, loadsAtOnce, async (run) => {
      const read = run[0]?.place.isInline === true ? await this.#readInline(key, run) : await this.#readRun(run)
      for (const [ref, chunk] of read) found.set(ref, chunk)
    })
    const chunks = spans.map(({ ref }) => found.get(ref))
    return chunks.every((chunk) => chunk !== undefined) ? chunks : undefined
  }

  /** One read for a run; who wants a chunk of it meanwhile waits for the same: readers that a commit woke come together. */
  #begin(key: HeadKey, run: readonly Placed[], end: Offset): void {
    const { backfilling, following } = this.#context
    const limit = run.every(({ span }) => span.base >= end) ? following : backfilling
    const bytes = run.reduce((sum, { place }) => sum + place.lengthBytes, 0)
    const reading = this.#context
      .within({ topicId: key.topicId }, () =>
        limit.run(bytes, () => (run[0]?.place.isInline === true ? this.#readInline(key, run) : this.#readRun(run))),
      )
      .then((found) => {
        for (const [ref, chunk] of found) this.#context.chunkCache.keep(ref, run.length === 1 ? chunk : chunk.slice())
        return found
      })
    for (const { span } of run) {
      const chunk = reading.then((found) => found.get(span.ref))
      this.#underWay.set(span.ref, chunk)
      const forget = () => this.#underWay.delete(span.ref)
      chunk.then(forget, forget)
    }
  }

  async #readRun(run: readonly Placed[]): Promise<ReadonlyMap<ChunkReference, Uint8Array>> {
    const found = new Map<ChunkReference, Uint8Array>()
    const first = run[0]
    const last = run[run.length - 1]
    if (first === undefined || last === undefined) return found
    const position = first.place.position
    const lengthBytes = last.place.position + last.place.lengthBytes - position
    const bytes = await this.#context.persist(() =>
      this.#context.objects.read(segmentObjectKey(first.place.segment), position, lengthBytes),
    )
    if (bytes === undefined || bytes.byteLength < lengthBytes) return found
    for (const { span, place } of run) {
      const at = place.position - position
      const chunk = bytes.subarray(at, at + place.lengthBytes)
      this.#open(chunk, span)
      found.set(span.ref, chunk)
    }
    return found
  }

  /** A run of inline chunks lies close together in the order of ids: a few are read one by one, more by one query. */
  async #readInline(
    { topicId, partition }: HeadKey,
    run: readonly Placed[],
  ): Promise<ReadonlyMap<ChunkReference, Uint8Array>> {
    const { metadata } = this.#context
    const items = new Map<string, Item>()
    if (run.length >= inlineToQuery) {
      const ids = run.map(({ place }) => place.segment).sort()
      const range = { from: ids[0] ?? '', to: ids[ids.length - 1] ?? '', limit: run.length * 2 }
      const found = await this.#context.persist(() => metadata.query(inlineCollection(topicId, partition), range))
      for (const item of found) items.set(item.key.sort, item)
    }
    await Promise.all(
      run.map(async ({ place: { segment } }) => {
        if (items.has(segment)) return
        const item = await this.#context.persist(() => metadata.get(inlineKey(topicId, partition, segment)))
        if (item !== undefined) items.set(segment, item)
      }),
    )
    const found = new Map<ChunkReference, Uint8Array>()
    for (const { span, place } of run) {
      const bytes = items.get(place.segment)?.bytes
      if (bytes === undefined) continue
      if (bytes.byteLength !== place.lengthBytes)
        throw new Error(`damaged chunk ${span.ref}: its item holds ${bytes.byteLength} bytes`)
      // What the store hands out may be its own.
      const chunk = Uint8Array.from(bytes)
      this.#open(chunk, span)
      found.set(span.ref, chunk)
    }
    return found
  }

  /** Checks the batches, and makes their offsets absolute in place: the bytes are nobody else's yet. */
  #open(chunk: Uint8Array, span: Span): void {
    const damaged = (at: number, what: string) => new Error(`damaged chunk ${span.ref} at byte ${at}: ${what}`)
    let position = 0
    let next = 0
    while (position < chunk.byteLength) {
      const read = readBatchHeader(chunk, position)
      if (!read.ok) throw damaged(position, read.message)
      const { header } = read
      const end = position + header.sizeBytes
      if (end > chunk.byteLength) throw damaged(position, 'a batch reaches beyond the chunk')
      if (header.baseOffset < next) throw damaged(position, `offset ${header.baseOffset} after ${next - 1}`)
      if (this.#context.codecs.crc32c(chunk.subarray(position + batchCrcFrom, end)) !== header.crc)
        throw damaged(position, 'the checksum of a batch is wrong')
      rebaseBatch(chunk, position, span.base + header.baseOffset)
      next = header.baseOffset + header.lastOffsetDelta + 1
      position = end
    }
    if (next > span.end - span.base)
      throw damaged(position, `${next} offsets where ${span.end - span.base} were committed`)
  }
}

function adjacentRuns(chunks: readonly Placed[]): Placed[][] {
  const runs: Placed[][] = []
  for (const chunk of chunks) {
    const run = runs[runs.length - 1]
    const first = run?.[0]
    const last = run?.[run.length - 1]
    if (
      run !== undefined &&
      first !== undefined &&
      last !== undefined &&
      (chunk.place.isInline === true
        ? last.place.isInline === true && run.length < inlineRunMax
        : last.place.isInline !== true &&
          last.place.segment === chunk.place.segment &&
          last.place.position + last.place.lengthBytes === chunk.place.position &&
          chunk.place.position + chunk.place.lengthBytes - first.place.position <= readBytesMax)
    )
      run.push(chunk)
    else runs.push([chunk])
  }
  return runs
}
