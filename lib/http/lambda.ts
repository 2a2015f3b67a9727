/**
 * The app behind an HTTP API (payload 2.0) or a function URL: an event becomes a request, a reply becomes a result.
 *
 * A function is frozen when its handler returns. So nothing is under way then (`settled`), and what waits is ended while
 * there is still time to answer.
 *
 *     ├──────────── handler ───────────────────────┬── 1 s ──────┬ 0.3 s ┤
 *     event                     waiting ends: an empty answer    │       Lambda would end the function
 *                                                   an answer that says the outcome is not known
 */
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda'
import { refusal } from '../core/errors.ts'
import { type App, lengthOf, type Transport } from './app.ts'
import { principalOf, type RequestAuthorizer } from './principal.ts'
import { refusalReply } from './replies.ts'
import type { BodySource } from './request-body.ts'
import type { HttpRequest, Reply } from './route.ts'

export type LambdaEvent = APIGatewayProxyEventV2
export type LambdaResult = APIGatewayProxyStructuredResultV2
export type LambdaContext = Pick<Context, 'getRemainingTimeInMillis'>

export interface LambdaOptions {
  readonly app: Pick<App, 'answer'>
  /** Resolves when nothing is under way any more. Awaited before every result. */
  readonly settled: () => Promise<void>
  /** When waiting ends, before the end of the function. */
  readonly waitMarginMs?: number
  /** When an answer leaves whatever became of the request. */
  readonly answerMarginMs?: number
}

/** Bytes of a whole result as JSON: Lambda's 6 MB, less what it may add. */
export const resultBytesMax = 6 * 1_048_576 - 4_096
const waitMarginMsDefault = 1_000
const answerMarginMsDefault = 300

/** A handler for buffered answers. Rejects only where the event is none of an HTTP API or a function URL. */
export function lambdaHandler(
  options: LambdaOptions,
): (event: LambdaEvent, context: LambdaContext) => Promise<LambdaResult> {
  return async (event, context) => {
    const reply = await answerEvent(options, event, context)
    const body = reply.body instanceof ReadableStream ? await collect(reply.body) : reply.body
    return resultOf({ ...reply, body })
  }
}

/** What Lambda's runtime has for functions that stream, as a global named `awslambda`. */
export interface Streaming {
  streamifyResponse(handler: StreamHandler): unknown
  readonly HttpResponseStream: {
    from(stream: Writable, start: Pick<LambdaResult, 'statusCode'> & { headers: Record<string, string> }): Writable
  }
}
export type StreamHandler = (event: LambdaEvent, stream: Writable, context: LambdaContext) => Promise<void>

/** A handler whose answers leave as they are, part by part: no base64, and no limit of 6 MB. For function URLs only. */
export function streamingHandler(options: LambdaOptions, streaming: Streaming): unknown {
  return streaming.streamifyResponse(async (event, stream, context) => {
    const { status, headers, body } = await answerEvent(options, event, context)
    const out = streaming.HttpResponseStream.from(stream, { statusCode: status, headers: { ...headers } })
    const finished = once(out, 'finish')
    // Status and headers leave with the first write, also where it is an empty one.
    if (body === null) out.write('')
    else for await (const part of partsOf(body)) if (!out.write(part)) await once(out, 'drain')
    out.end()
    await finished
  })
}

async function answerEvent(options: LambdaOptions, event: LambdaEvent, context: LambdaContext): Promise<Reply> {
  const { app, settled, waitMarginMs = waitMarginMsDefault, answerMarginMs = answerMarginMsDefault } = options
  const { request, basePath } = requestOf(event)
  const deadline = new Deadline(context, waitMarginMs, answerMarginMs)
  try {
    const body = bodyOf(event)
    const { authorizer } = event.requestContext as { authorizer?: RequestAuthorizer }
    const principal = principalOf(authorizer)
    const transport: Transport = {
      ...(body === undefined ? {} : { body }),
      ...(basePath === '' ? {} : { basePath }),
      ...(principal === undefined ? {} : { principal }),
      get signal() {
        return deadline.signal
      },
      late: deadline.late,
    }
    const reply = await app.answer(request, transport)
    await Promise.race([settled(), deadline.late])
    return reply
  } finally {
    deadline.clear()
  }
}

/** Given, because the default reason is an exception with a stack. */
const timeIsUp = 'the time is up'

/** The end of the function, announced twice. Where nothing says when that is, never. */
class Deadline {
  /** Resolves when the answer has to leave. */
  readonly late: Promise<void>
  readonly #startedMs = performance.now()
  readonly #waitMs: number | undefined
  readonly #timers: NodeJS.Timeout[] = []
  #waiting: AbortController | undefined

  constructor(context: LambdaContext, waitMarginMs: number, answerMarginMs: number) {
    const remainingMs = context.getRemainingTimeInMillis?.()
    this.#waitMs = remainingMs === undefined ? undefined : Math.max(0, remainingMs - waitMarginMs)
    this.late = new Promise((resolve) => {
      if (remainingMs === undefined) return
      this.#timers.push(setTimeout(resolve, Math.max(0, remainingMs - answerMarginMs)))
    })
  }

  /** Made when somebody waits: most requests do not. */
  get signal(): AbortSignal {
    if (this.#waiting === undefined) {
      const waiting = new AbortController()
      this.#waiting = waiting
      if (this.#waitMs !== undefined) {
        const leftMs = Math.max(0, this.#waitMs - (performance.now() - this.#startedMs))
        this.#timers.push(setTimeout(() => waiting.abort(timeIsUp), leftMs))
      }
    }
    return this.#waiting.signal
  }

  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer)
  }
}

function requestOf(event: LambdaEvent): { request: HttpRequest; basePath: string } {
  const { requestContext, rawPath, rawQueryString } = event
  if (requestContext?.http === undefined)
    throw new Error('This is no event of an HTTP API with payload format 2.0, nor of a function URL.')
  const headers = headersOf(event)
  const host = headers.get('host') ?? requestContext.domainName
  // A gateway writes this header itself; what a client sends under its name never comes here.
  const scheme = headers.get('x-forwarded-proto') === 'http' ? 'http' : 'https'
  const { path, basePath } = pathOf(rawPath, requestContext.stage)
  return {
    request: {
      method: requestContext.http.method,
      url: `${scheme}://${host}${path}${rawQueryString === '' || rawQueryString === undefined ? '' : `?${rawQueryString}`}`,
      headers: { get: (name) => headers.get(name.toLowerCase()) ?? null },
    },
    basePath,
  }
}

/** Names in lower case; a header that was sent several times has its values joined by commas already. */
function headersOf({ headers, cookies, requestContext }: LambdaEvent): Map<string, string> {
  const named = new Map<string, string>()
  for (const [name, value] of Object.entries(headers ?? {}))
    if (value !== undefined) named.set(name.toLowerCase(), value)
  if (cookies !== undefined) named.set('cookie', cookies.join('; '))
  if (!named.has('x-request-id') && requestContext.requestId) named.set('x-request-id', requestContext.requestId)
  return named
}

/**
 * The path as a client wrote it, percent-encoded. A function URL and some gateways give it so; an HTTP API decodes it first.
 * What can stand in no encoded path is encoded again; the rest means the same either way, unless a name has a percent sign
 * followed by two hexadecimal digits. A slash inside a name is lost for good.
 *
 * A stage that is not the default one comes first in the path, and belongs in front of every link.
 */
function pathOf(rawPath: string, stage: string | undefined): { path: string; basePath: string } {
  const basePath = stage === undefined || stage === '$default' ? '' : `/${stage}`
  const isInside = basePath !== '' && (rawPath === basePath || rawPath.startsWith(`${basePath}/`))
  const path = (isInside ? rawPath.slice(basePath.length) : rawPath) || '/'
  return { path: path.replaceAll(neverEncoded, encoded), basePath: isInside ? basePath : '' }
}

/** Characters outside RFC 3986's `pchar` and `/`, and a percent sign that encodes nothing. */
const neverEncoded = /%(?![0-9A-Fa-f]{2})|[^\w\-.~!$&'()*+,;=:@/%]+/gu

/** What is half of a character is none: it becomes the sign for that, and the path that of no topic. */
function encoded(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}

/** undefined: the request has no body. */
function bodyOf({ body, isBase64Encoded }: LambdaEvent): BodySource | undefined {
  if (body === undefined || body === '') return undefined
  return {
    async read(bytesMax) {
      const sizeBytes = isBase64Encoded ? base64Size(body) : Buffer.byteLength(body)
      if (sizeBytes > bytesMax) return 'too-large'
      // Not out of Node's pool: the bytes are the log's from here on.
      const bytes = Buffer.allocUnsafeSlow(sizeBytes)
      const written = bytes.write(body, isBase64Encoded ? 'base64' : 'utf8')
      return new Uint8Array(bytes.buffer, 0, written)
    },
  }
}

function base64Size(text: string): number {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  return Math.floor((text.length * 3) / 4) - padding
}

type WholeReply = Reply & { readonly body: Exclude<Reply['body'], ReadableStream> }

function resultOf(reply: WholeReply): LambdaResult {
  const { status, headers, body } = reply
  const result: LambdaResult = { statusCode: status, headers: { ...headers }, ...encodedBody(body) }
  return sizeOf(result) <= resultBytesMax ? result : resultOf(tooLarge(reply))
}

/** Text as it is, unless its quotes would take more room in JSON than base64 does; bytes as base64. */
function encodedBody(body: WholeReply['body']): { body: string; isBase64Encoded: boolean } {
  if (body === null) return { body: '', isBase64Encoded: false }
  if (typeof body !== 'string') return { body: joined(body).toString('base64'), isBase64Encoded: true }
  const bytes = Buffer.byteLength(body)
  if (bytes * escapedMost > resultBytesMax && jsonSize(body) > base64Length(bytes))
    return { body: Buffer.from(body).toString('base64'), isBase64Encoded: true }
  return { body, isBase64Encoded: false }
}

/** The most bytes that JSON makes of one: `\u0001`. */
const escapedMost = 6

function jsonSize(text: string): number {
  return Buffer.byteLength(JSON.stringify(text))
}

function base64Length(bytes: number): number {
  return Math.ceil(bytes / 3) * 4
}

/** Exact only where it matters. */
function sizeOf({ body = '', ...rest }: LambdaResult): number {
  const envelope = jsonSize(JSON.stringify(rest)) + 16
  const most = envelope + Buffer.byteLength(body) * escapedMost
  return most <= resultBytesMax ? most : envelope + (rest.isBase64Encoded === true ? body.length : jsonSize(body))
}

function joined(body: Uint8Array | readonly Uint8Array[]): Buffer {
  return body instanceof Uint8Array
    ? Buffer.from(body.buffer, body.byteOffset, body.byteLength)
    : Buffer.concat(body as Uint8Array[])
}

/** In place of an answer that Lambda would not let out: it would become a 502 that says nothing. */
function tooLarge({ headers, body }: WholeReply): WholeReply {
  const instead = refusalReply(
    refusal(
      'NOT_ACCEPTABLE',
      `The answer has ${body === null ? 0 : lengthOf(body)} bytes, more than can leave this way. Ask for less (max_bytes, max_records), for record batches instead of JSON, or through a function URL that streams.`,
    ),
  )
  const kept = Object.entries(headers).filter(([name]) => keptHeaders.test(name))
  return {
    status: instead.status,
    headers: { ...Object.fromEntries(kept), ...instead.headers },
    body: instead.body as string,
  }
}

/** What every answer has, whatever it says. */
const keptHeaders = /^(x-|access-control-|vary$)/

async function collect(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts)
}

async function* partsOf(body: NonNullable<Reply['body']>): AsyncGenerator<string | Uint8Array> {
  if (typeof body === 'string' || body instanceof Uint8Array) yield body
  else yield* body
}
