/** Rows of a partition, as they are stored: read in either direction, put in place of another, deleted. */
import type { HeadKey } from '../core/head.ts'
import type { Item } from '../core/items.ts'
import { offsetSortKey, rowKey, rowsCollection } from '../core/items.ts'
import type { StoredRow } from '../core/merge-plan.ts'
import type { Offset } from '../core/names.ts'
import type { Row } from '../core/row.ts'
import { parseRow } from '../core/row.ts'
import type { Context } from './context.ts'

const rowsPerQuery = 64

/** Those that end at `from` or later, ascending, a page at a time. */
export async function* rowsUp(context: Context, key: HeadKey, from: Offset): AsyncGenerator<StoredRow> {
  let next = offsetSortKey(from)
  while (true) {
    const items = await context.persist(() =>
      context.metadata.query(rowsCollection(key.topicId, key.partition), { from: next, limit: rowsPerQuery }),
    )
    for (const { version, value } of items) yield { version, row: parseRow(value) }
    const last = items[items.length - 1]
    if (items.length < rowsPerQuery || last === undefined) return
    next = offsetSortKey(Number(last.key.sort) + 1)
  }
}

/** Those that end at `from` or before, but not before `to`, descending, a page at a time. */
export async function* rowsDown(context: Context, key: HeadKey, from: Offset, to: Offset): AsyncGenerator<StoredRow> {
  let next = from
  while (next >= to) {
    const range = { from: offsetSortKey(to), to: offsetSortKey(next), limit: rowsPerQuery, reverse: true }
    const items = await context.persist(() => context.metadata.query(rowsCollection(key.topicId, key.partition), range))
    for (const { version, value } of items) yield { version, row: parseRow(value) }
    const last = items[items.length - 1]
    if (items.length < rowsPerQuery || last === undefined) return
    next = Number(last.key.sort) - 1
  }
}

/** Is the write done, by this attempt or an earlier one? */
export async function replaceRow(context: Context, key: HeadKey, seen: StoredRow, row: Row): Promise<boolean> {
  const version = context.newVersion()
  const answer = await context.persist(() =>
    context.metadata.write([
      {
        op: 'put',
        key: rowKey(key.topicId, key.partition, seen.row.last),
        version,
        value: row as unknown as Item['value'],
        if: { version: seen.version },
      },
    ]),
  )
  return answer.applied || answer.items[0]?.version === version
}

/** The highest first. What they name is noted before. */
export async function deleteRows(context: Context, key: HeadKey, rows: readonly StoredRow[]): Promise<void> {
  const descending = [...rows].sort((a, b) => b.row.last - a.row.last)
  for (const { row, version } of descending)
    await context.persist(() =>
      context.metadata.write([{ op: 'delete', key: rowKey(key.topicId, key.partition, row.last), if: { version } }]),
    )
}
