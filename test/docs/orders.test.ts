/** What the order pipeline of docs/example-orders.md decides, and that its audit sees what is wrong. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { type Books, judge } from '../../docs/orders/audit.ts'
import {
  type Book,
  type Decided,
  orderOf,
  partitions,
  type State,
  services,
  stockFor,
  type Topic,
  topics,
} from '../../docs/orders/order.ts'

const count = 400
const stock = stockFor(count)
const ids = Array.from({ length: count }, (_, at) => orderOf(7, at + 1).id)

/** The pipeline without crashes. */
function pipeline(): Record<Topic, Book[]> {
  const books = Object.fromEntries(
    topics.map((topic) => [topic, Array.from({ length: partitions }, (): Book => new Map())]),
  ) as Record<Topic, Book[]>
  for (let number = 1; number <= count; number++) {
    const order = orderOf(7, number)
    books.orders[number % partitions]!.set(order.id, order)
  }
  for (const service of services)
    for (let partition = 0; partition < partitions; partition++) {
      const book = books[service.writes][partition]!
      for (const order of books[service.reads][partition]!.values())
        book.set(order.id, { ...order, state: service.decide(order, book, stock) })
    }
  return books
}

const faultsOf = (spoil: (books: Record<Topic, Book[]>) => void): readonly string[] => {
  const books = pipeline()
  spoil(books)
  return judge(books as Books, ids, stock).faults
}
const change = (book: Book, id: string, state: State) => book.set(id, { ...(book.get(id) as Decided), state })

describe('the order pipeline', () => {
  it('ends each order once: shipped, declined or sold out, and there are some of each', () => {
    const { placed, shipped, declined, soldOut, faults } = judge(pipeline(), ids, stock)
    assert.deepEqual(faults, [])
    assert.deepEqual([placed, shipped + declined + soldOut], [count, count])
    for (const some of [shipped, declined, soldOut]) assert.ok(some >= count / 40, `${some}`)
  })

  it('has the same order under the same number, whoever asks', () => {
    assert.deepEqual(orderOf(7, 12), orderOf(7, 12))
    assert.notDeepEqual(orderOf(7, 12), { ...orderOf(8, 12) })
  })

  it('its page shows the service as it is', async () => {
    const read = (path: string) => readFile(new URL(`../../docs/${path}`, import.meta.url), 'utf8')
    const [page, program] = await Promise.all([read('example-orders.md'), read('orders/service.ts')])
    const shown = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code ?? '')
    assert.equal(shown.length, 1)
    for (const code of shown) assert.ok(program.includes(code), code)
  })

  it('its audit finds what is missing, what nobody placed, what is in two partitions, what disagrees, and what was promised twice', () => {
    const id = ids[4]!
    const [at, other] = [5 % partitions, (5 + 1) % partitions]
    assert.match(faultsOf(({ shipping }) => shipping[at]!.delete(id)).join(), /order-00005 is not in shipping/)
    assert.match(faultsOf(({ orders }) => orders[0]!.set('x', { ...orderOf(7, 1), id: 'x' })).join(), /nobody placed/)
    assert.match(
      faultsOf(({ payments }) => payments[other]!.set(id, payments[at]!.get(id)!)).join(),
      /order-00005 is in two partitions of payments/,
    )
    assert.match(faultsOf(({ shipping }) => change(shipping[at]!, id, 'reserved')).join(), /order-00005 went/)
    assert.match(
      faultsOf(({ inventory }) => {
        for (const each of inventory[at]!.keys()) change(inventory[at]!, each, 'reserved')
      }).join(),
      /warehouse 1 promised/,
    )
  })
})
