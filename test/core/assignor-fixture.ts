/** Groups for the tests of the assignors, written briefly: topics as `'t0 t1'`, assignments as `'t0:0,1 t1:2'`. */
import type { Assignment, AssignorMember } from '../../lib/core/assignor.ts'

/** Reads `'t0:0,1 t1:2'`. */
export function assignmentOf(text: string): Assignment {
  const topics = text.split(' ').filter((part) => part !== '')
  return new Map(
    topics.map((part) => {
      const [topic, partitions] = part.split(':')
      return [topic!, partitions!.split(',').map(Number)]
    }),
  )
}

/** Writes what `assignmentOf` reads, topics in order. */
export function written(assignment: Assignment): string {
  const topics = [...assignment].sort(([a], [b]) => (a < b ? -1 : 1))
  return topics.map(([topic, partitions]) => `${topic}:${partitions.join(',')}`).join(' ')
}

/** What was answered, by member id. */
export function shown(assigned: ReadonlyMap<string, Assignment>): Record<string, string> {
  return Object.fromEntries([...assigned].map(([id, assignment]) => [id, written(assignment)]))
}

/** What a member subscribed to and owns. */
export function load(topics: string, owned = ''): Pick<AssignorMember, 'topics' | 'owned'> {
  return { topics: topics.split(' ').filter((topic) => topic !== ''), owned: assignmentOf(owned) }
}

/** A group by its partition counts and by what its members subscribed to. */
export function group(counts: Record<string, number>, topicsOf: Record<string, string>) {
  return { topics: new Map(Object.entries(counts)), topicsOf }
}

/** Its members, as owners of what was assigned to them before. */
export function members(
  topicsOf: Record<string, string>,
  before: ReadonlyMap<string, Assignment> = new Map(),
): AssignorMember[] {
  return Object.entries(topicsOf).map(([id, topics]) => ({
    id,
    ...load(topics),
    owned: before.get(id) ?? new Map(),
  }))
}

/** How many partitions an assignment has. */
export function size(assignment: Assignment): number {
  return [...assignment.values()].reduce((sum, partitions) => sum + partitions.length, 0)
}

/** How uneven an assignment is: the sum of the squared numbers of partitions of its members. */
export function unevenness(assigned: ReadonlyMap<string, Assignment>): number {
  return [...assigned.values()].reduce((sum, assignment) => sum + size(assignment) ** 2, 0)
}

/** How many partitions are where they were. */
export function kept(group: readonly AssignorMember[], assigned: ReadonlyMap<string, Assignment>): number {
  let sum = 0
  for (const { id, owned } of group) {
    for (const [topic, partitions] of owned) {
      const now = new Set(assigned.get(id)!.get(topic))
      sum += partitions.filter((partition) => now.has(partition)).length
    }
  }
  return sum
}
