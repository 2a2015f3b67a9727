/**
 * The first offset whose record is at or after a time: exact, whatever order the timestamps are in. Rows carry the largest
 * timestamp of everything so far, which never falls: binary search there finds the first row that can qualify; from it on
 * each chunk's own largest timestamp decides, so that one record from the future does not disable the search. Then the tail.
 */
import { refusal } from '../core/errors.ts'
import type { Head } from '../core/head.ts'
import { tailStart } from '../core/head.ts'
import { offsetSortKey, rowsCollection } from '../core/items.ts'
import type { EpochMs, Offset, TopicId } from '../core/names.ts'
import { firstRecordAtOrAfter } from '../core/record-batch.ts'
import { decodeReference } from '../core/reference.ts'
import type { Row } from '../core/row.ts'
import { parseRow } from '../core/row.ts'
import type { Chunks } from './chunks.ts'
import type { Context } from './context.ts'
import { batchesOf, liveHead } from './fetch.ts'
import type { Span } from './locate.ts'
import { locate } from './locate.ts'
import type { Answer } from './log.ts'
import type { Topics } from './topics.ts'

type Found = { readonly offset: Offset; readonly timestampMs: EpochMs }

const none: Found = { offset: -1, timestampMs: -1 }
const rowsPerQuery = 32
const lookupAttemptsMax = 6

export async function offsetForTimestamp(
  context: Context,
  topics: Topics,
  chunks: Chunks,
  name: string,
  partition: number,
  timestampMs: EpochMs,
): Promise<Answer<Found & { topicId: TopicId }>> {
  if (!Number.isSafeInteger(timestampMs))
    return refusal('INVALID_REQUEST', `A timestamp is a whole number of milliseconds, not ${timestampMs}.`)
  for (let attempt = 1; attempt <= lookupAttemptsMax; attempt++) {
    const live = await liveHead(context, topics, name, partition)
    if (!live.ok) return live
    const found = await search(context, chunks, live.head, timestampMs, attempt === 1 ? 'near' : 'far')
    if (found !== undefined) return { ok: true, topicId: live.topic.id, ...found }
    await context.pause(attempt)
  }
  return refusal(
    'INTERNAL',
    `The data of topic '${name}', partition ${partition} that holds time ${timestampMs} cannot be found.`,
  )
}

/** Undefined: what was found had moved; begin again, and look further than the first row (R1). */
async function search(
  context: Context,
  chunks: Chunks,
  head: Head,
  timestampMs: EpochMs,
  reading: 'near' | 'far',
): Promise<Found | undefined> {
  const inTail = tailStart(head)
  let at = head.start < inTail ? await firstRowThatReaches(context, head, timestampMs, inTail) : head.start
  while (at < head.hw) {
    const located = await locate(context, head, at, Number.POSITIVE_INFINITY, reading, rowsPerQuery)
    if (located === undefined) return undefined
    const found = await searchSpans(context, chunks, located.spans, head, timestampMs)
    if (found !== none) return found
    at = located.end
  }
  return none
}

/** An offset at or before the first row whose largest timestamp so far reaches the time; `end` if no row does. */
async function firstRowThatReaches(context: Context, head: Head, timestampMs: EpochMs, end: Offset): Promise<Offset> {
  let low = head.start
  let high = end
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2)
    const [row] = await rowsAt(context, head, middle, 1)
    if (row === undefined || row.first >= high) high = middle
    else if (row.maxTimestampSoFarMs >= timestampMs) high = Math.min(middle, Math.max(row.first, low))
    else low = row.last + 1
  }
  return low
}

async function rowsAt(context: Context, head: Head, from: Offset, limit: number): Promise<readonly Row[]> {
  const items = await context.persist(() =>
    context.metadata.query(rowsCollection(head.topicId, head.partition), { from: offsetSortKey(from), limit }),
  )
  return items.map((item) => parseRow(item.value))
}

async function searchSpans(
  context: Context,
  chunks: Chunks,
  spans: readonly Span[],
  head: Head,
  timestampMs: EpochMs,
): Promise<Found | undefined> {
  for (const span of spans) {
    if (span.end <= head.start || decodeReference(span.ref).maxTimestampMs < timestampMs) continue
    const [content] = await chunks.read(head, [span], tailStart(head))
    if (content === undefined) return undefined
    for (const { position, header } of batchesOf(content, span)) {
      if (header.maxTimestampMs < timestampMs || header.baseOffset + header.lastOffsetDelta < head.start) continue
      const found = firstInBatch(context, content, position, head.start, timestampMs)
      if (found !== undefined) return found
    }
  }
  return none
}

/** The first record of a batch that is at or after the time and the log start. */
function firstInBatch(
  context: Context,
  content: Uint8Array,
  position: number,
  start: Offset,
  timestampMs: EpochMs,
): Found | undefined {
  const bytesMax = context.settings.decompressedBytesMax
  // The log may start inside this batch: then only its later records count.
  const found = firstRecordAtOrAfter(content, position, timestampMs, context.codecs, bytesMax, start)
  if (!found.ok) throw new Error(`damaged batch at byte ${position} of a chunk: ${found.message}`)
  return found.record ?? undefined
}
