/**
 * Counts what is asked of a store: requests by kind, refused and failed ones too, since a store bills them all; bytes, and the
 * capacity units that DynamoDB would bill each request for (lib/core/cost.ts), whatever the store beneath is.
 *
 * What a deletion or a replaced item is billed for is the size of what was there, which no answer tells: sizes of what passed
 * through here are remembered, of the `sizesMax` items that were first seen last. Whoever deletes an item has read it, since it knows its version. An
 * unknown size counts as one unit.
 */
import type { Metered, MeterReading, RequestKind } from '../core/cost.ts'
import { readUnitsOf, requestKinds, writeUnitsOf } from '../core/cost.ts'
import type { Head, HeadKey } from '../core/head.ts'
import type { Item, ItemKey } from '../core/items.ts'
import { topicIdOfCollection } from '../core/items.ts'
import type { TopicId } from '../core/names.ts'
import type { ItemWrite, Metadata, Objects } from '../ports.ts'
import { headBytes, itemBytes } from './aws/dynamodb-size.ts'

const sizesMax = 50_000
/** Of a list, S3 answers at most so many keys to a request. */
const keysPerList = 1_000
/** Of a query, DynamoDB answers at most so much to a request. */
const bytesPerQuery = 1_048_576

type Counting = { -readonly [Name in keyof Metered]: Metered[Name] }

/** Who is told of each request. */
export interface RequestCounter {
  /** @param topicId whose it is, where its key tells */
  count(kind: RequestKind, counted?: Partial<Metered>, topicId?: TopicId): void
}

/** All together, whatever they were for (tagged-meter.ts keeps that apart). */
export class Meter implements RequestCounter {
  #counts = zeroCounts()

  count(kind: RequestKind, counted: Partial<Metered> = { requests: 1 }): void {
    const sofar = this.#counts[kind]
    sofar.requests += counted.requests ?? 0
    sofar.bytes += counted.bytes ?? 0
    sofar.writeUnits += counted.writeUnits ?? 0
    sofar.readUnits += counted.readUnits ?? 0
  }

  /** Everything since the beginning, or the last `take`. */
  read(): MeterReading {
    return structuredClone(this.#counts)
  }

  /** The same, and begins anew: what one act costs is what is taken after it, when it was taken before it. */
  take(): MeterReading {
    const reading = this.#counts
    this.#counts = zeroCounts()
    return reading
  }
}

/** Requests by kind, without those that were not made: short enough to compare in a test. */
export function requestsOf(reading: MeterReading): Partial<Record<RequestKind, number>> {
  return Object.fromEntries(
    requestKinds.filter((kind) => reading[kind].requests > 0).map((kind) => [kind, reading[kind].requests]),
  )
}

export function meteredObjects(objects: Objects, meter: RequestCounter): Objects {
  return {
    async create(key, parts) {
      meter.count('objects.create')
      const outcome = await objects.create(key, parts)
      const bytes = parts.reduce((sum, part) => sum + part.length, 0)
      if (outcome === 'created') meter.count('objects.create', { bytes })
      return outcome
    },
    async read(key, position, length) {
      meter.count('objects.read')
      const content = await objects.read(key, position, length)
      meter.count('objects.read', { bytes: content?.length ?? 0 })
      return content
    },
    list(prefix, after, limit) {
      meter.count('objects.list', { requests: Math.max(1, Math.ceil(limit / keysPerList)) })
      return objects.list(prefix, after, limit)
    },
    delete(key) {
      meter.count('objects.delete')
      return objects.delete(key)
    },
  }
}

export function meteredMetadata(metadata: Metadata, meter: RequestCounter): Metadata {
  const sizes = new Sizes()
  return {
    async readHead(key) {
      meter.count('metadata.readHead', { requests: 1 }, key.topicId)
      const head = await metadata.readHead(key)
      const bytes = sizes.noteHead(key, head)
      meter.count('metadata.readHead', { bytes, readUnits: readUnitsOf(bytes) }, key.topicId)
      return head
    },
    async createHead(head) {
      const bytes = headBytes(head)
      meter.count('metadata.createHead', { requests: 1, writeUnits: writeUnitsOf(bytes) }, head.topicId)
      const outcome = await metadata.createHead(head)
      if (outcome === 'created') {
        sizes.noteHead(head, head)
        meter.count('metadata.createHead', { bytes }, head.topicId)
      }
      return outcome
    },
    async updateHead(key, command, also = []) {
      const isTransaction = also.length > 0
      const kind = isTransaction ? 'metadata.updateHeadWithItems' : 'metadata.updateHead'
      const before = sizes.ofHead(key)
      const { topicId } = key
      meter.count(kind, { requests: 1 }, topicId)
      const bill = new WriteBill(sizes, also, isTransaction)
      try {
        const answer = await metadata.updateHead(key, command, also)
        // An answer without the head (a transaction's) tells nothing new of its size.
        const after = answer.head === undefined && answer.applied ? before : sizes.noteHead(key, answer.head)
        const units = writeUnitsOf(Math.max(before, after), isTransaction)
        const bytes = after + bill.note(answer.applied ? undefined : answer.items)
        meter.count(kind, { bytes, writeUnits: units + bill.units() }, topicId)
        return answer
      } catch (error) {
        meter.count(kind, { writeUnits: writeUnitsOf(before, isTransaction) + bill.units() }, topicId)
        throw error
      }
    },
    async get(key) {
      const topicId = topicIdOfCollection(key.collection)
      meter.count('metadata.get', { requests: 1 }, topicId)
      const item = await metadata.get(key)
      const bytes = sizes.noteItem(key, item)
      meter.count('metadata.get', { bytes, readUnits: readUnitsOf(bytes) }, topicId)
      return item
    },
    async query(collection, range) {
      const topicId = topicIdOfCollection(collection)
      meter.count('metadata.query', { requests: 1 }, topicId)
      const items = await metadata.query(collection, range)
      const bytes = items.reduce((sum, item) => sum + sizes.noteItem(item.key, item), 0)
      const pages = Math.floor(bytes / bytesPerQuery)
      meter.count('metadata.query', { requests: pages, bytes, readUnits: readUnitsOf(bytes) }, topicId)
      return items
    },
    async write(writes) {
      const isTransaction = writes.length > 1
      const kind = isTransaction ? 'metadata.writeTransaction' : 'metadata.write'
      const topicId = writes[0] && topicIdOfCollection(writes[0].key.collection)
      meter.count(kind, { requests: 1 }, topicId)
      const bill = new WriteBill(sizes, writes, isTransaction)
      // A condition alone is looked at by a read.
      const isRead = !isTransaction && writes[0]?.op === 'check'
      const units = () => (isRead ? { readUnits: bill.readUnits() } : { writeUnits: bill.units() })
      try {
        const answer = await metadata.write(writes)
        const bytes = bill.note(answer.applied ? undefined : answer.items)
        meter.count(kind, { bytes, ...units() }, topicId)
        return answer
      } catch (error) {
        meter.count(kind, units(), topicId)
        throw error
      }
    },
  }
}

/** What the items of one request are billed for: each by the largest that is known of before, after, and what refused. */
class WriteBill {
  readonly #sizes: Sizes
  readonly #writes: readonly ItemWrite[]
  readonly #isTransaction: boolean
  readonly #after: readonly number[]
  readonly #billed: number[]

  constructor(sizes: Sizes, writes: readonly ItemWrite[], isTransaction: boolean) {
    this.#sizes = sizes
    this.#writes = writes
    this.#isTransaction = isTransaction
    this.#after = writes.map((write) => (write.op === 'put' ? itemBytes(write) : 0))
    this.#billed = writes.map(({ key }, index) => Math.max(this.#after[index] ?? 0, sizes.ofItem(key)))
  }

  /** @param present what a refusal answered; undefined where it was applied. @returns bytes of what is there now */
  note(present: readonly (Item | undefined)[] | undefined): number {
    let bytes = 0
    for (const [index, write] of this.#writes.entries()) {
      let now = this.#after[index] ?? 0
      if (present !== undefined) now = this.#sizes.noteItem(write.key, present[index])
      else this.#sizes.noteWrite(write, now)
      this.#billed[index] = Math.max(this.#billed[index] ?? 0, now)
      bytes += now
    }
    return bytes
  }

  units(): number {
    return this.#billed.reduce((sum, bytes) => sum + writeUnitsOf(bytes, this.#isTransaction), 0)
  }

  readUnits(): number {
    return this.#billed.reduce((sum, bytes) => sum + readUnitsOf(bytes), 0)
  }
}

/** Sizes of items, bounded: those that have been known for longest go first. A version has one content, so that what is read again is not measured again. */
class Sizes {
  readonly #sizes = new Map<string, { readonly bytes: number; readonly version: string }>()

  ofHead(key: HeadKey): number {
    return this.#sizes.get(headName(key))?.bytes ?? 0
  }

  ofItem(key: ItemKey): number {
    return this.#sizes.get(itemName(key))?.bytes ?? 0
  }

  noteHead(key: HeadKey, head: Head | undefined): number {
    return this.#note(headName(key), head === undefined ? 0 : headBytes(head), '')
  }

  noteItem(key: ItemKey, item: Item | undefined): number {
    const name = itemName(key)
    if (item === undefined) return this.#note(name, 0, '')
    const known = this.#sizes.get(name)
    return known?.version === item.version ? known.bytes : this.#note(name, itemBytes(item), item.version)
  }

  noteWrite(write: ItemWrite, bytes: number): void {
    if (write.op !== 'check') this.#note(itemName(write.key), bytes, write.op === 'put' ? write.version : '')
  }

  #note(name: string, bytes: number, version: string): number {
    if (bytes === 0) {
      this.#sizes.delete(name)
      return 0
    }
    this.#sizes.set(name, { bytes, version })
    if (this.#sizes.size > sizesMax)
      for (const oldest of this.#sizes.keys()) {
        this.#sizes.delete(oldest)
        break
      }
    return bytes
  }
}

function headName({ topicId, partition }: HeadKey): string {
  return `heads/${topicId}/${partition}`
}

function itemName({ collection, sort }: ItemKey): string {
  return `${collection} ${sort}`
}

function zeroCounts(): Record<RequestKind, Counting> {
  return Object.fromEntries(
    requestKinds.map((kind) => [kind, { requests: 0, bytes: 0, writeUnits: 0, readUnits: 0 }]),
  ) as Record<RequestKind, Counting>
}
