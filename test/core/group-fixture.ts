/** Groups as their tests make them: topics by name, members with the options that most of them have. */
import type { Group, GroupTopic, MemberOptions, Resolve, Subscription, TopicsSeen } from '../../lib/core/group.ts'
import type { GroupId, MemberId, TopicId } from '../../lib/core/names.ts'
import { type PartitionSet, partitionSet } from '../../lib/core/partition-set.ts'
import { matchesTopic, parseTopicPattern } from '../../lib/core/topic-pattern.ts'

export const groupId = 'group' as GroupId
export const id = (text: string) => text as MemberId

/** Topics by name, with their partitions; the id of a topic is `<name>#<incarnation>`. */
export function topicsOf(partitions: Readonly<Record<string, number>>, incarnation = 1): Map<string, GroupTopic> {
  return new Map(
    Object.entries(partitions).map(([name, count]) => [
      name,
      { id: `${name}#${incarnation}` as TopicId, partitions: count },
    ]),
  )
}

export const resolve: Resolve = (subscription, topics) => {
  if (subscription.kind === 'topics') return subscription.topics.filter((name) => topics.has(name))
  const parsed = parseTopicPattern(subscription.pattern)
  if (!parsed.ok) throw new Error(parsed.message)
  return [...topics.keys()].filter((name) => matchesTopic(parsed.pattern, name)).sort()
}

/**
 * What the log looks up for a group before a change: the topics that it knew or that somebody subscribes to; all of them
 * where there is a pattern.
 */
export function seenBy(
  group: Group,
  existing: ReadonlyMap<string, GroupTopic>,
  ...more: readonly Subscription[]
): TopicsSeen {
  const subscriptions = [...more, ...[...group.members.values()].map(({ subscription }) => subscription)]
  if (subscriptions.some(({ kind }) => kind === 'pattern')) return existing
  const names = new Set([
    ...group.topics.keys(),
    ...subscriptions.flatMap((s) => (s.kind === 'topics' ? s.topics : [])),
  ])
  return new Map([...existing].filter(([name]) => names.has(name)))
}

export function topics(...names: readonly string[]): Subscription {
  return { kind: 'topics', topics: names.toSorted() }
}

export function options(subscription: Subscription, more: Partial<MemberOptions> = {}): MemberOptions {
  return {
    subscription,
    sessionTimeoutMs: 45_000,
    rebalanceTimeoutMs: 300_000,
    assignor: 'cooperative-sticky',
    ...more,
  }
}

/** `orders#1/0 orders#1/1`: partitions of a set, in order. */
export function show(set: PartitionSet | undefined): string {
  return [...(set ?? [])]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([topicId, partitions]) => partitions.map((partition) => `${topicId}/${partition}`))
    .join(' ')
}

/** What `show` shows. */
export function set(text: string): PartitionSet {
  return partitionSet(
    text
      .split(' ')
      .filter((part) => part !== '')
      .map((part) => {
        const [topicId = '', partition] = part.split('/')
        return [topicId as TopicId, Number(partition)] as const
      }),
  )
}
