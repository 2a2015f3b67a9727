/**
 * Settings of a log: what a deployment tunes. Each default stands here, once; the command line, the functions, the docs and
 * the infrastructure read this table.
 */

export interface Setting {
  readonly default: number | boolean
  readonly unit: 'ms' | 'bytes' | 'count' | 'boolean'
  readonly min?: number
  readonly max?: number
  readonly meaning: string
  /** Kafka's name for the same thing, where it has one. */
  readonly kafka?: string
}

export const settingsTable = {
  lingerMs: {
    default: 0,
    unit: 'ms',
    min: 0,
    max: 1_000,
    kafka: 'linger.ms (the broker has none)',
    meaning:
      'How long the first append of a flush waits for company. With 0, what arrives in one turn of the event loop, or while earlier flushes are under way, is gathered all the same.',
  },
  segmentBytesMax: {
    default: 4_194_304,
    unit: 'bytes',
    min: 4_096,
    max: 67_108_864,
    meaning: 'A flush is sent off when it has gathered this much. One larger request makes one larger segment.',
  },
  flushesInFlightMax: {
    default: 2,
    unit: 'count',
    min: 1,
    max: 64,
    meaning: 'Flushes that write at the same time. While all are under way, appends gather.',
  },
  pendingBytesMax: {
    default: 67_108_864,
    unit: 'bytes',
    min: 1_048_576,
    max: 4_294_967_296,
    kafka: 'queued.max.request.bytes',
    meaning: 'Bytes of appends waiting in this process; above, an append is refused with TOO_MANY_REQUESTS.',
  },
  appendBytesMax: {
    default: 4_194_304,
    unit: 'bytes',
    min: 1_024,
    max: 67_108_864,
    kafka: 'socket.request.max.bytes',
    meaning: 'The largest request body and the largest single append.',
  },
  decompressedBytesMax: {
    default: 67_108_864,
    unit: 'bytes',
    min: 1_024,
    max: 1_073_741_824,
    meaning: 'The most that one batch may decompress to.',
  },
  headAgeMsMax: {
    default: 10_000,
    unit: 'ms',
    min: 0,
    max: 60_000,
    meaning:
      'The longest that a head read or answered serves as the `seen` of a commit; an older one is read again beside the upload. Within it a head is believed for half the time that its partition lately took for a roll, at most a quarter of mergeQuietMs; for 25 ms where nothing is known of it.',
  },
  commitAttemptsMax: {
    default: 12,
    unit: 'count',
    min: 1,
    max: 100,
    meaning: 'Attempts of one append at its commit before it is given up.',
  },
  retryDelayMs: {
    default: 10,
    unit: 'ms',
    min: 0,
    max: 10_000,
    meaning: 'First delay between attempts after a failure of the store; doubles, with jitter.',
  },
  sequenceGapWaitMs: {
    default: 400,
    unit: 'ms',
    min: 0,
    max: 10_000,
    meaning: "How long an append that is ahead of its producer's sequence waits for the one before it.",
  },
  topicAgeMsMax: {
    default: 30_000,
    unit: 'ms',
    min: 0,
    max: 300_000,
    kafka: 'metadata.max.age.ms',
    meaning:
      "How long a topic's name, partition count and configs are believed without asking again: how much later other processes than the one that changed them go by the change. A topic or partition that is not known is looked up at once, and so is one that was deleted. Safety does not depend on it.",
  },
  fetchBytesMax: {
    default: 1_048_576,
    unit: 'bytes',
    min: 1,
    max: 67_108_864,
    kafka: 'max.partition.fetch.bytes',
    meaning: 'Bytes of an answer to a fetch that names no limit. The first batch is answered whole, however large.',
  },
  fetchBytesInFlightMax: {
    default: 8_388_608,
    unit: 'bytes',
    min: 65_536,
    max: 17_179_869_184,
    meaning:
      'Bytes that are read from the stores at the same time for fetches of older records; further ones wait their turn. Fetches at the end of the log have as much of their own, and what is kept in memory waits for nobody.',
  },
  fetchWaitMsMax: {
    default: 25_000,
    unit: 'ms',
    min: 0,
    max: 900_000,
    kafka: 'fetch.max.wait.ms',
    meaning: 'The longest a fetch may wait for records.',
  },
  chunkCacheBytesMax: {
    default: 67_108_864,
    unit: 'bytes',
    min: 0,
    max: 17_179_869_184,
    meaning: 'Chunks kept in memory for readers, by reference. Committed chunks never change.',
  },
  headPollMsMin: {
    default: 20,
    unit: 'ms',
    min: 1,
    max: 10_000,
    meaning:
      "First delay between looks at the head while a fetch waits for another process's commits; grows to headPollMsMax.",
  },
  headPollMsMax: { default: 500, unit: 'ms', min: 1, max: 60_000, meaning: 'Longest delay between such looks.' },
  headReadsPerSecondMax: {
    default: 50,
    unit: 'count',
    min: 1,
    max: 10_000,
    meaning:
      'Looks at heads per second of one fetch of many partitions (a poll of a consumer) while it waits, however many they are; each is looked at once before.',
  },
  producerIdBlock: {
    default: 100,
    unit: 'count',
    min: 1,
    max: 10_000,
    kafka: 'producer id block size (1000)',
    meaning: 'Producer ids a process takes from the counter at once.',
  },
  producerIdExpirationMs: {
    default: 86_400_000,
    unit: 'ms',
    min: 1_000,
    max: Number.MAX_SAFE_INTEGER,
    kafka: 'producer.id.expiration.ms',
    meaning: 'An idempotent producer, or an idempotency key, that was not used for this long may be forgotten.',
  },
  maintainIntervalMs: {
    default: 600_000,
    unit: 'ms',
    min: 1_000,
    max: 86_400_000,
    meaning:
      'How often upkeep is done: groups, and partitions that are written to, and what is left of the round over all (maintainRoundMs).',
  },
  mergeRowsMin: {
    default: 32,
    unit: 'count',
    min: 2,
    max: 1_000,
    meaning:
      'Rows of a partition (each of 6 to 10 commits, or more) that are merged into one segment when there are so many.',
  },
  largeChunkBytesMin: {
    default: 131_072,
    unit: 'bytes',
    min: 1,
    max: 1_073_741_824,
    meaning:
      'What was appended in one piece of so many bytes is large: compressed on its way in, if merge.compression.type says so and its beginning can be, and not merged, since that would move it for nothing. A server on a data directory has no such size unless it is set.',
  },
  mergeBytesMin: {
    default: 8_388_608,
    unit: 'bytes',
    min: 1_024,
    max: 67_108_864,
    meaning: 'Bytes in rows that are not merged yet, from which on they are merged although they are few.',
  },
  mergeBytesMax: {
    default: 33_554_432,
    unit: 'bytes',
    min: 65_536,
    max: 1_073_741_824,
    kafka: 'segment.bytes',
    meaning: 'Bytes of batches in a merged segment. A merge holds them in memory.',
  },
  compactionKeysMax: {
    default: 1_000_000,
    unit: 'count',
    min: 1,
    max: 100_000_000,
    kafka: 'log.cleaner.dedupe.buffer.size',
    meaning:
      'Records that one pass of key compaction takes in addition to what is clean: its map of keys takes at most 64 bytes for each.',
  },
  mergeQuietMs: {
    default: 60_000,
    unit: 'ms',
    min: 0,
    max: 3_600_000,
    meaning:
      'Younger rows are not merged: an append of theirs whose outcome is unknown could no longer be proved absent.',
  },
  mergeAgeMs: {
    default: 3_600_000,
    unit: 'ms',
    min: 0,
    max: 2_592_000_000,
    meaning: 'Rows that are not merged yet are merged, although they are few, when the oldest of them is older.',
  },
  tailAgeMsMax: {
    default: 3_600_000,
    unit: 'ms',
    min: 0,
    max: 2_592_000_000,
    kafka: 'segment.ms',
    meaning:
      'Upkeep rolls a tail whose oldest entry is older: what is written seldom is merged, and let go by retention, too.',
  },
  maintainRoundMs: {
    default: 86_400_000,
    unit: 'ms',
    min: 0,
    max: 2_592_000_000,
    meaning:
      'How often upkeep looks at every partition: a round begins at most so often, and goes on where the last call of upkeep stopped. Partitions that are written to do not wait for it.',
  },
  sweepAgeMs: {
    default: 86_400_000,
    unit: 'ms',
    min: 1_000,
    max: 2_592_000_000,
    meaning:
      'Segments younger than this are not swept, so that no writer that is merely slow is fenced. Safety does not depend on it.',
  },
  mergeIntervalMs: {
    default: 30_000,
    unit: 'ms',
    min: 100,
    max: 86_400_000,
    meaning:
      "How often the embedded server merges what rolled since the last time. On AWS, where it is set: how long the table's stream gathers rows before the merge function is called with them, up to five minutes; otherwise a minute.",
  },
  sweepIntervalMs: {
    default: 3_600_000,
    unit: 'ms',
    min: 1_000,
    max: 2_073_600_000,
    meaning: 'How often the embedded server sweeps.',
  },
  sweepFullIntervalMs: {
    default: 2_592_000_000,
    unit: 'ms',
    min: 1_000,
    max: 31_536_000_000,
    meaning:
      'How often the sweep lists all objects, instead of those that became old enough: it finds what arrived late, under an id that it had passed.',
  },
  leaseDurationMs: {
    default: 10_000,
    unit: 'ms',
    min: 100,
    max: 3_600_000,
    meaning: 'How long a leader lease is held without being renewed.',
  },
  groupsMax: {
    default: 10_000,
    unit: 'count',
    min: 1,
    max: 1_000_000,
    meaning: 'Consumer groups of the cluster; one more is refused with GROUP_LIMIT_REACHED.',
  },
  groupMembersMax: {
    default: 500,
    unit: 'count',
    min: 1,
    max: 1_000,
    kafka: 'group.consumer.max.size',
    meaning: 'Members of a group; one more is refused with GROUP_MAX_SIZE_REACHED.',
  },
  groupPartitionsMax: {
    default: 10_000,
    unit: 'count',
    min: 1,
    max: 20_000,
    meaning: 'Partitions of all topics that a group subscribes to; more are refused with GROUP_LIMIT_REACHED.',
  },
  sessionTimeoutMsDefault: {
    default: 45_000,
    unit: 'ms',
    min: 100,
    max: 1_800_000,
    kafka: 'group.consumer.session.timeout.ms',
    meaning: 'How long a member of a group is believed alive without a heartbeat, where it says nothing else.',
  },
  sessionTimeoutMsMin: {
    default: 6_000,
    unit: 'ms',
    min: 100,
    max: 1_800_000,
    kafka: 'group.min.session.timeout.ms',
    meaning: 'The shortest session timeout that a member may ask for.',
  },
  sessionTimeoutMsMax: {
    default: 1_800_000,
    unit: 'ms',
    min: 100,
    max: 86_400_000,
    kafka: 'group.max.session.timeout.ms',
    meaning: 'The longest session timeout that a member may ask for.',
  },
  rebalanceTimeoutMsDefault: {
    default: 300_000,
    unit: 'ms',
    min: 100,
    max: 86_400_000,
    kafka: 'max.poll.interval.ms',
    meaning: 'How long a member may take to let go of a partition that was revoked, where it says nothing else.',
  },
  groupPollMs: {
    default: 3_000,
    unit: 'ms',
    min: 10,
    max: 60_000,
    kafka: 'group.consumer.heartbeat.interval.ms (5000)',
    meaning:
      'How often a waiting poll looks whether its group has changed, and how often members are asked to send a heartbeat.',
  },
  offsetsRetentionMs: {
    default: 604_800_000,
    unit: 'ms',
    min: 1_000,
    max: Number.MAX_SAFE_INTEGER,
    kafka: 'offsets.retention.minutes',
    meaning: 'How long a group without members keeps its committed offsets; then it is deleted.',
  },
  consumerInstanceTimeoutMs: {
    default: 300_000,
    unit: 'ms',
    min: 1_000,
    max: 86_400_000,
    kafka: 'consumer.instance.timeout.ms (REST Proxy)',
    meaning: 'How long a v2 consumer instance that sends nothing is kept.',
  },
  consumerInstancesMax: {
    default: 1_000,
    unit: 'count',
    min: 1,
    max: 10_000,
    meaning: 'v2 consumer instances of one group; one more is refused with GROUP_LIMIT_REACHED.',
  },
  partitionsDefault: {
    default: 1,
    unit: 'count',
    min: 1,
    max: 10_000,
    kafka: 'num.partitions',
    meaning: 'Partitions of a topic created without a count.',
  },
  autoCreateTopics: {
    default: false,
    unit: 'boolean',
    kafka: 'auto.create.topics.enable',
    meaning: 'Whether producing to a topic that does not exist creates it.',
  },
  isSoleProcess: {
    default: false,
    unit: 'boolean',
    meaning:
      'True where no other process writes to the same stores (the embedded server): waiting fetches are then woken in-process and heads need not be read again.',
  },
} as const satisfies Record<string, Setting>

export type Settings = {
  readonly [Name in keyof typeof settingsTable]: (typeof settingsTable)[Name]['default'] extends boolean
    ? boolean
    : number
}

export const defaultSettings: Settings = Object.fromEntries(
  Object.entries(settingsTable).map(([name, setting]) => [name, setting.default]),
) as unknown as Settings

/** The settings with defaults filled in, or every failure in one message. */
export function parseSettings(
  input: Partial<Settings>,
): { ok: true; settings: Settings } | { ok: false; message: string } {
  const failures: string[] = []
  for (const [name, value] of Object.entries(input)) {
    const setting: Setting | undefined = settingsTable[name as keyof Settings]
    if (setting === undefined) failures.push(`${name} is not a setting`)
    else if (typeof setting.default === 'boolean') {
      if (typeof value !== 'boolean') failures.push(`${name} must be true or false, not ${JSON.stringify(value)}`)
    } else if (
      typeof value !== 'number' ||
      !Number.isSafeInteger(value) ||
      value < (setting.min ?? 0) ||
      value > (setting.max ?? Infinity)
    )
      failures.push(
        `${name} must be a whole number of ${setting.unit} from ${setting.min ?? 0} to ${setting.max}, not ${JSON.stringify(value)}`,
      )
  }
  const settings = { ...defaultSettings, ...input }
  if (settings.headPollMsMin > settings.headPollMsMax)
    failures.push('headPollMsMin must not be larger than headPollMsMax')
  if (settings.sessionTimeoutMsMin > settings.sessionTimeoutMsMax)
    failures.push('sessionTimeoutMsMin must not be larger than sessionTimeoutMsMax')
  if (
    settings.sessionTimeoutMsDefault < settings.sessionTimeoutMsMin ||
    settings.sessionTimeoutMsDefault > settings.sessionTimeoutMsMax
  )
    failures.push('sessionTimeoutMsDefault must lie between sessionTimeoutMsMin and sessionTimeoutMsMax')
  if (settings.mergeBytesMin > settings.mergeBytesMax)
    failures.push('mergeBytesMin must not be larger than mergeBytesMax')
  if (settings.groupPollMs * 3 > settings.sessionTimeoutMsMin * 2)
    failures.push('groupPollMs must leave room for heartbeats: at most two thirds of sessionTimeoutMsMin')
  if (settings.pendingBytesMax < settings.appendBytesMax)
    failures.push('pendingBytesMax must hold at least one append of appendBytesMax')
  return failures.length === 0
    ? { ok: true, settings }
    : { ok: false, message: `Invalid settings: ${failures.join('; ')}.` }
}
