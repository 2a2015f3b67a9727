/** Puts the use cases of groups together. */
import type { Refusal } from '../core/errors.ts'
import type { Chunks } from './chunks.ts'
import type { Context } from './context.ts'
import { fetchMany } from './fetch-many.ts'
import { GroupAdmin } from './group-admin.ts'
import type { Groups } from './group-api.ts'
import { GroupMembers } from './group-members.ts'
import { GroupOffsets } from './group-offsets.ts'
import { poll } from './group-poll.ts'
import { GroupStore } from './group-store.ts'
import type { Topics } from './topics.ts'

/** Makes refusals of the world's failures. `unseen`: a repeat is harmless, or nothing was changed. */
export type Answering = <Value>(
  work: () => Promise<Value | Refusal>,
  effects?: 'seen' | 'unseen',
) => Promise<Value | Refusal>

export function createGroups(
  context: Context,
  topics: Topics,
  chunks: Chunks,
  answer: Answering,
  closing: AbortSignal,
): { readonly groups: Groups; readonly admin: GroupAdmin } {
  const store = new GroupStore(context)
  const offsets = new GroupOffsets(context, store, topics)
  const members = new GroupMembers(context, store, offsets, topics)
  const admin = new GroupAdmin(context, store, members, offsets, topics, chunks)
  store.removeBelongings = async (id) => {
    await members.removeAll(id)
    await offsets.remove(id, () => true)
  }
  const groups: Groups = {
    join: (request) => answer(() => members.join(request), 'unseen'),
    heartbeat: (request) => answer(() => members.heartbeat(request), 'unseen'),
    poll: (request) =>
      answer(() => {
        const signal = request.signal === undefined ? closing : AbortSignal.any([request.signal, closing])
        return poll(context, members, (wanted) => fetchMany(context, topics, chunks, wanted), { ...request, signal })
      }, 'unseen'),
    leave: (group, memberId) => answer(() => members.leave(group, memberId), 'unseen'),

    commit: (group, wanted) => answer(() => admin.commit(group, wanted)),
    committed: (group, partitions) => answer(() => admin.committed(group, partitions), 'unseen'),

    list: () => answer(() => admin.list(), 'unseen'),
    describe: (group) => answer(() => admin.describe(group), 'unseen'),
    lags: (group) => answer(() => admin.lags(group), 'unseen'),
    reset: (request) => answer(() => admin.reset(request)),
    deleteOffsets: (group, partitions) => answer(() => admin.deleteOffsets(group, partitions)),
    delete: (group) => answer(() => admin.delete(group), 'unseen'),
  }
  return { groups, admin }
}
