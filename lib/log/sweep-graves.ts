/** What deleted topics left: their tails and rows name segments, which are noted for the sweep; the rest goes at once, since nobody reads it again. */
import type { HeadKey } from '../core/head.ts'
import type { Grave, Item } from '../core/items.ts'
import {
  compactionKey,
  gravesCollection,
  inlineCollection,
  producersCollection,
  rowsCollection,
} from '../core/items.ts'
import type { SegmentId, TopicId } from '../core/names.ts'
import type { ChunkReference } from '../core/reference.ts'
import { isInlineReference, segmentOfReference } from '../core/reference.ts'
import { parseRow } from '../core/row.ts'
import { noteCandidates, segmentsOf } from './candidates.ts'
import type { Context } from './context.ts'
import { inParallel } from './in-parallel.ts'

const itemsPerQuery = 500
const removalsAtOnce = 16

export async function emptyGraves(context: Context, signal: AbortSignal): Promise<void> {
  for await (const graves of pages(context, gravesCollection))
    for (const { key, version, value } of graves) {
      const grave = value as unknown as Grave
      if (grave.sweptMs !== undefined) continue
      for (let partition = 0; partition < grave.partitions; partition++) {
        if (signal.aborted) return
        await emptyPartition(context, { topicId: key.sort as TopicId, partition })
      }
      // The grave stays: it is what refuses a late creation (D6).
      const swept: Grave = { ...grave, sweptMs: context.clock.now() }
      await context.persist(() =>
        context.metadata.write([
          { op: 'put', key, version: context.newVersion(), value: swept as unknown as Item['value'], if: { version } },
        ]),
      )
    }
}

async function emptyPartition(context: Context, key: HeadKey): Promise<void> {
  const { topicId, partition } = key
  const head = await context.persist(() => context.metadata.readHead(key))
  const inTail = (Object.keys(head?.tail ?? {}) as ChunkReference[]).filter((ref) => !isInlineReference(ref))
  await noteCandidates(context, new Map(inTail.map((ref): [SegmentId, number] => [segmentOfReference(ref), 1])))
  for await (const items of pages(context, rowsCollection(topicId, partition))) {
    // No run is told: that the head is marked is enough for the sweep.
    await noteCandidates(context, segmentsOf(items.map(({ version, value }) => ({ version, row: parseRow(value) }))))
    await removeItems(context, items)
  }
  const compaction =
    head?.cleanedTo === undefined
      ? undefined
      : await context.persist(() => context.metadata.get(compactionKey(topicId, partition)))
  if (compaction !== undefined) await removeItems(context, [compaction])
  for (const collection of [inlineCollection(topicId, partition), producersCollection(topicId, partition)])
    for await (const items of pages(context, collection)) await removeItems(context, items)
}

export async function removeItems(context: Context, items: readonly Pick<Item, 'key' | 'version'>[]): Promise<void> {
  await inParallel(items, removalsAtOnce, ({ key, version }) =>
    context.persist(() => context.metadata.write([{ op: 'delete', key, if: { version } }])),
  )
}

async function* pages(context: Context, collection: string): AsyncGenerator<readonly Item[]> {
  let from: string | undefined
  while (true) {
    const range = { ...(from === undefined ? {} : { from }), limit: itemsPerQuery }
    const items = await context.persist(() => context.metadata.query(collection, range))
    if (items.length > 0) yield items
    const last = items[items.length - 1]
    if (items.length < itemsPerQuery || last === undefined) return
    from = `${last.key.sort}\0`
  }
}
