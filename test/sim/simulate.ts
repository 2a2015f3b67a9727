/**
 * One history from one seed: a world as its swarm says, actors until their calls are used up, then no more faults, and
 * everything that was ever acknowledged must be there for a process that has just come (liveness and D2).
 */
import type { FaultKind } from '../../lib/adapters/faulty.ts'
import type { Codecs } from '../../lib/core/codec.ts'
import type { decideHead } from '../../lib/core/head.ts'
import type { LogRules } from '../../lib/log/context.ts'
import type { Answer, Log } from '../../lib/log/log.ts'
import { chaos, createTopic, forgetter, roller, topics, trimmer } from './actors/administrators.ts'
import { append } from './actors/appends.ts'
import { idempotent, sleeper } from './actors/idempotent.ts'
import { keeper } from './actors/keepers.ts'
import { leader } from './actors/leaders.ts'
import { compactor, dozer, fencer, merger, sweeper, upkeeper } from './actors/maintenance.ts'
import { member, sleepwalker } from './actors/members.ts'
import { appender, conditional, keyed, producer } from './actors/producers.ts'
import { fetch, reader, seek, seeker, someTime } from './actors/readers.ts'
import { verify } from './actors/verifiers.ts'
import { Dice } from './dice.ts'
import { auditGroupNames, settleGroups } from './group-audit.ts'
import type { History } from './history.ts'
import type { Slot } from './simulation.ts'
import { Simulation, startMs } from './simulation.ts'
import type { ChangeWrites, WrapPorts } from './stores.ts'
import { diskObjects, memoryObjects, watchedMetadata, watchedObjects } from './stores.ts'
import type { ActorKind, Swarm, WorldKind } from './swarm.ts'
import { groupSwarmOf, swarmOf } from './swarm.ts'

/** A fault built in on purpose, to see it found. */
export interface Mutation {
  /** Where it shows. @default 'log' */
  readonly kind?: WorldKind
  readonly decide?: typeof decideHead
  readonly rules?: Partial<LogRules>
  readonly drops?: 'syncFile' | 'syncDirectory'
  /** What a process sees of the stores. */
  readonly wrapPorts?: WrapPorts
  readonly changeWrites?: ChangeWrites
}

export interface SimulateOptions {
  readonly codecs: Codecs
  /** @default that of the mutation, or 'log' */
  readonly kind?: WorldKind
  readonly mutation?: Mutation
  /** Actors, faults, `disk` that are left out. */
  readonly without?: ReadonlySet<string>
  readonly effort?: number
}

export interface Outcome {
  readonly seed: number
  readonly violation: string | undefined
  readonly lines: readonly string[]
  readonly hash: () => string
  readonly events: number
  readonly calls: number
  readonly commits: number
  readonly records: number
  readonly faults: ReadonlyMap<FaultKind, number>
  readonly swarm: Swarm
  readonly days: number
}

type Actor = (sim: Simulation, dice: Dice, name: string) => Promise<void>
const actors: { readonly [Kind in ActorKind]: Actor } = {
  appender,
  producer,
  idempotent,
  sleeper,
  keyed,
  conditional,
  leader,
  reader,
  seeker,
  roller,
  trimmer,
  forgetter,
  merger,
  sweeper,
  fencer,
  upkeeper,
  compactor,
  dozer,
  topics,
  chaos,
  member,
  keeper,
  sleepwalker,
}

const eventsMax = 500_000

export async function simulate(seed: number, options: SimulateOptions): Promise<Outcome> {
  const { codecs, mutation = {}, without, effort } = options
  const { kind = mutation.kind ?? 'log' } = options
  const swarm = (kind === 'log' ? swarmOf : groupSwarmOf)(new Dice(seed).derive('swarm'), without, effort)
  const { decide, rules = {}, wrapPorts } = mutation
  const sim = new Simulation(seed, swarm, codecs, rules, wrapPorts)
  const { world, history, truth } = sim
  truth.groups.skewMs = swarm.skewMs
  truth.skewMs = swarm.skewMs
  truth.keyLifeMs = (swarm.settings.producerIdExpirationMs ?? 0) - 2 * swarm.skewMs
  const phases = [() => begin(sim, mutation, decide), () => act(sim), () => audit(sim)]
  try {
    for (const phase of phases) {
      let isOver = false
      phase().then(
        () => {
          isOver = true
        },
        (error: unknown) => history.violate('simulation', error instanceof Error ? `${error.stack}` : String(error)),
      )
      const isDone = await world.run(() => isOver || history.violation !== undefined, eventsMax)
      if (history.violation !== undefined) break
      if (!isDone) history.violate('liveness', `nothing moves any more; open: ${openCalls(sim)}`)
    }
  } catch (error) {
    history.violate('liveness', `${error instanceof Error ? error.message : error}; open: ${openCalls(sim)}`)
  }
  await noRejections(history)
  return {
    seed,
    violation: history.violation,
    lines: history.lines,
    hash: () => history.hash(),
    events: world.eventsRun,
    calls: sim.callsMade,
    commits: [...truth.partitions.values()].reduce((sum, { commits }) => sum + commits.length, 0),
    records: [...truth.partitions.values()].reduce((sum, { records }) => sum + records.length - swarm.firstOffset, 0),
    faults: sim.faults,
    swarm,
    days: (world.nowMs - startMs) / 86_400_000,
  }
}

/** Promises that failed and that nobody has waited for since: in a server they are its end. */
async function noRejections(history: History): Promise<void> {
  const note = (error: unknown) =>
    history.violate('only bugs throw', `nobody waited for ${error instanceof Error ? error.stack : error}`)
  process.on('unhandledRejection', note)
  await new Promise((resolve) => setImmediate(resolve))
  process.off('unhandledRejection', note)
}

function openCalls(sim: Simulation): string {
  return [...sim.open].map(([id, { what, process }]) => `${id} ${process.name} ${what}`).join('; ')
}

/** Stores, processes and topics, without faults. */
async function begin(sim: Simulation, mutation: Mutation, decide: typeof decideHead | undefined): Promise<void> {
  const { swarm, dice, world, truth } = sim
  const again = dice.derive('again')
  sim.areFaultsOn = false
  const watched = watchedMetadata(truth, world, {
    decide,
    changeWrites: mutation.changeWrites,
    firstOffset: swarm.firstOffset,
    rowsAgain: () =>
      sim.areFaultsOn && again.chance(swarm.rowsAgain)
        ? { afterMs: again.scattered(100, swarm.lateMs[1]), all: again.chance(0.5) }
        : undefined,
  })
  sim.metadata = watched.metadata
  sim.rollsAgain = watched.rollsAgain
  const objects =
    swarm.objects === 'disk'
      ? await diskObjects(world, dice.derive('disk'), swarm.diskFaults, mutation.drops)
      : memoryObjects()
  sim.objects = watchedObjects(truth, objects)
  for (let index = 0; index < swarm.processes; index++) {
    const skewMs = dice.derive(`skew ${index}`).between(-swarm.skewMs, swarm.skewMs)
    const slot: Slot = { name: `p${index}`, skewMs, process: undefined, starts: 0 }
    sim.slots.push(slot)
    sim.start(slot)
  }
  for (let index = 0; index < swarm.topics; index++)
    if (!(await createTopic(sim, dice, 'begin', `t${index}`))) throw new Error('a world without its topics')
  sim.spent = 0
}

async function act(sim: Simulation): Promise<void> {
  sim.areFaultsOn = true
  const running: Promise<void>[] = []
  for (const [kind, count] of Object.entries(sim.swarm.actors) as [ActorKind, number][])
    for (let index = 0; index < count; index++) {
      const name = `${kind}${index}`
      running.push(actors[kind](sim, sim.dice.derive(name), name))
    }
  await Promise.all(running)
}

/** After the last fault: what was late has arrived, every call is answered, and a new process finds everything. */
async function audit(sim: Simulation): Promise<void> {
  const { history, truth, world } = sim
  sim.areFaultsOn = false
  history.note('no more faults')
  for (const slot of sim.slots) {
    slot.process?.thaw()
    if (slot.process === undefined) sim.start(slot)
  }
  if (sim.swarm.kind === 'groups') await settleGroups(sim)
  const { lateMs, hangMs, freezeMs } = sim.swarm
  // Of two that follow each other, and their retries.
  await world.sleep(4 * Math.max(lateMs[1], hangMs[1], freezeMs[1], 10_800_000))
  if (sim.open.size > 0) return unanswered(sim)
  // A directory that could not be synced takes nothing until the objects are opened again.
  sim.objects.repair?.()
  if (sim.swarm.diskFaults > 0) await sim.objects.failPower?.()
  for (const intent of truth.intents)
    if (intent.kind === 'key' && intent.definiteCalls === intent.calls && intent.commits.length > 0)
      history.violate('errors.ts', `append ${intent.id} was refused for good, each time, and is in the log`)
  const slot: Slot = { name: 'auditor', skewMs: 0, process: undefined, starts: 0 }
  sim.slots.splice(0, sim.slots.length, slot)
  sim.start(slot)
  const dice = sim.dice.derive('audit')
  if (sim.swarm.kind === 'groups') await auditGroupNames(sim)
  for (let index = 0; index < sim.swarm.topics; index++) {
    const name = `t${index}`
    if (truth.topics.get(name)?.state === 'live') await auditTopic(sim, dice, name)
    if (sim.swarm.actors.topics === 0) continue
    // The name can be freed and used again, whatever became of earlier topics of that name.
    if (truth.topics.has(name)) await must(sim, `deleteTopic ${name}`, (log) => log.deleteTopic(name))
    await must(sim, `createTopic ${name}`, (log) => log.createTopic({ name, partitions: 1 }))
    await auditTopic(sim, dice, name)
  }
}

function unanswered(sim: Simulation): void {
  sim.history.violate('liveness', `calls without an answer: ${openCalls(sim)}`)
}

async function auditTopic(sim: Simulation, dice: Dice, topic: string): Promise<void> {
  const { truth, world, history } = sim
  const partitions = truth.topics.get(topic)?.partitions ?? 0
  for (let partition = 0; partition < partitions; partition++) {
    const there = truth.named(topic, partition).find(({ key }) => key.topicId === truth.topics.get(topic)?.id)
    if (there === undefined) {
      history.violate('D6', `topic ${topic} has no head of partition ${partition}`)
      return
    }
    const { lease } = there.head
    if (lease?.isExclusive === true) {
      await world.sleep(lease.untilMs - world.nowMs)
      await must(sim, `acquire ${topic}/${partition}`, (log) => log.acquireLease(topic, partition, 'auditor'))
    }
    for (let appends = 0; appends < 2; appends++) {
      const intent = truth.intend({ kind: 'plain', topic, count: 1 })
      const process = sim.slots[0]?.process
      const heard = await append(sim, { actor: 'auditor', process, intent, partition, times: [world.nowMs | 0] })
      if (heard.kind === 'lost' || !heard.answer.ok)
        history.violate('liveness', `nothing can be appended to ${topic}/${partition}`)
    }
    let offset = there.head.start
    while (offset < there.hw && history.violation === undefined) {
      const process = sim.slots[0]?.process
      const heard = await fetch(sim, { actor: 'auditor', process, topic, partition, offset, bytesMax: 100_000 })
      if (heard.kind === 'lost' || !heard.answer.ok || heard.answer.nextOffset <= offset) {
        history.violate('D2', `the records of ${topic}/${partition} from ${offset} on cannot be read`)
        return
      }
      offset = heard.answer.nextOffset
    }
    for (let reads = 0; reads < 3; reads++) {
      const process = sim.slots[0]?.process
      const from = dice.int(there.head.start, there.hw - 1)
      await fetch(sim, { actor: 'auditor', process, topic, partition, offset: from, bytesMax: 1 })
      await seek(sim, 'auditor', process, topic, partition, someTime(sim, dice))
    }
    await verify(sim, 'auditor', sim.slots[0]?.process, topic, partition)
  }
}

async function must<Value>(sim: Simulation, what: string, work: (log: Log) => Promise<Answer<Value>>): Promise<void> {
  const heard = await sim.call('auditor', sim.slots[0]?.process, what, work, () => undefined)
  if (heard.kind === 'lost') sim.history.violate('liveness', `${what} was not answered`)
  else if (!heard.answer.ok) sim.history.violate('liveness', `${what}: ${heard.answer.message}`)
}
