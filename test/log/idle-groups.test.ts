/** What an idle group asks of the store, where every request may run in another process (docs/groups.md has the figures). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { idleGroup } from '../bench/groups.ts'

const spans = { settleMinutes: 1, measuredMinutes: 2 }

const close = (count: number | undefined, expected: number) =>
  assert.ok(Math.abs((count ?? 0) - expected) <= expected * 0.1, `${count}, not about ${expected}`)

test('an idle member’s poll reads the group and its partitions’ heads; a beat is written in each third of a session, and none in vain', async () => {
  const { polls, requests } = await idleGroup(20, 40, { name: '', waitMs: 0, pauseMs: 5_000 }, spans)
  close(polls, 20 * 12)
  close(requests['metadata.readHead'], 40 * 12)
  close(requests['metadata.write'], 20 * 4)
  assert.equal(requests['metadata.writeTransaction'], undefined, 'the group is as it was')
  // The group; a member before its beat; and what a few of them read to look after the others.
  assert.ok((requests['metadata.get'] ?? 0) <= polls * 2, `${requests['metadata.get']}`)
})

test('a poll that waits looks at heads no more often than headReadsPerSecondMax says, however many it holds', async () => {
  const { requests, lambdaSeconds } = await idleGroup(1, 300, { name: '', waitMs: 20_000, pauseMs: 0 }, spans)
  close(requests['metadata.readHead'], 50 * 60 + 300 * 3)
  close(lambdaSeconds, 60)
})
