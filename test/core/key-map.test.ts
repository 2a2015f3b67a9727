import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { KeyMap, sipHash128 } from '../../lib/core/key-map.ts'

/** Of the authors' `vectors_sip128`: key 00 01 .. 0f, message 00 01 .. n - 1. */
const vectors: [number, string][] = [
  [0, 'a3817f04ba25a8e66df67214c7550293'],
  [1, 'da87c1d86b99af44347659119b22fc45'],
  [2, '8177228da4a45dc7fca38bdef60affe4'],
  [3, '9c70b60c5267a94e5f33b6b02985ed51'],
  [7, 'a1f1ebbed8dbc153c0b84aa61ff08239'],
  [8, '3b62a9ba6258f5610f83e264f31497b4'],
  [9, '264499060ad9baabc47f8b02bb6d71ed'],
  [15, '5493e99933b0a8117e08ec0f97cfc3d9'],
  [16, '6ee2a4ca67b054bbfd3315bf85230577'],
  [63, '5150d1772f50834a503e069a973fbd7c'],
]

function hashOf(message: Uint8Array): string {
  const out = new Uint32Array(4)
  sipHash128(message, [0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c], out)
  return [...out].map((word) => Buffer.from(Uint32Array.of(word).buffer).toString('hex')).join('')
}

describe('the hash of a key', () => {
  for (const [length, expected] of vectors)
    test(`is SipHash-2-4 with 128 bits: ${length} bytes`, () => {
      assert.equal(hashOf(Uint8Array.from({ length }, (_, index) => index)), expected)
    })

  test('differs with the secret', () => {
    const outs = [0, 1].map((word) => {
      const out = new Uint32Array(4)
      sipHash128(Uint8Array.of(1, 2, 3), [word, 0, 0, 0], out)
      return out
    })
    assert.notDeepEqual(outs[0], outs[1])
  })
})

describe('a map of keys', () => {
  test('holds the largest offset of each key, as a plain map does', () => {
    const put = fc.tuple(fc.uint8Array({ maxLength: 3 }), fc.nat({ max: 2 ** 40 }))
    fc.assert(
      fc.property(fc.array(put, { maxLength: 300 }), fc.nat({ max: 3_000 }), (puts, keysExpected) => {
        const map = new KeyMap([1, 2, 3, 4], keysExpected)
        const plain = new Map<string, number>()
        for (const [key, offset] of puts) {
          map.put(key, offset)
          const text = key.join()
          plain.set(text, Math.max(plain.get(text) ?? 0, offset))
        }
        assert.equal(map.size, plain.size)
        for (const [key] of puts) assert.equal(map.get(key), plain.get(key.join()))
        assert.equal(map.get(Uint8Array.of(1, 2, 3, 4)), undefined)
      }),
    )
  })

  test('does not grow for keys that were expected', () => {
    const map = new KeyMap([1, 2, 3, 4], 10_000)
    const { bytes } = map
    for (let index = 0; index < 10_000; index++) map.put(Buffer.from(`${index}`), index)
    assert.equal(map.bytes, bytes)
    assert.equal(map.size, 10_000)
  })

  test('of 100,000 keys of any length takes 24 bytes a slot, and at most 64 bytes a key', () => {
    const map = new KeyMap([0xffffffff, 0, 0x80000000, 7])
    const key = Buffer.alloc(200)
    for (let index = 0; index < 100_000; index++) {
      key.writeUInt32LE(index, index % 190)
      map.put(key.subarray(0, index % 200), index)
    }
    const again = Buffer.alloc(200)
    let found = 0
    for (let index = 0; index < 100_000; index++) {
      again.writeUInt32LE(index, index % 190)
      if ((map.get(again.subarray(0, index % 200)) ?? -1) >= index) found++
    }
    assert.equal(found, 100_000)
    assert.equal(map.bytes % 24, 0)
    assert.ok(map.bytes <= 64 * 100_000, `${map.bytes} bytes`)
  })
})
