/** The part of a log that reads records and offsets. */
import type { Engine } from './engine.ts'
import { fetch, liveHead } from './fetch.ts'
import { fetchMany } from './fetch-many.ts'
import type { Log } from './log.ts'
import { offsetForTimestamp } from './offset-for-timestamp.ts'

export function fetchPart({
  context,
  topics,
  chunks,
  answer,
  ending,
}: Engine): Pick<Log, 'fetch' | 'fetchMany' | 'offsets' | 'offsetForTimestamp'> {
  return {
    fetch: (request) => answer(() => fetch(context, topics, chunks, { ...request, signal: ending(request.signal) })),
    fetchMany: (request) =>
      answer(() => fetchMany(context, topics, chunks, { ...request, signal: ending(request.signal) })),
    offsets: (topic, partition) =>
      answer(async () => {
        const found = await liveHead(context, topics, topic, partition)
        if (!found.ok) return found
        const { head } = found
        return { ok: true, topicId: found.topic.id, startOffset: head.start, highWatermark: head.hw }
      }),
    offsetForTimestamp: (topic, partition, timestampMs) =>
      answer(() => offsetForTimestamp(context, topics, chunks, topic, partition, timestampMs)),
  }
}
