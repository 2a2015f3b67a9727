/** Upkeep, merges, and the sweep, as handlers, whatever calls them. */
import type { Context, DynamoDBStreamEvent } from 'aws-lambda'
import type { HeadKey } from '../lib/core/head.ts'
import { partitionOfRows } from '../lib/core/items.ts'
import type { Log, Refusal } from '../lib/log/log.ts'
import { rolledPart } from '../lib/log/part-rolled.ts'
import { sweepPart } from '../lib/log/part-sweep.ts'
import { upkeepPart } from '../lib/log/part-upkeep.ts'
import { composeLog, type FunctionParts, told } from './environment.ts'
import { maintainMetrics, requestMetrics } from './metrics.ts'

/** Work ends this long before the end of the function: a partition that was begun is ended, too. */
const marginMs = 10_000
/** Keys of damaged objects that one line of the log names. */
const damagedShownMax = 20

type Round = Extract<Awaited<ReturnType<Log['maintain']>>, { readonly ok: true }>

/** @throws (the handler) what failed, after it was told: an alarm counts the function's errors, and the next round goes on */
export function composeMaintain(parts: FunctionParts): (event: unknown, context: Context) => Promise<Round> {
  const { telemetry } = parts
  const { log } = composeLog(parts, [upkeepPart])
  return inTime(parts, log, async (_event, signal) => {
    const round = await log.maintain(signal)
    if (!round.ok) return round
    tellLooks(telemetry, round)
    telemetry.logger.info('upkeep', { ...round, isWhole: !signal.aborted })
    return round
  })
}

type MergeRound = Extract<Awaited<ReturnType<Log['maintainRolled']>>, { readonly ok: true }>

/**
 * Called with what the table's stream tells of. Partitions for which the time is not enough are kept in mind as long as this environment
 * lives, and then found by the round of upkeep.
 *
 * @throws as that of upkeep, where the stores do not answer: the stream is read again from there
 */
export function composeMerge(
  parts: FunctionParts,
): (event: DynamoDBStreamEvent, context: Context) => Promise<MergeRound> {
  const { telemetry } = parts
  const { log } = composeLog(parts, [rolledPart])
  return inTime(parts, log, async (event, signal) => {
    const round = await log.maintainRolled(rolledIn(event), signal)
    if (!round.ok) return round
    tellLooks(telemetry, round)
    if (round.left > 0) telemetry.add(maintainMetrics.left, round.left)
    telemetry.logger.info('merges', { ...round })
    return round
  })
}

/** How many rows came to which partitions. Whatever else is told is passed over. */
export function rolledIn({ Records }: DynamoDBStreamEvent): { readonly key: HeadKey; readonly rows: number }[] {
  const rolled = new Map<string, { readonly key: HeadKey; rows: number }>()
  for (const { eventName, dynamodb } of Records) {
    const collection = dynamodb?.Keys?.pk?.S ?? ''
    const key = eventName === 'INSERT' ? partitionOfRows(collection) : undefined
    if (key === undefined) continue
    const known = rolled.get(collection)
    if (known === undefined) rolled.set(collection, { key, rows: 1 })
    else known.rows++
  }
  return [...rolled.values()]
}

function tellLooks(
  telemetry: FunctionParts['telemetry'],
  { partitions, failed, forgotten }: Pick<Round, 'partitions' | 'failed' | 'forgotten'>,
): void {
  telemetry.add(maintainMetrics.partitions, partitions)
  telemetry.add(maintainMetrics.forgotten, forgotten)
  if (failed > 0) telemetry.add(maintainMetrics.failed, failed)
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
  return inTime(parts, log, async (_event, signal) => {
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

/** A handler whose work ends before the function does, with nothing pending. */
function inTime<Event, Done extends { readonly ok: true }>(
  { telemetry }: FunctionParts,
  log: Log,
  work: (event: Event, signal: AbortSignal) => Promise<Done | Refusal>,
): (event: Event, context: Context) => Promise<Done> {
  return (event, context) =>
    told(telemetry, context, undefined, async () => {
      const ending = new AbortController()
      const leftMs = context.getRemainingTimeInMillis() - marginMs
      if (leftMs <= 0) ending.abort()
      const timer = setTimeout(() => ending.abort(), Math.max(0, leftMs))
      const done = await work(event, ending.signal).finally(() => clearTimeout(timer))
      await log.settled()
      if (done.ok) return done
      telemetry.add(requestMetrics.errors, 1)
      throw new Error(done.message)
    })
}
