/** What a person sees: events as they come, and below them, on a terminal, the state of everything. */
import type { Running } from './processes.ts'

export interface Seen {
  readonly orders: number
  /** By state, of the topic where it is decided. */
  readonly counts: ReadonlyMap<string, number>
  /** Orders in their final state. */
  readonly final: number
  readonly processes: readonly Running[]
}

const barWidth = 40
/** Without a terminal, the state is a line now and then. */
const lineIntervalMs = 5_000

export class Screen {
  readonly #out: NodeJS.WriteStream
  readonly #startedMs = performance.now()
  readonly #isLive: boolean
  readonly #isColoured: boolean
  #shown = 0
  #lineMs = 0
  #seen: Seen | undefined

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
    this.#isLive = out.isTTY === true
    this.#isColoured = this.#isLive && process.env.NO_COLOR === undefined
  }

  /** Something happened. */
  event(sign: '▶' | '✗' | '↻' | '✔' | '!', text: string): void {
    const colour = { '▶': 36, '✗': 31, '↻': 33, '✔': 32, '!': 31 }[sign]
    const seconds = ((performance.now() - this.#startedMs) / 1_000).toFixed(1).padStart(6)
    this.say(`${this.#in(2, `${seconds} s`)}  ${this.#in(colour, sign)} ${text}`)
  }

  say(text: string): void {
    this.#clear()
    this.#out.write(`${text}\n`)
    if (this.#isLive && this.#seen !== undefined) this.#draw(this.#seen)
  }

  show(seen: Seen): void {
    this.#seen = seen
    if (this.#isLive) {
      this.#clear()
      this.#draw(seen)
      return
    }
    const nowMs = performance.now()
    if (nowMs - this.#lineMs < lineIntervalMs) return
    this.#lineMs = nowMs
    const counts = [...seen.counts].map(([state, count]) => `${count} ${state}`).join(', ')
    this.event('▶', `${seen.final} of ${seen.orders} orders have ended: ${counts}`)
  }

  /** What was drawn goes, so that the verdict stands alone. */
  end(): void {
    this.#clear()
    this.#seen = undefined
  }

  #draw({ orders, counts, final, processes }: Seen): void {
    const count = (state: string) => String(counts.get(state) ?? 0).padStart(5)
    const full = Math.round((barWidth * final) / Math.max(1, orders))
    const lines = [
      '',
      `  ${this.#in(32, '█'.repeat(full))}${this.#in(2, '░'.repeat(barWidth - full))}  ${final} of ${orders} orders have ended`,
      '',
      `  placed ${count('placed')} ${this.#in(2, '→')} paid ${count('paid')} ${this.#in(2, '→')} reserved ${count('reserved')} ${this.#in(2, '→')} shipped ${count('shipped')}`,
      `               ${this.#in(2, '↘')} declined ${count('declined')} ${this.#in(2, '↘')} sold out ${count('sold out')} ${this.#in(2, '→')} cancelled ${count('cancelled')}`,
      '',
      this.#in(2, '  process         pid    orders   again   killed'),
      ...processes.map(({ name, pid, decided, repeats, kills, isDone }) => {
        const state =
          pid === undefined ? (isDone ? this.#in(2, '   done') : this.#in(31, '   down')) : String(pid).padStart(7)
        return `  ${name.padEnd(12)}${state}${String(decided).padStart(10)}${String(repeats).padStart(8)}${String(kills).padStart(9)}`
      }),
    ]
    this.#out.write(`${lines.join('\n')}\n`)
    this.#shown = lines.length
  }

  #clear(): void {
    if (this.#shown > 0) this.#out.write(`\x1b[${this.#shown}A\x1b[0J`)
    this.#shown = 0
  }

  #in(colour: number, text: string): string {
    return this.#isColoured ? `\x1b[${colour}m${text}\x1b[0m` : text
  }
}
