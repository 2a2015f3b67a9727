import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { requestsOf } from '../../lib/adapters/metered.ts'
import { usageOf } from '../../lib/core/cost.ts'
import type { Item } from '../../lib/core/items.ts'
import { candidatesCollection, inlineKey, rowsCollection } from '../../lib/core/items.ts'
import type { SegmentId } from '../../lib/core/names.ts'
import { segmentIdAt, segmentObjectKey } from '../../lib/core/names.ts'
import { decodeReference, encodeReference, segmentOfReference } from '../../lib/core/reference.ts'
import { noteCandidates, segmentsPerNoteMax } from '../../lib/log/candidates.ts'
import { replaceRow } from '../../lib/log/rows.ts'
import { sweepInline } from '../../lib/log/sweep.ts'
import { encodedSegment, Hands, isSwept } from './sweep-hands.ts'

const dayMs = 86_400_000

async function hands(partitions = 1, settings: ConstructorParameters<typeof Hands>[0] = {}): Promise<Hands> {
  const made = new Hands(settings)
  await made.heads(partitions)
  return made
}

/** Every object was looked at once. */
async function settled(made: Hands): Promise<void> {
  made.later()
  isSwept(await made.sweep())
  made.meter.take()
}

describe('a note for the sweep', () => {
  test('is one item, however many segments a run named, and goes with the last of them', async () => {
    const made = await hands()
    const refs = []
    for (let at = 0; at < 40; at++) refs.push(...(await made.gathered()))
    await made.remove([await made.row(0, 39, refs)])
    assert.equal((await made.notes()).length, 1)
    made.later()
    isSwept(await made.sweep(), ...refs)
    assert.deepEqual(await made.notes(), [])
  })

  test('is below 30 KB: a longer list becomes several, all of them looked at when the newest segment is old enough', async () => {
    const made = await hands()
    const ids = (count: number) =>
      new Map(Array.from({ length: count }, () => [segmentIdAt(made.nowMs++, Math.random), 12] as const))
    await noteCandidates(made.context, ids(segmentsPerNoteMax))
    assert.equal((await made.notes()).length, 1)
    await noteCandidates(made.context, ids(segmentsPerNoteMax + 1))
    const items = await made.metadata.query(candidatesCollection, { limit: 9 })
    assert.equal(items.length, 3)
    for (const item of items) assert.ok(JSON.stringify(item).length < 30_000)
    assert.equal(new Set(items.map(({ key }) => key.sort.slice(0, 20))).size, 2)
  })

  test('keeps a segment until its object is gone, and loses those that are (S4)', async () => {
    const made = await hands()
    const [a] = await made.gathered()
    const [b] = await made.gathered()
    const [c] = await made.gathered()
    const rows = [await made.row(0, 0, [a!]), await made.row(1, 1, [b!]), await made.row(2, 2, [c!])]
    // Noted for a merge that was refused in the end: two of the rows still stand.
    await made.note(rows)
    await made.remove([rows[1]!])
    made.later()
    isSwept(await made.sweep(), b!)
    assert.deepEqual(await made.notes(), [`${segmentOfReference(a!)} ${segmentOfReference(c!)}`])
    await made.remove(rows)
    made.later()
    isSwept(await made.sweep(), a!, c!)
    assert.deepEqual(await made.notes(), [])
  })

  test('is left alone until its newest segment is old enough, and so are the others in it', async () => {
    const made = await hands()
    const [old] = await made.gathered()
    made.later()
    const rows = [await made.row(0, 0, [old!])]
    const fresh = await made.merged(0, 0)
    await noteCandidates(
      made.context,
      new Map(
        [...rows, { row: { chunks: [{ ref: fresh }] } }].map(({ row }) => [segmentOfReference(row.chunks[0]!.ref), 1]),
      ),
    )
    await replaceRow(made.context, made.key(), rows[0]!, {
      ...rows[0]!.row,
      chunks: [{ ref: fresh, base: 0 }],
      isMerged: true,
    })
    const swept = await made.sweep()
    assert.deepEqual([swept.candidates, swept.deleted], [0, []])
  })
})

describe('a noted segment', () => {
  test('that partitions share goes when all of them have noted it, wherever the notes are', async () => {
    const made = await hands(3)
    const [first, second] = await made.gathered([0, 1])
    const [third, fourth] = await made.gathered([0, 2])
    await made.remove([await made.row(0, 1, [first!, third!])])
    const other = await made.row(0, 0, [second!], 1)
    const kept = await made.row(0, 0, [fourth!], 2)
    // Of other partitions, more than a page of notes.
    for (let at = 0; at < 200; at++)
      await noteCandidates(made.context, new Map([[segmentIdAt(made.nowMs++, Math.random), 1]]))
    made.later()
    isSwept(await made.sweep())
    assert.equal((await made.notes()).length, 1)
    await made.remove([other], 1)
    for (let at = 0; at < 200; at++)
      await noteCandidates(made.context, new Map([[segmentIdAt(made.nowMs++, Math.random), 1]]))
    made.later()
    isSwept(await made.sweep(), first!)
    assert.deepEqual(await made.notes(), [segmentOfReference(third!)])
    assert.ok(await made.isThere(kept.row.chunks[0]!.ref))
  })

  test('with chunks in several runs goes when the last of them is noted (S5)', async () => {
    const made = await hands()
    const [a, b, c] = await made.gathered([0, 0, 0])
    await made.remove([await made.row(0, 1, [a!, b!])])
    const last = await made.row(2, 2, [c!])
    assert.deepEqual(await made.notes(), [`${segmentOfReference(a!)}*2`])
    made.later()
    isSwept(await made.sweep())
    await made.remove([last])
    made.later()
    isSwept(await made.sweep(), a!)
  })

  test('goes when a partition that shares it is deleted, whatever was noted there', async () => {
    const made = await hands(2)
    const [a, b] = await made.gathered([0, 1])
    await made.row(0, 0, [b!], 1)
    await made.remove([await made.row(0, 0, [a!])])
    made.later()
    isSwept(await made.sweep())
    await made.metadata.updateHead(made.key(1), { kind: 'mark-deleted' })
    isSwept(await made.sweep(), a!)
  })

  test('of which a chunk was never committed waits for the listing of all objects', async () => {
    const made = await hands()
    const [a] = await made.gathered([0, 0])
    const row = await made.row(0, 0, [a!])
    await settled(made)
    await made.remove([row])
    made.later()
    isSwept(await made.sweep())
    made.later(30 * dayMs)
    isSwept(await made.sweep(), a!)
    await made.sweep()
    assert.deepEqual(await made.notes(), [])
  })

  test('is looked for in the rows of its run, not in all of its partition', async () => {
    const made = await hands()
    for (let at = 0; at < 1_000; at++) await made.row(10 * at, 10 * at + 9, [await made.merged(10 * at, 10 * at + 9)])
    await settled(made)
    const refs = []
    for (let at = 0; at < 10; at++) refs.push(...(await made.gathered()))
    const row = await made.row(10_000, 10_009, refs)
    await made.remove([row])
    made.later()
    made.meter.take()
    isSwept(await made.sweep(), ...refs)
    const { dynamoDbRead = 0, dynamoDbWrite = 0 } = usageOf(made.meter.take())
    // 36 key ranges; the note, the head, the rows of the run. The fence, and the note that goes.
    assert.ok(dynamoDbRead <= 36 + 6, `${dynamoDbRead} read units`)
    assert.ok(dynamoDbWrite <= 2, `${dynamoDbWrite} write units`)
  })
})

describe('a merged segment', () => {
  test('whose run was written again goes once its row is fenced, and the write that would have named it is refused (S3)', async () => {
    const made = await hands()
    const first = await made.merged(0, 9)
    const row = await made.row(0, 9, [first])
    // Two compactions of the same run: one puts its row, the other is frozen before.
    const frozen = await made.merged(0, 9)
    const second = await made.merged(0, 9)
    const chunks = [{ ref: second, base: 0 }]
    await made.note([row])
    assert.ok(await replaceRow(made.context, made.key(), row, { ...row.row, chunks }))
    made.later()
    isSwept(await made.sweep(), first, frozen)
    assert.equal(
      await replaceRow(made.context, made.key(), row, { ...row.row, chunks: [{ ref: frozen, base: 0 }] }),
      false,
    )
    assert.ok(await made.isThere(second))
  })

  test('that nobody wrote a row for goes in the same way, while the row that it was to replace names what it named', async () => {
    const made = await hands()
    const present = await made.merged(0, 9)
    const row = await made.row(0, 9, [present])
    const frozen = await made.merged(0, 9)
    made.later()
    isSwept(await made.sweep(), frozen)
    assert.equal(
      await replaceRow(made.context, made.key(), row, { ...row.row, chunks: [{ ref: frozen, base: 0 }] }),
      false,
    )
    assert.ok(await made.isThere(present))
  })

  test('whose run reaches below the row that stands is noted, and stays until a larger row covers it (S3)', async () => {
    const made = await hands()
    const low = await made.row(0, 4, [await made.merged(0, 4)])
    const high = await made.row(5, 9, [await made.merged(5, 9)])
    const orphan = await made.merged(0, 9)
    made.later()
    isSwept(await made.sweep())
    assert.deepEqual(await made.notes(), [segmentOfReference(orphan)])
    made.later()
    isSwept(await made.sweep())
    assert.equal((await made.notes()).length, 1)
    await made.row(0, 19, [await made.merged(0, 19)])
    isSwept(await made.sweep(), orphan)
    assert.ok(await made.isThere(low.row.chunks[0]!.ref))
    assert.ok(await made.isThere(high.row.chunks[0]!.ref))
  })

  test('that rows which a merge left hide from a short look is found by the listing of all objects', async () => {
    const made = await hands()
    const covered = await made.merged(0, 9)
    await made.row(0, 29, [await made.merged(0, 29)])
    await made.row(10, 19, [await made.merged(10, 19)])
    await noteCandidates(made.context, new Map([[segmentOfReference(covered), 1]]))
    made.nowMs += 10_000
    // Listed as well, once.
    isSwept(await made.sweep(), covered)
  })
})

describe('a listed segment', () => {
  test('that is named is looked for from the newest row down, as far as it takes; only an orphan makes it read all', async () => {
    const made = await hands()
    for (let at = 0; at < 1_000; at++) await made.row(10 * at, 10 * at + 9, [await made.merged(10 * at, 10 * at + 9)])
    await settled(made)
    const [named] = await made.gathered()
    await made.row(10_000, 10_000, [named!])
    made.later()
    made.meter.take()
    isSwept(await made.sweep())
    const { dynamoDbRead: few = 0 } = usageOf(made.meter.take())
    assert.ok(few <= 36 + 12, `${few} read units`)
    const [orphan] = await made.gathered()
    made.later()
    isSwept(await made.sweep(), orphan!)
    const { dynamoDbRead: all = 0 } = usageOf(made.meter.take())
    assert.ok(all > few + 40, `${all} read units`)
  })

  test('that was noted since is not read: its note will have its turn', async () => {
    const made = await hands()
    const [a] = await made.gathered()
    made.nowMs += 9_000
    const row = await made.row(0, 0, [a!])
    const fresh = await made.merged(0, 0)
    await noteCandidates(
      made.context,
      new Map([
        [segmentOfReference(a!), 1],
        [segmentOfReference(fresh), 1],
      ]),
      {
        key: made.key(),
        first: 0,
        last: 0,
      },
    )
    await replaceRow(made.context, made.key(), row, { ...row.row, chunks: [{ ref: fresh, base: 0 }], isMerged: true })
    made.nowMs += 2_000
    made.meter.take()
    const early = await made.sweep()
    assert.deepEqual([early.candidates, early.deleted], [0, []])
    assert.equal(requestsOf(made.meter.take())['objects.read'], undefined)
    made.later()
    isSwept(await made.sweep(), a!)
  })

  test('is looked at once; one that arrives late, under an id that was passed, when all objects are listed again', async () => {
    const made = await hands(1, { sweepFullIntervalMs: 5 * dayMs })
    const [named] = await made.gathered()
    const id = segmentOfReference(named!)
    const bytes = await made.objects.read(segmentObjectKey(id), 0, 9_999)
    await made.row(0, 0, [named!])
    // Before it, in the same key range.
    const before = `${segmentIdAt(1_700_000_000_000, Math.random).slice(0, -1)}${id.at(-1)}` as SegmentId
    const late = encodeReference({ ...decodeReference(named!), segment: before })
    await settled(made)
    await made.objects.create(segmentObjectKey(segmentOfReference(late)), [bytes!])
    made.later(5 * dayMs - 20_001)
    const passed = await made.sweep()
    assert.deepEqual([passed.candidates, passed.deleted], [0, []])
    made.later(20_001)
    isSwept(await made.sweep(), late)
    assert.ok(await made.isThere(named!))
    assert.equal((await made.sweep()).candidates, 0)
  })
})

test('a dry run tells what would go, and changes nothing', async () => {
  const made = await hands(2)
  const [shared] = await made.gathered([0, 1])
  const [kept] = await made.gathered([0, 1])
  const [orphan] = await made.gathered()
  const row = await made.row(0, 1, [shared!, kept!])
  await made.remove([row])
  await made.remove([await made.row(0, 0, [shared!], 1)], 1)
  await made.row(1, 1, [kept!], 1)
  const first = await made.merged(10, 19)
  await made.row(10, 19, [await made.merged(10, 19)])
  made.later()
  const before = await snapshot(made)
  const dry = await made.sweep(true)
  isSwept(dry, shared!, orphan!, first)
  assert.equal(dry.isDryRun, true)
  assert.equal(await snapshot(made), before)
  isSwept(await made.sweep(), ...[shared!, orphan!, first])
})

describe('a sweep that is stopped', () => {
  /** Something of each kind: noted alone and shared, merged and written again, an orphan, of a deleted partition. What must stay, and what must go. */
  async function scene() {
    const made = await hands(3)
    const [named] = await made.gathered([0, 1])
    const [shared, sharedToo] = await made.gathered([0, 1])
    const [alone] = await made.gathered()
    const [orphan] = await made.gathered([1])
    const [grave] = await made.gathered([2])
    await made.remove([await made.row(0, 2, [named!, shared!, alone!])])
    await made.remove([await made.row(0, 0, [sharedToo!], 1)], 1)
    await made.row(1, 1, [named!], 1)
    const first = await made.merged(10, 19)
    const present = await made.merged(10, 19)
    await made.row(10, 19, [present])
    await made.row(0, 0, [grave!], 2)
    await made.metadata.updateHead(made.key(2), { kind: 'mark-deleted' })
    await noteCandidates(made.context, new Map([[segmentOfReference(grave!), 1]]))
    made.later()
    return { made, stay: [named!, present], go: [shared!, alone!, orphan!, grave!, first] }
  }

  test('at any request goes on where it was, and nothing that is named is lost', async () => {
    for (let stopAt = 1; ; stopAt++) {
      const { made, stay, go } = await scene()
      let requests = 0
      made.onRequest = () => {
        if (++requests >= stopAt) throw new Error('the process died')
      }
      const outcome = await made.sweep().catch((error: Error) => error.message)
      made.onRequest = () => {}
      await made.sweep()
      for (const ref of stay) assert.ok(await made.isThere(ref), `stopped at ${stopAt}`)
      for (const ref of go) assert.ok(!(await made.isThere(ref)), `stopped at ${stopAt}`)
      await made.sweep()
      assert.deepEqual(await made.notes(), [segmentOfReference(stay[0]!)], `stopped at ${stopAt}`)
      if (outcome !== 'the process died') return
    }
  })

  test('or has company deletes the same', async () => {
    const { made, stay, go } = await scene()
    await Promise.all([made.sweep(), made.sweep(), made.sweep()])
    await made.sweep()
    for (const ref of stay) assert.ok(await made.isThere(ref))
    for (const ref of go) assert.ok(!(await made.isThere(ref)))
    await made.sweep()
    assert.deepEqual(await made.notes(), [segmentOfReference(stay[0]!)])
  })

  test('while it lists all objects goes on there, not from the first one', async () => {
    const made = await hands()
    const { parts } = encodedSegment(made.key())
    const count = 2_600
    for (let at = 0; at < count; at++) {
      const id = `${segmentIdAt(made.nowMs++, Math.random).slice(0, -1)}k` as SegmentId
      await made.objects.create(segmentObjectKey(id), parts)
      const ref = encodeReference({ segment: id, position: 8, lengthBytes: 80, maxTimestampMs: 1 })
      await made.row(at, at, [ref])
    }
    made.later()
    const stop = new AbortController()
    let lists = 0
    made.onRequest = (name) => {
      if (name === 'list' && ++lists === 20 + 5) stop.abort()
    }
    const first = await made.sweep(false, stop.signal)
    assert.ok(first.candidates > 0 && first.candidates < count)
    const second = await made.sweep()
    assert.equal(second.candidates, count - first.candidates)
    assert.equal((await made.sweep()).candidates, 0)
  })
})

async function snapshot(made: Hands): Promise<string> {
  const requests = [0, 1].map((partition) => made.metadata.readHead(made.key(partition)))
  const rows = await Promise.all(
    [0, 1].map((partition) => made.metadata.query(rowsCollection(made.key().topicId, partition), { limit: 1_000 })),
  )
  const objects = await made.objects.list('segments/', undefined, 1_000)
  return JSON.stringify([await Promise.all(requests), rows, await made.notes(), objects])
}

test('inline chunks that nothing names go, and rows are read from the newest down as far as it takes', async () => {
  const made = await hands()
  for (let at = 0; at < 500; at++) await made.row(10 * at, 10 * at + 9, [await made.merged(10 * at, 10 * at + 9)])
  const inline = async () => {
    const id = segmentIdAt(made.nowMs++, Math.random)
    const value: Item['value'] = { recordCount: 1 }
    const key = inlineKey(made.key().topicId, 0, id)
    await made.metadata.write([{ op: 'put', key, version: id, value, bytes: new Uint8Array(9), if: 'absent' }])
    return encodeReference({ segment: id, position: 0, lengthBytes: 9, maxTimestampMs: 1, isInline: true })
  }
  const named = await inline()
  await made.row(5_000, 5_000, [named])
  made.later()
  made.meter.take()
  assert.equal(await sweepInline(made.context, made.key()), 0)
  const few = usageOf(made.meter.take()).dynamoDbRead ?? 0
  assert.ok(few <= 12, `${few} read units`)
  await inline()
  made.later()
  assert.equal(await sweepInline(made.context, made.key()), 1)
  assert.notEqual(await made.metadata.get(inlineKey(made.key().topicId, 0, segmentOfReference(named))), undefined)
})
