/**
 * What a load would cost on AWS in a month, through functions that see one request each: the arithmetic of the engine's requests, priced by cost.ts.
 * `npm run bench:cost` measures the same loads with the engine itself, and a test holds the two together.
 */
import {
  gigabyte,
  hoursPerMonth,
  httpApiRequestsOf,
  readUnitBytes,
  secondsPerMonth,
  sumOf,
  times,
  type Usage,
  writeUnitBytes,
  writeUnitsOf,
} from './cost.ts'
import { tailEntriesToRoll } from './head.ts'
import { inlineItemOverheadBytes, noteBytesPerSegment, type Placement, placeChunks } from './placement.ts'
import { listPrices, type PriceList } from './prices.ts'
import { defaultSettings } from './settings.ts'

export interface EstimatedLoad {
  readonly recordsPerSecond: number
  /** Of a record's key, value and headers, as it is sent: after the client's compression. */
  readonly recordBytes: number
  readonly recordsPerRequest: number
  readonly partitions: number
  readonly retentionMs: number
  readonly through: 'api' | 'url'
  readonly placement: Placement
}

export interface Estimate {
  /** Where small batches go: decided by the price list, unless the load says it. */
  readonly isInline: boolean
  readonly requestsPerMonth: number
  /** How long a function works for one request. */
  readonly requestMs: number
  /** By what it is for; the sum of the bills of all of them is the month's. */
  readonly usage: {
    readonly gateway: Usage
    readonly functions: Usage
    readonly logs: Usage
    readonly stores: Usage
    readonly upkeep: Usage
    readonly storage: Usage
  }
}

/**
 * Durations as functions in the stores' region see them, memory as deployed. An assumption: published latencies, rounded; the bench
 * uses the same.
 */
export const assumed = {
  metadataReadMs: 5,
  metadataWriteMs: 8,
  putMs: 50,
  getMs: 30,
  /** Of what an upload or download moves. */
  transferBytesPerMs: 30_000,
  /** Of a request, beside what it waits for: the runtime, the face. */
  handlerMs: 3,
  /** Parsing and checksums, at the share of a processor that comes with the memory. */
  produceMsPerMb: 15,
  mergeMsPerMb: 10,
  produceMemoryGb: 0.5,
  upkeepMemoryGb: 1,
  /** A line of metrics, and what each call that it tells of adds to it; calls that follow each other within so long share one. */
  logBytesPerLine: 600,
  logBytesPerCall: 10,
  logHoldMs: 30_000,
  logCallsPerLineMax: 99,
} as const

/** What one of many calls at an even rate adds to the log of `environments`, which take turns. */
export function logBytesPerCall(callsPerSecond: number, environments: number): number {
  const { logBytesPerLine, logBytesPerCall, logHoldMs, logCallsPerLineMax } = assumed
  const callsHeld = (callsPerSecond / environments) * (logHoldMs / 1_000)
  return logBytesPerCall + logBytesPerLine / Math.min(logCallsPerLineMax, Math.max(1, callsHeld))
}

/** Header of a batch; lengths, deltas and attributes of a record in it. */
const batchHeaderBytes = 61
const recordOverheadBytes = 10
/** Bytes of a reference in a row, as JSON. */
const referenceBytes = 62
const rowOverheadBytes = 220
/** Of a note for the sweep, and what rounding up to whole units adds. */
const noteOverheadBytes = 700
/** The sweep lists the objects of each first character of their ids. */
const listsPerSweep = 36

export function estimateOf(load: EstimatedLoad, prices: PriceList = listPrices): Estimate {
  const batchBytes = batchHeaderBytes + load.recordsPerRequest * (load.recordBytes + recordOverheadBytes)
  const [isInline = false] = placeChunks([{ sizeBytes: batchBytes, placement: load.placement }], prices)
  const requestsPerSecond = load.recordsPerSecond / load.recordsPerRequest
  const requestsPerMonth = requestsPerSecond * secondsPerMonth
  const rollShare = 1 / tailEntriesToRoll.max
  const rowUnits = writeUnitsOf(rowOverheadBytes + tailEntriesToRoll.max * referenceBytes)
  const inlineUnits = isInline ? writeUnitsOf(batchBytes + inlineItemOverheadBytes) : 0
  // Believed for a while; a function that is asked more often does not ask again.
  const readShare = (ageMs: number) => Math.min(1, 1_000 / ageMs / Math.max(requestsPerSecond, 1e-9))
  const topicReads = readShare(defaultSettings.topicAgeMsMax)
  const headReads = readShare(defaultSettings.headAgeMsMax)

  const stores: Usage = {
    s3Put: isInline ? 0 : 1,
    // The head's update; a roll puts a row and updates the head once more.
    dynamoDbWrite: inlineUnits + 1 + rollShare * (rowUnits + 1),
    dynamoDbRead: topicReads + headReads + 2 * rollShare,
  }
  const uploadMs = isInline ? assumed.metadataWriteMs : assumed.putMs + batchBytes / assumed.transferBytesPerMs
  const requestMs =
    assumed.handlerMs +
    (batchBytes / 1e6) * assumed.produceMsPerMb +
    topicReads * assumed.metadataReadMs +
    uploadMs +
    assumed.metadataWriteMs
  const rollMs = rollShare * 2 * (assumed.metadataReadMs + assumed.metadataWriteMs)
  const functions: Usage = {
    lambdaRequest: 1,
    lambdaArmGbSecond: ((requestMs + rollMs) / 1_000) * assumed.produceMemoryGb,
  }

  const environments = Math.max(1, (requestsPerSecond * requestMs) / 1_000)
  const perMonth = (usage: Usage) => times(usage, requestsPerMonth)
  return {
    isInline,
    requestsPerMonth,
    requestMs,
    usage: {
      gateway: load.through === 'api' ? perMonth({ httpApiRequest: httpApiRequestsOf(batchBytes) }) : {},
      functions: perMonth(functions),
      logs: perMonth({ logsIngestGb: logBytesPerCall(requestsPerSecond, environments) / gigabyte }),
      stores: perMonth(stores),
      upkeep: sumOf(
        perMonth(upkeepOf(batchBytes, isInline, inlineUnits, rowUnits * rollShare)),
        idleUpkeepOf(load.partitions),
      ),
      storage: {
        s3StorageGbMonth: (requestsPerSecond * batchBytes * (load.retentionMs / 1_000)) / gigabyte,
      },
    },
  }
}

/** What one request leaves to merge, to trim and to sweep. */
function upkeepOf(batchBytes: number, isInline: boolean, inlineUnits: number, rowUnits: number): Usage {
  const { mergeBytesMin, mergeBytesMax, mergeRowsMin } = defaultSettings
  const firstMergeBytes = Math.min(
    mergeBytesMax,
    Math.max(Math.min(2 * mergeBytesMin, 2 * tailEntriesToRoll.max * mergeRowsMin * batchBytes), batchBytes),
  )
  // Each byte is written once, and again while as much comes as there is (M2).
  const rewrites = 1 + Math.log2(mergeBytesMax / firstMergeBytes) / 2
  const merged = (rewrites * batchBytes) / Math.min(mergeBytesMax, firstMergeBytes * 1.5)
  const mergedRowUnits = writeUnitsOf(rowOverheadBytes + (mergeBytesMax / 2 / 1_048_576) * referenceBytes)
  const appended = isInline ? 0 : 1
  const objects = appended + merged
  // Notes for the sweep are put, read and deleted, one for each merge.
  const notedBytes = objects * noteBytesPerSegment + merged * noteOverheadBytes
  // What is read and struck off goes in parallel.
  const workMs =
    rewrites * batchBytes * (assumed.mergeMsPerMb / 1e6 + 1.2 / assumed.transferBytesPerMs) +
    (objects * 2 * assumed.getMs) / 8 +
    (isInline ? (assumed.metadataReadMs + assumed.metadataWriteMs) / 16 : 0) +
    rowUnits * assumed.metadataWriteMs +
    merged * (assumed.putMs + assumed.getMs + 2 * assumed.metadataReadMs + 3 * assumed.metadataWriteMs)
  return {
    s3Put: merged,
    s3Get: appended + objects + merged,
    dynamoDbWrite: inlineUnits + rowUnits + (2 * notedBytes) / writeUnitBytes + merged * (2 * mergedRowUnits + 1),
    dynamoDbRead:
      (isInline ? (2 * (batchBytes + inlineItemOverheadBytes)) / readUnitBytes : 0) +
      notedBytes / readUnitBytes +
      2 * merged +
      rowUnits,
    lambdaArmGbSecond: (workMs / 1_000) * assumed.upkeepMemoryGb,
  }
}

/** A month of rounds and sweeps of partitions in which nothing happens. */
function idleUpkeepOf(partitions: number): Usage {
  const hourMs = 3_600_000
  const perMonth = (intervalMs: number) => (hoursPerMonth * hourMs) / intervalMs
  const call: Usage = {
    lambdaRequest: 1,
    schedulerInvocation: 1,
    logsIngestGb: logBytesPerCall(0, 1) / gigabyte,
  }
  const readsPerPartition = 4
  const reads = 4 + partitions * readsPerPartition
  const round = sumOf(call, {
    dynamoDbRead: reads,
    lambdaArmGbSecond: ((assumed.handlerMs + reads * assumed.metadataReadMs) / 1_000) * assumed.upkeepMemoryGb,
  })
  const sweep = sumOf(call, {
    s3Put: listsPerSweep,
    dynamoDbRead: listsPerSweep + 2,
    lambdaArmGbSecond: ((listsPerSweep * (assumed.getMs + assumed.metadataReadMs)) / 1_000) * assumed.upkeepMemoryGb,
  })
  return sumOf(
    times(round, perMonth(defaultSettings.maintainIntervalMs)),
    times(sweep, perMonth(defaultSettings.sweepIntervalMs)),
  )
}
