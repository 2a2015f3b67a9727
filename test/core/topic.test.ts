import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  checkPartitions,
  effectiveConfig,
  isTopicConfigName,
  parseConfigs,
  type TopicConfigName,
  topicConfigEntry,
  topicConfigs,
  topicPartitionsMax,
} from '../../lib/core/topic.ts'

const names = Object.keys(topicConfigs) as TopicConfigName[]

/** The canonical text of one config. */
function canonical(name: string, text: string): string | undefined {
  const answer = parseConfigs({ [name]: text })
  assert.ok(answer.ok, answer.ok ? '' : answer.message)
  return answer.configs[name]
}

function refused(name: string, text: string, message: RegExp): void {
  const answer = parseConfigs({ [name]: text })
  assert.ok(!answer.ok, `${name}=${text}`)
  assert.equal(answer.code, 'INVALID_CONFIG')
  assert.match(answer.message, message)
  assert.ok(answer.message.includes(name))
}

describe('the number of partitions', () => {
  test(`is 1 to ${topicPartitionsMax}`, () => {
    for (const partitions of [1, 2, topicPartitionsMax - 1, topicPartitionsMax])
      assert.deepEqual(checkPartitions(partitions), { ok: true })
    for (const partitions of [-1, 0, 1.5, topicPartitionsMax + 1, Number.NaN, Number.POSITIVE_INFINITY]) {
      const answer = checkPartitions(partitions)
      assert.ok(!answer.ok && answer.code === 'INVALID_PARTITIONS')
      assert.ok(answer.message.includes(String(partitions)) && answer.message.includes('10000'))
    }
  })
})

describe('the table of topic configs', () => {
  test('has the names of Kafka 4, and two of its own', () => {
    const kafka = `cleanup.policy compression.gzip.level compression.lz4.level compression.type compression.zstd.level
      delete.retention.ms file.delete.delay.ms flush.messages flush.ms follower.replication.throttled.replicas
      index.interval.bytes leader.replication.throttled.replicas local.retention.bytes local.retention.ms
      max.compaction.lag.ms max.message.bytes message.downconversion.enable message.timestamp.after.max.ms
      message.timestamp.before.max.ms message.timestamp.type min.cleanable.dirty.ratio min.compaction.lag.ms
      min.insync.replicas preallocate remote.copy.lag.bytes remote.copy.lag.ms remote.log.copy.disable
      remote.log.delete.on.disable remote.storage.enable retention.bytes retention.ms segment.bytes segment.index.bytes
      segment.jitter.ms segment.ms unclean.leader.election.enable`
    assert.deepEqual([...names].sort(), ['chunk.placement', ...kafka.split(/\s+/), 'merge.compression.type'].sort())
  })

  test('has Kafka’s defaults', () => {
    const expected: Partial<Record<TopicConfigName, string>> = {
      'cleanup.policy': 'delete',
      'compression.type': 'producer',
      'delete.retention.ms': '86400000',
      'flush.messages': '9223372036854775807',
      'max.message.bytes': '1048588',
      'message.timestamp.after.max.ms': '3600000',
      'message.timestamp.before.max.ms': '9223372036854775807',
      'message.timestamp.type': 'CreateTime',
      'retention.bytes': '-1',
      'retention.ms': '604800000',
      'segment.bytes': '1073741824',
    }
    for (const [name, value] of Object.entries(expected))
      assert.equal(topicConfigs[name as TopicConfigName].default, value)
  })

  test('accepts each default, and the bounds of each range and nothing beyond', () => {
    for (const name of names) {
      const entry = topicConfigEntry(name)
      assert.equal(canonical(name, entry.default), entry.default)
      assert.match(entry.doc, /\.$/)
      const isInteger = entry.type === 'int' || entry.type === 'long'
      if (entry.min !== undefined) {
        assert.equal(canonical(name, String(entry.min)), String(entry.min))
        refused(name, String(entry.min - 1), /is not within/)
      }
      const max = entry.max ?? (entry.type === 'int' ? 2 ** 31 - 1 : undefined)
      if (max !== undefined) {
        assert.equal(canonical(name, String(max)), String(max))
        refused(name, String(max + 1), /is not within/)
      }
      if (isInteger && entry.min === undefined)
        assert.equal(canonical(name, '-9223372036854775808'), '-9223372036854775808')
    }
  })

  test('says of each config whether it does something here', () => {
    for (const name of ['retention.ms', 'cleanup.policy', 'max.message.bytes'] as const)
      assert.equal(topicConfigs[name].effect, 'some')
    for (const name of ['flush.ms', 'unclean.leader.election.enable', 'remote.storage.enable'] as const)
      assert.equal(topicConfigs[name].effect, 'none')
  })
})

describe('configs that a user sets', () => {
  test('are kept in canonical form, and only those', () => {
    const answer = parseConfigs({
      'retention.ms': ' 3600000 ',
      'segment.bytes': '+0002097152',
      preallocate: 'TRUE',
      'cleanup.policy': ' compact , delete ',
      'compression.type': 'none',
      'min.cleanable.dirty.ratio': '.50',
      'flush.ms': null,
    })
    assert.deepEqual(answer, {
      ok: true,
      configs: {
        'retention.ms': '3600000',
        'segment.bytes': '2097152',
        preallocate: 'true',
        'cleanup.policy': 'compact,delete',
        'compression.type': 'uncompressed',
        'min.cleanable.dirty.ratio': '0.5',
      },
    })
  })

  test('may be none', () => {
    assert.deepEqual(parseConfigs({}), { ok: true, configs: {} })
  })

  test('with an unknown name are refused, whatever its value', () => {
    for (const name of [
      'retention',
      'Retention.ms',
      '__proto__',
      'constructor',
      'message.format.version',
      'internal.segment.bytes',
    ])
      for (const value of ['1', null]) {
        const answer = parseConfigs(Object.fromEntries([[name, value]]))
        assert.deepEqual(answer, { ok: false, code: 'UNKNOWN_CONFIG', message: `Unknown topic config "${name}".` })
      }
    assert.ok(!isTopicConfigName('toString'))
  })

  test('are refused with all that is wrong in one message', () => {
    const answer = parseConfigs({
      'retention.ms': 'soon',
      'max.message.bytes': '-1',
      retention: '1',
      preallocate: 'true',
    })
    assert.ok(!answer.ok)
    assert.equal(answer.code, 'UNKNOWN_CONFIG')
    for (const part of ['Unknown topic config "retention".', 'retention.ms: "soon"', 'max.message.bytes: "-1"'])
      assert.ok(answer.message.includes(part), answer.message)
  })

  test('are refused with a message of bounded length', () => {
    for (const name of [
      'retention.ms',
      'cleanup.policy',
      'preallocate',
      'compression.type',
      'min.cleanable.dirty.ratio',
    ])
      for (const text of ['9'.repeat(100_000), 'x'.repeat(100_000)]) {
        const answer = parseConfigs({ [name]: text })
        assert.ok(!answer.ok && answer.message.length < 300, name)
      }
  })

  test('are whole numbers where Kafka has int or long', () => {
    for (const text of ['', ' ', '1.0', '1e3', '0x10', '1_000', '１', '--1', '+', 'NaN', 'Infinity', '1 0'])
      refused('retention.ms', text, /is not a whole number/)
    refused('max.message.bytes', '2147483648', /is not within 0 and 2147483647/)
    assert.equal(canonical('retention.bytes', '9223372036854775807'), '9223372036854775807')
    refused('retention.bytes', '9223372036854775808', /is not within -9223372036854775808 and 9223372036854775807/)
    assert.equal(canonical('retention.bytes', '-0'), '0')
    assert.equal(canonical('retention.bytes', `${'0'.repeat(50)}7`), '7')
  })

  test('are true or false in any case', () => {
    for (const text of ['True', 'false', ' FALSE'])
      assert.equal(canonical('preallocate', text), text.trim().toLowerCase())
    for (const text of ['', '1', 'yes', 'on']) refused('preallocate', text, /neither true nor false/)
  })

  test('are a number within its range', () => {
    for (const [text, value] of [
      ['0', '0'],
      ['1', '1'],
      ['1.', '1'],
      ['1e-2', '0.01'],
      ['+0.25', '0.25'],
    ] as const)
      assert.equal(canonical('min.cleanable.dirty.ratio', text), value)
    for (const text of ['-0.1', '1.01', '1e9', '1e999'])
      refused('min.cleanable.dirty.ratio', text, /is not within 0 and 1/)
    for (const text of ['', '.', 'half', '0x1', 'NaN', '1,0'])
      refused('min.cleanable.dirty.ratio', text, /not a number/)
  })

  test('are one of the texts that are allowed, in their case', () => {
    for (const text of ['producer', 'uncompressed', 'gzip', 'snappy', 'lz4', 'zstd'])
      assert.equal(canonical('compression.type', text), text)
    for (const text of ['', 'GZIP', 'brotli', '__proto__']) refused('compression.type', text, /is none of producer, /)
    refused('message.timestamp.type', 'createtime', /is none of CreateTime, LogAppendTime/)
  })

  test('are a list of different values', () => {
    assert.equal(canonical('cleanup.policy', 'compact'), 'compact')
    assert.equal(canonical('cleanup.policy', ''), '')
    for (const text of ['Delete', 'delete;compact', 'delete,', ',', 'keep'])
      refused('cleanup.policy', text, /is none of delete, compact/)
    refused('cleanup.policy', 'delete,delete', /names a value twice/)
    assert.equal(canonical('leader.replication.throttled.replicas', '0:1, 2:3'), '0:1,2:3')
    assert.equal(canonical('follower.replication.throttled.replicas', '*'), '*')
    refused('leader.replication.throttled.replicas', '0', /partition:replica/)
  })

  test('have no gzip level 0, which Kafka does not have either', () => {
    for (const text of ['-1', '1', '9']) assert.equal(canonical('compression.gzip.level', text), text)
    refused('compression.gzip.level', '0', /0/)
  })

  test('must fit each other', () => {
    const lags = (min: string, max: string) =>
      parseConfigs({ 'min.compaction.lag.ms': min, 'max.compaction.lag.ms': max })
    assert.ok(lags('4', '5').ok)
    assert.ok(lags('5', '5').ok)
    const answer = lags('6', '5')
    assert.ok(!answer.ok && answer.code === 'INVALID_CONFIG')
    assert.match(answer.message, /min\.compaction\.lag\.ms \(6\) is above max\.compaction\.lag\.ms \(5\)/)
  })

  test('must fit each other where a log is said to be tiered, all failures in one message', () => {
    const tiered = { 'remote.storage.enable': 'true', 'retention.ms': '10', 'retention.bytes': '10' }
    for (const local of ['-2', '9', '10'])
      assert.ok(parseConfigs({ ...tiered, 'local.retention.ms': local, 'local.retention.bytes': local }).ok)
    for (const local of ['-1', '11']) {
      const wrong = { 'local.retention.ms': local, 'local.retention.bytes': local }
      const answer = parseConfigs({ ...tiered, ...wrong, 'min.compaction.lag.ms': '2', 'max.compaction.lag.ms': '1' })
      assert.ok(!answer.ok)
      for (const name of ['local.retention.ms', 'local.retention.bytes', 'min.compaction.lag.ms'])
        assert.ok(answer.message.includes(`${name} (`), answer.message)
      assert.ok(parseConfigs({ ...tiered, ...wrong, 'remote.storage.enable': 'false' }).ok)
    }
    const unlimited = { ...tiered, 'retention.ms': '-1', 'retention.bytes': '-1' }
    assert.ok(parseConfigs({ ...unlimited, 'local.retention.ms': '-1', 'local.retention.bytes': '11' }).ok)
  })

  test('are a value or a sentence for any text, and what was accepted is accepted again unchanged', () => {
    const text = fc.oneof(
      fc.string(),
      fc.bigInt().map(String),
      fc.double().map(String),
      fc.constantFrom('delete', 'compact', 'delete,compact', 'true', 'zstd', 'LogAppendTime', '*', ' 1 ', '-1'),
    )
    const property = fc.property(fc.dictionary(fc.constantFrom(...names), fc.option(text)), (input) => {
      const answer = parseConfigs(input)
      if (answer.ok) {
        assert.deepEqual(parseConfigs(answer.configs), answer)
        for (const value of Object.values(effectiveConfig(answer)))
          assert.ok(value !== undefined && !Number.isNaN(value))
      } else assert.match(answer.message, /\.$/)
    })
    fc.assert(property, { numRuns: 1000 })
  })
})

describe('the effective config of a topic', () => {
  const effective = (configs: Record<string, string>) => effectiveConfig({ configs })

  test('is the defaults where nothing was set', () => {
    assert.deepEqual(effective({}), {
      chunkPlacement: 'auto',
      cleanupPolicy: { isDelete: true, isCompact: false },
      retentionMs: 604_800_000,
      retentionBytes: Number.POSITIVE_INFINITY,
      segmentBytes: 1_073_741_824,
      compressionType: 'producer',
      mergeCompression: 'zstd',
      compressionLevels: { gzip: -1, zstd: 3 },
      messageBytesMax: 1_048_588,
      timestampType: 'CreateTime',
      timestampBeforeMaxMs: Number.POSITIVE_INFINITY,
      timestampAfterMaxMs: 3_600_000,
      minCompactionLagMs: 0,
      maxCompactionLagMs: Number.POSITIVE_INFINITY,
      minCleanableDirtyRatio: 0.5,
      deleteRetentionMs: 86_400_000,
    })
  })

  test('has merges compress as the topic says, or else as its appends are compressed', () => {
    const merged = (configs: Record<string, string>) => effective(configs).mergeCompression
    assert.equal(merged({}), 'zstd')
    assert.equal(merged({ 'compression.type': 'producer' }), 'zstd')
    assert.equal(merged({ 'compression.type': 'gzip' }), 'gzip')
    assert.equal(merged({ 'compression.type': 'uncompressed' }), 'none')
    assert.equal(merged({ 'merge.compression.type': 'producer' }), 'none')
    assert.equal(merged({ 'merge.compression.type': 'lz4', 'compression.type': 'uncompressed' }), 'lz4')
    assert.equal(merged({ 'merge.compression.type': 'producer', 'compression.type': 'snappy' }), 'none')
  })

  test('is what was set, as what it means', () => {
    const { cleanupPolicy, compressionType, retentionMs, timestampType } = effective({
      'cleanup.policy': 'compact',
      'compression.type': 'uncompressed',
      'retention.ms': '1',
      'message.timestamp.type': 'LogAppendTime',
    })
    assert.deepEqual(cleanupPolicy, { isDelete: false, isCompact: true })
    assert.equal(compressionType, 'none')
    assert.equal(retentionMs, 1)
    assert.equal(timestampType, 'LogAppendTime')
    assert.deepEqual(effective({ 'cleanup.policy': '' }).cleanupPolicy, { isDelete: false, isCompact: false })
    assert.deepEqual(effective({ 'cleanup.policy': 'compact,delete' }).cleanupPolicy, {
      isDelete: true,
      isCompact: true,
    })
  })

  test('has no limit where Kafka has -1, or more than a number holds exactly', () => {
    assert.equal(effective({ 'retention.ms': '-1' }).retentionMs, Number.POSITIVE_INFINITY)
    assert.equal(effective({ 'retention.bytes': '-7' }).retentionBytes, Number.POSITIVE_INFINITY)
    assert.equal(effective({ 'retention.ms': '0' }).retentionMs, 0)
    const max = Number.MAX_SAFE_INTEGER
    assert.equal(effective({ 'retention.ms': String(max) }).retentionMs, max)
    assert.equal(effective({ 'retention.ms': String(BigInt(max) + 1n) }).retentionMs, Number.POSITIVE_INFINITY)
  })
})
