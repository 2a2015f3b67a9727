/**
 * Fetch: whole batches from an offset on, up to a limit of bytes or records, waiting if there are none. Head, rows, ranged
 * reads, views of what was read; the number of requests does not depend on the log's length. What is below the high watermark is
 * durable and never changes (D1, D2), and every answer says where to go on (D3).
 */
import type { Refusal } from '../core/errors.ts'
import { refusal } from '../core/errors.ts'
import type { Head, HeadKey } from '../core/head.ts'
import { tailStart } from '../core/head.ts'
import type { Offset, TopicId } from '../core/names.ts'
import type { BatchHeader } from '../core/record-batch.ts'
import { readBatchHeader } from '../core/record-batch.ts'
import type { Topic } from '../core/topic.ts'
import type { Chunks } from './chunks.ts'
import type { Context } from './context.ts'
import type { Span } from './locate.ts'
import { locate } from './locate.ts'
import type { Answer, Fetched, FetchRequest } from './log.ts'
import type { Observer, Step } from './observer.ts'
import type { Topics } from './topics.ts'
import { unknownPartition } from './topics.ts'

/** A reason of our own: without one, each abort makes an exception with a stack. */
const committed = 'committed'

/** How often a reader begins again from the head, when what it found had just moved. */
const lookupAttemptsMax = 6

/** How often one request goes on where compaction left nothing: then it is answered how far it came. */
const emptyReadsMax = 16

export type FoundHead = { readonly ok: true; readonly topic: Topic; readonly key: HeadKey; readonly head: Head }

/** The live head of a partition, read now. A name that means a deleted topic is looked up once more (D6). */
export async function liveHead(
  context: Context,
  topics: Topics,
  name: string,
  partition: number,
): Promise<FoundHead | Refusal> {
  let found = await topics.resolve(name)
  for (let attempt = 1; ; attempt++) {
    if (!found.ok) return found
    const { topic } = found
    const key = { topicId: topic.id, partition }
    const isInside = Number.isInteger(partition) && partition >= 0 && partition < topic.partitions
    const head = isInside ? await context.heads.read(key) : undefined
    if (head !== undefined && !head.isDeleted) return { ok: true, topic, key, head }
    // Deleted, or grown, since the name was last read.
    if (attempt > 1)
      return isInside
        ? refusal('UNKNOWN_TOPIC', `Topic '${name}' is being deleted.`)
        : unknownPartition(topic, partition)
    topics.forget(name)
    found = await topics.describe(name)
  }
}

export async function fetch(
  context: Context,
  topics: Topics,
  chunks: Chunks,
  request: FetchRequest,
): Promise<Answer<Fetched>> {
  const { settings, clock } = context
  const bytesMax = Math.max(1, request.bytesMax ?? settings.fetchBytesMax)
  const recordsMax = Math.max(1, request.recordsMax ?? Number.POSITIVE_INFINITY)
  const untilMs = clock.now() + Math.min(request.waitMs ?? 0, settings.fetchWaitMsMax)
  let pollMs = settings.headPollMsMin
  let woken: FoundHead | undefined
  // Beyond what was asked for once compaction has left nothing there.
  let offset = request.offset
  let emptyReads = 0
  while (true) {
    const found =
      woken ?? (await timed(context, 'head', () => liveHead(context, topics, request.topic, request.partition)))
    if (!found.ok) return found
    const { key, head, topic } = found
    if (request.topicId !== undefined && request.topicId !== topic.id)
      return refusal(
        'UNKNOWN_TOPIC',
        `Topic '${topic.name}' was created again: its id is ${topic.id}, not ${request.topicId}.`,
      )
    // Rows that were read may hold what was committed after the head was.
    const outside = checkOffset(head, { ...request, offset: emptyReads > 0 ? Math.min(offset, head.hw) : offset })
    if (outside !== undefined) return outside
    const answer = {
      ok: true,
      topicId: topic.id,
      partition: key.partition,
      startOffset: head.start,
      highWatermark: head.hw,
      ...(isCompacted(topic, head) ? { isCompacted: true as const } : {}),
    } as const
    if (offset < head.hw) {
      const result = await readFrom(context, chunks, head, { ...request, offset }, bytesMax, recordsMax)
      if ('ok' in result) return result
      if (result.batches.length === 0 && ++emptyReads < emptyReadsMax) {
        offset = result.nextOffset
        woken = offset < head.hw ? found : undefined
        continue
      }
      if (context.observe !== undefined) observeFetched(context.observe, result.batches, topic.id)
      // Rows may hold what was committed after the head was read.
      return { ...answer, ...result, highWatermark: Math.max(head.hw, result.nextOffset) }
    }
    const leftMs = untilMs - clock.now()
    if (leftMs <= 0 || request.signal?.aborted === true)
      return { ...answer, batches: [], nextOffset: offset, highWatermark: Math.max(head.hw, offset) }
    const waitMs = settings.isSoleProcess ? leftMs : Math.min(leftMs, pollMs)
    await timed(context, 'wait', () => waitForCommit(context, key, head.hw, waitMs, request.signal))
    // A commit of this process brought its head along: nothing needs to be asked, that it is there is enough.
    const known = context.heads.known(key)
    woken = known !== undefined && known.hw > head.hw && !known.isDeleted ? { ...found, head: known } : undefined
    pollMs = Math.min(pollMs * 2, settings.headPollMsMax)
  }
}

function isCompacted(topic: Topic, head: Head): boolean {
  // Of one config only: this is asked in every fetch.
  return head.cleanedTo !== undefined || topic.configs['cleanup.policy']?.split(',').includes('compact') === true
}

export function checkOffset(head: Head, { topic, partition, offset }: FetchRequest): Refusal | undefined {
  if (Number.isSafeInteger(offset) && offset >= head.start && offset <= head.hw) return undefined
  return refusal(
    'OFFSET_OUT_OF_RANGE',
    `Offset ${offset} is outside the log of topic '${topic}', partition ${partition}: it begins at ${head.start} and ends before ${head.hw}.`,
    { startOffset: head.start, endOffset: head.hw },
  )
}

/** Whole batches from an offset of this head on, which must be inside and below its high watermark. */
export async function readFrom(
  context: Context,
  chunks: Chunks,
  head: Head,
  request: FetchRequest,
  bytesMax: number,
  recordsMax: number,
): Promise<Pick<Fetched, 'batches' | 'nextOffset'> | Refusal> {
  const read = await readBatches(context, chunks, head, request.offset, bytesMax, recordsMax)
  return read ?? readAgain(context, chunks, head, request, bytesMax, recordsMax)
}

/** Watches before it looks again, so that a commit in between is not missed. */
async function waitForCommit(
  context: Context,
  key: HeadKey,
  hw: Offset,
  waitMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const woken = new AbortController()
  const wake = () => woken.abort(committed)
  const unwatch = context.commits.watch(key, wake)
  signal?.addEventListener('abort', wake)
  try {
    // Committed since the head was read, and before it was watched.
    if ((context.heads.known(key)?.hw ?? 0) > hw) return
    if (context.settings.isSoleProcess) {
      const head = await context.heads.read(key)
      if (head === undefined || head.hw > hw || head.isDeleted) return
    }
    context.waiting.fetches++
    await context.clock.sleep(waitMs, woken.signal).finally(() => context.waiting.fetches--)
  } finally {
    unwatch()
    signal?.removeEventListener('abort', wake)
  }
}

/** Something moved while it was read: begin again from the head, and look further than the first row (R1). */
async function readAgain(
  context: Context,
  chunks: Chunks,
  key: HeadKey,
  request: FetchRequest,
  bytesMax: number,
  recordsMax: number,
): Promise<Pick<Fetched, 'batches' | 'nextOffset'> | Refusal> {
  for (let attempt = 2; attempt <= lookupAttemptsMax; attempt++) {
    const head = await context.heads.read(key)
    if (head === undefined || head.isDeleted)
      return refusal('UNKNOWN_TOPIC', `Topic '${request.topic}' was deleted meanwhile.`)
    const outside = checkOffset(head, request)
    if (outside !== undefined) return outside
    const read = await readBatches(context, chunks, head, request.offset, bytesMax, recordsMax, 'far')
    if (read !== undefined) return read
    await context.pause(attempt)
  }
  return refusal(
    'INTERNAL',
    `The data at offset ${request.offset} of topic '${request.topic}', partition ${request.partition} cannot be found.`,
  )
}

async function readBatches(
  context: Context,
  chunks: Chunks,
  head: Head,
  offset: Offset,
  bytesMax: number,
  recordsMax: number,
  reading: 'near' | 'far' = 'near',
): Promise<Pick<Fetched, 'batches' | 'nextOffset'> | undefined> {
  const located = await timed(context, 'rows', () => locate(context, head, offset, bytesMax, reading))
  if (located === undefined) return undefined
  const { spans, end } = located
  const contents = await timed(context, 'chunks', () => chunks.read(head, spans, tailStart(head)))
  const batches: Uint8Array[] = []
  let bytes = 0
  let records = 0
  let nextOffset = offset
  for (const [index, span] of spans.entries()) {
    const content = contents[index]
    if (content === undefined) return batches.length > 0 ? { batches, nextOffset } : undefined
    for (const { header, position } of batchesOf(content, span)) {
      const batchEnd = header.baseOffset + header.lastOffsetDelta + 1
      // Rows may overlap: a span may begin with what the one before it held (R1).
      if (batchEnd <= nextOffset) continue
      const isFull = bytes + header.sizeBytes > bytesMax || records >= recordsMax
      // A merge makes other batches of the same records: one may begin inside what the answer has already. Who asks again gets it first.
      const isRepeating = header.baseOffset < nextOffset
      if (batches.length > 0 && (isFull || isRepeating)) return { batches, nextOffset }
      batches.push(content.subarray(position, position + header.sizeBytes))
      bytes += header.sizeBytes
      records += Math.min(header.recordCount, batchEnd - nextOffset)
      nextOffset = batchEnd
    }
    // What is left of the span was compacted away.
    nextOffset = Math.max(nextOffset, span.end)
  }
  return { batches, nextOffset: Math.max(nextOffset, end) }
}

/** What the work resolves with; where nobody is told, it is only called. */
export function timed<Result>(context: Context, step: Step, work: () => Promise<Result>): Promise<Result> {
  const { observe, clock } = context
  if (observe === undefined) return work()
  const startedMs = clock.now()
  return work().then((result) => {
    observe.time(step, clock.now() - startedMs)
    return result
  })
}

export function observeFetched(observe: Observer, batches: readonly Uint8Array[], topicId: TopicId): void {
  let records = 0
  let bytes = 0
  for (const batch of batches) {
    const read = readBatchHeader(batch)
    if (read.ok) records += read.header.recordCount
    bytes += batch.byteLength
  }
  observe.count('recordsFetched', records, topicId)
  observe.count('bytesFetched', bytes, topicId)
}

/** The batches of a chunk as `Chunks` gives it: their base offsets are absolute. */
export function* batchesOf(
  content: Uint8Array,
  span: Span,
): Generator<{ readonly position: number; readonly header: BatchHeader }> {
  let position = 0
  while (position < content.byteLength) {
    const read = readBatchHeader(content, position)
    if (!read.ok) throw new Error(`damaged chunk ${span.ref} at byte ${position}: ${read.message}`)
    yield { position, header: read.header }
    position += read.header.sizeBytes
  }
}
