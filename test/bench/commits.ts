/** Single small produces: how long one takes, and how many there can be, against a server that syncs each to a journal. */
import { mkdir } from 'node:fs/promises'
import type { Bench } from './bench.ts'
import { startChild } from './child.ts'
import { compare, type Figure } from './figures.ts'
import type { Load } from './load.ts'
import { contender, createTopic, rawType, settings } from './produce.ts'

const rounds = 5

export async function commitsBench({ directory }: Bench): Promise<readonly Figure[]> {
  const load = startChild('load.ts')
  const server = startChild('highwater-server.ts', [`${directory}/log`, settings])
  const bareDirectory = `${directory}/bare`
  await mkdir(bareDirectory)
  const bare = startChild('bare-server.ts', [bareDirectory])
  const port = await server.call<number>('port')
  const barePort = await bare.call<number>('port')
  await createTopic(port, 'bench', 1)
  const figures: Figure[] = []
  for (const [connections, requests] of [
    [1, 400],
    [16, 3_000],
    [128, 8_000],
  ] as const) {
    const produce: Load = {
      port,
      connections,
      requests,
      method: 'POST',
      paths: ['/topics/bench/partitions/0'],
      headers: { 'content-type': rawType },
      body: { kind: 'small', records: 1, valueBytes: 100 },
    }
    figures.push(
      await compare(
        `HTTP produce, 1 record, ${connections} at once, files`,
        contender('highwater', server, load, produce, 1),
        contender('journal', bare, load, { ...produce, port: barePort, paths: ['/sync'] }, 1),
        { rounds },
      ),
    )
  }
  await load.stop()
  await server.stop()
  await bare.stop()
  return figures
}
