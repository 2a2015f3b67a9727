/** Stores that mutations are made of: what a sweep, or a writer of rows, sees and does of them when it does not keep to the rules. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { HeadKey } from '../../lib/core/head.ts'
import type { Item } from '../../lib/core/items.ts'
import { rowsCollection } from '../../lib/core/items.ts'
import type { ItemWrite, Metadata } from '../../lib/ports.ts'
import type { WrapPorts } from './stores.ts'
import type { World } from './world.ts'

/** One sweep of the log under way: whatever is called because of it is called with this. */
export class SweepUnderWay {
  readonly rows = new Map<string, readonly Item[]>()
  readonly fences: (() => Promise<unknown>)[] = []
}
export const sweeping = new AsyncLocalStorage<SweepUnderWay>()

/** The sweep's fences are not sent when it means to; `late`: they are, once it has deleted something. */
export function withoutFences(isLate: boolean): WrapPorts {
  return ({ objects, metadata }) => ({
    metadata: {
      ...metadata,
      async updateHead(key, command, also) {
        const sweep = sweeping.getStore()
        if (sweep === undefined || command.kind !== 'fence') return metadata.updateHead(key, command, also)
        if (isLate) sweep.fences.push(() => metadata.updateHead(key, command))
        return { applied: false, head: await metadata.readHead(key), items: [] }
      },
    },
    objects: {
      ...objects,
      async delete(key) {
        await objects.delete(key)
        for (const fence of sweeping.getStore()?.fences.splice(0) ?? []) fence().catch(() => undefined)
      },
    },
  })
}

const putTimes = new WeakMap<World, Map<string, number>>()

/** The sweep goes by when objects were put, not by their ids, and sends no fence. */
export function byPutTime(ageMs: number): WrapPorts {
  const unfenced = withoutFences(false)
  return (stores, world) => {
    const { objects, metadata } = unfenced(stores, world)
    const times = putTimes.get(world) ?? new Map<string, number>()
    putTimes.set(world, times)
    return {
      metadata,
      objects: {
        ...objects,
        async create(key, parts) {
          const answer = await objects.create(key, parts)
          if (answer === 'created') times.set(key, world.nowMs)
          return answer
        },
        async delete(key) {
          if ((times.get(key) ?? 0) < world.nowMs - ageMs) await objects.delete(key)
        },
      },
    }
  }
}

/** The sweep has read the rows of a partition before it reads its tail, and took some time over it. */
export const rowsBeforeTail: WrapPorts = ({ objects, metadata }, world) => ({
  objects,
  metadata: {
    ...metadata,
    async readHead(key) {
      const sweep = sweeping.getStore()
      if (sweep !== undefined) {
        sweep.rows.set(rowsCollection(key.topicId, key.partition), await allRows(metadata, key))
        await world.sleep(200)
      }
      return metadata.readHead(key)
    },
    async query(collection, range) {
      const rows = sweeping.getStore()?.rows.get(collection)
      if (rows === undefined) return metadata.query(collection, range)
      const { from = '', to = '\u{10ffff}', limit, reverse = false } = range
      const within = rows.filter(({ key }) => key.sort >= from && key.sort <= to)
      return (reverse ? within.toReversed() : within).slice(0, limit)
    },
  },
})

async function allRows(metadata: Metadata, { topicId, partition }: HeadKey): Promise<readonly Item[]> {
  return metadata.query(rowsCollection(topicId, partition), { limit: 100_000 })
}

/** The version of a row says how often it was written. Who wrote it so often believes that it is its own. */
export const countedVersions: WrapPorts = ({ objects, metadata }) => ({
  objects,
  metadata: {
    ...metadata,
    async write(asked) {
      const own = new Map<string, string>()
      const writes = asked.map((write): ItemWrite => {
        if (write.op !== 'put' || !write.key.collection.startsWith('rows/')) return write
        const version = write.if === 'absent' ? '1' : String(Number(write.if.version) + 1)
        own.set(write.key.sort, version)
        return { ...write, version }
      })
      const answer = await metadata.write(writes)
      if (answer.applied) return answer
      const items = answer.items.map((item, index) => {
        const write = asked[index]
        const isOwn = item !== undefined && write?.op === 'put' && own.get(write.key.sort) === item.version
        return isOwn ? { ...item, version: write.version } : item
      })
      return { applied: false, items }
    },
  },
})
