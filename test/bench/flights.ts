/** The rows of flights-3m through the client over HTTP, against writing the same rows to a file; then read back and compared. */
import type { Bench } from './bench.ts'
import { startChild } from './child.ts'
import { compare, type Figure } from './figures.ts'
import type { Loading } from './flights-loader.ts'
import { settings } from './produce.ts'

/** A part is loaded in turn with the bare program, for the ratio; then the whole, once, which is read back. */
const part = 300_000
const whole = 3_000_000
const rounds = 2

export async function flightsBench({ directory }: Bench): Promise<readonly Figure[]> {
  const server = startChild('highwater-server.ts', [`${directory}/log`, settings])
  const ours = startChild('flights-loader.ts')
  const bare = startChild('flights-loader.ts')
  const port = await server.call<number>('port')
  let topics = 0
  const asRound = ({ seconds, rows, bytes }: Loading) => ({ seconds, records: rows, bytes })
  const figure = await compare(
    `load ${part.toLocaleString('en')} flights through the client, files`,
    {
      name: 'client',
      process: ours,
      round: async () => asRound(await ours.call<Loading>('produce', { port, topic: `part-${topics++}`, rows: part })),
    },
    {
      name: 'file',
      process: bare,
      round: async () =>
        asRound(await bare.call<Loading>('write', { path: `${directory}/lines-${topics}`, rows: part })),
    },
    { rounds },
  )
  const once = async (what: string, call: () => Promise<Loading>): Promise<Figure> => {
    const before = await ours.call<{ cpuSeconds: number }>('usage')
    const { seconds, rows, bytes } = await call()
    const after = await ours.call<{ cpuSeconds: number; rssBytesPeak: number }>('usage')
    return {
      what,
      ours: {
        name: 'client',
        megabytesPerSecond: bytes / seconds / 1e6,
        recordsPerSecond: rows / seconds,
        cpuSecondsPerGigabyte: (after.cpuSeconds - before.cpuSeconds) / (bytes / 1e9),
        rssBytesPeak: after.rssBytesPeak,
      },
    }
  }
  const name = whole.toLocaleString('en')
  const loaded = await once(`load ${name} flights through the client, files`, () =>
    ours.call<Loading>('produce', { port, topic: 'flights', rows: whole }),
  )
  const read = await once(`read ${name} flights back and compare, files`, () =>
    ours.call<Loading>('verify', { port, topic: 'flights' }),
  )
  const { rssBytesPeak } = await server.call<{ rssBytesPeak: number }>('usage')
  await ours.stop()
  await bare.stop()
  await server.stop()
  return [
    {
      ...figure,
      note: `The processor time is the client process’s; the server’s peak was ${Math.round(rssBytesPeak / 1e6)} MB.`,
    },
    loaded,
    {
      ...read,
      note: 'Every key has as many values as were sent, the same ones, in the same order; offsets without a hole.',
    },
  ]
}
