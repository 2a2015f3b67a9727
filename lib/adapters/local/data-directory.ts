/**
 * The data directory of one process:
 *
 *     highwater.json   {"format": 1}: which Highwater can read the rest
 *     lock             held by the process that has the directory open
 *     metadata.db      heads and items (metadata.ts), with SQLite's metadata.db-wal and -shm beside it
 *     objects/         segments (objects.ts)
 *     backup.json      in a backup that no server has worked on since (backup.ts)
 */
import { readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { segmentPrefixes } from '../../core/names.ts'
import type { Metadata, Objects } from '../../ports.ts'
import type { Disk } from './disk.ts'
import { errorCode, syncDirectoryOnce, systemDisk } from './disk.ts'
import { openLocalMetadata } from './metadata.ts'
import { openLocalObjects } from './objects.ts'

/** Of the directory as a whole. The metadata has a schema version of its own. */
export const dataFormat = 1

export interface DataDirectory {
  readonly objects: Objects
  readonly metadata: Metadata
  /** Finishes what is under way and lets another process have the directory. */
  close(): Promise<void>
}

/** Another process, or another part of this one, has the directory open. */
export class DataDirectoryInUse extends Error {
  readonly directory: string
  constructor(directory: string, cause: unknown) {
    super(`The data directory ${directory} is in use by another process, and only one can have it.`, { cause })
    this.name = 'DataDirectoryInUse'
    this.directory = directory
  }
}

/**
 * Opens the directory, creating it where it is missing. Throws `DataDirectoryInUse`, or an `Error` of one sentence when the
 * directory is of a newer format or its file system does not keep what it was told to keep.
 */
export async function openDataDirectory(path: string): Promise<DataDirectory> {
  const directory = resolve(path)
  await makeDurably(systemDisk, directory)
  const opened: { close(): void | Promise<void> }[] = [takeLock(directory)]
  const close = async () => {
    for (const part of opened.splice(0).reverse()) await part.close()
  }
  try {
    await checkFormat(systemDisk, directory)
    const objects = await openLocalObjects(systemDisk, join(directory, 'objects'), segmentPrefixes)
    opened.push(objects)
    const metadata = await openLocalMetadata(join(directory, 'metadata.db'))
    opened.push(metadata)
    await syncDirectoryOnce(systemDisk, directory)
    return { objects, metadata, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function makeDurably(disk: Disk, directory: string): Promise<void> {
  const parent = dirname(directory)
  if (parent === directory) return
  if ((await disk.sizeBytes(directory)) === undefined) {
    await makeDurably(disk, parent)
    await disk.makeDirectory(directory)
  }
  try {
    // Also where it was there: whoever made it may have stopped before this.
    await syncDirectoryOnce(disk, parent)
  } catch (error) {
    // Who may not read the parent did not make the directory either: somebody gave it to them.
    if (errorCode(error) !== 'EACCES' && errorCode(error) !== 'EPERM') throw error
  }
}

/**
 * Node has no file locks, SQLite does: an exclusive transaction on an empty database, never ended. The system releases it
 * with the process, however that ends.
 */
export function takeLock(directory: string): DatabaseSync {
  const lock = new DatabaseSync(join(directory, 'lock'), { timeout: 0 })
  try {
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch (error) {
    lock.close()
    const busy = 5
    if (error instanceof Error && 'errcode' in error && error.errcode === busy)
      throw new DataDirectoryInUse(directory, error)
    throw error
  }
}

async function checkFormat(disk: Disk, directory: string): Promise<void> {
  const path = join(directory, 'highwater.json')
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  })
  if (text === undefined) {
    await writeDurably(disk, directory, path, `${JSON.stringify({ format: dataFormat })}\n`)
    return
  }
  const format = formatOf(text)
  if (format === undefined) throw new Error(`${path} is damaged: it should name the format of the data directory.`)
  if (format > dataFormat)
    throw new Error(`${directory} has data format ${format}; this Highwater knows formats up to ${dataFormat}.`)
}

function formatOf(text: string): number | undefined {
  try {
    const { format } = JSON.parse(text)
    return Number.isSafeInteger(format) && format > 0 ? format : undefined
  } catch {
    return undefined
  }
}

async function writeDurably(disk: Disk, directory: string, path: string, text: string): Promise<void> {
  const unfinished = `${path}.new`
  await disk.unlink(unfinished)
  const file = await disk.createFile(unfinished)
  try {
    await disk.writeFile(file, [new TextEncoder().encode(text)])
    await disk.syncFile(file)
  } finally {
    await disk.closeFile(file)
  }
  await disk.rename(unfinished, path)
  await syncDirectoryOnce(disk, directory)
}
