/** Options that several commands share, and how their values are read. */
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type ClientCodec, Highwater } from '../client/highwater.ts'
import { callerOf } from './caller.ts'
import { CliError, type CliIo, exitCodes } from './io.ts'

export const defaultUrl = 'http://127.0.0.1:8082'
/** Node's own: the client's only reads it, and not as fast. */
const zstd: ClientCodec = {
  compress: (bytes) => zstdCompressSync(bytes),
  decompress: (bytes, bytesMax) => zstdDecompressSync(bytes, { maxOutputLength: bytesMax }),
}
/** Longest that a command repeats a question that was not answered, before it says so. */
const retryTimeoutMs = 3_000

export interface ServerOptions {
  readonly url?: string
  readonly httpHeader?: Readonly<Record<string, string>>
  readonly apiKey?: string
  /** Sign requests for AWS; undefined: where the URL is one of AWS, and nothing else says who asks. */
  readonly awsSign?: boolean
}

/** Names of the options of `withServer`. */
export const serverOptionNames = ['url', 'httpHeader', 'apiKey', 'awsSign'] as const satisfies (keyof ServerOptions)[]

/** Where the server is, and who asks: on every command that talks to one. */
export function withServer(command: Command): Command {
  return command
    .option('--url <url>', `the server (or HIGHWATER_URL; otherwise ${defaultUrl})`)
    .option('--api-key <key>', 'shown to the server; better in HIGHWATER_API_KEY, where no list of processes has it')
    .option('--aws-sign', 'sign requests with AWS credentials (or HIGHWATER_AUTH=aws; by itself for URLs of AWS)')
    .option('--no-aws-sign', 'never do that (or HIGHWATER_AUTH=none)')
    .addOption(
      new Option('--http-header <name: value>', 'sent with every request, e.g. "X-Team: orders"').argParser(
        collectHttpHeader,
      ),
    )
}

/** Nothing of a URL is shown before what stands in front of its `@` is taken out of it. */
export function connect(options: ServerOptions, io: CliIo): Highwater {
  const { url, apiKey = options.apiKey } = withoutCredentials(options.url ?? io.env.HIGHWATER_URL ?? defaultUrl)
  const caller = callerOf(apiKey === undefined ? options : { ...options, apiKey }, url, io)
  try {
    return new Highwater({
      url,
      retryTimeoutMs,
      codecs: { zstd },
      ...caller,
      ...(options.httpHeader === undefined ? {} : { headers: options.httpHeader }),
      ...(io.fetch === undefined ? {} : { fetch: io.fetch }),
    })
  } catch (error) {
    if (error instanceof TypeError && error.message.includes('API key'))
      throw new CliError(`${error.message}.`, exitCodes.usage)
    throw notServer(url)
  }
}

/** `http://<id>:<secret>@host`, which is how clients of the REST Proxy show a key. */
function withoutCredentials(text: string): { readonly url: string; readonly apiKey?: string } {
  if (!URL.canParse(text)) throw notServer(text.replace(/\/\/.*@/, '//…@'))
  const url = new URL(text)
  const { username, password } = url
  if (username === '' && password === '') return { url: text }
  url.username = ''
  url.password = ''
  return { url: url.href, apiKey: `${username}.${password}` }
}

function notServer(url: string): CliError {
  return new CliError(`${JSON.stringify(url)} is not the URL of a server.`, exitCodes.usage)
}

function collectHttpHeader(text: string, previous: Readonly<Record<string, string>> = {}): Record<string, string> {
  const colon = text.indexOf(':')
  if (colon < 1) throw new InvalidArgumentError('It is a name, a colon and a value.')
  return { ...previous, [text.slice(0, colon).trim()]: text.slice(colon + 1).trim() }
}

export function wholeNumber(min: number, max: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^-?[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= min && value <= max))
      throw new InvalidArgumentError(
        max === Number.MAX_SAFE_INTEGER
          ? `It is a whole number of at least ${min}.`
          : `It is a whole number from ${min} to ${max}.`,
      )
    return value
  }
}

/** `0,2,5`, and the option as often as one likes. */
export function collectPartitions(text: string, previous: readonly number[] = []): number[] {
  const parse = wholeNumber(0)
  return [...previous, ...text.split(',').map((part) => parse(part.trim()))]
}

/** `name=value`; the value may be empty and may contain `=`. */
export function collectPairs(text: string, previous: readonly (readonly [string, string])[] = []): [string, string][] {
  const equals = text.indexOf('=')
  if (equals < 1) throw new InvalidArgumentError('It is a name, "=" and a value.')
  return [...(previous as [string, string][]), [text.slice(0, equals), text.slice(equals + 1)]]
}

export function collect(text: string, previous: readonly string[] = []): string[] {
  return [...previous, text]
}

/** Milliseconds since 1970, or anything that ISO 8601 calls a time; a date alone is midnight UTC. */
export function parseTime(text: string): number | undefined {
  if (/^[0-9]{1,16}$/.test(text)) return Number(text)
  if (!/^[0-9]{4}-[0-9]{2}-[0-9]{2}/.test(text)) return undefined
  const timeMs = Date.parse(text)
  return Number.isNaN(timeMs) ? undefined : timeMs
}
