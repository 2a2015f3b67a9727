/** How much is stored, by topic: asked of heads and rows when somebody wants to know, and of no more of them than it may cost. */
import type { Stored, StoredOfTopic } from '../core/cost-report.ts'
import { tailEntries, tailStart } from '../core/head.ts'
import { decodeReference } from '../core/reference.ts'
import type { Context } from './context.ts'
import { rowsDown } from './rows.ts'
import type { Topics } from './topics.ts'

/** D8: what one question may read. */
export interface StoredLimits {
  /** Heads. @default 1,000 */
  readonly partitionsMax?: number
  /** @default 10,000 */
  readonly rowsMax?: number
}

/** Bytes of the records that are there. What waits for the sweep is not in it, nor is the metadata. */
export async function storedByTopic(
  context: Context,
  topics: Topics,
  { partitionsMax = 1_000, rowsMax = 10_000 }: StoredLimits = {},
): Promise<Stored> {
  const stored: StoredOfTopic[] = []
  let partitionsLeft = partitionsMax
  let rowsLeft = rowsMax
  let isWhole = true
  for (const topic of await topics.list()) {
    let objectBytes = 0
    let inlineBytes = 0
    const add = (ref: Parameters<typeof decodeReference>[0]) => {
      const { lengthBytes, isInline } = decodeReference(ref)
      if (isInline === true) inlineBytes += lengthBytes
      else objectBytes += lengthBytes
    }
    for (let partition = 0; partition < topic.partitions; partition++) {
      if (partitionsLeft === 0) {
        isWhole = false
        break
      }
      partitionsLeft--
      const head = await context.persist(() => context.metadata.readHead({ topicId: topic.id, partition }))
      if (head === undefined || head.isDeleted) continue
      for (const { ref } of tailEntries(head)) add(ref)
      // Rows that a merge has covered and not deleted yet end within the one above them.
      let first = tailStart(head)
      for await (const { row } of rowsDown(context, head, first - 1, head.start)) {
        if (rowsLeft === 0) {
          isWhole = false
          break
        }
        rowsLeft--
        if (row.last >= first) continue
        for (const { ref } of row.chunks) add(ref)
        first = row.first
      }
    }
    stored.push({ topicId: topic.id, name: topic.name, objectBytes, inlineBytes })
  }
  return { topics: stored, isWhole }
}
