/** Raw batches through the log, on files, against a loop that checksums, writes and syncs files of the same sizes. */
import { mkdir } from 'node:fs/promises'
import type { WriteWork } from './bare-files.ts'
import type { Bench } from './bench.ts'
import { startChild } from './child.ts'
import { compare, type Figure } from './figures.ts'
import type { AppendWork, Work } from './log-process.ts'
import { settings } from './produce.ts'

const rounds = 9
const appends = 192
/** What the log writes at once by default: its settings flushesInFlightMax and segmentBytesMax. */
const filesAtOnce = 2
const appendsPerFile = 4
const sizes = [
  { what: 'append 1 MiB of records of 1 KB, files', records: 1_018, valueBytes: 1_000, aim: 0.7 },
  { what: 'append 1 MiB of records of 100 B, files', records: 8_700, valueBytes: 100, aim: 0.7 },
]

export async function appendBench({ directory }: Bench): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  for (const { what, aim, ...record } of sizes) {
    const bareDirectory = `${directory}/bare-${record.records}`
    await mkdir(bareDirectory)
    const log = startChild('log-process.ts', [`${directory}/data-${record.records}`, settings])
    const bare = startChild('bare-files.ts', [bareDirectory])
    await log.call('createTopic', { name: 'bench', partitions: 1 })
    const ours: AppendWork = { topic: 'bench', appends, concurrency: 16, ...record }
    const theirs: WriteWork = {
      files: appends / appendsPerFile,
      bodiesPerFile: appendsPerFile,
      concurrency: filesAtOnce,
      ...record,
    }
    figures.push(
      await compare(
        what,
        { name: 'lib/log', process: log, round: () => log.call<Work>('append', ours) },
        { name: 'files', process: bare, round: () => bare.call<Work>('write', theirs) },
        { rounds, aim },
      ),
    )
    await log.stop()
    await bare.stop()
  }
  return figures
}
