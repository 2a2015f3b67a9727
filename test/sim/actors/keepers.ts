/** Those who look after groups: stop them, set their offsets, delete them, look at them; upkeep. */
import type { ResetTo } from '../../../lib/log/group-api.ts'
import type { Dice } from '../dice.ts'
import type { GroupIncarnation } from '../group-truth.ts'
import type { Simulation } from '../simulation.ts'
import { isDefinite } from '../simulation.ts'
import { somePatience, somePlace } from './appends.ts'
import { someGroup } from './members.ts'
import { someTime } from './readers.ts'

export async function keeper(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  while (sim.isActive) {
    const group = someGroup(sim, dice)
    const act = dice.random()
    if (act < 0.12) await stopped(sim, dice, actor, group)
    else if (act < 0.3) await look(sim, dice, actor, group)
    else if (act < 0.6) await committed(sim, dice, actor, group)
    else if (act < 0.7) await change(sim, dice, actor, group)
    else if (act < 0.8) await maintain(sim, dice, actor)
    for (let pauses = dice.int(1, 4); pauses > 0; pauses--) await sim.think(dice)
  }
}

/** All members are asked to leave; then, whether they did or not, something is done that needs a group without members. */
async function stopped(sim: Simulation, dice: Dice, actor: string, group: string): Promise<void> {
  sim.stopGroups()
  await sim.world.sleep(dice.scattered(sim.swarm.sessionTimeoutMs / 10, sim.swarm.sessionTimeoutMs * 6))
  for (let changes = dice.int(1, 3); changes > 0; changes--) await change(sim, dice, actor, group)
  sim.startGroups()
}

async function change(sim: Simulation, dice: Dice, actor: string, group: string): Promise<void> {
  const act = dice.random()
  if (act < 0.3) await reset(sim, dice, actor, group)
  else if (act < 0.7) await deleteGroup(sim, dice, actor, group)
  else if (act < 0.8) await commitFromOutside(sim, dice, actor, group)
  else {
    const { topic, partition } = somePlace(sim, dice)
    await sim.call(
      actor,
      sim.anyProcess(dice),
      `deleteOffsets ${group} ${topic}/${partition}`,
      (log) => log.groups.deleteOffsets(group, dice.chance(0.5) ? { topic } : [{ topic, partition }]),
      () => undefined,
      somePatience(dice),
    )
  }
}

async function reset(sim: Simulation, dice: Dice, actor: string, group: string): Promise<void> {
  const { topic } = somePlace(sim, dice)
  const to: ResetTo = dice.pick([
    { to: 'earliest' },
    { to: 'latest' },
    { to: 'offset', offset: dice.int(0, 20) },
    { to: 'shift', by: dice.int(-10, 10) },
    { to: 'current' },
    { to: 'time', timestampMs: someTime(sim, dice) },
  ] as const)
  const topics = dice.chance(0.4) ? 'all' : [{ topic }]
  await sim.call(
    actor,
    sim.anyProcess(dice),
    `reset ${group} ${topics === 'all' ? 'all' : topic} ${JSON.stringify(to)}`,
    (log) => log.groups.reset({ group, topics, to, isDryRun: dice.chance(0.1) }),
    () => undefined,
    somePatience(dice),
  )
}

export async function deleteGroup(sim: Simulation, dice: Dice, actor: string, group: string): Promise<boolean> {
  const before = sim.truth.groups.named(group)
  const heard = await sim.call(
    actor,
    sim.anyProcess(dice),
    `deleteGroup ${group}`,
    (log) => log.groups.delete(group),
    (answer) => {
      if (answer.ok && before !== undefined && before.goneMs === Number.POSITIVE_INFINITY)
        sim.history.violate('D6', `group ${group} was deleted, and is there`)
    },
    somePatience(dice),
  )
  return heard.kind === 'answered' && heard.answer.ok
}

/** Manual assignment: whoever commits without a claim wants a group that has no members. */
async function commitFromOutside(sim: Simulation, dice: Dice, actor: string, group: string): Promise<void> {
  const { topic, partition } = somePlace(sim, dice)
  const log = sim.truth.named(topic, partition).at(-1)
  if (log === undefined) return
  const offset = dice.int(0, log.hw)
  const { topicId } = log.key
  const intent = sim.truth.groups.intend({ group, topicId, partition, offset, isLower: true })
  await sim.call(
    actor,
    sim.anyProcess(dice),
    `commit ${group} ${topic}/${partition}@${offset} from outside c${intent.id}`,
    (log) => log.groups.commit(group, [{ topic, partition, topicId, offset, metadata: `c${intent.id}` }]),
    (answer) => {
      const one = answer.ok ? answer.offsets[0]! : answer
      intent.told = one.ok ? 'committed' : isDefinite(one.code) ? 'definite' : 'possible'
      if (one.ok && !intent.applied)
        sim.history.violate('O1', `commit ${intent.id} was acknowledged, and does not count`)
      if (intent.told === 'definite' && intent.applied)
        sim.history.violate('errors.ts', `commit ${intent.id} counts, and was refused for good`)
    },
    somePatience(dice),
  )
}

/** Incarnations that a call which began then may have meant. */
function meant(sim: Simulation, group: string, sinceMs: number): GroupIncarnation[] {
  return [...sim.truth.groups.incarnations.values()].filter(({ name, goneMs }) => name === group && goneMs >= sinceMs)
}

async function committed(sim: Simulation, dice: Dice, actor: string, group: string): Promise<void> {
  const sinceMs = sim.world.nowMs
  const place = dice.chance(0.4) ? [somePlace(sim, dice)] : undefined
  const what = `committed ${group}`
  await sim.call(
    actor,
    sim.anyProcess(dice),
    what,
    (log) => log.groups.committed(group, place),
    (answer) => {
      if (!answer.ok) return
      for (const { topic, topicId, partition, offset, metadata } of answer.offsets) {
        const isTrue = meant(sim, group, sinceMs).some((incarnation) =>
          sim.truth.groups.stood(
            incarnation,
            topicId,
            partition,
            sinceMs,
            (value) => value?.offset === offset && (value.metadata ?? '') === metadata,
          ),
        )
        if (!isTrue || sim.truth.names.get(topicId) !== topic)
          sim.history.violate('D6', `${what}: ${topic}/${partition} at ${offset}, which did not stand then`)
      }
    },
    somePatience(dice),
  )
}

async function look(sim: Simulation, dice: Dice, actor: string, group: string): Promise<void> {
  const sinceMs = sim.world.nowMs
  const process = sim.anyProcess(dice)
  const kind = dice.pick(['describe', 'lags', 'list'] as const)
  const what = `${kind} ${group}`
  if (kind === 'describe')
    await sim.call(
      actor,
      process,
      what,
      (log) => log.groups.describe(group),
      (answer) => {
        if (!answer.ok) return
        const { groupId, epoch, state, memberList } = answer.group
        const then = sim.truth.groups.incarnations.get(groupId)?.epochs.get(epoch)
        if (then === undefined || then.members.size !== memberList.length)
          sim.history.violate('G3', `${what}: ${groupId} in epoch ${epoch} ${state} with ${memberList.length} members`)
      },
      somePatience(dice),
    )
  else if (kind === 'lags')
    await sim.call(
      actor,
      process,
      what,
      (log) => log.groups.lags(group),
      (answer) => {
        if (!answer.ok) return
        for (const { topic, topicId, partition, currentOffset, startOffset, endOffset, lag } of answer.lags) {
          const there = sim.truth.partition(topicId, partition)
          const isTrue = meant(sim, group, sinceMs).some((incarnation) =>
            sim.truth.groups.stood(
              incarnation,
              topicId,
              partition,
              sinceMs,
              (value) => value?.offset === currentOffset,
            ),
          )
          const left = Math.max(0, endOffset - Math.max(startOffset, currentOffset ?? startOffset))
          if (!isTrue || there === undefined || endOffset > there.hw || startOffset > there.head.start || lag !== left)
            sim.history.violate(
              'group-api.ts',
              `${what}: ${topic}/${partition} ${startOffset} ${currentOffset} ${endOffset} ${lag}`,
            )
        }
      },
      somePatience(dice),
    )
  else
    await sim.call(
      actor,
      process,
      what,
      (log) => log.groups.list(),
      (answer) => {
        if (!answer.ok) return
        for (const { groupId, epoch } of answer.groups)
          if (sim.truth.groups.incarnations.get(groupId)?.epochs.has(epoch) !== true)
            sim.history.violate('G3', `${what}: ${groupId} in epoch ${epoch}, which never was`)
      },
      somePatience(dice),
    )
}

async function maintain(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  await sim.call(
    actor,
    sim.anyProcess(dice),
    'maintain',
    (log) => log.maintain(),
    () => undefined,
    somePatience(dice),
  )
}
