/** `highwater keys`: API keys, over a server that knows them, or straight on the store where there is none yet that lets one in. */
import { type Command, InvalidArgumentError } from 'commander'
import { type ApiKey, type NewApiKey, type Work, works } from '../core/api-key.ts'
import type { Refusal } from '../core/errors.ts'
import { CliError, type CliGiven, type CliIo, exitCodes, type KeyStore, Output } from './io.ts'
import { connect, parseTime, type ServerOptions, withServer } from './options.ts'
import { asCliError } from './start.ts'

interface PlaceFlags extends ServerOptions {
  readonly table?: string
  readonly data?: string
}

interface CreateFlags extends PlaceFlags {
  readonly allow: readonly Work[]
  readonly expires?: (nowMs: number) => number
}

interface ListFlags extends PlaceFlags {
  readonly json?: boolean
}

export function addKeys(program: Command, io: CliIo, given: CliGiven): void {
  const keys = program.command('keys').description('Create, list and revoke API keys.')
  const print = (text: string) => new Output(io.stdout).write(text)
  const command = (usage: string) =>
    withServer(keys.command(usage))
      .option('--table <name>', 'not over a server: straight in this DynamoDB table, with AWS credentials')
      .option('--data <directory>', 'not over a server: straight in this data directory, while no server has it open')
  const store = (flags: PlaceFlags) => openStore(flags, io, given)

  command('create <name>')
    .description('Create a key and print it. It is printed once: only a hash of it is kept.')
    .requiredOption(
      '--allow <works>',
      `what it may be used for: ${works.join(', ')}, with commas between`,
      collectWorks,
    )
    .option('--expires <when>', 'after which time it is refused: 12h, 30d, or a time as ISO 8601', parseExpiry)
    .action(async (name: string, flags: CreateFlags) => {
      const request: NewApiKey = {
        name,
        allow: flags.allow,
        ...(flags.expires === undefined ? {} : { expiresMs: flags.expires(Date.now()) }),
      }
      const { key, token } = await using(store(flags), async (keys) => unrefused(await keys.create(request)))
      io.stderr.write(
        `API key ${key.id} (${key.name}) may be used for ${key.allow.join(', ')}; nobody can show it again.\n`,
      )
      await print(`${token}\n`)
    })

  command('list')
    .description('List the keys, without their secrets.')
    .option('--json', 'as one JSON array')
    .action(async (flags: ListFlags) => {
      const listed = await using(store(flags), (keys) => keys.list())
      await print(flags.json ? `${JSON.stringify(listed, null, 2)}\n` : tableOf(listed))
    })

  command('revoke <id...>')
    .description('Revoke keys, for ever.')
    .action(async (ids: string[], flags: PlaceFlags) => {
      await using(store(flags), async (keys) => {
        for (const id of ids) {
          // Whoever gives the whole key means its id; the rest is not to be shown again.
          const keyId = id.split('.')[0] ?? ''
          unrefused(await keys.revoke(keyId))
          await print(`Revoked API key ${keyId}.\n`)
        }
      })
    })
}

async function openStore(flags: PlaceFlags, io: CliIo, given: CliGiven): Promise<KeyStore> {
  const { table, data } = flags
  if (table !== undefined && data !== undefined)
    throw new CliError('--table and --data exclude each other.', exitCodes.usage)
  if (table !== undefined) return given.openKeys({ table }).catch(asCliError)
  if (data !== undefined) return given.openKeys({ dataDir: data }).catch(asCliError)
  const { admin } = connect(flags, io)
  return {
    async create(request) {
      const { key: token, ...key } = await admin.createApiKey(request)
      return { ok: true, key, token }
    },
    list: () => admin.listApiKeys(),
    async revoke(id) {
      await admin.revokeApiKey(id)
      return { ok: true }
    },
    close: async () => {},
  }
}

async function using<Result>(opening: Promise<KeyStore>, work: (keys: KeyStore) => Promise<Result>): Promise<Result> {
  const keys = await opening
  try {
    return await work(keys)
  } catch (error) {
    if (error instanceof Error && error.name === 'Unavailable') throw new CliError(error.message)
    throw error
  } finally {
    await keys.close()
  }
}

function unrefused<Value extends { readonly ok: true }>(answer: Value | Refusal): Value {
  if (!answer.ok) throw new CliError(answer.message)
  return answer
}

function collectWorks(text: string, previous: readonly Work[] = []): Work[] {
  const named = text.split(',').map((word) => word.trim())
  const unknown = named.find((word) => !works.includes(word as Work))
  if (unknown !== undefined) throw new InvalidArgumentError(`It is one or more of ${works.join(', ')}.`)
  return [...new Set([...previous, ...(named as Work[])])]
}

const unitsMs = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const

function parseExpiry(text: string): (nowMs: number) => number {
  const [, count, unit] = /^([1-9][0-9]{0,5})([mhd])$/.exec(text) ?? []
  if (count !== undefined) return (nowMs) => nowMs + Number(count) * unitsMs[unit as keyof typeof unitsMs]
  const timeMs = parseTime(text)
  if (timeMs === undefined) throw new InvalidArgumentError('It is like 90m, 12h or 30d, or a time as ISO 8601.')
  return () => timeMs
}

function tableOf(keys: readonly ApiKey[]): string {
  const time = (timeMs: number | undefined) =>
    timeMs === undefined ? '-' : new Date(timeMs).toISOString().slice(0, 19)
  const rows = [
    ['ID', 'ALLOWS', 'CREATED', 'EXPIRES', 'NAME'],
    ...keys.map((key) => [key.id, key.allow.join(','), time(key.createdMs), time(key.expiresMs), key.name]),
  ]
  return rows.map((row) => `${row.join('\t')}\n`).join('')
}
