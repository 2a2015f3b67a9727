/** Words to use consumer instances with, over one app or several. */
import assert from 'node:assert/strict'
import type { Harness } from './harness.ts'

export interface Answer {
  readonly status: number
  readonly type: string | null
  readonly body: unknown
}

export type Send = Harness['send']

export async function call(
  send: Send,
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const response = await send(method, path, {
    headers: { 'content-type': 'application/vnd.kafka.v2+json', ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    body: text === '' ? undefined : JSON.parse(text),
  }
}

export interface ConsumedRecord {
  readonly topic: string
  readonly key: unknown
  readonly value: unknown
  readonly partition: number
  readonly offset: number
}

/** An instance as its client uses it; each request may go through another process. */
export class Consumer {
  readonly path: string
  send: Send

  private constructor(send: Send, path: string) {
    this.send = send
    this.path = path
  }

  /** In JSON, from the earliest offset, without auto commit, where the config says nothing else. */
  static async create(send: Send, group: string, config: Readonly<Record<string, unknown>> = {}): Promise<Consumer> {
    const created = await call(send, 'POST', `/consumers/${encodeURIComponent(group)}`, {
      format: 'json',
      'auto.offset.reset': 'earliest',
      'auto.commit.enable': 'false',
      'consumer.request.timeout.ms': 0,
      ...config,
    })
    assert.equal(created.status, 200, JSON.stringify(created.body))
    const { base_uri: uri } = created.body as { base_uri: string }
    return new Consumer(send, new URL(uri).pathname)
  }

  /** @param path below the instance, with its query */
  call(method: string, path = '', body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer> {
    return call(this.send, method, this.path + path, body, headers)
  }

  /** As `call`, and it must answer this. */
  async expect(status: number, method: string, path = '', body?: unknown): Promise<unknown> {
    const answer = await this.call(method, path, body)
    assert.equal(answer.status, status, `${method} ${path}: ${JSON.stringify(answer.body)}`)
    return answer.body
  }

  async subscribe(...topics: string[]): Promise<void> {
    await this.expect(204, 'POST', '/subscription', { topics })
  }

  async records(query = ''): Promise<readonly ConsumedRecord[]> {
    return (await this.expect(200, 'GET', `/records${query}`)) as ConsumedRecord[]
  }

  /** Of the next records. */
  async values(query = ''): Promise<readonly unknown[]> {
    return (await this.records(query)).map(({ value }) => value)
  }

  async assignments(): Promise<readonly string[]> {
    const { partitions } = (await this.expect(200, 'GET', '/assignments')) as {
      partitions: { topic: string; partition: number }[]
    }
    return partitions.map(({ topic, partition }) => `${topic}/${partition}`)
  }

  /** The committed offsets of partitions of `t`; undefined where there is none. */
  async committed(...partitions: number[]): Promise<readonly (number | undefined)[]> {
    const query = partitions.map((partition) => `topic=t&partition=${partition}`).join('&')
    const { offsets } = (await this.expect(200, 'GET', `/offsets?${query}`)) as { offsets: ConsumedRecord[] }
    return partitions.map((partition) => offsets.find((one) => one.partition === partition)?.offset)
  }
}

/** Records of one partition of `t`, as JSON. */
export async function produce(send: Send, values: readonly unknown[], partition = 0, topic = 't'): Promise<void> {
  const answer = await call(
    send,
    'POST',
    `/topics/${topic}/partitions/${partition}`,
    { records: values.map((value) => ({ value })) },
    { 'content-type': 'application/vnd.kafka.json.v2+json' },
  )
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
}

export function isError(answer: Answer, status: number, code: number, message: RegExp = /./): void {
  const body = answer.body as { error_code: number; message: string }
  assert.deepEqual([answer.status, body?.error_code], [status, code], JSON.stringify(answer.body))
  assert.match(body.message, message)
}
