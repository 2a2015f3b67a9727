/** A network between the SDK and an engine that loses, repeats and invents answers. It sits where the SDK sends its requests. */
import { Readable } from 'node:stream'
import type { RequestHandler } from '../../lib/adapters/aws/aws-client.ts'

/** What becomes of one request. */
export type Fate =
  | 'answered'
  /** It never arrives; the connection is cut. */
  | 'lost'
  /** It takes effect, and the answer is cut off. */
  | 'unanswered'
  /** It takes effect, and the sender gives up waiting. */
  | 'timeout'
  /** It takes effect twice: something on the way sent it again. The second answer is the one that arrives. */
  | 'twice'
  /** It takes effect now and once more when `late` is called; the sender hears nothing. */
  | 'late-repeat'
  /** It does not arrive; an answer with this status and this error is given in its place. */
  | { readonly status: number; readonly error: string; readonly body?: string }

/** A request of the SDK, as far as it is looked at. */
interface SentRequest {
  readonly method: string
  readonly headers: Record<string, string>
}

export class FaultyNetwork implements RequestHandler {
  readonly #network: RequestHandler
  readonly #repeats: (() => Promise<unknown>)[] = []
  /** Every request sent, by what it asks: `UpdateItem`, or for S3 the method. */
  readonly sent: string[] = []
  /** Decides for each request. */
  fate: (action: string) => Fate = () => 'answered'

  constructor(network: RequestHandler) {
    this.#network = network
  }

  async handle(request: SentRequest, options?: object): Promise<{ response: unknown }> {
    const target = Object.entries(request.headers).find(([name]) => name.toLowerCase() === 'x-amz-target')?.[1]
    const action = target?.split('.').at(-1) ?? request.method
    this.sent.push(action)
    const fate = this.fate(action)
    if (fate === 'answered') return this.#network.handle(request, options)
    if (fate === 'lost') throw cut('ECONNRESET')
    if (typeof fate === 'object') return invented(fate)
    await this.#deliver(request)
    if (fate === 'twice') return this.#network.handle(request, options)
    if (fate === 'late-repeat') this.#repeats.push(() => this.#deliver(request))
    throw fate === 'timeout'
      ? Object.assign(new Error('no answer came'), { name: 'TimeoutError', code: 'ETIMEDOUT' })
      : cut('ECONNRESET')
  }

  /** Delivers what is still on the way. */
  async late(): Promise<void> {
    for (const repeat of this.#repeats.splice(0)) await repeat()
  }

  /** Has its effect; the answer is read, since the connection is used again, and dropped. */
  async #deliver(request: SentRequest): Promise<void> {
    const { response } = (await this.#network.handle(request)) as { response: { body: AsyncIterable<unknown> } }
    for await (const _bytes of response.body);
  }

  destroy(): void {
    this.#network.destroy?.()
  }
}

function cut(code: string): Error {
  return Object.assign(new Error('the connection was cut'), { code })
}

/** An answer of the service in its own form. */
function invented({ status, error, body }: { status: number; error: string; body?: string }): { response: unknown } {
  const text = body ?? `{"__type":"com.amazonaws.dynamodb.v20120810#${error}","message":"invented"}`
  const isXml = text.startsWith('<')
  return {
    response: {
      statusCode: status,
      headers: {
        'content-type': isXml ? 'application/xml' : 'application/x-amz-json-1.0',
        'content-length': String(text.length),
      },
      body: Readable.from([Buffer.from(text)]),
    },
  }
}

export function s3Error(status: number, error: string): Fate {
  return { status, error, body: `<?xml version="1.0"?><Error><Code>${error}</Code><Message>invented</Message></Error>` }
}
