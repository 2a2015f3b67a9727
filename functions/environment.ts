/**
 * Functions, composed: what each of them needs from its environment, and how it becomes a handler. The engine is made once,
 * when the environment starts; requests come one at a time, and between two of them everything stands still, for hours
 * perhaps. What is remembered (topics, heads) is believed for an age by the clock; what is committed never changes.
 */
import type { Context } from 'aws-lambda'
import { DynamoDbMetadata } from '../lib/adapters/aws/dynamodb-metadata.ts'
import { S3Objects } from '../lib/adapters/aws/s3-objects.ts'
import { nodeCodecs } from '../lib/adapters/codecs-node.ts'
import { meteredMetadata, meteredObjects } from '../lib/adapters/metered.ts'
import { systemClock, systemRandom } from '../lib/adapters/system.ts'
import type { Settings } from '../lib/core/settings.ts'
import { createApp } from '../lib/http/app.ts'
import {
  type LambdaEvent,
  type LambdaResult,
  lambdaHandler,
  type Streaming,
  streamingHandler,
} from '../lib/http/lambda.ts'
import type { Route, Work } from '../lib/http/route.ts'
import { createPartOfLog, type Engine } from '../lib/log/engine.ts'
import type { Log, LogPorts } from '../lib/log/log.ts'
import type { FunctionName } from './metrics.ts'
import { functionSettings } from './settings.ts'
import { Telemetry } from './telemetry.ts'

/** What is in a function's environment variables. */
export interface Environment {
  readonly bucket: string
  readonly table: string
  readonly settings: Partial<Settings>
  readonly cors: readonly string[]
  readonly publicUrl?: string
  /** Another AWS, a local one for example. */
  readonly endpoint?: string
  /** Answers leave as streams: behind a function URL that is made for it, and nowhere else. */
  readonly isStreaming: boolean
}

/** @throws Error naming every variable that is missing or not in order: the environment does not start */
export function readEnvironment(variables: NodeJS.ProcessEnv): Environment {
  const failures: string[] = []
  const required = (name: string) => {
    const value = variables[name]
    if (value === undefined || value === '') failures.push(`${name} is missing`)
    return value ?? ''
  }
  const { HIGHWATER_PUBLIC_URL: publicUrl, AWS_ENDPOINT_URL: endpoint } = variables
  const environment: Environment = {
    bucket: required('HIGHWATER_BUCKET'),
    table: required('HIGHWATER_TABLE'),
    settings: parseObject(variables.HIGHWATER_SETTINGS, failures),
    cors: (variables.HIGHWATER_CORS ?? '').split(',').filter((origin) => origin !== ''),
    isStreaming: variables.HIGHWATER_STREAM_ANSWERS === 'true',
    ...(publicUrl === undefined || publicUrl === '' ? {} : { publicUrl }),
    ...(endpoint === undefined || endpoint === '' ? {} : { endpoint }),
  }
  if (failures.length > 0) throw new Error(`The environment of the function is not in order: ${failures.join('; ')}.`)
  return environment
}

function parseObject(text: string | undefined, failures: string[]): Partial<Settings> {
  if (text === undefined || text === '') return {}
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch {}
  failures.push('HIGHWATER_SETTINGS is no JSON object')
  return {}
}

/** S3 and DynamoDB, this machine's clock and dice, and codecs without a native module. */
export function awsPorts({ bucket, table, endpoint }: Environment): LogPorts {
  const service = endpoint === undefined ? {} : { endpoint }
  return {
    objects: new S3Objects({ ...service, bucket }),
    metadata: new DynamoDbMetadata({ ...service, table }),
    clock: systemClock,
    random: systemRandom,
    codecs: nodeCodecs,
  }
}

/** A function's own: of the log, and of the faces. */
export interface Served {
  /** What its requests need of the log (part-*.ts). */
  readonly log: readonly LogPart[]
  readonly routes: readonly Route[]
  /** Which of the routes are this function's; of the others it knows that they are there. @default all */
  readonly work?: Work
  /** Of Highwater, where an answer says it. */
  readonly version?: string
}

export type LogPart = (engine: Engine) => Partial<Log>

export interface FunctionParts extends Pick<Environment, 'settings' | 'cors' | 'publicUrl' | 'isStreaming'> {
  readonly name: FunctionName
  readonly ports: LogPorts
  readonly telemetry: Telemetry
}

/** @throws Error where the settings are wrong */
export function composeLog(
  { ports, telemetry, settings, isStreaming }: FunctionParts,
  parts: readonly LogPart[],
): { readonly log: Log; readonly settings: Settings } {
  const parsed = functionSettings(settings, isStreaming)
  if (!parsed.ok) throw new Error(parsed.message)
  return { log: createPartOfLog(toldPorts(ports, telemetry), parsed.settings, parts), settings: parsed.settings }
}

/** The ports, with everything told that is asked of them. */
export function toldPorts(ports: LogPorts, telemetry: Telemetry): LogPorts {
  const { meter, observer, onBug } = telemetry
  return {
    ...ports,
    objects: meteredObjects(ports.objects, meter),
    metadata: meteredMetadata(ports.metadata, meter),
    meter,
    observe: observer,
    report: onBug,
  }
}

export type Handler = (event: LambdaEvent, context: Context) => Promise<LambdaResult>

/** An answer is made before it is sent; Lambda would stream up to 200 MB, slowly after the first 6. */
const streamedBytesMax = 32 * 1_048_576

/** @param streaming the runtime's; without it answers are buffered */
export function composeHandler(parts: FunctionParts, served: Served, streaming?: Streaming): Handler {
  const { telemetry, ports, cors, publicUrl } = parts
  const { log: logParts, ...rest } = served
  const isStreaming = streaming !== undefined && parts.isStreaming
  const { log, settings } = composeLog(parts, logParts)
  const app = createApp({
    ...rest,
    log,
    settings,
    codecs: ports.codecs,
    now: () => ports.clock.now(),
    cors,
    ...(isStreaming ? { answerBytesMax: streamedBytesMax } : {}),
    ...(publicUrl === undefined ? {} : { publicUrl }),
    onAnswer: telemetry.onAnswer,
    onFailure: telemetry.onFailure,
  })
  const options = { app, settled: () => log.settled() }
  if (isStreaming)
    return streamingHandler(options, {
      ...streaming,
      streamifyResponse: (handler) =>
        streaming.streamifyResponse((event, stream, context) =>
          told(telemetry, context as Context, event.requestContext?.requestId, () => handler(event, stream, context)),
        ),
    }) as Handler
  const handler = lambdaHandler(options)
  return (event, context) => told(telemetry, context, event.requestContext?.requestId, () => handler(event, context))
}

/** What a handler does, and that it is told of. */
export async function told<Result>(
  telemetry: Telemetry,
  context: Context,
  correlationId: string | undefined,
  work: () => Promise<Result>,
): Promise<Result> {
  telemetry.begin(context, correlationId)
  try {
    return await work()
  } finally {
    telemetry.end()
  }
}

/** The handler of a function that serves these routes, from the environment that it runs in. */
export function serveFunction(name: FunctionName, served: Served): Handler {
  const { awslambda } = globalThis as { awslambda?: Streaming }
  return composeHandler(partsOf(name), served, awslambda)
}

/** From the environment that the function runs in. @throws Error where that is not in order */
export function partsOf(name: FunctionName): FunctionParts {
  const environment = readEnvironment(process.env)
  return { ...environment, name, ports: awsPorts(environment), telemetry: new Telemetry(name) }
}
