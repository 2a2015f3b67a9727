/**
 * Gathering: what is in flight in one process goes into one segment. A flush is sent off when it is full, or after the
 * linger; while `flushesInFlightMax` are writing, appends wait and gather. Bounded by `pendingBytesMax` (D8).
 */
import { refusal, Unavailable } from '../core/errors.ts'
import { refusalOfUnavailable } from './commit-outcomes.ts'
import type { Context } from './context.ts'
import type { AppendOutcome, FlushProgress, PendingAppend } from './flush.ts'
import { flush } from './flush.ts'
import { PartitionQueue } from './partition-queue.ts'

/** A reason of our own: without one, each abort makes an exception with a stack. */
const sent = 'sent'

export class Gather {
  readonly #context: Context
  readonly #queue = new PartitionQueue()
  #waiting: PendingAppend[] = []
  #waitingBytes = 0
  #inFlight = 0
  #lingering: AbortController | undefined
  #isClosed = false
  #isHurried = false

  constructor(context: Context) {
    this.#context = context
  }

  /** Adds the append to the next flush and resolves with its outcome. */
  add(append: Omit<PendingAppend, 'settle'>): Promise<AppendOutcome> {
    const { settings, waiting } = this.#context
    if (this.#isClosed)
      return settled({ kind: 'refused', refusal: refusalOfUnavailable(new Unavailable('closed', 'none', 'closed')) })
    const sizeBytes = append.bytes.byteLength
    if (waiting.appendBytes + sizeBytes > settings.pendingBytesMax)
      return settled({
        kind: 'refused',
        refusal: refusal(
          'TOO_MANY_REQUESTS',
          `${waiting.appendBytes} bytes are waiting to be written, at most ${settings.pendingBytesMax} may; nothing was written.`,
          { retryAfterMs: 100 },
        ),
      })
    waiting.appendBytes += sizeBytes
    return new Promise<AppendOutcome>((resolve) => {
      let isOpen = true
      const settle = (outcome: AppendOutcome) => {
        if (!isOpen) return
        isOpen = false
        waiting.appendBytes -= sizeBytes
        resolve(outcome)
      }
      this.#waiting.push({ ...append, settle })
      this.#waitingBytes += sizeBytes
      this.#consider()
    })
  }

  /** From here on nothing waits for company. */
  hurry(): void {
    this.#isHurried = true
    this.#lingering?.abort(sent)
  }

  /** No more appends; those that wait are written. */
  close(): void {
    this.#isClosed = true
    this.hurry()
  }

  #consider(): void {
    if (this.#waiting.length === 0 || this.#inFlight >= this.#context.settings.flushesInFlightMax) return
    if (this.#waitingBytes >= this.#context.settings.segmentBytesMax) this.#send()
    else if (this.#lingering === undefined) {
      const lingering = new AbortController()
      this.#lingering = lingering
      const lingerMs = this.#isHurried ? 0 : this.#context.settings.lingerMs
      this.#context.beside(async () => {
        await this.#context.clock.sleep(lingerMs, lingering.signal)
        if (this.#lingering === lingering) this.#lingering = undefined
        if (this.#waiting.length > 0 && this.#inFlight < this.#context.settings.flushesInFlightMax) this.#send()
      })
    }
  }

  #send(): void {
    this.#lingering?.abort(sent)
    this.#lingering = undefined
    const { appends, isFull } = this.#take()
    this.#inFlight++
    let holdsPlace = true
    const giveWay = () => {
      if (!holdsPlace) return
      holdsPlace = false
      this.#inFlight--
      this.#consider()
    }
    this.#context.beside(async () => {
      try {
        const progress: FlushProgress = {
          // Of a full one the next has nothing to gain by waiting; behind a small one, appends gather until it is answered.
          uploaded: () => isFull && giveWay(),
          attempted: giveWay,
        }
        // Whatever called: it may be the flush before.
        await this.#context.within({ operation: 'produce' }, () => flush(this.#context, this.#queue, appends, progress))
      } finally {
        giveWay()
      }
    })
    this.#consider()
  }

  /** The appends of one segment: up to the size, at least one. `isFull`: no more of them would have fitted, as far as is known. */
  #take(): { appends: PendingAppend[]; isFull: boolean } {
    const { segmentBytesMax } = this.#context.settings
    let count = 0
    let bytes = 0
    for (const append of this.#waiting) {
      if (count > 0 && bytes + append.bytes.byteLength > segmentBytesMax) break
      bytes += append.bytes.byteLength
      count++
    }
    this.#waitingBytes -= bytes
    const appends = this.#waiting.splice(0, count)
    return { appends, isFull: this.#waiting.length > 0 || bytes >= segmentBytesMax }
  }
}

function settled(outcome: AppendOutcome): Promise<AppendOutcome> {
  return Promise.resolve(outcome)
}
