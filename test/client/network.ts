/** A network between client and server that fails by seed: before the effect, after it, twice, and late. */
import type { TestContext } from 'node:test'
import type { Fetch, Timing } from '../../lib/client/transport.ts'

/** How often in a hundred requests. */
export interface Weather {
  /** The request never arrives. */
  readonly lostRequest?: number
  /** It is carried out; the answer never arrives. */
  readonly lostAnswer?: number
  /** The server says that it did nothing. */
  readonly unavailable?: number
  /** A gateway answers in its place, after it was carried out. */
  readonly gateway?: number
  /** It is carried out twice. */
  readonly twice?: number
  /** Lost, and carried out some requests later. */
  readonly late?: number
}

export const roughWeather: Weather = {
  lostRequest: 8,
  lostAnswer: 10,
  unavailable: 8,
  gateway: 5,
  twice: 8,
  late: 6,
}

export interface Seen {
  readonly method: string
  readonly path: string
  readonly body: Uint8Array
}

export class Network {
  weather: Weather
  /** Every request as the client made it. */
  readonly seen: Seen[] = []
  readonly #server: (request: Request) => Promise<Response>
  readonly #random: () => number
  readonly #late: { dueAt: number; send: () => Promise<unknown> }[] = []
  readonly #isConcerned: (request: Seen) => boolean
  #count = 0

  /** @param isConcerned which requests the weather is about; the others always pass */
  constructor(
    server: (request: Request) => Promise<Response>,
    weather: Weather = {},
    seed = 1,
    isConcerned: (request: Seen) => boolean = () => true,
  ) {
    this.#server = server
    this.weather = weather
    this.#random = randomOf(seed)
    this.#isConcerned = isConcerned
  }

  readonly fetch: Fetch = async (url, init) => {
    const { method = 'GET', headers = {}, body = null, signal = null } = init
    const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : ((body as Uint8Array | null) ?? noBytes)
    const copy = bytes.slice()
    const seen: Seen = { method, path: new URL(url).pathname, body: copy }
    this.seen.push(seen)
    this.#count++
    const send = () =>
      this.#server(new Request(url, { method, headers, signal, ...(body === null ? {} : { body: copy.slice() }) }))
    const carry = () =>
      this.#server(new Request(url, { method, headers, ...(body === null ? {} : { body: copy.slice() }) }))
    await this.#deliverLate()
    if (!this.#isConcerned(seen)) return send()

    let die = this.#random() * 100
    const falls = (percent = 0) => {
      die -= percent
      return die < 0
    }
    const { weather } = this
    if (falls(weather.lostRequest)) throw new TypeError('fetch failed')
    if (falls(weather.lostAnswer)) {
      await carry()
      throw new TypeError('fetch failed')
    }
    if (falls(weather.unavailable))
      return new Response('{"error_code":50301,"message":"The store does not answer."}', {
        status: 503,
        headers: { 'content-type': 'application/json', 'highwater-error': 'STORAGE_UNAVAILABLE' },
      })
    if (falls(weather.gateway)) {
      await carry()
      return new Response('<html>Bad Gateway</html>', { status: 502, headers: { 'content-type': 'text/html' } })
    }
    if (falls(weather.twice)) {
      const [first] = await Promise.all([send(), carry()])
      return first
    }
    if (falls(weather.late)) {
      this.#late.push({ dueAt: this.#count + 1 + Math.floor(this.#random() * 12), send: carry })
      throw new TypeError('fetch failed')
    }
    return send()
  }

  /** What is still under way arrives. */
  async settle(): Promise<void> {
    for (const late of this.#late.splice(0)) await late.send()
  }

  async #deliverLate(): Promise<void> {
    for (const late of this.#late.filter((late) => late.dueAt <= this.#count)) {
      this.#late.splice(this.#late.indexOf(late), 1)
      await late.send()
    }
  }
}

const noBytes = new Uint8Array(0)

/** mulberry32 */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Time that passes only when it is told to. */
export class ManualTiming implements Timing {
  #nowMs = 1_700_000_000_000
  #timers: { atMs: number; fire: () => void }[] = []

  now(): number {
    return this.#nowMs
  }

  random(): number {
    return 0.5
  }

  timer(durationMs: number, fire: () => void): () => void {
    const timer = { atMs: this.#nowMs + durationMs, fire }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  /** Fires what is due, in order, and lets what follows from it happen. */
  async advance(durationMs: number): Promise<void> {
    const untilMs = this.#nowMs + durationMs
    await settled()
    for (;;) {
      const due = this.#timers.filter((timer) => timer.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (due === undefined) break
      this.#timers = this.#timers.filter((timer) => timer !== due)
      this.#nowMs = Math.max(this.#nowMs, due.atMs)
      due.fire()
      await settled()
    }
    this.#nowMs = untilMs
  }
}

/** Everything that can happen without time passing has happened (in memory, nothing waits for the outside). */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** A platform without streams that compress or decompress, until the test is over: clients made meanwhile have no gzip. */
export function withoutStreams(context: TestContext): void {
  const { DecompressionStream } = globalThis
  Reflect.deleteProperty(globalThis, 'DecompressionStream')
  context.after(() => {
    globalThis.DecompressionStream = DecompressionStream
  })
}
