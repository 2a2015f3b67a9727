/** The server: the whole log in one process, over a data directory, in memory, or on S3 and DynamoDB beside others. */

import { setFlagsFromString } from 'node:v8'
import type { ServiceOptions } from '../lib/adapters/aws/aws-client.ts'
import { nativeCodecs } from '../lib/adapters/codecs-native.ts'
import { takeIntoUse } from '../lib/adapters/local/backup.ts'
import { type DataDirectory, openDataDirectory } from '../lib/adapters/local/data-directory.ts'
import { MemoryMetadata, MemoryObjects } from '../lib/adapters/memory.ts'
import { meteredMetadata, meteredObjects } from '../lib/adapters/metered.ts'
import { systemClock, systemRandom } from '../lib/adapters/system.ts'
import { TaggedMeter } from '../lib/adapters/tagged-meter.ts'
import { costReportOf } from '../lib/core/cost-report.ts'
import { parseSettings, type Settings, settingsTable } from '../lib/core/settings.ts'
import { createApp } from '../lib/http/app.ts'
import { allRoutes } from '../lib/http/faces.ts'
import { requireKeys } from '../lib/http/key-guard.ts'
import { metricsRoute } from '../lib/http/metrics.ts'
import { type RunningServer, serve } from '../lib/http/node-server.ts'
import { createLog } from '../lib/log/create-log.ts'
import packageJson from '../package.json' with { type: 'json' }
import { ServerMetrics } from './server-metrics.ts'

export interface StartOptions {
  readonly host: string
  /** 0: any that is free. */
  readonly port: number
  /** Without this and `aws`: in memory, gone when the server stops. */
  readonly dataDir?: string
  /** Stores on AWS, or on what speaks its protocols at `endpoint`. Any number of servers may share them. */
  readonly aws?: { readonly bucket: string; readonly table: string } & ServiceOptions
  readonly settings?: Partial<Settings>
  /** Refuse whoever shows no API key that allows what is asked. @default false */
  readonly requireKeys?: boolean
  /** Origins whose pages may read answers. @default none */
  readonly cors?: readonly string[]
  /** Where clients reach the server, where that is not what they connect to. */
  readonly publicUrl?: string
  /** @default silence */
  readonly logger?: Logger
}

/** What of a pino logger is used. */
export interface Logger {
  info(fields: object, message: string): void
  error(fields: object, message: string): void
  debug(fields: object, message: string): void
}

export interface Started {
  readonly url: string
  /** Stops accepting, answers what is running, and closes the data directory. What was acknowledged is durable before (D2). */
  close(): Promise<void>
}

/** The server cannot start, for a reason that whoever starts it can do something about. The message is one sentence. */
export class StartError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'StartError'
  }
}

/**
 * Record batches live outside V8's heap. By itself it collects garbage after every few tens of megabytes of them, however
 * little of it is on the heap, which takes a third of the processor time of appends of 1 MiB; counted against the limit of
 * the heap as a whole, they are collected in time just the same. For the process, therefore where one is a server.
 */
function countBatchesAsHeap(): void {
  // Of V8 13, which is Node 24's; an unknown flag would be complained about on standard error.
  if (process.versions.v8.startsWith('13.')) setFlagsFromString('--external-memory-accounted-in-global-limit')
}

/** @throws StartError: wrong settings, a data directory or a port that cannot be had */
export async function startServer(options: StartOptions): Promise<Started> {
  const { host, port, dataDir, aws, cors, publicUrl, logger } = options
  const isLocal = aws === undefined
  const parsed = parseSettings({
    // Here nobody pays for what a merge moves: compression is its work, not the append's.
    ...(isLocal ? { largeChunkBytesMin: settingsTable.largeChunkBytesMin.max } : {}),
    ...options.settings,
    isSoleProcess: isLocal,
  })
  if (!parsed.ok) throw new StartError(parsed.message)
  const { settings } = parsed
  countBatchesAsHeap()

  const stores = await storesOf(options)
  if (aws === undefined && dataDir !== undefined) await takeIntoUse(dataDir)
  const meter = new TaggedMeter({ now: systemClock.now })
  const metrics = new ServerMetrics(meter, () => log.underWay())
  const log = createLog(
    {
      objects: meteredObjects(stores.objects, meter),
      metadata: meteredMetadata(stores.metadata, meter),
      meter,
      observe: metrics.observer,
      clock: systemClock,
      random: systemRandom,
      codecs: nativeCodecs,
      report: (bug) => logger?.error({ err: bug }, 'bug beside a request'),
    },
    settings,
  )
  const app = createApp({
    routes: [...allRoutes, metricsRoute(metrics.contentType, () => metrics.text())],
    log,
    cost: async () => {
      const answer = await log.stored()
      if (!answer.ok) return answer
      const report = costReportOf(meter.read(), answer.stored, (id) => meter.nameOf(id), settings.isSoleProcess)
      return { ok: true, report }
    },
    onAnswer: (answered) => {
      metrics.onAnswer(answered)
      logger?.debug(answered, 'request')
    },
    settings,
    codecs: nativeCodecs,
    version: packageJson.version,
    ...(options.requireKeys ? { guard: requireKeys(log) } : {}),
    ...(cors === undefined ? {} : { cors }),
    ...(publicUrl === undefined ? {} : { publicUrl }),
    ...(logger === undefined
      ? {}
      : {
          onFailure: ({ error, ...failure }) => logger.error({ ...failure, err: error }, 'request failed'),
        }),
  })
  let server: RunningServer
  try {
    if (options.requireKeys && (await log.listApiKeys()).length === 0) throw new StartError(noKeys)
    server = await serve({ app, host, port })
  } catch (error) {
    await log.close()
    await stores.close()
    throw error instanceof StartError ? error : new StartError(listenFailure(error, host, port), error)
  }
  logger?.info(
    { url: server.url, dataDir, bucket: aws?.bucket, table: aws?.table, version: packageJson.version },
    'started',
  )
  const { mergeIntervalMs, maintainIntervalMs, sweepIntervalMs } = settings
  const told = (work: UpkeepWork, done: object | undefined, bug?: unknown) => {
    const isDone = done !== undefined && !('ok' in done && done.ok === false)
    metrics.roundEnded(work, isDone ? done : undefined)
    if (done === undefined) logger?.error({ err: bug }, `${work} failed`)
    else logger?.debug(done, work)
  }
  const upkeep = [
    every(mergeIntervalMs, 'merge', told, () => log.mergeRolled()),
    every(maintainIntervalMs, 'upkeep', told, () => log.maintain(AbortSignal.timeout(maintainIntervalMs)), 'at once'),
    every(sweepIntervalMs, 'sweep', told, async () => {
      const swept = await log.sweep()
      if (swept.ok && swept.damaged.length > 0) logger?.error({ damaged: swept.damaged }, 'damaged objects')
      return swept.ok ? { candidates: swept.candidates, deleted: swept.deleted.length } : swept
    }),
  ]

  let closing: Promise<void> | undefined
  const close = async () => {
    for (const stop of upkeep) stop()
    await server.close()
    await log.close()
    await stores.close()
    logger?.info({ url: server.url }, 'stopped')
  }
  return {
    url: server.url,
    close: () => {
      closing ??= close()
      return closing
    },
  }
}

const noKeys =
  'There is no API key yet, so nobody could use this server; make one first with `highwater keys create`, on the same --data or --table.'

type UpkeepWork = 'merge' | 'upkeep' | 'sweep'

/** Does it again and again, never twice at once. Returns what ends it. @param told what was done; undefined where it failed */
function every(
  intervalMs: number,
  what: UpkeepWork,
  told: (what: UpkeepWork, done: object | undefined, bug?: unknown) => void,
  work: () => Promise<object>,
  first: 'at once' | 'after the interval' = 'after the interval',
): () => void {
  let isRunning = false
  const begin = () => {
    if (isRunning) return
    isRunning = true
    work()
      .then(
        (done) => told(what, done),
        (bug: unknown) => told(what, undefined, bug),
      )
      .finally(() => {
        isRunning = false
      })
  }
  const timer = setInterval(begin, intervalMs)
  timer.unref()
  if (first === 'at once') begin()
  return () => clearInterval(timer)
}

type Stores = Pick<DataDirectory, 'objects' | 'metadata' | 'close'>

export async function storesOf({ dataDir, aws }: Pick<StartOptions, 'dataDir' | 'aws'>): Promise<Stores> {
  if (aws !== undefined) return awsStores(aws)
  return dataDir === undefined ? memoryStores() : openStores(dataDir)
}

/** Loaded when it is wanted: the SDK is larger than all the rest. */
async function awsStores({ bucket, table, ...service }: NonNullable<StartOptions['aws']>): Promise<Stores> {
  const [{ S3Objects }, { DynamoDbMetadata }] = await Promise.all([
    import('../lib/adapters/aws/s3-objects.ts'),
    import('../lib/adapters/aws/dynamodb-metadata.ts'),
  ])
  const objects = new S3Objects({ ...service, bucket })
  const metadata = new DynamoDbMetadata({ ...service, table })
  return {
    objects,
    metadata,
    close: async () => {
      objects.close()
      metadata.close()
    },
  }
}

function memoryStores(): Stores {
  return { objects: new MemoryObjects(), metadata: new MemoryMetadata(), close: async () => {} }
}

async function openStores(dataDir: string): Promise<Stores> {
  try {
    return await openDataDirectory(dataDir)
  } catch (error) {
    throw new StartError(error instanceof Error ? error.message : String(error), error)
  }
}

function listenFailure(error: unknown, host: string, port: number): string {
  const { code, message } = error as NodeJS.ErrnoException
  switch (code) {
    case 'EADDRINUSE':
      return `Port ${port} on ${host} is in use by another process; choose another with --port.`
    case 'EACCES':
      return `This user may not listen on port ${port}; choose one of 1024 or above with --port.`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${host} is no address of this machine; choose another with --host.`
    default:
      return `Cannot listen on ${host} port ${port}: ${message}`
  }
}
