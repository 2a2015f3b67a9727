/** Those who read: in order, anywhere, at the end, and by time. */

import type { Offset, TopicId } from '../../../lib/core/names.ts'
import type { Answer, Fetched } from '../../../lib/log/log.ts'
import { short } from '../describe.ts'
import type { Dice } from '../dice.ts'
import type { Process } from '../process.ts'
import type { Heard, Simulation } from '../simulation.ts'
import { startMs } from '../simulation.ts'
import type { PartitionTruth, Seen } from '../truth.ts'
import { somePatience, somePlace, timesFromMs, timesSpanMs } from './appends.ts'

interface FetchCall {
  readonly actor: string
  readonly process: Process | undefined
  readonly topic: string
  readonly partition: number
  readonly offset: Offset
  readonly bytesMax?: number
  readonly recordsMax?: number
  readonly waitMs?: number
  readonly topicId?: TopicId
  readonly patienceMs?: number
}

/** What the partitions of a name are before a call: an answer may not know less. */
function look(sim: Simulation, topic: string, partition: number): Map<TopicId, Seen> {
  return new Map(
    sim.truth
      .named(topic, partition)
      .map(({ key, hw, head, gone }) => [
        key.topicId,
        { hw, start: head.start, isDeleted: head.isDeleted, ...(gone.size > 0 ? { gone: new Map(gone) } : {}) },
      ]),
  )
}

export async function fetch(sim: Simulation, call: FetchCall): Promise<Heard<Fetched>> {
  const { actor, process, patienceMs, ...request } = call
  const before = look(sim, call.topic, call.partition)
  const what = `fetch ${call.topic}/${call.partition}@${call.offset} ${JSON.stringify({ bytesMax: call.bytesMax, recordsMax: call.recordsMax, waitMs: call.waitMs })}`
  return sim.call(
    actor,
    process,
    what,
    (log) => log.fetch(request),
    (answer) => checkFetched(sim, before, call, what, answer),
    patienceMs,
  )
}

/** D1, D2, D3, D6 as a reader sees them. */
function checkFetched(
  sim: Simulation,
  before: ReadonlyMap<TopicId, Seen>,
  call: FetchCall,
  what: string,
  answer: Answer<Fetched>,
): void {
  const { history, truth } = sim
  if (!answer.ok) {
    if (answer.code === 'OFFSET_OUT_OF_RANGE') checkOutOfRange(sim, before, call, what)
    return
  }
  const there = truth.partition(answer.topicId, answer.partition)
  const seen = before.get(answer.topicId)
  if (there === undefined) {
    history.violate('D6', `${what} was answered from a topic that does not exist`)
    return
  }
  if (seen?.isDeleted === true) {
    history.violate('D6', `${what} was answered from a deleted topic`)
    return
  }
  checkMarks(sim, seen, there, answer.highWatermark, answer.startOffset, what)
  if (answer.nextOffset > answer.highWatermark)
    history.violate('log.ts', `${what}: next offset ${answer.nextOffset} beyond hw ${answer.highWatermark}`)
  const at = checkRecords(sim, there, answer.batches, call.offset, what, seen?.gone)
  if (at === undefined || !checkMissing(sim, there, at, answer.nextOffset, what)) return
  if (answer.nextOffset < at) history.violate('D3', `${what}: ends at ${at} and says ${answer.nextOffset}`)
  if (answer.nextOffset === call.offset && (seen?.hw ?? 0) > call.offset)
    history.violate('D2', `${what}: nothing, where hw was ${seen?.hw}`)
}

/** D2, D3: offsets that an answer passes over are of records that may have gone. */
function checkMissing(sim: Simulation, there: PartitionTruth, from: Offset, to: Offset, what: string): boolean {
  for (let offset = from; offset < to; offset++)
    // A row of a compacted topic says what is there, not whether the rest was trimmed meanwhile.
    if (!there.mayLack(offset, sim.world.nowMs) && !(there.cleaning.isCompacted && offset < there.head.start)) {
      sim.history.violate('D3', `${what}: nothing at ${offset}, and on at ${to}`)
      return false
    }
  return true
}

/** D2, D3: the records are the true ones, from the offset on that was asked for. Where they end; undefined where one is wrong. */
export function checkRecords(
  sim: Simulation,
  there: PartitionTruth,
  batches: readonly Uint8Array[],
  from: Offset,
  what: string,
  gone: ReadonlyMap<string, Offset> = new Map(),
): Offset | undefined {
  const { history, truth } = sim
  let at: Offset | undefined
  for (const batch of batches)
    for (const found of truth.decode(batch)) {
      const { offset, append, attempt, index, key } = found
      if (at !== undefined && offset < at) {
        history.violate('D3', `${what}: offset ${offset} where ${at} was next`)
        return undefined
      }
      // The first batch may begin before what was asked for.
      if (!checkMissing(sim, there, at ?? from, offset, what)) return undefined
      at = offset + 1
      if (!there.isTrue(offset, found)) {
        const record = there.records[offset]
        history.violate(
          'D2',
          `${what}: record ${append}.${attempt}.${index} at ${short(there.key)}@${offset}, where ${record?.append}.${record?.attempt}.${record?.index} is`,
        )
        return undefined
      }
      const tombstone = gone.get(key ?? '')
      // A merge that was late may bring both back, the tombstone with what it deletes.
      if (tombstone !== undefined && offset < tombstone && there.gone.get(key ?? '') === tombstone) {
        history.violate('K', `${what}: ${key} at ${offset} is there again, its tombstone ${tombstone} was gone`)
        return undefined
      }
    }
  return Math.max(at ?? from, from)
}

/** H3 to a client: what an answer says of the log is not older than the call. */
function checkMarks(
  sim: Simulation,
  seen: Seen | undefined,
  there: PartitionTruth,
  highWatermark: Offset,
  startOffset: Offset,
  what: string,
): void {
  if (highWatermark < (seen?.hw ?? 0) || startOffset < (seen?.start ?? 0))
    sim.history.violate('H3', `${what}: ${startOffset}..${highWatermark}, where it was ${seen?.start}..${seen?.hw}`)
  if (highWatermark > there.hw || startOffset > there.head.start)
    sim.history.violate('D1', `${what}: ${startOffset}..${highWatermark}, where it is ${there.head.start}..${there.hw}`)
}

function checkOutOfRange(sim: Simulation, before: ReadonlyMap<TopicId, Seen>, call: FetchCall, what: string): void {
  const isPossible = sim.truth
    .named(call.topic, call.partition)
    .some(({ key, head }) => call.offset < head.start || call.offset > (before.get(key.topicId)?.hw ?? 0))
  if (!isPossible) sim.history.violate('D2', `${what} was answered OFFSET_OUT_OF_RANGE`)
}

export async function reader(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  const { topic, partition } = somePlace(sim, dice)
  let offset = 0
  let topicId: TopicId | undefined
  while (sim.isActive) {
    const isRandom = dice.chance(0.3)
    const process = sim.anyProcess(dice)
    const mine = sim.truth.named(topic, partition).at(-1)
    const from = isRandom && mine !== undefined ? dice.int(mine.head.start, mine.hw) : offset
    const heard = await fetch(sim, {
      actor,
      process,
      topic,
      partition,
      offset: from,
      ...(dice.chance(0.8) ? { bytesMax: Math.floor(dice.scattered(1, 5_000)) } : {}),
      ...(dice.chance(0.3) ? { recordsMax: dice.int(1, 20) } : {}),
      ...(dice.chance(0.3) ? { waitMs: Math.floor(dice.scattered(5, 5_000)) } : {}),
      ...(topicId !== undefined && dice.chance(0.3) ? { topicId } : {}),
      patienceMs: somePatience(dice),
    })
    if (heard.kind === 'answered' && !isRandom) {
      const { answer } = heard
      if (answer.ok && (topicId === undefined || answer.topicId === topicId)) offset = answer.nextOffset
      else if (answer.ok) offset = answer.startOffset
      else if (answer.code === 'OFFSET_OUT_OF_RANGE') offset = answer.details?.startOffset ?? 0
      if (answer.ok) topicId = answer.topicId
    }
    await sim.think(dice)
  }
}

/** Looks up offsets by time. */
export async function seeker(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  while (sim.isActive) {
    const { topic, partition } = somePlace(sim, dice)
    await seek(sim, actor, sim.anyProcess(dice), topic, partition, someTime(sim, dice))
    await sim.think(dice)
  }
}

export function someTime(sim: Simulation, dice: Dice): number {
  if (sim.swarm.isLong && dice.chance(0.8)) return dice.int(startMs, Math.floor(sim.world.nowMs) + 1_000_000)
  if (dice.chance(0.1)) return timesFromMs + 1_000_000 + dice.int(0, 1_100)
  if (sim.swarm.logAppendTime && dice.chance(0.8)) return dice.int(startMs, Math.floor(sim.world.nowMs))
  return timesFromMs + dice.int(-10, timesSpanMs)
}

export async function seek(
  sim: Simulation,
  actor: string,
  process: Process | undefined,
  topic: string,
  partition: number,
  timestampMs: number,
): Promise<void> {
  const before = look(sim, topic, partition)
  const what = `offsetForTimestamp ${topic}/${partition} ${timestampMs - timesFromMs}`
  await sim.call(
    actor,
    process,
    what,
    (log) => log.offsetForTimestamp(topic, partition, timestampMs),
    (answer) => {
      if (!answer.ok) return
      const there = sim.truth.partition(answer.topicId, partition)
      const seen = before.get(answer.topicId) ?? { hw: 0, start: 0, isDeleted: false }
      if (there === undefined || seen.isDeleted) {
        sim.history.violate('D6', `${what} was answered from nowhere`)
        return
      }
      const { offset } = answer
      const found = there.records[offset]
      if (offset !== -1 && (found === undefined || offset < seen.start || found.timestampMs !== answer.timestampMs)) {
        sim.history.violate('D2', `${what}: ${offset} of time ${answer.timestampMs - timesFromMs}`)
        return
      }
      if (found !== undefined && found.timestampMs < timestampMs) {
        sim.history.violate('D2', `${what}: ${offset}, of time ${found.timestampMs - timesFromMs}`)
        return
      }
      // Nothing that qualifies and that was there all the time lies before it.
      const end = offset === -1 ? seen.hw : offset
      for (let earlier = there.head.start; earlier < end; earlier++)
        if (there.records[earlier]!.timestampMs >= timestampMs && !there.mayLack(earlier, sim.world.nowMs)) {
          sim.history.violate('D2', `${what}: ${offset}, where ${earlier} is the first`)
          return
        }
    },
  )
}
