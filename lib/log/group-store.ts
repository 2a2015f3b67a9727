/**
 * Where groups are kept, and the one loop that changes them: read, decide by the pure rules, write if nobody was faster.
 *
 * A group is two items that change together: a small one that every heartbeat reads, and its state, which is read only when the
 * small one shows another epoch. A state is never removed: the id of a deleted group cannot come back, however late a
 * repeated creation arrives (D4, D6).
 */
import type { Refusal } from '../core/errors.ts'
import { refusal } from '../core/errors.ts'
import type { Group, GroupText } from '../core/group.ts'
import { formatGroup, newGroup, parseGroup, partitionsOfGroup, stateOf } from '../core/group.ts'
import type { GroupItem, Item } from '../core/items.ts'
import { groupKey, groupStateKey, groupsCollection } from '../core/items.ts'
import type { GroupId, GroupName } from '../core/names.ts'
import { topicIdFromRandom } from '../core/names.ts'
import type { ItemWrite } from '../ports.ts'
import type { Context } from './context.ts'

export interface StoredGroup {
  readonly group: Group
  /** Of both items. */
  readonly version: string
}

export type Decided = { readonly ok: true; readonly next: Group; readonly also?: readonly ItemWrite[] } | Refusal
export type Changed = { readonly ok: true; readonly group: Group } | Refusal

/**
 * Of the state as JSON, when a member joins or subscribes to something else. An item may have 400 KB; what is left is for moves: what
 * members own falls into pieces until they have what they should.
 */
const stateCharactersMax = 290_000
const changeAttemptsMax = 30
const pageItems = 1_000

export class GroupStore {
  readonly #context: Context

  constructor(context: Context) {
    this.#context = context
  }

  /** What a heartbeat needs to know. A group that is being deleted is not there. */
  async find(name: GroupName): Promise<GroupItem | undefined> {
    const item = await this.#item(name)
    const value = item?.value as unknown as GroupItem | undefined
    return value === undefined || value.state === 'Dead' ? undefined : value
  }

  /** The group, also one that is being deleted. */
  async read(name: GroupName): Promise<StoredGroup | undefined> {
    for (let attempt = 1; attempt <= changeAttemptsMax; attempt++) {
      const item = await this.#item(name)
      if (item === undefined) return undefined
      const { id } = item.value as unknown as GroupItem
      const state = await this.#context.persist(() => this.#context.metadata.get(groupStateKey(id)))
      // Between the two reads it may have changed; it is read as a whole, or again.
      if (state?.version === item.version)
        return { group: parseGroup(state.value as unknown as GroupText), version: item.version }
    }
    throw new Error(`group ${JSON.stringify(name)} and its state do not belong together`)
  }

  /**
   * Changes the group to what `decide` makes of it; with its `also`, in one transaction. Nothing is written where it answers
   * the group it was given. `decide` runs again when somebody else was faster.
   *
   * @param isCreating makes the group where there is none; otherwise that is GROUP_ID_NOT_FOUND
   */
  async change(
    name: GroupName,
    isCreating: boolean,
    decide: (group: Group) => Decided | Promise<Decided>,
  ): Promise<Changed> {
    const { clock, metadata } = this.#context
    let ours: { readonly version: string; readonly group: Group } | undefined
    for (let attempt = 1; attempt <= changeAttemptsMax; attempt++) {
      const stored = await this.read(name)
      if (ours !== undefined && stored?.version === ours.version) return this.#changed(name, ours.group)
      if (stored?.group.state === 'deleting') {
        await this.finishDeletion(name, stored)
        continue
      }
      if (stored === undefined && !isCreating) return unknownGroup(name)
      if (stored === undefined) {
        const limited = await this.#checkGroups()
        if (limited !== undefined) return limited
      }
      const before = stored?.group ?? newGroup(this.#newId(), clock.now())
      const decided = await decide(before)
      if (!decided.ok) return decided
      if (stored !== undefined && decided.next === before) return { ok: true, group: before }
      const refused = this.#checkSize(before, decided.next)
      if (refused !== undefined) return refused
      const version = this.#context.newVersion()
      ours = { version, group: decided.next }
      const writes = [...this.#writes(name, decided.next, version, stored?.version), ...(decided.also ?? [])]
      const answer = await this.#context.persist(() => metadata.write(writes))
      if (answer.applied || answer.items[0]?.version === version) return this.#changed(name, decided.next)
      await this.#context.pause(attempt)
    }
    return refusal('STORAGE_UNAVAILABLE', `Group ${JSON.stringify(name)} is being changed by too many at once.`, {
      retryAfterMs: 1_000,
    })
  }

  /** @param which `all`: also those whose deletion has not ended */
  async list(which: 'live' | 'all' = 'live'): Promise<readonly GroupItem[]> {
    const groups: GroupItem[] = []
    for await (const item of this.pages(groupsCollection)) groups.push(item.value as unknown as GroupItem)
    return which === 'all' ? groups : groups.filter(({ state }) => state !== 'Dead')
  }

  /** All items of a collection, page by page. */
  async *pages(collection: string, from?: string, to?: string): AsyncGenerator<Item> {
    const { metadata } = this.#context
    let after = from
    while (true) {
      const range = {
        limit: pageItems,
        ...(after === undefined ? {} : { from: after }),
        ...(to === undefined ? {} : { to }),
      }
      const items = await this.#context.persist(() => metadata.query(collection, range))
      yield* items
      const last = items[items.length - 1]
      if (items.length < pageItems || last === undefined) return
      after = `${last.key.sort}\0`
    }
  }

  /** Set by who owns what belongs to groups (members, offsets): removes it all. Safe to do twice. */
  removeBelongings: (id: GroupId) => Promise<void> = async () => {}

  /** Frees the name; what belonged to the group is gone before. Safe to do twice, and to begin anew. */
  async finishDeletion(name: GroupName, stored: StoredGroup): Promise<void> {
    await this.removeBelongings(stored.group.id)
    await this.#context.persist(() =>
      this.#context.metadata.write([{ op: 'delete', key: groupKey(name), if: { version: stored.version } }]),
    )
    this.#context.groups.notify(name)
  }

  #item(name: GroupName): Promise<Item | undefined> {
    return this.#context.persist(() => this.#context.metadata.get(groupKey(name)))
  }

  #changed(name: GroupName, group: Group): Changed {
    this.#context.groups.notify(name)
    return { ok: true, group }
  }

  #writes(name: GroupName, group: Group, version: string, before: string | undefined): readonly ItemWrite[] {
    const condition = before === undefined ? 'absent' : { version: before }
    const item: GroupItem = {
      id: group.id,
      name,
      epoch: group.epoch,
      state: stateOf(group),
      members: group.members.size,
      ...(group.emptySinceMs === undefined ? {} : { emptySinceMs: group.emptySinceMs }),
    }
    const value = (shape: GroupItem | GroupText) => shape as unknown as Item['value']
    return [
      { op: 'put', key: groupKey(name), version, value: value(item), if: condition },
      { op: 'put', key: groupStateKey(group.id), version, value: value(formatGroup(group)), if: condition },
    ]
  }

  #checkSize(before: Group, after: Group): Refusal | undefined {
    const { groupMembersMax, groupPartitionsMax } = this.#context.settings
    // What shrinks is never refused.
    if (after.members.size > before.members.size && after.members.size > groupMembersMax)
      return refusal('GROUP_MAX_SIZE_REACHED', `A group has at most ${groupMembersMax} members (groupMembersMax).`)
    const partitions = partitionsOfGroup(after)
    if (partitions > partitionsOfGroup(before) && partitions > groupPartitionsMax)
      return refusal(
        'GROUP_LIMIT_REACHED',
        `The group subscribes to ${partitions} partitions; at most ${groupPartitionsMax} are allowed (groupPartitionsMax).`,
      )
    // What nobody asked for is never refused: who lets go would have to keep what it has.
    const isAsked = [...after.members].some(
      ([id, member]) => member.subscription !== before.members.get(id)?.subscription,
    )
    if (isAsked && JSON.stringify(formatGroup(after)).length > stateCharactersMax)
      return refusal('GROUP_MAX_SIZE_REACHED', 'The subscriptions of the members together are too long to be stored.')
    return undefined
  }

  async #checkGroups(): Promise<Refusal | undefined> {
    const { groupsMax } = this.#context.settings
    let count = 0
    for await (const _item of this.pages(groupsCollection))
      if (++count >= groupsMax)
        return refusal('GROUP_LIMIT_REACHED', `There are ${groupsMax} groups already (groupsMax).`)
    return undefined
  }

  #newId(): GroupId {
    const { random } = this.#context
    return topicIdFromRandom(Uint8Array.from({ length: 16 }, () => Math.floor(random() * 256))) as string as GroupId
  }
}

export function unknownGroup(name: string): Refusal {
  return refusal('GROUP_ID_NOT_FOUND', `Group ${JSON.stringify(name.slice(0, 300))} does not exist.`)
}
