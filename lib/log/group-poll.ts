/** A poll: a member's heartbeat and a fetch of everything it holds in one, for as long as neither has anything to say. */
import type { Context } from './context.ts'
import type { FetchManyRequest, Membership, Polled, PolledPartition, PollRequest } from './group-api.ts'
import type { GroupMembers } from './group-members.ts'
import type { Answer } from './log.ts'

export type FetchMany = (
  request: FetchManyRequest,
) => Promise<Answer<{ readonly partitions: readonly PolledPartition[] }>>

export async function poll(
  context: Context,
  members: GroupMembers,
  fetchMany: FetchMany,
  request: PollRequest,
): Promise<Answer<Polled>> {
  const { clock, settings } = context
  const first = await members.heartbeat(request)
  if (!first.ok) return first
  if (hasDuties(first)) return { ok: true, membership: first, partitions: [] }
  const waitMs = Math.min(request.waitMs ?? 0, settings.fetchWaitMsMax)
  const { epoch } = first

  /** Set when the group has something to say while records are waited for. */
  let news: Answer<Membership> | undefined
  const isOver = new AbortController()
  const isInterrupted = new AbortController()
  const interrupt = () => isInterrupted.abort()
  request.signal?.addEventListener('abort', interrupt)

  /** Looks at the group now and then, and when it was changed in this process. Beats while it waits. */
  const watch = async () => {
    while (!isOver.signal.aborted) {
      const woken = new AbortController()
      const wake = () => woken.abort()
      isOver.signal.addEventListener('abort', wake)
      const unwatch = context.groups.watch(request.group, wake)
      await clock.sleep(settings.groupPollMs, woken.signal)
      unwatch()
      isOver.signal.removeEventListener('abort', wake)
      if (isOver.signal.aborted) return
      const again = await members.heartbeat({ ...request, epoch })
      if (again.ok && again.epoch === epoch && !hasDuties(again)) continue
      news = again
      interrupt()
      return
    }
  }

  let failure: unknown
  // Nobody waits for it while records are waited for: that it failed is kept until somebody does.
  const watching = (waitMs > 0 ? watch() : Promise.resolve()).catch((error: unknown) => {
    failure = error
    interrupt()
  })
  try {
    const wanted = request.holding.flatMap(({ topic, topicId, partition, offset }) =>
      offset === undefined ? [] : [{ topic, topicId, partition, offset }],
    )
    const fetched = await fetchMany({
      partitions: wanted,
      waitMs,
      signal: isInterrupted.signal,
      ...(request.bytesMax === undefined ? {} : { bytesMax: request.bytesMax }),
      ...(request.bytesMin === undefined ? {} : { bytesMin: request.bytesMin }),
      ...(request.recordsMax === undefined ? {} : { recordsMax: request.recordsMax }),
    })
    isOver.abort()
    await watching
    if (failure !== undefined) throw failure
    if (!fetched.ok) return fetched
    // Who was evicted gets no records: its next poll would not go on from them.
    if (news !== undefined && !news.ok) return news
    const { partitions } = fetched
    // Records first: what the group has to say, the next poll says.
    if (partitions.length === 0 && news !== undefined) return { ok: true, membership: news, partitions }
    return { ok: true, partitions, ...(epoch === request.epoch ? {} : { membership: first }) }
  } finally {
    isOver.abort()
    request.signal?.removeEventListener('abort', interrupt)
    await watching
  }
}

/** Whether there is something for the member to do. */
function hasDuties({ assigned, revoked, lost, isIncomplete }: Membership): boolean {
  return isIncomplete || assigned.length > 0 || revoked.length > 0 || lost.length > 0
}
