/**
 * One chunk of a partition, held against everything that says something of it: the reference that names it, the index of its segment, its
 * checksums, and the offsets that the metadata gives it. For one piece of a verification: indexes are read once.
 */
import type { HeadKey } from '../core/head.ts'
import type { InlineItem } from '../core/items.ts'
import { inlineKey } from '../core/items.ts'
import type { SegmentId } from '../core/names.ts'
import { segmentObjectKey } from '../core/names.ts'
import { batchHeaders, openRecords } from '../core/record-batch.ts'
import type { ChunkPlace } from '../core/reference.ts'
import { decodeReference } from '../core/reference.ts'
import { checkChunk, segmentTailBytes } from '../core/segment.ts'
import type { SegmentIndex, SegmentIndexChunk } from '../core/segment-index.ts'
import { checkMagic, decodeSegmentTail, segmentHeaderBytes, sizeByFooter } from '../core/segment-index.ts'
import type { Fault, Place } from '../core/verify-rule.ts'
import { inlineFault, placeFault } from '../core/verify-rule.ts'
import type { Context } from './context.ts'
import type { Span } from './locate.ts'

export type SpanVerdict =
  | { readonly ok: true; readonly records: number; readonly bytes: number }
  | ({ readonly ok: false } & Fault)

type IndexRead =
  | {
      readonly ok: true
      readonly index: SegmentIndex
      readonly chunks: ReadonlyMap<number, SegmentIndexChunk>
      /** The last bytes of the object: all of a small one. */
      readonly tail: Uint8Array
    }
  | ({ readonly ok: false } & Fault)

export class ChunkVerifier {
  readonly #context: Context
  readonly #key: HeadKey
  readonly #isDeep: boolean
  readonly #indexes = new Map<SegmentId, Promise<IndexRead>>()

  /** @param isDeep records are decompressed and walked */
  constructor(context: Context, key: HeadKey, isDeep: boolean) {
    this.#context = context
    this.#key = key
    this.#isDeep = isDeep
  }

  async verify(span: Span, place: Place): Promise<SpanVerdict> {
    let at: ChunkPlace
    try {
      at = decodeReference(span.ref)
    } catch (error) {
      return { ok: false, code: 'REFERENCE_WRONG', message: `${error instanceof Error ? error.message : error}.` }
    }
    const read = at.isInline === true ? await this.#readInline(span, at) : await this.#readObject(span, at)
    if (!read.ok) return read
    const fault = placeFault(read.bytes, place) ?? (this.#isDeep ? this.#walk(read.bytes) : undefined)
    if (fault !== undefined) return { ok: false, key: read.key, ...fault }
    return { ok: true, records: read.records, bytes: read.bytes.length }
  }

  async #readInline(span: Span, { segment }: ChunkPlace) {
    const { topicId, partition } = this.#key
    const itemKey = inlineKey(topicId, partition, segment)
    const key = `${itemKey.collection} ${itemKey.sort}`
    const item = await this.#context.persist(() => this.#context.metadata.get(itemKey))
    if (item === undefined) return fault('CHUNK_MISSING', 'The inline chunk is gone.', key)
    const { recordCount } = (item.value ?? {}) as unknown as Partial<InlineItem>
    const wrong = inlineFault(item.bytes, recordCount, span.ref, this.#context.codecs)
    if (wrong !== undefined || item.bytes === undefined) return fault('CHUNK_DAMAGED', wrong ?? '', key)
    return { ok: true, key, bytes: item.bytes, records: recordCount ?? 0 } as const
  }

  async #readObject(span: Span, at: ChunkPlace) {
    const { segment, position, lengthBytes } = at
    const key = segmentObjectKey(segment)
    const read = await this.#index(segment)
    if (!read.ok) return read
    const { index, chunks, tail } = read
    const chunk = chunks.get(position)
    const wrong = referenceFault(this.#key, span, at, index, chunk)
    if (chunk === undefined || wrong !== undefined) return fault('REFERENCE_WRONG', wrong ?? '', key)
    // With the first chunk comes the header, which nobody else reads.
    const isFirst = position === segmentHeaderBytes
    const from = isFirst ? 0 : position
    const length = lengthBytes + position - from
    const inTail = from - (index.sizeBytes - tail.length)
    const found =
      inTail >= 0
        ? tail.subarray(inTail, inTail + length)
        : await this.#context.persist(() => this.#context.objects.read(key, from, length))
    if (found === undefined) return fault('CHUNK_MISSING', 'The object is gone.', key)
    const magic = isFirst ? checkMagic(found, 0, 0) : undefined
    if (magic !== undefined) return fault('SEGMENT_DAMAGED', magic.message, key)
    const bytes = found.subarray(position - from)
    const checked = checkChunk(bytes, chunk, this.#context.codecs)
    if (!checked.ok) return fault('CHUNK_DAMAGED', `At byte ${checked.at}: ${checked.message}`, key)
    return { ok: true, key, bytes, records: chunk.recordCount } as const
  }

  #index(id: SegmentId): Promise<IndexRead> {
    let reading = this.#indexes.get(id)
    if (reading === undefined) {
      reading = this.#readIndex(id)
      this.#indexes.set(id, reading)
    }
    return reading
  }

  async #readIndex(id: SegmentId): Promise<IndexRead> {
    const { objects, codecs } = this.#context
    const key = segmentObjectKey(id)
    for (let wanted = segmentTailBytes; ; ) {
      const length = wanted
      const tail = await this.#context.persist(() => objects.read(key, -length, length))
      if (tail === undefined) return fault('CHUNK_MISSING', 'The object is gone.', key)
      const sizeBytes = tail.length < length ? tail.length : Math.max(tail.length, sizeByFooter(tail) ?? 0)
      const read = decodeSegmentTail(tail, sizeBytes, codecs)
      if (read.ok) {
        const chunks = new Map(read.index.chunks.map((chunk) => [chunk.position, chunk]))
        return { ok: true, index: read.index, chunks, tail }
      }
      if (read.reason === 'need-more' && read.needBytes > wanted) wanted = read.needBytes
      else
        return fault(
          'SEGMENT_DAMAGED',
          'message' in read ? `At byte ${read.at}: ${read.message}` : 'It is too short for its index.',
          key,
        )
    }
  }

  #walk(bytes: Uint8Array): Fault | undefined {
    const { codecs, settings } = this.#context
    const read = batchHeaders(bytes)
    if (!read.ok) return { code: 'CHUNK_DAMAGED', message: `${read.message}.` }
    for (const header of read.headers) {
      const opened = openRecords(bytes, header.position, header, codecs, settings.decompressedBytesMax)
      const failed = (message: string): Fault => ({
        code: 'RECORDS_DAMAGED',
        message: `The batch at byte ${header.position}: ${message}.`,
      })
      if (!opened.ok) return failed(opened.message)
      while (opened.walk.next());
      if (opened.walk.fault !== null) return failed(opened.walk.fault)
    }
    return undefined
  }
}

/** What names the chunk, and what the segment's index says of it. */
function referenceFault(
  { topicId, partition }: HeadKey,
  { ref, base, end }: Span,
  { position, lengthBytes, maxTimestampMs }: ChunkPlace,
  index: SegmentIndex,
  chunk: SegmentIndexChunk | undefined,
): string | undefined {
  if (chunk === undefined) return `${ref}: no chunk of the segment begins at byte ${position}.`
  if (chunk.lengthBytes !== lengthBytes)
    return `${ref}: the chunk has ${chunk.lengthBytes} bytes, its reference says ${lengthBytes}.`
  if (chunk.maxTimestampMs !== maxTimestampMs)
    return `${ref}: its largest timestamp is ${chunk.maxTimestampMs}, its reference says ${maxTimestampMs}.`
  if (chunk.topicId !== topicId || chunk.partition !== partition)
    return `${ref}: the chunk is of partition ${chunk.partition} of topic id ${chunk.topicId}.`
  if (index.merged !== undefined && chunk.baseOffset !== base)
    return `${ref}: the chunk was merged at offset ${chunk.baseOffset}, it is named at ${base}.`
  if (index.merged === undefined && chunk.recordCount > end - base)
    return `${ref}: ${chunk.recordCount} records for offsets ${base} to ${end - 1}.`
  return undefined
}

function fault(code: Fault['code'], message: string, key: string): { readonly ok: false } & Fault {
  return { ok: false, code, message, key }
}
