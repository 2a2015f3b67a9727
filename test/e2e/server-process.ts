/** The server as its user runs it: a process, a port, a directory, and signals. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

export const projectDirectory = fileURLToPath(new URL('../../', import.meta.url))
const program = join(projectDirectory, 'functions', 'highwater.js')

export interface Ended {
  /** null: by a signal. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** What ends some time, and cleans up then: a test's context is one. */
export interface Scope {
  after(cleanUp: () => Promise<unknown>): void
}

export interface ServerProcess {
  readonly url: string
  /** Sends the signal and waits for the end. */
  stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<Ended>
}

/** Starts a server on a free port; it listens when this resolves, and ends with the test. Rejects with what it said where it ends before. */
export async function startServerProcess(t: Scope, args: readonly string[]): Promise<ServerProcess> {
  const child = spawn(process.execPath, [program, 'start', '--port', '0', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = endOf(child)
  afterwards(t, async () => {
    child.kill('SIGKILL')
    await ended
  })
  const url = await Promise.race([
    listening(child),
    ended.then(({ code, stderr }) => {
      throw new Error(`the server ended with ${code}: ${stderr}`)
    }),
  ])
  return {
    url,
    stop(signal) {
      child.kill(signal)
      return ended
    },
  }
}

/** Runs a command line to its end. */
export async function run(
  command: string,
  args: readonly string[],
  {
    input,
    env = {},
    timeoutMs = 60_000,
    cwd = projectDirectory,
  }: { input?: string; env?: Record<string, string>; timeoutMs?: number; cwd?: string } = {},
): Promise<Ended> {
  const child = spawn(command, args, { env: { ...process.env, ...env }, cwd })
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const ended = await endOf(child)
  clearTimeout(timer)
  return ended
}

/** `highwater …` */
export function runHighwater(args: readonly string[], options: Parameters<typeof run>[2] = {}): Promise<Ended> {
  return run(process.execPath, [program, ...args], options)
}

async function endOf(child: ChildProcess): Promise<Ended> {
  const [stdout, stderr] = [text(child.stdout!), text(child.stderr!)]
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout: await stdout, stderr: await stderr }
}

function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    let said = ''
    child.stdout!.on('data', (part: Buffer) => {
      said += part.toString()
      const url = /listens on (\S+)/.exec(said)?.[1]
      if (url !== undefined) resolve(url)
    })
  })
}

/** A directory that is removed after the test. */
export async function tempDirectory(t: Scope): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'highwater-e2e-'))
  afterwards(t, () => rm(directory, { recursive: true, force: true }))
  return directory
}

const undone = new WeakMap<Scope, (() => Promise<unknown>)[]>()

/** Undoes what a test did, the last thing first, whatever became of it. */
export function afterwards(t: Scope, undo: () => Promise<unknown>): void {
  let stack = undone.get(t)
  if (stack === undefined) {
    const steps: (() => Promise<unknown>)[] = []
    stack = steps
    undone.set(t, steps)
    t.after(async () => {
      for (const step of steps.reverse()) await step()
    })
  }
  stack.push(undo)
}

/** A scope for what is no test. */
export async function inScope<Result>(use: (scope: Scope) => Promise<Result>): Promise<Result> {
  const cleanUps: (() => Promise<unknown>)[] = []
  try {
    return await use({ after: (cleanUp) => cleanUps.push(cleanUp) })
  } finally {
    for (const cleanUp of cleanUps) await cleanUp()
  }
}
