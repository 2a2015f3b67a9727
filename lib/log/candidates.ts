/**
 * Notes of the sweep: segments that are, or were about to be, named no longer, a note for each run of rows that named them. Whoever takes
 * names away notes it before (S4).
 */
import type { HeadKey } from '../core/head.ts'
import type { CandidateItem, Item, ItemKey } from '../core/items.ts'
import { candidateKey, candidatesCollection } from '../core/items.ts'
import type { StoredRow } from '../core/merge-plan.ts'
import type { EpochMs, Offset, SegmentId } from '../core/names.ts'
import { isSegmentId } from '../core/names.ts'
import type { ChunkReference } from '../core/reference.ts'
import { isInlineReference, segmentOfReference } from '../core/reference.ts'
import { rowIds } from '../core/sweep-rule.ts'
import type { Context } from './context.ts'
import { inParallel } from './in-parallel.ts'

/** Keeps an item below 30 KB (D8): a note is written and read whole. */
export const segmentsPerNoteMax = 1_200
/** Items that are written at the same time. */
const notesAtOnce = 16
const notesPerQuery = 64

/** Segments, and how many chunks of each were named. Of merged segments one is said: where they are named their footer tells. */
export type NotedSegments = ReadonlyMap<SegmentId, number>

/** Where the names stood that go: rows of this partition, which lie within these offsets. */
export interface NotedRun {
  readonly key: HeadKey
  readonly first: Offset
  readonly last: Offset
}

export interface Note {
  readonly key: ItemKey
  readonly version: string
  readonly sinceMs: EpochMs
  readonly run: NotedRun | undefined
  readonly segments: ReadonlyMap<SegmentId, number>
}

/** The sweep looks whether anything still names them, once the newest of them is old enough. */
export async function noteCandidates(context: Context, segments: NotedSegments, run?: NotedRun): Promise<void> {
  const sorted = [...segments].sort(([a], [b]) => (a < b ? -1 : 1))
  const newest = sorted[sorted.length - 1]?.[0]
  if (newest === undefined) return
  const parts: (typeof sorted)[] = []
  for (let at = 0; at < sorted.length; at += segmentsPerNoteMax) parts.push(sorted.slice(at, at + segmentsPerNoteMax))
  const sinceMs = context.clock.now()
  await inParallel(parts, notesAtOnce, async (part) => {
    const version = context.newVersion()
    const key = candidateKey(newest, version)
    const value = noteValue(sinceMs, new Map(part), run)
    await context.persist(() => context.metadata.write([{ op: 'put', key, version, value, if: 'absent' }]))
  })
}

/** Notes in the order of their newest segments, a page at a time: those whose newest is below `to`, and not below `from`. */
export async function* notes(
  context: Context,
  { from, to }: { readonly from?: SegmentId; readonly to?: SegmentId },
): AsyncGenerator<readonly Note[]> {
  let next: string | undefined = from
  while (true) {
    const range = {
      ...(next === undefined ? {} : { from: next }),
      ...(to === undefined ? {} : { to }),
      limit: notesPerQuery,
    }
    const items = await context.persist(() => context.metadata.query(candidatesCollection, range))
    yield items.map(noteOf)
    const last = items[items.length - 1]
    if (items.length < notesPerQuery || last === undefined) return
    next = `${last.key.sort}\0`
  }
}

/** The note with what is left of its segments; without any it goes. Refused: another sweep has done so. */
export async function leaveInNote(
  context: Context,
  { key, version, sinceMs, run }: Note,
  left: NotedSegments,
): Promise<void> {
  const condition = { version }
  const fresh = context.newVersion()
  await context.persist(() =>
    context.metadata.write([
      left.size === 0
        ? { op: 'delete', key, if: condition }
        : { op: 'put', key, version: fresh, value: noteValue(sinceMs, left, run), if: condition },
    ]),
  )
}

/** Segments that rows name, and one more, which is to be. */
export function segmentsOf(rows: readonly StoredRow[], fresh?: SegmentId): NotedSegments {
  const references = new Set<ChunkReference>()
  const segments = new Map<SegmentId, number>()
  for (const { row } of rows)
    for (const { ref } of row.chunks) {
      if (isInlineReference(ref) || references.has(ref)) continue
      references.add(ref)
      const segment = segmentOfReference(ref)
      segments.set(segment, row.isMerged ? 1 : (segments.get(segment) ?? 0) + 1)
    }
  return fresh === undefined ? segments : segments.set(fresh, 1)
}

/** Distinct inline chunks that rows name. */
export function inlineOf(rows: readonly StoredRow[]): SegmentId[] {
  return [...new Set(rows.flatMap(({ row }) => rowIds(row, true)))]
}

function noteValue(sinceMs: EpochMs, segments: NotedSegments, run: NotedRun | undefined): Item['value'] {
  const texts = [...segments].map(([id, chunks]) => (chunks === 1 ? id : `${id}*${chunks}`))
  const value: CandidateItem = {
    sinceMs,
    segments: texts.join(' '),
    ...(run === undefined
      ? {}
      : {
          run: { topicId: run.key.topicId, partition: run.key.partition, first: run.first, last: run.last },
        }),
  }
  return value as unknown as Item['value']
}

function noteOf({ key, version, value }: Item): Note {
  const { sinceMs, segments, run } = value as unknown as CandidateItem
  const counts = new Map<SegmentId, number>()
  for (const text of segments.split(' ')) {
    const [id = '', chunks = '1'] = text.split('*')
    if (!isSegmentId(id)) throw new Error(`damaged note ${key.sort}: ${JSON.stringify(text)} is no segment`)
    counts.set(id, Number(chunks))
  }
  return {
    key,
    version,
    sinceMs,
    run: run && { key: { topicId: run.topicId, partition: run.partition }, first: run.first, last: run.last },
    segments: counts,
  }
}
