/** `npm run example:orders`, as a user runs it. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { projectDirectory, run } from './server-process.ts'

test('of an order pipeline whose processes are killed one after the other, each order ends exactly once', async (t) => {
  const { code, stdout, stderr } = await run(
    process.execPath,
    [join(projectDirectory, 'docs', 'orders', 'orders.ts'), '--seconds', '8', '--rate', '15', '--seed', '3'],
    { timeoutMs: 300_000 },
  )
  assert.equal(code, 0, `${stdout}\n${stderr}`)
  assert.match(stdout, /^ +120 {2}orders were placed$/m)
  assert.match(stdout, /✔ Each order ended exactly once/)
  const kills = Number(/(\d+) {2}processes were killed with -9/.exec(stdout)?.[1])
  assert.ok(kills >= 3, `${kills} kills`)
  t.diagnostic(stdout.slice(stdout.indexOf('orders were placed') - 10))
})
