/**
 * Fetch from several partitions: one wait and one limit of bytes for all of them, and what each fetch holds (fetch.ts) holds
 * for each partition.
 *
 *     look   heads, in parallel, beginning at a random one, until what waits fills the answer
 *     share  the limit fairly: who has little gets all of it, the others equal parts of the rest
 *     read   in parallel, and go on from there
 *     wait   until there is enough, for commits of this process and, where there are others, by looking again
 *
 * Nothing is remembered from one request to the next. That it begins at a random partition is what keeps a full one from
 * starving the others, and what lets a batch through that is larger than any part of the limit.
 */
import type { Refusal } from '../core/errors.ts'
import { refusal } from '../core/errors.ts'
import type { Head, HeadKey } from '../core/head.ts'
import { tailEntries, tailStart } from '../core/head.ts'
import type { EpochMs, Offset, TopicId } from '../core/names.ts'
import { segmentIdTimeMs } from '../core/names.ts'
import { readBatchHeader } from '../core/record-batch.ts'
import { decodeReference, segmentOfReference } from '../core/reference.ts'
import type { Topic } from '../core/topic.ts'
import type { Chunks } from './chunks.ts'
import type { Context } from './context.ts'
import { checkOffset, observeFetched, readFrom, timed } from './fetch.ts'
import type { FetchManyRequest, PolledPartition } from './group-api.ts'
import { inParallel } from './in-parallel.ts'
import type { Answer } from './log.ts'
import type { Topics } from './topics.ts'
import { unknownPartition } from './topics.ts'

/** Reads under way at the same time: topics, heads, or data of one partition each. */
const readsAtOnce = 32
/** No partition is given a smaller part of the limit, so that each costs no more requests than it brings: others wait for the next request. */
const shareBytesMin = 65_536
/** How often what is left of the limit, since partitions had less than they seemed to, is shared again. */
const roundsMax = 3
/** A partition is looked at again after this part of the time since its last commit. */
const idleShare = 1 / 16

/** A reason of our own: without one, each abort makes an exception with a stack. */
const woken = 'woken'

/** @param request its signal ends the wait: what is there is answered then */
export async function fetchMany(
  context: Context,
  topics: Topics,
  chunks: Chunks,
  request: FetchManyRequest,
): Promise<Answer<{ readonly partitions: readonly PolledPartition[] }>> {
  const fetching = new Fetching(context, topics, chunks, request)
  try {
    return { ok: true, partitions: await fetching.run() }
  } finally {
    fetching.end()
  }
}

/** One partition of a request. */
interface Lane {
  readonly topic: string
  readonly partition: number
  readonly asked: TopicId | undefined
  key?: HeadKey
  /** As it was seen last. */
  head?: Head
  refused?: Refusal
  readonly batches: Uint8Array[]
  readonly offset: Offset
  nextOffset: Offset
  /** The answer has no room for its next batch. */
  isFull: boolean
  /** To be looked at at once: for the first time, or because something was committed. */
  isDue: boolean
  lookAtMs: EpochMs
  pollMs: number
  unwatch?: () => void
}

type Described = { readonly ok: true; readonly topic: Topic } | Refusal

class Fetching {
  readonly #context: Context
  readonly #topics: Topics
  readonly #chunks: Chunks
  readonly #signal: AbortSignal | undefined
  readonly #lanes: readonly Lane[]
  readonly #bytesMax: number
  readonly #bytesMin: number
  readonly #recordsMax: number
  readonly #startMs: EpochMs
  readonly #untilMs: EpochMs
  readonly #described = new Map<string, Promise<Described>>()
  #bytes = 0
  #records = 0
  /** Looks taken from the budget. */
  #looks = 0
  #sleep = new AbortController()

  constructor(context: Context, topics: Topics, chunks: Chunks, request: FetchManyRequest) {
    const { settings, clock, random } = context
    this.#context = context
    this.#topics = topics
    this.#chunks = chunks
    this.#signal = request.signal
    this.#bytesMax = Math.max(1, request.bytesMax ?? settings.fetchBytesMax)
    this.#bytesMin = Math.min(Math.max(1, request.bytesMin ?? 1), this.#bytesMax)
    this.#recordsMax = Math.max(1, request.recordsMax ?? Number.POSITIVE_INFINITY)
    this.#startMs = clock.now()
    this.#untilMs = this.#startMs + Math.min(request.waitMs ?? 0, settings.fetchWaitMsMax)
    const first = Math.floor(random() * request.partitions.length)
    this.#lanes = [...request.partitions.slice(first), ...request.partitions.slice(0, first)].map(
      ({ topic, partition, offset, topicId }) => ({
        topic,
        partition,
        asked: topicId,
        batches: [],
        offset,
        nextOffset: offset,
        isFull: false,
        isDue: true,
        lookAtMs: this.#startMs,
        pollMs: settings.headPollMsMin,
      }),
    )
    this.#signal?.addEventListener('abort', this.#wake)
  }

  async run(): Promise<readonly PolledPartition[]> {
    await this.#findTopics()
    while (true) {
      await this.#look()
      await this.#read()
      if (this.#isOver()) return this.#answers()
      await this.#wait()
    }
  }

  end(): void {
    this.#signal?.removeEventListener('abort', this.#wake)
    for (const { unwatch } of this.#lanes) unwatch?.()
  }

  /** Each name once. A topic's id needs no name: if it is no longer that topic, its heads say so (D6). */
  async #findTopics(): Promise<void> {
    const names = new Set<string>()
    for (const { asked, topic } of this.#lanes) if (asked === undefined) names.add(topic)
    const found = new Map<string, Described>()
    await inParallel([...names], readsAtOnce, async (name) => void found.set(name, await this.#topics.resolve(name)))
    for (const lane of this.#lanes) {
      const topic = found.get(lane.topic)
      if (!Number.isSafeInteger(lane.partition) || lane.partition < 0)
        lane.refused = refusal('UNKNOWN_PARTITION', `${lane.partition} is not a partition number.`)
      else if (lane.asked !== undefined) this.#place(lane, lane.asked)
      else if (topic?.ok === true) this.#place(lane, topic.topic.id)
      else if (topic !== undefined) lane.refused = topic
    }
  }

  /** Watches from before the first look on, so that a commit in between is not missed. */
  #place(lane: Lane, topicId: TopicId): void {
    const key = { topicId, partition: lane.partition }
    lane.unwatch?.()
    lane.key = key
    if (this.#untilMs === this.#startMs) return
    lane.unwatch = this.#context.commits.watch(key, () => {
      lane.isDue = true
      this.#wake()
    })
  }

  #wake = () => this.#sleep.abort(woken)

  /** At those that are due, and at as many of those whose time has come as the budget allows. */
  async #look(): Promise<void> {
    const due = this.#lanes.filter((lane) => lane.isDue && lane.refused === undefined)
    for (let at = 0; at < due.length && !this.#isFilled(); at += readsAtOnce)
      await Promise.all(due.slice(at, at + readsAtOnce).map((lane) => this.#lookAt(lane)))
    if (this.#context.settings.isSoleProcess) return
    const nowMs = this.#context.clock.now()
    const budget = Math.floor(((nowMs - this.#startMs) * this.#looksPerSecond) / 1_000) - this.#looks
    if (budget <= 0) return
    const late = this.#lanes
      .filter((lane) => !lane.isDue && lane.refused === undefined && lane.lookAtMs <= nowMs)
      .sort((a, b) => a.lookAtMs - b.lookAtMs)
      .slice(0, budget)
    this.#looks += late.length
    await inParallel(late, readsAtOnce, (lane) => this.#lookAt(lane))
  }

  get #looksPerSecond(): number {
    return this.#context.settings.headReadsPerSecondMax
  }

  async #lookAt(lane: Lane): Promise<void> {
    lane.isDue = false
    let head = await this.#readHead(lane)
    if (head === undefined) {
      const refused = await this.#findAgain(lane)
      if (refused === undefined) head = await this.#readHead(lane)
      if (head === undefined) {
        lane.refused = refused ?? refusal('UNKNOWN_TOPIC', `Topic '${lane.topic}' is being deleted.`)
        return
      }
    }
    const { settings, clock } = this.#context
    const outside = checkOffset(head, { ...lane, offset: lane.nextOffset })
    // What was read before it was deleted may be answered; where to go on is seen next time.
    if (outside !== undefined && lane.batches.length === 0) lane.refused = outside
    const nowMs = clock.now()
    const idleMs = Math.max(0, nowMs - lastCommitMs(head)) * idleShare
    lane.pollMs = Math.min(
      Math.max(lane.head === undefined ? idleMs : lane.pollMs * 2, settings.headPollMsMin),
      settings.headPollMsMax,
    )
    if (lane.head !== undefined && lane.head.hw < head.hw) lane.pollMs = settings.headPollMsMin
    lane.lookAtMs = nowMs + lane.pollMs
    lane.head = head
  }

  /** Undefined where there is none, or one of a deleted topic. */
  async #readHead({ key, head: before }: Lane): Promise<Head | undefined> {
    if (key === undefined) return undefined
    // A commit of this process brought its head along: that it is newer is enough.
    const known = this.#context.heads.known(key)
    if (before !== undefined && known !== undefined && known.hw > before.hw && !known.isDeleted) return known
    const head = await timed(this.#context, 'head', () => this.#context.heads.read(key))
    return head === undefined || head.isDeleted ? undefined : head
  }

  /** The name may mean another topic by now, or one with more partitions. Undefined: it does, and the lane goes there. */
  async #findAgain(lane: Lane): Promise<Refusal | undefined> {
    const found = await this.#describe(lane.topic)
    if (!found.ok) return found
    const { topic } = found
    if (lane.asked !== undefined && lane.asked !== topic.id)
      return refusal(
        'UNKNOWN_TOPIC',
        `Topic '${topic.name}' was created again: its id is ${topic.id}, not ${lane.asked}.`,
      )
    if (lane.partition >= topic.partitions) return unknownPartition(topic, lane.partition)
    // Offsets of another topic mean nothing in this one.
    if (lane.key?.topicId !== topic.id && lane.batches.length === 0) this.#place(lane, topic.id)
    return undefined
  }

  /** Read now, for the whole request once. */
  #describe(name: string): Promise<Described> {
    const present = this.#described.get(name)
    if (present !== undefined) return present
    this.#topics.forget(name)
    const describing = this.#topics.describe(name)
    this.#described.set(name, describing)
    return describing
  }

  /** Will what was seen fill the answer? */
  #isFilled(): boolean {
    return this.#shares().isFilled
  }

  /** Who reads how much next: fair, and beginning with the first. */
  #shares(): { readonly shares: readonly Share[]; readonly isFilled: boolean } {
    const leftBytes = this.#bytesMax - this.#bytes
    if (leftBytes <= 0 || this.#records >= this.#recordsMax) return { shares: [], isFilled: true }
    const wants: Share[] = []
    for (const lane of this.#lanes)
      if (lane.head !== undefined && lane.refused === undefined && !lane.isFull && lane.nextOffset < lane.head.hw)
        wants.push({ lane, head: lane.head, bytes: bytesAfter(lane.head, lane.nextOffset) })
    const part = Math.max(
      shareBytesMin,
      fairPart(
        wants.map(({ bytes }) => bytes),
        leftBytes,
      ),
    )
    const shares: Share[] = []
    let shared = 0
    for (const { lane, head, bytes } of wants) {
      if (shared >= leftBytes) break
      const share = Math.ceil(Math.min(bytes, part))
      shares.push({ lane, head, bytes: Math.min(share, leftBytes - shared) })
      shared += share
    }
    return { shares, isFilled: shared >= leftBytes }
  }

  async #read(): Promise<void> {
    for (let round = 1; round <= roundsMax; round++) {
      const { shares } = this.#shares()
      if (shares.length === 0) return
      const recordsMax = Math.ceil((this.#recordsMax - this.#records) / shares.length)
      const reads = new Map<Lane, Awaited<ReturnType<typeof readFrom>>>()
      await inParallel(shares, readsAtOnce, async ({ lane, head, bytes }) => {
        const request = { topic: lane.topic, partition: lane.partition, offset: lane.nextOffset }
        reads.set(lane, await readFrom(this.#context, this.#chunks, head, request, bytes, recordsMax))
      })
      for (const { lane } of shares) {
        const read = reads.get(lane)
        if (read !== undefined && 'ok' in read) this.#refuse(lane, read)
        else if (read !== undefined) this.#take(lane, read.batches, read.nextOffset)
      }
      // One whole batch did not fit: for the others it is hardly worth reading either.
      if (shares.some(({ lane }) => lane.isFull)) return
    }
  }

  /** What was read before is answered without it: the next request meets the same. */
  #refuse(lane: Lane, refused: Refusal): void {
    if (lane.batches.length === 0) lane.refused = refused
    else lane.isFull = true
  }

  #take(lane: Lane, batches: readonly Uint8Array[], nextOffset: Offset): void {
    for (const batch of batches) {
      const isFirst = this.#bytes === 0
      if (!isFirst && (this.#bytes + batch.byteLength > this.#bytesMax || this.#records >= this.#recordsMax)) {
        lane.isFull = true
        return
      }
      const read = readBatchHeader(batch)
      if (!read.ok) throw new Error(`a batch was damaged after it was checked: ${read.message}`)
      const end = read.header.baseOffset + read.header.lastOffsetDelta + 1
      // A merge was faster than the second read, and its batch begins inside what the first one brought: the next request gets it first.
      if (lane.batches.length > 0 && read.header.baseOffset < lane.nextOffset) {
        lane.isFull = true
        return
      }
      lane.batches.push(batch)
      this.#bytes += batch.byteLength
      this.#records += Math.min(read.header.recordCount, end - lane.nextOffset)
      lane.nextOffset = end
    }
    lane.nextOffset = nextOffset
  }

  #isOver(): boolean {
    return (
      this.#bytes >= this.#bytesMin ||
      this.#records >= this.#recordsMax ||
      this.#signal?.aborted === true ||
      this.#context.clock.now() >= this.#untilMs ||
      this.#lanes.some((lane) => lane.isFull || lane.refused !== undefined)
    )
  }

  async #wait(): Promise<void> {
    if (this.#lanes.some((lane) => lane.isDue)) return
    const { settings, clock } = this.#context
    let untilMs = this.#untilMs
    if (!settings.isSoleProcess) {
      const budgetMs = this.#startMs + Math.ceil(((this.#looks + 1) * 1_000) / this.#looksPerSecond)
      let nextMs = Number.POSITIVE_INFINITY
      for (const { lookAtMs } of this.#lanes) nextMs = Math.min(nextMs, lookAtMs)
      untilMs = Math.min(untilMs, Math.max(nextMs, budgetMs))
    }
    const { waiting } = this.#context
    waiting.fetches++
    await timed(this.#context, 'wait', () =>
      clock.sleep(Math.max(0, untilMs - clock.now()), this.#sleep.signal),
    ).finally(() => waiting.fetches--)
    if (this.#sleep.signal.aborted) this.#sleep = new AbortController()
  }

  #answers(): readonly PolledPartition[] {
    const answers: PolledPartition[] = []
    for (const { topic, partition, key, head, refused, batches, offset, nextOffset } of this.#lanes) {
      if (refused !== undefined) answers.push({ topic, partition, ...refused })
      // Without batches: compaction left nothing between the two.
      else if (head !== undefined && key !== undefined && nextOffset > offset) {
        if (this.#context.observe !== undefined) observeFetched(this.#context.observe, batches, key.topicId)
        // Rows may hold what was committed after the head was read.
        const highWatermark = Math.max(head.hw, nextOffset)
        const { topicId } = key
        answers.push({
          ok: true,
          topic,
          partition,
          topicId,
          batches,
          nextOffset,
          startOffset: head.start,
          highWatermark,
        })
      }
    }
    return answers
  }
}

interface Share {
  readonly lane: Lane
  readonly head: Head
  /** That wait, or that may be read. */
  readonly bytes: number
}

/** Bytes of the chunks from an offset on; infinite where some of them lie in rows, which no head knows the sizes of. */
function bytesAfter(head: Head, offset: Offset): number {
  if (offset < tailStart(head)) return Number.POSITIVE_INFINITY
  let bytes = 0
  for (const { ref, end } of tailEntries(head)) if (end > offset) bytes += decodeReference(ref).lengthBytes
  return bytes
}

/** The most that each may have, so that all together have `bytes` and nobody who has less wants more. */
function fairPart(wants: readonly number[], bytes: number): number {
  const ascending = [...wants].sort((a, b) => a - b)
  let left = bytes
  for (const [index, want] of ascending.entries()) {
    const part = left / (ascending.length - index)
    if (want > part) return part
    left -= want
  }
  return Number.POSITIVE_INFINITY
}

/** When the last chunk was put, by its writer's clock: good enough to guess when the next one comes. */
function lastCommitMs(head: Head): EpochMs {
  const last = tailEntries(head).at(-1)
  return last === undefined ? 0 : segmentIdTimeMs(segmentOfReference(last.ref))
}
