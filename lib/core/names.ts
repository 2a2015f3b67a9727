/**
 * Names and identities. A string that means something is branded here, at the edge, and nowhere else.
 *
 * D6: names are never reused. A topic's *name* may come back; its `TopicId` never does, and everything that is stored
 * is keyed by the id.
 */

declare const brand: unique symbol
type Branded<Base, Name extends string> = Base & { readonly [brand]: Name }

/** Name of a topic as users say it: 1 to 249 of `[a-zA-Z0-9._-]`, neither `.` nor `..` (Kafka's rule, `Topic.validate`). */
export type TopicName = Branded<string, 'TopicName'>
/** Identity of one incarnation of a topic: 22 characters of base64url, 128 random bits (Kafka's `Uuid` in its printed form). */
export type TopicId = Branded<string, 'TopicId'>
/** Time-ordered identity of a segment: 9 base-36 digits of milliseconds, then 11 random base-36 digits. Bound to its bytes: the same id is only ever written with the same content. */
export type SegmentId = Branded<string, 'SegmentId'>
/** Who produces idempotently: the decimal producer id, or `~` and the hash of an idempotency key. */
export type ProducerKey = Branded<string, 'ProducerKey'>
/** Name of a consumer group as users say it: 1 to 255 characters, no control characters. */
export type GroupName = Branded<string, 'GroupName'>
/** Identity of one incarnation of a group, of the same form as a topic id. */
export type GroupId = Branded<string, 'GroupId'>
/** Who reads in a group: 1 to 100 of `[a-zA-Z0-9._-]`, chosen by the member and never used twice (G4). */
export type MemberId = Branded<string, 'MemberId'>
/** Position of a record in its partition, from 0, without holes in commit order (D3). A safe integer. */
export type Offset = number
/** Milliseconds since 1970-01-01T00:00Z. */
export type EpochMs = number

export const topicNameLengthMax = 249

/** The name as a `TopicName`, or the sentence that says what is wrong with it. */
export function parseTopicName(text: string): { ok: true; name: TopicName } | { ok: false; message: string } {
  const shown = JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
  if (text.length === 0) return { ok: false, message: 'A topic name cannot be empty.' }
  if (text.length > topicNameLengthMax)
    return {
      ok: false,
      message: `Topic name ${shown} has ${text.length} characters; at most ${topicNameLengthMax} are allowed.`,
    }
  if (text === '.' || text === '..') return { ok: false, message: `Topic name ${shown} cannot be "." or "..".` }
  if (!/^[a-zA-Z0-9._-]+$/.test(text))
    return {
      ok: false,
      message: `Topic name ${shown} may only contain ASCII letters, digits, '.', '_' and '-'.`,
    }
  return { ok: true, name: text as TopicName }
}

export const groupNameLengthMax = 255

/** The name as a `GroupName`, or the sentence that says what is wrong with it. */
export function parseGroupName(text: string): { ok: true; name: GroupName } | { ok: false; message: string } {
  if (text.length === 0) return { ok: false, message: 'A group name cannot be empty.' }
  if (text.length > groupNameLengthMax)
    return {
      ok: false,
      message: `The group name has ${text.length} characters; at most ${groupNameLengthMax} are allowed.`,
    }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u001f\u007f]/.test(text) || !text.isWellFormed())
    return { ok: false, message: `Group name ${JSON.stringify(text)} contains control characters or half a character.` }
  return { ok: true, name: text as GroupName }
}

/** The id as a `MemberId`, or the sentence that says what is wrong with it. */
export function parseMemberId(text: string): { ok: true; id: MemberId } | { ok: false; message: string } {
  if (/^[a-zA-Z0-9._-]{1,100}$/.test(text)) return { ok: true, id: text as MemberId }
  const shown = JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text)
  return { ok: false, message: `Member id ${shown} is not 1 to 100 ASCII letters, digits, '.', '_' and '-'.` }
}

const base64url = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** A topic id out of 16 random bytes. */
export function topicIdFromRandom(bytes: Uint8Array): TopicId {
  let text = ''
  for (let at = 0; at < 16; at += 3) {
    const triple = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0)
    for (let shift = 18; shift >= 0 && text.length < 22; shift -= 6) text += base64url[(triple >>> shift) & 63]
  }
  return text as TopicId
}

const segmentTimeDigits = 9
const segmentRandomDigits = 11
const segmentIdPattern = /^[0-9a-z]{20}$/

/** The last millisecond that an id can hold, in the year 5188. */
export const segmentIdTimeMsMax = 36 ** segmentTimeDigits - 1

/** The least id of that millisecond: what a fence or a horizon is made of. Throws for a clock that is no clock: such an id would not fit a reference. */
export function segmentIdFloor(nowMs: EpochMs): SegmentId {
  if (!(nowMs <= segmentIdTimeMsMax)) throw new RangeError(`no segment id can be of the time ${nowMs}`)
  return (Math.max(0, Math.floor(nowMs)).toString(36).padStart(segmentTimeDigits, '0') +
    '0'.repeat(segmentRandomDigits)) as SegmentId
}

/** A fresh segment id. `floorMs` is the fence's time plus one for a writer whose clock is slow (architecture, Sweep). */
export function segmentIdAt(nowMs: EpochMs, random: () => number): SegmentId {
  let digits = ''
  while (digits.length < segmentRandomDigits)
    digits += Math.floor(random() * 36 ** 5)
      .toString(36)
      .padStart(5, '0')
  return (segmentIdFloor(nowMs).slice(0, segmentTimeDigits) + digits.slice(0, segmentRandomDigits)) as SegmentId
}

export function segmentIdTimeMs(id: SegmentId): EpochMs {
  return Number.parseInt(id.slice(0, segmentTimeDigits), 36)
}

export function isSegmentId(text: string): text is SegmentId {
  return segmentIdPattern.test(text)
}

/**
 * The key of a segment's object: `segments/<digit>/<id>`. The digit is the last of the id, which is random: it spreads
 * writes over 36 key ranges of the store, and keeps the ids of one range in time order for a listing.
 */
export function segmentObjectKey(id: SegmentId): string {
  return `segments/${id[id.length - 1]}/${id}`
}

/** Every prefix under which segment objects lie. */
export const segmentPrefixes: readonly string[] = Array.from(
  '0123456789abcdefghijklmnopqrstuvwxyz',
  (digit) => `segments/${digit}/`,
)

/** The key of a producer with an id from the counter. */
export function producerKeyOfId(producerId: number): ProducerKey {
  return String(producerId) as ProducerKey
}

/** The producer id in a key, or undefined for an idempotency key. */
export function producerIdOfKey(key: ProducerKey): number | undefined {
  return key.startsWith('~') ? undefined : Number(key)
}
