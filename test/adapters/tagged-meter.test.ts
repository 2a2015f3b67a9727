import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { TaggedMeter } from '../../lib/adapters/tagged-meter.ts'
import type { TopicId, TopicName } from '../../lib/core/names.ts'
import { otherTopics, sharesOf, type UsageReport } from '../../lib/core/usage.ts'

const minute = 60_000
const topic = (n: number) => `topic-${n}` as TopicId
const usedBy = (report: UsageReport, id: TopicId | '') => report.used.filter(({ topicId }) => topicId === id)

function clocked(topicsMax?: number) {
  const clock = { nowMs: 1_000_000_000_000 }
  const meter = new TaggedMeter({ now: () => clock.nowMs, ...(topicsMax === undefined ? {} : { topicsMax }) })
  return { clock, meter }
}

describe('a tagged meter', () => {
  test('counts for the operation around the request, also after it waited, and for the innermost one', async () => {
    const { meter } = clocked()
    await Promise.all([
      meter.within({ operation: 'group' }, async () => {
        await setImmediate()
        meter.count('metadata.get', { requests: 1, readUnits: 2 })
        await meter.within({ operation: 'fetch', topicId: topic(1) }, async () => {
          await setImmediate()
          meter.count('objects.read')
        })
        meter.count('metadata.get')
      }),
      meter.within({ operation: 'produce' }, async () => {
        await setImmediate()
        meter.count('metadata.updateHead', { requests: 1, writeUnits: 3 }, topic(2))
      }),
    ])
    meter.count('objects.list')
    const shown = meter
      .read()
      .used.map(({ operation, topicId, total }) => [operation, topicId, Object.keys(total)])
      .sort()
    assert.deepEqual(shown, [
      ['fetch', topic(1), ['objects.read']],
      ['group', '', ['metadata.get']],
      ['other', '', ['objects.list']],
      ['produce', topic(2), ['metadata.updateHead']],
    ])
    const group = meter.read().used.find(({ operation }) => operation === 'group')
    assert.deepEqual(group?.total['metadata.get'], { requests: 2, bytes: 0, writeUnits: 0, readUnits: 2 })
    assert.equal(group?.recent.dynamoDbRead, 2)
    assert.equal(group?.recentRequests, 2)
  })

  test('shares what several topics have in common by their bytes; the shares are the whole', () => {
    const { meter } = clocked()
    const shares = sharesOf([
      { topicId: topic(1), bytes: 100 },
      { topicId: topic(2), bytes: 300 },
      { topicId: topic(1), bytes: 400 },
    ])
    meter.within({ operation: 'produce', shares }, () => meter.count('objects.create', { requests: 1, bytes: 800 }))
    const report = meter.read()
    assert.deepEqual(
      report.used.map(({ topicId, total }) => [topicId, total['objects.create']?.requests]),
      [
        [topic(1), 0.625],
        [topic(2), 0.375],
      ],
    )
    assert.deepEqual(
      sharesOf([
        { topicId: topic(1), bytes: 0 },
        { topicId: topic(2), bytes: 0 },
      ]).map(({ part }) => part),
      [0.5, 0.5],
    )
  })

  test('keeps the last hour by the minute, and everything since it began', () => {
    const { clock, meter } = clocked()
    const write = () => meter.count('metadata.write', { requests: 1, writeUnits: 1 }, topic(1))
    const recent = () => usedBy(meter.read(), topic(1))[0]?.recent.dynamoDbWrite
    for (let passed = 0; passed < 90; passed++) {
      write()
      clock.nowMs += minute
    }
    assert.equal(recent(), 59)
    clock.nowMs += 30 * minute
    assert.equal(recent(), 29)
    clock.nowMs += 5 * 60 * minute
    assert.equal(recent(), 0)
    assert.equal(usedBy(meter.read(), topic(1))[0]?.total['metadata.write']?.writeUnits, 90)
  })

  test('its window is as long as it has run, and at most an hour', () => {
    const { clock, meter } = clocked()
    clock.nowMs += 1_500
    assert.equal(meter.read().windowMs, 1_500)
    clock.nowMs += 600 * minute
    const { windowMs } = meter.read()
    assert.ok(windowMs > 59 * minute && windowMs <= 60 * minute, String(windowMs))
  })

  test('keeps as many topics apart as it may, and one more counts with the others', () => {
    for (const [topics, apart, others] of [
      [3, 3, 0],
      [4, 4, 0],
      [5, 4, 1],
      [40, 4, 36],
    ] as const) {
      const { meter } = clocked(4)
      // Neither of these is a topic.
      meter.count('objects.list')
      for (let n = 0; n < topics; n++) meter.count('objects.read', { requests: 1 }, topic(n))
      const { used } = meter.read()
      assert.equal(used.filter(({ topicId }) => topicId.startsWith('topic-')).length, apart)
      assert.equal(usedBy(meter.read(), otherTopics)[0]?.total['objects.read']?.requests ?? 0, others)
    }
  })

  test('topics idle for an hour make room for others, and what they had is not lost', () => {
    const { clock, meter } = clocked(2)
    const read = (n: number) => meter.count('objects.read', { requests: 1 }, topic(n))
    read(1)
    read(2)
    clock.nowMs += 61 * minute
    read(2)
    read(3)
    read(4)
    const report = meter.read()
    assert.equal(usedBy(report, topic(1)).length, 0)
    assert.equal(usedBy(report, topic(2))[0]?.total['objects.read']?.requests, 2)
    assert.equal(usedBy(report, topic(3)).length, 1)
    // Topic 1 from before, and 4, for which there was no room.
    assert.equal(usedBy(report, otherTopics)[0]?.total['objects.read']?.requests, 2)
    assert.equal(usedBy(report, otherTopics)[0]?.recent.s3Get, 1)
  })

  test('a topic that was idle for a day, such as a deleted one, is no longer shown by itself', () => {
    const { clock, meter } = clocked()
    meter.named(topic(1), 'gone' as TopicName)
    meter.count('objects.read', { requests: 1 }, topic(1))
    clock.nowMs += 25 * 60 * minute
    assert.deepEqual(
      meter.read().used.map(({ topicId }) => topicId),
      [otherTopics],
    )
    assert.equal(meter.nameOf(topic(1)), undefined)
  })

  test('what was taken is counted no more', () => {
    const { clock, meter } = clocked()
    meter.count('objects.read')
    clock.nowMs += minute
    assert.equal(meter.take().used.length, 1)
    const next = meter.read()
    assert.deepEqual(next.used, [])
    assert.equal(next.sinceMs, clock.nowMs)
  })
})
