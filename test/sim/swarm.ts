/**
 * What one simulated world is like, from its seed: which faults, how often, which actors, which settings. Every seed leaves
 * out some of everything, so that what is left is frequent enough to meet.
 */
import type { FaultKind, FaultRates } from '../../lib/adapters/faulty.ts'
import { faultKinds } from '../../lib/adapters/faulty.ts'
import type { Placement } from '../../lib/core/placement.ts'
import type { Settings } from '../../lib/core/settings.ts'
import type { Dice } from './dice.ts'

export const actorKinds = [
  'appender',
  'producer',
  'idempotent',
  'sleeper',
  'keyed',
  'conditional',
  'leader',
  'reader',
  'seeker',
  'roller',
  'trimmer',
  'forgetter',
  'merger',
  'sweeper',
  'fencer',
  'upkeeper',
  'compactor',
  'dozer',
  'topics',
  'chaos',
  'member',
  'keeper',
  'sleepwalker',
] as const
export type ActorKind = (typeof actorKinds)[number]

/** `log`; or `groups`, where members read what some appenders write. */
export type WorldKind = 'log' | 'groups'

export interface Swarm {
  readonly kind: WorldKind
  readonly processes: number
  readonly topics: number
  readonly partitions: number
  readonly groups: number
  /** Of most members. */
  readonly sessionTimeoutMs: number
  readonly objects: 'memory' | 'disk'
  readonly actors: { readonly [Kind in ActorKind]: number }
  readonly rates: FaultRates
  /** Some calls that mostly fail, some of the time. */
  readonly blight?: { readonly call: string; readonly rates: FaultRates }
  /** Probability that a call to the disk fails, with what it should have made durable lost. */
  readonly diskFaults: number
  /** A history of weeks: days in which nothing happens, requests and processes that come back after days. */
  readonly isLong: boolean
  /** A process freezes with this probability when it has just been answered such a call: between a put and its commit, for one. */
  readonly lull?: { readonly call: string; readonly chance: number }
  /** How likely the write of a row is to arrive once more, whatever became of it before: more often than other writes, which `rates` are for. */
  readonly rowsAgain: number
  /** Of upkeep: how much of it is merges. */
  readonly mergeShare: number
  /** How long a process is frozen, if it is for long. */
  readonly freezeMs: readonly [number, number]
  readonly quietMs: readonly [number, number]
  readonly latencyMs: readonly [number, number]
  readonly hangMs: readonly [number, number]
  /** How late a request may arrive, or come once more. */
  readonly lateMs: readonly [number, number]
  /** Largest difference of a process's clock from the true time. */
  readonly skewMs: number
  readonly settings: Partial<Settings>
  /** When it is spent, actors stop (`Simulation.spent`). */
  readonly effort: number
  /** Merges keep the references of small chunks, or write their bytes into a new segment and let the sweep delete the old. */
  readonly moves: boolean
  /** Of topics: where the chunks of their small appends go. */
  readonly placement: Placement
  /** Where heads begin: just below 2^31 at times. */
  readonly firstOffset: number
  /** Of compacted topics: how many keys their records have; 0 where topics are not compacted. */
  readonly keys: number
  /** Bytes added to each record, so that segments of merges are full. @default 0 */
  readonly padBytes?: number
  /** The log's own upkeep waits for seconds between two things it does. */
  readonly isUpkeepRare: boolean
  /** Of topics, beside what is said here. */
  readonly configs: Readonly<Record<string, string>>
  /** Of topics: LogAppendTime. */
  readonly logAppendTime: boolean
}

const hourMs = 3_600_000
const dayMs = 24 * hourMs

export function swarmOf(dice: Dice, without: ReadonlySet<string> = new Set(), effort?: number): Swarm {
  const actor = (kind: ActorKind, probability: number, most: number): number =>
    dice.derive(kind).chance(probability) && !without.has(kind) ? dice.derive(`${kind} count`).int(1, most) : 0
  const rates: { [Kind in FaultKind]?: number } = {}
  for (const kind of faultKinds) {
    const own = dice.derive(kind)
    // The long waits are rare, or nothing else ever happens.
    const most = kind === 'hang' || kind === 'full' ? 0.02 : kind === 'hide-head' ? 0.5 : 0.15
    const isStormy = own.chance(0.15) && kind !== 'hang' && kind !== 'full'
    if (own.chance(0.55) && !without.has(kind))
      rates[kind] = isStormy ? own.between(0.15, 0.5) : own.scattered(0.003, most)
  }
  const leader = actor('leader', 0.45, 3)
  const led = dice.derive('led')
  // What a leader's time refused comes again when it is over (L4).
  const isRefusedAgain = leader > 0 && led.chance(0.4) && !without.has('repeat-refused-late')
  if (isRefusedAgain) rates['repeat-refused-late'] = led.between(0.3, 0.9)
  const own = dice.derive('settings')
  const moves = own.chance(0.6)
  const some = own.int(1, 4)
  const upkeep = dice.derive('upkeep')
  const long = dice.derive('long')
  const isLong = long.chance(0.2) && !without.has('long')
  const lull = dice.derive('lull')
  const isLulled = lull.chance(isLong ? 0.6 : 0.35) && !without.has('lull')
  const cleaning = dice.derive('cleaning')
  const pad = dice.derive('pad')
  const isPadded = pad.chance(0.4)
  const someKeys = isPadded ? pad.int(6, 20) : cleaning.int(1, 6)
  const keys = cleaning.chance(0.3) && !without.has('compaction') ? someKeys : 0
  // Somebody else goes on meanwhile.
  const processes = isLulled ? Math.max(2, some) : some
  const upkeeper = actor('upkeeper', isLong || keys > 0 ? 1 : 0.5, 2)
  const age = dice.derive('age')
  const blight = dice.derive('blight')
  const blighted = {
    call: blight.chance(0.5)
      ? 'updateHead append'
      : blight.pick(['write', 'updateHead roll', 'updateHead lease', 'create', 'readHead', 'query', 'get']),
    rates: { [blight.pick(['refuse', 'fail', 'lose-answer', 'arrive-late', 'arrive-late'] as const)]: 0.7 },
  }
  return {
    kind: 'log',
    groups: 0,
    sessionTimeoutMs: 0,
    processes,
    topics: own.chance(0.2) ? 2 : 1,
    partitions: own.chance(0.3) ? 2 : 1,
    objects: own.chance(0.25) && !without.has('disk') ? 'disk' : 'memory',
    actors: {
      appender: Math.max(1, actor('appender', 0.8, 3)),
      producer: actor('producer', 0.4, 1),
      idempotent: actor('idempotent', 0.6, 3),
      sleeper: actor('sleeper', 0.4, 2),
      keyed: actor('keyed', 0.4, 2),
      conditional: actor('conditional', 0.4, 2),
      leader,
      reader: actor('reader', 0.8, 2),
      seeker: actor('seeker', 0.5, 1),
      roller: actor('roller', 0.6, 2),
      trimmer: actor('trimmer', 0.3, 1),
      forgetter: actor('forgetter', 0.45, 1),
      // Those of the tests know nothing of compaction.
      merger: keys > 0 ? 0 : actor('merger', 0.55, 2),
      sweeper: moves && keys === 0 ? actor('sweeper', 0.8, 1) : 0,
      fencer: actor('fencer', 0.25, 1),
      upkeeper,
      dozer: processes > 1 && upkeeper > 0 ? actor('dozer', keys > 0 ? 0.5 : 0.25, 1) : 0,
      compactor: keys > 0 ? actor('compactor', 0.9, 2) : 0,
      topics: actor('topics', 0.25, 1),
      chaos: actor('chaos', isLong ? 1 : 0.75, 1),
      member: 0,
      keeper: 0,
      sleepwalker: 0,
    },
    rates,
    ...(blight.chance(0.35) && !without.has('blight') ? { blight: blighted } : {}),
    diskFaults: own.chance(0.3) && !without.has('disk-faults') ? own.scattered(0.0003, 0.01) : 0,
    isLong,
    ...(isLulled
      ? {
          lull: {
            call: lull.pick(lull.chance(0.5) ? lullsOfWriters : lullsOfUpkeep),
            chance: lull.scattered(0.01, 0.4),
          },
        }
      : {}),
    rowsAgain: lull.chance(keys > 0 ? 0.6 : 0.2) && !without.has('rows-again') ? lull.scattered(0.05, 1) : 0,
    mergeShare: upkeep.pick([0.65, 0.65, 0.4, 0.15]),
    freezeMs: [2_000, isLong ? 5 * dayMs : 2 * hourMs],
    quietMs: isLong ? [60_000, 15 * dayMs] : [1_000, 3 * hourMs],
    latencyMs: [own.between(0, 2), own.scattered(2, 40)],
    lateMs: [
      own.pick([5, 100]),
      isRefusedAgain ? 5_000 : own.pick([2_000, 3 * hourMs, isLong ? 5 * dayMs : 3 * hourMs]),
    ],
    hangMs: [10_000, isLong ? 2 * dayMs : hourMs],
    skewMs: own.chance(0.5) ? own.scattered(10, 600_000) : 0,
    settings: {
      lingerMs: own.pick([0, 0, 1, 5]),
      headAgeMsMax: own.pick([0, 25, 25, 1_000]),
      flushesInFlightMax: own.int(1, 3),
      commitAttemptsMax: own.pick([3, 6, 12, 12]),
      retryDelayMs: own.pick([1, 10, 10, 100]),
      sequenceGapWaitMs: own.pick([0, 50, 400]),
      topicAgeMsMax: own.pick([0, 1_000, 60_000]),
      chunkCacheBytesMax: own.pick([0, 0, 500, 67_108_864]),
      headPollMsMin: 20,
      headPollMsMax: own.pick([20, 500]),
      compactionKeysMax: cleaning.pick([2, 10, 1_000_000, 1_000_000]),
      mergeRowsMin: upkeep.int(2, 4),
      mergeBytesMin: 1_024,
      mergeBytesMax: isPadded ? 65_536 : upkeep.pick([65_536, 33_554_432]),
      mergeQuietMs: upkeep.pick([0, 0, 100, isLong ? hourMs : 2_000]),
      sweepFullIntervalMs: upkeep.pick([1_000, 60_000, dayMs, 30 * dayMs]),
      sweepAgeMs: isLong ? upkeep.pick([hourMs, 6 * hourMs, dayMs]) : upkeep.pick([1_000, 1_000, 10_000]),
      mergeAgeMs: age.pick([500, 5_000, 3_600_000]),
      tailAgeMsMax: age.pick([500, 5_000, 3_600_000]),
      maintainRoundMs: age.pick([0, 0, 2_000]),
      producerIdBlock: own.pick([1, 3, 100]),
      producerIdExpirationMs: own.pick([1_000, 1_000, 60_000, 3_600_000]),
      leaseDurationMs: own.pick([200, 10_000, 600_000]),
      isSoleProcess: processes === 1 && own.chance(0.5),
    },
    effort: effort ?? own.int(40, 250),
    moves,
    placement: dice.derive('placement').pick(['segment', 'segment', 'inline', 'auto'] as const),
    firstOffset: dice.derive('offsets').chance(0.15) ? 2 ** 31 - dice.derive('offsets').int(1, 60) : 0,
    keys,
    ...(keys > 0 && isPadded ? { padBytes: pad.int(10_000, 25_000) } : {}),
    isUpkeepRare: upkeep.chance(0.3),
    configs: {
      ...(cleaning.chance(0.4)
        ? { 'merge.compression.type': cleaning.pick(['producer', 'producer', 'lz4', 'snappy']) }
        : {}),
      // The added bytes are all the same: nothing would be left of them.
      ...(keys > 0 && isPadded ? { 'merge.compression.type': 'producer' } : {}),
      ...(isLong && long.chance(0.7) ? { 'retention.ms': String(long.pick([0.5, 1, 3, 10]) * dayMs) } : {}),
      ...(upkeep.chance(0.1) ? { 'retention.bytes': String(upkeep.int(200, 5_000)) } : {}),
      ...(keys > 0
        ? {
            'cleanup.policy': cleaning.pick(['compact', 'compact', 'compact,delete']),
            'delete.retention.ms': String(cleaning.pick([0, 0, 500, 60_000, hourMs, isLong ? dayMs : hourMs])),
            'min.cleanable.dirty.ratio': cleaning.pick(['0', '0', '0', '0.5']),
            'min.compaction.lag.ms': String(cleaning.pick([0, 0, isLong ? hourMs : 0])),
          }
        : {}),
    },
    logAppendTime: own.chance(0.15),
  }
}

/** Where a process is in the middle of something: between a put and its commit, between a sweep's mark, its look and its deletions. */
const lullsOfWriters = ['create', 'create', 'write inline', 'updateHead append', 'updateHead roll', 'readHead'] as const
const lullsOfUpkeep = [
  'write candidates',
  'write candidates',
  'write candidates',
  'write rows',
  'updateHead fence',
  'updateHead clean',
  'query rows',
  'query candidates',
  'query inline',
  'read',
  'list',
] as const

/** A world of groups: a log that is written to now and then, and members that read it. */
export function groupSwarmOf(dice: Dice, without: ReadonlySet<string> = new Set(), effort?: number): Swarm {
  // Members ask all the time: a month of it would be too much.
  const log = swarmOf(dice, new Set([...without, 'long', 'lull', 'compaction']), effort)
  const own = dice.derive('groups')
  const actor = (kind: ActorKind, probability: number, least: number, most: number): number =>
    dice.derive(kind).chance(probability) && !without.has(kind) ? dice.derive(`${kind} count`).int(least, most) : 0
  const nobody = Object.fromEntries(actorKinds.map((kind) => [kind, 0])) as { [Kind in ActorKind]: number }
  const sessionTimeoutMs = own.pick([300, 2_000, 15_000, 60_000])
  return {
    ...log,
    kind: 'groups',
    groups: own.chance(0.2) ? 2 : 1,
    sessionTimeoutMs,
    topics: own.chance(0.4) ? 2 : 1,
    partitions: own.int(1, 4),
    objects: 'memory',
    diskFaults: 0,
    actors: {
      ...nobody,
      appender: actor('appender', 1, 1, 2),
      member: actor('member', 1, 1, 6),
      keeper: actor('keeper', 0.7, 1, 2),
      sleepwalker: actor('sleepwalker', 0.25, 1, 1),
      topics: actor('topics', 0.3, 1, 1),
      trimmer: actor('trimmer', 0.2, 1, 1),
      roller: actor('roller', 0.2, 1, 1),
      chaos: actor('chaos', 0.75, 1, 1),
    },
    // Often right, and at times wrong by more than a session.
    skewMs: own.chance(0.35) ? own.scattered(10, 600_000) : 0,
    settings: {
      ...log.settings,
      groupPollMs: Math.max(10, Math.floor(sessionTimeoutMs / own.pick([4, 8, 20]))),
      sessionTimeoutMsMin: Math.floor(sessionTimeoutMs / 2),
      offsetsRetentionMs: own.pick([1_000, 600_000, 604_800_000]),
    },
    effort: effort ?? own.int(20, 140),
    moves: false,
    firstOffset: 0,
    keys: 0,
    configs: {},
  }
}

export function describeSwarm(swarm: Swarm): string {
  const { actors, rates, ...rest } = swarm
  const some = Object.entries(actors).filter(([, count]) => count > 0)
  return JSON.stringify({ ...rest, rates, actors: Object.fromEntries(some) })
}
