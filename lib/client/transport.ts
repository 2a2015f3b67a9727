/**
 * One request, one answer: URL, headers, time limit, and failures as HighwaterError. Repeating is the callers' business,
 * because only they know whether a repeat is safe; how long to wait in between stands here.
 */
import { asHighwaterError, errorOfAnswer, HighwaterError } from './error.ts'

/** The part of `fetch` that is used; `globalThis.fetch` is one. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>

export interface OutgoingRequest {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | string | null
}

/** Time and chance, so that tests own them. */
export interface Timing {
  /** Milliseconds since 1970. */
  now(): number
  /** Calls `fire` after the time; what is returned prevents that. */
  timer(durationMs: number, fire: () => void): () => void
  /** Uniform in [0, 1). */
  random(): number
}

/** The longest that a timer can be set; a longer one would fire at once. */
const timerMsMax = 2 ** 31 - 1

export const systemTiming: Timing = {
  now: () => Date.now(),
  timer(durationMs, fire) {
    const timer = setTimeout(fire, Math.min(Math.max(0, durationMs), timerMsMax))
    return () => clearTimeout(timer)
  },
  random: () => Math.random(),
}

export interface TransportOptions {
  /** Of the server, with a path prefix where there is one. */
  readonly url: string | URL
  readonly fetch?: Fetch
  readonly headers?: Readonly<Record<string, string>>
  readonly authorize?: (
    request: OutgoingRequest,
  ) => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>
  readonly timeoutMs: number
  readonly retryTimeoutMs: number
  readonly retryDelayMs: number
  readonly retryDelayMsMax: number
  readonly timing: Timing
}

export interface Ask {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Segments of the path, encoded here. */
  readonly path: readonly string[]
  readonly query?: Readonly<Record<string, string | number | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | string | null
  /** @default that of the transport */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
  /** Past caches, where an answer turned out to be damaged. */
  readonly isFresh?: boolean
}

export interface AnswerRead {
  readonly status: number
  readonly headers: Headers
  readonly body: Uint8Array<ArrayBuffer>
}

/** Most that a `Retry-After` is believed. */
const retryAfterMsMax = 60_000

export class Transport {
  readonly options: TransportOptions
  readonly timing: Timing
  readonly #base: string
  readonly #fetch: Fetch

  constructor(options: TransportOptions) {
    this.options = options
    this.timing = options.timing
    const url = new URL(options.url)
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new TypeError(`${url} is neither http nor https`)
    if (url.username !== '' || url.password !== '')
      throw new TypeError('Credentials belong into `headers`, not into the URL: fetch does not take them there')
    this.#base = `${url.origin}${url.pathname.replace(/\/+$/, '')}`
    // A browser's fetch must not be called as a method of something else.
    const given = options.fetch ?? globalThis.fetch
    this.#fetch = (input, init) => given(input, init)
  }

  /** Sends once. Any answer of 2xx is returned with its body read; everything else is thrown as a HighwaterError. */
  async ask(ask: Ask): Promise<AnswerRead> {
    const { method, path, body = null, timeoutMs = this.options.timeoutMs, signal } = ask
    const asked = `${method} /${path.join('/')}`
    if (signal?.aborted) throw aborted(asked)
    const url = this.#urlOf(ask)

    const control = new AbortController()
    let cause: 'timeout' | 'signal' | undefined
    const stop = (why: 'timeout' | 'signal') => {
      cause ??= why
      control.abort()
    }
    const onAbort = () => stop('signal')
    const clear = this.timing.timer(timeoutMs, () => stop('timeout'))
    signal?.addEventListener('abort', onAbort)
    try {
      const response = await this.#send(ask, method, url, body, control.signal)
      const answer = {
        status: response.status,
        headers: response.headers,
        body: new Uint8Array(await response.arrayBuffer()),
      }
      if (response.redirected && method !== 'GET') throw redirected(asked, response)
      if (response.ok) return answer
      throw errorOfAnswer(answer, asked)
    } catch (thrown) {
      if (thrown instanceof HighwaterError) throw thrown
      if (cause === 'signal') throw aborted(asked)
      if (cause === 'timeout')
        throw new HighwaterError('REQUEST_TIMEOUT', `${asked} was not answered within ${timeoutMs} ms`, {
          retriable: true,
          effects: 'possible',
          cause: thrown,
        })
      throw asHighwaterError(thrown, asked)
    } finally {
      clear()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /**
   * Sends until it succeeds, for at most `forMs` (the client's `retryTimeoutMs` unless said): again only after a failure that is retriable and, unless the
   * call `isRead` and so has no effects to repeat, that certainly did nothing.
   */
  async askUntilAnswered(ask: Ask, isRead: boolean, forMs = this.options.retryTimeoutMs): Promise<AnswerRead> {
    const untilMs = this.timing.now() + forMs
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.ask(ask)
      } catch (thrown) {
        const error = asHighwaterError(thrown, `${ask.method} /${ask.path.join('/')}`)
        if (!error.retriable || (error.effects === 'possible' && !isRead)) throw error
        const delayMs = this.retryDelayMs(attempt, error.retryAfterMs)
        if (this.timing.now() + delayMs >= untilMs) throw error
        await this.sleep(delayMs, ask.signal)
      }
    }
  }

  /** Resolves after the time, or at once when the signal aborts. Never rejects. */
  sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const finish = () => {
        clear()
        signal?.removeEventListener('abort', finish)
        resolve()
      }
      const clear = this.timing.timer(durationMs, finish)
      signal?.addEventListener('abort', finish)
    })
  }

  /** Before the attempt after `attempt` (from 0): doubling with jitter, and never sooner than the server asks. */
  retryDelayMs(attempt: number, retryAfterMs = 0): number {
    const { retryDelayMs, retryDelayMsMax } = this.options
    const full = Math.min(retryDelayMsMax, retryDelayMs * 2 ** Math.min(attempt, 30))
    // The half that is drawn spreads those who failed together; a server's wish is spread upwards only.
    const drawn = full * (0.5 + this.timing.random() / 2)
    return Math.max(drawn, Math.min(retryAfterMs, retryAfterMsMax) * (1 + this.timing.random() / 10))
  }

  #urlOf({ path, query }: Ask): string {
    let url = `${this.#base}/${path.map(encodeSegment).join('/')}`
    let separator = '?'
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value === undefined) continue
      url += `${separator}${name}=${encodeURIComponent(value)}`
      separator = '&'
    }
    return url
  }

  async #send(ask: Ask, method: string, url: string, body: Uint8Array | string | null, signal: AbortSignal) {
    const { headers, authorize } = this.options
    let sent: Record<string, string> = { ...headers, ...ask.headers }
    if (authorize !== undefined)
      sent = { ...sent, ...(await authorized(authorize, { method, url, headers: sent, body })) }
    const init: RequestInit = { method, headers: sent, signal }
    if (body !== null) init.body = body as Uint8Array<ArrayBuffer> | string
    if (ask.isFresh) init.cache = 'reload'
    return this.#fetch(url, init)
  }
}

/** The JSON of an answer, or UNEXPECTED_ANSWER: somebody else answers there, after who knows what became of the request. */
export function jsonOf<Value>(answer: AnswerRead, asked: string): Value {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(answer.body))
    if (typeof value === 'object' && value !== null) return value as Value
  } catch {
    // Falls through: not JSON is not our server's answer.
  }
  throw new HighwaterError('UNEXPECTED_ANSWER', `${asked} was answered with something that is not a JSON object`, {
    status: answer.status,
    retriable: true,
    effects: 'possible',
  })
}

/** `records:batch` keeps its colon; a segment of dots alone would be taken for a step up by whoever normalizes paths. */
function encodeSegment(segment: string): string {
  return encodeURIComponent(segment).replaceAll('%3A', ':')
}

async function authorized(authorize: NonNullable<TransportOptions['authorize']>, request: OutgoingRequest) {
  try {
    return await authorize(request)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new HighwaterError('UNAUTHORIZED', `authorize failed, so nothing was sent: ${reason}`, { cause })
  }
}

/** On its way round, a POST has become a GET or has been sent to whom it was not meant for. */
function redirected(asked: string, response: Response): HighwaterError {
  const message = `${asked} was redirected to ${response.url}; use the URL of the server itself`
  return new HighwaterError('UNEXPECTED_ANSWER', message, { status: response.status, effects: 'none' })
}

function aborted(asked: string): HighwaterError {
  return new HighwaterError('ABORTED', `${asked} was aborted`, { effects: 'possible' })
}
