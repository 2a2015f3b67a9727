/** Produce over HTTP, against servers that only read the same bodies, or read and parse them. */
import { mkdir } from 'node:fs/promises'
import type { Bench } from './bench.ts'
import { ask, type Child, startChild } from './child.ts'
import { type Contender, compare, type Figure } from './figures.ts'
import type { Load, Loaded } from './load.ts'

const rounds = 5
/** SETTINGS='{"lingerMs":5}' tries others than the defaults. */
export const settings = process.env.SETTINGS ?? '{}'
export const rawType = 'application/vnd.highwater.batches.v1'

const raw = {
  requests: 192,
  path: '/topics/bench/partitions/0',
  contentType: rawType,
  body: { kind: 'batches', records: 1_018, valueBytes: 1_000 },
  barePath: '/read',
} as const
const json = {
  requests: 200,
  path: '/topics/bench',
  contentType: 'application/vnd.kafka.json.v2+json',
  body: { kind: 'json', records: 1_000, valueBytes: 150 },
  barePath: '/parse',
} as const

export async function produceBench({ directory }: Bench): Promise<readonly Figure[]> {
  const load = startChild('load.ts')
  const figures: Figure[] = []
  for (const { what, kind, isOnFiles, aim } of [
    { what: 'HTTP produce, batches of 1 MiB, memory', kind: raw, isOnFiles: false, aim: 0.6 },
    { what: 'HTTP produce, batches of 1 MiB, files', kind: raw, isOnFiles: true, aim: 0.6 },
    {
      what: '— against a server that stores them too',
      kind: { ...raw, barePath: '/store' },
      isOnFiles: true,
      aim: 0.7,
    },
    { what: 'HTTP produce v2 JSON, 1,000 records, memory', kind: json, isOnFiles: false, aim: 0.5 },
    { what: 'HTTP produce v2 JSON, 1,000 records, files', kind: json, isOnFiles: true, aim: 0.5 },
  ]) {
    const place = `${directory}/${figures.length}`
    await mkdir(place)
    const server = startChild('highwater-server.ts', [isOnFiles ? `${place}/log` : '', settings])
    const bare = startChild('bare-server.ts', [place])
    const port = await server.call<number>('port')
    await createTopic(port, 'bench', 4)
    const produce: Load = {
      port,
      connections: 16,
      requests: kind.requests,
      method: 'POST',
      paths: [kind.path],
      headers: { 'content-type': kind.contentType },
      body: kind.body,
    }
    const read: Load = { ...produce, port: await bare.call<number>('port'), paths: [kind.barePath] }
    figures.push(
      await compare(
        what,
        contender('highwater', server, load, produce, kind.body.records),
        contender('node:http', bare, load, read, kind.body.records),
        { rounds, aim },
      ),
    )
    await server.stop()
    await bare.stop()
  }
  await load.stop()
  return figures
}

export function contender(name: string, process: Child, load: Child, work: Load, recordsPerRequest: number): Contender {
  return {
    name,
    process,
    async round() {
      const loaded = await load.call<Loaded>('run', work)
      return {
        seconds: loaded.seconds,
        bytes: work.method === 'POST' ? loaded.requestBytes : loaded.responseBytes,
        records: work.requests * recordsPerRequest,
        latenciesMs: loaded.latenciesMs,
      }
    },
  }
}

export async function createTopic(
  port: number,
  topic: string,
  partitions: number,
  configs: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { body } = await ask(`http://127.0.0.1:${port}/v3/clusters`)
  const cluster = (JSON.parse(body.toString()) as { data: { cluster_id: string }[] }).data[0]!.cluster_id
  const created = await ask(
    `http://127.0.0.1:${port}/v3/clusters/${cluster}/topics`,
    'POST',
    { 'content-type': 'application/json' },
    JSON.stringify({
      topic_name: topic,
      partitions_count: partitions,
      configs: Object.entries(configs).map(([name, value]) => ({ name, value })),
    }),
  )
  if (created.status !== 201) throw new Error(created.body.toString())
}
