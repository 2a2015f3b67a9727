/** The part of a log that says how much of everything there is: for a server, which can look at all of it. */
import { countedAs, type Engine } from './engine.ts'
import type { Log } from './log.ts'
import { storedByTopic } from './stored.ts'

export function usagePart(engine: Engine): Pick<Log, 'stored' | 'underWay'> {
  const { context, topics, answer } = countedAs('admin', engine)
  return {
    stored: (limits) =>
      answer(async () => ({ ok: true, stored: await storedByTopic(context, topics, limits) }), 'unseen'),
    underWay: () => ({
      appendBytes: context.waiting.appendBytes,
      fetchesWaiting: context.waiting.fetches,
      backfillBytes: context.backfilling.bytes,
      backfillsWaiting: context.backfilling.waiting,
    }),
  }
}
