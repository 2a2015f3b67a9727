/**
 * Who asks: an API key, an AWS identity, or nobody. What is said on the command line wins over the environment, and what is
 * said at all over what the URL suggests. Nothing here prints a secret.
 */

import { awsServiceOf } from '../client/aws-host.ts'
import type { HighwaterOptions } from '../client/highwater.ts'
import { CliError, type CliIo, exitCodes } from './io.ts'
import type { ServerOptions } from './options.ts'

type Caller = Pick<HighwaterOptions, 'apiKey' | 'authorize'>
type Authorize = NonNullable<HighwaterOptions['authorize']>

export function callerOf(options: ServerOptions, url: string, io: CliIo): Caller {
  const { apiKey, awsSign, httpHeader = {} } = options
  const { HIGHWATER_API_KEY: keyOfEnv, HIGHWATER_AUTH: auth = '' } = io.env
  if (!['', 'aws', 'none'].includes(auth))
    throw new CliError(`HIGHWATER_AUTH is aws or none, not ${JSON.stringify(auth)}.`, exitCodes.usage)
  if (apiKey !== undefined && awsSign === true)
    throw new CliError('--api-key and --aws-sign exclude each other.', exitCodes.usage)
  if (apiKey !== undefined) return { apiKey }
  if (awsSign === true) return { authorize: signing(url, io) }
  if (Object.keys(httpHeader).some((name) => name.toLowerCase() === 'authorization')) return {}
  if (auth === 'aws' && awsSign === undefined) return { authorize: signing(url, io) }
  if (keyOfEnv !== undefined && keyOfEnv !== '') return { apiKey: keyOfEnv }
  if (awsSign === undefined && auth === '' && awsServiceOf(url) !== undefined)
    return { authorize: signingIfPossible(url, io) }
  return {}
}

/** The signer, the credentials and what it takes to find them are loaded with the first request: most commands sign nothing. */
function signing(url: string, io: CliIo): Authorize {
  const region = awsServiceOf(url) === undefined ? (io.env.AWS_REGION ?? io.env.AWS_DEFAULT_REGION) : undefined
  if (awsServiceOf(url) === undefined && region === undefined)
    throw new CliError('The region to sign for is not in the name of the host; set AWS_REGION.', exitCodes.usage)
  let loading: Promise<Authorize> | undefined
  const load = async (): Promise<Authorize> => {
    const { signWithAws } = await import('../client/aws.ts')
    const { awsCredentials } = io
    if (awsCredentials === undefined) throw new Error('there are no AWS credentials here')
    return signWithAws({ credentials: awsCredentials, ...(region === undefined ? {} : { region }) })
  }
  return async (request) => {
    loading ??= load()
    return (await loading)(request)
  }
}

/** Nobody has asked for it: without credentials requests go out unsigned, since the API may not ask for them. Says so once. */
function signingIfPossible(url: string, io: CliIo): Authorize {
  const sign = signing(url, io)
  let isPossible = true
  return async (request) => {
    if (!isPossible) return {}
    try {
      return await sign(request)
    } catch (error) {
      isPossible = false
      const reason = error instanceof Error ? error.message : String(error)
      io.stderr.write(`highwater: requests are not signed, as there are no AWS credentials (${reason})\n`)
      return {}
    }
  }
}
