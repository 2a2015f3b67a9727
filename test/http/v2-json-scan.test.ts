import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { dropBlanks, JsonScan, jsonDepthMax } from '../../lib/http/v2-json-scan.ts'

const bytesOf = (text: string) => new TextEncoder().encode(text)
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

/** Is the whole of the text one value to the walk? */
function isJson(text: string): boolean {
  const scan = new JsonScan(bytesOf(text))
  return scan.value() && scan.peek() === -1
}

function isJsonToParse(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function same(text: string): void {
  assert.equal(isJson(text), isJsonToParse(text), JSON.stringify(text))
}

const parts = [
  ...[
    '{',
    '}',
    '[',
    ']',
    ':',
    ',',
    '"',
    '\\',
    ' ',
    '\n',
    '\t',
    '\r',
    '\u00a0',
    '\u0000',
    '\u001f',
    '\u007f',
    'é',
    '😀',
  ],
  ...[
    'true',
    'false',
    'null',
    'nul',
    'True',
    'NaN',
    'Infinity',
    'undefined',
    '-',
    '+',
    '.',
    'e',
    'E',
    '0',
    '1',
    '12',
    '00',
  ],
  ...[
    '"a"',
    '"a":',
    '{"a":1}',
    '[1,2]',
    '\\u00e9',
    '\\ud800',
    '\\x',
    '\\u12g4',
    '-0',
    '1.5',
    '1e5',
    '1E-5',
    '.5',
    '5.',
    '1e',
  ],
]

test('what JSON.parse takes is JSON to the walk, and nothing else', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...parts), { maxLength: 8 }), (some) => same(some.join(''))),
    { numRuns: 20_000 },
  )
})

test('the same of JSON with a byte changed, left out or put in', () => {
  const unit = fc.constantFrom(...'{}[]:,"\\ \n0123456789.eE+-truefalsn\u0001é')
  fc.assert(
    fc.property(
      fc.jsonValue(),
      fc.integer({ min: 0, max: 2 }),
      fc.nat(),
      fc.nat({ max: 1 }),
      fc.option(unit),
      (...given) => {
        const [value, indent, at, left, put] = given
        const text = JSON.stringify(value, null, indent)
        const place = at % (text.length + 1)
        same(text.slice(0, place) + (put ?? '') + text.slice(place + left))
      },
    ),
    { numRuns: 5_000 },
  )
})

test('the same of every beginning of a value', () => {
  const text = '{"a":[1,-2.5e+3,{"b\\n\\u00e9":null}],"c":"d\\"","e":{},"f":[],"g":true}'
  for (let end = 0; end <= text.length; end++) same(text.slice(0, end))
})

test('a value is found with its begin and end, and with what is in it', () => {
  for (const [text, value, hasBlanks, hasEscapes] of [
    [' {"a":1} ', '{"a":1}', false, false],
    ['[1, 2]', '[1, 2]', true, false],
    ['"a b"', '"a b"', false, false],
    ['["\\n"]', '["\\n"]', false, true],
    ['-1.5e3,', '-1.5e3', false, false],
    ['{ }', '{ }', true, false],
    ['true]', 'true', false, false],
  ] as const) {
    const scan = new JsonScan(bytesOf(text))
    assert(scan.value(), text)
    assert.equal(text.slice(scan.from, scan.end), value)
    assert.deepEqual([scan.hasBlanks, scan.hasEscapes], [hasBlanks, hasEscapes], text)
  }
})

test('names are found within their quotes, and the colon is behind', () => {
  const scan = new JsonScan(bytesOf(' "na me" : 1'))
  assert(scan.name())
  assert.deepEqual([scan.from, scan.end], [2, 7])
  assert(scan.value())
  for (const text of ['', 'a:', '"a"', '"a', '"a" 1', '1:'])
    assert.equal(new JsonScan(bytesOf(text)).name(), false, text)
})

test('a byte order mark is no part of the text', () => {
  assert.equal(isJson('\ufeff{}'), true)
  assert.equal(isJson('{\ufeff}'), false)
})

test(`values lie within each other up to ${jsonDepthMax} times`, () => {
  for (const [open, close] of [
    ['[', ']'],
    ['{"a":', '}'],
  ] as const) {
    const nested = (depth: number) => `${open.repeat(depth)}1${close.repeat(depth)}`
    assert.equal(isJson(nested(jsonDepthMax - 1)), true)
    assert.equal(isJson(nested(jsonDepthMax)), true)
    const scan = new JsonScan(bytesOf(nested(jsonDepthMax + 1)))
    assert.equal(scan.value(), false)
    assert.equal(scan.isTooDeep, true)
    assert.match(scan.fault(), /more than 1000 times/)
  }
})

test('where it is no JSON, the byte and its place are named', () => {
  for (const [text, fault] of [
    ['{"a":x}', "unexpected 'x' at byte 5"],
    ['{"a" 1}', "unexpected '1' at byte 5"],
    ['[1,]', "unexpected ']' at byte 3"],
    ['[01]', "unexpected '1' at byte 2"],
    ['"a\nb"', 'unexpected 0xa at byte 2'],
    ['"\\x"', "unexpected 'x' at byte 2"],
    ['"\\u12"', `unexpected '"' at byte 5`],
    ['[1', 'it ends too early'],
    ['"a', 'it ends too early'],
    ['tru', 'it ends too early'],
    ['', 'it ends too early'],
  ] as const) {
    const scan = new JsonScan(bytesOf(text))
    assert.equal(scan.value(), false, text)
    assert.equal(scan.fault(), fault, text)
  }
})

test('without its blanks a value is the same value, in the fewest bytes', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.integer({ min: 0, max: 4 }), (value, indent) => {
      const bytes = bytesOf(JSON.stringify(value, null, indent))
      const end = dropBlanks(bytes, 0, bytes.length)
      assert.equal(textOf(bytes.subarray(0, end)), JSON.stringify(value))
    }),
  )
})
