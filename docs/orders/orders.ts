/**
 * `npm run example:orders`: an order pipeline of eight processes on a server of their own, of which one after the other is killed
 * with -9 and started again; and what became of every order. docs/example-orders.md tells about it.
 *
 *     --seconds 20    how long orders are placed, and processes killed
 *     --rate 20       orders per second
 *     --seed 1        of the orders and of who is killed when
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Highwater, json } from '../../lib/client/highwater.ts'
import { type Books, judge } from './audit.ts'
import { bookOf } from './book.ts'
import {
  type Decided,
  diceOf,
  orderOf,
  partitions,
  type State,
  services,
  stockFor,
  type Topic,
  topics,
} from './order.ts'
import { Process } from './processes.ts'
import { Screen } from './screen.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    rate: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
  },
})
const [seconds, rate, seed] = [values.seconds, values.rate, values.seed].map(Number) as [number, number, number]
if (![seconds, rate, seed].every((number) => Number.isFinite(number) && number > 0))
  throw new Error('--seconds, --rate and --seed are numbers above 0')
const orders = Math.ceil(seconds * rate)
const listens = /listens on (\S+)/
/** After the last kill, when everything runs undisturbed. */
const drainMsMax = 120_000
/** In which topic a state is decided. */
const decidedIn: Readonly<Record<Topic, readonly State[]>> = {
  orders: ['placed'],
  payments: ['paid', 'declined'],
  inventory: ['reserved', 'sold out'],
  shipping: ['shipped', 'cancelled'],
}

const screen = new Screen(process.stdout)
const directory = await mkdtemp(join(tmpdir(), 'highwater-orders-'))
const dice = diceOf(seed)
const running: Process[] = []
const stopping = new AbortController()
const failures: string[] = []

const create = (name: string, command: readonly [string, ...string[]]) => {
  const created = new Process(name, command, (who, code, said) => {
    if (stopping.signal.aborted || code === 0) return
    if (code !== null) {
      failures.push(`${who.name} ended by itself with ${code}: ${said.trim()}`)
      return stopping.abort()
    }
    screen.event('✗', `${name} was killed by hand`)
    void sleep(300).then(() => comeBack(who))
  })
  running.push(created)
  return created
}
const comeBack = async (one: Process) => {
  if (stopping.signal.aborted) return
  // One that listens is back when it does.
  await one.start(one === running[0] ? listens : undefined)
  screen.event('↻', `${one.name} is back`)
}
process.once('SIGINT', () => {
  failures.push('stopped by hand')
  stopping.abort()
})

try {
  const server = await startServer()
  const highwater = new Highwater({ url: server.url, retryDelayMsMax: 500 })
  for (const topic of topics) await highwater.admin.createTopic(topic, { partitions })
  const stock = stockFor(orders)
  const workers = services.flatMap(({ name }) =>
    ['1', '2'].map((number) => create(`${name}-${number}`, ['./service.ts', server.url, name, number, String(stock)])),
  )
  await Promise.all(workers.map((one) => one.start()))
  const shop = create('shop', ['./shop.ts', server.url, ...[seed, orders, rate, Date.now()].map(String)])
  await shop.start()
  screen.event('▶', `${orders} orders in ${seconds} s, seed ${seed}`)

  if (process.stdout.isTTY)
    screen.say('            Kill any process of the table yourself, the server too: it is started again.')
  const seen = watch(highwater)
  const drawing = setInterval(() => screen.show({ ...seen, orders, processes: running }), 200)
  await Promise.race([harm([server.process, shop, ...workers], seen), aborted(stopping.signal)])
  await Promise.race([drained(seen), aborted(stopping.signal)])
  clearInterval(drawing)
  screen.show({ ...seen, orders, processes: running })
  screen.end()
  if (failures.length === 0) await tell(highwater, stock)
} catch (error) {
  failures.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
} finally {
  stopping.abort()
  screen.end()
  // The server last: the others say good-bye to it.
  await Promise.all(running.slice(1).map((one) => one.stop()))
  await running[0]?.stop()
  await rm(directory, { recursive: true, force: true })
}
for (const failure of failures) screen.event('!', failure)
process.exit(failures.length === 0 ? 0 : 1)

/** The first process; killed, it comes back at the same address with what it had on its disk. */
async function startServer(): Promise<{ readonly url: string; readonly process: Process }> {
  const data = ['--data', join(directory, 'data')]
  const first = new Process('server', ['../../functions/highwater.js', 'start', '--port', '0', ...data], () => {})
  const url = await first.start(listens)
  await first.stop()
  const port = new URL(url).port
  const server = create('server', ['../../functions/highwater.js', 'start', '--port', port, ...data])
  await server.start(listens)
  return { url, process: server }
}

/** Kills one after the other, and starts it again a moment later; until all orders are placed, or it has been enough. */
async function harm(processes: readonly Process[], seen: { readonly counts: ReadonlyMap<string, number> }) {
  const untilMs = performance.now() + seconds * 2_000
  const isPlaced = () => (seen.counts.get('placed') ?? 0) >= orders
  while (!isPlaced() && performance.now() < untilMs && !stopping.signal.aborted) {
    await sleep(500 + dice() * 900)
    // The server now and then, the others all alike.
    const victim = dice() < 0.1 ? processes[0]! : processes[1 + Math.floor(dice() * (processes.length - 1))]!
    if (victim.isDone || isPlaced() || stopping.signal.aborted) continue
    await victim.kill()
    screen.event('✗', `${victim.name} was killed`)
    await sleep(100 + dice() * 900)
    await comeBack(victim)
  }
  const placed = isPlaced() ? `All ${orders} orders are placed` : 'That was enough'
  screen.event('✔', `${placed}. Nobody is killed any more.`)
}

/** Reads along in all topics, for those who look. */
function watch(highwater: Highwater): { readonly counts: ReadonlyMap<string, number>; readonly final: number } {
  const counts = new Map<string, number>()
  const seen = { counts, final: 0 }
  for (const topic of topics) {
    for (const state of decidedIn[topic]) counts.set(state, 0)
    const known = new Set<string>()
    for (let partition = 0; partition < partitions; partition++)
      void (async () => {
        for await (const { value } of highwater.reader({ topic, partition, signal: stopping.signal })) {
          const order = json<Decided>(value)
          if (order === null || known.has(order.id)) continue
          known.add(order.id)
          if (topic === 'shipping') seen.final++
          if (decidedIn[topic].includes(order.state)) counts.set(order.state, (counts.get(order.state) ?? 0) + 1)
        }
      })().catch((error: unknown) => failures.push(`reading along in ${topic}: ${error}`))
  }
  return seen
}

async function drained(seen: { readonly final: number }): Promise<void> {
  const untilMs = performance.now() + drainMsMax
  while (seen.final < orders && performance.now() < untilMs) await sleep(50)
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

/** Reads everything once more, from the beginning, and says what came of it. */
async function tell(highwater: Highwater, stock: number): Promise<void> {
  let writtenAgain = 0
  const books = Object.fromEntries(
    await Promise.all(
      topics.map(async (topic) => {
        const numbers = Array.from({ length: partitions }, (_, partition) => partition)
        const read = (partition: number) => bookOf(highwater, topic, partition, () => writtenAgain++)
        return [topic, await Promise.all(numbers.map(read))] as const
      }),
    ),
  ) as unknown as Books
  const ids = Array.from({ length: orders }, (_, at) => orderOf(seed, at + 1).id)
  const { placed, shipped, declined, soldOut, faults } = judge(books, ids, stock)
  failures.push(...faults.slice(0, 10))
  if (faults.length > 10) failures.push(`and ${faults.length - 10} more`)
  const kills = running.reduce((sum, one) => sum + one.kills, 0)
  const repeats = running.reduce((sum, one) => sum + one.repeats, 0)
  const row = (count: number, text: string) => `  ${String(count).padStart(6)}  ${text}`
  screen.say('')
  screen.say(row(placed, 'orders were placed'))
  screen.say(row(shipped, 'of them were shipped'))
  screen.say(row(declined, 'were declined by the bank'))
  screen.say(row(soldOut, 'came when everything was sold'))
  screen.say('')
  screen.say(
    row(kills, `processes were killed with -9 (${running.map(({ name, kills: of }) => `${name} ${of}`).join(', ')})`),
  )
  screen.say(row(repeats, 'orders came to a service once more, and it knew them'))
  screen.say(row(writtenAgain, 'decisions were written once more, and only the first counts'))
  screen.say('')
  if (faults.length === 0)
    screen.say('✔ Each order ended exactly once, in one final state, and all topics agree about it.')
}
