/**
 * Which rows of a partition a merge takes together. A pure function of the rows, newest first, so that as many are read as are
 * needed and no more. They are merged when they are many, or large, or, though they are few, when the oldest of them is old.
 *
 * U1 A run is contiguous and ends before the newest rows that are too young: their appends may still want to prove what became
 *    of them, and a merged row no longer tells (R2).
 * U2 What was merged is merged again only with at least as much as it has itself: each byte is written a number of times that grows
 *    with the logarithm of the segment's size over that of the first merge.
 *    Nor does it reach into what compaction has cleaned, or begun to: merged rows without a stamp hold all that was committed (K2).
 * U3 A row that a later one covers does not count (R1): it is left for deletion.
 *
 * Rows of large chunks stay as they are: they were compressed when they came, and to move them costs more than the requests that it
 * saves readers. What is small below one is merged at once: nothing comes to it any more.
 */
import type { EpochMs, Offset } from './names.ts'
import { segmentIdTimeMs } from './names.ts'
import type { ChunkReference } from './reference.ts'
import { decodeReference, segmentOfReference } from './reference.ts'
import type { Row } from './row.ts'
import { rowIds } from './sweep-rule.ts'

export interface MergePolicy {
  /** Rows that are not merged yet, from so many on they are. */
  readonly rowsMin: number
  /** The same, by their bytes. */
  readonly bytesMin: number
  /** Bytes of a merged segment. */
  readonly bytesMax: number
  /** The youngest chunk of a row must be older. */
  readonly quietMs: number
  /** Rows that begin below it are compaction's: the head's `cleanedTo`. @default 0 */
  readonly floor?: Offset
  /** Of a run: what a pass of compaction takes at once. @default no limit */
  readonly offsetsMax?: number
  /** When the oldest of them is older, a few rows that are not merged yet are merged, too. */
  readonly ageMs: number
  /** Rows that came as chunks of so many bytes on average are not merged. @default none */
  readonly largeChunkBytesMin?: number
}

/** So many rows of large chunks are passed in search of small ones that they lie upon. */
const largeRowsMax = 64

export interface StoredRow {
  readonly version: string
  readonly row: Row
}

export interface MergePlan {
  /** Ascending. A single row is one with inline chunks, which keep as much in a segment for a tenth of the price. */
  readonly run: readonly StoredRow[]
}

export function rowBytes(row: Row): number {
  let bytes = 0
  for (const { ref } of row.chunks) bytes += decodeReference(ref).lengthBytes
  return bytes
}

/** Takes rows one by one, from the newest down, until it has seen enough. */
export class MergePlanner {
  readonly #policy: MergePolicy
  readonly #nowMs: EpochMs
  readonly #shadowed: StoredRow[] = []
  readonly #live: StoredRow[] = []
  /** Descending. */
  readonly #fresh: StoredRow[] = []
  readonly #merged: StoredRow[] = []
  /** What was fresh above the newest large row; then `#fresh` and `#merged` are of what lies below one. */
  #above: { readonly fresh: readonly StoredRow[]; readonly bytes: number } | undefined
  #largeRows = 0
  #freshBytes = 0
  #bytes = 0
  #offsets = 0
  /** First offset of the oldest row that counts. */
  #first = Number.POSITIVE_INFINITY
  #isOver = false

  constructor(policy: MergePolicy, nowMs: EpochMs) {
    this.#policy = policy
    this.#nowMs = nowMs
  }

  /** Rows that later ones cover, as far as was looked. */
  get shadowed(): readonly StoredRow[] {
    return this.#shadowed
  }

  /** Rows that count, as far as was looked. */
  get live(): readonly StoredRow[] {
    return this.#live
  }

  /** @returns whether more rows are wanted */
  take(stored: StoredRow): boolean {
    const { row } = stored
    if (row.last >= this.#first) {
      // A clean row outlives a row over it that becomes stale (K2).
      if (row.first >= this.#first && row.cleanedTo === undefined) this.#shadowed.push(stored)
      return true
    }
    const isGap = this.#first !== Number.POSITIVE_INFINITY && row.last !== this.#first - 1
    if (isGap || row.cleanedTo !== undefined || row.first < (this.#policy.floor ?? 0)) this.#isOver = true
    if (this.#isOver) return false
    this.#first = row.first
    this.#live.push(stored)
    const bytes = rowBytes(row)
    if (this.#fresh.length === 0 && this.#merged.length === 0 && this.#isYoung(row)) return true
    if (this.#isLarge(row)) return this.#passLarge()
    const offsets = row.last - row.first + 1
    const isFull = () =>
      this.#bytes + bytes > this.#policy.bytesMax ||
      this.#offsets + offsets > (this.#policy.offsetsMax ?? Number.POSITIVE_INFINITY)
    if (!row.isMerged && this.#merged.length === 0) {
      // A backlog is merged from its old end: what is newest waits for the next turn.
      while (isFull() && this.#fresh.length > 0) {
        const newest = this.#fresh.shift()
        if (newest === undefined) break
        const less = rowBytes(newest.row)
        this.#bytes -= less
        this.#freshBytes -= less
        this.#offsets -= newest.row.last - newest.row.first + 1
      }
      this.#fresh.push(stored)
      this.#freshBytes += bytes
      this.#bytes += bytes
      this.#offsets += offsets
      return true
    }
    if (isFull() || bytes > this.#bytes || !row.isMerged) {
      // One more is looked at: a merge that was interrupted left its rows just behind the one that covers them.
      this.#isOver = true
      return true
    }
    this.#merged.push(stored)
    this.#bytes += bytes
    this.#offsets += offsets
    return true
  }

  /** Undefined: not yet worth it. */
  plan(): MergePlan | undefined {
    if (this.#above === undefined) return this.#planOf(this.#fresh, this.#freshBytes, this.#merged, false)
    return (
      this.#planOf(this.#fresh, this.#freshBytes, this.#merged, true) ??
      this.#planOf(this.#above.fresh, this.#above.bytes, [], false)
    )
  }

  /** @param isClosed no more will come to it */
  #planOf(
    fresh: readonly StoredRow[],
    freshBytes: number,
    merged: readonly StoredRow[],
    isClosed: boolean,
  ): MergePlan | undefined {
    const { rowsMin, bytesMin } = this.#policy
    const oldest = fresh[fresh.length - 1]
    if (oldest === undefined) return undefined
    const isDue = isClosed || this.#isOld(oldest.row)
    if (fresh.length < rowsMin && freshBytes < bytesMin && !isDue) return undefined
    const run = [...fresh, ...merged].reverse()
    const isWorth = run.length > 1 || (isDue && rowIds(oldest.row, true).length > 0)
    return isWorth ? { run } : undefined
  }

  /** What was gathered so far ends above a large row. */
  #passLarge(): boolean {
    this.#largeRows++
    const isOneBelow = this.#above !== undefined && this.#fresh.length > 0
    if (this.#merged.length > 0 || isOneBelow || this.#largeRows >= largeRowsMax) {
      this.#isOver = true
      return true
    }
    this.#above ??= { fresh: this.#fresh.splice(0), bytes: this.#freshBytes }
    this.#freshBytes = 0
    this.#bytes = 0
    this.#offsets = 0
    return true
  }

  #isLarge(row: Row): boolean {
    const { largeChunkBytesMin = Number.POSITIVE_INFINITY } = this.#policy
    return !row.isMerged && row.chunks.length > 0 && rowBytes(row) >= largeChunkBytesMin * row.chunks.length
  }

  #isOld(row: Row): boolean {
    const { ageMs } = this.#policy
    return row.chunks.some(({ ref }) => segmentIdTimeMs(segmentOfReference(ref)) < this.#nowMs - ageMs)
  }

  #isYoung(row: Row): boolean {
    const { quietMs } = this.#policy
    return row.chunks.some(({ ref }) => segmentIdTimeMs(segmentOfReference(ref)) > this.#nowMs - quietMs)
  }
}

/** A chunk of a run, and the offsets it holds. */
export interface SpanToMerge {
  readonly ref: ChunkReference
  readonly base: Offset
  /** One past the last offset. */
  readonly end: Offset
}

/** All chunks of a run but those that lie below the log start, which may be gone. */
export function spansToMerge(run: readonly StoredRow[], start: Offset): readonly SpanToMerge[] {
  return run
    .flatMap(({ row }) =>
      row.chunks.map(({ ref, base }, index) => ({ ref, base, end: row.chunks[index + 1]?.base ?? row.last + 1 })),
    )
    .filter(({ end }) => end > start)
}
