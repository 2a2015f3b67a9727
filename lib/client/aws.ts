/**
 * Signing requests for AWS (Signature Version 4), for an API that asks its callers for their IAM identity. A door of its own
 * beside highwater.ts, because it needs a package (aws4fetch, which needs nothing but the web's crypto).
 *
 * Only the signer of the package is used, never its fetch: that one sends a request again by itself, and a repeated append is
 * ours to decide (W1-W5).
 */
import { AwsV4Signer } from 'aws4fetch'
import { awsServiceOf } from './aws-host.ts'
import type { OutgoingRequest } from './transport.ts'

export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Of temporary credentials. */
  readonly sessionToken?: string | undefined
}

export interface AwsSigning {
  /** Or what answers them: it is called for every request, so it should remember them, as the SDK's providers do. */
  readonly credentials: AwsCredentials | (() => AwsCredentials | Promise<AwsCredentials>)
  /** @default that in the host's name; with a domain of your own it has to be said */
  readonly region?: string
  /** `execute-api` for an API, `lambda` for a function URL. @default by the host's name, otherwise `execute-api` */
  readonly service?: string
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number
}

/** Keys derived from a secret, a day, a region and a service; more than a few at a time there never are. */
const derivedKeysMax = 16

/**
 * For `authorize` of a client: signs every request with AWS credentials.
 *
 * @throws TypeError (from the call) where the region is neither given nor in the host's name
 * @example
 * import { fromNodeProviderChain } from '@aws-sdk/credential-providers'
 *
 * const highwater = new Highwater({
 *   url: 'https://abc123.execute-api.eu-central-1.amazonaws.com',
 *   authorize: signWithAws({ credentials: fromNodeProviderChain() }),
 * })
 */
export function signWithAws(options: AwsSigning): (request: OutgoingRequest) => Promise<Record<string, string>> {
  const { credentials, now = Date.now } = options
  const derivedKeys = new Map<string, ArrayBuffer>()
  return async ({ method, url, headers, body }) => {
    const host = awsServiceOf(url)
    const region = options.region ?? host?.region
    if (region === undefined)
      throw new TypeError(`the region to sign for is not in the name of ${new URL(url).host}: say it in \`region\``)
    const { accessKeyId, secretAccessKey, sessionToken } =
      typeof credentials === 'function' ? await credentials() : credentials
    if (derivedKeys.size >= derivedKeysMax) derivedKeys.clear()
    const signer = new AwsV4Signer({
      method,
      url,
      headers: { ...headers },
      ...(body === null ? {} : { body: body as Uint8Array<ArrayBuffer> | string }),
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
      service: options.service ?? host?.service ?? 'execute-api',
      region,
      datetime: new Date(now()).toISOString().replaceAll(/[-:]|\.\d{3}/g, ''),
      cache: derivedKeys,
    })
    const signed = (await signer.sign()).headers
    return Object.fromEntries(
      ['authorization', 'x-amz-date', 'x-amz-security-token'].flatMap((name) => {
        const value = signed.get(name)
        return value === null ? [] : [[name, value]]
      }),
    )
  }
}
