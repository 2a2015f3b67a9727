/** Exclusive leaders: several at once believe themselves to be it, by clocks that disagree. */
import type { TopicId } from '../../../lib/core/names.ts'
import type { LeaseGrant } from '../../../lib/log/log.ts'
import type { Dice } from '../dice.ts'
import type { Process } from '../process.ts'
import type { Heard, Simulation } from '../simulation.ts'
import { isDefinite } from '../simulation.ts'
import { append, somePatience, somePlace, someTimes } from './appends.ts'

export async function leader(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  while (sim.isActive) {
    const { topic, partition } = somePlace(sim, dice)
    const process = sim.anyProcess(dice)
    const own = await acquire(sim, dice, actor, process, topic, partition)
    if (own !== undefined) await lead(sim, dice, actor, process, topic, partition, own)
    await sim.think(dice)
    await sim.think(dice)
  }
}

/** The epoch of an exclusive lease; now and then one that was shared at first. */
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
  const isExclusive = dice.chance(0.7)
  const heard = await leaseCall(sim, actor, process, `acquire ${topic}/${partition} ${owner}`, isExclusive, (log) =>
    log.acquireLease(topic, partition, owner, isExclusive),
  )
  if (heard.kind === 'lost' || !heard.answer.ok) {
    const isTaken = sim.truth.named(topic, partition).some(({ head }) => head.lease?.owner === owner)
    if (heard.kind === 'answered' && !heard.answer.ok && isDefinite(heard.answer.code) && isTaken)
      sim.history.violate('errors.ts', `${owner} was refused the lease for good and holds it: ${heard.answer.code}`)
    return undefined
  }
  const { epoch, topicId } = heard.answer
  const own = { owner, epoch, topicId }
  if (isExclusive) return own
  for (const becomes of [false, true]) {
    const renewed = await leaseCall(sim, actor, process, `renew ${topic}/${partition} ${owner}`, becomes, (log) =>
      log.renewLease(topic, partition, owner, epoch, becomes),
    )
    if (renewed.kind === 'lost' || !renewed.answer.ok) return undefined
  }
  return own
}

interface Lead {
  readonly owner: string
  readonly epoch: number
  readonly topicId: TopicId
}

function leaseCall(
  sim: Simulation,
  actor: string,
  process: Process | undefined,
  what: string,
  isExclusive: boolean,
  work: Parameters<typeof sim.call<LeaseGrant>>[3],
): Promise<Heard<LeaseGrant>> {
  return sim.call(actor, process, `${what}${isExclusive ? ' exclusive' : ''}`, work, () => undefined)
}

/** Appends as the leader, and knows where each one lands, since nobody else may append (L3). */
async function lead(
  sim: Simulation,
  dice: Dice,
  actor: string,
  process: Process | undefined,
  topic: string,
  partition: number,
  { owner, epoch, topicId }: Lead,
): Promise<void> {
  let end: number | undefined
  let isSure = true
  for (let appends = dice.int(1, 15); appends > 0 && sim.isActive; appends--) {
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
    if (dice.chance(0.2)) {
      const what = `renew ${topic}/${partition} ${owner}`
      const renewed = await leaseCall(sim, actor, process, what, true, (log) =>
        log.renewLease(topic, partition, owner, epoch, true),
      )
      if (renewed.kind === 'answered' && !renewed.answer.ok && renewed.answer.code === 'FENCED_LEADER_EPOCH') return
    }
    await sim.think(dice)
  }
  if (dice.chance(0.8))
    await sim.call(
      actor,
      process,
      `release ${topic}/${partition} ${owner}`,
      (log) => log.releaseLease(topic, partition, owner, epoch),
      () => undefined,
    )
}
