/** Answers as plain values, and the one place where a refusal becomes one. */
import { type ErrorCode, errorCatalogue, type Refusal, Unavailable } from '../core/errors.ts'
import type { Reply } from './route.ts'

export type Headers = Readonly<Record<string, string>>

export const jsonType = 'application/json'

/** @param contentType @default 'application/json' */
export function jsonReply(status: number, value: unknown, headers: Headers = {}, contentType = jsonType): Reply {
  return { status, headers: { 'content-type': contentType, ...headers }, body: JSON.stringify(value) }
}

export function emptyReply(status: 202 | 204 | 304, headers: Headers = {}): Reply {
  return { status, headers, body: null }
}

/** The error body of every Kafka REST face, also inside lists of answers. */
export function errorBody(refusal: Refusal): { error_code: number; message: string } {
  return { error_code: errorCatalogue[refusal.code].restCode, message: refusal.message }
}

/**
 * A refusal as an answer. `Highwater-Error` names the code of the catalogue (several codes share a number of the Kafka REST
 * conventions); the other headers are what the loser needs to go on.
 */
export function refusalReply(refusal: Refusal, headers: Headers = {}, contentType = jsonType): Reply {
  return jsonReply(
    errorCatalogue[refusal.code].status,
    errorBody(refusal),
    { ...refusalHeaders(refusal), ...headers },
    contentType,
  )
}

export function refusalHeaders(refusal: Refusal): Headers {
  const { code, details = {} } = refusal
  const headers: Record<string, string> = { 'highwater-error': code, 'cache-control': 'no-store' }
  const set = (name: string, value: number | undefined) => {
    if (value !== undefined) headers[name] = String(value)
  }
  if (details.retryAfterMs !== undefined) set('retry-after', Math.ceil(details.retryAfterMs / 1_000))
  else if (retryAfterCodes.has(code)) set('retry-after', 1)
  // Some clients send a user and a password only after they were asked for them.
  if (code === 'AUTHENTICATION_FAILED')
    headers['www-authenticate'] = 'Bearer realm="highwater", Basic realm="highwater"'
  if (code === 'OUT_OF_ORDER_SEQUENCE_NUMBER') set('producer-expected-seq', details.expectedSequence)
  if (code === 'DUPLICATE_SEQUENCE_NUMBER') set('producer-seq', details.lastSequence)
  if (code === 'INVALID_PRODUCER_EPOCH') set('producer-epoch', details.epoch)
  if (code === 'FENCED_LEADER_EPOCH') set('highwater-leader-epoch', details.epoch)
  if (code === 'UNEXPECTED_END_OFFSET') set('highwater-end-offset', details.endOffset)
  if (code === 'OFFSET_OUT_OF_RANGE') {
    set('highwater-start-offset', details.startOffset)
    set('highwater-high-watermark', details.endOffset)
  }
  return headers
}

const retryAfterCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'TOO_MANY_REQUESTS',
  'STORAGE_FULL',
  'STORAGE_UNAVAILABLE',
  'SHUTTING_DOWN',
])

/**
 * What was thrown, as a refusal: the world failed, or it is our fault. A failed write that may have happened is never called
 * one that did not (D4); reading has no effects to doubt.
 */
export function refusalOfThrown(thrown: unknown, isRead: boolean): Refusal {
  if (!(thrown instanceof Unavailable))
    return { ok: false, code: 'INTERNAL', message: 'Something that must not happen happened here.' }
  return { ok: false, code: unavailableCode(thrown, isRead), message: thrown.message }
}

function unavailableCode(failure: Unavailable, isRead: boolean): ErrorCode {
  if (failure.effects === 'possible' && !isRead) return 'OUTCOME_UNKNOWN'
  switch (failure.why) {
    case 'full':
      return 'STORAGE_FULL'
    case 'throttled':
      return 'TOO_MANY_REQUESTS'
    case 'closed':
      return 'SHUTTING_DOWN'
    case 'failed':
    case 'timeout':
      return 'STORAGE_UNAVAILABLE'
    default:
      return failure.why satisfies never
  }
}
