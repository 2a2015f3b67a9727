/** What every use case of one log shares: the ports, the settings, the rules, the heads seen lately, and what runs beside. */
import type { Codecs } from '../core/codec.ts'
import { keepsRecord, tombstonesGoBelow } from '../core/compaction-plan.ts'
import { Unavailable } from '../core/errors.ts'
import { release } from '../core/group.ts'
import { decideClaim, decideCommit } from '../core/group-offset.ts'
import type { Head, HeadKey } from '../core/head.ts'
import { spansToMerge } from '../core/merge-plan.ts'
import { judgeProducer } from '../core/producer.ts'
import { findInRows, isStaleRow, rowThatCounts } from '../core/row.ts'
import type { Settings } from '../core/settings.ts'
import { judgeSegment, runsOfAll, tailIds } from '../core/sweep-rule.ts'
import type { WorkTag } from '../core/usage.ts'
import type { Clock, Metadata, Objects, Random, WorkMeter } from '../ports.ts'
import { ByteLimit } from './byte-limit.ts'
import { ChunkCache } from './chunk-cache.ts'
import { Heads } from './heads.ts'
import type { LogPorts } from './log.ts'
import type { Observer } from './observer.ts'
import { RolledPartitions } from './rolled-partitions.ts'
import { Notices, Watch } from './watch.ts'

/** The pure rules that the use cases apply themselves. A simulation switches in wrong ones, one at a time, to see them caught. */
export interface LogRules {
  readonly rowThatCounts: typeof rowThatCounts
  readonly isStaleRow: typeof isStaleRow
  readonly keepsRecord: typeof keepsRecord
  readonly tombstonesGoBelow: typeof tombstonesGoBelow
  readonly findInRows: typeof findInRows
  readonly judgeProducer: typeof judgeProducer
  readonly release: typeof release
  readonly judgeSegment: typeof judgeSegment
  readonly runsOfAll: typeof runsOfAll
  readonly tailIds: typeof tailIds
  readonly spansToMerge: typeof spansToMerge
  readonly decideClaim: typeof decideClaim
  readonly decideCommit: typeof decideCommit
}

export const logRules: LogRules = {
  rowThatCounts,
  isStaleRow,
  keepsRecord,
  tombstonesGoBelow,
  findInRows,
  judgeProducer,
  release,
  decideClaim,
  decideCommit,
  judgeSegment,
  runsOfAll,
  tailIds,
  spansToMerge,
}

/** Partitions that a process keeps in mind for its next merges and its upkeep (D8). */
export const rolledMax = 10_000

export class Context implements LogPorts {
  readonly objects: Objects
  readonly metadata: Metadata
  readonly clock: Clock
  readonly random: Random
  readonly codecs: Codecs
  readonly observe?: Observer
  readonly meter?: WorkMeter
  readonly settings: Settings
  readonly rules: LogRules
  readonly heads: Heads
  readonly chunkCache: ChunkCache
  /** Tells waiting fetches of commits in this process. */
  readonly commits = new Watch()
  /**
   * Partitions whose tail this process rolled since they were last merged, at most `rolledMax`: a function that never merges keeps no
   * more, and what is left out the round of upkeep finds.
   */
  readonly rolled = new Map<string, HeadKey>()
  /** Partitions that this process wrote to, for as long as they are looked after more often than all others. */
  readonly lookedAfter = new RolledPartitions(rolledMax)
  /** What merges hold in memory at the same time: as much as one of the largest. */
  readonly merging: ByteLimit
  /** Passes of key compaction, one at a time: each has a map of keys. */
  readonly compacting = new ByteLimit(1)
  /** What is read at the same time for fetches of older records: `fetchBytesInFlightMax`. They wait for each other, and nobody else for them. */
  readonly backfilling: ByteLimit
  /** The same for fetches at the end of the log. */
  readonly following: ByteLimit
  /** What waits in this process. */
  readonly waiting = { appendBytes: 0, fetches: 0 }
  /** Tells waiting polls of changes of groups in this process, by group name. */
  readonly groups = new Notices()
  readonly #running = new Set<Promise<unknown>>()
  readonly #report: (bug: unknown) => void

  constructor(ports: LogPorts, settings: Settings, rules: LogRules) {
    this.objects = ports.objects
    this.metadata = ports.metadata
    this.clock = ports.clock
    this.random = ports.random
    this.codecs = ports.codecs
    this.merging = new ByteLimit(settings.mergeBytesMax)
    this.backfilling = new ByteLimit(settings.fetchBytesInFlightMax)
    this.following = new ByteLimit(settings.fetchBytesInFlightMax)
    this.#report = ports.report ?? unreported
    if (ports.observe !== undefined) this.observe = ports.observe
    if (ports.meter !== undefined) this.meter = ports.meter
    this.settings = settings
    this.chunkCache = new ChunkCache(settings.chunkCacheBytesMax)
    this.rules = rules
    this.heads = new Heads(ports.metadata, ports.clock, settings, (read) => {
      this.observe?.count('headsRead', 1)
      return this.persist(read)
    })
  }

  /** What the work asks of the stores counts for this, where anybody counts. */
  within<Result>(tag: WorkTag, work: () => Result): Result {
    return this.meter === undefined ? work() : this.meter.within(tag, work)
  }

  /**
   * Runs beside the caller; `settled` waits for it. That the world failed costs speed only and ends here; anything else is a
   * bug, which is reported, since nobody waits for it.
   */
  beside(work: () => Promise<unknown>): void {
    const running = work().catch((error: unknown) => {
      if (!(error instanceof Unavailable)) this.report(error)
    })
    this.#running.add(running)
    void running.finally(() => this.#running.delete(running))
  }

  /** Tells of a bug, or of damage, that nobody waits for. */
  report(bug: unknown): void {
    this.#report(bug)
  }

  /** Something was committed by this process: perhaps so seldom that nobody ever rolls it, but upkeep. */
  noteCommit(key: HeadKey): void {
    this.lookedAfter.note(key, 0, this.clock.now())
  }

  /** The tail of a partition was rolled into a row by this process. */
  noteRoll({ topicId, partition }: HeadKey): void {
    const key = { topicId, partition }
    if (this.rolled.size < rolledMax) this.rolled.set(headKeyText(key), key)
    this.lookedAfter.note(key, 1, this.clock.now())
  }

  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all([...this.#running])
  }

  /** Before attempt number `attempt` (from 1): exponential, with jitter, at most a second. */
  async pause(attempt: number): Promise<void> {
    const delayMs = Math.min(1_000, this.settings.retryDelayMs * 2 ** Math.min(attempt - 1, 10))
    await this.clock.sleep(delayMs * (0.5 + this.random() / 2))
  }

  /**
   * Repeats work that may be repeated: a read, or a write whose condition or identity makes a repeat harmless. The one
   * place where the store's failures are retried, but for the append, whose retries are decided in commit.ts.
   */
  async persist<Result>(work: () => Promise<Result>): Promise<Result> {
    let effects: Unavailable['effects'] = 'none'
    for (let attempt = 1; ; attempt++) {
      try {
        return await work()
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error
        // What any of the attempts may have done, the whole may have done.
        if (error.effects === 'possible') effects = 'possible'
        if (error.why === 'closed' || error.why === 'full' || attempt >= this.settings.commitAttemptsMax)
          throw error.effects === effects ? error : new Unavailable(error.message, effects, error.why, error)
        await this.pause(attempt)
      }
    }
  }

  /** A fresh version for an item: random, so that a writer knows its own write again. */
  newVersion(): string {
    let digits = ''
    while (digits.length < 20)
      digits += Math.floor(this.random() * 36 ** 5)
        .toString(36)
        .padStart(5, '0')
    return digits
  }
}

export function headKeyText(key: HeadKey): string {
  return `${key.topicId}/${key.partition}`
}

export type { Head, HeadKey }

function unreported(bug: unknown): never {
  throw bug
}
