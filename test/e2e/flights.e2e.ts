/** The main job on real input: docs/example-flights.md does what it says, and no record is lost, doubled or out of order. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runFlights } from './flights.ts'

test('twenty thousand flights go through the command line and come back as they were, by offset and by time', async (t) => {
  const { steps, rows, partitions } = await runFlights(t)
  assert.ok(steps.length >= 7)
  for (const { commands, expected, printed } of steps) assert.equal(printed, expected, commands)
  assert.equal(
    partitions.reduce((sum, records) => sum + records),
    rows,
  )
})
