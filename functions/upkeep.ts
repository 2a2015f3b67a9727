/** A round of upkeep as a handler, whatever calls it. */
import type { Context } from 'aws-lambda'
import type { Log } from '../lib/log/log.ts'
import { upkeepPart } from '../lib/log/part-upkeep.ts'
import { composeLog, type FunctionParts, told } from './environment.ts'
import { maintainMetrics, requestMetrics } from './metrics.ts'

/** A round of upkeep ends this long before the end of the function: a partition that was begun is ended, too. */
const maintainMarginMs = 10_000

type Round = Extract<Awaited<ReturnType<Log['maintain']>>, { readonly ok: true }>

/** @throws (the handler) what failed, after it was told: an alarm counts the function's errors, and the next round goes on */
export function composeMaintain(parts: FunctionParts): (event: unknown, context: Context) => Promise<Round> {
  const { telemetry } = parts
  const { log } = composeLog(parts, [upkeepPart])
  return (_event, context) =>
    told(telemetry, context, undefined, async () => {
      const ending = new AbortController()
      const leftMs = context.getRemainingTimeInMillis() - maintainMarginMs
      if (leftMs <= 0) ending.abort()
      const timer = setTimeout(() => ending.abort(), Math.max(0, leftMs))
      const round = await log.maintain(ending.signal).finally(() => clearTimeout(timer))
      await log.settled()
      if (!round.ok) {
        telemetry.add(requestMetrics.errors, 1)
        throw new Error(round.message)
      }
      telemetry.add(maintainMetrics.partitions, round.partitions)
      telemetry.add(maintainMetrics.forgotten, round.forgotten)
      telemetry.logger.info('upkeep', { ...round, isWhole: !ending.signal.aborted })
      return round
    })
}
