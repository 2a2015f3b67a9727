/**
 * A topic, and the table of its configs: Kafka's names, types, ranges and defaults (Kafka 4). One table says which values
 * are accepted, what they are when nobody set them, and whether they do anything here.
 *
 * A topic stores only what was set, as text in canonical form: `effectiveConfig` fills in the rest. So a default that
 * changes with a release changes for the topics that never chose one.
 */
import type { CompressionType } from './codec.ts'
import type { EpochMs, TopicId, TopicName } from './names.ts'
import { type Placement, placements } from './placement.ts'

/** Partitions a topic may have (D8). Each has a head and, when it is written to, rows. */
export const topicPartitionsMax = 10_000

export interface Topic {
  readonly name: TopicName
  readonly id: TopicId
  readonly partitions: number
  /** Only what was set: a config's name -> its canonical text. */
  readonly configs: Readonly<Record<string, string>>
  readonly state: 'live' | 'deleting'
  readonly createdMs: EpochMs
}

/** Is this a partition count that a topic may have? */
export function checkPartitions(
  partitions: number,
): { readonly ok: true } | { readonly ok: false; readonly code: 'INVALID_PARTITIONS'; readonly message: string } {
  if (Number.isInteger(partitions) && partitions >= 1 && partitions <= topicPartitionsMax) return { ok: true }
  const message = `A topic has 1 to ${topicPartitionsMax} partitions, not ${partitions}.`
  return { ok: false, code: 'INVALID_PARTITIONS', message }
}

/** `int` and `long` have Kafka's 32 and 64 bits; a `list` is separated by commas. */
export type TopicConfigType = 'boolean' | 'int' | 'long' | 'double' | 'string' | 'list'

export interface TopicConfigEntry {
  readonly type: TopicConfigType
  /** Canonical text. */
  readonly default: string
  /** Inclusive range of a number; without it, what the type holds. */
  readonly min?: number
  readonly max?: number
  /** A number of that range that is none of the values. */
  readonly hole?: number
  /** The texts that are allowed: of a string, or of each element of a list. */
  readonly values?: readonly string[]
  /** Instead of `values`, the form of each element of a list. */
  readonly pattern?: RegExp
  /** Other spellings that are accepted, and what they stand for. */
  readonly aliases?: Readonly<Record<string, string>>
  /** `none`: accepted and shown because Kafka's tools set it; nothing here depends on it. */
  readonly effect: 'some' | 'none'
  readonly doc: string
}

const longMax = '9223372036854775807'
const dayMs = 24 * 60 * 60 * 1000

export const topicConfigs = {
  'chunk.placement': {
    type: 'string',
    default: 'auto',
    values: placements,
    effect: 'some',
    doc: 'Where small appends are stored until they are merged: `inline` in the metadata store, in a `segment` object, or (`auto`) where it is cheaper. Highwater’s own; Kafka has none.',
  },
  'cleanup.policy': {
    type: 'list',
    default: 'delete',
    values: ['delete', 'compact'],
    effect: 'some',
    doc: 'What becomes of old records: `delete` by time and size, `compact` to the last record of each key, both, or (empty) neither.',
  },
  'compression.gzip.level': {
    type: 'int',
    default: '-1',
    min: -1,
    max: 9,
    hole: 0,
    effect: 'some',
    doc: 'Level of gzip where the server compresses; -1 is the default level.',
  },
  'compression.lz4.level': {
    type: 'int',
    default: '9',
    min: 1,
    max: 17,
    effect: 'none',
    doc: 'Level of LZ4 where the server compresses.',
  },
  'compression.type': {
    type: 'string',
    default: 'producer',
    values: ['producer', 'uncompressed', 'gzip', 'snappy', 'lz4', 'zstd'],
    aliases: { none: 'uncompressed' },
    effect: 'some',
    doc: 'How batches are compressed: `producer` keeps what the producer chose.',
  },
  'compression.zstd.level': {
    type: 'int',
    default: '3',
    min: -131_072,
    max: 22,
    effect: 'some',
    doc: 'Level of zstd where the server compresses.',
  },
  'delete.retention.ms': {
    type: 'long',
    default: String(dayMs),
    min: 0,
    effect: 'some',
    doc: 'Compacted topics: how long a tombstone stays after a pass has cleaned all earlier records of its key.',
  },
  'file.delete.delay.ms': {
    type: 'long',
    default: '60000',
    min: 0,
    effect: 'none',
    doc: 'Wait before a file is removed from the file system. Segments are removed by the sweep.',
  },
  'flush.messages': {
    type: 'long',
    default: longMax,
    min: 1,
    effect: 'none',
    doc: 'Records between two flushes to disk. Here every append is durable before it is acknowledged.',
  },
  'flush.ms': {
    type: 'long',
    default: longMax,
    min: 0,
    effect: 'none',
    doc: 'Time between two flushes to disk. Here every append is durable before it is acknowledged.',
  },
  'follower.replication.throttled.replicas': {
    type: 'list',
    default: '',
    pattern: /^(\*|\d+:\d+)$/,
    effect: 'none',
    doc: 'Replicas whose replication is throttled on the follower. There are no followers.',
  },
  'index.interval.bytes': {
    type: 'int',
    default: '4096',
    min: 0,
    effect: 'none',
    doc: 'Bytes between two entries of an offset index file.',
  },
  'leader.replication.throttled.replicas': {
    type: 'list',
    default: '',
    pattern: /^(\*|\d+:\d+)$/,
    effect: 'none',
    doc: 'Replicas whose replication is throttled on the leader. There are no followers.',
  },
  'local.retention.bytes': {
    type: 'long',
    default: '-2',
    min: -2,
    effect: 'none',
    doc: 'Size of the local part of a tiered log; -2 follows `retention.bytes`. Here all data lies in the object store.',
  },
  'local.retention.ms': {
    type: 'long',
    default: '-2',
    min: -2,
    effect: 'none',
    doc: 'Age of the local part of a tiered log; -2 follows `retention.ms`. Here all data lies in the object store.',
  },
  'max.compaction.lag.ms': {
    type: 'long',
    default: longMax,
    min: 1,
    effect: 'some',
    doc: 'Compacted topics: the longest time a record may stay out of compaction.',
  },
  'max.message.bytes': {
    type: 'int',
    default: '1048588',
    min: 0,
    effect: 'some',
    doc: 'Largest record batch, after compression. The limit on a request holds besides.',
  },
  'merge.compression.type': {
    type: 'string',
    default: 'zstd',
    values: ['producer', 'gzip', 'snappy', 'lz4', 'zstd'],
    effect: 'some',
    doc: 'What merges, and small appends that it makes cheaper, make of batches that came uncompressed; `producer` leaves them as they came. Where it is not set, a `compression.type` other than `producer` counts. Highwater’s own; Kafka has none.',
  },
  'message.downconversion.enable': {
    type: 'boolean',
    default: 'true',
    effect: 'none',
    doc: 'Conversion to message formats 0 and 1, which are gone since Kafka 4.',
  },
  'message.timestamp.after.max.ms': {
    type: 'long',
    default: String(60 * 60 * 1000),
    min: 0,
    effect: 'some',
    doc: 'With CreateTime: how far a timestamp may lie ahead of the server’s clock.',
  },
  'message.timestamp.before.max.ms': {
    type: 'long',
    default: longMax,
    min: 0,
    effect: 'some',
    doc: 'With CreateTime: how far a timestamp may lie behind the server’s clock.',
  },
  'message.timestamp.type': {
    type: 'string',
    default: 'CreateTime',
    values: ['CreateTime', 'LogAppendTime'],
    effect: 'some',
    doc: 'Whose time records carry: the producer’s (`CreateTime`) or the server’s at the append (`LogAppendTime`).',
  },
  'min.cleanable.dirty.ratio': {
    type: 'double',
    default: '0.5',
    min: 0,
    max: 1,
    effect: 'some',
    doc: 'Compacted topics: the part of the log that must be uncleaned before a pass is worth its price.',
  },
  'min.compaction.lag.ms': {
    type: 'long',
    default: '0',
    min: 0,
    effect: 'some',
    doc: 'Compacted topics: the shortest time a record stays out of compaction.',
  },
  'min.insync.replicas': {
    type: 'int',
    default: '1',
    min: 1,
    effect: 'none',
    doc: 'Replicas that must have a record before it is acknowledged. Replication is the object store’s.',
  },
  preallocate: {
    type: 'boolean',
    default: 'false',
    effect: 'none',
    doc: 'Whether segment files are allocated in advance.',
  },
  'remote.copy.lag.bytes': {
    type: 'long',
    default: '0',
    min: -1,
    effect: 'none',
    doc: 'Bytes that a tiered log holds back from remote storage. Here all data lies in the object store.',
  },
  'remote.copy.lag.ms': {
    type: 'long',
    default: '0',
    min: -1,
    effect: 'none',
    doc: 'Time that a tiered log holds data back from remote storage. Here all data lies in the object store.',
  },
  'remote.log.copy.disable': {
    type: 'boolean',
    default: 'false',
    effect: 'none',
    doc: 'Whether a tiered log stops copying to remote storage. Here all data lies in the object store.',
  },
  'remote.log.delete.on.disable': {
    type: 'boolean',
    default: 'false',
    effect: 'none',
    doc: 'Whether remote data goes when tiering is disabled. Here all data lies in the object store.',
  },
  'remote.storage.enable': {
    type: 'boolean',
    default: 'false',
    effect: 'none',
    doc: 'Whether the log is tiered. Here all data lies in the object store, whatever this says.',
  },
  'retention.bytes': {
    type: 'long',
    default: '-1',
    effect: 'some',
    doc: 'Size that a partition may grow to before its oldest records are removed; below 0, no limit.',
  },
  'retention.ms': {
    type: 'long',
    default: String(7 * dayMs),
    min: -1,
    effect: 'some',
    doc: 'Age at which records are removed; -1, never.',
  },
  'segment.bytes': {
    type: 'int',
    default: String(2 ** 30),
    min: 2 ** 20,
    effect: 'some',
    doc: 'Largest segment that a merge writes. The server’s own limit holds besides.',
  },
  'segment.index.bytes': {
    type: 'int',
    default: String(10 * 2 ** 20),
    min: 4,
    effect: 'none',
    doc: 'Largest offset index file.',
  },
  'segment.jitter.ms': {
    type: 'long',
    default: '0',
    min: 0,
    effect: 'none',
    doc: 'Random time taken off `segment.ms`.',
  },
  'segment.ms': {
    type: 'long',
    default: String(7 * dayMs),
    min: 1,
    effect: 'none',
    doc: 'Age at which a segment file is closed. Segments here are never open.',
  },
  'unclean.leader.election.enable': {
    type: 'boolean',
    default: 'false',
    effect: 'none',
    doc: 'Whether a replica that lacks records may lead. There are no replicas that could.',
  },
} as const satisfies Record<string, TopicConfigEntry>

export type TopicConfigName = keyof typeof topicConfigs

export function isTopicConfigName(name: string): name is TopicConfigName {
  return Object.hasOwn(topicConfigs, name)
}

/** The entry of a name, in its general type. */
export function topicConfigEntry(name: TopicConfigName): TopicConfigEntry {
  return topicConfigs[name]
}

export type ConfigsAnswer =
  | { readonly ok: true; readonly configs: Readonly<Record<string, string>> }
  | { readonly ok: false; readonly code: 'INVALID_CONFIG' | 'UNKNOWN_CONFIG'; readonly message: string }

/**
 * What a user wants set, checked and in canonical form: values one by one, then their relations. null means the default
 * and is left out. All failures are in one message; `UNKNOWN_CONFIG` when a name is among them.
 *
 * @example
 * parseConfigs({ 'retention.ms': ' 3600000 ', 'segment.bytes': null }) // { ok: true, configs: { 'retention.ms': '3600000' } }
 */
export function parseConfigs(input: Readonly<Record<string, string | null>>): ConfigsAnswer {
  const unknown: string[] = []
  const invalid: string[] = []
  const configs: Record<string, string> = {}
  for (const [name, text] of Object.entries(input)) {
    if (!isTopicConfigName(name)) {
      unknown.push(`Unknown topic config ${quote(name)}.`)
      continue
    }
    if (text === null) continue
    const value = canonicalValue(topicConfigs[name], text)
    if (value.ok) configs[name] = value.text
    else invalid.push(`Topic config ${name}: ${value.message}`)
  }
  if (unknown.length === 0 && invalid.length === 0) invalid.push(...brokenRelations(configs))
  if (unknown.length > 0) return { ok: false, code: 'UNKNOWN_CONFIG', message: [...unknown, ...invalid].join(' ') }
  if (invalid.length > 0) return { ok: false, code: 'INVALID_CONFIG', message: invalid.join(' ') }
  return { ok: true, configs }
}

/** What a topic's configs mean, those that were not set included. Times and sizes without a limit are `Infinity`. */
export interface EffectiveConfig {
  readonly chunkPlacement: Placement
  readonly cleanupPolicy: { readonly isDelete: boolean; readonly isCompact: boolean }
  readonly retentionMs: number
  readonly retentionBytes: number
  readonly segmentBytes: number
  /** `producer`: as the producer sent it. */
  readonly compressionType: CompressionType | 'producer'
  /** What batches that came uncompressed become; `none`: they stay so. */
  readonly mergeCompression: CompressionType
  /** Of the codecs that have one here. */
  readonly compressionLevels: Readonly<Partial<Record<CompressionType, number>>>
  readonly messageBytesMax: number
  readonly timestampType: 'CreateTime' | 'LogAppendTime'
  readonly timestampBeforeMaxMs: number
  readonly timestampAfterMaxMs: number
  readonly minCompactionLagMs: number
  readonly maxCompactionLagMs: number
  readonly minCleanableDirtyRatio: number
  readonly deleteRetentionMs: number
}

/** The typed configs of a topic. Topics without configs of their own share one object. */
export function effectiveConfig(topic: Pick<Topic, 'configs'>): EffectiveConfig {
  for (const _ in topic.configs) return effectiveOf(topic.configs)
  return defaultConfig
}

function effectiveOf(configs: Readonly<Record<string, string>>): EffectiveConfig {
  const text = (name: TopicConfigName): string => configs[name] ?? topicConfigs[name].default
  const policies = text('cleanup.policy').split(',')
  const compression = text('compression.type')
  const compressionType = (compression === 'uncompressed' ? 'none' : compression) as EffectiveConfig['compressionType']
  const isMergeSet = configs['merge.compression.type'] !== undefined || compressionType === 'producer'
  const merge = isMergeSet ? (text('merge.compression.type') as EffectiveConfig['compressionType']) : compressionType
  return {
    chunkPlacement: text('chunk.placement') as Placement,
    cleanupPolicy: { isDelete: policies.includes('delete'), isCompact: policies.includes('compact') },
    retentionMs: limitOf(text('retention.ms')),
    retentionBytes: limitOf(text('retention.bytes')),
    segmentBytes: Number(text('segment.bytes')),
    compressionType,
    mergeCompression: merge === 'producer' ? 'none' : merge,
    compressionLevels: {
      gzip: Number(text('compression.gzip.level')),
      zstd: Number(text('compression.zstd.level')),
    },
    messageBytesMax: Number(text('max.message.bytes')),
    timestampType: text('message.timestamp.type') as EffectiveConfig['timestampType'],
    timestampBeforeMaxMs: limitOf(text('message.timestamp.before.max.ms')),
    timestampAfterMaxMs: limitOf(text('message.timestamp.after.max.ms')),
    minCompactionLagMs: limitOf(text('min.compaction.lag.ms')),
    maxCompactionLagMs: limitOf(text('max.compaction.lag.ms')),
    minCleanableDirtyRatio: Number(text('min.cleanable.dirty.ratio')),
    deleteRetentionMs: limitOf(text('delete.retention.ms')),
  }
}

const defaultConfig = effectiveOf({})

/** A long as a limit: below 0, or beyond what a number holds exactly (285,000 years), there is none. */
function limitOf(text: string): number {
  const value = Number(text)
  return value < 0 || value > Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : value
}

type CanonicalValue = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly message: string }

/** Kafka's parsing: blanks around a value do not count, booleans in any case, numbers in decimal. */
function canonicalValue(entry: TopicConfigEntry, given: string): CanonicalValue {
  const text = given.trim()
  switch (entry.type) {
    case 'boolean': {
      const lower = text.toLowerCase()
      if (lower === 'true' || lower === 'false') return { ok: true, text: lower }
      return { ok: false, message: `${quote(given)} is neither true nor false.` }
    }
    case 'int':
    case 'long':
      return canonicalInteger(entry, entry.type, text)
    case 'double': {
      const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = entry
      if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text))
        return { ok: false, message: `${quote(given)} is not a number.` }
      const value = Number(text)
      if (value < min || value > max) return { ok: false, message: `${quote(text)} is not within ${min} and ${max}.` }
      return { ok: true, text: String(value) }
    }
    case 'string': {
      const value = entry.aliases?.[text] ?? text
      if (entry.values === undefined || entry.values.includes(value)) return { ok: true, text: value }
      return { ok: false, message: `${quote(given)} is none of ${entry.values.join(', ')}.` }
    }
    case 'list':
      return canonicalList(entry, text)
    default:
      return entry.type satisfies never
  }
}

function canonicalInteger(entry: TopicConfigEntry, type: 'int' | 'long', text: string): CanonicalValue {
  // 21 characters hold every 64-bit number; a longer text is out of range however it ends, and costs nothing to refuse.
  if (!/^[+-]?\d+$/.test(text)) return { ok: false, message: `${quote(text)} is not a whole number.` }
  const bits = type === 'int' ? 32n : 64n
  const min = entry.min === undefined ? -(1n << (bits - 1n)) : BigInt(entry.min)
  const max = entry.max === undefined ? (1n << (bits - 1n)) - 1n : BigInt(entry.max)
  const digits = text.replace(/^\+/, '').replace(/^(-?)0+(?=\d)/, '$1')
  const value = digits.length > 20 ? undefined : BigInt(digits)
  if (value === undefined || value < min || value > max)
    return { ok: false, message: `${quote(text)} is not within ${min} and ${max}.` }
  if (entry.hole !== undefined && value === BigInt(entry.hole)) return { ok: false, message: `it cannot be ${value}.` }
  return { ok: true, text: String(value) }
}

function canonicalList(entry: TopicConfigEntry, text: string): CanonicalValue {
  if (text === '') return { ok: true, text: '' }
  const elements = text.split(',').map((element) => element.trim())
  for (const element of elements) {
    if (entry.values !== undefined && !entry.values.includes(element))
      return { ok: false, message: `${quote(element)} is none of ${entry.values.join(', ')}.` }
    if (entry.pattern !== undefined && !entry.pattern.test(element))
      return { ok: false, message: `${quote(element)} is neither "*" nor of the form partition:replica.` }
  }
  if (new Set(elements).size < elements.length) return { ok: false, message: `${quote(text)} names a value twice.` }
  return { ok: true, text: elements.join(',') }
}

/** The sentences of all relations that do not hold between these values and the defaults of the others. */
function brokenRelations(configs: Readonly<Record<string, string>>): string[] {
  const broken: string[] = []
  const long = (name: TopicConfigName): bigint => BigInt(configs[name] ?? topicConfigs[name].default)
  const [minLag, maxLag] = [long('min.compaction.lag.ms'), long('max.compaction.lag.ms')]
  if (minLag > maxLag)
    broken.push(`Topic config min.compaction.lag.ms (${minLag}) is above max.compaction.lag.ms (${maxLag}).`)
  if (configs['remote.storage.enable'] === 'true')
    for (const unit of ['ms', 'bytes'] as const) {
      const whole = long(`retention.${unit}`)
      const local = long(`local.retention.${unit}`)
      if (whole >= 0n && local !== -2n && (local === -1n || local > whole))
        broken.push(`Topic config local.retention.${unit} (${local}) is above retention.${unit} (${whole}).`)
    }
  return broken
}

/** A user's text in a message: quoted, and not longer than a line. */
function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
