/**
 * The ports in memory: the reference that every other adapter is compared with. A call has its whole effect at once, before
 * it returns its promise. What is stored and answered is frozen, so that nobody shares state by accident.
 */
import type { Head, HeadCommand, HeadKey } from '../core/head.ts'
import { decideHead } from '../core/head.ts'
import type { Item, ItemKey } from '../core/items.ts'
import type { HeadAnswer, ItemWrite, Metadata, ObjectEntry, Objects, QueryRange, WriteAnswer } from '../ports.ts'
import { frozen } from './frozen.ts'
import { assertWrites, isMet } from './item-conditions.ts'

export class MemoryObjects implements Objects {
  readonly #objects = new Map<string, Uint8Array>()
  /** The keys in order; undefined while a change has not been sorted in. */
  #sorted: readonly string[] | undefined

  async create(key: string, parts: readonly Uint8Array[]): Promise<'created' | 'exists'> {
    if (this.#objects.has(key)) return 'exists'
    this.#objects.set(key, concatenated(parts))
    this.#sorted = undefined
    return 'created'
  }

  async read(key: string, position: number, length: number): Promise<Uint8Array | undefined> {
    const bytes = this.#objects.get(key)
    const from = position < 0 ? Math.max(0, (bytes?.length ?? 0) + position) : position
    return bytes?.slice(from, from + length)
  }

  async list(prefix: string, after: string | undefined, limit: number): Promise<readonly ObjectEntry[]> {
    this.#sorted ??= [...this.#objects.keys()].sort()
    const entries: ObjectEntry[] = []
    for (const key of this.#sorted) {
      if (entries.length === limit) break
      if (!key.startsWith(prefix) || (after !== undefined && key <= after)) continue
      entries.push({ key, sizeBytes: this.#objects.get(key)?.length ?? 0 })
    }
    return entries
  }

  async delete(key: string): Promise<void> {
    if (this.#objects.delete(key)) this.#sorted = undefined
  }
}

export interface MemoryMetadataOptions {
  /** The rule of head writes; a test switches in a wrong one. @default decideHead */
  readonly decide?: typeof decideHead
}

export class MemoryMetadata implements Metadata {
  readonly #decide: typeof decideHead
  readonly #heads = new Map<string, Head>()
  readonly #collections = new Map<string, Collection>()

  constructor({ decide = decideHead }: MemoryMetadataOptions = {}) {
    this.#decide = decide
  }

  async readHead(key: HeadKey): Promise<Head | undefined> {
    return this.#heads.get(headName(key))
  }

  async createHead(head: Head): Promise<'created' | 'exists'> {
    const name = headName(head)
    if (this.#heads.has(name)) return 'exists'
    this.#heads.set(name, frozen(structuredClone(head)))
    return 'created'
  }

  async updateHead(key: HeadKey, command: HeadCommand, also: readonly ItemWrite[] = []): Promise<HeadAnswer> {
    assertWrites(also, 1)
    const name = headName(key)
    const head = this.#heads.get(name)
    const decision = this.#decide(head, command)
    if (!decision.ok || !this.#areMet(also)) return { applied: false, head, items: this.#present(also) }
    const next = frozen(decision.next)
    this.#heads.set(name, next)
    this.#apply(also)
    return { applied: true, head: next }
  }

  async get(key: ItemKey): Promise<Item | undefined> {
    return this.#item(key)
  }

  async query(collection: string, range: QueryRange): Promise<readonly Item[]> {
    return this.#collections.get(collection)?.query(range) ?? []
  }

  async write(writes: readonly ItemWrite[]): Promise<WriteAnswer> {
    assertWrites(writes)
    if (!this.#areMet(writes)) return { applied: false, items: this.#present(writes) }
    this.#apply(writes)
    return { applied: true }
  }

  #item(key: ItemKey): Item | undefined {
    return this.#collections.get(key.collection)?.items.get(key.sort)
  }

  #areMet(writes: readonly ItemWrite[]): boolean {
    return writes.every((write) => isMet(write.if, this.#item(write.key)))
  }

  #present(writes: readonly ItemWrite[]): (Item | undefined)[] {
    return writes.map((write) => this.#item(write.key))
  }

  #apply(writes: readonly ItemWrite[]): void {
    for (const write of writes) {
      const { collection: name, sort } = write.key
      const collection = this.#collections.get(name) ?? new Collection()
      this.#collections.set(name, collection)
      switch (write.op) {
        case 'put':
          collection.put(
            // A round trip through JSON: what a store keeps, without undefined properties, and nobody else's object.
            Object.freeze({
              ...frozen({
                key: { collection: name, sort },
                version: write.version,
                value: JSON.parse(JSON.stringify(write.value)),
              }),
              ...(write.bytes === undefined ? {} : { bytes: write.bytes.slice() }),
            }),
          )
          break
        case 'delete':
          collection.delete(sort)
          break
        case 'check':
          break
        default:
          write satisfies never
      }
      if (collection.items.size === 0) this.#collections.delete(name)
    }
  }
}

/** Items of one collection, with their sort keys in order (they are ASCII, so that the order of strings is that of bytes). */
class Collection {
  readonly items = new Map<string, Item>()
  readonly #sorts: string[] = []

  put(item: Item): void {
    const { sort } = item.key
    if (!this.items.has(sort)) this.#sorts.splice(this.#firstAtLeast(sort), 0, sort)
    this.items.set(sort, item)
  }

  delete(sort: string): void {
    if (this.items.delete(sort)) this.#sorts.splice(this.#firstAtLeast(sort), 1)
  }

  query({ from, to, limit, reverse = false }: QueryRange): Item[] {
    const start = from === undefined ? 0 : this.#firstAtLeast(from)
    let end = to === undefined ? this.#sorts.length : this.#firstAtLeast(to)
    if (to !== undefined && this.#sorts[end] === to) end++
    const sorts = reverse
      ? this.#sorts.slice(Math.max(start, end - limit), end).reverse()
      : this.#sorts.slice(start, Math.min(end, start + limit))
    return sorts.flatMap((sort) => this.items.get(sort) ?? [])
  }

  #firstAtLeast(sort: string): number {
    let low = 0
    let high = this.#sorts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#sorts[middle] ?? '') < sort) low = middle + 1
      else high = middle
    }
    return low
  }
}

function headName(key: HeadKey): string {
  return `${key.topicId}/${key.partition}`
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
