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
 *    taken from its owner first). The cheapest flow that gives every member what its level asks is S2.
 * 3. Deal. The pool of each class is dealt to its members.
 */
import type { AssignorMember, Give } from './assignor.ts'
import { type Arc, ArcList, FlowNetwork, UNLIMITED } from './flow-network.ts'

interface Topic {
  readonly name: string
  readonly partitions: number
  /** Classes that subscribed to it; from step 2 on those of its level only. */
  classes: number[]
  /** By partition: the index of the member that owns it, or -1. */
  readonly owners: Int32Array
  level: number
}

/** The members with one subscription. */
interface Class {
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
      for (const name of member.topics) {
        const t = indexOf.get(name)
        if (t !== undefined) subscribed[t >> 4]! |= 1 << (t & 15)
      }
      const subscription = subscribed.reduce((key, bits) => key + String.fromCharCode(bits), '')
      k = classBySubscription.get(subscription) ?? classes.length
      if (k === classes.length) {
        classes.push({ topics: names.map((_, t) => t).filter((t) => isSet(subscribed, t)), members: [], level: 0 })
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

function isSet(bits: Uint16Array, at: number): boolean {
  return (bits[at >> 4]! & (1 << (at & 15))) !== 0
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

interface Moves {
  /** By member: how many of its partitions it keeps, by topic. */
  readonly kept: readonly ReadonlyMap<number, number>[]
  /** By topic: how many partitions go to the pool of each of its classes. */
  readonly pooled: readonly (readonly number[])[]
  /** By member: how many partitions it takes from the pool of its class. */
  readonly taken: readonly number[]
}

/** Step 2: how many partitions stay and how many go where. */
function findMoves(topics: readonly Topic[], classes: readonly Class[], classOf: readonly number[]): Moves {
  const plan = new Plan(topics, classes, classOf)
  const { network } = plan
  plan.spreadUnowned()
  network.settle()
  while (network.raisePotentials()) {
    plan.spreadReleased()
    network.settle()
  }
  if (network.surplus.some((units) => units !== 0)) throw new Error('the sticky assignor left a partition over')
  return {
    kept: plan.keep.map((arcs) => new Map(arcs.map(({ t, arc }) => [t, network.flow(arc)]))),
    pooled: plan.pool.map((arcs) => arcs.map((arc) => network.flow(arc))),
    taken: plan.take.map((arc) => network.flow(arc)),
  }
}

/**
 * The network of step 2. Each member wants the d partitions of its level; the spare node of a level wants what is left
 * of it, one at most from each member. The network alone would find an optimum; the methods send the plain cases over
 * tight arcs beforehand, so that a topic is spread over the members, and quickly.
 */
class Plan {
  readonly network: FlowNetwork
  /** By member, for each topic of which it owns some: topic -> member, for what stays. */
  readonly keep: { t: number; arc: Arc }[][]
  /** By topic, for each of its classes: topic -> class. */
  readonly pool: Arc[][]
  /** By member: class -> member. */
  readonly take: Arc[]
  /** By member: member -> the spare node of its level, for the partition above d. */
  readonly oneMore: Arc[]
  readonly #topics: readonly Topic[]
  readonly #classes: readonly Class[]
  readonly #classOf: readonly number[]
  readonly #spareNodeOf = new Map<number, number>()

  constructor(topics: readonly Topic[], classes: readonly Class[], classOf: readonly number[]) {
    this.#topics = topics
    this.#classes = classes
    this.#classOf = classOf
    const owned = countOwned(topics, classOf.length)
    const levels = [...new Set(classes.map(({ level }) => level))]
    const spareNodes = topics.length + classes.length + classOf.length
    for (const [at, level] of levels.entries()) this.#spareNodeOf.set(level, spareNodes + at)
    const arcs = new ArcList(
      topics.reduce((sum, topic) => sum + topic.classes.length, 0) +
        owned.reduce((sum, counts) => sum + counts.length, 0) +
        2 * classOf.length,
    )
    const surplus = new Int32Array(spareNodes + levels.length)
    this.pool = topics.map((topic, t) => {
      surplus[t] = topic.partitions
      if (topic.classes.length > 0) surplus[this.#spareNodeOf.get(topic.level)!]! -= topic.partitions
      return topic.classes.map((k) => arcs.add(t, this.#classNode(k), UNLIMITED))
    })
    this.take = classOf.map((k, m) => arcs.add(this.#classNode(k), this.#memberNode(m), UNLIMITED))
    this.oneMore = classOf.map((_, m) => arcs.add(this.#memberNode(m), this.#spareNode(m), 1))
    this.keep = owned.map((counts, m) => {
      const { level } = classes[classOf[m]!]!
      surplus[this.#memberNode(m)]! -= level
      surplus[this.#spareNode(m)]! += level
      return counts.map(({ t, count }) => {
        surplus[t]! -= count
        surplus[this.#memberNode(m)]! += count
        return { t, arc: arcs.add(t, this.#memberNode(m), count, -1, count) }
      })
    })
    this.network = new FlowNetwork(arcs, surplus)
  }

  #classNode(k: number): number {
    return this.#topics.length + k
  }

  #memberNode(m: number): number {
    return this.#topics.length + this.#classes.length + m
  }

  #spareNode(m: number): number {
    return this.#spareNodeOf.get(this.#classes[this.#classOf[m]!]!.level)!
  }

  /** How many partitions a member can still take: those below d, or the one above it. */
  #room(m: number): number {
    const { surplus } = this.network
    const below = -surplus[this.#memberNode(m)]!
    if (below !== 0) return Math.max(0, below)
    return this.network.isTight(this.oneMore[m]!) && surplus[this.#spareNode(m)]! < 0 ? 1 : 0
  }

  /** Sends one partition that is in the pool of a member's class to the member, which has room. */
  #give(m: number): void {
    const isBelow = this.network.surplus[this.#memberNode(m)]! < 0
    this.network.push(this.take[m]!, 1)
    if (!isBelow) this.network.push(this.oneMore[m]!, 1)
  }

  /** Sends unowned partitions to the classes that have the fewest of the topic per member, first to members below d. */
  spreadUnowned(): void {
    for (const isBelow of [true, false]) {
      const takers = this.#takers((m) => this.network.surplus[this.#memberNode(m)]! < 0 === isBelow)
      const room = takers.map((list) => list.reduce((sum, m) => sum + this.#room(m), 0))
      const held = new Int32Array(this.#classes.length)
      for (const [t, topic] of this.#topics.entries()) {
        if (this.network.surplus[t]! <= 0) continue
        for (const owner of topic.owners) if (owner !== -1) held[this.#classOf[owner]!]! += 1
        for (const [at, k] of topic.classes.entries()) held[k]! += this.network.flow(this.pool[t]![at]!)
        while (this.network.surplus[t]! > 0) {
          const at = this.#emptiest(topic.classes, held, room)
          if (at === -1) break
          const k = topic.classes[at]!
          const m = this.#nextTaker(takers[k]!)
          // The one above d can run out unseen: the spare node serves all classes of the level.
          if (m === undefined) {
            room[k] = 0
            continue
          }
          this.network.push(this.pool[t]![at]!, 1)
          this.#give(m)
          room[k]! -= 1
          held[k]! += 1
        }
        for (const k of topic.classes) held[k] = 0
      }
    }
  }

  /** Where in `ks` the class with room is that has the fewest per member, and of those the most room per member. */
  #emptiest(ks: readonly number[], held: Int32Array, room: readonly number[]): number {
    let best = -1
    let bestHeld = 0
    let bestRoom = 0
    for (let at = 0; at < ks.length; at++) {
      const k = ks[at]!
      if (room[k] === 0) continue
      const size = this.#classes[k]!.members.length
      const heldEach = held[k]! / size
      const roomEach = room[k]! / size
      if (best !== -1 && (heldEach > bestHeld || (heldEach === bestHeld && roomEach <= bestRoom))) continue
      best = at
      bestHeld = heldEach
      bestRoom = roomEach
    }
    return best
  }

  /** Lets members that have too many give to members that have too few, from the topic they keep the most of. */
  spreadReleased(): void {
    const { network } = this
    // Nodes that want something have the highest potential, and so has every node from which they are reached at no
    // cost. So all arcs from a topic to a member with room are tight, and only the way out of the owner has to be asked.
    const takers = this.#takers(() => true)
    // Which class of a topic is the first that still has a taker: one that has none will not get any.
    const cursor = new Int32Array(this.#topics.length)
    const findTaker = (t: number): number | undefined => {
      const { classes } = this.#topics[t]!
      for (; cursor[t]! < classes.length; cursor[t]!++) {
        const m = this.#nextTaker(takers[classes[cursor[t]!]!]!)
        if (m !== undefined) return m
      }
      return undefined
    }
    for (const [m, arcs] of this.keep.entries()) {
      while (network.surplus[this.#memberNode(m)]! > 0) {
        let from: { t: number; arc: Arc } | undefined
        for (const keep of arcs) {
          if (from !== undefined && network.flow(keep.arc) <= network.flow(from.arc)) continue
          if (network.isTight(keep.arc ^ 1) && findTaker(keep.t) !== undefined) from = keep
        }
        if (from === undefined) break
        const taker = findTaker(from.t)!
        network.push(from.arc ^ 1, 1)
        network.push(this.pool[from.t]![cursor[from.t]!]!, 1)
        this.#give(taker)
      }
    }
  }

  /** By class: its members that have room, last to first, of those that pass. */
  #takers(passes: (m: number) => boolean): number[][] {
    return this.#classes.map((k) => k.members.filter((m) => this.#room(m) > 0 && passes(m)).reverse())
  }

  /** The next member of a list of takers that still has room. */
  #nextTaker(takers: number[]): number | undefined {
    while (takers.length > 0 && this.#room(takers[takers.length - 1]!) === 0) takers.pop()
    return takers[takers.length - 1]
  }
}

/** By member: how many partitions it owns of which topics. */
function countOwned(topics: readonly Topic[], members: number): { t: number; count: number }[][] {
  const owned: { t: number; count: number }[][] = Array.from({ length: members }, () => [])
  for (const [t, topic] of topics.entries()) {
    for (const owner of topic.owners) {
      if (owner === -1) continue
      const counts = owned[owner]!
      const last = counts[counts.length - 1]
      if (last?.t === t) last.count++
      else counts.push({ t, count: 1 })
    }
  }
  return owned
}

/** Step 3: by topic and partition, the member that reads it. Of a topic a member keeps the first of those it owns. */
function deal(topics: readonly Topic[], classes: readonly Class[], moves: Moves): Int32Array[] {
  const left = Int32Array.from(moves.taken)
  const next = new Int32Array(classes.length)
  const held = new Int32Array(left.length)
  return topics.map((topic, t) => {
    held.fill(0)
    const readers = topic.owners.map((owner) => {
      if (owner === -1 || held[owner]! === moves.kept[owner]!.get(t)!) return -1
      held[owner]! += 1
      return owner
    })
    let partition = 0
    for (const [at, k] of topic.classes.entries()) {
      for (let units = moves.pooled[t]![at]!; units > 0; units--) {
        while (readers[partition] !== -1) partition++
        const m = pick(classes[k]!.members, next[k]!, held, left)
        readers[partition] = classes[k]!.members[m]!
        held[readers[partition]!]! += 1
        left[readers[partition]!]! -= 1
        next[k] = m + 1
      }
    }
    return readers
  })
}

/** Where in `members` the next one to deal to is: it has the fewest of the topic, of those the most left to take. */
function pick(members: readonly number[], from: number, held: Int32Array, left: Int32Array): number {
  let best = -1
  for (let step = 0; step < members.length; step++) {
    const at = (from + step) % members.length
    const m = members[at]!
    if (left[m] === 0) continue
    const bestM = best === -1 ? m : members[best]!
    if (best === -1 || held[m]! < held[bestM]! || (held[m]! === held[bestM]! && left[m]! > left[bestM]!)) best = at
  }
  return best
}
