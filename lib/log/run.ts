/**
 * A run of rows becomes one segment and one row: what a merge and a compaction have in common.
 *
 *   1. `writeRun`: put the batches into one segment, durable and unseen;
 *   2. `putInPlace`: note the run's segments, and the new one, for the sweep; one row with the same last offset takes the place of the
 *      run's last row, on the condition of its version: from here on it counts for the whole run (R1);
 *   3. delete the run's other rows, the highest last first, so that what is left hides as little as possible;
 *   4. delete the run's inline chunks: they have left the tail, so that no late commit can name them (H1).
 *
 * Stopped anywhere it changes nothing that a reader sees (D7); what is left undone a later merge finds as shadowed rows.
 */
import type { HeadKey } from '../core/head.ts'
import type { StoredRow } from '../core/merge-plan.ts'
import type { EpochMs, Offset, SegmentId } from '../core/names.ts'
import { readBatchHeader, rebaseBatch } from '../core/record-batch.ts'
import { encodeReference } from '../core/reference.ts'
import type { Row } from '../core/row.ts'
import type { SegmentChunkInput } from '../core/segment.ts'
import { encodeSegment } from '../core/segment.ts'
import { inlineOf, noteCandidates, segmentsOf } from './candidates.ts'
import type { Context } from './context.ts'
import { putSegment } from './flush.ts'
import { deleteInline } from './inline-chunks.ts'
import { deleteRows, replaceRow } from './rows.ts'

/** Chunks of a merged segment: a fetch reads whole chunks. */
const chunkBytesTarget = 1_048_576

interface ChunkInTheMaking extends SegmentChunkInput {
  readonly baseOffset: Offset
  readonly batches: Uint8Array[]
  recordCount: number
  maxTimestampMs: EpochMs
}

/** What a run is written as. */
export interface WrittenRun {
  /** Undefined where nothing was left to write. */
  readonly segment: SegmentId | undefined
  readonly row: Row
  readonly bytes: number
}

/**
 * Writes what the row for a run will name. `batches`: buffers of whole batches with absolute base offsets, ascending; offsets may be missing. They are
 * changed: base offsets become relative to their chunk. `cleanedTo`: compaction has left records out, see K1.
 */
export async function writeRun(
  context: Context,
  { topicId, partition }: HeadKey,
  run: readonly StoredRow[],
  batches: readonly Uint8Array[],
  cleanedTo?: Offset,
): Promise<WrittenRun> {
  const first = run[0]!.row
  const last = run[run.length - 1]!.row
  const inputs: ChunkInTheMaking[] = []
  let room = 0
  let bytes = 0
  for (const buffer of batches) {
    let current = inputs[inputs.length - 1]
    for (let at = 0; at < buffer.byteLength; ) {
      const read = readBatchHeader(buffer, at)
      if (!read.ok) throw new Error(`damaged batch of ${first.first} to ${last.last} at byte ${at}: ${read.message}`)
      const { header } = read
      if (current === undefined || (at === 0 && room < buffer.byteLength)) {
        current = { topicId, partition, baseOffset: header.baseOffset, batches: [], recordCount: 0, maxTimestampMs: -1 }
        inputs.push(current)
        room = chunkBytesTarget
      }
      rebaseBatch(buffer, at, header.baseOffset - current.baseOffset)
      current.recordCount += header.recordCount
      current.maxTimestampMs = Math.max(current.maxTimestampMs, header.maxTimestampMs)
      at += header.sizeBytes
    }
    current?.batches.push(buffer)
    room -= buffer.byteLength
    bytes += buffer.byteLength
  }
  const row = {
    first: first.first,
    last: last.last,
    // Of all that the run held, also of what lies below the log start, and is not copied; but not of what compaction left out.
    maxTimestampMs:
      cleanedTo === undefined
        ? run.reduce((max, stored) => Math.max(max, stored.row.maxTimestampMs), -1)
        : inputs.reduce((max, input) => Math.max(max, input.maxTimestampMs), -1),
    maxTimestampSoFarMs: last.maxTimestampSoFarMs,
    isMerged: true,
    ...(cleanedTo === undefined ? {} : { cleanedTo }),
  }
  if (inputs.length === 0) return { segment: undefined, row: { ...row, chunks: [] }, bytes }
  const plan = encodeSegment(inputs, context.codecs, {
    topicId,
    partition,
    firstOffset: first.first,
    lastOffset: last.last,
  })
  const segment = await putSegment(context, plan, '')
  const chunks = plan.chunks.map((place, index) => ({
    ref: encodeReference({ segment, ...place }),
    base: inputs[index]!.baseOffset,
  }))
  return { segment, row: { ...row, chunks }, bytes }
}

/** False where something moved meanwhile: nothing changed, and the new segment is the sweep's. */
export async function putInPlace(
  context: Context,
  key: HeadKey,
  run: readonly StoredRow[],
  { segment, row }: WrittenRun,
): Promise<boolean> {
  const { first, last } = row
  await noteCandidates(context, segmentsOf(run, segment), { key, first, last })
  if (!(await replaceRow(context, key, run[run.length - 1]!, row))) return false
  await deleteRows(context, key, run.slice(0, -1))
  await deleteInline(context, key, inlineOf(run))
  return true
}
