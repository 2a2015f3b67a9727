/**
 * Metadata in one SQLite file, for one process. Why SQLite, and why a thread: docs/decisions/0003-embedded-database.md.
 *
 *     commands that arrive in one turn, or while a group is written
 *        -> decided one by one against the heads and items as the group so far leaves them
 *        -> the rows they change, in one transaction: one sync for all
 *        -> answers
 *
 * - Each command of a group is applied or refused on its own; a refusal changes nothing and undoes nothing of the others.
 * - Nothing is answered before COMMIT, a refusal neither: it may rest on a neighbour that is not durable yet (D1).
 * - What readers see was committed: heads from `#heads`, which only a finished group changes, items from a connection
 *   that reads what was committed. Nobody else writes the file, so the heads in memory are those on disk.
 *   They are frozen, since every reader gets the same.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { Unavailable } from '../../core/errors.ts'
import type { Head, HeadCommand, HeadKey } from '../../core/head.ts'
import { decideHead } from '../../core/head.ts'
import type { Item, ItemKey, Json } from '../../core/items.ts'
import type { Condition, HeadAnswer, ItemWrite, Metadata, QueryRange, WriteAnswer } from '../../ports.ts'
import { frozen } from '../frozen.ts'
import { assertWrites, isMet, itemName } from '../item-conditions.ts'
import type { RowWrite } from './database.ts'
import { openForReading } from './database.ts'
import type { GroupWriter } from './group-writer.ts'
import { startGroupWriter } from './group-writer.ts'

/** Commands in one transaction: bounds how long the first of them waits for the last, and how long deciding them holds the event loop. */
export const groupCommandsMax = 256
/** Heads kept parsed in memory, 1 to 2 KB each; beyond, the least recently used one is read again when it is asked for. */
export const cachedHeadsMax = 10_000

/** A command waiting for its group: decides against `group`, and answers once the group was committed. */
interface Waiting {
  decide(group: Group): () => void
  fail(error: unknown): void
}

/** The heads and items as the commands of a group leave them, over what was committed. */
interface Group {
  readonly heads: Map<string, Head>
  /** undefined: deleted by the group. */
  readonly items: Map<string, PendingItem | undefined>
}
/** The value stays text until somebody asks. */
interface PendingItem {
  readonly key: ItemKey
  readonly version: string
  readonly json: string
  readonly bytes: Uint8Array | undefined
}
/** A write taken from the caller: nothing that the caller does later changes it, and nothing in it can fail. */
interface TakenWrite {
  readonly name: string
  readonly key: ItemKey
  readonly if: Condition
  /** undefined: a check. */
  readonly change: { readonly item: PendingItem | undefined } | undefined
}

export class LocalMetadata implements Metadata {
  readonly #writer: GroupWriter
  readonly #reader: DatabaseSync
  readonly #select: Statements
  readonly #heads = new Map<string, Head>()
  #waiting: Waiting[] = []
  #isScheduled = false
  #closed: Promise<void> | undefined
  #idle: (() => void) | undefined
  /** Set when nothing may be written any more. */
  #halted: string | undefined

  /** Use `openLocalMetadata`. */
  constructor(writer: GroupWriter, reader: DatabaseSync) {
    this.#writer = writer
    this.#reader = reader
    this.#select = statements(reader)
  }

  async readHead(key: HeadKey): Promise<Head | undefined> {
    this.#assertOpen()
    return this.#committedHead(key)
  }

  createHead(head: Head): Promise<'created' | 'exists'> {
    // A copy, taken now: the caller's object does not become the store's.
    const fresh = frozen(structuredClone(head))
    return this.#enqueue((group) => {
      if (this.#head(group, fresh) !== undefined) return 'exists'
      group.heads.set(headName(fresh), fresh)
      return 'created'
    })
  }

  async updateHead(key: HeadKey, command: HeadCommand, also: readonly ItemWrite[] = []): Promise<HeadAnswer> {
    assertWrites(also, 1)
    const writes = also.map(taken)
    return this.#enqueue((group) => {
      const head = this.#head(group, key)
      const decision = decideHead(head, command)
      if (!decision.ok || !this.#areMet(group, writes))
        return { applied: false, head, items: this.#present(group, writes) }
      const next = frozen(decision.next)
      group.heads.set(headName(key), next)
      apply(group, writes)
      return { applied: true, head: next }
    })
  }

  async get(key: ItemKey): Promise<Item | undefined> {
    this.#assertOpen()
    return this.#committedItem(key)
  }

  async query(collection: string, range: QueryRange): Promise<readonly Item[]> {
    this.#assertOpen()
    // Every text is at least '' and less than any blob: one statement serves all ranges.
    const { from = '', to = new Uint8Array(), limit, reverse = false } = range
    const statement = reverse ? this.#select.itemsReverse : this.#select.items
    return reading(() => statement.all(collection, from, to, limit)).map((row) => {
      const [sort, version, value, bytes] = row as unknown as [string, string, string, Uint8Array | null]
      return itemOf({ collection, sort }, version, value, bytes)
    })
  }

  async write(asked: readonly ItemWrite[]): Promise<WriteAnswer> {
    assertWrites(asked)
    const writes = asked.map(taken)
    return this.#enqueue((group) => {
      if (!this.#areMet(group, writes)) return { applied: false, items: this.#present(group, writes) }
      apply(group, writes)
      return { applied: true }
    })
  }

  /** Writes what is waiting, then closes the file. Calls made later throw `Unavailable`. */
  close(): Promise<void> {
    this.#closed ??= this.#shut()
    return this.#closed
  }

  async #shut(): Promise<void> {
    if (this.#isScheduled) await new Promise<void>((resolve) => (this.#idle = resolve))
    this.#reader.close()
    await this.#writer.close()
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new Unavailable('The metadata is closed.', 'none', 'closed')
  }

  async #enqueue<Answer>(decide: (group: Group) => Answer): Promise<Answer> {
    this.#assertOpen()
    return new Promise<Answer>((resolve, reject) => {
      this.#waiting.push({
        decide: (group) => {
          const answer = decide(group)
          return () => resolve(answer)
        },
        fail: reject,
      })
      this.#schedule()
    })
  }

  /** At the end of this turn, so that the commands of the whole turn are one group. */
  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => void this.#writeGroup())
  }

  async #writeGroup(): Promise<void> {
    const commands = this.#waiting.splice(0, groupCommandsMax)
    const group: Group = { heads: new Map(), items: new Map() }
    const answers: (() => void)[] = []
    const answered: Waiting[] = []
    for (const command of commands) {
      try {
        if (this.#halted !== undefined) throw new Unavailable(this.#halted, 'none', 'failed')
        answers.push(command.decide(group))
        answered.push(command)
      } catch (error) {
        // A bug in the command, or an item that could not be read; it has changed nothing of the group.
        command.fail(error)
      }
    }
    const rows = rowsOf(group)
    const failure = rows.length === 0 ? undefined : await this.#writer.commit(rows)
    if (failure === undefined) {
      for (const head of group.heads.values()) this.#keep(head)
      for (const answer of answers) answer()
    } else {
      if (failure.isFinal)
        this.#halted = `The metadata takes no more writes until it is opened again, since one failed: ${failure.message}`
      for (const command of answered) command.fail(new Unavailable(failure.message, failure.effects, failure.why))
    }
    this.#isScheduled = false
    if (this.#waiting.length > 0) this.#schedule()
    else this.#idle?.()
  }

  #head(group: Group, key: HeadKey): Head | undefined {
    return group.heads.get(headName(key)) ?? this.#committedHead(key)
  }

  #committedHead(key: HeadKey): Head | undefined {
    const known = this.#heads.get(headName(key))
    if (known !== undefined) {
      this.#keep(known)
      return known
    }
    const row = reading(() => this.#select.head.get(key.topicId, key.partition)) as unknown as [string] | undefined
    if (row === undefined) return undefined
    const head = frozen(JSON.parse(row[0]) as Head)
    this.#keep(head)
    return head
  }

  /** As the one used last. */
  #keep(head: Head): void {
    const name = headName(head)
    this.#heads.delete(name)
    this.#heads.set(name, head)
    if (this.#heads.size <= cachedHeadsMax) return
    for (const [oldest] of this.#heads) {
      this.#heads.delete(oldest)
      break
    }
  }

  #committedItem(key: ItemKey): Item | undefined {
    const row = reading(() => this.#select.item.get(key.collection, key.sort)) as unknown as
      | [string, string, Uint8Array | null]
      | undefined
    return row === undefined ? undefined : itemOf(key, row[0], row[1], row[2])
  }

  #item(group: Group, key: ItemKey): Item | undefined {
    const name = itemName(key)
    if (!group.items.has(name)) return this.#committedItem(key)
    const pending = group.items.get(name)
    return pending && itemOf(pending.key, pending.version, pending.json, pending.bytes)
  }

  #areMet(group: Group, writes: readonly TakenWrite[]): boolean {
    return writes.every((write) => isMet(write.if, this.#item(group, write.key)))
  }

  #present(group: Group, writes: readonly TakenWrite[]): (Item | undefined)[] {
    return writes.map((write) => this.#item(group, write.key))
  }
}

/** Opens the metadata in `path`, creating it where it is missing. Throws an `Error` of one sentence when it cannot be used. */
export async function openLocalMetadata(path: string): Promise<LocalMetadata> {
  const writer = await startGroupWriter(path)
  return new LocalMetadata(writer, openForReading(path))
}

function taken(write: ItemWrite): TakenWrite {
  const key = { collection: write.key.collection, sort: write.key.sort }
  const common = { name: itemName(key), key, if: write.if }
  switch (write.op) {
    case 'put':
      return {
        ...common,
        change: {
          item: { key, version: write.version, json: JSON.stringify(write.value), bytes: write.bytes?.slice() },
        },
      }
    case 'delete':
      return { ...common, change: { item: undefined } }
    case 'check':
      return { ...common, change: undefined }
    default:
      return write satisfies never
  }
}

function apply(group: Group, writes: readonly TakenWrite[]): void {
  for (const { name, change } of writes) if (change !== undefined) group.items.set(name, change.item)
}

function rowsOf(group: Group): RowWrite[] {
  const rows: RowWrite[] = []
  for (const head of group.heads.values())
    rows.push({ row: 'head', topicId: head.topicId, partition: head.partition, value: JSON.stringify(head) })
  for (const [name, item] of group.items)
    rows.push(
      item === undefined
        ? { row: 'no-item', ...keyOfName(name) }
        : { row: 'item', ...item.key, version: item.version, value: item.json, bytes: item.bytes },
    )
  return rows
}

function itemOf(key: ItemKey, version: string, json: string, bytes: Uint8Array | null | undefined): Item {
  const value = JSON.parse(json) as Json
  return bytes === null || bytes === undefined ? { key, version, value } : { key, version, value, bytes }
}

function keyOfName(name: string): ItemKey {
  const end = name.indexOf('\n')
  return { collection: name.slice(0, end), sort: name.slice(end + 1) }
}

function headName(key: HeadKey): string {
  return `${key.topicId}/${key.partition}`
}

interface Statements {
  readonly head: StatementSync
  readonly item: StatementSync
  readonly items: StatementSync
  readonly itemsReverse: StatementSync
}

function statements(reader: DatabaseSync): Statements {
  const prepared = (sql: string) => {
    const statement = reader.prepare(sql)
    statement.setReturnArrays(true)
    return statement
  }
  const range =
    'SELECT sort, version, value, bytes FROM items WHERE collection = ? AND sort >= ? AND sort <= ? ORDER BY sort'
  return {
    head: prepared('SELECT value FROM heads WHERE topic_id = ? AND partition = ?'),
    item: prepared('SELECT version, value, bytes FROM items WHERE collection = ? AND sort = ?'),
    items: prepared(`${range} LIMIT ?`),
    itemsReverse: prepared(`${range} DESC LIMIT ?`),
  }
}

function reading<Result>(read: () => Result): Result {
  try {
    return read()
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new Unavailable(`The metadata could not be read: ${message}.`, 'none', 'failed', error)
  }
}
