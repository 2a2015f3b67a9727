/**
 * Where the records from an offset on lie: the head, then at most one query of rows, however long the log is. References
 * only move from the tail to rows, so the head is always read first.
 */
import type { Head } from '../core/head.ts'
import { tailEntries, tailStart } from '../core/head.ts'
import { offsetSortKey, rowsCollection } from '../core/items.ts'
import type { Offset } from '../core/names.ts'
import type { ChunkReference } from '../core/reference.ts'
import { decodeReference } from '../core/reference.ts'
import type { Row } from '../core/row.ts'
import { parseRow } from '../core/row.ts'
import type { Context } from './context.ts'

/** A chunk and the offsets it holds. */
export interface Span {
  readonly ref: ChunkReference
  readonly base: Offset
  /** One past the last offset. */
  readonly end: Offset
}

const nearRowsPerQuery = 8
const farRowsPerQuery = 200

/** The spans that hold what there is of the offsets from one asked for up to `end`; what none of them holds was compacted away. */
export interface Located {
  /** Ascending. */
  readonly spans: readonly Span[]
  /** One past the last offset. */
  readonly end: Offset
}

/**
 * The spans from the one that holds `from` (start <= from < hw) on, until they have `bytesWanted` or the rows that were read end; none where
 * compaction left nothing so far. Undefined: what was read does not hold `from`; begin again from the head, looking `far`.
 */
export async function locate(
  context: Context,
  head: Head,
  from: Offset,
  bytesWanted: number,
  reading: 'near' | 'far',
  rowsPerQuery = nearRowsPerQuery,
): Promise<Located | undefined> {
  const spans: Span[] = []
  let bytes = 0
  let at = from
  let isFull = false
  const take = (candidates: readonly Span[]) => {
    for (const span of candidates) {
      if (span.end <= at) continue
      isFull = spans.length > 0 && bytes >= bytesWanted
      if (isFull) return
      spans.push(span)
      bytes += decodeReference(span.ref).lengthBytes
      at = span.end
    }
  }
  const inTail = tailStart(head)
  if (from < inTail) {
    const rows = await readRows(context, head, from, reading, rowsPerQuery)
    while (at < inTail && (spans.length === 0 || bytes < bytesWanted)) {
      const choice = context.rules.rowThatCounts(rows.items, at, rows.isEnd, reading)
      // A row that only further reading could confirm: for the first offset it is read, beyond that the answer may end.
      const isUnconfirmed = choice.kind === 'read-on' && at === from && reading === 'near'
      const row = choice.kind === 'found' ? choice.row : isUnconfirmed ? choice.candidate : undefined
      if (row === undefined) {
        if (at === from) return undefined
        break
      }
      const candidates = rowSpans(row)
      // Where compaction never came nothing is missing, unless the log start was raised meanwhile: the head is asked again.
      const begins = candidates.find((span) => span.end > at)?.base ?? row.last + 1
      if (row.cleanedTo === undefined && begins > at) {
        if (at === from) return undefined
        break
      }
      take(candidates)
      if (isFull) break
      // Where compaction left nothing, or its last chunk ends early.
      at = Math.max(at, row.last + 1)
    }
    if (at < inTail || isFull) return { spans, end: at }
  }
  take(tailEntries(head))
  return { spans, end: at }
}

async function readRows(
  context: Context,
  head: Head,
  from: Offset,
  reading: 'near' | 'far',
  rowsPerQuery: number,
): Promise<{ items: readonly Row[]; isEnd: boolean }> {
  const limit = reading === 'near' ? rowsPerQuery : farRowsPerQuery
  const rows: Row[] = []
  let start = offsetSortKey(from)
  while (true) {
    const items = await context.persist(() =>
      context.metadata.query(rowsCollection(head.topicId, head.partition), { from: start, limit }),
    )
    for (const item of items) {
      const row = parseRow(item.value)
      if (!context.rules.isStaleRow(row, head.cleanedTo)) rows.push(row)
    }
    const last = items[items.length - 1]
    const isEnd = items.length < limit || last === undefined
    if (isEnd || reading === 'near') return { items: rows, isEnd }
    start = offsetSortKey(Number(last.key.sort) + 1)
  }
}

export function rowSpans(row: Row): Span[] {
  return row.chunks.map(({ ref, base }, index) => ({ ref, base, end: row.chunks[index + 1]?.base ?? row.last + 1 }))
}
