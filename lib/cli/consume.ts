/** `highwater consume`: prints records, as kcat -C and kafka-console-consumer do; follows the topic unless told to end. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { From, Highwater, ReadRecord } from '../client/highwater.ts'
import { consumeGroup, type GroupFlags } from './consume-group.ts'
import { joined, jsonFormat, parseFormat, type RecordFormat } from './format.ts'
import { CliError, type CliIo, exitCodes, Output } from './io.ts'
import { allPartitions } from './offsets.ts'
import {
  collect,
  collectPartitions,
  connect,
  parseTime,
  type ServerOptions,
  wholeNumber,
  withServer,
} from './options.ts'

/** `-o`: an end, an offset, so many before the end, or a time. */
export type Beginning =
  | 'beginning'
  | 'end'
  | { readonly offset: number }
  | { readonly beforeEnd: number }
  | { readonly timestampMs: number }

interface ConsumeFlags extends ServerOptions {
  readonly topic?: readonly string[]
  readonly topicPattern?: string
  readonly group?: string
  readonly from?: 'earliest' | 'latest' | 'none'
  readonly instanceId?: string
  readonly partition?: readonly number[]
  readonly offset: Beginning
  readonly count?: number
  readonly exit?: boolean
  readonly format?: string
  readonly json?: boolean
  readonly keySeparator?: string
  readonly delimiter: string
  readonly nullText?: boolean
  readonly quiet?: boolean
}

export function addConsume(program: Command, io: CliIo): void {
  withServer(program.command('consume'))
    .description('Print records, and wait for more until it is interrupted.')
    .option('-t, --topic <topic>', 'the topic; with --group it may be repeated', collect)
    .option('-p, --partition <numbers>', 'these partitions, otherwise all, merged as they come', collectPartitions)
    .option(
      '-o, --offset <offset>',
      'beginning, end, N, -N (before the end), s@<ms or ISO time>',
      parseBeginning,
      'beginning',
    )
    .option(
      '-g, --group <group>',
      'as a member of this consumer group: go on after what it has committed, commit what was printed',
    )
    .option('--topic-pattern <pattern>', 'with --group: all topics whose whole name matches, now and later')
    .addOption(
      new Option('--from <end>', 'with --group: where to begin where it has committed nothing (earliest)').choices([
        'earliest',
        'latest',
        'none',
      ]),
    )
    .option('--instance-id <id>', 'with --group: a static member, who keeps its partitions while it restarts')
    .option('-c, --count <number>', 'exit after so many records', wholeNumber(0))
    .option('-e, --exit', 'exit at the end of the partitions')
    .option(
      '-f, --format <format>',
      '%s value, %k key, %o offset, %p partition, %t topic, %T time, %h headers, %S %K lengths',
    )
    .option('-J, --json', 'one JSON object per record')
    .option('-K, --key-separator <text>', 'print the key and this before the value')
    .option('-D, --delimiter <text>', 'printed after each value', '\\n')
    .option('-Z, --null-text', 'print NULL for null keys and values')
    .option('-q, --quiet', 'say nothing of failures that are tried again')
    .action((flags: ConsumeFlags, command: Command) => {
      const isOffsetGiven = command.getOptionValueSource('offset') !== 'default'
      return flags.group === undefined ? consume(alone(flags), io) : consumeAsMember(flags, isOffsetGiven, io)
    })
}

/** Without a group: one topic, and nothing that is a group's. */
function alone(flags: ConsumeFlags): PartitionFlags {
  const [topic, ...others] = flags.topic ?? []
  if (topic === undefined) throw new CliError("required option '-t, --topic <topic>' not specified.", exitCodes.usage)
  if (others.length > 0) throw new CliError('Several topics take a --group.', exitCodes.usage)
  for (const name of ['topicPattern', 'from', 'instanceId'] as const)
    if (flags[name] !== undefined)
      throw new CliError(
        `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} takes a --group.`,
        exitCodes.usage,
      )
  return { ...flags, topic }
}

async function consumeAsMember(flags: ConsumeFlags, isOffsetGiven: boolean, io: CliIo): Promise<void> {
  if (flags.partition !== undefined || isOffsetGiven)
    throw new CliError('The group says which partitions (-p) and from where (-o); see --from.', exitCodes.usage)
  // Before anything is read: a format that is none is no reason to become a member.
  formatOf(flags, '')
  if (flags.count === 0) return
  await consumeGroup(flags as GroupFlags, (topic) => formatOf(flags, topic), io)
}

type PartitionFlags = Omit<ConsumeFlags, 'topic'> & { readonly topic: string }

async function consume(flags: PartitionFlags, io: CliIo): Promise<void> {
  const format = formatOf(flags, flags.topic)
  if (flags.count === 0) return
  const highwater = connect(flags, io)
  const partitions = flags.partition ?? (await allPartitions(highwater.admin, flags.topic))
  const output = new Output(io.stdout)
  const stop = new AbortController()
  const signal = AbortSignal.any([io.signal, output.closed, stop.signal])
  const sink = new Sink(output, format, flags.count ?? Number.POSITIVE_INFINITY, () => stop.abort())
  const report = (message: string) => {
    if (flags.quiet !== true) io.stderr.write(`highwater: ${message} Trying again.\n`)
  }
  try {
    await Promise.all(
      partitions.map((partition) => consumePartition(highwater, partition, flags, sink, signal, report)),
    )
  } finally {
    stop.abort()
  }
  await output.flush()
}

async function consumePartition(
  highwater: Highwater,
  partition: number,
  flags: PartitionFlags,
  sink: Sink,
  signal: AbortSignal,
  report: (message: string) => void,
): Promise<void> {
  const { topic } = flags
  const from = await fromOf(highwater, topic, partition, flags.offset)
  const reader = highwater.reader({
    topic,
    partition,
    from,
    signal,
    onRetry: (error) => report(error.message),
    // At the end is where -e ends: nothing is to be waited for.
    ...(flags.exit ? { waitMs: 0 } : {}),
  })
  for (let records = await reader.poll(); records !== undefined; records = await reader.poll()) {
    await sink.write(records, partition)
    if (flags.exit && reader.lag === 0) break
  }
  await reader.return()
}

/** Where all partitions meet: records are written whole, one answer after the other, until enough were. */
class Sink {
  readonly #output: Output
  readonly #format: RecordFormat
  readonly #onEnough: () => void
  #left: number
  #turn: Promise<void> = Promise.resolve()

  constructor(output: Output, format: RecordFormat, count: number, onEnough: () => void) {
    this.#output = output
    this.#format = format
    this.#left = count
    this.#onEnough = onEnough
  }

  write(records: readonly ReadRecord[], partition: number): Promise<void> {
    this.#turn = this.#turn.then(async () => {
      const taken = records.slice(0, this.#left)
      this.#left -= taken.length
      const parts: Uint8Array[] = []
      for (const record of taken) this.#format(record, partition, parts)
      await this.#output.write(joined(parts))
      if (this.#left === 0) this.#onEnough()
    })
    return this.#turn
  }
}

function formatOf(flags: Omit<ConsumeFlags, 'topic'>, topic: string): RecordFormat {
  const { json, format, keySeparator, delimiter } = flags
  if (json === true) {
    if (format !== undefined) throw new CliError('--json and -f exclude each other.', exitCodes.usage)
    return jsonFormat(topic)
  }
  const key = keySeparator === undefined ? '' : `%k${keySeparator.replaceAll('%', '%%')}`
  const text = format ?? `${key}%s${delimiter.replaceAll('%', '%%')}`
  const parsed = parseFormat(text, topic, flags.nullText ? 'NULL' : '')
  if (!parsed.ok) throw new CliError(parsed.message, exitCodes.usage)
  return parsed.format
}

async function fromOf(highwater: Highwater, topic: string, partition: number, beginning: Beginning): Promise<From> {
  if (beginning === 'beginning') return 'earliest'
  if (beginning === 'end') return 'latest'
  if ('beforeEnd' in beginning) {
    const { startOffset, endOffset } = await highwater.admin.offsets(topic, partition)
    return { offset: Math.max(startOffset, endOffset - beginning.beforeEnd) }
  }
  return beginning
}

export function parseBeginning(text: string): Beginning {
  if (text === 'beginning' || text === 'earliest') return 'beginning'
  if (text === 'end' || text === 'latest') return 'end'
  if (text.startsWith('s@')) {
    const timestampMs = parseTime(text.slice(2))
    if (timestampMs !== undefined) return { timestampMs }
  } else if (/^-[0-9]{1,15}$/.test(text)) return { beforeEnd: Number(text.slice(1)) }
  else if (/^[0-9]{1,15}$/.test(text)) return { offset: Number(text) }
  throw new InvalidArgumentError('It is beginning, end, N, -N, or s@ and a time in milliseconds or ISO 8601.')
}
