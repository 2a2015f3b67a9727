/**
 * Commits of one partition, one after the other in this process, in the order of their flushes: writers that take turns do
 * not refuse each other. Other processes are kept right by the condition, not by this queue (D5).
 */
import type { HeadKey } from '../core/head.ts'

export class PartitionQueue {
  readonly #last = new Map<string, Promise<void>>()

  /** Runs after everything queued before for the partition; a failure is the caller's alone. */
  run(key: HeadKey, work: () => Promise<void>): Promise<void> {
    const text = `${key.topicId}/${key.partition}`
    const before = this.#last.get(text)
    const running = before === undefined ? work() : before.then(work, work)
    this.#last.set(text, running)
    const forget = () => {
      if (this.#last.get(text) === running) this.#last.delete(text)
    }
    running.then(forget, forget)
    return running
  }
}
