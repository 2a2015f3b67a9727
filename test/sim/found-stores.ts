/** Processes over stores in memory, of which single calls can be taken over: what the simulation found, in the few steps that it takes. */
import assert from 'node:assert/strict'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import type { Settings } from '../../lib/core/settings.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Answer, Log } from '../../lib/log/log.ts'
import type { Metadata } from '../../lib/ports.ts'
import { seededRandom } from './random.ts'

type Call = keyof Metadata
/** Called instead of the store, once, with the call itself to be made when and as often as it likes. */
type Instead = (call: () => Promise<unknown>) => Promise<unknown>

export class Stores {
  readonly objects = new MemoryObjects()
  readonly metadata = new MemoryMetadata()
  #nowMs = 1_750_000_000_000
  #logs = 0

  pass(durationMs: number): void {
    this.#nowMs += durationMs
  }

  /** A process; what is given to `next` takes the place of its next such call, a head's command in front: `append updateHead`. */
  log(settings: Partial<Settings> = {}): { log: Log; next: (call: string, instead: Instead) => void } {
    const instead = new Map<string, Instead>()
    const through = (call: Call, kind: string, made: () => Promise<unknown>): Promise<unknown> => {
      const name = `${kind}${call}`
      const taken = instead.get(name)
      instead.delete(name)
      return taken === undefined ? made() : taken(made)
    }
    const metadata = this.metadata
    const calls: Metadata = {
      readHead: (key) => through('readHead', '', () => metadata.readHead(key)) as ReturnType<Metadata['readHead']>,
      createHead: (head) => metadata.createHead(head),
      updateHead: (key, command, also) =>
        through('updateHead', `${command.kind} `, () => metadata.updateHead(key, command, also)) as ReturnType<
          Metadata['updateHead']
        >,
      get: (key) => through('get', '', () => metadata.get(key)) as ReturnType<Metadata['get']>,
      query: (collection, range) =>
        through('query', '', () => metadata.query(collection, range)) as ReturnType<Metadata['query']>,
      write: (writes) => through('write', '', () => metadata.write(writes)) as ReturnType<Metadata['write']>,
    }
    const clock = {
      now: () => this.#nowMs,
      sleep: async (durationMs: number) => {
        this.#nowMs += Math.ceil(durationMs)
      },
    }
    const ports = {
      objects: this.objects,
      metadata: calls,
      clock,
      random: seededRandom(++this.#logs),
      codecs: nodeCodecs,
    }
    return { log: createLog(ports, { lingerMs: 0, ...settings }), next: (call, taken) => instead.set(call, taken) }
  }
}

export async function must<Value>(answer: Promise<Answer<Value>>): Promise<Value> {
  const given = await answer
  if (!given.ok) assert.fail(`${given.code}: ${given.message}`)
  return given
}
export async function codeOf(answer: Promise<{ ok: true } | { ok: false; code: string }>): Promise<string> {
  const given = await answer
  return given.ok ? 'ok' : given.code
}
export const lost = () => new Unavailable('no answer', 'possible', 'timeout')
