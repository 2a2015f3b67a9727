/** What became of the orders, judged from the topics alone: by whoever was not there. */
import type { Book, Decided, Topic } from './order.ts'
import { articles, reserved, topics } from './order.ts'

/** Of each topic, what each partition holds; and how many records were there that said something again. */
export type Books = Readonly<Record<Topic, readonly Book[]>>

export interface Verdict {
  readonly placed: number
  readonly shipped: number
  readonly declined: number
  readonly soldOut: number
  /** Empty: each order ended exactly once, and all topics agree about it. */
  readonly faults: readonly string[]
}

/** @param ids of all orders that were to be placed */
export function judge(books: Books, ids: readonly string[], stock: number): Verdict {
  const faults: string[] = []
  const merged = Object.fromEntries(topics.map((topic) => [topic, merge(topic, books[topic], faults)])) as Record<
    Topic,
    Book
  >
  const expected = new Set(ids)
  for (const topic of topics)
    for (const id of merged[topic].keys()) if (!expected.has(id)) faults.push(`${topic} has ${id}, which nobody placed`)
  let shipped = 0
  let declined = 0
  let soldOut = 0
  for (const id of ids) {
    const states = topics.map((topic) => merged[topic].get(id)?.state)
    const missing = topics.filter((_, at) => states[at] === undefined)
    const way = states.join(' → ')
    if (missing.length > 0) faults.push(`${id} is not in ${missing.join(', ')}`)
    else if (way === 'placed → paid → reserved → shipped') shipped++
    else if (way === 'placed → declined → declined → cancelled') declined++
    else if (way === 'placed → paid → sold out → cancelled') soldOut++
    else faults.push(`${id} went ${way}`)
  }
  for (const [warehouse, book] of books.inventory.entries())
    for (const article of articles) {
      const count = reserved(book, article)
      if (count > stock) faults.push(`warehouse ${warehouse} promised ${count} of ${stock} ${article}s`)
    }
  return { placed: merged.orders.size, shipped, declined, soldOut, faults }
}

function merge(topic: Topic, books: readonly Book[], faults: string[]): Book {
  const all = new Map<string, Decided>()
  for (const book of books)
    for (const [id, order] of book) {
      if (all.has(id)) faults.push(`${id} is in two partitions of ${topic}`)
      all.set(id, order)
    }
  return all
}
