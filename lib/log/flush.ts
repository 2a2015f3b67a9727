/**
 * The flush: appends gathered in this process become one segment or, where they are small, inline chunks, durable (D1), then a
 * commit per partition, then an answer each. Appends without a condition of their own share a chunk per partition; an idempotent or conditional one has a chunk,
 * a reference and a fate of its own.
 */
import type { Refusal } from '../core/errors.ts'
import { refusal, Unavailable } from '../core/errors.ts'
import type { HeadKey } from '../core/head.ts'
import type { InlineItem, Item } from '../core/items.ts'
import { inlineKey } from '../core/items.ts'
import type { EpochMs, Offset, SegmentId } from '../core/names.ts'
import { segmentIdAt, segmentIdTimeMs, segmentObjectKey } from '../core/names.ts'
import { chunksToCompress, inlineWriteUnits, placeChunks } from '../core/placement.ts'
import { listPrices } from '../core/prices.ts'
import type { BatchHeader } from '../core/record-batch.ts'
import { readBatchHeader, rebaseBatch } from '../core/record-batch.ts'
import type { ChunkReference } from '../core/reference.ts'
import { encodeReference } from '../core/reference.ts'
import type { SegmentChunkInput, SegmentPlan } from '../core/segment.ts'
import { encodeSegment } from '../core/segment.ts'
import type { EffectiveConfig } from '../core/topic.ts'
import { sharesOf } from '../core/usage.ts'
import type { ItemWrite } from '../ports.ts'
import { commitUnits } from './commit.ts'
import type { CommitOutcome, CommitUnit, UnitProducer } from './commit-outcomes.ts'
import { refusalOfUnavailable } from './commit-outcomes.ts'
import type { Context } from './context.ts'
import { headKeyText } from './context.ts'
import type { Observer } from './observer.ts'
import type { PartitionQueue } from './partition-queue.ts'
import { isCompressible, rewriteChunk, rewriteRun } from './rewrite-run.ts'

/** An append, checked, on its way to a segment. */
export interface PendingAppend {
  readonly key: HeadKey
  readonly bytes: Uint8Array
  /** Headers of its batches, with their positions in `bytes`. */
  readonly headers: readonly (BatchHeader & { readonly position: number })[]
  readonly recordCount: number
  readonly maxTimestampMs: EpochMs
  /** What its topic wants: where it is placed, and whether it is compressed there. */
  readonly config: EffectiveConfig
  readonly producer?: UnitProducer
  readonly expectedOffset?: Offset
  readonly leaderEpoch?: number
  readonly settle: (outcome: AppendOutcome) => void
}

export type AppendOutcome =
  | { readonly kind: 'committed'; readonly base: Offset; readonly isDuplicate: boolean }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'deleted' }

/** A chunk in the making: the appends that share it. */
interface Chunk {
  readonly key: HeadKey
  readonly appends: PendingAppend[]
  recordCount: number
  sizeBytes: number
  maxTimestampMs: EpochMs
  /** Its batches as the last upload stored them, base offsets relative to the chunk. */
  stored: readonly Uint8Array[]
}

interface Unit extends CommitUnit {
  readonly chunk: Chunk
}

/** A chunk whose segment the sweep's fence overtook. */
interface FencedChunk {
  readonly chunk: Chunk
  readonly minSegment: SegmentId
}

const fencedAttemptsMax = 5

/** A reason of our own: without one, each abort makes an exception with a stack. */
const committed = 'committed'

/** How far a flush is. Neither is told where it fails before. */
export interface FlushProgress {
  /** Its bytes are durable; what is left takes little. */
  uploaded(): void
  /** Its chunks were committed or refused once. Some may still wait for what comes before them, which may have to be written yet. */
  attempted(): void
}

/** Settles every append, whatever happens. */
export async function flush(
  context: Context,
  queue: PartitionQueue,
  appends: readonly PendingAppend[],
  progress: FlushProgress,
): Promise<void> {
  try {
    await flushChunks(context, queue, gatherChunks(appends), '', 1, progress)
  } catch (error) {
    const why = refusal('INTERNAL', `The append failed: ${error instanceof Error ? error.message : error}`)
    for (const append of appends) append.settle({ kind: 'refused', refusal: why })
    throw error
  }
}

function gatherChunks(appends: readonly PendingAppend[]): Chunk[] {
  const chunks: Chunk[] = []
  const shared = new Map<string, Chunk>()
  for (const append of appends) {
    const isOwn =
      append.producer !== undefined || append.expectedOffset !== undefined || append.leaderEpoch !== undefined
    const text = headKeyText(append.key)
    let chunk = isOwn ? undefined : shared.get(text)
    if (chunk === undefined) {
      chunk = { key: append.key, appends: [], recordCount: 0, sizeBytes: 0, maxTimestampMs: -1, stored: [] }
      chunks.push(chunk)
      if (!isOwn) shared.set(text, chunk)
    }
    chunk.appends.push(append)
    chunk.recordCount += append.recordCount
    chunk.sizeBytes += append.bytes.byteLength
    chunk.maxTimestampMs = Math.max(chunk.maxTimestampMs, append.maxTimestampMs)
  }
  return chunks
}

async function flushChunks(
  context: Context,
  queue: PartitionQueue,
  chunks: readonly Chunk[],
  above: SegmentId | '',
  fencedAttempt: number,
  progress: FlushProgress,
): Promise<void> {
  const uploads = upload(context, chunks, above)
  void Promise.all(uploads).then(
    (uploaded) => {
      if (uploaded.some((chunk) => 'ref' in chunk)) progress.uploaded()
    },
    () => undefined, // told by whoever waits for its own
  )
  const fenced: FencedChunk[] = []
  const partitions = [...Map.groupBy(chunks.keys(), (index) => headKeyText(chunkAt(chunks, index).key)).values()]
  let unattempted = partitions.length
  await Promise.all(
    partitions.map(async (indexes) => {
      const key = chunkAt(chunks, indexes[0] ?? 0).key
      const sinceMs = context.heads.believedSinceMs(key)
      // Where it is too old to be believed, the head is read beside the upload, where that costs no time.
      const refreshing = context.heads.recent(key, sinceMs).catch(ignoreUnavailable)
      const gaps: Unit[] = []
      // The place in the partition's queue is taken before the upload, so that commits keep the order of flushes.
      await queue.run(key, async () => {
        const uploaded = await Promise.all(indexes.map((index) => uploads[index]))
        await refreshing
        const units = indexes.flatMap((index, at) => {
          const chunk = chunkAt(chunks, index)
          const done = uploaded[at]
          if (done !== undefined && 'ref' in done) return [unitOf(chunk, done.ref)]
          // Nothing was committed: whatever the store did with the bytes, no head refers to them.
          if (done !== undefined) settleChunk(context, chunk, { kind: 'refused', refusal: done.failure })
          return []
        })
        if (units.length === 0) return
        await commitUnits(context, key, units, sinceMs, (unit, outcome) => {
          if (outcome.kind === 'fenced') fenced.push({ chunk: unit.chunk, minSegment: outcome.minSegment })
          else if (outcome.kind === 'gap') gaps.push(unit)
          else settleUnit(context, unit, outcome)
        })
      })
      unattempted--
      if (unattempted === 0) progress.attempted()
      await Promise.all(gaps.map((unit) => commitAfterGap(context, queue, unit, fenced)))
    }),
  )
  if (fenced.length === 0) return
  if (fencedAttempt >= fencedAttemptsMax) {
    const why = refusal('STORAGE_UNAVAILABLE', 'The sweep kept overtaking this append; nothing was written.', {
      retryAfterMs: 1_000,
    })
    for (const { chunk } of fenced) settleChunk(context, chunk, { kind: 'refused', refusal: why })
    return
  }
  const highest =
    fenced
      .map(({ minSegment }) => minSegment)
      .sort()
      .at(-1) ?? ''
  const again = fenced.map(({ chunk }) => chunk)
  await flushChunks(context, queue, again, highest, fencedAttempt + 1, progress)
}

function chunkAt(chunks: readonly Chunk[], index: number): Chunk {
  const chunk = chunks[index]
  if (chunk === undefined) throw new Error(`a flush of ${chunks.length} chunks has no chunk ${index}`)
  return chunk
}

function unitOf(chunk: Chunk, ref: ChunkReference): Unit {
  const { producer, expectedOffset, leaderEpoch } = chunk.appends[0] ?? {}
  return {
    chunk,
    ref,
    count: chunk.recordCount,
    ...(producer === undefined ? {} : { producer }),
    ...(expectedOffset === undefined ? {} : { expectedOffset }),
    ...(leaderEpoch === undefined ? {} : { leaderEpoch }),
  }
}

/** What the object costs is shared among the topics whose bytes it holds. */
function putShared(
  context: Context,
  chunks: readonly SegmentChunkInput[],
  plan: SegmentPlan,
  above: SegmentId | '',
): Promise<SegmentId> {
  if (context.meter === undefined) return putSegment(context, plan, above)
  const shares = sharesOf(
    chunks.map(({ topicId, batches }) => ({
      topicId,
      bytes: batches.reduce((sum, batch) => sum + batch.byteLength, 0),
    })),
  )
  return context.within({ shares }, () => putSegment(context, plan, above))
}

type Uploaded = { readonly ref: ChunkReference } | { readonly failure: Refusal }

/** Makes each chunk durable where it is cheapest; each resolves when its bytes are. */
function upload(context: Context, chunks: readonly Chunk[], above: SegmentId | ''): readonly Promise<Uploaded>[] {
  const given = chunks.map(chunkInput)
  const { largeChunkBytesMin } = context.settings
  const areLarge = chunks.map((chunk) => chunk.sizeBytes >= largeChunkBytesMin && hasUncompressed(chunk))
  if (!areLarge.includes(true)) return uploadInputs(context, chunks, given, above)
  // Merges leave large chunks alone: what may be compressed is compressed now.
  const compressing = Promise.all(
    given.map(async (input, index) => {
      const config = areLarge[index] === true ? chunks[index]?.appends[0]?.config : undefined
      if (config === undefined || !isCompressible(context, config, input.batches)) return input
      const { batches } = await rewriteRun(context, config, [...input.batches])
      return bytesOf(batches) < bytesOf(input.batches) ? { ...input, batches } : input
    }),
  )
  const uploading = compressing.then((inputs) => uploadInputs(context, chunks, inputs, above))
  return chunks.map(async (_, index) => {
    const one = (await uploading)[index]
    if (one === undefined) throw new Error(`an upload of ${chunks.length} chunks has no chunk ${index}`)
    return one
  })
}

function hasUncompressed({ appends }: Chunk): boolean {
  return appends.some(({ headers }) => headers.some(({ compression }) => compression === 'none'))
}

function uploadInputs(
  context: Context,
  chunks: readonly Chunk[],
  given: readonly SegmentChunkInput[],
  above: SegmentId | '',
): readonly Promise<Uploaded>[] {
  const { inputs, areInline } = placed(context, chunks, given)
  for (const [index, input] of inputs.entries()) chunkAt(chunks, index).stored = input.batches
  const inSegment = inputs.filter((_, index) => areInline[index] !== true)
  const plan = inSegment.length === 0 ? undefined : encodeSegment(inSegment, context.codecs)
  const segment = plan === undefined ? undefined : putShared(context, inSegment, plan, above)
  let next = 0
  return inputs.map((input, index) => {
    if (areInline[index] === true) return uploaded(putInline(context, input, above))
    const place = plan?.chunks[next++]
    if (segment === undefined || place === undefined) throw new Error('a segment plan without one of its chunks')
    return uploaded(segment.then((id) => encodeReference({ segment: id, ...place })))
  })
}

/** The chunks as they are stored, and which of them inline: those compressed where that saves write units. Of what is small in an object the next merge does it. */
function placed(
  context: Context,
  chunks: readonly Chunk[],
  given: readonly SegmentChunkInput[],
): { readonly inputs: readonly SegmentChunkInput[]; readonly areInline: readonly boolean[] } {
  const sized = given.map(({ batches }, index) => ({
    sizeBytes: bytesOf(batches),
    placement: chunkAt(chunks, index).appends[0]?.config.chunkPlacement ?? 'auto',
  }))
  const worthTrying = chunksToCompress(sized, listPrices)
  const batches = given.map(({ batches }, index) => {
    const chunk = chunkAt(chunks, index)
    const config = chunk.appends[0]?.config
    if (config === undefined || !hasUncompressed(chunk) || worthTrying[index] !== true) return batches
    const rewritten = rewriteChunk(context, config, batches) ?? batches
    return inlineWriteUnits(bytesOf(rewritten)) < inlineWriteUnits(bytesOf(batches)) ? rewritten : batches
  })
  const areInline = placeChunks(
    sized.map(({ placement }, index) => ({ placement, sizeBytes: bytesOf(batches[index] ?? []) })),
    listPrices,
  )
  const inputs = given.map((input, index) =>
    areInline[index] === true ? { ...input, batches: batches[index] ?? input.batches } : input,
  )
  return { inputs, areInline }
}

async function uploaded(put: Promise<ChunkReference>): Promise<Uploaded> {
  try {
    return { ref: await put }
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    return { failure: refusalOfUnavailable(error) }
  }
}

/** Base offsets relative to the chunk, patched in the callers' buffers; nothing is copied. */
function chunkInput(chunk: Chunk): SegmentChunkInput {
  let delta = 0
  for (const append of chunk.appends)
    for (const header of append.headers) {
      rebaseBatch(append.bytes, header.position, delta)
      delta += header.recordCount
    }
  return {
    topicId: chunk.key.topicId,
    partition: chunk.key.partition,
    batches: chunk.appends.map((append) => append.bytes),
    recordCount: chunk.recordCount,
    maxTimestampMs: chunk.maxTimestampMs,
  }
}

/** As `putSegment`, of one chunk as an item of the metadata store. */
async function putInline(context: Context, chunk: SegmentChunkInput, above: SegmentId | ''): Promise<ChunkReference> {
  const { topicId, partition, recordCount, maxTimestampMs } = chunk
  const bytes = concatenated(chunk.batches)
  const value: InlineItem = { recordCount }
  const version = context.newVersion()
  while (true) {
    const id = freshId(context, above)
    const startedMs = context.clock.now()
    const put: ItemWrite = {
      op: 'put',
      key: inlineKey(topicId, partition, id),
      version,
      value: value as unknown as Item['value'],
      bytes,
      if: 'absent',
    }
    const answer = await context.persist(() => context.metadata.write([put]))
    context.observe?.time('upload', context.clock.now() - startedMs)
    if (answer.applied || answer.items[0]?.version === version) {
      context.observe?.count('inlineChunksWritten', 1)
      return encodeReference({
        segment: id,
        position: 0,
        lengthBytes: bytes.byteLength,
        maxTimestampMs,
        isInline: true,
      })
    }
  }
}

/** The parts back to back; one alone as it is. */
export function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts
  if (parts.length === 1 && only !== undefined) return only
  const whole = new Uint8Array(bytesOf(parts))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.byteLength
  }
  return whole
}

function bytesOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.byteLength, 0)
}

/** Above the fence that overtook an earlier one, whatever this clock says. */
function freshId(context: Context, above: SegmentId | ''): SegmentId {
  const floorMs = above === '' ? 0 : segmentIdTimeMs(above) + 1
  return segmentIdAt(Math.max(context.clock.now(), floorMs), context.random)
}

/** Durable under a fresh id when it returns. A retry sends the same bytes under the same id; `above` lifts the id of a writer whose clock is behind a fence. */
export async function putSegment(context: Context, plan: SegmentPlan, above: SegmentId | ''): Promise<SegmentId> {
  while (true) {
    const id = freshId(context, above)
    let mayBeOurs = false
    const startedMs = context.clock.now()
    const answer = await context.persist(async () => {
      try {
        return await context.objects.create(segmentObjectKey(id), plan.parts)
      } catch (error) {
        if (error instanceof Unavailable && error.effects === 'possible') mayBeOurs = true
        throw error
      }
    })
    context.observe?.time('upload', context.clock.now() - startedMs)
    if (answer === 'created' || mayBeOurs) {
      context.observe?.count('segmentsWritten', 1)
      return id
    }
    // Another writer drew the same id in the same millisecond: its bytes are not ours.
  }
}

/**
 * Ahead of its producer's sequence: across processes disorder is normal, so the durable bytes are tried again for a while,
 * outside the partition's queue, where what comes before may be waiting.
 */
async function commitAfterGap(
  context: Context,
  queue: PartitionQueue,
  unit: Unit,
  fenced: FencedChunk[],
): Promise<void> {
  const untilMs = context.clock.now() + context.settings.sequenceGapWaitMs
  let delayMs = 2
  while (true) {
    await nextCommit(context, unit.chunk.key, delayMs)
    delayMs = Math.min(delayMs * 2, 50)
    const isLast = context.clock.now() >= untilMs
    let isGap = false
    await queue.run(unit.chunk.key, () =>
      commitUnits(context, unit.chunk.key, [unit], context.clock.now(), (_, outcome) => {
        if (outcome.kind === 'fenced') fenced.push({ chunk: unit.chunk, minSegment: outcome.minSegment })
        else if (outcome.kind !== 'gap') settleUnit(context, unit, outcome)
        else if (isLast) {
          const first = unit.producer?.claim.first
          settleChunk(context, unit.chunk, {
            kind: 'refused',
            refusal: refusal(
              'OUT_OF_ORDER_SEQUENCE_NUMBER',
              `Sequence ${first} is ahead: ${outcome.expected} is expected next (producer ${unit.producer?.key}, partition ${unit.chunk.key.partition}).`,
              { expectedSequence: outcome.expected },
            ),
          })
        } else isGap = true
      }),
    )
    if (!isGap) return
  }
}

/** Until something is committed to the partition in this process, or some time passed. */
async function nextCommit(context: Context, key: HeadKey, waitMs: number): Promise<void> {
  const abort = new AbortController()
  const unwatch = context.commits.watch(key, () => abort.abort(committed))
  await context.clock.sleep(waitMs, abort.signal)
  unwatch()
}

/** Tells every append of the unit, and hands its bytes to readers of this process who wait for them. */
function settleUnit(context: Context, { chunk, ref }: Unit, outcome: CommitOutcome): void {
  if (outcome.kind === 'committed' && !outcome.isDuplicate && context.commits.isWatched(chunk.key))
    context.chunkCache.keep(ref, withAbsoluteOffsets(chunk.stored, outcome.base))
  settleChunk(context, chunk, outcome)
}

/** A copy, made only for those who wait: a store may still hold the buffers that it was given. */
function withAbsoluteOffsets(stored: readonly Uint8Array[], base: Offset): Uint8Array {
  const whole = concatenated(stored)
  const bytes = stored.length === 1 ? whole.slice() : whole
  for (let at = 0; at < bytes.byteLength; ) {
    const read = readBatchHeader(bytes, at)
    if (!read.ok) throw new Error(`a chunk that was committed is damaged at byte ${at}: ${read.message}`)
    rebaseBatch(bytes, at, base + read.header.baseOffset)
    at += read.header.sizeBytes
  }
  return bytes
}

/** Tells every append of the chunk; each gets its own offset. */
function settleChunk(context: Context, chunk: Chunk, outcome: CommitOutcome): void {
  if (outcome.kind === 'fenced' || outcome.kind === 'gap') throw new Error(`${outcome.kind} is not an answer`)
  if (outcome.kind !== 'committed') {
    for (const append of chunk.appends) append.settle(outcome)
    return
  }
  if (context.observe !== undefined) observeCommit(context.observe, chunk, outcome.isDuplicate)
  let base = outcome.base
  for (const append of chunk.appends) {
    append.settle({ kind: 'committed', base, isDuplicate: outcome.isDuplicate })
    base += append.recordCount
  }
}

function observeCommit(observe: Observer, chunk: Chunk, isDuplicate: boolean): void {
  const { topicId } = chunk.key
  observe.count(isDuplicate ? 'recordsRepeated' : 'recordsAppended', chunk.recordCount, topicId)
  if (isDuplicate) return
  let bytes = 0
  for (const append of chunk.appends) bytes += append.bytes.byteLength
  observe.count('bytesAppended', bytes, topicId)
}

function ignoreUnavailable(error: unknown): undefined {
  if (error instanceof Unavailable) return undefined
  throw error
}
