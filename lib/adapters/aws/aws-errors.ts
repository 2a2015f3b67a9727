/**
 * What S3 and DynamoDB answer when they do not do what was asked, in the words of the ports. The question that matters is
 * one: may the write have taken effect (D4)? `none` is only said where the service itself says that it did nothing, or
 * where nothing was sent.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { Unavailable } from '../../core/errors.ts'

/** Answers that the service gives instead of doing the work: the same attempt may be sent again at once, whatever it is. */
const notAppliedNames: ReadonlySet<string> = new Set([
  // DynamoDB. A conflict with somebody's transaction is not in the SDK's own list of what to retry.
  'ProvisionedThroughputExceededException',
  'RequestLimitExceeded',
  'ThrottlingException',
  'Throttling',
  'TooManyRequestsException',
  'TransactionConflictException',
  'ReplicatedWriteConflictException',
  // S3. The conflict is a conditional write that raced another one.
  'SlowDown',
  'ConditionalRequestConflict',
  'OperationAborted',
])

/** Reasons of a cancelled transaction that pass by themselves. */
const passingReasons: ReadonlySet<string> = new Set([
  'TransactionConflict',
  'ThrottlingError',
  'ProvisionedThroughputExceeded',
  'RequestLimitExceeded',
])

/** Answers to a request that should not have been made: our bug, or a limit that core should have held. */
const bugNames: ReadonlySet<string> = new Set([
  'ValidationException',
  'SerializationException',
  'InvalidArgument',
  'InvalidRequest',
  'EntityTooLarge',
  'KeyTooLongError',
])

/** The connection never came to be. */
const notSentCodes: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
])

interface Failure {
  readonly name: string
  readonly message: string
  readonly code?: unknown
  readonly CancellationReasons?: readonly { readonly Code?: string | undefined }[]
  readonly $metadata?: { readonly httpStatusCode?: number }
}

/** Times one attempt is sent while the service says that it was not applied (D8). */
export const attemptsMax = 8
const firstDelayMs = 5
const delayMsMax = 200

/** Sends until the service does the work, refuses it, or has said `attemptsMax` times that it did not even look at it. */
export async function attempted<Answer>(send: () => Promise<Answer>): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await send()
    } catch (error) {
      if (attempt === attemptsMax || !isCertainlyNotApplied(failureOf(error))) throw error
      // Half of it by chance, so that those who met here do not meet again.
      await wait(Math.min(firstDelayMs * 2 ** attempt, delayMsMax) * (0.5 + Math.random() / 2))
    }
  }
}

function isCertainlyNotApplied(failure: Failure): boolean {
  if (notAppliedNames.has(failure.name)) return true
  if (failure.name !== 'TransactionCanceledException') return false
  const codes = (failure.CancellationReasons ?? []).map((reason) => reason.Code ?? 'None')
  return (
    codes.some((code) => passingReasons.has(code)) && codes.every((code) => code === 'None' || passingReasons.has(code))
  )
}

/** The error to throw for what a client threw: `Unavailable`, or the error itself where it tells of a bug. */
export function translated(action: string, kind: 'read' | 'write', error: unknown): unknown {
  if (error instanceof Unavailable || isBug(error)) return error
  const failure = failureOf(error)
  const message = `${action} failed: ${failure.name}: ${failure.message}`
  const possible = kind === 'write' ? 'possible' : 'none'
  if (isCertainlyNotApplied(failure)) return new Unavailable(message, 'none', 'throttled', error)
  // The SDK calls a cut connection a timeout too; and S3 says 400 to a request whose body did not come in time.
  const isTimeout = failure.name === 'TimeoutError' && failure.code !== 'ECONNRESET' && failure.code !== 'EPIPE'
  if (isTimeout || failure.name === 'RequestTimeout') return new Unavailable(message, possible, 'timeout', error)
  const status = failure.$metadata?.httpStatusCode
  // Permissions, credentials, a missing table or bucket: looked at and turned away.
  const isTurnedAway = status !== undefined && status >= 400 && status < 500
  const isUnsent =
    failure.name === 'CredentialsProviderError' || (typeof failure.code === 'string' && notSentCodes.has(failure.code))
  return new Unavailable(message, isTurnedAway || isUnsent ? 'none' : possible, 'failed', error)
}

function isBug(error: unknown): boolean {
  if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) return true
  const failure = failureOf(error)
  if (bugNames.has(failure.name)) return true
  return failure.CancellationReasons?.some((reason) => reason.Code === 'ValidationError') === true
}

function failureOf(error: unknown): Failure {
  return error instanceof Error ? error : { name: 'Error', message: String(error) }
}
