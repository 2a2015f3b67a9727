/**
 * Rules that were switched off one at a time, each of which the simulation must notice. What a rule is there for stands in
 * architecture.md of the design, sections 1 and 4 to 8; the checker was not made for them.
 */

import { keepsRecord, tombstonesGoBelow } from '../../lib/core/compaction-plan.ts'
import type { GroupText } from '../../lib/core/group.ts'
import { release } from '../../lib/core/group.ts'
import type { CarriedClaim, GroupOffset } from '../../lib/core/group-offset.ts'
import { decideCommit, incarnationOf } from '../../lib/core/group-offset.ts'
import type { AppendCommand, Head, HeadCommand, HeadDecision } from '../../lib/core/head.ts'
import { decideHead } from '../../lib/core/head.ts'
import type { Item, ItemKey } from '../../lib/core/items.ts'
import { groupsCollection } from '../../lib/core/items.ts'
import { spansToMerge } from '../../lib/core/merge-plan.ts'
import { judgeProducer } from '../../lib/core/producer.ts'
import type { ChunkReference } from '../../lib/core/reference.ts'
import type { Row } from '../../lib/core/row.ts'
import { findInRows, rowThatCounts } from '../../lib/core/row.ts'
import { judgeSegment } from '../../lib/core/sweep-rule.ts'
import type { ItemWrite } from '../../lib/ports.ts'
import { byPutTime, countedVersions, rowsBeforeTail, withoutFences } from './mutated-stores.ts'
import type { Mutation } from './simulate.ts'
import type { ChangeWrites } from './stores.ts'

type Decide = typeof decideHead

/** The rule for appends with a head, or a command, that is not quite what it is; what was hidden is there again afterwards. */
function appendsWith(change: (head: Head, command: AppendCommand) => Partial<Head> | AppendCommand): Decide {
  return (head, command) => {
    if (head === undefined || command.kind !== 'append') return decideHead(head, command)
    const changed = change(head, command)
    if ('kind' in changed) return decideHead(head, changed)
    const decision = decideHead({ ...head, ...changed }, command)
    if (!decision.ok) return decision
    const hidden = Object.fromEntries(Object.keys(changed).map((name) => [name, head[name as keyof Head]]))
    const { tail, hw, producers } = decision.next
    return { ok: true, next: { ...decision.next, ...hidden, tail, hw, producers } }
  }
}

function without<Value extends object>(value: Value, name: keyof Value): Value {
  const { [name]: _left, ...rest } = value
  return rest as Value
}

/** Writes of such items are done whatever is there. */
function unconditional(isMeant: (write: ItemWrite) => boolean): ChangeWrites {
  return (writes, metadata) =>
    Promise.all(
      writes.map(async (write): Promise<ItemWrite> => {
        if (!isMeant(write)) return write
        const present = await metadata.get(write.key)
        if (write.op === 'put') return { ...write, if: present === undefined ? 'absent' : { version: present.version } }
        return write.op === 'delete' && present !== undefined ? { ...write, if: { version: present.version } } : write
      }),
    )
}

function isIn(collection: string): (write: { readonly key: ItemKey }) => boolean {
  return ({ key }) => key.collection.startsWith(collection)
}

/** The claim that stands, as if somebody carried it. */
function standing(present: GroupOffset | undefined): Partial<CarriedClaim> {
  const claim = present?.claim
  return claim === undefined || claim.member === '' ? {} : { member: claim.member, epoch: claim.epoch }
}

export const mutations: { readonly [name: string]: Mutation } = {
  /** D1. An upload is answered when it was begun. */
  'offset before upload': {
    wrapPorts: ({ objects, metadata }) => ({
      metadata,
      objects: {
        ...objects,
        async create(key, parts) {
          objects.create(key, parts).catch(() => undefined)
          return 'created'
        },
      },
    }),
  },

  /** D1. */
  'no sync of files': { drops: 'syncFile' },
  'no sync of directories': { drops: 'syncDirectory' },

  /** H1, first part: a counter that is incremented again for a reference that is there. */
  'appends without identity': {
    decide: appendsWith((head, command) => {
      const tail = { ...head.tail }
      for (const { ref } of command.chunks) delete tail[ref]
      return { tail }
    }),
  },

  /** H1, second part. */
  'no bound on rolls': { decide: appendsWith((head, command) => ({ ...command, seen: head.rolls })) },

  /** H1, third part: what was committed since the last roll is rolled as well. */
  'no generation in the tail': {
    decide(head: Head | undefined, command: HeadCommand): HeadDecision {
      const decision = decideHead(head, command)
      return decision.ok ? { ok: true, next: { ...decision.next, boundary: decision.next.hw } } : decision
    },
  },

  /** A roll takes all entries out, not only those that it put into the row. */
  'a roll that empties the tail': {
    decide(head: Head | undefined, command: HeadCommand): HeadDecision {
      const refs = Object.keys(head?.tail ?? {}) as ChunkReference[]
      return decideHead(head, command.kind === 'roll' ? { ...command, refs } : command)
    },
  },

  /** R2. */
  'retries without proof of absence': { rules: { findInRows: () => ({ kind: 'absent' }) } },

  /** R2. A row that a merge wrote, which names no appends, is read as if it named all of its own. */
  'merged rows as proof of absence': {
    rules: {
      findInRows: (rows, ref, from, tailStart) =>
        findInRows(
          rows.map((row) => ({ ...row, isMerged: false })),
          ref,
          from,
          tailStart,
        ),
    },
  },

  /** R1. Readers never look further than to the first row that begins after their offset. */
  'readers only look near': {
    rules: { rowThatCounts: (rows, x, isEnd) => rowThatCounts(rows, x, isEnd, 'near') },
  },

  /** R1. The first row at or after an offset. */
  'the first row counts': {
    rules: {
      rowThatCounts: (rows, x) => {
        const [row] = rows
        return row !== undefined && row.first <= x && row.last >= x ? { kind: 'found', row } : { kind: 'none' }
      },
    },
  },

  /** L2, L3. */
  'no epoch of leaders': {
    decide: appendsWith((head, command) => ({
      ...without(without(command, 'leaderEpoch'), 'leaseSeen'),
      ...(head.lease?.isExclusive === true ? { leaderEpoch: head.leaseEpoch } : {}),
    })),
  },

  /** L4. Attempts that were refused because of a leader come back when it has gone. */
  'no lease epoch seen': {
    decide: appendsWith((_head, command) => without(command, 'leaseSeen')),
  },

  /** P2. A repeat is known by its sequences alone. */
  'producers without epochs': {
    rules: {
      judgeProducer(state, claim, isBelowFloor) {
        for (const batch of state?.batches ?? [])
          if (batch.first === claim.first && batch.last === claim.last) return { kind: 'duplicate', base: batch.base }
        return judgeProducer(state, claim, isBelowFloor)
      },
    },
  },

  /** P1, P2. What the head remembers of a producer need not be what the writer saw. */
  'no producer state seen': {
    decide: appendsWith((head, command) => ({
      ...command,
      chunks: command.chunks.map(({ producer, ...chunk }) => {
        const known = producer && head.producers[producer.key]
        return producer?.home === 'head' && known !== undefined && producer.seen !== undefined
          ? { ...chunk, producer: { ...producer, seen: known } }
          : { ...chunk, ...(producer && { producer }) }
      }),
    })),
  },

  /** P4. */
  'no floor of producers': {
    decide: appendsWith(() => ({ producerFloor: 0 })),
    rules: { judgeProducer: (state, claim) => judgeProducer(state, claim, false) },
  },

  /** S2. What was committed and not yet rolled is deleted. */
  'a sweep that ignores the tail': { rules: { tailIds: () => [] } },

  /** D6. A commit finds its way between the look and the mark. */
  'delete before mark': { wrapPorts: withoutFences(true) },

  /** D5, D6. What was put long ago is deleted if nothing names it just now. */
  'a sweep that trusts LastModified': { wrapPorts: byPutTime(1_000) },

  /** S2. What a roll takes from the tail into a row meanwhile is in neither. */
  'a sweep that reads rows before the tail': { wrapPorts: rowsBeforeTail },

  /** Two mergers have the same version in mind; the one that is refused takes the other's row for its own. */
  'row versions that are counters': { wrapPorts: countedVersions },

  /** A merger that was frozen puts its row, whatever has become of the one it is to replace. */
  'a merge without a condition': { changeWrites: unconditional(isIn('rows/')) },

  /** Rows that keep offsets in 32 bits. */
  'an int32 index': {
    changeWrites: async (writes) =>
      writes.map((write): ItemWrite => {
        if (write.op !== 'put' || !isIn('rows/')(write)) return write
        const row = write.value as unknown as Row
        const chunks = row.chunks.map(({ ref, base }) => ({ ref, base: base | 0 }))
        const value = { ...row, first: row.first | 0, last: row.last | 0, chunks }
        return { ...write, value: value as unknown as Item['value'] }
      }),
  },

  /** A merge takes a chunk that ends with the first record of the log for one that ends before it. */
  'a merge that drops the record at the log start': {
    rules: { spansToMerge: (run, start) => spansToMerge(run, start).filter(({ end }) => end > start + 1) },
  },

  /** S2. What a row names is deleted. */
  'a sweep that believes itself': { rules: { judgeSegment: () => 'free' } },

  /** S3. A merge that sleeps brings its row, and its segment is gone: the fence has to stand where the row would be put, too. */
  'a fence in the head only': {
    rules: { judgeSegment: (id, _index, named) => (named.isDeleted || !named.ids.has(id) ? 'free' : 'kept') },
  },

  /** S3. A compaction that sleeps puts its row over the one that it has seen, and its segment is gone. */
  'a row that is not fenced': {
    rules: {
      judgeSegment: (id, index, named) => (judgeSegment(id, index, named) === 'kept' ? 'kept' : 'free'),
    },
  },

  /** S5. What lost one of its names is looked for where that one stood. */
  'a sweep that counts no chunks': { rules: { runsOfAll: (notes) => notes } },

  /** A merge leaves out the last chunk of what it merges. */
  'a merge that drops a chunk': { rules: { spansToMerge: (run, start) => spansToMerge(run, start).slice(0, -1) } },

  /** K1. The last record of a key goes with those before it. */
  'a compaction that loses the last value': {
    rules: {
      keepsRecord: (record, latest, tombstonesBelow) =>
        latest !== record.offset && keepsRecord(record, latest, tombstonesBelow),
    },
  },

  /** K1. A tombstone goes in the pass that finds it, when what it deletes is still in rows below. */
  'a tombstone dropped before its keys': { rules: { tombstonesGoBelow: () => Number.MAX_SAFE_INTEGER } },

  /** A tombstone goes in the first pass after the one that cleaned what was before it, however soon that is. */
  'tombstones that do not wait': {
    rules: {
      tombstonesGoBelow: (passes, dirtyStart, _waitMs, nowMs) => tombstonesGoBelow(passes, dirtyStart, 0, nowMs),
    },
  },

  /** The sweep's fence is raised and nobody minds (D6). */
  'no fence': { decide: appendsWith(() => ({ minSegment: '' })) },

  /** The mark of a deleted topic is set and nobody minds (D6). */
  'no deletion mark': { decide: appendsWith(() => ({ isDeleted: false })) },

  /** The user's condition is checked by the writer only. */
  'no expected offset': {
    decide: appendsWith((_head, command) => without(command, 'expectedHw')),
  },

  // --- Groups ---------------------------------------------------------------------------------------------------------

  /** O1. Whoever once had a claim commits. */
  'commits without the claim': {
    kind: 'groups',
    rules: {
      decideCommit: (present, groupId, claim, commit, nowMs) =>
        decideCommit(present, groupId, { ...claim, ...standing(present) }, commit, nowMs),
    },
  },

  /** O1. A claim of an epoch that is not earlier will do. */
  'commits by epoch': {
    kind: 'groups',
    rules: {
      decideCommit: (present, groupId, claim, commit, nowMs) => {
        const isLater = claim.epoch >= (present?.claim?.epoch ?? 0)
        const incarnation = incarnationOf(groupId)
        return decideCommit(
          present,
          groupId,
          { ...claim, ...(isLater && standing(present)), incarnation },
          commit,
          nowMs,
        )
      },
    },
  },

  /** D6. A member of the group that had the name before commits. */
  'commits to the next incarnation': {
    kind: 'groups',
    rules: {
      decideCommit: (present, groupId, claim, commit, nowMs) =>
        decideCommit(present, groupId, { ...claim, incarnation: incarnationOf(groupId) }, commit, nowMs),
    },
  },

  /** O1. What was decided on an offset item that has changed since is written. */
  'commits on what was read': { kind: 'groups', changeWrites: unconditional(isIn('offsets/')) },

  /** O2. Who was given a partition claims it, however long ago that was. */
  'claims of any epoch': {
    kind: 'groups',
    rules: {
      decideClaim: (present, claim) =>
        present?.claim?.member === claim.member && present.claim.epoch >= claim.epoch
          ? { kind: 'standing' }
          : { kind: 'claimed', next: { ...present, claim } },
    },
  },

  /** O3. A member's claim outlives a reset. */
  'resets beside the claim': {
    kind: 'groups',
    changeWrites: (writes, metadata) =>
      Promise.all(
        writes.map(async (write): Promise<ItemWrite> => {
          const value =
            write.op === 'put' && isIn('offsets/')(write) ? (write.value as unknown as GroupOffset) : undefined
          if (write.op !== 'put' || value?.claim?.member !== '') return write
          const { claim } = ((await metadata.get(write.key))?.value ?? value) as unknown as GroupOffset
          return { ...write, value: { ...value, ...(claim && { claim }) } as unknown as Item['value'] }
        }),
      ),
  },

  /** Eviction by the clock alone: a beat that came in between does not matter. */
  'evictions on a beat that is not the last': {
    kind: 'groups',
    changeWrites: unconditional((write) => write.op === 'delete' && isIn('members/')(write)),
  },

  /** G2. What a member says that does not know the present epoch is taken for letting go. */
  'letting go in any epoch': {
    kind: 'groups',
    rules: {
      release: (group, memberId, _seenEpoch, holding, nowMs) => release(group, memberId, group.epoch, holding, nowMs),
    },
  },

  /** G1. A partition is granted before its owner has let go. */
  'grants before letting go': {
    kind: 'groups',
    changeWrites: async (writes) =>
      writes.map((write): ItemWrite => {
        const { collection } = write.key
        if (write.op !== 'put' || !(collection === groupsCollection || collection === 'group-states')) return write
        const { state, members, ...rest } = write.value as unknown as GroupText
        const withoutOwned = Object.entries(members).map(([id, { owned: _owned, ...member }]) => [id, member])
        const value =
          collection === groupsCollection
            ? { ...rest, members, state: (state as string) === 'Reconciling' ? 'Stable' : state }
            : { ...rest, state, members: Object.fromEntries(withoutOwned) }
        return { ...write, value: value as unknown as Item['value'] }
      }),
  },
}
