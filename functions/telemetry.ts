/**
 * What a function tells about its work: lines of JSON on standard output, some of which CloudWatch makes metrics of.
 *
 * A line of metrics for each call would cost as much as the rest of a small call's function: what calls tell is held, and
 * written at the end of the first call that is `holdMsMax` after the last line, or when it has become much, or when something went wrong. An
 * environment that is called less often writes a line for each call. One that ends takes with it what it held; nothing is lost
 * of errors, which are written at once.
 */
import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics } from '@aws-lambda-powertools/metrics'
import type { Context } from 'aws-lambda'
import { TaggedMeter } from '../lib/adapters/tagged-meter.ts'
import { usageOf } from '../lib/core/cost.ts'
import type { Answered, Failure } from '../lib/http/app.ts'
import type { CommitRefused, Observer } from '../lib/log/observer.ts'
import {
  commitRefusals,
  countMetrics,
  type FunctionName,
  holdMsMax,
  type MetricEntry,
  metricsNamespace,
  requestMetrics,
  stepMetrics,
  usageProperties,
} from './metrics.ts'

/** Topics that one line each may be written of, with the same for all others together (D8). */
const topicsPerPublishMax = 50

/** Values of a metric in a line. The format takes 100, and the library writes at the hundredth by itself. */
const valuesMax = 99

export class Telemetry {
  readonly logger: Logger
  readonly observer: Observer
  /** What was asked of the stores since the last line. */
  readonly meter: TaggedMeter
  readonly #name: FunctionName
  readonly #metrics: Metrics
  readonly #now: () => number
  readonly #write: (line: string) => void
  /** Counts and bytes as sums, times as they were. */
  readonly #held = new Map<MetricEntry, number[]>()
  readonly #refusals = new Map<CommitRefused, number>()
  #heldSinceMs: number | undefined
  #publishedMs = Number.NEGATIVE_INFINITY
  #isUrgent = false

  /** @param logger and `metrics`: of the environment (POWERTOOLS_…), unless they are given */
  constructor(
    name: FunctionName,
    logger: Logger = new Logger(),
    metrics: Metrics = new Metrics({ namespace: metricsNamespace }),
    now: () => number = Date.now,
    write: (line: string) => void = (line) => void process.stdout.write(`${line}\n`),
  ) {
    this.logger = logger
    this.meter = new TaggedMeter({ now, topicsMax: topicsPerPublishMax })
    this.#name = name
    this.#write = write
    this.#metrics = metrics
    this.#now = now
    metrics.setDefaultDimensions({ function: name })
    this.observer = {
      count: (counted, n) => this.add(countMetrics[counted], n),
      time: (step, durationMs) => this.add(stepMetrics[step], durationMs),
      commitRefused: (why) => {
        this.#holds()
        this.#refusals.set(why, (this.#refusals.get(why) ?? 0) + 1)
        if (why === 'unknown') this.#isUrgent = true
      },
    }
  }

  add(entry: MetricEntry, value: number): void {
    this.#holds()
    const values = this.#held.get(entry) ?? []
    this.#held.set(entry, values)
    const [sum = 0] = values
    if (entry.unit === 'Milliseconds') values.push(value)
    else values[0] = sum + value
    if (entry === requestMetrics.errors) this.#isUrgent = true
    if (values.length >= valuesMax) this.publish()
  }

  /**
   * A call begins. What was held while nobody called is written before it, with the time that it is of.
   *
   * @param correlationId the gateway's id of the request
   */
  begin(context: Context, correlationId: string | undefined): void {
    this.logger.addContext(context)
    if (correlationId !== undefined) this.logger.setCorrelationId(correlationId)
    this.#metrics.captureColdStartMetric()
    if (this.#isDue()) this.publish()
  }

  /** A call ends: what it did is written, or held for a line with that of others. */
  end(): void {
    if (this.#isUrgent || this.#isDue()) this.publish()
  }

  /** Writes the metrics of what was done since the last time. */
  publish(): void {
    if (this.#heldSinceMs === undefined && this.meter.isEmpty) return
    if (this.#heldSinceMs !== undefined && this.#held.size > 0) {
      this.#metrics.setTimestamp(this.#heldSinceMs)
      for (const [{ name, unit }, values] of this.#held)
        for (const value of values) this.#metrics.addMetric(name, unit, value)
      this.#metrics.publishStoredMetrics()
      this.#held.clear()
    }
    for (const [reason, count] of this.#refusals)
      this.#metrics
        .singleMetric()
        .addDimension('reason', reason)
        .addMetric(commitRefusals.name, commitRefusals.unit, count)
    this.#refusals.clear()
    this.#writeUsage()
    this.#publishedMs = this.#now()
    this.#heldSinceMs = undefined
    this.#isUrgent = false
  }

  #isDue(): boolean {
    const isHeld = this.#heldSinceMs !== undefined || !this.meter.isEmpty
    return isHeld && this.#now() - this.#publishedMs >= holdMsMax
  }

  /**
   * What was asked of the stores, a line for each operation and topic: properties of no metric, which nobody bills but as bytes of
   * the log. No environment knows what the others asked; a saved query adds them up.
   */
  #writeUsage(): void {
    if (this.meter.isEmpty) return
    for (const { operation, topicId, total } of this.meter.take().used) {
      const usage = usageOf(total)
      const used = {
        usage: operation,
        function: this.#name,
        topic: topicId === '' ? '-' : (this.meter.nameOf(topicId) ?? topicId),
        requests: Object.values(total).reduce((sum, { requests }) => sum + requests, 0),
        ...Object.fromEntries(usageProperties.map((name) => [name, usage[name] ?? 0])),
      }
      this.#write(JSON.stringify(used))
    }
  }

  #holds(): void {
    this.#heldSinceMs ??= this.#now()
  }

  readonly onAnswer = ({ status, durationMs, ...answered }: Answered): void => {
    this.add(requestMetrics.duration, durationMs)
    if (status >= 400 && status < 500) this.add(requestMetrics.refused, 1)
    if (status >= 500) this.add(requestMetrics.errors, 1)
    this.logger.debug('request', { ...answered, status, durationMs })
  }

  readonly onFailure = ({ message, error, ...failure }: Failure): void => {
    // What was answered is counted with the answers.
    if (failure.status === undefined) this.add(requestMetrics.errors, 1)
    this.logger.error('request failed', { ...failure, reason: message, ...(error instanceof Error ? { error } : {}) })
  }

  readonly onBug = (bug: unknown): void => {
    this.add(requestMetrics.errors, 1)
    this.logger.error('bug beside a request', bug instanceof Error ? bug : new Error(String(bug)))
  }
}
