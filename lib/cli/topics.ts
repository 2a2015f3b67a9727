/** `highwater topics`: what kafka-topics and kafka-configs do. */
import type { Command } from 'commander'
import { type Highwater, HighwaterError, type HighwaterErrorCode, type TopicDescription } from '../client/highwater.ts'
import { CliError, type CliIo, exitCodes, Output } from './io.ts'
import { collect, collectPairs, connect, type ServerOptions, wholeNumber, withServer } from './options.ts'

interface CreateFlags extends ServerOptions {
  readonly partitions?: number
  readonly config?: readonly (readonly [string, string])[]
  readonly ifNotExists?: boolean
}

interface AlterFlags extends ServerOptions {
  readonly partitions?: number
  readonly config?: readonly (readonly [string, string])[]
  readonly deleteConfig?: readonly string[]
  readonly ifExists?: boolean
}

interface ShowFlags extends ServerOptions {
  readonly json?: boolean
  readonly ifExists?: boolean
}

export function addTopics(program: Command, io: CliIo): void {
  const topics = program.command('topics').description('Create, list, describe, alter and delete topics.')
  const print = (text: string) => new Output(io.stdout).write(text)

  withServer(topics.command('create <topic...>'))
    .description('Create topics.')
    .option('--partitions <number>', "partitions of each; otherwise the server's default", wholeNumber(1))
    .option('--config <name=value>', 'a topic config; may be repeated', collectPairs)
    .option('--if-not-exists', 'leave topics alone that exist')
    .action(async (names: string[], flags: CreateFlags) => {
      const { admin } = connect(flags, io)
      for (const name of names) {
        const created = await allowing(flags.ifNotExists === true, 'TOPIC_ALREADY_EXISTS', () =>
          admin.createTopic(name, {
            configs: Object.fromEntries(flags.config ?? []),
            ...(flags.partitions === undefined ? {} : { partitions: flags.partitions }),
          }),
        )
        await print(created === undefined ? `Topic ${name} exists.\n` : `Created topic ${name}.\n`)
      }
    })

  withServer(topics.command('list'))
    .description('List the topics.')
    .option('--json', 'as one JSON array, with partition counts')
    .action(async (flags: ShowFlags) => {
      const listed = await connect(flags, io).admin.listTopics()
      if (flags.json) await print(`${JSON.stringify(listed, null, 2)}\n`)
      else await print(listed.map((topic) => `${topic.name}\n`).join(''))
    })

  withServer(topics.command('describe [topic...]'))
    .description('Describe topics, or all of them: partitions and configs.')
    .option('--json', 'as one JSON array, with all configs')
    .option('--if-exists', 'pass over topics that do not exist')
    .action(async (given: string[], flags: ShowFlags) => {
      const highwater = connect(flags, io)
      const names = given.length > 0 ? given : (await highwater.admin.listTopics()).map((topic) => topic.name)
      const described: TopicDescription[] = []
      for (const name of names) {
        const found = await allowing(flags.ifExists === true, 'UNKNOWN_TOPIC', () =>
          highwater.admin.describeTopic(name),
        )
        if (found !== undefined) described.push(found)
      }
      await print(flags.json ? await describedJson(highwater, described) : described.map(describedText).join(''))
    })

  withServer(topics.command('alter <topic>'))
    .description('Add partitions, set configs, or return them to their defaults.')
    .option('--partitions <number>', 'the new number of partitions; keys move to others by it', wholeNumber(1))
    .option('--config <name=value>', 'a config to set; may be repeated', collectPairs)
    .option('--delete-config <name>', 'a config to return to its default; may be repeated', collect)
    .option('--if-exists', 'do nothing if the topic does not exist')
    .action(async (name: string, flags: AlterFlags) => {
      const { partitions, config = [], deleteConfig = [] } = flags
      const configs: Record<string, string | null> = Object.fromEntries(config)
      for (const deleted of deleteConfig) configs[deleted] = null
      const hasConfigs = Object.keys(configs).length > 0
      if (partitions === undefined && !hasConfigs)
        throw new CliError('Say what to alter: --partitions, --config or --delete-config.', exitCodes.usage)
      const { admin } = connect(flags, io)
      const altered = await allowing(flags.ifExists === true, 'UNKNOWN_TOPIC', async () => {
        if (hasConfigs) await admin.alterConfigs(name, configs)
        if (partitions !== undefined) await admin.addPartitions(name, partitions)
        return true
      })
      await print(altered === undefined ? `Topic ${name} does not exist.\n` : `Altered topic ${name}.\n`)
    })

  withServer(topics.command('delete <topic...>'))
    .description('Delete topics with all their records.')
    .option('--if-exists', 'pass over topics that do not exist')
    .action(async (names: string[], flags: ShowFlags) => {
      const { admin } = connect(flags, io)
      for (const name of names) {
        const deleted = await allowing(flags.ifExists === true, 'UNKNOWN_TOPIC', async () => {
          await admin.deleteTopic(name)
          return true
        })
        await print(deleted === undefined ? `Topic ${name} does not exist.\n` : `Deleted topic ${name}.\n`)
      }
    })
}

/** The answer, or undefined where it is the one failure that is allowed. */
async function allowing<Value>(
  isAllowed: boolean,
  code: HighwaterErrorCode,
  work: () => Promise<Value>,
): Promise<Value | undefined> {
  try {
    return await work()
  } catch (error) {
    if (isAllowed && error instanceof HighwaterError && error.code === code) return undefined
    throw error
  }
}

/** kafka-topics --describe, column by column. There is one broker, 0, behind every partition. */
function describedText(topic: TopicDescription): string {
  const configs = Object.entries(topic.configs)
    .filter(([, config]) => !config.isDefault)
    .map(([name, config]) => `${name}=${config.value}`)
  const columns = [
    `Topic: ${topic.name}`,
    ...(topic.topicId === undefined ? [] : [`TopicId: ${topic.topicId}`]),
    `PartitionCount: ${topic.partitions}`,
    'ReplicationFactor: 1',
    `Configs: ${configs.join(',')}`,
  ]
  let text = `${columns.join('\t')}\n`
  for (let partition = 0; partition < topic.partitions; partition++)
    text += `\tTopic: ${topic.name}\tPartition: ${partition}\tLeader: 0\tReplicas: 0\tIsr: 0\n`
  return text
}

async function describedJson(highwater: Highwater, topics: readonly TopicDescription[]): Promise<string> {
  const described = []
  for (const topic of topics) {
    const partitions = []
    for (let partition = 0; partition < topic.partitions; partition++)
      partitions.push({ partition, ...(await highwater.admin.offsets(topic.name, partition)) })
    described.push({ ...topic, partitions })
  }
  return `${JSON.stringify(described, null, 2)}\n`
}
