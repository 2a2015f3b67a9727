/** The part of a log that reads records. */
import { countedAs, type Engine } from './engine.ts'
import { fetch } from './fetch.ts'
import { fetchMany } from './fetch-many.ts'
import type { Log } from './log.ts'

export function fetchPart(engine: Engine): Pick<Log, 'fetch' | 'fetchMany'> {
  const { context, topics, chunks, answer, ending } = countedAs('fetch', engine)
  return {
    fetch: (request) => answer(() => fetch(context, topics, chunks, { ...request, signal: ending(request.signal) })),
    fetchMany: (request) =>
      answer(() => fetchMany(context, topics, chunks, { ...request, signal: ending(request.signal) })),
  }
}
