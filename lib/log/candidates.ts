/** Notes of the sweep: segments that are, or were about to be, named no longer. Whoever takes a name away notes it before (S4). */
import type { HeadKey } from '../core/head.ts'
import type { CandidateItem, Item } from '../core/items.ts'
import { candidateKey } from '../core/items.ts'
import type { StoredRow } from '../core/merge-plan.ts'
import type { Offset, SegmentId } from '../core/names.ts'
import { rowIds } from '../core/sweep-rule.ts'
import type { Context } from './context.ts'
import { inParallel } from './in-parallel.ts'

/** Items that are written at the same time. */
const notesAtOnce = 16

/** Where the names stood that go: rows of this partition, which lie within these offsets. */
export interface NotedRun {
  readonly key: HeadKey
  readonly first: Offset
  readonly last: Offset
}

/** The sweep looks whether anything still names them. */
export async function noteCandidates(context: Context, segments: readonly SegmentId[], _run?: NotedRun): Promise<void> {
  const value: CandidateItem = { sinceMs: context.clock.now() }
  await inParallel(segments, notesAtOnce, async (id) => {
    const version = context.newVersion()
    await context.persist(() =>
      context.metadata.write([
        { op: 'put', key: candidateKey(id), version, value: value as unknown as Item['value'], if: 'absent' },
      ]),
    )
  })
}

/** Distinct segments that rows name. */
export function segmentsOf(rows: readonly StoredRow[]): SegmentId[] {
  return idsOf(rows, false)
}

/** Distinct inline chunks that rows name. */
export function inlineOf(rows: readonly StoredRow[]): SegmentId[] {
  return idsOf(rows, true)
}

function idsOf(rows: readonly StoredRow[], isInline: boolean): SegmentId[] {
  return [...new Set(rows.flatMap(({ row }) => rowIds(row, isInline)))]
}
