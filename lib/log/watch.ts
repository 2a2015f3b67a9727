/** In-process notice of changes: who waits for one is woken when it was made in this process, or the log closes. */
import type { HeadKey } from '../core/head.ts'

/** Of things with a name: groups. */
export class Notices {
  readonly #waiting = new Map<string, Set<() => void>>()

  /** Calls `wake` at the next change; returns what takes it back. Begin to watch before looking, or a change in between is missed. */
  watch(text: string, wake: () => void): () => void {
    let waiters = this.#waiting.get(text)
    if (waiters === undefined) {
      waiters = new Set()
      this.#waiting.set(text, waiters)
    }
    waiters.add(wake)
    return () => {
      const present = this.#waiting.get(text)
      if (present?.delete(wake) === true && present.size === 0) this.#waiting.delete(text)
    }
  }

  isWatched(text: string): boolean {
    return this.#waiting.has(text)
  }

  notify(text: string): void {
    const waiters = this.#waiting.get(text)
    if (waiters === undefined) return
    for (const wake of [...waiters]) wake()
  }

  notifyAll(): void {
    for (const waiters of [...this.#waiting.values()]) for (const wake of [...waiters]) wake()
  }
}

/** Of commits to partitions. */
export class Watch {
  readonly #notices = new Notices()

  watch(key: HeadKey, wake: () => void): () => void {
    return this.#notices.watch(`${key.topicId}/${key.partition}`, wake)
  }

  /** Does anybody wait in this process? */
  isWatched(key: HeadKey): boolean {
    return this.#notices.isWatched(`${key.topicId}/${key.partition}`)
  }

  notify(key: HeadKey): void {
    this.#notices.notify(`${key.topicId}/${key.partition}`)
  }

  notifyAll(): void {
    this.#notices.notifyAll()
  }
}
