/**
 * Where instances are kept, and the one loop that changes them: read, decide, write if nobody was faster.
 *
 * How many instances a group has is counted in an item of its own, which changes with every creation and removal, in one
 * transaction. It is what upkeep finds instances by that nobody asks for any more.
 */
import type { Refusal } from '../core/errors.ts'
import { refusal } from '../core/errors.ts'
import type { InstanceGroupItem, Item } from '../core/items.ts'
import { instanceGroupKey, instanceGroupsCollection, instanceKey, instancesCollection } from '../core/items.ts'
import type { EpochMs, GroupName } from '../core/names.ts'
import type { ItemWrite } from '../ports.ts'
import type { Context } from './context.ts'
import type { InstanceItem, InstanceState } from './instance-item.ts'
import { formatInstance, parseInstance } from './instance-item.ts'

export interface StoredInstance {
  readonly group: GroupName
  readonly id: string
  readonly state: InstanceState
  readonly version: string
}

export type Written = { readonly ok: true; readonly stored: StoredInstance } | Refusal

const changeAttemptsMax = 20
const pageItems = 100

export class InstanceStore {
  readonly #context: Context

  constructor(context: Context) {
    this.#context = context
  }

  /** What is idle for longer than this is not there any more: the timeout, and the third of it that a use may go without being written. */
  isExpired({ lastUsedMs }: InstanceState): boolean {
    return this.#context.clock.now() - lastUsedMs > (this.#context.settings.consumerInstanceTimeoutMs * 4) / 3
  }

  /** Also one that has expired: whoever finds it removes it. */
  async read(group: GroupName, id: string): Promise<StoredInstance | undefined> {
    const item = await this.#context.persist(() => this.#context.metadata.get(instanceKey(group, id)))
    return item === undefined ? undefined : storedInstance(group, item)
  }

  /** @returns `exists` where there is one of that id, `full` where the group has as many as it may have */
  async create(group: GroupName, id: string, state: InstanceState): Promise<'created' | 'exists' | 'full' | Refusal> {
    const key = instanceKey(group, id)
    const version = this.#context.newVersion()
    for (let attempt = 1; attempt <= changeAttemptsMax; attempt++) {
      const counted = await this.#count(group)
      const { instances = 0 } = countOf(counted)
      if (instances >= this.#context.settings.consumerInstancesMax) return 'full'
      const answer = await this.#context.persist(() =>
        this.#context.metadata.write([
          { op: 'put', key, version, value: json(formatInstance(state)), if: 'absent' },
          this.#countTo(group, counted, instances + 1),
        ]),
      )
      if (answer.applied || answer.items[0]?.version === version) return 'created'
      if (answer.items[0] !== undefined) return 'exists'
      await this.#context.pause(attempt)
    }
    return tooMany(id)
  }

  /** Writes the state in place of what was read; `changed` where somebody else was faster, or it is gone. */
  async replace({ group, id, version }: StoredInstance, state: InstanceState): Promise<StoredInstance | 'changed'> {
    const next = this.#context.newVersion()
    const answer = await this.#context.persist(() =>
      this.#context.metadata.write([
        { op: 'put', key: instanceKey(group, id), version: next, value: json(formatInstance(state)), if: { version } },
      ]),
    )
    const isOurs = answer.applied || answer.items[0]?.version === next
    return isOurs ? { group, id, state, version: next } : 'changed'
  }

  /** The read-decide-write loop. Nothing is written where `decide` answers the state it was given. */
  async change(
    from: StoredInstance,
    decide: (stored: StoredInstance) => InstanceState | Refusal | Promise<InstanceState | Refusal>,
  ): Promise<Written> {
    let stored: StoredInstance | undefined = from
    for (let attempt = 1; attempt <= changeAttemptsMax; attempt++) {
      if (stored === undefined) return unknownInstance(from.group, from.id)
      const state: InstanceState | Refusal = await decide(stored)
      if ('ok' in state) return state
      if (state === stored.state) return { ok: true, stored }
      const written: StoredInstance | 'changed' = await this.replace(stored, state)
      if (written !== 'changed') return { ok: true, stored: written }
      await this.#context.pause(attempt)
      stored = await this.read(from.group, from.id)
    }
    return tooMany(from.id)
  }

  /** @returns false where it has changed since it was read */
  async remove({ group, id, version }: StoredInstance): Promise<boolean> {
    const key = instanceKey(group, id)
    for (let attempt = 1; attempt <= changeAttemptsMax; attempt++) {
      const counted = await this.#count(group)
      const left = Math.max(0, countOf(counted).instances - 1)
      const answer = await this.#context.persist(() =>
        this.#context.metadata.write([
          { op: 'delete', key, if: { version } },
          ...(counted === undefined ? [] : [this.#countTo(group, counted, left)]),
        ]),
      )
      if (answer.applied || answer.items[0] === undefined) return true
      if (answer.items[0].version !== version) return false
      await this.#context.pause(attempt)
    }
    return false
  }

  async *ofGroup(group: GroupName): AsyncGenerator<StoredInstance> {
    for await (const item of this.#pages(instancesCollection(group))) yield storedInstance(group, item)
  }

  /** Groups that have had instances since somebody looked last. */
  async *groups(): AsyncGenerator<{ readonly group: GroupName; readonly counted: Item }> {
    for await (const counted of this.#pages(instanceGroupsCollection))
      yield { group: decodeURIComponent(counted.key.sort) as GroupName, counted }
  }

  /** Sets the count right, which a removal whose answer was lost may have left too high, or too low. */
  async recount(group: GroupName, counted: Item, instances: number): Promise<void> {
    if (countOf(counted).instances === instances && instances > 0) return
    // Whoever creates or removes one meanwhile has changed the item: then the next round counts.
    await this.#context.persist(() => this.#context.metadata.write([this.#countTo(group, counted, instances)]))
  }

  #count(group: GroupName): Promise<Item | undefined> {
    return this.#context.persist(() => this.#context.metadata.get(instanceGroupKey(group)))
  }

  #countTo(group: GroupName, counted: Item | undefined, instances: number): ItemWrite {
    const key = instanceGroupKey(group)
    if (counted !== undefined && instances === 0) return { op: 'delete', key, if: { version: counted.version } }
    const value: InstanceGroupItem = { instances }
    return {
      op: 'put',
      key,
      version: this.#context.newVersion(),
      value: json(value),
      if: counted === undefined ? 'absent' : { version: counted.version },
    }
  }

  async *#pages(collection: string): AsyncGenerator<Item> {
    let from: string | undefined
    while (true) {
      const range = { limit: pageItems, ...(from === undefined ? {} : { from }) }
      const items = await this.#context.persist(() => this.#context.metadata.query(collection, range))
      yield* items
      const last = items[items.length - 1]
      if (items.length < pageItems || last === undefined) return
      from = `${last.key.sort}\0`
    }
  }
}

export function unknownInstance(group: string, id: string): Refusal {
  return refusal(
    'UNKNOWN_CONSUMER_INSTANCE',
    `Group ${JSON.stringify(group.slice(0, 300))} has no consumer instance ${JSON.stringify(id.slice(0, 300))}.`,
  )
}

export function tooMany(id: string): Refusal {
  return refusal('STORAGE_UNAVAILABLE', `Consumer instance '${id}' is being used by too many requests at once.`, {
    retryAfterMs: 1_000,
  })
}

/** Its last use, by the clock of who served it. Written when a third of the timeout is over since. */
export function touched(state: InstanceState, nowMs: EpochMs, timeoutMs: number): InstanceState {
  // A clock that went back must not keep an instance from being used.
  return Math.abs(nowMs - state.lastUsedMs) * 3 < timeoutMs ? state : { ...state, lastUsedMs: nowMs }
}

function storedInstance(group: GroupName, { key, value, version }: Item): StoredInstance {
  return {
    group,
    id: decodeURIComponent(key.sort),
    state: parseInstance(value as unknown as InstanceItem),
    version,
  }
}

function countOf(item: Item | undefined): InstanceGroupItem {
  return item === undefined ? { instances: 0 } : (item.value as unknown as InstanceGroupItem)
}

function json(value: InstanceItem | InstanceGroupItem): Item['value'] {
  return value as unknown as Item['value']
}
