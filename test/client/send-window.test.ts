import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type Flight, SendWindow, type Stamp, type Step } from '../../lib/client/send-window.ts'
import { judgeProducer, lastSequence, type ProducerState, producerAfter } from '../../lib/core/producer.ts'

interface Batch {
  readonly name: string
  readonly recordCount: number
  readonly deadlineMs: number
}

const batch = (name: string, recordCount = 1, deadlineMs = 1_000): Batch => ({ name, recordCount, deadlineMs })
const newWindow = (inFlightMax = 5, isIdempotent = true) =>
  new SendWindow<Batch>({ inFlightMax, isIdempotent, sessionDelayMs: () => 0 })

/** Does what the steps say until the window waits; answers what was to be sent and what was given up. */
function run(window: SendWindow<Batch>, nowMs = 0, producerId = 7) {
  const sent: Flight<Batch>[] = []
  const givenUp: Extract<Step<Batch>, { kind: 'give-up' }>[] = []
  const beginnings: (number | undefined)[] = []
  for (;;) {
    const step = window.next(nowMs)
    if (step.kind === 'wait') return { sent, givenUp, beginnings, untilMs: step.untilMs }
    if (step.kind === 'send') sent.push(step.flight)
    else if (step.kind === 'give-up') givenUp.push(step)
    else {
      beginnings.push(step.notId)
      window.begin(step.notId === undefined ? producerId : step.notId + 1, 0)
    }
  }
}

const shown = (flights: readonly Flight<Batch>[]) =>
  flights.map(({ batch, stamp }) => `${batch.name}@${stamp?.producerId}.${stamp?.epoch}.${stamp?.sequence}`)

describe('the send window', () => {
  it('gives batches consecutive sequences and sends at most inFlightMax at a time', () => {
    const window = newWindow(2)
    for (const name of ['a', 'b', 'c']) window.add(batch(name, 10))
    const first = run(window)
    assert.deepEqual(shown(first.sent), ['a@7.0.0', 'b@7.0.10'])
    window.answered(first.sent[0]!, { kind: 'acked' }, 0)
    assert.deepEqual(shown(run(window).sent), ['c@7.0.20'])
  })

  it('does not run ahead of an unresolved batch further than the partition remembers', () => {
    const window = newWindow(3)
    for (const name of ['a', 'b', 'c', 'd', 'e']) window.add(batch(name))
    const [a, b, c] = run(window).sent
    window.answered(a!, { kind: 'again', effects: 'possible', delayMs: 0 }, 0)
    window.answered(b!, { kind: 'acked' }, 0)
    window.answered(c!, { kind: 'acked' }, 0)
    const again = run(window)
    assert.deepEqual(shown(again.sent), ['a@7.0.0'])
    window.answered(again.sent[0]!, { kind: 'acked' }, 0)
    assert.deepEqual(shown(run(window).sent), ['d@7.0.3', 'e@7.0.4'])
  })

  it('holds back new batches while a failed one waits', () => {
    const window = newWindow(3)
    window.add(batch('a'))
    const [a] = run(window).sent
    window.answered(a!, { kind: 'again', effects: 'none', delayMs: 10 }, 0)
    window.add(batch('b'))
    assert.deepEqual(shown(run(window, 9).sent), [])
    assert.deepEqual(shown(run(window, 10).sent), ['a@7.0.0', 'b@7.0.1'])
  })

  it('sends a failed batch again before any other goes out', () => {
    const window = newWindow(2)
    for (const name of ['a', 'b', 'c']) window.add(batch(name))
    const [a, b] = run(window).sent
    window.answered(a!, { kind: 'again', effects: 'possible', delayMs: 50 }, 0)
    window.answered(b!, { kind: 'gap' }, 0)
    assert.deepEqual(shown(run(window, 49).sent), [])
    assert.equal(run(window, 49).untilMs, 50)
    const again = run(window, 50)
    assert.deepEqual(shown(again.sent), ['a@7.0.0'])
    window.answered(again.sent[0]!, { kind: 'acked' }, 50)
    assert.deepEqual(shown(run(window, 50).sent), ['b@7.0.1', 'c@7.0.2'])
  })

  it('a gap answered while the batch before it was on its way is no reason to give up the sequence', () => {
    const window = newWindow(2)
    for (const name of ['a', 'b']) window.add(batch(name))
    const [a, b] = run(window).sent
    window.answered(a!, { kind: 'acked' }, 0)
    window.answered(b!, { kind: 'gap' }, 0)
    assert.deepEqual(shown(run(window).sent), ['b@7.0.1'])
  })

  it('a gap with nothing before it means that the sequence is lost: what was certainly not written goes on in a new epoch', () => {
    const window = newWindow(1)
    for (const name of ['a', 'b']) window.add(batch(name))
    const [a] = run(window).sent
    window.answered(a!, { kind: 'acked' }, 0)
    const [b] = run(window).sent
    window.answered(b!, { kind: 'gap' }, 0)
    const after = run(window)
    assert.deepEqual(shown(after.sent), ['b@7.1.0'])
    assert.deepEqual(after.givenUp, [])
  })

  it('a batch whose outcome is unknown never gets another sequence', () => {
    const window = newWindow(1)
    for (const name of ['a', 'b', 'c']) window.add(batch(name))
    window.answered(run(window).sent[0]!, { kind: 'acked' }, 0)
    const [b] = run(window).sent
    window.answered(b!, { kind: 'again', effects: 'possible', delayMs: 0 }, 0)
    window.answered(run(window).sent[0]!, { kind: 'gap' }, 0)
    const after = run(window)
    assert.deepEqual(
      after.givenUp.map(({ batch, mayBeWritten, why }) => ({ name: batch.name, mayBeWritten, why })),
      [{ name: 'b', mayBeWritten: true, why: 'lost-sequence' }],
    )
    assert.deepEqual(shown(after.sent), ['c@7.1.0'])
  })

  it('a producer that the partition does not know goes on under another id', () => {
    const window = newWindow(3)
    for (const name of ['a', 'b', 'c']) window.add(batch(name))
    const [a, b, c] = run(window).sent
    window.answered(b!, { kind: 'unknown-producer' }, 0)
    assert.deepEqual(run(window).sent, [], 'not before all attempts were answered')
    window.answered(a!, { kind: 'unknown-producer' }, 0)
    window.answered(c!, { kind: 'again', effects: 'possible', delayMs: 0 }, 0)
    const after = run(window)
    assert.deepEqual(after.beginnings, [7])
    // c is in doubt by itself, but cannot have been written without a (W3).
    assert.deepEqual(shown(after.sent), ['a@8.0.0', 'b@8.0.1', 'c@8.0.2'])
    assert.deepEqual(after.givenUp, [])
  })

  it('a refused batch dooms those behind it: they go on in a new epoch, even when their answers were lost', () => {
    const window = newWindow(3)
    for (const name of ['a', 'b', 'c']) window.add(batch(name))
    const [a, b, c] = run(window).sent
    assert.deepEqual(window.answered(a!, { kind: 'refused' }, 0), { isFinal: true, mayBeWritten: false })
    window.answered(b!, { kind: 'again', effects: 'possible', delayMs: 0 }, 0)
    window.answered(c!, { kind: 'gap' }, 0)
    assert.deepEqual(shown(run(window).sent), ['b@7.1.0', 'c@7.1.1'])
  })

  it('after a batch in doubt was given up, the next one finds out whether it was written', () => {
    const window = newWindow(2)
    window.add(batch('a', 1, 100))
    window.add(batch('b', 1, 200))
    window.add(batch('c', 1, 200))
    const [a, b] = run(window).sent
    window.answered(a!, { kind: 'again', effects: 'possible', delayMs: 1_000 }, 0)
    window.answered(b!, { kind: 'gap' }, 0)
    const expired = run(window, 100)
    assert.deepEqual(
      expired.givenUp.map((step) => [step.batch.name, step.mayBeWritten]),
      [['a', true]],
    )
    assert.deepEqual(shown(expired.sent), ['b@7.0.1'], 'nothing new in a session with a hole')
    window.answered(expired.sent[0]!, { kind: 'acked' }, 100)
    assert.deepEqual(shown(run(window, 100).sent), ['c@7.1.0'])
  })

  it('a batch that is too large is split; its parts and those behind go on in order', () => {
    const window = newWindow(2)
    window.add(batch('ab', 2))
    window.add(batch('c'))
    const [ab, c] = run(window).sent
    window.answered(ab!, { kind: 'split', parts: [batch('a'), batch('b')] }, 0)
    assert.deepEqual(run(window).sent, [])
    window.answered(c!, { kind: 'gap' }, 0)
    const after = run(window)
    assert.deepEqual(shown(after.sent), ['a@7.1.0', 'b@7.1.1'])
    window.answered(after.sent[0]!, { kind: 'acked' }, 0)
    assert.deepEqual(shown(run(window).sent), ['c@7.1.2'])
  })

  it('without idempotence a batch is not repeated once its outcome is unknown', () => {
    const window = newWindow(1, false)
    window.add(batch('a'))
    window.add(batch('b'))
    const [a] = run(window).sent
    assert.equal(a!.stamp, undefined)
    assert.deepEqual(window.answered(a!, { kind: 'again', effects: 'none', delayMs: 0 }, 0).isFinal, false)
    const [again] = run(window).sent
    assert.deepEqual(window.answered(again!, { kind: 'again', effects: 'possible', delayMs: 0 }, 0), {
      isFinal: true,
      mayBeWritten: true,
    })
    assert.equal(run(window).sent[0]!.batch.name, 'b')
  })

  it('sequences go on with 0 after 2^31 - 1', () => {
    const window = newWindow(5)
    window.add(batch('a', 2 ** 31 - 2))
    window.add(batch('b', 4))
    window.add(batch('c'))
    assert.deepEqual(shown(run(window).sent), ['a@7.0.0', 'b@7.0.2147483646', 'c@7.0.2'])
  })
})

describe('the send window before a partition that loses answers, forgets, and gets copies late', () => {
  it('writes every acknowledged batch once and in order, and nothing that it said was not written', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 99 }), { minLength: 50, maxLength: 400 }),
        fc.integer({ min: 1, max: 5 }),
        (dice, inFlightMax) => {
          const history = play(dice, inFlightMax)
          const firstAt = new Map<string, number>()
          for (const [index, name] of history.written.entries()) {
            assert.ok(!firstAt.has(name), `${name} was written twice: ${history.written}`)
            firstAt.set(name, index)
          }
          let last = -1
          for (const name of history.acked) {
            const at = firstAt.get(name)
            assert.ok(at !== undefined, `${name} was acknowledged and is not there`)
            assert.ok(at > last, `${name} is out of order: ${history.written}`)
            last = at
          }
          for (const name of history.denied) assert.ok(!firstAt.has(name), `${name} was said not to be written`)
        },
      ),
      { numRuns: 300 },
    )
  })
})

/** Plays dice against a partition of the real rule; answers in the order of batches, which is the order of their names. */
function play(dice: readonly number[], inFlightMax: number) {
  const window = newWindow(inFlightMax)
  const written: string[] = []
  const acked: string[] = []
  const denied: string[] = []
  let states = new Map<number, ProducerState>()
  let floor = 0
  let nextId = 1
  const underWay: Flight<Batch>[] = []
  const copies: Flight<Batch>[] = []
  let nowMs = 0
  let added = 0

  const append = ({ batch, stamp }: Flight<Batch>, isCopy = false): 'acked' | 'gap' | 'unknown-producer' | 'fenced' => {
    const { producerId, epoch, sequence } = stamp as Stamp
    const claim = { epoch, first: sequence, last: lastSequence(sequence, batch.recordCount) }
    const judged = judgeProducer(states.get(producerId), claim, producerId < floor)
    if (judged.kind === 'next') {
      written.push(batch.name)
      states.set(producerId, producerAfter(states.get(producerId), claim, written.length))
      return 'acked'
    }
    // A late copy may come when nobody remembers it; what the window repeats is remembered (W4).
    if (judged.kind === 'duplicate-forgotten') assert.ok(isCopy)
    if (judged.kind === 'duplicate' || judged.kind === 'duplicate-forgotten') return 'acked'
    return judged.kind === 'unknown' ? 'unknown-producer' : judged.kind
  }
  const pump = () => {
    for (let step = window.next(nowMs); step.kind !== 'wait'; step = window.next(nowMs)) {
      if (step.kind === 'send') underWay.push(step.flight)
      else if (step.kind === 'begin') window.begin(nextId++, 0)
      else if (!step.mayBeWritten) denied.push(step.batch.name)
    }
  }
  const answer = (flight: Flight<Batch>, die: number) => {
    let outcome: ReturnType<typeof append> | 'refused' | 'unavailable'
    if (die < 8) outcome = 'unavailable'
    else if (die < 10) outcome = 'refused'
    else outcome = append(flight)
    if (outcome === 'refused') {
      const verdict = window.answered(flight, { kind: 'refused' }, nowMs)
      if (verdict.isFinal && !verdict.mayBeWritten) denied.push(flight.batch.name)
    } else if (outcome === 'unavailable') {
      window.answered(flight, { kind: 'again', effects: 'none', delayMs: 3 }, nowMs)
    } else if (die < 30) {
      // Whatever became of it, the answer was lost.
      window.answered(flight, { kind: 'again', effects: 'possible', delayMs: 3 }, nowMs)
    } else if (die < 34) {
      // It was not even sent; a copy of it is still somewhere.
      window.answered(flight, { kind: 'again', effects: 'possible', delayMs: 3 }, nowMs)
      copies.push(flight)
    } else {
      assert.notEqual(outcome, 'fenced', 'nobody else has our id')
      if (outcome === 'acked') acked.push(flight.batch.name)
      window.answered(flight, { kind: outcome as 'acked' | 'gap' | 'unknown-producer' }, nowMs)
    }
  }

  for (const [index, die] of dice.entries()) {
    nowMs++
    if (die % 3 === 0) window.add({ name: String(added++), recordCount: 1 + (die % 4), deadlineMs: nowMs + 40 })
    if (die === 98 && index % 5 === 0) {
      // The partition forgets all producers; the rule keeps their ids from looking new (P4).
      states = new Map()
      floor = nextId
    }
    if (die > 90) {
      const late = copies.shift()
      if (late !== undefined) append(late, true)
    }
    pump()
    const at = die % Math.max(1, underWay.length)
    const [flight] = underWay.splice(at, 1)
    if (flight !== undefined) answer(flight, dice[(index * 7 + 3) % dice.length]!)
  }
  // The weather clears: everything is answered as it is.
  for (let round = 0; round < 1_000 && (underWay.length > 0 || !window.isEmpty); round++) {
    nowMs++
    pump()
    const flight = underWay.shift()
    if (flight !== undefined) answer(flight, 99)
    const late = copies.shift()
    if (late !== undefined) append(late, true)
  }
  assert.ok(window.isEmpty, 'something never ended')
  acked.sort((a, b) => Number(a) - Number(b))
  return { written, acked, denied }
}
