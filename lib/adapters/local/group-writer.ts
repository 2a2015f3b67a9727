/**
 * Writes groups of rows in a thread of its own, so that the event loop does not wait for the disk: one message for each
 * group, one group after another, each answered after its COMMIT.
 */
import { Worker } from 'node:worker_threads'
import type { CommitFailure, RowWrite } from './database.ts'

export interface GroupWriter {
  /** All of the rows or none, durable when it resolves. A failure is a value: it decides what the commands of the group are told. One call at a time. */
  commit(writes: readonly RowWrite[]): Promise<CommitFailure | undefined>
  close(): Promise<void>
}

export interface WriterData {
  readonly path: string
}
export type WriterRequest = { readonly writes: readonly RowWrite[] } | 'close'
export type WriterAnswer = 'open' | 'done' | 'closed' | CommitFailure | { readonly refused: string }

/** Starts the thread, which opens the file; throws what `openForWriting` throws. */
export async function startGroupWriter(path: string): Promise<GroupWriter> {
  const thread = new Worker(new URL('./metadata-thread.ts', import.meta.url), {
    workerData: { path } satisfies WriterData,
    // Options of the process may be none that a thread takes (`--input-type`).
    execArgv: [],
  })
  let settle: ((answer: WriterAnswer) => void) | undefined
  let ended: CommitFailure | undefined
  const nextAnswer = () => new Promise<WriterAnswer>((resolve) => (settle = resolve))
  const end = (reason: string) => {
    ended ??= {
      effects: 'possible',
      why: 'failed',
      message: `The thread that writes the metadata ${reason}.`,
      isFinal: true,
    }
    settle?.(ended)
  }
  thread.on('message', (answer: WriterAnswer) => settle?.(answer))
  thread.on('error', (error) => end(`failed: ${error instanceof Error ? error.message : String(error)}`))
  thread.on('exit', () => end('has ended'))

  const ask = async (request: WriterRequest): Promise<CommitFailure | undefined> => {
    if (ended !== undefined) return { ...ended, effects: 'none' }
    const answered = nextAnswer()
    // Only a group under way keeps the process alive.
    thread.ref()
    thread.postMessage(request)
    const answer = await answered
    thread.unref()
    return typeof answer === 'object' && 'isFinal' in answer ? answer : undefined
  }

  const opened = await nextAnswer()
  if (typeof opened === 'object') {
    await thread.terminate()
    throw new Error('refused' in opened ? opened.refused : opened.message)
  }
  thread.unref()
  return {
    commit: (writes) => ask({ writes }),
    async close() {
      await ask('close')
      await thread.terminate()
    },
  }
}
