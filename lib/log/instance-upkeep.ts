/** Instances that nobody uses any more: removed by whoever comes upon one, and by upkeep. */
import type { GroupName, MemberId } from '../core/names.ts'
import type { InstanceStore, StoredInstance } from './instance-store.ts'

/** Takes a member out of its group. */
export type Leave = (group: GroupName, member: MemberId) => Promise<unknown>

export class InstanceUpkeep {
  readonly #store: InstanceStore
  readonly #leave: Leave

  constructor(store: InstanceStore, leave: Leave) {
    this.#store = store
    this.#leave = leave
  }

  /** Of all groups. @returns how many were removed */
  async removeExpired(signal: AbortSignal): Promise<number> {
    let removed = 0
    for await (const { group, counted } of this.#store.groups()) {
      if (signal.aborted) break
      const found = await this.removeExpiredOf(group)
      removed += found.removed
      if (found.removed === 0) await this.#store.recount(group, counted, found.left)
    }
    return removed
  }

  async removeExpiredOf(group: GroupName): Promise<{ readonly removed: number; readonly left: number }> {
    let removed = 0
    let left = 0
    for await (const stored of this.#store.ofGroup(group))
      if (await this.removeIfExpired(stored)) removed++
      else left++
    return { removed, left }
  }

  /** What it delivered last stays uncommitted: nobody came to say that it had arrived. */
  async removeIfExpired(stored: StoredInstance): Promise<boolean> {
    if (!this.#store.isExpired(stored.state) || !(await this.#store.remove(stored))) return false
    const { member } = stored.state
    if (member !== undefined) await this.#leave(stored.group, member.id)
    return true
  }
}
