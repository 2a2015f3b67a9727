import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import type { Head } from '../../lib/core/head.ts'
import { tailEntries } from '../../lib/core/head.ts'
import type { Json } from '../../lib/core/items.ts'
import { inlineCollection, inlineKey, producersCollection, rowKey, topicKey } from '../../lib/core/items.ts'
import type { TopicId, TopicName } from '../../lib/core/names.ts'
import { decodeReference } from '../../lib/core/reference.ts'
import type { Row } from '../../lib/core/row.ts'
import type { FindingCode } from '../../lib/core/verify-rule.ts'
import type { World } from '../conformance/log-fixture.ts'
import { appended, batchOf, bytesOf, withLog } from '../conformance/log-fixture.ts'
import {
  chunksOf,
  damageOf,
  eager,
  fill,
  flipped,
  leftoversOf,
  memoryStores,
  objectOf,
  rowItems,
  spoilItem,
  spoilObject,
  topicIdOf,
  verified,
  withLived,
} from './verify-fixture.ts'

/** What the first of the findings is about, and that there is damage of no other kind. */
async function finds(
  { another }: World,
  code: FindingCode,
  where: { readonly offset?: number; readonly key?: string },
  others: readonly FindingCode[] = [],
): Promise<void> {
  const damage = damageOf(await verified(another(), { isDeep: true }))
  assert.ok(damage.length > 0, `${code} is found`)
  for (const finding of damage)
    assert.ok([code, ...others].includes(finding.code), `${finding.code}: ${finding.message}`)
  const found = damage.find((finding) => finding.code === code)
  assert.deepEqual({ topic: found?.topic, partition: found?.partition }, { topic: 'orders', partition: 0 })
  if (where.offset !== undefined) assert.equal(found?.offset, where.offset, found?.message)
  if (where.key !== undefined) assert.equal(found?.key, where.key)
}

/** Another process whose partition has this head. */
function withHead({ over, stores }: World, change: (head: Head) => Head | undefined): Pick<World, 'another'> {
  const { metadata } = stores
  const changed = {
    readHead: async (key: Parameters<typeof metadata.readHead>[0]) => {
      const head = await metadata.readHead(key)
      return head === undefined ? undefined : change(head)
    },
  }
  const proxy = new Proxy(metadata, {
    get(target, name) {
      if (name === 'readHead') return changed.readHead
      const value = Reflect.get(target, name) as unknown
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  return { another: () => over({ ...stores, metadata: proxy }) }
}

describe('the verification of a log that has been through everything', () => {
  it('finds no damage, and has looked at every record that there is', async () => {
    await withLived(async ({ log }, topicId) => {
      for (const partition of [0, 1]) {
        const offsets = await log.offsets('orders', partition)
        assert.ok(offsets.ok)
        const { counts, findings } = await verified(log, { partition, isDeep: true })
        assert.deepEqual(damageOf({ findings }), [])
        // Batches are whole: the first may begin below the log start.
        const records = offsets.highWatermark - offsets.startOffset
        assert.ok(counts.records >= records && counts.records <= records + 80, `${counts.records} of ${records}`)
        assert.ok(counts.rows > 0 && counts.chunks >= counts.rows)
      }
      assert.ok((await verified(log)).counts.producers > 0, `producers of ${topicId}`)
    })
  })

  it('comes to the same in pieces, however small', async () => {
    await withLived(async ({ log }) => {
      const whole = await verified(log)
      const inPieces = await verified(log, { bytesMax: 1 })
      assert.equal(whole.pieces, 1)
      assert.ok(inPieces.pieces > 5, `${inPieces.pieces} pieces`)
      assert.deepEqual(inPieces.counts, whole.counts)
      assert.deepEqual(inPieces.findings, whole.findings)
    })
  })

  it('tells what waits for the sweep, which then takes it', async () => {
    await withLived(async ({ log, clock }) => {
      clock.advance(10_000)
      const before = await log.verifyLeftovers()
      assert.ok(before.ok && before.isWhole && before.unnamed > 0)
      assert.ok(before.findings.some(({ code, topic }) => code === 'GRAVE_FULL' && topic === 'gone'))
      assert.ok(before.findings.some(({ code }) => code === 'SEGMENT_UNNAMED'))
      assert.deepEqual(damageOf(before), [])
      await log.sweep()
      await log.sweep()
      const after = await log.verifyLeftovers()
      assert.deepEqual(after.ok && [after.unnamed, after.findings, after.isWhole], [0, [], true])
      assert.deepEqual(damageOf(await verified(log, { isDeep: true })), [])
    })
  })

  it('names the topics, and those that cannot be read', async () => {
    await withLived(async (world, topicId) => {
      const { log } = world
      const listed = await log.verifyTopics()
      assert.ok(listed.ok)
      assert.deepEqual(listed.topics, [{ name: 'orders', topicId, partitions: 2 }])
      assert.deepEqual([listed.findings, listed.next], [[], undefined])
      await spoilItem(world, topicKey('orders' as TopicName), ({ value }) => ({
        value: { ...(value as object), configs: { 'retention.ms': 'soon' } } as Json,
      }))
      const spoilt = await log.verifyTopics()
      assert.ok(spoilt.ok)
      assert.deepEqual(spoilt.topics, [])
      assert.deepEqual(
        spoilt.findings.map(({ code, topic }) => [code, topic]),
        [['TOPIC_WRONG', 'orders']],
      )
    })
  })

  it('says of an unknown topic, partition or cursor that it is one', async () => {
    await withLived(async ({ log }) => {
      const codeOf = async (request: Parameters<typeof log.verifyPartition>[0]) => {
        const answer = await log.verifyPartition(request)
        return answer.ok ? 'ok' : answer.code
      }
      assert.equal(await codeOf({ topic: 'none', partition: 0 }), 'UNKNOWN_TOPIC')
      assert.equal(await codeOf({ topic: 'gone', partition: 0 }), 'UNKNOWN_TOPIC')
      assert.equal(await codeOf({ topic: 'orders', partition: 2 }), 'UNKNOWN_PARTITION')
      assert.equal(await codeOf({ topic: 'orders', partition: 0, cursor: 'o.x.1.1.1' }), 'INVALID_REQUEST')
      const cursor = `o.${'A'.repeat(22)}.1.1.1`
      assert.equal(await codeOf({ topic: 'orders', partition: 0, cursor }), 'UNKNOWN_TOPIC')
    })
  })
})

describe('the verification of a compacted topic', () => {
  /** Half of the records went, one row lost all of its own, and tombstones are there. */
  const withCompacted = (body: (world: World, topicId: TopicId) => Promise<void>) =>
    withLog(
      memoryStores,
      async (world) => {
        const { log } = world
        const configs = { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0', 'chunk.placement': 'segment' }
        assert.ok((await log.createTopic({ name: 'orders', partitions: 1, configs })).ok)
        for (let index = 0; index < 60; index++) {
          const keys = index < 20 ? ['gone', 'gone'] : [`k${index % 7}`, `only ${index}`]
          const records = keys.map((key) => ({
            key: bytesOf(key),
            value: index % 9 === 8 ? null : bytesOf(`${index}`),
          }))
          const produced = await log.produce({
            topic: 'orders',
            records: records.map((each) => ({ ...each, partition: 0 })),
          })
          assert.ok(produced.ok)
        }
        await log.settled()
        const compacted = await log.compact('orders', 0)
        assert.ok(compacted.ok && (compacted.pass?.recordsRemoved ?? 0) > 20)
        await body(world, await topicIdOf(log))
      },
      eager,
    )

  it('takes what compaction left out for no damage', async () => {
    await withCompacted(async ({ log }) => {
      const { counts, findings } = await verified(log, { isDeep: true })
      assert.deepEqual(findings, [])
      assert.ok(counts.records < 100, `${counts.records} of 120 are left`)
      assert.deepEqual((await verified(log, { isDeep: true, bytesMax: 1 })).counts, counts)
    })
  })

  it('finds what is damaged in what it left, and records that are missing where it has not been', async () => {
    await withCompacted(async (world, topicId) => {
      const chunk = (await chunksOf(world, topicId, 'merged'))[0]!
      await spoilObject(world, objectOf(chunk.ref), flipped(decodeReference(chunk.ref).position + 70))
      await finds(world, 'CHUNK_DAMAGED', { key: objectOf(chunk.ref) })
    })
    await withCompacted(async (world, topicId) => {
      const { row } = (await chunksOf(world, topicId, 'merged'))[0]!
      const { cleanedTo: _, ...unstamped } = row
      await spoilItem(world, rowKey(topicId, 0, row.last), () => ({ value: unstamped as unknown as Json }))
      // By K2 such a row does not count: nothing holds its offsets.
      await finds(world, 'OFFSETS_MISSING', { offset: row.first })
    })
  })

  it('passes by a row that somebody put who was frozen (K2)', async () => {
    await withCompacted(async (world, topicId) => {
      const [{ row } = { row: undefined as never }] = await rowItems(world, topicId)
      const { cleanedTo: _, ...rest } = row
      const late = { ...rest, last: row.last - 3, chunks: [] } as unknown as Json
      const key = rowKey(topicId, 0, row.last - 3)
      await world.stores.metadata.write([{ op: 'put', key, version: 'late', value: late, if: 'absent' }])
      assert.deepEqual(
        (await verified(world.log)).findings.map(({ code, severity }) => [code, severity]),
        [['ROW_SHADOWED', 'leftover']],
      )
    })
  })
})

describe('damage is found, and where it is', () => {
  for (const kind of ['merged', 'gathered'] as const) {
    it(`a flipped byte in a ${kind} chunk`, () =>
      withLived(async (world, topicId) => {
        const chunk = (await chunksOf(world, topicId, kind))[0]!
        const { position } = decodeReference(chunk.ref)
        await spoilObject(world, objectOf(chunk.ref), flipped(position + 70))
        await finds(world, 'CHUNK_DAMAGED', { offset: Math.max(5, chunk.base), key: objectOf(chunk.ref) })
      }))

    it(`a flipped byte in front of a batch's checksum, in a ${kind} chunk`, () =>
      withLived(async (world, topicId) => {
        const chunk = (await chunksOf(world, topicId, kind)).at(-1)!
        const { position } = decodeReference(chunk.ref)
        // The leader epoch: no reader looks at it, and its writers wrote another.
        await spoilObject(world, objectOf(chunk.ref), flipped(position + 13))
        await finds(world, 'CHUNK_DAMAGED', { key: objectOf(chunk.ref) })
      }))

    it(`a ${kind} segment that was cut off`, () =>
      withLived(async (world, topicId) => {
        const chunk = (await chunksOf(world, topicId, kind))[0]!
        await spoilObject(world, objectOf(chunk.ref), (bytes) => bytes.subarray(0, bytes.length - 30))
        await finds(world, 'SEGMENT_DAMAGED', { offset: Math.max(5, chunk.base), key: objectOf(chunk.ref) })
      }))

    it(`a ${kind} segment that is gone`, () =>
      withLived(async (world, topicId) => {
        const chunk = (await chunksOf(world, topicId, kind))[0]!
        await spoilObject(world, objectOf(chunk.ref), () => undefined)
        await finds(world, 'CHUNK_MISSING', { offset: Math.max(5, chunk.base), key: objectOf(chunk.ref) })
      }))

    it(`a flipped byte in the header, the index or the footer of a ${kind} segment`, async () => {
      for (const at of [2, -104 - 60, -50])
        await withLived(async (world, topicId) => {
          const chunk = (await chunksOf(world, topicId, kind)).find(({ ref }) => decodeReference(ref).position === 8)!
          await spoilObject(world, objectOf(chunk.ref), flipped(at))
          await finds(world, 'SEGMENT_DAMAGED', { key: objectOf(chunk.ref) })
        })
    })
  }

  it('an inline chunk that is gone, or is not what was put', async () => {
    const spoils: readonly [FindingCode, (bytes: Uint8Array) => { value: Json; bytes?: Uint8Array } | undefined][] = [
      ['CHUNK_MISSING', () => undefined],
      ['CHUNK_DAMAGED', (bytes) => ({ value: { recordCount: 2 }, bytes: flipped(70)(bytes) })],
      ['CHUNK_DAMAGED', (bytes) => ({ value: { recordCount: 2 }, bytes: bytes.subarray(0, 80) })],
      ['CHUNK_DAMAGED', (bytes) => ({ value: { recordCount: 3 }, bytes })],
      ['CHUNK_DAMAGED', () => ({ value: { recordCount: 2 } })],
    ]
    for (const [code, spoil] of spoils)
      await withLived(async (world, topicId) => {
        const chunk = (await chunksOf(world, topicId, 'inline'))[1]!
        const key = inlineKey(topicId, 0, decodeReference(chunk.ref).segment)
        await spoilItem(world, key, ({ bytes }) => spoil(bytes!.slice()))
        await finds(world, code, { offset: chunk.base, key: `${key.collection} ${key.sort}` })
      })
  })

  it('a row that is gone', () =>
    withLived(async (world, topicId) => {
      const { row, key } = (await rowItems(world, topicId)).at(-2)!
      await spoilItem(world, key, () => undefined)
      await finds(world, 'OFFSETS_MISSING', { offset: row.first })
    }))

  it('the oldest row, and the newest', async () => {
    for (const at of [0, -1])
      await withLived(async (world, topicId) => {
        const { row, key } = (await rowItems(world, topicId)).at(at)!
        await spoilItem(world, key, () => undefined)
        await finds(world, 'OFFSETS_MISSING', { offset: Math.max(5, row.first) })
      })
  })

  it('a row whose chunks are named at other offsets than theirs', () =>
    withLived(async (world, topicId) => {
      const isLong = ({ chunks }: Row) => chunks.length > 2 && chunks[2]!.base - chunks[1]!.base > 1
      const { row } = (await chunksOf(world, topicId, 'gathered')).find((chunk) => isLong(chunk.row))!
      const base = row.chunks[1]!.base
      await spoilItem(world, rowKey(topicId, 0, row.last), () => ({
        value: changed(row, {
          chunks: row.chunks.map((chunk, at) => (at === 1 ? { ...chunk, base: base + 1 } : chunk)),
        }),
      }))
      await finds(world, 'REFERENCE_WRONG', { offset: base + 1 }, ['OFFSETS_MISSING'])
    }))

  it('a merged row whose chunk is named at another offset, or of another length', async () => {
    for (const ref of [undefined, 'longer'])
      await withLived(async (world, topicId) => {
        const { row } = (await chunksOf(world, topicId, 'merged'))[0]!
        const [chunk] = row.chunks
        const [id, position, length, time] = chunk!.ref.split('.')
        const other =
          ref === undefined
            ? { ref: chunk!.ref, base: chunk!.base + 1 }
            : { ref: `${id}.${position}.${(Number.parseInt(length!, 36) + 1).toString(36)}.${time}`, base: chunk!.base }
        await spoilItem(world, rowKey(topicId, 0, row.last), () => ({
          value: changed(row, { chunks: [other] as never }),
        }))
        await finds(world, 'REFERENCE_WRONG', {}, ['TIMES_WRONG'])
      })
  })

  it('a merge that left out a record', () =>
    withLived(async (world, topicId) => {
      const { row } = (await chunksOf(world, topicId, 'merged'))[0]!
      // As if one more had been in the run.
      const next = (await rowItems(world, topicId)).find((item) => item.row.first === row.last + 1)!
      await spoilItem(world, next.key, () => undefined)
      await spoilItem(world, rowKey(topicId, 0, row.last), () => undefined)
      const stretched = changed(row, { last: next.row.last, maxTimestampSoFarMs: next.row.maxTimestampSoFarMs })
      const key = rowKey(topicId, 0, next.row.last)
      await world.stores.metadata.write([{ op: 'put', key, version: 'spoilt', value: stretched, if: 'absent' }])
      await finds(world, 'OFFSETS_MISSING', { offset: row.last + 1 })
    }))

  it('a row that cannot be read, or stands where another should', async () => {
    const spoils: readonly ((row: Row) => Json)[] = [() => 'nonsense', (row) => changed(row, { last: row.last + 1 })]
    for (const spoil of spoils)
      await withLived(async (world, topicId) => {
        const { row, key } = (await rowItems(world, topicId)).at(-3)!
        await spoilItem(world, key, () => ({ value: spoil(row) }))
        await finds(world, 'ROW_WRONG', { offset: row.last }, ['OFFSETS_MISSING'])
      })
  })

  it('timestamps of a row that are not those of its chunks, or go back', async () => {
    const spoils: readonly ((row: Row) => Json)[] = [
      (row) => changed(row, { maxTimestampMs: row.maxTimestampMs - 1 }),
      (row) => changed(row, { maxTimestampSoFarMs: row.maxTimestampSoFarMs + 1_000_000 }),
    ]
    for (const spoil of spoils)
      await withLived(async (world, topicId) => {
        const { row, key } = (await rowItems(world, topicId)).at(-3)!
        await spoilItem(world, key, () => ({ value: spoil(row) }))
        await finds(world, 'TIMES_WRONG', { offset: row.first })
      })
  })

  it('a gap in the tail', () =>
    withLived(async (world) => {
      const seen = withHead(world, (head) => {
        const [, second] = tailEntries(head)
        const { [second!.ref]: _, ...tail } = head.tail
        return { ...head, tail }
      })
      await finds({ ...world, ...seen }, 'OFFSETS_MISSING', {})
    }))

  it('a tail without its end, a start beyond the end, two chunks at one offset', async () => {
    const spoils: readonly [FindingCode, (head: Head) => Head][] = [
      ['OFFSETS_MISSING', (head) => ({ ...head, hw: head.hw + 3 })],
      ['HEAD_WRONG', (head) => ({ ...head, start: head.hw + 1 })],
      [
        'HEAD_WRONG',
        (head) => ({ ...head, tail: { ...head.tail, [tailEntries(head)[0]!.ref]: tailEntries(head)[1]!.base } }),
      ],
      ['HEAD_WRONG', (head) => ({ ...head, leaseEpoch: -1 })],
    ]
    for (const [code, spoil] of spoils)
      await withLived(async (world) => {
        await finds({ ...world, ...withHead(world, spoil) }, code, {}, [
          'OFFSETS_MISSING',
          'REFERENCE_WRONG',
          'CHUNK_DAMAGED',
        ])
      })
  })

  it('a partition without a head', () =>
    withLived(async (world) => {
      await finds({ ...world, ...withHead(world, () => undefined) }, 'HEAD_MISSING', {})
    }))

  it('a producer that cannot be read', () =>
    withLived(async (world, topicId) => {
      const [producer] = await world.stores.metadata.query(producersCollection(topicId, 0), { limit: 1 })
      await spoilItem(world, producer!.key, () => ({ value: { state: { epoch: 0, batches: [] }, usedMs: 0 } }))
      await finds(world, 'PRODUCER_WRONG', { key: `${producer!.key.collection} ${producer!.key.sort}` })
    }))

  it('records of an intact batch that cannot be read, when it is asked to look so deep', () =>
    withLog(
      memoryStores,
      async (world) => {
        const { log } = world
        assert.ok((await log.createTopic({ name: 'orders', partitions: 1 })).ok)
        await appended(log, ['x'.repeat(400)])
        // Damaged before its checksum was made: by a faulty machine, say.
        const batches = batchOf(['y'.repeat(400)], { compression: 'gzip' })
        assert.ok((await log.append({ topic: 'orders', partition: 0, batches: batches.slice() })).ok)
        flipped(80)(batches)
        new DataView(batches.buffer, batches.byteOffset).setUint32(17, nodeCodecs.crc32c(batches.subarray(21)))
        const inline = await world.stores.metadata.query(inlineCollection(await topicIdOf(log), 0), { limit: 9 })
        await spoilItem(world, inline.at(-1)!.key, ({ value }) => ({ value, bytes: batches }))
        assert.deepEqual((await verified(log)).findings, [])
        await finds(world, 'RECORDS_DAMAGED', { offset: 1 })
      },
      eager,
    ))
})

describe('what harms nobody is told of, and is no damage', () => {
  it('rows that a merge has left, and rows below the log start', () =>
    withLived(async (world, topicId) => {
      const { log, stores } = world
      const rows = await rowItems(world, topicId)
      const { row } = (await chunksOf(world, topicId, 'merged'))[0]!
      // As it was before the merge: a row whose chunks are gone.
      const shadowed = changed(row, {
        first: row.first,
        last: row.last - 2,
        chunks: rows.at(-1)!.row.chunks.slice(0, 0),
      })
      const key = rowKey(topicId, 0, row.last - 2)
      await stores.metadata.write([{ op: 'put', key, version: 'late', value: shadowed, if: 'absent' }])
      const found = await verified(log)
      assert.deepEqual(damageOf(found), [])
      assert.deepEqual(
        leftoversOf(found).map(({ code, offset }) => [code, offset]),
        [['ROW_SHADOWED', row.first]],
      )
      const trimmed = await log.deleteRecords('orders', 0, row.last + 10)
      assert.ok(trimmed.ok)
      const below = await verified(log)
      assert.deepEqual(damageOf(below), [])
      assert.deepEqual(
        leftoversOf(below).map(({ code }) => code),
        ['ROW_BELOW_START'],
      )
    }))

  it('inline chunks that nobody came to commit', () =>
    withLived(async ({ log, clock, stores }, topicId) => {
      const key = inlineKey(topicId, 0, '000000000aaaaaaaaaaa' as never)
      await stores.metadata.write([
        { op: 'put', key, version: 'v', value: { recordCount: 1 }, bytes: new Uint8Array(9), if: 'absent' },
      ])
      clock.advance(10_000)
      const found = await verified(log)
      assert.deepEqual(damageOf(found), [])
      assert.deepEqual(
        leftoversOf(found).map(({ code, key: at }) => [code, at]),
        [['INLINE_UNNAMED', `${key.collection} ${key.sort}`]],
      )
    }))

  it('a topic that is being deleted', () =>
    withLived(async (world) => {
      await spoilItem(world, topicKey('orders' as TopicName), ({ value }) => ({
        value: { ...(value as object), state: 'deleting' } as Json,
      }))
      const listed = await world.log.verifyTopics()
      assert.ok(listed.ok)
      assert.deepEqual([listed.topics, listed.findings.map(({ code }) => code)], [[], ['TOPIC_DELETING']])
    }))

  it('rows of which retention removed the last', () =>
    withLived(async (world) => {
      const { log, clock } = world
      await fill(world, 3)
      assert.ok((await log.alterConfigs('orders', [{ name: 'retention.ms', value: '1000' }])).ok)
      clock.advance(60_000)
      await log.maintain()
      assert.deepEqual((await verified(log)).findings, [])
    }))
})

function changed(row: Row, change: Partial<Row>): Json {
  return { ...row, ...change } as unknown as Json
}
