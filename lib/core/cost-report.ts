/** What a running log costs: what a meter counted and what is stored, priced as on AWS. Pure. */
import { billOf, gigabyte, hoursPerMonth, type Usage, usageOf } from './cost.ts'
import type { EpochMs, TopicId, TopicName } from './names.ts'
import { listPrices, type PriceList } from './prices.ts'
import { type Operation, otherTopics, type UsageReport } from './usage.ts'

/** Bytes of a topic's records that rows and tails name, as they are stored. */
export interface StoredOfTopic {
  readonly topicId: TopicId
  readonly name: TopicName
  /** In objects. */
  readonly objectBytes: number
  /** In items of the metadata store. */
  readonly inlineBytes: number
}

export interface Stored {
  readonly topics: readonly StoredOfTopic[]
  /** False: there is more than was looked at. */
  readonly isWhole: boolean
}

export interface Priced {
  readonly requests: number
  /** In units of the price list. */
  readonly units: Usage
  /** US dollars. */
  readonly usd: number
}

export interface CostOfUse {
  /** `null`: of no topic; `(other)`: of all that are not kept apart; an id where the name is not known. */
  readonly topic: string | null
  readonly operation: Operation
  readonly sinceStart: Priced
  readonly inWindow: Priced
  /** The window's, as if a month went on like it. */
  readonly usdPerMonth: number
}

export interface CostOfStorage {
  readonly topic: string
  readonly objectBytes: number
  readonly inlineBytes: number
  readonly usdPerMonth: number
}

export interface CostReport {
  /** `server`: others share its stores, and what they ask is not in it. */
  readonly scope: 'log' | 'server'
  readonly sinceMs: EpochMs
  readonly untilMs: EpochMs
  readonly windowMs: number
  /** Of requests to the stores in the window. */
  readonly usdPerHour: number
  /** The same for 730 hours. */
  readonly usdPerMonth: number
  /** Of what is stored now. */
  readonly storageUsdPerMonth: number
  /** Dearest first. */
  readonly used: readonly CostOfUse[]
  /** Largest first. */
  readonly stored: readonly CostOfStorage[]
  /** False: there is more stored than was looked at. */
  readonly isStoredWhole: boolean
}

const hourMs = 3_600_000
/** Less than a minute says nothing of a month: it counts as one. */
const windowMsMin = 60_000

export function costReportOf(
  { sinceMs, untilMs, windowMs, used }: UsageReport,
  stored: Stored,
  nameOf: (topicId: TopicId) => string | undefined,
  isSoleProcess: boolean,
  prices: PriceList = listPrices,
): CostReport {
  const perMonth = (usd: number) => (usd / Math.max(windowMs, windowMsMin)) * hourMs * hoursPerMonth
  const shown = (topicId: TopicId | '') => (topicId === '' ? null : (nameOf(topicId) ?? topicId))
  const costs = used.map(({ operation, topicId, total, recent, recentRequests }): CostOfUse => {
    const requests = Object.values(total).reduce((sum, counted) => sum + counted.requests, 0)
    const inWindow = priced(recentRequests, recent, prices)
    return {
      topic: topicId === otherTopics ? otherTopics : shown(topicId),
      operation,
      sinceStart: priced(requests, usageOf(total), prices),
      inWindow,
      usdPerMonth: perMonth(inWindow.usd),
    }
  })
  costs.sort((a, b) => b.usdPerMonth - a.usdPerMonth || b.sinceStart.usd - a.sinceStart.usd)
  const storage = stored.topics.map(({ name, objectBytes, inlineBytes }): CostOfStorage => {
    const { usd } = billOf(
      { s3StorageGbMonth: objectBytes / gigabyte, dynamoDbStorageGbMonth: inlineBytes / gigabyte },
      prices,
    )
    return { topic: name, objectBytes, inlineBytes, usdPerMonth: usd }
  })
  storage.sort((a, b) => b.objectBytes + b.inlineBytes - a.objectBytes - a.inlineBytes)
  const usdPerMonth = costs.reduce((sum, cost) => sum + cost.usdPerMonth, 0)
  return {
    scope: isSoleProcess ? 'log' : 'server',
    sinceMs,
    untilMs,
    windowMs,
    usdPerHour: usdPerMonth / hoursPerMonth,
    usdPerMonth,
    storageUsdPerMonth: storage.reduce((sum, cost) => sum + cost.usdPerMonth, 0),
    used: costs,
    stored: storage,
    isStoredWhole: stored.isWhole,
  }
}

function priced(requests: number, units: Usage, prices: PriceList): Priced {
  const used = Object.fromEntries(Object.entries(units).filter(([, quantity]) => quantity > 0))
  return { requests, units: used, usd: billOf(units, prices).usd }
}
