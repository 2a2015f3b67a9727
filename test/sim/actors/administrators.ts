/** Those who use the log's own calls that are neither append nor fetch: rolls, trims, forgetting, topics. */
import type { Dice } from '../dice.ts'
import type { Simulation, Slot } from '../simulation.ts'
import { somePlace } from './appends.ts'

/** Rolls when it is time and when it is not: references leave the tail while their appends are still under way. */
export async function roller(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  while (sim.isActive) {
    const { topic, partition } = somePlace(sim, dice)
    for (let rolls = dice.chance(0.3) ? dice.int(2, 4) : 1; rolls > 0; rolls--)
      await sim.call(
        actor,
        sim.anyProcess(dice),
        `roll ${topic}/${partition}`,
        (log) => log.roll(topic, partition),
        () => undefined,
        dice.scattered(5, 1_000),
      )
    await sim.think(dice)
  }
}

export async function trimmer(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  while (sim.isActive) {
    const { topic, partition } = somePlace(sim, dice)
    const truth = sim.truth.named(topic, partition).at(-1)
    const end = truth?.hw ?? 0
    const start = truth?.head.start ?? 0
    const before = dice.chance(0.03) ? -1 : Math.min(end, start + dice.int(0, 6))
    const what = `deleteRecords ${topic}/${partition} before ${before}`
    sim.truth.askForDeletion(topic, partition, before)
    await sim.call(
      actor,
      sim.anyProcess(dice),
      what,
      (log) => log.deleteRecords(topic, partition, before),
      (answer) => {
        if (!answer.ok) return
        const isThere = sim.truth.named(topic, partition).some(({ head }) => answer.startOffset <= head.start)
        if (answer.startOffset < before || !isThere)
          sim.history.violate('H3', `deleteRecords ${before} answered ${answer.startOffset}`)
      },
    )
    await sim.think(dice)
    await sim.think(dice)
  }
}

export async function forgetter(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  while (sim.isActive) {
    const { topic, partition } = somePlace(sim, dice)
    const what = `forgetProducers ${topic}/${partition}`
    await sim.call(
      actor,
      sim.anyProcess(dice),
      what,
      (log) => log.forgetProducers(topic, partition),
      () => undefined,
    )
    await sim.think(dice)
  }
}

export async function topics(sim: Simulation, dice: Dice, actor: string): Promise<void> {
  const { isLong } = sim.swarm
  while (sim.isActive) {
    const { topic } = somePlace(sim, dice)
    const process = sim.anyProcess(dice)
    const act = dice.random()
    if (sim.truth.topics.get(topic)?.state !== 'live' || act < 0.1) await createTopic(sim, dice, actor, topic)
    else if (act < 0.3)
      await sim.call(
        actor,
        process,
        `deleteTopic ${topic}`,
        (log) => log.deleteTopic(topic),
        () => undefined,
      )
    else if (act < 0.5) {
      const partitions = dice.int(2, 3)
      await sim.call(
        actor,
        process,
        `addPartitions ${topic} ${partitions}`,
        (log) => log.addPartitions(topic, partitions),
        () => undefined,
      )
    } else if (act < 0.75)
      await sim.call(
        actor,
        process,
        `alterConfigs ${topic}`,
        (log) =>
          log.alterConfigs(topic, [
            { name: 'retention.ms', value: String(dice.int(1, 1_000_000) * (isLong ? 1_000 : 1)) },
          ]),
        () => undefined,
      )
    else
      await sim.call(
        actor,
        process,
        `describeTopic ${topic}`,
        (log) => log.describeTopic(topic),
        () => undefined,
      )
    for (let pauses = dice.int(1, 6); pauses > 0; pauses--) await sim.think(dice)
  }
}

export async function createTopic(sim: Simulation, dice: Dice, actor: string, name: string): Promise<boolean> {
  const { partitions, logAppendTime, placement } = sim.swarm
  const configs: Record<string, string> = {
    ...sim.swarm.configs,
    ...(logAppendTime ? { 'message.timestamp.type': 'LogAppendTime' } : {}),
    'chunk.placement': placement,
  }
  const heard = await sim.call(
    actor,
    sim.anyProcess(dice),
    `createTopic ${name}`,
    (log) => log.createTopic({ name, partitions, configs }),
    () => undefined,
  )
  return heard.kind === 'answered' && (heard.answer.ok || heard.answer.code === 'TOPIC_ALREADY_EXISTS')
}

/** Kills, starts, freezes and thaws processes, cuts the power, and makes times in which nothing happens. */
export async function chaos(sim: Simulation, dice: Dice): Promise<void> {
  const everyMs = dice.scattered(30, 1_000)
  while (sim.isActive) {
    await sim.world.sleep(dice.between(0, 2 * everyMs))
    await sim.quietOver(dice)
    const slot = dice.pick(sim.slots)
    const { process } = slot
    const act = dice.random()
    if (process === undefined) sim.start(slot)
    else if (act < 0.15) sim.kill(slot)
    else if (act < 0.55) {
      sim.freeze(process, dice.chance(0.7) ? dice.scattered(10, 2_000) : dice.scattered(...sim.swarm.freezeMs))
    } else if (act < 0.6 && sim.objects.failPower !== undefined) {
      sim.history.note('the power fails')
      for (const each of sim.slots) sim.kill(each)
      await sim.objects.failPower()
      sim.history.note('the power is back')
    } else if (act < 0.78) sim.quieten(dice.scattered(...sim.swarm.quietMs))
    else if (act < 0.82) await close(sim, slot)
    else if (act < 0.86) {
      process.skewMs = dice.between(-1, 1) * sim.swarm.skewMs
      sim.history.note(`the clock of ${process.name} jumps`)
    } else if (sim.swarm.blight !== undefined) sim.isBlighted = !sim.isBlighted
  }
}

/** Asks a process to end, waits until it says that it has, and starts another. */
async function close(sim: Simulation, slot: Slot): Promise<void> {
  const { process } = slot
  if (process === undefined) return
  sim.history.note(`${process.name} closes`)
  process.isClosing = true
  await new Promise<void>((resolve) => {
    process.onDeath(resolve)
    process.deliver(() => {
      process.log.close().then(resolve, (error: unknown) => {
        sim.history.violate('only bugs throw', `close: ${error instanceof Error ? error.stack : error}`)
        resolve()
      })
    })
  })
  // What was asked of it is answered by now, or soon: requests to the store may hang, and turns wait for each other.
  sim.world.after(3_600_000, () => {
    if (slot.process === process) sim.kill(slot)
  })
}
