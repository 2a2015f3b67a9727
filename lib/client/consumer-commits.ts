/**
 * Commits of a consumer, one at a time: one that is repeated is over before a newer one is sent, so that no older offset
 * comes after a newer one. What a commit is of is looked at when its turn comes.
 */
import type { HeldPartition } from './consumer-partitions.ts'
import type { HighwaterError } from './error.ts'
import { errorOfFault, type GroupCalls, untilAnswered } from './group-calls.ts'
import type { Transport } from './transport.ts'

export interface Wanted {
  readonly held: HeldPartition
  readonly offset: number
  readonly metadata?: string
}

export interface Committed {
  /** Taken over by another: no longer the consumer's to read. */
  readonly fenced: readonly HeldPartition[]
  /** The first that was refused, for whatever reason. */
  readonly error: HighwaterError | undefined
}

const nothing: Committed = { fenced: [], error: undefined }

export class Commits {
  readonly #transport: Transport
  readonly #calls: GroupCalls
  readonly #onRetry: ((error: HighwaterError) => void) | undefined
  #last: Promise<unknown> = Promise.resolve()
  #underWay = 0

  constructor(transport: Transport, calls: GroupCalls, onRetry: ((error: HighwaterError) => void) | undefined) {
    this.#transport = transport
    this.#calls = calls
    this.#onRetry = onRetry
  }

  get isUnderWay(): boolean {
    return this.#underWay > 0
  }

  /** Tries for `forMs`, 0: once; throws where the request as a whole failed. */
  commit(choose: () => readonly Wanted[], forMs: number, signal?: AbortSignal): Promise<Committed> {
    this.#underWay++
    const turn = this.#last.then(() => this.#commit(choose(), forMs, signal))
    this.#last = turn.then(
      () => this.#underWay--,
      () => this.#underWay--,
    )
    return turn
  }

  async #commit(wanted: readonly Wanted[], forMs: number, signal: AbortSignal | undefined): Promise<Committed> {
    if (wanted.length === 0) return nothing
    const offsets = wanted.map(({ held, offset, metadata }) => ({
      topic: held.topic,
      topic_id: held.topicId,
      partition: held.partition,
      offset,
      claim: held.claim,
      ...(metadata === undefined ? {} : { metadata }),
    }))
    const send = () => this.#calls.commit(offsets, signal)
    const outcomes = await untilAnswered(this.#transport, send, forMs, signal, this.#onRetry)
    const fenced: HeldPartition[] = []
    let error: HighwaterError | undefined
    for (const [index, outcome] of outcomes.entries()) {
      const { held, offset } = wanted[index]!
      if (outcome === undefined) {
        held.committed = offset
        continue
      }
      error ??= errorOfFault(outcome)
      if (outcome.error === 'FENCED_CLAIM') fenced.push(held)
    }
    return { fenced, error }
  }
}
