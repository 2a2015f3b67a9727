/** The part of a log that deletes objects: for the one process that may. */
import { countedAs, type Engine } from './engine.ts'
import type { Log } from './log.ts'
import { sweep } from './sweep.ts'

export function sweepPart(engine: Engine): Pick<Log, 'sweep'> {
  const { context, answer, ending } = countedAs('sweep', engine)
  return {
    sweep: (options = {}) =>
      answer(async () => ({ ok: true, ...(await sweep(context, ending(options.signal), options.isDryRun)) }), 'unseen'),
  }
}
