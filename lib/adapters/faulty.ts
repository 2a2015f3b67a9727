/**
 * Objects and metadata as a bad day has them: a decorator that adds seeded faults before and after the effect. It is a
 * legitimate adapter: whatever it does, some real store, network or SDK does too, and `lib/ports.ts` allows it (D4).
 *
 *     call ──latency──▶ effect ──latency──▶ answer
 *       │                │  └─ repeat-at-once: a silent retry; the effect again, and its second answer
 *       │                ├──── repeat-late, repeat-refused-late: the request once more, minutes to hours later
 *       │                └──── lose-answer: Unavailable, though it was done
 *       ├─ refuse, full: Unavailable with effects `none`; nothing was done
 *       ├─ fail: Unavailable with effects `possible`; nothing was done
 *       └─ arrive-late: Unavailable now, the effect minutes to hours later
 *
 * hang and slow lengthen a latency; hide-head takes the head out of the answer to a transaction, as a store does whose
 * transactions answer nothing. Reads are refused, slow or hanging. Time and chance come from the ports given.
 */
import { Unavailable } from '../core/errors.ts'
import type { HeadAnswer, Metadata, Objects, Random, WriteAnswer } from '../ports.ts'

export const faultKinds = [
  'refuse',
  'full',
  'fail',
  'arrive-late',
  'lose-answer',
  'repeat-at-once',
  'repeat-late',
  'repeat-refused-late',
  'hang',
  'slow',
  'hide-head',
] as const
export type FaultKind = (typeof faultKinds)[number]

/** Probability of each fault per request, 0 to 1. @default 0 */
export type FaultRates = { readonly [Kind in FaultKind]?: number }

/** Least and largest milliseconds. */
export type Between = readonly [min: number, max: number]

export interface FaultOptions {
  /** Asked for every request, so that faults can be switched off and on, or befall some calls only: `create <key>`, `updateHead <kind>`, `write` ... */
  readonly rates: (call: string) => FaultRates
  readonly sleep: (durationMs: number) => Promise<void>
  readonly random: Random
  /** Of each way, there and back; uniform. @default [0, 0] */
  readonly latencyMs?: Between
  /** Of one way that is slow. @default [50, 2_000] */
  readonly slowMs?: Between
  /** Until a caller is told that it gets no answer. @default [1, 10_000] */
  readonly timeoutMs?: Between
  /** Until a request that hangs goes on. @default [10_000, 3_600_000] */
  readonly hangMs?: Between
  /** Until a request arrives late, or once more. @default [100, 10_800_000] */
  readonly lateMs?: Between
  readonly onFault?: (kind: FaultKind, call: string) => void
}

export function faultyObjects(objects: Objects, options: FaultOptions): Objects {
  const network = new Network(options)
  return {
    create(key, parts) {
      // The request has the bytes of the call: the caller may change its buffers once the call has failed.
      const sent = parts.map((part) => part.slice())
      return network.write(`create ${key}`, () => objects.create(key, sent))
    },
    read: (key, position, length) => network.read(`read ${key}`, () => objects.read(key, position, length)),
    list: (prefix, after, limit) => network.read(`list ${prefix}`, () => objects.list(prefix, after, limit)),
    delete: (key) => network.write(`delete ${key}`, () => objects.delete(key)),
  }
}

export function faultyMetadata(metadata: Metadata, options: FaultOptions): Metadata {
  const network = new Network(options)
  const isRefused = (answer: HeadAnswer | WriteAnswer) => !answer.applied
  return {
    readHead: (key) => network.read('readHead', () => metadata.readHead(key)),
    createHead: (head) => network.write('createHead', () => metadata.createHead(head)),
    async updateHead(key, command, also = []) {
      const call = `updateHead ${command.kind}`
      const answer = await network.write(call, () => metadata.updateHead(key, command, also), isRefused)
      const isHidden = answer.applied && also.length > 0 && network.isHit('hide-head', call)
      return isHidden ? { applied: true, head: undefined } : answer
    },
    get: (key) => network.read('get', () => metadata.get(key)),
    query: (collection, range) => network.read('query', () => metadata.query(collection, range)),
    write: (writes) => network.write('write', () => metadata.write(writes), isRefused),
  }
}

class Network {
  readonly #options: FaultOptions

  constructor(options: FaultOptions) {
    this.#options = options
  }

  async read<Answer>(call: string, effect: () => Promise<Answer>): Promise<Answer> {
    await this.#travel(call)
    if (this.isHit('refuse', call)) throw new Unavailable(`${call} was refused`, 'none', 'throttled')
    const answer = await effect()
    await this.#travel(call)
    return answer
  }

  async write<Answer>(
    call: string,
    effect: () => Promise<Answer>,
    isRefused: (answer: Answer) => boolean = () => false,
  ): Promise<Answer> {
    if (this.isHit('arrive-late', call)) {
      this.#late(effect)
      await this.#timeout()
      throw new Unavailable(`${call} got no answer in time`, 'possible', 'timeout')
    }
    await this.#travel(call)
    if (this.isHit('refuse', call)) throw new Unavailable(`${call} was refused`, 'none', 'throttled')
    if (this.isHit('full', call)) throw new Unavailable(`there is no room for ${call}`, 'none', 'full')
    if (this.isHit('fail', call)) throw new Unavailable(`${call} failed`, 'possible')
    let answer = await effect()
    if (this.isHit('repeat-at-once', call)) {
      await this.#travel(call)
      answer = await effect()
    }
    if (this.isHit(isRefused(answer) ? 'repeat-refused-late' : 'repeat-late', call)) this.#late(effect)
    if (this.isHit('lose-answer', call)) {
      await this.#timeout()
      throw new Unavailable(`the answer to ${call} got lost`, 'possible', 'timeout')
    }
    await this.#travel(call)
    return answer
  }

  isHit(kind: FaultKind, call: string): boolean {
    const rate = this.#options.rates(call)[kind] ?? 0
    if (rate === 0 || this.#options.random() >= rate) return false
    this.#options.onFault?.(kind, call)
    return true
  }

  async #travel(call: string): Promise<void> {
    const { latencyMs = [0, 0], slowMs = [50, 2_000], hangMs = [10_000, 3_600_000] } = this.#options
    let durationMs = latencyMs[0] + this.#options.random() * (latencyMs[1] - latencyMs[0])
    if (this.isHit('slow', call)) durationMs += this.#scattered(slowMs)
    if (this.isHit('hang', call)) durationMs += this.#scattered(hangMs)
    await this.#options.sleep(durationMs)
  }

  #timeout(): Promise<void> {
    return this.#options.sleep(this.#scattered(this.#options.timeoutMs ?? [1, 10_000]))
  }

  /** Nobody waits for its answer. */
  #late(effect: () => Promise<unknown>): void {
    const lateMs = this.#scattered(this.#options.lateMs ?? [100, 10_800_000])
    this.#options
      .sleep(lateMs)
      .then(effect)
      .catch((error: unknown) => {
        if (!(error instanceof Unavailable)) throw error
      })
  }

  /** Every order of magnitude is as likely as the next. */
  #scattered([min, max]: Between): number {
    return min * (max / min) ** this.#options.random()
  }
}
