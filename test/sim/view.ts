/**
 * What rows and tails name at a moment, and whether it is there: every offset from the log start on has a row that counts or
 * lies in the tail, what that names is durable, and holds the true records (D2, D7). In a compacted topic records may be
 * missing (`PartitionTruth.mayLack`).
 */
import { itemName } from '../../lib/adapters/item-conditions.ts'
import { tailEntries, tailStart } from '../../lib/core/head.ts'
import { inlineKey, rowsCollection } from '../../lib/core/items.ts'
import type { Offset } from '../../lib/core/names.ts'
import { segmentObjectKey } from '../../lib/core/names.ts'
import type { ChunkReference } from '../../lib/core/reference.ts'
import { decodeReference, isInlineReference, segmentOfReference } from '../../lib/core/reference.ts'
import type { Row } from '../../lib/core/row.ts'
import { isStaleRow } from '../../lib/core/row.ts'
import { short, shortRef } from './describe.ts'
import type { PartitionTruth, Truth } from './truth.ts'

/** A chunk, and where of what it holds it is what counts. */
interface Counting {
  readonly ref: ChunkReference
  readonly base: Offset
  readonly from: Offset
  /** One past the last offset. */
  readonly to: Offset
}

/** A row with the offsets at which it counts. */
interface Run {
  readonly row: Row
  readonly first: Offset
  readonly last: Offset
}

export class View {
  readonly #truth: Truth
  readonly #rows = new Map<string, Map<string, Row>>()
  /** Offsets inside a chunk; what is durable never changes. */
  readonly #offsets = new Map<ChunkReference, readonly Offset[]>()

  constructor(truth: Truth) {
    this.#truth = truth
  }

  put(collection: string, sort: string, row: Row): void {
    const rows = this.#rows.get(collection) ?? new Map<string, Row>()
    this.#rows.set(collection, rows.set(sort, row))
    const there = this.#partition(collection)
    if (there === undefined) return
    this.check(there)
    if (!row.isMerged || there.head.isDeleted) return
    for (const run of this.#runs(there)) if (run.row === row) this.#checkContent(there, run)
  }

  deleted(collection: string, sort: string): void {
    this.#rows.get(collection)?.delete(sort)
    const there = this.#partition(collection)
    if (there !== undefined) this.check(there)
  }

  checkAll(): void {
    for (const there of this.#truth.partitions.values()) this.check(there)
  }

  /** D7: no offset without a row that counts. D2: what it names is there. */
  check(there: PartitionTruth): void {
    const { history } = this.#truth
    if (there.head.isDeleted || history.violation !== undefined) return
    const end = tailStart(there.head)
    let next = end
    for (const { first, last } of this.#runs(there)) {
      if (last < next - 1) break
      next = Math.min(next, first)
    }
    if (next > Math.min(there.head.start, end))
      history.violate('D7', `no row of ${short(there.key)} counts at ${next - 1}; it begins at ${there.head.start}`)
    for (const { ref, from, to } of this.#counting(there))
      if (!this.#isThere(there, ref)) {
        history.violate('D2', `${shortRef(ref)}, which holds ${from} to ${to - 1} of ${short(there.key)}, is gone`)
        return
      }
    if (there.cleaning.isCompacted) this.#checkKeys(there)
  }

  /** The last record of each key is there, or it is a tombstone whose time is over, and nothing of its key is there. */
  #checkKeys(there: PartitionTruth): void {
    const { history } = this.#truth
    const offsets = this.#offsetsOf(there)
    const live = new Map<string, Offset>()
    for (const offset of offsets) {
      const { key } = there.records[offset]!
      if (key !== null) live.set(key, Math.max(offset, live.get(key) ?? -1))
    }
    for (const [key, last] of there.keys) {
      const found = live.get(key)
      if (found === last) there.gone.delete(key)
      if (last < there.head.start || found === last) continue
      if (!there.mayLack(last, history.nowMs))
        history.violate('D2', `the last record of ${key} in ${short(there.key)}, at ${last}, is gone`)
      else if (found !== undefined)
        history.violate('K2', `${key} is at ${found} of ${short(there.key)}, though its tombstone at ${last} is gone`)
      else there.gone.set(key, last)
    }
  }

  /** The offsets that are there to be read. */
  #offsetsOf(there: PartitionTruth): Set<Offset> {
    const offsets = new Set<Offset>()
    for (const { ref, base, from, to } of this.#counting(there))
      for (const offset of this.#inside(there, ref))
        if (base + offset >= from && base + offset < to) offsets.add(base + offset)
    return offsets
  }

  #partition(collection: string): PartitionTruth | undefined {
    const [, topicId = '', partition = ''] = collection.split('/')
    return this.#truth.partitions.get(`${topicId}/${partition}`)
  }

  /** R1, K2: from the end of the log down. */
  *#runs({ key, head }: PartitionTruth): Generator<Run> {
    const rows = [...(this.#rows.get(rowsCollection(key.topicId, key.partition))?.values() ?? [])].sort(
      (a, b) => b.last - a.last,
    )
    let below = tailStart(head)
    for (const row of rows) {
      const last = Math.min(row.last, below - 1)
      if (row.first > last || last < head.start || isStaleRow(row, head.cleanedTo)) continue
      yield { row, first: row.first, last }
      below = row.first
    }
  }

  *#counting(there: PartitionTruth): Generator<Counting> {
    const { start } = there.head
    for (const { row, first, last } of this.#runs(there))
      for (const [index, { ref, base }] of row.chunks.entries()) {
        const from = Math.max(base, first, start)
        const to = Math.min(row.chunks[index + 1]?.base ?? row.last + 1, last + 1)
        if (from < to) yield { ref, base, from, to }
      }
    for (const { ref, base, end } of tailEntries(there.head))
      if (end > start) yield { ref, base, from: Math.max(base, start), to: end }
  }

  #isThere({ key }: PartitionTruth, ref: ChunkReference): boolean {
    const id = segmentOfReference(ref)
    return isInlineReference(ref)
      ? this.#truth.inline.has(itemName(inlineKey(key.topicId, key.partition, id)))
      : this.#truth.durable.has(segmentObjectKey(id))
  }

  #inside(there: PartitionTruth, ref: ChunkReference): readonly Offset[] {
    const known = this.#offsets.get(ref)
    if (known !== undefined) return known
    const offsets = this.#truth.decode(this.#bytes(there, ref)).map(({ offset }) => offset)
    this.#offsets.set(ref, offsets)
    return offsets
  }

  #bytes({ key }: PartitionTruth, ref: ChunkReference): Uint8Array {
    const { segment, position, lengthBytes, isInline } = decodeReference(ref)
    const whole =
      isInline === true
        ? this.#truth.inline.get(itemName(inlineKey(key.topicId, key.partition, segment)))
        : this.#truth.durable.get(segmentObjectKey(segment))
    return whole?.subarray(position, position + lengthBytes) ?? new Uint8Array()
  }

  /** D2, D3: a run that was written anew holds true records, and where it counts all but those that may have gone. */
  #checkContent(there: PartitionTruth, { row, first, last }: Run): void {
    const { history } = this.#truth
    const where = `the merged row ${row.first}..${row.last} of ${short(there.key)}`
    let next = row.first
    const missing = (to: Offset) => {
      for (; next < to; next++)
        if (next >= Math.max(first, there.head.start) && next <= last && !there.mayLack(next, history.nowMs))
          history.violate('D2', `${where} lacks offset ${next}`)
    }
    for (const { ref, base } of row.chunks)
      for (const record of this.#truth.decode(this.#bytes(there, ref))) {
        const offset = base + record.offset
        const isLate = record.timestampMs > row.maxTimestampMs
        if (offset < next || offset > row.last || isLate || !there.isTrue(offset, record)) {
          history.violate('D2', `${where} holds ${record.append}.${record.index} at ${offset}, after ${next - 1}`)
          return
        }
        missing(offset)
        next = offset + 1
      }
    missing(row.last + 1)
  }
}
