/**
 * A disk in memory that keeps two views of everything: what processes see, and what would be there after a power failure.
 *
 *     writeFile, link, rename, unlink, ... change what is seen
 *     syncFile       makes the bytes of a file durable, not its names
 *     syncDirectory  makes the names in a directory durable, not the bytes behind them
 *
 * At a power failure each thing that was not synced survives or not, as the dice say: a name is the old or the new one; a
 * file's bytes are those last synced, or all, or cut off, or zeros from some place on. A sync that failed has lost what it
 * should have written: a later one answers well and does not write it either, as real systems do.
 */
import type { Disk, FileNumber } from '../../lib/adapters/local/disk.ts'
import type { Random } from '../../lib/ports.ts'

export interface SimulatedDiskOptions {
  readonly random: Random
  /** A sync that does nothing: what a test must notice. */
  readonly drops?: 'syncFile' | 'syncDirectory'
}

export type DiskCall = keyof Disk
/** The system's name of the error that a call shall fail with, before it had any effect. */
export type DiskFault = (call: DiskCall, path: string) => string | undefined

/** What every call answers while the power is off. */
export class PowerFailure extends Error {}

interface FileNode {
  readonly kind: 'file'
  seen: Uint8Array
  durable: Uint8Array
  /** True once a sync has failed: the bytes are in memory only, and the system takes them for written. */
  isLost: boolean
}
interface DirectoryNode {
  readonly kind: 'directory'
  readonly seen: Map<string, Node>
  readonly durable: Map<string, Node>
  /** Names whose change a failed sync has lost. */
  readonly lost: Set<string>
}
type Node = FileNode | DirectoryNode

export class SimulatedDisk implements Disk {
  /** Calls made so far, by name. */
  readonly calls = new Map<DiskCall, number>()
  /** May be set at any time. */
  fault: DiskFault | undefined
  /** Bytes that all files together may have. */
  capacityBytes = Number.POSITIVE_INFINITY
  readonly #random: Random
  readonly #drops: SimulatedDiskOptions['drops']
  #root = emptyDirectory()
  #open = new Map<FileNumber, { readonly node: Node; readonly path: string }>()
  #nextNumber = 3
  #callsUntilFailure = Number.POSITIVE_INFINITY

  constructor({ random, drops }: SimulatedDiskOptions) {
    this.#random = random
    this.#drops = drops
  }

  get openCount(): number {
    return this.#open.size
  }

  /** The power fails after that many calls more. */
  failPowerAfter(calls: number): void {
    this.#callsUntilFailure = calls
  }

  /** The power fails, if it has not, and comes back: what was not synced is forgotten, as the dice say. */
  restart(): void {
    this.#root = this.#survivor(this.#root) as DirectoryNode
    this.#open = new Map()
    this.#callsUntilFailure = Number.POSITIVE_INFINITY
  }

  makeDirectory(path: string): Promise<'made' | 'exists'> {
    return this.#call('makeDirectory', path, () => {
      const { parent, name } = this.#place('makeDirectory', path)
      if (parent.seen.has(name)) return 'exists'
      change(parent, name, emptyDirectory())
      return 'made'
    })
  }

  createFile(path: string): Promise<FileNumber> {
    return this.#call('createFile', path, () => {
      const { parent, name } = this.#place('createFile', path)
      if (parent.seen.has(name)) throw systemError('EEXIST', 'createFile', path)
      const node: FileNode = { kind: 'file', seen: new Uint8Array(), durable: new Uint8Array(), isLost: false }
      change(parent, name, node)
      return this.#opened(node, path)
    })
  }

  writeFile(file: FileNumber, parts: readonly Uint8Array[]): Promise<void> {
    return this.#call('writeFile', this.#path(file), () => {
      const node = this.#fileOf(file)
      const added = Buffer.concat(parts)
      const room = this.capacityBytes - usedBytes(this.#root)
      node.seen = new Uint8Array(Buffer.concat([node.seen, added.subarray(0, Math.max(0, room))]))
      if (added.length > room) throw systemError('ENOSPC', 'writeFile', this.#path(file))
    })
  }

  syncFile(file: FileNumber): Promise<void> {
    return this.#call(
      'syncFile',
      this.#path(file),
      () => {
        const node = this.#fileOf(file)
        if (this.#drops !== 'syncFile' && !node.isLost) node.durable = node.seen
      },
      () => {
        this.#fileOf(file).isLost = true
      },
    )
  }

  closeFile(file: FileNumber): Promise<void> {
    return this.#call('closeFile', this.#path(file), () => {
      if (!this.#open.delete(file)) throw systemError('EBADF', 'closeFile', String(file))
    })
  }

  link(path: string, newPath: string): Promise<'linked' | 'exists'> {
    return this.#call('link', newPath, () => {
      const from = this.#place('link', path)
      const to = this.#place('link', newPath)
      const node = from.parent.seen.get(from.name)
      if (node === undefined) throw systemError('ENOENT', 'link', path)
      if (to.parent.seen.has(to.name)) return 'exists'
      change(to.parent, to.name, node)
      return 'linked'
    })
  }

  rename(path: string, newPath: string): Promise<void> {
    return this.#call('rename', newPath, () => {
      const from = this.#place('rename', path)
      const to = this.#place('rename', newPath)
      const node = from.parent.seen.get(from.name)
      if (node === undefined) throw systemError('ENOENT', 'rename', path)
      change(from.parent, from.name, undefined)
      change(to.parent, to.name, node)
    })
  }

  unlink(path: string): Promise<void> {
    return this.#call('unlink', path, () => {
      const { parent, name } = this.#place('unlink', path)
      if (parent.seen.has(name)) change(parent, name, undefined)
    })
  }

  openDirectory(path: string): Promise<FileNumber> {
    return this.#call('openDirectory', path, () => this.#opened(this.#directoryAt('openDirectory', path), path))
  }

  syncDirectory(directory: FileNumber): Promise<void> {
    const node = () => this.#open.get(directory)?.node as DirectoryNode
    return this.#call(
      'syncDirectory',
      this.#path(directory),
      () => {
        const { seen, durable, lost } = node()
        if (this.#drops === 'syncDirectory') return
        for (const name of new Set([...seen.keys(), ...durable.keys()])) if (!lost.has(name)) copy(seen, durable, name)
      },
      () => {
        const { seen, durable, lost } = node()
        for (const name of new Set([...seen.keys(), ...durable.keys()]))
          if (seen.get(name) !== durable.get(name)) lost.add(name)
      },
    )
  }

  openFile(path: string): Promise<{ readonly file: FileNumber; readonly sizeBytes: number } | undefined> {
    return this.#call('openFile', path, () => {
      const { parent, name } = this.#place('openFile', path)
      const node = parent.seen.get(name)
      if (node?.kind !== 'file') return undefined
      return { file: this.#opened(node, path), sizeBytes: node.seen.length }
    })
  }

  readFile(file: FileNumber, position: number, length: number): Promise<Uint8Array> {
    return this.#call('readFile', this.#path(file), () => this.#fileOf(file).seen.slice(position, position + length))
  }

  list(path: string): Promise<readonly string[]> {
    return this.#call('list', path, () => {
      const names = [...this.#directoryAt('list', path).seen.keys()]
      return names
        .map((name) => ({ name, rank: this.#random() }))
        .sort((a, b) => a.rank - b.rank)
        .map(({ name }) => name)
    })
  }

  sizeBytes(path: string): Promise<number | undefined> {
    return this.#call('sizeBytes', path, () => {
      const { parent, name } = this.#place('sizeBytes', path)
      const node = parent.seen.get(name)
      return node?.kind === 'file' ? node.seen.length : node && 0
    })
  }

  /** One call, some turns later, so that calls in flight overtake each other. */
  async #call<Result>(call: DiskCall, path: string, effect: () => Result, failed?: () => void): Promise<Result> {
    for (let turns = Math.floor(this.#random() * 6); turns > 0; turns--) await undefined
    if (this.#callsUntilFailure <= 0) throw new PowerFailure('the power is off')
    this.#callsUntilFailure--
    this.calls.set(call, (this.calls.get(call) ?? 0) + 1)
    const code = this.fault?.(call, path)
    if (code === undefined) return effect()
    failed?.()
    throw systemError(code, call, path)
  }

  #opened(node: Node, path: string): FileNumber {
    const number = this.#nextNumber++
    this.#open.set(number, { node, path })
    return number
  }

  #path(file: FileNumber): string {
    return this.#open.get(file)?.path ?? `file ${file}`
  }

  #fileOf(file: FileNumber): FileNode {
    const node = this.#open.get(file)?.node
    if (node?.kind !== 'file') throw systemError('EBADF', 'file', String(file))
    return node
  }

  #directoryAt(call: string, path: string): DirectoryNode {
    let node: Node | undefined = this.#root
    for (const name of path.split('/').filter((part) => part !== ''))
      node = node?.kind === 'directory' ? node.seen.get(name) : undefined
    if (node?.kind !== 'directory') throw systemError('ENOENT', call, path)
    return node
  }

  #place(call: string, path: string): { parent: DirectoryNode; name: string } {
    const end = path.lastIndexOf('/')
    return { parent: this.#directoryAt(call, path.slice(0, end)), name: path.slice(end + 1) }
  }

  /** What is left of a node after a power failure. The same for all names of a file. */
  #survivor(node: Node, survivors = new Map<Node, Node>()): Node {
    const known = survivors.get(node)
    if (known !== undefined) return known
    if (node.kind === 'file') {
      const bytes = node.durable === node.seen ? node.seen : this.#survivingBytes(node)
      const file: FileNode = { kind: 'file', seen: bytes, durable: bytes, isLost: false }
      survivors.set(node, file)
      return file
    }
    const directory = emptyDirectory()
    survivors.set(node, directory)
    for (const name of new Set([...node.seen.keys(), ...node.durable.keys()])) {
      const isNewest = !node.lost.has(name) && this.#random() < 0.5
      const child = (isNewest ? node.seen : node.durable).get(name)
      if (child !== undefined) directory.seen.set(name, this.#survivor(child, survivors))
      copy(directory.seen, directory.durable, name)
    }
    return directory
  }

  #survivingBytes({ seen, durable, isLost }: FileNode): Uint8Array {
    const place = Math.floor(this.#random() * seen.length)
    const chance = this.#random()
    if (isLost || chance < 0.3) return durable
    if (chance < 0.5) return seen
    return chance < 0.75 ? seen.slice(0, place) : seen.slice().fill(0, place)
  }
}

function emptyDirectory(): DirectoryNode {
  return { kind: 'directory', seen: new Map(), durable: new Map(), lost: new Set() }
}

function change(directory: DirectoryNode, name: string, node: Node | undefined): void {
  directory.lost.delete(name)
  if (node === undefined) directory.seen.delete(name)
  else directory.seen.set(name, node)
}

function copy(from: ReadonlyMap<string, Node>, to: Map<string, Node>, name: string): void {
  const node = from.get(name)
  if (node === undefined) to.delete(name)
  else to.set(name, node)
}

function usedBytes(node: Node): number {
  if (node.kind === 'file') return node.seen.length
  return [...node.seen.values()].reduce((sum, child) => sum + usedBytes(child), 0)
}

function systemError(code: string, call: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${call} '${path}'`), { code, syscall: call })
}
