/** `highwater produce`: records from lines or files, as kcat -P and kafka-console-producer do. */
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { addAbortSignal, type Readable } from 'node:stream'
import { type Command, Option } from 'commander'
import type { Highwater, HighwaterError, HighwaterErrorCode, ProducerRecord } from '../client/highwater.ts'
import { parseDelimiter } from './format.ts'
import { CliError, type CliIo, exitCodes, Output } from './io.ts'
import { LineTooLong, splitStream } from './lines.ts'
import { collectPairs, connect, type ServerOptions, wholeNumber, withServer } from './options.ts'

interface ProduceFlags extends ServerOptions {
  readonly topic: string
  readonly partition?: number
  readonly delimiter: string
  readonly keySeparator?: string
  readonly key?: string
  readonly keyField?: string
  readonly jsonLines?: boolean
  readonly emptyAsNull?: boolean
  readonly header?: readonly (readonly [string, string])[]
  readonly compression: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
  readonly acks: 'all' | '1' | '0'
  readonly lingerMs: number
  readonly deliveryTimeoutMs: number
  readonly lines?: boolean
  readonly progress?: boolean
  readonly quiet?: boolean
}

/** The largest record that is sent at all; what a topic takes is for the server to say. */
const recordBytesMax = 4_194_304
/** Refusals of one record, which say nothing about the next. Every other one stops the reading. */
const recordFailures: ReadonlySet<HighwaterErrorCode> = new Set<HighwaterErrorCode>([
  'MESSAGE_TOO_LARGE',
  'INVALID_RECORD',
  'INVALID_TIMESTAMP',
])
const failuresShownMax = 5
const progressAfterMs = 2_000
const progressEveryMs = 1_000

export function addProduce(program: Command, io: CliIo): void {
  withServer(program.command('produce [file...]'))
    .description('Send records: each line of standard input, each file, or with -l each line of the files.')
    .requiredOption('-t, --topic <topic>', 'the topic')
    .option('-p, --partition <number>', 'the partition; otherwise by the key, or any', wholeNumber(0))
    .option('-l, --lines', 'read lines from the files, instead of one record per file')
    .option('-D, --delimiter <text>', 'what ends a record; \\n, \\t, \\x00 are understood', '\\n')
    .option('-K, --key-separator <text>', 'what separates the key from the value; a line without it has no key')
    .option('-k, --key <text>', 'the key of all records')
    .option('-H, --header <name=value>', 'a header of all records; may be repeated', collectPairs)
    .option('--json-lines', 'every line is checked to be JSON')
    .option('--key-field <name>', 'with --json-lines: the field whose text is the key')
    .option('-Z, --empty-as-null', 'an empty value is null, a tombstone')
    .addOption(
      new Option('-z, --compression <codec>', 'compress batches')
        .choices(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
        .default('none'),
    )
    .addOption(new Option('--acks <acks>', '0: do not wait for the outcome').choices(['all', '1', '0']).default('all'))
    .option('--linger-ms <ms>', 'how long a batch waits for more records', wholeNumber(0), 5)
    .option('--delivery-timeout-ms <ms>', 'how long a record is tried', wholeNumber(1), 120_000)
    .option('--progress', 'report progress, also where standard error is no terminal')
    .option('-q, --quiet', 'no summary')
    .action((files: string[], flags: ProduceFlags) => produce(files, flags, io))
}

async function produce(files: readonly string[], flags: ProduceFlags, io: CliIo): Promise<void> {
  if (flags.keyField !== undefined && flags.jsonLines !== true)
    throw new CliError('--key-field needs --json-lines.', exitCodes.usage)
  if (flags.keyField !== undefined && flags.keySeparator !== undefined)
    throw new CliError('--key-field and -K exclude each other.', exitCodes.usage)
  if (flags.delimiter === '') throw new CliError('The delimiter cannot be empty.', exitCodes.usage)
  const highwater = connect(flags, io)
  // No server at all is told at once; one that goes away later is waited for, as long as records may be under way.
  await highwater.admin.cluster()
  const run = new Run(highwater, flags, io)
  try {
    await run.readAll(files)
  } finally {
    await run.finish()
  }
  run.report()
}

/** One run: counts what was sent and what failed. */
class Run {
  readonly #flags: ProduceFlags
  readonly #io: CliIo
  readonly #producer: ReturnType<Highwater['producer']>
  readonly #stderr: Output
  readonly #parse: RecordParser
  readonly #startedMs = performance.now()
  readonly #ticker: NodeJS.Timeout | undefined
  /** Aborted when reading on makes no sense: Ctrl-C, or a refusal that every record would get. */
  readonly #stop = new AbortController()
  #sent = 0
  #sentBytes = 0
  #failed = 0
  #hasProgressLine = false

  constructor(highwater: Highwater, flags: ProduceFlags, io: CliIo) {
    this.#flags = flags
    this.#io = io
    this.#stderr = new Output(io.stderr)
    this.#parse = recordParser(flags)
    this.#producer = highwater.producer({
      compression: flags.compression,
      acks: flags.acks === '0' ? 0 : 'all',
      lingerMs: flags.lingerMs,
      deliveryTimeoutMs: flags.deliveryTimeoutMs,
      recordBytesMax,
    })
    const hasProgress = flags.progress === true || (io.isStderrTty === true && flags.quiet !== true)
    if (hasProgress) this.#ticker = setInterval(() => this.#showProgress(), progressEveryMs)
    io.signal.addEventListener('abort', () => this.#stop.abort())
    if (io.signal.aborted) this.#stop.abort()
  }

  async readAll(files: readonly string[]): Promise<void> {
    try {
      if (files.length === 0) await this.#readLines(this.#io.stdin, 'standard input')
      for (const file of files) {
        if (this.#stop.signal.aborted) return
        if (this.#flags.lines) await this.#readLines(createReadStream(file), file)
        else {
          await this.#producer.ready
          this.#send(await readFile(file), file)
        }
      }
    } catch (error) {
      if (this.#stop.signal.aborted) return
      if (error instanceof LineTooLong) throw new CliError(error.message)
      throw unreadable(error)
    }
  }

  async #readLines(stream: Readable, name: string): Promise<void> {
    addAbortSignal(this.#stop.signal, stream)
    let number = 0
    for await (const lines of splitStream(stream, parseDelimiter(this.#flags.delimiter), recordBytesMax)) {
      for (const line of lines) {
        number++
        if (!this.#producer.isReady) await this.#producer.ready
        this.#send(line, name, number)
      }
    }
  }

  /** @param line its number, where the file has lines */
  #send(bytes: Uint8Array, name: string, line?: number): void {
    const parsed = this.#parse(bytes)
    const where = () => (line === undefined ? name : `${name}:${line}`)
    if (!parsed.ok) {
      this.#fail(`${where()}: ${parsed.message}`)
      return
    }
    const { record, sizeBytes } = parsed
    this.#producer.send(record).then(
      () => {
        this.#sent++
        this.#sentBytes += sizeBytes
      },
      (error: HighwaterError) => {
        this.#fail(`${where()}: ${error.message}`)
        if (!recordFailures.has(error.code)) this.#stop.abort()
      },
    )
  }

  #fail(message: string): void {
    this.#failed++
    if (this.#failed > failuresShownMax) return
    this.#clearProgress()
    void this.#stderr.write(`highwater: ${message}\n`)
  }

  /** What was read is sent, whatever ended the reading. */
  async finish(): Promise<void> {
    await this.#producer.close()
    clearInterval(this.#ticker)
    this.#clearProgress()
  }

  report(): void {
    if (this.#flags.quiet !== true) void this.#stderr.write(`${this.#summary()}\n`)
    const more = this.#failed - failuresShownMax
    if (more > 0) void this.#stderr.write(`highwater: ${more} more failed.\n`)
    if (this.#failed > 0) throw new CliError('')
    if (this.#io.signal.aborted) throw new CliError('', exitCodes.interrupted)
  }

  #summary(): string {
    const seconds = (performance.now() - this.#startedMs) / 1_000
    const failed = this.#failed === 0 ? '' : `, ${this.#failed} failed`
    const rate = seconds > 0 ? this.#sentBytes / seconds : 0
    return `${this.#sent} records, ${sizeText(this.#sentBytes)} in ${seconds.toFixed(1)} s (${sizeText(rate)}/s)${failed}`
  }

  #showProgress(): void {
    if (performance.now() - this.#startedMs < progressAfterMs) return
    const isTty = this.#io.isStderrTty === true
    this.#hasProgressLine = isTty
    void this.#stderr.write(isTty ? `\r\u001b[K${this.#summary()}` : `${this.#summary()}\n`)
  }

  #clearProgress(): void {
    if (!this.#hasProgressLine) return
    this.#hasProgressLine = false
    void this.#stderr.write('\r\u001b[K')
  }
}

type RecordParser = (bytes: Uint8Array) => Parsed
type Parsed =
  | { readonly ok: true; readonly record: ProducerRecord; readonly sizeBytes: number }
  | { readonly ok: false; readonly message: string }

/** Bytes of the input -> the record they are. Values stay the bytes that they were. */
export function recordParser(
  flags: Pick<
    ProduceFlags,
    'topic' | 'partition' | 'key' | 'keySeparator' | 'keyField' | 'jsonLines' | 'emptyAsNull' | 'header'
  >,
): RecordParser {
  const separator = flags.keySeparator === undefined ? undefined : Buffer.from(parseDelimiter(flags.keySeparator))
  const always: Omit<ProducerRecord, 'value'> = {
    topic: flags.topic,
    ...(flags.partition === undefined ? {} : { partition: flags.partition }),
    ...(flags.key === undefined ? {} : { key: flags.key }),
    ...(flags.header === undefined ? {} : { headers: flags.header }),
  }
  return (bytes) => {
    let key: Uint8Array | string | undefined
    let value = bytes
    if (separator !== undefined && separator.length > 0) {
      const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(separator)
      if (at >= 0) {
        key = bytes.subarray(0, at)
        value = bytes.subarray(at + separator.length)
      }
    }
    if (flags.jsonLines) {
      const read = readJson(value, flags.keyField)
      if (!read.ok) return read
      key ??= read.key
    }
    const record: ProducerRecord = {
      ...always,
      ...(key === undefined ? {} : { key }),
      value: value.length === 0 && flags.emptyAsNull === true ? null : value,
    }
    return { ok: true, record, sizeBytes: bytes.length }
  }
}

function readJson(
  bytes: Uint8Array,
  keyField: string | undefined,
): { ok: true; key: string | undefined } | { ok: false; message: string } {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    return { ok: false, message: `This is not JSON: ${error instanceof Error ? error.message : error}` }
  }
  if (keyField === undefined) return { ok: true, key: undefined }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { ok: false, message: `This is no JSON object, so it has no field ${keyField}.` }
  const field: unknown = (value as Record<string, unknown>)[keyField]
  if (field === undefined || field === null) return { ok: true, key: undefined }
  return { ok: true, key: typeof field === 'string' ? field : JSON.stringify(field) }
}

function unreadable(error: unknown): unknown {
  const { code, path } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return new CliError(`There is no file ${path}.`)
  if (code === 'EISDIR') return new CliError(`${path ?? 'That'} is a directory.`)
  if (code === 'EACCES') return new CliError(`${path} may not be read.`)
  return error
}

export function sizeText(bytes: number): string {
  if (bytes < 1_000) return `${Math.round(bytes)} B`
  const units = ['kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = -1
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1_000
    unit++
  }
  return `${value.toFixed(1)} ${units[unit]}`
}
