import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { crc32c } from '../../lib/core/crc32c.ts'

const vectors: [what: string, bytes: Uint8Array, crc: number][] = [
  ['nothing', new Uint8Array(), 0],
  ['the check string', new TextEncoder().encode('123456789'), 0xe3069283],
  ['32 zeros (RFC 3720)', new Uint8Array(32), 0x8a9136aa],
  ['32 ones (RFC 3720)', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['0 to 31 (RFC 3720)', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ['31 to 0 (RFC 3720)', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
]

for (const [what, bytes, crc] of vectors) {
  test(`the CRC-32C of ${what} is 0x${crc.toString(16)}`, () => {
    assert.equal(crc32c(bytes), crc)
  })
}

test('the CRC of a whole is the CRC of its end seeded with the CRC of its beginning, wherever it is cut', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (bytes, cut) => {
      assert.equal(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut))), crc32c(bytes))
    }),
  )
})

test('a CRC depends on the bytes, not on where they lie or how many were taken at a time', () => {
  const bytes = Uint8Array.from({ length: 100 }, (_, i) => (i * 37) & 0xff)
  for (let from = 0; from < 20; from++) {
    for (let end = from; end <= bytes.length; end++) {
      let crc = 0
      for (let at = from; at < end; at++) crc = crc32c(bytes.subarray(at, at + 1), crc)
      assert.equal(crc32c(bytes.subarray(from, end)), crc)
    }
  }
})
