/**
 * Virtual time: a queue of events by (time, number). Everything that takes time in a simulation is an event here; between
 * two events everything that can run without time passing has run. No real time, no real chance: the same seed, the same run.
 */

interface Event {
  readonly atMs: number
  readonly number: number
  readonly run: () => void
}

export class World {
  /** Since 1970, with fractions. */
  nowMs: number
  eventsRun = 0
  #nextNumber = 0
  readonly #heap: Event[] = []

  constructor(startMs: number) {
    this.nowMs = startMs
  }

  after(delayMs: number, run: () => void): void {
    this.#push({ atMs: this.nowMs + Math.max(0, delayMs), number: this.#nextNumber++, run })
  }

  sleep(durationMs: number): Promise<void> {
    return new Promise((resolve) => this.after(durationMs, resolve))
  }

  /** Runs events until `isDone` or none is left (then false). Throws after `eventsMax`: something goes round in circles. */
  async run(isDone: () => boolean, eventsMax: number): Promise<boolean> {
    // From here on in a microtask, as `quiet` needs it.
    await undefined
    await quiet()
    while (!isDone()) {
      const event = this.#pop()
      if (event === undefined) return false
      if (++this.eventsRun > eventsMax) throw new Error(`more than ${eventsMax} events`)
      this.nowMs = event.atMs
      event.run()
      await quiet()
    }
    return true
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.push(event) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  #pop(): Event | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    while (true) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.number < b.number)
}

/**
 * Until no promise has anything left to do, and nothing that is simulated waits for anything but promises. Asked for in a
 * microtask, the next tick comes when the queue of microtasks is empty; asked for outside, it comes before the first.
 */
function quiet(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}
