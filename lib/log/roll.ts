/**
 * The roll: moves the oldest entries of a tail into a row, so that the head stays small. Any writer may do it; no transaction.
 *
 *   1. put a row with the entries below the boundary, if absent (whoever comes second adopts it);
 *   2. one update conditional on the generation: remove them, boundary = hw, rolls + 1.
 *
 * Entries committed since the last roll stay: a repeat of their append must still meet them (H1). A roll with nothing to move
 * still counts. Stopped anywhere, or done twice, it changes nothing that a reader sees.
 */
import type { EvictCommand, Head, HeadKey, TailEntry } from '../core/head.ts'
import { rollableEntries } from '../core/head.ts'
import type { Item, ProducerItem } from '../core/items.ts'
import { offsetSortKey, producerItemKey, rowKey, rowsCollection } from '../core/items.ts'
import type { EpochMs, Offset, ProducerKey } from '../core/names.ts'
import type { ProducerState } from '../core/producer.ts'
import { decodeReference } from '../core/reference.ts'
import type { Row } from '../core/row.ts'
import { parseRow } from '../core/row.ts'
import type { Context } from './context.ts'

const underWay = new WeakMap<Context, Map<string, Promise<number>>>()

/**
 * Rolls once; callers of this process that come while one is under way share it. Answers how many entries moved.
 *
 * @param seen a head that was answered just now. All heads of a generation have the same entries to roll. @default it is read
 */
export function rollPartition(context: Context, key: HeadKey, seen?: Head): Promise<number> {
  let rolls = underWay.get(context)
  if (rolls === undefined) {
    rolls = new Map()
    underWay.set(context, rolls)
  }
  const text = `${key.topicId}/${key.partition}`
  const present = rolls.get(text)
  if (present !== undefined) return present
  const own = rolls
  const running = rollOnce(context, key, seen).finally(() => own.delete(text))
  rolls.set(text, running)
  return running
}

async function rollOnce(context: Context, key: HeadKey, seen: Head | undefined): Promise<number> {
  const head = seen ?? (await context.heads.read(key))
  if (head === undefined || head.isDeleted) return 0
  const entries = rollableEntries(head)
  if (entries.length > 0) await putRow(context, head, entries)
  const answer = await context.persist(() =>
    context.metadata.updateHead(key, {
      kind: 'roll',
      generation: head.rolls,
      refs: entries.map((entry) => entry.ref),
    }),
  )
  if (answer.head !== undefined) context.heads.note(answer.head)
  if (!answer.applied) return 0
  context.observe?.count('rolls', 1)
  if (entries.length > 0) context.noteRoll(key)
  for (const [producer, state] of Object.entries(head.producers) as [ProducerKey, ProducerState][]) {
    const newest = state.batches[state.batches.length - 1]
    if (newest !== undefined && newest.base < head.boundary) await evict(context, head, producer, state)
  }
  return entries.length
}

async function putRow(context: Context, head: Head, entries: readonly TailEntry[]): Promise<void> {
  const first = entries[0]
  const last = entries[entries.length - 1]
  if (first === undefined || last === undefined) return
  const beforeMs = await maxTimestampBefore(context, head, first.base)
  if (beforeMs === undefined) return
  const maxTimestampMs = entries.reduce((max, { ref }) => Math.max(max, decodeReference(ref).maxTimestampMs), -1)
  const row: Row = {
    first: first.base,
    last: last.end - 1,
    chunks: entries.map(({ ref, base }) => ({ ref, base })),
    maxTimestampMs,
    maxTimestampSoFarMs: Math.max(maxTimestampMs, beforeMs),
    isMerged: false,
  }
  const version = context.newVersion()
  await context.persist(() =>
    context.metadata.write([
      {
        op: 'put',
        key: rowKey(head.topicId, head.partition, row.last),
        version,
        value: row as unknown as Item['value'],
        if: 'absent',
      },
    ]),
  )
  // Applied, or somebody's row with the same last offset stands: the same entries, or a merge that holds them.
}

/**
 * The largest timestamp of everything before `offset`, from the row that ends there. Where a row reaches across, somebody
 * has put this roll's row before and it was merged: undefined, since a second one would come late, and what it said of the
 * time before it would be wrong. Where there is neither, the log was trimmed up to `offset`.
 */
async function maxTimestampBefore(context: Context, head: Head, offset: Offset): Promise<EpochMs | undefined> {
  if (offset === 0) return -1
  const pageItems = 100
  let from = offsetSortKey(offset - 1)
  while (true) {
    const items = await context.persist(() =>
      context.metadata.query(rowsCollection(head.topicId, head.partition), { from, limit: pageItems }),
    )
    for (const item of items) {
      const row = parseRow(item.value)
      if (row.last === offset - 1) return row.maxTimestampSoFarMs
      if (row.first < offset) return undefined
    }
    const last = items[items.length - 1]
    if (items.length < pageItems || last === undefined) return -1
    from = `${last.key.sort}\0`
  }
}

/** A producer that was idle for a whole generation gives its place in the head to others; its state moves, in one transaction. */
async function evict(context: Context, head: Head, producer: ProducerKey, seen: ProducerState): Promise<void> {
  const command: EvictCommand = { kind: 'evict', producer, seen }
  const value: ProducerItem = { state: seen, usedMs: context.clock.now() }
  const answer = await context.metadata.updateHead(head, command, [
    {
      op: 'put',
      key: producerItemKey(head.topicId, head.partition, producer),
      version: context.newVersion(),
      value: value as unknown as Item['value'],
      if: 'absent',
    },
  ])
  if (answer.head !== undefined) context.heads.note(answer.head)
}
