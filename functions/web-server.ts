/**
 * The whole log as a Lambda Web Function: a server in an environment that takes many requests at once and goes on working
 * between them, so that what they bring is gathered into one segment. There may be several environments: none is alone.
 */
import { parseSettings } from '../lib/core/settings.ts'
import { createApp } from '../lib/http/app.ts'
import { allRoutes } from '../lib/http/faces.ts'
import { requireKeys } from '../lib/http/key-guard.ts'
import { serve } from '../lib/http/node-server.ts'
import { createLog } from '../lib/log/create-log.ts'
import packageJson from '../package.json' with { type: 'json' }
import { type FunctionParts, toldPorts } from './environment.ts'

/** How long the first append of a flush waits for company: little beside the 100 ms of an upload. */
const lingerMsDefault = 5
const publishIntervalMs = 10_000
/** Lambda gives a second from SIGTERM on: for requests, then for what they began. */
const requestsGraceMs = 400
const logGraceMs = 200

export interface WebServer {
  readonly url: string
  /** Ends waiting reads, lets other requests finish, and settles, in less than a second. */
  close(): Promise<void>
}

export interface WebParts extends Omit<FunctionParts, 'name' | 'isStreaming'> {
  /** Refuse whoever shows no API key that allows what is asked: no gateway stands before this server. @default false */
  readonly requireKeys?: boolean
}

/**
 * @param endpoint `host:port`, as AWS_LAMBDA_HTTP_ENDPOINT has it
 * @throws Error where the settings or the endpoint are wrong, or nobody can listen there
 */
export async function startWebServer(parts: WebParts, endpoint: string): Promise<WebServer> {
  const { ports, telemetry, cors, publicUrl } = parts
  const { host, port } = parseEndpoint(endpoint)
  const parsed = parseSettings({ lingerMs: lingerMsDefault, ...parts.settings, isSoleProcess: false })
  if (!parsed.ok) throw new Error(parsed.message)
  const { settings } = parsed
  const log = createLog(toldPorts(ports, telemetry), settings)
  const app = createApp({
    routes: allRoutes,
    ...(parts.requireKeys ? { guard: requireKeys(log) } : {}),
    log,
    settings,
    codecs: ports.codecs,
    now: () => ports.clock.now(),
    version: packageJson.version,
    cors,
    ...(publicUrl === undefined ? {} : { publicUrl }),
    onAnswer: telemetry.onAnswer,
    onFailure: telemetry.onFailure,
  })
  const server = await serve({ app, host, port })
  const publishing = setInterval(() => telemetry.publish(), publishIntervalMs)
  publishing.unref()
  return {
    url: server.url,
    async close() {
      clearInterval(publishing)
      await server.close(requestsGraceMs)
      await Promise.race([log.close(), ports.clock.sleep(logGraceMs)])
      telemetry.publish()
    },
  }
}

function parseEndpoint(endpoint: string): { host: string; port: number } {
  const [, host = '', port = ''] = /^\[?([^\]]*)\]?:(\d{1,5})$/.exec(endpoint) ?? []
  if (host === '' || port === '')
    throw new Error(`AWS_LAMBDA_HTTP_ENDPOINT is host:port, not ${JSON.stringify(endpoint)}.`)
  return { host, port: Number(port) }
}
