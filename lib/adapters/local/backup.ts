/**
 * A backup of a data directory, taken while a server has it open, or not: a data directory of its own, with a `backup.json` that says
 * so. Taken again into the same place, it copies only what is new.
 *
 *   1. Copy the objects there are.
 *   2. Take the metadata: one transaction of SQLite sees one moment of it, beside the writer.
 *   3. Copy the objects that have come since.
 *   4. Put the metadata in place; remove what lay there before and was in neither listing.
 *
 * Every object that the metadata of that moment names is there: it was durable before it was named (D1), so the listing of 1 or 3 has
 * it, unless the sweep took it between. The sweep takes what is older than `sweepAgeMs`, a day, so that it was there for 1; and what went
 * before 1 came to it nothing named, nor would ever again. Therefore a backup must be over within `sweepAgeMs`.
 *
 * Stopped before 4 the backup is the one that it was, with some objects more that nothing names.
 */
import { constants, copyFile, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { segmentPrefixes } from '../../core/names.ts'
import { takeLock } from './data-directory.ts'
import { openForReading } from './database.ts'
import { errorCode, syncDirectoryOnce, systemDisk } from './disk.ts'

export interface BackedUp {
  readonly objects: number
  readonly objectsCopied: number
  readonly bytesCopied: number
  readonly metadataBytes: number
}

const marker = 'backup.json'

/** @throws Error of one sentence: there is no log in `from`, `to` is no place for a backup or is in use, the disk is full */
export async function backUpDataDirectory(from: string, to: string): Promise<BackedUp> {
  const [source, target] = [resolve(from), resolve(to)]
  const format = await readFile(join(source, 'highwater.json')).catch(() => undefined)
  if (format === undefined) throw new Error(`${from} is no data directory: there is no highwater.json in it.`)
  await makeTarget(target, to)
  const lock = takeLock(target)
  try {
    const before = await objectsIn(target)
    const copying = new Copying(source, target, before)
    await copying.copyNew()
    const metadataBytes = await snapshot(join(source, 'metadata.db'), join(target, 'metadata.db.new'))
    await copying.copyNew()
    await writeSynced(join(target, 'highwater.json'), format)
    // Of who looked into the backup: they belong to the file that goes.
    for (const left of ['metadata.db-wal', 'metadata.db-shm']) await rm(join(target, left), { force: true })
    await rename(join(target, 'metadata.db.new'), join(target, 'metadata.db'))
    await syncDirectoryOnce(systemDisk, target)
    for (const key of before.keys()) if (!copying.seen.has(key)) await rm(join(target, 'objects', key), { force: true })
    const { objects, bytes } = copying.copied
    return { objects: copying.seen.size, objectsCopied: objects, bytesCopied: bytes, metadataBytes }
  } finally {
    lock.close()
  }
}

/** A server works on it from now on: it is nobody's backup any more, and no other is written over it. */
export async function takeIntoUse(directory: string): Promise<void> {
  await rm(join(directory, marker), { force: true })
}

/** Empty, or a backup already: nobody's log is written over. */
async function makeTarget(target: string, said: string): Promise<void> {
  await mkdir(target, { recursive: true })
  const names = await readdir(target)
  if (names.length > 0 && !names.includes(marker))
    throw new Error(`${said} is not empty, and no backup: choose another directory.`)
  await writeSynced(join(target, marker), Buffer.from(`${JSON.stringify({ format: 1 })}\n`))
  for (const prefix of segmentPrefixes) await mkdir(join(target, 'objects', prefix), { recursive: true })
  await mkdir(join(target, 'objects', 'unfinished'), { recursive: true })
}

/** Keys of objects, and their sizes. */
async function objectsIn(directory: string): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (const prefix of segmentPrefixes)
    for (const name of await readdir(join(directory, 'objects', prefix)).catch(noneIfMissing)) {
      const size = await stat(join(directory, 'objects', prefix, name)).then(
        (file) => file.size,
        () => undefined,
      )
      if (size !== undefined) found.set(prefix + name, size)
    }
  return found
}

class Copying {
  readonly seen = new Set<string>()
  readonly copied = { objects: 0, bytes: 0 }
  readonly #source: string
  readonly #target: string
  readonly #there: ReadonlyMap<string, number>

  constructor(source: string, target: string, there: ReadonlyMap<string, number>) {
    this.#source = source
    this.#target = target
    this.#there = there
  }

  async copyNew(): Promise<void> {
    const directories = new Set<string>()
    for (const [key, sizeBytes] of await objectsIn(this.#source)) {
      if (this.seen.has(key)) continue
      if (this.#there.get(key) !== sizeBytes) {
        if (!(await this.#copy(key))) continue
        this.copied.objects++
        this.copied.bytes += sizeBytes
        directories.add(dirname(join(this.#target, 'objects', key)))
      }
      this.seen.add(key)
    }
    for (const directory of directories) await syncDirectoryOnce(systemDisk, directory)
  }

  /** Under another name until it is whole and durable, as a creation does. False where it was swept meanwhile. */
  async #copy(key: string): Promise<boolean> {
    const unfinished = join(this.#target, 'objects', 'unfinished', 'backup')
    try {
      await copyFile(join(this.#source, 'objects', key), unfinished, constants.COPYFILE_FICLONE)
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return false
      throw error
    }
    await syncFile(unfinished)
    await rename(unfinished, join(this.#target, 'objects', key))
    return true
  }
}

/** One moment of the database, beside its writer; answers its bytes. */
async function snapshot(path: string, into: string): Promise<number> {
  await rm(into, { force: true })
  const database = openForReading(path)
  try {
    database.prepare('VACUUM INTO ?').run(into)
  } finally {
    database.close()
  }
  await syncFile(into)
  return (await stat(into)).size
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  await writeFile(path, bytes)
  await syncFile(path)
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

function noneIfMissing(error: unknown): string[] {
  if (errorCode(error) === 'ENOENT') return []
  throw error
}
