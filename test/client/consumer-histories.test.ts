/**
 * Random histories of a group, on a clock that passes when it is told to: members come, leave, are cut off for seconds or for
 * minutes, take long over what they have, while records come in and the network loses and doubles. Judged as the processes of
 * test/e2e are (group-history.ts). `SEED=7` for one of them, `SEEDS=100` for many.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { TopicPartition } from '../../lib/client/highwater.ts'
import { checkHistory, parseLines } from '../e2e/group-history.ts'
import { groupWorld, type Member, numbers } from './group-world.ts'
import { randomOf, type Weather } from './network.ts'

const topics = { t: 5, u: 3 }
const rounds = Number(process.env.ROUNDS ?? 20)
// Nothing late: a commit that comes minutes after a newer one of the same owner goes back, and may.
const weather: Weather = { lostRequest: 4, lostAnswer: 6, unavailable: 4, gateway: 3, twice: 6 }
const { SEED, SEEDS = 2 } = process.env
const seeds = SEED === undefined ? Array.from({ length: Number(SEEDS) }, (_, index) => index + 1) : [Number(SEED)]

interface Seat extends Member {
  readonly looped: Promise<void>
  /** What is in hand then is not processed. */
  isClosed: boolean
}

async function runHistory(seed: number) {
  const random = randomOf(seed)
  const below = (count: number) => Math.floor(random() * count)
  const { member, append, elapse, timing } = await groupWorld(topics)
  const lines: string[] = []
  const ends = new Map<string, number>()
  for (const [topic, count] of Object.entries(topics))
    for (let partition = 0; partition < count; partition++) ends.set(`${topic}/${partition}`, 0)

  let joined = 0
  const join = (): Seat => {
    const name = `m${++joined}`
    // The order of the lines is their time.
    const note = (what: string, { topic, partition }: TopicPartition, ...more: number[]) =>
      void lines.push(`${lines.length} ${[name, what, topic, partition, ...more].join(' ')}\n`)
    const noteAll = (what: string) => (partitions: readonly TopicPartition[]) => {
      for (const partition of partitions) note(what, partition)
    }
    const seat = member(
      name,
      {
        topics: Object.keys(topics),
        autoCommitIntervalMs: 500 + below(3_000),
        sessionTimeoutMs: 6_000 + below(20_000),
        maxPollIntervalMs: 40_000,
        bytesMax: 1 + below(2_000),
        waitMs: below(3) * 1_000,
        onAssigned: noteAll('A'),
        onRevoked: noteAll('R'),
        onLost: noteAll('L'),
      },
      weather,
      seed * 1_000 + joined,
    )
    seat.onCommitted = (topic, partition, offset) => note('C', { topic, partition }, offset)
    const loop = async () => {
      for await (const record of seat.consumer) {
        // Mostly quick, sometimes slow, rarely too slow.
        const pauseMs = random() < 0.9 ? below(20) : random() < 0.9 ? below(3_000) : below(60_000)
        await new Promise<void>((resolve) => timing.timer(pauseMs, resolve))
        if (state.isClosed) return
        note('P', record, record.offset, record.offset)
      }
    }
    const state = Object.assign(seat, { isClosed: false })
    return Object.assign(state, { looped: loop() })
  }

  const seats: Seat[] = [join(), join(), join()]
  const gone: Seat[] = []
  for (let round = 0; round < rounds; round++) {
    for (const place of ends.keys()) {
      if (below(3) > 0) continue
      const [topic = '', partition] = place.split('/')
      const end = ends.get(place)! + 1 + below(6)
      await append(Number(partition), numbers(ends.get(place)!, end), topic)
      ends.set(place, end)
    }
    const at = below(seats.length)
    const seat = seats[at]!
    switch (below(6)) {
      case 0:
        seats[at] = join()
        gone.push(seat)
        seat.isClosed = true
        void seat.consumer.close()
        break
      case 1:
        // It never comes back, and nobody is told.
        seats[at] = join()
        gone.push(seat)
        seat.cut()
        break
      case 2:
      case 3:
        seat.cut()
        timing.timer(below(60_000), () => seat.mend())
        break
      default:
        break
    }
    await timing.advance(500 + below(8_000))
  }
  for (const seat of seats) seat.mend()
  const total = [...ends.values()].reduce((sum, end) => sum + end, 0)
  const parsed = () => parseLines(lines.join(''))
  const seen = () => new Set(lines.filter((line) => line.includes(' P ')).map((line) => line.split(' P ')[1])).size
  const untilMs = timing.now() + 1_200_000
  while (seen() < total && timing.now() < untilMs) await timing.advance(5_000)
  // Those that were cut off for good: nothing of theirs counts any more.
  for (const seat of gone) seat.mend()
  for (const seat of [...seats, ...gone]) seat.isClosed = true
  await elapse(Promise.all([...seats, ...gone].map(({ consumer }) => consumer.close())), 500)
  await elapse(Promise.all([...seats, ...gone].map(({ looped }) => looped)), 500)
  return { checked: checkHistory(parsed(), ends), total }
}

describe('a group of consumers', () => {
  for (const seed of seeds)
    it(`misses nothing and repeats only what was not committed (seed ${seed})`, async () => {
      const { checked, total } = await runHistory(seed)
      assert.ok(total > 100)
      assert.equal(checked.processed - checked.repeated, total)
      assert.ok(checked.runs > 10, `${checked.runs} runs`)
    })
})
