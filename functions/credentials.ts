/**
 * Stands in the bundles of event functions for `@aws-sdk/credential-provider-node` (infra/bundling.ts). A Lambda function is
 * given the credentials of its role in its environment; the SDK's way of asking profiles, single sign-on, web identities and
 * metadata services after them would be a fifth of the bundle, and is never gone.
 */
interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

export function defaultProvider(): () => Promise<Credentials> {
  return async () => {
    const {
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_SESSION_TOKEN: sessionToken,
    } = process.env
    if (accessKeyId === undefined || secretAccessKey === undefined)
      throw new Error('AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not in the environment.')
    return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) }
  }
}
