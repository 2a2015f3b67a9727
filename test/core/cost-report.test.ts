import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { hoursPerMonth } from '../../lib/core/cost.ts'
import { costReportOf } from '../../lib/core/cost-report.ts'
import type { TopicId, TopicName } from '../../lib/core/names.ts'
import { listPrices } from '../../lib/core/prices.ts'
import { otherTopics, type UsageReport, type UsedFor } from '../../lib/core/usage.ts'

const id = (text: string) => text as TopicId
const nothingStored = { topics: [], isWhole: true }
const names = (topicId: TopicId) => (topicId === 'known' ? 'orders' : undefined)

function used(topicId: string, writeUnits: number, recent = writeUnits): UsedFor {
  return {
    operation: 'produce',
    topicId: topicId as TopicId | '',
    total: { 'metadata.write': { requests: 2 * writeUnits, bytes: 0, writeUnits, readUnits: 0 } },
    recent: { dynamoDbWrite: recent },
    recentRequests: 2 * recent,
  }
}

function reportOf(parts: readonly UsedFor[], windowMs = 3_600_000): UsageReport {
  return { sinceMs: 0, untilMs: 10 * 3_600_000, windowMs, used: parts }
}

describe('a cost report', () => {
  test('prices the window, and projects it for a month', () => {
    const report = costReportOf(reportOf([used('known', 9_000, 1_000)], 1_800_000), nothingStored, names, true)
    const [use] = report.used
    const usd = 1_000 * listPrices.dynamoDbWrite
    assert.equal(use?.topic, 'orders')
    assert.equal(use?.inWindow.usd, usd)
    assert.ok(Math.abs((use?.sinceStart.usd ?? 0) - 9 * usd) < 1e-12)
    assert.deepEqual(use?.sinceStart.units, { dynamoDbWrite: 9_000 })
    assert.equal(use?.sinceStart.requests, 18_000)
    assert.ok(Math.abs(report.usdPerHour - 2 * usd) < 1e-12)
    assert.ok(Math.abs(report.usdPerMonth - 2 * usd * hoursPerMonth) < 1e-9)
  })

  test('puts the dearest first; says of each topic what is known of it', () => {
    const parts = [used('', 1), used('known', 3), used('unknown', 2), used(otherTopics, 4)]
    const report = costReportOf(reportOf(parts), nothingStored, names, false)
    assert.deepEqual(
      report.used.map(({ topic }) => topic),
      ['(other)', 'orders', 'unknown', null],
    )
    assert.equal(report.scope, 'server')
  })

  test('projects less than a minute as if it were one: a request after the start is no dear month', () => {
    const at = (windowMs: number) =>
      costReportOf(reportOf([used('', 1)], windowMs), nothingStored, names, true).usdPerMonth
    assert.equal(at(0), at(60_000))
    assert.equal(at(1), at(60_000))
    assert.ok(at(60_001) < at(60_000))
  })

  test('prices what is stored where it lies, the largest first', () => {
    const topics = [
      { topicId: id('a'), name: 'small' as TopicName, objectBytes: 2 ** 30, inlineBytes: 0 },
      { topicId: id('b'), name: 'large' as TopicName, objectBytes: 2 ** 31, inlineBytes: 2 ** 30 },
    ]
    const report = costReportOf(reportOf([]), { topics, isWhole: false }, names, true)
    assert.deepEqual(
      report.stored.map(({ topic, usdPerMonth }) => [topic, Number(usdPerMonth.toFixed(6))]),
      [
        ['large', Number((2 * listPrices.s3StorageGbMonth + listPrices.dynamoDbStorageGbMonth).toFixed(6))],
        ['small', listPrices.s3StorageGbMonth],
      ],
    )
    assert.equal(report.isStoredWhole, false)
    assert.ok(Math.abs(report.storageUsdPerMonth - (3 * 0.023 + 0.25)) < 1e-9)
  })
})
