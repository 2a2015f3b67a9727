/**
 * What the services of the order pipeline decide. All of it is pure: an order and what was decided before go in, a decision
 * comes out.
 *
 *     shop ──orders──▶ payment ──payments──▶ inventory ──inventory──▶ shipping ──shipping──▶
 *
 * Every topic has the same number of partitions and the order's id as key, so an order is in the same partition of each.
 */
export const partitions = 4

export interface Order {
  readonly id: string
  readonly customer: string
  readonly article: Article
  readonly cents: number
}
export type Article = 'lamp' | 'chair' | 'table' | 'shelf'
export const articles: readonly Article[] = ['lamp', 'chair', 'table', 'shelf']

/** What every record says: the order, and what became of it so far. */
export interface Decided extends Order {
  readonly state: State
}
export type State = 'placed' | 'paid' | 'declined' | 'reserved' | 'sold out' | 'shipped' | 'cancelled'

/** What a service remembers of one partition: exactly what it wrote there, so that it can be read again after a crash. */
export type Book = Map<string, Decided>

export interface Service {
  readonly name: ServiceName
  readonly reads: Topic
  readonly writes: Topic
  decide(order: Decided, book: Book, stock: number): State
}
export type ServiceName = 'payment' | 'inventory' | 'shipping'
export type Topic = 'orders' | 'payments' | 'inventory' | 'shipping'
export const topics: readonly Topic[] = ['orders', 'payments', 'inventory', 'shipping']

/** Cards are good for this much. */
const centsMax = 90_000

export const services: readonly Service[] = [
  {
    name: 'payment',
    reads: 'orders',
    writes: 'payments',
    decide: ({ cents }) => (cents > centsMax ? 'declined' : 'paid'),
  },
  {
    name: 'inventory',
    reads: 'payments',
    writes: 'inventory',
    decide: ({ state, article }, book, stock) => {
      if (state !== 'paid') return state
      return reserved(book, article) < stock ? 'reserved' : 'sold out'
    },
  },
  {
    name: 'shipping',
    reads: 'inventory',
    writes: 'shipping',
    decide: ({ state }) => (state === 'reserved' ? 'shipped' : 'cancelled'),
  },
]

/** Of an article, in the warehouse of one partition. */
export function reserved(book: Book, article: Article): number {
  let count = 0
  for (const order of book.values()) if (order.article === article && order.state === 'reserved') count++
  return count
}

/** What each warehouse has of each article, so that about one order in eight comes too late. */
export function stockFor(orders: number): number {
  return Math.max(1, Math.ceil((orders * 0.8) / partitions / articles.length))
}

/** The order of this number, the same whenever it is asked for: a shop that was killed places the same orders again. */
export function orderOf(seed: number, number: number): Decided {
  const dice = diceOf(seed * 1_000_003 + number)
  return {
    id: `order-${String(number).padStart(5, '0')}`,
    customer: `customer-${1 + Math.floor(dice() * 50)}`,
    article: articles[Math.floor(dice() * articles.length)]!,
    cents: 500 + Math.floor(dice() * 99_500),
    state: 'placed',
  }
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function diceOf(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
