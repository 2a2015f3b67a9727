/** The processes of the pipeline: started, killed with -9, started again. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface Running {
  readonly name: string
  /** Undefined while it is down. */
  readonly pid: number | undefined
  readonly kills: number
  /** Orders that it placed or decided, over all its lives. */
  readonly decided: number
  /** Orders that came to it once more, and that it knew. */
  readonly repeats: number
  /** It said that it has nothing more to do. */
  readonly isDone: boolean
}

/** Told when a process ends without being asked to; a code of null: somebody else killed it. */
export type OnEnd = (process: Process, code: number | null, said: string) => void

export class Process implements Running {
  readonly name: string
  kills = 0
  decided = 0
  repeats = 0
  isDone = false
  readonly #command: readonly string[]
  readonly #onEnd: OnEnd
  #child: ChildProcess | undefined
  #ended: Promise<unknown> = Promise.resolve()
  #isKilled = false

  /** @param command a program beside this file, or below the project's directory, and what it is given */
  constructor(name: string, command: readonly [program: string, ...args: string[]], onEnd: OnEnd) {
    this.name = name
    this.#command = command
    this.#onEnd = onEnd
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Where it is not running. @param line resolves the answer with what matches in the program's output */
  async start(line?: RegExp): Promise<string> {
    if (this.#child !== undefined) return ''
    const [program, ...args] = this.#command
    const path = fileURLToPath(new URL(program ?? '', import.meta.url))
    const child = spawn(process.execPath, [path, ...args], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    this.#child = child
    this.#isKilled = false
    let said = ''
    child.on('message', (message) => {
      if (message === 'decided') this.decided++
      else if (message === 'repeat') this.repeats++
      else if (message === 'done') this.isDone = true
    })
    const found = new Promise<string>((resolve, reject) => {
      if (line === undefined) return resolve('')
      child.stdout?.on('data', (part: Buffer) => {
        said += part.toString()
        const match = line.exec(said)
        if (match !== null) resolve(match[1] ?? '')
      })
      child.once('close', () => reject(new Error(`${this.name} ended before it began: ${said}`)))
    })
    if (line === undefined) child.stdout?.resume()
    child.stderr?.on('data', (part: Buffer) => {
      said = (said + part.toString()).slice(-4_000)
    })
    this.#ended = once(child, 'close').then(([code]) => {
      this.#child = undefined
      if (this.#isKilled) return
      if (code === null) this.kills++
      this.#onEnd(this, code as number | null, said)
    })
    return found
  }

  /** As power cuts do: no warning, no last words. */
  async kill(): Promise<void> {
    if (this.#child === undefined) return
    this.kills++
    this.#isKilled = true
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  async stop(): Promise<void> {
    this.#isKilled = true
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), 5_000)
    this.#child?.kill('SIGTERM')
    await this.#ended
    clearTimeout(timer)
  }
}
