/** What goes wrong, as a client sees it: the server's catalogue, and the few things that happen before or instead of an answer. */
import { type ErrorCode, errorCatalogue } from '../core/errors.ts'

/** Codes beside those of the catalogue. */
export const clientErrorCodes = {
  /** No answer: the connection failed. The request may have been carried out. */
  CONNECTION_FAILED: 'Check the URL and the network; the client has tried again by itself where that was safe.',
  /** No answer within the time given. The request may have been carried out. */
  REQUEST_TIMEOUT: 'Raise timeoutMs, or find out why the server is slow.',
  /** An answer that no Highwater server gives: a proxy's, a gateway's, or another server's. */
  UNEXPECTED_ANSWER: 'Check that the URL leads to a Highwater server.',
  /** 401, or 403 without a code of the catalogue: whoever stands before the server refused the credentials. */
  UNAUTHORIZED: 'Check `apiKey`, `headers` or `authorize`, and what they allow.',
  /** The record could not be delivered within deliveryTimeoutMs; `effects` says whether it may have been. */
  DELIVERY_TIMEOUT: 'Look at the cause; send again if `effects` is "none".',
  /** The caller's AbortSignal. */
  ABORTED: 'Nothing: it was asked for.',
  /** The producer or reader was closed. */
  CLOSED: 'Open another one.',
  /** A batch is compressed in a way that this client cannot read, and the server did not help. */
  UNSUPPORTED_CODEC: 'Pass a codec in `codecs`.',
} as const

export type HighwaterErrorCode = ErrorCode | keyof typeof clientErrorCodes

export interface HighwaterErrorDetails {
  /** Of the answer; 0 where there was none. @default 0 */
  readonly status?: number
  /** Can the same call succeed later? @default false */
  readonly retriable?: boolean
  /** `possible`: what was asked may have been done all the same. @default 'none' */
  readonly effects?: 'none' | 'possible'
  /** How long the server asks to wait. */
  readonly retryAfterMs?: number
  /** OFFSET_OUT_OF_RANGE: the offsets that can be read, end exclusive. */
  readonly startOffset?: number
  readonly endOffset?: number
  /** OUT_OF_ORDER_SEQUENCE_NUMBER. */
  readonly expectedSequence?: number
  readonly cause?: unknown
}

/**
 * Every failure that this client reports.
 *
 * @example
 * try {
 *   await highwater.admin.createTopic('orders')
 * } catch (error) {
 *   if (!(error instanceof HighwaterError && error.code === 'TOPIC_ALREADY_EXISTS')) throw error
 * }
 */
export class HighwaterError extends Error {
  /** From the catalogue (docs/errors.md), or one of the client's own. */
  readonly code: HighwaterErrorCode
  /** HTTP status of the answer; 0 where there was none. */
  readonly status: number
  /** Can the same call succeed later? */
  readonly retriable: boolean
  /** `possible`: what was asked may have been done although it failed. */
  readonly effects: 'none' | 'possible'
  readonly retryAfterMs: number | undefined
  readonly startOffset: number | undefined
  readonly endOffset: number | undefined
  readonly expectedSequence: number | undefined

  constructor(code: HighwaterErrorCode, message: string, details: HighwaterErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'HighwaterError'
    this.code = code
    this.status = details.status ?? 0
    this.retriable = details.retriable ?? false
    this.effects = details.effects ?? 'none'
    this.retryAfterMs = details.retryAfterMs
    this.startOffset = details.startOffset
    this.endOffset = details.endOffset
    this.expectedSequence = details.expectedSequence
  }

  /** One sentence on what the caller can do. */
  get whatToDo(): string {
    return this.code in clientErrorCodes
      ? clientErrorCodes[this.code as keyof typeof clientErrorCodes]
      : errorCatalogue[this.code as ErrorCode].whatToDo
  }
}

/** What of an answer an error is made of. A web `Response` whose body was read has it. */
export interface FailedAnswer {
  readonly status: number
  readonly headers: { get(name: string): string | null }
  readonly body: Uint8Array
}

/**
 * The error in an answer that is no success. The code comes from `Highwater-Error`; without it (a gateway's answer, an
 * older server) from `error_code` where the catalogue has that number once, and last from the status. What a gateway
 * answered in the server's place may have been carried out: only a status below 500 says that it was not (D4).
 */
export function errorOfAnswer(answer: FailedAnswer, asked: string): HighwaterError {
  const { status, headers } = answer
  const body = parseBody(answer.body)
  const code = headerCode(headers.get('highwater-error')) ?? bodyCode(body.errorCode, status)
  const retryAfterMs = retryAfterOf(headers.get('retry-after'))
  const details = {
    status,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...numbers(headers, {
      startOffset: 'highwater-start-offset',
      endOffset: 'highwater-high-watermark',
      expectedSequence: 'producer-expected-seq',
    }),
  }
  if (code !== undefined) {
    const { retriable, effects } = errorCatalogue[code]
    return new HighwaterError(code, body.message ?? `${asked} was answered with ${code}.`, {
      ...details,
      retriable,
      effects,
    })
  }
  const said = body.message === undefined ? '' : `: ${body.message}`
  const message = `${asked} was answered with status ${status}${said}`
  if (status === 401 || status === 403) return new HighwaterError('UNAUTHORIZED', message, details)
  if (status === 429) return new HighwaterError('TOO_MANY_REQUESTS', message, { ...details, retriable: true })
  if (status === 413) return new HighwaterError('REQUEST_TOO_LARGE', message, details)
  if (status >= 400 && status < 500) return new HighwaterError('UNEXPECTED_ANSWER', message, details)
  return new HighwaterError('UNEXPECTED_ANSWER', message, { ...details, retriable: true, effects: 'possible' })
}

/** Whatever was thrown, as a HighwaterError. */
export function asHighwaterError(thrown: unknown, asked: string): HighwaterError {
  if (thrown instanceof HighwaterError) return thrown
  return new HighwaterError('CONNECTION_FAILED', `${asked} failed: ${reasonOf(thrown)}`, {
    retriable: true,
    effects: 'possible',
    cause: thrown,
  })
}

/** `fetch` says little itself; what happened is in the cause, or in the cause's parts. */
function reasonOf(thrown: unknown): string {
  let reason: unknown = thrown
  for (let depth = 0; depth < 4 && reason instanceof Error; depth++) {
    const code = (reason as { code?: unknown }).code
    if (reason instanceof AggregateError && reason.errors.length > 0) reason = reason.errors[0]
    else if (reason.cause instanceof Error) reason = reason.cause
    else return reason.message === '' && typeof code === 'string' ? code : reason.message
  }
  return String(reason)
}

function headerCode(text: string | null): ErrorCode | undefined {
  return text !== null && Object.hasOwn(errorCatalogue, text) ? (text as ErrorCode) : undefined
}

function bodyCode(restCode: number | undefined, status: number): ErrorCode | undefined {
  if (restCode === undefined) return undefined
  let found: ErrorCode | undefined
  for (const [code, entry] of Object.entries(errorCatalogue)) {
    if (entry.restCode !== restCode || entry.status !== status) continue
    if (found !== undefined) return undefined
    found = code as ErrorCode
  }
  return found
}

function parseBody(bytes: Uint8Array): { errorCode?: number; message?: string } {
  if (bytes.length === 0 || bytes.length > 1_048_576) return {}
  const text = new TextDecoder().decode(bytes)
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null) return {}
    const { error_code: errorCode, message } = value as { error_code?: unknown; message?: unknown }
    return {
      ...(typeof errorCode === 'number' ? { errorCode } : {}),
      ...(typeof message === 'string' ? { message } : {}),
    }
  } catch {
    return /^[\s\x21-\x7e]{1,200}$/.test(text) && !text.includes('<') ? { message: text.trim() } : {}
  }
}

/** Seconds; the other form of the header, a date, needs a clock that agrees with the server's and is not read. */
function retryAfterOf(text: string | null): number | undefined {
  return text !== null && /^[0-9]{1,9}$/.test(text) ? Number(text) * 1_000 : undefined
}

function numbers<Name extends string>(
  headers: FailedAnswer['headers'],
  names: Readonly<Record<Name, string>>,
): Partial<Record<Name, number>> {
  const found: Partial<Record<Name, number>> = {}
  for (const name in names) {
    const text = headers.get(names[name])
    if (text !== null && /^-?[0-9]{1,16}$/.test(text)) found[name] = Number(text)
  }
  return found
}
