/** The judge of the group's histories, judged: each promise, broken, is noticed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkHistory, parseLines, takeOverMs } from './group-history.ts'

/** `a A` assigned, `a P 0 4` processed, `a C 5` committed: of one partition, a millisecond each. */
function history(...events: readonly string[]): ReturnType<typeof parseLines> {
  const lines = events.map((event, index) => {
    const [member, what, ...numbers] = event.split(' ')
    return `${1_000 + index} ${[member, what, 't', 0, ...numbers].join(' ')}\n`
  })
  return parseLines(lines.join(''))
}

const ends = new Map([['t/0', 10]])
const broken = (events: readonly string[], message: RegExp) =>
  assert.throws(() => checkHistory(history(...events), ends), message)

test('a crash repeats what was not committed, and nothing else is needed', () => {
  const lines = history('a A', 'a P 0 4', 'a C 3', 'b A', 'b P 3 9', 'b C 10')
  assert.deepEqual(checkHistory(lines, ends), { processed: 12, repeated: 2, runs: 2 })
})

test('a frozen member may process what it has in hand after another took over', () => {
  const lines = history('a A', 'a P 0 4', 'a C 3', 'b A', 'b P 3 9', 'b C 10', 'a P 5 6', 'a L')
  assert.deepEqual(checkHistory(lines, ends), { processed: 14, repeated: 4, runs: 2 })
})

test('a record that nobody processed is noticed, also where somebody processed those after it', () => {
  broken(['a A', 'a P 0 4'], /of 10 records only 5 were processed/)
  broken(['a A', 'a P 0 4', 'a C 5', 'b A', 'b P 6 9'], /begins at 6, but nobody had processed 5/)
})

test('a skip is noticed although somebody fills it later', () => {
  broken(['a A', 'a P 0 4', 'b A', 'b P 6 9', 'c A', 'c P 5 9'], /begins at 6/)
})

test('a gap, or a step back, in one member’s hands is noticed', () => {
  broken(['a A', 'a P 0 4', 'a P 6 9'], /went from 5 to 6/)
  broken(['a A', 'a P 0 4', 'a P 4 9'], /went from 5 to 4/)
})

test('beginning before what was committed is noticed', () => {
  broken(['a A', 'a P 0 9', 'a C 8', 'b A', 'b P 7 9'], /begins at 7, but 8 was committed before/)
})

test('a commit of what nobody has processed is noticed', () => {
  broken(['a A', 'a P 0 4', 'a C 6', 'a P 5 9'], /committed 6, but nobody had processed 5/)
})

test('processing without the partition is noticed', () => {
  broken(['a A', 'a P 0 4', 'a L', 'a P 5 9'], /processed what it did not have/)
})

test('a line that was cut off by a kill is passed over', () => {
  assert.equal(parseLines('1 a A t 0\n2 a P t').length, 1)
})

test('a take-over is as long as its last partition takes', () => {
  const lines = parseLines(
    ['1 a A t 0', '2 a A t 1', '3 a A u 0', '4 a R u 0', '20 b A t 0', '30 c A t 1'].join('\n').concat('\n'),
  )
  assert.equal(takeOverMs(lines, 'a', 10), 20)
  assert.equal(takeOverMs(lines, 'nobody', 10), undefined)
})
