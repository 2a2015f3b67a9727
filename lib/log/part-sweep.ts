/** The part of a log that deletes objects: for the one process that may. */
import type { Engine } from './engine.ts'
import type { Log } from './log.ts'
import { sweep } from './sweep.ts'

export function sweepPart({ context, answer, ending }: Engine): Pick<Log, 'sweep'> {
  return {
    sweep: (options = {}) =>
      answer(async () => ({ ok: true, ...(await sweep(context, ending(options.signal), options.isDryRun)) }), 'unseen'),
  }
}
