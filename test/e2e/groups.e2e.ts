/**
 * A consumer group of processes that are killed, frozen and stopped while a producer works at full speed. `SECONDS=300` for five
 * minutes of it; `HIGHWATER_URL` for a server, or functions, that are there already.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Highwater } from '../../lib/client/highwater.ts'
import { checkHistory, parseLines, takeOverMs } from './group-history.ts'
import { afterwards, startServerProcess, tempDirectory } from './server-process.ts'

const durationMs = Number(process.env.SECONDS ?? 50) * 1_000
// Another server may know them from the last time.
const mark = Date.now().toString(36)
const group = `chaos-${mark}`
const topics = ['orders', 'payments', 'shipments'].map((name) => `${name}-${mark}`)
const partitionsPerTopic = 8
const members = 8
/** So that the disk of whoever runs this for long does not fill up. */
const recordsMax = 6_000_000
/** Longest that the group may take to read what is left, when nobody harms it any more. */
const drainMsMax = 180_000

const program = fileURLToPath(new URL('./group-member.ts', import.meta.url))

interface MemberProcess {
  readonly name: string
  readonly child: ChildProcess
  readonly ended: Promise<unknown>
  said: string
}

type Harm = 'killed' | 'frozen' | 'stopped'

test('a group whose members are killed, frozen and stopped misses nothing, and repeats only what was not committed', async (t) => {
  const directory = await tempDirectory(t)
  const url = process.env.HIGHWATER_URL ?? (await startServerProcess(t, ['--data', join(directory, 'data')])).url
  const { admin, ...highwater } = connect(url)
  for (const topic of topics) await admin.createTopic(topic, { partitions: partitionsPerTopic })

  const running = new Map<number, MemberProcess>()
  const harms: { readonly harm: Harm; readonly member: string; readonly atMs: number; readonly frozenMs: number }[] = []
  let incarnations = 0
  const fileOf = (name: string) => join(directory, `${name}.log`)
  const names: string[] = []
  const start = (seat: number) => {
    const name = `m${seat}-${++incarnations}`
    names.push(name)
    const child = spawn(process.execPath, [program, url, group, name, fileOf(name), ...topics], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const member: MemberProcess = { name, child, ended: once(child, 'close'), said: '' }
    child.stderr?.on('data', (part: Buffer) => {
      member.said += part.toString()
    })
    running.set(seat, member)
  }
  afterwards(t, async () => {
    for (const { child, ended } of running.values()) {
      child.kill('SIGKILL')
      await ended
    }
  })
  for (let seat = 0; seat < members; seat++) start(seat)

  // The producer: everything that the buffer takes, keyed, over all topics.
  const producer = highwater.producer({ lingerMs: 5, bufferBytesMax: 4_194_304 })
  let sent = 0
  let failed = 0
  let isProducing = true
  const producing = (async () => {
    const value = 'x'.repeat(80)
    while (isProducing && sent < recordsMax) {
      if (!producer.isReady) await producer.ready
      for (let some = 0; some < 1_000; some++, sent++)
        producer.send({ topic: topics[sent % topics.length]!, key: `key-${sent % 1_000}`, value }).catch(() => failed++)
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()

  /** Whoever had begun ends as it was asked to. */
  const checkStopped = ({ name, child, said }: MemberProcess) => {
    if (existsSync(fileOf(name))) assert.equal(child.exitCode, 0, `${name}: ${child.signalCode} ${said}`)
  }
  const untilMs = Date.now() + durationMs
  const unharmed: Promise<void>[] = []
  const harmed = new Set<number>()
  const harmOne = async (seat: number, harm: Harm) => {
    const member = running.get(seat)!
    harmed.add(seat)
    // Now and then shorter than a session, mostly longer.
    const frozenMs = harm === 'frozen' ? 3_000 + Math.random() * 12_000 : 0
    harms.push({ harm, member: member.name, atMs: Date.now(), frozenMs })
    if (harm === 'frozen') {
      member.child.kill('SIGSTOP')
      await sleep(frozenMs)
      member.child.kill('SIGCONT')
    } else {
      member.child.kill(harm === 'killed' ? 'SIGKILL' : 'SIGTERM')
      await member.ended
      if (harm === 'stopped') checkStopped(member)
      await sleep(Math.random() * 4_000)
      start(seat)
    }
    harmed.delete(seat)
  }
  while (Date.now() < untilMs) {
    await sleep(1_000 + Math.random() * 2_500)
    const seat = Math.floor(Math.random() * members)
    const harm = (['killed', 'frozen', 'stopped'] as const)[Math.floor(Math.random() * 3)]!
    if (harmed.has(seat) || harmed.size >= 3) continue
    unharmed.push(harmOne(seat, harm))
  }
  isProducing = false
  await producing
  await producer.close()
  await Promise.all(unharmed)
  assert.equal(failed, 0, 'the producer gave up records')

  // Everything is read, and committed, by those who are left.
  const drainedMs = Date.now()
  for (;;) {
    const lags = await admin.groups.lags(group)
    const lag = lags.reduce((sum, one) => sum + one.lag, 0)
    if (lag === 0 && lags.length === topics.length * partitionsPerTopic) break
    assert.ok(Date.now() - drainedMs < drainMsMax, `${lag} records are left`)
    for (const { child, name, said } of running.values())
      assert.ok(child.exitCode === null, `${name} ended with ${child.exitCode}: ${said}`)
    await sleep(500)
  }
  const drainMs = Date.now() - drainedMs
  for (const member of running.values()) {
    member.child.kill('SIGTERM')
    await member.ended
    checkStopped(member)
  }
  assert.equal((await admin.groups.describe(group)).state, 'Empty')

  const ends = new Map<string, number>()
  for (const topic of topics)
    for (let partition = 0; partition < partitionsPerTopic; partition++)
      ends.set(`${topic}/${partition}`, (await admin.offsets(topic, partition)).endOffset)
  const total = [...ends.values()].reduce((sum, end) => sum + end, 0)
  assert.equal(total, sent)
  const lines = (await Promise.all(names.map((name) => readFile(fileOf(name), 'utf8').catch(() => '')))).flatMap(
    parseLines,
  )
  const { processed, repeated, runs } = checkHistory(lines, ends)
  assert.equal(processed - repeated, total)
  assert.ok(harms.length > durationMs / 10_000, `only ${harms.length} were harmed`)

  t.diagnostic(`${harms.length} harmed`)
  t.diagnostic(`${sent} records, ${Math.round(sent / (durationMs / 1_000))} a second; ${repeated} repeated`)
  t.diagnostic(`${runs} times a partition was taken up; the rest was read in ${(drainMs / 1_000).toFixed(1)} s`)
  for (const harm of ['killed', 'frozen', 'stopped'] as const) {
    // Who was frozen for less than a session keeps what it has.
    const some = harms.filter((one) => one.harm === harm && (harm !== 'frozen' || one.frozenMs > 9_000))
    const took = some
      .flatMap(({ member, atMs }) => takeOverMs(lines, member, atMs) ?? [])
      .filter((ms) => Number.isFinite(ms))
      .sort((a, b) => a - b)
    const shown = (ms: number | undefined) => (ms === undefined ? '-' : `${(ms / 1_000).toFixed(1)} s`)
    t.diagnostic(
      `${some.length} ${harm}: all it had was in other hands after ${shown(took[took.length >> 1])} in the median, ${shown(took.at(-1))} at most`,
    )
  }
})

function connect(url: string): { readonly admin: Highwater['admin']; readonly producer: Highwater['producer'] } {
  const highwater = new Highwater({ url })
  return { admin: highwater.admin, producer: highwater.producer.bind(highwater) }
}
