/**
 * The sweep: the only code that deletes objects. Mark, look, then delete.
 *
 * Candidates are segments whose *id* is below the horizon (no clock of the store plays a part):
 *
 *     those that a merge, a trim or a topic's deletion has noted    what nothing names any more (sweep-noted.ts)
 *     each other segment once, when it comes to be below it         those of writers and mergers that died
 *
 *   1. Raise the fence of every head that a candidate's footer names: none of its chunks can be committed from here on.
 *   2. Look with consistent reads, each head's tail first, its rows afterwards: references only move from a tail to rows. Where notes tell
 *      in which run of rows the names stood, those rows; otherwise from the newest down until each candidate was seen.
 *   3. Delete what none names.
 *
 * What may go is decided in lib/core/sweep-rule.ts (S2, S3, S5); what is read for it stands in sweep-look.ts.
 *
 * Only heads that candidates name are fenced and read: a quiet partition costs nothing.
 */
import type { HeadKey } from '../core/head.ts'
import type { Item, ItemKey, SweepItem } from '../core/items.ts'
import { inlineCollection, sweepKey } from '../core/items.ts'
import type { SegmentId } from '../core/names.ts'
import { segmentIdFloor, segmentObjectKey, segmentPrefixes } from '../core/names.ts'
import { rowIds } from '../core/sweep-rule.ts'
import { noteCandidates, notes } from './candidates.ts'
import type { Context } from './context.ts'
import { inParallel } from './in-parallel.ts'
import { rowsDown } from './rows.ts'
import { emptyGraves, removeItems } from './sweep-graves.ts'
import { Look, readsAtOnce } from './sweep-look.ts'
import { sweepNoted } from './sweep-noted.ts'

const objectsPerList = 500
/** Objects that are looked at together: what is read of heads and rows is shared by them. */
const objectsPerLook = 2_000
const inlinePerSweep = 100

export interface Swept {
  /** Objects that were looked at. */
  readonly candidates: number
  /** Keys of the objects that were deleted; of a dry run, that would be. */
  readonly deleted: readonly string[]
  readonly isDryRun: boolean
  /** Objects that are no segments, or are damaged. They stay. */
  readonly damaged: readonly string[]
}

/** One round. Ends early, with what was done, when `signal` aborts. */
export async function sweep(context: Context, signal: AbortSignal, isDryRun = false): Promise<Swept> {
  const look = new Look(context, segmentIdFloor(context.clock.now() - context.settings.sweepAgeMs), isDryRun)
  if (!isDryRun) await emptyGraves(context, signal)
  await sweepNoted(look, signal)
  await sweepListed(look, signal)
  return { candidates: look.looked, deleted: [...look.deleted], isDryRun, damaged: [...look.damaged] }
}

/** How far a key range was listed. */
interface Range {
  readonly key: ItemKey
  item: Pick<Item, 'version'> | undefined
  readonly fullSinceMs: number
  reached: SegmentId
}

/** Segments that came to be below the horizon since the last round, key range by key range; now and then all that there are. */
async function sweepListed(look: Look, signal: AbortSignal): Promise<void> {
  const { context, horizon } = look
  const { metadata, objects, clock, settings } = context
  const listed: SegmentId[] = []
  const ranges = new Set<Range>()
  const settle = async () => {
    await lookAtListed(look, listed.splice(0))
    for (const range of ranges) await remember(look, range)
    ranges.clear()
  }
  for (const prefix of segmentPrefixes) {
    if (signal.aborted) break
    const key = sweepKey(prefix.at(-2) ?? '')
    const item = await context.persist(() => metadata.get(key))
    const swept = item?.value as SweepItem | undefined
    // Begun from the first object, it goes on from round to round until it has come to the horizon.
    const isDue = swept === undefined || clock.now() - swept.fullSinceMs >= settings.sweepFullIntervalMs
    const fullSinceMs = isDue ? clock.now() : swept.fullSinceMs
    let after = isDue ? undefined : prefix + swept.horizon
    const range: Range = { key, item, fullSinceMs, reached: horizon }
    while (!signal.aborted) {
      const from = after
      const entries = await context.persist(() => objects.list(prefix, from, objectsPerList))
      const ids = entries.map((entry) => entry.key.slice(prefix.length) as SegmentId).filter((id) => id < horizon)
      listed.push(...ids)
      const reached = ids[ids.length - 1]
      if (reached !== undefined) {
        range.reached = reached
        ranges.add(range)
      }
      if (ids.length < objectsPerList) break
      after = entries[entries.length - 1]?.key
      if (listed.length >= objectsPerLook) await settle()
    }
    if (listed.length >= objectsPerLook) await settle()
  }
  await settle()
}

/** Nearly all of them are noted, or named by a row that a merge or a roll put lately. */
async function lookAtListed(look: Look, ids: readonly SegmentId[]): Promise<void> {
  const { context } = look
  const left = new Set(ids.filter((id) => !look.deleted.has(segmentObjectKey(id))))
  const [least] = [...left].sort()
  if (least === undefined) return
  const alreadyNoted = new Set<SegmentId>()
  for await (const page of notes(context, { from: least }))
    for (const { key, segments } of page) {
      // Its turn has come: its segments are named, or not accounted for. Otherwise they will be looked at.
      const isDue = key.sort < look.horizon
      for (const id of segments.keys())
        if (!isDue) left.delete(id)
        else if (left.has(id)) alreadyNoted.add(id)
    }
  const read = await inParallel([...left], readsAtOnce, (id) => look.read(id))
  const found = read.filter((candidate) => typeof candidate === 'object')
  const free = [...(await look.orphansOf(found.filter(({ merged }) => merged === undefined)))]
  const unnamed = new Map<SegmentId, number>()
  await inParallel(found, readsAtOnce, async (candidate) => {
    if (candidate.merged === undefined) return
    const verdict = await look.judgeMerged(candidate, candidate.merged, 'far')
    if (verdict === 'free') free.push(candidate.id)
    // Nobody else will note it (S3).
    else if (verdict === 'unnamed' && !alreadyNoted.has(candidate.id)) unnamed.set(candidate.id, 1)
  })
  if (!look.isDryRun) await noteCandidates(context, unnamed)
  await inParallel(free, readsAtOnce, (id) => look.delete(id))
}

async function remember({ context, isDryRun }: Look, range: Range): Promise<void> {
  if (isDryRun) return
  const value: SweepItem = { horizon: range.reached, fullSinceMs: range.fullSinceMs }
  const version = context.newVersion()
  // Refused: another sweep is at work; whoever is behind looks at some objects twice.
  await context.persist(() =>
    context.metadata.write([
      {
        op: 'put',
        key: range.key,
        version,
        value: value as unknown as Item['value'],
        if: range.item === undefined ? 'absent' : { version: range.item.version },
      },
    ]),
  )
  range.item = { version }
}

/**
 * Inline chunks of a partition that nobody came to commit, or that a merge which stopped left: by the same steps. Only in partitions
 * that were merged just now; those that nobody writes to cost nothing.
 */
export async function sweepInline(context: Context, key: HeadKey): Promise<number> {
  const horizon = segmentIdFloor(context.clock.now() - context.settings.sweepAgeMs)
  const { metadata } = context
  const collection = inlineCollection(key.topicId, key.partition)
  const items = await context.persist(() => metadata.query(collection, { to: horizon, limit: inlinePerSweep }))
  if (items.length === 0) return 0
  const answer = await context.persist(() => metadata.updateHead(key, { kind: 'fence', minSegment: horizon }))
  if (answer.head !== undefined) context.heads.note(answer.head)
  const head = await context.persist(() => metadata.readHead(key))
  if (head === undefined || head.isDeleted) return 0
  const inTail = new Set<string>(context.rules.tailIds(head))
  const left = new Map(items.filter((item) => !inTail.has(item.key.sort)).map((item) => [item.key.sort, item]))
  if (left.size > 0)
    for await (const { row } of rowsDown(context, key, Number.MAX_SAFE_INTEGER, 0)) {
      for (const id of rowIds(row, true)) left.delete(id)
      if (left.size === 0) break
    }
  await removeItems(context, [...left.values()])
  return left.size
}
