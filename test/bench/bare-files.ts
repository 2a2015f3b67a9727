/** What any log on files has to do, and nothing else: a checksum, a write, a sync; or a read. In directory argument 1. */
import { open } from 'node:fs/promises'
import { nativeCodecs } from '../../lib/adapters/codecs-native.ts'
import { makeBatch } from './bodies.ts'
import { answerCalls } from './child.ts'
import type { Work } from './log-process.ts'

const directory = process.argv[2] ?? ''
/** Files stay until the end of the run: what the file system does about a removal would be counted in a later round. */
let filesWritten = 0

export interface WriteWork {
  readonly files: number
  readonly bodiesPerFile: number
  readonly concurrency: number
  readonly records: number
  readonly valueBytes: number
}

answerCalls({
  async write({ files, bodiesPerFile, concurrency, records, valueBytes }: WriteWork): Promise<Work> {
    const body = makeBatch(records, valueBytes)
    const workers = Array.from({ length: concurrency }, () => Array.from({ length: bodiesPerFile }, () => body.slice()))
    const latenciesMs: number[] = []
    let next = 0
    const startedMs = performance.now()
    await Promise.all(
      workers.map(async (bodies) => {
        while (next < files) {
          next++
          const sentMs = performance.now()
          for (const bytes of bodies) nativeCodecs.crc32c(bytes)
          const file = await open(path(filesWritten++), 'wx')
          await file.writev(bodies)
          await file.sync()
          await file.close()
          latenciesMs.push(performance.now() - sentMs)
        }
      }),
    )
    const seconds = (performance.now() - startedMs) / 1_000
    return {
      seconds,
      bytes: files * bodiesPerFile * body.length,
      records: files * bodiesPerFile * records,
      latenciesMs: latenciesMs.sort((a, b) => a - b),
    }
  },

  /** Files to read from, 4 MiB each. */
  async fill(files: number): Promise<void> {
    const body = makeBatch(4_194, 970)
    for (let index = 0; index < files; index++) {
      const file = await open(path(index), 'wx')
      await file.writev([body])
      await file.close()
    }
  },

  async read({ files, bytes: bytesWanted, concurrency }: { files: number; bytes: number; concurrency: number }) {
    let bytes = 0
    let next = 0
    const startedMs = performance.now()
    await Promise.all(
      Array.from({ length: concurrency }, async () => {
        while (bytes < bytesWanted) {
          const file = await open(path(next++ % files), 'r')
          const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(4_194_304), 0, 4_194_304, 0)
          await file.close()
          nativeCodecs.crc32c(buffer)
          bytes += bytesRead
        }
      }),
    )
    return { seconds: (performance.now() - startedMs) / 1_000, bytes, records: 0 } satisfies Work
  },
})

function path(index: number): string {
  return `${directory}/${index}`
}
