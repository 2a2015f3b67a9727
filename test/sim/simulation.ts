/**
 * One world under way: its processes, how actors call them, and what must be true of every answer at the moment it is given.
 * What the stores know is in truth.ts; here is what clients are told.
 */
import type { FaultKind, FaultRates } from '../../lib/adapters/faulty.ts'
import { faultyMetadata, faultyObjects } from '../../lib/adapters/faulty.ts'
import type { Codecs } from '../../lib/core/codec.ts'
import type { ErrorCode } from '../../lib/core/errors.ts'
import { errorCatalogue } from '../../lib/core/errors.ts'
import type { LogRules } from '../../lib/log/context.ts'
import type { Answer, Log } from '../../lib/log/log.ts'
import type { Metadata } from '../../lib/ports.ts'
import { Dice } from './dice.ts'
import { History } from './history.ts'
import { Process } from './process.ts'
import type { SharedObjects, WrapPorts } from './stores.ts'
import type { Swarm } from './swarm.ts'
import { Truth } from './truth.ts'
import { World } from './world.ts'

/** What a client knows of a call: its answer, or that it will get none. */
export type Heard<Value> = { readonly kind: 'answered'; readonly answer: Answer<Value> } | { readonly kind: 'lost' }

/** A machine with room for one process, which may die and be started again. */
export interface Slot {
  readonly name: string
  readonly skewMs: number
  process: Process | undefined
  starts: number
}

interface Doze {
  readonly call: string
  readonly durationMs: number
  readonly waking: (() => void) | undefined
}

export const startMs = 1_750_000_000_000

export class Simulation {
  readonly swarm: Swarm
  readonly dice: Dice
  readonly world = new World(startMs)
  readonly history = new History(this.world)
  readonly truth: Truth
  readonly slots: Slot[] = []
  readonly faults = new Map<FaultKind, number>()
  readonly codecs: Codecs
  /** Calls that no process has answered yet. */
  readonly open = new Map<number, { readonly what: string; readonly process: Process }>()
  metadata!: Metadata
  /** Every put of a row that was on the condition that there is none arrives once more, in this collection. */
  rollsAgain!: (collection: string) => void
  objects!: SharedObjects
  areFaultsOn = true
  /** Do the calls fail that mostly fail at times? */
  isBlighted = false
  /** Of the swarm's `effort`: an append is 1, anything else less. */
  spent = 0
  #quietUntilMs = 0
  #nextCall = 0
  #stops = 0
  /** Somebody who merges is asleep, and others leave the rows as they are. */
  mergersAsleep = 0
  readonly #dozes = new Map<Process, Doze>()
  readonly #rules: Partial<LogRules>
  /** A mutation. */
  readonly #wrapPorts: WrapPorts

  constructor(
    seed: number,
    swarm: Swarm,
    codecs: Codecs,
    rules: Partial<LogRules>,
    wrapPorts: WrapPorts = (ports) => ports,
  ) {
    this.swarm = swarm
    this.dice = new Dice(seed)
    this.codecs = codecs
    this.truth = new Truth(this.history, codecs)
    this.#rules = rules
    this.#wrapPorts = wrapPorts
  }

  get callsMade(): number {
    return this.#nextCall
  }

  /** Do actors go on? */
  get isActive(): boolean {
    return this.spent < this.swarm.effort && this.history.violation === undefined
  }

  // --- Processes ------------------------------------------------------------------------------------------------------

  start(slot: Slot): Process {
    const name = `${slot.name}#${slot.starts++}`
    const dice = this.dice.derive(name)
    const faultDice = dice.derive('faults')
    const options = {
      rates: (call: string): FaultRates => {
        const { rates, blight } = this.swarm
        if (!this.areFaultsOn) return {}
        return this.isBlighted && blight !== undefined && call.startsWith(blight.call) ? blight.rates : rates
      },
      sleep: (durationMs: number) => this.world.sleep(durationMs),
      random: faultDice.random,
      latencyMs: this.swarm.latencyMs,
      lateMs: this.swarm.lateMs,
      hangMs: this.swarm.hangMs,
      timeoutMs: [20, 30_000] as const,
      onFault: (kind: FaultKind, call: string) => {
        this.faults.set(kind, (this.faults.get(kind) ?? 0) + 1)
        this.history.note(`${name} ! ${kind} ${call}`)
      },
    }
    const { lull } = this.swarm
    const onAnswer = (process: Process, call: string) => {
      const doze = this.#dozes.get(process)
      if (doze?.call === call) {
        this.#dozes.delete(process)
        this.history.note(`${name} dozes off after ${call}`)
        this.freeze(process, doze.durationMs, doze.waking)
      }
      if (!this.isActive || call !== lull?.call || !faultDice.chance(lull.chance)) return
      this.history.note(`${name} stops after ${call}`)
      this.freeze(process, faultDice.scattered(...this.swarm.freezeMs))
    }
    slot.process = new Process({
      name,
      world: this.world,
      ...this.#wrapPorts(
        { objects: faultyObjects(this.objects, options), metadata: faultyMetadata(this.metadata, options) },
        this.world,
      ),
      codecs: this.codecs,
      dice,
      skewMs: slot.skewMs,
      settings: this.swarm.settings,
      rules: this.#rules,
      onAnswer,
    })
    this.history.note(`${name} starts`)
    return slot.process
  }

  freeze(process: Process, durationMs: number, waking?: () => void): void {
    this.history.note(`${process.name} freezes`)
    process.freeze()
    this.world.after(durationMs, () => {
      waking?.()
      if (process.state === 'frozen') this.history.note(`${process.name} thaws`)
      process.thaw()
    })
  }

  /** The process freezes when such a call of it is answered next. */
  dozeAfter(process: Process, call: string, durationMs: number, waking?: () => void): void {
    this.#dozes.set(process, { call, durationMs, waking })
  }

  kill(slot: Slot): void {
    if (slot.process === undefined) return
    this.history.note(`${slot.process.name} dies`)
    slot.process.die()
    for (const [id, call] of this.open) if (call.process === slot.process) this.open.delete(id)
    slot.process = undefined
  }

  anyProcess(dice: Dice): Process | undefined {
    return dice.pick(this.slots).process
  }

  // --- Groups ---------------------------------------------------------------------------------------------------------

  /** Are members asked to leave, and to stay away? */
  get areGroupsStopped(): boolean {
    return this.#stops > 0 && this.isActive
  }

  stopGroups(): void {
    this.#stops++
  }

  startGroups(): void {
    this.#stops--
  }

  async groupsStarted(): Promise<void> {
    while (this.areGroupsStopped) await this.world.sleep(this.swarm.sessionTimeoutMs / 4)
  }

  // --- Actors ---------------------------------------------------------------------------------------------------------

  /** The time between two things that an actor does; mostly short, at times as long as a request may be late. */
  async think(dice: Dice): Promise<void> {
    const kind = dice.random()
    await this.world.sleep(
      kind < 0.7 ? dice.between(0, 20) : kind < 0.95 ? dice.between(20, 500) : dice.scattered(500, 60_000),
    )
    await this.quietOver(dice)
  }

  /** Waits, nearly always, until the quiet is over. */
  async quietOver(dice: Dice): Promise<void> {
    while (this.#quietUntilMs > this.world.nowMs && dice.chance(0.95))
      await this.world.sleep(this.#quietUntilMs - this.world.nowMs + dice.between(0, 50))
  }

  /** Nearly nobody does anything for a while. */
  quieten(durationMs: number): void {
    this.#quietUntilMs = Math.max(this.#quietUntilMs, this.world.nowMs + durationMs)
    this.history.note(`quiet for ${(durationMs / 1000).toFixed(1)} s`)
  }

  /**
   * One call of one process by one actor. `told` sees the answer when the process gives it, whether or not anybody still
   * listens; the actor hears it unless the process died or the actor's patience ended before.
   */
  async call<Value>(
    actor: string,
    process: Process | undefined,
    what: string,
    work: (log: Log) => Promise<Answer<Value>>,
    told: (answer: Answer<Value>) => void,
    patienceMs = Number.POSITIVE_INFINITY,
  ): Promise<Heard<Value>> {
    if (process === undefined || process.state === 'dead') return { kind: 'lost' }
    const id = this.#nextCall++
    this.spent += what.startsWith('append') || what.startsWith('produce') ? 1 : 0.2
    this.history.note(`${actor} ${process.name} ${id}> ${what}`)
    this.open.set(id, { what, process })
    return new Promise<Heard<Value>>((resolve) => {
      const lost = () => resolve({ kind: 'lost' })
      const alive = process.onDeath(lost)
      const end = (answer: Answer<Value>) => {
        alive()
        this.open.delete(id)
        resolve({ kind: 'answered', answer })
      }
      process.deliver(() => {
        work(process.log).then(
          (answer) => {
            this.history.note(`${actor} ${process.name} ${id}< ${describeAnswer(answer)}`)
            this.#checkRefusal(what, answer)
            told(answer)
            end(answer)
          },
          (error: unknown) => {
            const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
            this.history.violate('only bugs throw', `${what}: ${text}`)
            lost()
          },
        )
      })
      if (patienceMs < Number.POSITIVE_INFINITY) this.world.after(patienceMs, lost)
    })
  }

  /** Codes that no call may ever be answered with, whatever the world does. */
  #checkRefusal(what: string, answer: Answer<unknown>): void {
    if (answer.ok) return
    const { topics } = this.swarm.actors
    const isStrange =
      answer.code === 'INTERNAL' ||
      (topics === 0 && (answer.code === 'UNKNOWN_TOPIC' || answer.code === 'UNKNOWN_PARTITION')) ||
      answer.code === 'INVALID_REQUEST' ||
      answer.code === 'CORRUPT_MESSAGE' ||
      answer.code === 'INVALID_RECORD'
    if (isStrange) this.history.violate('D7', `${what} was answered ${answer.code}: ${answer.message}`)
  }
}

export function isDefinite(code: ErrorCode): boolean {
  return errorCatalogue[code].effects === 'none'
}

export function isRetriable(code: ErrorCode): boolean {
  return errorCatalogue[code].retriable
}

function describeAnswer(answer: Answer<object>): string {
  if (!answer.ok) return `${answer.code} ${answer.message}`
  const { ok: _, topicId: _id, ...rest } = answer as { ok: true; topicId?: unknown } & Record<string, unknown>
  if (Array.isArray(rest.batches)) rest.batches = rest.batches.length
  if (Array.isArray(rest.partitions))
    rest.partitions = rest.partitions.map((one: Record<string, unknown>) => ({
      ...one,
      ...(Array.isArray(one.batches) ? { batches: one.batches.length } : {}),
    }))
  if (typeof rest.topic === 'object') rest.topic = (rest.topic as { id: string }).id.slice(0, 4)
  return `ok ${JSON.stringify(rest)}`
}
