import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { formatClaim } from '../../lib/core/group-offset.ts'
import type { GroupId, MemberId, TopicId } from '../../lib/core/names.ts'
import type { Membership } from '../../lib/log/group-api.ts'
import { formatInstance, type InstanceState, informed, parseInstance } from '../../lib/log/instance-item.ts'

const topicId = 'topic' as TopicId
const member = 'm' as MemberId
const held = { topic: 't', topicId, partition: 0, claim: formatClaim('AAAAAAAA', { member, epoch: 2 }), position: 25 }
const state = {
  member: { id: member, isJoined: true, epoch: 2 },
  isManual: false,
  holding: [held],
} as unknown as InstanceState

/** Its partition is assigned once more, by this claim; nothing was committed. */
function assignedBy(claim: string): Membership {
  return {
    groupId: 'group' as GroupId,
    memberId: member,
    epoch: 4,
    assigned: [{ topic: 't', topicId, partition: 0, claim }],
    revoked: [],
    lost: [],
    isIncomplete: false,
    heartbeatIntervalMs: 1,
  }
}

describe('a consumer instance that is given once more what it has', () => {
  it('goes on where it was: it only joined again', () => {
    const claim = formatClaim('AAAAAAAA', { member, epoch: 4 })
    assert.deepEqual(informed(state, assignedBy(claim), true).holding, [{ ...held, claim }])
  })

  it('begins anew where its group was deleted and made again (D6)', () => {
    const claim = formatClaim('BBBBBBBB', { member, epoch: 4 })
    assert.deepEqual(informed(state, assignedBy(claim), true).holding, [{ topic: 't', topicId, partition: 0, claim }])
  })

  it('is the same when it was stored, with claims of two incarnations of its group', () => {
    const other = { ...held, partition: 1, claim: formatClaim('BBBBBBBB', { member, epoch: 2 }) }
    const both: InstanceState = { ...state, holding: [held, other] }
    assert.deepEqual(parseInstance(JSON.parse(JSON.stringify(formatInstance(both)))), both)
  })
})
