/**
 * A consumer as a process: `node group-member.ts <url> <group> <name> <file> <topic>…`. What happens to it is a line of the file, written
 * before anything that follows from it can happen: `<ms> <name> <what> …`
 *
 *     A topic partition             assigned
 *     R topic partition             about to be let go of
 *     L topic partition             lost
 *     P topic partition from to     processed: these offsets, without a gap
 *     C topic partition offset      committed, and answered
 *     E                             ended, as it was asked to
 */
import { openSync, writeSync } from 'node:fs'
import { Highwater, type TopicPartition } from '../../lib/client/highwater.ts'

// Before there is a file: who has written one can be asked to stop.
const stop = new AbortController()
process.on('SIGTERM', () => stop.abort())

const [url = '', group = '', name = '', file = '', ...topics] = process.argv.slice(2)
const lines = openSync(file, 'a')

function note(...words: (string | number)[]): void {
  writeSync(lines, `${Date.now()} ${name} ${words.join(' ')}\n`)
}

const noteAll = (what: string) => (partitions: readonly TopicPartition[]) => {
  for (const { topic, partition } of partitions) note(what, topic, partition)
}

interface Committed {
  readonly topic: string
  readonly partition: number
  readonly offset?: number
}

async function fetchAndNote(input: string, init: RequestInit): Promise<Response> {
  const response = await fetch(input, init)
  if (init.method === 'POST' && input.endsWith('/offsets') && response.ok) {
    const { offsets } = (await response.clone().json()) as { offsets: Committed[] }
    for (const { topic, partition, offset } of offsets) if (offset !== undefined) note('C', topic, partition, offset)
  }
  return response
}

const consumer = new Highwater({ url, fetch: fetchAndNote, retryDelayMs: 50, retryDelayMsMax: 500 }).consumer({
  group,
  topics,
  clientId: name,
  sessionTimeoutMs: 6_000,
  autoCommitIntervalMs: 500,
  waitMs: 5_000,
  onAssigned: noteAll('A'),
  onRevoked: noteAll('R'),
  onLost: noteAll('L'),
  signal: stop.signal,
})

for (let records = await consumer.poll(); records !== undefined; records = await consumer.poll()) {
  const ranges = new Map<string, { readonly topic: string; readonly partition: number; from: number; to: number }>()
  for (const { topic, partition, offset } of records) {
    const key = `${topic}/${partition}`
    const range = ranges.get(key)
    if (range !== undefined && range.to === offset - 1) {
      range.to = offset
      continue
    }
    // A gap, or a step back, becomes a line of its own: who reads the file will see it.
    if (range !== undefined) note('P', topic, partition, range.from, range.to)
    ranges.set(key, { topic, partition, from: offset, to: offset })
  }
  for (const { topic, partition, from, to } of ranges.values()) note('P', topic, partition, from, to)
}
note('E')
