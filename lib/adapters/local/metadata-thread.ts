/** What runs in the thread of group-writer.ts: the one connection that writes, a message for each group of rows. */
import { parentPort, workerData } from 'node:worker_threads'
import { commitFailure, openForWriting } from './database.ts'
import type { WriterAnswer, WriterData, WriterRequest } from './group-writer.ts'

if (parentPort === null) throw new Error('metadata-thread.ts runs in a thread of group-writer.ts only')
const port = parentPort
const answer = (value: WriterAnswer) => port.postMessage(value)
try {
  const database = openForWriting((workerData as WriterData).path)
  port.on('message', (request: WriterRequest) => {
    if (request === 'close') {
      database.close()
      answer('closed')
      return
    }
    try {
      database.commit(request.writes)
      answer('done')
    } catch (error) {
      answer(commitFailure(error))
    }
  })
  answer('open')
} catch (error) {
  answer({ refused: error instanceof Error ? error.message : String(error) })
}
