/** Keys, heads and writes for the suites of `Metadata`. Everything is random: a store may be shared, and used again. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { AppendCommand, AppendProducer, Head, HeadKey } from '../../lib/core/head.ts'
import { newHead, rollableEntries, tailEntriesMax } from '../../lib/core/head.ts'
import type { ItemKey, Json } from '../../lib/core/items.ts'
import type { ProducerKey, SegmentId } from '../../lib/core/names.ts'
import { topicIdFromRandom } from '../../lib/core/names.ts'
import type { ChunkReference } from '../../lib/core/reference.ts'
import type { HeadAnswer, ItemWrite, Metadata, QueryRange } from '../../lib/ports.ts'

/** Declares a specification: it is run with a store, which is closed afterwards. */
export type Specify = (sentence: string, run: (metadata: Metadata) => Promise<void>) => void

export function newKey(): HeadKey {
  return { topicId: topicIdFromRandom(randomBytes(16)), partition: 0 }
}

/** The key of a head that was just created. */
export async function created(metadata: Metadata): Promise<HeadKey> {
  const key = newKey()
  assert.equal(await metadata.createHead(newHead(key)), 'created')
  return key
}

/** A head whose tail has room for a few chunks more. */
export function nearlyFullHead(key: HeadKey): Head {
  const entries = Array.from({ length: tailEntriesMax - 3 }, (_, index) => [`entry.${index}`, index * 2] as const)
  return { ...newHead(key), hw: entries.length * 2, boundary: entries.length, tail: Object.fromEntries(entries) }
}

/** A fresh head with something in every field. */
export function fullHead(): Head {
  return {
    ...newKey(),
    partition: 3,
    hw: 1_000,
    start: 10,
    tail: { '0abc.0.1.-1': 990, 'b/c.1': 995 } as Record<ChunkReference, number>,
    rolls: 17,
    boundary: 990,
    producers: {
      '42': {
        epoch: 3,
        batches: [
          { first: 0, last: 4, base: 20 },
          { first: 5, last: 5, base: 990 },
        ],
      },
      '~k/e.y': { epoch: 0, batches: [{ first: 0, last: 0, base: 5 }] },
    } as Record<ProducerKey, Head['producers'][ProducerKey]>,
    producerFloor: 7,
    leaseEpoch: 9,
    lease: { owner: 'somebody', epoch: 9, untilMs: 1_700_000_000_000, isExclusive: false },
    minSegment: '0000000000000000000a' as SegmentId,
    cleanedTo: 700,
    isDeleted: false,
  }
}

export function append(ref: string, count = 1, producer?: AppendProducer): AppendCommand {
  return {
    kind: 'append',
    chunks: [{ ref: ref as ChunkReference, count, ...(producer && { producer }) }],
    seen: 0,
  }
}

export function assertApplied(answer: HeadAnswer, head: object): void {
  assert.equal(answer.applied, true)
  if (answer.head !== undefined) assert.deepEqual(answer.head, head)
}

/** Appends as a writer does: again with what it has now seen, rolling a full tail. Answers the base offset. */
export async function appendWithRolls(metadata: Metadata, key: HeadKey, ref: string, count: number): Promise<number> {
  for (;;) {
    const before = await metadata.readHead(key)
    assert.ok(before)
    const answer = await metadata.updateHead(key, { ...append(ref, count), seen: before.rolls })
    const head = answer.head ?? (await metadata.readHead(key))
    assert.ok(head)
    const base = head.tail[ref as ChunkReference]
    if (answer.applied) {
      assert.ok(base !== undefined)
      return base
    }
    assert.equal(base, undefined)
    await metadata.updateHead(key, {
      kind: 'roll',
      generation: head.rolls,
      refs: rollableEntries(head).map((entry) => entry.ref),
    })
  }
}

export function newCollection(): string {
  return `rows/${topicIdFromRandom(randomBytes(16))}/1`
}

/** Keys in a fresh collection, ascending. */
export function newItemKeys(count: number): ItemKey[] {
  const collection = newCollection()
  return Array.from({ length: count }, (_, index) => ({ collection, sort: String(index).padStart(4, '0') }))
}

/** A put of a new item. */
export function put(key: ItemKey, version: string, value: Json): ItemWrite & { op: 'put' } {
  return { op: 'put', key, version, value, if: 'absent' }
}

export async function sortsOf(metadata: Metadata, collection: string, range: QueryRange): Promise<string[]> {
  const items = await metadata.query(collection, range)
  return items.map((item) => {
    assert.equal(item.key.collection, collection)
    return item.key.sort
  })
}

/** What a careless caller does to an object. A store may have frozen it. */
export function spoil(value: unknown): void {
  try {
    if (Array.isArray(value)) value.push('spoilt')
    else if (typeof value === 'object' && value !== null)
      for (const name of [...Object.keys(value), 'more']) (value as Record<string, unknown>)[name] = 'spoilt'
  } catch (error) {
    assert.ok(error instanceof TypeError)
  }
}
