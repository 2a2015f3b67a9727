/** A log in memory with a clock that passes when it is told to, and consumers that reach it over a network of their own each. */
import assert from 'node:assert/strict'
import { type Consumer, type ConsumerOptions, Highwater, text } from '../../lib/client/highwater.ts'
import type { Settings } from '../../lib/core/settings.ts'
import type { Clock } from '../../lib/ports.ts'
import { createHarness } from '../http/harness.ts'
import { ManualTiming, Network, randomOf, settled, type Weather } from './network.ts'

/** Longest that anything in a test may take, of the test's time. */
const patienceMs = 1_200_000

export interface Member {
  readonly name: string
  readonly highwater: Highwater
  readonly network: Network
  readonly consumer: Consumer
  /** What its callbacks were told, e.g. `a assigned 0,1`. */
  readonly told: string[]
  /** Nothing comes through any more, either way. */
  cut(): void
  mend(): void
  /** Awaited before each request is sent. */
  before: (path: string) => Promise<void> | void
  /** Told of each offset whose commit was answered. */
  onCommitted: (topic: string, partition: number, offset: number) => void
}

export async function groupWorld(
  topics: Readonly<Record<string, number>> = { t: 4 },
  settings: Partial<Settings> = {},
) {
  const timing = new ManualTiming()
  const clock: Clock = {
    now: () => timing.now(),
    sleep: (durationMs, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve()
        const finish = () => {
          clear()
          signal?.removeEventListener('abort', finish)
          resolve()
        }
        const clear = timing.timer(durationMs, finish)
        signal?.addEventListener('abort', finish)
      }),
  }
  const harness = createHarness({
    settings: { topicAgeMsMax: 0, ...settings },
    ports: { clock, random: randomOf(7) },
    app: { now: () => timing.now() },
  })
  for (const [name, partitions] of Object.entries(topics))
    assert.ok((await harness.log.createTopic({ name, partitions })).ok)

  /** Lets time pass until the promise is settled. */
  async function elapse<Value>(promise: Promise<Value>, stepMs = 50): Promise<Value> {
    let isOver = false
    const over = () => {
      isOver = true
    }
    promise.then(over, over)
    const untilMs = timing.now() + patienceMs
    while (!isOver) {
      await settled()
      if (isOver) break
      assert.ok(timing.now() < untilMs, 'it takes too long')
      await timing.advance(stepMs)
    }
    return promise
  }

  function client(weather: Weather = {}, seed = 1) {
    let isCut = false
    const hook: Pick<Member, 'before' | 'onCommitted'> = { before: () => {}, onCommitted: () => {} }
    const network = new Network(harness.app.fetch, weather, seed)
    const random = randomOf(seed * 7_919)
    const highwater = new Highwater({
      url: 'http://log.test',
      fetch: async (url, init) => {
        if (isCut) throw new TypeError('fetch failed')
        await hook.before(new URL(url).pathname)
        const response = await network.fetch(url, init)
        if (isCut) throw new TypeError('fetch failed')
        if (init.method === 'POST' && url.endsWith('/offsets') && response.ok) await tellCommitted(response.clone())
        return response
      },
      retryDelayMs: 10,
      retryDelayMsMax: 2_000,
      timing: {
        now: () => timing.now(),
        timer: (durationMs, fire) => timing.timer(durationMs, fire),
        random,
      },
    })
    const tellCommitted = async (response: Response) => {
      const { offsets } = (await response.json()) as {
        offsets: { topic: string; partition: number; offset?: number }[]
      }
      for (const { topic, partition, offset } of offsets)
        if (offset !== undefined) hook.onCommitted(topic, partition, offset)
    }
    const cut = () => {
      isCut = true
    }
    const mend = () => {
      isCut = false
    }
    return { highwater, network, cut, mend, hook }
  }

  let members = 0
  function member(
    name: string,
    options: Partial<ConsumerOptions> = {},
    weather: Weather = {},
    seed = ++members,
  ): Member {
    const { highwater, network, cut, mend, hook } = client(weather, seed)
    const told: string[] = []
    const tell = (what: string) => (partitions: readonly { topic: string; partition: number }[]) => {
      const list = partitions.map(({ topic, partition }) => (topic === 't' ? `${partition}` : `${topic}/${partition}`))
      told.push(`${name} ${what} ${list.sort().join()}`)
    }
    const consumer = highwater.consumer({
      group: 'g',
      topics: ['t'],
      clientId: name,
      waitMs: 1_000,
      onAssigned: tell('assigned'),
      onRevoked: tell('revoked'),
      onLost: tell('lost'),
      ...options,
    } as ConsumerOptions)
    return Object.assign(hook, { name, highwater, network, consumer, told, cut, mend })
  }

  /** Appends these values to a partition, one batch. */
  async function append(partition: number, values: readonly string[], topic = 't'): Promise<void> {
    const records = values.map((value) => ({ partition, key: null, value: new TextEncoder().encode(value) }))
    const produced = await elapse(harness.log.produce({ topic, records }))
    assert.ok(produced.ok && produced.records.every((record) => record.ok), JSON.stringify(produced))
  }

  /** What the group has committed, by partition: `{ '0': 3 }`. */
  async function committed(group = 'g'): Promise<Record<string, number>> {
    const stored = await elapse(harness.log.groups.committed(group))
    if (!stored.ok) return {}
    return Object.fromEntries(stored.offsets.map(({ partition, offset }) => [String(partition), offset]))
  }

  /** The next `count` records, as their values. */
  async function take({ consumer }: { readonly consumer: Consumer }, count: number): Promise<string[]> {
    const values: string[] = []
    while (values.length < count) {
      const { value: record, done } = await elapse(consumer.next())
      assert.ok(done !== true && record !== undefined, `it ended after ${values.length}`)
      values.push(text(record.value) ?? 'null')
    }
    return values
  }

  return { ...harness, timing, elapse, client, member, append, committed, take }
}

export const numbers = (from: number, end: number, prefix = '') =>
  Array.from({ length: end - from }, (_, index) => `${prefix}${from + index}`)
