/** The process: reads argv and the environment, starts and stops the server. */
import { parseArgs } from 'node:util'
import pino from 'pino'
import { type Settings, settingsTable } from '../lib/core/settings.ts'
import { StartError, type Started, type StartOptions, startServer } from './server.ts'

const usage = `Usage: npm start -- [--port 8082] [--host 127.0.0.1] [--data ./.highwater | --memory]
                    [--set <setting>=<value>]... [--cors <origin>]... [--public-url <url>]`

/** Standard output belongs to the one line with the URL; the structured log goes to standard error. */
const logger = pino(
  { level: process.env.HIGHWATER_LOG_LEVEL ?? 'info', timestamp: pino.stdTimeFunctions.isoTime },
  pino.destination({ fd: 2, sync: true }),
)

try {
  const options = parseStart(process.argv.slice(2))
  const server = await startServer({ ...options, logger })
  console.log(`Highwater listens on ${server.url} (${options.dataDir ?? 'in memory'})`)
  stopOnSignal(server)
} catch (error) {
  if (!(error instanceof StartError)) throw error
  console.error(error.message)
  process.exitCode = 1
}

function parseStart(args: readonly string[]): StartOptions {
  const [command, ...rest] = args
  if (command !== 'start') throw new StartError(usage)
  const { values } = parsedArgs(rest)
  const port = Number(values.port)
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new StartError(`--port must be a whole number from 0 to 65535, not ${JSON.stringify(values.port)}.`)
  return {
    port,
    host: values.host,
    settings: parseSets(values.set ?? []),
    ...(values.memory === true ? {} : { dataDir: values.data }),
    ...(values.cors === undefined ? {} : { cors: values.cors }),
    ...(values['public-url'] === undefined ? {} : { publicUrl: values['public-url'] }),
  }
}

function parsedArgs(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        port: { type: 'string', default: '8082' },
        host: { type: 'string', default: '127.0.0.1' },
        data: { type: 'string', default: './.highwater' },
        memory: { type: 'boolean' },
        set: { type: 'string', multiple: true },
        cors: { type: 'string', multiple: true },
        'public-url': { type: 'string' },
      },
    })
  } catch (error) {
    throw new StartError(`${error instanceof Error ? error.message : error}\n${usage}`)
  }
}

function parseSets(sets: readonly string[]): Partial<Settings> {
  const settings: Record<string, number | boolean | string> = {}
  for (const set of sets) {
    const [name = '', value = ''] = set.split('=')
    const isBoolean = settingsTable[name as keyof Settings]?.unit === 'boolean'
    if (isBoolean) settings[name] = value === 'true' ? true : value === 'false' ? false : value
    else settings[name] = /^[0-9]+$/.test(value) ? Number(value) : value
  }
  // What is not a setting, or not of its type, is for parseSettings to say.
  return settings as Partial<Settings>
}

/** The first signal stops the server cleanly, the second at once. */
function stopOnSignal(server: Started): void {
  let isStopping = false
  const stop = () => {
    if (isStopping) process.exit(1)
    isStopping = true
    server.close().then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error({ err: error }, 'could not stop cleanly')
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}
