import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  ByteArena,
  decodeBase64InPlace,
  encodeEmbedded,
  hasDelicateNumber,
  parseJson,
} from '../../lib/http/v2-embedded.ts'

const bytesOf = (text: string) => new TextEncoder().encode(text)
const textOf = (bytes: Uint8Array | string) =>
  typeof bytes === 'string' ? assert.fail(bytes) : Buffer.from(bytes).toString()

/** What a value becomes on its way through the server. */
function roundTrip(json: string): string {
  const parsed = parseJson(bytesOf(json))
  assert(parsed.ok)
  return textOf(encodeEmbedded('json', parsed.value, new ByteArena(new Uint8Array(1_000))))
}

test('whole numbers beyond 2^53 keep their digits', () => {
  for (const number of ['9007199254740993', '-9007199254740993', '12345678901234567890', '18446744073709551615'])
    for (const json of [number, `{"id":${number}}`, `[1,${number}]`, `{"a":{"b":[${number}]}}`])
      assert.equal(roundTrip(json), json)
})

test('a number too large for a double is not turned into null', () => {
  assert.equal(roundTrip('{"n":1e400}'), '{"n":1e400}')
  assert.equal(roundTrip('[-1E+999]'), '[-1E+999]')
})

test('numbers that a double holds are written as JSON writes them', () => {
  assert.equal(
    roundTrip('[1.0,1E2,0.1,4.109999999999999,9007199254740991]'),
    '[1,100,0.1,4.109999999999999,9007199254740991]',
  )
})

test('blanks between the parts of a value do not count, so that equal keys are equal bytes', () => {
  assert.equal(roundTrip(' { "a" : [ 1 , 2 ] }\n'), '{"a":[1,2]}')
})

test('long fractions and digits in words are no delicate numbers', () => {
  for (const text of [
    '{"a":0.30000000000000004}',
    '{"a":"x"}',
    '{"uuid":"3f1e1000-aaaa"}',
    '{"trace":"ab92345678901234567890cd92345678901234567"}',
    '{"card":"9234567890123456"}',
    '[123456789012345]',
    '{"microseconds":1700000000000000}',
    '[9007199254740991,-9007199254740991]',
  ])
    assert.equal(hasDelicateNumber(bytesOf(text), text), false, text)
})

test('a delicate number is found wherever it stands', () => {
  for (let blanks = 0; blanks < 40; blanks++) {
    for (const number of ['9007199254740993', '-9007199254740993', '1234567890123456.5', '1234567890123456e1']) {
      const text = `[${' '.repeat(blanks)}${number}]`
      assert.equal(hasDelicateNumber(bytesOf(text), text), true, text)
    }
  }
})

test('every JSON value comes out as JSON.stringify writes it', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.integer({ min: 0, max: 3 }), (value, indent) => {
      assert.equal(roundTrip(JSON.stringify(value, null, indent)), JSON.stringify(value))
    }),
  )
})

test('a body that is no UTF-8 is refused, not repaired', () => {
  const parsed = parseJson(Uint8Array.of(0x22, 0xff, 0x22))
  assert(!parsed.ok)
  assert.equal(parsed.code, 'INVALID_REQUEST')
})

test('a body of nothing or of blanks is an empty one', () => {
  for (const text of ['', ' \r\n\t']) {
    const parsed = parseJson(bytesOf(text))
    assert(!parsed.ok)
    assert.equal(parsed.code, 'EMPTY_PAYLOAD')
  }
})

test('base64 is decoded with and without padding, also of the URL alphabet', () => {
  const arena = new ByteArena(new Uint8Array(100))
  for (const [text, bytes] of [
    ['', []],
    ['AA==', [0]],
    ['AA', [0]],
    ['AAE=', [0, 1]],
    ['AAEC', [0, 1, 2]],
    ['+/+/', [251, 255, 191]],
    ['-_-_', [251, 255, 191]],
  ] as const)
    assert.deepEqual(arena.decodeBase64(text), Uint8Array.from(bytes), text)
})

test('what is not base64 is told from what is', () => {
  const arena = new ByteArena(new Uint8Array(100))
  const small = new ByteArena(new Uint8Array(0))
  for (const text of [
    'fooba',
    'A',
    '=',
    '====',
    'A===',
    'AA=A',
    'AAAA====',
    'AA AA',
    'AAAA\n',
    'Zm9v!',
    'Zm9vé',
    '"',
    'AAA==',
  ])
    for (const each of [arena, small]) assert.equal(each.decodeBase64(text), undefined, text)
})

test('all bytes survive base64, in the arena and beyond its end', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), fc.integer({ min: 0, max: 200 }), (values, size) => {
      const arena = new ByteArena(new Uint8Array(size))
      const decoded = values.map((value) => arena.decodeBase64(Buffer.from(value).toString('base64')))
      assert.deepEqual(decoded, values)
    }),
  )
})

test('all texts survive the arena and its end', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme' })), fc.integer({ min: 0, max: 200 }), (texts, size) => {
      const arena = new ByteArena(new Uint8Array(size))
      const encoded = texts.map((text) => arena.encodeText(text))
      assert.deepEqual(encoded.map(textOf), texts)
    }),
  )
})

test('base64 is decoded in place as Node decodes it, whatever its length and padding', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 400 }),
      fc.constantFrom('base64', 'base64url'),
      fc.nat({ max: 3 }),
      (...given) => {
        const [bytes, encoding, from] = given
        const text = Buffer.from(bytes).toString(encoding as 'base64')
        const buffer = Buffer.from(`${'"'.repeat(from)}${text}"`)
        assert.equal(decodeBase64InPlace(buffer, from, from + text.length), bytes.length)
        assert.deepEqual(new Uint8Array(buffer.subarray(from, from + bytes.length)), bytes)
        assert.equal(buffer.at(-1), 0x22)
      },
    ),
  )
})

test('what is not base64 is left as it was', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(), fc.constantFrom(...'! =\u00e9"\\'), (bytes, at, wrong) => {
      const text = Buffer.from(bytes).toString('base64').replace(/=+$/, '')
      const place = at % (text.length + 1)
      const damaged = `${text.slice(0, place)}${wrong}${text.slice(place)}A`
      const buffer = Buffer.from(damaged)
      if (decodeBase64InPlace(buffer, 0, buffer.length) === -1) assert.equal(buffer.toString(), damaged)
      else assert.fail(damaged)
    }),
  )
})
