/** How large a group gets as it is stored: one item of at most 400 KB. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Group, GroupMember } from '../../lib/core/group.ts'
import { formatGroup, parseGroup } from '../../lib/core/group.ts'
import type { GroupId, MemberId, TopicId } from '../../lib/core/names.ts'
import { type PartitionSet, partitionSet } from '../../lib/core/partition-set.ts'
import { defaultSettings } from '../../lib/core/settings.ts'

/** In the middle of a rebalance, as bad as it gets: nobody owns what it should, and no two partitions of anybody are neighbours. */
function scattered(members: number, topicCount: number, partitionsInAll: number): Group {
  const topicIds = Array.from({ length: topicCount }, (_, at) => `topic-id-${String(at).padStart(13, '0')}` as TopicId)
  const partitions = partitionsInAll / topicCount
  const dealt = (shift: number): PartitionSet[] => {
    const hands = Array.from({ length: members }, (): [TopicId, number][] => [])
    for (let at = 0; at < partitionsInAll; at++)
      hands[(at + shift) % members]!.push([topicIds[Math.floor(at / partitions)]!, at % partitions])
    return hands.map(partitionSet)
  }
  const [targets, owned] = [dealt(0), dealt(1)]
  return {
    id: 'group-id-0000000000000' as GroupId,
    epoch: 12_345,
    state: 'live',
    topics: new Map(topicIds.map((id, at) => [`topic-${at}`, { id, partitions }])),
    members: new Map(
      targets.map((target, at): [MemberId, GroupMember] => [
        `member-${at}-${'x'.repeat(12)}` as MemberId,
        {
          instanceId: `host-${at}`,
          clientId: 'a service of ours',
          subscription: { kind: 'pattern', pattern: 'topic-[0-9]+' },
          sessionTimeoutMs: 45_000,
          rebalanceTimeoutMs: 300_000,
          assignor: 'cooperative-sticky',
          target,
          owned: owned[at]!,
          revokingSinceMs: 1_800_000_000_000,
        },
      ]),
    ),
  }
}

describe('a group as it is stored', () => {
  const { groupMembersMax, groupPartitionsMax } = defaultSettings
  for (const topics of [1, 10, 100])
    it(`with as many members and partitions as a group may have, of ${topics} topics, fits into an item in the middle of a rebalance`, () => {
      const group = scattered(groupMembersMax, topics, groupPartitionsMax)
      const text = JSON.stringify(formatGroup(group))
      assert.ok(text.length < 390_000, `${text.length} characters`)
      assert.deepEqual(parseGroup(JSON.parse(text)), group)
    })

  it('keeps what is owned of topics that nobody subscribes to any more', () => {
    const group = { ...scattered(3, 2, 12), topics: new Map() }
    assert.deepEqual(parseGroup(JSON.parse(JSON.stringify(formatGroup(group)))), group)
  })
})
