/**
 * Stands between everybody and the local AWS, as a load balancer would: it ends TLS (says so, at least: nothing here has a
 * certificate, and the bucket's policy refuses what did not come by TLS), passes every request on as it is, and writes down
 * who asked for what. Requests to DynamoDB can be sent to another engine, one that counts capacity as AWS does.
 */
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { UnitReckoner } from './units.ts'

/** A request to S3 or DynamoDB. A transaction is one for each of its writes, as IAM sees it. */
export interface Asked {
  /** Whose credentials it carries. */
  readonly accessKeyId: string
  /** As IAM names it: `s3:PutObject`, `dynamodb:UpdateItem`. */
  readonly action: string
  /** The table; the bucket, with the key where an object is meant. */
  readonly resource: string
  /** DynamoDB: the partition keys of the items. */
  readonly keys: readonly string[]
  readonly status: number
  /** DynamoDB: what the whole request is billed, where that was asked of the engine, or reckoned; of a transaction on its first entry only. */
  readonly units: number
  /** The wire's own name of the request: `PUT`, `UpdateItem`, `TransactWriteItems`. The same for all entries of one. */
  readonly request: string
  readonly isFirst: boolean
}

export class Recorder {
  readonly asked: Asked[] = []
  readonly url: string
  readonly #server: Server
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256 })
  /** Where requests go. */
  target = ''
  /** Where requests to DynamoDB go instead. It asks for no credentials and is asked for the capacity of every request. */
  dynamodb: string | undefined
  /** Set: the capacity of every request that is not sent there is reckoned. */
  reckoner: UnitReckoner | undefined

  private constructor(server: Server) {
    this.#server = server
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('request', (incoming, outgoing) => {
      this.#pass(incoming, outgoing).catch((error: unknown) => {
        outgoing.destroy(error instanceof Error ? error : new Error(String(error)))
      })
    })
  }

  /** On a free port. The target may have to know the address before it can be said. */
  static async listen(): Promise<Recorder> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Recorder(server)
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    this.#agent.destroy()
  }

  async #pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/', headers } = incoming
    const body = await buffer(incoming)
    const target = headers['x-amz-target']
    const operation =
      typeof target === 'string' && target.startsWith('DynamoDB_') ? target.split('.').at(-1) : undefined
    const isRedirected = operation !== undefined && this.dynamodb !== undefined
    const sent = isRedirected ? withCapacity(body) : body
    const { 'transfer-encoding': _chunked, connection: _connection, ...kept } = headers
    const passed = request(`${isRedirected ? this.dynamodb : this.target}${url}`, {
      method,
      agent: this.#agent,
      headers: {
        ...kept,
        ...(sent.length > 0 || headers['content-length'] !== undefined ? { 'content-length': sent.length } : {}),
        'x-forwarded-proto': 'https',
        // DynamoDB Local keeps the tables of each caller apart.
        ...(isRedirected ? { authorization: headers.authorization?.replace(/=[^/]+/, '=test') } : {}),
      },
    })
    outgoing.once('close', () => passed.destroy())
    passed.end(sent)
    const [answer] = (await once(passed, 'response')) as [IncomingMessage]
    const status = answer.statusCode ?? 0
    const said = operation === undefined ? undefined : await buffer(answer)
    this.#note(headers, method, url, status, operation, body, this.#units(isRedirected, operation, body, said, status))
    outgoing.writeHead(status, answer.rawHeaders.length > 0 ? endToEnd(answer.rawHeaders) : [])
    if (said === undefined) answer.pipe(outgoing)
    else outgoing.end(said)
  }

  #units(
    isRedirected: boolean,
    operation: string | undefined,
    body: Buffer,
    said: Buffer | undefined,
    status: number,
  ): number {
    if (said === undefined || operation === undefined) return 0
    if (isRedirected) return unitsOf(said)
    if (this.reckoner === undefined || status >= 500) return 0
    return this.reckoner.unitsOf(operation, JSON.parse(body.toString()), JSON.parse(said.toString()), status < 400)
  }

  #note(
    headers: IncomingMessage['headers'],
    method: string,
    url: string,
    status: number,
    operation: string | undefined,
    body: Buffer,
    units: number,
  ): void {
    const scope = /Credential=([^/]+)\/\d+\/[^/]+\/([^/]+)\//.exec(headers.authorization ?? '')
    const [, accessKeyId = '', service = ''] = scope ?? []
    const note = (request: string, entries: readonly Pick<Asked, 'action' | 'resource' | 'keys'>[], units = 0) => {
      for (const [index, entry] of entries.entries())
        this.asked.push({
          ...entry,
          accessKeyId,
          request,
          status,
          isFirst: index === 0,
          units: index === 0 ? units : 0,
        })
    }
    if (operation !== undefined) note(operation, dynamoDbActions(operation, JSON.parse(body.toString())), units)
    else if (service === 's3') {
      const [, bucket = '', key] = /^\/([^/?]+)(?:\/([^?]+))?/.exec(url) ?? []
      const resource = key === undefined ? bucket : `${bucket}/${decodeURIComponent(key)}`
      note(method, [{ action: s3Action(method, key !== undefined), resource, keys: [] }])
    }
  }
}

interface Key {
  readonly pk?: { readonly S?: string }
}
interface ItemRequest {
  readonly TableName?: string
  readonly Key?: Key
  readonly Item?: Key
  readonly KeyConditionExpression?: string
  readonly ExpressionAttributeValues?: Readonly<Record<string, { readonly S?: string }>>
  readonly TransactItems?: readonly Readonly<Record<string, ItemRequest>>[]
}

function dynamoDbActions(operation: string, body: ItemRequest): Pick<Asked, 'action' | 'resource' | 'keys'>[] {
  if (body.TransactItems !== undefined)
    return body.TransactItems.flatMap((item) =>
      Object.entries(item).flatMap(([kind, of]) =>
        dynamoDbActions(kind === 'ConditionCheck' ? 'ConditionCheckItem' : `${kind}Item`, of),
      ),
    )
  const [, queried = ''] = /^pk = (:\w+)/.exec(body.KeyConditionExpression ?? '') ?? []
  const key = (body.Key ?? body.Item)?.pk?.S ?? body.ExpressionAttributeValues?.[queried]?.S
  return [{ action: `dynamodb:${operation}`, resource: body.TableName ?? '', keys: key === undefined ? [] : [key] }]
}

function s3Action(method: string, isObject: boolean): string {
  if (!isObject) return method === 'GET' ? 's3:ListBucket' : `s3:${method}Bucket`
  switch (method) {
    case 'GET':
    case 'HEAD':
      return 's3:GetObject'
    case 'PUT':
    case 'POST':
      return 's3:PutObject'
    default:
      return 's3:DeleteObject'
  }
}

function withCapacity(body: Buffer): Buffer {
  return Buffer.from(JSON.stringify({ ...JSON.parse(body.toString()), ReturnConsumedCapacity: 'TOTAL' }))
}

function unitsOf(answer: Buffer): number {
  const { ConsumedCapacity } = JSON.parse(answer.toString()) as {
    ConsumedCapacity?: { CapacityUnits: number } | { CapacityUnits: number }[]
  }
  return [ConsumedCapacity ?? []].flat().reduce((sum, { CapacityUnits }) => sum + CapacityUnits, 0)
}

function endToEnd(raw: readonly string[]): string[] {
  return raw.filter((_, index) => !/^(connection|keep-alive|transfer-encoding)$/i.test(raw[index - (index % 2)] ?? ''))
}
