/** Lets in who shows an API key that allows what is asked: for servers that have no gateway before them that does it. */
import { type Need, noKey, parseAuthorization } from '../core/api-key.ts'
import type { Refusal } from '../core/errors.ts'
import type { Log } from '../log/log.ts'
import { principalOfKey } from './principal.ts'
import type { HttpRequest } from './route.ts'

/** May this be done, and who asks? Nothing of the request was read but its headers. */
export type Guard = (
  request: HttpRequest,
  need: Need,
) => Promise<{ readonly ok: true; readonly principal: string | undefined } | Refusal>

export function requireKeys(log: Pick<Log, 'checkApiKey'>): Guard {
  return async (request, need) => {
    if (need === 'anybody') return { ok: true, principal: undefined }
    const credentials = parseAuthorization(request.headers.get('authorization'))
    if (credentials === undefined) return noKey
    const verdict = await log.checkApiKey(credentials, need)
    return verdict.ok ? { ok: true, principal: principalOfKey(verdict.key.id) } : verdict
  }
}
