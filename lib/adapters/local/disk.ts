/**
 * The file calls that durability rests on, each separately: what was not synced may be forgotten when the power fails, and
 * the simulated disk of the tests forgets it.
 *
 * A written file is durable after `syncFile`; its name, like every change of names, after `syncDirectory` of the directory
 * that holds it. All throw the system's errors (`code`), but for the outcomes they name.
 */
import fs from 'node:fs'
import { promisify } from 'node:util'

/** An open file or directory. */
export type FileNumber = number

export interface Disk {
  /** Makes one directory in one that is there. */
  makeDirectory(path: string): Promise<'made' | 'exists'>
  /** Creates a file that must not be there yet and opens it. */
  createFile(path: string): Promise<FileNumber>
  /** Appends all of the parts. */
  writeFile(file: FileNumber, parts: readonly Uint8Array[]): Promise<void>
  syncFile(file: FileNumber): Promise<void>
  closeFile(file: FileNumber): Promise<void>
  /** Gives a file a second name in another directory, unless something has that name. */
  link(path: string, newPath: string): Promise<'linked' | 'exists'>
  /** Gives a file another name, taking that name from what has it. */
  rename(path: string, newPath: string): Promise<void>
  /** Nothing happens where there is no such name. */
  unlink(path: string): Promise<void>
  openDirectory(path: string): Promise<FileNumber>
  syncDirectory(directory: FileNumber): Promise<void>
  openFile(path: string): Promise<{ readonly file: FileNumber; readonly sizeBytes: number } | undefined>
  /** Fewer bytes where the file ends. */
  readFile(file: FileNumber, position: number, length: number): Promise<Uint8Array>
  /** Names in no order. */
  list(path: string): Promise<readonly string[]>
  sizeBytes(path: string): Promise<number | undefined>
}

const open = promisify(fs.open)
const close = promisify(fs.close)
const fsync = promisify(fs.fsync)
const fstat = promisify(fs.fstat)
const stat = promisify(fs.stat)
const mkdir = promisify(fs.mkdir)
const link = promisify(fs.link)
const rename = promisify(fs.rename)
const unlink = promisify(fs.unlink)
const readdir = promisify(fs.readdir)
const read = promisify(fs.read)
const writev = promisify(fs.writev)

/** The real disk. */
export const systemDisk: Disk = {
  makeDirectory: (path) => unless('EEXIST', mkdir(path).then(always('made')), 'exists'),
  createFile: (path) => open(path, 'wx'),
  writeFile: (file, parts) => writeAll(parts, async (rest) => (await writev(file, rest)).bytesWritten),
  syncFile: (file) => fsync(file),
  closeFile: (file) => close(file),
  link: (path, newPath) => unless('EEXIST', link(path, newPath).then(always('linked')), 'exists'),
  rename: (path, newPath) => rename(path, newPath),
  unlink: (path) => unless('ENOENT', unlink(path), undefined),
  openDirectory: (path) => open(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY),
  syncDirectory: (directory) => fsync(directory),
  async openFile(path) {
    const file = await unless('ENOENT', open(path, 'r'), undefined)
    if (file === undefined) return undefined
    try {
      return { file, sizeBytes: (await fstat(file)).size }
    } catch (error) {
      await close(file)
      throw error
    }
  },
  async readFile(file, position, length) {
    // Neither from Node's shared pool nor zeroed first: the caller keeps it, and what is not read into is cut off.
    const bytes = Buffer.allocUnsafeSlow(length)
    let filled = 0
    while (filled < length) {
      const { bytesRead } = await read(file, bytes, filled, length - filled, position + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    return new Uint8Array(bytes.buffer, 0, filled)
  },
  list: (path) => readdir(path),
  sizeBytes: (path) => unless('ENOENT', stat(path).then(sizeOf), undefined),
}

/** Makes the names in a directory durable, once. */
export async function syncDirectoryOnce(disk: Disk, path: string): Promise<void> {
  const directory = await disk.openDirectory(path)
  try {
    await disk.syncDirectory(directory)
  } finally {
    await disk.closeFile(directory)
  }
}

/** Calls `write` with what is left until nothing is: the system may take less than it was given. */
export async function writeAll(
  parts: readonly Uint8Array[],
  write: (rest: readonly Uint8Array[]) => Promise<number>,
): Promise<void> {
  let rest = parts.filter((part) => part.length > 0)
  while (rest.length > 0) {
    let taken = await write(rest)
    if (taken === 0) throw new Error('the system took none of the bytes, and gave no reason')
    let whole = 0
    while (whole < rest.length && taken >= rest[whole]!.length) taken -= rest[whole++]!.length
    rest = rest.slice(whole)
    if (taken > 0) rest[0] = rest[0]!.subarray(taken)
  }
}

/** The system's name of an error, `ENOSPC` for instance; undefined for an error that is not the system's. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && 'syscall' in error ? String(error.code) : undefined
}

async function unless<Result, Otherwise>(
  code: string,
  call: Promise<Result>,
  otherwise: Otherwise,
): Promise<Result | Otherwise> {
  try {
    return await call
  } catch (error) {
    if (errorCode(error) === code) return otherwise
    throw error
  }
}

function always<const Value>(value: Value): () => Value {
  return () => value
}

function sizeOf(found: fs.Stats): number {
  return found.size
}
