/**
 * Sets of partitions, by topic id. As text each topic's partitions are ascending runs, `0-3,7`: that of a member which has
 * all partitions of a topic stays short however many there are.
 */
import type { TopicId } from './names.ts'

/** Topic id -> ascending partitions, never empty. */
export type PartitionSet = ReadonlyMap<TopicId, readonly number[]>
/** The same as it is stored. */
export type PartitionSetText = Readonly<Record<string, string>>

export const emptyPartitionSet: PartitionSet = new Map()

export function countPartitions(set: PartitionSet): number {
  let count = 0
  for (const partitions of set.values()) count += partitions.length
  return count
}

export function hasPartition(set: PartitionSet, topicId: TopicId, partition: number): boolean {
  return set.get(topicId)?.includes(partition) === true
}

export function partitionSet(entries: Iterable<readonly [TopicId, number]>): PartitionSet {
  const collected = new Map<TopicId, Set<number>>()
  for (const [topicId, partition] of entries) {
    const present = collected.get(topicId)
    if (present === undefined) collected.set(topicId, new Set([partition]))
    else present.add(partition)
  }
  return new Map([...collected].map(([topicId, set]) => [topicId, [...set].sort((a, b) => a - b)]))
}

export function* partitionsOf(set: PartitionSet): Generator<readonly [TopicId, number]> {
  for (const [topicId, partitions] of set) for (const partition of partitions) yield [topicId, partition]
}

/** What is in `a` and not in `b`. */
export function minus(a: PartitionSet, b: PartitionSet): PartitionSet {
  const left = new Map<TopicId, readonly number[]>()
  for (const [topicId, partitions] of a) {
    const taken = b.get(topicId)
    if (taken === undefined) left.set(topicId, partitions)
    else {
      const without = new Set(taken)
      const rest = partitions.filter((partition) => !without.has(partition))
      if (rest.length > 0) left.set(topicId, rest)
    }
  }
  return left
}

export function union(a: PartitionSet, b: PartitionSet): PartitionSet {
  if (b.size === 0) return a
  const both = new Map(a)
  for (const [topicId, partitions] of b) {
    const present = both.get(topicId)
    both.set(
      topicId,
      present === undefined ? partitions : [...new Set([...present, ...partitions])].sort((x, y) => x - y),
    )
  }
  return both
}

export function isEqualSet(a: PartitionSet, b: PartitionSet): boolean {
  if (a.size !== b.size) return false
  for (const [topicId, partitions] of a) {
    const others = b.get(topicId)
    if (others?.length !== partitions.length || !partitions.every((partition, at) => partition === others[at]))
      return false
  }
  return true
}

export function formatPartitionSet(set: PartitionSet): PartitionSetText {
  const text: Record<string, string> = {}
  for (const [topicId, partitions] of set) if (partitions.length > 0) text[topicId] = formatRuns(partitions)
  return text
}

/** Of what `formatPartitionSet` wrote. */
export function parsePartitionSet(text: PartitionSetText): PartitionSet {
  return new Map(Object.entries(text).map(([topicId, runs]) => [topicId as TopicId, parseRuns(runs)]))
}

function formatRuns(ascending: readonly number[]): string {
  const runs: string[] = []
  for (let at = 0; at < ascending.length; ) {
    let end = at
    while (ascending[end + 1] === ascending[end]! + 1) end++
    runs.push(end === at ? `${ascending[at]}` : `${ascending[at]}-${ascending[end]}`)
    at = end + 1
  }
  return runs.join(',')
}

function parseRuns(text: string): number[] {
  const partitions: number[] = []
  for (const run of text.split(',')) {
    const [first, last = first] = run.split('-').map(Number)
    for (let partition = first!; partition <= last!; partition++) partitions.push(partition)
  }
  return partitions
}
