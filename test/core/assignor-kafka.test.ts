/**
 * The assignors beside Kafka's own: `golden/assignor-kafka.txt` holds what the Java client (kafka-clients 4.1.0) answered
 * to 300 random groups. Its sticky assignors follow a heuristic, so ours is asked to be as even or more even, and if it
 * is as even, to move no more partitions.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { type AssignorMember, type AssignorName, assign } from '../../lib/core/assignor.ts'
import { kept, load, unevenness, written } from './assignor-fixture.ts'

interface Case {
  readonly line: string
  readonly topics: ReadonlyMap<string, number>
  readonly members: readonly AssignorMember[]
  readonly kafkas: Readonly<Record<AssignorName, string>>
}

const cases = readFileSync(new URL('golden/assignor-kafka.txt', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line): Case => {
    const [topics, members, range, roundrobin, sticky, cooperative] = line.split('|')
    const counts = topics!.split(' ').filter((part) => part !== '')
    return {
      line,
      topics: new Map(counts.map((part) => [part.split(':')[0]!, Number(part.split(':')[1])])),
      members: members!.split(';').map((member) => {
        const [name, subscribed, owned] = member.split('=')
        const [id, instanceId] = name!.split('/')
        const rest = load(subscribed!.replaceAll(',', ' '), owned!)
        return instanceId === undefined ? { id: id!, ...rest } : { id: id!, instanceId, ...rest }
      }),
      kafkas: { range: range!, roundrobin: roundrobin!, sticky: sticky!, 'cooperative-sticky': cooperative! },
    }
  })

test('range and roundrobin answer what Kafka answers', () => {
  assert.equal(cases.length, 300)
  for (const name of ['range', 'roundrobin'] as const) {
    for (const { line, topics, members, kafkas } of cases) {
      const assigned = assign(name, members, topics)
      assert.equal(members.map(({ id }) => written(assigned.get(id)!)).join(';'), kafkas[name], line)
    }
  }
})

test('the sticky assignors are never less even than Kafka, and as even they never move more', () => {
  for (const name of ['sticky', 'cooperative-sticky'] as const) {
    for (const { line, topics, members, kafkas } of cases) {
      const assigned = assign(name, members, topics)
      const [kafkasUnevenness, kafkasKept] = kafkas[name].split(',').map(Number)
      assert.ok(unevenness(assigned) <= kafkasUnevenness!, line)
      if (unevenness(assigned) === kafkasUnevenness) assert.ok(kept(members, assigned) >= kafkasKept!, line)
    }
  }
})
