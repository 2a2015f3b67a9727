/**
 * How long a head that was seen may serve as the `seen` of a commit without being read again: as long as, by what this process saw
 * of its partition, it was hardly rolled since. A commit by a head of more than one roll ago is refused (H1): that is safe, and costs the
 * update, a proof of absence and another try. So the expected number of rolls stays at a half.
 *
 * The pace falls at once when rolls come faster, and rises by halves when they come more slowly. Time without a roll tells as
 * much as a roll does.
 */
import type { EpochMs } from './names.ts'

/** What a process saw of the rolls of a partition. */
export interface RollPace {
  readonly rolls: number
  /** When `rolls` was first seen. */
  readonly sinceMs: EpochMs
  /** Time for a roll lately; undefined until one was seen. */
  readonly perRollMs: number | undefined
}

/** A head of a partition of which nothing is known is believed as long as this. */
export const unknownHeadAgeMs = 25

/** After a head with `rolls` was seen at `atMs`. */
export function paceAfter(pace: RollPace | undefined, rolls: number, atMs: EpochMs): RollPace {
  if (pace === undefined) return { rolls, sinceMs: atMs, perRollMs: undefined }
  if (rolls <= pace.rolls) return pace
  const lastMs = Math.max(0, atMs - pace.sinceMs) / (rolls - pace.rolls)
  const perRollMs = pace.perRollMs === undefined ? lastMs : Math.min(lastMs, (lastMs + pace.perRollMs) / 2)
  return { rolls, sinceMs: atMs, perRollMs }
}

/**
 * How long a head seen at `seenMs` is believed: half of the time for a roll, at least `unknownHeadAgeMs`.
 *
 * @param ageMsMax at most so long
 * @param quietMs merges leave chunks younger than this alone: a proof of absence begins where the head that was seen ended, and must
 * find rows that still tell of their appends (R2), also when it had to be tried for long. So a quarter of it, at most
 */
export function headAgeMs(pace: RollPace, seenMs: EpochMs, ageMsMax: number, quietMs: number): number {
  const perRollMs = Math.max(pace.perRollMs ?? 0, seenMs - pace.sinceMs)
  return Math.min(ageMsMax, Math.max(unknownHeadAgeMs, Math.min(perRollMs / 2, quietMs / 4)))
}
