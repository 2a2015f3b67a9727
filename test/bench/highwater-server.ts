/** The server as `highwater start` runs it, on a data directory (argument 1) or in memory. */
import { startServer } from '../../functions/server.ts'
import type { Settings } from '../../lib/core/settings.ts'
import { answerCalls } from './child.ts'

const directory = process.argv[2] ?? ''
const server = await startServer({
  host: '127.0.0.1',
  port: 0,
  settings: JSON.parse(process.argv[3] ?? '{}') as Partial<Settings>,
  ...(directory === '' ? {} : { dataDir: directory }),
})
answerCalls({ port: () => Number(new URL(server.url).port) })
