/** Looking after consumer groups: the part of the client that is for people and tools, not for consumers. */
import type { AssignorName } from '../core/assignor.ts'
import type { GroupState } from '../core/group.ts'
import type { TopicPartition } from './consumer-partitions.ts'
import { type Ask, jsonOf, type Transport } from './transport.ts'

export interface GroupSummary {
  readonly group: string
  /** Identity of this incarnation of the group. */
  readonly groupId: string
  /** `Reconciling`: partitions are on their way from one member to another. */
  readonly state: GroupState
  /** Kafka's generation. */
  readonly epoch: number
  readonly memberCount: number
}

export interface GroupMember {
  readonly memberId: string
  readonly instanceId: string | undefined
  readonly clientId: string | undefined
  /** What it subscribes to. */
  readonly topics: readonly string[] | undefined
  readonly pattern: string | undefined
  readonly assignor: AssignorName
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  /** What it may read now. */
  readonly assigned: readonly TopicPartition[]
  /** What it will have when the rebalance is over. */
  readonly target: readonly TopicPartition[]
  /** Of its last stored heartbeat, in milliseconds since 1970. */
  readonly beatMs: number | undefined
}

export interface GroupDescription extends GroupSummary {
  readonly assignor: AssignorName
  readonly members: readonly GroupMember[]
}

export interface GroupOffset extends TopicPartition {
  /** The next offset to read. */
  readonly offset: number
  readonly metadata: string
  readonly committedMs: number
}

export interface GroupLag extends TopicPartition {
  /** What was committed; undefined where nothing was. */
  readonly currentOffset: number | undefined
  readonly startOffset: number
  readonly endOffset: number
  /** Without a committed offset, all there is to read. */
  readonly lag: number
  /** Who reads the partition now. */
  readonly memberId: string | undefined
  readonly clientId: string | undefined
  readonly instanceId: string | undefined
}

export interface ResetOffsets {
  /** Topics with all their partitions, or some; `'all'`: what the group has committed offsets of. */
  readonly topics: readonly (string | { readonly topic: string; readonly partitions?: readonly number[] })[] | 'all'
  /** `current`: what is committed, brought within what can be read. `shift`: from the committed offset on. */
  readonly to:
    | 'earliest'
    | 'latest'
    | 'current'
    | { readonly offset: number }
    | { readonly timestampMs: number }
    | { readonly shift: number }
  /** Say what would be done, change nothing. @default false */
  readonly isDryRun?: boolean
}

export interface ResetOffset extends TopicPartition {
  readonly offset: number
  /** What was committed before. */
  readonly before: number | undefined
}

type OrNull<Value> = Value | null

interface SaidGroup {
  readonly group: string
  readonly group_id: string
  readonly state: GroupState
  readonly epoch: number
  readonly member_count: number
}

interface SaidMember {
  readonly member_id: string
  readonly instance_id: OrNull<string>
  readonly client_id: OrNull<string>
  readonly topics?: readonly string[]
  readonly topic_pattern?: string
  readonly assignor: AssignorName
  readonly session_timeout_ms: number
  readonly rebalance_timeout_ms: number
  readonly assigned: readonly TopicPartition[]
  readonly target: readonly TopicPartition[]
  readonly beat_ms: OrNull<number>
}

interface SaidLag extends TopicPartition {
  readonly current_offset: OrNull<number>
  readonly start_offset: number
  readonly end_offset: number
  readonly lag: number
  readonly member_id: OrNull<string>
  readonly client_id: OrNull<string>
  readonly instance_id: OrNull<string>
}

/**
 * Manages consumer groups; {@link Admin.groups}.
 *
 * @example
 * for (const { topic, partition, lag } of await highwater.admin.groups.lags('billing')) console.log(topic, partition, lag)
 */
export class GroupAdmin {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /**
   * The groups there are, by name.
   *
   * @example
   * console.log((await highwater.admin.groups.list()).map(({ group, state }) => `${group} ${state}`))
   */
  async list(): Promise<GroupSummary[]> {
    const said = await this.#read<{ readonly groups: readonly SaidGroup[] }>(['groups'])
    return said.groups.map(summaryOf)
  }

  /**
   * A group and its members: GROUP_ID_NOT_FOUND.
   *
   * @example
   * const { members } = await highwater.admin.groups.describe('billing')
   */
  async describe(group: string): Promise<GroupDescription> {
    const said = await this.#read<SaidGroup & { readonly assignor: AssignorName; readonly members: SaidMember[] }>([
      'groups',
      group,
    ])
    return { ...summaryOf(said), assignor: said.assignor, members: said.members.map(memberOf) }
  }

  /**
   * How far a group is behind, in each partition that it subscribes to or has committed an offset of: GROUP_ID_NOT_FOUND.
   *
   * @example
   * const lags = await highwater.admin.groups.lags('billing')
   */
  async lags(group: string): Promise<GroupLag[]> {
    const said = await this.#read<{ readonly lags: readonly SaidLag[] }>(['groups', group, 'lags'])
    return said.lags.map((lag) => ({
      topic: lag.topic,
      partition: lag.partition,
      currentOffset: lag.current_offset ?? undefined,
      startOffset: lag.start_offset,
      endOffset: lag.end_offset,
      lag: lag.lag,
      memberId: lag.member_id ?? undefined,
      clientId: lag.client_id ?? undefined,
      instanceId: lag.instance_id ?? undefined,
    }))
  }

  /**
   * What a group has committed: GROUP_ID_NOT_FOUND.
   *
   * @example
   * const offsets = await highwater.admin.groups.offsets('billing')
   */
  async offsets(group: string): Promise<GroupOffset[]> {
    interface Said extends TopicPartition {
      readonly offset: number
      readonly metadata: string
      readonly committed_ms: number
    }
    const said = await this.#read<{ readonly offsets: readonly Said[] }>(['groups', group, 'offsets'])
    return said.offsets.map(({ topic, partition, offset, metadata, committed_ms: committedMs }) => ({
      topic,
      partition,
      offset,
      metadata,
      committedMs,
    }))
  }

  /**
   * Sets the offsets of a group without members, which need not exist yet: NON_EMPTY_GROUP, UNKNOWN_TOPIC.
   *
   * @example
   * await highwater.admin.groups.resetOffsets('billing', { topics: ['orders'], to: 'earliest' })
   */
  async resetOffsets(group: string, { topics, to, isDryRun = false }: ResetOffsets): Promise<ResetOffset[]> {
    const body = {
      topics: topics === 'all' ? topics : topics.map((topic) => (typeof topic === 'string' ? { topic } : topic)),
      to: typeof to === 'object' && 'timestampMs' in to ? { timestamp_ms: to.timestampMs } : to,
      dry_run: isDryRun,
    }
    const answer = await this.#change({
      method: 'POST',
      path: ['groups', group, 'offsets:reset'],
      body: JSON.stringify(body),
    })
    interface Said extends TopicPartition {
      readonly offset: number
      readonly before: OrNull<number>
    }
    const said = jsonOf<{ readonly offsets: readonly Said[] }>(answer, 'Resetting offsets')
    return said.offsets.map(({ topic, partition, offset, before }) => ({
      topic,
      partition,
      offset,
      before: before ?? undefined,
    }))
  }

  /**
   * Forgets what a group has committed of a topic, or of one of its partitions; answers how many there were:
   * GROUP_ID_NOT_FOUND, GROUP_SUBSCRIBED_TO_TOPIC.
   *
   * @example
   * await highwater.admin.groups.deleteOffsets('billing', 'orders')
   */
  async deleteOffsets(group: string, topic: string, partition?: number): Promise<number> {
    const answer = await this.#change({
      method: 'DELETE',
      path: ['groups', group, 'offsets'],
      query: { topic, partition },
    })
    return jsonOf<{ readonly deleted: number }>(answer, 'Deleting offsets').deleted
  }

  /**
   * Deletes a group with its offsets: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP.
   *
   * @example
   * await highwater.admin.groups.delete('billing')
   */
  async delete(group: string): Promise<void> {
    await this.#change({ method: 'DELETE', path: ['groups', group] })
  }

  async #read<Value>(path: string[]): Promise<Value> {
    const ask: Ask = { method: 'GET', path, headers: { accept: 'application/json' } }
    return jsonOf<Value>(await this.#transport.askUntilAnswered(ask, true), `GET /${path.join('/')}`)
  }

  #change(ask: Ask) {
    const headers = {
      accept: 'application/json',
      ...(ask.body === undefined ? {} : { 'content-type': 'application/json' }),
    }
    return this.#transport.askUntilAnswered({ ...ask, headers }, false)
  }
}

function summaryOf({ group, group_id, state, epoch, member_count }: SaidGroup): GroupSummary {
  return { group, groupId: group_id, state, epoch, memberCount: member_count }
}

function memberOf(said: SaidMember): GroupMember {
  const named = ({ topic, partition }: TopicPartition) => ({ topic, partition })
  return {
    memberId: said.member_id,
    instanceId: said.instance_id ?? undefined,
    clientId: said.client_id ?? undefined,
    topics: said.topics,
    pattern: said.topic_pattern,
    assignor: said.assignor,
    sessionTimeoutMs: said.session_timeout_ms,
    rebalanceTimeoutMs: said.rebalance_timeout_ms,
    assigned: said.assigned.map(named),
    target: said.target.map(named),
    beatMs: said.beat_ms ?? undefined,
  }
}
