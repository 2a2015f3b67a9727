/**
 * What a group costs while nothing is to be read: requests, capacity units and Lambda time, by the meter and the price list, in
 * virtual time. Members call the engine as they would over HTTP; each call runs in an environment of its own, as on Lambda: an
 * idle one if there is one, otherwise a new one. The figures are a simulation's, and do not depend on the machine.
 */
import { nodeCodecs } from '../../lib/adapters/codecs-node.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { Meter, meteredMetadata, requestsOf } from '../../lib/adapters/metered.ts'
import { billOf, secondsPerMonth, usageOf } from '../../lib/core/cost.ts'
import { encodeBatch } from '../../lib/core/record-batch.ts'
import { createLog } from '../../lib/log/create-log.ts'
import type { Assigned } from '../../lib/log/group-api.ts'
import type { Log } from '../../lib/log/log.ts'
import type { Clock, Metadata } from '../../lib/ports.ts'
import { seededRandom } from '../sim/random.ts'
import { World } from '../sim/world.ts'

/** Of one request to DynamoDB, from a Lambda function in the same region. */
const requestMs = 5
/** Of the handler, around what it asks of the store. */
const handlerMs = 2
const memoryGb = 0.5
/** Until the group has come to rest, and how long is then measured; all of it virtual. */
const spans = { settleMinutes: 3, measuredMinutes: 5 }
const minutesPerMonth = secondsPerMonth / 60

export interface Waiting {
  readonly name: string
  /** The server keeps a poll for so long. */
  readonly waitMs: number
  /** The client waits between two polls. */
  readonly pauseMs: number
}

export const waitings: readonly Waiting[] = [
  { name: 'a poll every 5 s', waitMs: 0, pauseMs: 5_000 },
  { name: 'a poll every 15 s', waitMs: 0, pauseMs: 15_000 },
  { name: 'polls of 20 s', waitMs: 20_000, pauseMs: 0 },
]

export interface Idle {
  readonly members: number
  readonly partitions: number
  readonly waiting: Waiting
  /** All per minute. */
  readonly polls: number
  readonly requests: ReturnType<typeof requestsOf>
  readonly readUnits: number
  readonly writeUnits: number
  readonly lambdaSeconds: number
  /** US dollars a month: the store, Lambda's time, requests to Lambda and the gateway. */
  readonly dollars: { readonly store: number; readonly time: number; readonly requests: number }
}

/** A group that reads `partitions` partitions in which nothing happens. */
export async function idleGroup(
  members: number,
  partitions: number,
  waiting: Waiting,
  { settleMinutes, measuredMinutes } = spans,
): Promise<Idle> {
  const world = new World(1_800_000_000_000)
  const clock: Clock = {
    now: () => Math.floor(world.nowMs),
    sleep: (durationMs, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve()
        world.after(durationMs, resolve)
        signal?.addEventListener('abort', () => resolve(), { once: true })
      }),
  }
  const random = seededRandom(members * 7 + partitions)
  const objects = new MemoryObjects()
  const meter = new Meter()
  const stored = new MemoryMetadata()
  const metadata = slow(meteredMetadata(stored, meter), clock)

  const idle: Log[] = []
  let lambdaMs = 0
  let calls = 0
  /** One request: it has an environment to itself. */
  const inLambda = async <Answer>(work: (log: Log) => Promise<Answer>): Promise<Answer> => {
    const log = idle.pop() ?? createLog({ objects, metadata, clock, random, codecs: nodeCodecs })
    const startMs = world.nowMs
    const answer = await work(log)
    lambdaMs += world.nowMs - startMs + handlerMs
    calls++
    idle.push(log)
    return answer
  }

  let isOver = false
  const member = async (memberId: string) => {
    const group = 'idle'
    const held = new Map<string, Assigned>()
    let epoch = 0
    // Not all at once, as it is in the world.
    await clock.sleep(random() * 20_000)
    await inLambda((log) => log.groups.join({ group, memberId, subscription: { kind: 'topics', topics: ['t'] } }))
    while (!isOver) {
      const holding = [...held.values()].map(({ topic, topicId, partition, claim }) => {
        return { topic, topicId, partition, claim, offset: 1 }
      })
      const { waitMs } = waiting
      const polled = await inLambda((log) => log.groups.poll({ group, memberId, epoch, holding, waitMs }))
      if (!polled.ok) throw new Error(polled.message)
      const { membership } = polled
      if (membership === undefined) await clock.sleep(waiting.pauseMs)
      else {
        for (const one of membership.assigned) held.set(`${one.partition}`, one)
        for (const { partition } of [...membership.revoked, ...membership.lost]) held.delete(`${partition}`)
        epoch = membership.epoch
      }
    }
  }

  let failure: unknown
  let measured: Omit<Idle, 'members' | 'partitions' | 'waiting' | 'dollars'> | undefined
  const all = async () => {
    const log = createLog({ objects, metadata: stored, clock, random, codecs: nodeCodecs }, { lingerMs: 0 })
    const made = await log.createTopic({ name: 't', partitions })
    if (!made.ok) throw new Error(made.message)
    const records = [{ timestampMs: clock.now(), key: null, value: new Uint8Array(100) }]
    const batches = encodeBatch({ compression: 'none', records }, nodeCodecs)
    for (let partition = 0; partition < partitions; partition++)
      await log.append({ topic: 't', partition, batches: batches.slice() })
    // Nothing has happened for an hour.
    await clock.sleep(3_600_000)
    const running = Promise.all(Array.from({ length: members }, (_, at) => member(`member-${at}`)))
    await Promise.race([running, clock.sleep(settleMinutes * 60_000)])
    const beforeMs = lambdaMs
    const callsBefore = calls
    meter.take()
    await Promise.race([running, clock.sleep(measuredMinutes * 60_000)])
    const reading = meter.take()
    const perMinute = (count: number) => count / measuredMinutes
    const { dynamoDbRead = 0, dynamoDbWrite = 0 } = usageOf(reading)
    measured = {
      polls: perMinute(calls - callsBefore),
      requests: Object.fromEntries(
        Object.entries(requestsOf(reading)).map(([kind, count]) => [kind, perMinute(count)]),
      ),
      readUnits: perMinute(dynamoDbRead),
      writeUnits: perMinute(dynamoDbWrite),
      lambdaSeconds: perMinute((lambdaMs - beforeMs) / 1_000),
    }
    isOver = true
  }
  all().catch((error: unknown) => {
    failure = error
    isOver = true
  })
  await world.run(() => isOver, 50_000_000)
  if (failure !== undefined || measured === undefined) throw failure ?? new Error('nothing was measured')
  const { readUnits, writeUnits, lambdaSeconds, polls } = measured
  const dollars = {
    store: minutesPerMonth * billOf({ dynamoDbRead: readUnits, dynamoDbWrite: writeUnits }).usd,
    time: minutesPerMonth * billOf({ lambdaArmGbSecond: lambdaSeconds * memoryGb }).usd,
    requests: minutesPerMonth * billOf({ lambdaRequest: polls, httpApiRequest: polls }).usd,
  }
  return { members, partitions, waiting, ...measured, dollars }
}

function slow(metadata: Metadata, clock: Clock): Metadata {
  const late =
    <Arguments extends unknown[], Answer>(call: (...given: Arguments) => Promise<Answer>) =>
    async (...given: Arguments): Promise<Answer> => {
      await clock.sleep(requestMs)
      return call(...given)
    }
  return {
    readHead: late(metadata.readHead),
    createHead: late(metadata.createHead),
    updateHead: late(metadata.updateHead),
    get: late(metadata.get),
    query: late(metadata.query),
    write: late(metadata.write),
  }
}

/** `npm run bench -- groups` */
export async function idleGroupsTable(): Promise<string> {
  const rows: string[] = []
  for (const [members, partitions] of [
    [100, 100],
    [1, 1_000],
  ] as const)
    for (const waiting of waitings) {
      const idle = await idleGroup(members, partitions, waiting)
      const { dollars, requests } = idle
      const sum = dollars.store + dollars.time + dollars.requests
      const shown = [
        `${members.toLocaleString('en')} × ${(partitions / members).toLocaleString('en')}`,
        waiting.name,
        whole(idle.polls),
        whole(requests['metadata.readHead'] ?? 0),
        whole((requests['metadata.get'] ?? 0) + (requests['metadata.query'] ?? 0)),
        whole((requests['metadata.write'] ?? 0) + (requests['metadata.writeTransaction'] ?? 0)),
        whole(idle.readUnits),
        whole(idle.writeUnits),
        whole(idle.lambdaSeconds),
        ...[dollars.store, dollars.time, dollars.requests, sum].map((of) => of.toFixed(2)),
      ]
      rows.push(`| ${shown.join(' | ')} |`)
    }
  return [
    'An idle group, per minute, and in US dollars a month:',
    '',
    '| members × partitions each | waiting | polls | heads read | other reads | writes | read units | write units | Lambda s | store $ | Lambda time $ | requests $ | sum $ |',
    '|:--|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|',
    ...rows,
  ].join('\n')
}

function whole(count: number): string {
  return count >= 10 ? Math.round(count).toLocaleString('en') : count.toFixed(1)
}
