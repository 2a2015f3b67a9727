/** Files kept open for reading, since opening one costs as much as reading it. Only for files that never change. */
import type { Disk, FileNumber } from './disk.ts'

/** Files kept open while nobody reads them. */
export const openFilesMax = 64

interface Entry {
  readonly opened: Promise<{ readonly file: FileNumber; readonly sizeBytes: number } | undefined>
  /** Reads under way: the file is closed after the last. */
  readers: number
  isForgotten: boolean
  isClosed: boolean
}

export class OpenFiles {
  readonly #disk: Disk
  /** By path, the one used last at the end. */
  readonly #entries = new Map<string, Entry>()

  constructor(disk: Disk) {
    this.#disk = disk
  }

  /** Bytes of the file, from its end where `position` is negative, fewer where it ends; undefined where there is none. */
  async read(path: string, position: number, length: number): Promise<Uint8Array | undefined> {
    const entry = this.#entries.get(path) ?? this.#open(path)
    this.#entries.delete(path)
    this.#entries.set(path, entry)
    entry.readers++
    this.#forgetOldest()
    try {
      const opened = await entry.opened
      if (opened === undefined) {
        this.#forget(path, entry)
        return undefined
      }
      const { file, sizeBytes } = opened
      // No more than there is, so that a range beyond the end costs no memory.
      const from = position < 0 ? Math.max(0, sizeBytes + position) : position
      return await this.#disk.readFile(file, from, Math.max(0, Math.min(length, sizeBytes - from)))
    } catch (error) {
      this.#forget(path, entry)
      throw error
    } finally {
      entry.readers--
      if (entry.isForgotten) void this.#closeIdle(entry)
    }
  }

  /** Reads that begin later open the file anew. */
  forget(path: string): void {
    const entry = this.#entries.get(path)
    if (entry !== undefined) this.#forget(path, entry)
  }

  /** Closes all; for when no read is under way. */
  async close(): Promise<void> {
    const entries = [...this.#entries.values()]
    this.#entries.clear()
    await Promise.all(entries.map((entry) => this.#closeIdle(entry)))
  }

  #open(path: string): Entry {
    return { opened: this.#disk.openFile(path), readers: 0, isForgotten: false, isClosed: false }
  }

  #forgetOldest(): void {
    for (const [path, entry] of this.#entries) {
      if (this.#entries.size <= openFilesMax) return
      this.#forget(path, entry)
    }
  }

  #forget(path: string, entry: Entry): void {
    if (this.#entries.get(path) === entry) this.#entries.delete(path)
    entry.isForgotten = true
    void this.#closeIdle(entry)
  }

  async #closeIdle(entry: Entry): Promise<void> {
    if (entry.readers > 0 || entry.isClosed) return
    entry.isClosed = true
    const opened = await entry.opened.catch(() => undefined)
    // Nothing was written through it: a failure to close loses nothing.
    if (opened !== undefined) await this.#disk.closeFile(opened.file).catch(() => undefined)
  }
}
