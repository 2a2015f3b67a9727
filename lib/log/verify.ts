/**
 * The verification of a partition, a piece at a time, from its end towards its start: head, tail, the rows that count, every chunk of
 * theirs (verify-chunks.ts); then what harms nobody, and the producers. Reads only.
 *
 * Downwards, because the row that counts at an offset is the one with the largest last (R1): in that order the next row either goes on
 * where the one above began, or is covered by it.
 *
 * V1 While it looks, the tail is rolled, rows are merged, retention takes them. What looks damaged is therefore looked up again from the
 *    head, as a reader does who is led astray, and is damage only when the same place is found wrong twice (`#lookAgain`).
 */
import type { Refusal } from '../core/errors.ts'
import { refusal } from '../core/errors.ts'
import type { Head, HeadKey } from '../core/head.ts'
import { tailEntries, tailStart } from '../core/head.ts'
import type { Item } from '../core/items.ts'
import { offsetSortKey, rowsCollection } from '../core/items.ts'
import type { Offset } from '../core/names.ts'
import type { Row } from '../core/row.ts'
import type { Topic } from '../core/topic.ts'
import type { Fault, Finding, Place, RowAfter, VerifiedPiece, VerifyCounts, VerifyCursor } from '../core/verify-rule.ts'
import {
  encodeCursor,
  findingCodes,
  headFaults,
  leadingHole,
  noRowAfter,
  nothingVerified,
  parseCursor,
  readRow,
  rowTimesFault,
} from '../core/verify-rule.ts'
import type { Context } from './context.ts'
import { inParallel } from './in-parallel.ts'
import type { Span } from './locate.ts'
import { rowSpans } from './locate.ts'
import type { Answer } from './log.ts'
import type { Topics } from './topics.ts'
import { unknownPartition } from './topics.ts'
import { ChunkVerifier } from './verify-chunks.ts'
import { findInline, findRowsBelow, readAll, rowsAmong, verifyProducers } from './verify-rest.ts'

/** What one request reads, unless it asks for less: an HTTP API waits 30 s, a function has its memory. */
export const verifyBytesMax = 33_554_432
const pieceMsMax = 10_000
const findingsPerPiece = 100
/** Chunks that are read at the same time. */
const chunksAtOnce = 8
const rowsPerQuery = 64
const nearRowsPerQuery = 8
/** How often something that moves is looked up again, as `fetch` does. */
const looksMax = 6

export interface VerifyRequest {
  readonly topic: string
  readonly partition: number
  /** Of the piece before. @default the partition's end */
  readonly cursor?: string
  /** Records are decompressed and walked, too. @default false */
  readonly isDeep?: boolean
  /** Bytes of chunks after which the piece ends. @default 32 MiB, which is also the most */
  readonly bytesMax?: number
  readonly signal?: AbortSignal
}

/**
 * @param looks how often what looks damaged is looked up again. 0 believes the first look, which is wrong beside upkeep: for the test
 *   that shows it
 */
export async function verifyPartition(
  context: Context,
  topics: Topics,
  request: VerifyRequest,
  looks = looksMax,
): Promise<Answer<VerifiedPiece>> {
  const found = await topics.describe(request.topic)
  if (!found.ok) return found
  const { topic } = found
  const { partition } = request
  if (!(Number.isInteger(partition) && partition >= 0 && partition < topic.partitions))
    return unknownPartition(topic, partition)
  const cursor = request.cursor === undefined ? undefined : parseCursor(request.cursor)
  if (request.cursor !== undefined && cursor === undefined)
    return refusal('INVALID_REQUEST', `${JSON.stringify(request.cursor.slice(0, 100))} is no cursor of a verification.`)
  if (cursor !== undefined && cursor.topicId !== topic.id)
    return refusal(
      'UNKNOWN_TOPIC',
      `Topic '${topic.name}' was created again: its id is ${topic.id}, not ${cursor.topicId}.`,
    )
  return new Walk(context, topics, topic, request, looks).piece(cursor)
}

/** Where an offset lies: in the tail, in a chunk of a row, or in a row that has no chunk there. */
type Holder =
  | { readonly kind: 'chunk'; readonly span: Span; readonly row: Row | undefined }
  | { readonly kind: 'hole'; readonly row: Row }
  | { readonly kind: 'nowhere'; readonly from: Offset }

/** What became of an offset that looked wrong. `from`: it goes for all offsets from there on. */
type Looked =
  | { readonly kind: 'fine' | 'gone'; readonly from: Offset }
  | { readonly kind: 'wrong'; readonly from: Offset; readonly fault: Fault }

class Walk {
  readonly #context: Context
  readonly #topics: Topics
  readonly #topic: Topic
  readonly #key: HeadKey
  readonly #request: VerifyRequest
  readonly #looks: number
  readonly #untilMs: number
  readonly #findings: Finding[] = []
  #counts: VerifyCounts = nothingVerified
  #chunks: ChunkVerifier
  #below: Offset = 0
  #after: RowAfter = noRowAfter

  constructor(context: Context, topics: Topics, topic: Topic, request: VerifyRequest, looks: number) {
    this.#context = context
    this.#topics = topics
    this.#topic = topic
    this.#key = { topicId: topic.id, partition: request.partition }
    this.#request = request
    this.#looks = looks
    this.#untilMs = context.clock.now() + pieceMsMax
    this.#chunks = this.#verifier()
  }

  async piece(cursor: VerifyCursor | undefined): Promise<Answer<VerifiedPiece>> {
    const read = await this.#readHead()
    if (!read.ok) return read
    const { head } = read
    if (head === undefined) {
      this.#find({ code: 'HEAD_MISSING', message: 'The partition has no head that can be used.' })
      return this.#answer(undefined, { start: 0, hw: 0 })
    }
    if (cursor === undefined) await this.#verifyHead(head)
    const isUnder = cursor?.stage !== 'producers'
    if (isUnder) {
      this.#below = cursor?.below ?? head.hw
      this.#after = cursor?.after ?? noRowAfter
      const isDone = (await this.#verifyTail(head)) && (await this.#verifyRows(head))
      if (!isDone)
        return this.#answer({ stage: 'offsets', topicId: head.topicId, below: this.#below, after: this.#after }, head)
      const rest = [...(await findRowsBelow(this.#context, head)), ...(await findInline(this.#context, this.#key))]
      for (const fault of rest) this.#find(fault)
    }
    this.#below = Math.min(head.start, head.hw)
    return this.#answer(await this.#verifyProducers(isUnder ? '' : cursor.afterProducer), head)
  }

  #answer(cursor: VerifyCursor | undefined, { start, hw }: Pick<Head, 'start' | 'hw'>): Answer<VerifiedPiece> {
    const { topic, partition } = this.#request
    return {
      ok: true,
      topic,
      topicId: this.#topic.id,
      partition,
      startOffset: start,
      highWatermark: hw,
      fromOffset: this.#below,
      counts: this.#counts,
      findings: this.#findings,
      ...(cursor === undefined ? {} : { cursor: encodeCursor(cursor) }),
    }
  }

  #find(fault: Fault): void {
    const { topic, partition } = this.#request
    this.#findings.push({ severity: findingCodes[fault.code].severity, topic, partition, ...fault })
  }

  #count(added: Partial<VerifyCounts>): void {
    const counts = { ...this.#counts }
    for (const [name, value] of Object.entries(added) as [keyof VerifyCounts, number][]) counts[name] += value
    this.#counts = counts
  }

  #isFull(): boolean {
    return (
      this.#counts.bytes >= Math.min(verifyBytesMax, this.#request.bytesMax ?? verifyBytesMax) ||
      this.#findings.length >= findingsPerPiece ||
      this.#request.signal?.aborted === true ||
      this.#context.clock.now() >= this.#untilMs
    )
  }

  #verifier(): ChunkVerifier {
    return new ChunkVerifier(this.#context, this.#key, this.#request.isDeep === true)
  }

  // --- Head ----------------------------------------------------------------------------------------------------------

  /** The live head; undefined where the topic has none and is not being deleted. */
  async #readHead(): Promise<{ readonly ok: true; readonly head: Head | undefined } | Refusal> {
    for (let look = 0; ; look++) {
      const head = await this.#context.heads.read(this.#key)
      if (head !== undefined && !head.isDeleted) return { ok: true, head }
      const again = await this.#topics.describeNow(this.#topic.name)
      if (!again.ok) return again
      if (again.topic.id !== this.#key.topicId)
        return refusal('UNKNOWN_TOPIC', `Topic '${this.#topic.name}' was created again meanwhile.`)
      if (look > 0) return { ok: true, head: undefined }
    }
  }

  async #verifyHead(head: Head): Promise<void> {
    let faults = headFaults(head)
    if (faults.length > 0 && this.#looks > 0) {
      const again = await this.#context.heads.read(this.#key)
      faults = again === undefined ? [] : headFaults(again)
    }
    for (const message of faults) this.#find({ code: 'HEAD_WRONG', message })
  }

  // --- Offsets -------------------------------------------------------------------------------------------------------

  /** Answers whether it is done. */
  async #verifyTail(head: Head): Promise<boolean> {
    if (this.#below <= tailStart(head)) return true
    const spans = tailEntries(head).filter(({ base, end }) => base < this.#below && end > head.start)
    const { isDone, hasMoved } = await this.#verifySpans(spans, undefined, head)
    // What has left the tail meanwhile is found in rows.
    if (isDone && !hasMoved) this.#below = tailStart(head)
    return isDone
  }

  async #verifyRows(head: Head): Promise<boolean> {
    // Something moved: begin again with the row that holds what comes next.
    for (let hasMoved = true; hasMoved; ) {
      hasMoved = false
      for await (const row of this.#rowsFrom(this.#below, head)) {
        const isCovered = this.#below <= head.start || row.first >= this.#below
        if (isCovered || this.#isStale(row, head)) {
          this.#findShadowed(row)
          continue
        }
        if (row.last < this.#below - 1) {
          await this.#lookAgain(Math.max(row.last + 1, head.start), this.#below, {
            code: 'OFFSETS_MISSING',
            message: `No row holds offsets ${row.last + 1} to ${this.#below - 1}.`,
          })
          hasMoved = true
          break
        }
        const verified = await this.#verifyRow(row, head)
        if (!verified.isDone) return false
        if (verified.hasMoved) {
          hasMoved = true
          break
        }
        if (this.#isFull() && this.#below > head.start) return false
      }
    }
    if (this.#below > head.start)
      await this.#lookAgain(head.start, this.#below, {
        code: 'OFFSETS_MISSING',
        message: `No row holds offsets ${head.start} to ${this.#below - 1}.`,
      })
    return true
  }

  #findShadowed(row: Row): void {
    this.#find({
      code: 'ROW_SHADOWED',
      offset: row.first,
      key: this.#rowKeyText(row.last),
      message: `Offsets ${row.first} to ${row.last} are another row's.`,
    })
  }

  async #verifyRow(row: Row, head: Head): Promise<{ readonly isDone: boolean; readonly hasMoved: boolean }> {
    const times = rowTimesFault(row, this.#after)
    if (times !== undefined && (await this.#isStill(row)))
      this.#find({ code: 'TIMES_WRONG', offset: row.first, key: this.#rowKeyText(row.last), message: times })
    const spans = rowSpans(row).filter(({ base, end }) => base < this.#below && end > head.start)
    const verified = await this.#verifySpans(spans, row, head)
    if (!verified.isDone || verified.hasMoved) return verified
    const hole = this.#isCleaned(row) ? undefined : leadingHole(row, head.start)
    let hasMoved = false
    if (hole !== undefined) {
      await this.#lookAgain(Math.max(row.first, head.start), this.#below, hole)
      hasMoved = true
    }
    this.#below = Math.min(this.#below, row.first)
    if (row.last < this.#after.last) this.#after = row
    this.#count({ rows: 1 })
    return { isDone: true, hasMoved }
  }

  /** Is it the row that stands there now? */
  async #isStill(row: Row): Promise<boolean> {
    if (this.#looks === 0) return true
    const key = { collection: rowsCollection(this.#key.topicId, this.#key.partition), sort: offsetSortKey(row.last) }
    const item = await this.#context.persist(() => this.#context.metadata.get(key))
    return item !== undefined && JSON.stringify(item.value) === JSON.stringify(row)
  }

  /** From the last to the first. Stops where the piece is full, or where something was not where it had been. */
  async #verifySpans(
    spans: readonly Span[],
    row: Row | undefined,
    head: Head,
  ): Promise<{ readonly isDone: boolean; readonly hasMoved: boolean }> {
    const left = [...spans].reverse()
    while (left.length > 0) {
      const some = left.splice(0, chunksAtOnce)
      const verdicts = await inParallel(some, chunksAtOnce, (span) =>
        this.#chunks.verify(span, this.#placeOf(span, row, head)),
      )
      let hasMoved = false
      for (const [at, span] of some.entries()) {
        const verdict = verdicts[at]
        if (verdict?.ok === true) {
          this.#count({ chunks: 1, records: verdict.records, bytes: verdict.bytes })
          this.#below = span.base
        } else if (verdict !== undefined) {
          const { ok: _, ...fault } = verdict
          hasMoved = (await this.#lookAgain(Math.max(span.base, head.start), span.end, fault)) || hasMoved
          this.#below = span.base
        }
        if (hasMoved) return { isDone: true, hasMoved }
      }
      if (left.length > 0 && this.#isFull()) return { isDone: false, hasMoved: false }
    }
    return { isDone: true, hasMoved: false }
  }

  #placeOf({ base, end }: Span, row: Row | undefined, { start }: Head): Place {
    return {
      base,
      end,
      isWhole: row === undefined || !row.isMerged,
      isCleaned: row !== undefined && this.#isCleaned(row),
      start,
    }
  }

  /** Compaction may have left out some of its records (K1). */
  #isCleaned(row: Row): boolean {
    return row.cleanedTo !== undefined
  }

  /** K2: readers pass it by. */
  #isStale(row: Row, head: Head): boolean {
    return this.#context.rules.isStaleRow(row, head.cleanedTo)
  }

  /** The row that holds the offset below, and those under it, descending. What is no row is told of and passed by. */
  async *#rowsFrom(below: Offset, head: Head): AsyncGenerator<Row> {
    const { start } = head
    if (below <= start) return
    const { metadata, rules } = this.#context
    const collection = rowsCollection(this.#key.topicId, this.#key.partition)
    const ahead = { from: offsetSortKey(below - 1), limit: nearRowsPerQuery }
    const near = rowsAmong(await this.#context.persist(() => metadata.query(collection, ahead)))
    const counting = near.filter((row) => !this.#isStale(row, head))
    const choice = rules.rowThatCounts(counting, below - 1, true, 'near')
    let next = below - 1
    if (choice.kind === 'found') {
      yield choice.row
      next = choice.row.last - 1
    }
    while (next >= start) {
      const range = { from: offsetSortKey(start), to: offsetSortKey(next), limit: rowsPerQuery, reverse: true }
      const items = await this.#context.persist(() => metadata.query(collection, range))
      yield* await this.#rowsOf(items)
      const last = items[items.length - 1]
      if (items.length < rowsPerQuery || last === undefined) return
      next = Number(last.key.sort) - 1
    }
  }

  async #rowsOf(items: readonly Item[]): Promise<Row[]> {
    const rows: Row[] = []
    for (const item of items) {
      const read = readRow(item.key, item.value)
      if (read.ok) rows.push(read.row)
      else {
        const again = await this.#context.persist(() => this.#context.metadata.get(item.key))
        const wrong = again === undefined ? undefined : readRow(again.key, again.value)
        if (wrong === undefined || wrong.ok) continue
        const key = this.#rowKeyText(Number(item.key.sort))
        this.#find({ code: 'ROW_WRONG', offset: Number(item.key.sort), key, message: wrong.message })
      }
    }
    return rows
  }

  #rowKeyText(last: Offset): string {
    return `${rowsCollection(this.#key.topicId, this.#key.partition)} ${offsetSortKey(last)}`
  }

  // --- Looking again -------------------------------------------------------------------------------------------------

  /**
   * Offsets from `from` to (without) `to` looked wrong: asks for each, as a reader would, until all are found right, gone, or wrong
   * again. Answers whether any was right: then something has moved.
   */
  async #lookAgain(from: Offset, to: Offset, first: Fault): Promise<boolean> {
    let hasMoved = false
    if (this.#looks === 0) this.#find({ offset: from, ...first })
    else
      for (let at = to - 1; at >= from; ) {
        const looked = await this.#look(at)
        if (looked.kind === 'wrong') this.#find({ offset: Math.max(looked.from, from), ...looked.fault })
        else hasMoved = true
        if (looked.kind === 'gone') break
        at = Math.min(at, looked.from) - 1
      }
    this.#below = Math.min(this.#below, from)
    return hasMoved
  }

  async #look(offset: Offset): Promise<Looked> {
    let seen: Extract<Looked, { kind: 'wrong' }> | undefined
    let seenAt = ''
    for (let look = 1; ; look++) {
      const head = await this.#context.heads.read(this.#key)
      if (head === undefined || head.isDeleted || offset < head.start) return { kind: 'gone', from: offset }
      // As a reader: the nearest rows first, all of them when these led nowhere.
      const holder = await this.#holderOf(head, offset, look === 1 ? 'near' : 'far')
      const looked = await this.#judge(head, offset, holder)
      if (looked.kind === 'fine') return looked
      const at = JSON.stringify(holder)
      // The same place, wrong twice: nothing is on the move here.
      if (at === seenAt && seen !== undefined) return looked
      if (look > this.#looks) return looked
      seen = looked
      seenAt = at
      await this.#context.pause(look)
    }
  }

  async #judge(
    head: Head,
    offset: Offset,
    holder: Holder,
  ): Promise<Extract<Looked, { kind: 'wrong' }> | { readonly kind: 'fine'; readonly from: Offset }> {
    switch (holder.kind) {
      case 'nowhere':
        return {
          kind: 'wrong',
          from: holder.from,
          fault: { code: 'OFFSETS_MISSING', message: `No row holds offsets ${holder.from} to ${offset}.` },
        }
      case 'hole': {
        const from = Math.max(holder.row.first, head.start)
        const hole = this.#isCleaned(holder.row) ? undefined : leadingHole(holder.row, head.start)
        return hole === undefined ? { kind: 'fine', from } : { kind: 'wrong', from, fault: hole }
      }
      case 'chunk': {
        const { span, row } = holder
        // What was read before may be what was wrong.
        this.#chunks = this.#verifier()
        const { ok, ...verdict } = await this.#chunks.verify(span, this.#placeOf(span, row, head))
        const from = Math.max(span.base, head.start)
        if ('code' in verdict) return { kind: 'wrong', from, fault: verdict }
        this.#count({ chunks: 1, records: verdict.records, bytes: verdict.bytes })
        return { kind: 'fine', from }
      }
      default:
        return holder satisfies never
    }
  }

  /** `far`: by all rows from the offset on, so that nothing hides the one that counts. */
  async #holderOf(head: Head, offset: Offset, reading: 'near' | 'far'): Promise<Holder> {
    if (offset >= tailStart(head)) {
      const entry = tailEntries(head).find(({ base, end }) => base <= offset && offset < end)
      return entry === undefined ? { kind: 'nowhere', from: offset } : { kind: 'chunk', span: entry, row: undefined }
    }
    const collection = rowsCollection(head.topicId, head.partition)
    const from = offsetSortKey(offset)
    const items =
      reading === 'far'
        ? await readAll(this.#context, collection, from)
        : await this.#context.persist(() => this.#context.metadata.query(collection, { from, limit: nearRowsPerQuery }))
    const counting = rowsAmong(items).filter((row) => !this.#isStale(row, head))
    const choice = this.#context.rules.rowThatCounts(counting, offset, true, reading)
    if (choice.kind === 'found') {
      const { row } = choice
      const span = rowSpans(row).find(({ base, end }) => base <= offset && offset < end)
      return span === undefined ? { kind: 'hole', row } : { kind: 'chunk', span, row }
    }
    const range = { to: offsetSortKey(Math.max(0, offset - 1)), limit: 1, reverse: true }
    const [under] = await this.#context.persist(() => this.#context.metadata.query(collection, range))
    const first = under === undefined ? head.start : Math.max(head.start, Number(under.key.sort) + 1)
    return { kind: 'nowhere', from: Math.min(first, offset) }
  }

  /** Answers where to go on. */
  async #verifyProducers(from: string): Promise<VerifyCursor | undefined> {
    let after = from
    while (true) {
      const { producers, faults, next } = await verifyProducers(this.#context, this.#key, after)
      for (const fault of faults) this.#find(fault)
      this.#count({ producers })
      if (next === undefined) return undefined
      if (this.#isFull()) return { stage: 'producers', topicId: this.#key.topicId, afterProducer: next }
      after = next
    }
  }
}
