/** The real clock and the real dice. */
import { getRandomValues } from 'node:crypto'
import type { Clock, Random } from '../ports.ts'

/** The longest a timer of Node can be set; a longer one would fire at once. */
const timerMsMax = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  async sleep(durationMs, signal) {
    // Node's shortest timer is a whole millisecond; no time at all is the end of this turn of the event loop.
    if (durationMs <= 0) return new Promise((resolve) => setImmediate(resolve))
    let leftMs = durationMs
    do {
      await timer(Math.min(leftMs, timerMsMax), signal)
      leftMs -= timerMsMax
    } while (leftMs > 0 && signal?.aborted !== true)
  },
}

/** Resolves after the time or when aborted, leaving neither a timer nor a listener behind. */
function timer(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve()
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timeout)
      signal?.removeEventListener('abort', finish)
      resolve()
    }
    const timeout = setTimeout(finish, Math.max(0, durationMs))
    signal?.addEventListener('abort', finish)
  })
}

/** Random words are drawn in blocks: one call into the generator for each number would dominate the making of an id. */
const words = new Uint32Array(256)
let nextWord = words.length

/** Uniform in [0, 1) with 53 random bits, from the operating system's generator. */
export const systemRandom: Random = () => {
  if (nextWord === words.length) {
    getRandomValues(words)
    nextWord = 0
  }
  const high = (words[nextWord++] ?? 0) >>> 5
  const low = (words[nextWord++] ?? 0) >>> 6
  return (high * 2 ** 26 + low) / 2 ** 53
}
