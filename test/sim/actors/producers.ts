/** Those who append without an identity, with a condition, or with an idempotency key. */
import type { ProduceRecord } from '../../../lib/log/log.ts'
import type { Dice } from '../dice.ts'
import type { Simulation } from '../simulation.ts'
import { append, beginAttempt, contentOf, endAttempt, somePatience, somePlace, someTimes } from './appends.ts'

/** Appends and never looks back: an unknown outcome stays unknown. */
export async function appender(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  const underWay: Promise<unknown>[] = []
  while (sim.isActive) {
    const { topic, partition } = somePlace(sim, dice)
    const count = dice.int(1, 4)
    const intent = sim.truth.intend({ kind: 'plain', topic, count })
    const call = append(sim, {
      actor,
      process: sim.anyProcess(dice),
      intent,
      partition,
      times: someTimes(sim, dice, count),
      cut: dice.chance(0.2) ? dice.int(0, count - 1) : 0,
      patienceMs: somePatience(dice),
    })
    if (dice.chance(0.4)) underWay.push(call)
    else await call
    await sim.think(dice)
  }
  await Promise.all(underWay)
}

/** Records through `produce`, each an append of its own to the checker: some share a chunk, some a request. */
export async function producer(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  while (sim.isActive) {
    const { topic } = somePlace(sim, dice)
    const intents = Array.from({ length: dice.int(1, 5) }, () => sim.truth.intend({ kind: 'plain', topic, count: 1 }))
    const times = someTimes(sim, dice, intents.length)
    const keyed = dice.chance(0.3)
    const records = intents.map((intent, index): ProduceRecord => {
      beginAttempt(intent)
      return {
        ...contentOf(sim, { append: intent.id, attempt: 0, index: 0 }, keyed ? `${intent.id}` : null),
        timestampMs: times[index]!,
        ...(dice.chance(0.5) ? { partition: dice.int(0, sim.swarm.partitions - 1) } : {}),
      }
    })
    await sim.call(
      actor,
      sim.anyProcess(dice),
      `produce ${intents.map(({ id }) => id).join(' ')} to ${topic}`,
      (log) => log.produce({ topic, records }),
      (answer) => {
        for (const [index, intent] of intents.entries()) {
          const own = answer.ok ? answer.records[index]! : answer
          endAttempt(
            sim,
            intent,
            0,
            own.ok && answer.ok
              ? { ok: true, topicId: answer.topicId, partition: own.partition, baseOffset: own.offset }
              : (own as Extract<typeof own, { ok: false }>),
          )
        }
      },
      somePatience(dice),
    )
    await sim.think(dice)
  }
}

/** Appends only at the end it has seen, or, now and then, beyond it or before it. */
export async function conditional(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  while (sim.isActive) {
    const { topic, partition } = somePlace(sim, dice)
    const process = sim.anyProcess(dice)
    const seen = await sim.call(
      actor,
      process,
      `offsets ${topic}/${partition}`,
      (log) => log.offsets(topic, partition),
      () => undefined,
    )
    if (seen.kind === 'answered' && seen.answer.ok) {
      const count = dice.int(1, 3)
      const off = dice.chance(0.75) ? 0 : dice.int(-2, 4)
      const expectedOffset = Math.max(0, seen.answer.highWatermark + off)
      const intent = sim.truth.intend({ kind: 'plain', topic, count, expectedOffset })
      const call = { actor, intent, partition, times: someTimes(sim, dice, count), options: { expectedOffset } }
      await append(sim, { ...call, process: sim.anyProcess(dice), patienceMs: somePatience(dice) })
    }
    await sim.think(dice)
  }
}

/** Repeats a request under its key until it is told the outcome, and sometimes after that. */
export async function keyed(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  let at = 0
  while (sim.isActive) {
    const { topic, partition } = somePlace(sim, dice)
    const count = dice.int(1, 3)
    const idempotencyKey = `${actor}-${at++}`
    const intent = sim.truth.intend({ kind: 'key', topic, count })
    const call = { actor, intent, partition, times: someTimes(sim, dice, count), options: { idempotencyKey } }
    for (let calls = 0; calls < 4 && sim.isActive; calls++) {
      const heard = await append(sim, { ...call, process: sim.anyProcess(dice), patienceMs: somePatience(dice) })
      if (heard.kind === 'answered' && heard.answer.ok && dice.chance(0.6)) break
      await sim.think(dice)
    }
    if (dice.chance(0.15)) {
      intent.isReuse = true
      const other = sim.truth.intend({ kind: 'key', topic, count, isReuse: true })
      await append(sim, { ...call, intent: other, process: sim.anyProcess(dice) })
    }
    await sim.think(dice)
  }
}
