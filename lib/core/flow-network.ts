/**
 * A flow network that moves units from where there are too many to where there are too few, at the least total cost.
 * The sticky assignor asks it which partitions to move; it knows nothing of partitions itself.
 *
 * Nodes are numbers from 0. Every arc has a twin that takes its flow back for the opposite cost. `surplus` says how many
 * units a node has left to give (positive) or still wants (negative).
 *
 * F1 no unit is lost: what leaves a node's surplus arrives at another's.
 * F2 every arc with room left has a reduced cost (cost + potential of its start - potential of its end) of at least 0.
 *    So the flow is always a cheapest one for what has arrived so far, whichever tight arcs (reduced cost 0) it took.
 *
 * The method is the primal-dual one: send all that can go over tight arcs (Dinic's blocking flows), then raise the
 * potentials by the distances to the nearest node that wants something, and again. The costs are -1, 0 and 1 here, so
 * the distances, and with them the rounds, are few.
 */

/** A capacity that no sum of units reaches. */
export const UNLIMITED = 2 ** 30

/** An arc: even numbers are the arcs that were added, `arc ^ 1` is the twin that takes back. */
export type Arc = number

/** The arcs of a network to be. */
export class ArcList {
  readonly from: Int32Array
  readonly to: Int32Array
  readonly room: Int32Array
  readonly cost: Int8Array
  length = 0

  /** `arcsMax` arcs can be added. */
  constructor(arcsMax: number) {
    this.from = new Int32Array(2 * arcsMax)
    this.to = new Int32Array(2 * arcsMax)
    this.room = new Int32Array(2 * arcsMax)
    this.cost = new Int8Array(2 * arcsMax)
  }

  /**
   * Adds an arc that carries `flow` of its `capacity` already. The surpluses of the network have to agree with that
   * (F1), and an arc that costs less than 0 has to be full (F2).
   */
  add(from: number, to: number, capacity: number, cost = 0, flow = 0): Arc {
    const arc = this.length
    this.length += 2
    this.from[arc] = this.to[arc + 1] = from
    this.to[arc] = this.from[arc + 1] = to
    this.room[arc] = capacity - flow
    this.room[arc + 1] = flow
    this.cost[arc] = cost
    this.cost[arc + 1] = -cost
    return arc
  }
}

export class FlowNetwork {
  readonly surplus: Int32Array
  readonly #potential: Int32Array
  /** The arcs by place: those of a node lie side by side, from `#start[node]` up to `#start[node + 1]`, as they were added. */
  readonly #start: Int32Array
  readonly #from: Int32Array
  readonly #to: Int32Array
  readonly #room: Int32Array
  readonly #cost: Int8Array
  /** The place of the twin of the arc at a place. */
  readonly #twin: Int32Array
  /** The place of an arc. */
  readonly #place: Int32Array

  constructor(arcs: ArcList, surplus: Int32Array) {
    this.surplus = surplus
    this.#potential = new Int32Array(surplus.length)
    this.#start = new Int32Array(surplus.length + 1)
    for (let arc = 0; arc < arcs.length; arc++) this.#start[arcs.from[arc]! + 1]! += 1
    for (let node = 0; node < surplus.length; node++) this.#start[node + 1]! += this.#start[node]!
    const next = this.#start.slice()
    this.#place = new Int32Array(arcs.length)
    this.#from = new Int32Array(arcs.length)
    this.#to = new Int32Array(arcs.length)
    this.#room = new Int32Array(arcs.length)
    this.#cost = new Int8Array(arcs.length)
    this.#twin = new Int32Array(arcs.length)
    for (let arc = 0; arc < arcs.length; arc++) {
      const from = arcs.from[arc]!
      const at = next[from]!
      next[from] = at + 1
      this.#place[arc] = at
      this.#from[at] = from
      this.#to[at] = arcs.to[arc]!
      this.#room[at] = arcs.room[arc]!
      this.#cost[at] = arcs.cost[arc]!
    }
    for (let arc = 0; arc < arcs.length; arc++) this.#twin[this.#place[arc]!] = this.#place[arc ^ 1]!
  }

  /** What an added arc carries. */
  flow(arc: Arc): number {
    return this.#room[this.#place[arc ^ 1]!]!
  }

  /** May units take this arc (or twin) without giving up that the flow is a cheapest one? */
  isTight(arc: Arc): boolean {
    return this.#isTight(this.#place[arc]!)
  }

  #isTight(at: number): boolean {
    return this.#room[at]! > 0 && this.#reducedCost(at) === 0
  }

  #reducedCost(at: number): number {
    return this.#cost[at]! + this.#potential[this.#from[at]!]! - this.#potential[this.#to[at]!]!
  }

  /**
   * Sends units over a tight arc, out of the surplus of its start into that of its end.
   *
   * @throws Error if the arc is not tight, which would break F2.
   */
  push(arc: Arc, units: number): void {
    if (!this.isTight(arc)) throw new Error('only a tight arc takes units')
    this.#push(this.#place[arc]!, units)
  }

  #push(at: number, units: number): void {
    this.#room[at]! -= units
    this.#room[this.#twin[at]!]! += units
    this.surplus[this.#from[at]!]! -= units
    this.surplus[this.#to[at]!]! += units
  }

  /** Sends all that can go over tight arcs. */
  settle(): void {
    const depth = new Int32Array(this.surplus.length)
    const cursor = new Int32Array(this.surplus.length)
    for (;;) {
      const depthMax = this.#measureDepths(depth)
      if (depthMax === -1) return
      cursor.set(this.#start.subarray(0, cursor.length))
      for (let node = 0; node < this.surplus.length; node++) {
        if (this.surplus[node]! > 0 && depth[node] === 0) this.#send(node, this.surplus[node]!, depth, cursor, depthMax)
      }
    }
  }

  /** Fills `depth` with the least number of tight arcs from a node that gives; answers that of the nearest that wants. */
  #measureDepths(depth: Int32Array): number {
    depth.fill(-1)
    const queue = this.#giving()
    for (const node of queue) depth[node] = 0
    let depthMax = -1
    for (let head = 0; head < queue.length; head++) {
      const node = queue[head]!
      if (depthMax !== -1 && depth[node]! >= depthMax) break
      for (let at = this.#start[node]!; at < this.#start[node + 1]!; at++) {
        const to = this.#to[at]!
        if (depth[to] !== -1 || !this.#isTight(at)) continue
        depth[to] = depth[node]! + 1
        if (depthMax === -1 && this.surplus[to]! < 0) depthMax = depth[to]!
        queue.push(to)
      }
    }
    return depthMax
  }

  /** Sends up to `units` that are at `node` on to nodes that want them, one depth at a time; answers how many went. */
  #send(node: number, units: number, depth: Int32Array, cursor: Int32Array, depthMax: number): number {
    let sent = 0
    const next = depth[node]! + 1
    for (let at = cursor[node]!; at < this.#start[node + 1]!; at++) {
      cursor[node] = at
      const to = this.#to[at]!
      if (depth[to] !== next || !this.#isTight(at)) continue
      const most = Math.min(units - sent, this.#room[at]!)
      let went = Math.min(most, Math.max(0, -this.surplus[to]!))
      if (went > 0) this.#push(at, went)
      if (went < most && next < depthMax) {
        const onward = this.#send(to, most - went, depth, cursor, depthMax)
        if (onward > 0) this.#push(at, onward)
        went += onward
      }
      sent += went
      if (sent === units) return sent
    }
    cursor[node] = this.#start[node + 1]!
    return sent
  }

  /**
   * Raises the potentials until a node that wants something can be reached over tight arcs.
   * Answers false if there is no way at all from a node that gives to a node that wants.
   */
  raisePotentials(): boolean {
    const distance = new Int32Array(this.surplus.length).fill(UNLIMITED)
    const buckets: number[][] = [this.#giving()]
    for (const node of buckets[0]!) distance[node] = 0
    for (let length = 0; length < buckets.length; length++) {
      const bucket = buckets[length]!
      for (let head = 0; head < bucket.length; head++) {
        const node = bucket[head]!
        if (distance[node] !== length) continue
        if (this.surplus[node]! < 0) {
          for (const [other, away] of distance.entries()) this.#potential[other]! += Math.min(away, length)
          return true
        }
        for (let at = this.#start[node]!; at < this.#start[node + 1]!; at++) {
          if (this.#room[at] === 0) continue
          const to = this.#to[at]!
          const through = length + this.#reducedCost(at)
          if (through < length) throw new Error('F2: an arc with room has a negative reduced cost')
          if (through >= distance[to]!) continue
          distance[to] = through
          while (buckets.length <= through) buckets.push([])
          buckets[through]!.push(to)
        }
      }
    }
    return false
  }

  #giving(): number[] {
    const nodes: number[] = []
    for (let node = 0; node < this.surplus.length; node++) if (this.surplus[node]! > 0) nodes.push(node)
    return nodes
  }

  /** The nodes that can be reached from `starts` over arcs with room (or, with `'backward'`, that can reach them). */
  reachable(starts: Iterable<number>, direction: 'forward' | 'backward'): Uint8Array {
    const seen = new Uint8Array(this.surplus.length)
    const queue = [...starts]
    for (const node of queue) seen[node] = 1
    for (let head = 0; head < queue.length; head++) {
      const node = queue[head]!
      for (let at = this.#start[node]!; at < this.#start[node + 1]!; at++) {
        const to = this.#to[at]!
        if (seen[to] === 1 || this.#room[direction === 'forward' ? at : this.#twin[at]!] === 0) continue
        seen[to] = 1
        queue.push(to)
      }
    }
    return seen
  }
}
