/**
 * The authorizer of an HTTP API (payload 2.0, simple responses) where callers show API keys. It sees a route's key and the
 * headers, and says yes or no; who asks goes on to the function as `requestContext.authorizer.lambda.keyId`.
 */
import { needOfRouteKey, noKey, parseAuthorization, type RouteNeeds } from '../core/api-key.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { ApiKeys } from '../log/api-keys.ts'

/** Of the event, what is read. */
export interface AuthorizerEvent {
  /** `POST /topics/{topic}`, or `$default`. */
  readonly routeKey?: string
  readonly headers?: Readonly<Record<string, string | undefined>> | null
}

export interface AuthorizerAnswer {
  readonly isAuthorized: boolean
  /** For the function, and for the gateway's access log (`$context.authorizer.reason`). Never a secret. */
  readonly context: { readonly keyId?: string; readonly reason?: ErrorCode }
}

/** Rejects where the store cannot be asked, which is no yes (A1); the gateway then answers 500. */
export function createAuthorizer(
  keys: Pick<ApiKeys, 'check'>,
  needs: RouteNeeds,
): (event: AuthorizerEvent) => Promise<AuthorizerAnswer> {
  return async ({ routeKey = '$default', headers }) => {
    const credentials = parseAuthorization(headerOf(headers ?? {}, 'authorization'))
    if (credentials === undefined) return { isAuthorized: false, context: { reason: noKey.code } }
    const verdict = await keys.check(credentials, needOfRouteKey(needs, routeKey))
    if (verdict.ok) return { isAuthorized: true, context: { keyId: verdict.key.id } }
    return { isAuthorized: false, context: { keyId: credentials.keyId, reason: verdict.code } }
  }
}

function headerOf(headers: NonNullable<AuthorizerEvent['headers']>, name: string): string | undefined {
  for (const [each, value] of Object.entries(headers)) if (each.toLowerCase() === name) return value
  return undefined
}
