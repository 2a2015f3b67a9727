/** Fetches, against reading the same bytes from files, sending them from files, or writing them as JSON. */
import { mkdir } from 'node:fs/promises'
import type { Bench } from './bench.ts'
import { ask, startChild } from './child.ts'
import { compare, type Figure } from './figures.ts'
import type { Load, Loaded } from './load.ts'
import type { FetchWork, Work } from './log-process.ts'
import { contender, createTopic, rawType } from './produce.ts'

const rounds = 5
/** More than the log keeps in memory for readers (chunkCacheBytesMax), so that files are read. */
const stored = { appends: 288, records: 1_018, valueBytes: 1_000 } as const
const storedBytes = stored.appends * 1_048_576
const small = { batches: 200, records: 1_000, valueBytes: 150 } as const

export async function fetchBench(bench: Bench): Promise<readonly Figure[]> {
  return [await fetchFromLog(bench), ...(await fetchOverHttp(bench))]
}

async function fetchFromLog({ directory }: Bench): Promise<Figure> {
  const bareDirectory = `${directory}/bare`
  await mkdir(bareDirectory)
  const log = startChild('log-process.ts', [`${directory}/log`])
  const bare = startChild('bare-files.ts', [bareDirectory])
  await log.call('createTopic', { name: 'bench', partitions: 1 })
  await log.call('append', { topic: 'bench', concurrency: 16, ...stored })
  const files = Math.ceil(storedBytes / 4_194_304)
  await bare.call('fill', files)
  const work: FetchWork = { topic: 'bench', bytes: storedBytes, concurrency: 4 }
  const figure = await compare(
    'fetch 4 MiB at a time, files',
    { name: 'lib/log', process: log, round: () => log.call<Work>('fetch', work) },
    {
      name: 'files',
      process: bare,
      round: () => bare.call<Work>('read', { files, bytes: storedBytes, concurrency: 4 }),
    },
    { rounds },
  )
  await log.stop()
  await bare.stop()
  return figure
}

async function fetchOverHttp({ directory }: Bench): Promise<readonly Figure[]> {
  const place = `${directory}/http`
  await mkdir(place)
  const load = startChild('load.ts')
  const server = startChild('highwater-server.ts', [`${place}/log`])
  const bare = startChild('bare-server.ts', [place])
  const port = await server.call<number>('port')
  await createTopic(port, 'large', 1)
  await createTopic(port, 'small', 1)
  await bare.call('fill', storedBytes)
  for (const [topic, { records, valueBytes }, requests] of [
    ['large', stored, stored.appends],
    ['small', small, small.batches],
  ] as const)
    await load.call<Loaded>('run', {
      port,
      connections: 1,
      requests,
      method: 'POST',
      paths: [`/topics/${topic}/partitions/0`],
      headers: { 'content-type': rawType },
      body: { kind: 'batches', records, valueBytes },
    } satisfies Load)

  const pathsTo = (topic: string, count: number, records: number) =>
    Array.from(
      { length: count },
      (_, index) =>
        `/topics/${topic}/partitions/0/records?offset=${index * records}&max_records=${records}&max_bytes=1048576`,
    )
  const raw: Load = {
    port,
    connections: 8,
    requests: stored.appends,
    method: 'GET',
    paths: pathsTo('large', stored.appends, stored.records),
    headers: { accept: rawType },
  }
  const json: Load = {
    ...raw,
    requests: small.batches,
    paths: pathsTo('small', small.batches, small.records),
    headers: { accept: 'application/vnd.kafka.binary.v2+json' },
  }
  const answer = await ask(`http://127.0.0.1:${port}${json.paths[0]}`, 'GET', { accept: json.headers!.accept! })
  await bare.call('setAnswer', answer.body.toString())
  const barePort = await bare.call<number>('port')
  const figures = [
    await compare(
      'HTTP fetch, batches of 1 MiB, files',
      contender('highwater', server, load, raw, stored.records),
      contender('node:http', bare, load, { ...raw, port: barePort, paths: ['/bytes'] }, stored.records),
      { rounds },
    ),
    await compare(
      'HTTP fetch v2 JSON, 1,000 records, files',
      contender('highwater', server, load, json, small.records),
      contender('node:http', bare, load, { ...json, port: barePort, paths: ['/json'] }, small.records),
      { rounds },
    ),
  ]
  await load.stop()
  await server.stop()
  await bare.stop()
  return figures
}
