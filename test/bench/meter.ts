/** What it costs to count every request to the stores: the log with a meter against the log without, in memory, where nothing else takes time. */
import type { Bench } from './bench.ts'
import { startChild } from './child.ts'
import { compare, type Figure } from './figures.ts'
import type { AppendWork, FetchWork, Work } from './log-process.ts'

const rounds = 7
const one = { topic: 'bench', records: 1, valueBytes: 100 } as const
const small: AppendWork = { ...one, appends: 40_000, concurrency: 128 }
const single: AppendWork = { ...one, appends: 10_000, concurrency: 1 }
const large: AppendWork = { topic: 'bench', appends: 400, concurrency: 16, records: 1_018, valueBytes: 1_000 }

export async function meterBench(_: Bench): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  for (const { what, append } of [
    { what: 'append 1 record, 1 at once, memory, metered', append: single },
    { what: 'append 1 record, 128 at once, memory, metered', append: small },
    { what: 'append 1 MiB, 16 at once, memory, metered', append: large },
  ])
    figures.push(await metered(what, (log) => log.call<Work>('append', append)))
  // Nothing kept for readers: each fetch asks the stores.
  const fetch: FetchWork = { topic: 'bench', bytes: 8_000_000, concurrency: 4, bytesMax: 1 }
  figures.push(
    await metered('fetch 1 chunk at a time, memory, metered', (log) => log.call<Work>('fetch', fetch), {
      ...one,
      appends: 4_000,
      concurrency: 1,
    }),
  )
  return figures
}

async function metered(
  what: string,
  work: (log: ReturnType<typeof startChild>) => Promise<Work>,
  before?: AppendWork,
): Promise<Figure> {
  const settings = JSON.stringify({ chunkCacheBytesMax: 0 })
  const logs = {
    metered: startChild('log-process.ts', ['', settings, 'metered']),
    plain: startChild('log-process.ts', ['', settings]),
  }
  for (const log of Object.values(logs)) {
    await log.call('createTopic', { name: 'bench', partitions: 1 })
    if (before !== undefined) await log.call('append', before)
  }
  const figure = await compare(
    what,
    { name: 'metered', process: logs.metered, round: () => work(logs.metered) },
    { name: 'plain', process: logs.plain, round: () => work(logs.plain) },
    { rounds },
  )
  for (const log of Object.values(logs)) await log.stop()
  return figure
}
