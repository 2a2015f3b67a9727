/** Cross-origin reading, off unless origins are named. */
import { emptyReply, type Headers } from './replies.ts'
import type { HttpRequest, Method, Reply } from './route.ts'

/** What a browser may send besides the safelisted headers. */
export const allowedHeaders: readonly string[] = [
  'Accept',
  'Authorization',
  'Content-Type',
  'Content-Encoding',
  'Idempotency-Key',
  'If-None-Match',
  'Highwater-Expected-Offset',
  'Producer-Id',
  'Producer-Epoch',
  'Producer-Seq',
  'X-Amz-Content-Sha256',
  'X-Amz-Date',
  'X-Amz-Security-Token',
  'X-Request-Id',
]

/** What a page may see of an answer. */
export const exposedHeaders: readonly string[] = [
  'ETag',
  'Location',
  'Retry-After',
  'X-Request-Id',
  'Producer-Epoch',
  'Producer-Seq',
  'Producer-Expected-Seq',
  'Highwater-Duplicate',
  'Highwater-End-Offset',
  'Highwater-Error',
  'Highwater-High-Watermark',
  'Highwater-Next-Offset',
  'Highwater-Start-Offset',
  'Highwater-Topic-Id',
]

/** The headers of an answer to this origin; none where it may not read. @param origins exact, or `*` for every one */
export function corsHeaders(request: HttpRequest, origins: readonly string[]): Headers {
  if (origins.length === 0) return {}
  const origin = request.headers.get('origin')
  if (origins.includes('*'))
    return { 'access-control-allow-origin': '*', 'access-control-expose-headers': exposedHeaders.join(', ') }
  if (origin === null || !origins.includes(origin)) return { vary: 'origin' }
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers': exposedHeaders.join(', '),
    vary: 'origin',
  }
}

/** The answer to OPTIONS of a known path: what may be done there, and by a page of which origin. */
export function optionsReply(request: HttpRequest, allow: readonly Method[], origins: readonly string[]): Reply {
  const methods = allowHeader(allow)
  const allowed = 'access-control-allow-origin' in corsHeaders(request, origins)
  const isPreflight = request.headers.get('access-control-request-method') !== null
  return emptyReply(204, {
    allow: methods,
    ...(allowed && isPreflight
      ? {
          'access-control-allow-methods': methods,
          'access-control-allow-headers': allowedHeaders.join(', '),
          'access-control-max-age': '86400',
        }
      : {}),
  })
}

export function allowHeader(methods: readonly Method[]): string {
  const all: string[] = [...methods, 'OPTIONS']
  if (methods.includes('GET')) all.push('HEAD')
  return all.sort().join(', ')
}
