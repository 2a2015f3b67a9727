/**
 * A pass of key compaction (lib/core/compaction-plan.ts decides, K1 and K2 in lib/core/row.ts say what must stay true):
 *
 *   1. read the keys from the dirty start to the end into a map, key -> last offset;
 *   2. go over all rows below the end, *the highest first*: neighbours become one segment and one row (run.ts) without the records that the
 *      map has later ones of, and with a stamp: clean up to the end. A row from which nothing goes is only stamped;
 *   3. raise the head's `cleanedTo`, on the condition of what the pass saw: from here on rows without the stamp do not count;
 *   4. note the pass in an item, for tombstones and for the next decision whether a pass is worth it. A look that finds no note of where the
 *      head came makes one, of now.
 *
 * Stopped anywhere, readers see the same but for records that were superseded; the next pass finds the stamps and goes on to the same
 * end. Every write is conditional: what was refused ends the pass. Offsets never change, and the tail and young rows are not touched.
 * Memory: the map, and about twice a segment.
 */
import { forEachKey } from '../core/batch-rewrite.ts'
import type { CompactionPlan, CompactionPolicy, CountingRow, RowsByWorth } from '../core/compaction-plan.ts'
import { isWorthCompacting, passesAfter, passesUpTo, planCompaction, rowsByWorth } from '../core/compaction-plan.ts'
import type { Head, HeadKey } from '../core/head.ts'
import { tailStart } from '../core/head.ts'
import type { CompactionItem, Item } from '../core/items.ts'
import { compactionKey } from '../core/items.ts'
import { KeyMap } from '../core/key-map.ts'
import type { StoredRow } from '../core/merge-plan.ts'
import { rowBytes } from '../core/merge-plan.ts'
import type { EpochMs, Offset, SegmentId } from '../core/names.ts'
import type { EffectiveConfig } from '../core/topic.ts'
import { inlineOf, noteCandidates, segmentsOf } from './candidates.ts'
import type { Chunks } from './chunks.ts'
import type { Context } from './context.ts'
import { deleteInline } from './inline-chunks.ts'
import { rewriteRun } from './rewrite-run.ts'
import { deleteRows, replaceRow, rowsUp } from './rows.ts'
import { putInPlace, writeRun } from './run.ts'

/** Bytes of rows whose keys are read together. */
const bytesPerRead = 8_388_608

export interface Compacted {
  /** What lies below is clean. */
  readonly cleanedTo: Offset
  readonly recordsRemoved: number
  readonly bytesBefore: number
  readonly bytesAfter: number
  /** Distinct keys in the map. */
  readonly keys: number
  readonly mapBytes: number
}

/** One pass, if it is worth it. Undefined: it was not, or it was stopped, by `signal` or since something moved. */
export async function compactPartition(
  context: Context,
  chunks: Chunks,
  key: HeadKey,
  config: EffectiveConfig,
  signal: AbortSignal,
): Promise<Compacted | undefined> {
  const seen = await lookAt(context, key)
  if (seen === undefined) return undefined
  const { head, known } = seen
  // What is clean already is read only where a pass is worth it, or where nobody remembers how much it is.
  if (known !== undefined && isPartlyClean(head) && !isForgotten(known, head)) {
    const rows = await readRows(context, head, head.cleanedTo ?? 0)
    if (planOf(context, config, head, rows, known) === undefined) return undefined
  }
  // One map at a time.
  return context.compacting.run(1, async () =>
    signal.aborted ? undefined : pass(context, chunks, key, config, signal),
  )
}

/** From the beginning, since it may have waited for others. */
async function pass(
  context: Context,
  chunks: Chunks,
  key: HeadKey,
  config: EffectiveConfig,
  signal: AbortSignal,
): Promise<Compacted | undefined> {
  const seen = await lookAt(context, key)
  if (seen === undefined) return undefined
  const { head, known } = seen
  const cleanedTo = head.cleanedTo ?? 0
  const rows = await readRows(context, head, head.start)
  const { counting, others } = rows
  let item: CompactionItem =
    known !== undefined && isPartlyClean(head)
      ? known
      : { passes: [], ...known, cleanBytes: bytesBelow(counting, cleanedTo) }
  let { version } = seen
  const { clock, rules } = context
  const { deleteRetentionMs } = config
  const policy = policyOf(context, config)
  const { dirtyStart } = planCompaction(counting, cleanedTo, policy, clock.now())
  if (isForgotten(item, head) && dirtyStart === cleanedTo) {
    item = noted(item, head, bytesBelow(counting, cleanedTo), deleteRetentionMs, clock.now())
    version = await remember(context, key, item, version)
    if (version === undefined) return undefined
  }
  const plan = planOf(context, config, head, rows, item)
  if (plan === undefined) return undefined
  await removeOthers(context, key, others, counting)

  // Rows of before were put late over cleaned ones: what passes did there does not count, also if this one stops.
  const isBroken = plan.dirtyStart < cleanedTo && item.passes.some(({ to }) => to > plan.dirtyStart)
  const passes = isBroken ? passesUpTo(item.passes, plan.dirtyStart) : item.passes
  if (isBroken) version = await remember(context, key, { ...item, passes }, version)
  if (isBroken && version === undefined) return undefined

  const tombstonesBelow = rules.tombstonesGoBelow(passes, plan.dirtyStart, deleteRetentionMs, clock.now())
  const left = await new Pass(context, chunks, head, config, plan, tombstonesBelow, signal).run(counting)
  if (left === undefined) return undefined
  const { bytesAfter: cleanBytes, firstTombstone, oldestSegment, ...counted } = left
  const isFurther = plan.end > cleanedTo
  if (isFurther && !(await raise(context, key, cleanedTo, plan.end, oldestSegment))) return undefined
  const nowMs = clock.now()
  const ended: CompactionItem = {
    passes: isFurther ? passesAfter(passes, { to: plan.end, atMs: nowMs }, deleteRetentionMs, nowMs) : passes,
    cleanBytes,
    ...(firstTombstone === undefined ? {} : { firstTombstone }),
  }
  await remember(context, key, ended, version)
  context.observe?.count('compactions', 1)
  context.observe?.count('recordsCompacted', left.recordsRemoved, key.topicId)
  return { cleanedTo: plan.end, bytesAfter: cleanBytes, ...counted }
}

interface Looked {
  readonly head: Head
  /** What passes before left to know, and its version. */
  readonly known: CompactionItem | undefined
  readonly version: string | undefined
}

/** Undefined: there are no rows. */
async function lookAt(context: Context, key: HeadKey): Promise<Looked | undefined> {
  const head = await context.heads.read(key)
  if (head === undefined || head.isDeleted || tailStart(head) <= head.start) return undefined
  const stored = await context.persist(() => context.metadata.get(compactionKey(key.topicId, key.partition)))
  if (stored === undefined) return { head, known: undefined, version: undefined }
  return { head, known: stored.value as unknown as CompactionItem, version: stored.version }
}

/** Is there anything clean above the log start? What passes remember of it is right then. */
function isPartlyClean({ cleanedTo = 0, start }: Head): boolean {
  return cleanedTo > start
}

/** The process that brought the head here ended before it noted that. */
function isForgotten({ passes }: CompactionItem, { cleanedTo = 0 }: Head): boolean {
  return cleanedTo > 0 && !passes.some(({ to }) => to >= cleanedTo)
}

/** The same with the pass that nobody noted, as if it had ended now. Where it left tombstones nobody knows. */
function noted(
  { passes, firstTombstone }: CompactionItem,
  { cleanedTo = 0 }: Head,
  cleanBytes: number,
  deleteRetentionMs: number,
  nowMs: EpochMs,
): CompactionItem {
  return {
    passes: passesAfter(passes, { to: cleanedTo, atMs: nowMs }, deleteRetentionMs, nowMs),
    cleanBytes,
    firstTombstone: Math.min(firstTombstone ?? cleanedTo, ...passes.map(({ to }) => to).slice(-1), cleanedTo - 1),
  }
}

/** Undefined: not worth it. */
function planOf(
  context: Context,
  config: EffectiveConfig,
  { cleanedTo = 0 }: Head,
  { counting }: RowsByWorth,
  item: CompactionItem,
): CompactionPlan | undefined {
  const policy = policyOf(context, config)
  const nowMs = context.clock.now()
  const plan = planCompaction(counting, cleanedTo, policy, nowMs)
  return isWorthCompacting(plan, counting, item, cleanedTo, policy, nowMs) ? plan : undefined
}

function policyOf({ settings }: Context, config: EffectiveConfig): CompactionPolicy {
  return {
    keysMax: settings.compactionKeysMax,
    quietMs: settings.mergeQuietMs,
    minLagMs: config.minCompactionLagMs,
    maxLagMs: config.maxCompactionLagMs,
    minDirtyRatio: config.minCleanableDirtyRatio,
    deleteRetentionMs: config.deleteRetentionMs,
  }
}

/** Those that end at `from` or later, and below the tail. */
async function readRows(context: Context, head: Head, from: Offset): Promise<RowsByWorth> {
  const rows: StoredRow[] = []
  const end = tailStart(head)
  for await (const stored of rowsUp(context, head, from)) {
    if (stored.row.last >= end) break
    rows.push(stored)
  }
  return rowsByWorth(rows, head.cleanedTo, context.rules.isStaleRow)
}

function bytesBelow(counting: readonly CountingRow[], offset: Offset): number {
  return counting.reduce((sum, { row, end }) => sum + (end <= offset ? rowBytes(row) : 0), 0)
}

/** Rows that count nowhere go, and their inline chunks, unless a row that counts names them too. */
async function removeOthers(
  context: Context,
  key: HeadKey,
  others: readonly StoredRow[],
  counting: readonly CountingRow[],
): Promise<void> {
  if (others.length === 0) return
  const used = new Set(inlineOf(counting))
  const first = Math.min(...others.map(({ row }) => row.first))
  const last = Math.max(...others.map(({ row }) => row.last))
  await noteCandidates(context, segmentsOf(others), { key, first, last })
  await deleteRows(context, key, others)
  const unused = inlineOf(others).filter((id) => !used.has(id))
  await deleteInline(context, key, unused)
}

/** Is the head's `cleanedTo` at `to`, by this pass or another one? */
async function raise(
  context: Context,
  key: HeadKey,
  from: Offset,
  to: Offset,
  oldestSegment: SegmentId | '',
): Promise<boolean> {
  const command = { kind: 'clean', from, to, oldestSegment } as const
  const answer = await context.persist(() => context.metadata.updateHead(key, command))
  if (answer.head !== undefined) context.heads.note(answer.head)
  return answer.applied || answer.head?.cleanedTo === to
}

/** The new version; undefined where another pass has written meanwhile. */
async function remember(
  context: Context,
  { topicId, partition }: HeadKey,
  item: CompactionItem,
  seen: string | undefined,
): Promise<string | undefined> {
  const version = context.newVersion()
  const answer = await context.persist(() =>
    context.metadata.write([
      {
        op: 'put',
        key: compactionKey(topicId, partition),
        version,
        value: item as unknown as Item['value'],
        if: seen === undefined ? 'absent' : { version: seen },
      },
    ]),
  )
  return answer.applied || answer.items[0]?.version === version ? version : undefined
}

/** A row without what goes, on its way into a segment. */
interface CleanRow {
  readonly stored: CountingRow
  readonly batches: readonly Uint8Array[]
  readonly bytes: number
  /** Nothing went, and it has a segment of its own already. */
  readonly isWhole: boolean
}

interface PassResult extends Omit<Compacted, 'cleanedTo'> {
  readonly firstTombstone: Offset | undefined
  /** Of those that it wrote. */
  readonly oldestSegment: SegmentId | ''
}

class Pass {
  readonly #context: Context
  readonly #chunks: Chunks
  readonly #head: Head
  readonly #config: EffectiveConfig
  readonly #plan: CompactionPlan
  readonly #tombstonesBelow: Offset
  readonly #signal: AbortSignal
  #keys: KeyMap
  readonly #segmentBytesMax: number
  /** Adjacent, the highest first. */
  #group: CleanRow[] = []
  #groupBytes = 0
  #recordsRemoved = 0
  #bytesBefore = 0
  #bytesAfter = 0
  #firstTombstone = Number.POSITIVE_INFINITY
  #oldestSegment: SegmentId | '' = ''

  constructor(
    context: Context,
    chunks: Chunks,
    head: Head,
    config: EffectiveConfig,
    plan: CompactionPlan,
    tombstonesBelow: Offset,
    signal: AbortSignal,
  ) {
    this.#context = context
    this.#chunks = chunks
    this.#head = head
    this.#config = config
    this.#plan = plan
    this.#tombstonesBelow = tombstonesBelow
    this.#signal = signal
    this.#keys = this.#mapFor(0)
    this.#segmentBytesMax = Math.min(context.settings.mergeBytesMax, config.segmentBytes)
  }

  /** Undefined: stopped. */
  async run(counting: readonly CountingRow[]): Promise<PassResult | undefined> {
    const { dirtyStart, end } = this.#plan
    const below = counting.filter((stored) => stored.row.last < end)
    if (!(await this.#readKeys(below.filter((stored) => stored.end > dirtyStart)))) return undefined
    const left = [...below]
    // Other merges and passes of this process wait for their turn after each segment.
    while (left.length > 0)
      if (!(await this.#context.merging.run(this.#segmentBytesMax, () => this.#clean(left)))) return undefined
    if (!(await this.#endGroup())) return undefined
    return {
      recordsRemoved: this.#recordsRemoved,
      bytesBefore: this.#bytesBefore,
      bytesAfter: this.#bytesAfter,
      keys: this.#keys.size,
      mapBytes: this.#keys.bytes,
      firstTombstone: this.#firstTombstone === Number.POSITIVE_INFINITY ? undefined : this.#firstTombstone,
      oldestSegment: this.#oldestSegment,
    }
  }

  #mapFor(keysExpected: number): KeyMap {
    const word = () => Math.floor(this.#context.random() * 2 ** 32)
    return new KeyMap([word(), word(), word(), word()], keysExpected)
  }

  async #readKeys(rows: readonly CountingRow[]): Promise<boolean> {
    const context = this.#context
    const offsets = rows.reduce((sum, { row, end }) => sum + end - row.first, 0)
    this.#keys = this.#mapFor(Math.min(offsets, context.settings.compactionKeysMax))
    for (let at = 0; at < rows.length; ) {
      if (this.#signal.aborted) return false
      const some: CountingRow[] = []
      for (let bytes = 0; at < rows.length && (bytes === 0 || bytes < bytesPerRead); at++) {
        some.push(rows[at]!)
        bytes += rowBytes(rows[at]!.row)
      }
      const bytes = some.reduce((sum, { row }) => sum + rowBytes(row), 0)
      const isRead = await context.merging.run(Math.min(bytes, this.#segmentBytesMax), async () => {
        for (const stored of some) {
          const batches = await this.#load(stored)
          if (batches === undefined) return false
          const { decompressedBytesMax } = context.settings
          for (const buffer of batches) {
            forEachKey([buffer], context.codecs, decompressedBytesMax, (offset, key) => {
              if (key !== null && offset < stored.end) this.#keys.put(key, offset)
            })
            // Others want a turn: a buffer is a chunk, of about a mebibyte.
            await context.clock.sleep(0)
          }
        }
        return true
      })
      if (!isRead) return false
    }
    return true
  }

  /** The row's batches; undefined where some are gone: somebody else has moved them. */
  async #load({ row, version }: StoredRow): Promise<Uint8Array[] | undefined> {
    // What lies below the log start may be gone.
    const spans = this.#context.rules.spansToMerge([{ row, version }], this.#head.start)
    return spans.length === 0 ? [] : this.#chunks.load(this.#head, spans)
  }

  /** Takes rows off the end of the list until a segment is full and written; false where something moved. */
  async #clean(left: CountingRow[]): Promise<boolean> {
    while (true) {
      if (this.#signal.aborted) return false
      const stored = left.pop()
      if (stored === undefined) return true
      const bytes = rowBytes(stored.row)
      this.#bytesBefore += bytes
      // By the pass that did not come to its end; what it left of tombstones nobody remembers.
      if (this.#plan.end > (this.#head.cleanedTo ?? 0) && (stored.row.cleanedTo ?? 0) >= this.#plan.end) {
        if (bytes > 0) this.#noteTombstone(stored.row.first)
        this.#bytesAfter += bytes
        if (!(await this.#endGroup())) return false
        continue
      }
      const clean = await this.#filter(stored)
      if (clean === undefined) return false
      const above = this.#group[this.#group.length - 1]
      const isFull = this.#groupBytes + clean.bytes > this.#segmentBytesMax
      const isAlone = clean.isWhole && clean.bytes >= this.#segmentBytesMax / 2
      // Rows that overlap hold the same records: not in one segment.
      const isOverlapped = above !== undefined && stored.row.last >= above.stored.row.first
      const isWritten = above !== undefined && (isFull || isAlone || isOverlapped)
      if (isWritten && !(await this.#endGroup())) return false
      this.#group.push(clean)
      this.#groupBytes += clean.bytes
      if (isAlone) return this.#endGroup()
      if (isWritten) return true
    }
  }

  async #filter(stored: CountingRow): Promise<CleanRow | undefined> {
    const { rules } = this.#context
    const batches = await this.#load(stored)
    if (batches === undefined) return undefined
    let tombstone = Number.POSITIVE_INFINITY
    const { batches: rewritten, removed } = await rewriteRun(this.#context, this.#config, batches, (record) => {
      // A row that covers it counts there (R1).
      if (record.offset >= stored.end) return false
      const latest = record.key === null ? undefined : this.#keys.get(record.key)
      if (!rules.keepsRecord(record, latest, this.#tombstonesBelow)) return false
      if (record.isTombstone) tombstone = Math.min(tombstone, record.offset)
      return true
    })
    this.#recordsRemoved += removed
    this.#noteTombstone(tombstone)
    const isWhole = removed === 0 && (stored.row.isMerged || stored.row.chunks.length === 0)
    const bytes = isWhole ? rowBytes(stored.row) : rewritten.reduce((sum, buffer) => sum + buffer.byteLength, 0)
    return { stored, batches: rewritten, bytes, isWhole }
  }

  #noteTombstone(offset: Offset): void {
    this.#firstTombstone = Math.min(this.#firstTombstone, offset)
  }

  /** Writes what was gathered; false where something moved. */
  async #endGroup(): Promise<boolean> {
    const ascending = [...this.#group].reverse()
    this.#group = []
    this.#groupBytes = 0
    const [only] = ascending
    if (only === undefined) return true
    const run = ascending.map(({ stored: { row, version } }) => ({ row, version }))
    // A stamp never goes back: another pass, whose write to the head is on its way, may have put a higher one on all of them.
    const stamp = Math.max(this.#plan.end, Math.min(...run.map(({ row }) => row.cleanedTo ?? 0)))
    if (ascending.length === 1 && only.isWhole) {
      this.#bytesAfter += only.bytes
      const { row } = only.stored
      return row.cleanedTo === stamp || replaceRow(this.#context, this.#head, run[0]!, { ...row, cleanedTo: stamp })
    }
    const written = await writeRun(
      this.#context,
      this.#head,
      run,
      ascending.flatMap(({ batches }) => batches),
      stamp,
    )
    this.#bytesAfter += written.bytes
    const { segment } = written
    if (segment !== undefined && (this.#oldestSegment === '' || segment < this.#oldestSegment))
      this.#oldestSegment = segment
    return putInPlace(this.#context, this.#head, run, written)
  }
}
