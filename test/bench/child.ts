/**
 * A contender is a process of its own, so that its processor time and memory are its own. The parent calls it by name and
 * gets a value back; `usage` is there in every one.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request as httpRequest } from 'node:http'

/** What a process has used since it began. */
export interface Usage {
  readonly cpuSeconds: number
  /** The most memory it ever held. */
  readonly rssBytesPeak: number
  /** Bytes that JavaScript copied between buffers; counted only after `countCopies`. */
  readonly copiedBytes: number
}

type Calls = Readonly<Record<string, (argument: never) => unknown>>
interface Question {
  readonly id: number
  readonly name: string
  readonly argument: unknown
}
type Reply = { readonly id: number; readonly value?: unknown; readonly failure?: string }

/** In the child: answers the parent's calls until the parent is gone. */
export function answerCalls(calls: Calls): void {
  const all: Calls = { usage, countCopies, ...calls }
  process.on('message', async ({ id, name, argument }: Question) => {
    let reply: Reply
    try {
      reply = { id, value: await all[name]?.(argument as never) }
    } catch (error) {
      reply = { id, failure: error instanceof Error ? (error.stack ?? error.message) : String(error) }
    }
    process.send?.(reply)
  })
  process.on('disconnect', () => process.exit(0))
}

let copiedBytes = 0

function usage(): Usage {
  const { user, system } = process.cpuUsage()
  return {
    cpuSeconds: (user + system) / 1e6,
    rssBytesPeak: process.resourceUsage().maxRSS * 1_024,
    copiedBytes,
  }
}

/**
 * From now on every copy between buffers is counted, which costs time: for a round that is not timed. What the system copies
 * (sockets, files) and what JSON makes is not in it.
 */
function countCopies(): void {
  const typed = Object.getPrototypeOf(Uint8Array.prototype) as {
    set(source: ArrayLike<number>, at?: number): void
    slice(from?: number, to?: number): Uint8Array
  }
  const { set, slice } = typed
  typed.set = function (this: Uint8Array, source, at) {
    copiedBytes += source.length
    return set.call(this, source, at)
  }
  typed.slice = function (this: Uint8Array, from, to) {
    const copy = slice.call(this, from, to)
    copiedBytes += copy.length
    return copy
  }
  const { concat } = Buffer
  Buffer.concat = (parts, length) => {
    const whole = concat(parts, length)
    copiedBytes += whole.length
    return whole
  }
}

/** A process that answers calls. */
export interface Child {
  call<Value>(name: string, argument?: unknown): Promise<Value>
  stop(): Promise<void>
}

/** Starts `script`, a file of this folder. */
export function startChild(script: string, args: readonly string[] = []): Child {
  const process = fork(new URL(script, import.meta.url), args, { execArgv: profileArguments(script) })
  let lastId = 0
  const open = new Map<number, (reply: Reply) => void>()
  process.on('message', (reply: Reply) => {
    open.get(reply.id)?.(reply)
    open.delete(reply.id)
  })
  process.on('exit', (code) => {
    for (const [id, settle] of open) settle({ id, failure: `${script} ended with ${code}` })
  })
  return {
    call<Value>(name: string, argument?: unknown) {
      const id = ++lastId
      return new Promise<Value>((resolve, reject) => {
        open.set(id, ({ value, failure }) => {
          if (failure === undefined) resolve(value as Value)
          else reject(new Error(failure))
        })
        process.send({ id, name, argument })
      })
    },
    stop: () => stopped(process),
  }
}

/** PROFILE=directory leaves a processor profile of every contender there. */
function profileArguments(script: string): string[] {
  const directory = process.env.PROFILE
  return directory === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${directory}/${script}`]
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.disconnect()
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await ended
  clearTimeout(timer)
}

/** One answer over HTTP, for what is not measured. */
export async function ask(
  url: string,
  method = 'GET',
  headers: Record<string, string> = {},
  body?: Uint8Array | string,
): Promise<{ readonly status: number; readonly headers: NodeJS.Dict<string | string[]>; readonly body: Buffer }> {
  const agent = new Agent({ keepAlive: false })
  const request = httpRequest(url, { method, headers, agent })
  request.end(body)
  const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage]
  const parts: Buffer[] = []
  for await (const part of response) parts.push(part as Buffer)
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) }
}
