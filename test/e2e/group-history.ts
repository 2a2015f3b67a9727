/** What members wrote down (group-member.ts), checked against what a group promises. */
import assert from 'node:assert/strict'

interface Line {
  readonly atMs: number
  readonly member: string
  readonly what: string
  /** `topic/partition`; empty for `E`. */
  readonly place: string
  readonly numbers: readonly number[]
}

/** A partition in one member's hands, from taking it up on. */
interface Run {
  readonly member: string
  readonly atMs: number
  /** Of the first record that it processed. */
  from?: number
  /** Of the next record that it would process. */
  next?: number
}

export interface Checked {
  /** Records processed, repeats included. */
  readonly processed: number
  readonly repeated: number
  readonly runs: number
}

export function parseLines(text: string): Line[] {
  // Whoever was killed in the middle of a line had not written it.
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [atMs, member = '', what = '', topic, partition, ...numbers] = line.split(' ')
      const place = topic === undefined ? '' : `${topic}/${partition}`
      return { atMs: Number(atMs), member, what, place, numbers: numbers.map(Number) }
    })
}

/**
 * - every record of every partition was processed (`ends`: end offset by place)
 * - in one member's hands there is no gap and nothing comes twice
 * - who takes over begins with nothing before it unprocessed: nothing is skipped, at no time
 * - and not before what was committed until then: repeated is only what came after the last commit of the one before
 */
export function checkHistory(lines: readonly Line[], ends: ReadonlyMap<string, number>): Checked {
  const byPlace = new Map<string, Line[]>()
  for (const line of lines) {
    if (line.place === '') continue
    const some = byPlace.get(line.place)
    if (some === undefined) byPlace.set(line.place, [line])
    else some.push(line)
  }
  let processed = 0
  let repeated = 0
  let runs = 0
  for (const [place, end] of ends) {
    const history = checkPlace(place, (byPlace.get(place) ?? []).sort(inOrder), end)
    processed += history.processed
    repeated += history.processed - end
    runs += history.runs
  }
  return { processed, repeated, runs }
}

/** By time; within a millisecond what was processed and committed comes before who takes over. */
function inOrder(a: Line, b: Line): number {
  const rank = ({ what }: Line) => 'PCRLA'.indexOf(what)
  return a.atMs - b.atMs || (a.member === b.member ? 0 : rank(a) - rank(b))
}

function checkPlace(place: string, lines: readonly Line[], end: number): { processed: number; runs: number } {
  const runs = new Map<string, Run>()
  let count = 0
  let processed = 0
  /** All offsets before it were processed by somebody. */
  let covered = 0
  let committed = 0
  const atTakeOver = new Map<Run, { readonly covered: number; readonly committed: number }>()
  for (const { atMs, member, what, numbers } of lines) {
    const who = `${member} in ${place} at ${atMs}`
    const run = runs.get(member)
    switch (what) {
      case 'A': {
        const taken: Run = { member, atMs }
        runs.set(member, taken)
        atTakeOver.set(taken, { covered, committed })
        count++
        break
      }
      case 'P': {
        const [from = -1, to = -1] = numbers
        assert.ok(run !== undefined, `${who} processed what it did not have`)
        if (run.next === undefined) {
          const before = atTakeOver.get(run)!
          assert.ok(from >= before.committed, `${who} begins at ${from}, but ${before.committed} was committed before`)
          assert.ok(from <= before.covered, `${who} begins at ${from}, but nobody had processed ${before.covered}`)
          run.from = from
        } else assert.equal(from, run.next, `${who} went from ${run.next} to ${from}`)
        run.next = to + 1
        processed += to + 1 - from
        if (from <= covered) covered = Math.max(covered, to + 1)
        break
      }
      case 'C': {
        const [offset = -1] = numbers
        assert.ok(offset <= covered, `${who} committed ${offset}, but nobody had processed ${covered}`)
        committed = Math.max(committed, offset)
        break
      }
      case 'L':
        runs.delete(member)
        break
      default:
        break
    }
  }
  assert.equal(covered, end, `${place}: of ${end} records only ${covered} were processed`)
  return { processed, runs: count }
}

/** How long after something happened to a member all that it had was in other hands; undefined: it had nothing. */
export function takeOverMs(lines: readonly Line[], member: string, atMs: number): number | undefined {
  const had = new Set<string>()
  for (const line of lines) {
    if (line.member !== member || line.atMs > atMs) continue
    if (line.what === 'A') had.add(line.place)
    if (line.what === 'R' || line.what === 'L') had.delete(line.place)
  }
  if (had.size === 0) return undefined
  let last = 0
  for (const place of had) {
    const taken = lines
      .filter((line) => line.what === 'A' && line.place === place && line.member !== member && line.atMs >= atMs)
      .reduce((first, line) => Math.min(first, line.atMs), Number.POSITIVE_INFINITY)
    last = Math.max(last, taken - atMs)
  }
  return last
}
