/**
 * Cold starts: how large each function's bundle is, and how long a fresh process takes to import it and to make what it keeps
 * (the engine, the clients, the router), beside a bundle of the SDK's two clients alone, which no function of ours can do
 * without. All in turn, many times, in one run: what counts is the difference between two that ran one after the other.
 */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Bundle, bundleFunction, bundleSdk, functionNames } from '../functions/bundles.ts'
import { withTempDirectory } from './temp-directory.ts'

const rounds = 21
/** A bundle may be so much larger than the SDK's clients alone, and take so much longer. */
export const aboveBytesMax = 200 * 1_024
export const aboveMsMax = 25

export interface ColdStart {
  readonly name: string
  readonly sizeBytes: number
  /** Medians. */
  readonly ms: number
  readonly cpuMs: number
  /** Above the SDK's clients alone: medians of the differences, round by round. */
  readonly aboveBytes: number
  readonly aboveMs: number
  readonly aboveCpuMs: number
}

interface Start {
  readonly ms: number
  readonly cpuMs: number
}

const bare = 'the SDK’s clients alone'

export async function coldStart(): Promise<readonly ColdStart[]> {
  const bundles = new Map<string, Bundle>([[bare, await bundleSdk()]])
  for (const name of functionNames) if (name !== 'web') bundles.set(name, await bundleFunction(name))
  const starts = new Map<string, Start[]>([...bundles.keys()].map((name) => [name, []]))
  await withTempDirectory(async (directory) => {
    const files = new Map<string, string>()
    for (const [name, { code, sourceMap }] of bundles) {
      const file = join(directory, `${files.size}.mjs`)
      files.set(name, file)
      // As it is deployed: with its source map beside it, which Node is told to use.
      await writeFile(
        file,
        code.replace(/\n\/\/# sourceMappingURL=.*\s*$/, `\n//# sourceMappingURL=${files.size - 1}.mjs.map\n`),
      )
      await writeFile(`${file}.map`, sourceMap)
    }
    const timer = join(directory, 'time.mjs')
    await writeFile(timer, timing)
    for (let round = 0; round <= rounds; round++)
      for (const [name, file] of files) {
        const { stdout } = await promisify(execFile)(process.execPath, ['--enable-source-maps', timer, file], { env })
        // The first one reads from the disk what the others find in memory.
        if (round > 0) starts.get(name)?.push(JSON.parse(stdout) as Start)
      }
  })
  const bareStarts = starts.get(bare) ?? []
  const bareBytes = bundles.get(bare)?.sizeBytes ?? 0
  return [...bundles].map(([name, { sizeBytes }]) => {
    const own = starts.get(name) ?? []
    const above = (of: (start: Start) => number) =>
      median(own.map((start, round) => of(start) - of(bareStarts[round] ?? start)))
    return {
      name,
      sizeBytes,
      ms: median(own.map(({ ms }) => ms)),
      cpuMs: median(own.map(({ cpuMs }) => cpuMs)),
      aboveBytes: sizeBytes - bareBytes,
      aboveMs: above(({ ms }) => ms),
      aboveCpuMs: above(({ cpuMs }) => cpuMs),
    }
  })
}

const env = {
  AWS_REGION: 'eu-central-1',
  AWS_ACCESS_KEY_ID: 'none',
  AWS_SECRET_ACCESS_KEY: 'none',
  HIGHWATER_BUCKET: 'none',
  HIGHWATER_TABLE: 'none',
  POWERTOOLS_SERVICE_NAME: 'bench',
}

/** The process itself has started when this begins: Lambda's runtime has, too, when it imports a handler. */
const timing = `
const startedMs = performance.now()
const before = process.cpuUsage()
const { handler } = await import(process.argv[2])
const { user, system } = process.cpuUsage(before)
if (typeof handler !== 'function') throw new Error('there is no handler')
console.log(JSON.stringify({ ms: performance.now() - startedMs, cpuMs: (user + system) / 1_000 }))
`

export function coldStartTable(starts: readonly ColdStart[]): string {
  const kilobytes = (bytes: number) => (bytes / 1_024).toFixed(0)
  return [
    '| bundle | KB | above | ms | above | CPU ms | above |',
    '|:-------|---:|------:|---:|------:|-------:|------:|',
    ...starts.map(({ name, sizeBytes, ms, cpuMs, aboveBytes, aboveMs, aboveCpuMs }) => {
      const differences = [kilobytes(aboveBytes), aboveMs.toFixed(0), aboveCpuMs.toFixed(0)]
      const [bytes, time, cpu] = name === bare ? ['', '', ''] : differences
      return `| ${name} | ${kilobytes(sizeBytes)} | ${bytes} | ${ms.toFixed(0)} | ${time} | ${cpuMs.toFixed(0)} | ${cpu} |`
    }),
  ].join('\n')
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
