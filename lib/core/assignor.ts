/**
 * Which member of a consumer group reads which partition: Kafka's assignors, as pure functions.
 *
 * A1 every partition of an existing topic that a member subscribed to has exactly one owner, and that one subscribed to it.
 * A2 the result depends on nothing but the members, what they own and the partition counts: not on the order in which
 *    members, topics or partitions are named.
 * A3 `range` and `roundrobin` answer exactly what Kafka's RangeAssignor and RoundRobinAssignor answer (without racks).
 * A4 `sticky` and `cooperative-sticky` answer the same target, see assignor-sticky.ts; they differ in how a group gets
 *    there, and that is the group's business.
 */
import { assignSticky } from './assignor-sticky.ts'

/** Kafka's names in `partition.assignment.strategy`. */
export type AssignorName = 'range' | 'roundrobin' | 'sticky' | 'cooperative-sticky'

export interface AssignorMember {
  readonly id: string
  /** Static members sort by this, before all others, as in Kafka. */
  readonly instanceId?: string
  /** Topic names subscribed to, resolved from patterns. */
  readonly topics: readonly string[]
  /** What it owns now. Only the sticky assignors look at it; what no longer exists or is not subscribed to is ignored. */
  readonly owned: Assignment
}

/** Topic name -> ascending partitions; no topic without partitions. */
export type Assignment = ReadonlyMap<string, readonly number[]>

/**
 * Assigns the partitions to the members. `partitions` holds the partition counts of existing topics by name; topics
 * that are not in it are ignored. The answer has an entry for every member id.
 *
 * @throws Error if two members have the same id, which is a bug of the caller.
 *
 * @example
 * const members = ['a', 'b'].map((id) => ({ id, topics: ['orders'], owned: new Map() }))
 * assign('range', members, new Map([['orders', 3]]))
 * // a -> orders 0 1, b -> orders 2
 */
export function assign(
  assignor: AssignorName,
  members: readonly AssignorMember[],
  partitions: ReadonlyMap<string, number>,
): ReadonlyMap<string, Assignment> {
  const sorted = [...members].sort(inKafkasOrder)
  const assigned = new Map<string, Map<string, number[]>>(sorted.map(({ id }) => [id, new Map()]))
  if (assigned.size !== sorted.length) throw new Error('two members of a group have the same id')
  const give = (member: AssignorMember, topic: string, partition: number) => {
    const topics = assigned.get(member.id)!
    const list = topics.get(topic)
    if (list === undefined) topics.set(topic, [partition])
    else list.push(partition)
  }
  switch (assignor) {
    case 'range':
      assignRange(sorted, partitions, give)
      break
    case 'roundrobin':
      assignRoundRobin(sorted, partitions, give)
      break
    case 'sticky':
    case 'cooperative-sticky':
      assignSticky(sorted, partitions, give)
      break
    default:
      assignor satisfies never
  }
  return assigned
}

/** Hands a partition to a member. Called topic by topic in their order, and in a topic from partition 0 on. */
export type Give = (member: AssignorMember, topic: string, partition: number) => void

/** Kafka's `MemberInfo.compareTo`: static members by instance id, then the others by member id, by UTF-16 code units. */
function inKafkasOrder(a: AssignorMember, b: AssignorMember): number {
  if (a.instanceId !== undefined && b.instanceId !== undefined && a.instanceId !== b.instanceId) {
    return a.instanceId < b.instanceId ? -1 : 1
  }
  if (a.instanceId !== undefined && b.instanceId === undefined) return -1
  if (a.instanceId === undefined && b.instanceId !== undefined) return 1
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0
}

/** Topic by topic, each subscriber gets a run of consecutive partitions; the first ones get one more if it does not divide. */
function assignRange(members: readonly AssignorMember[], partitions: ReadonlyMap<string, number>, give: Give): void {
  const subscribersOf = new Map<string, AssignorMember[]>(inOrder(partitions).map(([topic]) => [topic, []]))
  for (const member of members) {
    for (const topic of member.topics) {
      const subscribers = subscribersOf.get(topic)
      if (subscribers !== undefined && subscribers[subscribers.length - 1] !== member) subscribers.push(member)
    }
  }
  for (const [topic, subscribers] of subscribersOf) {
    const count = partitions.get(topic)!
    const each = Math.floor(count / subscribers.length)
    const oneMore = count % subscribers.length
    let partition = 0
    for (let at = 0; at < subscribers.length && partition < count; at++) {
      for (let left = each + (at < oneMore ? 1 : 0); left > 0; left--) give(subscribers[at]!, topic, partition++)
    }
  }
}

/** All partitions in order are dealt to the members in a circle; who did not subscribe to the topic is passed over. */
function assignRoundRobin(
  members: readonly AssignorMember[],
  partitions: ReadonlyMap<string, number>,
  give: Give,
): void {
  const subscribed = members.map(({ topics }) => new Set(topics))
  let next = 0
  for (const [topic, count] of inOrder(partitions)) {
    if (!subscribed.some((topics) => topics.has(topic))) continue
    for (let partition = 0; partition < count; partition++) {
      while (!subscribed[next]!.has(topic)) next = (next + 1) % members.length
      give(members[next]!, topic, partition)
      next = (next + 1) % members.length
    }
  }
}

function inOrder(partitions: ReadonlyMap<string, number>): [topic: string, count: number][] {
  return [...partitions].sort(([a], [b]) => (a < b ? -1 : 1))
}
