/**
 * A chunk reference: where the bytes of a run of batches lie, as one short string, so that heads and rows can hold many.
 *
 *     <segmentId>.<position>.<length>.<largest timestamp>
 *
 * `segmentId` is 20 characters; `position` and `length` are bytes in the segment's object, base 36; the timestamp is
 * milliseconds, base 36, `-1` where the chunk has none. An inline chunk, which lies in the metadata store (items.ts) under an id
 * of the same kind, has `~` for its position. A reader needs nothing else to fetch the bytes with one ranged
 * read, and a lookup by time skips a chunk without reading it.
 */
import type { EpochMs, SegmentId } from './names.ts'
import { isSegmentId } from './names.ts'

declare const brand: unique symbol
export type ChunkReference = string & { readonly [brand]: 'ChunkReference' }

export interface ChunkPlace {
  readonly segment: SegmentId
  /** Bytes from the start of the object; 0 of an inline chunk. */
  readonly position: number
  readonly lengthBytes: number
  readonly maxTimestampMs: EpochMs
  /** The chunk is an item of the metadata store. */
  readonly isInline?: true
}

export function encodeReference(place: ChunkPlace): ChunkReference {
  const position = place.isInline === true ? inlinePosition : place.position.toString(36)
  return `${place.segment}.${position}.${place.lengthBytes.toString(36)}.${place.maxTimestampMs.toString(36)}` as ChunkReference
}

/** The place a reference names; throws on a string that no writer made (a damaged item). */
export function decodeReference(reference: ChunkReference): ChunkPlace {
  const place = placeOf(reference)
  if (place === undefined) throw new Error(`damaged chunk reference ${JSON.stringify(reference)}`)
  return place
}

const inlinePosition = '~'
const referencePattern = /^[0-9a-z]{20}\.(?:~|[0-9a-z]{1,11})\.[0-9a-z]{1,11}\.-?[0-9a-z]{1,11}$/

/** Has this string the form of a reference? Cheap, for the many of a row; what it names is checked when it is decoded. */
export function isReference(text: string): text is ChunkReference {
  return referencePattern.test(text)
}

function placeOf(text: string): ChunkPlace | undefined {
  const [segment = '', position = '', length = '', timestamp = ''] = text.split('.')
  const isInline = position === inlinePosition
  const place = {
    segment,
    position: isInline ? 0 : Number.parseInt(position, 36),
    lengthBytes: Number.parseInt(length, 36),
    maxTimestampMs: Number.parseInt(timestamp, 36),
    ...(isInline ? { isInline } : {}),
  }
  if (
    !isSegmentId(segment) ||
    !(place.position >= 0 && place.position <= Number.MAX_SAFE_INTEGER) ||
    !(place.lengthBytes > 0 && place.lengthBytes <= Number.MAX_SAFE_INTEGER) ||
    !Number.isSafeInteger(place.maxTimestampMs) ||
    encodeReference({ ...place, segment }) !== text // parseInt reads past what is not a digit
  )
    return undefined
  return { ...place, segment }
}

export function isInlineReference(reference: ChunkReference): boolean {
  return reference[21] === inlinePosition
}

/** The segment of a reference, or the id of an inline chunk, without decoding the rest. */
export function segmentOfReference(reference: ChunkReference): SegmentId {
  return reference.slice(0, 20) as SegmentId
}
