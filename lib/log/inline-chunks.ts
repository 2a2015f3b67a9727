/** Inline chunks that nothing names any more, and their deletion. */
import type { HeadKey } from '../core/head.ts'
import { inlineCollection, inlineKey } from '../core/items.ts'
import type { SegmentId } from '../core/names.ts'
import type { Context } from './context.ts'
import { inParallel } from './in-parallel.ts'

/** Items that are removed at the same time. */
const removalsAtOnce = 16
const inlinePerQuery = 128

/** Inline chunks that no row which counts names, nor the tail. Anybody may do it twice. */
export async function deleteInline(context: Context, key: HeadKey, ids: readonly SegmentId[]): Promise<void> {
  const { topicId, partition } = key
  const sorted = [...ids].sort()
  for (let at = 0; at < sorted.length; at += inlinePerQuery) {
    const some = sorted.slice(at, at + inlinePerQuery)
    const versions = await inlineVersions(context, key, some)
    await inParallel(some, removalsAtOnce, async (id) => {
      const version = versions.get(id)
      if (version === undefined) return
      const itemKey = inlineKey(topicId, partition, id)
      await context.persist(() => context.metadata.write([{ op: 'delete', key: itemKey, if: { version } }]))
    })
  }
}

/** Those that are there. They lie close together: a query is billed once for all that it reads, single reads are each rounded up. */
async function inlineVersions(
  context: Context,
  { topicId, partition }: HeadKey,
  sorted: readonly SegmentId[],
): Promise<ReadonlyMap<string, string>> {
  const { metadata } = context
  const versions = new Map<string, string>()
  const range = { from: sorted[0] ?? '', to: sorted[sorted.length - 1] ?? '', limit: 2 * sorted.length }
  const items = await context.persist(() => metadata.query(inlineCollection(topicId, partition), range))
  for (const { key, version } of items) versions.set(key.sort, version)
  if (items.length < range.limit) return versions
  // Others lie between them: what the query did not come to is asked for by itself.
  await inParallel(sorted, removalsAtOnce, async (id) => {
    if (versions.has(id)) return
    const item = await context.persist(() => metadata.get(inlineKey(topicId, partition, id)))
    if (item !== undefined) versions.set(id, item.version)
  })
  return versions
}
