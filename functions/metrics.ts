/**
 * The metrics of the functions: names, units and dimensions, in one table that the dashboard and the alarms read too.
 *
 * Every metric has the dimensions `service` (POWERTOOLS_SERVICE_NAME: one deployment) and `function`; `CommitRefusals` also
 * `reason`. Nothing that grows with the log is ever a dimension: each combination is a metric of its own, and is billed.
 */
import type { PriceName } from '../lib/core/prices.ts'
import type { Counted, Step } from '../lib/log/observer.ts'

export const metricsNamespace = 'Highwater'

/** What calls of an environment tell is held so long, for a line that they share, or until the next call (telemetry.ts). */
export const holdMsMax = 30_000

export type FunctionName = 'produce' | 'fetch' | 'consume' | 'admin' | 'maintain' | 'merge' | 'sweep' | 'verify' | 'web'

export interface MetricEntry {
  readonly name: string
  readonly unit: 'Count' | 'Bytes' | 'Milliseconds'
  readonly meaning: string
}

/** What the engine counts. */
export const countMetrics: Readonly<Record<Counted, MetricEntry>> = {
  recordsAppended: { name: 'RecordsAppended', unit: 'Count', meaning: 'Records committed, those of repeats left out' },
  bytesAppended: { name: 'BytesAppended', unit: 'Bytes', meaning: 'Bytes of their batches, as they are stored' },
  recordsRepeated: { name: 'RecordsRepeated', unit: 'Count', meaning: 'Records answered with their first offsets' },
  segmentsWritten: { name: 'SegmentsWritten', unit: 'Count', meaning: 'Objects put' },
  inlineChunksWritten: { name: 'InlineChunksWritten', unit: 'Count', meaning: 'Small chunks put into the table' },
  headsRead: { name: 'HeadsRead', unit: 'Count', meaning: 'Reads of a head, those beside an upload among them' },
  rolls: { name: 'Rolls', unit: 'Count', meaning: 'Tails moved into rows' },
  merges: { name: 'Merges', unit: 'Count', meaning: 'Runs of small chunks that became a segment' },
  bytesMerged: { name: 'BytesMerged', unit: 'Bytes', meaning: 'Bytes of their batches' },
  compactions: { name: 'Compactions', unit: 'Count', meaning: 'Passes of key compaction' },
  recordsCompacted: { name: 'RecordsCompacted', unit: 'Count', meaning: 'Records that they left out' },
  segmentsDeleted: { name: 'SegmentsDeleted', unit: 'Count', meaning: 'Objects that the sweep deleted' },
  recordsFetched: { name: 'RecordsFetched', unit: 'Count', meaning: 'Records in the batches that fetches answered' },
  bytesFetched: { name: 'BytesFetched', unit: 'Bytes', meaning: 'Bytes of these batches' },
}

/** What the engine measures: one value for each time it was done. */
export const stepMetrics: Readonly<Record<Step, MetricEntry>> = {
  upload: { name: 'UploadTime', unit: 'Milliseconds', meaning: 'Putting a segment, or small chunks into the table' },
  commit: { name: 'CommitTime', unit: 'Milliseconds', meaning: 'From a durable segment to offsets, in one partition' },
  head: { name: 'HeadTime', unit: 'Milliseconds', meaning: 'A fetch finding its topic and head' },
  rows: { name: 'RowsTime', unit: 'Milliseconds', meaning: 'A fetch finding where the records lie' },
  chunks: { name: 'ChunksTime', unit: 'Milliseconds', meaning: 'A fetch reading them' },
  wait: { name: 'WaitTime', unit: 'Milliseconds', meaning: 'A fetch waiting for records, look by look' },
}

/** Of requests, whatever they ask. */
export const requestMetrics = {
  duration: { name: 'RequestTime', unit: 'Milliseconds', meaning: 'From the event to the answer' },
  refused: { name: 'RequestsRefused', unit: 'Count', meaning: 'Answers of 400 to 499' },
  errors: {
    name: 'Errors',
    unit: 'Count',
    meaning: 'Answers of 500 and above, failed upkeep, and bugs beside requests',
  },
} as const satisfies Record<string, MetricEntry>

/** By the dimension `reason`: a conditional write of a commit that did not apply. Most are tried again at once. */
export const commitRefusals: MetricEntry = {
  name: 'CommitRefusals',
  unit: 'Count',
  meaning: 'Conditional writes of commits that did not apply, by `reason`',
}

export const maintainMetrics = {
  partitions: { name: 'PartitionsMaintained', unit: 'Count', meaning: 'Looks of upkeep at partitions' },
  failed: {
    name: 'PartitionsFailed',
    unit: 'Count',
    meaning: 'Partitions that it had to leave out: damaged, or the store did not answer',
  },
  left: {
    name: 'PartitionsLeft',
    unit: 'Count',
    meaning: 'Partitions to which rows came and for which the time of the merge function was not enough',
  },
  forgotten: { name: 'ProducersForgotten', unit: 'Count', meaning: 'Idle producers and idempotency keys it forgot' },
} as const satisfies Record<string, MetricEntry>

/** Of the lines that say what was asked of the stores: quantities of the price list. */
export const usageProperties = ['s3Put', 's3Get', 'dynamoDbWrite', 'dynamoDbRead'] as const satisfies PriceName[]

export interface ServerMetricEntry {
  readonly name: string
  readonly labels: readonly string[]
  readonly meaning: string
}

/** What a server tells Prometheus (server-metrics.ts), beside what the engine counts. */
export const serverMetrics = {
  requests: { name: 'highwater_requests_total', labels: ['method', 'route', 'code'], meaning: 'Answers' },
  requestSeconds: {
    name: 'highwater_request_duration_seconds',
    labels: ['method', 'route'],
    meaning: 'From a request to its answer, waiting for records included',
  },
  stepSeconds: {
    name: 'highwater_step_duration_seconds',
    labels: ['step'],
    meaning: 'Steps of produce and fetch: upload, commit, head, rows, chunks, wait',
  },
  commitRefusals: {
    name: 'highwater_commit_refusals_total',
    labels: ['reason'],
    meaning: 'Conditional writes of commits that did not apply; most are tried again at once',
  },
  storeRequests: {
    name: 'highwater_store_requests_total',
    labels: ['operation', 'kind', 'topic'],
    meaning: 'Requests to the stores, refused and failed ones too; what topics share counts in parts',
  },
  storeBytes: {
    name: 'highwater_store_bytes_total',
    labels: ['operation', 'kind', 'topic'],
    meaning: 'Content of objects, and whole items, that these requests wrote or read',
  },
  storeWriteUnits: {
    name: 'highwater_store_write_units_total',
    labels: ['operation', 'topic'],
    meaning: 'What DynamoDB bills, or would bill, for writes',
  },
  storeReadUnits: {
    name: 'highwater_store_read_units_total',
    labels: ['operation', 'topic'],
    meaning: 'The same for reads',
  },
  upkeepRounds: {
    name: 'highwater_upkeep_rounds_total',
    labels: ['work', 'outcome'],
    meaning: 'Rounds of merge, upkeep and sweep: done, or failed',
  },
  rowsRemoved: { name: 'highwater_rows_removed_total', labels: [], meaning: 'Rows that lay below a log start' },
  rowsMerged: { name: 'highwater_rows_merged_total', labels: [], meaning: 'Rows that merges made others of' },
  appendBytesPending: {
    name: 'highwater_append_bytes_pending',
    labels: [],
    meaning: 'Bytes of appends that are not answered yet (at most pendingBytesMax)',
  },
  fetchesWaiting: { name: 'highwater_fetches_waiting', labels: [], meaning: 'Fetches that wait for records' },
  backfillBytes: {
    name: 'highwater_backfill_bytes_in_flight',
    labels: [],
    meaning: 'Bytes being read for fetches of older records (at most fetchBytesInFlightMax)',
  },
  backfillsWaiting: {
    name: 'highwater_backfills_waiting',
    labels: [],
    meaning: 'Reads for them that wait for their turn',
  },
} as const satisfies Record<string, ServerMetricEntry>

export type ServerMetricName = keyof typeof serverMetrics
