/** Somebody who calls the deployed API: with an identity of AWS, with a key, or with nothing. */
import assert from 'node:assert/strict'
import { signWithAws } from '../../../lib/client/aws.ts'
import { Highwater, type HighwaterOptions } from '../../../lib/client/highwater.ts'
import { askForm } from './ask.ts'
import type { Cloud } from './cloud.ts'
import type { Stack } from './stack.ts'

export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface Sent {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly bytes: Uint8Array
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: what the API answers; the tests say what that should be
  readonly json: any
}

export interface Caller {
  /** The web's `fetch`, with what this caller shows. */
  readonly fetch: typeof fetch
  readonly client: (options?: Partial<HighwaterOptions>) => Highwater
  send(method: string, path: string, sent?: Sent): Promise<Answer>
}

type Authorize = NonNullable<HighwaterOptions['authorize']>

export function caller(stack: Stack, authorize: Authorize = () => ({})): Caller {
  const signed: typeof fetch = async (input, init = {}) => {
    const headers = Object.fromEntries(new Headers(init.headers))
    const { body = null, method = 'GET' } = init
    assert.ok(body === null || typeof body === 'string' || body instanceof Uint8Array)
    const shown = await authorize({ method, url: String(input), headers, body })
    return fetch(input, { ...init, headers: { ...headers, ...shown } })
  }
  return {
    fetch: signed,
    client: (options = {}) => new Highwater({ url: stack.url, authorize, ...options }),
    async send(method, path, { headers = {}, body } = {}) {
      const response = await signed(stack.url + path, {
        method,
        headers,
        ...(body === undefined ? {} : { body: body as BodyInit }),
      })
      const bytes = new Uint8Array(await response.arrayBuffer())
      const text = new TextDecoder().decode(bytes)
      const isJson = /json/.test(response.headers.get('content-type') ?? '')
      return {
        status: response.status,
        headers: response.headers,
        bytes,
        text,
        json: isJson && text !== '' ? JSON.parse(text) : undefined,
      }
    },
  }
}

/** Signs as an API with auth=iam asks for it. */
export function signing({ region }: Cloud, credentials: Credentials): Authorize {
  return signWithAws({ credentials, region, service: 'execute-api' })
}

/** A user who may call these routes (`POST/topics/*`) and do nothing else. */
export async function newUser(
  cloud: Cloud,
  stack: Stack,
  name: string,
  routes: readonly string[],
): Promise<Credentials> {
  const iam = (form: Record<string, string>) =>
    askForm(cloud, 'iam', { Version: '2010-05-08', UserName: name, ...form })
  await iam({ Action: 'CreateUser' })
  await iam({
    Action: 'PutUserPolicy',
    PolicyName: 'routes',
    PolicyDocument: JSON.stringify({
      Version: '2012-10-17',
      Statement: [
        {
          Effect: 'Allow',
          Action: 'execute-api:Invoke',
          Resource: routes.map((route) => `arn:aws:execute-api:${cloud.region}:*:${stack.apiId}/*/${route}`),
        },
      ],
    }),
  })
  const answer = await iam({ Action: 'CreateAccessKey' })
  const tagged = (tag: string) => new RegExp(`<${tag}>([^<]+)</${tag}>`).exec(answer)?.[1] ?? ''
  return { accessKeyId: tagged('AccessKeyId'), secretAccessKey: tagged('SecretAccessKey') }
}
