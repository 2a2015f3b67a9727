/**
 * The shop: places orders at a steady rate. Killed and started again, it reads which orders are there and goes on with the others.
 *
 *     node docs/orders/shop.ts <url> <seed> <orders> <orders per second> <opened, ms since 1970>
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Highwater } from '../../lib/client/highwater.ts'
import { bookOf } from './book.ts'
import { orderOf, partitions } from './order.ts'

const [url = '', seed = '', orders = '', perSecond = '', openedMs = ''] = process.argv.slice(2)
const highwater = new Highwater({ url, retryDelayMsMax: 500 })
const producer = highwater.producer({ lingerMs: 0 })
process.on('disconnect', () => process.exit())

const placed = new Set<string>()
for (let partition = 0; partition < partitions; partition++)
  for (const id of (await bookOf(highwater, 'orders', partition)).keys()) placed.add(id)

for (let number = 1; number <= Number(orders); number++) {
  const order = orderOf(Number(seed), number)
  if (placed.has(order.id)) continue
  // What could not be placed while the shop was down is placed at once.
  await sleep(Number(openedMs) + (1_000 * number) / Number(perSecond) - Date.now())
  await producer.send({ topic: 'orders', key: order.id, value: JSON.stringify(order) })
  process.send?.('decided')
}
await producer.close()
process.send?.('done')
process.disconnect?.()
