/** What becomes of a chunk on its way to the head, and the sentences in which a refusal says so. */
import type { Refusal, Unavailable } from '../core/errors.ts'
import { refusal } from '../core/errors.ts'
import type { HeadKey } from '../core/head.ts'
import type { Offset, ProducerKey, SegmentId } from '../core/names.ts'
import type { ProducerClaim } from '../core/producer.ts'
import type { ChunkReference } from '../core/reference.ts'

/** One chunk on its way: one reference, one fate. */
export interface CommitUnit {
  readonly ref: ChunkReference
  /** Records in the chunk. */
  readonly count: number
  readonly producer?: UnitProducer
  readonly expectedOffset?: Offset
  readonly leaderEpoch?: number
}

export interface UnitProducer {
  readonly key: ProducerKey
  readonly claim: ProducerClaim
  /** Set for an idempotency key: hash of the content. Its state never lives in the head. */
  readonly fingerprint?: string
}

export type CommitOutcome =
  | { readonly kind: 'committed'; readonly base: Offset; readonly isDuplicate: boolean }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  /** The topic was deleted; nothing was committed. */
  | { readonly kind: 'deleted' }
  /** The sweep's fence is above the segment: upload again under an id that is larger than this. Nothing was committed, or can be. */
  | { readonly kind: 'fenced'; readonly minSegment: SegmentId }
  /** Ahead of its producer's sequence; what comes before it may be on its way. */
  | { readonly kind: 'gap'; readonly expected: number }

export type Settle<Unit> = (unit: Unit, outcome: CommitOutcome) => void

export function unexpectedOffset(key: HeadKey, hw: Offset, expectedOffset: Offset): CommitOutcome {
  return refused(
    refusal(
      'UNEXPECTED_END_OFFSET',
      `The end offset of partition ${key.partition} is ${hw}, not ${expectedOffset}; nothing was written.`,
      { endOffset: hw },
    ),
  )
}

export function fencedLeader(key: HeadKey, epoch: number, leaderEpoch: number | undefined): CommitOutcome {
  const message =
    leaderEpoch === undefined
      ? `Partition ${key.partition} is led exclusively, in epoch ${epoch}.`
      : `Leader epoch ${leaderEpoch} is fenced by ${epoch} (partition ${key.partition}).`
  return refused(refusal('FENCED_LEADER_EPOCH', message, { epoch }))
}

export function refused(value: Refusal): CommitOutcome {
  return { kind: 'refused', refusal: value }
}

export function outcomeUnknown(key: HeadKey): CommitOutcome {
  return refused(
    refusal(
      'OUTCOME_UNKNOWN',
      `The metadata store did not answer and it cannot be told whether the append to partition ${key.partition} was committed.`,
    ),
  )
}

export function refusalOfUnavailable(error: Unavailable | undefined): Refusal {
  if (error?.why === 'full')
    return refusal('STORAGE_FULL', `The storage has no room. ${error.message} Nothing was written.`)
  if (error?.why === 'closed') return refusal('SHUTTING_DOWN', 'The log is closing; nothing was written.')
  return refusal(
    'STORAGE_UNAVAILABLE',
    `The storage could not take the write${error === undefined ? '' : ` (${error.message})`}; nothing was written.`,
    { retryAfterMs: 1_000 },
  )
}
