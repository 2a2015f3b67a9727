/** In-process notice of commits: who waits on a partition is woken when something was committed to it, or the log closes. */
import type { HeadKey } from '../core/head.ts'

export class Watch {
  readonly #waiting = new Map<string, Set<() => void>>()

  /** Calls `wake` at the next commit; returns what takes it back. Begin to watch before looking, or a commit in between is missed. */
  watch(key: HeadKey, wake: () => void): () => void {
    const text = `${key.topicId}/${key.partition}`
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

  notify(key: HeadKey): void {
    const waiters = this.#waiting.get(`${key.topicId}/${key.partition}`)
    if (waiters === undefined) return
    for (const wake of [...waiters]) wake()
  }

  notifyAll(): void {
    for (const waiters of [...this.#waiting.values()]) for (const wake of [...waiters]) wake()
  }
}
