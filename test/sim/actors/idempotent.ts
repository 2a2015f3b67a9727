/** Idempotent producers: several batches under way, each sent again with its stamp until its outcome is known. */
import { producerEpochMax } from '../../../lib/core/producer.ts'
import type { ProducerStamp } from '../../../lib/log/log.ts'
import type { Dice } from '../dice.ts'
import type { Simulation } from '../simulation.ts'
import { isRetriable } from '../simulation.ts'
import type { Intent } from '../truth.ts'
import { append, beginAttempt, contentOf, endAttempt, somePatience, somePlace, someTimes } from './appends.ts'

const given = new WeakMap<Simulation, Set<number>>()

/** A producer id that nobody has had, or undefined when the actors stop. */
async function allocate(sim: Simulation, dice: Dice, actor: string): Promise<number | undefined> {
  while (sim.isActive) {
    const heard = await sim.call(
      actor,
      sim.anyProcess(dice),
      'allocateProducer',
      (log) => log.allocateProducer(),
      (answer) => {
        if (!answer.ok) return
        const ids = given.get(sim) ?? new Set()
        given.set(sim, ids.add(answer.producerId))
        const isNew = ids.size > (sizes.get(sim) ?? 0)
        sizes.set(sim, ids.size)
        if (!isNew) sim.history.violate('P4', `producer id ${answer.producerId} was given twice`)
      },
    )
    if (heard.kind === 'answered' && heard.answer.ok) return heard.answer.producerId
    await sim.think(dice)
  }
  return undefined
}
const sizes = new WeakMap<Simulation, number>()

interface Batch {
  readonly intent: Intent
  readonly partition: number
  readonly times: readonly number[]
  /** By `produce` instead of `append`. */
  readonly viaProduce: boolean
}

/** One attempt; true when the batch is in the log, false when it never will be under this stamp, undefined for: again. */
async function attemptBatch(sim: Simulation, dice: Dice, actor: string, batch: Batch): Promise<boolean | undefined> {
  const { intent, partition, times } = batch
  const heard = batch.viaProduce
    ? await produceBatch(sim, dice, actor, batch)
    : await append(sim, {
        actor,
        process: sim.anyProcess(dice),
        intent,
        partition,
        times,
        patienceMs: somePatience(dice),
      })
  if (heard.kind === 'lost') return undefined
  if (heard.answer.ok || heard.answer.code === 'DUPLICATE_SEQUENCE_NUMBER') return true
  return isRetriable(heard.answer.code) || heard.answer.code === 'OUTCOME_UNKNOWN' ? undefined : false
}

async function produceBatch(sim: Simulation, dice: Dice, actor: string, { intent, partition, times }: Batch) {
  const attempt = beginAttempt(intent)
  const stamp = intent.stamp as ProducerStamp
  return sim.call(
    actor,
    sim.anyProcess(dice),
    `produce ${intent.id}.${attempt} x${intent.count} to ${intent.topic}/${partition} ${JSON.stringify(stamp)}`,
    (log) =>
      log
        .produce({
          topic: intent.topic,
          producer: stamp,
          records: times.map((timestampMs, index) => ({
            partition,
            ...contentOf(sim, { append: intent.id, attempt, index }),
            timestampMs,
          })),
        })
        .then((answer) => {
          if (!answer.ok) return answer
          const first = answer.records[0]!
          return first.ok
            ? { ok: true as const, topicId: answer.topicId, partition: first.partition, baseOffset: first.offset }
            : first
        }),
    (answer) => endAttempt(sim, intent, attempt, answer),
    somePatience(dice),
  )
}

export async function idempotent(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  while (sim.isActive) {
    const producerId = await allocate(sim, dice, actor)
    if (producerId === undefined) return
    const { topic, partition } = somePlace(sim, dice)
    const sameCount = dice.chance(0.7) ? dice.int(1, 3) : undefined
    let epoch = 0
    let sequence = 0
    let isOver = false
    const underWay = new Set<Promise<void>>()
    const windowMax = dice.int(1, 5)
    for (let batches = dice.int(3, 30); batches > 0 && !isOver && sim.isActive; batches--) {
      if (dice.chance(0.1) && epoch < producerEpochMax) {
        epoch++
        sequence = 0
      }
      const count = sameCount ?? dice.int(1, 4)
      const stamp = { producerId, epoch, sequence }
      sequence += count
      const batch = {
        intent: sim.truth.intend({ kind: 'idempotent', topic, count, stamp }),
        partition,
        times: someTimes(sim, dice, count),
        viaProduce: dice.chance(0.2),
      }
      const sending = send(sim, dice, actor, batch).then((isThere) => {
        underWay.delete(sending)
        // An older epoch's batch may be fenced; the new one goes on.
        if (!isThere && stamp.epoch === epoch) isOver = true
      })
      underWay.add(sending)
      while (underWay.size >= windowMax) await Promise.race(underWay)
      if (dice.chance(0.5)) await sim.think(dice)
    }
    await Promise.all(underWay)
  }
}

async function send(sim: Simulation, dice: Dice, actor: string, batch: Batch): Promise<boolean> {
  for (let attempts = 0; attempts < 10; attempts++) {
    const isThere = await attemptBatch(sim, dice, actor, batch)
    if (isThere === true && dice.chance(0.9)) return true
    if (isThere === false) return false
    if (!sim.isActive) return true
    await sim.think(dice)
  }
  return false
}

/** Sends one batch, goes away for as long as it takes to be forgotten, and sends it again (P4). */
export async function sleeper(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  while (sim.isActive) {
    const producerId = await allocate(sim, dice, actor)
    if (producerId === undefined) return
    const { topic, partition } = somePlace(sim, dice)
    const count = dice.int(1, 3)
    const stamp = { producerId, epoch: dice.int(0, 1), sequence: 0 }
    const batch = {
      intent: sim.truth.intend({ kind: 'idempotent', topic, count, stamp }),
      partition,
      times: someTimes(sim, dice, count),
      viaProduce: false,
    }
    for (let sends = dice.int(2, 4); sends > 0 && sim.isActive; sends--) {
      await attemptBatch(sim, dice, actor, batch)
      await sim.world.sleep(dice.scattered(50, 20_000))
      await sim.think(dice)
    }
  }
}
