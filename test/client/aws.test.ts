/**
 * Signatures: against the published vectors of Signature Version 4 (AKIDEXAMPLE, 20150830T123600Z), and for requests as this
 * client sends them against the SDK's own signer, which looks at what came over the wire.
 */
import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { SignatureV4 } from '@smithy/signature-v4'
import { type AwsCredentials, type AwsSigning, signWithAws } from '../../lib/client/aws.ts'
import { awsServiceOf } from '../../lib/client/aws-host.ts'
import { Highwater } from '../../lib/client/highwater.ts'
import { createHarness } from '../http/harness.ts'

const vectorMs = Date.UTC(2015, 7, 30, 12, 36)
const example: AwsCredentials = {
  accessKeyId: 'AKIDEXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
}
const sessionToken = '6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267'

function signed(
  method: string,
  path: string,
  {
    headers = {},
    body = null,
    ...options
  }: Partial<AwsSigning> & { headers?: Record<string, string>; body?: string | null } = {},
): Promise<Record<string, string>> {
  const sign = signWithAws({
    credentials: example,
    region: 'us-east-1',
    service: 'service',
    now: () => vectorMs,
    ...options,
  })
  return sign({ method, url: `https://example.amazonaws.com${path}`, headers, body })
}

describe('a signature', () => {
  const unreserved = '-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
  // Those whose path is not percent-encoded (get-utf8, get-space) are of paths as no URL has them: what is encoded on the wire
  // is encoded once more to be signed, and of that the SDK's signer says below whether it is right.
  const vectors: [name: string, method: string, path: string, signature: string, headers?: Record<string, string>][] = [
    ['post-vanilla', 'POST', '/', '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b'],
    [
      'get-vanilla-query-order-key-case',
      'GET',
      '/?Param2=value2&Param1=value1',
      'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
    ],
    [
      'get-vanilla-query-order-encoded',
      'GET',
      '/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1',
      '371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac',
    ],
    [
      'get-vanilla-query-unreserved',
      'GET',
      `/?${unreserved}=${unreserved}`,
      '9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197',
    ],
    ['get-vanilla-utf8-query', 'GET', '/?ሴ=bar', '2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04'],
    ['get-unreserved', 'GET', `/${unreserved}`, '07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f'],
    ['get-slashes', 'GET', '//example//', '9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84'],
    [
      'get-header-value-trim',
      'GET',
      '/',
      'acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736',
      { 'My-Header1': ' value1', 'My-Header2': ' "a   b   c"' },
    ],
  ]
  for (const [name, method, path, signature, headers] of vectors)
    it(`is that of the published vector ${name}`, async () => {
      const { authorization } = await signed(method, path, headers === undefined ? {} : { headers })
      assert.equal(authorization?.split('Signature=')[1], signature)
    })

  it('is that of the published vector get-vanilla-with-session-token, with the token among what is signed', async () => {
    assert.deepEqual(await signed('GET', '/', { credentials: { ...example, sessionToken } }), {
      authorization:
        'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8',
      'x-amz-date': '20150830T123600Z',
      'x-amz-security-token': sessionToken,
    })
  })

  it('takes credentials from whoever has them, anew for every request', async () => {
    let asked = 0
    const sign = signWithAws({
      credentials: async () => ({ ...example, accessKeyId: `AKID${++asked}` }),
      region: 'us-east-1',
    })
    const request = { method: 'GET', url: 'https://log.test/', headers: {}, body: null }
    assert.match((await sign(request)).authorization!, /Credential=AKID1\//)
    assert.match((await sign(request)).authorization!, /Credential=AKID2\/\d{8}\/us-east-1\/execute-api\//)
  })

  it('names service and region of the host, and says which it cannot know', async () => {
    const credentialOf = async (url: string) => {
      const sign = signWithAws({ credentials: example, now: () => vectorMs })
      return /Credential=([^,]+)/.exec((await sign({ method: 'GET', url, headers: {}, body: null })).authorization!)![1]
    }
    assert.equal(
      await credentialOf('https://abc123.execute-api.eu-central-1.amazonaws.com/topics'),
      'AKIDEXAMPLE/20150830/eu-central-1/execute-api/aws4_request',
    )
    assert.equal(
      await credentialOf('https://abc123.lambda-url.us-east-1.on.aws/topics'),
      'AKIDEXAMPLE/20150830/us-east-1/lambda/aws4_request',
    )
    await assert.rejects(credentialOf('https://log.example.org/'), { name: 'TypeError', message: /region/ })
  })
})

describe('a host of AWS', () => {
  it('is an API or a function URL, of any partition, and nothing that only looks like one', () => {
    assert.deepEqual(awsServiceOf('https://a1.execute-api.cn-north-1.amazonaws.com.cn'), {
      service: 'execute-api',
      region: 'cn-north-1',
    })
    assert.deepEqual(awsServiceOf('https://a1-vpce-0f.execute-api.us-gov-west-1.amazonaws.com/x'), {
      service: 'execute-api',
      region: 'us-gov-west-1',
    })
    for (const url of [
      'http://127.0.0.1:8082',
      'https://log.example.org',
      'https://a1.execute-api.us-east-1.amazonaws.com.example.org',
      'https://execute-api.us-east-1.amazonaws.com',
      'https://bucket.s3.us-east-1.amazonaws.com',
      'https://a1.lambda-url.us-east-1.on.aws.example.org',
      'http://a1.execute-api.localhost.localstack.cloud:4566',
    ])
      assert.equal(awsServiceOf(url), undefined, url)
  })
})

describe('a request of the client', () => {
  interface Came {
    readonly method: string
    /** As it stood on the wire. */
    readonly target: string
    readonly headers: IncomingMessage['headers']
    readonly body: Buffer
  }
  const came: Came[] = []
  const { app } = createHarness()
  const server = createServer(async (request, response) => {
    const body = await buffer(request)
    const { method = '', url: target = '', headers } = request
    came.push({ method, target, headers, body })
    const answer = await app.fetch(
      new Request(`http://log.test${target}`, {
        method,
        headers: headers as Record<string, string>,
        ...(body.length === 0 ? {} : { body }),
      }),
    )
    response.writeHead(answer.status, Object.fromEntries(answer.headers))
    response.end(await answer.bytes())
  })
  let url = ''
  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  after(() => server.close())

  const credentials = { ...example, sessionToken: 'token/with+signs=' }

  /** What the SDK's signer makes of what came, and what came. */
  async function signatures({ method, target, headers, body }: Came): Promise<[string, string]> {
    const given = headers.authorization!
    const [, scope = '', names = '', signature = ''] =
      /Credential=[^/]+\/([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(given) ?? []
    const [, region, service] = scope.split('/')
    const { pathname, searchParams } = new URL(target, url)
    const signer = new SignatureV4({
      credentials,
      region: region!,
      service: service!,
      applyChecksum: false,
      sha256: Sha256 as never,
    })
    const stamp = String(headers['x-amz-date'])
    const date = new Date(stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
    const request = {
      method,
      protocol: 'http:',
      hostname: '127.0.0.1',
      path: pathname,
      query: Object.fromEntries(searchParams),
      headers: Object.fromEntries(names.split(';').map((name) => [name, String(headers[name])])),
      body: body.length === 0 ? undefined : body,
    }
    const again: unknown = await signer.sign(request as never, { signingDate: date })
    return [
      String((again as { headers: Record<string, string> }).headers.authorization).split('Signature=')[1]!,
      signature,
    ]
  }

  /** The hash the SDK's signer asks for. */
  class Sha256 {
    readonly #hash: ReturnType<typeof createHash>
    constructor(secret?: string | ArrayBuffer | Uint8Array) {
      this.#hash = (
        secret === undefined ? createHash('sha256') : createHmac('sha256', secret as Uint8Array)
      ) as ReturnType<typeof createHash>
    }
    update(data: string | Uint8Array): void {
      this.#hash.update(data)
    }
    async digest(): Promise<Uint8Array> {
      return this.#hash.digest()
    }
  }

  const highwater = () =>
    new Highwater({
      url,
      headers: { 'X-Spaced': 'a   b' },
      authorize: signWithAws({ credentials, region: 'eu-central-1' }),
    })

  it('has a signature that the SDK makes of it, too, whatever is in its path, query, headers and body', async () => {
    came.length = 0
    const { admin } = highwater()
    const producer = highwater().producer()
    await admin.createTopic('t')
    await admin.createTopic('orders.2026_a-b~c').catch(() => {})
    await admin.describeTopic("größe (1)!*'&=+ /%2F").catch(() => {})
    await admin.alterConfigs('t', { 'retention.ms': '1' })
    await admin.offsetForTimestamp('t', 0, 1_700_000_000_000)
    await producer.send({ topic: 't', partition: 0, value: new Uint8Array([0, 255, 1, 128]) })
    await producer.close()
    await admin.deleteRecords('t', 0, 'end')
    assert.ok(came.length >= 9, String(came.length))
    assert.ok(came.some(({ target }) => target.includes('/configs:alter')))
    assert.ok(came.some(({ target }) => target.includes('?')))
    assert.ok(came.some(({ body }) => body.length > 0 && body.includes(0)))
    for (const one of came) {
      const [again, signature] = await signatures(one)
      assert.equal(signature, again, `${one.method} ${one.target}`)
      assert.equal(one.headers['x-amz-security-token'], credentials.sessionToken)
    }
  })

  it('is told apart from one that was changed on its way', async () => {
    came.length = 0
    await highwater().admin.createTopic('u')
    const one = came.at(-1)!
    const changes: Partial<Came>[] = [
      { method: 'PUT' },
      { target: `${one.target}x` },
      { target: `${one.target}?a=1` },
      { body: Buffer.concat([one.body, Buffer.from(' ')]) },
      { headers: { ...one.headers, host: 'other.test' } },
    ]
    for (const change of changes) {
      const [again, signature] = await signatures({ ...one, ...change })
      assert.notEqual(signature, again, JSON.stringify(change))
    }
  })

  it('that cannot be signed is not sent', async () => {
    came.length = 0
    const client = new Highwater({
      url,
      authorize: signWithAws({ credentials: () => Promise.reject(new Error('no credentials')), region: 'x' }),
    })
    await assert.rejects(client.admin.cluster(), { code: 'UNAUTHORIZED', message: /no credentials/ })
    assert.equal(came.length, 0)
  })

  it('carries an API key, which a header or authorize replaces', async () => {
    const apiKey = `hw0.${'a'.repeat(43)}`
    const sent = async (options: object) => {
      came.length = 0
      await new Highwater({ url, ...options }).admin.cluster()
      return came[0]!.headers.authorization
    }
    assert.equal(await sent({ apiKey }), `Bearer ${apiKey}`)
    assert.equal(await sent({ apiKey, headers: { Authorization: 'Basic x' } }), 'Basic x')
    assert.equal(await sent({ apiKey, authorize: () => ({ authorization: 'Other' }) }), 'Other')
  })

  it('does not repeat an API key that is none', () => {
    const apiKey = `hw0.${'a'.repeat(44)}`
    assert.throws(
      () => new Highwater({ url, apiKey }),
      (error: Error) => error instanceof TypeError && !error.message.includes('aaa'),
    )
  })
})
