/** Leader leases of partitions, by conditional writes to the head. Losing one costs speed, never records (D5). */
import type { Refusal } from '../core/errors.ts'
import { refusal } from '../core/errors.ts'
import type { LeaseCommand } from '../core/head.ts'
import { isLeaseExpired } from '../core/lease.ts'
import type { Context } from './context.ts'
import { liveHead } from './fetch.ts'
import type { Answer, LeaseGrant } from './log.ts'
import type { Topics } from './topics.ts'

/** Takes the lease if nobody holds it, it ran out, or `owner` held it before; each taking raises the epoch (L1). */
export async function acquireLease(
  context: Context,
  topics: Topics,
  topic: string,
  partition: number,
  owner: string,
  isExclusive: boolean,
): Promise<Answer<LeaseGrant>> {
  const found = await liveHead(context, topics, topic, partition)
  if (!found.ok) return found
  const { head } = found
  const nowMs = context.clock.now()
  if (!isLeaseExpired(head.lease, nowMs) && head.lease?.owner !== owner)
    return refusal(
      'FENCED_LEADER_EPOCH',
      `Partition ${partition} of topic '${topic}' is led by '${head.lease?.owner}', epoch ${head.leaseEpoch}.`,
      { epoch: head.leaseEpoch, retryAfterMs: Math.max(0, (head.lease?.untilMs ?? nowMs) - nowMs) },
    )
  return write(context, found.key, {
    kind: 'lease',
    act: 'take',
    claim: { owner, seenEpoch: head.leaseEpoch, untilMs: nowMs + context.settings.leaseDurationMs, isExclusive },
  })
}

export function renewLease(
  context: Context,
  topics: Topics,
  topic: string,
  partition: number,
  owner: string,
  epoch: number,
): Promise<Answer<LeaseGrant>> {
  const untilMs = context.clock.now() + context.settings.leaseDurationMs
  const claim = { owner, seenEpoch: epoch, untilMs, isExclusive: false }
  return writeAsHolder(context, topics, topic, partition, { kind: 'lease', act: 'renew', claim })
}

export function releaseLease(
  context: Context,
  topics: Topics,
  topic: string,
  partition: number,
  owner: string,
  epoch: number,
): Promise<Answer<object>> {
  const claim = { owner, seenEpoch: epoch, untilMs: 0, isExclusive: false }
  return writeAsHolder(context, topics, topic, partition, { kind: 'lease', act: 'release', claim })
}

/** The holder needs no look at the head: its epoch is the condition. */
async function writeAsHolder(
  context: Context,
  topics: Topics,
  topic: string,
  partition: number,
  command: LeaseCommand,
): Promise<Answer<LeaseGrant>> {
  const found = await topics.resolve(topic)
  if (!found.ok) return found
  return write(context, { topicId: found.topic.id, partition }, command)
}

async function write(
  context: Context,
  key: Parameters<Context['metadata']['updateHead']>[0],
  command: LeaseCommand,
): Promise<Answer<LeaseGrant> | Refusal> {
  const answer = await context.persist(() => context.metadata.updateHead(key, command))
  const { head } = answer
  if (head !== undefined) context.heads.note(head)
  const { claim, act } = command
  const epoch = act === 'take' ? claim.seenEpoch + 1 : claim.seenEpoch
  // Refused although the lease stands as claimed: an earlier attempt, whose answer got lost, was the write.
  const isOurs =
    head?.lease?.owner === claim.owner && head.lease.epoch === epoch && head.lease.untilMs === claim.untilMs
  const isReleased = act === 'release' && head !== undefined && head.lease === undefined && head.leaseEpoch === epoch
  if (answer.applied || isOurs || isReleased) return { ok: true, topicId: key.topicId, epoch, untilMs: claim.untilMs }
  if (head === undefined || head.isDeleted)
    return refusal('UNKNOWN_TOPIC', `The topic of partition ${key.partition} is being deleted.`)
  return refusal(
    'FENCED_LEADER_EPOCH',
    `The lease of partition ${key.partition} is now of epoch ${head.leaseEpoch}${head.lease === undefined ? '' : `, held by '${head.lease.owner}'`}.`,
    { epoch: head.leaseEpoch },
  )
}
