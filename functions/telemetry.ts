/** What a function tells about its work: lines of JSON on standard output, some of which CloudWatch makes metrics of. */
import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics } from '@aws-lambda-powertools/metrics'
import type { Context } from 'aws-lambda'
import type { Answered, Failure } from '../lib/http/app.ts'
import type { CommitRefused, Observer } from '../lib/log/observer.ts'
import {
  commitRefusals,
  countMetrics,
  type FunctionName,
  type MetricEntry,
  metricsNamespace,
  requestMetrics,
  stepMetrics,
} from './metrics.ts'

export class Telemetry {
  readonly logger: Logger
  readonly observer: Observer
  readonly #metrics: Metrics
  readonly #refusals = new Map<CommitRefused, number>()

  /** @param logger and `metrics`: of the environment (POWERTOOLS_…), unless they are given */
  constructor(
    name: FunctionName,
    logger: Logger = new Logger(),
    metrics: Metrics = new Metrics({ namespace: metricsNamespace }),
  ) {
    this.logger = logger
    this.#metrics = metrics
    metrics.setDefaultDimensions({ function: name })
    this.observer = {
      count: (counted, n) => this.add(countMetrics[counted], n),
      time: (step, durationMs) => this.add(stepMetrics[step], durationMs),
      commitRefused: (why) => {
        this.#refusals.set(why, (this.#refusals.get(why) ?? 0) + 1)
      },
    }
  }

  add({ name, unit }: MetricEntry, value: number): void {
    this.#metrics.addMetric(name, unit, value)
  }

  /** @param correlationId the gateway's id of the request */
  begin(context: Context, correlationId: string | undefined): void {
    this.logger.addContext(context)
    if (correlationId !== undefined) this.logger.setCorrelationId(correlationId)
    this.#metrics.captureColdStartMetric()
  }

  /** Writes the metrics of what was done since the last time. */
  publish(): void {
    if (this.#metrics.hasStoredMetrics()) this.#metrics.publishStoredMetrics()
    for (const [reason, count] of this.#refusals)
      this.#metrics
        .singleMetric()
        .addDimension('reason', reason)
        .addMetric(commitRefusals.name, commitRefusals.unit, count)
    this.#refusals.clear()
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
