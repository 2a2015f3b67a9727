/** Many requests at once through the gateway: as many function processes as there are requests under way. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Caller } from './caller.ts'
import type { Cloud } from './cloud.ts'

const inFlight = 40
const requests = 2_000
const partitions = 4

interface Placed {
  readonly partition: number
  readonly offset: number
}

export function loadSuite(given: () => { readonly cloud: Cloud; readonly owner: Caller }): void {
  describe('40 produces in flight', () => {
    test(`until ${requests} are done: every acknowledged record is there once, offsets are dense`, async (t) => {
      const { cloud, owner } = given()
      await owner.client().admin.createTopic('load', { partitions })
      const acknowledged = new Map<string, Placed>()
      const refusals = new Map<string, number>()
      let next = 0
      const before = cloud.recorder?.asked.length ?? 0
      const startedMs = performance.now()
      const worker = async () => {
        while (next < requests) {
          const value = `record ${next++}`
          const { status, json, text } = await owner.send('POST', '/topics/load', {
            headers: { 'content-type': 'application/vnd.kafka.json.v2+json' },
            body: JSON.stringify({ records: [{ key: value, value }] }),
          })
          if (status === 200 && json.offsets[0].offset !== null) acknowledged.set(value, json.offsets[0])
          else refusals.set(`${status} ${text}`, (refusals.get(`${status} ${text}`) ?? 0) + 1)
        }
      }
      await Promise.all(Array.from({ length: inFlight }, worker))
      const seconds = (performance.now() - startedMs) / 1_000
      t.diagnostic(
        `${acknowledged.size} acknowledged in ${seconds.toFixed(1)} s, ${(requests / seconds).toFixed(0)} per second`,
      )
      const counts = new Map<string, number>()
      for (const { request, isFirst, status } of cloud.recorder?.asked.slice(before) ?? []) {
        const what = status < 400 ? request : `${request} refused`
        if (isFirst) counts.set(what, (counts.get(what) ?? 0) + 1)
      }
      t.diagnostic(`asked of the stores: ${[...counts].map(([what, count]) => `${count} ${what}`).join(', ')}`)
      for (const [why, count] of refusals) t.diagnostic(`${count} times ${why}`)
      assert.ok(acknowledged.size >= 0.99 * requests, 'nearly all are taken')

      const seen = new Map<string, Placed>()
      for (let partition = 0; partition < partitions; partition++) {
        const { endOffset } = await owner.client().admin.offsets('load', partition)
        if (endOffset === 0) continue
        let offset = 0
        for await (const record of owner.client().reader({ topic: 'load', partition, from: 'earliest' })) {
          assert.equal(record.offset, offset++, 'offsets are dense (D3)')
          const value = JSON.parse(new TextDecoder().decode(record.value ?? new Uint8Array())) as string
          assert.ok(!seen.has(value), `${value} is there twice (D4)`)
          seen.set(value, { partition, offset: record.offset })
          if (offset === endOffset) break
        }
      }
      for (const [value, { partition, offset }] of acknowledged)
        assert.deepEqual(seen.get(value), { partition, offset }, `${value} is where it was said to be (D2)`)
      assert.ok(seen.size <= requests)
    })
  })
}
