/**
 * Stores as far away as S3 and DynamoDB are: a decorator that lets each request wait as long as published measurements say,
 * half of it before the effect, half after. What comes out of it is **modelled**: it tells how many requests the engine waits for, one after
 * the other, and not what AWS does today.
 *
 * Sources:
 *
 * - DynamoDB, single writes and transactions: Alex DeBrie's measurements from Lambda in the same region (400 runs of each,
 *   github.com/alexdebrie/dynamodb-performance-testing, read 2026-11-21): PutItem min 5.47, p50 7.55, p90 11.3, p95 13.2, p99 16.2, max 29 ms;
 *   TransactWriteItems of 5 items min 19.4, p50 25.3, p90 30.7, p95 36.4, p99 92.5, max 218 ms.
 * - DynamoDB, consistent reads: no distribution was found that was measured the same way. Taken as long as a PutItem, which is too long rather than too short.
 * - S3 Standard, PUT of small objects: AWS's performance guidelines for S3 give 100 to 200 ms for small objects. Taken as p50 and p99; the
 *   largest is s2.dev's statement for S3 Standard (p99 of a whole append below 500 ms).
 * - S3 Standard, GET: Quickwit's beta report on S3 Express (quickwit.io/blog/s3-express-speculations): about 30 ms to the first byte, 80 ms not rare.
 *   Taken as p50 and p99.
 * - Transfer: the same report has 80 MB/s for one connection to S3. A function of 512 MB may have less.
 */
import type { Metadata, Objects, Random } from '../ports.ts'

/** Ascending pairs of a share of requests, 0 to 1, and the milliseconds that they take at most. Between two, linear. */
export type Quantiles = readonly (readonly [share: number, latencyMs: number])[]

export interface Latencies {
  readonly put: Quantiles
  readonly get: Quantiles
  readonly objectBytesPerMs: number
  readonly write: Quantiles
  readonly transaction: Quantiles
  readonly read: Quantiles
}

const putItem: Quantiles = [
  [0, 5.47],
  [0.5, 7.55],
  [0.9, 11.3],
  [0.95, 13.2],
  [0.99, 16.2],
  [1, 29],
]

export const publishedLatencies: Latencies = {
  put: [
    [0, 60],
    [0.5, 100],
    [0.99, 200],
    [1, 500],
  ],
  get: [
    [0, 15],
    [0.5, 30],
    [0.99, 80],
    [1, 200],
  ],
  objectBytesPerMs: 80_000,
  write: putItem,
  transaction: [
    [0, 19.4],
    [0.5, 25.3],
    [0.9, 30.7],
    [0.95, 36.4],
    [0.99, 92.5],
    [1, 218],
  ],
  read: putItem,
}

export interface SlowOptions {
  readonly sleep: (durationMs: number) => Promise<void>
  readonly random: Random
  /** @default publishedLatencies */
  readonly latencies?: Latencies
}

/** The milliseconds of the request at `share`. */
export function latencyAt(quantiles: Quantiles, share: number): number {
  let [fromShare, fromMs] = quantiles[0] ?? [0, 0]
  for (const [toShare, toMs] of quantiles) {
    if (share <= toShare)
      return toShare === fromShare ? toMs : fromMs + ((share - fromShare) / (toShare - fromShare)) * (toMs - fromMs)
    fromShare = toShare
    fromMs = toMs
  }
  return fromMs
}

export function slowObjects(objects: Objects, options: SlowOptions): Objects {
  const { put, get, objectBytesPerMs } = options.latencies ?? publishedLatencies
  return {
    create(key, parts) {
      const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0)
      return slowly(options, put, () => objects.create(key, parts), bytes / objectBytesPerMs)
    },
    async read(key, position, length) {
      const bytes = await slowly(options, get, () => objects.read(key, position, length))
      await options.sleep((bytes?.byteLength ?? 0) / objectBytesPerMs)
      return bytes
    },
    list: (prefix, after, limit) => slowly(options, get, () => objects.list(prefix, after, limit)),
    delete: (key) => slowly(options, get, () => objects.delete(key)),
  }
}

export function slowMetadata(metadata: Metadata, options: SlowOptions): Metadata {
  const { read, write, transaction } = options.latencies ?? publishedLatencies
  return {
    readHead: (key) => slowly(options, read, () => metadata.readHead(key)),
    createHead: (head) => slowly(options, write, () => metadata.createHead(head)),
    updateHead: (key, command, also = []) =>
      slowly(options, also.length > 0 ? transaction : write, () => metadata.updateHead(key, command, also)),
    get: (key) => slowly(options, read, () => metadata.get(key)),
    query: (collection, range) => slowly(options, read, () => metadata.query(collection, range)),
    write: (writes) => slowly(options, writes.length > 1 ? transaction : write, () => metadata.write(writes)),
  }
}

async function slowly<Answer>(
  { sleep, random }: SlowOptions,
  quantiles: Quantiles,
  effect: () => Promise<Answer>,
  sendMs = 0,
): Promise<Answer> {
  const latencyMs = latencyAt(quantiles, random())
  await sleep(sendMs + latencyMs / 2)
  const answer = await effect()
  await sleep(latencyMs / 2)
  return answer
}
