/** Random histories of one head and a few items, in a store and in the pure rule beside it. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Head } from '../../lib/core/head.ts'
import { decideHead, newHead } from '../../lib/core/head.ts'
import type { Item, ItemKey } from '../../lib/core/items.ts'
import type { Condition, ItemWrite, Metadata } from '../../lib/ports.ts'
import { Dice, diceArbitrary, HeadCommands, refusalReasons } from './head-commands.ts'
import type { Specify } from './metadata-fixture.ts'
import { nearlyFullHead, newItemKeys, newKey } from './metadata-fixture.ts'

/** Fewer histories do not reach every branch of the rule. */
const historiesForCoverage = 60

export function specifyHistories(specify: Specify, histories: number, seed: number): void {
  specify('every command is decided as the rule decides it, alone and with items', async (metadata) => {
    const met = new Set<string>()
    await fc.assert(
      fc.asyncProperty(fc.array(diceArbitrary, { minLength: 1, maxLength: 40, size: 'max' }), (rolls) =>
        checkHistory(metadata, rolls, met),
      ),
      { seed, numRuns: histories },
    )
    if (histories < historiesForCoverage) return
    for (const outcome of [...refusalReasons, 'items', ...commandKinds.map((kind) => `applied ${kind}`)])
      assert.ok(met.has(outcome), `the commands never came to this: ${outcome}`)
  })
}

const commandKinds = ['append', 'roll', 'evict', 'forget', 'trim', 'fence', 'clean', 'mark-deleted', 'lease'] as const

async function checkHistory(metadata: Metadata, rolls: readonly number[][], met: Set<string>): Promise<void> {
  const key = newKey()
  const keys = newItemKeys(3)
  const items = new Map<string, Item>()
  const commands = new HeadCommands()
  let head: Head | undefined
  for (const [step, rolled] of rolls.entries()) {
    const dice = new Dice(rolled)
    if (head === undefined && step > 0) {
      head = dice.isLucky(1) ? nearlyFullHead(key) : newHead(key)
      assert.equal(await metadata.createHead(head), 'created')
    }
    const command = commands.next(dice, head ?? newHead(key))
    const also = dice.isLucky(3) ? itemWrites(dice, keys, items, step) : []
    const present = also.map((write) => items.get(write.key.sort))
    const decision = decideHead(head, command)
    const areMet = also.every((write, index) => isMet(write.if, present[index]))
    const where = `step ${step}: ${JSON.stringify(command)} with ${JSON.stringify(also)} on ${JSON.stringify(head)}`

    const answer =
      also.length === 0 ? await metadata.updateHead(key, command) : await metadata.updateHead(key, command, also)
    if (decision.ok && areMet) {
      assert.equal(answer.applied, true, where)
      if (answer.head !== undefined) assert.deepEqual(answer.head, decision.next, where)
      head = decision.next
      for (const write of also) {
        if (write.op === 'put')
          items.set(write.key.sort, { key: write.key, version: write.version, value: write.value })
        if (write.op === 'delete') items.delete(write.key.sort)
      }
      met.add(`applied ${command.kind}`)
    } else {
      assert.deepEqual(answer, { applied: false, head, items: present }, where)
      met.add(decision.ok ? 'items' : decision.refusal.reason)
    }
    assert.deepEqual(await metadata.readHead(key), head, where)
  }
  for (const itemKey of keys) assert.deepEqual(await metadata.get(itemKey), items.get(itemKey.sort))
}

/** One to three writes; their conditions are mostly met. */
function itemWrites(dice: Dice, keys: readonly ItemKey[], items: ReadonlyMap<string, Item>, step: number): ItemWrite[] {
  const writes: ItemWrite[] = []
  for (const key of keys) {
    if (!dice.isLucky(5)) continue
    const item = items.get(key.sort)
    const right: Condition = item === undefined ? 'absent' : { version: item.version }
    const condition = dice.isLucky(9) ? right : dice.pick<Condition>(['absent', { version: 'nobody wrote this' }])
    const op = dice.pick(['put', 'put', 'check', 'delete'])
    if (op === 'put') writes.push({ op, key, version: `v${step}`, value: { step }, if: condition })
    else if (op === 'check') writes.push({ op, key, if: condition })
    else if (condition !== 'absent') writes.push({ op: 'delete', key, if: condition })
  }
  return writes
}

function isMet(condition: Condition, item: Item | undefined): boolean {
  return condition === 'absent' ? item === undefined : item?.version === condition.version
}
