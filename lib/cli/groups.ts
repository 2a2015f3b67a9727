/** `highwater groups`: what kafka-consumer-groups does, with its columns. */
import { type Command, InvalidArgumentError } from 'commander'
import type { GroupDescription, GroupLag, GroupMember, Highwater, ResetOffsets } from '../client/highwater.ts'
import { CliError, type CliIo, exitCodes, Output } from './io.ts'
import { collect, connect, parseTime, type ServerOptions, wholeNumber, withServer } from './options.ts'

interface ListFlags extends ServerOptions {
  readonly state?: boolean
  readonly json?: boolean
}

interface DescribeFlags extends ServerOptions {
  readonly members?: boolean
  readonly verbose?: boolean
  readonly state?: boolean
  readonly json?: boolean
}

interface ResetFlags extends ServerOptions {
  readonly topic?: readonly string[]
  readonly allTopics?: boolean
  readonly toEarliest?: boolean
  readonly toLatest?: boolean
  readonly toCurrent?: boolean
  readonly toOffset?: number
  readonly toDatetime?: number
  readonly shiftBy?: number
  readonly byDuration?: number
  readonly dryRun?: boolean
  readonly execute?: boolean
  readonly json?: boolean
}

interface TopicFlags extends ServerOptions {
  readonly topic: readonly string[]
}

export function addGroups(program: Command, io: CliIo): void {
  const groups = program.command('groups').description('List, describe, reset and delete consumer groups.')
  const output = new Output(io.stdout)
  const print = (text: string) => output.write(text)

  withServer(groups.command('list'))
    .description('List the consumer groups.')
    .option('--state', 'with their states')
    .option('--json', 'as one JSON array, with states and numbers of members')
    .action(async (flags: ListFlags) => {
      const listed = await connect(flags, io).admin.groups.list()
      if (flags.json) await print(jsonText(listed))
      else if (flags.state)
        await print(
          table(
            ['GROUP', 'STATE', '#MEMBERS'],
            listed.map(({ group, state, memberCount }) => [group, state, memberCount]),
          ),
        )
      else await print(listed.map(({ group }) => `${group}\n`).join(''))
    })

  withServer(groups.command('describe [group...]'))
    .description('Describe groups, or all of them: how far each is in every partition, and who reads it.')
    .option('--members', 'the members instead')
    .option('--verbose', 'with --members: what each reads')
    .option('--state', 'state and assignor instead')
    .option('--json', 'as one JSON array, with everything')
    .action(async (given: string[], flags: DescribeFlags) => {
      const highwater = connect(flags, io)
      const described: Described[] = []
      for (const group of await namesOf(highwater, given)) described.push(await describe(highwater, group))
      if (flags.json) await print(jsonText(described))
      else if (flags.members) await print(membersText(described, flags.verbose === true))
      else if (flags.state) await print(stateText(described))
      else await print(described.map(offsetsText).join('\n'))
    })

  withServer(groups.command('lag [group...]'))
    .description('How many records groups, or all of them, are behind: in all, and where most.')
    .option('--json', 'as one JSON array')
    .action(async (given: string[], flags: ListFlags) => {
      const highwater = connect(flags, io)
      const rows = []
      for (const group of await namesOf(highwater, given))
        rows.push({ group, ...lagOf(await highwater.admin.groups.lags(group)) })
      if (flags.json) await print(jsonText(rows))
      else
        await print(
          table(
            ['GROUP', 'TOTAL-LAG', 'MAX-LAG', 'TOPIC', 'PARTITION'],
            rows.map(({ group, totalLag, maxLag, topic, partition }) => [group, totalLag, maxLag, topic, partition]),
          ),
        )
    })

  addReset(groups, io, print)

  withServer(groups.command('delete <group...>'))
    .description('Delete groups without members, with their offsets.')
    .action(async (names: string[], flags: ServerOptions) => {
      const { admin } = connect(flags, io)
      for (const name of names) {
        await admin.groups.delete(name)
        await print(`Deleted group ${name}.\n`)
      }
    })

  withServer(groups.command('delete-offsets <group>'))
    .description('Forget what a group has committed of topics.')
    .requiredOption('-t, --topic <topic[:partitions]>', 'e.g. orders or orders:0,3; may be repeated', collect)
    .action(async (group: string, flags: TopicFlags) => {
      const { admin } = connect(flags, io)
      for (const { topic, partitions } of topicsOf(flags.topic)) {
        let deleted = 0
        for (const partition of partitions ?? [undefined])
          deleted += await admin.groups.deleteOffsets(group, topic, partition)
        await print(`Deleted ${deleted} ${deleted === 1 ? 'offset' : 'offsets'} of ${topic}.\n`)
      }
    })
}

function addReset(groups: Command, io: CliIo, print: (text: string) => Promise<void>): void {
  withServer(groups.command('reset-offsets <group>'))
    .description(
      'Set what a group without members has committed. Only says what it would do, unless there is --execute.',
    )
    .option('-t, --topic <topic[:partitions]>', 'e.g. orders or orders:0,3; may be repeated', collect)
    .option('--all-topics', 'whatever the group has committed offsets of')
    .option('--to-earliest', 'to the first offset there is')
    .option('--to-latest', 'to the end')
    .option('--to-current', 'to what is committed, within what there is')
    .option('--to-offset <offset>', 'to an offset', wholeNumber(0))
    .option('--to-datetime <time>', 'to the first record at or after a time, in milliseconds or ISO 8601', timeOf)
    .option('--by-duration <duration>', 'to the first record after so long ago, e.g. PT2H30M or P1D', durationOf)
    .option('--shift-by <number>', 'by so many records, forwards or backwards', wholeNumber(Number.MIN_SAFE_INTEGER))
    .option('--dry-run', 'change nothing, as without --execute')
    .option('--execute', 'do it')
    .option('--json', 'as one JSON array')
    .action(async (group: string, flags: ResetFlags) => {
      if (flags.dryRun && flags.execute)
        throw new CliError('--dry-run and --execute exclude each other.', exitCodes.usage)
      if ((flags.topic === undefined) === (flags.allTopics !== true))
        throw new CliError('Name topics with -t, or take --all-topics.', exitCodes.usage)
      const isDryRun = flags.execute !== true
      const topics = flags.topic === undefined ? 'all' : topicsOf(flags.topic)
      const { admin } = connect(flags, io)
      const reset = await admin.groups.resetOffsets(group, { topics, to: resetTo(flags), isDryRun })
      if (flags.json) await print(jsonText(reset.map((offset) => ({ group, ...offset }))))
      else
        await print(
          table(
            ['GROUP', 'TOPIC', 'PARTITION', 'NEW-OFFSET'],
            reset.map(({ topic, partition, offset }) => [group, topic, partition, offset]),
          ),
        )
      if (isDryRun && !flags.dryRun) io.stderr.write('highwater: Nothing was changed. Add --execute to do it.\n')
    })
}

function resetTo(flags: ResetFlags): ResetOffsets['to'] {
  const { toEarliest, toLatest, toCurrent, toOffset, toDatetime, byDuration, shiftBy } = flags
  const given: ResetOffsets['to'][] = [
    ...(toEarliest ? ['earliest' as const] : []),
    ...(toLatest ? ['latest' as const] : []),
    ...(toCurrent ? ['current' as const] : []),
    ...(toOffset === undefined ? [] : [{ offset: toOffset }]),
    ...(toDatetime === undefined ? [] : [{ timestampMs: toDatetime }]),
    ...(byDuration === undefined ? [] : [{ timestampMs: Math.max(0, Date.now() - byDuration) }]),
    ...(shiftBy === undefined ? [] : [{ shift: shiftBy }]),
  ]
  const [to, ...others] = given
  if (to === undefined || others.length > 0)
    throw new CliError(
      'Say where to: one of --to-earliest, --to-latest, --to-current, --to-offset, --to-datetime, --by-duration, --shift-by.',
      exitCodes.usage,
    )
  return to
}

interface Described extends GroupDescription {
  readonly offsets: readonly GroupLag[]
}

async function describe({ admin }: Highwater, group: string): Promise<Described> {
  return { ...(await admin.groups.describe(group)), offsets: await admin.groups.lags(group) }
}

async function namesOf({ admin }: Highwater, given: readonly string[]): Promise<readonly string[]> {
  return given.length > 0 ? given : (await admin.groups.list()).map(({ group }) => group)
}

/** kafka-consumer-groups --describe. Members say no host. */
function offsetsText({ group, members, offsets }: Described): string {
  const head = members.length === 0 && offsets.length > 0 ? `Consumer group '${group}' has no active members.\n\n` : ''
  return (
    head +
    table(
      ['GROUP', 'TOPIC', 'PARTITION', 'CURRENT-OFFSET', 'LOG-END-OFFSET', 'LAG', 'CONSUMER-ID', 'HOST', 'CLIENT-ID'],
      offsets.map(({ topic, partition, currentOffset, endOffset, lag, memberId, clientId }) => [
        group,
        topic,
        partition,
        currentOffset,
        endOffset,
        currentOffset === undefined ? undefined : lag,
        memberId,
        undefined,
        clientId,
      ]),
    )
  )
}

function membersText(described: readonly Described[], isVerbose: boolean): string {
  const hasInstances = described.some(({ members }) => members.some(({ instanceId }) => instanceId !== undefined))
  const rows = described.flatMap(({ group, members }) =>
    members.map((member) => [
      group,
      member.memberId,
      ...(hasInstances ? [member.instanceId] : []),
      undefined,
      member.clientId,
      member.assigned.length,
      ...(isVerbose ? [assignmentText(member)] : []),
    ]),
  )
  const head = ['GROUP', 'CONSUMER-ID', ...(hasInstances ? ['GROUP-INSTANCE-ID'] : []), 'HOST', 'CLIENT-ID']
  return table([...head, '#PARTITIONS', ...(isVerbose ? ['ASSIGNMENT'] : [])], rows)
}

/** `orders(0,1), payments(3)` */
function assignmentText({ assigned }: GroupMember): string {
  const byTopic = new Map<string, number[]>()
  for (const { topic, partition } of assigned) byTopic.set(topic, [...(byTopic.get(topic) ?? []), partition])
  return [...byTopic].map(([topic, partitions]) => `${topic}(${partitions.join(',')})`).join(', ')
}

function stateText(described: readonly Described[]): string {
  return table(
    ['GROUP', 'ASSIGNMENT-STRATEGY', 'STATE', '#MEMBERS'],
    described.map(({ group, assignor, state, memberCount }) => [group, assignor, state, memberCount]),
  )
}

function lagOf(lags: readonly GroupLag[]) {
  let totalLag = 0
  let most: GroupLag | undefined
  for (const lag of lags) {
    totalLag += lag.lag
    if (most === undefined || lag.lag > most.lag) most = lag
  }
  return { totalLag, maxLag: most?.lag ?? 0, topic: most?.topic, partition: most?.partition }
}

type Cell = string | number | undefined

/** Columns as wide as they need to be; `-` for what is not there, as in Kafka's tools. */
function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const texts = [
    head,
    ...rows.map((row) => row.map((cell) => (cell === undefined || cell === '' ? '-' : String(cell)))),
  ]
  const widths = head.map((_, column) => Math.max(...texts.map((row) => row[column]?.length ?? 0)))
  return texts
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, (_key, inner: unknown) => inner ?? null, 2)}\n`
}

/** `orders` or `orders:0,3`, as Kafka's tools take it. */
function topicsOf(texts: readonly string[]): { readonly topic: string; readonly partitions?: readonly number[] }[] {
  return texts.map((text) => {
    const [topic = '', list] = text.split(':')
    if (list === undefined) return { topic }
    if (!/^[0-9]+(,[0-9]+)*$/.test(list))
      throw new CliError(`${JSON.stringify(text)} is not <topic>, or <topic>:<partition>,…`, exitCodes.usage)
    return { topic, partitions: list.split(',').map(Number) }
  })
}

function timeOf(text: string): number {
  const time = parseTime(text)
  if (time === undefined) throw new InvalidArgumentError('It is milliseconds or an ISO 8601 time.')
  return time
}

/** ISO 8601: `P1DT2H3M4S`, of days, hours, minutes and seconds. */
function durationOf(text: string): number {
  const match = /^P(?:([0-9]+)D)?(?:T(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)S)?)?$/.exec(text)
  const [, days = 0, hours = 0, minutes = 0, seconds = 0] = (match ?? []).map((part) => Number(part ?? 0))
  const durationMs = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000
  if (match === null || text.endsWith('P') || text.endsWith('T') || !Number.isSafeInteger(durationMs))
    throw new InvalidArgumentError('It is an ISO 8601 duration of days, hours, minutes and seconds, e.g. PT2H30M.')
  return durationMs
}
