/** `highwater verify`: whether everything that is stored fits together, over a server or straight on the stores. */
import type { Command } from 'commander'
import { HighwaterError } from '../client/highwater.ts'
import type { Finding, VerifiedPiece, VerifyCounts } from '../core/verify-rule.ts'
import { CliError, type CliGiven, type CliIo, exitCodes, Output, type VerifyPlace, type VerifySource } from './io.ts'
import { collectPartitions, connect, type ServerOptions, withServer } from './options.ts'
import { asCliError } from './start.ts'

interface VerifyFlags extends ServerOptions {
  readonly partition?: readonly number[]
  readonly deep?: boolean
  readonly json?: boolean
  readonly data?: string
  readonly bucket?: string
  readonly table?: string
}

/** Partitions that are verified at the same time. */
const partitionsAtOnce = 4
const progressMs = 1_000

export function addVerify(program: Command, io: CliIo, given: CliGiven): void {
  withServer(program.command('verify'))
    .argument('[topic...]', 'these topics, otherwise all, and what belongs to none')
    .description('Check everything that is stored: every checksum, offset, row and object. Changes nothing.')
    .option('-p, --partition <numbers>', 'these partitions, otherwise all', collectPartitions)
    .option('--deep', 'decompress and walk the records, too')
    .option('--json', 'as one JSON object')
    .option('--data <directory>', 'not over a server: straight in this data directory, while no server has it open')
    .option('--bucket <name>', 'not over a server: straight in this S3 bucket, with --table and AWS credentials')
    .option('--table <name>', 'the DynamoDB table that belongs to it')
    .action(async (topics: string[], flags: VerifyFlags) => {
      const source = await sourceOf(flags, io, given)
      try {
        const report = await new Verifying(source, flags, io).run(topics)
        // Said already; the exit code is for scripts.
        if (report.damage > 0) throw new CliError('', exitCodes.failure)
      } catch (error) {
        throw couldNotVerify(error)
      } finally {
        await source.close()
      }
    })
}

interface Report extends Record<keyof VerifyCounts, number> {
  topics: number
  partitions: number
  damage: number
  leftovers: number
  /** Objects that nothing names, where all topics were verified. */
  unnamed: number
  /** False where the look for leftovers ran out of time, or the command was interrupted. */
  isWhole: boolean
}

class Verifying {
  readonly #source: VerifySource
  readonly #flags: VerifyFlags
  readonly #io: CliIo
  readonly #output: Output
  readonly #findings: Finding[] = []
  readonly #report: Report = {
    topics: 0,
    partitions: 0,
    records: 0,
    bytes: 0,
    chunks: 0,
    rows: 0,
    producers: 0,
    damage: 0,
    leftovers: 0,
    unnamed: 0,
    isWhole: true,
  }
  #saidMs = Date.now()

  constructor(source: VerifySource, flags: VerifyFlags, io: CliIo) {
    this.#source = source
    this.#flags = flags
    this.#io = io
    this.#output = new Output(io.stdout)
  }

  async run(named: readonly string[]): Promise<Report> {
    const left = await this.#partitions(named)
    const turn = async () => {
      for (let next = left.shift(); next !== undefined && !this.#io.signal.aborted; next = left.shift())
        await this.#verify(next.topic, next.partition, named.length > 0)
    }
    await Promise.all(Array.from({ length: partitionsAtOnce }, turn))
    if (named.length === 0 && this.#flags.partition === undefined && !this.#io.signal.aborted) await this.#leftovers()
    if (this.#io.signal.aborted) {
      this.#report.isWhole = false
      throw new CliError('Interrupted: not everything was verified.', exitCodes.unverified)
    }
    await this.#output.write(this.#flags.json ? this.#json() : summaryOf(this.#report))
    return this.#report
  }

  /** Of the topics named, otherwise of all. */
  async #partitions(named: readonly string[]): Promise<{ readonly topic: string; readonly partition: number }[]> {
    const wanted = new Set(named)
    const found: { topic: string; partition: number }[] = []
    let after: string | undefined
    do {
      const page = unrefused(await this.#source.topics(after))
      await this.#tell(page.findings.filter(({ topic }) => wanted.size === 0 || wanted.has(topic ?? '')))
      for (const { topic } of page.findings) if (topic !== undefined) wanted.delete(topic)
      for (const { name, partitions } of page.topics) {
        if (named.length > 0 && !wanted.delete(name)) continue
        this.#report.topics++
        for (let partition = 0; partition < partitions; partition++)
          if (this.#flags.partition?.includes(partition) ?? true) found.push({ topic: name, partition })
      }
      after = page.next
    } while (after !== undefined)
    const [missing] = wanted
    if (missing !== undefined) throw new CliError(`Topic '${missing}' does not exist.`, exitCodes.unverified)
    return found
  }

  async #verify(topic: string, partition: number, isNamed: boolean): Promise<void> {
    const { deep, partition: only } = this.#flags
    let cursor: string | undefined
    do {
      const options = { ...(cursor === undefined ? {} : { cursor }), ...(deep ? { isDeep: true } : {}) }
      const piece = await this.#source.partition(topic, partition, options)
      if (!piece.ok && piece.code === 'UNKNOWN_TOPIC' && !isNamed && only === undefined) {
        this.#io.stderr.write(`highwater: topic ${topic} was deleted meanwhile\n`)
        return
      }
      const found = unrefused(piece)
      for (const name of Object.keys(found.counts) as (keyof VerifyCounts)[]) this.#report[name] += found.counts[name]
      await this.#tell(found.findings)
      this.#progress(found)
      cursor = found.cursor
    } while (cursor !== undefined && !this.#io.signal.aborted)
    this.#report.partitions++
  }

  async #leftovers(): Promise<void> {
    const { findings, unnamed, isWhole } = unrefused(await this.#source.leftovers())
    await this.#tell(findings)
    this.#report.unnamed = unnamed
    this.#report.isWhole = isWhole
  }

  async #tell(findings: readonly Finding[]): Promise<void> {
    for (const finding of findings) {
      if (finding.severity === 'damage') this.#report.damage++
      else this.#report.leftovers++
      if (this.#flags.json) this.#findings.push(finding)
      else await this.#output.write(lineOf(finding))
    }
  }

  #progress({ topic, partition, fromOffset, startOffset, highWatermark }: VerifiedPiece): void {
    const nowMs = Date.now()
    if (this.#io.isStderrTty !== true || nowMs - this.#saidMs < progressMs) return
    this.#saidMs = nowMs
    const { records, bytes } = this.#report
    this.#io.stderr.write(
      `highwater: ${topic}/${partition} down to offset ${fromOffset} of ${startOffset} to ${highWatermark}; ${grouped(records)} records, ${grouped(bytes)} bytes so far\n`,
    )
  }

  #json(): string {
    return `${JSON.stringify({ ...this.#report, findings: this.#findings }, null, 2)}\n`
  }
}

async function sourceOf(flags: VerifyFlags, io: CliIo, given: CliGiven): Promise<VerifySource> {
  const { data, bucket, table } = flags
  if ((bucket === undefined) !== (table === undefined))
    throw new CliError('--bucket and --table go together.', exitCodes.usage)
  if (data !== undefined && table !== undefined)
    throw new CliError('--data and --bucket exclude each other.', exitCodes.usage)
  const place: VerifyPlace | undefined =
    data !== undefined ? { dataDir: data } : bucket !== undefined && table !== undefined ? { bucket, table } : undefined
  if (place !== undefined)
    return given.openVerifier(place).catch((error: unknown) => {
      try {
        return asCliError(error)
      } catch (refused) {
        throw couldNotVerify(refused)
      }
    })
  const { verification } = connect(flags, io).admin
  return {
    topics: (after) => asked(() => verification.topics(after)),
    partition: (topic, partition, options) => asked(() => verification.partition(topic, partition, options)),
    leftovers: () => asked(() => verification.leftovers()),
    close: async () => {},
  }
}

/** What a server refuses, as a value. */
async function asked<Value extends object>(work: () => Promise<Value>) {
  try {
    return { ok: true, ...(await work()) } as const
  } catch (error) {
    if (!(error instanceof HighwaterError)) throw error
    return { ok: false, code: error.code, message: error.message } as const
  }
}

function unrefused<Answer extends { readonly ok: boolean }>(answer: Answer): Extract<Answer, { readonly ok: true }> {
  if (answer.ok) return answer as Extract<Answer, { readonly ok: true }>
  throw new CliError((answer as unknown as { readonly message: string }).message, exitCodes.unverified)
}

/** Whatever keeps it from its work is no damage that was found: 2, as a question that was asked wrongly. */
function couldNotVerify(error: unknown): unknown {
  if (error instanceof CliError && (error.exitCode === exitCodes.unverified || error.message === '')) return error
  if (error instanceof CliError || (error instanceof Error && error.name === 'Unavailable'))
    return new CliError(error.message, exitCodes.unverified)
  return error
}

/** What it is, where it is, and what it means, in columns. */
function lineOf({ severity, code, topic, partition, offset, key, message }: Finding): string {
  const where = [topic, partition].filter((part) => part !== undefined).join('/')
  const columns = [
    severity === 'damage' ? 'DAMAGE' : 'leftover',
    code,
    where === '' ? '-' : where,
    offset === undefined ? '-' : String(offset),
    key ?? '-',
    message,
  ]
  return `${columns.join('\t')}\n`
}

function summaryOf(report: Report): string {
  const { topics, partitions, records, bytes, chunks, rows, damage, leftovers, unnamed, isWhole } = report
  const looked = `${counted(partitions, 'partition')} of ${counted(topics, 'topic')}: ${counted(records, 'record')}, ${counted(bytes, 'byte')}, ${counted(chunks, 'chunk')}, ${counted(rows, 'row')}`
  const sweep = unnamed === 0 ? '' : ` (${counted(unnamed, 'object')} for the next sweep)`
  const cut = isWhole ? '' : '; the look for objects that nothing names ran out of time'
  return `Verified ${looked}.\n${damage === 0 ? 'No damage' : `DAMAGE: ${grouped(damage)}`}; ${counted(leftovers, 'leftover')}${sweep}${cut}.\n`
}

function counted(count: number, what: string): string {
  return `${grouped(count)} ${what}${count === 1 ? '' : 's'}`
}

function grouped(count: number): string {
  return count.toLocaleString('en-US')
}
