/**
 * Heads seen lately. What a commit or a read answered serves as the `seen` of the next commit, which then needs no read.
 * An old head is never wrong to use: the commit's condition refuses what is too old (H1), and answers the present head. How old it may
 * be follows from how fast the partition rolls (core/head-age.ts).
 */
import type { Head, HeadKey } from '../core/head.ts'
import { headAgeMs, paceAfter, type RollPace } from '../core/head-age.ts'
import type { EpochMs } from '../core/names.ts'
import type { Settings } from '../core/settings.ts'
import type { Clock, Metadata } from '../ports.ts'

const headsMax = 10_000

interface Seen {
  readonly head: Head
  readonly atMs: EpochMs
  readonly pace: RollPace
}

export class Heads {
  readonly #metadata: Metadata
  readonly #clock: Clock
  readonly #settings: Pick<Settings, 'headAgeMsMax' | 'mergeQuietMs'>
  readonly #persist: <Result>(work: () => Promise<Result>) => Promise<Result>
  readonly #seen = new Map<string, Seen>()

  constructor(
    metadata: Metadata,
    clock: Clock,
    settings: Pick<Settings, 'headAgeMsMax' | 'mergeQuietMs'>,
    persist: <Result>(work: () => Promise<Result>) => Promise<Result>,
  ) {
    this.#metadata = metadata
    this.#clock = clock
    this.#settings = settings
    this.#persist = persist
  }

  /** The head as it is now; undefined where the partition does not exist. */
  async read(key: HeadKey): Promise<Head | undefined> {
    const atMs = this.#clock.now()
    const head = await this.#persist(() => this.#metadata.readHead(key))
    if (head === undefined) this.forget(key)
    else this.note(head, atMs)
    return head
  }

  /** A head known to have been current at `sinceMs` or later; reads it if there is none. */
  async recent(key: HeadKey, sinceMs: EpochMs): Promise<Head | undefined> {
    const seen = this.#seen.get(textOf(key))
    return seen !== undefined && seen.atMs >= sinceMs ? seen.head : this.read(key)
  }

  /** For `recent`, of a commit that begins now: a head seen then or later is believed. */
  believedSinceMs(key: HeadKey): EpochMs {
    const seen = this.#seen.get(textOf(key))
    const { headAgeMsMax, mergeQuietMs } = this.#settings
    const ageMs = seen === undefined ? 0 : headAgeMs(seen.pace, seen.atMs, headAgeMsMax, mergeQuietMs)
    return this.#clock.now() - Math.floor(ageMs)
  }

  /** The newest head that this process knows, however old. */
  known(key: HeadKey): Head | undefined {
    return this.#seen.get(textOf(key))?.head
  }

  /** Remembers an answered head, current at `atMs`, unless a newer one is known (H3: hw and rolls never go back). */
  note(head: Head, atMs: EpochMs = this.#clock.now()): void {
    const text = textOf(head)
    const known = this.#seen.get(text)
    if (known !== undefined) {
      if (known.head.hw > head.hw || known.head.rolls > head.rolls) return
      this.#seen.delete(text)
    } else if (this.#seen.size >= headsMax) {
      const oldest = this.#seen.keys().next()
      if (!oldest.done) this.#seen.delete(oldest.value)
    }
    this.#seen.set(text, { head, atMs, pace: paceAfter(known?.pace, head.rolls, atMs) })
  }

  forget(key: HeadKey): void {
    this.#seen.delete(textOf(key))
  }
}

function textOf(key: HeadKey): string {
  return `${key.topicId}/${key.partition}`
}
