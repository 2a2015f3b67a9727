/** Logs to verify: one that has been through everything, and hands that spoil what is stored. */
import assert from 'node:assert/strict'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import type { Head } from '../../lib/core/head.ts'
import { tailEntriesToRoll } from '../../lib/core/head.ts'
import type { Item, ItemKey, Json } from '../../lib/core/items.ts'
import {
  candidatesCollection,
  gravesCollection,
  inlineCollection,
  producersCollection,
  rowsCollection,
  topicsCollection,
} from '../../lib/core/items.ts'
import type { TopicId } from '../../lib/core/names.ts'
import { segmentObjectKey } from '../../lib/core/names.ts'
import type { ChunkReference } from '../../lib/core/reference.ts'
import { decodeReference, isInlineReference } from '../../lib/core/reference.ts'
import type { Row, RowChunk } from '../../lib/core/row.ts'
import type { Settings } from '../../lib/core/settings.ts'
import type { Finding, VerifyCounts } from '../../lib/core/verify-rule.ts'
import type { Log } from '../../lib/log/log.ts'
import type { Stores, World } from '../conformance/log-fixture.ts'
import { appended, batchOf, withLog } from '../conformance/log-fixture.ts'

/** Merges at once, sweeps what is a second old. */
export const eager: Partial<Settings> = { mergeRowsMin: 2, mergeQuietMs: 0, sweepAgeMs: 1_000, lingerMs: 0 }

export async function memoryStores(): Promise<Stores> {
  return { objects: new MemoryObjects(), metadata: new MemoryMetadata(), close: async () => {} }
}

export interface Verified {
  readonly counts: Readonly<Record<keyof VerifyCounts, number>>
  readonly findings: readonly Finding[]
  readonly pieces: number
}

/** A whole partition, piece by piece. */
export async function verified(
  log: Log,
  options: { topic?: string; partition?: number; isDeep?: boolean; bytesMax?: number } = {},
): Promise<Verified> {
  const { topic = 'orders', partition = 0, ...rest } = options
  const counts = { records: 0, bytes: 0, chunks: 0, rows: 0, producers: 0 }
  const findings: Finding[] = []
  let cursor: string | undefined
  for (let pieces = 1; ; pieces++) {
    assert.ok(pieces < 10_000, 'a verification ends')
    const piece = await log.verifyPartition({ topic, partition, ...rest, ...(cursor === undefined ? {} : { cursor }) })
    assert.ok(piece.ok, piece.ok ? '' : piece.message)
    for (const name of Object.keys(counts) as (keyof VerifyCounts)[]) counts[name] += piece.counts[name]
    findings.push(...piece.findings)
    cursor = piece.cursor
    if (cursor === undefined) return { counts, findings, pieces }
  }
}

export const damageOf = ({ findings }: Pick<Verified, 'findings'>) =>
  findings.filter(({ severity }) => severity === 'damage')
export const leftoversOf = ({ findings }: Pick<Verified, 'findings'>) =>
  findings.filter(({ severity }) => severity === 'leftover')

export async function topicIdOf(log: Log, topic = 'orders'): Promise<TopicId> {
  const described = await log.describeTopic(topic)
  assert.ok(described.ok)
  return described.topic.id
}

/** One commit for each value; rolls are done when it returns. */
export async function fill(
  world: World,
  count: number,
  options: { topic?: string; partition?: number } = {},
): Promise<void> {
  for (let index = 0; index < count; index++)
    await appended(world.log, [`value ${index} of ${count}`, 'and another'], options)
  await world.log.settled()
}

/**
 * Two partitions. The first has a merged segment, rows of gathered segments and of inline chunks, a tail of both, compressed batches,
 * producers in items and in the head, and begins in the middle of a row; the second shares segments with it. Beside them a deleted topic.
 */
async function lived(world: World): Promise<TopicId> {
  const { log } = world
  for (const name of ['orders', 'gone']) {
    const created = await log.createTopic({ name, partitions: 2, configs: { 'chunk.placement': 'segment' } })
    assert.ok(created.ok)
  }
  await fill(world, 3 * tailEntriesToRoll.max)
  const merged = await log.merge('orders', 0)
  assert.ok(merged.ok && merged.rows > 0)
  for (let index = 0; index < 20; index++)
    await Promise.all(
      [0, 1].map((partition) =>
        log.append({ topic: 'orders', partition, batches: batchOf([`c${index}`, 'd', 'e'], { compression: 'gzip' }) }),
      ),
    )
  for (let id = 1_000; id < 1_012; id++) {
    const batches = batchOf(['idempotent'], { producerId: id, producerEpoch: 0, baseSequence: 0 })
    const done = await log.append({ topic: 'orders', partition: 0, batches })
    assert.ok(done.ok, done.ok ? '' : done.message)
  }
  await log.alterConfigs('orders', [{ name: 'chunk.placement', value: 'inline' }])
  await fill(world, 24)
  const trimmed = await log.deleteRecords('orders', 0, 5)
  assert.ok(trimmed.ok)
  await fill(world, 10, { topic: 'gone' })
  await log.deleteTopic('gone')
  await log.settled()
  return topicIdOf(log)
}

interface Copy {
  readonly topicId: TopicId
  readonly heads: readonly Head[]
  readonly items: readonly Item[]
  readonly objects: readonly (readonly [string, Uint8Array])[]
}

let living: Promise<Copy> | undefined

/** A world of its own in which `lived` has happened: it happens once, and is copied. */
export async function withLived(body: (world: World, topicId: TopicId) => Promise<void>): Promise<void> {
  living ??= new Promise((resolve, reject) => {
    withLog(memoryStores, async (world) => resolve(await copyOf(world, await lived(world))), eager).catch(reject)
  })
  const { topicId, heads, items, objects } = await living
  const stores = await memoryStores()
  for (const head of heads) await stores.metadata.createHead(head)
  for (const { key, version, value, bytes } of items)
    await stores.metadata.write([
      { op: 'put', key, version, value, ...(bytes === undefined ? {} : { bytes }), if: 'absent' },
    ])
  for (const [key, bytes] of objects) await stores.objects.create(key, [bytes])
  await withLog(
    async () => stores,
    (world) => body(world, topicId),
    eager,
  )
}

async function copyOf({ stores: { metadata, objects } }: World, topicId: TopicId): Promise<Copy> {
  const graves = await metadata.query(gravesCollection, { limit: 10 })
  const heads: Head[] = []
  const items: Item[] = [...graves]
  for (const id of [topicId, ...graves.map(({ key }) => key.sort as TopicId)])
    for (const partition of [0, 1]) {
      const head = await metadata.readHead({ topicId: id, partition })
      if (head !== undefined) heads.push(head)
      for (const collection of [rowsCollection, inlineCollection, producersCollection])
        items.push(...(await metadata.query(collection(id, partition), { limit: 1_000 })))
    }
  for (const collection of [topicsCollection, candidatesCollection, 'cluster', 'sweep'])
    items.push(...(await metadata.query(collection, { limit: 1_000 })))
  const entries = await objects.list('', undefined, 10_000)
  const copies = entries.map(async ({ key }) => [key, (await objects.read(key, 0, 1 << 30))!] as const)
  return { topicId, heads, items, objects: await Promise.all(copies) }
}

// --- Spoiling --------------------------------------------------------------------------------------------------------

export async function rowItems({ stores }: World, topicId: TopicId, partition = 0): Promise<(Item & { row: Row })[]> {
  const items = await stores.metadata.query(rowsCollection(topicId, partition), { limit: 1_000 })
  return items.map((item) => ({ ...item, row: item.value as unknown as Row }))
}

/** Chunks of all rows, of one kind. */
export async function chunksOf(
  world: World,
  topicId: TopicId,
  kind: 'merged' | 'gathered' | 'inline',
): Promise<(RowChunk & { readonly row: Row })[]> {
  const rows = (await rowItems(world, topicId)).map(({ row }) => row)
  const chunks = rows.flatMap((row) => row.chunks.map((chunk) => ({ ...chunk, row })))
  const found = chunks.filter(
    ({ ref, row }) => kind === (isInlineReference(ref) ? 'inline' : row.isMerged ? 'merged' : 'gathered'),
  )
  assert.ok(found.length > 0, `there is a ${kind} chunk`)
  return found
}

export function objectOf(ref: ChunkReference): string {
  return segmentObjectKey(decodeReference(ref).segment)
}

/** Another object under the same key; undefined: none. */
export async function spoilObject(
  { stores: { objects } }: World,
  key: string,
  spoil: (bytes: Uint8Array) => Uint8Array | undefined,
): Promise<void> {
  const bytes = await objects.read(key, 0, 1 << 30)
  assert.ok(bytes)
  const spoilt = spoil(bytes.slice())
  await objects.delete(key)
  if (spoilt !== undefined) await objects.create(key, [spoilt])
}

export const flipped = (at: number) => (bytes: Uint8Array) => {
  bytes[at < 0 ? bytes.length + at : at]! ^= 0x10
  return bytes
}

/** Another value, or other bytes, under the same key; undefined: no item. */
export async function spoilItem(
  { stores: { metadata } }: World,
  key: ItemKey,
  spoil: (item: Item) => { readonly value: Json; readonly bytes?: Uint8Array } | undefined,
): Promise<void> {
  const item = await metadata.get(key)
  assert.ok(item, `there is ${key.collection} ${key.sort}`)
  const spoilt = spoil(item)
  const condition = { if: { version: item.version } }
  const answer = await metadata.write([
    spoilt === undefined
      ? { op: 'delete', key, ...condition }
      : { op: 'put', key, version: 'spoilt', ...spoilt, ...condition },
  ])
  assert.ok(answer.applied)
}
