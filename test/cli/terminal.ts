/** A terminal for `runCli`, over the log in memory: what is typed, what is printed, and the exit code. */
import { PassThrough, Readable, Writable } from 'node:stream'
import { runCli } from '../../lib/cli/cli.ts'
import type { CliGiven, CliIo } from '../../lib/cli/io.ts'
import { createHarness, type HarnessOptions } from '../http/harness.ts'

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  readonly stdoutBytes: Buffer
}

export interface Session {
  /** Written to as it goes. */
  readonly stdout: Recorder
  readonly stderr: Recorder
  readonly stdin: PassThrough
  /** Ctrl-C. */
  interrupt(): void
  readonly ended: Promise<Ran>
}

/** Keeps what is written; tells who waits for something to appear. */
export class Recorder extends Writable {
  readonly #parts: Buffer[] = []
  #waiting: (() => void)[] = []

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#parts.push(Buffer.from(chunk))
    for (const wake of this.#waiting.splice(0)) wake()
    done()
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts)
  }

  get text(): string {
    return this.bytes.toString()
  }

  async shows(text: string): Promise<void> {
    while (!this.text.includes(text)) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }
}

export const noServer: CliGiven = {
  version: '1.2.3',
  startServer: () => Promise.reject(new Error('no server was to be started')),
  openKeys: () => Promise.reject(new Error('no store was to be opened')),
  openVerifier: () => Promise.reject(new Error('no store was to be opened')),
  backUp: () => Promise.reject(new Error('nothing was to be copied')),
}

export function createTerminal(options: HarnessOptions = {}) {
  const harness = createHarness({ settings: { topicAgeMsMax: 0 }, ...options })
  const fetch = (url: string, init: RequestInit) => harness.app.fetch(new Request(url, init))

  function begin(args: string, io: Partial<CliIo> = {}, given: CliGiven = noServer): Session {
    const stdout = new Recorder()
    const stderr = new Recorder()
    const stdin = new PassThrough()
    const control = new AbortController()
    const argv = [...args.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
    const code = runCli(argv, { stdin, stdout, stderr, env: {}, signal: control.signal, fetch, ...io }, given)
    return {
      stdout,
      stderr,
      stdin,
      interrupt: () => control.abort(),
      ended: code.then((code) => ({ code, stdout: stdout.text, stderr: stderr.text, stdoutBytes: stdout.bytes })),
    }
  }

  /** @param args as a shell takes them; quotes are single */
  function run(args: string, input: string | Buffer = '', io: Partial<CliIo> = {}, given?: CliGiven): Promise<Ran> {
    return begin(args, { stdin: Readable.from(input.length === 0 ? [] : [Buffer.from(input)]), ...io }, given).ended
  }

  return { ...harness, begin, run, fetch }
}
