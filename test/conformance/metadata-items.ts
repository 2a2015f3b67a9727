import assert from 'node:assert/strict'
import fc from 'fast-check'
import { transactionWritesMax } from '../../lib/adapters/item-conditions.ts'
import type { Item, Json } from '../../lib/core/items.ts'
import type { ItemWrite } from '../../lib/ports.ts'
import type { Specify } from './metadata-fixture.ts'
import { append, created, newCollection, newItemKeys, put, sortsOf, spoil } from './metadata-fixture.ts'

export function specifyItems(specify: Specify): void {
  specify('an item that does not exist reads as undefined', async (metadata) => {
    assert.equal(await metadata.get(newItemKeys(1)[0]!), undefined)
  })

  specify('values come back as JSON keeps them', async (metadata) => {
    const values: Json[] = [
      null,
      true,
      0,
      -1.5,
      Number.MAX_SAFE_INTEGER,
      '',
      'ünï\u0000 "quoted" \u{1f30a}',
      [],
      {},
      [1, [2, [3, null]], { a: [] }],
      { nested: { deep: { deeper: [true, { '0.1/x': '.' }] } }, '': 'empty key' },
      'x'.repeat(100_000),
    ]
    const keys = newItemKeys(values.length)
    await metadata.write(values.map((value, index) => put(keys[index]!, `v${index}`, value)))
    for (const [index, value] of values.entries())
      assert.deepEqual(await metadata.get(keys[index]!), { key: keys[index], version: `v${index}`, value })
    const [odd] = newItemKeys(1)
    await metadata.write([put(odd!, '1', { here: 1, gone: undefined })])
    assert.deepEqual((await metadata.get(odd!))?.value, { here: 1 })
  })

  specify(
    'bytes lie beside the value and come back as they were, by key, in a query and in a refusal',
    async (metadata) => {
      const collection = newCollection()
      const key = (sort: string) => ({ collection, sort })
      const bytes = Uint8Array.from({ length: 5_000 }, (_, at) => (at * 7) & 255)
      const large = new Uint8Array(300_000).fill(9)
      await metadata.write([{ ...put(key('a'), '1', { is: 'small' }), bytes: bytes.subarray(10, 4_000) }])
      await metadata.write([{ ...put(key('b'), '1', null), bytes: large }])
      await metadata.write([put(key('c'), '1', 'none')])
      const first = { key: key('a'), version: '1', value: { is: 'small' }, bytes: bytes.slice(10, 4_000) }
      const read = async (sort: string) => plain(await metadata.get(key(sort)))
      assert.deepEqual(await read('a'), first)
      assert.deepEqual((await metadata.query(collection, { limit: 9 })).map(plain), [
        first,
        { key: key('b'), version: '1', value: null, bytes: large },
        { key: key('c'), version: '1', value: 'none' },
      ])
      const refused = await metadata.write([{ ...put(key('a'), '2', 0), bytes: large }])
      assert.ok(!refused.applied)
      assert.deepEqual(refused.items.map(plain), [first])
      assert.deepEqual(await metadata.write([{ ...put(key('a'), '2', 1), if: { version: '1' } }]), { applied: true })
      assert.deepEqual(await read('a'), { key: key('a'), version: '2', value: 1 })
    },
  )

  specify('bytes are taken when the write is asked for', async (metadata) => {
    const [key] = newItemKeys(1)
    const bytes = Uint8Array.of(1, 2, 3)
    await metadata.write([{ ...put(key!, '1', 'x'), bytes }])
    bytes.fill(9)
    assert.deepEqual(plain(await metadata.get(key!))?.bytes, Uint8Array.of(1, 2, 3))
  })

  specify(
    'a put needs its condition, absence or exactly that version, and answers the item otherwise',
    async (metadata) => {
      const [key] = newItemKeys(1)
      assert.deepEqual(await metadata.write([{ ...put(key!, '1', 'a'), if: { version: '0' } }]), {
        applied: false,
        items: [undefined],
      })
      assert.deepEqual(await metadata.write([put(key!, '1', 'a')]), { applied: true })
      const first = { key, version: '1', value: 'a' }
      assert.deepEqual(await metadata.write([put(key!, '2', 'b')]), { applied: false, items: [first] })
      assert.deepEqual(await metadata.write([{ ...put(key!, '2', 'b'), if: { version: '2' } }]), {
        applied: false,
        items: [first],
      })
      assert.deepEqual(await metadata.get(key!), first)
      assert.deepEqual(await metadata.write([{ ...put(key!, '2', 'b'), if: { version: '1' } }]), { applied: true })
      assert.deepEqual(await metadata.get(key!), { key, version: '2', value: 'b' })
    },
  )

  specify('a deletion needs the version, and what is deleted is absent', async (metadata) => {
    const [key] = newItemKeys(1)
    await metadata.write([put(key!, '1', 'a')])
    const item = { key, version: '1', value: 'a' }
    const remove = (version: string) => metadata.write([{ op: 'delete', key: key!, if: { version } }])
    assert.deepEqual(await remove('0'), { applied: false, items: [item] })
    assert.deepEqual(await remove('1'), { applied: true })
    assert.equal(await metadata.get(key!), undefined)
    assert.deepEqual(await remove('1'), { applied: false, items: [undefined] })
    assert.deepEqual(await metadata.write([put(key!, '1', 'again')]), { applied: true })
  })

  specify('a check changes nothing, and holds the other writes to its condition', async (metadata) => {
    const [checked, written] = newItemKeys(2)
    const check = (condition: ItemWrite['if']): Promise<unknown> =>
      metadata.write([{ op: 'check', key: checked!, if: condition }, put(written!, '1', 'written')])
    assert.deepEqual(await check({ version: '1' }), { applied: false, items: [undefined, undefined] })
    assert.deepEqual(await check('absent'), { applied: true })
    assert.equal(await metadata.get(checked!), undefined)
    assert.deepEqual(await metadata.get(written!), { key: written, version: '1', value: 'written' })
  })

  specify('of several writes all apply or none, and a refusal answers the items in their order', async (metadata) => {
    const keys = newItemKeys(4)
    await metadata.write([put(keys[1]!, '1', 'one'), put(keys[2]!, '2', 'two')])
    const writes: ItemWrite[] = [
      put(keys[3]!, 'new', 'three'),
      { op: 'delete', key: keys[2]!, if: { version: '2' } },
      { ...put(keys[1]!, 'new', 'uno'), if: { version: 'not this one' } },
      put(keys[0]!, 'new', 'zero'),
    ]
    const one = { key: keys[1], version: '1', value: 'one' }
    const two = { key: keys[2], version: '2', value: 'two' }
    assert.deepEqual(await metadata.write(writes), { applied: false, items: [undefined, two, one, undefined] })
    for (const [index, item] of [undefined, one, two, undefined].entries())
      assert.deepEqual(await metadata.get(keys[index]!), item)
  })

  specify('of 20 racing writes to one version exactly one applies', async (metadata) => {
    const [key] = newItemKeys(1)
    for (const version of ['absent', 'v0', 'v1']) {
      const condition = version === 'absent' ? version : { version }
      const next = version === 'absent' ? 'v0' : 'v1'
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, racer) =>
          metadata.write([
            { op: 'put', key: key!, version: next === version ? 'v2' : next, value: racer, if: condition },
          ]),
        ),
      )
      assert.equal(answers.filter((answer) => answer.applied).length, 1)
      assert.equal(
        (await metadata.get(key!))?.value,
        answers.findIndex((answer) => answer.applied),
      )
    }
  })

  specify('a transaction holds 100 writes and no more, the head counted', async (metadata) => {
    const head = await created(metadata)
    const keys = newItemKeys(transactionWritesMax + 1)
    const writes = keys.map((key, index) => put(key, '1', index))
    await assert.rejects(metadata.write(writes), /at most 100/)
    await assert.rejects(metadata.updateHead(head, append('a'), writes.slice(0, transactionWritesMax)), /at most 100/)
    assert.deepEqual(await metadata.write(writes.slice(0, transactionWritesMax)), { applied: true })
    const others = newItemKeys(transactionWritesMax - 1).map((key, index) => put(key, '1', index))
    assert.equal((await metadata.updateHead(head, append('a'), others)).applied, true)
  })

  specify('a transaction that names an item twice is a bug', async (metadata) => {
    const [key] = newItemKeys(1)
    const twice = [put(key!, '1', 1), put(key!, '2', 2)]
    await assert.rejects(metadata.write(twice), /twice/)
    await assert.rejects(metadata.updateHead(await created(metadata), append('a'), twice), /twice/)
    assert.equal(await metadata.get(key!), undefined)
  })

  specify('what callers do with their values afterwards does not change an item', async (metadata) => {
    const [key] = newItemKeys(1)
    const value = { list: [1, 2, 3] }
    const writing = metadata.write([put(key!, '1', value)])
    value.list.push(4)
    await writing
    spoil((await metadata.get(key!))?.value)
    const [queried] = await metadata.query(key!.collection, { limit: 1 })
    spoil(queried?.value)
    assert.deepEqual(await metadata.get(key!), { key, version: '1', value: { list: [1, 2, 3] } })
  })
}

export function specifyQueries(specify: Specify, histories: number, seed: number): void {
  specify('a query gives the items of its collection only', async (metadata) => {
    const base = newCollection()
    const collections = [base, `${base}0`, `${base}/0`, base.slice(0, -1)]
    for (const collection of collections) await metadata.write([put({ collection, sort: 'a' }, '1', collection)])
    for (const collection of collections)
      assert.deepEqual(await metadata.query(collection, { limit: 10 }), [
        { key: { collection, sort: 'a' }, version: '1', value: collection },
      ])
    assert.deepEqual(await metadata.query(newCollection(), { limit: 10 }), [])
  })

  specify('a query gives items between its bounds, both included, in the order of bytes', async (metadata) => {
    const collection = newCollection()
    const sorts = [
      '!',
      '#',
      '0',
      '00',
      '0000000000000009',
      '0000000000000010',
      '1',
      '10',
      '9',
      'A',
      'Z',
      'a',
      'a ',
      'a-',
      'a.b',
      'a/b',
      'aa',
      'b',
      '~',
      '~~',
    ]
    for (const sort of sorts.toReversed()) await metadata.write([put({ collection, sort }, sort, sort)])
    assert.deepEqual(await sortsOf(metadata, collection, { limit: 100 }), sorts)
    assert.deepEqual(await sortsOf(metadata, collection, { limit: 100, reverse: true }), sorts.toReversed())
    const from = '00'
    const to = 'a.b'
    const between = sorts.slice(sorts.indexOf(from), sorts.indexOf(to) + 1)
    assert.deepEqual(await sortsOf(metadata, collection, { from, to, limit: 100 }), between)
    assert.deepEqual(await sortsOf(metadata, collection, { from, to, limit: 3 }), between.slice(0, 3))
    assert.deepEqual(
      await sortsOf(metadata, collection, { from, to, limit: 3, reverse: true }),
      between.toReversed().slice(0, 3),
    )
    assert.deepEqual(await sortsOf(metadata, collection, { from: to, to: from, limit: 3 }), [])
    assert.deepEqual(await sortsOf(metadata, collection, { from: '~~~', limit: 3 }), [])
    assert.deepEqual(await sortsOf(metadata, collection, { to: ' ', limit: 3, reverse: true }), [])
  })

  specify('any range of any items is what a plain list gives', async (metadata) => {
    const character = fc.constantFrom(...'019Aaz~.-/')
    const sort = fc.string({ unit: character, minLength: 1, maxLength: 4 })
    const range = fc.record({
      from: fc.option(sort),
      to: fc.option(sort),
      limit: fc.integer({ min: 1, max: 12 }),
      reverse: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(sort, { maxLength: 20 }),
        fc.array(range, { maxLength: 10 }),
        async (sorts, ranges) => {
          const collection = newCollection()
          if (sorts.length > 0) await metadata.write(sorts.map((text) => put({ collection, sort: text }, '1', text)))
          const [deleted, ...left] = sorts
          if (deleted !== undefined)
            await metadata.write([{ op: 'delete', key: { collection, sort: deleted }, if: { version: '1' } }])
          for (const { from, to, limit, reverse } of ranges) {
            const within = left.filter((text) => (from === null || text >= from) && (to === null || text <= to)).sort()
            if (reverse) within.reverse()
            const asked = { ...(from !== null && { from }), ...(to !== null && { to }), limit, reverse }
            assert.deepEqual(await sortsOf(metadata, collection, asked), within.slice(0, limit), JSON.stringify(asked))
          }
        },
      ),
      { seed, numRuns: histories },
    )
  })

  specify('a query sees every write that was answered', async (metadata) => {
    const collection = newCollection()
    await Promise.all(
      Array.from({ length: 30 }, async (_, index) => {
        const sort = String(index).padStart(4, '0')
        await metadata.write([put({ collection, sort }, '1', index)])
        assert.deepEqual(await sortsOf(metadata, collection, { from: sort, limit: 1 }), [sort])
      }),
    )
    assert.equal((await metadata.query(collection, { limit: 100 })).length, 30)
  })
}

/** Whatever kind of byte array the store answers. */
function plain(item: Item | undefined): Item | undefined {
  return item?.bytes === undefined ? item : { ...item, bytes: Uint8Array.from(item.bytes) }
}
