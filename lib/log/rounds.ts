/**
 * The round of upkeep over all partitions: what comes to those that nobody writes to any more, or only now and then. It begins at most
 * once in `maintainRoundMs` and goes on where the last call stopped, by an item that says how far it came, whoever calls, from wherever. In
 * between, a call reads that item and nothing else: so a partition that nobody writes to costs next to nothing.
 *
 * Two calls at once look at the same partitions, which does no harm; the one that saves later is refused, and leaves the rest to the other.
 */
import type { Item, UpkeepItem } from '../core/items.ts'
import { upkeepRoundKey } from '../core/items.ts'
import type { Topic } from '../core/topic.ts'
import type { Engine } from './engine.ts'
import { inParallel } from './in-parallel.ts'

/** Partitions that are looked at at the same time. */
export const partitionsAtOnce = 8
/** Partitions between two saves of how far the round came: what is done again after a crash. */
const partitionsPerSave = 256

interface Saved {
  readonly item: UpkeepItem
  readonly version: string
}

interface Place {
  readonly topic: Topic
  readonly partition: number
}

export class Rounds {
  readonly #engine: Engine
  #isFirst = true

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /**
   * Goes on with the round, or begins one where it is time to; ends early when `signal` aborts, after what was begun. Answers whether
   * all of the round is done.
   *
   * @param look at a partition. What it throws ends the call, and the next one begins with these partitions again.
   */
  async goOn(look: (topic: Topic, partition: number) => Promise<void>, signal: AbortSignal): Promise<boolean> {
    const seen = await this.#read()
    let saved = this.#isDue(seen) ? await this.#save(seen, this.#beginning()) : seen
    // Somebody else began it just now, and goes on.
    if (saved === undefined) return false
    const { next } = saved.item
    if (next === undefined) return true
    const places = placesFrom(await this.#engine.topics.list(next.topic), next)
    const { beganMs } = saved.item
    while (true) {
      const step = take(places, partitionsPerSave)
      const begun = await this.#lookAt(step, look, signal)
      const isOver = begun === step.length && step.length < partitionsPerSave
      const last = step[begun - 1]
      if (last === undefined && !isOver) return false
      const place =
        isOver || last === undefined ? {} : { next: { topic: last.topic.name, partition: last.partition + 1 } }
      saved = await this.#save(saved, { beganMs, ...place })
      if (isOver) return true
      if (saved === undefined || signal.aborted) return false
    }
  }

  /** Answers how many were looked at, from the first on. */
  async #lookAt(
    places: readonly Place[],
    look: (topic: Topic, partition: number) => Promise<void>,
    signal: AbortSignal,
  ): Promise<number> {
    let begun = 0
    let failure: { readonly error: unknown } | undefined
    await inParallel(places, partitionsAtOnce, async ({ topic, partition }) => {
      if (signal.aborted || failure !== undefined) return
      begun++
      await look(topic, partition).catch((error: unknown) => {
        failure ??= { error }
      })
    })
    if (failure !== undefined) throw failure.error
    return begun
  }

  #isDue(saved: Saved | undefined): boolean {
    const { context } = this.#engine
    const { isSoleProcess, maintainRoundMs } = context.settings
    // What the one process that writes had in mind is forgotten with it.
    const isFresh = isSoleProcess && this.#isFirst
    this.#isFirst = false
    if (saved === undefined || isFresh) return true
    const { next, beganMs } = saved.item
    return next === undefined && beganMs + maintainRoundMs <= context.clock.now()
  }

  #beginning(): UpkeepItem {
    return { beganMs: this.#engine.context.clock.now(), next: { topic: '', partition: 0 } }
  }

  async #read(): Promise<Saved | undefined> {
    const { context } = this.#engine
    const item = await context.persist(() => context.metadata.get(upkeepRoundKey))
    return item && { item: item.value as unknown as UpkeepItem, version: item.version }
  }

  /** undefined: somebody else wrote meanwhile. */
  async #save(seen: Saved | undefined, item: UpkeepItem): Promise<Saved | undefined> {
    const { context } = this.#engine
    const version = context.newVersion()
    const answer = await context.persist(() =>
      context.metadata.write([
        {
          op: 'put',
          key: upkeepRoundKey,
          version,
          value: item as unknown as Item['value'],
          if: seen === undefined ? 'absent' : { version: seen.version },
        },
      ]),
    )
    return answer.applied || answer.items[0]?.version === version ? { item, version } : undefined
  }
}

/** From `next` on: the rest of its topic, and all that come after. */
function* placesFrom(topics: readonly Topic[], next: NonNullable<UpkeepItem['next']>): Generator<Place> {
  for (const topic of topics)
    for (let partition = topic.name === next.topic ? next.partition : 0; partition < topic.partitions; partition++)
      yield { topic, partition }
}

function take<Value>(values: Iterator<Value>, count: number): Value[] {
  const taken: Value[] = []
  while (taken.length < count) {
    const next = values.next()
    if (next.done === true) break
    taken.push(next.value)
  }
  return taken
}
