/**
 * The stores that all processes share, watched: metadata in memory, objects in memory or, by the real local adapter, as
 * files on a disk that forgets on a power failure what was not synced. The metadata forgets nothing it has answered.
 */

import { itemName } from '../../lib/adapters/item-conditions.ts'
import type { Disk } from '../../lib/adapters/local/disk.ts'
import { openLocalObjects } from '../../lib/adapters/local/objects.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import type { decideHead } from '../../lib/core/head.ts'
import type { Offset } from '../../lib/core/names.ts'
import { segmentPrefixes } from '../../lib/core/names.ts'
import type { ItemWrite, Metadata, Objects, WriteAnswer } from '../../lib/ports.ts'
import type { Dice } from './dice.ts'
import type { DiskFault } from './disk.ts'
import { SimulatedDisk } from './disk.ts'
import type { Truth } from './truth.ts'
import type { World } from './world.ts'

/** Writes as a mutation makes them of those that were asked for. */
export type ChangeWrites = (writes: readonly ItemWrite[], metadata: Metadata) => Promise<readonly ItemWrite[]>

export interface Stores {
  readonly objects: Objects
  readonly metadata: Metadata
}
/** What a process sees of the stores, over its network, as a mutation has it. */
export type WrapPorts = (stores: Stores, world: World) => Stores

export interface WatchedMetadata {
  readonly metadata: Metadata
  readonly rollsAgain: (collection: string) => void
}

export interface WatchOptions {
  readonly decide: typeof decideHead | undefined
  readonly changeWrites: ChangeWrites | undefined
  /** Of every new head, as if all before had been trimmed. */
  readonly firstOffset: Offset
  /** Asked at each put of a row: when it arrives once more, with all that were tried before it? */
  readonly rowsAgain: () => { readonly afterMs: number; readonly all: boolean } | undefined
}

export function watchedMetadata(
  truth: Truth,
  world: World,
  { decide, changeWrites, firstOffset, rowsAgain }: WatchOptions,
): WatchedMetadata {
  const metadata = new MemoryMetadata(decide === undefined ? {} : { decide })
  const written = (writes: readonly ItemWrite[]) => {
    for (const write of writes) {
      if (write.op === 'put') truth.put(write)
      else if (write.op === 'delete') truth.deleted(write.key)
    }
  }
  const rowPuts = new Map<string, ItemWrite[]>()
  /** The put of a row arrives once more; at times all that were ever tried under its key do, one after the other. */
  const rowPutsLater = (put: ItemWrite) => {
    const name = itemName(put.key)
    const puts = [...(rowPuts.get(name) ?? []), put]
    rowPuts.set(name, puts)
    const again = rowsAgain()
    if (again === undefined) return
    world.after(again.afterMs, async () => {
      truth.history.note('a row is written once more')
      for (const one of again.all ? puts : [put]) await write([one])
    })
  }
  const write = async (asked: readonly ItemWrite[]): Promise<WriteAnswer> => {
    const writes = changeWrites === undefined ? asked : await changeWrites(asked, metadata)
    const answer = await metadata.write(writes)
    if (answer.applied) written(writes)
    return answer
  }
  const watched: Metadata = {
    readHead: (key) => metadata.readHead(key),
    async createHead(asked) {
      const head = { ...asked, hw: firstOffset, start: firstOffset, boundary: firstOffset }
      const answer = await metadata.createHead(head)
      if (answer === 'created') truth.created(head)
      return answer
    },
    async updateHead(key, command, also = []) {
      const answer = await metadata.updateHead(key, command, also)
      if (answer.applied && answer.head !== undefined) {
        truth.updated(answer.head, command, world.nowMs)
        written(also)
      }
      return answer
    },
    get: (key) => metadata.get(key),
    query: (collection, range) => metadata.query(collection, range),
    async write(asked) {
      const [only] = asked
      if (only?.op === 'put' && only.key.collection.startsWith('rows/')) rowPutsLater(only)
      return write(asked)
    },
  }
  const rollsAgain = (collection: string) => {
    truth.history.note(`all rolls of ${collection} come again`)
    for (const puts of rowPuts.values())
      for (const put of puts)
        if (put.key.collection === collection && put.op === 'put' && put.if === 'absent') void write([put])
  }
  return { metadata: watched, rollsAgain }
}

export interface SharedObjects extends Objects {
  /** The power fails and comes back: what was under way never ends. Resolves when the objects are open again. */
  failPower?(): Promise<void>
  /** From here on the disk does what it is told. */
  repair?(): void
}

export function watchedObjects(truth: Truth, objects: SharedObjects): SharedObjects {
  const { failPower, repair } = objects
  return {
    async create(key, parts) {
      const answer = await objects.create(key, parts)
      // `exists` is the same bytes, since an id is bound to them, and they are durable as well.
      if (!truth.durable.has(key)) truth.durable.set(key, new Uint8Array(Buffer.concat(parts)))
      truth.history.note(`object ${key.slice(-20)} ${answer}`)
      return answer
    },
    read: (key, position, length) => objects.read(key, position, length),
    list: (prefix, after, limit) => objects.list(prefix, after, limit),
    async delete(key) {
      await objects.delete(key)
      truth.history.note(`object ${key.slice(-20)} deleted`)
      truth.objectDeleted(key)
    },
    ...(failPower === undefined ? {} : { failPower: () => failPower() }),
    ...(repair === undefined ? {} : { repair: () => repair() }),
  }
}

export function memoryObjects(): SharedObjects {
  return new MemoryObjects()
}

const root = '/objects'

export async function diskObjects(
  world: World,
  dice: Dice,
  faultRate: number,
  drops: 'syncFile' | 'syncDirectory' | undefined,
): Promise<SharedObjects> {
  const disk = new SimulatedDisk({ random: dice.random, ...(drops === undefined ? {} : { drops }) })
  const faultDice = dice.derive('faults')
  const fault: DiskFault = (call) => {
    if (call === 'unlink' || call === 'closeFile' || !faultDice.chance(faultRate)) return undefined
    return call === 'writeFile' && faultDice.chance(0.5) ? 'ENOSPC' : 'EIO'
  }
  let power = { isOn: true }
  let opening = openLocalObjects(timedDisk(disk, world, dice, power), root, segmentPrefixes)
  await opening
  let isRepaired = false
  disk.fault = fault
  return {
    create: async (key, parts) => (await opening).create(key, parts),
    read: async (key, position, length) => (await opening).read(key, position, length),
    list: async (prefix, after, limit) => (await opening).list(prefix, after, limit),
    delete: async (key) => (await opening).delete(key),
    async failPower() {
      power.isOn = false
      disk.restart()
      power = { isOn: true }
      disk.fault = undefined
      opening = openLocalObjects(timedDisk(disk, world, dice, power), root, segmentPrefixes)
      await opening
      if (!isRepaired) disk.fault = fault
    },
    repair() {
      isRepaired = true
    },
  }
}

/** Every call takes a moment, so that the power may fail before it; then it never ends. */
function timedDisk(disk: Disk, world: World, dice: Dice, power: { readonly isOn: boolean }): Disk {
  const timed = async <Result>(call: () => Promise<Result>): Promise<Result> => {
    await world.sleep(dice.chance(0.1) ? dice.between(0, 20) : dice.between(0, 0.5))
    if (power.isOn) {
      const result = await call()
      if (power.isOn) return result
    }
    return new Promise(() => undefined)
  }
  return {
    makeDirectory: (path) => disk.makeDirectory(path),
    createFile: (path) => timed(() => disk.createFile(path)),
    writeFile: (file, parts) => timed(() => disk.writeFile(file, parts)),
    syncFile: (file) => timed(() => disk.syncFile(file)),
    closeFile: (file) => timed(() => disk.closeFile(file)),
    link: (path, newPath) => timed(() => disk.link(path, newPath)),
    rename: (path, newPath) => timed(() => disk.rename(path, newPath)),
    unlink: (path) => timed(() => disk.unlink(path)),
    openDirectory: (path) => timed(() => disk.openDirectory(path)),
    syncDirectory: (directory) => timed(() => disk.syncDirectory(directory)),
    openFile: (path) => timed(() => disk.openFile(path)),
    readFile: (file, position, length) => timed(() => disk.readFile(file, position, length)),
    list: (path) => timed(() => disk.list(path)),
    sizeBytes: (path) => timed(() => disk.sizeBytes(path)),
  }
}
