/** A backup of a data directory, in words for who asked for it. */
import { type BackedUp, backUpDataDirectory } from '../lib/adapters/local/backup.ts'
import { StartError } from './server.ts'

/** @throws StartError */
export async function backUp(dataDir: string, to: string): Promise<BackedUp> {
  try {
    return await backUpDataDirectory(dataDir, to)
  } catch (error) {
    throw new StartError(error instanceof Error ? error.message : String(error), error)
  }
}
