/** What the clients of all services are made with. */

export interface ServiceOptions {
  /** @default the SDK's: AWS_REGION */
  readonly region?: string
  /** Another service of the same protocol, such as a local one. @default the SDK's: AWS itself */
  readonly endpoint?: string
  /** @default the SDK's chain: environment, profile, role */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string }
  /** Sends the requests; a test's may lose answers. @default HTTP with keep-alive, and the timeouts below */
  readonly requestHandler?: RequestHandler
  /** How long an answer may take from the call on, and how long a connection may say nothing. */
  readonly requestTimeoutMs?: number
}

/** The SDK's port to the network, as far as it is handed on here. */
// biome-ignore lint/suspicious/noExplicitAny: the clients' request and response types are packages of their own
export type RequestHandler = { handle(request: any, options?: any): Promise<{ response: any }>; destroy?(): void }

/** Requests that may be on the way at once; more wait for a connection. Small engines drop what more than that connect at once. */
const connectionsMax = 64
/** A connection whose first packet got lost is tried again by the system after a second: not to be given up just then. */
const connectionTimeoutMs = 2_000
/** How often the SDK sends a read. Writes are sent once: their repeats are ours, since only we know what a repeat means (D4). */
export const readAttemptsMax = 3

export function clientConfig(options: ServiceOptions, requestTimeoutMsDefault: number) {
  const { region, endpoint, credentials, requestTimeoutMs = requestTimeoutMsDefault } = options
  const agent = { keepAlive: true, maxSockets: connectionsMax }
  return {
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
    ...(credentials !== undefined && { credentials }),
    requestHandler: options.requestHandler ?? {
      connectionTimeout: connectionTimeoutMs,
      // Without the second line the SDK only warns of the first, and waits on.
      requestTimeout: requestTimeoutMs,
      throwOnRequestTimeout: true,
      socketTimeout: requestTimeoutMs,
      httpAgent: agent,
      httpsAgent: agent,
    },
  }
}
