/** Delete records before an offset: raises the log start. What lies below is no longer answered; the sweep frees its bytes later. */
import { refusal } from '../core/errors.ts'
import type { Offset } from '../core/names.ts'
import type { Context } from './context.ts'
import { liveHead } from './fetch.ts'
import type { Answer } from './log.ts'
import type { Topics } from './topics.ts'

/** `beforeOffset` -1 means the end. An offset at or below the log start changes nothing. */
export async function trim(
  context: Context,
  topics: Topics,
  topic: string,
  partition: number,
  beforeOffset: Offset,
): Promise<Answer<{ startOffset: Offset }>> {
  const found = await liveHead(context, topics, topic, partition)
  if (!found.ok) return found
  const start = beforeOffset === -1 ? found.head.hw : beforeOffset
  if (!Number.isSafeInteger(start) || start < 0 || start > found.head.hw)
    return refusal(
      'OFFSET_OUT_OF_RANGE',
      `Records before offset ${beforeOffset} cannot be deleted: partition ${partition} of topic '${topic}' ends before ${found.head.hw}.`,
      { startOffset: found.head.start, endOffset: found.head.hw },
    )
  const answer = await context.persist(() => context.metadata.updateHead(found.key, { kind: 'trim', start }))
  if (answer.head !== undefined) context.heads.note(answer.head)
  if (answer.head?.isDeleted === true) return refusal('UNKNOWN_TOPIC', `Topic '${topic}' is being deleted.`)
  return { ok: true, startOffset: Math.max(start, answer.head?.start ?? start) }
}
