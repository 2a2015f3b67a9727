/** Events as Lambda gets them: of an HTTP API (payload 2.0) and of a function URL, with all their fields. */
import type { LambdaContext, LambdaEvent } from '../../lib/http/lambda.ts'

export interface Sent {
  /** With its query. Written as the gateway hands it on: an HTTP API has decoded it, a function URL has not. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** Text goes as it is, bytes as base64. */
  readonly body?: string | Uint8Array
  readonly cookies?: readonly string[]
  readonly stage?: string
  readonly authorizer?: object
}

export function httpApiEvent(method: string, sent: Sent): LambdaEvent {
  const domainName = 'r3pmxmplak.execute-api.eu-central-1.amazonaws.com'
  return event(method, sent, domainName, `${method} /somewhere`)
}

export function functionUrlEvent(method: string, sent: Sent): LambdaEvent {
  const domainName = 'mqvbbzxmplw2ya7hu5d6tqk4aq0zkmxl.lambda-url.eu-central-1.on.aws'
  return event(method, sent, domainName, '$default')
}

function event(method: string, sent: Sent, domainName: string, routeKey: string): LambdaEvent {
  const { path, headers = {}, body, cookies, stage = '$default', authorizer } = sent
  const [rawPath = '', rawQueryString = ''] = path.split(/\?(.*)/s)
  return {
    version: '2.0',
    routeKey,
    rawPath,
    rawQueryString,
    ...(cookies === undefined ? {} : { cookies: [...cookies] }),
    headers: {
      accept: '*/*',
      'accept-encoding': 'gzip, deflate',
      host: domainName,
      'user-agent': 'python-requests/2.32.3',
      'x-amzn-trace-id': 'Root=1-691f2c5a-0f1a2b3c4d5e6f708192a3b4',
      'x-forwarded-for': '203.0.113.7',
      'x-forwarded-port': '443',
      'x-forwarded-proto': 'https',
      ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
      ...headers,
    },
    requestContext: {
      accountId: '123456789012',
      apiId: domainName.split('.')[0] ?? '',
      ...(authorizer === undefined ? {} : { authorizer }),
      domainName,
      domainPrefix: domainName.split('.')[0] ?? '',
      http: {
        method,
        path: rawPath,
        protocol: 'HTTP/1.1',
        sourceIp: '203.0.113.7',
        userAgent: 'python-requests/2.32.3',
      },
      requestId: 'JKJaXmPLvHcESHA=',
      routeKey,
      stage,
      time: '21/Nov/2026:13:37:00 +0000',
      timeEpoch: 1_795_268_220_000,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : Buffer.from(body).toString('base64') }),
    isBase64Encoded: body !== undefined && typeof body !== 'string',
  } as LambdaEvent
}

export function contextFor(remainingMs: number): LambdaContext {
  const endMs = performance.now() + remainingMs
  return { getRemainingTimeInMillis: () => endMs - performance.now() }
}
