/** Two function processes and the lease of one partition; the one that has it is frozen, as Lambda freezes between requests. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Caller } from './caller.ts'
import type { Cloud } from './cloud.ts'
import type { Order } from './leader-process.ts'
import type { Stack } from './stack.ts'

const leaseDurationMs = 2_000

interface Leader {
  readonly child: ChildProcess
  // biome-ignore lint/suspicious/noExplicitAny: what the log answers; the test says what that should be
  tell(order: Order): Promise<any>
}

export function leaseSuite(
  given: () => { readonly cloud: Cloud; readonly stack: Stack; readonly owner: Caller },
): void {
  describe('two function processes that want to lead a partition', () => {
    test('one does; frozen past its lease it is taken over from, and refused by its epoch when it goes on', async (t) => {
      const { owner } = given()
      await owner.client().admin.createTopic('led', { partitions: 1 })
      const shown = async () => {
        const { json: clusters } = await owner.send('GET', '/v3/clusters')
        const path = `/v3/clusters/${clusters.data[0].cluster_id}/topics/led/partitions/0`
        const { leader_epoch, lease } = (await owner.send('GET', path)).json
        return [leader_epoch, lease?.owner, lease?.is_exclusive]
      }
      assert.deepEqual(await shown(), [0, undefined, undefined])
      const processes = { ann: await leader(t, given()), ben: await leader(t, given()) }
      const names = ['ann', 'ben'] as const
      const claims = await Promise.all(
        names.map((name) => processes[name].tell({ do: 'acquire', topic: 'led', owner: name })),
      )
      const won = claims.findIndex(({ ok }) => ok)
      const [first, second] = won === 0 ? names : ([names[1], names[0]] as const)
      assert.deepEqual(
        [claims[won], claims[1 - won]].map(({ ok, code, epoch }) => [ok, code ?? epoch]),
        [
          [true, 1],
          [false, 'FENCED_LEADER_EPOCH'],
        ],
      )
      assert.deepEqual(await shown(), [1, first, true])
      const append = (value: string, leaderEpoch: number): Order => ({ do: 'append', topic: 'led', value, leaderEpoch })
      assert.equal((await processes[first].tell(append('by the first', 1))).baseOffset, 0)
      const bystander = await owner.send('POST', '/topics/led/partitions/0', {
        headers: { 'content-type': 'application/vnd.kafka.json.v2+json' },
        body: JSON.stringify({ records: [{ value: 'by anybody' }] }),
      })
      assert.equal(bystander.json.offsets?.[0]?.offset ?? null, null, 'a lease is exclusive (L3)')

      processes[first].child.kill('SIGSTOP')
      const thawed = [
        processes[first].tell(append('late', 1)),
        processes[first].tell({ do: 'renew', topic: 'led', owner: first, epoch: 1 }),
      ]
      await sleep(leaseDurationMs + 100)
      const taken = await processes[second].tell({ do: 'acquire', topic: 'led', owner: second })
      assert.deepEqual([taken.ok, taken.epoch], [true, 2])
      assert.equal((await processes[second].tell(append('by the second', 2))).baseOffset, 1)
      processes[first].child.kill('SIGCONT')
      for (const answer of await Promise.all(thawed))
        assert.deepEqual([answer.ok, answer.code, answer.details?.epoch], [false, 'FENCED_LEADER_EPOCH', 2])
      assert.deepEqual(await shown(), [2, second, true])
      const read = await owner.send('GET', '/topics/led/partitions/0/records?offset=0')
      assert.deepEqual(
        read.json.map(({ value }: { value: string }) => Buffer.from(value, 'base64').toString()),
        ['by the first', 'by the second'],
      )
    })
  })
}

async function leader(t: TestContext, { cloud, stack }: { cloud: Cloud; stack: Stack }): Promise<Leader> {
  const child = spawn(process.execPath, [`${import.meta.dirname}/leader-process.ts`], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      AWS_REGION: cloud.region,
      AWS_ACCESS_KEY_ID: cloud.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: cloud.credentials.secretAccessKey,
      AWS_ENDPOINT_URL: cloud.endpoint,
      HIGHWATER_BUCKET: stack.bucket,
      HIGHWATER_TABLE: stack.table,
      HIGHWATER_SETTINGS: JSON.stringify({ leaseDurationMs }),
    },
  })
  const ended = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const lines = createInterface({ input: child.stdout })
  const said: string[] = []
  const waiting: ((line: string) => void)[] = []
  lines.on('line', (line) => {
    const next = waiting.shift()
    if (next === undefined) said.push(line)
    else next(line)
  })
  const nextLine = () => {
    const line = said.shift()
    return line === undefined ? new Promise<string>((resolve) => waiting.push(resolve)) : Promise.resolve(line)
  }
  assert.equal(await nextLine(), 'ready')
  return {
    child,
    async tell(order) {
      child.stdin.write(`${JSON.stringify(order)}\n`)
      return JSON.parse(await nextLine())
    },
  }
}
