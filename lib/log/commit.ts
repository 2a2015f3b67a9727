/**
 * The commit: durable chunks of one partition become records with offsets, by one conditional write to the head (D1, D4).
 *
 *   put (flush.ts) ─▶ head seen ─▶ judge ─▶ send ─┬─ applied ─▶ offsets
 *                        ▲          ▲             ├─ refused: the head that refused it ─▶ judge again
 *                        │          └─────────────┤
 *                        └── read again ──────────┴─ unknown: from here on, proof of absence before each send
 *
 * C1 a chunk is sent only while no attempt that may have been applied is unaccounted for: after an unknown outcome its
 *    reference is looked for in the tail, then in the rows (R2). Where absence cannot be proved the answer is OUTCOME_UNKNOWN.
 *    A refusal is an unknown outcome too, once the tail need no longer hold what was committed (H1): the request may have
 *    been applied, its answer lost, the entry rolled, and a repeat of it refused.
 * C2 a chunk keeps its reference over all attempts, so that late repeats of any of them meet it (H1). It takes another only
 *    below the sweep's fence, where the old one can never commit.
 * C3 one refused chunk never fails its neighbours: what is doomed is answered and leaves, the others are sent again.
 * C4 a request that was refused may come once more, and find its condition true: what is sent can only be refused for good,
 *    by something that never goes back. What a head shows to be too early or not allowed is not sent at all.
 */
import { Unavailable } from '../core/errors.ts'
import type { AppendChunk, AppendCommand, Head, HeadKey, HeadRefusal } from '../core/head.ts'
import { chunksPerAppendMax, decideHead, headProducersMax, tailStart, wantsRoll } from '../core/head.ts'
import { offsetSortKey, rowsCollection } from '../core/items.ts'
import type { EpochMs, Offset, ProducerKey } from '../core/names.ts'
import { segmentOfReference } from '../core/reference.ts'
import type { Row } from '../core/row.ts'
import { parseRow } from '../core/row.ts'
import type { ItemWrite } from '../ports.ts'
import type { CommitOutcome, CommitUnit, Settle } from './commit-outcomes.ts'
import { fencedLeader, outcomeUnknown, refusalOfUnavailable, unexpectedOffset } from './commit-outcomes.ts'
import type { Context } from './context.ts'
import { placeProducer } from './producer-placement.ts'
import { rollPartition } from './roll.ts'

/**
 * Commits the units in their order and settles each exactly once. `sinceMs`: a head seen then or later may serve as the
 * first `seen`.
 */
export async function commitUnits<Unit extends CommitUnit>(
  context: Context,
  key: HeadKey,
  units: readonly Unit[],
  sinceMs: EpochMs,
  settle: Settle<Unit>,
): Promise<void> {
  let at = 0
  while (at < units.length) {
    const group = nextGroup(units, at)
    at += group.length
    const startedMs = context.observe === undefined ? 0 : context.clock.now()
    try {
      await commitGroup(context, key, group, sinceMs, settle)
      context.observe?.time('commit', context.clock.now() - startedMs)
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
      // commitGroup has settled what it could; it throws only before anything of the rest was sent.
      for (const unit of group) settle(unit, { kind: 'refused', refusal: refusalOfUnavailable(error) })
    }
  }
}

/** The units that one command can carry: those with a condition of their own go alone, and each producer goes once. */
function nextGroup<Unit extends CommitUnit>(units: readonly Unit[], from: number): Unit[] {
  const group: Unit[] = []
  const producers = new Set<ProducerKey>()
  for (let at = from; at < units.length && group.length < chunksPerAppendMax; at++) {
    const unit = units[at]
    if (unit === undefined) break
    const isAlone = unit.expectedOffset !== undefined || unit.leaderEpoch !== undefined
    if (isAlone && group.length > 0) break
    if (unit.producer !== undefined) {
      if (producers.has(unit.producer.key)) break
      producers.add(unit.producer.key)
    }
    group.push(unit)
    if (isAlone) break
  }
  return group
}

async function commitGroup<Unit extends CommitUnit>(
  context: Context,
  key: HeadKey,
  group: readonly Unit[],
  sinceMs: EpochMs,
  settleUnit: Settle<Unit>,
): Promise<void> {
  const open = new Set(group)
  const settle: Settle<Unit> = (unit, outcome) => {
    if (open.delete(unit)) settleUnit(unit, outcome)
  }
  let head = await context.heads.recent(key, sinceMs)
  const from = head?.hw ?? 0
  let isUnknown = false
  let lastFailure: Unavailable | undefined
  let wasFull = false
  const unproven = new Set<Unit>()

  for (let attempt = 1; attempt <= context.settings.commitAttemptsMax; attempt++) {
    try {
      // It may be an old head that shows this; nothing was sent yet, so a newer one may decide.
      const seen = head
      if (attempt === 1 && seen !== undefined && group.some((unit) => mayNotBeSent(key, seen, unit) !== undefined))
        head = await context.heads.read(key)
      if (isUnknown) unproven.clear()
      await settleFound(context, key, head, from, isUnknown, open, unproven, settle)
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
      lastFailure = error
      break
    }
    if (open.size === 0) return
    if (head === undefined || head.isDeleted) {
      const isProven = (unit: Unit) => !isUnknown || (head !== undefined && !unproven.has(unit))
      for (const unit of [...open]) settle(unit, isProven(unit) ? { kind: 'deleted' } : outcomeUnknown(key))
      return
    }
    let plan: Plan
    try {
      plan = await planAppend(context, key, head, open, unproven, (unit, outcome) =>
        settle(unit, outcome.kind !== 'committed' && unproven.has(unit) ? outcomeUnknown(key) : outcome),
      )
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
      lastFailure = error
      break
    }
    if (plan.kind === 'nothing') return
    try {
      const answer = await context.metadata.updateHead(key, plan.command, plan.also)
      if (answer.applied) {
        if (answer.head === undefined) context.heads.forget(key)
        else noteCommit(context, answer.head, plan.command.chunks.length)
        let base = plan.command.expectedHw
        for (const unit of [...open]) {
          const given: Offset | undefined = answer.head?.tail[unit.ref] ?? base
          if (given === undefined) throw new Error('a commit that was applied tells no base offset')
          settle(unit, { kind: 'committed', base: given, isDuplicate: false })
          base = given + unit.count
        }
        context.commits.notify(key)
        return
      }
      head = answer.head
      if (head !== undefined) {
        context.heads.note(head)
        const decision = decideHead(head, plan.command)
        // Where the head allows it, the item of a producer did not.
        context.observe?.commitRefused(decision.ok ? 'producer-changed' : decision.refusal.reason)
        settleInTail(context, key, head, open, settle)
        const isFinal = head.rolls <= plan.command.seen + 1
        if (!isFinal) isUnknown = true
        if (!decision.ok && isFinal) await answerRefusal(context, key, decision.refusal, plan, open, settle)
        if (!decision.ok && decision.refusal.reason === 'tail-full') {
          wasFull = true
          head = await context.heads.read(key)
        }
      }
      if (open.size === 0) return
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
      lastFailure = error
      if (error.effects === 'possible') {
        isUnknown = true
        context.observe?.commitRefused('unknown')
      }
      if (error.why === 'closed' || error.why === 'full') break
      await context.pause(attempt)
      try {
        head = await context.heads.read(key)
      } catch (readError) {
        if (!(readError instanceof Unavailable)) throw readError
        break
      }
    }
  }
  // Given up. Only a full tail refuses what it may take later (C4).
  for (const unit of [...open])
    settle(
      unit,
      isUnknown || wasFull ? outcomeUnknown(key) : { kind: 'refused', refusal: refusalOfUnavailable(lastFailure) },
    )
}

function noteCommit(context: Context, head: Head, added: number): void {
  context.heads.note(head)
  context.noteCommit(head)
  if (wantsRoll(head, added)) context.beside(() => rollPartition(context, head, head))
}

/** Settles the units whose reference is in the tail, and after an unknown outcome those that the rows tell of (C1). */
async function settleFound<Unit extends CommitUnit>(
  context: Context,
  key: HeadKey,
  head: Head | undefined,
  from: Offset,
  isUnknown: boolean,
  open: Set<Unit>,
  unproven: Set<Unit>,
  settle: Settle<Unit>,
): Promise<void> {
  if (head === undefined) return
  settleInTail(context, key, head, open, settle)
  if (!isUnknown || open.size === 0) return
  const rows = await rowsFrom(context, key, from, tailStart(head))
  for (const unit of [...open]) {
    const absence = context.rules.findInRows(rows, unit.ref, from, tailStart(head))
    if (absence.kind === 'committed') settle(unit, { kind: 'committed', base: absence.base, isDuplicate: false })
    else if (absence.kind === 'unprovable') {
      // An idempotent producer's own state may still tell: the plan judges it next.
      if (unit.producer === undefined) settle(unit, outcomeUnknown(key))
      else unproven.add(unit)
    }
  }
}

function settleInTail<Unit extends CommitUnit>(
  context: Context,
  key: HeadKey,
  head: Head,
  open: ReadonlySet<Unit>,
  settle: Settle<Unit>,
): void {
  for (const unit of [...open]) {
    const base = head.tail[unit.ref]
    if (base === undefined) continue
    settle(unit, { kind: 'committed', base, isDuplicate: false })
    context.commits.notify(key)
  }
}

async function rowsFrom(context: Context, key: HeadKey, from: Offset, to: Offset): Promise<Row[]> {
  const rows: Row[] = []
  const pageItems = 100
  let start = offsetSortKey(from)
  while (true) {
    const items = await context.persist(() =>
      context.metadata.query(rowsCollection(key.topicId, key.partition), { from: start, limit: pageItems }),
    )
    for (const item of items) rows.push(parseRow(item.value))
    const last = rows[rows.length - 1]
    if (items.length < pageItems || last === undefined || last.first >= to) return rows
    start = offsetSortKey(last.last + 1)
  }
}

type Plan =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'send'; readonly command: AppendCommand; readonly also: readonly ItemWrite[] }

/** Judges the producers among the open units, settles what is doomed or a repeat, and makes the command of the rest. */
async function planAppend<Unit extends CommitUnit>(
  context: Context,
  key: HeadKey,
  head: Head,
  open: ReadonlySet<Unit>,
  unproven: ReadonlySet<Unit>,
  settle: Settle<Unit>,
): Promise<Plan> {
  const chunks: AppendChunk[] = []
  const also: ItemWrite[] = []
  let base = head.hw
  let expectedHw: Offset | undefined
  let leaderEpoch: number | undefined
  let inHead = Object.keys(head.producers).length
  for (const unit of [...open]) {
    const { ref, count, producer } = unit
    const placed = producer && (await placeProducer(context, key, head, producer, base, inHead < headProducersMax))
    // A repeat is answered as one, whoever leads.
    const settled = placed?.kind === 'settled' ? placed.outcome : mayNotBeSent(key, head, unit)
    // A producer that is not known was never here, or is below the floor (P4). A key has no floor: it may be forgotten.
    const isForgotten = producer?.fingerprint !== undefined && unproven.has(unit)
    const outcome = settled ?? (isForgotten ? outcomeUnknown(key) : undefined)
    if (outcome !== undefined) {
      settle(unit, outcome)
      continue
    }
    if (unit.expectedOffset !== undefined) expectedHw = unit.expectedOffset
    if (unit.leaderEpoch !== undefined) leaderEpoch = unit.leaderEpoch
    if (placed?.kind !== 'placed') chunks.push({ ref, count })
    else {
      if (placed.also !== undefined) {
        also.push(placed.also)
        // The item stores base offsets, so the whole command stands or falls with the high watermark that they were made from.
        expectedHw ??= head.hw
        if (placed.producer.home === 'head') inHead++
      }
      chunks.push({ ref, count, producer: placed.producer })
    }
    base += count
  }
  if (chunks.length === 0) return { kind: 'nothing' }
  return {
    kind: 'send',
    also,
    command: {
      kind: 'append',
      chunks,
      seen: head.rolls,
      ...(expectedHw === undefined ? {} : { expectedHw }),
      ...(leaderEpoch === undefined ? { leaseSeen: head.leaseEpoch } : { leaderEpoch }),
    },
  }
}

/** Why the head that was seen does not allow the unit to be sent, though a later one might (C4). */
function mayNotBeSent(key: HeadKey, head: Head, unit: CommitUnit): CommitOutcome | undefined {
  const { expectedOffset, leaderEpoch } = unit
  if (expectedOffset !== undefined && expectedOffset > head.hw) return unexpectedOffset(key, head.hw, expectedOffset)
  const isFenced = leaderEpoch === undefined ? head.lease?.isExclusive === true : leaderEpoch > head.leaseEpoch
  return isFenced ? fencedLeader(key, head.leaseEpoch, leaderEpoch) : undefined
}

/** What a refusal means for the units; those it says nothing about stay open and are sent again. */
async function answerRefusal<Unit extends CommitUnit>(
  context: Context,
  key: HeadKey,
  why: HeadRefusal,
  plan: { readonly command: AppendCommand },
  open: Set<Unit>,
  settle: Settle<Unit>,
): Promise<void> {
  switch (why.reason) {
    case 'already-committed':
    case 'producer-changed':
    case 'stale-generation':
    case 'no-head':
    case 'deleted':
    case 'superseded':
      return // judged anew with the head that refused
    case 'tail-full':
      await rollPartition(context, key)
      return
    case 'unexpected-offset':
      for (const unit of [...open])
        if (unit.expectedOffset !== undefined && unit.expectedOffset === plan.command.expectedHw)
          settle(unit, unexpectedOffset(key, why.hw, unit.expectedOffset))
      return
    case 'stale-leader':
      // Others are judged anew: the leader may have changed, and not be exclusive.
      for (const unit of [...open])
        if (unit.leaderEpoch !== undefined) settle(unit, fencedLeader(key, why.epoch, unit.leaderEpoch))
      return
    case 'fenced-segment':
      for (const unit of [...open])
        if (segmentOfReference(unit.ref) < why.minSegment) settle(unit, { kind: 'fenced', minSegment: why.minSegment })
      return
    default:
      return why satisfies never
  }
}
