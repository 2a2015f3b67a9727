/** One append by any actor: what is sent, and what its answer must agree with. */
import type { Offset } from '../../../lib/core/names.ts'
import { encodeBatch } from '../../../lib/core/record-batch.ts'
import type { Appended, AppendOptions } from '../../../lib/log/log.ts'
import { short } from '../describe.ts'
import type { Dice } from '../dice.ts'
import type { Process } from '../process.ts'
import type { Heard, Simulation } from '../simulation.ts'
import { isDefinite, startMs } from '../simulation.ts'
import type { Intent, RecordName } from '../truth.ts'
import { recordContent } from '../truth.ts'

export const timesFromMs = startMs - 7_200_000
export const timesSpanMs = 5_000

/** In worlds whose records are of the time at which they are written: many are of the same time. */
const stepOfLongMs = 10_000

/** Times that come in no order, often the same, at times far ahead of the others. */
export function someTimes(sim: Simulation, dice: Dice, count: number): number[] {
  if (sim.swarm.isLong) {
    const step = Math.floor(sim.world.nowMs / stepOfLongMs)
    return Array.from({ length: count }, () => {
      if (dice.chance(0.02)) return step * stepOfLongMs + 1_000_000
      return (step + dice.int(-20, 20)) * stepOfLongMs
    })
  }
  const elapsedMs = Math.min(timesSpanMs, Math.floor((sim.world.nowMs - startMs) / 10))
  return Array.from({ length: count }, () => {
    if (dice.chance(0.02)) return timesFromMs + 1_000_000 + dice.int(0, 1_000)
    return timesFromMs + elapsedMs + dice.int(0, 50) * 10
  })
}

export function somePlace(sim: Simulation, dice: Dice): { topic: string; partition: number } {
  return {
    topic: `t${dice.int(0, sim.swarm.topics - 1)}`,
    partition: dice.int(0, sim.swarm.partitions - 1),
  }
}

export function somePatience(dice: Dice): number {
  return dice.chance(0.5) ? Number.POSITIVE_INFINITY : dice.scattered(30, 60_000)
}

/** What an append's record holds. In a compacted topic each has one of a few keys, and every third or so is a tombstone. */
export function contentOf(
  sim: Simulation,
  name: RecordName,
  key: string | null = null,
): ReturnType<typeof recordContent> {
  const { keys, padBytes } = sim.swarm
  if (keys === 0) return recordContent(name, key, false)
  const draw = Math.imul(name.append * 8 + name.index + 1, 0x9e3779b1) >>> 8
  return recordContent(name, `k${draw % keys}`, (draw >>> 8) % 3 === 0, padBytes)
}

/** The batches of an intent, as its attempt writes them. */
function batchesOf(
  sim: Simulation,
  intent: Intent,
  attempt: number,
  times: readonly number[],
  cut: number,
): Uint8Array {
  const batch = (from: number, to: number) =>
    encodeBatch(
      {
        records: times.slice(from, to).map((timestampMs, index) => ({
          timestampMs,
          ...contentOf(sim, { append: intent.id, attempt, index: from + index }),
        })),
        compression: intent.id % 16 === 0 ? 'gzip' : 'none',
        ...(intent.stamp === undefined
          ? {}
          : {
              producerId: intent.stamp.producerId,
              producerEpoch: intent.stamp.epoch,
              baseSequence: intent.stamp.sequence,
            }),
      },
      sim.codecs,
    )
  const parts = cut === 0 ? [batch(0, intent.count)] : [batch(0, cut), batch(cut, intent.count)]
  return new Uint8Array(Buffer.concat(parts))
}

export interface AppendCall {
  readonly actor: string
  readonly process: Process | undefined
  readonly intent: Intent
  readonly partition: number
  readonly times: readonly number[]
  readonly options?: AppendOptions
  readonly patienceMs?: number
  /** Records in the first of two batches; 0 for one batch. */
  readonly cut?: number
}

export async function append(sim: Simulation, call: AppendCall): Promise<Heard<Appended>> {
  const { actor, process, intent, partition, times, options = {}, patienceMs, cut = 0 } = call
  const attempt = beginAttempt(intent)
  const batches = batchesOf(sim, intent, attempt, times, cut)
  const { topic } = intent
  return sim.call(
    actor,
    process,
    `append ${intent.id}.${attempt} x${intent.count} to ${topic}/${partition} ${JSON.stringify(options)}`,
    (log) => log.append({ topic, partition, batches, ...options }),
    (answer) => {
      if (answer.ok && (answer.recordCount !== intent.count || answer.partition !== partition))
        sim.history.violate('log.ts', `append ${intent.id} was answered for ${answer.recordCount} records`)
      endAttempt(sim, intent, attempt, answer)
    },
    patienceMs,
  )
}

export function beginAttempt(intent: Intent): number {
  const attempt = intent.kind === 'key' ? 0 : intent.calls
  intent.calls++
  if (intent.attempts.get(attempt) === undefined) intent.attempts.set(attempt, 'open')
  return attempt
}

/** What the process says became of an attempt, against the truth. */
export function endAttempt(sim: Simulation, intent: Intent, attempt: number, told: AnswerOfAttempt): void {
  const { history, truth } = sim
  const name = `append ${intent.id}.${attempt}`
  if (told.ok) {
    intent.attempts.set(attempt, 'acked')
    checkAcked(sim, intent, told)
    return
  }
  if (intent.kind === 'key') {
    if (isDefinite(told.code)) intent.definiteCalls++
  } else {
    intent.attempts.set(attempt, isDefinite(told.code) ? 'definite' : 'possible')
    if (isDefinite(told.code) && intent.commits.some((commit) => commit.attempt === attempt))
      history.violate('errors.ts', `${name} was committed and then refused for good: ${told.code}`)
  }
  if (told.code === 'DUPLICATE_SEQUENCE_NUMBER' && intent.commits.length === 0)
    history.violate('P1', `${name} is said to be a duplicate and was never committed`)
  if (told.code === 'IDEMPOTENCY_KEY_REUSED' && intent.isReuse !== true)
    history.violate('D4', `${name} repeats a request and is taken for another`)
  if (told.code === 'INVALID_PRODUCER_EPOCH') {
    const { producerId = -1, epoch = 0 } = intent.stamp ?? {}
    const isFenced = [...truth.partitions.values()].some(({ producers }) => {
      const known = producers.get(producerId)
      return known !== undefined && known.epoch > epoch
    })
    if (!isFenced) history.violate('P3', `${name} was fenced by an epoch that committed nothing`)
  }
}

export type AnswerOfAttempt =
  | {
      readonly ok: true
      readonly topicId: Appended['topicId']
      readonly partition: number
      readonly baseOffset: Offset
    }
  | { readonly ok: false; readonly code: Parameters<typeof isDefinite>[0] }

/** D1, D2: what is acknowledged is there, at the offsets that were told. */
function checkAcked(
  sim: Simulation,
  intent: Intent,
  { topicId, partition, baseOffset }: Extract<AnswerOfAttempt, { ok: true }>,
): void {
  const partitionTruth = sim.truth.partition(topicId, partition)
  if (partitionTruth === undefined) {
    sim.history.violate('D2', `append ${intent.id} was acknowledged in a partition that does not exist`)
    return
  }
  for (let index = 0; index < intent.count; index++) {
    const record = partitionTruth.records[baseOffset + index]
    if (record?.append !== intent.id || record.index !== index) {
      const there = record === undefined ? 'nothing' : `record ${record.append}.${record.index}`
      sim.history.violate(
        'D2',
        `record ${intent.id}.${index} was acknowledged at ${short(partitionTruth.key)}@${baseOffset + index}, where ${there} is`,
      )
      return
    }
  }
}
