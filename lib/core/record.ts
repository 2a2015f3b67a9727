/**
 * A record as it lies in a batch (all numbers zig-zag varints, see varint.ts):
 *
 *   length          varint    bytes of this record after this field
 *   attributes      i8        unused, 0
 *   timestampDelta  varlong   to the batch's base timestamp
 *   offsetDelta     varint    to the batch's base offset
 *   keyLength       varint    -1: null
 *   key
 *   valueLength     varint    -1: null
 *   value
 *   headerCount     varint
 *   per header:     keyLength varint, key (UTF-8), valueLength varint (-1: null), value
 *
 * Reading and writing are walks over one buffer: nothing is allocated per record but what the caller asks to have.
 */
import { unsignedVarintSize, VarintReader, varintSize, varlongSize, writeVarint, writeVarlong } from './varint.ts'

/** A record header: the key is UTF-8 text, the value bytes or null. */
export interface RecordHeader {
  key: string
  value: Uint8Array | null
}

/** A record as it is read: with its offset, and with the timestamp its batch gives it. */
export interface LogRecord {
  offset: number
  timestampMs: number
  key: Uint8Array | null
  value: Uint8Array | null
  headers: readonly RecordHeader[]
}

/** A record as it is written: offsets are given later. */
export interface NewRecord {
  timestampMs: number
  key: Uint8Array | null
  value: Uint8Array | null
  headers?: readonly RecordHeader[]
}

/** Bytes of the smallest record: seven fields of one byte. Bounds any count of records by the bytes there are. */
export const recordBytesMin = 7

const noHeaders: readonly RecordHeader[] = Object.freeze([])
const textEncoder = new TextEncoder()
// A key that is not UTF-8 reads as replacement characters, as in Kafka's own client; a BOM belongs to the key.
const textDecoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** What a batch's header says about its records; a BatchHeader is one. */
export interface RecordFrame {
  recordCount: number
  lastOffsetDelta: number
  timestampType: 'CreateTime' | 'LogAppendTime'
  baseTimestampMs: number
  maxTimestampMs: number
}

/**
 * Steps through the records between two positions. After `next()` answered true, the fields describe the present
 * record; after false, either all records of the frame were there and nothing else (`fault` is null), or `fault` says
 * what is wrong with the bytes at `at`. Offsets ascend and stay within the frame, so a frame with as many records as
 * offsets is dense (D3). Never throws and never reads outside its bounds.
 */
export class RecordWalk {
  /** Position of the present record. */
  at: number
  /** Number of records stepped over, the present one included. */
  count = 0
  offsetDelta = -1
  timestampMs = -1
  keyAt = 0
  /** -1: null, for values too. */
  keyLength = -1
  valueAt = 0
  valueLength = -1
  headersAt = 0
  headerCount = 0
  /** What stays the same wherever the record lies, its key, value and headers, are from here to `end`. */
  contentAt = 0
  /** Behind the present record. */
  end = 0
  fault: string | null = null

  readonly #reader: VarintReader
  readonly #end: number
  readonly #frame: RecordFrame

  constructor(bytes: Uint8Array, from: number, end: number, frame: RecordFrame) {
    this.at = from
    this.end = from
    this.#end = end
    this.#frame = frame
    this.#reader = new VarintReader(bytes, from, end)
  }

  next(): boolean {
    if (this.fault !== null) return false
    const reader = this.#reader
    const { recordCount, lastOffsetDelta, timestampType, baseTimestampMs, maxTimestampMs } = this.#frame
    const from = this.end
    this.at = from
    if (this.count === recordCount) {
      if (from === this.#end) return false
      return this.#fail(`${this.#end - from} bytes follow the last of ${recordCount} records`)
    }
    reader.at = from
    reader.end = this.#end
    const length = reader.readVarint()
    const start = reader.at
    const left = this.#end - start
    if (reader.failed) return this.#fail(`record ${this.count} of ${recordCount} has no length`)
    if (length < recordBytesMin - 1 || length > left) {
      return this.#fail(`record ${this.count} of ${recordCount} claims ${length} bytes; ${left} are left`)
    }
    const end = start + length
    reader.end = end
    reader.at = start + 1 // attributes, unused
    const timestampDelta = reader.readVarlong()
    const offsetDelta = reader.readVarint()
    this.contentAt = reader.at
    this.keyLength = reader.readVarint()
    this.keyAt = this.keyLength === -1 ? reader.at : reader.skip(this.keyLength)
    this.valueLength = reader.readVarint()
    this.valueAt = this.valueLength === -1 ? reader.at : reader.skip(this.valueLength)
    const headerCount = reader.readVarint()
    this.headerCount = headerCount
    this.headersAt = reader.at
    for (let header = 0; header < headerCount && !reader.failed; header++) {
      reader.skip(reader.readVarint())
      const valueLength = reader.readVarint()
      if (valueLength !== -1) reader.skip(valueLength)
    }
    if (reader.failed || headerCount < 0 || reader.at !== end) {
      return this.#fail(`the fields of record ${this.count} do not add up to its ${length} bytes`)
    }
    if (offsetDelta <= this.offsetDelta || offsetDelta > lastOffsetDelta) {
      return this.#fail(
        `record ${this.count} has offset delta ${offsetDelta}, after ${this.offsetDelta} and up to ${lastOffsetDelta}`,
      )
    }
    const timestampMs = timestampType === 'CreateTime' ? baseTimestampMs + timestampDelta : maxTimestampMs
    if (!Number.isSafeInteger(timestampMs)) return this.#fail(`the timestamp of record ${this.count} is out of range`)
    this.offsetDelta = offsetDelta
    this.timestampMs = timestampMs
    this.end = end
    this.count++
    return true
  }

  #fail(fault: string): false {
    this.fault = fault
    return false
  }
}

/**
 * The records of a walk, from offset `offsetMin` on and no more than `recordsMax`: keys and values are views into its
 * bytes. Look at `walk.fault` afterwards.
 */
export function readRecords(
  bytes: Uint8Array,
  walk: RecordWalk,
  baseOffset: number,
  { offsetMin = 0, recordsMax = Number.POSITIVE_INFINITY }: { offsetMin?: number; recordsMax?: number },
): LogRecord[] {
  const records: LogRecord[] = []
  const keys = new HeaderKeys(bytes)
  while (records.length < recordsMax && walk.next()) {
    if (baseOffset + walk.offsetDelta < offsetMin) continue
    const { keyAt, keyLength, valueAt, valueLength } = walk
    records.push({
      offset: baseOffset + walk.offsetDelta,
      timestampMs: walk.timestampMs,
      key: keyLength < 0 ? null : bytes.subarray(keyAt, keyAt + keyLength),
      value: valueLength < 0 ? null : bytes.subarray(valueAt, valueAt + valueLength),
      headers: walk.headerCount === 0 ? noHeaders : readHeaders(bytes, walk, keys),
    })
  }
  return records
}

function readHeaders(bytes: Uint8Array, walk: RecordWalk, keys: HeaderKeys): RecordHeader[] {
  const reader = new VarintReader(bytes, walk.headersAt)
  const headers: RecordHeader[] = []
  for (let index = 0; index < walk.headerCount; index++) {
    const keyLength = reader.readVarint()
    const key = keys.read(index, reader.skip(keyLength), keyLength)
    const valueLength = reader.readVarint()
    const valueAt = valueLength === -1 ? 0 : reader.skip(valueLength)
    headers.push({ key, value: valueLength === -1 ? null : bytes.subarray(valueAt, valueAt + valueLength) })
  }
  return headers
}

/** Records of a batch mostly repeat the same header keys in the same places: one string serves them all. */
class HeaderKeys {
  readonly #bytes: Uint8Array
  readonly #seen: { at: number; length: number; text: string }[] = []

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  read(index: number, at: number, length: number): string {
    const seen = this.#seen[index]
    if (seen !== undefined && seen.length === length && this.#isSame(seen.at, at, length)) return seen.text
    const text = textDecoder.decode(this.#bytes.subarray(at, at + length))
    if (index < 16 && length < 64) this.#seen[index] = { at, length, text }
    return text
  }

  #isSame(a: number, b: number, length: number): boolean {
    for (let i = 0; i < length; i++) if (this.#bytes[a + i] !== this.#bytes[b + i]) return false
    return true
  }
}

/** First pass of encoding: the body size of each record goes into `sizes`; answers the bytes of all of them. */
export function measureRecords(
  records: readonly NewRecord[],
  baseTimestampMs: number,
  offsetDeltas: readonly number[] | undefined,
  sizes: Int32Array,
): number {
  let total = 0
  for (let index = 0; index < records.length; index++) {
    const record = records[index]!
    const size =
      1 +
      varlongSize(record.timestampMs - baseTimestampMs) +
      varintSize(offsetDeltas === undefined ? index : offsetDeltas[index]!) +
      bytesSize(record.key) +
      bytesSize(record.value) +
      headersSize(record.headers)
    sizes[index] = size
    total += varintSize(size) + size
  }
  return total
}

/** Second pass: writes what {@link measureRecords} measured, from `at` on; answers the position behind it. */
export function writeRecords(
  bytes: Uint8Array,
  at: number,
  records: readonly NewRecord[],
  baseTimestampMs: number,
  offsetDeltas: readonly number[] | undefined,
  sizes: Int32Array,
): number {
  let next = at
  for (let index = 0; index < records.length; index++) {
    const record = records[index]!
    next = writeVarint(bytes, next, sizes[index]!)
    bytes[next++] = 0
    next = writeVarlong(bytes, next, record.timestampMs - baseTimestampMs)
    next = writeVarint(bytes, next, offsetDeltas === undefined ? index : offsetDeltas[index]!)
    next = writeBytes(bytes, next, record.key)
    next = writeBytes(bytes, next, record.value)
    const headers = record.headers ?? noHeaders
    next = writeVarint(bytes, next, headers.length)
    for (let header = 0; header < headers.length; header++) {
      const { key, value } = headers[header]!
      next = writeText(bytes, next, key)
      next = writeBytes(bytes, next, value)
    }
  }
  return next
}

function headersSize(headers: readonly RecordHeader[] | undefined): number {
  if (headers === undefined || headers.length === 0) return 1
  let size = varintSize(headers.length)
  for (let index = 0; index < headers.length; index++) {
    const { key, value } = headers[index]!
    const keySize = utf8Size(key)
    size += varintSize(keySize) + keySize + bytesSize(value)
  }
  return size
}

function bytesSize(bytes: Uint8Array | null): number {
  return bytes === null ? 1 : unsignedVarintSize(bytes.length * 2) + bytes.length
}

function writeBytes(target: Uint8Array, at: number, bytes: Uint8Array | null): number {
  if (bytes === null) {
    target[at] = 1 // zig-zag of -1
    return at + 1
  }
  const length = bytes.length
  const from = writeVarint(target, at, length)
  // Below some tens of bytes a loop is faster than the call.
  if (length > 120) target.set(bytes, from)
  else for (let i = 0; i < length; i++) target[from + i] = bytes[i]!
  return from + length
}

function writeText(target: Uint8Array, at: number, text: string): number {
  const size = utf8Size(text)
  const from = writeVarint(target, at, size)
  if (size === text.length) for (let i = 0; i < size; i++) target[from + i] = text.charCodeAt(i)
  else textEncoder.encodeInto(text, target.subarray(from, from + size))
  return from + size
}

/** Bytes that TextEncoder makes of a text; half a surrogate pair becomes the replacement character, 3 bytes. */
function utf8Size(text: string): number {
  let size = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    if (unit < 0x800) size += 1
    else if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      size += 2 // four bytes for the two units of a pair
      i++
    } else size += 2
  }
  return size
}
