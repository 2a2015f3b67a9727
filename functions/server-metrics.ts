/**
 * The metrics of a server, for Prometheus: what it was asked, what it asked of the stores and for what, what it did, what waits.
 *
 * By prom-client: the text format, histograms and the metrics of a Node process are not what Highwater exists for.
 *
 * Bounded (D8): topics are labels of what the meter keeps apart, and `(other)` stands for the rest; routes are those of the table. Partitions
 * are no labels: a log may have 100,000 of them, and what grows in one is told by the topic.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, prometheusContentType, Registry } from 'prom-client'
import type { TaggedMeter } from '../lib/adapters/tagged-meter.ts'
import type { TopicId } from '../lib/core/names.ts'
import { otherTopics } from '../lib/core/usage.ts'
import type { Answered } from '../lib/http/app.ts'
import type { UnderWay } from '../lib/log/log.ts'
import type { Counted, Observer } from '../lib/log/observer.ts'
import { countMetrics, type ServerMetricName, serverMetrics } from './metrics.ts'

/** From what memory takes to what a long poll waits. */
const secondsBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** `RecordsAppended` is `highwater_records_appended_total`. */
export function counterName(metric: string): string {
  return `highwater${metric.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_total`
}

/** What a round of upkeep did, as far as it is counted. */
export interface RoundDone {
  readonly rowsRemoved?: number
  readonly rowsMerged?: number
  /** What a round of merges calls them. */
  readonly rows?: number
}

export class ServerMetrics {
  readonly contentType = prometheusContentType
  readonly observer: Observer
  readonly #registry = new Registry()
  readonly #meter: TaggedMeter
  readonly #underWay: () => UnderWay
  /** What the engine counts, by topic where it says one. */
  readonly #counts = new Map<Counted, { readonly counter: Counter; readonly byTopic: Map<TopicId | '', number> }>()
  readonly #requests: Counter
  readonly #requestSeconds: Histogram
  readonly #storeRequests: Counter
  readonly #storeBytes: Counter
  readonly #storeWriteUnits: Counter
  readonly #storeReadUnits: Counter
  readonly #rounds: Counter
  readonly #rowsRemoved: Counter
  readonly #rowsMerged: Counter

  /** @param underWay asked when the metrics are */
  constructor(meter: TaggedMeter, underWay: () => UnderWay) {
    this.#meter = meter
    this.#underWay = underWay
    const refusals = this.#counter('commitRefusals')
    const steps = this.#histogram('stepSeconds')
    this.#requests = this.#counter('requests')
    this.#requestSeconds = this.#histogram('requestSeconds')
    this.#storeRequests = this.#counter('storeRequests')
    this.#storeBytes = this.#counter('storeBytes')
    this.#storeWriteUnits = this.#counter('storeWriteUnits')
    this.#storeReadUnits = this.#counter('storeReadUnits')
    this.#rounds = this.#counter('upkeepRounds')
    this.#rowsRemoved = this.#counter('rowsRemoved')
    this.#rowsMerged = this.#counter('rowsMerged')
    this.observer = {
      count: (name, n, topicId) => this.#count(name, n, topicId),
      commitRefused: (reason) => refusals.inc({ reason }),
      time: (step, durationMs) => steps.observe({ step }, durationMs / 1_000),
    }
    this.#addCounts()
    this.#addUnderWay()
  }

  readonly onAnswer = ({ method, route, status, durationMs }: Answered): void => {
    // A path that is none of ours could be any: it is no label.
    const labels = { method: route === undefined ? '' : method, route: route ?? '' }
    this.#requests.inc({ ...labels, code: status })
    this.#requestSeconds.observe(labels, durationMs / 1_000)
  }

  /** A round of upkeep ended. @param done undefined: it failed */
  roundEnded(work: string, done: RoundDone | undefined): void {
    this.#rounds.inc({ work, outcome: done === undefined ? 'failed' : 'done' })
    this.#rowsRemoved.inc(done?.rowsRemoved ?? 0)
    this.#rowsMerged.inc(done?.rowsMerged ?? done?.rows ?? 0)
  }

  /** In Prometheus' text format. */
  async text(): Promise<string> {
    this.#refresh()
    return `${await this.#registry.metrics()}\n${await processRegistry().metrics()}`
  }

  #count(name: Counted, n: number, topicId: TopicId | undefined): void {
    const byTopic = this.#counts.get(name)?.byTopic
    const id = topicId === undefined ? '' : this.#keptApart(topicId)
    byTopic?.set(id, (byTopic.get(id) ?? 0) + n)
  }

  #keptApart(topicId: TopicId): TopicId {
    return this.#meter.isApart(topicId) ? topicId : otherTopics
  }

  #addCounts(): void {
    for (const [counted, { name, meaning }] of Object.entries(countMetrics)) {
      const counter = new Counter({
        name: counterName(name),
        help: meaning,
        labelNames: ['topic'],
        registers: [this.#registry],
      })
      this.#counts.set(counted as Counted, { counter, byTopic: new Map() })
    }
  }

  /** Names, and which topics are kept apart, change: these counters are filled when they are asked for. */
  #refresh(): void {
    const stores = [this.#storeRequests, this.#storeBytes, this.#storeWriteUnits, this.#storeReadUnits]
    for (const counter of stores) counter.reset()
    for (const { operation, topicId, total } of this.#meter.read().used) {
      const topic = this.#label(topicId)
      for (const [kind, { requests, bytes, writeUnits, readUnits }] of Object.entries(total)) {
        this.#storeRequests.inc({ operation, kind, topic }, requests)
        this.#storeBytes.inc({ operation, kind, topic }, bytes)
        if (writeUnits > 0) this.#storeWriteUnits.inc({ operation, topic }, writeUnits)
        if (readUnits > 0) this.#storeReadUnits.inc({ operation, topic }, readUnits)
      }
    }
    for (const { counter, byTopic } of this.#counts.values()) {
      counter.reset()
      for (const [topicId, n] of byTopic) {
        if (topicId === '' || this.#keptApart(topicId) === topicId) continue
        byTopic.delete(topicId)
        byTopic.set(otherTopics, (byTopic.get(otherTopics) ?? 0) + n)
      }
      for (const [topicId, n] of byTopic) counter.inc(topicId === '' ? {} : { topic: this.#label(topicId) }, n)
    }
  }

  #addUnderWay(): void {
    const gauge = (name: ServerMetricName, read: (underWay: UnderWay) => number) => {
      const { name: text, meaning } = serverMetrics[name]
      const made: Gauge = new Gauge({
        name: text,
        help: meaning,
        registers: [this.#registry],
        collect: () => made.set(read(this.#underWay())),
      })
    }
    gauge('appendBytesPending', ({ appendBytes }) => appendBytes)
    gauge('fetchesWaiting', ({ fetchesWaiting }) => fetchesWaiting)
    gauge('backfillBytes', ({ backfillBytes }) => backfillBytes)
    gauge('backfillsWaiting', ({ backfillsWaiting }) => backfillsWaiting)
  }

  #counter(name: ServerMetricName): Counter {
    const { name: text, meaning, labels } = serverMetrics[name]
    return new Counter({
      name: text,
      help: meaning,
      labelNames: [...labels],
      registers: [this.#registry],
    })
  }

  #histogram(name: ServerMetricName): Histogram {
    const { name: text, meaning, labels } = serverMetrics[name]
    return new Histogram({
      name: text,
      help: meaning,
      labelNames: [...labels],
      buckets: secondsBuckets,
      registers: [this.#registry],
    })
  }

  #label(topicId: TopicId | ''): string {
    return topicId === '' || topicId === otherTopics ? topicId : (this.#meter.nameOf(topicId) ?? topicId)
  }
}

let ofProcess: Registry | undefined

/** Of the process, whatever servers run in it; from the first time that anybody asks. */
function processRegistry(): Registry {
  if (ofProcess === undefined) {
    ofProcess = new Registry()
    collectDefaultMetrics({ register: ofProcess })
  }
  return ofProcess
}
