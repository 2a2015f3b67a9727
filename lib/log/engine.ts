/**
 * What all parts of a log share: the context, the topics, the chunks that were read, what is under way, and the end of it all.
 *
 * A log is put together from parts (part-*.ts), each some methods of `Log`. A server has them all (create-log.ts); a function
 * has those that its requests need, and its bundle holds no others.
 */
import type { Refusal } from '../core/errors.ts'
import { refusal, Unavailable } from '../core/errors.ts'
import type { ClusterItem, Item } from '../core/items.ts'
import { clusterIdKey } from '../core/items.ts'
import { topicIdFromRandom } from '../core/names.ts'
import type { Settings } from '../core/settings.ts'
import { parseSettings } from '../core/settings.ts'
import type { Operation } from '../core/usage.ts'
import { Chunks } from './chunks.ts'
import { refusalOfUnavailable } from './commit-outcomes.ts'
import type { LogRules } from './context.ts'
import { Context, logRules } from './context.ts'
import type { Log, LogPorts } from './log.ts'
import { Topics } from './topics.ts'

/** Makes refusals of the world's failures. `unseen`: a repeat is harmless, or nothing was changed. */
export type Answering = <Value>(
  work: () => Promise<Value | Refusal>,
  effects?: 'seen' | 'unseen',
) => Promise<Value | Refusal>

export interface Engine {
  readonly context: Context
  readonly topics: Topics
  readonly chunks: Chunks
  /** Every request goes through it: the world's failures become refusals here; whatever else is thrown is a bug. */
  readonly answer: Answering
  /** Aborted when the log closes, or by the caller's own signal. */
  ending(signal?: AbortSignal): AbortSignal
  /** Called when nobody is let in any more, and again when everybody was answered. */
  onClose(hurry: () => void, end?: () => void): void
}

/** The engine as it is for requests of one kind: what they ask of the stores counts for that. */
export function countedAs(operation: Operation, engine: Engine): Engine {
  const { context } = engine
  if (context.meter === undefined) return engine
  return { ...engine, answer: (work, effects) => context.within({ operation }, () => engine.answer(work, effects)) }
}

/** What every log has. */
export type LogBase = Pick<Log, 'clusterId' | 'settled' | 'close'>

/** Throws where the settings are wrong, all failures in one message. */
export function createEngine(
  ports: LogPorts,
  settings: Partial<Settings>,
  rules: Partial<LogRules> = {},
): { readonly engine: Engine; readonly base: LogBase } {
  const parsed = parseSettings(settings)
  if (!parsed.ok) throw new Error(parsed.message)
  const context = new Context(ports, parsed.settings, { ...logRules, ...rules })
  const closing = new AbortController()
  const underWay = new Set<Promise<unknown>>()
  const hurries: (() => void)[] = []
  const ends: (() => void)[] = []

  const engine: Engine = {
    context,
    topics: new Topics(context),
    chunks: new Chunks(context),
    async answer(work, effects = 'seen') {
      if (closing.signal.aborted) return refusal('SHUTTING_DOWN', 'The log is closing.')
      const working = work()
      underWay.add(working)
      try {
        return await working
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error
        if (error.effects === 'none') return refusalOfUnavailable(error)
        if (effects === 'unseen')
          return refusal(
            'STORAGE_UNAVAILABLE',
            `The storage did not answer (${error.message}); to ask again does no harm.`,
            {
              retryAfterMs: 1_000,
            },
          )
        return refusal(
          'OUTCOME_UNKNOWN',
          `The storage did not answer; the change may have been made (${error.message}).`,
        )
      } finally {
        underWay.delete(working)
      }
    },
    ending: (signal) => (signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal])),
    onClose(hurry, end) {
      hurries.push(hurry)
      if (end !== undefined) ends.push(end)
    },
  }

  const base: LogBase = {
    clusterId: () => context.within({ operation: 'admin' }, () => clusterId(context)),
    settled: async () => {
      while (underWay.size > 0) await Promise.allSettled(underWay)
      await context.settled()
    },
    close: async () => {
      // Who was let in is answered, from wherever it is on its way: looking up its topic, waiting to be gathered, committing.
      closing.abort()
      for (const hurry of hurries) hurry()
      context.commits.notifyAll()
      context.groups.notifyAll()
      await Promise.allSettled(underWay)
      for (const end of ends) end()
      await context.settled()
    },
  }
  return { engine, base }
}

/**
 * A log that has only some of its parts, for a function. The methods of the others are missing, though the type has them:
 * test/functions/routes.test.ts shows that no route of a function asks for one.
 */
export function createPartOfLog(
  ports: LogPorts,
  settings: Partial<Settings>,
  parts: readonly ((engine: Engine) => Partial<Log>)[],
): Log {
  const { engine, base } = createEngine(ports, settings)
  return Object.assign({}, base, ...parts.map((part) => part(engine))) as Log
}

/** The cluster's id: made once, by whoever comes first. */
async function clusterId(context: Context): Promise<string> {
  const { metadata, random } = context
  const present = await context.persist(() => metadata.get(clusterIdKey))
  if (present !== undefined) return (present.value as unknown as ClusterItem).clusterId
  const value: ClusterItem = {
    clusterId: topicIdFromRandom(Uint8Array.from({ length: 16 }, () => Math.floor(random() * 256))),
  }
  const version = context.newVersion()
  const answer = await context.persist(() =>
    metadata.write([{ op: 'put', key: clusterIdKey, version, value: value as unknown as Item['value'], if: 'absent' }]),
  )
  const standing = answer.applied ? value : (answer.items[0]?.value as unknown as ClusterItem)
  return standing.clusterId
}
