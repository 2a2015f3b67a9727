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
  /** What the server's own compression leaves of it. @default 1, as of what the client compressed */
  readonly storedShare?: number
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
  /** What comes uncompressed: 3.3 ms of a whole processor, measured (test/bench/recompression.ts), at the same share. */
  compressMsPerMb: 12,
  mergeMsPerMb: 10,
  produceMemoryGb: 0.5,
  upkeepMemoryGb: 1,
  /** As deployed: how long the table's stream gathers rows for a call, and how often the sweep is called. */
  streamWindowMs: 60_000,
  sweepIntervalMs: 21_600_000,
  /** A line of metrics with one of usage, and what each call that they tell of adds; calls that follow each other within so long share them. */
  logBytesPerLine: 800,
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
export const listsPerSweep = 36

export function estimateOf(load: EstimatedLoad, prices: PriceList = listPrices): Estimate {
  const batchBytes = batchHeaderBytes + load.recordsPerRequest * (load.recordBytes + recordOverheadBytes)
  const storedBytes = batchHeaderBytes + (batchBytes - batchHeaderBytes) * (load.storedShare ?? 1)
  const [isInline = false] = placeChunks([{ sizeBytes: storedBytes, placement: load.placement }], prices)
  const requestsPerSecond = load.recordsPerSecond / load.recordsPerRequest
  const requestsPerMonth = requestsPerSecond * secondsPerMonth
  const rollShare = 1 / tailEntriesToRoll.max
  const rowUnits = writeUnitsOf(rowOverheadBytes + tailEntriesToRoll.max * referenceBytes)
  const inlineUnits = isInline ? writeUnitsOf(storedBytes + inlineItemOverheadBytes) : 0
  const uploadMs = isInline ? assumed.metadataWriteMs : assumed.putMs + storedBytes / assumed.transferBytesPerMs
  const isCompressed = load.storedShare !== undefined && load.storedShare < 1
  const compressMs = ((isCompressed ? batchBytes : Math.min(batchBytes, 65_536)) / 1e6) * assumed.compressMsPerMb
  const busyMs =
    assumed.handlerMs +
    (batchBytes / 1e6) * assumed.produceMsPerMb +
    compressMs +
    uploadMs +
    assumed.metadataWriteMs +
    rollShare * (assumed.metadataReadMs + 2 * assumed.metadataWriteMs)
  const environments = Math.max(1, (requestsPerSecond * busyMs) / 1_000)
  const topicReads = Math.min(
    1,
    (environments * 1_000) / defaultSettings.topicAgeMsMax / Math.max(requestsPerSecond, 1e-9),
  )
  // A head is believed for half of the time for a roll; an environment has one commit in so many of a partition.
  const commitMs = (1_000 * load.partitions) / Math.max(requestsPerSecond, 1e-9)
  const believedMs = Math.min(defaultSettings.headAgeMsMax, (tailEntriesToRoll.max / 2) * commitMs)
  const headReads = environments * commitMs < believedMs ? 0 : 1

  const stores: Usage = {
    s3Put: isInline ? 0 : 1,
    // The head's update; a roll puts a row and updates the head once more.
    dynamoDbWrite: inlineUnits + 1 + rollShare * (rowUnits + 1),
    dynamoDbRead: topicReads + headReads + rollShare,
  }
  const functions: Usage = {
    lambdaRequest: 1,
    lambdaArmGbSecond: ((busyMs + topicReads * assumed.metadataReadMs) / 1_000) * assumed.produceMemoryGb,
  }
  const rowsPerSecond = requestsPerSecond * rollShare

  const perMonth = (usage: Usage) => times(usage, requestsPerMonth)
  return {
    isInline,
    requestsPerMonth,
    requestMs: busyMs + topicReads * assumed.metadataReadMs,
    usage: {
      gateway: load.through === 'api' ? perMonth({ httpApiRequest: httpApiRequestsOf(batchBytes) }) : {},
      functions: perMonth(functions),
      logs: perMonth({ logsIngestGb: logBytesPerCall(requestsPerSecond, environments) / gigabyte }),
      stores: perMonth(stores),
      upkeep: sumOf(
        perMonth(upkeepOf(storedBytes, isInline, inlineUnits, rowUnits * rollShare)),
        callsOf(rowsPerSecond, load.partitions),
        idleUpkeepOf(load.partitions),
      ),
      storage: {
        s3StorageGbMonth: (requestsPerSecond * storedBytes * (load.retentionMs / 1_000)) / gigabyte,
      },
    },
  }
}

/** What one request leaves to merge, to trim and to sweep. */
function upkeepOf(batchBytes: number, isInline: boolean, inlineUnits: number, rowUnits: number): Usage {
  const { mergeBytesMin, mergeBytesMax, mergeRowsMin, largeChunkBytesMin } = defaultSettings
  // Trimmed and swept as it came: noted, looked at when it is old enough and when it was noted.
  if (batchBytes >= largeChunkBytesMin) {
    const workMs = (2 * assumed.getMs) / 8 + rowUnits * assumed.metadataWriteMs
    return {
      s3Get: 2,
      dynamoDbWrite: rowUnits + (2 * noteBytesPerSegment) / writeUnitBytes,
      dynamoDbRead: rowUnits,
      lambdaArmGbSecond: (workMs / 1_000) * assumed.upkeepMemoryGb,
    }
  }
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

/** A month of calls with the rows that a window of the table's stream brings, and their looks at partitions. */
function callsOf(rowsPerSecond: number, partitions: number): Usage {
  const calls = secondsPerMonth * Math.min(rowsPerSecond, 1_000 / assumed.streamWindowMs)
  const looks = secondsPerMonth * Math.min(rowsPerSecond, (partitions * 1_000) / defaultSettings.maintainIntervalMs)
  const reads = 7
  const workMs = calls * assumed.handlerMs + looks * reads * assumed.metadataReadMs
  return {
    lambdaRequest: calls,
    lambdaArmGbSecond: (workMs / 1_000) * assumed.upkeepMemoryGb,
    logsIngestGb: (calls * assumed.logBytesPerLine) / gigabyte,
    // What is too old is cut off in one write to the head, and noted in another.
    dynamoDbWrite: 2 * looks,
    dynamoDbRead: reads * looks,
  }
}

/** A month in which nothing happens: calls that find nothing to do, a round over all partitions a day, sweeps. */
function idleUpkeepOf(partitions: number): Usage {
  const hourMs = 3_600_000
  const perMonth = (intervalMs: number) => (hoursPerMonth * hourMs) / intervalMs
  const call: Usage = {
    lambdaRequest: 1,
    schedulerInvocation: 1,
    logsIngestGb: assumed.logBytesPerLine / gigabyte,
  }
  const working = (reads: number, msOfEach: number): Usage => ({
    dynamoDbRead: reads,
    lambdaArmGbSecond: ((assumed.handlerMs + reads * msOfEach) / 1_000) * assumed.upkeepMemoryGb,
  })
  const found = sumOf(call, working(3, assumed.metadataReadMs))
  // Eight at a time.
  const round = working(4 + partitions, assumed.metadataReadMs / 8)
  const sweep = sumOf(call, working(listsPerSweep + 4, assumed.getMs + assumed.metadataReadMs), {
    s3Put: listsPerSweep,
    s3Get: 1,
    dynamoDbWrite: 1,
  })
  return sumOf(
    times(found, perMonth(defaultSettings.maintainIntervalMs)),
    times(round, perMonth(defaultSettings.maintainRoundMs)),
    times(sweep, perMonth(assumed.sweepIntervalMs)),
  )
}
