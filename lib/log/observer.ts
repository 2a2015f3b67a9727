/**
 * Who is told what the engine does, for metrics and meters. What is counted has few names, known beforehand: they become
 * metrics, whose number must not grow with topics or partitions. Told as it happens; must be quick, and must not throw.
 */
import type { HeadRefusal } from '../core/head.ts'
import type { TopicId } from '../core/names.ts'

export interface Observer {
  /** @param topicId whose records or bytes they are, where they are counted */
  count(name: Counted, n: number, topicId?: TopicId): void
  /** A conditional write of a commit did not apply; most are tried again, and nobody but this observer notices. */
  commitRefused(why: CommitRefused): void
  time(step: Step, durationMs: number): void
}

export type Counted =
  /** Of records that were committed: not those of a repeat. */
  | 'recordsAppended'
  | 'bytesAppended'
  /** Answered with the offsets of an earlier append. */
  | 'recordsRepeated'
  /** Segments put. */
  | 'segmentsWritten'
  /** Inline chunks put. */
  | 'inlineChunksWritten'
  /** Reads of a head, those beside an upload among them. */
  | 'headsRead'
  | 'rolls'
  | 'merges'
  | 'bytesMerged'
  /** Passes of key compaction, and the records that they left out. */
  | 'compactions'
  | 'recordsCompacted'
  /** By the sweep. */
  | 'segmentsDeleted'
  /** Of the batches that fetches answered, as they are stored. */
  | 'recordsFetched'
  | 'bytesFetched'

/** Why the head refused it; `unknown`: the store did not say whether it applied. */
export type CommitRefused = HeadRefusal['reason'] | 'unknown'

/**
 * `upload`: putting a segment or inline chunks; `commit`: from a durable segment to its offsets, in one partition, attempts included; `head`,
 * `rows`, `chunks`: what a fetch reads, in that order; `wait`: how long a fetch had nothing to read.
 */
export type Step = 'upload' | 'commit' | 'head' | 'rows' | 'chunks' | 'wait'
