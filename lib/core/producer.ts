/**
 * The rule of idempotent producers (Kafka's, KIP-98): per partition and producer the epoch and the last five batches are
 * remembered; a batch continues them, repeats one of them, or is refused.
 *
 * P1 a batch is accepted only if its first sequence follows the last one of the same epoch, or is 0 in a newer epoch or
 *    for a producer that the partition does not know.
 * P2 a repeat (same epoch, same first and last sequence, among the last five) is answered with its first base offset.
 * P3 an older epoch never commits.
 * P4 forgetting a producer never makes its late retry look new: ids below the partition's floor that are not known are
 *    refused, whatever their sequence.
 */
import type { Offset } from './names.ts'

export const rememberedBatchesMax = 5
/** Sequences are int32 and go on with 0 after 2^31 - 1. */
export const sequenceMax = 2 ** 31 - 1
export const producerEpochMax = 32_767

export interface ProducerBatch {
  readonly first: number
  readonly last: number
  readonly base: Offset
}

export interface ProducerState {
  readonly epoch: number
  /** Oldest first, one to five. */
  readonly batches: readonly ProducerBatch[]
}

/** What a batch says about itself. */
export interface ProducerClaim {
  readonly epoch: number
  readonly first: number
  readonly last: number
}

export type ProducerJudgement =
  | { readonly kind: 'next' }
  | { readonly kind: 'duplicate'; readonly base: Offset }
  | { readonly kind: 'duplicate-forgotten'; readonly lastSequence: number }
  | { readonly kind: 'gap'; readonly expected: number }
  | { readonly kind: 'fenced'; readonly epoch: number }
  | { readonly kind: 'unknown' }

export function sequenceAfter(sequence: number, count = 1): number {
  const next = sequence + count
  return next > sequenceMax ? next - sequenceMax - 1 : next
}

/** The last sequence of a batch of `count` records that begins at `first`. */
export function lastSequence(first: number, count: number): number {
  return sequenceAfter(first, count - 1)
}

/**
 * May this batch commit? `state` is what the partition remembers of the producer, `isBelowFloor` whether the partition
 * may have forgotten it (P4).
 */
export function judgeProducer(
  state: ProducerState | undefined,
  claim: ProducerClaim,
  isBelowFloor: boolean,
): ProducerJudgement {
  if (state === undefined) {
    if (isBelowFloor) return { kind: 'unknown' }
    return claim.first === 0 ? { kind: 'next' } : { kind: 'gap', expected: 0 }
  }
  if (claim.epoch < state.epoch) return { kind: 'fenced', epoch: state.epoch }
  if (claim.epoch > state.epoch) return claim.first === 0 ? { kind: 'next' } : { kind: 'gap', expected: 0 }
  for (const batch of state.batches)
    if (batch.first === claim.first && batch.last === claim.last) return { kind: 'duplicate', base: batch.base }
  const newest = state.batches[state.batches.length - 1]
  if (newest === undefined) throw new Error('a producer state without batches')
  const expected = sequenceAfter(newest.last)
  if (claim.first === expected) return { kind: 'next' }
  return isBefore(claim.first, expected)
    ? { kind: 'duplicate-forgotten', lastSequence: newest.last }
    : { kind: 'gap', expected }
}

/** Is `sequence` behind `expected`, on the circle of 2^31 sequences? The nearer way round decides. */
function isBefore(sequence: number, expected: number): boolean {
  const distance = expected - sequence
  const around = distance < 0 ? distance + sequenceMax + 1 : distance
  return around <= sequenceMax / 2
}

/** The state after the batch committed at `base`. */
export function producerAfter(state: ProducerState | undefined, claim: ProducerClaim, base: Offset): ProducerState {
  const kept = state !== undefined && state.epoch === claim.epoch ? state.batches.slice(1 - rememberedBatchesMax) : []
  return { epoch: claim.epoch, batches: [...kept, { first: claim.first, last: claim.last, base }] }
}

/** Do two states remember the same? The append's condition compares what the writer saw with what is stored. */
export function isSameProducerState(a: ProducerState | undefined, b: ProducerState | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return (
    a.epoch === b.epoch &&
    a.batches.length === b.batches.length &&
    a.batches.every((batch, index) => {
      const other = b.batches[index]
      return (
        other !== undefined && batch.first === other.first && batch.last === other.last && batch.base === other.base
      )
    })
  )
}
