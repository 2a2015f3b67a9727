/**
 * What one round of the sweep sees: footers of objects, heads after their fence was raised, rows. Marks of heads are shared by the
 * whole round: a segment below the fence that a tail does not name then, the tail never names again.
 *
 * A dry run sees the same and changes nothing.
 */
import type { HeadKey } from '../core/head.ts'
import { offsetSortKey, rowsCollection } from '../core/items.ts'
import type { StoredRow } from '../core/merge-plan.ts'
import type { SegmentId } from '../core/names.ts'
import { segmentObjectKey } from '../core/names.ts'
import { parseRow } from '../core/row.ts'
import { segmentTailBytes } from '../core/segment.ts'
import type { MergedRun } from '../core/segment-index.ts'
import { decodeSegmentTail, sizeByFooter } from '../core/segment-index.ts'
import type { Named, NotedChunks } from '../core/sweep-rule.ts'
import { rowIds } from '../core/sweep-rule.ts'
import type { Note } from './candidates.ts'
import type { Context } from './context.ts'
import { headKeyText } from './context.ts'
import { inParallel } from './in-parallel.ts'
import { replaceRow, rowsDown } from './rows.ts'

/** Objects, partitions or rows that are read at the same time. */
export const readsAtOnce = 16
/** Heads whose marks are kept (D8). */
const marksMax = 20_000
const rowsPerQueryMin = 2
const rowsPerQueryMax = 64

/** An object that may go, as its footer describes it. */
export interface Candidate {
  readonly id: SegmentId
  readonly merged?: MergedRun
  readonly partitions: readonly PartitionChunks[]
}

export interface PartitionChunks {
  readonly key: HeadKey
  readonly chunks: number
}

type Marked = Pick<Named, 'ids' | 'start' | 'cleanedTo' | 'isDeleted'>

export class Look {
  readonly context: Context
  /** Segments below it are looked at. */
  readonly horizon: SegmentId
  readonly isDryRun: boolean
  /** Footers that were read. */
  looked = 0
  /** Keys of objects. */
  readonly deleted = new Set<string>()
  readonly damaged = new Set<string>()
  readonly #marks = new Map<string, Promise<Marked | undefined>>()
  readonly #deletions = new Map<string, Promise<boolean>>()
  readonly #fences = new Map<string, Promise<boolean>>()

  constructor(context: Context, horizon: SegmentId, isDryRun: boolean) {
    this.context = context
    this.horizon = horizon
    this.isDryRun = isDryRun
  }

  /** `gone`: there is no object. `damaged`: none that can be judged; it stays. */
  async read(id: SegmentId): Promise<Candidate | 'gone' | 'damaged'> {
    const { objects, codecs } = this.context
    const key = segmentObjectKey(id)
    let wanted = segmentTailBytes
    while (true) {
      const length = wanted
      const bytes = await this.context.persist(() => objects.read(key, -length, length))
      if (bytes === undefined) return 'gone'
      const tail = decodeSegmentTail(bytes, Math.max(bytes.length, sizeByFooter(bytes) ?? 0), codecs)
      if (tail.ok) {
        this.looked++
        const { merged, chunks } = tail.index
        const partitions = new Map<string, { readonly key: HeadKey; chunks: number }>()
        for (const { topicId, partition } of chunks) {
          const text = headKeyText({ topicId, partition })
          const known = partitions.get(text)
          if (known === undefined) partitions.set(text, { key: { topicId, partition }, chunks: 1 })
          else known.chunks++
        }
        return { id, ...(merged && { merged }), partitions: [...partitions.values()] }
      }
      if (tail.reason === 'need-more' && tail.needBytes > wanted) wanted = tail.needBytes
      else {
        this.damaged.add(key)
        return 'damaged'
      }
    }
  }

  async delete(id: SegmentId): Promise<void> {
    const key = segmentObjectKey(id)
    this.deleted.add(key)
    if (this.isDryRun) return
    await this.context.persist(() => this.context.objects.delete(key))
    this.context.observe?.count('segmentsDeleted', 1)
  }

  /**
   * Of a merged segment: only the row at the end of its run ever names it. `near` stops at the first row that begins after the run: what
   * hides a row that covers it (decision 1) leaves the segment `unnamed`, which is never wrong. `far` reads all that there are.
   */
  async judgeMerged(
    candidate: Candidate,
    run: MergedRun,
    reading: 'near' | 'far',
  ): Promise<'free' | 'named' | 'unnamed'> {
    const { id } = candidate
    const key: HeadKey = { topicId: run.topicId, partition: run.partition }
    const marked = await this.#mark(key)
    if (marked === undefined) return 'unnamed'
    const ids = new Set(marked.ids)
    const rows: StoredRow[] = []
    let from = offsetSortKey(run.lastOffset)
    for (let limit = rowsPerQueryMin; ; limit = Math.min(4 * limit, rowsPerQueryMax)) {
      const range = { from, limit }
      const items = marked.isDeleted
        ? []
        : await this.context.persist(() =>
            this.context.metadata.query(rowsCollection(key.topicId, key.partition), range),
          )
      let isPast = items.length < limit
      for (const { version, value } of items) {
        const row = parseRow(value)
        for (const named of rowIds(row, false)) ids.add(named)
        if (row.first <= run.firstOffset) rows.push({ version, row })
        if (row.first > run.lastOffset && reading === 'near') isPast = true
      }
      const named = { ...marked, ids, rows: rows.map(({ row }) => row) }
      let verdict = this.context.rules.judgeSegment(id, candidate, named)
      // Which rows count is asked after they were read: a compaction may have ended since the mark (K2).
      if (verdict !== 'kept')
        verdict = this.context.rules.judgeSegment(id, candidate, { ...named, ...(await this.#now(key)) })
      if (verdict === 'free') return 'free'
      if (verdict !== 'kept') {
        const own = rows.find(({ row }) => row === verdict.row)
        return own !== undefined && (await this.#fenceRow(key, own)) ? 'free' : 'unnamed'
      }
      if (ids.has(id)) return 'named'
      const last = items[items.length - 1]
      if (isPast || last === undefined) return 'unnamed'
      from = `${last.key.sort}\0`
    }
  }

  /**
   * Of a segment that was noted (S5). `waits`: the notes do not account for all of its chunks; the note of another run may. `rows` keeps what was
   * read of runs.
   */
  async judgeNoted(
    candidate: Candidate,
    noted: readonly Note[],
    rows: Map<string, Promise<ReadonlySet<SegmentId>>>,
  ): Promise<'free' | 'named' | 'waits'> {
    const { rules } = this.context
    const accounted: { readonly key: HeadKey; readonly runs: readonly NotedChunks[] }[] = []
    for (const { key, chunks } of candidate.partitions) {
      const told: NotedChunks[] = []
      for (const { run, segments } of noted)
        if (run?.key.topicId === key.topicId && run.key.partition === key.partition)
          told.push({ first: run.first, last: run.last, chunks: segments.get(candidate.id) ?? 0 })
      const runs = rules.runsOfAll(told, chunks)
      if (runs === undefined && !(await this.#isDeleted(key))) return 'waits'
      accounted.push({ key, runs: runs ?? [] })
    }
    for (const { key, runs } of accounted) {
      const marked = await this.#mark(key)
      if (marked === undefined) return 'named'
      const ids = new Set(marked.ids)
      for (const run of marked.isDeleted ? [] : runs) for (const id of await this.#namedIn(key, run, rows)) ids.add(id)
      if (rules.judgeSegment(candidate.id, candidate, { ...marked, ids, rows: [] }) !== 'free') return 'named'
    }
    return 'free'
  }

  /**
   * Which of these, none of them merged, nothing names: by all rows of their partitions, from the newest down to where each was seen. Only
   * one that nothing names makes it read all.
   */
  async orphansOf(candidates: readonly Candidate[]): Promise<readonly SegmentId[]> {
    const kept = new Set<SegmentId>()
    const partitions = new Map<string, { readonly key: HeadKey; readonly ids: Set<SegmentId> }>()
    for (const { id, partitions: some } of candidates)
      for (const { key } of some) {
        const text = headKeyText(key)
        const known = partitions.get(text)
        if (known === undefined) partitions.set(text, { key, ids: new Set([id]) })
        else known.ids.add(id)
      }
    await inParallel([...partitions.values()], readsAtOnce, async ({ key, ids }) => {
      const marked = await this.#mark(key)
      const named = marked && { ...marked, ids: await this.#seenIn(key, marked, ids, kept), rows: [] }
      for (const id of ids)
        if (named === undefined || this.context.rules.judgeSegment(id, {}, named) !== 'free') kept.add(id)
    })
    return candidates.map(({ id }) => id).filter((id) => !kept.has(id))
  }

  /** Those of `ids` that tail and rows name; no longer looked for are those that stay in any case. */
  async #seenIn(
    key: HeadKey,
    marked: Marked,
    ids: ReadonlySet<SegmentId>,
    kept: ReadonlySet<SegmentId>,
  ): Promise<ReadonlySet<SegmentId>> {
    const seen = new Set(marked.ids)
    const left = new Set([...ids].filter((id) => !seen.has(id) && !kept.has(id)))
    if (marked.isDeleted || left.size === 0) return seen
    let read = 0
    for await (const { row } of rowsDown(this.context, key, Number.MAX_SAFE_INTEGER, 0)) {
      for (const id of rowIds(row, false)) if (left.delete(id)) seen.add(id)
      if (++read % rowsPerQueryMax === 0) for (const id of left) if (kept.has(id)) left.delete(id)
      if (left.size === 0) break
    }
    return seen
  }

  /** Ids that rows name which end within the run. */
  #namedIn(
    key: HeadKey,
    { first, last }: NotedChunks,
    known: Map<string, Promise<ReadonlySet<SegmentId>>>,
  ): Promise<ReadonlySet<SegmentId>> {
    return once(known, `${headKeyText(key)}/${first}/${last}`, async () => {
      const ids = new Set<SegmentId>()
      for await (const { row } of rowsDown(this.context, key, last, first))
        for (const id of rowIds(row, false)) ids.add(id)
      return ids
    })
  }

  /** What the tail names, after the head's fence was raised; rows are read afterwards. Undefined: there is no head, and nobody can tell. */
  #mark(key: HeadKey): Promise<Marked | undefined> {
    if (this.#marks.size > marksMax) this.#marks.clear()
    return once(this.#marks, headKeyText(key), async () => {
      const { metadata } = this.context
      if (!this.isDryRun) {
        const fence = { kind: 'fence', minSegment: this.horizon } as const
        const answer = await this.context.persist(() => metadata.updateHead(key, fence))
        if (answer.head !== undefined) this.context.heads.note(answer.head)
      }
      const head = await this.context.persist(() => metadata.readHead(key))
      if (head === undefined) return undefined
      const { start, cleanedTo, isDeleted } = head
      const ids = new Set(this.context.rules.tailIds(head))
      return { ids, start, isDeleted, ...(cleanedTo === undefined ? {} : { cleanedTo }) }
    })
  }

  async #now(key: HeadKey): Promise<Pick<Named, 'start' | 'cleanedTo'>> {
    const head = await this.context.persist(() => this.context.metadata.readHead(key))
    if (head === undefined) throw new Error(`the head of ${headKeyText(key)} is gone`)
    const { start, cleanedTo } = head
    return { start, ...(cleanedTo === undefined ? {} : { cleanedTo }) }
  }

  /** Asked of partitions that need no mark, since something there has still to be noted. */
  #isDeleted(key: HeadKey): Promise<boolean> {
    if (this.#deletions.size > marksMax) this.#deletions.clear()
    return once(this.#deletions, headKeyText(key), async () => {
      const head = await this.context.persist(() => this.context.metadata.readHead(key))
      return head?.isDeleted === true
    })
  }

  /** Puts a row again, as it is: what was to replace the version that was read is refused from here on (S3). */
  #fenceRow(key: HeadKey, stored: StoredRow): Promise<boolean> {
    if (this.isDryRun) return Promise.resolve(true)
    return once(this.#fences, `${headKeyText(key)}/${stored.row.last}/${stored.version}`, () =>
      replaceRow(this.context, key, stored, stored.row),
    )
  }
}

function once<Result>(known: Map<string, Promise<Result>>, text: string, work: () => Promise<Result>): Promise<Result> {
  const present = known.get(text)
  if (present !== undefined) return present
  const running = work()
  known.set(text, running)
  return running
}
