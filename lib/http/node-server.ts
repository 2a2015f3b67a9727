/**
 * Node's HTTP server in front of an app. A bridge of our own, because a general one (@hono/node-server) makes a web `Request`
 * and `Response`, and with them two copies and two streams, of every body; here a body whose length is known is copied once,
 * from the socket's buffers into the buffer that the log keeps.
 *
 * A request whose large body was not read (413, 404 ...) gets its answer at once; what it still sends is read and dropped
 * for a moment, so that the client sees the answer and not a reset connection, and the connection is closed.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { type App, lengthOf, type Transport } from './app.ts'
import { type BodySource, joinParts } from './request-body.ts'
import type { HttpRequest, Reply } from './route.ts'

export interface ServeOptions {
  readonly app: Pick<App, 'answer'>
  readonly host: string
  /** 0: any that is free. */
  readonly port: number
}

export interface RunningServer {
  /** With the port that was taken, without a slash at the end. */
  readonly url: string
  /**
   * Accepts no more connections, ends waiting reads (their answer is empty), lets other requests finish for up to
   * `closeGraceMs`, then closes what is left.
   */
  close(closeGraceMs?: number): Promise<void>
}

/** Between two requests of a connection: longer than load balancers keep theirs (60 s), so that it is never us who hang up on a request. */
const keepAliveMs = 65_000
const headersMsMax = 30_000
/** For a whole request to come in: the largest body at 128 kbit/s. Says nothing about how long its answer takes. */
const requestMsMax = 300_000
const headerBytesMax = 16_384
/** A body of which nothing was read is read to its end if it is no longer than this. */
const droppedBytesMax = 65_536
/** How long, and how much of, a body that nobody wants is read. */
const lingerMsMax = 1_000
const lingerBytesMax = 64 * 1_048_576
const closeGraceMsDefault = 10_000

/** @throws what `listen` fails with, EADDRINUSE for example */
export async function serve({ app, host, port }: ServeOptions): Promise<RunningServer> {
  const running = new Set<Exchange>()
  let isStopping = false
  let onIdle: (() => void) | undefined
  let origin = ''

  const handle = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean) => {
    const exchange = new Exchange(request, response, expectsContinue)
    running.add(exchange)
    // On a connection that was open: answered, but not waited for.
    if (isStopping) exchange.abort()
    // Comes after the last byte was handed to the system, and when the connection breaks.
    response.once('close', () => {
      exchange.abort()
      running.delete(exchange)
      if (running.size === 0) onIdle?.()
    })
    void exchange.run(app, origin, () => isStopping)
  }
  const server = createServer({
    keepAliveTimeout: keepAliveMs,
    headersTimeout: headersMsMax,
    requestTimeout: requestMsMax,
    maxHeaderSize: headerBytesMax,
  })
  server.on('request', (request: IncomingMessage, response: ServerResponse) => handle(request, response, false))
  // `Expect: 100-continue`: the body is only asked for when somebody reads it.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => handle(request, response, true))
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => refuseBadRequest(error, socket))
  origin = await listen(server, host, port)

  return {
    url: origin,
    async close(closeGraceMs = closeGraceMsDefault) {
      isStopping = true
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const exchange of running) exchange.abort()
      server.closeIdleConnections()
      if (running.size > 0)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, closeGraceMs)
          onIdle = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      server.closeAllConnections()
      await closed
    },
  }
}

function listen(server: Server, host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      const { port: taken } = server.address() as AddressInfo
      resolve(`http://${host.includes(':') ? `[${host}]` : host}:${taken}`)
    })
  })
}

/** Given, because the default reason is an exception with a stack, which costs more than the request. */
const nobodyWaits = 'nobody waits for the answer'

/** One request and its answer; what the app knows of the transport. */
class Exchange implements Transport {
  readonly body?: BodySource
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #expectsContinue: boolean
  #isAborted = false
  #waiting: AbortController | undefined

  constructor(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean) {
    this.#request = request
    this.#response = response
    this.#expectsContinue = expectsContinue
    const body = bodyOf(request, expectsContinue ? response : undefined)
    if (body !== undefined) this.body = body
  }

  /** Made when somebody waits: most requests do not, and a signal costs more than the rest of this bridge. */
  get signal(): AbortSignal {
    this.#waiting ??= new AbortController()
    if (this.#isAborted) this.#waiting.abort(nobodyWaits)
    return this.#waiting.signal
  }

  /** Nobody waits for the answer any more. */
  abort(): void {
    this.#isAborted = true
    this.#waiting?.abort(nobodyWaits)
  }

  /** What is still to come of the body is little, and will come: Node drops it, and the connection can be used again. */
  #isNearlyRead(): boolean {
    const declared = this.#request.headers['content-length']
    return !this.#expectsContinue && declared !== undefined && Number(declared) <= droppedBytesMax
  }

  /** Never rejects. */
  async run(app: Pick<App, 'answer'>, origin: string, isStopping: () => boolean): Promise<void> {
    const response = this.#response
    try {
      const reply = await app.answer(incomingRequest(this.#request, origin), this)
      if (response.destroyed) return
      const isUnread = this.body !== undefined && !this.#request.complete && !this.#isNearlyRead()
      const headers: Record<string, string | number> = { ...reply.headers }
      if (isUnread || isStopping()) headers.connection = 'close'
      if (reply.body instanceof ReadableStream) {
        response.writeHead(reply.status, headers)
        await pipe(reply.body, response, this.signal)
      } else {
        if (isUnread) await sendBeforeReading(this.#request, response, reply.status, headers, reply.body)
        else send(response, reply.status, headers, reply.body)
      }
    } catch {
      // The app answers whatever happens; what is left is an answer that breaks in its middle. The only honest end of that
      // is a broken connection.
      response.destroy()
    }
  }
}

function incomingRequest(request: IncomingMessage, origin: string): HttpRequest {
  const { headers, method = 'GET', url = '/' } = request
  const { host } = headers
  const base = host !== undefined && /^[\w.:[\]-]{1,255}$/.test(host) ? `http://${host}` : origin
  return {
    method,
    // A proxy's request target is absolute already.
    url: url.startsWith('/') ? base + url : url,
    headers: {
      get(name) {
        const value = headers[name.toLowerCase()]
        return value === undefined ? null : Array.isArray(value) ? value.join(', ') : value
      },
    },
  }
}

/** undefined: the request has no body. */
function bodyOf(request: IncomingMessage, toContinue: ServerResponse | undefined): BodySource | undefined {
  const { headers } = request
  const hasBody =
    headers['transfer-encoding'] !== undefined ||
    (headers['content-length'] !== undefined && headers['content-length'] !== '0')
  if (!hasBody) return undefined
  return {
    read(bytesMax, declaredBytes) {
      toContinue?.writeContinue()
      return declaredBytes === undefined ? readUndeclared(request, bytesMax) : readDeclared(request, declaredBytes)
    },
  }
}

/** The hot path: one buffer of the right size, and one copy into it. Node's parser ends the body at the declared length. */
function readDeclared(request: IncomingMessage, length: number): Promise<Uint8Array | 'ended-early'> {
  return new Promise((resolve) => {
    // Not zeroed and not out of Node's pool: it is filled to the last byte, and it is the log's from here on.
    const { buffer } = Buffer.allocUnsafeSlow(length)
    const bytes = new Uint8Array(buffer, 0, length)
    let at = 0
    request.on('data', (part: Buffer) => {
      bytes.set(part, at)
      at += part.length
    })
    request.once('end', () => resolve(at === length ? bytes : 'ended-early'))
    request.once('close', () => resolve('ended-early'))
  })
}

function readUndeclared(request: IncomingMessage, bytesMax: number): Promise<Uint8Array | 'too-large' | 'ended-early'> {
  return new Promise((resolve) => {
    const parts: Buffer[] = []
    let length = 0
    const take = (part: Buffer) => {
      length += part.length
      if (length <= bytesMax) parts.push(part)
      else {
        request.off('data', take)
        request.pause()
        resolve('too-large')
      }
    }
    request.on('data', take)
    request.once('end', () => resolve(joinParts(parts, length)))
    request.once('close', () => resolve('ended-early'))
  })
}

type WholeBody = Exclude<Reply['body'], ReadableStream>

function send(
  response: ServerResponse,
  status: number,
  headers: Record<string, string | number>,
  body: WholeBody,
): void {
  if (body !== null) headers['content-length'] = lengthOf(body)
  else if (status !== 204 && status !== 304) headers['content-length'] ??= 0
  response.writeHead(status, headers)
  if (body === null) response.end()
  else if (typeof body === 'string' || body instanceof Uint8Array) response.end(body)
  else {
    response.cork()
    for (const part of body) response.write(part)
    response.end()
  }
}

/** The whole answer, then what the client still sends, for a moment, and only then the end, which closes the connection. */
async function sendBeforeReading(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  headers: Record<string, string | number>,
  body: WholeBody,
): Promise<void> {
  headers['content-length'] = body === null ? 0 : lengthOf(body)
  response.writeHead(status, headers)
  if (body === null) response.flushHeaders()
  else if (typeof body === 'string' || body instanceof Uint8Array) response.write(body)
  else for (const part of body) response.write(part)

  await new Promise<void>((resolve) => {
    let length = 0
    const stop = () => {
      clearTimeout(timer)
      resolve()
    }
    const timer = setTimeout(stop, lingerMsMax)
    request.on('data', (part: Buffer) => {
      length += part.length
      if (length > lingerBytesMax) stop()
    })
    request.once('end', stop)
    request.once('close', stop)
    request.resume()
  })
  response.end()
}

/** As fast as the client reads; cancels the stream when it goes away. */
async function pipe(body: ReadableStream<Uint8Array>, response: ServerResponse, signal: AbortSignal): Promise<void> {
  const reader = body.getReader()
  const cancel = () => void reader.cancel().catch(() => {})
  signal.addEventListener('abort', cancel, { once: true })
  if (signal.aborted) cancel()
  response.flushHeaders()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    if (!response.write(value) && !response.destroyed)
      await new Promise<void>((resolve) => {
        response.once('drain', resolve)
        response.once('close', resolve)
      })
  }
  response.end()
}

/** What Node's parser refuses never becomes a request: answered here, in the same form as any other refusal. */
function refuseBadRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, reason] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'Request Header Fields Too Large']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'Request Timeout']
        : [400, 'Bad Request']
  const body = JSON.stringify({ error_code: status, message: reason })
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  )
}
