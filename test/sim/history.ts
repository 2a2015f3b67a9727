/** What happened, one line each, and the first thing that must not have. */
import { createHash } from 'node:crypto'
import type { World } from './world.ts'

export class History {
  readonly lines: string[] = []
  violation: string | undefined
  readonly #world: World
  readonly #startMs: number

  constructor(world: World) {
    this.#world = world
    this.#startMs = world.nowMs
  }

  get nowMs(): number {
    return this.#world.nowMs
  }

  note(line: string): void {
    this.lines.push(`${(this.#world.nowMs - this.#startMs).toFixed(3)} ${line}`)
  }

  /** The invariant (D1, H3, ...) or rule that is broken, and how. */
  violate(rule: string, how: string): void {
    const text = `${rule}: ${how}`
    this.note(`VIOLATION ${text}`)
    this.violation ??= text
  }

  hash(): string {
    const hash = createHash('sha256')
    for (const line of this.lines) hash.update(line).update('\n')
    return hash.digest('hex')
  }
}
