/**
 * The sweep: the only code that deletes objects. Mark, look, then delete.
 *
 * Candidates are segments whose *id* is below the horizon (no clock of the store plays a part):
 *
 *     each segment once, when it comes to be below the horizon      those of writers and mergers that died
 *     those that a merge, a trim or a topic's deletion has noted    what nothing names any more
 *
 *   1. Raise the fence of every head that a candidate's footer names: none of its chunks can be committed from here on.
 *   2. Look with consistent reads, each head's tail first, all of its rows afterwards: references only move from a tail to rows, and
 *      from rows to later rows.
 *   3. Delete what none names.
 *
 * What may go is decided in lib/core/sweep-rule.ts (S2, S3).
 *
 * S4 A candidate stays noted until its object is gone. Stopped anywhere, the sweep begins again and deletes the same.
 *
 * Only heads that candidates name are fenced and read: a quiet partition costs nothing.
 */
import type { HeadKey } from '../core/head.ts'
import type { Grave, Item, ItemKey, SweepItem } from '../core/items.ts'
import {
  candidateKey,
  candidatesCollection,
  gravesCollection,
  inlineCollection,
  producersCollection,
  rowsCollection,
  sweepKey,
} from '../core/items.ts'
import type { StoredRow } from '../core/merge-plan.ts'
import type { SegmentId, TopicId } from '../core/names.ts'
import { segmentIdFloor, segmentObjectKey, segmentPrefixes } from '../core/names.ts'
import type { ChunkReference } from '../core/reference.ts'
import { isInlineReference, segmentOfReference } from '../core/reference.ts'
import type { Row } from '../core/row.ts'
import { parseRow } from '../core/row.ts'
import { segmentPartitions, segmentTailBytes } from '../core/segment.ts'
import type { SegmentIndex } from '../core/segment-index.ts'
import { decodeSegmentTail, sizeByFooter } from '../core/segment-index.ts'
import type { Named } from '../core/sweep-rule.ts'
import { rowIds } from '../core/sweep-rule.ts'
import { noteCandidates, segmentsOf } from './candidates.ts'
import type { Context } from './context.ts'
import { headKeyText } from './context.ts'
import { inParallel } from './in-parallel.ts'

/** Candidates that are looked at together: what is read of heads and rows is shared by them. */
const candidatesPerLook = 500
const itemsPerQuery = 500
const inlinePerSweep = 100
const readsAtOnce = 16

export interface Swept {
  /** Objects that were looked at. */
  readonly candidates: number
  /** Keys of the objects that were deleted; of a dry run, that would be. */
  readonly deleted: readonly string[]
  readonly isDryRun: boolean
  /** Objects that are no segments, or are damaged. They stay. */
  readonly damaged: readonly string[]
}

interface Candidate {
  readonly id: SegmentId
  readonly index: SegmentIndex
}

/** One round. Ends early, with what was done, when `signal` aborts. */
export async function sweep(context: Context, signal: AbortSignal, isDryRun = false): Promise<Swept> {
  const horizon = segmentIdFloor(context.clock.now() - context.settings.sweepAgeMs)
  const round = new Round(context, horizon, isDryRun)
  if (!isDryRun) await noteGraves(context, signal)
  await round.noted(signal)
  for (const prefix of segmentPrefixes) if (!signal.aborted) await round.fresh(prefix, signal)
  return round.swept()
}

class Round {
  readonly #context: Context
  readonly #horizon: SegmentId
  readonly #isDryRun: boolean
  #candidates = 0
  readonly #deleted = new Set<string>()
  readonly #damaged: string[] = []

  constructor(context: Context, horizon: SegmentId, isDryRun: boolean) {
    this.#context = context
    this.#horizon = horizon
    this.#isDryRun = isDryRun
  }

  swept(): Swept {
    return {
      candidates: this.#candidates,
      deleted: [...this.#deleted],
      isDryRun: this.#isDryRun,
      damaged: this.#damaged,
    }
  }

  /** Segments that were noted as candidates. */
  async noted(signal: AbortSignal): Promise<void> {
    const { metadata } = this.#context
    let from: string | undefined
    while (!signal.aborted) {
      const range = { ...(from === undefined ? {} : { from }), to: this.#horizon, limit: candidatesPerLook }
      const items = await this.#context.persist(() => metadata.query(candidatesCollection, range))
      await this.#look(items.map(({ key }) => key.sort as SegmentId))
      const last = items[items.length - 1]
      if (items.length < candidatesPerLook || last === undefined) return
      from = `${last.key.sort}\0`
    }
  }

  /** Segments of one key range that came to be below the horizon since the last round. */
  async fresh(prefix: string, signal: AbortSignal): Promise<void> {
    const { metadata, objects } = this.#context
    const key = sweepKey(prefix.at(-2) ?? '')
    const item = await this.#context.persist(() => metadata.get(key))
    const swept = (item?.value as SweepItem | undefined)?.horizon
    let after = swept === undefined ? undefined : prefix + swept
    let reached: SegmentId | undefined
    while (!signal.aborted) {
      const from = after
      const entries = await this.#context.persist(() => objects.list(prefix, from, candidatesPerLook))
      const ids = entries.map((entry) => entry.key.slice(prefix.length) as SegmentId).filter((id) => id < this.#horizon)
      for (const id of await this.#look(ids)) if (!this.#isDryRun) await noteCandidates(this.#context, [id])
      if (ids.length > 0) reached = ids[ids.length - 1]
      if (ids.length < candidatesPerLook) break
      after = entries[entries.length - 1]?.key
    }
    if (reached !== undefined && !this.#isDryRun) await this.#remember(key, item, reached)
  }

  async #remember(key: ItemKey, item: Item | undefined, horizon: SegmentId): Promise<void> {
    const value: SweepItem = { horizon }
    // Refused: another sweep is at work; whoever is behind looks at some objects twice.
    await this.#context.persist(() =>
      this.#context.metadata.write([
        {
          op: 'put',
          key,
          version: this.#context.newVersion(),
          value: value as unknown as Item['value'],
          if: item === undefined ? 'absent' : { version: item.version },
        },
      ]),
    )
  }

  /** Answers which merged segments stay although no row names them (S3): nobody else will note them. */
  async #look(ids: readonly SegmentId[]): Promise<readonly SegmentId[]> {
    if (ids.length === 0) return []
    const found = await inParallel(ids, readsAtOnce, (id) => this.#read(id))
    const candidates = found.filter((candidate) => candidate !== undefined)
    this.#candidates += candidates.length
    const named = new Map<string, Named | undefined>()
    const keys = new Map<string, HeadKey>()
    for (const { index } of candidates) for (const key of segmentPartitions(index)) keys.set(headKeyText(key), key)
    await inParallel([...keys.values()], readsAtOnce, async (key) =>
      named.set(headKeyText(key), await this.#named(key)),
    )
    const free: SegmentId[] = []
    const unnamed: SegmentId[] = []
    for (const { id, index } of candidates) {
      const partitions = segmentPartitions(index).map((key) => named.get(headKeyText(key)))
      if (partitions.every((partition) => partition !== undefined && this.#context.rules.isFree(id, index, partition)))
        free.push(id)
      else if (index.merged !== undefined && partitions.every((partition) => partition?.ids.has(id) === false))
        unnamed.push(id)
    }
    await inParallel(free, readsAtOnce, (id) => this.#delete(id))
    return unnamed
  }

  /** Undefined where there is no object, or none that can be judged. */
  async #read(id: SegmentId): Promise<Candidate | undefined> {
    const { objects, codecs } = this.#context
    const key = segmentObjectKey(id)
    let wanted = segmentTailBytes
    while (true) {
      const length = wanted
      const bytes = await this.#context.persist(() => objects.read(key, -length, length))
      if (bytes === undefined) {
        if (!this.#isDryRun) await this.#forget(id)
        return undefined
      }
      const tail = decodeSegmentTail(bytes, Math.max(bytes.length, sizeByFooter(bytes) ?? 0), codecs)
      if (tail.ok) return { id, index: tail.index }
      if (tail.reason === 'need-more' && tail.needBytes > wanted) wanted = tail.needBytes
      else {
        this.#damaged.push(key)
        return undefined
      }
    }
  }

  /** What names segments in this partition, after its fence was raised. Undefined: nobody can tell. */
  async #named(key: HeadKey): Promise<Named | undefined> {
    const { metadata } = this.#context
    if (!this.#isDryRun) {
      const fence = { kind: 'fence', minSegment: this.#horizon } as const
      const answer = await this.#context.persist(() => metadata.updateHead(key, fence))
      if (answer.head !== undefined) this.#context.heads.note(answer.head)
    }
    // The tail first, its rows afterwards.
    const head = await this.#context.persist(() => metadata.readHead(key))
    if (head === undefined) return undefined
    if (head.isDeleted) return { ids: new Set(), rows: [], start: head.start, isDeleted: true }
    const ids = new Set(this.#context.rules.tailIds(head))
    const rows: Row[] = []
    for await (const { row } of rowsOf(this.#context, key)) {
      for (const id of rowIds(row, false)) ids.add(id)
      rows.push(row)
    }
    return { ids, rows, start: head.start, isDeleted: false }
  }

  async #delete(id: SegmentId): Promise<void> {
    const key = segmentObjectKey(id)
    this.#deleted.add(key)
    if (this.#isDryRun) return
    await this.#context.persist(() => this.#context.objects.delete(key))
    await this.#forget(id)
    this.#context.observe?.count('segmentsDeleted', 1)
  }

  async #forget(id: SegmentId): Promise<void> {
    const { metadata } = this.#context
    const key = candidateKey(id)
    const item = await this.#context.persist(() => metadata.get(key))
    if (item === undefined) return
    const { version } = item
    await this.#context.persist(() => metadata.write([{ op: 'delete', key, if: { version } }]))
  }
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
  const named = new Set<string>(context.rules.tailIds(head))
  for await (const { row } of rowsOf(context, key)) for (const id of rowIds(row, true)) named.add(id)
  const orphans = items.filter((item) => !named.has(item.key.sort))
  for (const item of orphans) await remove(context, item)
  return orphans.length
}

/** What deleted topics left: their rows name segments, which become candidates; the rest goes at once, since nobody reads it again. */
async function noteGraves(context: Context, signal: AbortSignal): Promise<void> {
  for await (const { key, version, value } of pages(context, gravesCollection)) {
    if (signal.aborted) return
    const grave = value as unknown as Grave
    if (grave.sweptMs !== undefined) continue
    const topicId = key.sort as TopicId
    for (let partition = 0; partition < grave.partitions; partition++) {
      const headKey: HeadKey = { topicId, partition }
      const head = await context.persist(() => context.metadata.readHead(headKey))
      const tail = (Object.keys(head?.tail ?? {}) as ChunkReference[]).filter((ref) => !isInlineReference(ref))
      await noteCandidates(context, [...new Set(tail.map(segmentOfReference))])
      for await (const stored of rowsOf(context, headKey)) {
        await noteCandidates(context, segmentsOf([stored]))
        await remove(context, stored.item)
      }
      for (const collection of [inlineCollection(topicId, partition), producersCollection(topicId, partition)])
        for await (const item of pages(context, collection)) await remove(context, item)
      if (signal.aborted) return
    }
    // The grave stays: it is what refuses a late creation (D6).
    const swept: Grave = { ...grave, sweptMs: context.clock.now() }
    await context.persist(() =>
      context.metadata.write([
        { op: 'put', key, version: context.newVersion(), value: swept as unknown as Item['value'], if: { version } },
      ]),
    )
  }
}

async function remove(context: Context, { key, version }: Pick<Item, 'key' | 'version'>): Promise<void> {
  await context.persist(() => context.metadata.write([{ op: 'delete', key, if: { version } }]))
}

async function* rowsOf(context: Context, key: HeadKey): AsyncGenerator<StoredRow & { readonly item: Item }> {
  for await (const item of pages(context, rowsCollection(key.topicId, key.partition)))
    yield { version: item.version, row: parseRow(item.value), item }
}

async function* pages(context: Context, collection: string): AsyncGenerator<Item> {
  let from: string | undefined
  while (true) {
    const range = { ...(from === undefined ? {} : { from }), limit: itemsPerQuery }
    const items = await context.persist(() => context.metadata.query(collection, range))
    yield* items
    const last = items[items.length - 1]
    if (items.length < itemsPerQuery || last === undefined) return
    from = `${last.key.sort}\0`
  }
}
