/**
 * `npm run test:aws`: starts what runs here of a local AWS, runs the suites of this folder, ends all it started.
 * With AWS_ENDPOINT_URL set, that endpoint is the one engine, and nothing is started.
 *
 *     node test/aws/run.ts [--all] [files...]     @default all of test/aws/*.aws.ts
 *
 * `--all`: slow engines run everything, too.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import { cloudVariable } from './cloud/cloud.ts'
import { deviations, slowReason } from './deviations.ts'
import type { Engine, Engines, RunningEngine } from './engines.ts'
import { enginesVariable, startDynamoDbLocal, startLocalStack, startMiniStack } from './engines.ts'

/** The deployed stack has an AWS of its own: it is tried beside the rest, which share engines and take turns. */
const besides = 'test/aws/deployed.aws.ts'
const root = join(import.meta.dirname, '../..')
const { values, positionals: named } = parseArgs({ options: { all: { type: 'boolean' } }, allowPositionals: true })
const isAll = values.all === true
const running: RunningEngine[] = []
/** Engines that could not be had, each with why. */
const missing: string[] = []
const suites = new Set<ChildProcess>()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    if (suites.size === 0) process.exit(1)
    for (const child of suites) child.kill(signal)
  })

try {
  process.exitCode = await runSuites(await startEngines())
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  await Promise.all(running.map((engine) => engine.stop()))
}

async function startEngines(): Promise<Engines> {
  const endpoint = process.env.AWS_ENDPOINT_URL
  if (endpoint !== undefined && endpoint !== '') {
    const engine: Engine = { name: endpoint, endpoint, isTheUsers: true }
    console.log(`S3 and DynamoDB: ${endpoint}, as AWS_ENDPOINT_URL says`)
    return { s3: [engine], dynamodb: [engine] }
  }
  for (const [name, start] of [
    ['DynamoDB Local', startDynamoDbLocal],
    ['MiniStack', () => startMiniStack()],
    ['LocalStack', startLocalStack],
  ] as const)
    try {
      const engine = await start()
      running.push(engine)
      console.log(`${engine.services.join(' and ')}: ${name} at ${engine.endpoint}`)
    } catch (error) {
      missing.push(`${name} is left out: ${error instanceof Error ? error.message : error}`)
      console.error(missing.at(-1))
    }
  const engines = (service: keyof Engines): Engine[] =>
    running
      .filter((engine) => engine.services.includes(service))
      .map(({ name, endpoint: at, isSlow }) => ({ name, endpoint: at, isSlow: isSlow === true && !isAll }))
  if (engines('s3').length === 0 || engines('dynamodb').length === 0)
    throw new Error('Without an engine for S3 and one for DynamoDB nothing is shown.')
  return { s3: engines('s3'), dynamodb: engines('dynamodb') }
}

/** Answers the exit code. */
async function runSuites(engines: Engines): Promise<number> {
  const files = named.length > 0 ? named : globSync('test/aws/*.aws.ts', { cwd: root })
  const others = files.filter((file) => file !== besides).sort()
  const apart = files.includes(besides) && others.length > 0 ? runFiles(engines, [besides], 'pipe') : undefined
  const codes = [await runFiles(engines, apart === undefined ? files : others, 'inherit')]
  if (apart !== undefined) codes.push(await apart)
  for (const { tests, reason } of deviations) console.log(`left out: ${tests}. ${reason}`)
  for (const { name, isSlow } of engines.dynamodb) if (isSlow === true) console.log(`${name}: ${slowReason}`)
  for (const why of missing) console.error(`\nNOT TRIED HERE. ${why}`)
  return Math.max(...codes)
}

/** One file after the other. What is piped is shown when it has ended. */
async function runFiles(engines: Engines, files: readonly string[], stdio: 'inherit' | 'pipe'): Promise<number> {
  const { AWS_ENDPOINT_URL: endpoint, ...environment } = process.env
  const leftOut = deviations.map(({ tests }) => `--test-skip-pattern=${tests}`)
  const parameters = ['--test', '--test-concurrency=1', '--test-reporter=spec', ...leftOut, ...files]
  const child = spawn(process.execPath, parameters, {
    cwd: root,
    stdio: ['ignore', stdio, stdio],
    env: {
      ...environment,
      [enginesVariable]: JSON.stringify(engines),
      ...(endpoint === undefined || endpoint === '' ? {} : { [cloudVariable]: endpoint }),
    },
  })
  suites.add(child)
  const said = stdio === 'pipe' ? Promise.all([child.stdout, child.stderr].map((stream) => text(stream!))) : []
  const [code] = (await once(child, 'close')) as [number | null]
  suites.delete(child)
  for (const part of await said) process.stdout.write(part)
  return code ?? 1
}
