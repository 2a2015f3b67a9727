/**
 * Segments that were noted. A segment goes when the notes account for all that named it (S5), which may take the notes of several
 * partitions: what one of them tells is kept in mind until the others come, for as many segments as `waitingMax`.
 *
 * S4 A segment stays noted until its object is gone. Stopped anywhere, the next round begins again and deletes the same.
 */
import type { SegmentId } from '../core/names.ts'
import type { Note } from './candidates.ts'
import { leaveInNote, notes } from './candidates.ts'
import { inParallel } from './in-parallel.ts'
import type { Candidate, Look } from './sweep-look.ts'
import { readsAtOnce } from './sweep-look.ts'

/** What is forgotten beyond it waits for the next round, at the worst for the listing from the first object (D8). */
const waitingMax = 50_000

/** A note, and which of its segments are gone. */
interface OpenNote {
  readonly note: Note
  readonly left: Map<SegmentId, number>
}

interface Waiting {
  readonly notes: OpenNote[]
  candidate?: Candidate
}

export async function sweepNoted(look: Look, signal: AbortSignal): Promise<void> {
  const round = new NotedRound(look)
  for await (const page of notes(look.context, { to: look.horizon })) {
    if (signal.aborted) break
    await round.take(page)
  }
  await round.close()
}

class NotedRound {
  readonly #look: Look
  readonly #waiting = new Map<SegmentId, Waiting>()
  /** Notes of which something is gone, and something is left. */
  readonly #open = new Set<OpenNote>()

  constructor(look: Look) {
    this.#look = look
  }

  async take(page: readonly Note[]): Promise<void> {
    const told = new Set<SegmentId>()
    for (const note of page) {
      const open: OpenNote = { note, left: new Map(note.segments) }
      for (const id of note.segments.keys()) {
        const waiting = this.#waiting.get(id)
        if (waiting === undefined) this.#waiting.set(id, { notes: [open] })
        else waiting.notes.push(open)
        told.add(id)
      }
    }
    const rows = new Map<string, Promise<ReadonlySet<SegmentId>>>()
    const emptied: OpenNote[] = []
    await inParallel([...told], readsAtOnce, async (id) => {
      const waiting = this.#waiting.get(id)
      if (waiting === undefined) return
      const verdict = await this.#judge(id, waiting, rows)
      if (verdict === 'waits') return
      this.#waiting.delete(id)
      if (verdict === 'kept') return
      if (verdict === 'free') await this.#look.delete(id)
      for (const open of waiting.notes) {
        open.left.delete(id)
        this.#open.add(open)
        if (open.left.size === 0) emptied.push(open)
      }
    })
    await this.#write(emptied)
    if (this.#waiting.size > waitingMax) await this.close()
  }

  async close(): Promise<void> {
    await this.#write([...this.#open])
    this.#waiting.clear()
  }

  async #judge(
    id: SegmentId,
    waiting: Waiting,
    rows: Map<string, Promise<ReadonlySet<SegmentId>>>,
  ): Promise<'free' | 'gone' | 'kept' | 'waits'> {
    const found = waiting.candidate ?? (await this.#look.read(id))
    if (found === 'gone') return 'gone'
    if (found === 'damaged') return 'kept'
    waiting.candidate = found
    const { merged } = found
    const verdict =
      merged === undefined
        ? await this.#look.judgeNoted(
            found,
            waiting.notes.map(({ note }) => note),
            rows,
          )
        : await this.#look.judgeMerged(found, merged, 'near')
    return verdict === 'free' || verdict === 'waits' ? verdict : 'kept'
  }

  async #write(notes: readonly OpenNote[]): Promise<void> {
    for (const open of notes) this.#open.delete(open)
    if (this.#look.isDryRun) return
    await inParallel(notes, readsAtOnce, ({ note, left }) => leaveInNote(this.#look.context, note, left))
  }
}
