import assert from 'node:assert/strict'
import type { HeadCommand } from '../../lib/core/head.ts'
import { headProducersMax, newHead } from '../../lib/core/head.ts'
import type { Item } from '../../lib/core/items.ts'
import type { ProducerKey } from '../../lib/core/names.ts'
import type { ChunkReference } from '../../lib/core/reference.ts'
import type { ItemWrite } from '../../lib/ports.ts'
import type { Specify } from './metadata-fixture.ts'
import {
  append,
  appendWithRolls,
  assertApplied,
  created,
  fullHead,
  newItemKeys,
  newKey,
  put,
  spoil,
} from './metadata-fixture.ts'

export function specifyHeads(specify: Specify): void {
  specify('a head that was not created reads as undefined, and no command creates it', async (metadata) => {
    const key = newKey()
    assert.equal(await metadata.readHead(key), undefined)
    for (const command of [append('a'), { kind: 'mark-deleted' }, { kind: 'trim', start: 1 }] as HeadCommand[])
      assert.deepEqual(await metadata.updateHead(key, command), { applied: false, head: undefined, items: [] })
    assert.equal(await metadata.readHead(key), undefined)
  })

  specify('a created head is read back with all it holds', async (metadata) => {
    const head = fullHead()
    assert.equal(await metadata.createHead(head), 'created')
    assert.deepEqual(await metadata.readHead(head), head)
  })

  specify('a head that exists is not created again, and keeps its content', async (metadata) => {
    const head = fullHead()
    await metadata.createHead(head)
    assert.equal(await metadata.createHead(newHead(head)), 'exists')
    assert.deepEqual(await metadata.readHead(head), head)
  })

  specify('of 20 racing creations of one head exactly one wins', async (metadata) => {
    const key = newKey()
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, racer) => metadata.createHead({ ...newHead(key), hw: racer })),
    )
    assert.equal(outcomes.filter((outcome) => outcome === 'created').length, 1)
    assert.equal((await metadata.readHead(key))?.hw, outcomes.indexOf('created'))
  })

  specify('partitions and topics have heads of their own', async (metadata) => {
    const { topicId } = newKey()
    const keys = [1, 10, 11, 0].map((partition) => ({ topicId, partition })).concat({ ...newKey(), partition: 1 })
    for (const key of keys) await metadata.createHead(newHead(key))
    for (const [index, key] of keys.entries()) await metadata.updateHead(key, append(`ref${index}`, index + 1))
    for (const [index, key] of keys.entries()) {
      const head = await metadata.readHead(key)
      assert.deepEqual(head?.tail, { [`ref${index}`]: 0 })
      assert.equal(head?.hw, index + 1)
      assert.equal(head?.partition, key.partition)
    }
  })

  specify('an applied command is seen by the next read', async (metadata) => {
    const key = await created(metadata)
    const answer = await metadata.updateHead(key, append('a', 3))
    const expected = { ...newHead(key), hw: 3, tail: { a: 0 } }
    assertApplied(answer, expected)
    assert.deepEqual(await metadata.readHead(key), expected)
  })

  specify('a refused command changes nothing and answers the head that is there', async (metadata) => {
    const head = { ...fullHead(), isDeleted: true }
    await metadata.createHead(head)
    assert.deepEqual(await metadata.updateHead(head, append('new')), { applied: false, head, items: [] })
    assert.deepEqual(await metadata.readHead(head), head)
  })

  specify('references and producer keys may hold dots, slashes, and digits in front', async (metadata) => {
    const key = await created(metadata)
    const refs = [
      '1',
      '0.5',
      'a.b',
      'a/b',
      '-1',
      '#x',
      ':y',
      '[0]',
      'a"b',
      "it's",
      '$.x',
      'hw',
      'size(tail)',
      '`',
      '\\',
    ]
    const producers = ['7', '~a/b.c+d=', '~1', '~#:'].slice(0, headProducersMax)
    const expected = { ...newHead(key), tail: {} as Record<string, number>, producers: {} as Record<string, unknown> }
    for (const [index, ref] of refs.entries()) {
      const producer = producers[index]
      const claim = { epoch: 0, first: 0, last: 0 }
      const stamp =
        producer === undefined
          ? undefined
          : { key: producer as ProducerKey, claim, home: 'head' as const, seen: undefined }
      assert.equal((await metadata.updateHead(key, append(ref, 1, stamp))).applied, true, ref)
      expected.tail[ref] = index
      if (producer !== undefined)
        expected.producers[producer] = { epoch: 0, batches: [{ first: 0, last: 0, base: index }] }
    }
    expected.hw = refs.length
    assert.deepEqual(await metadata.readHead(key), expected)
    const roll = { kind: 'roll', generation: 0, refs: refs.slice(1) as ChunkReference[] } as const
    assert.equal((await metadata.updateHead(key, roll)).applied, true)
    assert.deepEqual((await metadata.readHead(key))?.tail, { '1': 0 })
  })

  specify(
    'an append that the rule cannot judge is a bug, and changes nothing, its neighbours neither',
    async (metadata) => {
      const key = await created(metadata)
      const outcomes = await Promise.allSettled([
        metadata.updateHead(key, append('a')),
        metadata.updateHead(key, { ...append('b'), chunks: [] }),
        metadata.updateHead(key, append('c')),
      ])
      assert.deepEqual(
        outcomes.map((outcome) => outcome.status),
        ['fulfilled', 'rejected', 'fulfilled'],
      )
      assert.deepEqual(Object.keys((await metadata.readHead(key))?.tail ?? {}).sort(), ['a', 'c'])
    },
  )

  specify('200 appends at once get dense offsets, each record one', async (metadata) => {
    const key = await created(metadata)
    const counts = Array.from({ length: 200 }, (_, index) => 1 + (index % 5))
    const bases = await Promise.all(counts.map((count, index) => appendWithRolls(metadata, key, `ref.${index}`, count)))
    let end = 0
    for (const { base, count } of bases
      .map((base, index) => ({ base, count: counts[index]! }))
      .sort((a, b) => a.base - b.base)) {
      assert.equal(base, end)
      end = base + count
    }
    assert.equal((await metadata.readHead(key))?.hw, end)
  })

  specify('what callers do with their values afterwards does not change a head', async (metadata) => {
    const head = fullHead()
    const given = structuredClone(head)
    await metadata.createHead(given)
    spoil(given)
    spoil(given.tail)
    spoil(await metadata.readHead(head))
    assert.deepEqual(await metadata.readHead(head), head)
  })
}

export function specifyHeadsWithItems(specify: Specify): void {
  specify('an applied command and its writes take effect together', async (metadata) => {
    const key = await created(metadata)
    const [kept, gone, fresh] = newItemKeys(3)
    await metadata.write([put(kept!, 'k1', 1), put(gone!, 'g1', 1)])
    const answer = await metadata.updateHead(key, append('a'), [
      { op: 'check', key: kept!, if: { version: 'k1' } },
      { op: 'delete', key: gone!, if: { version: 'g1' } },
      put(fresh!, 'f1', { is: 'new' }),
    ])
    assertApplied(answer, { ...newHead(key), hw: 1, tail: { a: 0 } })
    assert.equal((await metadata.readHead(key))?.hw, 1)
    assert.deepEqual(await metadata.get(kept!), { key: kept, version: 'k1', value: 1 })
    assert.equal(await metadata.get(gone!), undefined)
    assert.deepEqual(await metadata.get(fresh!), { key: fresh, version: 'f1', value: { is: 'new' } })
  })

  specify('a refused head leaves the items as they are, and answers both', async (metadata) => {
    const key = await created(metadata)
    const [there, absent] = newItemKeys(2)
    await metadata.write([put(there!, 't1', 'there')])
    const writes: ItemWrite[] = [{ ...put(there!, 't2', 'other'), if: { version: 't1' } }, put(absent!, 'a1', 'new')]
    const answer = await metadata.updateHead(key, { ...append('a'), expectedHw: 7 }, writes)
    const thereItem = { key: there, version: 't1', value: 'there' }
    assert.deepEqual(answer, { applied: false, head: newHead(key), items: [thereItem, undefined] })
    assert.deepEqual(await metadata.get(there!), thereItem)
    assert.equal(await metadata.get(absent!), undefined)
  })

  specify('a refused item leaves the head and the other items as they are, and answers both', async (metadata) => {
    const key = await created(metadata)
    const [there, absent, third] = newItemKeys(3)
    await metadata.write([put(there!, 't1', 'there')])
    const thereItem = { key: there, version: 't1', value: 'there' }
    const refusals: [ItemWrite, Item | undefined][] = [
      [put(there!, 't2', 'x'), thereItem as Item],
      [{ ...put(there!, 't2', 'x'), if: { version: 'wrong' } }, thereItem as Item],
      [{ op: 'delete', key: there!, if: { version: 'wrong' } }, thereItem as Item],
      [{ op: 'check', key: there!, if: 'absent' }, thereItem as Item],
      [{ op: 'check', key: absent!, if: { version: 't1' } }, undefined],
      [{ op: 'delete', key: absent!, if: { version: 't1' } }, undefined],
    ]
    for (const [write, present] of refusals) {
      const answer = await metadata.updateHead(key, append('a'), [put(third!, '1', 3), write])
      assert.deepEqual(answer, { applied: false, head: newHead(key), items: [undefined, present] })
    }
    assert.deepEqual(await metadata.readHead(key), newHead(key))
    assert.deepEqual(await metadata.get(there!), thereItem)
    assert.equal(await metadata.get(third!), undefined)
  })

  specify('a head that does not exist refuses the items with it', async (metadata) => {
    const [item] = newItemKeys(1)
    const answer = await metadata.updateHead(newKey(), append('a'), [put(item!, '1', 1)])
    assert.deepEqual(answer, { applied: false, head: undefined, items: [undefined] })
    assert.equal(await metadata.get(item!), undefined)
  })

  specify('of 20 racing commands that need one version of an item, exactly one applies', async (metadata) => {
    const key = await created(metadata)
    const [item] = newItemKeys(1)
    await metadata.write([put(item!, 'v0', 0)])
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, racer) =>
        metadata.updateHead(key, append(`r${racer}`), [{ ...put(item!, `v1-${racer}`, racer), if: { version: 'v0' } }]),
      ),
    )
    const winner = answers.findIndex((answer) => answer.applied)
    assert.equal(answers.filter((answer) => answer.applied).length, 1)
    assert.deepEqual((await metadata.readHead(key))?.tail, { [`r${winner}`]: 0 })
    assert.deepEqual(await metadata.get(item!), { key: item, version: `v1-${winner}`, value: winner })
  })

  specify('neighbours in flight do not share a refusal', async (metadata) => {
    const [good, bad] = [await created(metadata), await created(metadata)]
    const [item] = newItemKeys(1)
    const commands = Array.from({ length: 30 }, (_, index) =>
      index % 3 === 2
        ? metadata.updateHead(bad, { ...append(`b${index}`), expectedHw: 99 }, [put(item!, 'x', index)])
        : metadata.updateHead(good, append(`g${index}`)),
    )
    const answers = await Promise.all(commands)
    for (const [index, answer] of answers.entries()) assert.equal(answer.applied, index % 3 !== 2)
    assert.equal((await metadata.readHead(good))?.hw, 20)
    assert.deepEqual(await metadata.readHead(bad), newHead(bad))
    assert.equal(await metadata.get(item!), undefined)
  })
}
