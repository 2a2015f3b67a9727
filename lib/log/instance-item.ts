/**
 * What is kept of an instance, and how it changes; pure.
 *
 *     idle ──subscribe──▶ subscribed, a member id chosen ──joined──▶ subscribed, holding what its group gave it
 *     idle ──assign──▶ holding what it was given, for as long as nobody says otherwise
 *
 * I1 Positions only move in the write that its records' answer waits for; of two requests at once on one instance one wins that
 *    write, and the other goes on from there: nothing is answered to both.
 * I2 A commit by itself is of positions that were there before the request: never of what this request delivers.
 * I3 A member id is stored before anybody joins under it, so that a joining whose answer was lost is repeated, not doubled.
 */
import type { Subscription } from '../core/group.ts'
import { formatClaim, parseClaim } from '../core/group-offset.ts'
import type { EpochMs, MemberId, Offset, TopicId } from '../core/names.ts'
import type { Membership, TopicPartition } from './group-api.ts'
import type { InstanceConfig } from './instance-api.ts'

export interface InstanceState {
  readonly config: InstanceConfig
  readonly principal?: string
  readonly createdMs: EpochMs
  /** Of about the last request: written at most once per third of the timeout. */
  readonly lastUsedMs: EpochMs
  /** Excludes `isManual`. */
  readonly subscription?: Subscription
  readonly member?: InstanceMember
  /** Its partitions were assigned by hand. */
  readonly isManual: boolean
  readonly holding: readonly Held[]
}

export interface InstanceMember {
  readonly id: MemberId
  /** False until it has joined with the present subscription. */
  readonly isJoined: boolean
  /** Of the group, as it was told last. */
  readonly epoch: number
}

export interface Held extends TopicPartition {
  /** Undefined where it was assigned by hand and not looked up yet. */
  readonly topicId?: TopicId
  /** Undefined where it was assigned by hand. */
  readonly claim?: string
  /** The next offset to deliver; undefined where that is not settled yet. */
  readonly position?: Offset
  /** What is known to be committed. */
  readonly committed?: Offset
}

export function heldKey({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

/** With its subscription; it joins with it at its next poll. */
export function subscribed(state: InstanceState, subscription: Subscription, freshId: MemberId): InstanceState {
  const member = state.member ?? { id: freshId, epoch: 0 }
  return { ...state, subscription, member: { ...member, isJoined: false } }
}

/** Without subscription, membership and partitions. */
export function released(state: InstanceState): InstanceState {
  const { subscription: _subscription, member: _member, ...rest } = state
  return { ...rest, isManual: false, holding: [] }
}

export function assigned(state: InstanceState, partitions: readonly TopicPartition[]): InstanceState {
  const present = new Map(state.holding.map((held) => [heldKey(held), held]))
  const holding = new Map<string, Held>()
  for (const { topic, partition } of partitions) {
    const key = heldKey({ topic, partition })
    holding.set(key, present.get(key) ?? { topic, partition })
  }
  return { ...state, isManual: true, holding: [...holding.values()] }
}

/**
 * After what the group told it. Who lets go of what was revoked has committed it: at the beginning of the same poll, and has
 * delivered nothing since (I2).
 *
 * @param isLettingGo whether what was revoked is let go of, by leaving it out of what is held
 */
export function informed(state: InstanceState, membership: Membership, isLettingGo: boolean): InstanceState {
  const { memberId, epoch, assigned: taken, lost, revoked } = membership
  const isNews = taken.length > 0 || lost.length > 0 || revoked.length > 0
  if (!isNews && state.member?.isJoined === true && state.member.epoch === epoch) return state
  const known = new Map(state.holding.map((held) => [idOf(held), held]))
  const holding = new Map(known)
  for (const partition of lost) holding.delete(idOf(partition))
  if (isLettingGo) for (const partition of revoked) holding.delete(idOf(partition))
  for (const { topic, topicId, partition, claim, offset } of taken) {
    const held = known.get(idOf({ topicId, partition }))
    const begun = offset === undefined ? {} : { position: offset, committed: offset }
    // What it has already it goes on with, if nobody has committed since: it only joined again, under the same id. A group that
    // was deleted and made again knows nothing of it (D6).
    const isKept =
      held !== undefined && (held.claim === claim || (held.committed === offset && isOfSameGroup(held.claim, claim)))
    holding.set(
      idOf({ topicId, partition }),
      isKept ? { ...held, claim } : { topic, topicId, partition, claim, ...begun },
    )
  }
  return {
    ...state,
    member: { id: memberId, isJoined: true, epoch },
    holding: [...holding.values()],
  }
}

function isOfSameGroup(a: string | undefined, b: string): boolean {
  return a !== undefined && parseClaim(a)?.incarnation === parseClaim(b)?.incarnation
}

function idOf({ topicId, partition }: Pick<Held, 'topicId' | 'partition'>): string {
  return `${topicId}/${partition}`
}

/** Without what it held as the member that it no longer is (its claims may stand until somebody takes over, but nobody keeps it to that). */
export function rejoining(state: InstanceState, freshId: MemberId): InstanceState {
  return { ...state, member: { id: freshId, isJoined: false, epoch: 0 }, holding: [] }
}

/** What became known of partitions, by `heldKey`; of those that are not held, nothing is kept. */
export function moved(
  state: InstanceState,
  changes: ReadonlyMap<string, Pick<Held, 'topicId' | 'position' | 'committed'>>,
): InstanceState {
  if (changes.size === 0) return state
  return { ...state, holding: state.holding.map((held) => ({ ...held, ...changes.get(heldKey(held)) })) }
}

/** Without partitions whose claim no longer stands; it asks its group about everything. */
export function fenced(state: InstanceState, keys: ReadonlySet<string>): InstanceState {
  if (keys.size === 0 || state.member === undefined) return state
  const holding = state.holding.filter((held) => !keys.has(heldKey(held)))
  return { ...state, member: { ...state.member, epoch: 0 }, holding }
}

/** With nothing known of these partitions, by `heldKey`, but their names. */
export function forgetting(state: InstanceState, keys: ReadonlySet<string>): InstanceState {
  if (keys.size === 0) return state
  const without = ({ topic, partition }: Held): Held => ({ topic, partition })
  return { ...state, holding: state.holding.map((held) => (keys.has(heldKey(held)) ? without(held) : held)) }
}

/** Whose position is not committed. */
export function uncommitted(state: InstanceState): readonly Held[] {
  return state.holding.filter(({ position, committed: at }) => position !== undefined && position !== at)
}

/** As it is stored: an instance that holds thousands of partitions must fit an item of 400 KB. */
export interface InstanceItem extends Omit<InstanceState, 'holding' | 'isManual'> {
  readonly isManual?: true
  readonly topics?: readonly HeldTopic[]
}
interface HeldTopic {
  readonly name: string
  readonly id?: TopicId
  /** The group's incarnation, that the claims are of. */
  readonly group?: string
  /** By partition: position, committed offset, epoch of the claim. */
  readonly partitions: Readonly<Record<string, readonly (number | null)[]>>
}

export function formatInstance({ holding, isManual, ...rest }: InstanceState): InstanceItem {
  const topics = new Map<
    string,
    { name: string; id?: TopicId; group?: string; partitions: Record<string, readonly (number | null)[]> }
  >()
  for (const { topic, topicId, partition, claim, position, committed: at } of holding) {
    const { epoch, incarnation } = (claim === undefined ? undefined : parseClaim(claim)) ?? {}
    const key = `${topic} ${topicId} ${incarnation}`
    let held = topics.get(key)
    if (held === undefined) {
      held = {
        name: topic,
        ...(topicId === undefined ? {} : { id: topicId }),
        ...(incarnation === undefined ? {} : { group: incarnation }),
        partitions: {},
      }
      topics.set(key, held)
    }
    held.partitions[partition] = [position ?? null, at ?? null, epoch ?? null]
  }
  return {
    ...rest,
    ...(isManual ? { isManual } : {}),
    ...(topics.size === 0 ? {} : { topics: [...topics.values()] }),
  }
}

export function parseInstance({ topics = [], isManual, ...rest }: InstanceItem): InstanceState {
  const member = rest.member?.id ?? ('' as MemberId)
  return {
    ...rest,
    isManual: isManual === true,
    holding: topics.flatMap(({ name, id, group, partitions }) =>
      Object.entries(partitions).map(
        ([partition, [position, at, epoch]]): Held => ({
          topic: name,
          partition: Number(partition),
          ...(id === undefined ? {} : { topicId: id }),
          ...(isNumber(epoch) && group !== undefined ? { claim: formatClaim(group, { member, epoch }) } : {}),
          ...(isNumber(position) ? { position } : {}),
          ...(isNumber(at) ? { committed: at } : {}),
        }),
      ),
    ),
  }
}

function isNumber(value: number | null | undefined): value is number {
  return typeof value === 'number'
}
