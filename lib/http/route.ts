/**
 * What a face of the server is made of: a table of routes. The router, the OpenAPI document and the Allow header are all
 * read from these tables, so none of them can drift from what is served.
 *
 * A handler parses, asks the log, and answers with a plain value (replies.ts). Requests and replies are interfaces that the
 * web's `Request` satisfies and that any transport can fill without copying a body: a web `Response` copies the bytes it is
 * given, so it is made only where somebody wants one (`App.fetch`).
 */
import type { Work as KeyWork, Need } from '../core/api-key.ts'
import type { Codecs } from '../core/codec.ts'
import type { CostReport } from '../core/cost-report.ts'
import type { Refusal } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import type { Log } from '../log/log.ts'

/** What a handler sees of a request. A web `Request` is one. */
export interface HttpRequest {
  readonly method: string
  /** Absolute. */
  readonly url: string
  /** Names are case-insensitive; null where there is no such header. */
  readonly headers: { get(name: string): string | null }
}

export interface Reply {
  readonly status: number
  /** Lower-case names. The app adds the headers that every answer has. */
  readonly headers: Readonly<Record<string, string>>
  /** Parts are sent one after the other, as they are; they must not change any more. A stream has no length that is known before. */
  readonly body: string | Uint8Array | readonly Uint8Array[] | ReadableStream<Uint8Array> | null
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export interface RouteContext {
  readonly log: Log
  readonly settings: Settings
  /** For reading the records of fetched batches (`decodeBatch`). */
  readonly codecs: Codecs
  readonly request: HttpRequest
  /** The `{names}` of the path, percent-decoded; never empty. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** For absolute links: scheme, host and the prefix that the request came by, without a slash at the end. */
  readonly baseUrl: string
  readonly requestId: string
  /** Who asks (principal.ts); undefined where nobody is asked who he is. What belongs to one is shown to no other. */
  readonly principal: string | undefined
  /** Of Highwater. */
  readonly version: string
  /** What an answer may hold, whatever is asked for (D8): records as they are stored, and JSON. */
  readonly answerBytesMax: number
  /** What the log costs; absent where nobody counts all of it. */
  readonly cost: (() => Promise<CostAnswer>) | undefined
  /** Aborted when nobody waits for the answer any more: the client went away, or the server is stopping. */
  readonly signal: AbortSignal
  readonly now: () => number
  /**
   * The whole body, decoded from gzip or deflate where Content-Encoding says so; empty where there is none. Once per request.
   * The bytes are the caller's own. More than `settings.appendBytesMax` (before or after decoding) is REQUEST_TOO_LARGE,
   * decided by Content-Length before anything is read where there is one.
   */
  readBody(): Promise<Body>
  /** Takes over work that nobody waits for (acks=0): a failure is written to the server's log. */
  unattended(work: Promise<unknown>): void
}

export type CostAnswer = { readonly ok: true; readonly report: CostReport } | Refusal

export type Body = { readonly ok: true; readonly bytes: Uint8Array } | Refusal

export interface Route {
  /**
   * Which of the functions serves the route; each has a role that allows it no more than its work. A server serves them all.
   * Routes that share a method and a path share their work: a gateway does not look at media types.
   */
  readonly work: Work
  /** Whom an API key is asked of that need not allow the work: `anybody` shows none, `any-key` shows one. `verify`, which no key names, is for `admin`. @default the work */
  readonly access?: 'any-key' | 'anybody'
  readonly method: Method
  /** As OpenAPI writes it: `/topics/{topic}/partitions/{partition}`. A literal segment wins over a parameter. */
  readonly path: string
  /**
   * Content types of the requests that come here. Several routes may share a method and a path and be told apart by them; the
   * one without takes the others, and where there is none of those the answer is 415. @default all
   */
  readonly mediaTypes?: readonly string[]
  /** What stands before the path; each ends in the first one (`/v3`, `/kafka/v3`), by which the document names it. @default [''] */
  readonly prefixes?: readonly string[]
  readonly operation: OpenApiOperation
  handle(context: RouteContext): Promise<Reply>
}

/** What a request to the route asks of its caller, where callers are known. */
export function needOf({ access, work }: Pick<Route, 'access' | 'work'>): Need {
  return access ?? (work === 'verify' ? 'admin' : work)
}

/** What functions are split by: what API keys allow, and what reads everything and writes nothing. */
export type Work = KeyWork | 'verify'
export type { Need }

export type JsonSchema = Readonly<Record<string, unknown>>

/** An OpenAPI 3.1 operation. Path parameters that are not listed and the answer to errors are filled in (openapi.ts). */
export interface OpenApiOperation {
  readonly operationId: string
  readonly summary: string
  readonly description?: string
  /** The face: `Kafka REST v2`, `Kafka REST v3`, `Raw batches`, `Server`. */
  readonly tags: readonly string[]
  readonly parameters?: readonly OpenApiParameter[]
  readonly requestBody?: {
    readonly description?: string
    readonly required?: boolean
    readonly content: Readonly<Record<string, OpenApiMedia>>
  }
  readonly responses: Readonly<Record<string, OpenApiResponse>>
}

export interface OpenApiParameter {
  readonly name: string
  readonly in: 'query' | 'header' | 'path'
  readonly required?: boolean
  readonly description?: string
  readonly schema: JsonSchema
}

export interface OpenApiMedia {
  readonly schema?: JsonSchema
  readonly example?: unknown
}

export interface OpenApiResponse {
  readonly description: string
  readonly headers?: Readonly<Record<string, { readonly description?: string; readonly schema: JsonSchema }>>
  readonly content?: Readonly<Record<string, OpenApiMedia>>
}
