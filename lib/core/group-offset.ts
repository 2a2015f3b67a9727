/**
 * A group's progress in one partition, and who may change it.
 *
 * O1 An offset item carries a claim. A commit counts only with a claim that *equals* it: a comparison of epochs would let a
 *    member through whose partition was revoked in the same epoch, or that of a group deleted and made again.
 * O2 A claim is replaced only by one of a later epoch of the group: who read the group long ago, and goes on now, is refused.
 *    Claiming again what one has changes nothing, so that it can be repeated.
 * O3 Whoever changes offsets from outside (reset, a commit without a member) puts a claim of its own in place: nobody's late
 *    commit passes it.
 *
 * Each of these rules decides what is written on the condition that the item is still the one that was judged.
 */
import type { EpochMs, GroupId, MemberId, Offset } from './names.ts'

/** Who may commit: a member, since an epoch of its group. `member` is empty where the change came from outside. */
export interface Claim {
  readonly member: MemberId | ''
  readonly epoch: number
}

export interface GroupOffset {
  /** The next offset to read. Absent: nothing was committed yet. */
  readonly offset?: Offset
  /** What the committer wanted to find again, up to `offsetMetadataCharactersMax`. */
  readonly metadata?: string
  readonly committedMs?: EpochMs
  readonly claim?: Claim
}

/** Kafka's `offset.metadata.max.bytes`. */
export const offsetMetadataCharactersMax = 4_096

export interface Commit {
  readonly offset: Offset
  readonly metadata: string
}

export type ClaimDecision =
  | { readonly kind: 'claimed'; readonly next: GroupOffset }
  /** It has this claim already. */
  | { readonly kind: 'standing' }
  | { readonly kind: 'fenced'; readonly by: Claim }

/** May this member, which owns the partition in the group's `claim.epoch`, begin? (O2) */
export function decideClaim(present: GroupOffset | undefined, claim: Claim): ClaimDecision {
  const standing = present?.claim
  if (standing !== undefined && standing.epoch >= claim.epoch)
    return standing.member === claim.member ? { kind: 'standing' } : { kind: 'fenced', by: standing }
  return { kind: 'claimed', next: { ...present, claim } }
}

export type CommitDecision =
  | { readonly kind: 'committed'; readonly next: GroupOffset }
  | { readonly kind: 'fenced'; readonly by: Claim | undefined }

/** May this claim commit in this group? (O1) */
export function decideCommit(
  present: GroupOffset | undefined,
  groupId: GroupId,
  claim: CarriedClaim,
  commit: Commit,
  nowMs: EpochMs,
): CommitDecision {
  if (claim.incarnation !== incarnationOf(groupId)) return { kind: 'fenced', by: undefined }
  const standing = present?.claim
  if (standing === undefined || standing.member !== claim.member || standing.epoch !== claim.epoch)
    return { kind: 'fenced', by: standing }
  return { kind: 'committed', next: committed(commit, standing, nowMs) }
}

/**
 * May offsets be changed from outside the group's members, by somebody who saw the group without members in this epoch? (O3)
 * Refused where a member has claimed since.
 */
export function decideCommitFromOutside(
  present: GroupOffset | undefined,
  epoch: number,
  commit: Commit,
  nowMs: EpochMs,
): CommitDecision {
  const standing = present?.claim
  if (standing !== undefined && standing.epoch > epoch) return { kind: 'fenced', by: standing }
  return { kind: 'committed', next: committed(commit, { member: '', epoch }, nowMs) }
}

function committed({ offset, metadata }: Commit, claim: Claim, committedMs: EpochMs): GroupOffset {
  return { offset, ...(metadata === '' ? {} : { metadata }), committedMs, claim }
}

/** A claim as members carry it, with the incarnation of the group that it is of: member ids and epochs may be the same in the next (D6). */
export interface CarriedClaim extends Claim {
  readonly member: MemberId
  readonly incarnation: string
}

/** What tells the incarnations of a group apart in a claim: the first of the 22 characters of its id, 48 random bits. */
export function incarnationOf(groupId: GroupId): string {
  return groupId.slice(0, 8)
}

/** `<epoch>-<incarnation>-<member id>` */
export function formatClaim(incarnation: string, { member, epoch }: Claim): string {
  return `${epoch}-${incarnation}-${member}`
}

/** Undefined where it is no claim. */
export function parseClaim(text: string): CarriedClaim | undefined {
  const match = /^([0-9]{1,15})-([a-zA-Z0-9_-]{8})-([a-zA-Z0-9._-]{1,100})$/.exec(text)
  if (match === null) return undefined
  return { epoch: Number(match[1]), incarnation: match[2]!, member: match[3] as MemberId }
}
