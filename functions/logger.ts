/** The structured log of a server process: one line of JSON per event, on standard error. */
import pino from 'pino'
import { type Logger, StartError } from './server.ts'

/** @param level pino's: `debug` has a line for every request @default 'info' */
export function createLogger(level = 'info'): Logger {
  if (level !== 'silent' && pino.levels.values[level] === undefined)
    throw new StartError(
      `HIGHWATER_LOG_LEVEL is one of ${Object.keys(pino.levels.values).join(', ')} and silent, not ${JSON.stringify(level)}.`,
    )
  // Synchronous: the lines are few, and the last ones before an end matter most.
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 2, sync: true }))
}
