/** Everything that was decided in one partition of a topic. */
import { type Highwater, json } from '../../lib/client/highwater.ts'
import type { Book, Decided, Topic } from './order.ts'

/** Reads the partition from its beginning to its present end. Where an order is there twice, the first counts. */
export async function bookOf(
  highwater: Highwater,
  topic: Topic,
  partition: number,
  onRepeat: (order: Decided) => void = () => {},
): Promise<Book> {
  const book: Book = new Map()
  const { endOffset } = await highwater.admin.offsets(topic, partition)
  if (endOffset === 0) return book
  const reader = highwater.reader({ topic, partition })
  for await (const { value, offset } of reader) {
    const order = json<Decided>(value)
    if (order !== null && !book.has(order.id)) book.set(order.id, order)
    else if (order !== null) onRepeat(order)
    if (offset + 1 >= endOffset) break
  }
  return book
}
