/** Functions over memory: what they answer, and what they tell. */
import { Console } from 'node:console'
import { PassThrough } from 'node:stream'
import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics } from '@aws-lambda-powertools/metrics'
import type { Context } from 'aws-lambda'
import { composeHandler, type FunctionParts, type Served } from '../../functions/environment.ts'
import { type FunctionName, metricsNamespace } from '../../functions/metrics.ts'
import { Telemetry } from '../../functions/telemetry.ts'
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { systemClock, systemRandom } from '../../lib/adapters/system.ts'
import type { Settings } from '../../lib/core/settings.ts'
import { allRoutes } from '../../lib/http/faces.ts'
import type { LambdaResult } from '../../lib/http/lambda.ts'
import type { Route, Work } from '../../lib/http/route.ts'
import type { LogPorts } from '../../lib/log/log.ts'
import { httpApiEvent, type Sent } from '../http/lambda-events.ts'

export interface Told {
  readonly telemetry: Telemetry
  /** The lines on standard output so far, and what is held back, parsed. */
  lines(): Record<string, unknown>[]
  /** Only what was written. */
  written(): string[]
}

/** Telemetry whose standard output is kept. */
export function toldBy(name: FunctionName, logLevel: 'INFO' | 'DEBUG' = 'INFO', now: () => number = Date.now): Told {
  const stdout = new PassThrough()
  const parts: Buffer[] = []
  stdout.on('data', (part: Buffer) => parts.push(part))
  const console = new Console({ stdout, stderr: stdout })
  const logger = new Logger({ serviceName: 'test', logLevel })
  const metrics = new Metrics({ serviceName: 'test', namespace: metricsNamespace })
  // What both write to is a property that the types do not tell of. A single metric is written by an object of its own.
  const single = metrics.singleMetric.bind(metrics)
  Object.assign(metrics, { console, singleMetric: () => Object.assign(single(), { console }) })
  Object.assign(logger, { console })
  const telemetry = new Telemetry(name, logger, metrics, now, (line) => stdout.write(`${line}\n`))
  const written = () =>
    Buffer.concat(parts)
      .toString()
      .split('\n')
      .filter((line) => line !== '')
  return {
    telemetry,
    written,
    lines: () => {
      telemetry.publish()
      return written().map((line) => JSON.parse(line) as Record<string, unknown>)
    },
  }
}

export function memoryPorts(): LogPorts {
  return {
    objects: new MemoryObjects(),
    metadata: new MemoryMetadata(),
    clock: systemClock,
    random: systemRandom,
    codecs: nodeCodecs,
  }
}

export function partsOf(
  name: FunctionName,
  ports: LogPorts,
  telemetry: Telemetry = toldBy(name).telemetry,
  settings: Partial<Settings> = {},
): FunctionParts {
  return { name, ports, telemetry, settings: { retryDelayMs: 1, ...settings }, cors: [], isStreaming: false }
}

export type Call = (method: string, sent: Sent) => Promise<LambdaResult>

export interface Functions {
  readonly ports: LogPorts
  readonly told: Readonly<Record<Work, Told>>
  /** To the function whose work it is, as the gateway would. */
  readonly call: Call
  readonly each: Readonly<Record<Work, Call>>
}

// Their own handlers are made of these, and used by nobody here.
Object.assign(process.env, { HIGHWATER_BUCKET: 'none', HIGHWATER_TABLE: 'none', AWS_REGION: 'eu-central-1' })
const served: Readonly<Record<Work, Served>> = {
  produce: (await import('../../functions/produce.ts')).served,
  fetch: (await import('../../functions/fetch.ts')).served,
  consume: (await import('../../functions/consume.ts')).served,
  admin: (await import('../../functions/admin.ts')).served,
  verify: (await import('../../functions/verify.ts')).served,
}
const works = Object.keys(served) as Work[]

/** All functions over one set of stores. */
export function composeFunctions(ports = memoryPorts(), settings: Partial<Settings> = {}): Functions {
  const told = {} as Record<Work, Told>
  const each = {} as Record<Work, Call>
  for (const work of works) {
    told[work] = toldBy(work)
    const handler = composeHandler(partsOf(work, ports, told[work].telemetry, settings), served[work])
    each[work] = (method, sent) => handler(httpApiEvent(method, sent), contextOf())
  }
  return {
    ports,
    told,
    each,
    call: (method, sent) => each[workOf(method, sent.path)](method, sent),
  }
}

/** What a gateway does: the route whose path fits best, and the function behind it; where there is none, admin. */
function workOf(method: string, path: string): Work {
  const [wanted = ''] = path.split('?')
  const fits = (route: Route) =>
    route.method === method &&
    (route.prefixes ?? ['']).some((prefix) =>
      new RegExp(`^${`${prefix}${route.path}`.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`).test(wanted),
    )
  const placeholders = (route: Route) => route.path.split('{').length
  const [route] = allRoutes.filter(fits).sort((a, b) => placeholders(a) - placeholders(b))
  return route?.work ?? 'admin'
}

export function contextOf(remainingMs = 29_000): Context {
  const endMs = performance.now() + remainingMs
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: 'Highwater-Produce',
    functionVersion: '$LATEST',
    invokedFunctionArn: 'arn:aws:lambda:eu-central-1:123456789012:function:Highwater-Produce',
    memoryLimitInMB: '512',
    awsRequestId: 'c6af9ac6-7b61-11e6-9a41-93e8deadbeef',
    logGroupName: '/aws/lambda/Highwater-Produce',
    logStreamName: '2026/11/21/[$LATEST]0123456789abcdef',
    getRemainingTimeInMillis: () => endMs - performance.now(),
    done() {},
    fail() {},
    succeed() {},
  }
}
