/**
 * What a verification finds, and the judgements that need nothing but what was read.
 *
 * *Damage* is what would make a reader fail, skip a record or get a wrong byte, now or when what stands beside it is gone. A
 * *leftover* harms nobody: it waits for the next merge, retention or sweep.
 *
 * V1 Beside writers and upkeep nothing is called damage before it was read again from the head, as a reader does (R1): things move.
 *    (lib/log/verify.ts)
 */
import type { Codecs } from './codec.ts'
import type { Head } from './head.ts'
import { headProducersMax, tailEntriesMax } from './head.ts'
import type { ItemKey, Json } from './items.ts'
import { offsetSortKey } from './items.ts'
import type { EpochMs, Offset, TopicId } from './names.ts'
import { parseTopicName } from './names.ts'
import { producerEpochMax, rememberedBatchesMax, sequenceMax } from './producer.ts'
import { batchHeaders } from './record-batch.ts'
import type { ChunkReference } from './reference.ts'
import { decodeReference, isReference } from './reference.ts'
import type { Row } from './row.ts'
import { parseRow } from './row.ts'
import type { Topic } from './topic.ts'
import { checkPartitions, parseConfigs } from './topic.ts'

export type Severity = 'damage' | 'leftover'

/** Every kind of finding, with what it means to who reads the log. */
export const findingCodes = {
  TOPIC_WRONG: { severity: 'damage', meaning: 'The item of a topic is not one' },
  HEAD_MISSING: {
    severity: 'damage',
    meaning: 'A partition has no head, or a deleted one: nothing of it can be read or written',
  },
  HEAD_WRONG: { severity: 'damage', meaning: 'A head contradicts itself' },
  PRODUCER_WRONG: {
    severity: 'damage',
    meaning: "A producer's state cannot be read: its repeats cannot be recognized",
  },
  ROW_WRONG: { severity: 'damage', meaning: 'A row cannot be read, or stands under the key of another' },
  TIMES_WRONG: {
    severity: 'damage',
    meaning: "A row's timestamps are not those of its chunks: lookups by time go astray",
  },
  OFFSETS_MISSING: { severity: 'damage', meaning: 'Nothing holds these offsets, and no compaction took them' },
  CHUNK_MISSING: { severity: 'damage', meaning: 'The object, or the inline chunk, is gone' },
  CHUNK_DAMAGED: {
    severity: 'damage',
    meaning: 'Its bytes are not those that were written, or not those of these offsets',
  },
  REFERENCE_WRONG: {
    severity: 'damage',
    meaning: 'What names a chunk and the index of its segment contradict each other',
  },
  SEGMENT_DAMAGED: { severity: 'damage', meaning: "A segment's header, index or footer is not what was written" },
  RECORDS_DAMAGED: { severity: 'damage', meaning: 'The records of an intact batch cannot be read (`--deep`)' },
  ROW_SHADOWED: {
    severity: 'leftover',
    meaning: 'A row that does not count: a later one covers it, or compaction has passed it by; upkeep removes it',
  },
  ROW_BELOW_START: {
    severity: 'leftover',
    meaning: 'Rows below the log start; the next round of retention removes them',
  },
  INLINE_UNNAMED: { severity: 'leftover', meaning: 'Inline chunks that nothing names; they go after a merge' },
  SEGMENT_UNNAMED: { severity: 'leftover', meaning: 'An object that nothing names; the next sweep deletes it' },
  OBJECT_FOREIGN: {
    severity: 'leftover',
    meaning: 'An object that is no segment, or a damaged one; the sweep leaves it alone',
  },
  TOPIC_DELETING: {
    severity: 'leftover',
    meaning: 'A deletion that was begun; whoever creates or deletes the topic again ends it',
  },
  GRAVE_FULL: { severity: 'leftover', meaning: 'What a deleted topic left; the next sweep takes it' },
} as const satisfies Record<string, { readonly severity: Severity; readonly meaning: string }>

export type FindingCode = keyof typeof findingCodes

export interface Finding {
  readonly severity: Severity
  readonly code: FindingCode
  readonly topic?: string
  readonly partition?: number
  /** The first offset that it is about. */
  readonly offset?: Offset
  /** Of the object, or collection and key of the item. */
  readonly key?: string
  readonly message: string
}

/** What is wrong somewhere, before it is known where that is. */
export interface Fault {
  readonly code: FindingCode
  readonly message: string
  readonly key?: string
  readonly offset?: Offset
}

/** What was looked at. */
export interface VerifyCounts {
  readonly records: number
  readonly bytes: number
  readonly chunks: number
  readonly rows: number
  readonly producers: number
}

export const nothingVerified: VerifyCounts = { records: 0, bytes: 0, chunks: 0, rows: 0, producers: 0 }

/** A part of a partition, from its end towards its start. */
export interface VerifiedPiece {
  readonly topic: string
  readonly topicId: TopicId
  readonly partition: number
  readonly startOffset: Offset
  readonly highWatermark: Offset
  /** What lies at this offset and above, up to where the piece before ended, was verified. */
  readonly fromOffset: Offset
  readonly counts: VerifyCounts
  readonly findings: readonly Finding[]
  /** Where to go on; absent: the partition is done. */
  readonly cursor?: string
}

/** Topics in the order of their names. */
export interface VerifiedTopics {
  readonly topics: readonly { readonly name: string; readonly topicId: TopicId; readonly partitions: number }[]
  readonly findings: readonly Finding[]
  /** The name to go on after; absent: there are no more. */
  readonly next?: string
}

/** What belongs to no partition that is there. */
export interface VerifiedLeftovers {
  readonly findings: readonly Finding[]
  /** Objects that nothing names: `findings` names the first of them. */
  readonly unnamed: number
  /** False where time ran out. */
  readonly isWhole: boolean
}

// --- Heads and items -------------------------------------------------------------------------------------------------

/** What a head says that no write makes, one sentence each. */
export function headFaults(head: Head): string[] {
  const faults: string[] = []
  const { hw, start, tail, rolls, boundary, producers, leaseEpoch, lease } = head
  for (const [name, value] of Object.entries({ hw, start, rolls, boundary, leaseEpoch }))
    if (!isCount(value)) faults.push(`Its ${name} is ${JSON.stringify(value)}.`)
  if (start > hw) faults.push(`It begins at ${start}, after its end at ${hw}.`)
  if (boundary > hw) faults.push(`Its last roll was at ${boundary}, after its end at ${hw}.`)
  if (lease !== undefined && lease.epoch !== leaseEpoch)
    faults.push(`Its lease has epoch ${lease.epoch}, where ${leaseEpoch} is the last.`)
  const entries = Object.entries(tail) as [string, Offset][]
  if (entries.length > tailEntriesMax) faults.push(`Its tail has ${entries.length} entries.`)
  const bases = new Set<Offset>()
  for (const [ref, base] of entries) {
    if (!isReference(ref)) faults.push(`Its tail names ${JSON.stringify(ref)}.`)
    if (!isCount(base) || base >= hw)
      faults.push(`Its tail has a chunk at ${JSON.stringify(base)}, beyond its end at ${hw}.`)
    if (bases.has(base)) faults.push(`Its tail has two chunks at ${base}.`)
    bases.add(base)
  }
  const known = Object.entries(producers)
  if (known.length > headProducersMax) faults.push(`It holds ${known.length} producers.`)
  for (const [key, state] of known) {
    const wrong = producerFault(state as unknown as Json, hw)
    if (wrong !== undefined) faults.push(`Its producer ${key}: ${wrong}`)
  }
  return faults
}

/** @param hw of a head read afterwards */
export function producerFault(state: Json | undefined, hw: Offset): string | undefined {
  if (state === null || typeof state !== 'object' || !('epoch' in state) || !('batches' in state)) return 'no state.'
  const { epoch, batches } = state as { readonly [key: string]: Json }
  if (!isCount(epoch) || epoch > producerEpochMax) return `its epoch is ${JSON.stringify(epoch)}.`
  if (!Array.isArray(batches) || batches.length < 1 || batches.length > rememberedBatchesMax)
    return `it has no 1 to ${rememberedBatchesMax} batches.`
  for (const batch of batches as readonly Json[]) {
    const { first, last, base } = (batch ?? {}) as { readonly [key: string]: Json }
    const isSequence = (value: Json | undefined) => isCount(value) && value <= sequenceMax
    if (!isSequence(first) || !isSequence(last) || !isCount(base) || base >= hw)
      return `its batch ${JSON.stringify(batch)} cannot be.`
  }
  return undefined
}

export function topicFault(key: ItemKey, value: Json): string | undefined {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return 'It is no object.'
  const { name, id, partitions, configs, state } = value as unknown as Topic
  const named = typeof name === 'string' ? parseTopicName(name) : undefined
  if (named?.ok !== true || name !== key.sort) return `Its name is ${JSON.stringify(name)}.`
  if (typeof id !== 'string' || !/^[A-Za-z0-9_-]{22}$/.test(id)) return `Its id is ${JSON.stringify(id)}.`
  const counted = checkPartitions(partitions)
  if (!counted.ok) return counted.message
  if (state !== 'live' && state !== 'deleting') return `Its state is ${JSON.stringify(state)}.`
  if (configs === null || typeof configs !== 'object') return 'It has no configs.'
  const parsed = parseConfigs(configs)
  return parsed.ok ? undefined : parsed.message
}

// --- Rows ------------------------------------------------------------------------------------------------------------

/** An item of the collection `rows/…` as the row it must be. */
export function readRow(
  key: ItemKey,
  value: Json,
): { readonly ok: true; readonly row: Row } | { readonly ok: false; readonly message: string } {
  try {
    const row = parseRow(value)
    if (key.sort !== offsetSortKey(row.last))
      return { ok: false, message: `It ends at ${row.last}, and stands at ${key.sort}.` }
    return { ok: true, row }
  } catch (error) {
    return { ok: false, message: `${error instanceof Error ? error.message : String(error)}.` }
  }
}

/** What the row after another says of the time before it. */
export interface RowAfter {
  readonly last: Offset
  readonly maxTimestampSoFarMs: EpochMs
}

export const noRowAfter: RowAfter = { last: Number.MAX_SAFE_INTEGER, maxTimestampSoFarMs: Number.MAX_SAFE_INTEGER }

/** Whether a row's timestamps are those of its chunks, and not beyond those of a row that was found after it. */
export function rowTimesFault(row: Row, after: RowAfter): string | undefined {
  let maxMs = -1
  for (const { ref } of row.chunks) maxMs = Math.max(maxMs, timestampOf(ref))
  // A merge keeps the time of what it left out.
  if (row.isMerged ? maxMs > row.maxTimestampMs : maxMs !== row.maxTimestampMs)
    return `The largest timestamp of its chunks is ${maxMs}, it says ${row.maxTimestampMs}.`
  // A merge may have put it behind the other since.
  if (row.last < after.last && row.maxTimestampSoFarMs > after.maxTimestampSoFarMs)
    return `The largest timestamp so far is ${row.maxTimestampSoFarMs}, and ${after.maxTimestampSoFarMs} in the row after it.`
  return undefined
}

function timestampOf(ref: ChunkReference): number {
  try {
    return decodeReference(ref).maxTimestampMs
  } catch {
    return -1 // Told of where the chunk is read.
  }
}

/** The run of offsets of a row that none of its chunks begins with; a merge may leave that only below the log start, a compaction anywhere. */
export function leadingHole(row: Row, start: Offset): Fault | undefined {
  const end = row.chunks[0]?.base ?? row.last + 1
  const from = Math.max(row.first, start)
  if (end <= from) return undefined
  return {
    code: 'OFFSETS_MISSING',
    offset: from,
    message: `The row that ends at ${row.last} holds nothing of offsets ${from} to ${end - 1}.`,
  }
}

// --- Chunks ----------------------------------------------------------------------------------------------------------

/** What a chunk must fill. */
export interface Place {
  readonly base: Offset
  /** One past its last offset. */
  readonly end: Offset
  /** As it was committed: every offset has a record. */
  readonly isWhole: boolean
  /** Compaction was here: offsets may be missing. */
  readonly isCleaned: boolean
  /** What lies below may be missing. */
  readonly start: Offset
}

/** Whether the batches of a chunk, whose checksums are right, are those of its place. */
export function placeFault(bytes: Uint8Array, place: Place): Fault | undefined {
  const { base, end, isWhole, isCleaned, start } = place
  const read = batchHeaders(bytes)
  if (!read.ok) return { code: 'CHUNK_DAMAGED', message: `There is no batch at byte ${read.at}: ${read.message}.` }
  let next = base
  let hole: readonly [Offset, Offset] | undefined
  const miss = (from: Offset, to: Offset) => {
    if (hole === undefined && to > Math.max(from, isWhole ? base : start))
      hole = [isWhole ? from : Math.max(from, start), to]
  }
  for (const { baseOffset, lastOffsetDelta, recordCount } of read.headers) {
    const first = base + baseOffset
    if (first < next)
      return { code: 'CHUNK_DAMAGED', offset: first, message: `Offset ${first} comes after ${next - 1}.` }
    miss(next, first)
    next = first + lastOffsetDelta + 1
    if (recordCount !== lastOffsetDelta + 1) miss(first, next)
  }
  if (next > end)
    return {
      code: 'CHUNK_DAMAGED',
      offset: base,
      message: `It reaches to offset ${next - 1}, where ${end - 1} is the last that is its own.`,
    }
  miss(next, end)
  if (hole === undefined || (isCleaned && !isWhole)) return undefined
  const [from, to] = hole
  return {
    code: 'OFFSETS_MISSING',
    offset: from,
    message: `Its batches leave out records of offsets ${from} to ${to - 1}.`,
  }
}

/** From here to its end a batch is under its CRC-32C. */
const batchCrcFrom = 21

/** An inline chunk has no index: its batches, and what its item and its reference say of them. */
export function inlineFault(
  bytes: Uint8Array | undefined,
  recordCount: Json | undefined,
  ref: ChunkReference,
  codecs: Codecs,
): string | undefined {
  const { lengthBytes, maxTimestampMs } = decodeReference(ref)
  if (bytes === undefined) return 'Its item has no bytes.'
  if (bytes.length !== lengthBytes) return `Its item holds ${bytes.length} bytes, where ${lengthBytes} were committed.`
  const read = batchHeaders(bytes)
  if (!read.ok) return `There is no batch at byte ${read.at}: ${read.message}.`
  let records = 0
  let maxMs = -1
  for (const header of read.headers) {
    const { position, sizeBytes, crc } = header
    if (codecs.crc32c(bytes.subarray(position + batchCrcFrom, position + sizeBytes)) !== crc)
      return `The batch at byte ${position} does not match its CRC.`
    records += header.recordCount
    maxMs = Math.max(maxMs, header.maxTimestampMs)
  }
  if (records !== recordCount) return `It has ${records} records, its item says ${JSON.stringify(recordCount)}.`
  if (maxMs !== maxTimestampMs) return `Its largest timestamp is ${maxMs}, its reference says ${maxTimestampMs}.`
  return undefined
}

// --- Cursors ---------------------------------------------------------------------------------------------------------

/** Where a verification of a partition goes on. */
export type VerifyCursor =
  /** Offsets from `below` on were verified; `after` is the last row that was. */
  | { readonly stage: 'offsets'; readonly topicId: TopicId; readonly below: Offset; readonly after: RowAfter }
  /** And all others; producers up to this key. */
  | { readonly stage: 'producers'; readonly topicId: TopicId; readonly afterProducer: string }

export function encodeCursor(cursor: VerifyCursor): string {
  const { stage, topicId } = cursor
  if (stage === 'producers') return `p.${topicId}.${encodeURIComponent(cursor.afterProducer)}`
  const { below, after } = cursor
  return `o.${topicId}.${below}.${after.last}.${after.maxTimestampSoFarMs}`
}

/** Undefined for anything that `encodeCursor` does not make. */
export function parseCursor(text: string): VerifyCursor | undefined {
  const [, topicId, below, last, soFarMs] =
    /^o\.([A-Za-z0-9_-]{22})\.([0-9]{1,16})\.([0-9]{1,16})\.(-?[0-9]{1,16})$/.exec(text) ?? []
  if (topicId !== undefined)
    return {
      stage: 'offsets',
      topicId: topicId as TopicId,
      below: Number(below),
      after: { last: Number(last), maxTimestampSoFarMs: Number(soFarMs) },
    }
  const [, ofProducers, afterProducer = ''] = /^p\.([A-Za-z0-9_-]{22})\.(.{0,1000})$/.exec(text) ?? []
  if (ofProducers === undefined) return undefined
  try {
    return { stage: 'producers', topicId: ofProducers as TopicId, afterProducer: decodeURIComponent(afterProducer) }
  } catch {
    return undefined
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
