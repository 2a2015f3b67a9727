/** The verification of a log by who administers it: what is stored is held against itself, a piece a request. */
import type { Finding, VerifiedLeftovers, VerifiedPiece, VerifiedTopics, VerifyCounts } from '../core/verify-rule.ts'
import { jsonOf, type Transport } from './transport.ts'

interface SaidTopics extends Pick<VerifiedTopics, 'findings' | 'next'> {
  readonly topics: readonly {
    readonly topic: string
    readonly topic_id: VerifiedPiece['topicId']
    readonly partitions: number
  }[]
}

interface SaidPiece {
  readonly topic: string
  readonly topic_id: VerifiedPiece['topicId']
  readonly partition: number
  readonly start_offset: number
  readonly high_watermark: number
  readonly from_offset: number
  readonly counts: VerifyCounts
  readonly findings: readonly Finding[]
  readonly cursor?: string
}

interface SaidLeftovers extends Pick<VerifiedLeftovers, 'findings' | 'unnamed'> {
  readonly is_whole: boolean
}

export interface VerifyPieceOptions {
  /** Of the piece before. @default the partition's end */
  readonly cursor?: string
  /** Decompress and walk the records, too. @default false */
  readonly isDeep?: boolean
  readonly signal?: AbortSignal
}

/**
 * Looks for damage; {@link Admin.verification}. Changes nothing.
 *
 * @example
 * let cursor: string | undefined
 * do {
 *   const piece = await highwater.admin.verification.partition('orders', 0, { ...(cursor && { cursor }) })
 *   for (const finding of piece.findings) console.log(finding.severity, finding.code, finding.message)
 *   cursor = piece.cursor
 * } while (cursor !== undefined)
 */
export class Verification {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** A page of topics, by name, their items checked. @param after `next` of the page before */
  async topics(after?: string): Promise<VerifiedTopics> {
    const said = await this.#read<SaidTopics>(['verify', 'topics'], after === undefined ? {} : { after })
    const { topics, ...rest } = said
    return {
      ...rest,
      topics: topics.map(({ topic, topic_id, partitions }) => ({ name: topic, topicId: topic_id, partitions })),
    }
  }

  /** A piece of a partition, from its end towards its start: UNKNOWN_TOPIC, UNKNOWN_PARTITION. */
  async partition(topic: string, partition: number, options: VerifyPieceOptions = {}): Promise<VerifiedPiece> {
    const { cursor, isDeep, signal } = options
    const path = ['verify', 'topics', topic, 'partitions', String(partition)]
    const query = { ...(cursor === undefined ? {} : { cursor }), ...(isDeep === true ? { deep: 'true' } : {}) }
    const said = await this.#read<SaidPiece>(path, query, signal)
    return {
      topic: said.topic,
      topicId: said.topic_id,
      partition: said.partition,
      startOffset: said.start_offset,
      highWatermark: said.high_watermark,
      fromOffset: said.from_offset,
      counts: said.counts,
      findings: said.findings,
      ...(said.cursor === undefined ? {} : { cursor: said.cursor }),
    }
  }

  /** What nothing names any more, and the next sweep would take. */
  async leftovers(): Promise<VerifiedLeftovers> {
    const { findings, unnamed, is_whole } = await this.#read<SaidLeftovers>(['verify', 'leftovers'], {})
    return { findings, unnamed, isWhole: is_whole }
  }

  async #read<Value>(path: string[], query: Record<string, string>, signal?: AbortSignal): Promise<Value> {
    const ask = { method: 'GET', path, query, headers: { accept: 'application/json' }, signal } as const
    return jsonOf<Value>(await this.#transport.askUntilAnswered(ask, true), `Verifying ${path.slice(1).join('/')}`)
  }
}
