/** After the last fault: within a bounded time every partition has an owner and every record was delivered, in every group. */
import { stateOf } from '../../lib/core/group.ts'
import { hasPartition } from '../../lib/core/partition-set.ts'
import { carefulMember } from './actors/members.ts'
import type { Simulation } from './simulation.ts'

const carefulMembers = 3

/** Members that do nothing wrong come to what the others left behind: members that are gone, half a rebalance, late requests. */
export async function settleGroups(sim: Simulation): Promise<void> {
  for (const slot of sim.slots) {
    // A read that hangs is shared by all who want the same, for up to an hour.
    if (slot.process?.isClosing !== false || sim.swarm.rates.hang !== undefined) {
      sim.kill(slot)
      sim.start(slot)
    }
    slot.process!.skewMs = 0
  }
  const { sessionTimeoutMs, settings, skewMs } = sim.swarm
  // Who is gone is seen to be after its session, who does not let go after five; and a clock may have been ahead.
  const withinMs = 12 * sessionTimeoutMs + 2 * (settings.topicAgeMsMax ?? 0) + 2 * skewMs + 60_000
  await readAll(sim, 'final', withinMs)
}

/** What was late has arrived. Groups can be deleted, and their names used again: the new one knows nothing of the old one. */
export async function auditGroupNames(sim: Simulation): Promise<void> {
  const { history, truth } = sim
  const before = new Set(truth.groups.incarnations.keys())
  for (let index = 0; index < sim.swarm.groups; index++) {
    const group = `g${index}`
    if (truth.groups.named(group) === undefined) continue
    const heard = await sim.call(
      'auditor',
      sim.slots[0]?.process,
      `deleteGroup ${group}`,
      (log) => log.groups.delete(group),
      () => undefined,
    )
    if (heard.kind === 'lost' || !heard.answer.ok) history.violate('liveness', `group ${group} cannot be deleted`)
  }
  if (history.violation !== undefined) return
  await readAll(sim, 'again', 60_000 + 12 * sim.swarm.sessionTimeoutMs)
  for (let index = 0; index < sim.swarm.groups; index++)
    if (before.has(truth.groups.named(`g${index}`)!.id))
      history.violate('D6', `group g${index} is the one that was deleted`)
}

async function readAll(sim: Simulation, name: string, withinMs: number): Promise<void> {
  const { history, world } = sim
  const topics = Array.from({ length: sim.swarm.topics }, (_, index) => `t${index}`)
  let isOver = false
  const members: Promise<void>[] = []
  for (let index = 0; index < sim.swarm.groups; index++)
    for (let count = 0; count < carefulMembers; count++)
      members.push(
        carefulMember(
          sim,
          sim.dice.derive(`${name} ${index} ${count}`),
          {
            group: `g${index}`,
            memberId: `${name}${index}.${count}`,
            subscription: { kind: 'topics', topics },
            sessionTimeoutMs: sim.swarm.sessionTimeoutMs,
          },
          () => !isOver && history.violation === undefined,
        ),
      )
  const untilMs = world.nowMs + withinMs
  let left = 'nobody has looked'
  while (world.nowMs < untilMs && history.violation === undefined) {
    await world.sleep(Math.min(sim.swarm.sessionTimeoutMs, 1_000))
    left = whatIsLeft(sim)
    if (left === '') break
  }
  if (left !== '') history.violate('liveness', `${withinMs} ms after the last fault: ${left}`)
  isOver = true
  await Promise.all(members)
}

/** What keeps the groups from being at rest with everything read; empty where nothing does. */
function whatIsLeft(sim: Simulation): string {
  const { truth } = sim
  for (let index = 0; index < sim.swarm.groups; index++) {
    const incarnation = truth.groups.named(`g${index}`)
    if (incarnation === undefined) return `group g${index} is not there`
    const { group } = incarnation
    if (stateOf(group) !== 'Stable') return `group g${index} is ${stateOf(group)}`
    for (const topic of truth.topics.values()) {
      if (topic.state !== 'live') continue
      for (let partition = 0; partition < topic.partitions; partition++) {
        const at = `g${index} ${topic.name}/${partition}`
        const owner = [...group.members].find(([, { owned }]) => hasPartition(owned, topic.id, partition))
        if (owner === undefined) return `${at} is owned by nobody`
        if (truth.groups.views.get(owner[0])?.holding.has(`${topic.id}/${partition}`) !== true)
          return `${at} is owned by ${owner[0]}, which does not read it`
        const missing = truth.groups.firstMissing(incarnation, topic.id, partition)
        const hw = truth.partition(topic.id, partition)?.hw ?? 0
        if (missing < hw) return `${at}: ${missing} of ${hw} was delivered to nobody`
      }
    }
  }
  return ''
}
