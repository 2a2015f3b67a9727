/** A round of upkeep, or of the sweep, as a handler, whatever calls it. */
import type { Context } from 'aws-lambda'
import type { Log, Refusal } from '../lib/log/log.ts'
import { sweepPart } from '../lib/log/part-sweep.ts'
import { upkeepPart } from '../lib/log/part-upkeep.ts'
import { composeLog, type FunctionParts, told } from './environment.ts'
import { maintainMetrics, requestMetrics } from './metrics.ts'

/** A round of upkeep ends this long before the end of the function: a partition that was begun is ended, too. */
const marginMs = 10_000
/** Keys of damaged objects that one line of the log names. */
const damagedShownMax = 20

type Round = Extract<Awaited<ReturnType<Log['maintain']>>, { readonly ok: true }>

/** @throws (the handler) what failed, after it was told: an alarm counts the function's errors, and the next round goes on */
export function composeMaintain(parts: FunctionParts): (event: unknown, context: Context) => Promise<Round> {
  const { telemetry } = parts
  const { log } = composeLog(parts, [upkeepPart])
  return inTime(parts, log, async (signal) => {
    const round = await log.maintain(signal)
    if (!round.ok) return round
    telemetry.add(maintainMetrics.partitions, round.partitions)
    telemetry.add(maintainMetrics.forgotten, round.forgotten)
    telemetry.logger.info('upkeep', { ...round, isWhole: !signal.aborted })
    return round
  })
}

/** What a sweep did, without the keys: they may be many. */
export interface SweepRound {
  readonly ok: true
  readonly candidates: number
  readonly deleted: number
  readonly damaged: number
  readonly isWhole: boolean
}

/** @throws as that of upkeep */
export function composeSweep(parts: FunctionParts): (event: unknown, context: Context) => Promise<SweepRound> {
  const { telemetry } = parts
  const { log } = composeLog(parts, [sweepPart])
  return inTime(parts, log, async (signal) => {
    const swept = await log.sweep({ signal })
    if (!swept.ok) return swept
    const { candidates, deleted, damaged } = swept
    if (damaged.length > 0) {
      telemetry.add(requestMetrics.errors, 1)
      telemetry.logger.error('damaged objects', { damaged: damaged.slice(0, damagedShownMax) })
    }
    const round = { candidates, deleted: deleted.length, damaged: damaged.length, isWhole: !signal.aborted }
    telemetry.logger.info('sweep', round)
    return { ok: true, ...round }
  })
}

/** A handler whose round ends before the function does, with nothing pending. */
function inTime<Done extends { readonly ok: true }>(
  { telemetry }: FunctionParts,
  log: Log,
  work: (signal: AbortSignal) => Promise<Done | Refusal>,
): (event: unknown, context: Context) => Promise<Done> {
  return (_event, context) =>
    told(telemetry, context, undefined, async () => {
      const ending = new AbortController()
      const leftMs = context.getRemainingTimeInMillis() - marginMs
      if (leftMs <= 0) ending.abort()
      const timer = setTimeout(() => ending.abort(), Math.max(0, leftMs))
      const done = await work(ending.signal).finally(() => clearTimeout(timer))
      await log.settled()
      if (done.ok) return done
      telemetry.add(requestMetrics.errors, 1)
      throw new Error(done.message)
    })
}
