/**
 * The faces as one function from request to reply.
 *
 * What every answer has: `X-Request-Id`, `X-Content-Type-Options: nosniff`, a `Cache-Control` (no-store unless the route
 * says otherwise: a cache in between must not guess), and JSON with `error_code` and `message` where it is a refusal.
 */
import type { Codecs } from '../core/codec.ts'
import { type Refusal, refusal } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import type { Log } from '../log/log.ts'
import { allowHeader, corsHeaders, optionsReply } from './cors.ts'
import type { Guard } from './key-guard.ts'
import { refusalOfThrown, refusalReply } from './replies.ts'
import { type BodySource, emptySource, readRequestBody, streamSource } from './request-body.ts'
import { type CostAnswer, type HttpRequest, needOf, type Reply, type Route, type Work } from './route.ts'
import { createRouter, type Match } from './router.ts'

export interface AppOptions {
  /** What is there: faces.ts has all of them. */
  readonly routes: readonly Route[]
  /**
   * Which of them are served here; of the others is known only that they are there, for `Allow` and OPTIONS.
   * @default all
   */
  readonly work?: Work
  readonly log: Log
  readonly settings: Settings
  readonly codecs: Codecs
  /** Asked before every request but OPTIONS, which carries no credentials. @default everybody may do everything */
  readonly guard?: Guard
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number
  /** Origins whose pages may read answers, `*` for every one. @default none */
  readonly cors?: readonly string[]
  /**
   * Where clients reach the server, for the links in answers. @default scheme and host of each request. `X-Forwarded-*` is
   * never believed: anybody can send it.
   */
  readonly publicUrl?: string
  /** What an answer to a read may hold, whatever is asked for. @default as much as one request may bring, unless `fetchBytesMax` is more */
  readonly answerBytesMax?: number
  /** Of Highwater, for the OpenAPI document. @default '0.0.0' */
  readonly version?: string
  /** What the log costs, for those who know. @default nobody knows */
  readonly cost?: () => Promise<CostAnswer>
  /** Told of every answer of 500 and above, and of unattended work that failed. */
  readonly onFailure?: (failure: Failure) => void
  /** Told of every answer. */
  readonly onAnswer?: (answer: Answered) => void
}

export interface Failure {
  readonly requestId: string
  readonly method: string
  readonly path: string
  /** undefined: unattended work, which was answered long before. */
  readonly status?: number
  readonly message: string
  /** What was thrown. */
  readonly error?: unknown
}

export interface Answered {
  readonly requestId: string
  readonly method: string
  readonly path: string
  /** Of the routes' table: `/topics/{topic}`, without what may stand before it; undefined where the path is none of them. */
  readonly route: string | undefined
  readonly status: number
  readonly durationMs: number
}

/** What only the transport knows of a request. */
export interface Transport {
  /** Absent: there is no body. */
  readonly body?: BodySource
  /** Aborted when nobody waits for the answer any more. Read only by those who wait, so it may be made when it is read. */
  readonly signal: AbortSignal
  /** Who asks, where a gateway has found that out. */
  readonly principal?: string | undefined
  /** What stands before every path and was taken off this one, such as a gateway's stage: `/prod`. @default nothing */
  readonly basePath?: string
  /** Resolves when an answer has to leave, whatever became of the request. @default never */
  readonly late?: Promise<void>
}

export interface App {
  /** The hot path: nothing is copied between the transport and the log. Never rejects. */
  answer(request: HttpRequest, transport: Transport): Promise<Reply>
  /** The same for everybody who speaks in web requests and responses. Never rejects. */
  fetch(request: Request): Promise<Response>
}

export function createApp(options: AppOptions): App {
  const { log, settings, codecs, work, version = '0.0.0', now = Date.now, cors = [] } = options
  const { guard, publicUrl, cost, onFailure, onAnswer } = options
  const { answerBytesMax = Math.max(settings.fetchBytesMax, settings.appendBytesMax) } = options
  const router = createRouter(options.routes)
  const fixedBaseUrl = publicUrl?.replace(/\/+$/, '')

  async function answer(request: HttpRequest, transport: Transport): Promise<Reply> {
    const startedMs = onAnswer === undefined ? 0 : now()
    const requestId = requestIdOf(request)
    const { origin, path, search } = splitUrl(request.url)
    const match = router.match(request.method, path, mediaTypeOf(request.headers.get('content-type')))
    const reply = finish(
      await reach(request, transport, match, requestId, origin, path, search),
      requestId,
      corsHeaders(request, cors),
    )
    onAnswer?.({
      requestId,
      method: request.method,
      path,
      route: match.kind === 'route' ? match.route.path : undefined,
      status: reply.status,
      durationMs: now() - startedMs,
    })
    return request.method === 'HEAD' ? withoutBody(reply) : reply
  }

  async function reach(
    request: HttpRequest,
    transport: Transport,
    match: Match,
    requestId: string,
    origin: string,
    path: string,
    search: string,
  ): Promise<Reply> {
    const { method } = request
    try {
      let { principal } = transport
      if (guard !== undefined && method !== 'OPTIONS') {
        const admitted = await guard(request, match.kind === 'route' ? needOf(match.route) : 'any-key')
        if (!admitted.ok) return tellFailure(refusalReply(admitted))
        principal = admitted.principal
      }
      if (match.kind !== 'route') return misdirected(match, request, path)
      if (work !== undefined && match.route.work !== work) return servedElsewhere(request, path)
      const handling = match.route.handle({
        log,
        settings,
        codecs,
        request,
        params: match.params,
        query: new URLSearchParams(search),
        baseUrl: (fixedBaseUrl ?? origin + (transport.basePath ?? '')) + match.prefix,
        requestId,
        principal,
        version,
        answerBytesMax,
        cost,
        get signal() {
          return transport.signal
        },
        now,
        readBody: () => readRequestBody(request, transport.body ?? emptySource, settings.appendBytesMax),
        unattended(working) {
          working.then(
            (outcome) => {
              if (isRefusal(outcome)) onFailure?.({ requestId, method, path, message: outcome.message })
            },
            (error: unknown) => onFailure?.({ requestId, method, path, message: String(error), error }),
          )
        },
      })
      const { late } = transport
      const reply = await (late === undefined ? handling : Promise.race([handling, late.then(() => lateReply(method))]))
      return principal === undefined ? tellFailure(reply) : tellFailure(forOneOnly(reply))
    } catch (error) {
      const reply = refusalReply(refusalOfThrown(error, isRead(method)))
      onFailure?.({ requestId, method, path, status: reply.status, message: String(error), error })
      return reply
    }

    function tellFailure(reply: Reply): Reply {
      if (reply.status >= 500) {
        const message = typeof reply.body === 'string' ? reply.body : ''
        onFailure?.({ requestId, method, path, status: reply.status, message })
      }
      return reply
    }
  }

  function misdirected(match: Exclude<Match, { kind: 'route' }>, request: HttpRequest, path: string): Reply {
    switch (match.kind) {
      case 'unknown-path':
        return refusalReply(refusal('NOT_FOUND', `There is nothing at ${path}.`))
      case 'wrong-method': {
        if (request.method === 'OPTIONS') return optionsReply(request, match.allow, cors)
        const allow = allowHeader(match.allow)
        const message = `${request.method} is not allowed at ${path}; allowed are ${allow}.`
        return refusalReply(refusal('METHOD_NOT_ALLOWED', message), { allow })
      }
      case 'wrong-media-type':
        return refusalReply(
          refusal('UNSUPPORTED_MEDIA_TYPE', `Send the body as one of ${match.mediaTypes.join(', ')}.`),
        )
      default:
        return match satisfies never
    }
  }

  return {
    answer,
    async fetch(request) {
      const reply = await answer(request, {
        signal: request.signal,
        ...(request.body === null ? {} : { body: streamSource(request.body) }),
      })
      return toResponse(reply)
    },
  }
}

function isRead(method: string): boolean {
  return method === 'GET' || method === 'HEAD'
}

/** The time is up and the request still under way: what it writes may yet be written (D4). */
function lateReply(method: string): Reply {
  const message = 'The storage did not answer in the time there is for an answer.'
  return refusalReply(refusal(isRead(method) ? 'STORAGE_UNAVAILABLE' : 'OUTCOME_UNKNOWN', message))
}

/** Whoever hands out the requests did not know this path for one of its own: it has a slash too many, for example. */
function servedElsewhere({ method }: HttpRequest, path: string): Reply {
  return refusalReply(
    refusal('NOT_FOUND', `${method} ${path} is not served here. Is the path written as it is documented?`),
  )
}

function finish(reply: Reply, requestId: string, cors: Readonly<Record<string, string>>): Reply {
  const headers: Record<string, string> = {
    'cache-control': 'no-store',
    ...cors,
    ...reply.headers,
    'x-request-id': requestId,
    'x-content-type-options': 'nosniff',
  }
  if (cors.vary !== undefined && reply.headers.vary !== undefined) headers.vary = `${reply.headers.vary}, ${cors.vary}`
  return { status: reply.status, headers, body: reply.body }
}

/** Where callers are told apart, no cache that several share may keep an answer: it would ask nobody for a key. */
function forOneOnly(reply: Reply): Reply {
  const control = reply.headers['cache-control']
  if (control === undefined || !control.startsWith('public')) return reply
  const headers = { ...reply.headers, 'cache-control': control.replace('public', 'private') }
  return { status: reply.status, headers, body: reply.body }
}

/** HEAD: the headers of the answer to GET, its length among them. */
function withoutBody(reply: Reply): Reply {
  const { body, status, headers } = reply
  if (body === null) return reply
  if (body instanceof ReadableStream) {
    void body.cancel()
    return { status, headers, body: null }
  }
  return { status, headers: { ...headers, 'content-length': String(lengthOf(body)) }, body: null }
}

/** Bytes of a body that is no stream. */
export function lengthOf(body: string | Uint8Array | readonly Uint8Array[]): number {
  if (typeof body === 'string') return Buffer.byteLength(body)
  if (body instanceof Uint8Array) return body.byteLength
  let length = 0
  for (const part of body) length += part.byteLength
  return length
}

function toResponse(reply: Reply): Response {
  const { status, headers, body } = reply
  const whole = body instanceof Uint8Array || !Array.isArray(body) ? body : Buffer.concat(body as Uint8Array[])
  return new Response(whole as BodyInit | null, { status, headers })
}

function requestIdOf(request: HttpRequest): string {
  const given = request.headers.get('x-request-id')
  return given !== null && /^[\w.:+/=-]{1,128}$/.test(given) ? given : crypto.randomUUID()
}

/** `http://host/path?query`; what comes after a `#` is never sent. */
function splitUrl(url: string): { origin: string; path: string; search: string } {
  const pathAt = url.indexOf('/', url.indexOf('://') + 3)
  if (pathAt < 0) return { origin: url, path: '/', search: '' }
  const searchAt = url.indexOf('?', pathAt)
  const origin = url.slice(0, pathAt)
  if (searchAt < 0) return { origin, path: url.slice(pathAt), search: '' }
  return { origin, path: url.slice(pathAt, searchAt), search: url.slice(searchAt) }
}

/** Without parameters, in lower case; empty where there is none. */
export function mediaTypeOf(contentType: string | null): string {
  if (contentType === null) return ''
  const end = contentType.indexOf(';')
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase()
}

function isRefusal(outcome: unknown): outcome is Refusal {
  return typeof outcome === 'object' && outcome !== null && 'ok' in outcome && outcome.ok === false
}
