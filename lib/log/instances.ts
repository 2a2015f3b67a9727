/**
 * Consumer instances of the v2 face: made, found again by any process, and removed when nobody has used them for too long. What
 * one does is in instance.ts.
 */
import type { Refusal } from '../core/errors.ts'
import { refusal } from '../core/errors.ts'
import { parseGroupName } from '../core/names.ts'
import type { Engine } from './engine.ts'
import { OpenInstance } from './instance.ts'
import type { Instance, Instances, NewInstance } from './instance-api.ts'
import { type InstanceLog, InstanceSession } from './instance-session.ts'
import { InstanceStore, tooMany, unknownInstance } from './instance-store.ts'
import { InstanceUpkeep } from './instance-upkeep.ts'
import type { Answer } from './log.ts'

const createAttemptsMax = 5
/** Printable ASCII: it is a part of URLs, and what the group's description shows. */
const namePattern = /^[\x20-\x7e]{1,255}$/

export class LogInstances implements Instances {
  readonly #engine: Engine
  readonly #log: InstanceLog
  readonly #store: InstanceStore
  readonly #upkeep: InstanceUpkeep

  constructor(engine: Engine, log: InstanceLog) {
    this.#engine = engine
    this.#log = log
    this.#store = new InstanceStore(engine.context)
    this.#upkeep = new InstanceUpkeep(this.#store, (group, member) => log.groups.leave(group, member))
  }

  create(request: NewInstance): Promise<Answer<{ readonly instance: string }>> {
    return this.#engine.answer(() => this.#create(request))
  }

  open(group: string, instance: string, principal?: string): Promise<Answer<{ readonly instance: Instance }>> {
    return this.#engine.answer(() => this.#open(group, instance, principal), 'unseen')
  }

  async #create(request: NewInstance): Promise<Answer<{ instance: string }>> {
    const { clock, settings } = this.#engine.context
    const group = parseGroupName(request.group)
    if (!group.ok) return refusal('INVALID_GROUP_ID', group.message)
    const { name = `rest-consumer-${this.#engine.context.newVersion()}`, principal, config } = request
    if (!namePattern.test(name))
      return refusal('INVALID_CONSUMER_CONFIG', 'The name of an instance has 1 to 255 printable ASCII characters.')
    const { sessionTimeoutMs } = config
    const { sessionTimeoutMsMin, sessionTimeoutMsMax } = settings
    if (
      sessionTimeoutMs !== undefined &&
      !(sessionTimeoutMs >= sessionTimeoutMsMin && sessionTimeoutMs <= sessionTimeoutMsMax)
    )
      return refusal(
        'INVALID_CONSUMER_CONFIG',
        `The session timeout is ${sessionTimeoutMsMin} to ${sessionTimeoutMsMax} ms, not ${sessionTimeoutMs}.`,
      )
    for (let attempt = 1; attempt <= createAttemptsMax; attempt++) {
      const nowMs = clock.now()
      const used = { createdMs: nowMs, lastUsedMs: nowMs }
      const owned = principal === undefined ? {} : { principal }
      const state = { config, ...owned, ...used, isManual: false, holding: [] }
      const created = await this.#store.create(group.name, name, state)
      if (created === 'created') return { ok: true, instance: name }
      if (created === 'exists') {
        const present = await this.#store.read(group.name, name)
        if (present !== undefined && !(await this.#upkeep.removeIfExpired(present)))
          return refusal('CONSUMER_ALREADY_EXISTS', `Group '${group.name}' has an instance '${name}' already.`)
      } else if (created === 'full') {
        if ((await this.#upkeep.removeExpiredOf(group.name)).removed === 0)
          return refusal(
            'GROUP_LIMIT_REACHED',
            `Group '${group.name}' has ${settings.consumerInstancesMax} instances, which is as many as it may have (consumerInstancesMax).`,
          )
      } else return created
    }
    return tooMany(name)
  }

  async #open(
    group: string,
    id: string,
    principal: string | undefined,
  ): Promise<{ ok: true; instance: Instance } | Refusal> {
    const name = parseGroupName(group)
    if (!name.ok || !namePattern.test(id)) return unknownInstance(group, id)
    const stored = await this.#store.read(name.name, id)
    if (stored === undefined) return unknownInstance(group, id)
    const { principal: owner } = stored.state
    // Not even that it is there is shown to another.
    if (owner !== undefined && owner !== principal) return unknownInstance(group, id)
    if (await this.#upkeep.removeIfExpired(stored)) return unknownInstance(group, id)
    return { ok: true, instance: new OpenInstance(new InstanceSession(this.#engine, this.#log, this.#store, stored)) }
  }
}
