/** Which topics a group's subscriptions mean, as things stand. */
import type { Refusal } from '../core/errors.ts'
import { refusal } from '../core/errors.ts'
import type { Group, GroupTopic, Subscription, TopicsSeen } from '../core/group.ts'
import { partitionsOfGroup } from '../core/group.ts'
import { parseTopicName } from '../core/names.ts'
import type { Topic } from '../core/topic.ts'
import type { TopicPattern } from '../core/topic-pattern.ts'
import { matchesTopic, parseTopicPattern } from '../core/topic-pattern.ts'
import type { Topics } from './topics.ts'

export const subscriptionTopicsMax = 100
const topicsAtOnce = 16

/**
 * Topics that the group's members, or these subscriptions, mean; and those that the group knew, as far as they exist. What is
 * written into the group is made of what was read after it: what this process remembers may be from before, and would put a
 * topic back that was deleted, or created again. `remembered` is good enough to see that nothing has changed.
 */
export async function topicsSeen(
  topics: Topics,
  group: Group,
  more: readonly Subscription[] = [],
  age: 'now' | 'remembered' = 'now',
): Promise<TopicsSeen> {
  const subscriptions = [...more, ...[...group.members.values()].map(({ subscription }) => subscription)]
  if (subscriptions.some(({ kind }) => kind === 'pattern'))
    return new Map((await topics.list()).map((topic) => [topic.name as string, groupTopic(topic)]))
  const names = [
    ...new Set([
      ...group.topics.keys(),
      ...subscriptions.flatMap((subscription) => (subscription.kind === 'topics' ? subscription.topics : [])),
    ]),
  ]
  const seen = new Map<string, GroupTopic>()
  for (let at = 0; at < names.length; at += topicsAtOnce) {
    const found = await Promise.all(
      names
        .slice(at, at + topicsAtOnce)
        .map((name) => (age === 'now' ? topics.describeNow(name) : topics.resolve(name))),
    )
    for (const answer of found) if (answer.ok) seen.set(answer.topic.name, groupTopic(answer.topic))
  }
  return seen
}

/**
 * The group as `decide` makes it of these topics; where they have become more than `partitionsMax`, of what the group knew of
 * them: it goes on with what it had, and its members come and go.
 */
export function withinLimit(
  group: Group,
  topics: TopicsSeen,
  partitionsMax: number,
  decide: (topics: TopicsSeen) => Group,
): Group {
  const next = decide(topics)
  const partitions = partitionsOfGroup(next)
  if (partitions <= Math.max(partitionsMax, partitionsOfGroup(group))) return next
  return decide(new Map([...group.topics].filter(([name, { id }]) => topics.get(name)?.id === id)))
}

const patterns = new Map<string, TopicPattern>()
const patternsMax = 1_000

/** Names ascending. */
export function resolveSubscription(subscription: Subscription, topics: TopicsSeen): readonly string[] {
  if (subscription.kind === 'topics') return subscription.topics.filter((name) => topics.has(name))
  const { pattern } = subscription
  let parsed = patterns.get(pattern)
  if (parsed === undefined) {
    const answer = parseTopicPattern(pattern)
    // It was parsed when the member joined.
    if (!answer.ok) throw new Error(answer.message)
    parsed = answer.pattern
    if (patterns.size >= patternsMax) patterns.clear()
    patterns.set(pattern, parsed)
  }
  const matching = parsed
  return [...topics.keys()].filter((name) => matchesTopic(matching, name)).sort()
}

/** The subscription in canonical form, or what is wrong with it. Topics need not exist. */
export function parseSubscription(
  subscription: Subscription,
): { readonly ok: true; readonly subscription: Subscription } | Refusal {
  if (subscription.kind === 'pattern') {
    const parsed = parseTopicPattern(subscription.pattern)
    return parsed.ok ? { ok: true, subscription } : refusal('INVALID_SUBSCRIPTION', parsed.message)
  }
  const topics = [...new Set(subscription.topics)].sort()
  if (topics.length === 0) return refusal('INVALID_SUBSCRIPTION', 'Name at least one topic.')
  if (topics.length > subscriptionTopicsMax)
    return refusal(
      'INVALID_SUBSCRIPTION',
      `A member subscribes to at most ${subscriptionTopicsMax} topics by name, not ${topics.length}; use a pattern.`,
    )
  for (const name of topics) {
    const parsed = parseTopicName(name)
    if (!parsed.ok) return refusal('INVALID_SUBSCRIPTION', parsed.message)
  }
  return { ok: true, subscription: { kind: 'topics', topics } }
}

function groupTopic({ id, partitions }: Topic): GroupTopic {
  return { id, partitions }
}
