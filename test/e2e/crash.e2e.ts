/** kill -9, SIGTERM, a second process and a full disk, against the real server on a real directory. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Highwater } from '../../lib/client/highwater.ts'
import { checkTopic, clientProducer, keyedProducer, type Place, plainProducer, readTopic } from './producers.ts'
import {
  afterwards,
  run,
  runHighwater,
  type ServerProcess,
  startServerProcess,
  tempDirectory,
} from './server-process.ts'

const partitions = 3
const rounds = Number(process.env.ROUNDS ?? 60)
/** Every so many rounds the server is asked to stop instead of being killed. */
const termEvery = 6

test('kill -9 and SIGTERM lose nothing that was acknowledged, and an idempotent record is there once', async (t) => {
  const directory = await tempDirectory(t)
  const data = join(directory, 'data')
  const place: Place = { url: undefined }
  let server: ServerProcess = await startServerProcess(t, ['--data', data])
  await createTopics(server.url, ['plain', 'keyed', 'client'])
  place.url = server.url
  const plain = [plainProducer(place, 'plain', 'plain-a'), plainProducer(place, 'plain', 'plain-b')]
  const keyed = [keyedProducer(place, 'keyed', 'keyed-a'), keyedProducer(place, 'keyed', 'keyed-b')]
  const client = [clientProducer(place, 'client', 'client-a'), clientProducer(place, 'client', 'client-b')]
  const all = [...plain, ...keyed, ...client]

  let killed = 0
  for (let round = 1; round <= rounds; round++) {
    // From the first moments of a server's life to the middle of its work.
    await sleep(Math.random() < 0.2 ? Math.random() * 20 : 50 + Math.random() * 250)
    if (round % termEvery === 0) {
      const { code, stderr } = await server.stop('SIGTERM')
      assert.equal(code, 0, `round ${round}: ${stderr}`)
    } else {
      killed++
      assert.equal((await server.stop('SIGKILL')).code, null)
    }
    place.url = undefined
    server = await startServerProcess(t, ['--data', data])
    place.url = server.url
  }
  await Promise.all(all.map((producer) => producer.stop()))
  const sent = all.flatMap((producer) => producer.records)
  const acked = sent.filter((record) => record.place !== undefined)

  for (const [topic, producers, once] of [
    ['plain', plain, false],
    ['keyed', keyed, true],
    ['client', client, true],
  ] as const) {
    const records = producers.flatMap((producer) => producer.records)
    const ackedHere = records.filter((record) => record.place !== undefined).length
    assert.ok(ackedHere > 5 * rounds, `${topic} got little done: ${ackedHere} records`)
    if (once) assert.equal(ackedHere, records.length, `a producer of ${topic} gave up`)
    checkTopic(await readTopic(server.url, topic, partitions), records, once)
  }
  // The same again after a restart, from the disk alone.
  assert.equal((await server.stop('SIGTERM')).code, 0)
  server = await startServerProcess(t, ['--data', data])
  checkTopic(
    await readTopic(server.url, 'client', partitions),
    client.flatMap((producer) => producer.records),
    true,
  )
  assert.deepEqual(await readdir(join(data, 'objects', 'unfinished')), [], 'what was cut off is gone')
  await server.stop('SIGTERM')
  t.diagnostic(
    `${killed} kills, ${rounds - killed} terminations; ${sent.length} records sent, ${acked.length} acknowledged`,
  )
  for (const [index, producer] of all.entries())
    for (const [why, count] of producer.refusals) t.diagnostic(`producer ${index}: ${count} times ${why}`)
})

test('a second process on a data directory is refused, and the first goes on', async (t) => {
  const directory = await tempDirectory(t)
  const first = await startServerProcess(t, ['--data', directory])
  const second = await runHighwater(['start', '--port', '0', '--data', directory])
  assert.equal(second.code, 1)
  assert.equal(second.stdout, '')
  assert.match(second.stderr, /The data directory .+ is in use by another process, and only one can have it\./)
  assert.equal((await fetch(`${first.url}/topics`)).status, 200)
  await first.stop('SIGKILL')
  const third = await startServerProcess(t, ['--data', directory])
  assert.equal((await third.stop('SIGTERM')).code, 0)
})

const whyNoMount = await tryMount()

test(
  'a full disk is told to producers as 507, and work goes on when there is space again',
  whyNoMount === undefined ? {} : { skip: `a small file system cannot be mounted here: ${whyNoMount}` },
  async (t) => {
    const directory = await tempDirectory(t)
    const disk = join(directory, 'disk')
    await mkdir(disk)
    assert.equal((await run('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'none', disk])).code, 0)
    afterwards(t, () => run('umount', [disk]))
    await writeFile(join(disk, 'filler'), Buffer.alloc(10 * 1_048_576))
    const server = await startServerProcess(t, ['--data', join(disk, 'data')])
    await createTopics(server.url, ['t'])
    const acked: { offset: number; value: string }[] = []
    const produce = async (value: string) => {
      const response = await fetch(`${server.url}/topics/t/partitions/0`, {
        method: 'POST',
        headers: { 'content-type': 'application/vnd.kafka.json.v2+json' },
        body: JSON.stringify({ records: [{ key: 'k', value }] }),
      })
      const body = (await response.json()) as { offsets?: { offset: number }[]; message?: string }
      const offset = body.offsets?.[0]?.offset
      if (response.status === 200) acked.push({ offset: offset ?? -1, value })
      return { status: response.status, message: body.message ?? '' }
    }

    let answer = { status: 200, message: '' }
    for (let count = 0; answer.status === 200 && count < 200; count++)
      answer = await produce(`${count}:${'x'.repeat(200_000)}`)
    assert.equal(answer.status, 507, answer.message)
    t.diagnostic(`after ${acked.length} records: ${answer.message}`)
    const ackedBefore = acked.length
    assert.ok(ackedBefore > 5)
    // Reading goes on, and so does refusing.
    assert.equal((await readTopic(server.url, 't', 1))[0]!.length, ackedBefore)
    assert.equal((await produce(`again:${'x'.repeat(200_000)}`)).status, 507)

    await rm(join(disk, 'filler'))
    assert.equal((await produce(`more:${'x'.repeat(200_000)}`)).status, 200)
    for (let count = 0; count < 10; count++) assert.equal((await produce(`after ${count}`)).status, 200)

    assert.equal((await server.stop('SIGTERM')).code, 0)
    const restarted = await startServerProcess(t, ['--data', join(disk, 'data')])
    const stored = (await readTopic(restarted.url, 't', 1))[0]!
    assert.deepEqual(
      stored.map(({ offset, value }) => ({ offset, value })),
      acked,
    )
    await restarted.stop('SIGTERM')
  },
)

async function createTopics(url: string, names: readonly string[]): Promise<void> {
  const { admin } = new Highwater({ url })
  for (const name of names) await admin.createTopic(name, { partitions })
}

/** What is in the way of mounting; undefined where it can be done. */
async function tryMount(): Promise<string | undefined> {
  const directory = await mkdtemp(join(tmpdir(), 'highwater-e2e-'))
  try {
    const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', directory])
    if (mounted.code !== 0) return mounted.stderr.trim()
    await run('umount', [directory])
    return undefined
  } catch (error) {
    return String(error)
  } finally {
    await rm(directory, { recursive: true })
  }
}
