/** The process: hands argv, the environment and the streams to the command line, and composes the server it may start. */
import type { defaultProvider } from '@aws-sdk/credential-provider-node'
import { runCli } from '../lib/cli/cli.ts'
import packageJson from '../package.json' with { type: 'json' }

/** The first signal ends a command in good order, the second at once. */
const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    if (stopping.signal.aborted) process.exit(130)
    stopping.abort()
  })

/** Found once: the SDK's provider remembers them until they expire. */
let credentials: ReturnType<typeof defaultProvider> | undefined

process.exitCode = await runCli(
  process.argv.slice(2),
  {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    signal: stopping.signal,
    isStderrTty: process.stderr.isTTY === true,
    async awsCredentials() {
      const { defaultProvider } = await import('@aws-sdk/credential-provider-node')
      credentials ??= defaultProvider()
      return credentials()
    },
  },
  {
    version: packageJson.version,
    async openKeys(place) {
      const { openKeyStore } = await import('./key-store.ts')
      return openKeyStore(place, process.env.AWS_ENDPOINT_URL)
    },
    async openVerifier(place) {
      const { openVerifier } = await import('./verifier.ts')
      return openVerifier(place, process.env.AWS_ENDPOINT_URL)
    },
    async backUp(dataDir, to) {
      const { backUp } = await import('./backup.ts')
      return backUp(dataDir, to)
    },
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
