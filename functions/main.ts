/** The process: hands argv, the environment and the streams to the command line, and composes the server it may start. */
import { runCli } from '../lib/cli/cli.ts'
import packageJson from '../package.json' with { type: 'json' }

/** The first signal ends a command in good order, the second at once. */
const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    if (stopping.signal.aborted) process.exit(130)
    stopping.abort()
  })

process.exitCode = await runCli(
  process.argv.slice(2),
  {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    signal: stopping.signal,
    isStderrTty: process.stderr.isTTY === true,
  },
  {
    version: packageJson.version,
    // Loaded when it is wanted: a client has no use for a server, and should start at once.
    async startServer(options) {
      const { startServer } = await import('./server.ts')
      const { createLogger } = await import('./logger.ts')
      const { AWS_ENDPOINT_URL: endpoint, HIGHWATER_LOG_LEVEL: level } = process.env
      const { aws, ...rest } = options
      return startServer({
        ...rest,
        ...(aws === undefined ? {} : { aws: { ...aws, ...(endpoint === undefined ? {} : { endpoint }) } }),
        logger: createLogger(level),
      })
    },
  },
)
