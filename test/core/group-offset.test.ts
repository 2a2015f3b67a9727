import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  type CarriedClaim,
  type Claim,
  decideClaim,
  decideCommit,
  decideCommitFromOutside,
  formatClaim,
  type GroupOffset,
  incarnationOf,
  parseClaim,
} from '../../lib/core/group-offset.ts'
import type { GroupId, MemberId } from '../../lib/core/names.ts'

const claim = (member: string, epoch: number): Claim => ({ member: member as MemberId, epoch })
const group = 'AAAAAAAA_the-group-id_' as GroupId
const carried = (member: string, epoch: number): CarriedClaim => ({
  member: member as MemberId,
  epoch,
  incarnation: incarnationOf(group),
})
const at = (offset: number, metadata = '') => ({ offset, metadata })

describe('a partition that nobody has claimed', () => {
  it('is claimed, and begins without an offset', () => {
    assert.deepEqual(decideClaim(undefined, claim('a', 3)), { kind: 'claimed', next: { claim: claim('a', 3) } })
  })

  it('keeps what was committed before there were members', () => {
    const before: GroupOffset = { offset: 7, metadata: 'm', committedMs: 1 }
    assert.deepEqual(decideClaim(before, claim('a', 1)), { kind: 'claimed', next: { ...before, claim: claim('a', 1) } })
  })

  it('takes no commit of a member (O1)', () => {
    assert.deepEqual(decideCommit(undefined, group, carried('a', 3), at(5), 0), { kind: 'fenced', by: undefined })
    assert.deepEqual(decideCommit({ offset: 1 }, group, carried('a', 3), at(5), 0), { kind: 'fenced', by: undefined })
  })
})

describe('a partition that is claimed', () => {
  const standing: GroupOffset = { offset: 10, metadata: 'was', committedMs: 1, claim: claim('a', 5) }

  it('takes commits of that claim, higher ones and lower ones, each with its own metadata', () => {
    assert.deepEqual(decideCommit(standing, group, carried('a', 5), at(12, 'is'), 99), {
      kind: 'committed',
      next: { offset: 12, metadata: 'is', committedMs: 99, claim: claim('a', 5) },
    })
    assert.deepEqual(decideCommit(standing, group, carried('a', 5), at(3), 99), {
      kind: 'committed',
      next: { offset: 3, committedMs: 99, claim: claim('a', 5) },
    })
  })

  it('takes no commit of another claim: not of another member in the same epoch, nor of the same member in another (O1)', () => {
    for (const [member, epoch] of [['b', 5], ['a', 4], ['a', 6], ['b', 4], ['b', 6], ['aa', 5]] as const) // biome-ignore format: a row
      assert.deepEqual(decideCommit(standing, group, carried(member, epoch), at(12), 99), {
        kind: 'fenced',
        by: claim('a', 5),
      })
  })

  it('takes no commit of the same member in the same epoch of the group that had the name before (O1, D6)', () => {
    const before = { ...carried('a', 5), incarnation: 'BBBBBBBB' }
    assert.deepEqual(decideCommit(standing, group, before, at(12), 99), { kind: 'fenced', by: undefined })
  })

  it('is claimed by another in a later epoch, who goes on where the first had committed (O2)', () => {
    assert.deepEqual(decideClaim(standing, claim('b', 6)), {
      kind: 'claimed',
      next: { ...standing, claim: claim('b', 6) },
    })
  })

  it('is not claimed by another in the same epoch or an earlier one (O2)', () => {
    for (const epoch of [1, 4, 5])
      assert.deepEqual(decideClaim(standing, claim('b', epoch)), { kind: 'fenced', by: claim('a', 5) })
  })

  it('is not changed when its claimant claims again, or a late claim of the claimant arrives (O2)', () => {
    assert.deepEqual(decideClaim(standing, claim('a', 5)), { kind: 'standing' })
    assert.deepEqual(decideClaim(standing, claim('a', 4)), { kind: 'standing' })
  })

  it('gives the same member, back in a later epoch, another claim: its old one no longer commits', () => {
    const decided = decideClaim(standing, claim('a', 9))
    assert.ok(decided.kind === 'claimed')
    assert.equal(decideCommit(decided.next, group, carried('a', 5), at(11), 0).kind, 'fenced')
    assert.equal(decideCommit(decided.next, group, carried('a', 9), at(11), 0).kind, 'committed')
  })
})

describe('an offset that is changed from outside', () => {
  const standing: GroupOffset = { offset: 10, committedMs: 1, claim: claim('a', 5) }

  it('is set where no member has claimed since the group was seen without any', () => {
    const next: GroupOffset = { offset: 2, committedMs: 99, claim: { member: '', epoch: 6 } }
    assert.deepEqual(decideCommitFromOutside(standing, 6, at(2), 99), { kind: 'committed', next })
    assert.deepEqual(decideCommitFromOutside(undefined, 6, at(2), 99), { kind: 'committed', next })
  })

  it('is refused where a member has claimed since (O3)', () => {
    for (const epoch of [1, 4]) {
      const decided = decideCommitFromOutside(standing, epoch, at(2), 99)
      assert.deepEqual(decided, { kind: 'fenced', by: claim('a', 5) })
    }
  })

  it('takes no late commit of the member that had it, nor a late claim of it (O3)', () => {
    const decided = decideCommitFromOutside(standing, 6, at(2), 99)
    assert.ok(decided.kind === 'committed')
    assert.equal(decideCommit(decided.next, group, carried('a', 5), at(11), 0).kind, 'fenced')
    assert.equal(decideClaim(decided.next, claim('a', 5)).kind, 'fenced')
    assert.equal(decideClaim(decided.next, claim('b', 6)).kind, 'fenced')
    assert.equal(decideClaim(decided.next, claim('b', 7)).kind, 'claimed')
  })

  it('may be set again and again', () => {
    const once = decideCommitFromOutside(standing, 6, at(2), 99)
    assert.ok(once.kind === 'committed')
    const twice = decideCommitFromOutside(once.next, 6, at(1), 100)
    assert.ok(twice.kind === 'committed')
    assert.equal(twice.next.offset, 1)
  })
})

describe('any history of claims and commits', () => {
  it('lets only the last claim commit, and claims only rise', () => {
    // In every epoch a partition has at most one owner (G1): who claims in an epoch is a function of it.
    const ownerIn = (epoch: number) => (epoch % 3 === 0 ? '' : `m${epoch % 5}`)
    const step = fc.record({
      kind: fc.constantFrom('claim', 'commit', 'outside'),
      epoch: fc.integer({ min: 1, max: 12 }),
      offset: fc.integer({ min: 0, max: 9 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let present: GroupOffset | undefined
        let last = 0
        for (const { kind, epoch, offset } of steps) {
          const owner = ownerIn(epoch)
          if (kind === 'outside') {
            if (owner !== '') continue
            const decided = decideCommitFromOutside(present, epoch, at(offset), 0)
            assert.equal(decided.kind, epoch >= last ? 'committed' : 'fenced')
            if (decided.kind === 'committed') [present, last] = [decided.next, epoch]
          } else if (owner === '') continue
          else if (kind === 'claim') {
            const decided = decideClaim(present, claim(owner, epoch))
            if (decided.kind === 'claimed') {
              assert.ok(epoch > last)
              ;[present, last] = [decided.next, epoch]
            } else assert.ok(epoch <= last)
          } else {
            const decided = decideCommit(present, group, carried(owner, epoch), at(offset), 0)
            assert.equal(decided.kind, present?.claim?.epoch === epoch ? 'committed' : 'fenced')
            if (decided.kind === 'committed') present = decided.next
          }
        }
      }),
    )
  })
})

describe('a claim as text', () => {
  it('is the claim again, with the incarnation of its group', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[a-zA-Z0-9._-]{1,100}$/),
        fc.stringMatching(/^[a-zA-Z0-9_-]{22}$/),
        fc.integer({ min: 1, max: 999_999_999_999_999 }),
        (member, groupId, epoch) => {
          const incarnation = incarnationOf(groupId as GroupId)
          assert.deepEqual(parseClaim(formatClaim(incarnation, claim(member, epoch))), {
            ...claim(member, epoch),
            incarnation,
          })
        },
      ),
      { numRuns: 50 },
    )
    assert.deepEqual(parseClaim('7--_-_-_-_-a-1-2'), { ...claim('a-1-2', 7), incarnation: '-_-_-_-_' })
  })

  it('is not anything else', () => {
    for (const text of [
      ...[
        '',
        '7',
        '7-',
        '7-a',
        '-AAAAAAAA-a',
        'a-AAAAAAAA-7',
        '7-AAAAAAA-a',
        '7-AAAAAAAA',
        '7-AAAAAAAA-',
        '7-AAAA.AAA-a',
      ],
      ...['7-AAAAAAAA-a b', '7-AAAAAAAA-\u00e4', `7-AAAAAAAA-${'a'.repeat(101)}`, '1234567890123456-AAAAAAAA-a'],
      ...[' 7-AAAAAAAA-a', '7-AAAAAAAA-a\n'],
    ])
      assert.equal(parseClaim(text), undefined, JSON.stringify(text))
  })

  it('is never the claim of somebody outside', () => {
    assert.equal(parseClaim(formatClaim('AAAAAAAA', { member: '', epoch: 7 })), undefined)
  })
})
