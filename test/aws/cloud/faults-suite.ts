/** Function processes that are killed at the worst moments, over stores that fail, and clients that try again. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkTopic, clientProducer, keyedProducer, type Place, plainProducer, readTopic } from '../../e2e/producers.ts'
import { caller } from './caller.ts'
import type { Cloud } from './cloud.ts'
import { faultyStackName, killPoints, killsVariable } from './kills.ts'
import { deploy, type Stack } from './stack.ts'

const roundsEach = 5
const partitions = 2
const killMsMax = 30_000

export function faultsSuite(given: () => { readonly cloud: Cloud; readonly directory: string }): void {
  describe('function processes that are killed', () => {
    let stack: Stack
    let kills: string
    before(async () => {
      const { cloud, directory } = given()
      if (cloud.recorder === undefined) return
      kills = join(directory, 'kills')
      await mkdir(kills)
      const app = `${process.execPath} ${import.meta.dirname}/faulty-app.ts`
      stack = await deploy(cloud, directory, {}, { stackName: faultyStackName, app, env: { [killsVariable]: kills } })
    })

    test('between upload and commit, and between commit and answer: nothing acknowledged is lost, nothing idempotent is doubled', async (t) => {
      if (given().cloud.recorder === undefined)
        return t.skip('functions see the files of this machine on a cloud of our own')
      const { admin } = caller(stack).client()
      // Small chunks go into the table by default; one topic's go into segments.
      for (const topic of ['plain', 'keyed']) await admin.createTopic(topic, { partitions })
      await admin.createTopic('client', { partitions, configs: { 'chunk.placement': 'segment' } })
      const place: Place = { url: stack.url }
      const producers = {
        plain: [plainProducer(place, 'plain', 'plain-a')],
        keyed: [keyedProducer(place, 'keyed', 'keyed-a'), keyedProducer(place, 'keyed', 'keyed-b')],
        client: [clientProducer(place, 'client', 'client-a')],
      }
      const all = Object.values(producers).flat()
      t.after(() => {
        for (const producer of all) void producer.stop()
      })
      for (let round = 0; round < roundsEach; round++)
        for (const point of killPoints) {
          const file = join(kills, point)
          await rm(`${file}.taken`, { force: true })
          await writeFile(`${file}.new`, '')
          await rename(`${file}.new`, file)
          for (const untilMs = Date.now() + killMsMax; !existsSync(`${file}.taken`); await sleep(20))
            assert.ok(Date.now() < untilMs, `nobody came to ${point}`)
          await sleep(300)
        }
      await Promise.all(all.map((producer) => producer.stop()))
      for (const [topic, of] of Object.entries(producers)) {
        const sent = of.flatMap(({ records }) => records)
        const acknowledged = sent.filter(({ place: at }) => at !== undefined).length
        t.diagnostic(`${topic}: ${sent.length} records sent, ${acknowledged} acknowledged`)
        for (const { refusals } of of)
          for (const [why, count] of refusals) t.diagnostic(`${topic}: ${count} times ${why}`)
        assert.ok(acknowledged > roundsEach, `${topic} got little done`)
        // The one without identity sends each record once: what was not acknowledged is there or is not.
        if (topic !== 'plain') assert.equal(acknowledged, sent.length, `a producer of ${topic} gave up`)
        checkTopic(await readTopic(stack.url, topic, partitions), sent, topic !== 'plain')
      }
      t.diagnostic(`${roundsEach * killPoints.length} function processes killed`)
    })
  })
}
