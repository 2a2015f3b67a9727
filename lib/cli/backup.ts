/** `highwater backup`: a copy of a data directory, beside the server that works on it. */
import type { Command } from 'commander'
import { type CliGiven, type CliIo, Output } from './io.ts'
import { asCliError } from './start.ts'

export function addBackup(program: Command, io: CliIo, given: CliGiven): void {
  program
    .command('backup <directory>')
    .description(
      'Copy a data directory, whether a server has it open or not; into the same place again, only what is new.',
    )
    .option('--data <directory>', 'of which to take the backup', './.highwater')
    .action(async (directory: string, { data }: { readonly data: string }) => {
      const { objects, objectsCopied, bytesCopied, metadataBytes } = await given
        .backUp(data, directory)
        .catch(asCliError)
      await new Output(io.stdout).write(
        `Backed up ${data} to ${directory}: ${objects} objects, of which ${objectsCopied} were copied (${bytesCopied} bytes), and ${metadataBytes} bytes of metadata.\n`,
      )
    })
}
