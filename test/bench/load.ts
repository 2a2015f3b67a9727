/**
 * The load: HTTP/1.1 over kept connections, from a process of its own, the same for every server. Written on bare sockets,
 * so that the client takes as little as possible of the processors that the server needs.
 */
import { connect, type Socket } from 'node:net'
import { answerCalls } from './child.ts'

/** What to send: `requests` times one of the requests, over `connections`, one at a time on each. */
export interface Load {
  readonly port: number
  readonly connections: number
  readonly requests: number
  readonly method: 'GET' | 'POST'
  /** One of them for each request, in turn. */
  readonly paths: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Body
}

/** Bodies are made in the load's process: `bodies.ts` says how. */
export type Body = {
  readonly kind: 'batches' | 'json' | 'small'
  readonly records: number
  readonly valueBytes: number
}

export interface Loaded {
  readonly seconds: number
  readonly requestBytes: number
  readonly responseBytes: number
  /** Milliseconds, ascending. */
  readonly latenciesMs: readonly number[]
}

const endOfHead = Buffer.from('\r\n\r\n')

async function run(load: Load): Promise<Loaded> {
  const { makeBody } = await import('./bodies.ts')
  const body = load.body === undefined ? undefined : makeBody(load.body)
  const heads = load.paths.map((path) => head(load, path, body?.length))
  const connections = await Promise.all(Array.from({ length: load.connections }, () => open(load.port)))
  const latenciesMs: number[] = []
  let next = 0
  let responseBytes = 0
  const startedMs = performance.now()
  await Promise.all(
    connections.map(async (connection) => {
      while (next < load.requests) {
        const index = next++
        const sentMs = performance.now()
        const answered = await connection.exchange(heads[index % heads.length]!, body)
        responseBytes += answered
        latenciesMs.push(performance.now() - sentMs)
      }
    }),
  )
  const seconds = (performance.now() - startedMs) / 1_000
  for (const connection of connections) connection.close()
  return {
    seconds,
    requestBytes: (body?.length ?? 0) * load.requests,
    responseBytes,
    latenciesMs: latenciesMs.sort((a, b) => a - b),
  }
}

function head(load: Load, path: string, length: number | undefined): Buffer {
  const headers = Object.entries(load.headers ?? {}).map(([name, value]) => `${name}: ${value}\r\n`)
  if (length !== undefined) headers.push(`content-length: ${length}\r\n`)
  return Buffer.from(`${load.method} ${path} HTTP/1.1\r\nhost: 127.0.0.1:${load.port}\r\n${headers.join('')}\r\n`)
}

interface Connection {
  /** Sends a request and resolves with the bytes of the answer's body. */
  exchange(head: Buffer, body: Uint8Array | undefined): Promise<number>
  close(): void
}

async function open(port: number): Promise<Connection> {
  const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  let settle: { resolve(bytes: number): void; reject(error: Error): void } | undefined
  let start: Buffer = Buffer.alloc(0)
  let left = -1
  let length = 0
  const fail = (message: string) => settle?.reject(new Error(message))
  socket.on('error', (error) => fail(error.message))
  socket.on('close', () => fail('the server closed the connection'))
  socket.on('data', (part) => {
    if (left < 0) {
      start = start.length === 0 ? part : Buffer.concat([start, part])
      const end = start.indexOf(endOfHead)
      if (end < 0) return
      const text = start.toString('latin1', 0, end)
      const declared = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1]
      if (!/^HTTP\/1.1 2/.test(text) || declared === undefined)
        return fail(`${text}\n${start.toString('utf8', end, end + 300)}`)
      length = Number(declared)
      left = length - (start.length - end - endOfHead.length)
      start = Buffer.alloc(0)
    } else left -= part.length
    if (left > 0) return
    left = -1
    settle?.resolve(length)
  })
  return {
    exchange(head, body) {
      return new Promise((resolve, reject) => {
        settle = { resolve, reject }
        socket.cork()
        socket.write(head)
        if (body !== undefined) socket.write(body)
        socket.uncork()
      })
    },
    close() {
      settle = undefined
      socket.destroy()
    },
  }
}

answerCalls({ run })
