import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import test from 'node:test'
import { systemClock, systemRandom } from '../../lib/adapters/system.ts'

test('a sleep ends no earlier than its time', async () => {
  const before = performance.now()
  await systemClock.sleep(20)
  // Timers count whole milliseconds.
  assert.ok(performance.now() - before >= 19)
})

test('an aborted signal ends a sleep, and a sleep that has not begun, without an error', async () => {
  const controller = new AbortController()
  const sleeping = systemClock.sleep(3_600_000, controller.signal)
  controller.abort(new Error('enough'))
  await sleeping
  await systemClock.sleep(3_600_000, controller.signal)
})

test('a sleep leaves no listener on its signal', async () => {
  const controller = new AbortController()
  await systemClock.sleep(1, controller.signal)
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
})

test('a sleep longer than any timer is not over at once', async () => {
  const controller = new AbortController()
  const sleeping = systemClock.sleep(2 ** 33, controller.signal).then(() => 'slept')
  assert.equal(await Promise.race([sleeping, systemClock.sleep(10).then(() => 'still asleep')]), 'still asleep')
  controller.abort()
  await sleeping
})

test('random numbers are in [0, 1), spread evenly, and do not repeat', () => {
  const count = 20_000
  const drawn = Array.from({ length: count }, systemRandom)
  assert.ok(drawn.every((x) => x >= 0 && x < 1))
  assert.equal(new Set(drawn).size, count)
  const tenths = new Array<number>(10).fill(0)
  for (const x of drawn) tenths[Math.floor(x * 10)]!++
  // Eight standard deviations: fails by chance less than once in 10^14 runs.
  for (const inTenth of tenths) assert.ok(Math.abs(inTenth - count / 10) < 8 * Math.sqrt((count / 10) * 0.9))
})
