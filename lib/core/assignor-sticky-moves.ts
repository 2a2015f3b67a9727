/**
 * Step 2 of the sticky assignment (assignor-sticky.ts): how many partitions stay with their owners, and how many of which
 * topic go to the members of which class. Only numbers: which partitions these are is decided in step 3.
 */
import type { Class, Topic } from './assignor-sticky.ts'
import { type Arc, ArcList, FlowNetwork, UNLIMITED } from './flow-network.ts'

export interface Moves {
  /** By member: how many of its partitions it keeps, by topic. */
  readonly kept: readonly ReadonlyMap<number, number>[]
  /** By topic: how many partitions go to the pool of each of its classes. */
  readonly pooled: readonly (readonly number[])[]
  /** By member: how many partitions it takes from the pool of its class. */
  readonly taken: readonly number[]
}

/** Step 2: how many partitions stay and how many go where. */
export function findMoves(topics: readonly Topic[], classes: readonly Class[], classOf: readonly number[]): Moves {
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
