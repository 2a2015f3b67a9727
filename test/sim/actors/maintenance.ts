/**
 * Two kinds of upkeep. The log's own, asked for like anything else; and a merge and a sweep for the tests alone, which do more than
 * the log's does (keep references, overlap, sweep what is younger): they run inside a process, over its network, and stop wherever
 * it stops. Two mergers, two sweepers at once are as good as one.
 */
import { Unavailable } from '../../../lib/core/errors.ts'
import type { HeadKey } from '../../../lib/core/head.ts'
import type { Item } from '../../../lib/core/items.ts'
import { inlineKey, offsetSortKey, rowKey, rowsCollection } from '../../../lib/core/items.ts'
import type { SegmentId, TopicId } from '../../../lib/core/names.ts'
import { segmentIdAt, segmentIdFloor, segmentObjectKey } from '../../../lib/core/names.ts'
import { readBatchHeader, rebaseBatch } from '../../../lib/core/record-batch.ts'
import type { ChunkReference } from '../../../lib/core/reference.ts'
import { decodeReference, encodeReference, segmentOfReference } from '../../../lib/core/reference.ts'
import type { Row } from '../../../lib/core/row.ts'
import { encodeSegment } from '../../../lib/core/segment.ts'
import type { SegmentIndex } from '../../../lib/core/segment-index.ts'
import { decodeSegmentTail } from '../../../lib/core/segment-index.ts'
import type { Log, LogPorts } from '../../../lib/log/log.ts'
import type { Dice } from '../dice.ts'
import { SweepUnderWay, sweeping } from '../mutated-stores.ts'
import type { Process } from '../process.ts'
import type { Simulation } from '../simulation.ts'
import { somePlace } from './appends.ts'

interface StoredRow {
  readonly version: string
  readonly row: Row
}

async function again<Result>(ports: LogPorts, work: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof Unavailable) || attempt === 8) throw error
      await ports.clock.sleep(10 * attempt)
    }
  }
}

function newVersion(ports: LogPorts): string {
  return segmentIdAt(ports.clock.now(), ports.random)
}

async function rowsOf(ports: LogPorts, key: HeadKey): Promise<StoredRow[]> {
  const rows: StoredRow[] = []
  const limit = 20
  let from: string | undefined
  while (true) {
    const range = { ...(from === undefined ? {} : { from }), limit }
    const items = await again(ports, () => ports.metadata.query(rowsCollection(key.topicId, key.partition), range))
    for (const { version, value } of items) rows.push({ version, row: value as unknown as Row })
    const last = rows.at(-1)
    if (items.length < limit || last === undefined) return rows
    from = offsetSortKey(last.row.last + 1)
  }
}

/** Those that are not covered by a row with a larger last (R1), ascending. */
function liveRows(rows: readonly StoredRow[]): StoredRow[] {
  const live: StoredRow[] = []
  for (const stored of rows.toReversed()) {
    const after = live.at(-1)
    if (after === undefined || stored.row.first < after.row.first) live.push(stored)
  }
  return live.reverse()
}

/** Is the write done, by this attempt or an earlier one? */
async function replaceRow(ports: LogPorts, key: HeadKey, seen: StoredRow, row: Row): Promise<boolean> {
  const itemKey = rowKey(key.topicId, key.partition, seen.row.last)
  const version = newVersion(ports)
  const value = row as unknown as Item['value']
  const answer = await again(ports, () =>
    ports.metadata.write([{ op: 'put', key: itemKey, version, value, if: { version: seen.version } }]),
  )
  return answer.applied || answer.items[0]?.version === version
}

async function deleteRow(ports: LogPorts, key: HeadKey, seen: StoredRow): Promise<void> {
  const itemKey = rowKey(key.topicId, key.partition, seen.row.last)
  await again(ports, () => ports.metadata.write([{ op: 'delete', key: itemKey, if: { version: seen.version } }]))
}

interface MergeOptions {
  /** Write the bytes into a new segment; otherwise the row keeps all references of the run. */
  readonly moves: boolean
  /** Only where references are kept: whether the row says so. */
  readonly saysMerged: boolean
}

/** One row takes the place of a run of rows: first it replaces the last of them, then the others go. */
async function merge(ports: LogPorts, dice: Dice, key: HeadKey, { moves, saysMerged }: MergeOptions): Promise<void> {
  const head = await again(ports, () => ports.metadata.readHead(key))
  if (head === undefined || head.isDeleted) return
  const all = await rowsOf(ports, key)
  // What lies below the log start may have been swept.
  const below = all.filter(({ row }) => row.last < head.start)
  for (const stored of below) if (dice.chance(0.5)) await deleteRow(ports, key, stored)
  const stored = all.filter(({ row }) => row.last >= head.start)
  const live = liveRows(stored)
  for (const shadowed of stored) if (!live.includes(shadowed) && dice.chance(0.3)) await deleteRow(ports, key, shadowed)
  if (live.length < 2) return
  // Often the newest: the appends in them may still be under way.
  const length = dice.int(2, 5)
  const from = dice.chance(0.5) ? Math.max(0, live.length - length) : dice.int(0, live.length - 2)
  const run = live.slice(from, from + length)
  const first = run[0]!
  const last = run.at(-1)!
  for (const [index, { row }] of run.entries()) if (index > 0 && row.first !== run[index - 1]!.row.last + 1) return
  const row: Row = {
    first: first.row.first,
    last: last.row.last,
    chunks: run.flatMap((stored) => stored.row.chunks),
    maxTimestampMs: run.reduce((max, stored) => Math.max(max, stored.row.maxTimestampMs), -1),
    maxTimestampSoFarMs: last.row.maxTimestampSoFarMs,
    isMerged: saysMerged || run.some((stored) => stored.row.isMerged),
  }
  const merged = moves ? await moved(ports, key, row) : row
  if (merged === undefined || !(await replaceRow(ports, key, last, merged))) return
  // Now and then it stops here, and rows overlap until somebody merges again.
  for (const other of run.slice(0, -1)) if (dice.chance(0.85)) await deleteRow(ports, key, other)
}

/** The row with its bytes in one new segment; undefined where some of them are gone: somebody else was faster. */
async function moved(ports: LogPorts, key: HeadKey, row: Row): Promise<Row | undefined> {
  const batches: Uint8Array[] = []
  let recordCount = 0
  for (const { ref, base } of row.chunks) {
    const place = decodeReference(ref)
    const read =
      place.isInline === true
        ? (await again(ports, () => ports.metadata.get(inlineKey(key.topicId, key.partition, place.segment))))?.bytes
        : await again(ports, () =>
            ports.objects.read(segmentObjectKey(place.segment), place.position, place.lengthBytes),
          )
    if (read === undefined || read.length < place.lengthBytes) return undefined
    const bytes = read.slice()
    for (let at = 0; at < bytes.length; ) {
      const batch = readBatchHeader(bytes, at)
      if (!batch.ok) throw new Error(`merge read ${ref}, which is no chunk: ${batch.message}`)
      rebaseBatch(bytes, at, base - row.first + batch.header.baseOffset)
      recordCount += batch.header.recordCount
      at += batch.header.sizeBytes
    }
    batches.push(bytes)
  }
  const { topicId, partition } = key
  // Of the chunks, not of the row: a merge may have left out some of its records, which lay below the log start.
  const maxTimestampMs = row.chunks.reduce((max, { ref }) => Math.max(max, decodeReference(ref).maxTimestampMs), -1)
  const chunk = { topicId, partition, batches, recordCount, maxTimestampMs, baseOffset: row.first }
  const run = { topicId, partition, firstOffset: row.first, lastOffset: row.last }
  const plan = encodeSegment([chunk], ports.codecs, run)
  const id = segmentIdAt(ports.clock.now(), ports.random)
  await again(ports, () => ports.objects.create(segmentObjectKey(id), plan.parts))
  const ref = encodeReference({ segment: id, ...plan.chunks[0]! })
  return { ...row, chunks: [{ ref, base: row.first }], isMerged: true }
}

interface Candidate {
  readonly key: string
  readonly id: SegmentId
  readonly index: SegmentIndex
}

/**
 * Deletes what nothing refers to. A merged segment whose row was never written is deleted only when a row covers its whole
 * run: the write of its row may still come, and must then be shadowed. To give the present row another version is not
 * enough: that row may be merged away, and a late repeat of the roll's put bring it back with the version it had first.
 */
async function sweep(ports: LogPorts, horizonMs: number): Promise<void> {
  const floor = segmentIdFloor(horizonMs)
  const candidates: Candidate[] = []
  const partitions = new Map<string, HeadKey>()
  let after: string | undefined
  while (true) {
    const entries = await again(ports, () => ports.objects.list('segments/', after, 50))
    for (const { key, sizeBytes } of entries) {
      const id = key.slice(-20) as SegmentId
      if (id >= floor) continue
      const bytes = await again(ports, () => ports.objects.read(key, 0, sizeBytes))
      if (bytes === undefined) continue
      const tail = decodeSegmentTail(bytes, bytes.length, ports.codecs)
      if (!tail.ok) throw new Error(`sweep read ${key}, which is no segment`)
      candidates.push({ key, id, index: tail.index })
      for (const { topicId, partition } of tail.index.chunks)
        partitions.set(`${topicId}/${partition}`, { topicId, partition })
    }
    after = entries.at(-1)?.key
    if (entries.length < 50) break
  }
  const used = new Set<SegmentId>()
  const rows = new Map<string, StoredRow[]>()
  for (const [name, key] of partitions) {
    const fence = { kind: 'fence', minSegment: floor } as const
    const answer = await again(ports, () => ports.metadata.updateHead(key, fence))
    // Nothing of a deleted topic is read or committed again.
    if (answer.head?.isDeleted === true) continue
    // The tail first, its rows afterwards: references only move from one to the other.
    const head = await again(ports, () => ports.metadata.readHead(key))
    if (head === undefined) return
    for (const ref of Object.keys(head.tail) as ChunkReference[]) used.add(segmentOfReference(ref))
    const live = liveRows(await rowsOf(ports, key))
    rows.set(name, live)
    for (const { row } of live) for (const { ref } of row.chunks) used.add(segmentOfReference(ref))
  }
  for (const { key, id, index } of candidates) {
    if (used.has(id)) continue
    const { merged } = index
    if (merged !== undefined) {
      const live = rows.get(`${merged.topicId}/${merged.partition}`)
      const isCovered = live?.some(({ row }) => row.first <= merged.firstOffset && row.last > merged.lastOffset)
      if (live !== undefined && isCovered !== true) continue
    }
    await again(ports, () => ports.objects.delete(key))
  }
}

/** Runs inside a process until it ends or the process does. */
function inside(
  sim: Simulation,
  process: Process,
  what: string,
  work: (ports: LogPorts) => Promise<void>,
): Promise<void> {
  sim.spent += 0.1
  sim.history.note(`${process.name} begins ${what}`)
  return new Promise((resolve) => {
    process.onDeath(resolve)
    process.deliver(() => {
      work(process.ports).then(resolve, (error: unknown) => {
        if (!(error instanceof Unavailable))
          sim.history.violate('D7', `${what}: ${error instanceof Error ? error.stack : error}`)
        resolve()
      })
    })
  })
}

export async function merger(sim: Simulation, dice: Dice): Promise<void> {
  // A merge that keeps references can name what another has replaced and deleted since: it is not for a log that deletes (decision 8).
  const { upkeeper, dozer } = sim.swarm.actors
  const moves = sim.swarm.moves || upkeeper > 0 || dozer > 0
  while (sim.isActive) {
    const process = sim.anyProcess(dice)
    const key = someKey(sim, dice)
    if (process !== undefined && key !== undefined) {
      const options = { moves, saysMerged: dice.chance(0.5) }
      const work = inside(sim, process, 'merge', (ports) => merge(ports, dice, key, options))
      if (dice.chance(0.7)) await work
    }
    if (dice.chance(0.7)) await sim.think(dice)
    else await sim.world.sleep(1)
  }
}

export async function sweeper(sim: Simulation, dice: Dice): Promise<void> {
  while (sim.isActive) {
    const process = sim.anyProcess(dice)
    const behindMs = dice.chance(0.3) ? dice.between(-2_000, 2_000) : dice.scattered(10, 10_000)
    if (process !== undefined)
      await inside(sim, process, 'sweep', (ports) => sweep(ports, ports.clock.now() - behindMs))
    await sim.think(dice)
    await sim.think(dice)
  }
}

const sweepAsMutated = (log: Log) => sweeping.run(new SweepUnderWay(), () => log.sweep())

/** The log's own merge, retention and sweep, by whichever process. */
export async function upkeeper(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  while (sim.isActive) {
    const { topic, partition } = somePlace(sim, dice)
    const process = sim.anyProcess(dice)
    const act = sim.mergersAsleep > 0 && dice.chance(0.9) ? 0.8 : dice.random()
    if (act < sim.swarm.mergeShare && sim.mergersAsleep === 0)
      await sim.call(
        actor,
        process,
        `merge ${topic}/${partition}`,
        (log) => log.merge(topic, partition),
        () => undefined,
      )
    else if (act < 0.9)
      await sim.call(actor, process, 'sweep', sweepAsMutated, (answer) => {
        if (answer.ok && answer.damaged.length > 0)
          sim.history.violate('S1', `the sweep finds ${answer.damaged} damaged`)
      })
    else if (act < 0.95)
      await sim.call(
        actor,
        process,
        'maintain',
        (log) => log.maintain(),
        () => undefined,
      )
    else {
      const topicId = sim.truth.topics.get(topic)?.id
      const rolled = topicId === undefined ? [] : [{ key: { topicId, partition }, rows: 9 }]
      await sim.call(
        actor,
        process,
        'maintain-rolled',
        (log) => log.maintainRolled(rolled),
        () => undefined,
      )
    }
    await untilNextUpkeep(sim, dice)
  }
}

/** Key compaction, by whichever process; several at once at times. */
export async function compactor(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  while (sim.isActive) {
    const { topic, partition } = somePlace(sim, dice)
    const work = sim.call(
      actor,
      sim.anyProcess(dice),
      `compact ${topic}/${partition}`,
      (log) => log.compact(topic, partition),
      () => undefined,
    )
    if (dice.chance(0.7)) await work
    await untilNextUpkeep(sim, dice)
  }
}

/**
 * Merges, or compacts, in a process that falls asleep in the middle of it, until what it has put is old enough to be swept, and has been;
 * then it goes on as if nothing had been.
 */
export async function dozer(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  const { sweepAgeMs = 0 } = sim.swarm.settings
  while (sim.isActive) {
    for (let pauses = dice.int(1, 4); pauses > 0; pauses--) await sim.think(dice)
    const { topic, partition } = somePlace(sim, dice)
    const process = sim.anyProcess(dice)
    if (process?.state !== 'running') continue
    const call = dice.pick(['create', 'write candidates', 'write candidates', 'write candidates', 'query rows'])
    const isCompacting = sim.swarm.keys > 0 && dice.chance(0.5)
    const done = () => undefined
    // Or until others have compacted what it read, and rows of before come again: it puts its own over one of them (K2).
    const topicId = sim.truth.topics.get(topic)?.id
    if (sim.swarm.keys > 0 && topicId !== undefined && dice.chance(0.5)) {
      const waking = () => sim.rollsAgain(rowsCollection(topicId, partition))
      const durationMs = dice.scattered(1_000, 600_000)
      sim.dozeAfter(process, call, durationMs, waking)
      void sim.call(actor, process, `merge ${topic}/${partition}`, (log) => log.merge(topic, partition), done)
      await sim.world.sleep(durationMs)
      continue
    }
    sim.dozeAfter(process, call, sweepAgeMs * dice.between(1.5, 3) + 2_000)
    if (isCompacting)
      void sim.call(actor, process, `compact ${topic}/${partition}`, (log) => log.compact(topic, partition), done)
    else void sim.call(actor, process, `merge ${topic}/${partition}`, (log) => log.merge(topic, partition), done)
    // Whether others leave the rows alone meanwhile.
    const doOthersMerge = dice.chance(0.3)
    if (!doOthersMerge) sim.mergersAsleep++
    await sim.world.sleep(sweepAgeMs + dice.between(100, 1_500))
    for (let sweeps = 0; sweeps < 2; sweeps++)
      await sim.call(actor, sim.anyProcess(dice), 'sweep', sweepAsMutated, done, dice.scattered(200, 5_000))
    if (!doOthersMerge) sim.mergersAsleep--
  }
}

/** Upkeep goes on a schedule of its own, also while nobody writes. */
async function untilNextUpkeep(sim: Simulation, dice: Dice): Promise<void> {
  if (sim.swarm.isUpkeepRare && dice.chance(0.5)) await sim.world.sleep(dice.scattered(500, 20_000))
  else if (sim.swarm.isLong && dice.chance(0.4)) await sim.world.sleep(dice.scattered(60_000, 3 * 86_400_000))
  else await sim.think(dice)
}

/** Raises the fence alone: writers must take new ids. */
export async function fencer(sim: Simulation, dice: Dice): Promise<void> {
  while (sim.isActive) {
    const process = sim.anyProcess(dice)
    const key = someKey(sim, dice)
    if (process !== undefined && key !== undefined)
      await inside(sim, process, 'fence', async (ports) => {
        const minSegment = segmentIdFloor(ports.clock.now() + dice.between(-2_000, 100))
        await ports.metadata.updateHead(key, { kind: 'fence', minSegment })
      })
    await sim.think(dice)
  }
}

function someKey(sim: Simulation, dice: Dice): HeadKey | undefined {
  const { topic, partition } = somePlace(sim, dice)
  const topicId: TopicId | undefined = sim.truth.topics.get(topic)?.id
  return topicId === undefined ? undefined : { topicId, partition }
}
