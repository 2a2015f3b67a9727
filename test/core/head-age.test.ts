import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { headAgeMs, paceAfter, type RollPace, unknownHeadAgeMs } from '../../lib/core/head-age.ts'

/** After rolls at these times, the first of them not seen. */
function paceOf(timesMs: readonly number[]): RollPace {
  let pace: RollPace | undefined
  for (const [rolls, atMs] of timesMs.entries()) pace = paceAfter(pace, rolls, atMs)
  assert.ok(pace !== undefined)
  return pace
}
const [ageMsMax, quietMs] = [10_000, 60_000]

describe('how long a head is believed', () => {
  test('25 ms, where nothing is known of its partition', () => {
    assert.equal(headAgeMs(paceOf([0]), 0, ageMsMax, quietMs), unknownHeadAgeMs)
  })

  test('half of the time for a roll', () => {
    assert.equal(headAgeMs(paceOf([0, 8_000, 16_000]), 16_000, ageMsMax, quietMs), 4_000)
    assert.equal(headAgeMs(paceAfter(paceOf([0]), 4, 8_000), 8_000, ageMsMax, quietMs), 1_000)
  })

  test('half of the time for which no roll was seen', () => {
    assert.equal(headAgeMs(paceOf([0]), 3_000, ageMsMax, quietMs), 1_500)
    assert.equal(headAgeMs(paceOf([0, 100, 200]), 3_200, ageMsMax, quietMs), 1_500)
  })

  test('less at once where rolls come faster, longer only by and by where they come more slowly', () => {
    const slow = paceOf([0, 8_000, 16_000])
    const faster = paceAfter(slow, 3, 16_400)
    assert.equal(headAgeMs(faster, 16_400, ageMsMax, quietMs), 200)
    const slower = paceAfter(faster, 4, 24_400)
    assert.equal(headAgeMs(slower, 24_400, ageMsMax, quietMs), 2_100)
  })

  test('at most as the setting says, and a quarter of what merges leave alone', () => {
    const idle = paceOf([0])
    assert.equal(headAgeMs(idle, 1e9, ageMsMax, quietMs), 10_000)
    assert.equal(headAgeMs(idle, 1e9, 60_000, quietMs), 15_000)
    assert.equal(headAgeMs(idle, 1e9, ageMsMax, 0), unknownHeadAgeMs)
    assert.equal(headAgeMs(idle, 1e9, 0, quietMs), 0)
  })

  test('at an even pace not so long that two rolls come meanwhile, which would refuse the commit (H1)', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 60, max: 30_000 }),
        fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 50 }),
        (perRollMs, gaps) => {
          let [pace, atMs]: [RollPace | undefined, number] = [undefined, 0]
          for (const gapMs of gaps) {
            atMs += gapMs
            pace = paceAfter(pace, Math.floor(atMs / perRollMs), atMs)
            const believedMs = headAgeMs(pace, atMs, ageMsMax, quietMs)
            const rollsMeanwhile = Math.floor((atMs + believedMs) / perRollMs) - pace.rolls
            assert.ok(rollsMeanwhile <= 1, `${rollsMeanwhile} rolls in ${believedMs} ms`)
          }
        },
      ),
    )
  })

  test('by what came later only: an older look at the head changes nothing', () => {
    const pace = paceOf([0, 8_000])
    assert.deepEqual(paceAfter(pace, 0, 9_000), pace)
    assert.deepEqual(paceAfter(pace, 1, 9_000), pace)
  })
})
