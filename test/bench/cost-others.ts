/**
 * What others ask for the same load, by their published prices for us-east-1 in US dollars: taking records in and keeping them; reading, and
 * what runs beside the service, is left out. Where a figure was not read on the vendor's own page, `source` says so.
 */
import { gigabyte, hoursPerMonth, secondsPerMonth } from '../../lib/core/cost.ts'

export interface Asked {
  readonly recordsPerSecond: number
  readonly bytesPerSecond: number
  readonly partitions: number
  readonly storedDays: number
}

export interface Other {
  readonly name: string
  readonly source: string
  usd(asked: Asked): number
}

const gbIn = ({ bytesPerSecond }: Asked) => (bytesPerSecond * secondsPerMonth) / gigabyte
const gbStored = ({ bytesPerSecond, storedDays }: Asked) => (bytesPerSecond * storedDays * 86_400) / gigabyte
/** Kinesis rounds each record of an on-demand stream up to whole kilobytes. */
const kinesisGbIn = ({ recordsPerSecond, bytesPerSecond }: Asked) =>
  (recordsPerSecond * Math.ceil(bytesPerSecond / recordsPerSecond / 1_024) * 1_024 * secondsPerMonth) / gigabyte

export const others: readonly Other[] = [
  {
    name: 'Kinesis on-demand',
    source:
      '0.04 per stream-hour, 0.08 per GB in, each record rounded up to 1 KB; 24 hours kept. The rounding is on AWS’s page; the two rates are from memory of it.',
    usd: (asked) => 0.04 * hoursPerMonth + 0.08 * kinesisGbIn(asked),
  },
  {
    name: 'Kinesis provisioned',
    source:
      '0.015 per shard-hour (1 MiB/s and 1,000 records/s), 0.014 per million PUT units of 25 KB, one per record; 24 hours kept. Rates as calculators and other projects’ docs quote them; every shard full.',
    usd: ({ recordsPerSecond, bytesPerSecond }) => {
      const shards = Math.max(1, Math.ceil(recordsPerSecond / 1_000), Math.ceil(bytesPerSecond / 1_048_576))
      const putUnits = recordsPerSecond * Math.ceil(bytesPerSecond / recordsPerSecond / 25_000) * secondsPerMonth
      return 0.015 * hoursPerMonth * shards + (0.014 / 1e6) * putUnits
    },
  },
  {
    name: 'MSK Serverless',
    source:
      '0.75 per cluster-hour, 0.0015 per partition-hour, 0.10 per GiB in, 0.10 per GiB-month. From a transcript of AWS’s price list of 2022; not read again.',
    usd: (asked) =>
      0.75 * hoursPerMonth + 0.0015 * hoursPerMonth * asked.partitions + 0.1 * gbIn(asked) + 0.1 * gbStored(asked),
  },
  {
    name: 'WarpStream Dev',
    source:
      '0.0345 per 15 minutes, 0.01 per GiB written, 0.01 per GiB-month kept, uncompressed. What is counted is in WarpStream’s documentation; the rates are from a public catalogue of price lists that says it was not verified. The agents and S3, which the user pays besides, are not in it.',
    usd: (asked) => 0.0345 * 4 * hoursPerMonth + 0.01 * gbIn(asked) + 0.01 * gbStored(asked),
  },
  {
    name: 'Confluent Basic',
    source:
      'first eCKU free, 0.05 per GB in, 0.08 per GB-month. From a transcript of Confluent’s pricing page of September 2026. More eCKU (0.14 an hour each), which large loads need, are not in it.',
    usd: (asked) => 0.05 * gbIn(asked) + 0.08 * gbStored(asked),
  },
]
