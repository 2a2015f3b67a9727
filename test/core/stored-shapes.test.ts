/** Heads, rows and items have no codec: their shape is what the code makes. docs/format.md has one of each, which must stay readable. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import type { ApiKeyItem } from '../../lib/core/api-key.ts'
import { decideHead, type Head, type HeadCommand, newHead, tailEntries } from '../../lib/core/head.ts'
import {
  apiKeyKey,
  type CandidateItem,
  type ClusterItem,
  type CompactionItem,
  candidateKey,
  clusterIdKey,
  compactionKey,
  type Grave,
  graveKey,
  type InlineItem,
  type ItemKey,
  inlineKey,
  type ProducerIdsItem,
  type ProducerItem,
  producerIdsKey,
  producerItemKey,
  rowKey,
  type SweepItem,
  sweepKey,
  topicKey,
} from '../../lib/core/items.ts'
import { producerKeyOfId, type SegmentId, type TopicId, type TopicName } from '../../lib/core/names.ts'
import { encodeReference } from '../../lib/core/reference.ts'
import type { Row } from '../../lib/core/row.ts'
import type { Topic } from '../../lib/core/topic.ts'

const topicId = 'AAECAwQFBgcICQoLDA0ODw' as TopicId
const name = 'orders' as TopicName
const producer = producerKeyOfId(4711)
const t0 = 1_700_000_000_000
const segment = '0lojz1s0kabcdefghijk' as SegmentId
const first = encodeReference({ segment, position: 8, lengthBytes: 157, maxTimestampMs: t0 + 5 })
const second = encodeReference({ segment, position: 165, lengthBytes: 73, maxTimestampMs: -1 })

/** The examples of docs/format.md by what follows "```json". */
const examples = new Map<string, unknown>()
const page = readFileSync(new URL('../../docs/format.md', import.meta.url), 'utf8')
for (const [, title, json] of page.matchAll(/```json (\S+)\n([\s\S]*?)```/g)) examples.set(title!, JSON.parse(json!))

function isStoredAs(title: string, value: unknown): void {
  assert.deepEqual(JSON.parse(JSON.stringify(value)), examples.get(title))
}

/** What the head of the page went through. */
const headHistory: HeadCommand[] = [
  {
    kind: 'lease',
    act: 'take',
    claim: { owner: 'a', seenEpoch: 0, untilMs: t0 + 10_000, isExclusive: false },
  },
  { kind: 'append', chunks: [{ ref: first, count: 3 }], seen: 0 },
  { kind: 'roll', generation: 0, refs: [] },
  { kind: 'forget', producerFloor: 4000 },
  {
    kind: 'append',
    chunks: [
      {
        ref: second,
        count: 1,
        producer: { key: producer, claim: { epoch: 2, first: 0, last: 0 }, home: 'head', seen: undefined },
      },
    ],
    seen: 1,
  },
  { kind: 'trim', start: 1 },
  { kind: 'fence', minSegment: `${segment.slice(0, 7)}${'0'.repeat(13)}` as SegmentId },
]

describe('what was stored by this version', () => {
  test('of a head is what its commands made of it', () => {
    let head = newHead({ topicId, partition: 0 })
    for (const command of headHistory) {
      const decision = decideHead(head, command)
      assert.ok(decision.ok)
      head = decision.next
    }
    isStoredAs('head', head)
  })

  test('of a head is understood', () => {
    const head = examples.get('head') as Head
    assert.deepEqual(tailEntries(head), [
      { ref: first, base: 0, end: 3 },
      { ref: second, base: 3, end: 4 },
    ])
    const repeated = decideHead(head, { kind: 'append', chunks: [{ ref: first, count: 3 }], seen: 0 })
    assert.deepEqual(repeated, { ok: false, refusal: { reason: 'already-committed', ref: first, base: 0 } })
  })

  test('of rows and items keeps its shape', () => {
    const row: Row = {
      first: 0,
      last: 3,
      chunks: [
        { ref: first, base: 0 },
        { ref: second, base: 3 },
      ],
      maxTimestampMs: t0 + 5,
      maxTimestampSoFarMs: t0 + 5,
      isMerged: false,
    }
    isStoredAs('row', row)
    isStoredAs('cluster/id', { clusterId: topicId } satisfies ClusterItem)
    isStoredAs('cluster/producer-ids', { next: 5000 } satisfies ProducerIdsItem)
    const topic: Topic = {
      name,
      id: topicId,
      partitions: 12,
      configs: { 'retention.ms': '3600000' },
      state: 'live',
      createdMs: t0,
    }
    isStoredAs('topics/orders', topic)
    isStoredAs(`graves/${topicId}`, { name, partitions: 12, deletedMs: t0 } satisfies Grave)
    const key: ApiKeyItem = {
      name: 'order service',
      secretHash: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
      allow: ['produce', 'fetch'],
      createdMs: t0,
      expiresMs: 1_731_536_000_000,
    }
    isStoredAs('api-keys/hw3k9x0v2m1q8z7b4c', key)
    const item: ProducerItem = {
      state: { epoch: 2, batches: [{ first: 0, last: 0, base: 3 }] },
      usedMs: t0,
    }
    isStoredAs(`producers/${topicId}/0/4711`, item)
    const inline: InlineItem = { recordCount: 3 }
    isStoredAs(`inline/${topicId}/0/${segment}`, inline)
    const candidate: CandidateItem = {
      sinceMs: t0,
      segments: `0lojz1s0jzyxwvutsrqp*3 ${segment}`,
      run: { topicId, partition: 0, first: 0, last: 3 },
    }
    isStoredAs(`candidates/${segment}.3f0q8v1x7c5m2k9d4s6a`, candidate)
    const swept: SweepItem = { horizon: segment, fullSinceMs: t0 }
    const compaction: CompactionItem = { passes: [{ to: 3, atMs: t0 }], cleanBytes: 157, firstTombstone: 1 }
    isStoredAs(`compactions/${topicId}/000012`, compaction)
    isStoredAs('sweep/k', swept)
  })

  test('keeps its keys', () => {
    const keys: [ItemKey, string, string][] = [
      [clusterIdKey, 'cluster', 'id'],
      [producerIdsKey, 'cluster', 'producer-ids'],
      [topicKey(name), 'topics', 'orders'],
      [graveKey(topicId), 'graves', topicId],
      [apiKeyKey('hw3k9x0v2m1q8z7b4c'), 'api-keys', 'hw3k9x0v2m1q8z7b4c'],
      [rowKey(topicId, 12, 3), `rows/${topicId}/12`, '0000000000000003'],
      [rowKey(topicId, 0, Number.MAX_SAFE_INTEGER), `rows/${topicId}/0`, '9007199254740991'],
      [producerItemKey(topicId, 12, producer), `producers/${topicId}/12`, '4711'],
      [inlineKey(topicId, 12, segment), `inline/${topicId}/12`, segment],
      [candidateKey(segment, 'version'), 'candidates', `${segment}.version`],
      [compactionKey(topicId, 12), 'compactions', `${topicId}/000012`],
      [sweepKey('k'), 'sweep', 'k'],
    ]
    for (const [key, collection, sort] of keys) assert.deepEqual(key, { collection, sort })
  })
})
