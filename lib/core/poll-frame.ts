/**
 * The answer to a poll of a group's member, and to a fetch of many partitions, as bytes:
 *
 *     0      header length   u32, big-endian: bytes of the header
 *     4      header          JSON in UTF-8, a `PollHeader`
 *     4 + n  batches         record batches (v2) of the header's partitions, in their order and back to back: of each
 *                            as many bytes as its `bytes` says. Nothing follows the last.
 *
 * The version is in the media type. Readers pass over fields that they do not know.
 *
 * The header's parts are also what the JSON answers of the group routes are made of: server and client share the shapes.
 */
import type { ErrorCode } from './errors.ts'

export const pollType = 'application/vnd.highwater.poll.v1'

export interface PollHeader {
  /** Set where the group has changed. Where that gives the member something to do, there are no records. */
  readonly membership?: MembershipText
  /** Only partitions with something to say. */
  readonly partitions: readonly (PartitionData | PartitionFault)[]
}

export interface PartitionData {
  readonly topic: string
  readonly topic_id: string
  readonly partition: number
  /** Of its batches. */
  readonly bytes: number
  /** Where to go on. */
  readonly next_offset: number
  readonly start_offset: number
  readonly high_watermark: number
}

/** A partition, or an offset to be committed, that was refused; the others were not. */
export interface PartitionFault {
  readonly topic: string
  readonly partition: number
  /** The number of the Kafka REST conventions. */
  readonly error_code: number
  /** The code of the catalogue, as the header `Highwater-Error` has it. */
  readonly error: ErrorCode
  readonly message: string
  /** OFFSET_OUT_OF_RANGE: what can be read. */
  readonly start_offset?: number
  readonly high_watermark?: number
}

/** What a member is told of its group. */
export interface MembershipText {
  readonly group_id: string
  readonly member_id: string
  readonly epoch: number
  readonly assigned: readonly AssignedText[]
  readonly revoked: readonly PartitionText[]
  readonly lost: readonly PartitionText[]
  readonly incomplete: boolean
  readonly heartbeat_interval_ms: number
}

export interface PartitionText {
  readonly topic: string
  readonly topic_id: string
  readonly partition: number
}

export interface AssignedText extends PartitionText {
  readonly claim: string
  /** Committed last. Absent: nothing was. */
  readonly offset?: number
  readonly metadata?: string
}

const encoder = new TextEncoder()
// Fatal: damage must not become other names silently.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const lengthBytes = 4

/**
 * The frame in parts, to be sent one after the other; the batches are not copied.
 *
 * @param batches of the header's partitions that have data, in their order
 * @throws RangeError where the header and the batches disagree
 */
export function encodePollFrame(header: PollHeader, batches: readonly (readonly Uint8Array[])[]): Uint8Array[] {
  const text = encoder.encode(JSON.stringify(header))
  const front = new Uint8Array(lengthBytes + text.length)
  new DataView(front.buffer).setUint32(0, text.length)
  front.set(text, lengthBytes)
  const parts: Uint8Array[] = [front]
  let at = 0
  for (const partition of header.partitions) {
    if (!isData(partition)) continue
    let bytes = 0
    for (const batch of batches[at++] ?? []) {
      bytes += batch.byteLength
      parts.push(batch)
    }
    if (bytes !== partition.bytes)
      throw new RangeError(`the header says ${partition.bytes} bytes of ${partition.topic}, there are ${bytes}`)
  }
  if (at !== batches.length) throw new RangeError(`batches of ${batches.length} partitions, the header names ${at}`)
  return parts
}

export type PollFrame =
  | {
      readonly ok: true
      readonly header: PollHeader
      /** Of each of the header's partitions, in their order: views of the frame, empty where the partition was refused. */
      readonly batches: readonly Uint8Array[]
    }
  | { readonly ok: false; readonly message: string }

/** Reads what `encodePollFrame` wrote. Whatever the bytes are, the answer is a frame or a sentence. */
export function readPollFrame(bytes: Uint8Array): PollFrame {
  if (bytes.length < lengthBytes) return fault(`a frame of ${bytes.length} bytes`)
  const headerLength = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0)
  const batchesAt = lengthBytes + headerLength
  if (batchesAt > bytes.length) return fault(`a header of ${headerLength} bytes in a frame of ${bytes.length}`)
  let value: unknown
  try {
    value = JSON.parse(decoder.decode(bytes.subarray(lengthBytes, batchesAt)))
  } catch {
    return fault('a header that is not JSON')
  }
  const header = readPollHeader(value)
  if (header === undefined) return fault('a header of another shape')
  const batches: Uint8Array[] = []
  let at = batchesAt
  for (const partition of header.partitions) {
    const length = isData(partition) ? partition.bytes : 0
    if (at + length > bytes.length) return fault(`fewer bytes than the ${length} of ${partition.topic}`)
    batches.push(bytes.subarray(at, at + length))
    at += length
  }
  if (at !== bytes.length) return fault(`${bytes.length - at} bytes that belong to no partition`)
  return { ok: true, header, batches }
}

export function isData(partition: PartitionData | PartitionFault): partition is PartitionData {
  return 'bytes' in partition
}

function fault(message: string): PollFrame {
  return { ok: false, message: `The answer is damaged: ${message}.` }
}

/** The header, with nothing in it that is not of its type; undefined for anything else. */
function readPollHeader(value: unknown): PollHeader | undefined {
  if (!isObject(value) || !Array.isArray(value.partitions)) return undefined
  const { membership, partitions } = value
  if (membership !== undefined && !isMembership(membership)) return undefined
  if (!partitions.every((partition) => isPartitionData(partition) || isPartitionFault(partition))) return undefined
  return value as unknown as PollHeader
}

function isPartitionData(value: unknown): boolean {
  return (
    isPartition(value) &&
    [value.bytes, value.next_offset, value.start_offset, value.high_watermark].every((number) => isCount(number))
  )
}

export function isPartitionFault(value: unknown): value is PartitionFault {
  return (
    isObject(value) &&
    typeof value.topic === 'string' &&
    isCount(value.partition) &&
    typeof value.error === 'string' &&
    typeof value.message === 'string' &&
    isOptional(value.start_offset, isCount) &&
    isOptional(value.high_watermark, isCount) &&
    value.bytes === undefined
  )
}

/** Is it what a member is told, whoever sent it? */
export function isMembership(value: unknown): value is MembershipText {
  return (
    isObject(value) &&
    typeof value.group_id === 'string' &&
    typeof value.member_id === 'string' &&
    isCount(value.epoch) &&
    typeof value.incomplete === 'boolean' &&
    isCount(value.heartbeat_interval_ms) &&
    isListOf(value.assigned, isAssigned) &&
    isListOf(value.revoked, isPartition) &&
    isListOf(value.lost, isPartition)
  )
}

function isAssigned(value: unknown): boolean {
  return (
    isPartition(value) &&
    typeof value.claim === 'string' &&
    isOptional(value.offset, isCount) &&
    isOptional(value.metadata, (metadata) => typeof metadata === 'string')
  )
}

function isPartition(value: unknown): value is Readonly<Record<string, unknown>> {
  return (
    isObject(value) && typeof value.topic === 'string' && typeof value.topic_id === 'string' && isCount(value.partition)
  )
}

function isListOf(value: unknown, isItem: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every((item) => isItem(item))
}

function isOptional(value: unknown, isIt: (value: unknown) => boolean): boolean {
  return value === undefined || isIt(value)
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
