/** Exclusive leaders: several at once believe themselves to be it, by clocks that disagree. */
import type { TopicId } from '../../../lib/core/names.ts'
import type { Dice } from '../dice.ts'
import type { Process } from '../process.ts'
import type { Simulation } from '../simulation.ts'
import { isDefinite } from '../simulation.ts'
import { append, somePatience, somePlace, someTimes } from './appends.ts'

export async function leader(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  const idle = dice.pick([1, 3, 10])
  while (sim.isActive) {
    const { topic, partition } = somePlace(sim, dice)
    const process = sim.anyProcess(dice)
    const others = Array.from({ length: dice.int(0, 3) }, () => interfere(sim, dice, actor, topic, partition))
    const own = await acquire(sim, dice, actor, process, topic, partition)
    if (own !== undefined) await lead(sim, dice, actor, process, topic, partition, own)
    await Promise.race([Promise.all(others), sim.world.sleep(dice.scattered(10, 10_000))])
    // Others write while nobody leads, and are under way when somebody does again.
    for (let pauses = dice.int(1, idle); pauses > 0; pauses--) await sim.think(dice)
  }
}

/** Appends beside whoever leads, or begins to. */
async function interfere(sim: Simulation, dice: Dice, actor: string, topic: string, partition: number): Promise<void> {
  await sim.world.sleep(dice.between(0, 50))
  const intent = sim.truth.intend({ kind: 'plain', topic, count: 1 })
  const process = sim.anyProcess(dice)
  const times = someTimes(sim, dice, 1)
  await append(sim, { actor, process, intent, partition, times, patienceMs: somePatience(dice) })
}

interface Lead {
  readonly owner: string
  readonly epoch: number
  readonly topicId: TopicId
}

/** An exclusive lease; now and then by way of one that is not. */
async function acquire(
  sim: Simulation,
  dice: Dice,
  actor: string,
  process: Process | undefined,
  topic: string,
  partition: number,
): Promise<Lead | undefined> {
  // A name of its own for every try, so that it can be told whose write a lease is.
  const owner = `${actor}.${sim.callsMade}`
  if (dice.chance(0.3)) {
    const shared = await take(sim, actor, process, topic, partition, `${owner}s`, false)
    if (shared !== undefined && dice.chance(0.7)) await renew(sim, actor, process, topic, partition, shared)
    await sim.think(dice)
    if (shared !== undefined) await release(sim, actor, process, topic, partition, shared)
  }
  return take(sim, actor, process, topic, partition, owner, true)
}

async function take(
  sim: Simulation,
  actor: string,
  process: Process | undefined,
  topic: string,
  partition: number,
  owner: string,
  isExclusive: boolean,
): Promise<Lead | undefined> {
  const heard = await sim.call(
    actor,
    process,
    `acquire ${topic}/${partition} ${owner}${isExclusive ? ' exclusive' : ''}`,
    (log) => log.acquireLease(topic, partition, owner, isExclusive),
    (answer) => {
      if (!answer.ok && isDefinite(answer.code)) sim.truth.refuseOwner(owner)
    },
  )
  if (heard.kind === 'lost' || !heard.answer.ok) return undefined
  const { epoch, topicId } = heard.answer
  return { owner, epoch, topicId }
}

/** False when the lease is lost. */
async function renew(
  sim: Simulation,
  actor: string,
  process: Process | undefined,
  topic: string,
  partition: number,
  { owner, epoch }: Lead,
): Promise<boolean> {
  const heard = await sim.call(
    actor,
    process,
    `renew ${topic}/${partition} ${owner}`,
    (log) => log.renewLease(topic, partition, owner, epoch),
    () => undefined,
  )
  return heard.kind === 'lost' || heard.answer.ok || heard.answer.code !== 'FENCED_LEADER_EPOCH'
}

async function release(
  sim: Simulation,
  actor: string,
  process: Process | undefined,
  topic: string,
  partition: number,
  { owner, epoch }: Lead,
): Promise<void> {
  await sim.call(
    actor,
    process,
    `release ${topic}/${partition} ${owner}`,
    (log) => log.releaseLease(topic, partition, owner, epoch),
    () => undefined,
  )
}

/** Appends as the leader, and knows where each one lands, since nobody else may append (L3). */
async function lead(
  sim: Simulation,
  dice: Dice,
  actor: string,
  process: Process | undefined,
  topic: string,
  partition: number,
  own: Lead,
): Promise<void> {
  const { owner, epoch, topicId } = own
  let end: number | undefined
  let isSure = true
  for (let appends = dice.chance(0.6) ? dice.int(0, 3) : dice.int(4, 15); appends > 0 && sim.isActive; appends--) {
    const count = dice.int(1, 3)
    const intent = sim.truth.intend({ kind: 'plain', topic, count })
    const heard = await append(sim, {
      actor,
      process: dice.chance(0.8) ? process : sim.anyProcess(dice),
      intent,
      partition,
      times: someTimes(sim, dice, count),
      options: { leaderEpoch: epoch, topicId },
      patienceMs: somePatience(dice),
    })
    if (heard.kind === 'answered' && heard.answer.ok) {
      const { baseOffset } = heard.answer
      if (isSure && end !== undefined && baseOffset !== end)
        sim.history.violate('L3', `leader ${owner} appended at ${baseOffset}, where ${end} was the end`)
      end = baseOffset + count
    } else if (heard.kind === 'answered' && !heard.answer.ok && isDefinite(heard.answer.code)) {
      if (heard.answer.code === 'FENCED_LEADER_EPOCH') return
    } else isSure = false
    if (dice.chance(0.2) && !(await renew(sim, actor, process, topic, partition, own))) return
    await sim.think(dice)
  }
  if (dice.chance(0.9)) await release(sim, actor, process, topic, partition, own)
}
