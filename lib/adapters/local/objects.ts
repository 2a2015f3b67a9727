/**
 * Objects as files: `<root>/<key>`, one directory for each prefix, all made at open.
 *
 * A creation writes `<root>/unfinished/<number>`, syncs it, links it to its key, and syncs the directory (D1):
 *
 * - a key never names half an object, since it is given to a file that is whole and durable;
 * - the link is the compare-and-set: of many only one gets the key;
 * - 'exists' is answered after the same directory sync as 'created': the other's link may not have been durable yet;
 * - a sync that failed is never called again as if nothing had happened, since the system may by then have forgotten what it
 *   did not write: the object is not created, or, if it was the directory's, nothing is created there until the next open.
 */
import { dirname } from 'node:path'
import { Unavailable } from '../../core/errors.ts'
import type { ObjectEntry, Objects } from '../../ports.ts'
import type { Disk, FileNumber } from './disk.ts'
import { errorCode, syncDirectoryOnce } from './disk.ts'
import { OpenFiles } from './open-files.ts'

/** Lower case, since some file systems do not tell `a` from `A`; no name begins with a dot. */
const namePattern = /^[0-9a-z][0-9a-z._-]{0,199}$/

/**
 * Opens the objects under `root`, which is made durable with all directories where they are missing; its parent must be there.
 * `prefixes` are all that keys may begin with, each ending in `/`. Leftovers of creations that were cut off are removed. For one process.
 */
export async function openLocalObjects(disk: Disk, root: string, prefixes: readonly string[]): Promise<LocalObjects> {
  const unfinished = `${root}/unfinished`
  const directories = new Set([root, unfinished])
  for (const prefix of prefixes) {
    if (prefixes.some((other) => other !== prefix && other.startsWith(prefix)))
      throw new Error(`the prefix ${prefix} of local objects holds another, whose directory would look like an object`)
    let path = root
    for (const name of prefix.split('/').slice(0, -1)) {
      if (!namePattern.test(name)) throw new Error(`no prefix of local objects: ${JSON.stringify(prefix)}`)
      path += `/${name}`
      directories.add(path)
    }
  }
  for (const path of directories) await disk.makeDirectory(path)
  // Also where nothing was made: an earlier process may have stopped between making and syncing.
  for (const parent of new Set([...directories].map((path) => dirname(path)))) await syncDirectoryOnce(disk, parent)
  for (const name of await disk.list(unfinished)) await disk.unlink(`${unfinished}/${name}`)
  return new LocalObjects(disk, root, prefixes)
}

export class LocalObjects implements Objects {
  readonly #disk: Disk
  readonly #root: string
  /** By prefix, in the order of keys. */
  readonly #directories: ReadonlyMap<string, Directory>
  readonly #files: OpenFiles
  readonly #underWay = new Set<Promise<unknown>>()
  #nextUnfinished = 0
  #isClosed = false

  /** Use `openLocalObjects`. */
  constructor(disk: Disk, root: string, prefixes: readonly string[]) {
    this.#disk = disk
    this.#root = root
    this.#directories = new Map(
      prefixes.toSorted().map((prefix) => [prefix, new Directory(disk, `${root}/${prefix.slice(0, -1)}`)]),
    )
    this.#files = new OpenFiles(disk)
  }

  create(key: string, parts: readonly Uint8Array[]): Promise<'created' | 'exists'> {
    return this.#run(async () => {
      const directory = this.#directoryOf(key)
      const unfinished = `${this.#root}/unfinished/${this.#nextUnfinished++}`
      let file: FileNumber | undefined
      try {
        file = await this.#disk.createFile(unfinished)
        await this.#disk.writeFile(file, parts)
        await this.#disk.syncFile(file)
      } catch (error) {
        await this.#discard(unfinished, file)
        throw unavailable(error, `Object ${key} could not be written`, 'none')
      }
      let outcome: 'linked' | 'exists'
      try {
        outcome = await this.#disk.link(unfinished, this.#path(key))
      } catch (error) {
        await this.#discard(unfinished, file)
        throw unavailable(error, `Object ${key} could not be given its key`, isFull(error) ? 'none' : 'possible')
      }
      // The other name may go while the directory is synced: the answer waits for both.
      const [synced] = await Promise.allSettled([directory.sync(), this.#discard(unfinished, file)])
      // The key stays, though nobody knows for how long: another may have been answered 'exists' after a sync that went well.
      if (synced.status === 'rejected')
        throw unavailable(synced.reason, `The directory of object ${key} could not be synced`, 'possible')
      return outcome === 'linked' ? 'created' : 'exists'
    })
  }

  read(key: string, position: number, length: number): Promise<Uint8Array | undefined> {
    return this.#run(async () => {
      this.#directoryOf(key)
      try {
        return await this.#files.read(this.#path(key), position, length)
      } catch (error) {
        throw unavailable(error, `Object ${key} could not be read`, 'none')
      }
    })
  }

  list(prefix: string, after: string | undefined, limit: number): Promise<readonly ObjectEntry[]> {
    return this.#run(async () => {
      const entries: ObjectEntry[] = []
      try {
        for (const [directoryPrefix, { path }] of this.#directories) {
          if (entries.length >= limit) break
          if (!directoryPrefix.startsWith(prefix) && !prefix.startsWith(directoryPrefix)) continue
          const keys = (await this.#disk.list(path))
            .map((name) => directoryPrefix + name)
            .filter((key) => key.startsWith(prefix) && (after === undefined || key > after))
            .sort()
          for (const key of keys) {
            if (entries.length >= limit) break
            const sizeBytes = await this.#disk.sizeBytes(this.#path(key))
            // undefined: deleted since the directory was read.
            if (sizeBytes !== undefined) entries.push({ key, sizeBytes })
          }
        }
      } catch (error) {
        throw unavailable(error, `Objects ${prefix} could not be listed`, 'none')
      }
      return entries
    })
  }

  /** Not synced: an object that comes back after a power failure is swept once more. */
  delete(key: string): Promise<void> {
    return this.#run(async () => {
      this.#directoryOf(key)
      try {
        await this.#disk.unlink(this.#path(key))
      } catch (error) {
        throw unavailable(error, `Object ${key} could not be deleted`, 'possible')
      } finally {
        // After the unlink: who opens the file from here on does not find it.
        this.#files.forget(this.#path(key))
      }
    })
  }

  /** Waits for calls under way and closes the files. Calls made later throw `Unavailable`. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled(this.#underWay)
    await this.#files.close()
    for (const directory of this.#directories.values()) await directory.close()
  }

  /** Closes the file and takes its first name away. A failure loses nothing: what counts was synced, and leftovers are removed at the next open. */
  async #discard(unfinished: string, file: FileNumber | undefined): Promise<void> {
    if (file !== undefined) await this.#disk.closeFile(file).catch(ignored)
    await this.#disk.unlink(unfinished).catch(ignored)
  }

  #path(key: string): string {
    return `${this.#root}/${key}`
  }

  /** Throws on a key that could lead out of the directories. */
  #directoryOf(key: string): Directory {
    const nameStart = key.lastIndexOf('/') + 1
    const directory = this.#directories.get(key.slice(0, nameStart))
    if (directory === undefined || !namePattern.test(key.slice(nameStart)))
      throw new Error(`no key of a local object: ${JSON.stringify(key)}`)
    return directory
  }

  async #run<Result>(call: () => Promise<Result>): Promise<Result> {
    if (this.#isClosed) throw new Unavailable('The objects are closed.', 'none', 'closed')
    const running = call()
    this.#underWay.add(running)
    try {
      return await running
    } finally {
      this.#underWay.delete(running)
    }
  }
}

/** Syncs a directory for many at once: whoever links while a sync runs is served by the next one. */
class Directory {
  readonly path: string
  readonly #disk: Disk
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined
  /** Opened once and kept: it is synced for every object. */
  #opened: FileNumber | undefined
  #failure: unknown

  constructor(disk: Disk, path: string) {
    this.#disk = disk
    this.path = path
  }

  /** Resolves after a sync that began after this call. Rejects once one has failed, and from then on. */
  sync(): Promise<void> {
    if (this.#running === undefined) return this.#start()
    this.#next ??= this.#running.then(
      () => this.#start(),
      () => this.#start(),
    )
    return this.#next
  }

  async close(): Promise<void> {
    if (this.#opened !== undefined) await this.#disk.closeFile(this.#opened).catch(ignored)
  }

  async #start(): Promise<void> {
    this.#next = undefined
    this.#running = this.#sync()
    try {
      await this.#running
    } finally {
      if (this.#next === undefined) this.#running = undefined
    }
  }

  async #sync(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    try {
      this.#opened ??= await this.#disk.openDirectory(this.path)
      await this.#disk.syncDirectory(this.#opened)
    } catch (error) {
      this.#failure = error
      throw error
    }
  }
}

const ignored = () => undefined

function isFull(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** The system's error as the one that the ports throw; anything else is a bug and stays what it is. */
function unavailable(error: unknown, what: string, effects: Unavailable['effects']): unknown {
  const code = errorCode(error)
  if (code === undefined) return error
  return isFull(error)
    ? new Unavailable(`${what}: the disk is full (${code}).`, effects, 'full', error)
    : new Unavailable(`${what}: ${(error as Error).message}.`, effects, 'failed', error)
}
