/** A log made by hand, object by object and row by row, for the sweep to look at. */
import assert from 'node:assert/strict'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { Meter, meteredMetadata, meteredObjects } from '../../lib/adapters/metered.ts'
import type { HeadKey } from '../../lib/core/head.ts'
import { newHead } from '../../lib/core/head.ts'
import type { Item } from '../../lib/core/items.ts'
import { candidatesCollection, rowKey } from '../../lib/core/items.ts'
import type { StoredRow } from '../../lib/core/merge-plan.ts'
import type { Offset } from '../../lib/core/names.ts'
import { segmentIdAt, segmentObjectKey, topicIdFromRandom } from '../../lib/core/names.ts'
import type { ChunkReference } from '../../lib/core/reference.ts'
import { encodeReference, segmentOfReference } from '../../lib/core/reference.ts'
import type { Row } from '../../lib/core/row.ts'
import type { SegmentPlan } from '../../lib/core/segment.ts'
import { encodeSegment } from '../../lib/core/segment.ts'
import type { Settings } from '../../lib/core/settings.ts'
import { noteCandidates, segmentsOf } from '../../lib/log/candidates.ts'
import type { Context } from '../../lib/log/context.ts'
import { createEngine } from '../../lib/log/engine.ts'
import { deleteRows } from '../../lib/log/rows.ts'
import type { Swept } from '../../lib/log/sweep.ts'
import { sweep } from '../../lib/log/sweep.ts'
import { batchOf } from '../conformance/log-fixture.ts'
import { seededRandom } from '../sim/random.ts'

const topicId = topicIdFromRandom(new Uint8Array(16).fill(7))
const batch = batchOf(['v'], { timestampMs: 1 })

export class Hands {
  readonly metadata = new MemoryMetadata()
  readonly objects = new MemoryObjects()
  readonly meter = new Meter()
  readonly context: Context
  nowMs = 1_800_000_000_000
  /** Called before each request of the log to a store. */
  onRequest: (name: string) => void = () => {}
  readonly #random = seededRandom(11)

  constructor(settings: Partial<Settings> = {}) {
    const { engine } = createEngine(
      {
        objects: this.#watched(meteredObjects(this.objects, this.meter)),
        metadata: this.#watched(meteredMetadata(this.metadata, this.meter)),
        clock: { now: () => this.nowMs, sleep: async () => {} },
        random: this.#random,
        codecs: nodeCodecs,
      },
      { sweepAgeMs: 10_000, ...settings },
    )
    this.context = engine.context
  }

  #watched<Store extends object>(store: Store): Store {
    return new Proxy(store, {
      get: (target, name) => {
        const method = Reflect.get(target, name) as (...given: unknown[]) => unknown
        return async (...given: unknown[]) => {
          this.onRequest(String(name))
          return method.apply(target, given)
        }
      },
    })
  }

  key(partition = 0): HeadKey {
    return { topicId, partition }
  }

  async heads(partitions: number): Promise<void> {
    for (let partition = 0; partition < partitions; partition++)
      await this.metadata.createHead(newHead(this.key(partition)))
  }

  /** One chunk of one record for each of these partitions, in one gathered segment. */
  async gathered(partitions: readonly number[] = [0]): Promise<ChunkReference[]> {
    return this.#put(
      partitions.map((partition) => ({ partition })),
      undefined,
    )
  }

  /** A merged segment, which was written for the row of these offsets. */
  async merged(first: Offset, last: Offset, partition = 0): Promise<ChunkReference> {
    const [ref] = await this.#put([{ partition, baseOffset: first }], { first, last, partition })
    return ref!
  }

  async #put(
    chunks: readonly { readonly partition: number; readonly baseOffset?: Offset }[],
    run: { readonly first: Offset; readonly last: Offset; readonly partition: number } | undefined,
  ): Promise<ChunkReference[]> {
    const id = segmentIdAt(this.nowMs++, this.#random)
    const plan = encodeSegment(
      chunks.map((chunk) => ({ topicId, ...chunk, batches: [batch], recordCount: 1, maxTimestampMs: 1 })),
      nodeCodecs,
      run && { topicId, partition: run.partition, firstOffset: run.first, lastOffset: run.last },
    )
    assert.equal(await this.objects.create(segmentObjectKey(id), plan.parts), 'created')
    return plan.chunks.map((place) => encodeReference({ segment: id, ...place }))
  }

  /** Puts the row; without references it is one that compaction left empty. */
  async row(first: Offset, last: Offset, refs: readonly ChunkReference[], partition = 0): Promise<StoredRow> {
    const present = await this.metadata.get(rowKey(topicId, partition, last))
    const isMerged = refs.length !== last - first + 1
    const row: Row = {
      first,
      last,
      chunks: refs.map((ref, at) => ({ ref, base: first + at })),
      maxTimestampMs: 1,
      maxTimestampSoFarMs: 1,
      isMerged,
    }
    const version = this.context.newVersion()
    const answer = await this.metadata.write([
      {
        op: 'put',
        key: rowKey(topicId, partition, last),
        version,
        value: row as unknown as Item['value'],
        if: present === undefined ? 'absent' : { version: present.version },
      },
    ])
    assert.ok(answer.applied)
    return { version, row }
  }

  /** Notes what these rows name, as who takes them away does, and takes them away. */
  async remove(rows: readonly StoredRow[], partition = 0): Promise<void> {
    await this.note(rows, partition)
    await deleteRows(this.context, this.key(partition), rows)
  }

  async note(rows: readonly StoredRow[], partition = 0): Promise<void> {
    const first = Math.min(...rows.map(({ row }) => row.first))
    const last = Math.max(...rows.map(({ row }) => row.last))
    await noteCandidates(this.context, segmentsOf(rows), { key: this.key(partition), first, last })
  }

  sweep(isDryRun = false, signal = new AbortController().signal): Promise<Swept> {
    return sweep(this.context, signal, isDryRun)
  }

  /** Everything that is there is old enough from now on. */
  later(durationMs = 20_000): void {
    this.nowMs += durationMs
  }

  async notes(): Promise<readonly string[]> {
    const items = await this.metadata.query(candidatesCollection, { limit: 10_000 })
    return items.map(({ value }) => (value as { segments: string }).segments)
  }

  async isThere(ref: ChunkReference): Promise<boolean> {
    return (await this.objects.read(segmentObjectKey(segmentOfReference(ref)), 0, 1)) !== undefined
  }
}

/** A gathered segment of one chunk. */
export function encodedSegment({ topicId, partition }: HeadKey): SegmentPlan {
  return encodeSegment([{ topicId, partition, batches: [batch], recordCount: 1, maxTimestampMs: 1 }], nodeCodecs)
}

export function keysOf(...refs: readonly ChunkReference[]): string[] {
  return [...new Set(refs.map((ref) => segmentObjectKey(segmentOfReference(ref))))].sort()
}

export function isSwept(swept: Swept, ...refs: readonly ChunkReference[]): void {
  assert.deepEqual([...swept.deleted].sort(), keysOf(...refs))
}
