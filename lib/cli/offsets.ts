/** `highwater offsets` and `highwater delete-records`. */
import { type Command, InvalidArgumentError } from 'commander'
import { CliError, type CliIo, exitCodes, Output } from './io.ts'
import { collectPartitions, connect, parseTime, type ServerOptions, wholeNumber, withServer } from './options.ts'

interface OffsetsFlags extends ServerOptions {
  readonly topic: string
  readonly partition?: readonly number[]
  readonly time?: 'earliest' | 'latest' | number
  readonly json?: boolean
}

interface DeleteRecordsFlags extends ServerOptions {
  readonly topic: string
  readonly partition?: readonly number[]
  readonly before: number | 'end'
}

export function addOffsets(program: Command, io: CliIo): void {
  withServer(program.command('offsets'))
    .description('Print the offsets of a topic: first and next of each partition, or those of a time.')
    .requiredOption('-t, --topic <topic>', 'the topic')
    .option('-p, --partition <numbers>', 'these partitions, otherwise all', collectPartitions)
    .option(
      '--time <time>',
      'earliest, latest, or a time in milliseconds or ISO 8601; as kafka-get-offsets',
      offsetTime,
    )
    .option('--json', 'as one JSON array')
    .action((flags: OffsetsFlags) => printOffsets(flags, io))

  withServer(program.command('delete-records'))
    .description('Delete the records of partitions before an offset.')
    .requiredOption('-t, --topic <topic>', 'the topic')
    .option('-p, --partition <numbers>', 'these partitions, otherwise all (with --before end)', collectPartitions)
    .requiredOption('--before <offset>', 'the first offset that stays, or "end" for none', beforeOffset)
    .action((flags: DeleteRecordsFlags) => deleteRecords(flags, io))
}

async function printOffsets(flags: OffsetsFlags, io: CliIo): Promise<void> {
  const { admin } = connect(flags, io)
  const { topic, time } = flags
  const partitions = flags.partition ?? (await allPartitions(admin, topic))
  const rows = []
  for (const partition of partitions) {
    if (typeof time === 'number') {
      const { offset, endOffset, timestampMs } = await admin.offsetForTimestamp(topic, partition, time)
      rows.push({ topic, partition, offset: offset ?? endOffset, timestampMs: timestampMs ?? null })
    } else {
      const { startOffset, endOffset } = await admin.offsets(topic, partition)
      if (time === undefined) rows.push({ topic, partition, startOffset, endOffset })
      else rows.push({ topic, partition, offset: time === 'earliest' ? startOffset : endOffset })
    }
  }
  const output = new Output(io.stdout)
  if (flags.json) await output.write(`${JSON.stringify(rows, null, 2)}\n`)
  else
    await output.write(
      rows
        .map((row) =>
          'offset' in row ? [topic, row.partition, row.offset] : [topic, row.partition, row.startOffset, row.endOffset],
        )
        .map((columns) => `${columns.join(':')}\n`)
        .join(''),
    )
}

async function deleteRecords(flags: DeleteRecordsFlags, io: CliIo): Promise<void> {
  const { topic, before, partition: given } = flags
  if (given === undefined && before !== 'end')
    throw new CliError('An offset belongs to a partition: say which with -p.', exitCodes.usage)
  const { admin } = connect(flags, io)
  const output = new Output(io.stdout)
  for (const partition of given ?? (await allPartitions(admin, topic))) {
    const { startOffset } = await admin.deleteRecords(topic, partition, before)
    await output.write(`${topic}:${partition}:${startOffset}\n`)
  }
}

export async function allPartitions(
  admin: ReturnType<typeof connect>['admin'],
  topic: string,
): Promise<readonly number[]> {
  const { partitions } = await admin.describeTopic(topic)
  return Array.from({ length: partitions }, (_, partition) => partition)
}

/** -1 and -2 are Kafka's numbers for latest and earliest. */
function offsetTime(text: string): 'earliest' | 'latest' | number {
  if (text === 'earliest' || text === '-2') return 'earliest'
  if (text === 'latest' || text === '-1') return 'latest'
  const time = parseTime(text)
  if (time === undefined) throw new InvalidArgumentError('It is earliest, latest, milliseconds or an ISO 8601 time.')
  return time
}

function beforeOffset(text: string): number | 'end' {
  return text === 'end' || text === '-1' ? 'end' : wholeNumber(0)(text)
}
