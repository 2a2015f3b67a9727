/**
 * Runs of the engine that cost something: a load comes in at an even rate, in virtual time, and every request to the stores is
 * metered. Upkeep runs beside it as functions do it: calls with what the table's stream tells, and a sweep. The figures are a simulation's, and do
 * not depend on the machine.
 *
 * A run is short and its ages are shortened with it (retention, the sweep's age, windows of the stream, looks at a partition), so that what a month would
 * do happens in it in the same proportion: what was merged is swept, what is old is trimmed. What it costs is counted in its second half, and
 * taken for a month. What calls, looks and sweeps cost by themselves does not depend on the load; it is counted apart, at their real intervals.
 */
import { nativeCodecs as codecs } from '../../lib/adapters/codecs-native.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { Meter, meteredMetadata, meteredObjects } from '../../lib/adapters/metered.ts'
import { recordsBytesTargetMax, rewriteBatches } from '../../lib/core/batch-rewrite.ts'
import {
  gigabyte,
  hoursPerMonth,
  httpApiRequestsOf,
  secondsPerMonth,
  sumOf,
  times,
  type Usage,
  usageOf,
} from '../../lib/core/cost.ts'
import { assumed, listsPerSweep, logBytesPerCall } from '../../lib/core/estimate.ts'
import { tailEntriesToRoll } from '../../lib/core/head.ts'
import type { Placement } from '../../lib/core/placement.ts'
import { encodeBatch, readBatchHeader, rebaseBatch } from '../../lib/core/record-batch.ts'
import { defaultSettings, type Settings } from '../../lib/core/settings.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Log } from '../../lib/log/log.ts'
import type { Observer } from '../../lib/log/observer.ts'
import type { Clock, Metadata, Objects } from '../../lib/ports.ts'
import { seededRandom } from '../sim/random.ts'
import { World } from '../sim/world.ts'

export type Door = 'functions' | 'gathered'

export interface Load {
  readonly name: string
  readonly recordsPerSecond: number
  readonly recordsPerRequest: number
  readonly partitions: number
  readonly door: Door
  /** Values that a codec can make smaller, as JSON is; `zstd`: the client has done it. @default random bytes */
  readonly json?: 'as it is' | 'zstd'
  readonly placement?: Placement
  /** As many requests as make merges of merges, unless there are too many bytes to hold, or a day is over. @default of its door */
  readonly requestsMax?: number
}

export interface CostRun {
  readonly load: Load
  /** Of a month of 730 hours. */
  readonly produce: Usage
  readonly upkeep: Usage
  /** Requests of clients. */
  readonly requests: number
  /** What an HTTP API would count of them. */
  readonly apiRequests: number
  /** Stored bytes of a record. */
  readonly bytesPerRecord: number
  /** Of one request, as a client's function waits for it. */
  readonly requestMs: number
  readonly merges: number
  readonly segmentsDeleted: number
}

export const valueBytes = 1_000
const requestsMaxDefault: Readonly<Record<Door, number>> = { functions: 8_000, gathered: 150_000 }
/** Of a run; about half of it is in memory at a time. */
const bytesMax = 768 * 1_048_576
const secondsMax = 86_400
/** Periods of a run: of looks at a partition, with a sweep in every fourth; from the eighth on it counts. */
const periods = 16
const periodsBefore = 8
const periodsPerSweep = 4
/** Different bodies. */
const kindsOf = ({ recordsPerRequest }: Load) => (recordsPerRequest > 1 ? 16 : 512)
/** Two environments at least: that is what Lambda Web Functions start. */
const gatheringProcesses = 2
export const gatherLingerMs = 250

interface Counts {
  requests: number
  apiRequests: number
  bodyBytes: number
  lambdaMs: number
  waitedMs: number
  rows: number
  merges: number
  bytesMerged: number
  /** Of the merge function, and looks at whole partitions in them. */
  calls: number
  looks: number
  deleted: number
  upkeepMs: number
  sweeps: number
}

export async function costRun(load: Load, idle: IdleCost): Promise<CostRun> {
  const { door, partitions } = load
  const isFunction = door === 'functions'
  const requestsPerSecond = load.recordsPerSecond / load.recordsPerRequest
  const bytesPerSecond = load.recordsPerSecond * valueBytes
  const seconds = Math.min(
    secondsMax,
    (load.requestsMax ?? requestsMaxDefault[door]) / requestsPerSecond,
    bytesMax / bytesPerSecond,
  )
  const periodMs = (seconds * 1_000) / periods
  const world = new CostWorld()
  const settings: Partial<Settings> = {
    mergeQuietMs: Math.round(Math.min(defaultSettings.mergeQuietMs, periodMs)),
    sweepAgeMs: Math.max(1_000, Math.round(periodMs)),
    maintainIntervalMs: Math.max(1_000, Math.round(periodMs)),
    ...(isFunction ? { lingerMs: 0 } : { lingerMs: gatherLingerMs, flushesInFlightMax: 16 }),
  }
  const counts: Counts = {
    requests: 0,
    apiRequests: 0,
    bodyBytes: 0,
    lambdaMs: 0,
    waitedMs: 0,
    rows: 0,
    merges: 0,
    bytesMerged: 0,
    calls: 0,
    looks: 0,
    deleted: 0,
    upkeepMs: 0,
    sweeps: 0,
  }
  const produced = world.metered(settings, (name) => {
    if (name === 'rolls') counts.rows++
  })
  const kept = world.metered(settings, (name, n) => {
    if (name === 'merges') counts.merges++
    if (name === 'bytesMerged') counts.bytesMerged += n
  })
  const made = await world.until(
    kept.open().createTopic({
      name: 't',
      partitions,
      configs: {
        'retention.ms': String(Math.round(4 * periodMs)),
        // Records are of the time that they come at: retention goes by it.
        'message.timestamp.type': 'LogAppendTime',
        'chunk.placement': load.placement ?? 'auto',
      },
    }),
  )
  if (!made.ok) throw new Error(made.message)

  const topicId = made.topic.id
  const bodies = Array.from({ length: kindsOf(load) }, (_, kind) => body(load, kind))
  const compressMs = compressMsOf(load, bodies[0]?.byteLength ?? 0)
  const gathering = Array.from({ length: gatheringProcesses }, () => produced.open())
  const environments: Log[] = []
  let opened = 0
  const openOne = () => {
    opened++
    return produced.open()
  }
  const request = async (number: number) => {
    const batches = (bodies[number % bodies.length] ?? new Uint8Array()).slice()
    const bytes = batches.byteLength
    const log = isFunction ? (environments.pop() ?? openOne()) : gathering[number % gatheringProcesses]!
    const beganMs = world.nowMs
    await world.sleep(assumed.handlerMs + (bytes / 1e6) * assumed.produceMsPerMb + compressMs)
    // Keys would spread them by chance; turns do it evenly.
    const partition = Math.floor(number / gatheringProcesses) % partitions
    const appended = await log.append({ topic: 't', partition, batches })
    if (!appended.ok) throw new Error(appended.message)
    counts.waitedMs += world.nowMs - beganMs
    // A function answers when nothing of its own is under way.
    if (isFunction) await log.settled()
    counts.requests++
    counts.apiRequests += httpApiRequestsOf(bytes)
    counts.bodyBytes += bytes
    counts.lambdaMs += Math.ceil(world.nowMs - beganMs)
    if (isFunction) environments.push(log)
  }

  const call = async (log: Log, work: () => Promise<unknown>) => {
    const [beganMs, bytesBefore] = [world.nowMs, counts.bytesMerged]
    await world.sleep(assumed.handlerMs)
    await work()
    await log.settled()
    await world.sleep(((counts.bytesMerged - bytesBefore) / 1e6) * assumed.mergeMsPerMb)
    counts.upkeepMs += Math.ceil(world.nowMs - beganMs)
  }
  let isOver = false
  let failure: unknown
  const windowMs = Math.min(assumed.streamWindowMs, periodMs / 8)
  /** The rows that a window of the table's stream brings, evenly of all partitions; one environment, since calls of a shard wait for each other. */
  const merger = kept.open()
  const merge = async () => {
    let rowsBefore = 0
    let looksMs = Number.NEGATIVE_INFINITY
    while (!isOver) {
      await world.sleep(windowMs)
      const rows = Math.floor((counts.rows - rowsBefore) / partitions)
      if (rows === 0) continue
      rowsBefore += rows * partitions
      const rolled = Array.from({ length: partitions }, (_, partition) => ({ key: { topicId, partition }, rows }))
      counts.calls++
      if (looksMs <= world.nowMs - Math.max(1_000, Math.round(periodMs))) {
        looksMs = world.nowMs
        counts.looks += partitions
      }
      await call(merger, async () => {
        const looked = await merger.maintainRolled(rolled)
        if (!looked.ok) throw new Error(looked.message)
        if (looked.failed + looked.left > 0) throw new Error('upkeep failed')
      })
    }
  }
  const arrive = async () => {
    const beganMs = world.nowMs
    for (let number = 0; !isOver && failure === undefined; number++) {
      await world.sleep(beganMs + (number * 1_000) / requestsPerSecond - world.nowMs)
      request(number).catch((error: unknown) => {
        failure ??= error
      })
    }
  }
  const side = Promise.all([merge(), arrive()])
  const begin = { ...counts, atMs: 0 }
  const sweeper = kept.open()
  const keepUp = async () => {
    for (let period = 1; period <= periods; period++) {
      await world.sleep(periodMs)
      if (failure !== undefined) throw failure
      if (period % periodsPerSweep === 0)
        await call(sweeper, async () => {
          const swept = await sweeper.sweep()
          if (!swept.ok) throw new Error(swept.message)
          counts.deleted += swept.deleted.length
          counts.sweeps++
        })
      if (period !== periodsBefore) continue
      produced.meter.take()
      kept.meter.take()
      Object.assign(begin, counts, { atMs: world.nowMs })
    }
  }
  await world.until(keepUp())
  const measuredSeconds = (world.nowMs - begin.atMs) / 1_000
  const factor = secondsPerMonth / measuredSeconds
  const [atProduce, atUpkeep] = [usageOf(produced.meter.take()), usageOf(kept.meter.take())]
  const during = (name: keyof Counts) => counts[name] - begin[name]
  const counted = Object.fromEntries(
    Object.keys(counts).map((name) => [name, during(name as keyof Counts)]),
  ) as unknown as Counts
  isOver = true
  await world.until(side)
  if (failure !== undefined) throw failure

  // What calls, looks and sweeps cost by themselves is counted at their real intervals: windows of the stream and looks are shorter here, and more.
  const calls = Math.min(counted.rows, (measuredSeconds * 1_000) / assumed.streamWindowMs)
  const looks = (partitions * measuredSeconds * 1_000) / defaultSettings.maintainIntervalMs
  // A sweep also notes how far it came in each key range in which it found objects.
  const sweeps = (measuredSeconds * 1_000) / assumed.sweepIntervalMs
  const objects = (atProduce.s3Put ?? 0) + counted.merges
  const placesNoted = (ofSweeps: number) =>
    ofSweeps * listsPerSweep * (1 - (1 - 1 / listsPerSweep) ** (objects / ofSweeps))
  const upkeepMs =
    counted.upkeepMs -
    counted.sweeps * idle.sweepMs +
    (calls - counted.calls) * assumed.handlerMs +
    (looks - counted.looks) * idle.lookMs
  const upkeep = sumOf(
    atUpkeep,
    times(idle.look, looks - counted.looks),
    times(idle.sweep, -counted.sweeps),
    { dynamoDbWrite: placesNoted(sweeps) - placesNoted(counted.sweeps) },
    {
      lambdaRequest: calls,
      lambdaArmGbSecond: (upkeepMs / 1_000) * assumed.upkeepMemoryGb,
      logsIngestGb: (calls * assumed.logBytesPerLine) / gigabyte,
    },
  )
  const functions: Usage = {
    lambdaRequest: counted.requests,
    lambdaArmGbSecond: (counted.lambdaMs / 1_000) * assumed.produceMemoryGb,
    logsIngestGb: (counted.requests * logBytesPerCall(requestsPerSecond, opened)) / gigabyte,
  }
  return {
    load,
    produce: times(sumOf(atProduce, isFunction ? functions : {}), factor),
    upkeep: sumOf(times(upkeep, factor), idle.month),
    requests: counted.requests * factor,
    apiRequests: counted.apiRequests * factor,
    bytesPerRecord: storedBytes(bodies) / bodies.length / load.recordsPerRequest,
    requestMs: counted.waitedMs / counted.requests,
    merges: counts.merges,
    segmentsDeleted: counts.deleted,
  }
}

export interface IdleCost {
  /** Of a look at a partition to which rows came, but nothing is to be done, and of a sweep. */
  readonly look: Usage
  readonly lookMs: number
  readonly sweep: Usage
  readonly sweepMs: number
  /** Of a topic in which nothing happens: calls of upkeep that find nothing to do, a round a day, sweeps. */
  readonly month: Usage
}

export async function idleCost(partitions: number): Promise<IdleCost> {
  const world = new CostWorld()
  const kept = world.metered({})
  const log = kept.open()
  const made = await world.until(log.createTopic({ name: 't', partitions }))
  if (!made.ok) throw new Error(made.message)
  for (let number = 0; number < 3 * tailEntriesToRoll.max; number++) {
    const batches = body({ recordsPerRequest: 1 }, number)
    const appended = await world.until(log.append({ topic: 't', partition: 0, batches }))
    if (!appended.ok) throw new Error(appended.message)
  }
  const measured = async (work: () => Promise<{ readonly ok: boolean }>) => {
    await world.until(log.settled())
    kept.meter.take()
    const startMs = world.nowMs
    const answer = await world.until(world.sleep(assumed.handlerMs).then(work))
    if (!answer.ok) throw new Error('upkeep failed')
    return { usage: usageOf(kept.meter.take()), ms: Math.ceil(world.nowMs - startMs) }
  }
  const rolled = [{ key: { topicId: made.topic.id, partition: 0 }, rows: 1 }]
  await measured(() => log.maintainRolled(rolled))
  await world.until(world.sleep(defaultSettings.maintainIntervalMs))
  const look = await measured(() => log.maintainRolled(rolled))
  // Whatever there is to merge or sweep, is.
  for (let day = 0; day < 3; day++) {
    await world.until(world.sleep(defaultSettings.maintainRoundMs))
    await measured(() => log.maintain())
    await measured(() => log.sweep())
  }
  await world.until(world.sleep(defaultSettings.maintainRoundMs))
  const round = await measured(() => log.maintain())
  await world.until(world.sleep(defaultSettings.maintainIntervalMs))
  const call = await measured(() => log.maintain())
  const sweep = await measured(() => log.sweep())
  const perMonth = (intervalMs: number) => (hoursPerMonth * 3_600_000) / intervalMs
  const called = ({ usage, ms }: { usage: Usage; ms: number }): Usage =>
    sumOf(usage, {
      lambdaRequest: 1,
      lambdaArmGbSecond: (ms / 1_000) * assumed.upkeepMemoryGb,
      schedulerInvocation: 1,
      logsIngestGb: assumed.logBytesPerLine / gigabyte,
    })
  const rounds = perMonth(defaultSettings.maintainRoundMs)
  return {
    look: look.usage,
    lookMs: Math.max(0, look.ms - assumed.handlerMs),
    sweep: sweep.usage,
    sweepMs: sweep.ms,
    month: sumOf(
      times(called(round), rounds),
      times(called(call), perMonth(defaultSettings.maintainIntervalMs) - rounds),
      times(called(sweep), perMonth(assumed.sweepIntervalMs)),
    ),
  }
}

/** What compression in the function takes: of all that it makes smaller, and of the beginning of what is large and cannot be. */
function compressMsOf({ json }: Load, bytes: number): number {
  if (json === 'zstd') return 0
  const tried = json === 'as it is' ? bytes : bytes >= defaultSettings.largeChunkBytesMin ? 65_536 : bytes
  return (tried / 1e6) * assumed.compressMsPerMb
}

/** Of these bodies, when the log has had its way with them. */
function storedBytes(bodies: readonly Uint8Array[]): number {
  let offset = 0
  const batches = bodies.map((each) => {
    const copy = each.slice()
    rebaseBatch(copy, 0, offset)
    const read = readBatchHeader(copy, 0)
    if (!read.ok) throw new Error(read.message)
    offset += read.header.recordCount
    return copy
  })
  const rewritten = rewriteBatches(
    batches,
    {
      compression: 'zstd',
      compressionLevel: undefined,
      decompressedBytesMax: defaultSettings.decompressedBytesMax,
      recordsBytesTarget: recordsBytesTargetMax,
    },
    codecs,
  )
  return rewritten.batches.reduce((sum, { byteLength }) => sum + byteLength, 0)
}

function body({ recordsPerRequest, json }: Pick<Load, 'recordsPerRequest' | 'json'>, kind: number): Uint8Array {
  const random = seededRandom(kind + 1)
  return encodeBatch(
    {
      compression: json === 'zstd' ? 'zstd' : 'none',
      records: Array.from({ length: recordsPerRequest }, (_, index) => ({
        timestampMs: startMs,
        key: null,
        value:
          json !== undefined ? jsonValue(random, index) : Uint8Array.from({ length: valueBytes }, () => random() * 256),
      })),
    },
    codecs,
  )
}

/** An order as a shop would send it: names, ids, numbers, a few texts; `valueBytes` long. */
function jsonValue(random: () => number, index: number): Uint8Array {
  const hex = (digits: number) => Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join('')
  const lines = Array.from({ length: 4 }, () => ({
    productId: hex(24),
    productName: ['blue cotton shirt', 'wool socks, pair', 'linen trousers', 'leather belt'][Math.floor(random() * 4)],
    quantity: 1 + Math.floor(random() * 9),
    unitPriceCents: Math.floor(random() * 20_000),
    currency: 'EUR',
  }))
  const order = {
    orderId: `${hex(8)}-${hex(4)}-${hex(4)}-${hex(4)}-${hex(12)}`,
    customerId: hex(24),
    status: 'CREATED',
    createdAt: new Date(startMs + index * 37).toISOString(),
    shippingAddress: {
      street: `${Math.floor(random() * 300)} Example Street`,
      city: 'Lyon',
      country: 'FR',
      zip: '69001',
    },
    lines,
  }
  const text = JSON.stringify(order)
  return new TextEncoder().encode(text.padEnd(valueBytes, ' ').slice(0, valueBytes))
}

const startMs = 1_800_000_000_000

/** Virtual time, and the stores as a function sees them. */
class CostWorld {
  readonly #world = new World(startMs)
  readonly #objects = new MemoryObjects()
  readonly #metadata = new MemoryMetadata()
  readonly #random = seededRandom(7)
  readonly #clock: Clock = {
    now: () => Math.floor(this.#world.nowMs),
    sleep: (durationMs, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve()
        this.#world.after(durationMs, resolve)
        signal?.addEventListener('abort', () => resolve(), { once: true })
      }),
  }

  get nowMs(): number {
    return this.#world.nowMs
  }

  sleep(durationMs: number): Promise<void> {
    return this.#world.sleep(durationMs)
  }

  async until<Result>(work: Promise<Result>): Promise<Result> {
    let isDone = false
    const finish = () => {
      isDone = true
    }
    work.then(finish, finish)
    await this.#world.run(() => isDone, 50_000_000)
    return work
  }

  /** Logs of processes of one kind, and the meter that they share. */
  metered(settings: Partial<Settings>, count: Observer['count'] = () => {}): { readonly meter: Meter; open(): Log } {
    const meter = new Meter()
    const objects = slowObjects(meteredObjects(this.#objects, meter), this.#world)
    const metadata = slowMetadata(meteredMetadata(this.#metadata, meter), this.#world)
    const observe: Observer = { count, commitRefused: () => {}, time: () => {} }
    const ports = { objects, metadata, clock: this.#clock, random: this.#random, codecs, observe }
    return { meter, open: () => createLog(ports, settings) }
  }
}

function slowObjects(objects: Objects, world: World): Objects {
  const { putMs, getMs, transferBytesPerMs } = assumed
  return {
    async create(key, parts) {
      const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0)
      await world.sleep(putMs + bytes / transferBytesPerMs)
      return objects.create(key, parts)
    },
    async read(key, position, length) {
      const content = await objects.read(key, position, length)
      await world.sleep(getMs + (content?.byteLength ?? 0) / transferBytesPerMs)
      return content
    },
    async list(prefix, after, limit) {
      await world.sleep(getMs)
      return objects.list(prefix, after, limit)
    },
    async delete(key) {
      await world.sleep(getMs)
      return objects.delete(key)
    },
  }
}

function slowMetadata(metadata: Metadata, world: World): Metadata {
  const { metadataReadMs, metadataWriteMs } = assumed
  const after = async <Answer>(durationMs: number, work: () => Promise<Answer>) => {
    await world.sleep(durationMs)
    return work()
  }
  return {
    readHead: (key) => after(metadataReadMs, () => metadata.readHead(key)),
    createHead: (head) => after(metadataWriteMs, () => metadata.createHead(head)),
    updateHead: (key, command, also) => after(metadataWriteMs, () => metadata.updateHead(key, command, also)),
    get: (key) => after(metadataReadMs, () => metadata.get(key)),
    query: (collection, range) => after(metadataReadMs, () => metadata.query(collection, range)),
    write: (writes) => after(metadataWriteMs, () => metadata.write(writes)),
  }
}
