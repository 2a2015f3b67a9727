/**
 * Counts what is asked of a store: requests by kind, refused and failed ones too, since a store bills them all; bytes where
 * the size of what is written or read makes the price.
 */
import type { Head } from '../core/head.ts'
import type { Item } from '../core/items.ts'
import type { ItemWrite, Metadata, Objects } from '../ports.ts'

export const requestKinds = [
  'objects.create',
  'objects.read',
  'objects.list',
  'objects.delete',
  'metadata.readHead',
  'metadata.createHead',
  'metadata.updateHead',
  /** With items: a transaction, which costs more than the one update. */
  'metadata.updateHeadWithItems',
  'metadata.get',
  'metadata.query',
  'metadata.write',
  /** Of more than one item. */
  'metadata.writeTransaction',
] as const
export type RequestKind = (typeof requestKinds)[number]

export interface Metered {
  readonly requests: number
  /**
   * Objects: content bytes written or read. Heads and items: bytes of their JSON and what lies beside it, the whole of each that was read, or that an
   * applied write left, or that a refusal answered.
   */
  readonly bytes: number
}
export type MeterReading = Readonly<Record<RequestKind, Metered>>

export class Meter {
  #reading = zeroReading()

  count(kind: RequestKind): void {
    this.#add(kind, 1, 0)
  }

  countBytes(kind: RequestKind, bytes: number): void {
    this.#add(kind, 0, bytes)
  }

  /** Everything since the beginning, or the last `take`. */
  read(): MeterReading {
    return this.#reading
  }

  /** The same, and begins anew: what one act costs is what is taken after it, when it was taken before it. */
  take(): MeterReading {
    const reading = this.#reading
    this.#reading = zeroReading()
    return reading
  }

  #add(kind: RequestKind, requests: number, bytes: number): void {
    const sofar = this.#reading[kind]
    this.#reading = {
      ...this.#reading,
      [kind]: { requests: sofar.requests + requests, bytes: sofar.bytes + bytes },
    }
  }
}

/** Requests by kind, without those that were not made: short enough to compare in a test. */
export function requestsOf(reading: MeterReading): Partial<Record<RequestKind, number>> {
  return Object.fromEntries(
    requestKinds.filter((kind) => reading[kind].requests > 0).map((kind) => [kind, reading[kind].requests]),
  )
}

export function meteredObjects(objects: Objects, meter: Meter): Objects {
  return {
    async create(key, parts) {
      meter.count('objects.create')
      const outcome = await objects.create(key, parts)
      const bytes = parts.reduce((sum, part) => sum + part.length, 0)
      if (outcome === 'created') meter.countBytes('objects.create', bytes)
      return outcome
    },
    async read(key, position, length) {
      meter.count('objects.read')
      const content = await objects.read(key, position, length)
      meter.countBytes('objects.read', content?.length ?? 0)
      return content
    },
    list(prefix, after, limit) {
      meter.count('objects.list')
      return objects.list(prefix, after, limit)
    },
    delete(key) {
      meter.count('objects.delete')
      return objects.delete(key)
    },
  }
}

export function meteredMetadata(metadata: Metadata, meter: Meter): Metadata {
  return {
    async readHead(key) {
      meter.count('metadata.readHead')
      const head = await metadata.readHead(key)
      meter.countBytes('metadata.readHead', bytesOf([head]))
      return head
    },
    async createHead(head) {
      meter.count('metadata.createHead')
      const outcome = await metadata.createHead(head)
      if (outcome === 'created') meter.countBytes('metadata.createHead', bytesOf([head]))
      return outcome
    },
    async updateHead(key, command, also = []) {
      const kind = also.length === 0 ? 'metadata.updateHead' : 'metadata.updateHeadWithItems'
      meter.count(kind)
      const answer = await metadata.updateHead(key, command, also)
      const items = answer.applied ? also.map(written) : answer.items
      meter.countBytes(kind, bytesOf([answer.head]) + bytesOfItems(items))
      return answer
    },
    async get(key) {
      meter.count('metadata.get')
      const item = await metadata.get(key)
      meter.countBytes('metadata.get', bytesOfItems([item]))
      return item
    },
    async query(collection, range) {
      meter.count('metadata.query')
      const items = await metadata.query(collection, range)
      meter.countBytes('metadata.query', bytesOfItems(items))
      return items
    },
    async write(writes) {
      const kind = writes.length > 1 ? 'metadata.writeTransaction' : 'metadata.write'
      meter.count(kind)
      const answer = await metadata.write(writes)
      meter.countBytes(kind, bytesOfItems(answer.applied ? writes.map(written) : answer.items))
      return answer
    },
  }
}

function written(write: ItemWrite): Pick<Item, 'value' | 'bytes'> | undefined {
  return write.op === 'put' ? write : undefined
}

function bytesOfItems(items: readonly (Pick<Item, 'value' | 'bytes'> | undefined)[]): number {
  return items.reduce(
    (sum, item) => sum + (item === undefined ? 0 : bytesOf([item.value]) + (item.bytes?.length ?? 0)),
    0,
  )
}

function bytesOf(values: readonly (Head | Item['value'] | undefined)[]): number {
  let bytes = 0
  for (const value of values) if (value !== undefined) bytes += new TextEncoder().encode(JSON.stringify(value)).length
  return bytes
}

function zeroReading(): MeterReading {
  return Object.fromEntries(requestKinds.map((kind) => [kind, { requests: 0, bytes: 0 }])) as Record<
    RequestKind,
    Metered
  >
}
