/**
 * Runs of the engine that cost something: a load comes in at an even rate, in virtual time, and every request to the stores is
 * metered. Upkeep runs beside it: merges, retention, sweep. The figures are a simulation's, and do not depend on the machine.
 *
 * A run is short and its ages are shortened with it (retention, the sweep's age), so that what a month would do happens in it
 * in the same proportion: what was merged is swept, what is old is trimmed. What it costs is counted in its second half, and
 * taken for a month. What upkeep costs while nothing happens does not depend on the load; it is counted apart, at its real interval.
 */
import { nativeCodecs as codecs } from '../../lib/adapters/codecs-native.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { Meter, meteredMetadata, meteredObjects } from '../../lib/adapters/metered.ts'
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
import { assumed, logBytesPerCall } from '../../lib/core/estimate.ts'
import type { Placement } from '../../lib/core/placement.ts'
import { encodeBatch } from '../../lib/core/record-batch.ts'
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
  /** Values that a codec can make smaller, as JSON is; the client compresses them. @default random bytes, not compressed */
  readonly isJson?: boolean
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
const bytesMax: Readonly<Record<Door, number>> = { functions: 192 * 1_048_576, gathered: 384 * 1_048_576 }
const secondsMax = 86_400
/** Rounds of upkeep in a run, a sweep in every fourth of them; from the eighth on it counts. */
const rounds = 16
const roundsBefore = 8
const roundsPerSweep = 4
const batchKinds = 16
/** Two environments at least: that is what Lambda Web Functions start. */
const gatheringProcesses = 2
export const gatherLingerMs = 250

interface Counts {
  requests: number
  apiRequests: number
  bodyBytes: number
  lambdaMs: number
  waitedMs: number
  merges: number
  mergeCalls: number
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
    bytesMax[door] / bytesPerSecond,
  )
  const periodMs = (seconds * 1_000) / rounds
  const world = new CostWorld()
  const settings: Partial<Settings> = {
    mergeQuietMs: Math.round(Math.min(defaultSettings.mergeQuietMs, periodMs / 4)),
    sweepAgeMs: Math.max(1_000, Math.round(periodMs)),
    ...(isFunction ? { lingerMs: 0 } : { lingerMs: gatherLingerMs, flushesInFlightMax: 16 }),
  }
  let rolls = 0
  const produced = world.metered(settings, (name) => {
    if (name === 'rolls') rolls++
  })
  const kept = world.metered(settings)
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

  const bodies = Array.from({ length: batchKinds }, (_, kind) => body(load, kind))
  const counts: Counts = {
    requests: 0,
    apiRequests: 0,
    bodyBytes: 0,
    lambdaMs: 0,
    waitedMs: 0,
    merges: 0,
    mergeCalls: 0,
    deleted: 0,
    upkeepMs: 0,
    sweeps: 0,
  }
  const gathering = Array.from({ length: gatheringProcesses }, () => produced.open())
  const environments: Log[] = []
  const request = async (number: number) => {
    const batches = (bodies[number % batchKinds] ?? new Uint8Array()).slice()
    const bytes = batches.byteLength
    const log = isFunction ? (environments.pop() ?? produced.open()) : gathering[number % gatheringProcesses]!
    const beganMs = world.nowMs
    await world.sleep(assumed.handlerMs + (bytes / 1e6) * assumed.produceMsPerMb)
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

  const keepers: Log[] = []
  const call = async (work: (log: Log) => Promise<unknown>) => {
    const log = keepers.pop() ?? kept.open()
    const beganMs = world.nowMs
    await world.sleep(assumed.handlerMs)
    await work(log)
    await log.settled()
    counts.upkeepMs += Math.ceil(world.nowMs - beganMs)
    keepers.push(log)
  }
  let isOver = false
  let failure: unknown
  /** As the table's stream would call a leader's function: when enough has come to its partition. */
  const merge = async () => {
    let bytesBefore = 0
    while (!isOver) {
      await world.sleep(Math.min(1_000, periodMs / 8))
      const isEnough =
        rolls >= partitions * defaultSettings.mergeRowsMin ||
        counts.bodyBytes - bytesBefore >= 2 * partitions * defaultSettings.mergeBytesMin
      if (!isEnough) continue
      rolls = 0
      bytesBefore = counts.bodyBytes
      await Promise.all(
        Array.from({ length: partitions }, (_, partition) =>
          call(async (log) => {
            counts.mergeCalls++
            while (true) {
              const merged = await log.merge('t', partition)
              if (!merged.ok || merged.rows === 0) return
              counts.merges++
              await world.sleep((merged.bytes / 1e6) * assumed.mergeMsPerMb)
            }
          }),
        ),
      )
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
  const keepUp = async () => {
    for (let round = 1; round <= rounds; round++) {
      await world.sleep(periodMs)
      if (failure !== undefined) throw failure
      await call((log) => log.maintain())
      if (round % roundsPerSweep === 0)
        await call(async (log) => {
          const swept = await log.sweep()
          if (swept.ok) counts.deleted += swept.deleted.length
          counts.sweeps++
        })
      if (round !== roundsBefore) continue
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

  // What rounds and sweeps cost by themselves is in the idle month, at their real interval.
  const measuredRounds = rounds - roundsBefore
  const upkeepMs = counted.upkeepMs - measuredRounds * idle.roundMs - counted.sweeps * idle.sweepMs
  const upkeep = sumOf(atUpkeep, times(idle.round, -measuredRounds), times(idle.sweep, -counted.sweeps), {
    lambdaRequest: counted.mergeCalls,
    lambdaArmGbSecond: (upkeepMs / 1_000) * assumed.upkeepMemoryGb,
    logsIngestGb:
      (counted.mergeCalls * logBytesPerCall(counted.mergeCalls / measuredSeconds, keepers.length)) / gigabyte,
  })
  const functions: Usage = {
    lambdaRequest: counted.requests,
    lambdaArmGbSecond: (counted.lambdaMs / 1_000) * assumed.produceMemoryGb,
    logsIngestGb: (counted.requests * logBytesPerCall(requestsPerSecond, environments.length)) / gigabyte,
  }
  return {
    load,
    produce: times(sumOf(atProduce, isFunction ? functions : {}), factor),
    upkeep: sumOf(times(upkeep, factor), idle.month),
    requests: counted.requests * factor,
    apiRequests: counted.apiRequests * factor,
    bytesPerRecord: counts.bodyBytes / counts.requests / load.recordsPerRequest,
    requestMs: counted.waitedMs / counted.requests,
    merges: counts.merges,
    segmentsDeleted: counts.deleted,
  }
}

export interface IdleCost {
  /** Of one round of upkeep, one sweep, a month of both; of a topic in which nothing happens. */
  readonly round: Usage
  readonly roundMs: number
  readonly sweep: Usage
  readonly sweepMs: number
  readonly month: Usage
}

export async function idleCost(partitions: number): Promise<IdleCost> {
  const world = new CostWorld()
  const kept = world.metered({})
  const log = kept.open()
  const made = await world.until(log.createTopic({ name: 't', partitions }))
  if (!made.ok) throw new Error(made.message)
  const measured = async (work: () => Promise<unknown>) => {
    kept.meter.take()
    const startMs = world.nowMs
    await world.until(world.sleep(assumed.handlerMs).then(work))
    return { usage: usageOf(kept.meter.take()), ms: Math.ceil(world.nowMs - startMs) }
  }
  await measured(() => log.maintain())
  await world.until(world.sleep(3_600_000))
  const round = await measured(() => log.maintain())
  const sweep = await measured(() => log.sweep())
  const perMonth = (intervalMs: number) => (hoursPerMonth * 3_600_000) / intervalMs
  const calls = (ms: number): Usage => ({
    lambdaRequest: 1,
    lambdaArmGbSecond: (ms / 1_000) * assumed.upkeepMemoryGb,
    schedulerInvocation: 1,
    logsIngestGb: logBytesPerCall(0, 1) / gigabyte,
  })
  return {
    round: round.usage,
    roundMs: round.ms,
    sweep: sweep.usage,
    sweepMs: sweep.ms,
    month: sumOf(
      times(sumOf(round.usage, calls(round.ms)), perMonth(defaultSettings.maintainIntervalMs)),
      times(sumOf(sweep.usage, calls(sweep.ms)), perMonth(defaultSettings.sweepIntervalMs)),
    ),
  }
}

function body({ recordsPerRequest, isJson = false }: Load, kind: number): Uint8Array {
  const random = seededRandom(kind + 1)
  return encodeBatch(
    {
      compression: isJson ? 'zstd' : 'none',
      records: Array.from({ length: recordsPerRequest }, (_, index) => ({
        timestampMs: startMs,
        key: null,
        value: isJson ? jsonValue(random, index) : Uint8Array.from({ length: valueBytes }, () => random() * 256),
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
