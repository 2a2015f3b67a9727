/**
 * What a consumer asks of its group, one request each, and which of them may be repeated:
 *
 *     join        a repeat carries the same member id, and changes nothing
 *     heartbeat   says what the member holds now; what it let go of counts only with the group's present epoch
 *     poll        a heartbeat, and a fetch, which changes nothing
 *     commit      passes for as long as the claim stands, so that a repeat writes the same again; but an older commit must not
 *                 be repeated after a newer one, hence one at a time (consumer-commits.ts)
 *     leave       a member that is not there has left
 *
 * So whatever fails in passing may be sent again, also where nobody knows whether it was carried out.
 */
import { type ErrorCode, errorCatalogue } from '../core/errors.ts'
import {
  isData,
  isMembership,
  isPartitionFault,
  type MembershipText,
  type PartitionFault,
  type PartitionText,
  pollType,
  readPollFrame,
} from '../core/poll-frame.ts'
import type { LogRecord } from '../core/record-batch.ts'
import type { ClientCodecs } from './compression.ts'
import { asHighwaterError, HighwaterError } from './error.ts'
import { decodeBatches, recordOfJson, type SaidRecord } from './fetched-records.ts'
import { type AnswerRead, type Ask, jsonOf, type Transport } from './transport.ts'

const jsonType = 'application/json'

/** As the group's routes take it: what is not given is left to the server. */
export interface JoinBody {
  readonly member_id: string
  readonly instance_id?: string
  readonly client_id?: string
  readonly topics?: readonly string[]
  readonly topic_pattern?: string
  readonly assignor?: string
  readonly session_timeout_ms?: number
  readonly rebalance_timeout_ms?: number
}

export interface HoldingText extends PartitionText {
  readonly claim: string
  /** Where to go on; absent: held, but not wanted now. */
  readonly offset?: number
}

export interface PollAsk {
  readonly epoch: number
  readonly holding: readonly HoldingText[]
  readonly waitMs: number
  readonly bytesMax: number
  readonly bytesMin?: number
  readonly decompressedBytesMax: number
  readonly signal: AbortSignal
  /** The server decompresses: for what this platform cannot. */
  readonly isPlain: boolean
}

export interface PolledRecords extends PartitionText {
  /** From the offset that was asked for on. */
  readonly records: readonly LogRecord[]
  readonly nextOffset: number
  readonly startOffset: number
  readonly highWatermark: number
}

export interface Polled {
  readonly membership?: MembershipText
  readonly partitions: readonly PolledRecords[]
  readonly faults: readonly PartitionFault[]
  /** Batches that need a codec that is not here: ask again, with `isPlain`. */
  readonly isUnsupported: boolean
}

export interface CommitText extends PartitionText {
  readonly offset: number
  readonly claim: string
  readonly metadata?: string
}

/** In order: undefined where the offset was committed. */
export type CommitOutcome = PartitionFault | undefined

export class GroupCalls {
  readonly #transport: Transport
  readonly #codecs: ClientCodecs
  readonly #group: string

  constructor(transport: Transport, codecs: ClientCodecs, group: string) {
    this.#transport = transport
    this.#codecs = codecs
    this.#group = group
  }

  async join(body: JoinBody, signal: AbortSignal): Promise<MembershipText> {
    return this.#membership(await this.#transport.ask(this.#post(['members'], body, signal)), 'Joining')
  }

  async heartbeat(
    memberId: string,
    epoch: number,
    holding: readonly HoldingText[],
    signal: AbortSignal,
  ): Promise<MembershipText> {
    const ask = this.#post(['members', memberId, 'heartbeat'], { epoch, holding }, signal)
    return this.#membership(await this.#transport.ask(ask), 'A heartbeat')
  }

  async poll(memberId: string, poll: PollAsk): Promise<Polled> {
    const { epoch, holding, waitMs, bytesMax, bytesMin, signal, isPlain } = poll
    const body = {
      epoch,
      holding,
      wait_ms: waitMs,
      max_bytes: bytesMax,
      ...(bytesMin === undefined ? {} : { min_bytes: bytesMin }),
    }
    const answer = await this.#transport.ask({
      ...this.#post(['members', memberId, 'poll'], body, signal, isPlain ? jsonType : pollType),
      timeoutMs: this.#transport.options.timeoutMs + waitMs,
    })
    return isPlain ? readJson(answer) : this.#readFrame(answer, poll)
  }

  /** Each offset once, in order; the whole request is one answer. */
  async commit(offsets: readonly CommitText[], signal?: AbortSignal): Promise<CommitOutcome[]> {
    const answer = await this.#transport.ask(this.#post(['offsets'], { offsets }, signal))
    const said = jsonOf<{ readonly offsets?: unknown }>(answer, 'A commit').offsets
    if (!Array.isArray(said) || said.length !== offsets.length) throw unexpected('A commit', answer)
    return said.map((outcome: unknown) => (isPartitionFault(outcome) ? outcome : undefined))
  }

  async leave(memberId: string): Promise<void> {
    await this.#transport.ask({ method: 'DELETE', path: ['groups', this.#group, 'members', memberId] })
  }

  #post(path: readonly string[], body: object, signal: AbortSignal | undefined, accept = jsonType): Ask {
    return {
      method: 'POST',
      path: ['groups', this.#group, ...path],
      headers: { accept, 'content-type': jsonType },
      body: JSON.stringify(body),
      signal,
    }
  }

  #membership(answer: AnswerRead, asked: string): MembershipText {
    const said: unknown = jsonOf(answer, asked)
    if (!isMembership(said)) throw unexpected(asked, answer)
    return said
  }

  async #readFrame(answer: AnswerRead, { holding, decompressedBytesMax }: PollAsk): Promise<Polled> {
    if (answer.headers.get('content-type') !== pollType) throw unexpected('A poll', answer)
    const frame = readPollFrame(answer.body)
    if (!frame.ok) throw damaged(frame.message)
    const offsets = new Map(holding.map((held) => [keyOf(held), held.offset ?? 0]))
    const partitions: PolledRecords[] = []
    const faults: PartitionFault[] = []
    let isUnsupported = false
    for (const [index, partition] of frame.header.partitions.entries()) {
      if (!isData(partition)) {
        faults.push(partition)
        continue
      }
      const from = offsets.get(keyOf(partition)) ?? 0
      const { next_offset: nextOffset, start_offset: startOffset, high_watermark: highWatermark } = partition
      const bytes = frame.batches[index] ?? new Uint8Array(0)
      const decoded = await decodeBatches(bytes, from, nextOffset, this.#codecs, decompressedBytesMax)
      if (decoded.ok)
        partitions.push({ ...partition, records: decoded.records, nextOffset, startOffset, highWatermark })
      else if (decoded.reason === 'unsupported') isUnsupported = true
      else throw damaged(`${partition.topic}/${partition.partition} has a damaged batch: ${decoded.message}.`)
    }
    const { membership } = frame.header
    return { partitions, faults, isUnsupported, ...(membership === undefined ? {} : { membership }) }
  }
}

interface SaidPartition extends PartitionText {
  readonly next_offset: number
  readonly start_offset: number
  readonly high_watermark: number
  readonly records: readonly SaidRecord[]
}

function readJson(answer: AnswerRead): Polled {
  const said = jsonOf<{ readonly membership?: unknown; readonly partitions?: unknown }>(answer, 'A poll')
  const { membership, partitions } = said
  if (!Array.isArray(partitions) || (membership !== undefined && !isMembership(membership)))
    throw unexpected('A poll', answer)
  const read: PolledRecords[] = []
  const faults: PartitionFault[] = []
  for (const partition of partitions as unknown[]) {
    if (isPartitionFault(partition)) {
      faults.push(partition)
      continue
    }
    const { records, next_offset, start_offset, high_watermark, ...names } = partition as SaidPartition
    read.push({
      ...names,
      records: records.map(recordOfJson),
      nextOffset: next_offset,
      startOffset: start_offset,
      highWatermark: high_watermark,
    })
  }
  return { partitions: read, faults, isUnsupported: false, ...(membership === undefined ? {} : { membership }) }
}

/** What a partition is known by: names may come to mean another topic. */
export function keyOf({ topic_id, partition }: Pick<PartitionText, 'topic_id' | 'partition'>): string {
  return `${topic_id}/${partition}`
}

/** The refusal of one partition as the error it would be of a request. */
export function errorOfFault(fault: PartitionFault): HighwaterError {
  const known = Object.hasOwn(errorCatalogue, fault.error)
  const code: ErrorCode | 'UNEXPECTED_ANSWER' = known ? fault.error : 'UNEXPECTED_ANSWER'
  const { retriable, effects, status } = known
    ? errorCatalogue[fault.error]
    : ({ retriable: true, effects: 'possible', status: 0 } as const)
  return new HighwaterError(code, `${fault.topic}/${fault.partition}: ${fault.message}`, {
    status,
    retriable,
    effects,
    ...(fault.start_offset === undefined ? {} : { startOffset: fault.start_offset }),
    ...(fault.high_watermark === undefined ? {} : { endOffset: fault.high_watermark }),
  })
}

/** May the call be sent again, as all of the calls above may that failed in passing? */
export function mayRepeat(error: HighwaterError): boolean {
  return error.retriable || error.code === 'OUTCOME_UNKNOWN'
}

/**
 * Sends until it is answered, for at most `forMs`.
 *
 * @param onRetry told of every failure that is tried again
 */
export async function untilAnswered<Value>(
  transport: Transport,
  call: () => Promise<Value>,
  forMs: number,
  signal: AbortSignal | undefined,
  onRetry?: (error: HighwaterError) => void,
): Promise<Value> {
  const { timing } = transport
  const untilMs = timing.now() + forMs
  for (let attempt = 0; ; attempt++) {
    try {
      return await call()
    } catch (thrown) {
      const error = asHighwaterError(thrown, 'A request to the group')
      const delayMs = transport.retryDelayMs(attempt, error.retryAfterMs)
      if (!mayRepeat(error) || timing.now() + delayMs >= untilMs || signal?.aborted) throw error
      onRetry?.(error)
      await transport.sleep(delayMs, signal)
    }
  }
}

function damaged(message: string): HighwaterError {
  return new HighwaterError('CORRUPT_MESSAGE', message, { retriable: true })
}

function unexpected(asked: string, answer: AnswerRead): HighwaterError {
  return new HighwaterError('UNEXPECTED_ANSWER', `${asked} was answered with something that no group answers`, {
    status: answer.status,
    retriable: true,
    effects: 'possible',
  })
}
