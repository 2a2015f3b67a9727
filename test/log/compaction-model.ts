/** A partition of keyed records and what readers of it must see, whatever compaction does: for tests. */
import assert from 'node:assert/strict'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import type { HeadKey } from '../../lib/core/head.ts'
import type { TopicId } from '../../lib/core/names.ts'
import { encodeBatch } from '../../lib/core/record-batch.ts'
import type { Settings } from '../../lib/core/settings.ts'
import type { LogRules } from '../../lib/log/context.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Log } from '../../lib/log/log.ts'
import type { Clock, Metadata, Objects } from '../../lib/ports.ts'
import { bytesOf, recordsOf, textOf } from '../conformance/log-fixture.ts'

export const topic = 'orders'

/** Stands still unless it is moved; nobody sleeps. */
export class StillClock implements Clock {
  #nowMs = 1_700_000_000_000
  now(): number {
    return this.#nowMs
  }
  advance(durationMs: number): void {
    this.#nowMs += durationMs
  }
  async sleep(durationMs: number): Promise<void> {
    this.#nowMs += durationMs
  }
}

export interface Stores {
  readonly objects: Objects
  readonly metadata: Metadata
}

export interface KeyedValue {
  readonly key: string
  /** null: a tombstone. */
  readonly value: string | null
}

export class KeyedPartition {
  readonly stores: Stores
  readonly clock = new StillClock()
  readonly #settings: Partial<Settings>
  readonly #configs: Record<string, string>
  readonly #rules: Partial<LogRules>
  /** By offset. */
  readonly appended: KeyedValue[] = []
  log: Log
  key: HeadKey = { topicId: '' as TopicId, partition: 0 }

  constructor(
    stores: Stores,
    configs: Record<string, string>,
    settings: Partial<Settings> = {},
    rules: Partial<LogRules> = {},
  ) {
    this.stores = stores
    this.#settings = settings
    this.#configs = configs
    this.#rules = rules
    this.log = this.open()
  }

  /** Another process, which may see other stores. */
  open(stores = this.stores): Log {
    const { clock } = this
    const settings = { mergeRowsMin: 2, mergeQuietMs: 0, retryDelayMs: 1, commitAttemptsMax: 2, ...this.#settings }
    return createLog({ ...stores, clock, random: Math.random, codecs: nodeCodecs }, settings, this.#rules)
  }

  async create(): Promise<void> {
    const configs = { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0', ...this.#configs }
    const created = await this.log.createTopic({ name: topic, configs })
    assert.ok(created.ok, created.ok ? '' : created.message)
    this.key = { topicId: created.topic.id, partition: 0 }
  }

  /** One append. */
  async put(...values: KeyedValue[]): Promise<void> {
    const records = values.map(({ key, value }) => ({
      timestampMs: this.clock.now(),
      key: bytesOf(key),
      value: value === null ? null : bytesOf(value),
    }))
    const answer = await this.log.append({
      topic,
      partition: 0,
      batches: encodeBatch({ records, compression: 'none' }, nodeCodecs),
    })
    assert.ok(answer.ok && answer.baseOffset === this.appended.length)
    this.appended.push(...values)
    await this.log.settled()
  }

  async roll(): Promise<void> {
    for (let rolls = 0; rolls < 2; rolls++) assert.ok((await this.log.roll(topic, 0)).ok)
  }

  /** Offsets that a reader who begins at 0 gets, each with the record that was appended there. */
  async read(log = this.open()): Promise<number[]> {
    const offsets: number[] = []
    for (let next = 0; ; ) {
      const fetched = await log.fetch({ topic, partition: 0, offset: next, bytesMax: 200 })
      assert.ok(fetched.ok, fetched.ok ? '' : `${fetched.code} ${fetched.message}`)
      for (const { offset, key, value } of recordsOf(fetched)) {
        if (offset < next) continue
        assert.ok(offsets.length === 0 || offset > offsets[offsets.length - 1]!, `${offset} comes twice`)
        offsets.push(offset)
        const appended = this.appended[offset]
        assert.deepEqual([textOf(key), textOf(value)], [appended?.key, appended?.value], `offset ${offset}`)
      }
      if (fetched.nextOffset >= fetched.highWatermark) return offsets
      assert.ok(fetched.nextOffset > next, `a reader stays at ${next}`)
      next = fetched.nextOffset
    }
  }

  /** What must be true of every state: the last of each key is there; where that is a tombstone, it, or nothing of the key. */
  async check(): Promise<void> {
    const offsets = await this.read()
    const last = new Map<string, number>()
    for (const [offset, { key }] of this.appended.entries()) last.set(key, offset)
    const seen = new Map<string, number>()
    for (const offset of offsets) seen.set(this.appended[offset]!.key, offset)
    for (const [key, offset] of last) {
      const isTombstone = this.appended[offset]?.value === null
      const found = seen.get(key)
      assert.ok(
        found === offset || (isTombstone && found === undefined),
        `the last of ${key} is ${found}, not ${offset}`,
      )
    }
    const head = await this.stores.metadata.readHead(this.key)
    const cleanedTo = head?.cleanedTo ?? 0
    // K1, K2: below, nothing that has a successor below.
    const lastBelow = new Map<string, number>()
    for (const [offset, { key }] of this.appended.entries()) if (offset < cleanedTo) lastBelow.set(key, offset)
    const superseded = offsets.filter((offset) => lastBelow.get(this.appended[offset]!.key) !== offset)
    assert.deepEqual(
      superseded.filter((offset) => offset < cleanedTo),
      [],
    )
  }

  /** Whoever looks at every chunk and row finds no damage. */
  async verify(): Promise<void> {
    const log = this.open()
    for (let cursor: string | undefined; ; ) {
      const piece = await log.verifyPartition({ topic, partition: 0, isDeep: true, ...(cursor && { cursor }) })
      assert.ok(piece.ok, piece.ok ? '' : piece.message)
      assert.deepEqual(
        piece.findings.filter(({ severity }) => severity === 'damage'),
        [],
      )
      cursor = piece.cursor
      if (cursor === undefined) return
    }
  }

  /** Passes until there is nothing more to do. */
  async compactAll(log = this.open()): Promise<void> {
    for (let passes = 0; passes < 50; passes++) {
      const answer = await log.compact(topic, 0)
      assert.ok(answer.ok)
      if (answer.pass === undefined) return
    }
    assert.fail('there is always one more pass to do')
  }
}
