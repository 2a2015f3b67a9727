import type { Random } from '../../lib/ports.ts'
import { seededRandom } from './random.ts'

/** Seeded chance. Dice derived by a name do not depend on what else is drawn: an actor left out changes no other's draws. */
export class Dice {
  readonly seed: number
  readonly random: Random

  constructor(seed: number) {
    this.seed = seed >>> 0
    this.random = seededRandom(this.seed)
  }

  derive(name: string): Dice {
    let hash = this.seed ^ 0x811c9dc5
    for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
    return new Dice(Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d))
  }

  /** A seed for something that shall not depend on what else is drawn here. */
  seed32(): number {
    return this.int(0, 2 ** 32 - 1)
  }

  chance(probability: number): boolean {
    return this.random() < probability
  }

  /** A whole number from `min` to `max`. */
  int(min: number, max: number): number {
    return min + Math.floor(this.random() * (max - min + 1))
  }

  between(min: number, max: number): number {
    return min + this.random() * (max - min)
  }

  /** Every order of magnitude is as likely as the next. */
  scattered(min: number, max: number): number {
    return min * (max / min) ** this.random()
  }

  pick<Value>(values: readonly Value[]): Value {
    const value = values[Math.floor(this.random() * values.length)]
    if (value === undefined) throw new Error('nothing to pick from')
    return value
  }
}
