/** `highwater consume --group`: prints records as a member of a consumer group, and commits what it has printed. */
import type { ConsumerOptions } from '../client/highwater.ts'
import { joined, type RecordFormat } from './format.ts'
import { CliError, type CliIo, exitCodes, Output } from './io.ts'
import { connect, type ServerOptions } from './options.ts'

export interface GroupFlags extends ServerOptions {
  readonly group: string
  readonly topic?: readonly string[]
  readonly topicPattern?: string
  readonly from?: 'earliest' | 'latest' | 'none'
  readonly instanceId?: string
  readonly count?: number
  readonly exit?: boolean
  readonly quiet?: boolean
}

export async function consumeGroup(
  flags: GroupFlags,
  formatOf: (topic: string) => RecordFormat,
  io: CliIo,
): Promise<void> {
  const { group, topic, topicPattern, from, instanceId, exit, quiet } = flags
  if ((topic === undefined) === (topicPattern === undefined))
    throw new CliError('Name topics with -t, or a --topic-pattern.', exitCodes.usage)
  const output = new Output(io.stdout)
  const options: ConsumerOptions = {
    group,
    clientId: 'highwater-consume',
    ...(topic === undefined ? {} : { topics: topic }),
    ...(topicPattern === undefined ? {} : { pattern: topicPattern }),
    ...(from === undefined ? {} : { from }),
    ...(instanceId === undefined ? {} : { instanceId }),
    // At the end is where -e ends: nothing is to be waited for.
    ...(exit ? { waitMs: 0 } : {}),
    // What was printed when it comes is committed.
    signal: io.signal,
    onRetry: (error) => {
      if (quiet !== true) io.stderr.write(`highwater: ${error.message} Trying again.\n`)
    },
  }
  const consumer = connect(flags, io).consumer(options)
  // Nobody reads any more: who knows how much was read of what is under way. It is not committed.
  output.closed.addEventListener('abort', () => void consumer.close())
  const formats = new Map<string, RecordFormat>()
  const formatFor = (name: string) => {
    const format = formats.get(name) ?? formatOf(name)
    formats.set(name, format)
    return format
  }
  let left = flags.count ?? Number.POSITIVE_INFINITY
  try {
    for (let records = await consumer.poll(left); records !== undefined; records = await consumer.poll(left)) {
      const parts: Uint8Array[] = []
      for (const record of records) formatFor(record.topic)(record, record.partition, parts)
      await output.write(joined(parts))
      // The next ask says that these are done: they must have left this process.
      await output.flush()
      if (output.closed.aborted) break
      left -= records.length
      const isAtEnd = exit === true && records.length === 0
      if (left > 0 && !isAtEnd) continue
      await consumer.commit()
      break
    }
  } finally {
    await consumer.close()
  }
  await output.flush()
}
