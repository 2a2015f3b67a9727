/**
 * The metrics of the functions: names, units and dimensions, in one table that the dashboard and the alarms read too.
 *
 * Every metric has the dimensions `service` (POWERTOOLS_SERVICE_NAME: one deployment) and `function`; `CommitRefusals` also
 * `reason`. Nothing that grows with the log is ever a dimension: each combination is a metric of its own, and is billed.
 */
import type { Counted, Step } from '../lib/log/observer.ts'

export const metricsNamespace = 'Highwater'

export type FunctionName = 'produce' | 'fetch' | 'consume' | 'admin' | 'maintain' | 'sweep' | 'web'

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
  partitions: { name: 'PartitionsMaintained', unit: 'Count', meaning: 'Partitions that a round of upkeep came to' },
  forgotten: { name: 'ProducersForgotten', unit: 'Count', meaning: 'Idle producers and idempotency keys it forgot' },
} as const satisfies Record<string, MetricEntry>
