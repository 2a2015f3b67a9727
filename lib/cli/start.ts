/** `highwater start`: the embedded server, until it is told to stop. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type Setting, type Settings, settingsTable } from '../core/settings.ts'
import { CliError, type CliGiven, type CliIo, exitCodes, Output, type StartServerOptions } from './io.ts'
import { collect, wholeNumber } from './options.ts'

/** The embedded server knows this better than anybody who starts it. */
const ownSettings: ReadonlySet<string> = new Set(['isSoleProcess'])

interface StartFlags extends Record<string, unknown> {
  readonly port: number
  readonly host: string
  readonly data: string
  readonly memory?: boolean
  readonly bucket?: string
  readonly table?: string
  readonly cors?: readonly string[]
  readonly publicUrl?: string
  readonly requireKeys?: boolean
}

export function addStart(program: Command, io: CliIo, given: CliGiven): void {
  const command = program
    .command('start')
    .description('Start a server: the whole log in one process, in a directory, in memory, or on S3 and DynamoDB.')
    .option('--port <number>', '0 for any that is free', wholeNumber(0, 65_535), 8082)
    .option('--host <address>', 'the address to listen on', '127.0.0.1')
    .option('--data <directory>', 'where everything is kept', './.highwater')
    .option('--memory', 'keep everything in memory, until the server stops')
    .option('--bucket <name>', 'keep segments in this S3 bucket, with --table; any number of servers may share the two')
    .option('--table <name>', 'keep metadata in this DynamoDB table (string keys pk and sk), with --bucket')
    .option('--require-keys', 'refuse whoever shows no API key that allows what is asked (see highwater keys)')
    .option('--cors <origin>', 'an origin whose pages may use the server, or *; may be repeated', collect)
    .option('--public-url <url>', 'where clients reach the server, where that is not what they connect to')
  for (const [name, setting] of Object.entries(settingsTable))
    if (!ownSettings.has(name)) command.addOption(settingOption(name, setting))
  command.action(async (flags: StartFlags) => start(startOptionsOf(flags), io, given))
}

/** The flag of a setting: `segmentBytesMax` is `--segment-bytes-max`. */
export function settingOption(name: string, setting: Setting): Option {
  const flag = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
  const meaning = `${setting.meaning} Default ${setting.default}.`
  if (typeof setting.default === 'boolean')
    return new Option(`${flag} [boolean]`, meaning).argParser(parseBoolean).preset('true')
  return new Option(`${flag} <${setting.unit === 'count' ? 'number' : setting.unit}>`, meaning).argParser(
    wholeNumber(setting.min ?? 0, setting.max),
  )
}

function parseBoolean(text: string): boolean {
  if (text === 'true') return true
  if (text === 'false') return false
  throw new InvalidArgumentError('It is true or false.')
}

function startOptionsOf(flags: StartFlags): StartServerOptions {
  const settings: Record<string, unknown> = {}
  for (const name of Object.keys(settingsTable)) if (flags[name] !== undefined) settings[name] = flags[name]
  if (flags.requireKeys && flags.memory)
    throw new CliError(
      '--require-keys needs a store that has keys when the server starts: not --memory.',
      exitCodes.usage,
    )
  return {
    host: flags.host,
    port: flags.port,
    settings: settings as Partial<Settings>,
    ...storesOf(flags),
    ...(flags.requireKeys ? { requireKeys: true } : {}),
    ...(flags.cors === undefined ? {} : { cors: flags.cors }),
    ...(flags.publicUrl === undefined ? {} : { publicUrl: flags.publicUrl }),
  }
}

function storesOf({ memory, bucket, table, data }: StartFlags): Pick<StartServerOptions, 'dataDir' | 'aws'> {
  if (bucket === undefined && table === undefined) return memory === true ? {} : { dataDir: data }
  if (bucket === undefined || table === undefined || memory === true)
    throw new CliError('--bucket and --table go together, and without --memory.', exitCodes.usage)
  return { aws: { bucket, table } }
}

async function start(options: StartServerOptions, io: CliIo, given: CliGiven): Promise<void> {
  const server = await given.startServer(options).catch(asCliError)
  try {
    if (options.requireKeys !== true && !isLoopback(options.host))
      io.stderr.write(
        `highwater: warning: whoever reaches ${options.host} may read and write everything; --require-keys asks for API keys.\n`,
      )
    // The one line of standard output: whoever starts the server from a script reads the URL here.
    await new Output(io.stdout).write(`Highwater listens on ${server.url} (${placeOf(options)})\n`)
    await new Promise<void>((resolve) => {
      if (io.signal.aborted) resolve()
      io.signal.addEventListener('abort', () => resolve())
    })
  } finally {
    await server.close()
  }
}

/** What functions/ says in one sentence is for the user. */
export function asCliError(error: unknown): never {
  if (error instanceof Error && error.name === 'StartError') throw new CliError(error.message)
  throw error
}

/** Reached from this machine only. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.[0-9]{1,3}){3}$/.test(host)
}

function placeOf({ aws, dataDir }: StartServerOptions): string {
  if (aws !== undefined) return `bucket ${aws.bucket}, table ${aws.table}`
  return dataDir ?? 'in memory'
}
