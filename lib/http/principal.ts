/**
 * Who asks, in one word: what a request makes that is somebody's (a consumer instance) belongs to its principal, and is shown
 * to no other. The kind stands first, so that no two kinds can ever meet.
 *
 *     key:<key id>                    an API key, checked here or by the gateway's authorizer
 *     iam:<account>:<unique id>       an IAM user or role
 *     jwt:<issuer>|<subject>          a token that the gateway has checked
 *
 * Of a role, the role and not the session: its unique id (`AROA…`) is never given twice, while one process changes its session
 * whenever its credentials are renewed, and would then be a stranger to what it made itself. Whoever may take on the role has
 * all of its rights anyway.
 */

export function principalOfKey(keyId: string): string {
  return `key:${keyId}`
}

/** What API Gateway (HTTP API) and function URLs put into an event's `requestContext`, as far as it says who asks. */
export interface RequestAuthorizer {
  readonly iam?: { readonly accountId?: string; readonly userId?: string } | null
  readonly jwt?: { readonly claims?: Readonly<Record<string, unknown>> | null } | null
  /** The context that our authorizer answered. */
  readonly lambda?: Readonly<Record<string, unknown>> | null
}

/**
 * The principal of a request that came through a gateway; undefined where the gateway asks nobody who he is. Only the gateway
 * can say it: nothing that a caller sends gets into `requestContext.authorizer`.
 */
export function principalOf(authorizer: RequestAuthorizer | null | undefined): string | undefined {
  const { iam, jwt, lambda } = authorizer ?? {}
  // `AIDA…` for a user; for a role `AROA…:session`.
  const [uniqueId] = iam?.userId?.split(':') ?? []
  if (iam?.accountId !== undefined && uniqueId !== undefined && uniqueId !== '')
    return `iam:${iam.accountId}:${uniqueId}`
  const { iss, sub, client_id: clientId } = jwt?.claims ?? {}
  // A token of a program, rather than of a person, may have no subject.
  const subject = sub ?? clientId
  if (subject !== undefined) return `jwt:${String(iss)}|${String(subject)}`
  return typeof lambda?.keyId === 'string' ? principalOfKey(lambda.keyId) : undefined
}
