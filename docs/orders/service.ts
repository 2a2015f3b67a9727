/**
 * A service: a member of its group, a process of its own. It can be killed anywhere in here.
 *
 * Consumers are at least once: after a crash some orders come again. What makes them count once is that the service's memory
 * *is* the topic it writes: whoever takes over a partition first reads what was decided there, and leaves alone what was.
 *
 *     node docs/orders/service.ts <url> <payment | inventory | shipping> <number> <stock>
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Highwater, json, type TopicPartition } from '../../lib/client/highwater.ts'
import { bookOf } from './book.ts'
import { type Book, type Decided, services } from './order.ts'

const [url = '', name = '', number = '', stock = ''] = process.argv.slice(2)
const service = services.find((one) => one.name === name)
if (service === undefined) throw new Error(`there is no service '${name}'`)

const highwater = new Highwater({ url, retryDelayMsMax: 500 })
const producer = highwater.producer({ lingerMs: 0 })
const books = new Map<number, Book>()
const stop = new AbortController()
process.on('SIGTERM', () => stop.abort())
process.on('disconnect', () => process.exit())

const consumer = highwater.consumer({
  group: service.name,
  topics: [service.reads],
  // A static member: started again under this name, it goes on at once with the partitions that it had.
  instanceId: `${service.name}-${number}`,
  signal: stop.signal,
  onAssigned: async (assigned) => {
    for (const { partition } of assigned) books.set(partition, await bookOf(highwater, service.writes, partition))
  },
  onRevoked: forget,
  onLost: forget,
})

function forget(gone: readonly TopicPartition[]): void {
  for (const { partition } of gone) books.delete(partition)
}

for await (const { partition, value } of consumer) {
  const order = json<Decided>(value)
  const book = books.get(partition)
  if (order === null || book === undefined) throw new Error(`a record of partition ${partition} that nobody should see`)
  if (book.has(order.id)) {
    process.send?.('repeat')
    continue
  }
  await sleep(2 + Math.random() * 6) // the bank, the warehouse, the post: with the order's id as their idempotency key
  const decided: Decided = { ...order, state: service.decide(order, book, Number(stock)) }
  await producer.send({ topic: service.writes, partition, key: order.id, value: JSON.stringify(decided) })
  book.set(order.id, decided)
  process.send?.('decided')
  // Asking for the next record says that this one is done: only now may it be committed.
}
await producer.close()
process.disconnect?.()
