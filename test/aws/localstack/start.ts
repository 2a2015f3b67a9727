/**
 * `npm run localstack`: LocalStack as compose.yaml has it, until Ctrl-C. Says what is missing where something is; the suites
 * need none of this (`npm run test:aws`).
 */
import { spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'

const { LOCALSTACK_PORT: port = '4566', LOCALSTACK_AUTH_TOKEN: token = '' } = process.env
const root = join(import.meta.dirname, '../../..')
const missing = whatIsMissing()

if (missing === undefined) {
  console.log(`LocalStack will listen on http://127.0.0.1:${port}. In another terminal:

    AWS_ENDPOINT_URL=http://127.0.0.1:${port} npm run test:aws
`)
  const compose = spawn('docker', ['compose', '-f', join(root, 'compose.yaml'), 'up'], { cwd: root, stdio: 'inherit' })
  // Compose ends its containers by itself, and so do we then.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => compose.kill(signal))
  compose.on('exit', (code) => {
    process.exitCode = code ?? 1
  })
} else {
  console.error(`${missing}

Without LocalStack: \`npm run test:aws\` brings up a local AWS that needs neither Docker nor a token.`)
  process.exitCode = 1
}

function whatIsMissing(): string | undefined {
  if (spawnSync('docker', ['--version']).error !== undefined)
    return 'LocalStack runs in Docker, and there is no docker here: https://docs.docker.com/get-docker/'
  if (spawnSync('docker', ['compose', 'version']).status !== 0)
    return 'There is a docker, but `docker compose` is missing: https://docs.docker.com/compose/install/'
  if (spawnSync('docker', ['info']).status !== 0) return 'There is a docker, but its daemon does not answer: start it.'
  if (token === '')
    return 'LocalStack starts with a token only. Set LOCALSTACK_AUTH_TOKEN to that of your account: https://app.localstack.cloud'
  return undefined
}
