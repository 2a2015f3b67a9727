/**
 * The rule of conditional item writes, for the adapters that decide here and not inside a store; and what every store
 * takes in one transaction, checked the same everywhere so that nothing works on a laptop alone.
 */
import type { Item, ItemKey } from '../core/items.ts'
import type { Condition, ItemWrite } from '../ports.ts'

/** Writes one transaction may hold, the head's included (DynamoDB's limit; D8). */
export const transactionWritesMax = 100

export function isMet(condition: Condition, item: Item | undefined): boolean {
  return condition === 'absent' ? item === undefined : item?.version === condition.version
}

/** Throws, since it is the caller's bug, when a transaction is too large or names an item twice. `others` counts writes beside these. */
export function assertWrites(writes: readonly ItemWrite[], others = 0): void {
  if (writes.length + others > transactionWritesMax)
    throw new Error(`a transaction of ${writes.length + others} writes, at most ${transactionWritesMax} are allowed`)
  if (writes.length < 2) return
  const seen = new Set<string>()
  for (const { key } of writes) {
    const name = itemName(key)
    if (seen.has(name)) throw new Error(`a transaction names the item ${name} twice`)
    seen.add(name)
  }
}

/** One string per item key: a collection cannot hold the separator. */
export function itemName(key: ItemKey): string {
  return `${key.collection}\n${key.sort}`
}
