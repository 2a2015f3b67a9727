/** Puts the use cases of groups together, but for the poll, which reads records (part-groups.ts). */
import type { Engine } from './engine.ts'
import { GroupAdmin } from './group-admin.ts'
import type { Groups } from './group-api.ts'
import { GroupMembers } from './group-members.ts'
import { GroupOffsets } from './group-offsets.ts'
import { GroupStore } from './group-store.ts'

export interface MadeGroups {
  readonly groups: Omit<Groups, 'poll'>
  readonly members: GroupMembers
  readonly admin: GroupAdmin
}

export function createGroups({ context, topics, chunks, answer }: Engine): MadeGroups {
  const store = new GroupStore(context)
  const offsets = new GroupOffsets(context, store, topics)
  const members = new GroupMembers(context, store, offsets, topics)
  const admin = new GroupAdmin(context, store, members, offsets, topics, chunks)
  store.removeBelongings = async (id) => {
    await members.removeAll(id)
    await offsets.remove(id, () => true)
  }
  const groups: MadeGroups['groups'] = {
    join: (request) => answer(() => members.join(request), 'unseen'),
    heartbeat: (request) => answer(() => members.heartbeat(request), 'unseen'),
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
  return { groups, members, admin }
}
