/**
 * The command line. Conventions are those of kcat and of Kafka's own tools; exit codes are 0 (done), 1 (failed), 2 (asked
 * wrongly) and 130 (interrupted with input left unread).
 */
import { Command, CommanderError } from 'commander'
import { HighwaterError } from '../client/highwater.ts'
import { addBackup } from './backup.ts'
import { addConsume } from './consume.ts'
import { addCost } from './cost.ts'
import { addGroups } from './groups.ts'
import { CliError, type CliGiven, type CliIo, exitCodes, Output } from './io.ts'
import { addKeys } from './keys.ts'
import { addOffsets } from './offsets.ts'
import { serverOptionNames, withServer } from './options.ts'
import { addProduce } from './produce.ts'
import { addStart } from './start.ts'
import { addTopics } from './topics.ts'
import { addVerify } from './verify.ts'

/**
 * Runs one command. Rejects only for a bug.
 *
 * @param argv what follows the program's name
 * @returns the exit code
 * @example
 * process.exitCode = await runCli(process.argv.slice(2), io, { version, startServer })
 */
export async function runCli(argv: readonly string[], io: CliIo, given: CliGiven): Promise<number> {
  const program = programOf(io, given)
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return exitCodes.ok
  } catch (error) {
    return codeOf(error, io)
  }
}

/** The commands as a tree, for running and for the docs. */
export function programOf(io: CliIo, given: CliGiven): Command {
  // Whoever reads the help may stop reading it, too.
  const stdout = new Output(io.stdout)
  const stderr = new Output(io.stderr)
  const program = new Command('highwater')
    .description('A Kafka-style log on object storage, over plain HTTP.')
    .version(given.version, '-V, --version')
    .exitOverride()
    .showHelpAfterError('(add --help for the options)')
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      getErrHasColors: () => false,
      getOutHasColors: () => false,
    })
  withServer(program).hook('preAction', inheritServer)
  addStart(program, io, given)
  addTopics(program, io)
  addProduce(program, io)
  addConsume(program, io)
  addGroups(program, io)
  addOffsets(program, io)
  addKeys(program, io, given)
  addVerify(program, io, given)
  addBackup(program, io, given)
  addCost(program, io)
  for (const command of allCommands(program)) command.copyInheritedSettings(program).exitOverride()
  return program
}

/** Where the server is and who asks may stand before the command as well; behind it they win. */
function inheritServer(program: Command, command: Command): void {
  for (const name of serverOptionNames)
    if (command.getOptionValue(name) === undefined) command.setOptionValue(name, program.getOptionValue(name))
}

function* allCommands(command: Command): Generator<Command> {
  for (const child of command.commands) {
    yield child
    yield* allCommands(child)
  }
}

function codeOf(error: unknown, io: CliIo): number {
  const say = (message: string) => {
    if (message !== '') io.stderr.write(`highwater: ${message}\n`)
  }
  if (error instanceof CommanderError) {
    // Commander has said what it had to say; asking for help or the version is no mistake, calling nothing is.
    if (error.code === 'commander.help') return exitCodes.usage
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  }
  if (error instanceof CliError) {
    say(error.message)
    return error.exitCode
  }
  if (error instanceof HighwaterError) {
    // A gateway says no more than "Forbidden".
    const isTurnedAway = error.code === 'UNAUTHORIZED' && error.status > 0
    say(isTurnedAway ? `${error.message} (who asks is said by --api-key or --aws-sign)` : error.message)
    return exitCodes.failure
  }
  throw error
}
