/**
 * A process: one log over the shared stores, with its own clock and its own network. All that ever wakes it is an answer, a
 * timer or a call; holding those back freezes it in the middle of anything, dropping them kills it.
 */
import type { Codecs } from '../../lib/core/codec.ts'
import type { Settings } from '../../lib/core/settings.ts'
import type { LogRules } from '../../lib/log/context.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Log, LogPorts } from '../../lib/log/log.ts'
import type { Metadata, Objects } from '../../lib/ports.ts'
import type { Dice } from './dice.ts'
import type { World } from './world.ts'

export interface ProcessOptions {
  readonly name: string
  readonly world: World
  readonly objects: Objects
  readonly metadata: Metadata
  readonly codecs: Codecs
  readonly dice: Dice
  /** What its clock shows more than the true time, to begin with. */
  readonly skewMs: number
  readonly settings: Partial<Settings>
  readonly rules: Partial<LogRules>
  /** Called when an answer to a call has come, before anybody in the process knows: it may freeze the process just then. */
  readonly onAnswer?: (process: Process, call: string) => void
}

export class Process {
  readonly name: string
  readonly ports: LogPorts
  readonly log: Log
  skewMs: number
  state: 'running' | 'frozen' | 'dead' = 'running'
  /** It was asked to end, and answers nobody any more. */
  isClosing = false
  readonly #world: World
  #heldBack: (() => void)[] = []
  readonly #onDeath = new Set<() => void>()

  constructor(options: ProcessOptions) {
    const { world, objects, metadata } = options
    this.skewMs = options.skewMs
    this.name = options.name
    this.#world = world
    const { onAnswer } = options
    const through = <Answer>(name: string, call: Promise<Answer>) =>
      this.#through(call, onAnswer && (() => onAnswer(this, name)))
    this.ports = {
      objects: {
        create: (key, parts) => through('create', objects.create(key, parts)),
        read: (key, position, length) => through('read', objects.read(key, position, length)),
        list: (prefix, after, limit) => through('list', objects.list(prefix, after, limit)),
        delete: (key) => through('delete', objects.delete(key)),
      },
      metadata: {
        readHead: (key) => through('readHead', metadata.readHead(key)),
        createHead: (head) => through('createHead', metadata.createHead(head)),
        updateHead: (key, command, also) =>
          through(`updateHead ${command.kind}`, metadata.updateHead(key, command, also)),
        get: (key) => through('get', metadata.get(key)),
        query: (collection, range) => through(`query ${collection.split('/')[0]}`, metadata.query(collection, range)),
        write: (writes) => through(`write ${writes[0]?.key.collection.split('/')[0]}`, metadata.write(writes)),
      },
      clock: {
        now: () => Math.floor(world.nowMs + this.skewMs),
        sleep: (durationMs, signal) => this.#sleep(durationMs, signal),
      },
      random: options.dice.random,
      codecs: options.codecs,
    }
    this.log = createLog(this.ports, options.settings, options.rules)
  }

  /** Runs something inside the process: now, after the thaw, or never. */
  deliver(run: () => void): void {
    if (this.state === 'running') run()
    else if (this.state === 'frozen') this.#heldBack.push(run)
  }

  /** Calls back at its death, if it is alive. */
  onDeath(died: () => void): () => void {
    this.#onDeath.add(died)
    return () => this.#onDeath.delete(died)
  }

  freeze(): void {
    if (this.state === 'running') this.state = 'frozen'
  }

  thaw(): void {
    if (this.state !== 'frozen') return
    this.state = 'running'
    const held = this.#heldBack
    this.#heldBack = []
    for (const run of held) this.#world.after(0, () => this.deliver(run))
  }

  die(): void {
    if (this.state === 'dead') return
    this.state = 'dead'
    this.#heldBack = []
    for (const died of [...this.#onDeath]) died()
    this.#onDeath.clear()
  }

  #through<Answer>(call: Promise<Answer>, arrived: (() => void) | undefined): Promise<Answer> {
    return new Promise((resolve, reject) => {
      call.then(
        (answer) => {
          arrived?.()
          this.deliver(() => resolve(answer))
        },
        (error: unknown) => this.deliver(() => reject(error)),
      )
    })
  }

  #sleep(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve()
    return new Promise((resolve) => {
      this.#world.after(durationMs, () => this.deliver(resolve))
      signal?.addEventListener('abort', () => resolve(), { once: true })
    })
  }
}
