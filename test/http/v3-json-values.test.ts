import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseJsonValues } from '../../lib/http/v3-json-values.ts'

const parse = (text: string, valuesMax = 1_000) => parseJsonValues(new TextEncoder().encode(text), valuesMax)

function values(text: string): unknown[] {
  const parsed = parse(text)
  assert(parsed.ok, JSON.stringify(parsed))
  return parsed.value
}

test('one value, and several with or without blanks between them', () => {
  assert.deepEqual(values('{"a":1}'), [{ a: 1 }])
  assert.deepEqual(values('{"a":1}{"b":2}'), [{ a: 1 }, { b: 2 }])
  assert.deepEqual(values(' {"a":1}\r\n\t{"b":2} \n'), [{ a: 1 }, { b: 2 }])
  assert.deepEqual(values('{}[]{}'), [{}, [], {}])
  assert.deepEqual(values('1 2"a""b"null{}true[]'), [1, 2, 'a', 'b', null, {}, true, []])
})

test('brackets and quotes within strings are not looked at', () => {
  const value = { 'a"}': '}{][\\', b: '\\\\"', c: ['"{', '\u2028'] }
  const text = JSON.stringify(value)
  assert.deepEqual(values(text + text), [value, value])
})

test('any values that are written one after the other are read one after the other', () => {
  fc.assert(
    fc.property(
      fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { minLength: 1, maxLength: 5 }),
      fc.constantFrom('', ' ', '\n', '\r\n\t '),
      fc.integer({ min: 0, max: 2 }),
      (all, between, indent) => {
        const text = all.map((value) => JSON.stringify(value, null, indent)).join(between)
        assert.deepEqual(
          values(text).map((value) => JSON.stringify(value)),
          all.map((value) => JSON.stringify(value)),
        )
      },
    ),
  )
})

test('a body that was cut off is refused whole, wherever it was cut', () => {
  const text = '{"key":{"data":"a\\""},"value":null}{"value":{"type":"JSON","data":[1,{"x":"y"}]}}'
  const whole = text.indexOf('}{') + 1
  for (let end = 1; end < text.length; end++) {
    const parsed = parse(text.slice(0, end))
    assert.equal(parsed.ok, end === whole, text.slice(0, end))
    if (!parsed.ok) assert.equal(parsed.code, 'INVALID_REQUEST')
  }
})

test('what is not JSON is refused, with the place in the message', () => {
  for (const text of ['{}x', '{},{}', '{}]', '}', '{a:1}{}', '{}{"a":}', '{]', "{}'", '{}{"a":1}}'])
    assert.equal(parse(text).ok, false, text)
  const parsed = parse('{}{} {"a":nul}')
  assert(!parsed.ok)
  assert.match(parsed.message, /record 2, at position 5/)
})

test('an empty body has a code of its own', () => {
  for (const text of ['', ' \n']) {
    const parsed = parse(text)
    assert(!parsed.ok)
    assert.equal(parsed.code, 'EMPTY_PAYLOAD')
  }
})

test('no more values are read than allowed', () => {
  const text = (count: number) => '{}'.repeat(count)
  for (const count of [9, 10]) {
    const parsed = parse(text(count), 10)
    assert(parsed.ok)
    assert.equal(parsed.value.length, count)
  }
  const parsed = parse(text(11), 10)
  assert(!parsed.ok)
  assert.equal(parsed.code, 'REQUEST_TOO_LARGE')
})

test('a long body of quotes and backslashes takes no longer than its length', () => {
  const hostile = `{}{"a":"${'\\"'.repeat(500_000)}`
  const startedMs = performance.now()
  assert.equal(parse(hostile).ok, false)
  assert.equal(parse(`{}${'['.repeat(1_000_000)}`).ok, false)
  assert(performance.now() - startedMs < 2_000)
})

test('large numbers keep their digits in the second value as in the first', () => {
  const text = '{"n":12345678901234567890}'
  assert.equal(
    values(text + text)
      .map((value) => JSON.stringify(value))
      .join(''),
    text + text,
  )
})
