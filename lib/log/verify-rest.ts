/** What a verification of a partition looks at beside its offsets: rows and inline chunks that wait to be removed, and producers. */
import type { Head, HeadKey } from '../core/head.ts'
import type { Item, ProducerItem } from '../core/items.ts'
import { inlineCollection, offsetSortKey, producersCollection, rowsCollection } from '../core/items.ts'
import { segmentIdFloor } from '../core/names.ts'
import type { Row } from '../core/row.ts'
import { rowIds } from '../core/sweep-rule.ts'
import type { Fault } from '../core/verify-rule.ts'
import { producerFault, readRow } from '../core/verify-rule.ts'
import type { Context } from './context.ts'

const itemsPerQuery = 500
/** That are said to be there, or more. */
const rowsBelowMax = 64
const producersPerQuery = 500
/** A query answers their bytes as well. */
const inlinePerPiece = 50

/** Of a collection, from a sort key on. */
export async function readAll(context: Context, collection: string, from?: string): Promise<Item[]> {
  const all: Item[] = []
  let next = from
  while (true) {
    const range = { ...(next === undefined ? {} : { from: next }), limit: itemsPerQuery }
    const items = await context.persist(() => context.metadata.query(collection, range))
    all.push(...items)
    const last = items[items.length - 1]
    if (items.length < itemsPerQuery || last === undefined) return all
    next = `${last.key.sort}\0`
  }
}

/** Those of the items that are rows. */
export function rowsAmong(items: readonly Item[]): Row[] {
  return items.flatMap(({ key, value }) => {
    const read = readRow(key, value)
    return read.ok ? [read.row] : []
  })
}

export async function findRowsBelow(context: Context, { topicId, partition, start }: Head): Promise<Fault[]> {
  if (start === 0) return []
  const range = { to: offsetSortKey(start - 1), limit: rowsBelowMax }
  const collection = rowsCollection(topicId, partition)
  const items = await context.persist(() => context.metadata.query(collection, range))
  if (items.length === 0) return []
  const count = items.length < rowsBelowMax ? `${items.length}` : `${rowsBelowMax} or more`
  return [{ code: 'ROW_BELOW_START', key: collection, message: `Rows below the log start: ${count}.` }]
}

/** The oldest inline chunks, of those that are old enough for the sweep. */
export async function findInline(context: Context, key: HeadKey): Promise<Fault[]> {
  const { clock, settings, metadata, rules } = context
  const collection = inlineCollection(key.topicId, key.partition)
  const range = { to: segmentIdFloor(clock.now() - settings.sweepAgeMs), limit: inlinePerPiece }
  const items = await context.persist(() => metadata.query(collection, range))
  if (items.length === 0) return []
  // The tail first, its rows afterwards: references move that way.
  const head = await context.heads.read(key)
  if (head === undefined) return []
  const named = new Set<string>(rules.tailIds(head))
  for (const row of rowsAmong(await readAll(context, rowsCollection(key.topicId, key.partition))))
    for (const id of rowIds(row, true)) named.add(id)
  const unnamed = items.filter((item) => !named.has(item.key.sort))
  const [oldest] = unnamed
  if (oldest === undefined) return []
  const among = items.length < inlinePerPiece ? '' : `, among the oldest ${inlinePerPiece}`
  const message = `Inline chunks that nothing names: ${unnamed.length}${among}.`
  return [{ code: 'INLINE_UNNAMED', key: `${collection} ${oldest.key.sort}`, message }]
}

/** A page of producers beyond those in the head. `next`: the one to go on after; absent: there are no more. */
export async function verifyProducers(
  context: Context,
  headKey: HeadKey,
  after: string,
): Promise<{ readonly producers: number; readonly faults: readonly Fault[]; readonly next?: string }> {
  const collection = producersCollection(headKey.topicId, headKey.partition)
  const range = { ...(after === '' ? {} : { from: `${after}\0` }), limit: producersPerQuery }
  const items = await context.persist(() => context.metadata.query(collection, range))
  const last = items[items.length - 1]
  if (last === undefined) return { producers: 0, faults: [] }
  // Read afterwards: what they committed lies below its end.
  const head = await context.heads.read(headKey)
  const faults = items.flatMap(({ key, value }): Fault[] => {
    const { state } = (value ?? {}) as unknown as Partial<ProducerItem>
    const wrong = head === undefined ? undefined : producerFault(state as unknown as Item['value'], head.hw)
    if (wrong === undefined) return []
    return [{ code: 'PRODUCER_WRONG', key: `${collection} ${key.sort}`, message: `Producer ${key.sort}: ${wrong}` }]
  })
  return { producers: items.length, faults, ...(items.length < producersPerQuery ? {} : { next: last.key.sort }) }
}
