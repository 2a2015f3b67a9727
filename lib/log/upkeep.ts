/**
 * Which partitions are looked after, and when: those that rows came to soon and often (rolled-partitions.ts), all others in a round once a
 * day (rounds.ts). What is done to each is maintain.ts's.
 *
 * A partition that cannot be looked after, since it is damaged for example, is told of and left out: the others do not wait for it.
 */
import { Unavailable } from '../core/errors.ts'
import type { HeadKey } from '../core/head.ts'
import type { EpochMs, TopicId } from '../core/names.ts'
import type { EffectiveConfig, Topic } from '../core/topic.ts'
import { effectiveConfig } from '../core/topic.ts'
import { headKeyText, rolledMax } from './context.ts'
import type { Engine } from './engine.ts'
import { inParallel } from './in-parallel.ts'
import type { PartitionsMaintained } from './maintain.ts'
import { maintainPartition, mergeBacklog } from './maintain.ts'
import type { DuePartition, LookPolicy } from './rolled-partitions.ts'
import { partitionsAtOnce, Rounds } from './rounds.ts'

/** After so many partitions in a row for which the stores did not answer, they are believed to be down. */
const unavailableMax = 3 * partitionsAtOnce

export interface Looked extends PartitionsMaintained {
  /** Looks at partitions. */
  readonly partitions: number
  /** Those that could not be looked after. */
  readonly failed: number
}

/** Rows that came to a partition, in whatever process. */
export interface RolledRows {
  readonly key: HeadKey
  readonly rows: number
}

export class Upkeep {
  readonly #engine: Engine
  readonly #rounds: Rounds
  #topics: { readonly byId: ReadonlyMap<TopicId, Topic>; readonly atMs: EpochMs } | undefined

  constructor(engine: Engine) {
    this.#engine = engine
    this.#rounds = new Rounds(engine)
  }

  /** Those that rows came to lately, all of them, then what is left of the round over all partitions. */
  async maintain(signal: AbortSignal): Promise<Looked & { readonly isRoundOver: boolean }> {
    const turn = new Turn(this.#engine, signal)
    await this.#lookAfterRolled({ rowsMin: 1, intervalMs: 0 }, turn, signal)
    const look = async (topic: Topic, partition: number) => {
      await turn.whole(topic, partition)
      if (turn.failure !== undefined) throw turn.failure
    }
    const isRoundOver = await this.#rounds.goOn(look, signal)
    return { ...turn.counts, isRoundOver }
  }

  /**
   * Rows came to these partitions. Looks after those of which it is time to; `left` are those for which the time was not enough, which
   * are not forgotten.
   */
  async maintainRolled(
    rolled: readonly RolledRows[],
    signal: AbortSignal,
  ): Promise<Looked & { readonly left: number }> {
    const { context } = this.#engine
    const { mergeRowsMin, maintainIntervalMs } = context.settings
    for (const { key, rows } of rolled) context.lookedAfter.note(key, rows, context.clock.now())
    const turn = new Turn(this.#engine, signal)
    const left = await this.#lookAfterRolled({ rowsMin: mergeRowsMin, intervalMs: maintainIntervalMs }, turn, signal)
    return { ...turn.counts, left }
  }

  /** Answers how many are left. */
  async #lookAfterRolled(policy: LookPolicy, turn: Turn, signal: AbortSignal): Promise<number> {
    const { context } = this.#engine
    const { lookedAfter, clock } = context
    const due = lookedAfter.due(policy, clock.now())
    if (due.length === 0) return 0
    const byId = await this.#topicsById(due)
    let left = 0
    await inParallel(due, partitionsAtOnce, async (one) => {
      if (signal.aborted || turn.failure !== undefined) {
        left++
        return
      }
      const { key } = one
      const topic = byId.get(key.topicId)
      lookedAfter.looked(one, clock.now())
      if (topic !== undefined) await (one.isWhole ? turn.whole(topic, key.partition) : turn.merges(topic, key))
      lookedAfter.forgetIdle(key, topic === undefined ? Number.POSITIVE_INFINITY : clock.now() - this.#keptMs(topic))
    })
    if (turn.failure !== undefined) throw turn.failure
    return left
  }

  /** How long after its last row a partition is looked after: until what that row holds may be merged, or let go, if that is before the round. */
  #keptMs(topic: Topic): number {
    const { mergeAgeMs, tailAgeMsMax, maintainIntervalMs, maintainRoundMs } = this.#engine.context.settings
    const config: EffectiveConfig = effectiveConfig(topic)
    const { retentionMs, minCompactionLagMs, maxCompactionLagMs, deleteRetentionMs } = config
    const lagsMs = config.cleanupPolicy.isCompact ? [minCompactionLagMs, maxCompactionLagMs, deleteRetentionMs] : []
    const soon = [mergeAgeMs, tailAgeMsMax, retentionMs, ...lagsMs].filter((ms) => ms < maintainRoundMs)
    return Math.max(0, ...soon) + 2 * maintainIntervalMs
  }

  /** Topics of a while ago, unless there is one among those wanted that was not there then. */
  async #topicsById(wanted: readonly DuePartition[]): Promise<ReadonlyMap<TopicId, Topic>> {
    const { context, topics } = this.#engine
    const nowMs = context.clock.now()
    const known = this.#topics
    if (
      known !== undefined &&
      known.atMs >= nowMs - context.settings.topicAgeMsMax &&
      wanted.every(({ key }) => known.byId.has(key.topicId))
    )
      return known.byId
    const byId = new Map((await topics.list()).map((topic) => [topic.id, topic]))
    this.#topics = { byId, atMs: nowMs }
    return byId
  }
}

/** The looks of one call, and what came of them. */
class Turn {
  readonly counts = { partitions: 0, failed: 0, forgotten: 0, rowsRemoved: 0, rowsMerged: 0 }
  /** The stores are down. */
  failure: Unavailable | undefined
  readonly #engine: Engine
  readonly #signal: AbortSignal
  /** Looked after as a whole: the round passes over them. At most as many as are kept in mind. */
  readonly #done = new Set<string>()
  #unavailable = 0

  constructor(engine: Engine, signal: AbortSignal) {
    this.#engine = engine
    this.#signal = signal
  }

  async whole(topic: Topic, partition: number): Promise<void> {
    const { context } = this.#engine
    const text = headKeyText({ topicId: topic.id, partition })
    if (this.#done.has(text)) return
    if (this.#done.size < rolledMax) this.#done.add(text)
    await context.within({ operation: 'upkeep', topicId: topic.id }, () =>
      this.#look(() => maintainPartition(this.#engine, topic, partition, this.#signal)),
    )
  }

  merges(topic: Topic, key: HeadKey): Promise<void> {
    return this.#look(async () => ({
      forgotten: 0,
      rowsRemoved: 0,
      rowsMerged: await mergeBacklog(this.#engine, key, effectiveConfig(topic), this.#signal),
    }))
  }

  async #look(work: () => Promise<PartitionsMaintained>): Promise<void> {
    const { counts } = this
    counts.partitions++
    try {
      const { forgotten, rowsRemoved, rowsMerged } = await work()
      counts.forgotten += forgotten
      counts.rowsRemoved += rowsRemoved
      counts.rowsMerged += rowsMerged
      this.#unavailable = 0
    } catch (error) {
      counts.failed++
      if (!(error instanceof Unavailable)) this.#engine.context.report(error)
      else if (error.why === 'closed' || ++this.#unavailable >= unavailableMax) this.failure = error
    }
  }
}
