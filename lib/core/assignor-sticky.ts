/**
 * The sticky assignment (KIP-54), as an optimum instead of a heuristic:
 *
 * S1 it is as balanced as the subscriptions allow: no other assignment has a smaller sum of the squared numbers of
 *    partitions per member. So members with equal subscriptions differ by at most one partition, and no chain of moves
 *    takes a partition from a member to one with at least two fewer.
 * S2 among the balanced ones it is one that leaves the most partitions where they are.
 *
 * An assignment that is balanced already therefore stays as it is, and when a member joins or leaves only what has to
 * move moves. Where S1 and S2 leave a choice, the partitions of a topic are spread over the members.
 *
 * Members with equal subscriptions form a *class*. How it goes:
 *
 * 1. Levels. A flow from topics to classes finds, for every class and topic, its level d, such that the balanced
 *    assignments are exactly those in which every member of a class of level d has d or d + 1 partitions and every topic is
 *    read by subscribers of its own level only. With equal subscriptions there is one class, and d is the quotient.
 * 2. Moves. A network of topics, classes and members in which a partition may stay with its owner (topic to member, free)
 *    or go through the pool of a class to any of its members (topic to class to member, which costs 1 if it had to be
 *    taken from its owner first). The cheapest flow that gives every member what its level asks is S2
 *    (assignor-sticky-moves.ts).
 * 3. Deal. The pool of each class is dealt to its members.
 */
import type { AssignorMember, Give } from './assignor.ts'
import { findMoves, type Moves } from './assignor-sticky-moves.ts'
import { ArcList, FlowNetwork, UNLIMITED } from './flow-network.ts'

export interface Topic {
  readonly name: string
  readonly partitions: number
  /** Classes that subscribed to it; from step 2 on those of its level only. */
  classes: number[]
  /** By partition: the index of the member that owns it, or -1. */
  readonly owners: Int32Array
  level: number
}

/** The members with one subscription. */
export interface Class {
  /** Indexes of its topics, ascending. */
  readonly topics: readonly number[]
  /** Indexes of its members, ascending. */
  readonly members: number[]
  level: number
}

/** Gives every partition to one of the members, which come in their order. */
export function assignSticky(
  members: readonly AssignorMember[],
  partitions: ReadonlyMap<string, number>,
  give: Give,
): void {
  const { topics, classes, classOf } = classify(members, partitions)
  findLevels(topics, classes)
  for (const topic of topics) topic.classes = topic.classes.filter((k) => classes[k]!.level === topic.level)
  takeOwned(members, topics, classes, classOf)
  const moves = findMoves(topics, classes, classOf)
  const readers = deal(topics, classes, moves)
  for (const [t, topic] of topics.entries()) {
    for (const [partition, reader] of readers[t]!.entries()) give(members[reader]!, topic.name, partition)
  }
}

/** Topics in order of their names, and the members by what they subscribed to. */
function classify(members: readonly AssignorMember[], partitions: ReadonlyMap<string, number>) {
  const names = [...partitions.keys()].filter((name) => partitions.get(name)! > 0).sort()
  const indexOf = new Map(names.map((name, t) => [name, t]))
  const classes: Class[] = []
  const classBySubscription = new Map<string, number>()
  const classByList = new Map<readonly string[], number>()
  const classOf = members.map((member, m) => {
    let k = classByList.get(member.topics)
    if (k === undefined) {
      const subscribed = new Uint16Array(Math.ceil(names.length / 16))
      const topics: number[] = []
      for (const name of member.topics) {
        const t = indexOf.get(name)
        if (t === undefined || (subscribed[t >> 4]! & (1 << (t & 15))) !== 0) continue
        subscribed[t >> 4]! |= 1 << (t & 15)
        topics.push(t)
      }
      const subscription = subscribed.reduce((key, bits) => key + String.fromCharCode(bits), '')
      k = classBySubscription.get(subscription) ?? classes.length
      if (k === classes.length) {
        classes.push({ topics: topics.sort((a, b) => a - b), members: [], level: 0 })
        classBySubscription.set(subscription, k)
      }
      classByList.set(member.topics, k)
    }
    classes[k]!.members.push(m)
    return k
  })
  const classesOf: number[][] = names.map(() => [])
  for (const [k, { topics }] of classes.entries()) for (const t of topics) classesOf[t]!.push(k)
  const topics = names.map((name, t): Topic => {
    const count = classesOf[t]!.length === 0 ? 0 : partitions.get(name)!
    return { name, partitions: count, classes: classesOf[t]!, owners: new Int32Array(count).fill(-1), level: 0 }
  })
  return { topics, classes, classOf }
}

/**
 * Step 1: sets the levels. It takes a part of the topics and classes with its mean D per member, rounded down, and gives
 * every member D. If not all can have that many, those that can't be filled fall apart from the rest, which needs more.
 * If they can, every member may take one more: what then is still left over, and all that could take some of it, falls
 * apart as the part that needs more; the remaining members have D or D + 1 and are done.
 */
function findLevels(topics: readonly Topic[], classes: readonly Class[]): void {
  const nodeOf = new Int32Array(classes.length).fill(-1)
  const parts = [
    {
      ts: [...topics.keys()].filter((t) => topics[t]!.partitions > 0),
      ks: [...classes.keys()].filter((k) => classes[k]!.topics.length > 0),
    },
  ]
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    const { ts, ks } = part
    if (ks.length === 0) continue
    const partitions = ts.reduce((sum, t) => sum + topics[t]!.partitions, 0)
    const members = ks.reduce((sum, k) => sum + classes[k]!.members.length, 0)
    const mean = Math.floor(partitions / members)
    const surplus = new Int32Array(ts.length + ks.length)
    const arcs = new ArcList(ts.reduce((sum, t) => sum + topics[t]!.classes.length, 0))
    nodeOf.fill(-1)
    for (const [at, k] of ks.entries()) {
      nodeOf[k] = ts.length + at
      surplus[nodeOf[k]!] = -mean * classes[k]!.members.length
    }
    for (const [node, t] of ts.entries()) {
      surplus[node] = topics[t]!.partitions
      for (const k of topics[t]!.classes) if (nodeOf[k] !== -1) arcs.add(node, nodeOf[k]!, UNLIMITED)
    }
    const network = new FlowNetwork(arcs, surplus)
    const wanting = () => ks.map((k) => nodeOf[k]!).filter((node) => surplus[node]! < 0)
    const split = (isIn: Uint8Array, side: number) => ({
      ts: ts.filter((_, node) => isIn[node] === side),
      ks: ks.filter((k) => isIn[nodeOf[k]!] === side),
    })
    network.settle()
    if (wanting().length > 0) {
      const canFill = network.reachable(wanting(), 'backward')
      parts.push(split(canFill, 1), split(canFill, 0))
      continue
    }
    for (const k of ks) surplus[nodeOf[k]!]! -= classes[k]!.members.length
    network.settle()
    const leftOver = [...ts.keys()].filter((node) => surplus[node]! > 0)
    const above = network.reachable(leftOver, 'forward')
    const done = split(above, 0)
    for (const t of done.ts) topics[t]!.level = mean
    for (const k of done.ks) classes[k]!.level = mean
    parts.push(split(above, 1))
  }
}

/** Notes who owns what. On a conflict it is the first member's. A topic of another level than its owner's has to move. */
function takeOwned(
  members: readonly AssignorMember[],
  topics: readonly Topic[],
  classes: readonly Class[],
  classOf: readonly number[],
): void {
  const indexOf = new Map(topics.map(({ name }, t) => [name, t]))
  const subscribed = classes.map((k) => new Set(k.topics))
  for (const [m, { owned }] of members.entries()) {
    for (const [name, list] of owned) {
      const t = indexOf.get(name)
      if (t === undefined || !subscribed[classOf[m]!]!.has(t)) continue
      const { owners } = topics[t]!
      for (const partition of list) if (owners[partition] === -1) owners[partition] = m
    }
  }
  for (const { owners, level } of topics) {
    for (const [partition, owner] of owners.entries()) {
      if (owner !== -1 && classes[classOf[owner]!]!.level !== level) owners[partition] = -1
    }
  }
}

/** Step 3: by topic and partition, the member that reads it. Of a topic a member keeps the first of those it owns. */
function deal(topics: readonly Topic[], classes: readonly Class[], moves: Moves): Int32Array[] {
  const held = new Int32Array(moves.taken.length)
  const left = Int32Array.from(moves.taken)
  const circles = classes.map(({ members }) => new Circle(members, held, left))
  return topics.map((topic, t) => {
    held.fill(0)
    const readers = topic.owners.map((owner) => {
      if (owner === -1 || held[owner]! === moves.kept[owner]!.get(t)!) return -1
      held[owner]! += 1
      return owner
    })
    let partition = 0
    for (const [at, k] of topic.classes.entries()) {
      circles[k]!.fewest = 0
      for (let units = moves.pooled[t]![at]!; units > 0; units--) {
        while (readers[partition] !== -1) partition++
        readers[partition] = circles[k]!.deal()
      }
    }
    return readers
  })
}

/** The members of a class in a circle, to whom its pool is dealt. */
class Circle {
  /** No member with something left to take holds fewer of the topic (a lower bound, 0 when a topic begins). */
  fewest = 0
  /** No member has more left to take (an upper bound). */
  #most = UNLIMITED
  #next = 0
  readonly #members: readonly number[]
  readonly #held: Int32Array
  readonly #left: Int32Array

  /** `held`: how many partitions of the topic members have; `left`: how many they are still to take. Both are kept up. */
  constructor(members: readonly number[], held: Int32Array, left: Int32Array) {
    this.#members = members
    this.#held = held
    this.#left = left
  }

  /** Deals to the next one of those that hold the fewest of the topic, and of these have the most left to take. */
  deal(): number {
    const at = this.#find()
    const m = this.#members[at]!
    this.#held[m]! += 1
    this.#left[m]! -= 1
    this.#next = (at + 1) % this.#members.length
    return m
  }

  #find(): number {
    let best = -1
    let fewest = UNLIMITED
    let mostOfBest = 0
    let most = 0
    for (let step = 0, at = this.#next; step < this.#members.length; step++, at++) {
      if (at === this.#members.length) at = 0
      const held = this.#held[this.#members[at]!]!
      const left = this.#left[this.#members[at]!]!
      if (left === 0) continue
      // Nobody further on can be better.
      if (held === this.fewest && left === this.#most) return at
      if (left > most) most = left
      if (held > fewest || (held === fewest && left <= mostOfBest)) continue
      best = at
      fewest = held
      mostOfBest = left
    }
    this.fewest = fewest
    this.#most = most
    return best
  }
}
