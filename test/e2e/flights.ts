/**
 * The commands of docs/example-flights.md, run as they stand there against a server of their own; then the log read once
 * more, record by record, and compared with the data.
 */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { partitionForKey } from '../../lib/core/partitioner.ts'
import { readTopic } from './producers.ts'
import { projectDirectory, run, type Scope, startServerProcess, tempDirectory } from './server-process.ts'

export interface Step {
  /** The heading that the commands stand under. */
  readonly title: string
  readonly commands: string
  /** What the page says they print. */
  readonly expected: string
  readonly printed: string
  readonly seconds: number
}

export interface Flights {
  readonly steps: readonly Step[]
  readonly rows: number
  readonly airports: number
  /** Records in each partition. */
  readonly partitions: readonly number[]
}

interface Flight {
  readonly origin: string
}

const partitions = 4
const dataPath = join(projectDirectory, 'node_modules', 'vega-datasets', 'data', 'flights-20k.json')

/** A log that is there already. */
export interface Server {
  readonly url: string
  /** What the command line needs to be let in. */
  readonly env?: Readonly<Record<string, string>>
  /** @default the web's */
  readonly fetch?: typeof fetch
}

/**
 * Runs it all; rejects where a command fails or a record is not as it should be.
 * @param onStep is told as it goes
 * @param there a log to use. @default a server of its own
 */
export async function runFlights(
  scope: Scope,
  onStep: (step: Step) => void = () => {},
  there?: Server,
): Promise<Flights> {
  const directory = await tempDirectory(scope)
  const server: Server = there ?? (await startServerProcess(scope, ['--data', join(directory, 'data')]))
  const env = {
    ...server.env,
    HIGHWATER_URL: server.url,
    FLIGHTS: directory,
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
  }
  const page = await readFile(join(projectDirectory, 'docs', 'example-flights.md'), 'utf8')
  const steps: Step[] = []
  // One shell for each block; what they tell each other is in variables that are printed at the end.
  let variables = ''
  for (const { title, commands, expected } of blocksOf(page)) {
    const startedMs = performance.now()
    const script = `${variables}\n${commands.replaceAll('npx highwater', 'node functions/highwater.js')}\ndeclare -p BETWEEN >&2 2>&- || true`
    const ended = await run('bash', ['-euo', 'pipefail', '-c', script], { env })
    assert.equal(ended.code, 0, `${commands}\n${ended.stdout}${ended.stderr}`)
    variables = /^declare .*$/m.exec(ended.stderr)?.[0] ?? variables
    const seconds = (performance.now() - startedMs) / 1_000
    const step = { title, commands, expected, printed: ended.stdout, seconds }
    steps.push(step)
    onStep(step)
  }
  return { steps, ...(await checkRecords(server)) }
}

/** By partition: offsets without a hole, each key where it belongs, each key's flights as they were sent, and no others. */
async function checkRecords({ url, fetch }: Server): Promise<Omit<Flights, 'steps'>> {
  const data = JSON.parse(await readFile(dataPath, 'utf8')) as readonly Flight[]
  const stored = await readTopic(url, 'flights', partitions, fetch)
  const sentByKey = Map.groupBy(data, (flight) => flight.origin)
  const next = new Map<string, number>()
  for (const [partition, records] of stored.entries())
    for (const [index, record] of records.entries()) {
      assert.equal(record.offset, index)
      assert.equal(partitionForKey(Buffer.from(record.key), partitions), partition)
      const at = next.get(record.key) ?? 0
      assert.equal(record.value, JSON.stringify(sentByKey.get(record.key)?.[at]))
      next.set(record.key, at + 1)
    }
  for (const [key, flights] of sentByKey) assert.equal(next.get(key), flights.length, key)
  return { rows: data.length, airports: sentByKey.size, partitions: stored.map((records) => records.length) }
}

/** The blocks of commands, each with the block of output that follows it before the next one. */
function blocksOf(page: string): { title: string; commands: string; expected: string }[] {
  const blocks: { title: string; commands: string; expected: string }[] = []
  let title = ''
  for (const [, heading, language, content = ''] of page.matchAll(/^## (.+)$|^```(sh|text)\n([\s\S]*?)^```$/gm)) {
    if (heading !== undefined) title = heading
    else if (language === 'sh') blocks.push({ title, commands: content, expected: '' })
    else {
      const block = blocks.at(-1)
      if (block !== undefined) block.expected = content
    }
  }
  return blocks
}
