/** What `Objects` promises (lib/ports.ts), as a suite that every adapter runs. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { segmentIdAt, segmentObjectKey } from '../../lib/core/names.ts'
import type { Objects } from '../../lib/ports.ts'

export interface ObjectsUnderTest {
  readonly objects: Objects
  close?(): Promise<void>
}

/** `factory` may give the same store each time: keys are random, and nothing is expected of others' objects. */
export function objectsConformance(name: string, factory: () => Promise<ObjectsUnderTest>): void {
  /** A specification, with a store of its own. */
  const specify = (sentence: string, run: (objects: Objects) => Promise<void>) =>
    test(sentence, async () => {
      const { objects, close } = await factory()
      try {
        await run(objects)
      } finally {
        await close?.()
      }
    })

  describe(`objects: ${name}`, () => {
    specify('a created object is read back whole, its parts in order', async (objects) => {
      const key = newKey()
      assert.equal(await objects.create(key, [bytes('one,'), bytes(''), bytes('two,'), bytes('three')]), 'created')
      assert.deepEqual(await objects.read(key, 0, 100), bytes('one,two,three'))
    })

    specify('an object that exists is not written again, and keeps its content', async (objects) => {
      const key = newKey()
      await objects.create(key, [bytes('first')])
      assert.equal(await objects.create(key, [bytes('second, longer')]), 'exists')
      assert.deepEqual(await objects.read(key, 0, 100), bytes('first'))
    })

    specify('of 50 racing creations of one object exactly one wins, and its content stays', async (objects) => {
      const key = newKey()
      const contents = Array.from({ length: 50 }, (_, racer) => bytes(`racer ${racer} `.repeat(1 + racer * 20)))
      const outcomes = await Promise.all(contents.map((content) => objects.create(key, [content])))
      const winners = contents.filter((_, racer) => outcomes[racer] === 'created')
      assert.equal(winners.length, 1)
      assert.deepEqual(await objects.read(key, 0, 100_000), winners[0])
    })

    specify('racing creations of different objects all win', async (objects) => {
      const keys = Array.from({ length: 50 }, newKey)
      const outcomes = await Promise.all(keys.map((key) => objects.create(key, [bytes(key)])))
      assert.deepEqual(new Set(outcomes), new Set(['created']))
      for (const key of keys) assert.deepEqual(await objects.read(key, 0, 100), bytes(key))
    })

    specify('what the writer does with its bytes afterwards does not change the object', async (objects) => {
      const key = newKey()
      const content = bytes('as it was')
      await objects.create(key, [content])
      content.fill(0)
      assert.deepEqual(await objects.read(key, 0, 100), bytes('as it was'))
    })

    specify('what a reader does with its bytes does not change the object', async (objects) => {
      const key = newKey()
      await objects.create(key, [bytes('as it is')])
      const content = await objects.read(key, 0, 100)
      content?.fill(0)
      assert.deepEqual(await objects.read(key, 0, 100), bytes('as it is'))
    })

    specify(
      'a range is read from its position, or counted from the end, and ends where the object ends',
      async (objects) => {
        const key = newKey()
        await objects.create(key, [bytes('0123456'), bytes('789')])
        const ranges = [
          [0, 1, '0'],
          [0, 10, '0123456789'],
          [0, 11, '0123456789'],
          [5, 4, '5678'],
          [6, 2, '67'],
          [9, 1, '9'],
          [9, 2, '9'],
          [9, 2 ** 40, '9'],
          [10, 1, ''],
          [11, 5, ''],
          [2 ** 40, 5, ''],
          [-1, 1, '9'],
          [-3, 3, '789'],
          [-10, 10, '0123456789'],
          [-11, 11, '0123456789'],
          [-65_536, 65_536, '0123456789'],
        ] as const
        for (const [position, length, expected] of ranges)
          assert.deepEqual(await objects.read(key, position, length), bytes(expected), `${position}, ${length}`)
      },
    )

    specify('a large object made of many parts is read back by ranges', async (objects) => {
      const key = newKey()
      const parts = Array.from({ length: 1500 }, (_, index) => new Uint8Array(randomBytes(1 + ((index * 37) % 3000))))
      const whole = new Uint8Array(Buffer.concat(parts))
      await objects.create(key, parts)
      const rangeBytes = 300_001
      for (let position = 0; position < whole.length; position += rangeBytes)
        assert.deepEqual(
          await objects.read(key, position, rangeBytes),
          whole.slice(position, position + rangeBytes),
          `from ${position}`,
        )
    })

    specify('parts may be views into larger buffers', async (objects) => {
      const key = newKey()
      const buffer = bytes('..hello....world..')
      await objects.create(key, [buffer.subarray(2, 7), buffer.subarray(11, 16)])
      assert.deepEqual(await objects.read(key, 0, 100), bytes('helloworld'))
    })

    specify('many reads at once of one object, and of many, do not disturb each other', async (objects) => {
      const keys = Array.from({ length: 100 }, newKey)
      await Promise.all(keys.map((key) => objects.create(key, [bytes(`of ${key}`)])))
      const reads = [...keys, ...keys, ...Array.from({ length: 50 }, () => keys[0]!)]
      const contents = await Promise.all(reads.map((key) => objects.read(key, 0, 100)))
      assert.deepEqual(
        contents,
        reads.map((key) => bytes(`of ${key}`)),
      )
    })

    specify('an object that does not exist reads as undefined, whatever the range', async (objects) => {
      assert.equal(await objects.read(newKey(), 0, 10), undefined)
      assert.equal(await objects.read(newKey(), 1_000, 10), undefined)
    })

    specify('a deleted object is gone for reads and listings', async (objects) => {
      const [kept, deleted] = siblings(2)
      await objects.create(kept!, [bytes('kept')])
      await objects.create(deleted!, [bytes('deleted')])
      await objects.read(deleted!, 0, 100)
      await objects.delete(deleted!)
      assert.equal(await objects.read(deleted!, 0, 100), undefined)
      assert.deepEqual(await objects.read(kept!, 0, 100), bytes('kept'))
      const prefix = kept!.slice(0, -1)
      assert.deepEqual(await objects.list(prefix, undefined, 10), [{ key: kept, sizeBytes: 4 }])
    })

    specify('reads that race a deletion get the whole object or none', async (objects) => {
      const key = newKey()
      await objects.create(key, [bytes('whole')])
      const read = () => objects.read(key, 0, 100)
      const before = Array.from({ length: 10 }, read)
      const deleted = objects.delete(key)
      const after = Array.from({ length: 10 }, read)
      for (const content of await Promise.all([...before, ...after]))
        if (content !== undefined) assert.deepEqual(content, bytes('whole'))
      await deleted
      assert.equal(await read(), undefined)
    })

    specify('deleting what does not exist does nothing', async (objects) => {
      await objects.delete(newKey())
    })

    specify(
      'a listing gives keys in ascending order with their sizes, from `after` on, up to the limit',
      async (objects) => {
        const keys = siblings(7)
        for (const [index, key] of shuffled(keys.entries())) await objects.create(key, [new Uint8Array(index * 10)])
        const prefix = keys[0]!.slice(0, -1)
        const all = keys.map((key, index) => ({ key, sizeBytes: index * 10 }))
        assert.deepEqual(await objects.list(prefix, undefined, 100), all)
        assert.deepEqual(await objects.list(prefix, undefined, 7), all)
        assert.deepEqual(await objects.list(prefix, undefined, 3), all.slice(0, 3))
        assert.deepEqual(await objects.list(prefix, keys[2], 3), all.slice(3, 6))
        assert.deepEqual(await objects.list(prefix, keys[6], 3), [])
        // Between two keys: the place is named, not an object.
        assert.deepEqual(await objects.list(prefix, `${keys[3]}0`, 1), all.slice(4, 5))
        assert.deepEqual(await objects.list(prefix, `${prefix.slice(0, -1)}`, 1), all.slice(0, 1))
        assert.deepEqual(await objects.list(keys[5]!, undefined, 10), all.slice(5, 6))
      },
    )

    specify('a listing of a prefix without objects is empty', async (objects) => {
      assert.deepEqual(await objects.list(newKey(), undefined, 10), [])
    })

    specify('a listing goes on over the digits of segment keys in order', async (objects) => {
      const keys = Array.from({ length: 20 }, newKey).sort()
      for (const key of shuffled(keys)) await objects.create(key, [bytes('x')])
      const listed: string[] = []
      for (let after: string | undefined; ; after = listed.at(-1)) {
        const page = await objects.list('segments/', after, 6)
        listed.push(...page.map((entry) => entry.key))
        if (page.length < 6) break
      }
      assert.deepEqual(listed, listed.toSorted())
      assert.deepEqual(
        listed.filter((key) => keys.includes(key)),
        keys,
      )
    })

    specify('an object is listed from the answer to its creation on', async (objects) => {
      const keys = Array.from({ length: 20 }, newKey)
      await Promise.all(
        keys.map(async (key) => {
          await objects.create(key, [bytes('x')])
          assert.deepEqual(await objects.list(key, undefined, 1), [{ key, sizeBytes: 1 }])
        }),
      )
    })
  })
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** A fresh key of the shape that all of Highwater's have. */
function newKey(): string {
  return segmentObjectKey(segmentIdAt(Date.now(), Math.random))
}

/** Fresh keys, ascending, that differ in the last character only. */
function siblings(count: number): string[] {
  const key = newKey()
  return Array.from('0123456789'.slice(0, count), (digit) => key + digit)
}

function shuffled<Value>(values: Iterable<Value>): Value[] {
  return [...values]
    .map((value) => ({ value, rank: Math.random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ value }) => value)
}
