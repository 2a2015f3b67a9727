/**
 * A local AWS that a stack can be deployed to: MiniStack with everything it has, which checks signatures and policies here,
 * behind a recorder. Or the one that AWS_ENDPOINT_URL names, which is taken as it is.
 */
import { delimiter, dirname } from 'node:path'
import { startMiniStack } from '../engines.ts'
import { Recorder } from './recorder.ts'

export interface Cloud {
  /** What AWS_ENDPOINT_URL is for whoever uses this cloud. */
  readonly endpoint: string
  readonly region: string
  /** Of somebody who may do everything. */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string }
  /** What was asked of S3 and DynamoDB. undefined: the cloud is the user's own, where nothing is recorded. */
  readonly recorder: Recorder | undefined
  stop(): Promise<void>
}

/** Where run.ts tells the suites of an endpoint that the user named. */
export const cloudVariable = 'HIGHWATER_TEST_CLOUD'
const region = process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? 'us-east-1'
const { AWS_ACCESS_KEY_ID: accessKeyId = 'test', AWS_SECRET_ACCESS_KEY: secretAccessKey = 'test' } = process.env

/** Why no stack can be deployed to the user's own endpoint; undefined where one can. */
export async function whyNoStack(): Promise<string | undefined> {
  const endpoint = process.env[cloudVariable]
  if (endpoint === undefined) return undefined
  const authorization = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/20260101/${region}/apigateway/aws4_request, SignedHeaders=host, Signature=none`
  const { status } = await fetch(`${endpoint}/v2/apis`, { headers: { authorization } })
  return status < 400 || status === 403 ? undefined : `${endpoint} has no HTTP APIs (it answers ${status})`
}

export async function startCloud(): Promise<Cloud> {
  const given = process.env[cloudVariable]
  if (given !== undefined)
    return {
      endpoint: given,
      region,
      credentials: { accessKeyId, secretAccessKey },
      recorder: undefined,
      stop: async () => {},
    }
  // Whoever stops the tests stops what they started.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  const recorder = await Recorder.listen()
  const engine = await startMiniStack({
    SERVICES: '',
    AUTH: 'true',
    MINISTACK_REGION: region,
    // What functions are given.
    AWS_ENDPOINT_URL: recorder.url,
    // They run on the `node` of the PATH: on the same one as these tests.
    PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}`,
  })
  recorder.target = engine.endpoint
  return {
    endpoint: recorder.url,
    region,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    recorder,
    stop: async () => {
      await recorder.close()
      await engine.stop()
    },
  }
}
