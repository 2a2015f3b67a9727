/** What requests to the stores are made for, and what they come to by topic: what a meter counts and `highwater cost` prices. Pure. */
import type { MeterReading, Usage } from './cost.ts'
import type { EpochMs, TopicId } from './names.ts'

/**
 * `fetch`: also where a partition begins and ends; `upkeep`: rolls by schedule, forgetting producers, groups; `other`: nobody said. A roll
 * that a commit began counts with the produce.
 */
export const operations = [
  'produce',
  'fetch',
  'group',
  'admin',
  'merge',
  'retention',
  'compaction',
  'sweep',
  'upkeep',
  'verify',
  'other',
] as const
export type Operation = (typeof operations)[number]

/** What of one request is whose. The parts of all topics are 1 together. */
export interface TopicShare {
  readonly topicId: TopicId
  readonly part: number
}

/** For what requests are made, and for whom where their keys do not tell: an object's key names no topic. */
export interface WorkTag {
  readonly operation?: Operation
  readonly topicId?: TopicId
  /** Of an object that holds bytes of several topics. */
  readonly shares?: readonly TopicShare[]
}

/** By bytes; in equal parts where there are none. */
export function sharesOf(parts: readonly { readonly topicId: TopicId; readonly bytes: number }[]): TopicShare[] {
  const bytes = new Map<TopicId, number>()
  let whole = 0
  for (const part of parts) {
    bytes.set(part.topicId, (bytes.get(part.topicId) ?? 0) + part.bytes)
    whole += part.bytes
  }
  return [...bytes].map(([topicId, own]) => ({ topicId, part: whole > 0 ? own / whole : 1 / bytes.size }))
}

/** What was asked for one purpose and topic. */
export interface UsedFor {
  readonly operation: Operation
  /** Empty: of no topic. `otherTopics`: of those beyond what a meter keeps apart. */
  readonly topicId: TopicId | ''
  /** Since the meter began. Kinds that were not asked for are missing. */
  readonly total: Partial<MeterReading>
  /** In the window: what has a price, and how many requests it was. */
  readonly recent: Usage
  readonly recentRequests: number
}

export interface UsageReport {
  readonly sinceMs: EpochMs
  readonly untilMs: EpochMs
  /** The last hour, or less where the meter is younger. */
  readonly windowMs: number
  readonly used: readonly UsedFor[]
}

/** Stands for all topics that a meter does not keep apart. No topic has this id. */
export const otherTopics = '(other)' as TopicId
