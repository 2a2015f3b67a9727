/**
 * A local AWS without Docker: what the suites of this folder run on, fetched from the package registries into a cache and
 * started on free ports.
 *
 *     MiniStack        PyPI, requirements.txt                   S3, DynamoDB, and all that a deployed stack needs
 *     LocalStack       PyPI, localstack/requirements.txt        S3; DynamoDB, which is DynamoDB Local behind its gateway
 *     DynamoDB Local   Maven Central, dynamodb-local/pom.xml    DynamoDB: the reference for conditions and capacity
 */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, globSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'

export interface Engine {
  readonly name: string
  readonly endpoint: string
  /** Given as AWS_ENDPOINT_URL: credentials are those of the environment, where there are any. */
  readonly isTheUsers?: boolean
  /** Runs what an engine can get wrong, and not what would take it minutes more. */
  readonly isSlow?: boolean
}
export interface Engines {
  readonly s3: readonly Engine[]
  readonly dynamodb: readonly Engine[]
}

/** Where run.ts tells the suites, as JSON, which engines there are. */
export const enginesVariable = 'HIGHWATER_TEST_ENGINES'

export interface RunningEngine extends Engine {
  readonly services: readonly (keyof Engines)[]
  stop(): Promise<void>
}

const here = import.meta.dirname
const cache = join(here, '../../node_modules/.cache/highwater-aws')
const startMsMax = 60_000

/** @param variables of MiniStack, over those that make it serve S3 and DynamoDB without authentication */
export async function startMiniStack(variables: Record<string, string> = {}): Promise<RunningEngine> {
  const environment = await installed('ministack', join(here, 'requirements.txt'), await pythonOf(3, 11))
  const port = await freePort()
  const directory = await mkdtemp(join(tmpdir(), 'highwater-ministack-'))
  return started('MiniStack', port, ['s3', 'dynamodb'], directory, join(environment, 'bin/ministack'), [], {
    GATEWAY_PORT: String(port),
    BIND_HOST: '127.0.0.1',
    SERVICES: 's3,dynamodb',
    LOG_LEVEL: 'WARNING',
    ...variables,
  })
}

export async function startLocalStack(): Promise<RunningEngine> {
  const requirements = join(here, 'localstack/requirements.txt')
  const environment = await installed('localstack', requirements, await pythonOf(3, 13))
  const libraries = await dynamoDbLocal()
  const port = await freePort()
  const directory = await mkdtemp(join(tmpdir(), 'highwater-localstack-'))
  const parameters = [join(here, 'localstack/start.py'), libraries]
  const python = join(environment, 'bin/python')
  const engine = await started('LocalStack', port, ['s3', 'dynamodb'], directory, python, parameters, {
    GATEWAY_LISTEN: `127.0.0.1:${port}`,
    SERVICES: 's3,dynamodb',
    // As on a host, whatever it takes this machine for; all its files below one directory, no name server, no report of use.
    OVERRIDE_IN_DOCKER: '0',
    FILESYSTEM_ROOT: directory,
    DNS_ADDRESS: '0',
    DISABLE_EVENTS: '1',
    SKIP_SSL_CERT_DOWNLOAD: '1',
  })
  return { ...engine, isSlow: true }
}

export async function startDynamoDbLocal(): Promise<RunningEngine> {
  const libraries = await dynamoDbLocal()
  const port = await freePort()
  const directory = await mkdtemp(join(tmpdir(), 'highwater-dynamodb-local-'))
  const server = 'com.amazonaws.services.dynamodbv2.local.main.ServerRunner'
  const options = [`-Djava.library.path=${libraries}`, '-Xmx512m', '-cp', join(libraries, '*'), server]
  const flags = ['-inMemory', '-disableTelemetry', '-port', String(port)]
  return started('DynamoDB Local', port, ['dynamodb'], directory, 'java', [...options, ...flags], {})
}

/** The directory of its jars. */
async function dynamoDbLocal(): Promise<string> {
  if (!isProgram('java')) throw new Error('there is no java here')
  const pom = join(here, 'dynamodb-local/pom.xml')
  const libraries = join(cache, `dynamodb-local-${await fingerprint(pom)}`)
  if (!existsSync(libraries)) {
    const unfinished = `${libraries}.${process.pid}`
    const options = [`-DoutputDirectory=${unfinished}`, '-DincludeScope=runtime']
    await run('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', ...options])
    await rename(unfinished, libraries)
  }
  return libraries
}

/** A virtual environment that holds what the file asks for. It knows its own path: it cannot be made elsewhere and moved here. */
export async function installed(name: string, requirements: string, python: string): Promise<string> {
  const environment = join(cache, `${name}-${await fingerprint(requirements)}`)
  const isInstalled = join(environment, 'installed')
  if (!existsSync(isInstalled)) {
    await rm(environment, { recursive: true, force: true })
    await run(python, ['-m', 'venv', environment])
    const options = ['--quiet', '--disable-pip-version-check', '--requirement', requirements]
    await run(join(environment, 'bin/pip'), ['install', ...options])
    await mkdir(isInstalled)
  }
  return environment
}

/** A Python of at least this version: on the PATH under any of its names, or among those that pyenv keeps. */
export async function pythonOf(major: number, minorMin: number): Promise<string> {
  const minors = Array.from({ length: 4 }, (_, above) => minorMin + above)
  const pyenv = process.env.PYENV_ROOT ?? join(homedir(), '.pyenv')
  const candidates = [
    'python3',
    ...minors.map((minor) => `python${major}.${minor}`),
    ...globSync(minors.map((minor) => join(pyenv, `versions/${major}.${minor}.*/bin/python3`))),
  ]
  const isEnough = `import sys, venv; sys.exit(sys.version_info < (${major}, ${minorMin}))`
  for (const candidate of candidates) {
    if (!isProgram(candidate)) continue
    try {
      await run(candidate, ['-c', isEnough])
      return candidate
    } catch {
      // Too old, or a name that stands for none.
    }
  }
  throw new Error(`there is no Python ${major}.${minorMin} or newer here`)
}

async function started(
  name: string,
  port: number,
  services: RunningEngine['services'],
  directory: string,
  program: string,
  parameters: readonly string[],
  variables: Record<string, string>,
): Promise<RunningEngine> {
  const child = spawn(program, parameters, {
    cwd: directory,
    env: { ...process.env, TMPDIR: directory, ...variables },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4_000)))
  const killed = () => child.kill('SIGKILL')
  process.once('exit', killed)
  const stop = async () => {
    await ended(child)
    process.off('exit', killed)
    await rm(directory, { recursive: true, force: true })
  }
  const endpoint = `http://127.0.0.1:${port}`
  const untilMs = Date.now() + startMsMax
  while (!(await answers(endpoint))) {
    if (child.exitCode !== null || child.signalCode !== null || Date.now() > untilMs) {
      await stop()
      throw new Error(`${name} did not start:\n${said}`)
    }
    await wait(100)
  }
  return { name, endpoint, services, stop }
}

async function answers(endpoint: string): Promise<boolean> {
  try {
    await (await fetch(endpoint, { signal: AbortSignal.timeout(2_000) })).arrayBuffer()
    return true
  } catch {
    return false
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  const killing = setTimeout(() => child.kill('SIGKILL'), 5_000)
  await exit
  clearTimeout(killing)
}

/** Runs a command to its end; throws with what it said when it fails. */
async function run(program: string, parameters: readonly string[]): Promise<void> {
  if (!isProgram(program)) throw new Error(`there is no ${program} here`)
  await mkdir(cache, { recursive: true })
  const child = spawn(program, parameters, { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4_000)))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`${program} ${parameters.join(' ')} failed:\n${said}`)
}

function isProgram(program: string): boolean {
  if (program.includes('/')) return existsSync(program)
  return (process.env.PATH ?? '').split(delimiter).some((directory) => existsSync(join(directory, program)))
}

async function fingerprint(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex')
    .slice(0, 12)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
