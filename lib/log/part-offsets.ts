/** The part of a log that says where a partition begins and ends, and what was when. */
import { countedAs, type Engine } from './engine.ts'
import { liveHead } from './fetch.ts'
import type { Log } from './log.ts'
import { offsetForTimestamp } from './offset-for-timestamp.ts'

export function offsetsPart(engine: Engine): Pick<Log, 'offsets' | 'offsetForTimestamp'> {
  const { context, topics, chunks, answer } = countedAs('fetch', engine)
  return {
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
