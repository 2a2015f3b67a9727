/** The offsets of a partition: its range, and the offset of a time. */
import { jsonOf, type Transport } from './transport.ts'

/** What can be read: from `startOffset` up to, not including, `endOffset`. */
export interface Offsets {
  readonly startOffset: number
  readonly endOffset: number
}

/** The first record at or after a time; both undefined where there is none. */
export interface OffsetAtTime extends Offsets {
  readonly offset: number | undefined
  readonly timestampMs: number | undefined
}

interface Said {
  readonly beginning_offset: number
  readonly end_offset: number
  readonly offset?: number
  readonly timestamp?: number
}

export async function offsetsOf(
  transport: Transport,
  topic: string,
  partition: number,
  signal?: AbortSignal,
): Promise<Offsets> {
  const said = await ask(transport, topic, partition, undefined, signal)
  return { startOffset: said.beginning_offset, endOffset: said.end_offset }
}

export async function offsetAtOrAfter(
  transport: Transport,
  topic: string,
  partition: number,
  timestampMs: number,
  signal?: AbortSignal,
): Promise<OffsetAtTime> {
  const said = await ask(transport, topic, partition, Math.max(0, timestampMs), signal)
  const isFound = said.offset !== undefined && said.offset >= 0
  return {
    startOffset: said.beginning_offset,
    endOffset: said.end_offset,
    offset: isFound ? said.offset : undefined,
    timestampMs: isFound ? said.timestamp : undefined,
  }
}

async function ask(
  transport: Transport,
  topic: string,
  partition: number,
  timestamp: number | undefined,
  signal: AbortSignal | undefined,
): Promise<Said> {
  const path = ['topics', topic, 'partitions', String(partition), 'offsets']
  const answer = await transport.askUntilAnswered({ method: 'GET', path, query: { timestamp }, signal }, true)
  return jsonOf<Said>(answer, `GET /${path.join('/')}`)
}
