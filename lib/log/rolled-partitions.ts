/**
 * Partitions that rows, or records, came to, as this process knows: by its own commits and rolls, or by the table's stream. They are looked after while they are
 * written to, and for a time afterwards; all others wait for the round over everything (rounds.ts). What is forgotten here, or never
 * known, costs only time.
 */
import type { HeadKey } from '../core/head.ts'
import type { EpochMs } from '../core/names.ts'

interface Rolled {
  readonly key: HeadKey
  /** Rows that came since it was looked at. */
  rows: number
  rolledMs: EpochMs
  maintainedMs: EpochMs
}

/** When a partition is looked at again. */
export interface LookPolicy {
  /** As soon as so many rows came to it: for its merges. */
  readonly rowsMin: number
  /** Every so often: for all that is done to a partition. */
  readonly intervalMs: number
}

export interface DuePartition {
  readonly key: HeadKey
  /** Not for its merges alone. */
  readonly isWhole: boolean
}

export class RolledPartitions {
  /** Oldest roll first. */
  readonly #partitions = new Map<string, Rolled>()
  readonly #max: number

  /** @param max partitions kept in mind: of more, those that rows came to last (D8) */
  constructor(max: number) {
    this.#max = max
  }

  get size(): number {
    return this.#partitions.size
  }

  note(key: HeadKey, rows: number, nowMs: EpochMs): void {
    const text = textOf(key)
    const known = this.#partitions.get(text)
    this.#partitions.delete(text)
    if (known === undefined && this.#partitions.size >= this.#max) {
      const oldest = this.#partitions.keys().next()
      if (!oldest.done) this.#partitions.delete(oldest.value)
    }
    const { topicId, partition } = key
    this.#partitions.set(text, {
      key: { topicId, partition },
      rows: (known?.rows ?? 0) + rows,
      rolledMs: nowMs,
      maintainedMs: known?.maintainedMs ?? Number.NEGATIVE_INFINITY,
    })
  }

  /** Those that it is time to look at, oldest roll first. */
  due({ rowsMin, intervalMs }: LookPolicy, nowMs: EpochMs): readonly DuePartition[] {
    return [...this.#partitions.values()]
      .map(({ key, rows, maintainedMs }) => ({ key, rows, isWhole: maintainedMs <= nowMs - intervalMs }))
      .filter(({ rows, isWhole }) => isWhole || rows >= rowsMin)
  }

  /** To be called before the look: what comes meanwhile counts for the next one. */
  looked({ key, isWhole }: DuePartition, nowMs: EpochMs): void {
    const known = this.#partitions.get(textOf(key))
    if (known === undefined) return
    known.rows = 0
    if (isWhole) known.maintainedMs = nowMs
  }

  /** Forgets it unless rows came since `sinceMs`. */
  forgetIdle(key: HeadKey, sinceMs: EpochMs): void {
    const text = textOf(key)
    const known = this.#partitions.get(text)
    if (known !== undefined && known.rolledMs < sinceMs) this.#partitions.delete(text)
  }
}

function textOf({ topicId, partition }: HeadKey): string {
  return `${topicId}/${partition}`
}
