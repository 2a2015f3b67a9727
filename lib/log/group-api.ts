/**
 * Consumer groups as the faces see them: what members do (join, heartbeat, poll, commit, leave) and what those who look after
 * groups do (list, describe, lag, reset, delete). Nothing runs between requests: any process serves any member.
 *
 * A member's day: `join`; then again and again `heartbeat` or `poll` with the epoch it knows and the claims it holds; when the
 * epoch has changed, the answer says what to take up (with a claim and the offset to begin at) and what to let go of; letting go
 * is leaving a partition out of `holding` next time. `commit` passes for as long as the claim stands (O1).
 */
import type { AssignorName } from '../core/assignor.ts'
import type { GroupState, Subscription } from '../core/group.ts'
import type { EpochMs, GroupId, GroupName, MemberId, Offset, TopicId } from '../core/names.ts'
import type { Answer, Fetched, Refusal } from './log.ts'

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export interface NamedPartition extends TopicPartition {
  readonly topicId: TopicId
}

export interface JoinRequest {
  readonly group: string
  /** Fresh for every joining; a repeat of the same joining has the same. @default one is made */
  readonly memberId?: string
  /**
   * Of a member that changes its subscription: that of its last answer. It is UNKNOWN_MEMBER_ID then if it was evicted meanwhile,
   * instead of becoming a member again while it believes to hold what others have by now (G4). @default it joins
   */
  readonly epoch?: number
  readonly instanceId?: string
  readonly clientId?: string
  readonly subscription: Subscription
  readonly sessionTimeoutMs?: number
  readonly rebalanceTimeoutMs?: number
  /** @default 'cooperative-sticky' */
  readonly assignor?: AssignorName
}

/** A partition that is the member's to read. Where it holds it by another claim, that one is over: it begins anew, at this offset. */
export interface Assigned extends NamedPartition {
  /** To be shown at every commit. */
  readonly claim: string
  /** Committed last; undefined where nothing was. */
  readonly offset?: Offset
  readonly metadata?: string
}

export interface Membership {
  readonly groupId: GroupId
  readonly memberId: MemberId
  /** What the member knows when it has read this answer, and says with the next heartbeat. 0, also from a member that lost a claim: look at everything. */
  readonly epoch: number
  /** Newly taken up: claimed for the member just now. The others it holds, it keeps. */
  readonly assigned: readonly Assigned[]
  /** Of what it holds: to be let go of, after a last commit. */
  readonly revoked: readonly HeldPartition[]
  /** Of what it holds: lost. Another has taken it over, or it is gone; commits no longer pass. */
  readonly lost: readonly HeldPartition[]
  /** True where there was more to claim than one answer holds: send the next heartbeat at once. */
  readonly isIncomplete: boolean
  readonly heartbeatIntervalMs: number
}

/** Meant by its topic's id: of a topic that is gone, the name may be empty, or mean another topic. */
export type HeldPartition = TopicPartition & { readonly topicId: TopicId }

export interface Holding {
  readonly topicId: TopicId
  readonly partition: number
  readonly claim: string
}

export interface HeartbeatRequest {
  readonly group: string
  readonly memberId: string
  /** Of the last answer. */
  readonly epoch: number
  /** Everything the member reads at present, and what was revoked and not yet let go of. */
  readonly holding: readonly Holding[]
}

export interface Position extends Holding {
  readonly topic: string
  /** Where to go on; undefined: held, but not wanted now (paused, or being revoked). */
  readonly offset?: Offset
}

export interface PollRequest {
  readonly group: string
  readonly memberId: string
  readonly epoch: number
  readonly holding: readonly Position[]
  /** Of all partitions together. @default `fetchBytesMax` */
  readonly bytesMax?: number
  /** Wait until there is this much, or `waitMs` is over. @default 1 */
  readonly bytesMin?: number
  readonly recordsMax?: number
  /** @default 0 */
  readonly waitMs?: number
  readonly signal?: AbortSignal
}

export interface Polled {
  /** Set where the group has changed. Where it has something to do for the member, it comes at once and without records. */
  readonly membership?: Membership
  /** Only partitions with something to say: records, or a refusal of their own (OFFSET_OUT_OF_RANGE). */
  readonly partitions: readonly PolledPartition[]
}
export type PolledPartition = TopicPartition & (({ readonly ok: true } & Fetched) | Refusal)

/** Several partitions without a group: what `poll` does once membership is settled. */
export interface FetchManyRequest {
  readonly partitions: readonly (TopicPartition & { readonly offset: Offset; readonly topicId?: TopicId })[]
  readonly bytesMax?: number
  readonly bytesMin?: number
  readonly recordsMax?: number
  readonly waitMs?: number
  readonly signal?: AbortSignal
}

export interface OffsetToCommit extends TopicPartition {
  /** The next offset to read. */
  readonly offset: Offset
  readonly metadata?: string
  /** Of the member that commits. Without one, the group must have no members (manual assignment). */
  readonly claim?: string
  /** Refused when the name now means another topic than this. */
  readonly topicId?: TopicId
}

export type CommittedOffset = TopicPartition &
  ({ readonly ok: true; readonly topicId: TopicId; readonly offset: Offset; readonly metadata: string } | Refusal)

export interface StoredOffset extends TopicPartition {
  readonly topicId: TopicId
  readonly offset: Offset
  readonly metadata: string
  readonly committedMs: EpochMs
}

export interface GroupSummary {
  readonly group: GroupName
  readonly groupId: GroupId
  readonly state: GroupState
  readonly epoch: number
  readonly members: number
}

export interface MemberDescription {
  readonly memberId: MemberId
  readonly instanceId?: string
  readonly clientId?: string
  readonly subscription: Subscription
  readonly assignor: AssignorName
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  /** What it may read now. */
  readonly assigned: readonly NamedPartition[]
  /** What it will have when the rebalance is over. */
  readonly target: readonly NamedPartition[]
  /** Of its last stored heartbeat. */
  readonly beatMs?: EpochMs
}

export interface GroupDescription extends GroupSummary {
  readonly assignor: AssignorName
  readonly memberList: readonly MemberDescription[]
}

export interface PartitionLag extends TopicPartition {
  readonly topicId: TopicId
  /** Undefined: nothing committed. */
  readonly currentOffset?: Offset
  readonly startOffset: Offset
  readonly endOffset: Offset
  /** `endOffset - currentOffset`; without a committed offset, all there is to read. */
  readonly lag: number
  readonly memberId?: MemberId
  readonly clientId?: string
  readonly instanceId?: string
  readonly metadata: string
}

export type ResetTo =
  | { readonly to: 'earliest' }
  | { readonly to: 'latest' }
  | { readonly to: 'offset'; readonly offset: Offset }
  /** The first record at or after that time; the end where there is none. */
  | { readonly to: 'time'; readonly timestampMs: EpochMs }
  /** From the committed offset on, by so many, within what is there. */
  | { readonly to: 'shift'; readonly by: number }
  /** To what is committed now, within what is there. */
  | { readonly to: 'current' }

export interface ResetRequest {
  readonly group: string
  /** A topic alone means all of its partitions. */
  readonly topics: readonly { readonly topic: string; readonly partitions?: readonly number[] }[] | 'all'
  readonly to: ResetTo
  /** Say what would be done, change nothing. */
  readonly isDryRun?: boolean
}

export interface Groups {
  join(request: JoinRequest): Promise<Answer<Membership>>
  heartbeat(request: HeartbeatRequest): Promise<Answer<Membership>>
  /** A heartbeat and a fetch of everything the member holds, in one: a poll is the heartbeat. */
  poll(request: PollRequest): Promise<Answer<Polled>>
  /** What it owned is free at once. A member that is not there has left: no error. */
  leave(group: string, memberId: string): Promise<Answer<object>>

  /** One answer per offset, in order; a refusal of the whole request is a `Refusal`. */
  commit(
    group: string,
    offsets: readonly OffsetToCommit[],
  ): Promise<Answer<{ readonly offsets: readonly CommittedOffset[] }>>
  /** Committed offsets of existing topics: all, or of these partitions, as far as there are any. GROUP_ID_NOT_FOUND where the group does not exist. */
  committed(
    group: string,
    partitions?: readonly TopicPartition[],
  ): Promise<Answer<{ readonly offsets: readonly StoredOffset[] }>>

  list(): Promise<Answer<{ readonly groups: readonly GroupSummary[] }>>
  describe(group: string): Promise<Answer<{ readonly group: GroupDescription }>>
  /** Of every partition that is subscribed to or has a committed offset. */
  lags(group: string): Promise<Answer<{ readonly lags: readonly PartitionLag[] }>>
  /** NON_EMPTY_GROUP while there are members. Makes the group where there is none. */
  reset(
    request: ResetRequest,
  ): Promise<
    Answer<{ readonly offsets: readonly (TopicPartition & { readonly offset: Offset; readonly before?: Offset })[] }>
  >
  deleteOffsets(
    group: string,
    partitions: readonly TopicPartition[] | { readonly topic: string },
  ): Promise<Answer<{ readonly deleted: number }>>
  /** NON_EMPTY_GROUP while there are members. */
  delete(group: string): Promise<Answer<object>>
}
